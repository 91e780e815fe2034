//! The rows of the registry.

use super::authorization::{GOOGLE, MICROSOFT};
use super::{Port, Provider, Region, UserName, amazon_ses};
use crate::config::relay::TlsMode;

/// What most rows have in common.
const ROW: Provider = Provider {
    id: "",
    name: "",
    aliases: &[],
    host: "",
    regions: &[],
    default_region: None,
    ports: &[],
    username: UserName::Given("username"),
    secrets: &["password"],
    bearer: false,
    authorization: None,
    api_keys: &[],
    auth: &["PLAIN", "LOGIN"],
    notes: &[],
    unverified: &[],
};

const fn implicit(number: u16) -> Port {
    Port { number, tls: TlsMode::Implicit }
}

const fn starttls(number: u16) -> Port {
    Port { number, tls: TlsMode::StartTls }
}

/// A region with a host of its own.
const fn at(name: &'static str, host: &'static str) -> Region {
    Region { name, host: Some(host) }
}

pub(super) static PROVIDERS: &[Provider] = &[
    Provider {
        id: "amazon-ses",
        name: "Amazon SES",
        aliases: &["ses", "aws-ses", "aws", "amazon"],
        host: "email-smtp.{region}.amazonaws.com",
        regions: amazon_ses::REGIONS,
        default_region: Some("us-east-1"),
        ports: &[implicit(465), implicit(2465), starttls(587), starttls(2587), starttls(25)],
        username: UserName::Given("access_key_id"),
        secrets: &["secret_access_key", "password"],
        notes: &[
            "secret_access_key is a long-term IAM key; the SMTP password of the region is derived from it",
            "password takes an SMTP password made in the console",
            "50 recipients and 40 MB a message; lines over 1000 octets are refused",
            "a new account sends to verified recipients only, 200 a day",
        ],
        unverified: &["which regions offer SMTP"],
        ..ROW
    },
    Provider {
        id: "azure-communication",
        name: "Azure Communication Services Email",
        aliases: &["acs", "azure-email", "azure"],
        host: "smtp.azurecomm.net",
        ports: &[starttls(587), starttls(25)],
        username: UserName::Joined(&["resource", "client_id", "tenant_id"]),
        secrets: &["client_secret", "password"],
        auth: &["LOGIN", "PLAIN"],
        notes: &[
            "by SMTP, the user name is RESOURCE|CLIENT_ID|TENANT_ID of the Entra application",
            "by API, a message is accepted once Azure has it: refusals show in the resource's logs",
            "by API, the sender's display name is the one set at Azure",
        ],
        unverified: &["AUTH mechanisms", "user names made per resource", "50 recipients, 10 MB"],
        ..ROW
    },
    Provider {
        id: "brevo",
        name: "Brevo",
        aliases: &["sendinblue", "sib"],
        host: "smtp-relay.brevo.com",
        ports: &[implicit(465), starttls(587), starttls(2525)],
        secrets: &["smtp_key", "password"],
        notes: &[
            "the SMTP key is not the API key",
            "by API: 99 recipients a message, one Reply-To address, and no images inside the text",
        ],
        unverified: &["STARTTLS on 587 and 2525", "message size limit"],
        ..ROW
    },
    Provider {
        id: "cloudflare",
        name: "Cloudflare Email Service",
        aliases: &["cloudflare-email"],
        host: "smtp.mx.cloudflare.net",
        ports: &[implicit(465)],
        username: UserName::Word("api_token"),
        secrets: &["token", "password"],
        notes: &[
            "50 recipients and 5 MB a message, 25 MB to verified addresses",
            "a 250 reply without a Message-ID can mean that every recipient is suppressed",
        ],
        ..ROW
    },
    Provider {
        id: "elastic-email",
        name: "Elastic Email",
        aliases: &["elasticemail", "elastic"],
        host: "smtp.elasticemail.com",
        ports: &[implicit(465)],
        notes: &["by API: no images inside the text"],
        unverified: &["other ports (2525 is commonly used)", "size limits", "the API's error texts"],
        ..ROW
    },
    Provider {
        id: "fastmail",
        name: "Fastmail",
        aliases: &[],
        host: "smtp.fastmail.com",
        ports: &[implicit(465)],
        secrets: &["app_password", "password"],
        notes: &["username is the full address, the secret an app password"],
        unverified: &["STARTTLS on 587", "limits"],
        ..ROW
    },
    Provider {
        id: "google",
        name: "Google Workspace / Gmail",
        aliases: &["gmail", "google-workspace", "googlemail", "gsuite"],
        host: "smtp.gmail.com",
        regions: &[at("workspace-relay", "smtp-relay.gmail.com")],
        ports: &[implicit(465), starttls(587)],
        secrets: &["app_password", "password"],
        bearer: true,
        authorization: Some(&GOOGLE),
        auth: &["XOAUTH2", "PLAIN", "LOGIN"],
        notes: &[
            "username is the full address, the secret an app password (16 letters)",
            "access tokens: `mailchute login` (client_id, client_secret), a service account's key, `token`",
            "by API, To, Cc and Bcc decide who receives: a message that names somebody else is refused",
        ],
        unverified: &[
            "From is replaced by the account's address unless it is a send-as alias",
            "500 recipients a day (2000 in Workspace), 100 or 500 a message, 25 MB",
            "how smtp-relay.gmail.com authenticates",
        ],
        ..ROW
    },
    Provider {
        id: "mailersend",
        name: "MailerSend",
        aliases: &[],
        host: "smtp.mailersend.net",
        ports: &[starttls(587)],
        notes: &[
            "invalid messages are answered with 450, and never succeed when sent again",
            "by API: header fields of one's own need a plan that has them (custom_headers = true)",
        ],
        unverified: &["port 2525", "25 MB; 50 To, 10 Cc, 10 Bcc"],
        ..ROW
    },
    Provider {
        id: "mailgun",
        name: "Mailgun",
        aliases: &["mg"],
        host: "smtp.mailgun.org",
        regions: &[at("us", "smtp.mailgun.org"), at("eu", "smtp.eu.mailgun.org")],
        ports: &[starttls(587), implicit(465), starttls(2525), starttls(25)],
        notes: &["username is the domain's SMTP login (postmaster@mg.example.com)", "1000 recipients, 25 MB a message"],
        ..ROW
    },
    Provider {
        id: "mailjet",
        name: "Mailjet",
        aliases: &[],
        host: "in-v3.mailjet.com",
        ports: &[starttls(587), implicit(465), starttls(25)],
        username: UserName::Given("api_key"),
        secrets: &["secret_key", "password"],
        unverified: &["15 MB and 50 recipients a message"],
        ..ROW
    },
    Provider {
        id: "mailtrap",
        name: "Mailtrap",
        aliases: &[],
        host: "live.smtp.mailtrap.io",
        regions: &[at("live", "live.smtp.mailtrap.io"), at("sandbox", "sandbox.smtp.mailtrap.io")],
        ports: &[starttls(587)],
        username: UserName::Word("api"),
        secrets: &["token", "password"],
        notes: &["by API, region = \"bulk\" is the bulk stream; region = \"sandbox\" wants inbox_id"],
        unverified: &["ports 2525 and 25", "limits", "the API's sandbox path"],
        ..ROW
    },
    Provider {
        id: "mandrill",
        name: "Mandrill (Mailchimp Transactional)",
        aliases: &["mailchimp-transactional", "mailchimp"],
        host: "smtp.mandrillapp.com",
        ports: &[starttls(587)],
        username: UserName::Word("mailchute"),
        secrets: &["api_key", "password"],
        notes: &[
            "without X-MC-PreserveRecipients the account's default decides whether recipients see one another",
            "by API, a message to more than 10 recipients is only queued: refusals come later",
        ],
        unverified: &["any user name will do", "ports 465, 25, 2525", "25 MB", "the API's error names"],
        ..ROW
    },
    Provider {
        id: "microsoft365",
        name: "Microsoft 365 / Outlook.com",
        aliases: &["outlook", "office365", "microsoft", "outlook.com", "hotmail", "exchange-online", "msgraph", "o365"],
        host: "smtp.office365.com",
        regions: &[at("consumer", "smtp-mail.outlook.com"), at("legacy-tls", "smtp-legacy.office365.com")],
        ports: &[starttls(587)],
        bearer: true,
        authorization: Some(&MICROSOFT),
        auth: &["XOAUTH2", "LOGIN"],
        notes: &[
            "username is the mailbox's address; tokens by `mailchute login`, an application (client_secret), `token`",
            "password logins are being switched off and answered with 550 5.7.30",
            "by API, To, Cc and Bcc decide who receives: a message that names somebody else is refused",
            "by API, a message is accepted before addresses are checked: refusals come back as mail",
        ],
        unverified: &[
            "how far the switch-off of password logins has come",
            "500 recipients a message",
            "by API: how large a message may be, and that every tenant takes Bcc out",
        ],
        ..ROW
    },
    Provider {
        id: "postmark",
        name: "Postmark",
        aliases: &["postmarkapp"],
        host: "smtp.postmarkapp.com",
        regions: &[at("broadcast", "smtp-broadcasts.postmarkapp.com")],
        ports: &[starttls(587), starttls(2525), starttls(25)],
        username: UserName::Secret,
        secrets: &["token", "password"],
        notes: &[
            "token is the server API token; an SMTP token is a pair for username and password",
            "no implicit TLS: port 465 hangs",
            "50 recipients a message",
        ],
        unverified: &["AUTH mechanisms", "10 MB"],
        ..ROW
    },
    Provider {
        id: "resend",
        name: "Resend",
        aliases: &[],
        host: "smtp.resend.com",
        ports: &[implicit(465), implicit(2465), starttls(587), starttls(2587), starttls(25)],
        username: UserName::Word("resend"),
        secrets: &["api_key", "password"],
        notes: &[
            "50 recipients in To",
            "an attachment whose name does not fit its type drops the mail silently; by API the name decides",
            "by API, the same message again within 24 hours is answered again and not sent again",
        ],
        unverified: &["40 MB"],
        ..ROW
    },
    Provider {
        id: "scaleway",
        name: "Scaleway Transactional Email",
        aliases: &["scaleway-tem", "tem"],
        host: "smtp.tem.scw.cloud",
        ports: &[implicit(465)],
        username: UserName::Given("project_id"),
        secrets: &["secret_key", "password"],
        notes: &["the API takes no inline images and no addresses outside ASCII"],
        unverified: &["ports 587, 2465, 2587", "size and attachment limits", "a least length of subject and text"],
        ..ROW
    },
    Provider {
        id: "sendgrid",
        name: "SendGrid",
        aliases: &["twilio-sendgrid"],
        host: "smtp.sendgrid.net",
        regions: &[at("global", "smtp.sendgrid.net"), at("eu", "smtp.eu.sendgrid.net")],
        ports: &[starttls(587), implicit(465), starttls(2525), starttls(25)],
        username: UserName::Word("apikey"),
        secrets: &["api_key", "password"],
        notes: &["1000 recipients a message", "10 connections at a time from one host"],
        unverified: &["smtp.eu.sendgrid.net", "30 MB"],
        ..ROW
    },
    Provider {
        id: "sendlayer",
        name: "SendLayer",
        aliases: &["send-layer"],
        host: "smtp.sendlayer.net",
        ports: &[starttls(587)],
        notes: &[
            "the SMTP user name and password come from the dashboard and are not the API key",
            "by API: 10 recipients in To, 10 in Cc, 5 in Bcc, 10 MB a message",
        ],
        unverified: &["AUTH mechanisms", "ports 465 and 2525", "images inside the text by API"],
        ..ROW
    },
    Provider {
        id: "smtp-com",
        name: "SMTP.com",
        aliases: &["smtpcom", "smtp.com"],
        host: "send.smtp.com",
        ports: &[implicit(465), starttls(2525), starttls(25), starttls(25025)],
        notes: &[
            "username and password are those of a sender (channel)",
            "some accounts have a host of their own: host = \"NAME.smtp.com\"",
            "by API: channel is the name of the sender",
        ],
        unverified: &["port 587", "size and recipient limits", "8-bit content by API"],
        ..ROW
    },
    Provider {
        id: "smtp2go",
        name: "SMTP2GO",
        aliases: &[],
        host: "mail.smtp2go.com",
        regions: &[
            at("us", "mail-us.smtp2go.com"),
            at("eu", "mail-eu2.smtp2go.com"),
            at("eu-uk", "mail-eu.smtp2go.com"),
            at("au", "mail-au.smtp2go.com"),
        ],
        ports: &[
            implicit(465),
            implicit(8465),
            implicit(443),
            starttls(2525),
            starttls(8025),
            starttls(587),
            starttls(80),
            starttls(25),
        ],
        unverified: &["AUTH mechanisms", "50 MB and 100 recipients a message", "the API's answers about senders"],
        ..ROW
    },
    Provider {
        id: "sparkpost",
        name: "SparkPost",
        aliases: &["messagebird-sparkpost", "bird-email"],
        host: "smtp.sparkpostmail.com",
        regions: &[at("us", "smtp.sparkpostmail.com"), at("eu", "smtp.eu.sparkpostmail.com")],
        ports: &[starttls(587), starttls(2525)],
        username: UserName::Word("SMTP_Injection"),
        secrets: &["api_key", "password"],
        auth: &["LOGIN", "PLAIN"],
        notes: &[
            "the API key needs the grant \"Send via SMTP\"",
            "a sending domain that is not set up is answered with 550 5.7.1",
        ],
        unverified: &["20 MB"],
        ..ROW
    },
    Provider {
        id: "zeptomail",
        name: "Zoho ZeptoMail",
        aliases: &["zoho-zeptomail", "transmail"],
        host: "smtp.zeptomail.com",
        regions: &[at("com", "smtp.zeptomail.com"), at("eu", "smtp.zeptomail.eu"), at("in", "smtp.zeptomail.in")],
        ports: &[starttls(587), implicit(465)],
        username: UserName::Word("emailapikey"),
        secrets: &["token", "password"],
        notes: &["token is the send-mail token of one agent", "transactional mail only"],
        unverified: &["SMTP hosts of other data centres", "API hosts: endpoint takes another", "size limits"],
        ..ROW
    },
    Provider {
        id: "zoho-mail",
        name: "Zoho Mail",
        aliases: &["zoho"],
        host: "smtp.zoho.com",
        regions: &[
            at("com", "smtp.zoho.com"),
            at("eu", "smtp.zoho.eu"),
            at("in", "smtp.zoho.in"),
            at("com.au", "smtp.zoho.com.au"),
            at("jp", "smtp.zoho.jp"),
            at("com.cn", "smtp.zoho.com.cn"),
            at("sa", "smtp.zoho.sa"),
            at("ca", "smtp.zohocloud.ca"),
        ],
        ports: &[implicit(465), starttls(587)],
        api_keys: &["client_id", "client_secret", "refresh_token", "account_id"],
        auth: &["LOGIN", "PLAIN"],
        notes: &[
            "username is the full address; a wrong data centre looks like a wrong password",
            "From must be the account's address or one of its aliases",
        ],
        unverified: &["smtppro.zoho.{region} for mailboxes of an organisation", "size and recipient limits"],
        ..ROW
    },
    Provider {
        id: "smtp",
        name: "any other SMTP server",
        aliases: &["other", "custom", "generic"],
        ports: &[starttls(587), implicit(465), starttls(25)],
        bearer: true,
        auth: &["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"],
        notes: &["needs host; without provider the default port is 465"],
        ..ROW
    },
];
