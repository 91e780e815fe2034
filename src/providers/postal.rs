//! Postal: by SMTP.

use super::preset::{Provider, implicit, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "postal",
    name: "Postal",
    ports: &[starttls(587), implicit(465), starttls(25)],
    notes: &["a server of one's own: host names it"],
    unverified: &["which ports it listens on, and AUTH mechanisms", "its API, which takes the finished message"],
    ..Provider::PRESET
};
