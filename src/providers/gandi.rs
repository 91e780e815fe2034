//! Gandi Mail: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "gandi",
    name: "Gandi Mail",
    host: "mail.gandi.net",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
