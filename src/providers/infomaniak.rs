//! Infomaniak: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "infomaniak",
    name: "Infomaniak",
    host: "mail.infomaniak.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
