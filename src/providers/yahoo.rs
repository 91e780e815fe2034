//! Yahoo Mail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "yahoo",
    name: "Yahoo Mail",
    host: "smtp.mail.yahoo.com",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    source: the domains it gives addresses at
    own: yahoo.com ymail.com
";
