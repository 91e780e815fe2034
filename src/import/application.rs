//! What applications have in common: their settings by name, the server and the sender that those make, and where on a
//! host they lie.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Importable;
use super::draft::code::{ADDRESS, COMPUTED, PASSWORD, PLACEHOLDER, SWITCH, UNUSED};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, Written};
use super::literal::{Entry, Literal};
use super::source::{Inquiry, SourceFile, shown, wrong};
use crate::address::parse_address;
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The settings of an application, one of a name.
pub(super) struct Settings {
    program: &'static str,
    list: Vec<(Entry, Option<Id>, PathBuf)>,
}

impl Settings {
    /// None yet.
    pub(super) const fn of(program: &'static str) -> Self {
        Self { program, list: Vec::new() }
    }

    /// One more of `file`, noted in the ledger as `shown`. One that was there already is put out of use.
    pub(super) fn put(&mut self, draft: &mut Draft, file: &Path, shown: &str, entry: Entry) -> Id {
        let id = draft.ledger.read(file, entry.line, shown);
        if let Some(at) = self.list.iter().position(|(known, ..)| known.key == entry.key)
            && let (_, Some(before), _) = self.list.remove(at)
        {
            draft.ledger.say(before, &UNUSED, "it is said again, and that counts");
        }
        self.list.push((entry, Some(id), file.to_owned()));
        id
    }

    /// One more that is in the ledger already.
    pub(super) fn put_known(&mut self, id: Id, entry: Entry, file: &Path) {
        self.list.retain(|(known, ..)| known.key != entry.key);
        self.list.push((entry, Some(id), file.to_owned()));
    }

    /// One more that nobody set: the application's own default.
    pub(super) fn put_own(&mut self, entry: Entry) {
        self.list.retain(|(known, ..)| known.key != entry.key);
        self.list.push((entry, None, PathBuf::new()));
    }

    fn find(&self, key: &str) -> Option<&(Entry, Option<Id>, PathBuf)> {
        self.list.iter().find(|(entry, ..)| entry.key == key)
    }

    /// Whether it is set at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The value as it is, of a setting that somebody has set.
    pub(super) fn get(&self, key: &str) -> Option<(&Literal, Id)> {
        self.find(key).and_then(|(entry, id, _)| Some((&entry.value, (*id)?)))
    }

    /// The settings under these keys.
    pub(super) fn ids(&self, keys: &[&str]) -> Vec<Id> {
        keys.iter().filter_map(|key| self.get(key)).map(|(_, id)| id).collect()
    }

    /// The text of a setting. What is known only when the program runs is named as such; what is empty is implied.
    pub(super) fn text(&self, draft: &mut Draft, key: &str) -> Option<Said<Zeroizing<String>>> {
        let Some((value, id)) = self.get(key) else {
            return self.find(key).and_then(|(entry, ..)| entry.value.as_text()).map(Said::own);
        };
        let text = match value {
            Literal::Variable(name, default) => {
                let default = default.as_ref().and_then(|default| default.as_text()).filter(|text| !text.is_empty());
                let why = in_variable(name, self.program);
                let Some(default) = default else {
                    draft.ledger.say(id, &COMPUTED, why);
                    return None;
                };
                draft.ledger.say(id, &COMPUTED, format!("{why}; what stands for it without one is taken"));
                Some(default)
            }
            Literal::Code | Literal::Table(_) => {
                let why = format!("it is no plain value, and known only when {} runs", self.program);
                draft.ledger.say(id, &COMPUTED, why);
                return None;
            }
            value => value.as_text().filter(|text| !text.is_empty()),
        };
        given(draft, id, text)
    }

    /// A word in lower case, with blanks around it taken off.
    pub(super) fn word(&self, draft: &mut Draft, key: &str) -> Option<Said<String>> {
        self.text(draft, key).map(|Said { value, from }| Said { value: value.trim().to_lowercase(), from })
    }

    /// A port.
    ///
    /// # Errors
    /// `Data`: it is none.
    pub(super) fn port(&self, draft: &mut Draft, key: &str) -> Result<Option<Said<u16>>, Failure> {
        let Some(Said { value, from }) = self.text(draft, key) else { return Ok(None) };
        match value.trim().parse::<u16>() {
            Ok(port) if port > 0 => Ok(Some(Said { value: port, from })),
            _ => Err(self.wrong(key, &format!("{key} is no port"))),
        }
    }

    /// What is wrong with the setting `key`.
    pub(super) fn wrong(&self, key: &str, why: &str) -> Failure {
        match self.find(key) {
            Some((entry, _, file)) if entry.line > 0 => wrong(file, entry.line, why),
            Some((_, _, file)) => Failure::new(Failing::Data, file.display().to_string(), why),
            None => Failure::new(Failing::Data, self.program, why),
        }
    }

    /// The server that must be there.
    ///
    /// # Errors
    /// `Data`: nothing says which, or only when the program runs.
    pub(super) fn host(&self, draft: &mut Draft, key: &str, shown: &str) -> Result<Said<String>, Failure> {
        if let Some(Said { value, from }) = self.text(draft, key) {
            return Ok(Said { value: value.trim().to_owned(), from });
        }
        let failure = match self.get(key) {
            Some((Literal::Variable(name, _), _)) => self.wrong(
                key,
                &format!("{shown} is what the environment variable {name} says when {} runs", self.program),
            ),
            Some((Literal::Code | Literal::Table(_), _)) => {
                self.wrong(key, &format!("{shown} is no plain value, and known only when {} runs", self.program))
            }
            Some(_) => self.wrong(key, &format!("{shown} is empty: no server is named")),
            None => {
                return Err(Failure::new(
                    Failing::Data,
                    self.program,
                    format!("{shown} is not set: no server is named"),
                ));
            }
        };
        Err(failure.hint("name the file that sets it, too, or set it up by `mailchute init`"))
    }

    /// User name and password of `smarthost`.
    pub(super) fn login(&self, draft: &mut Draft, smarthost: &mut Smarthost, username: &str, password: &str) {
        smarthost.username =
            self.text(draft, username).map(|Said { value, from }| Said { value: value.to_string(), from });
        let text = self.text(draft, password);
        let Some(name) = &smarthost.username else {
            draft.say_all_of(&text.map(|text| text.from).unwrap_or_default(), &UNUSED, "there is no user name");
            return;
        };
        smarthost.secret = match (text, self.get(password)) {
            (Some(Said { value, from }), _) => Some(Said { value: Written::Secret(value), from }),
            // It is known only when the program runs, which was said already.
            (None, Some((Literal::Variable(..) | Literal::Code, id))) => Some(Said::new(Written::Wanted, id)),
            (None, _) => {
                let why =
                    format!("{} logs in with an empty password: there is none that could be taken along", self.program);
                draft.say_all_of(&name.from, &PASSWORD, &why);
                Some(Said { value: Written::Wanted, from: name.from.clone() })
            }
        };
    }

    /// Puts what belongs to a way that is not taken out of use.
    pub(super) fn leave(&self, draft: &mut Draft, keys: &[&str], why: &str) {
        for id in self.ids(keys) {
            if draft.ledger.is_open(id) {
                draft.ledger.say(id, &UNUSED, why);
            }
        }
    }
}

/// What the setting `id` says; empty, it is implied. What a template has in its place is named as such.
pub(super) fn given(draft: &mut Draft, id: Id, text: Option<Zeroizing<String>>) -> Option<Said<Zeroizing<String>>> {
    let Some(text) = text else {
        draft.ledger.imply(id);
        return None;
    };
    if is_placeholder(&text) {
        draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
    }
    Some(Said::new(text, id))
}

/// A value that an environment variable gives.
pub(super) fn in_variable(name: &str, program: &str) -> String {
    format!("it is what the environment variable {} says when {program} runs", name_of(name))
}

/// A variable's name for a sentence.
pub(super) fn name_of(name: &str) -> String {
    shown(name).trim_matches('"').to_owned()
}

/// Sets the sender, and returns its address where it is one.
pub(super) fn sender(
    draft: &mut Draft,
    address: Option<Said<Zeroizing<String>>>,
    name: Option<Said<Zeroizing<String>>>,
) -> Option<Said<String>> {
    let name_ids = name.as_ref().map(|name| name.from.clone()).unwrap_or_default();
    let Some(Said { value, from }) = address else {
        draft.say_all_of(&name_ids, &UNUSED, "there is no address that it would belong to");
        return None;
    };
    let text = value.trim();
    let (written, bare) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (Some(name.trim().trim_matches('"').to_owned()), address.trim()),
        None => (None, text),
    };
    let is_address = parse_address(bare).is_ok_and(|spec| spec.address().is_ok());
    if !is_address {
        draft.say_all_of(&from, &ADDRESS, "is no address");
        draft.say_all_of(&name_ids, &UNUSED, "there is no address that it would belong to");
        return None;
    }
    let name = name.map(|name| name.value.trim().to_owned()).or(written).filter(|name| !name.is_empty());
    let whole = match name {
        Some(name) if !name.contains(char::is_control) => {
            let is_plain = name.chars().all(|c| c.is_alphanumeric() || " -_'&+!".contains(c));
            match is_plain {
                true => format!("{name} <{bare}>"),
                false => format!("\"{}\" <{bare}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
            }
        }
        _ => bare.to_owned(),
    };
    draft.set(&Table::Top, "from", whole.as_str(), &[from.clone(), name_ids].concat());
    Some(Said { value: bare.to_owned(), from })
}

/// Every message is from `address`, whatever it says itself.
pub(super) fn force(draft: &mut Draft, address: &Said<String>, ids: &[Id]) {
    draft.set(&Table::Top, "sender", Written::List(vec![address.value.clone()]), &address.from);
    draft.set(&Table::Top, "other_sender", "rewrite", ids);
}

/// A relay by a provider's HTTP API: its keys in our words.
pub(super) fn api(draft: &mut Draft, provider: &str, from: &[Id], keys: Vec<(&str, Said<Written>)>) {
    let table = Table::Relay("main".to_owned());
    draft.set(&table, "provider", provider, from);
    draft.set(&table, "via", "api", from);
    for (key, Said { value, from }) in keys {
        draft.set(&table, key, value, &from);
    }
}

/// Notes a setting that is set under a condition.
pub(super) fn under_condition(draft: &mut Draft, source: &SourceFile, line: usize, key: &str) {
    let id = draft.ledger.read(&source.path, line, key);
    draft.ledger.say(
        id,
        &COMPUTED,
        "it is set under a condition, which is not looked into: what is set without one counts",
    );
}

/// Says how the program comes to call sendmail, for it does not do so by itself.
pub(super) fn switch(draft: &mut Draft, program: &str, how: &str) {
    let why = format!("{program} speaks to the server by itself until that is changed: {how}");
    draft.ledger.remark("way", &SWITCH, why);
}

/// Directories below which applications lie: each itself, or one of its directories.
const BASES: &[&str] =
    &["/var/www", "/srv/www", "/srv", "/home", "/var/www/vhosts", "/usr/share/nginx", "/opt", "/var/www/html"];

/// What stands between such a directory and the application.
const BETWEEN: &[&str] = &["", "public_html", "htdocs", "html", "public", "httpdocs", "www", "web", "app", "current"];

/// The largest number of directories that are looked into.
const DIRECTORIES: usize = 2_000;

/// The applications that have `file`, each with the user whose that is. Those at `is_it` of the text are meant.
pub(super) fn find(root: &Root, files: &[&str], is_it: fn(&str) -> bool) -> Vec<Importable> {
    let mut places: Vec<PathBuf> = Vec::new();
    for base in BASES {
        places.push(PathBuf::from(base));
        let names = root.list(Path::new(base)).unwrap_or_default();
        places.extend(names.into_iter().map(|name| Path::new(base).join(name)));
    }
    let mut found: Vec<Importable> = Vec::new();
    for place in places.iter().take(DIRECTORIES) {
        if !root.metadata(place).is_ok_and(|there| there.is_dir()) {
            continue;
        }
        for (between, file) in BETWEEN.iter().flat_map(|between| files.iter().map(move |file| (between, file))) {
            let path = if between.is_empty() { place.join(file) } else { place.join(between).join(file) };
            if found.iter().any(|known| known.files[0] == path) || !root.has_file(&path) {
                continue;
            }
            let Ok((octets, modes)) = root.read(&path, 1 << 20) else { continue };
            if is_it(&String::from_utf8_lossy(&octets)) {
                found.push(Importable { files: vec![path], whom: format!("user {}", owner(root, modes.uid)) });
            }
        }
    }
    found
}

/// The name of a user of the host below `root`.
fn owner(root: &Root, uid: u32) -> String {
    let text =
        root.read(Path::new("/etc/passwd"), 1 << 20).map(|(text, _)| String::from_utf8_lossy(&text).into_owned());
    let name = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    };
    text.ok().and_then(|text| text.lines().find_map(name)).unwrap_or_else(|| uid.to_string())
}

/// The file of an application: the one that was named, or that is in the directory that was; else the only one there is.
///
/// # Errors
/// `NoInput`: there is none. `Usage`: there are several.
pub(super) fn main(
    asked: &Inquiry<'_>,
    program: &str,
    files: &[&str],
    found: &[Importable],
) -> Result<SourceFile, Failure> {
    if let Some(named) = asked.files.first() {
        let is_directory = asked.root.metadata(named).is_ok_and(|there| there.is_dir());
        if !is_directory {
            return asked.read(named);
        }
        let there = files.iter().map(|file| named.join(file)).find(|path| asked.root.has_file(path));
        return asked.read(&there.unwrap_or_else(|| named.join(files[0])));
    }
    match found {
        [] => Err(Failure::new(Failing::NoInput, program, "none is found in the usual places")
            .hint(format!("name its file: mailchute import {program} /srv/www/shop/{}", files[0]))),
        [only] => asked.read(&only.files[0]),
        several => {
            let paths: Vec<_> = several.iter().take(5).map(|found| found.files[0].display().to_string()).collect();
            Err(Failure::new(Failing::Usage, program, format!("there are several: {}", paths.join(", ")))
                .hint("name one, and say --site NAME for each"))
        }
    }
}
