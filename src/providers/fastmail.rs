//! Fastmail: by SMTP.

use super::preset::{Provider, implicit};

pub(super) static PROVIDER: Provider = Provider {
    id: "fastmail",
    name: "Fastmail",
    host: "smtp.fastmail.com",
    ports: &[implicit(465)],
    secrets: &["app_password", "password"],
    // fastmail.com/help/clients/apppassword.html.
    found: "Settings, Privacy & Security",
    notes: &["username is the full address, the secret an app password"],
    unverified: &["STARTTLS on 587", "limits"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: five public notes, four after the vendor's page
    key: fm1 -> fm1.{domain}.dkim.fmhosted.com
    and: fm2 -> fm2.{domain}.dkim.fmhosted.com
    and: fm3 -> fm3.{domain}.dkim.fmhosted.com
    spf: needed spf.messagingengine.com
    return-path: {domain}
    own: fastmail.com fastmail.fm
    exchanges: in{n}-smtp.messagingengine.com
    shown: Settings > Domains at Fastmail
";
