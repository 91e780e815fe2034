//! `relay`: the server that mail is handed to, and how.

use super::Setup;
use super::grammar::{Sort, Word};
use crate::failure::Failure;
use crate::import::draft::code::{CERTIFICATE, LOOKUP, PASSWORD, PLACEHOLDER, TLS_MODE, UNKNOWN, UNUSED};
use crate::import::draft::ledger::Id;
use crate::import::draft::placeholder::is_placeholder;
use crate::import::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use crate::import::source::Inquiry;

/// What stands behind `relay`.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) id: Id,
    pub(super) host: Option<Word>,
    pub(super) mail_from: Option<String>,
    auth: Option<Word>,
    helo: Option<Word>,
    source: Option<Word>,
    pki: Option<String>,
    ca: Option<String>,
    /// TLS is required whatever the URL says.
    is_tls: bool,
    verifies: bool,
}

impl Hop {
    /// Reads the options. `None`: one of them is not known, or has no value.
    pub(super) fn read(words: &[Word], is_new: bool, id: Id, draft: &mut Draft) -> Option<Self> {
        let mut hop = Self {
            id,
            host: None,
            mail_from: None,
            auth: None,
            helo: None,
            source: None,
            pki: None,
            ca: None,
            is_tls: false,
            verifies: is_new,
        };
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            match word.text.as_str() {
                "host" | "via" => hop.host = Some(words.next()?.clone()),
                "auth" => hop.auth = Some(words.next()?.clone()),
                "helo" | "hostname" => hop.helo = Some(words.next()?.clone()),
                "mail-from" | "as" => hop.mail_from = Some(words.next()?.text.clone()),
                "src" | "source" => hop.source = Some(words.next()?.clone()),
                "pki" | "certificate" => hop.pki = Some(words.next()?.text.to_lowercase()),
                "ca" => hop.ca = Some(words.next()?.text.to_lowercase()),
                "verify" => hop.verifies = true,
                "tls" => {
                    hop.is_tls = true;
                    if words.next_if(|word| word.is("no-verify")).is_some() {
                        hop.verifies = false;
                        let why = "OpenSMTPD does not verify the certificate; mailchute always does. If it is the server's own, \
                                   add fingerprint = \"...\" or ca_file = \"...\"";
                        draft.ledger.say(id, &CERTIFICATE, why);
                    }
                }
                "helo-src" | "hostnames" | "domain" => {
                    words.next()?;
                    draft.ledger.say(id, &LOOKUP, "what depends on a table for each message is not carried");
                }
                "filter" => {
                    words.next()?;
                    draft.ledger.say(id, &UNKNOWN, super::FILTERED);
                }
                "backup" => {
                    if words.next_if(|word| word.is("mx")).is_some() {
                        words.next()?;
                    }
                    draft.ledger.say(id, &UNKNOWN, "mailchute is no backup for a domain");
                }
                "ciphers" | "protocols" | "ttl" | "expire" => {
                    words.next()?;
                    draft.drop(id, "ciphers, versions and times to live are not said here");
                }
                "srs" => draft.drop(id, "nothing is forwarded here"),
                _ => return None,
            }
        }
        Some(hop)
    }
}

/// A server as `[SCHEME://[LABEL@]]HOST[:PORT]`.
struct Url {
    tls: TlsUse,
    is_lmtp: bool,
    /// An older word for TLS in whatever way the server has.
    is_either: bool,
    label: Option<String>,
    host: String,
    port: u16,
}

impl Url {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("smtp", text));
        let scheme = scheme.to_ascii_lowercase();
        let scheme = scheme.strip_suffix("+auth").unwrap_or(&scheme);
        let (tls, mut port) = match scheme {
            "smtp" => (TlsUse::Opportunistic, 25),
            "smtp+tls" | "tls" => (TlsUse::StartTls, 25),
            "smtp+notls" => (TlsUse::None, 25),
            "lmtp" => (TlsUse::None, 0),
            "smtps" | "secure" | "ssl" => (TlsUse::Implicit, 465),
            _ => return None,
        };
        let (label, place) = rest.split_once('@').map_or((None, rest), |(label, place)| (Some(label), place));
        let (host, behind) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, behind)) => (host, behind),
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        if let Some(number) = behind.strip_prefix(':') {
            port = number.parse().ok()?;
        }
        let label = label.map(str::to_lowercase);
        let is_clear = matches!(tls, TlsUse::Opportunistic | TlsUse::None);
        if host.is_empty() || port == 0 || (label.is_some() && is_clear) {
            return None;
        }
        let is_either = matches!(scheme, "secure" | "ssl");
        let tls = if is_either && port != 465 { TlsUse::StartTls } else { tls };
        Some(Self { tls, is_lmtp: scheme == "lmtp", is_either, label, host: host.to_owned(), port })
    }
}

impl Setup {
    /// Makes the relays of `hop`, and returns their names.
    ///
    /// # Errors
    /// A table cannot be read, or what it has is no server.
    pub(super) fn relays(
        &self,
        asked: &Inquiry<'_>,
        hop: &Hop,
        ids: &[Id; 2],
        draft: &mut Draft,
    ) -> Result<Vec<String>, Failure> {
        let Some(host) = &hop.host else { return Ok(Vec::new()) };
        let logins = match &hop.auth {
            Some(table) => self.tables.rows(asked, table, hop.id, draft)?,
            None => Vec::new(),
        };
        let mut names = Vec::new();
        for row in self.tables.rows(asked, host, ids[1], draft)? {
            let place = draft.ledger.item(row.from[0]).place();
            let Some(url) = Url::read(&row.key) else {
                let why = "smtpd refuses the server here: it is not [smtp+tls://[LABEL@]]HOST[:PORT], or has a label without TLS";
                return Err(Failure::new(crate::failure::Kind::Data, place, why));
            };
            let name = match url.label.as_deref() {
                Some(label) if !is_placeholder(label) => label.to_owned(),
                _ => "relay".to_owned(),
            };
            if is_placeholder(&url.host) {
                draft.say_all_of(&row.from, &PLACEHOLDER, "looks like what a template has in its place");
            }
            let mut smarthost = Smarthost::new("OpenSMTPD", &name, Said { value: url.host, from: row.from.clone() });
            smarthost.port = Some(Said { value: url.port, from: row.from.clone() });
            let tls = if hop.is_tls && url.tls == TlsUse::Opportunistic { TlsUse::StartTls } else { url.tls };
            if url.is_either {
                draft.say_all_of(&row.from, &TLS_MODE, "OpenSMTPD tries both ways of TLS; here it is that of the port");
            }
            smarthost.verifies = hop.verifies && tls != TlsUse::Opportunistic;
            smarthost.tls = Said { value: tls, from: row.from.clone() };
            if url.is_lmtp {
                smarthost.more.push(("protocol", Said { value: Written::from("lmtp"), from: row.from.clone() }));
            }
            self.options(asked, hop, &mut smarthost, draft)?;
            if let Some(label) = &url.label {
                let mut found = logins.iter().filter(|login| login.key.eq_ignore_ascii_case(label));
                match found.next() {
                    Some(login) => {
                        let (user, password) = login.value.split_once(':').unwrap_or(("", &login.value));
                        if is_placeholder(user) || is_placeholder(password) {
                            draft.say_all_of(&login.from, &PLACEHOLDER, "looks like what a template has in its place");
                        }
                        smarthost.username = Some(Said { value: user.to_owned(), from: login.from.clone() });
                        let from = login.from.clone();
                        smarthost.secret = Some(match password.is_empty() {
                            true => Said { value: Written::Wanted, from },
                            false => Said { from, ..secret(password, login.from[0]) },
                        });
                    }
                    None => draft.ledger.say(hop.id, &PASSWORD, "no table has a login under the label of the server"),
                }
            }
            if let Table::Relay(name) = draft.relay(smarthost) {
                names.push(name);
            }
        }
        for login in &logins {
            for id in &login.from {
                if draft.ledger.is_open(*id) {
                    draft.ledger.say(*id, &UNUSED, "no server is named with this label");
                }
            }
        }
        if names.is_empty() {
            let place = draft.ledger.item(hop.id).place();
            return Err(Failure::new(
                crate::failure::Kind::Data,
                place,
                "the servers of this action are not known here",
            ));
        }
        Ok(names)
    }

    /// What does not depend on the server.
    fn options(
        &self,
        asked: &Inquiry<'_>,
        hop: &Hop,
        smarthost: &mut Smarthost,
        draft: &mut Draft,
    ) -> Result<(), Failure> {
        match &hop.helo {
            Some(word) if word.sort == Sort::Table => {
                draft.ledger.say(hop.id, &LOOKUP, "the name that is said to a server is one for all messages here");
            }
            Some(word) => smarthost.more.push(("helo", Said::new(Written::from(word.text.as_str()), hop.id))),
            None => {}
        }
        if let Some(word) = &hop.source
            && let Some(row) = self.tables.rows(asked, word, hop.id, draft)?.first()
        {
            smarthost.more.push(("source", Said { value: Written::from(row.key.as_str()), from: row.from.clone() }));
        }
        if let Some([Some(cert), key]) = hop.pki.as_ref().and_then(|name| self.certificates.get(name)) {
            let key = key.as_ref().unwrap_or(cert);
            let value = Written::Certificate(cert.value.clone(), key.value.clone());
            smarthost.more.push(("client_cert", Said { value, from: [cert.from.clone(), key.from.clone()].concat() }));
        }
        if let Some(file) = hop.ca.as_ref().and_then(|name| self.authorities.get(name)) {
            draft.ca_file(smarthost, file.clone());
        }
        Ok(())
    }
}
