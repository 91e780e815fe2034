//! One.com: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "onecom",
    name: "One.com",
    aliases: &["one.com"],
    host: "send.one.com",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
