//! Lettermint: by SMTP.

use super::preset::{Provider, UserName, implicit, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "lettermint",
    name: "Lettermint",
    host: "smtp.lettermint.co",
    ports: &[implicit(465), starttls(587)],
    username: UserName::Word("lettermint"),
    secrets: &["token", "password"],
    unverified: &["TLS from the start on 465, STARTTLS on 587", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
