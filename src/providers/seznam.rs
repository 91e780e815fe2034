//! Seznam Email: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "seznam",
    name: "Seznam Email",
    host: "smtp.seznam.cz",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
