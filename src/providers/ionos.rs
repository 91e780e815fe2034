//! IONOS: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "ionos",
    name: "IONOS",
    aliases: &["1und1"],
    host: "smtp.1und1.de",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
