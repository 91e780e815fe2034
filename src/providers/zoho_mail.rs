//! Zoho Mail: by SMTP.

use super::preset::{Provider, at, implicit, starttls};

pub(super) static PROVIDER: Provider = Provider {
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
    auth: &["LOGIN", "PLAIN"],
    notes: &[
        "username is the full address; a wrong data centre looks like a wrong password",
        "From must be the account's address or one of its aliases",
    ],
    unverified: &["smtppro.zoho.{region} for mailboxes of an organisation", "size and recipient limits"],
    ..Provider::PRESET
};
