//! Postfix as a null client: `/etc/postfix/main.cf` and the tables that it names, in their text form.

mod parameters;
mod route;

use self::parameters::Parameters;
use super::draft::code::{CERTIFICATE, IMPLIED, LOCAL_DELIVERY, LOOKUP, NO_COUNTERPART, REVERSE_PATH, SERVER, UNUSED};
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written};
use super::source::{Inquiry, MailUser};
use super::{Importable, Program, local};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "postfix",
    title: "Postfix",
    files: "/etc/postfix/main.cf and the tables that it names",
    find,
    read,
};

const MAIN: &str = "/etc/postfix/main.cf";

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    super::of_everybody(root, &[MAIN])
}

/// What is used of main.cf, gathered.
struct Client<'a> {
    asked: &'a Inquiry<'a>,
    parameters: Parameters,
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let source = asked.main(MAIN)?;
    let parameters = Parameters::read(&source, &mut draft.ledger)?;
    let client = Client { asked, parameters };
    let host = route::relayhost(&client, draft);
    let Some(host) = host else {
        let why = "relayhost is empty: Postfix delivers to the recipients' servers itself, and mailchute hands mail to one \
                   provider; there is nothing to import";
        return Err(Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("choose a provider: `mailchute providers` lists them"));
    };
    route::relays(&client, &host, draft)?;
    client.sender(draft)?;
    client.names(draft)?;
    client.rest(draft);
    super::queue(draft, "Postfix", "the queue (mailq)");
    Ok(())
}

impl Client<'_> {
    fn get(&self, name: &str, draft: &mut Draft) -> Option<Said<String>> {
        let found = self.parameters.get(name, &mut draft.ledger);
        found.filter(|(value, _)| !value.is_empty()).map(|(value, id)| Said::new(value, id))
    }

    /// When TLS begins, and whether certificates are verified.
    fn tls(&self, draft: &mut Draft) -> (Said<TlsUse>, bool) {
        let yes = |name: &str, draft: &mut Draft| self.parameters.is_yes(name, &mut draft.ledger);
        let level = self.get("smtp_tls_security_level", draft);
        let (mut from, level) = match level {
            Some(Said { value, from }) => (from, value),
            None => match (yes("smtp_enforce_tls", draft), yes("smtp_use_tls", draft)) {
                (Some(id), _) => (vec![id], "encrypt".to_owned()),
                (None, Some(id)) => (vec![id], "may".to_owned()),
                (None, None) => (Vec::new(), "none".to_owned()),
            },
        };
        let tls = match level.as_str() {
            "none" => TlsUse::None,
            "may" | "dane" => TlsUse::Opportunistic,
            _ => TlsUse::StartTls,
        };
        if level.contains("fingerprint") {
            draft.say_all(
                &from,
                "tls",
                &CERTIFICATE,
                "add the SHA-256 fingerprint of the certificate: fingerprint = \"...\"",
            );
        }
        let wrapper = yes("smtp_tls_wrappermode", draft);
        from.extend(wrapper);
        let tls = if wrapper.is_some() && tls != TlsUse::None { TlsUse::Implicit } else { tls };
        (Said { value: tls, from }, matches!(level.as_str(), "verify" | "secure" | "dane" | "dane-only"))
    }

    /// A relay at `host` with the login that one of `keys` has among `logins`.
    fn smarthost(&self, name: &str, host: Said<String>, port: u16, draft: &mut Draft) -> Smarthost {
        let (tls, verifies) = self.tls(draft);
        let mut smarthost = Smarthost::new("Postfix", name, host.clone());
        smarthost.port = Some(Said { value: port, from: host.from });
        smarthost.tls = tls;
        smarthost.verifies = verifies;
        if let Some(file) = self.get("smtp_tls_CAfile", draft) {
            draft.ca_file(&mut smarthost, file);
        }
        if let (Some(cert), Some(key)) = (self.get("smtp_tls_cert_file", draft), self.get("smtp_tls_key_file", draft)) {
            let key_path = key.value.replace("$smtp_tls_cert_file", &cert.value);
            let from = [cert.from, key.from].concat();
            smarthost.more.push(("client_cert", Said { value: Written::Certificate(cert.value, key_path), from }));
        }
        if let Some(Said { value, from }) = self.get("smtp_bind_address", draft) {
            smarthost.more.push(("source", Said { value: Written::Text(value), from }));
        }
        let helo = self.get("smtp_helo_name", draft).or_else(|| self.get("myhostname", draft));
        if let Some(Said { value, from }) = helo {
            smarthost.more.push(("helo", Said { value: Written::Text(value), from }));
        }
        if let Some(Said { value, from }) = self.get("smtp_sasl_mechanism_filter", draft) {
            let words = value.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
            let (no, yes): (Vec<&str>, Vec<&str>) =
                words.partition(|word| word.starts_with('!') || word.contains([':', '/']));
            if !no.is_empty() {
                draft.say_all(&from, "", &NO_COUNTERPART, "what is ruled out is not said here, only what is taken");
            }
            smarthost.auth = Said { value: yes.into_iter().map(str::to_owned).collect(), from };
        }
        smarthost
    }

    /// The sender that programs get who name none.
    fn sender(&self, draft: &mut Draft) -> Result<(), Failure> {
        let origin = match self.get("myorigin", draft) {
            Some(Said { value, from }) if value.starts_with('/') => {
                let text = self.asked.line(&value)?;
                if text.is_none() {
                    draft.say_all(&from, "", &UNUSED, "that file does not exist");
                }
                text.map(|value| Said { value, from })
            }
            None => self.get("myhostname", draft),
            found => found,
        };
        let Some(Said { value, from }) = origin else {
            let why = "Postfix sends from the caller's name at this host unless -f says otherwise; here the From field's address goes \
                       first";
            draft.ledger.remark("sender", &REVERSE_PATH, why);
            return Ok(());
        };
        let address = format!("{}@{value}", self.asked.person.name);
        draft.set(&Table::Top, "domain", value.as_str(), &from);
        draft.set(&Table::Top, "from", address.as_str(), &from);
        let why = format!(
            "Postfix sends from it unless -f says otherwise, with each caller's name; here the From field's address goes first, \
             and {address} where there is none"
        );
        draft.say_all(&from, "sender", &REVERSE_PATH, &why);
        Ok(())
    }

    /// Aliases, and mail for this host.
    fn names(&self, draft: &mut Draft) -> Result<(), Failure> {
        if let Some(Said { value, from }) = self.get("alias_maps", draft) {
            for one in value.split([',', ' ']).filter(|one| !one.is_empty()) {
                let path = one.split_once(':').map_or(one, |(_, path)| path);
                match local::take(self.asked, path, false, draft)? {
                    true => draft.ledger.carry(&from),
                    false => draft.say_all(&from, "", &UNUSED, "that file does not exist"),
                }
            }
        }
        let is_null = |text: &str| text.split([',', ' ']).filter(|word| !word.is_empty()).count() == 0;
        if let Some((value, id)) = self.parameters.get("mydestination", &mut draft.ledger) {
            let is_settled = self.asked.gives_all_names() || draft.has(&Table::Alias, "*");
            match is_null(&value) || is_settled {
                true => draft.ledger.imply(id),
                false => {
                    let why = "mail for users of these domains is put into mailboxes of this host; there are none here: say \
                               --alias '*=ADDRESS'";
                    draft.ledger.say(id, &LOCAL_DELIVERY, why);
                }
            }
        }
        let interfaces = self.get("inet_interfaces", draft);
        let is_closed = interfaces.as_ref().is_some_and(|said| {
            let is_here = |word: &str| matches!(word, "loopback-only" | "localhost" | "127.0.0.1" | "::1" | "[::1]");
            said.value.split([',', ' ']).filter(|word| !word.is_empty()).all(is_here)
        });
        if let Some(Said { from, .. }) = interfaces {
            draft.say_all_of(&from, &IMPLIED, "");
        }
        if let Some(Said { value, from }) = self.get("mynetworks", draft) {
            let is_here = |word: &str| word.contains("127.") || word.contains("::1");
            let is_ours = value.split([',', ' ']).filter(|word| !word.is_empty()).all(is_here);
            match is_closed || is_ours {
                true => draft.say_all_of(&from, &IMPLIED, ""),
                false => {
                    let why = "this Postfix also takes mail from other hosts; mailchute is no server: they need their own way out";
                    draft.say_all_of(&from, &SERVER, why);
                }
            }
        }
        Ok(())
    }

    /// What was not asked for until now.
    fn rest(&self, draft: &mut Draft) {
        for (name, id) in self.parameters.all() {
            if !draft.ledger.is_open(id) {
                continue;
            }
            match name {
                _ if TABLES.contains(&name) => {
                    draft.ledger.say(id, &LOOKUP, "addresses are not rewritten by tables here");
                }
                _ if CHANGES.contains(&name) => draft.ledger.say(
                    id,
                    &super::draft::code::UNKNOWN,
                    "it changes or copies messages on their way, which is not done here",
                ),
                _ if name.starts_with("smtpd_") => {
                    draft.ledger.say(id, &UNUSED, "it is about mail that comes in by SMTP");
                }
                "smtp_sasl_security_options"
                | "smtp_sasl_tls_security_options"
                | "smtp_tls_note_starttls_offer"
                | "smtp_tls_CApath"
                | "compatibility_level"
                | "mail_owner"
                | "smtp_tls_session_cache_database"
                | "smtp_tls_loglevel" => draft.ledger.imply(id),
                _ => draft.drop(id, "it is about the queue, the server or its limits"),
            }
        }
    }
}

/// Parameters that rewrite addresses by tables.
const TABLES: &[&str] = &[
    "smtp_generic_maps",
    "sender_canonical_maps",
    "recipient_canonical_maps",
    "canonical_maps",
    "virtual_alias_maps",
    "transport_maps",
    "masquerade_domains",
    "relocated_maps",
    "sender_bcc_maps",
    "recipient_bcc_maps",
    "smtp_tls_policy_maps",
    "sender_dependent_default_transport_maps",
];

/// Parameters that change messages or where they go.
const CHANGES: &[&str] = &[
    "always_bcc",
    "content_filter",
    "header_checks",
    "body_checks",
    "mime_header_checks",
    "smtp_header_checks",
    "smtp_body_checks",
    "non_smtpd_milters",
    "default_transport",
    "relay_transport",
    "smtp_fallback_relay",
    "luser_relay",
];
