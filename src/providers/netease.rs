//! NetEase 163 Mail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "netease",
    name: "NetEase 163 Mail",
    aliases: &["163"],
    host: "smtp.163.com",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
