//! The mailers of WP Mail SMTP that are HTTP APIs.

/// A mailer with an API: its word, our provider, and its keys: the constant, the key of the option, ours. Ours is empty
/// where the provider needs no such thing.
pub(super) struct ByApi {
    pub(super) mailer: &'static str,
    pub(super) provider: &'static str,
    pub(super) keys: &'static [(&'static str, &'static str, &'static str)],
}

/// Every one that is spoken here.
pub(super) const APIS: &[ByApi] = &[
    ByApi { mailer: "sendlayer", provider: "sendlayer", keys: &[("WPMS_SENDLAYER_API_KEY", "api_key", "api_key")] },
    ByApi {
        mailer: "smtpcom",
        provider: "smtp-com",
        keys: &[("WPMS_SMTPCOM_API_KEY", "api_key", "api_key"), ("WPMS_SMTPCOM_CHANNEL", "channel", "channel")],
    },
    ByApi {
        mailer: "sendinblue",
        provider: "brevo",
        keys: &[("WPMS_SENDINBLUE_API_KEY", "api_key", "api_key"), ("WPMS_SENDINBLUE_DOMAIN", "domain", "")],
    },
    ByApi {
        mailer: "amazonses",
        provider: "amazon-ses",
        keys: &[
            ("WPMS_AMAZONSES_REGION", "region", "region"),
            ("WPMS_AMAZONSES_CLIENT_ID", "client_id", "access_key_id"),
            ("WPMS_AMAZONSES_CLIENT_SECRET", "client_secret", "secret_access_key"),
        ],
    },
    ByApi {
        mailer: "mailgun",
        provider: "mailgun",
        keys: &[
            ("WPMS_MAILGUN_REGION", "region", "region"),
            ("WPMS_MAILGUN_DOMAIN", "domain", "domain"),
            ("WPMS_MAILGUN_API_KEY", "api_key", "api_key"),
        ],
    },
    ByApi {
        mailer: "mailjet",
        provider: "mailjet",
        keys: &[
            ("WPMS_MAILJET_API_KEY", "api_key", "api_key="),
            ("WPMS_MAILJET_SECRET_KEY", "secret_key", "secret_key"),
        ],
    },
    ByApi {
        mailer: "mailersend",
        provider: "mailersend",
        keys: &[
            ("WPMS_MAILERSEND_API_KEY", "api_key", "token"),
            ("WPMS_MAILERSEND_HAS_PRO_PLAN", "has_pro_plan", "custom_headers"),
        ],
    },
    ByApi { mailer: "mandrill", provider: "mandrill", keys: &[("WPMS_MANDRILL_API_KEY", "api_key", "api_key")] },
    ByApi { mailer: "mailtrap", provider: "mailtrap", keys: &[("WPMS_MAILTRAP_API_KEY", "api_key", "token")] },
    ByApi {
        mailer: "postmark",
        provider: "postmark",
        keys: &[
            ("WPMS_POSTMARK_SERVER_API_TOKEN", "server_api_token", "token"),
            ("WPMS_POSTMARK_MESSAGE_STREAM", "message_stream", "message_stream"),
        ],
    },
    ByApi { mailer: "resend", provider: "resend", keys: &[("WPMS_RESEND_API_KEY", "api_key", "api_key")] },
    ByApi {
        mailer: "sendgrid",
        provider: "sendgrid",
        keys: &[("WPMS_SENDGRID_API_KEY", "api_key", "api_key"), ("WPMS_SENDGRID_DOMAIN", "domain", "")],
    },
    ByApi {
        mailer: "sparkpost",
        provider: "sparkpost",
        keys: &[("WPMS_SPARKPOST_REGION", "region", "region"), ("WPMS_SPARKPOST_API_KEY", "api_key", "api_key")],
    },
    ByApi {
        mailer: "elasticemail",
        provider: "elastic-email",
        keys: &[("WPMS_ELASTICEMAIL_API_KEY", "api_key", "api_key")],
    },
    ByApi { mailer: "smtp2go", provider: "smtp2go", keys: &[("WPMS_SMTP2GO_API_KEY", "api_key", "api_key")] },
];

/// Mailers that are not spoken to here.
pub(super) const OTHERS: &[(&str, &str)] = &[
    ("gmail", "log in to Google as mailchute itself: `mailchute init --provider google --client-id ID`"),
    ("outlook", "log in to Microsoft as mailchute itself: `mailchute init --provider microsoft365 --client-id ID`"),
    ("zoho", "use Zoho by SMTP: `mailchute init --provider zoho-mail`"),
    ("pepipost", "choose another provider: `mailchute providers` lists them"),
    ("pepipostapi", "choose another provider: `mailchute providers` lists them"),
];
