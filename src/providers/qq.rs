//! QQ Mail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "qq",
    name: "QQ Mail",
    host: "smtp.qq.com",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
