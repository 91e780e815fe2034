//! OpenSMTPD: `/etc/smtpd.conf` with the tables that it names (smtpd.conf(5)), in the grammar of `match` and `action`, or in
//! the older one of `accept`.

mod grammar;
mod relay;
mod rules;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use self::grammar::{Macros, Sort, Statement, Word, statements};
use self::relay::Hop;
use self::rules::Rule;
use self::tables::Tables;
use super::draft::code::{ADDRESS, LOCAL_DELIVERY, LOOKUP, QUEUE, REVERSE_PATH, SERVER, UNKNOWN, UNUSED};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Table, Written};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program, local};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "opensmtpd",
    title: "OpenSMTPD",
    files: "/etc/smtpd.conf, /etc/mail/smtpd.conf and the tables that it names",
    find,
    read,
};

/// Where the file is, by distribution.
const MAIN: [&str; 4] =
    ["/etc/smtpd.conf", "/etc/mail/smtpd.conf", "/etc/smtpd/smtpd.conf", "/etc/opensmtpd/smtpd.conf"];

/// How deep files may include each other.
const DEPTH: usize = 4;

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    MAIN.iter().flat_map(|main| super::of_everybody(root, &[main])).take(1).collect()
}

/// What is done with mail.
enum Action {
    /// It is handed to another server.
    Relay(Hop),
    /// It stays here; with the table of aliases.
    Local(Option<String>),
}

/// All that the file says.
#[derive(Default)]
struct Setup {
    tables: Tables,
    actions: BTreeMap<String, (Action, Id)>,
    rules: Vec<(Rule, Id)>,
    /// Certificates and keys by name.
    certificates: BTreeMap<String, [Option<Said<String>>; 2]>,
    authorities: BTreeMap<String, Said<String>>,
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let usual = MAIN.iter().find(|main| asked.root.has_file(Path::new(main))).unwrap_or(&MAIN[0]);
    let source = asked.main(usual)?;
    let mut setup = Setup::default();
    for statement in included(asked, &source, &mut Macros::new(), DEPTH)? {
        setup.note(&statement, draft)?;
    }
    let nothing = |why: &str| {
        Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("choose a provider: `mailchute providers` lists them")
    };
    let mut by_sender = Vec::new();
    let mut main = None;
    for (rule, id) in &setup.rules {
        let Some((action, action_id)) = setup.reached(rule, *id, draft) else { continue };
        match (action, &rule.sender) {
            (Action::Local(alias), _) => setup.local(asked, alias.as_deref(), &[*id, *action_id], draft)?,
            (Action::Relay(_), _) if main.is_some() => draft.ledger.say(*id, &UNUSED, "a rule before it counts"),
            (Action::Relay(_), None) if rule.is_for_local && !rule.is_for_all => draft.ledger.imply(*id),
            (Action::Relay(hop), None) => main = Some((hop, [*id, *action_id])),
            (Action::Relay(hop), Some(sender)) => by_sender.push((sender, hop, [*id, *action_id])),
        }
    }
    let Some((hop, ids)) = main else {
        return Err(nothing(
            "no rule hands the mail of this host's users to another server; there is nothing to import",
        ));
    };
    if hop.host.is_none() || by_sender.iter().any(|(_, hop, _)| hop.host.is_none()) {
        return Err(nothing(
            "this OpenSMTPD delivers to the recipients' servers itself, and mailchute hands mail to one provider; there is \
             nothing to import",
        ));
    }
    let is_alone = by_sender.is_empty();
    // An action that several rules lead to is one relay.
    let mut made: BTreeMap<Id, Vec<String>> = BTreeMap::new();
    for (sender, hop, ids) in by_sender {
        let relays = match made.get(&hop.id) {
            Some(relays) => relays.clone(),
            None => setup.relays(asked, hop, &ids, draft)?,
        };
        setup.site(asked, sender, hop, (&relays, &ids), draft)?;
        made.insert(hop.id, relays);
    }
    let relays = match made.remove(&hop.id) {
        Some(relays) => relays,
        None => setup.relays(asked, hop, &ids, draft)?,
    };
    let place = if is_alone { Table::Top } else { draft.named(Table::Site, "others", &[]) };
    if !is_alone {
        draft.set(&place, "relay", Written::List(relays), &ids);
    }
    draft.ledger.carry(&ids);
    setup.sender(asked, hop, &place, draft)?;
    for id in draft.ledger.open_ids() {
        draft.ledger.say(id, &UNUSED, "nothing that mail goes by names it");
    }
    super::queue(draft, "OpenSMTPD", "the queue (smtpctl show queue)");
    Ok(())
}

/// The statements of a file, with those of the files that it includes in their places.
fn included(
    asked: &Inquiry<'_>,
    source: &SourceFile,
    macros: &mut Macros,
    depth: usize,
) -> Result<Vec<Statement>, Failure> {
    let mut all = Vec::new();
    for statement in statements(source, macros)? {
        match &statement.words[..] {
            [first, path] if first.is("include") => {
                let other = asked.find(Path::new(&path.text))?.filter(|_| depth > 0);
                let Some(other) = other else {
                    return Err(wrong(
                        &statement.path,
                        statement.line,
                        "the file that is included here does not exist",
                    ));
                };
                all.extend(included(asked, &other, macros, depth - 1)?);
            }
            _ => all.push(statement),
        }
    }
    Ok(all)
}

impl Setup {
    /// Notes one statement.
    fn note(&mut self, statement: &Statement, draft: &mut Draft) -> Result<(), Failure> {
        let words = &statement.words[..];
        let first = words[0].text.as_str();
        let id = draft.ledger.read(&statement.path, statement.line, first);
        let refused = || {
            let failure = wrong(&statement.path, statement.line, format!("smtpd refuses the {first} here"));
            let is_blank = |word: &Word| word.sort == Sort::Table && is_placeholder(&format!("<{}>", word.text));
            let is_template = words.windows(2).any(|two| two.iter().all(|word| word.is("{")));
            match is_template
                || (first != "table"
                    && words.iter().any(|word| is_blank(word) && word.text.contains(char::is_uppercase)))
            {
                true => failure.hint("it looks like a template: fill it in first"),
                false => failure,
            }
        };
        match (first, &words[1..]) {
            (_, [sign, ..]) if sign.is("=") => draft.ledger.imply(id),
            ("table", [_, _, ..]) => self.tables.declare(statement, id),
            ("action", [name, what @ ..]) if !what.is_empty() => {
                let action = Self::action(what, true, id, draft).ok_or_else(refused)?;
                if self.actions.insert(name.text.clone(), (action, id)).is_some() {
                    return Err(refused().hint("an action before it has the same name"));
                }
            }
            ("match", rest @ [_, ..]) => {
                let rule = Rule::read(rest);
                if rule.action.as_ref().is_some_and(|name| !self.actions.contains_key(name)) {
                    return Err(refused().hint("there is no action of that name before it"));
                }
                self.rules.push((rule, id));
            }
            ("accept", rest) => {
                let end = rest.iter().position(|word| word.is("deliver") || word.is("relay")).ok_or_else(refused)?;
                let mut rule = Rule::read(&rest[..end]);
                let alias = rest.iter().position(|word| word.is("alias") || word.is("virtual"));
                let alias = alias.and_then(|at| rest.get(at + 1)).map(|word| word.text.clone());
                let action = match Self::action(&rest[end..], false, id, draft).ok_or_else(refused)? {
                    Action::Local(_) => Action::Local(alias),
                    relay @ Action::Relay(_) => relay,
                };
                let name = format!("accept {}", self.rules.len());
                rule.action = Some(name.clone());
                self.actions.insert(name, (action, id));
                self.rules.push((rule, id));
            }
            ("reject", _) => self.rules.push((Rule { is_reject: true, ..Rule::default() }, id)),
            ("pki", [name, pairs @ ..]) => {
                let files = self.certificates.entry(name.text.to_lowercase()).or_default();
                for pair in pairs.chunks(2) {
                    let file = pair.get(1).map(|word| Said::new(word.text.clone(), id));
                    match pair[0].text.as_str() {
                        "cert" | "certificate" => files[0] = file,
                        "key" => files[1] = file,
                        _ => {}
                    }
                }
            }
            ("ca", [name, _, file]) => {
                self.authorities.insert(name.text.to_lowercase(), Said::new(file.text.clone(), id));
            }
            ("listen", rest) => Self::listen(rest, id, draft),
            ("bounce" | "queue" | "expire", _) => {
                draft.ledger.say(
                    id,
                    &QUEUE,
                    "it is about messages that wait, which on_relay_failure = \"spool\" would keep",
                );
            }
            ("filter" | "proc", _) => draft.ledger.say(id, &UNKNOWN, FILTERED),
            ("mta" | "mda" | "scheduler" | "smtp" | "limit" | "max-message-size" | "admd" | "srs", _)
            | ("subaddressing-delimiter" | "max-deferred", _) => {
                draft.drop(id, "it is about the server and its limits");
            }
            _ => draft.ledger.say(id, &UNKNOWN, UNKNOWN.about),
        }
        Ok(())
    }

    /// The words behind `action NAME`, or an older rule's end. `None`: they are none.
    fn action(words: &[Word], is_new: bool, id: Id, draft: &mut Draft) -> Option<Action> {
        match words[0].text.as_str() {
            "relay" => Hop::read(&words[1..], is_new, id, draft).map(Action::Relay),
            "mbox" | "maildir" | "mda" | "lmtp" | "expand-only" | "forward-only" | "deliver" => {
                let at = words.iter().position(|word| word.is("alias") || word.is("virtual"));
                Some(Action::Local(at.and_then(|at| words.get(at + 1)).map(|word| word.text.clone())))
            }
            _ => None,
        }
    }

    fn listen(words: &[Word], id: Id, draft: &mut Draft) {
        let place = words.get(1).map_or("", |word| word.text.as_str());
        let is_here = matches!(place, "socket" | "lo" | "lo0" | "localhost" | "::1") || place.starts_with("127.");
        if words.iter().any(|word| word.is("filter")) {
            draft.ledger.say(id, &UNKNOWN, FILTERED);
        }
        match is_here {
            true => draft.ledger.imply(id),
            false => {
                let why = "this OpenSMTPD also takes mail from other hosts; mailchute is no server: they need their own way out";
                draft.ledger.say(id, &SERVER, why);
            }
        }
    }

    /// The action of a rule that mail of this host's users goes by; of every other it is said why it is none.
    fn reached(&self, rule: &Rule, id: Id, draft: &mut Draft) -> Option<&(Action, Id)> {
        let action = rule.action.as_ref().and_then(|name| self.actions.get(name));
        if rule.is_from_others || rule.is_from_any {
            let why = "it is for mail of other hosts or of those who log in; mailchute is no server: they need their own way out";
            draft.ledger.say(id, &SERVER, why);
        }
        if rule.is_from_others {
            return None;
        }
        let is_local = matches!(action, Some((Action::Local(_), _)));
        if rule.is_special || rule.is_reject || !(rule.is_for_all || rule.is_for_local || is_local) {
            let why = match rule.is_special || rule.is_reject {
                true => "what it depends on is not asked here, and no mail is refused by rules",
                false => "which server is taken depends on the recipient: see `route` in the manual",
            };
            draft.ledger.say(id, &UNKNOWN, why);
            return None;
        }
        action
    }

    /// Mail that stays here.
    fn local(&self, asked: &Inquiry<'_>, alias: Option<&str>, ids: &[Id], draft: &mut Draft) -> Result<(), Failure> {
        if let Some(path) = alias.and_then(|name| self.tables.path(name))
            && local::take(asked, path, false, draft)?
        {
            self.tables.carry(alias.unwrap_or_default(), draft);
        }
        let has_names = draft.has(&Table::Alias, "*") || draft.has(&Table::Alias, "root") || asked.gives_all_names();
        match has_names {
            true => draft.say_all_of(ids, &super::draft::code::IMPLIED, ""),
            false => {
                let why =
                    "mail for this host's users is put into mailboxes; there are none here: say --alias '*=ADDRESS'";
                draft.say_all_of(ids, &LOCAL_DELIVERY, why);
            }
        }
        Ok(())
    }

    /// A site for those senders whose mail goes another way.
    fn site(
        &self,
        asked: &Inquiry<'_>,
        sender: &Word,
        hop: &Hop,
        (relays, ids): (&[String], &[Id; 2]),
        draft: &mut Draft,
    ) -> Result<(), Failure> {
        let mut patterns = Vec::new();
        for row in self.tables.rows(asked, sender, ids[0], draft)? {
            match row.key.split_once('@') {
                Some(("", domain)) if !domain.is_empty() => patterns.push(format!("*@{domain}")),
                Some((_, domain)) if !domain.is_empty() => patterns.push(row.key.clone()),
                _ => draft.say_all_of(&row.from, &ADDRESS, "is no address and no @domain"),
            }
            draft.ledger.carry(&row.from);
        }
        if patterns.is_empty() {
            draft.say_all_of(ids, &LOOKUP, "its senders are not known here");
            return Ok(());
        }
        let name = match sender.sort {
            Sort::Table => sender.text.as_str(),
            _ => patterns[0].trim_start_matches("*@").split('@').next().unwrap_or_default(),
        };
        let place = draft.named(Table::Site, name, ids);
        draft.set(&place, "sender", Written::List(patterns), ids);
        draft.set(&place, "other_sender", "pass", &[]);
        draft.set(&place, "relay", Written::List(relays.to_vec()), ids);
        if let Some(from) = &hop.mail_from {
            Self::mail_from(asked, from, ids, &place, draft);
        }
        Ok(())
    }

    /// The sender that programs get who name none.
    fn sender(&self, asked: &Inquiry<'_>, hop: &Hop, place: &Table, draft: &mut Draft) -> Result<(), Failure> {
        if let Some(from) = &hop.mail_from {
            let ids = [hop.id];
            Self::mail_from(asked, from, &ids, place, draft);
            return Ok(());
        }
        let domain = asked.line("/etc/mailname")?.map_or_else(|| asked.host_name(), Ok)?;
        let address = format!("{}@{domain}", asked.person.name);
        draft.set(place, "domain", domain.as_str(), &[]);
        draft.set(place, "from", address.as_str(), &[]);
        let why = format!(
            "OpenSMTPD sends from it unless -f says otherwise, with each caller's name; here the From field's address goes first, \
             and {address} where there is none"
        );
        draft.ledger.remark("sender", &REVERSE_PATH, why);
        Ok(())
    }

    /// `mail-from`: an address, or a domain behind an @ for each caller's name.
    fn mail_from(asked: &Inquiry<'_>, from: &str, ids: &[Id], place: &Table, draft: &mut Draft) {
        let (address, domain) = match from.split_once('@') {
            Some(("", domain)) => (format!("{}@{domain}", asked.person.name), domain),
            Some((_, domain)) => (from.to_owned(), domain),
            None => return draft.say_all_of(ids, &ADDRESS, "mail-from has no domain"),
        };
        draft.set(place, "domain", domain, ids);
        draft.set(place, "from", address.as_str(), ids);
        draft.own_reverse_path(ids, "OpenSMTPD");
    }
}

const FILTERED: &str = "filters look at messages or change them on their way, which is not done here";
