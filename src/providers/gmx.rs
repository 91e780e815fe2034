//! GMX: by SMTP.

use super::preset::{Provider, Published, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "gmx",
    name: "GMX",
    host: "mail.gmx.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    published: Some(&PUBLISHED),
    ..Provider::PRESET
};

static PUBLISHED: Published = Published {
    source: "the domains it gives addresses at",
    own: &["gmx.com", "gmx.net", "gmx.de", "gmx.at", "gmx.ch", "web.de"],
    ..Published::PRESET
};
