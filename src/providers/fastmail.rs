//! Fastmail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "fastmail",
    name: "Fastmail",
    host: "smtp.fastmail.com",
    ports: &[implicit(465)],
    secrets: &["app_password", "password"],
    notes: &["username is the full address, the secret an app password"],
    unverified: &["STARTTLS on 587", "limits"],
    ..Provider::PRESET
};
