//! Mailomat: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "mailomat",
    name: "Mailomat",
    host: "smtp.mailomat.cloud",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
