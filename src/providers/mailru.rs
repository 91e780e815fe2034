//! Mail.ru: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "mailru",
    name: "Mail.ru",
    aliases: &["mail.ru"],
    host: "smtp.mail.ru",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    source: the domains it gives addresses at
    own: mail.ru inbox.ru list.ru bk.ru
";
