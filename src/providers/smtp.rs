//! Any other SMTP server: what a relay without a provider of its own starts from.

use super::preset::{Provider, implicit, starttls};

pub(super) static PROVIDER: Provider = Provider {
    id: "smtp",
    name: "any other SMTP server",
    aliases: &["other", "custom", "generic"],
    ports: &[starttls(587), implicit(465), starttls(25)],
    bearer: true,
    auth: &["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"],
    notes: &["needs host; without provider the default port is 465"],
    ..Provider::PRESET
};
