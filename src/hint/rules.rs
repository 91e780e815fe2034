//! The table: what replies say, in the order in which they are looked up.

use super::{Line, Next, Said, login};
use crate::config::relay::TlsMode;
use crate::outcome::Stage::{self, Auth, Data, Ehlo, Greeting, MailFrom, Message, RcptTo, StartTls};
use crate::reply::Enhanced;
use crate::rule::{ANY, Rule};

/// A rule for every relay.
const fn rule(rule: Rule) -> Line {
    Line { rule, only: |_| true, next: Next::Rule }
}

/// A rule for some relays or some replies.
const fn only(only: fn(&Said<'_>) -> bool, rule: Rule) -> Line {
    Line { rule, only, next: Next::Rule }
}

/// A rule whose next step depends on the configuration.
const fn made(only: fn(&Said<'_>) -> bool, rule: Rule, make: fn(&Said<'_>) -> Option<String>) -> Line {
    Line { rule, only, next: Next::Made(make) }
}

const fn x(class: u8, subject: u16, detail: u16) -> Enhanced {
    Enhanced::new(class, subject, detail)
}

/// The stages at which a refusal is about the message itself.
const CONTENT: &[Stage] = &[Data, Message];

/// What says that the sender, not the recipient or this host, is the trouble.
const ABOUT_SENDER: &[&str] =
    &["sender", "from address", "mail from", "from:", "domain", "identity", "address rejected"];

/// The first line that fits counts, so what is special comes before what is general.
pub(super) static TABLE: &[Line] = &[
    only(
        |said| said.relay.tls == TlsMode::None && !said.reply.is_positive(),
        Rule {
            words: &["starttls", "encrypt", "must use tls", "tls required", "requires tls"],
            hint: "the server wants TLS before anything else: set tls = \"starttls\" or \"implicit\"",
            ..ANY
        },
    ),
    rule(Rule { words: USED_UP_WORDS, hint: USED_UP, ..ANY }),
    only(|said| said.relay.api().is_some(), Rule { enhanced: &[x(4, 3, 1)], hint: USED_UP, ..ANY }),
    rule(Rule {
        words: &["unrecognised ip address", "unrecognized ip address", "unauthorized ip address", "allowed ips list"],
        hint: "add this host's address to those that may use the account, in its security settings at {provider}",
        ..ANY
    }),
    rule(Rule {
        stages: &[Auth],
        words: &[
            "account disabled",
            "account is disabled",
            "account suspended",
            "account has been",
            "account is suspended",
            "account locked",
        ],
        hint: "the account at {provider} is closed for sending: log in to its site and see why",
        ..ANY
    }),
    rule(Rule {
        stages: &[Auth],
        words: &["application password", "authorization code", "access rights to this service"],
        hint: "{provider} wants an app password here, and SMTP allowed in the mailbox's settings: the account's own \
               password is for its site",
        ..ANY
    }),
    only(
        |said| said.reply.is_transient(),
        Rule { stages: &[Auth], hint: "{provider} did not check the password and asks you to wait", ..ANY },
    ),
    // Google's code for a signature is Microsoft's for a tenant that takes no passwords.
    rule(Rule { enhanced: &[x(5, 7, 30)], words: ABOUT_RECORDS, hint: RECORDS, ..ANY }),
    made(is_about_login, ANY, login::refused),
    made(lacks_permission, ANY, |said| Some(login::for_permission(said.relay))),
    made(|said| of_provider(said).is_some(), ANY, of_provider),
    // Accounts that write as themselves only.
    made(
        |_| true,
        Rule {
            words: &[
                "sender address is not allowed",
                "relaying disallowed",
                "not owned by user",
                "not owned by auth user",
                "not authorised to send from this header",
                "not one of your addresses",
                "mail from must equal authorized user",
                "not local sender over smtp",
            ],
            ..ANY
        },
        |said| Some(login::own_address(said.relay)),
    ),
    only(
        |said| said.relay.smtp_login().is_none() && said.relay.api().is_none(),
        Rule {
            words: &["unauthenticated senders", "not logged in", "authentication required", "without authentication"],
            hint: "this relay requires a login: set username and password",
            ..ANY
        },
    ),
    rule(Rule { words: &["inactive recipient", "marked as inactive", "suppress"], hint: SUPPRESSED, ..ANY }),
    rule(Rule {
        words: &["unusual rate of unsolicited mail", "[tss0", "unexpected volume or user complaints"],
        hint: "the recipient's side distrusts what comes from here at present: send less for a while, and see \
               {provider}'s log for complaints",
        ..ANY
    }),
    rule(Rule { enhanced: &[x(5, 7, 25), x(4, 7, 25)], hint: NAMELESS, ..ANY }),
    rule(Rule { words: &["ptr record", "reverse hostname", "reverse dns"], hint: NAMELESS, ..ANY }),
    rule(Rule {
        words: &["invalid dns mx or a"],
        hint: "the sender's domain has neither an MX nor an address record: set `from` to a domain that receives mail",
        ..ANY
    }),
    rule(Rule {
        words: &["pipelining", "synchronization error", "synchronisation error", "protocol error"],
        hint: "this server does not take several commands at once: set pipelining = false on this relay",
        ..ANY
    }),
    rule(Rule {
        stages: &[StartTls],
        hint: "the server cannot begin TLS now: use its port with TLS from the start, often 465, or ask its operator",
        ..ANY
    }),
    rule(Rule {
        words: &["greylist", "graylist", "grey-list"],
        hint: "the server asks to come back later: send the message again in a few minutes",
        ..ANY
    }),
    rule(Rule {
        stages: &[Greeting, Ehlo],
        words: &["block", "spamhaus", "blacklist", "listed", "reputation"],
        hint: BLOCKED,
        ..ANY
    }),
    rule(Rule {
        stages: &[MailFrom, RcptTo],
        words: &[
            "banned sending ip",
            "blocklist",
            "block list",
            "spamhaus",
            "blacklist",
            "client host",
            "dnsbl",
            "poor reputation",
        ],
        hint: BLOCKED,
        ..ANY
    }),
    rule(Rule {
        enhanced: &[x(4, 5, 3), x(5, 5, 3)],
        hint: "this is too many recipients for one message: send it to fewer at a time",
        ..ANY
    }),
    rule(Rule {
        codes: &[452, 552, 550, 554],
        words: &["too many recipients", "too many rcpt", "recipient limit"],
        hint: "this is too many recipients for one message: send it to fewer at a time",
        ..ANY
    }),
    rule(Rule { words: &["mailbox full", "mailbox is full", "over quota"], ..ANY }),
    rule(Rule {
        enhanced: &[x(5, 2, 3)],
        hint: "the message is larger than this recipient's mailbox takes: link to large files instead of attaching them",
        ..ANY
    }),
    // X.2.z is about the recipient's mailbox (RFC 3463 3.3): full or disabled, and nothing to do here.
    only(
        |said| said.reply.enhanced().is_some_and(|code| code.subject == 2 && code.class >= 4),
        Rule { hint: "", ..ANY },
    ),
    only(
        is_about_size,
        Rule {
            hint: "the message is larger than this relay accepts: link to large files instead of attaching them",
            ..ANY
        },
    ),
    // Google slows down what it does not believe, and says so by way of a rate.
    rule(Rule { enhanced: &[x(4, 7, 26)], hint: RECORDS, ..ANY }),
    only(|said| said.reply.is_transient(), Rule { words: ABOUT_RECORDS, hint: RECORDS, ..ANY }),
    rule(Rule {
        words: &[
            "limit exceeded",
            "quota exceeded",
            "throttl",
            "rate limit",
            "too many messages",
            "too many emails",
            "emails per hour",
            "sending limit",
        ],
        hint: LIMITED,
        ..ANY
    }),
    only(
        |said| said.reply.is_transient(),
        Rule { words: &[" rate", "too many", "limit", "quota"], hint: LIMITED, ..ANY },
    ),
    only(
        |said| said.relay.smtp_login().is_none(),
        Rule {
            stages: &[RcptTo],
            words: NO_RELAYING,
            hint: "this relay requires a login: set username and password",
            ..ANY
        },
    ),
    rule(Rule {
        stages: &[RcptTo],
        words: NO_RELAYING,
        hint: "the login was accepted but may not relay: ask the server's operator",
        ..ANY
    }),
    rule(Rule { enhanced: &[x(4, 7, 1)], hint: LIMITED, ..ANY }),
    rule(Rule {
        words: &[
            "not verified",
            "unverified",
            "not authorized to send from",
            "not allowed to send from",
            "sender address rejected: not owned",
            "unconfigured sending domain",
            "sender signature",
            "does not match a verified sender",
            "sender not allowed",
            "domain is not verified",
            "must be verified",
        ],
        hint: UNVERIFIED,
        ..ANY
    }),
    rule(Rule { enhanced: UNPROVEN, hint: RECORDS, ..ANY }),
    only(|said| said.reply.is_permanent(), Rule { words: ABOUT_RECORDS, hint: RECORDS, ..ANY }),
    rule(Rule {
        stages: &[Auth],
        enhanced: &[x(5, 3, 5)],
        hint: "{provider} has no such account, domain or region: check what this relay says of them",
        ..ANY
    }),
    rule(Rule {
        stages: &[Auth],
        hint: "{provider} knows the key, and its account may not send this: see there whether it is suspended, unpaid, \
               in test mode, or the key lacks the permission",
        ..ANY
    }),
    rule(Rule { stages: &[MailFrom], codes: &[550, 551, 553, 554], words: ABOUT_SENDER, hint: UNVERIFIED, ..ANY }),
    rule(Rule {
        stages: &[MailFrom],
        codes: &[550, 551, 553, 554],
        hint: "{provider} accepts nothing from this sender or this host: the reply's text says which; for the sender, \
               set `from` to an address verified there",
        ..ANY
    }),
    rule(Rule {
        stages: CONTENT,
        codes: &[552],
        enhanced: &[x(5, 7, 0)],
        hint: "{provider} blocks something in the message, often an attached program or archive: link to it instead",
        ..ANY
    }),
    rule(Rule {
        stages: CONTENT,
        codes: &[550, 554],
        hint: "{provider} refuses this message itself, often as spam: look at the reply's text, at its links and \
               attachments, and at the sender's domain",
        ..ANY
    }),
    rule(Rule {
        stages: &[RcptTo],
        codes: &[550, 551, 553, 554],
        enhanced: &[x(5, 1, 1), x(5, 1, 0), x(5, 1, 2), x(5, 1, 3), x(5, 1, 6), x(5, 1, 10)],
        hint: NO_MAILBOX,
        ..ANY
    }),
    rule(Rule {
        stages: &[RcptTo],
        codes: &[550, 551, 553, 554],
        // Microsoft's words for it where a tenant knows its recipients.
        words: &[
            "recipient address rejected: access denied",
            "no such user",
            "user unknown",
            "unknown user",
            "not exist",
            "no mailbox",
            "mailbox unavailable",
        ],
        hint: NO_MAILBOX,
        ..ANY
    }),
];

/// What says that a quota or paid credits are at their end, whatever the code.
const USED_UP_WORDS: &[&str] = &[
    "credits exceeded",
    "credits expired",
    "not enough credits",
    "email limit is reached",
    "daily message quota",
    "messaging limits",
    "quota limit",
];

const USED_UP: &str = "the quota at {provider} is used up: wait for the next period, or raise the plan there";

const SUPPRESSED: &str = "{provider} sends nothing to this recipient, as mail to it bounced or was complained of: take it \
                          off the list of suppressions there once it works";

const NAMELESS: &str = "the address that sends has no name (PTR record): send through a provider's submission server with \
                        a login, or have the record set where the address is rented";

const BLOCKED: &str =
    "the server refuses this host's address: use its submission port with a login, or ask its operator";

const LIMITED: &str = "{provider} is limiting how fast this account sends: wait, or raise the plan";

const RECORDS: &str = "set the SPF, DKIM and DMARC records for the sender's domain as {provider} lists them: `mailchute \
                       check` says which are wrong";

/// What says that nothing proves whose the message is: RFC 7372, and of Microsoft what refuses for DMARC (509) and what
/// wants all three of whoever sends much (515).
const UNPROVEN: &[Enhanced] =
    &[x(5, 7, 20), x(5, 7, 21), x(5, 7, 22), x(5, 7, 23), x(5, 7, 24), x(5, 7, 26), x(5, 7, 509), x(5, 7, 515)];

/// The words of those that use another code.
const ABOUT_RECORDS: &[&str] = &[
    "dmarc",
    "dkim",
    "spf ",
    "spf:",
    "spf=",
    "spf-",
    "sender policy framework",
    "unauthenticated email",
    "not aligned",
    "alignment",
    "required authentication level",
];

const UNVERIFIED: &str = "verify this sender or its domain at {provider}, or set `from` to an ADDRESS that is verified, and \
                          set sender = [\"ADDRESS\"] and other_sender = \"rewrite\"";

const NO_MAILBOX: &str = "check how the recipient's address is spelt: there is no such mailbox";

const NO_RELAYING: &[&str] =
    &["relay access denied", "relaying denied", "relay not permitted", "not permitted to relay", "unable to relay"];

/// Whether it is the login that is refused: an API also refuses accounts that it knows.
fn is_about_login(said: &Said<'_>) -> bool {
    said.reply.is_authentication() || (said.stage == Auth && said.relay.api().is_none())
}

/// What the provider's own hints say.
fn of_provider(said: &Said<'_>) -> Option<String> {
    said.of_provider()
}

/// Whether the reply is what the API says of a token that may not send.
fn lacks_permission(said: &Said<'_>) -> bool {
    let server = said.relay.provider.and_then(|provider| provider.authorization);
    server.is_some_and(|server| server.no_permission.iter().any(|word| said.text.contains(word)))
}

/// Whether it is the size of the message that is refused.
fn is_about_size(said: &Said<'_>) -> bool {
    let enhanced = said.reply.enhanced();
    let is_about_mail_system = enhanced.is_none_or(|code| code.subject == 3);
    is_about_mail_system
        && (matches!(said.reply.code(), 552 | 523) || enhanced.is_some_and(|code| code.detail == 4 && code.class >= 4))
}
