//! What the domain of the sender's address tells of how its mail is sent. Only the domain is told to anybody.

use super::ask::say;
use crate::cli::init::Init;
use crate::http::autoconfig;
use crate::providers::TlsMode;

/// The domain's own server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    host: String,
    port: u16,
    tls: TlsMode,
    /// It is outside the domain, so that somebody has to say yes to it (RFC 6186 6).
    pub(super) is_foreign: bool,
}

impl Found {
    /// As it is answered to the question.
    pub(super) fn answer(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Fills in the options of it.
    pub(super) fn fill(&self, of: &mut Init) {
        of.host = Some(self.host.clone());
        of.port = Some(self.port);
        self.begin_tls(of);
    }

    /// Says when TLS begins where the port does not.
    pub(super) fn begin_tls(&self, of: &mut Init) {
        let usual = if matches!(self.port, 465 | 2465) { TlsMode::Implicit } else { TlsMode::StartTls };
        if self.tls != usual {
            of.set.push(format!("tls={}", if self.tls == TlsMode::Implicit { "implicit" } else { "starttls" }));
        }
    }
}

/// Looks at `domain`: what it says in the file for mail programs. Tells what it finds.
pub(super) fn look(domain: &str) -> Option<Found> {
    let server = autoconfig::look(domain)?;
    let is_foreign = server.host != domain && !server.host.ends_with(&format!(".{domain}"));
    let found = Found { host: server.host, port: server.port, tls: server.tls, is_foreign };
    let outside = if is_foreign { ", which is outside of it: take it only if you know it" } else { "" };
    say(&format!("   {domain}: names {} for mail programs (autoconfig){outside}", found.answer()));
    Some(found)
}
