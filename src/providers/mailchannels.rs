//! MailChannels: by SMTP.

use super::preset::{Provider, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "mailchannels",
    name: "MailChannels",
    host: "smtp.mailchannels.net",
    ports: &[starttls(587)],
    unverified: &["STARTTLS on 587", "AUTH mechanisms", "other ports", "limits"],
    ..Provider::PRESET
};
