//! sendmail: `/etc/mail/sendmail.mc` (cf/README), read without m4, and the texts of the tables that it names. What is made of
//! it, sendmail.cf, is a program of its own and is not read.

mod authinfo;
mod m4;
mod remainder;

use std::path::Path;

use self::authinfo::Login;
use self::m4::{Call, Macros, calls, is_computed};
use super::draft::code::{
    COMPUTED, IMPLIED, LOCAL_DELIVERY, LOOKUP, MISREAD, PLACEHOLDER, PORT, PROTOCOL, REVERSE_PATH, TLS_MODE, UNUSED,
};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program, local};
use crate::config::relay::Mechanism;
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "sendmail",
    title: "sendmail",
    files: "/etc/mail/sendmail.mc and the tables that it names, not sendmail.cf",
    find,
    read,
};

const MAIN: &str = "/etc/mail/sendmail.mc";
const MADE: &str = "/etc/mail/sendmail.cf";

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    super::of_everybody(root, &[MAIN])
}

/// What the file calls, with the macros of its own.
struct Setup<'a> {
    asked: &'a Inquiry<'a>,
    calls: Vec<(Call, Id)>,
    macros: Macros,
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let source = source(asked)?;
    let mut macros = Macros::default();
    let calls = calls(&source, &mut macros)?;
    let note = |call: Call, draft: &mut Draft| {
        let key = match call.name.as_str() {
            "define" | "FEATURE" | "MAILER" => call.text(0).unwrap_or(&call.name).to_owned(),
            name => name.to_owned(),
        };
        let id = draft.ledger.read(&source.path, call.line, key);
        (call, id)
    };
    let calls = calls.into_iter().filter(is_setting).map(|call| note(call, draft)).collect();
    let setup = Setup { asked, calls, macros };
    if let Some((call, _)) = setup.feature("msp") {
        let why = "this is the file of the program that hands mail to the server (submit.mc), and not the server's";
        return Err(wrong(&source.path, call.line, why).hint(format!("name the other one: `{MAIN}`")));
    }
    let hub = setup
        .feature("nullclient")
        .map(|(call, id)| (call.text(1).and_then(|text| setup.macros.expanded(text)).unwrap_or_default(), *id));
    let smart_host = match &hub {
        Some((host, id)) => Some(Said::new(host.clone(), *id)),
        None => setup.value("SMART_HOST", draft).filter(|said| !said.value.is_empty()),
    };
    let Some(smart_host) = smart_host else {
        let why = "there is no SMART_HOST: sendmail delivers to the recipients' servers itself, and mailchute hands mail to one \
                   provider; there is nothing to import";
        return Err(Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("choose a provider: `mailchute providers` lists them"));
    };
    setup.relays(&smart_host, draft)?;
    let hub = hub.map(|(host, id)| Said::new(host.trim_matches(['[', ']']).to_owned(), id));
    setup.sender(hub.as_ref(), draft)?;
    setup.names(hub.is_some(), draft)?;
    setup.rest(draft);
    super::queue(draft, "sendmail", "the queue (mailq)");
    Ok(())
}

/// The file, which is not the one that is made of it.
fn source(asked: &Inquiry<'_>) -> Result<SourceFile, Failure> {
    let made = |path: &Path| {
        Failure::new(Failing::Data, path.display().to_string(), "is made from sendmail.mc, and is not read")
            .hint(format!("name the .mc file: `mailchute import sendmail {MAIN}`"))
    };
    if asked.files.is_empty() && !asked.root.has_file(Path::new(MAIN)) && asked.root.has_file(Path::new(MADE)) {
        return Err(made(Path::new(MADE)));
    }
    let source = asked.main(MAIN)?;
    let is_made =
        |line: &str| line.starts_with("Mlocal,") || line.starts_with("V10/") || line.starts_with("O AliasFile=");
    match source.text.lines().any(is_made) {
        true => Err(made(&source.path)),
        false => Ok(source),
    }
}

/// Whether a call says anything: what m4 is told about itself does not.
fn is_setting(call: &Call) -> bool {
    let is_word =
        |name: &str| name.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'_' || octet.is_ascii_digit());
    let is_own = matches!(call.name.as_str(), "define" | "undefine" | "include" | "sinclude");
    is_own
        || is_computed(&call.name)
        || (is_word(&call.name) && (!call.arguments.is_empty() || call.name.starts_with("LOCAL_")))
}

impl Setup<'_> {
    /// The call of a feature.
    fn feature(&self, name: &str) -> Option<&(Call, Id)> {
        self.calls.iter().rev().find(|(call, _)| call.name == "FEATURE" && call.text(0) == Some(name))
    }

    /// What a macro is defined as in the end, with the file's other macros in it; `None`: it is not, or m4 computes it.
    fn value(&self, name: &str, draft: &mut Draft) -> Option<Said<String>> {
        let is_about = |call: &Call| call.text(0) == Some(name) && matches!(call.name.as_str(), "define" | "undefine");
        let (call, id) = self.calls.iter().rev().find(|(call, _)| is_about(call))?;
        if call.name == "undefine" {
            return None;
        }
        let value = match call.arguments.get(1) {
            None => Some(String::new()),
            Some(text) => text.as_deref().and_then(|text| self.macros.expanded(text)),
        };
        match value.filter(|text| !text.contains("$m") && !text.contains("$j") && !text.contains("$w")) {
            Some(text) => Some(Said::new(text, *id)),
            None => {
                draft.ledger.say(*id, &COMPUTED, "it depends on what m4 or sendmail computes");
                None
            }
        }
    }

    /// The table of a feature: `hash -o /etc/mail/NAME`.
    fn table(&self, name: &str, draft: &mut Draft) -> Result<Option<SourceFile>, Failure> {
        let Some((call, id)) = self.feature(name) else { return Ok(None) };
        let usual = format!("hash /etc/mail/{name}");
        let spec = match call.arguments.get(1) {
            None => Some(usual.clone()),
            Some(text) => text
                .as_deref()
                .and_then(|text| self.macros.expanded(text))
                .filter(|text| !text.is_empty())
                .or(Some(usual)),
        };
        let spec = spec.unwrap_or_default();
        let path = spec.split_whitespace().last().unwrap_or_default();
        let path = path.strip_suffix(".db").unwrap_or(path);
        if !path.starts_with('/') {
            draft.ledger.say(*id, &LOOKUP, "that kind of table is not read");
            return Ok(None);
        }
        let source = match self.asked.files.is_empty() {
            true => self.asked.find(Path::new(path))?,
            false => self.asked.beside(path)?,
        };
        match &source {
            Some(_) => draft.ledger.carry(&[*id]),
            None => draft.ledger.say(*id, &LOOKUP, format!("{path} does not exist as text")),
        }
        Ok(source)
    }

    /// Makes the relays: `[MAILER:]HOST`, or several hosts apart by colons.
    fn relays(&self, smart_host: &Said<String>, draft: &mut Draft) -> Result<(), Failure> {
        let text = smart_host.value.trim();
        let (mailer, hosts) = match text.split_once(':') {
            Some((mailer, hosts)) if mailer.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') => {
                (mailer, hosts)
            }
            _ => ("relay", text),
        };
        let arguments = match mailer {
            "relay" | "smtp" | "esmtp" | "smtp8" | "dsmtp" => format!("{}_MAILER_ARGS", mailer.to_uppercase()),
            _ => {
                draft.say_all_of(&smart_host.from, &PROTOCOL, "that mailer is not SMTP; the host is taken");
                String::new()
            }
        };
        let arguments = self.mailer_arguments(&arguments, draft);
        let words: Vec<&str> =
            arguments.as_ref().map(|said| said.value.split_whitespace().collect()).unwrap_or_default();
        let fixed = words.get(1).filter(|word| **word != "$h").map(|word| (*word).to_owned());
        let port = match words.get(2).copied() {
            None | Some("smtp") => 25,
            Some("submission") => 587,
            Some("smtps" | "submissions") => 465,
            Some(number) => number.parse().unwrap_or_else(|_| {
                let ids = arguments.as_ref().map(|said| said.from.clone()).unwrap_or_default();
                draft.say_all_of(&ids, &PORT, "that service is not known here, and 25 is taken");
                25
            }),
        };
        let logins = match self.feature("authinfo") {
            Some(_) => self.table("authinfo", draft)?,
            None => self.table("access_db", draft)?,
        };
        let logins = logins.map(|source| authinfo::logins(&source, draft)).unwrap_or_default();
        let from = [smart_host.from.clone(), arguments.map(|said| said.from).unwrap_or_default()].concat();
        for (at, host) in split_hosts(&fixed.unwrap_or_else(|| hosts.to_owned())).into_iter().enumerate() {
            let name = if at == 0 { "smarthost".to_owned() } else { format!("smarthost-{}", at + 1) };
            self.relay(&name, &host, port, &from, &logins, draft);
        }
        authinfo::settle(&logins, draft);
        Ok(())
    }

    /// `TCP $h 587`, which has to be said before the mailer.
    fn mailer_arguments(&self, name: &str, draft: &mut Draft) -> Option<Said<String>> {
        let is_mailer = |(call, _): &(Call, Id)| call.name == "MAILER" && call.text(0) == Some("smtp");
        let end = self.calls.iter().position(is_mailer).unwrap_or(self.calls.len());
        let is_it = |(call, _): &&(Call, Id)| call.name == "define" && call.text(0) == Some(name);
        for (_, id) in self.calls[end..].iter().filter(is_it) {
            draft.ledger.say(*id, &MISREAD, "it stands behind MAILER(`smtp'), has no effect there, and is not taken");
        }
        let (call, id) = self.calls[..end].iter().rev().find(is_it)?;
        match call.text(1).and_then(|text| self.macros.expanded(text)) {
            Some(text) => Some(Said::new(text, *id)),
            None => {
                draft.ledger.say(*id, &COMPUTED, "it depends on what m4 or sendmail computes");
                None
            }
        }
    }

    fn relay(&self, name: &str, host: &str, port: u16, from: &[Id], logins: &[Login], draft: &mut Draft) {
        let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let plain = inside.unwrap_or(host).trim_end_matches('.').to_owned();
        if is_placeholder(&plain) {
            draft.say_all_of(from, &PLACEHOLDER, "looks like what a template has in its place");
        } else if inside.is_none() && plain.parse::<std::net::IpAddr>().is_err() {
            let why = format!(
                "without brackets sendmail asks DNS which servers take mail for {plain}; here it is that host itself"
            );
            draft.say_all_of(from, &PORT, &why);
        }
        let mut smarthost = Smarthost::new("sendmail", name, Said { value: plain.clone(), from: from.to_vec() });
        smarthost.port = Some(Said { value: port, from: from.to_vec() });
        smarthost.tls = Said { value: TlsUse::Opportunistic, from: from.to_vec() };
        smarthost.verifies = false;
        if port == 465 {
            smarthost.tls.value = TlsUse::Implicit;
            let why = "sendmail asks for STARTTLS on 465, where TLS begins at once; that is done here";
            draft.say_all_of(from, &TLS_MODE, why);
        }
        authinfo::give(logins, &plain, &mut smarthost, draft);
        if let Some(Said { value, from }) = self.value("confAUTH_MECHANISMS", draft) {
            let is_known = |word: &&str| {
                *word != "EXTERNAL" && Mechanism::ALL.iter().any(|(name, _)| name.eq_ignore_ascii_case(word))
            };
            let words: Vec<String> = value.split_whitespace().filter(is_known).map(str::to_owned).collect();
            draft.say_all_of(&from, &IMPLIED, "");
            if smarthost.auth.value.is_empty() && smarthost.username.is_some() {
                smarthost.auth = Said { value: words, from };
            }
        }
        let name = self.value("confDOMAIN_NAME", draft).filter(|said| !said.value.contains('$'));
        smarthost.more.extend(name.map(|said| ("helo", Said { value: Written::Text(said.value), from: said.from })));
        if let Some(file) = self.value("confCACERT", draft) {
            draft.ca_file(&mut smarthost, file);
        }
        if let (Some(cert), Some(key)) = (self.value("confCLIENT_CERT", draft), self.value("confCLIENT_KEY", draft)) {
            let value = Written::Certificate(cert.value, key.value);
            smarthost.more.push(("client_cert", Said { value, from: [cert.from, key.from].concat() }));
        }
        draft.relay(smarthost);
    }

    /// The sender that programs get who name none, and those that the table has.
    fn sender(&self, hub: Option<&Said<String>>, draft: &mut Draft) -> Result<(), Failure> {
        let person = &self.asked.person.name;
        let masquerade = self.calls.iter().rev().find(|(call, _)| call.name == "MASQUERADE_AS");
        let masquerade = masquerade.and_then(|(call, id)| {
            let name = call.text(0).and_then(|text| self.macros.expanded(text)).filter(|text| !text.contains('$'));
            if name.is_none() {
                draft.ledger.say(*id, &COMPUTED, "it depends on what m4 or sendmail computes");
            }
            name.filter(|name| !name.is_empty()).map(|name| Said::new(name, *id))
        });
        let masquerade = masquerade.or_else(|| hub.cloned());
        let exposed = self.calls.iter().find(|(call, _)| {
            call.name == "EXPOSED_USER"
                && call.text(0).is_some_and(|users| users.split_whitespace().any(|user| user == person))
        });
        let own = self.asked.host_name()?;
        let domain = match (&masquerade, exposed) {
            (Some(said), None) => said.clone(),
            (Some(said), Some((_, id))) => {
                draft.ledger.carry(&said.from);
                Said { value: own, from: vec![*id] }
            }
            (None, _) => Said::own(own),
        };
        let address = format!("{person}@{}", domain.value);
        draft.set(&Table::Top, "domain", domain.value.as_str(), &domain.from);
        draft.set(&Table::Top, "from", address.as_str(), &domain.from);
        let why = format!(
            "sendmail sends from it unless -f says otherwise, with each caller's name; here the From field's address goes first, \
             and {address} where there is none"
        );
        draft.say_all(&domain.from, "sender", &REVERSE_PATH, &why);
        let Some(table) = self.table("genericstable", draft)? else { return Ok(()) };
        let mut sites = Vec::new();
        for (number, line) in table.text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let Some((user, address)) = line.trim().split_once([' ', '\t']) else { continue };
            let id = draft.ledger.read(&table.path, number + 1, user);
            if user.contains('@') || !address.contains('@') {
                draft.ledger.say(id, &LOOKUP, "addresses are not rewritten by tables here");
                continue;
            }
            let site = draft.named(Table::Site, user, &[id]);
            draft.set(&site, "user", Written::List(vec![user.to_owned()]), &[id]);
            draft.set(&site, "from", address.trim(), &[id]);
            sites.push(site);
        }
        if !sites.is_empty() {
            let others = draft.named(Table::Site, "others", &[]);
            draft.set(&Table::Top, "default_site", others.name(), &[]);
            let relays = draft.relays().into_iter().map(str::to_owned).collect();
            draft.set(&others, "relay", Written::List(relays), &[]);
        }
        Ok(())
    }

    /// Aliases, and mail for this host.
    fn names(&self, is_client: bool, draft: &mut Draft) -> Result<(), Failure> {
        if let Some(Said { value, from }) = self.value("ALIAS_FILE", draft) {
            for path in value.split([',', ' ']).filter(|path| path.starts_with('/')) {
                match local::take(self.asked, path, false, draft)? {
                    true => draft.ledger.carry(&from),
                    false => draft.say_all_of(&from, &UNUSED, "that file does not exist"),
                }
            }
        }
        let has_names =
            draft.has(&Table::Alias, "*") || draft.has(&Table::Alias, "root") || self.asked.gives_all_names();
        if !is_client && !has_names {
            let why = "sendmail puts the mail of this host's users into mailboxes; there are none here: say --alias '*=ADDRESS'";
            draft.ledger.remark("local users", &LOCAL_DELIVERY, why);
        }
        Ok(())
    }
}

/// `[a]:[b]`: hosts apart by colons outside of brackets.
fn split_hosts(text: &str) -> Vec<String> {
    let (mut is_inside, mut found) = (false, vec![String::new()]);
    for c in text.chars() {
        is_inside = c == '[' || (is_inside && c != ']');
        match found.last_mut() {
            Some(last) if is_inside || c != ':' => last.push(c),
            _ => found.push(String::new()),
        }
    }
    found.retain(|one| !one.trim().is_empty());
    found
}
