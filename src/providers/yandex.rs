//! Yandex Mail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "yandex",
    name: "Yandex Mail",
    host: "smtp.yandex.ru",
    ports: &[implicit(465)],
    unverified: &["whether it wants an app password", "AUTH mechanisms", "limits"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    source: the domains it gives addresses at
    own: yandex.ru yandex.com ya.ru
";
