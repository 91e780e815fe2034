//! iCloud Mail: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "icloud",
    name: "iCloud Mail",
    host: "smtp.mail.me.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    source: the domains it gives addresses at
    own: icloud.com me.com mac.com
";
