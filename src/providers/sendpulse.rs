//! SendPulse: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "sendpulse",
    name: "SendPulse",
    host: "smtp-pulse.com",
    ports: &[implicit(465)],
    unverified: &["AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
