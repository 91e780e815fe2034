//! Emailit: by SMTP.

use super::preset::{Provider, UserName, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "emailit",
    name: "Emailit",
    host: "smtp.emailit.com",
    ports: &[starttls(587)],
    username: UserName::Word("emailit"),
    secrets: &["api_key", "password"],
    unverified: &["STARTTLS on 587", "AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
