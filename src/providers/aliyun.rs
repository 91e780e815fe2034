//! Aliyun Mail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "aliyun",
    name: "Aliyun Mail",
    host: "smtp.aliyun.com",
    ports: &[implicit(465)],
    notes: &["a mailbox: Alibaba's DirectMail is another service"],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    ..Provider::PRESET
};
