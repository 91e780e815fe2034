//! Proton Mail: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "proton",
    name: "Proton Mail",
    aliases: &["protonmail"],
    host: "smtp.protonmail.ch",
    ports: &[starttls(587)],
    secrets: &["token", "password"],
    notes: &["token is an SMTP submission token"],
    unverified: &["AUTH mechanisms", "which plans have submission tokens", "limits"],
    ..Provider::PRESET
};
