//! iCloud Mail: by SMTP.

use super::preset::{Provider, Published, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "icloud",
    name: "iCloud Mail",
    host: "smtp.mail.me.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    published: Some(&PUBLISHED),
    ..Provider::PRESET
};

static PUBLISHED: Published = Published {
    source: "the domains it gives addresses at",
    own: &["icloud.com", "me.com", "mac.com"],
    ..Published::PRESET
};
