//! AhaSend: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "ahasend",
    name: "AhaSend",
    host: "send.ahasend.com",
    ports: &[starttls(587)],
    unverified: &["AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
