//! AOL Mail: by SMTP.

use super::preset::{Provider, Published, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "aol",
    name: "AOL Mail",
    host: "smtp.aol.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    published: Some(&PUBLISHED),
    ..Provider::PRESET
};

static PUBLISHED: Published =
    Published { source: "the domains it gives addresses at", own: &["aol.com"], ..Published::PRESET };
