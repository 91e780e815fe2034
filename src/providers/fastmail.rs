//! Fastmail: by SMTP.

use super::preset::{Bounce, Include, Key, Provider, Published, Sure, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "fastmail",
    name: "Fastmail",
    host: "smtp.fastmail.com",
    ports: &[implicit(465)],
    secrets: &["app_password", "password"],
    notes: &["username is the full address, the secret an app password"],
    unverified: &["STARTTLS on 587", "limits"],
    published: Some(&PUBLISHED),
    ..Provider::PRESET
};

static PUBLISHED: Published = Published {
    sure: Sure::High,
    source: "five public notes, four after the vendor's page",
    keys: &[&[
        Key::alias("fm1", "fm1.{domain}.dkim.fmhosted.com"),
        Key::alias("fm2", "fm2.{domain}.dkim.fmhosted.com"),
        Key::alias("fm3", "fm3.{domain}.dkim.fmhosted.com"),
    ]],
    spf: Include::needed("spf.messagingengine.com", &[]),
    bounce: Bounce::AT_DOMAIN,
    own: &["fastmail.com", "fastmail.fm"],
    exchanges: &["in{n}-smtp.messagingengine.com"],
    shown: "Settings > Domains at Fastmail",
    ..Published::PRESET
};
