//! AOL Mail: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "aol",
    name: "AOL Mail",
    host: "smtp.aol.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    source: the domains it gives addresses at
    own: aol.com
";
