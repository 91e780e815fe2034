//! Maileroo: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "maileroo",
    name: "Maileroo",
    host: "smtp.maileroo.com",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
