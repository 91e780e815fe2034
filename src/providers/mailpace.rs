//! MailPace: by SMTP.

use super::preset::{Provider, UserName, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "mailpace",
    name: "MailPace",
    aliases: &["ohmysmtp"],
    host: "smtp.mailpace.com",
    ports: &[starttls(587)],
    username: UserName::Secret,
    secrets: &["token", "password"],
    notes: &["token is user name and password at once"],
    unverified: &["AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
