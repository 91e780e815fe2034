//! Infobip: by SMTP.

use super::preset::{Provider, UserName, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "infobip",
    name: "Infobip",
    host: "smtp-api.infobip.com",
    ports: &[starttls(587)],
    username: UserName::Word("App"),
    secrets: &["api_key", "password"],
    unverified: &["STARTTLS on 587", "AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
