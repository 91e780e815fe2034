//! The configuration that an import comes to, with the source of each of its lines.

pub mod code;
pub mod ledger;
pub mod placeholder;
mod smarthost;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use zeroize::Zeroizing;

use self::code::NAME;
use self::ledger::{Id, Ledger};
pub use self::smarthost::{Smarthost, TlsUse, secret};
use crate::config::quoted;
use crate::secret::STORED;

/// A value, and the settings that it comes from.
#[derive(Clone, Debug)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The settings.
    pub from: Vec<Id>,
}

impl<T> Said<T> {
    /// The value of one setting.
    pub fn new(value: T, from: Id) -> Self {
        Self { value, from: vec![from] }
    }

    /// A value that no setting says.
    pub const fn own(value: T) -> Self {
        Self { value, from: Vec::new() }
    }
}

/// A value of our configuration.
#[derive(Clone, Debug)]
pub enum Written {
    /// A string.
    Text(String),
    /// A number, or `true` or `false`.
    Bare(String),
    /// Strings.
    List(Vec<String>),
    /// A secret.
    Secret(Zeroizing<String>),
    /// A secret that is still to be put into its file.
    Wanted,
    /// A secret that is in a file already.
    File(String),
    /// A secret that a program prints.
    Command(Vec<String>),
    /// A certificate and its key.
    Certificate(String, String),
}

impl From<&str> for Written {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// `key = value`.
#[derive(Debug)]
struct Line {
    key: String,
    value: Written,
    from: Vec<Id>,
    remark: String,
}

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// The top level.
    Top,
    /// `[relay.NAME]`.
    Relay(String),
    /// `[site.NAME]`.
    Site(String),
    /// `[alias]`.
    Alias,
    /// `[log]`.
    Log,
}

/// How secrets stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing<'a> {
    /// In files of this directory.
    Files(&'a str),
    /// In the text itself.
    Inline,
}

/// What the text is for.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// How secrets stand in it.
    pub secrets: Storing<'a>,
    /// The site that all of it is for, and its user.
    pub site: Option<(&'a str, Option<&'a str>)>,
    /// The first line.
    pub head: &'a str,
}

impl Shape<'_> {
    /// What the file of a relay's secret is called: after the relay, and its site where all of it is for one, so that
    /// two sites never have the same.
    pub fn stored(&self, relay: &str) -> String {
        self.site.map_or_else(|| relay.to_owned(), |(site, _)| format!("{site}.{relay}"))
    }
}

/// What was imported so far.
#[derive(Debug, Default)]
pub struct Draft {
    /// What becomes of each setting.
    pub ledger: Ledger,
    tables: Vec<(Table, Vec<Line>)>,
    /// Where each table is, and in it each key: a file may name as many as it has room for.
    places: HashMap<Table, usize>,
    keys: HashMap<(usize, String), usize>,
    /// The words of each list, by table and line.
    words: HashSet<(usize, usize, String)>,
    /// How many are called after each name.
    namesakes: HashMap<String, usize>,
}

/// The column at which the sources begin, where the lines before leave room.
const COLUMN: usize = 44;

impl Draft {
    /// Sets `key` in `table`, with what it comes from. What was set before stays.
    pub fn set(&mut self, table: &Table, key: &str, value: impl Into<Written>, from: &[Id]) {
        self.set_because(table, key, value, from, "");
    }

    /// The same with a remark for the reader.
    pub fn set_because(&mut self, table: &Table, key: &str, value: impl Into<Written>, from: &[Id], remark: &str) {
        self.ledger.carry(from);
        let at = self.number_of(table);
        let lines = &mut self.tables[at].1;
        if let Entry::Vacant(free) = self.keys.entry((at, key.to_owned())) {
            free.insert(lines.len());
            let value = value.into();
            if let Written::List(words) = &value {
                self.words.extend(words.iter().map(|word| (at, lines.len(), word.clone())));
            }
            lines.push(Line { key: key.to_owned(), value, from: from.to_vec(), remark: remark.to_owned() });
        }
    }

    /// The number of `table`, which is there from now on.
    fn number_of(&mut self, table: &Table) -> usize {
        if let Some(at) = self.places.get(table) {
            return *at;
        }
        self.tables.push((table.clone(), Vec::new()));
        self.places.insert(table.clone(), self.tables.len() - 1);
        self.tables.len() - 1
    }

    /// Adds a string to the list `key` of `table`.
    pub fn add(&mut self, table: &Table, key: &str, word: &str, from: Id) {
        let known = self.places.get(table).copied();
        let line = known.and_then(|at| Some((at, *self.keys.get(&(at, key.to_owned()))?)));
        let list = line.map(|(at, number)| (at, number, &mut self.tables[at].1[number]));
        match list {
            Some((at, number, Line { value: Written::List(words), from: ids, .. })) => {
                if self.words.insert((at, number, word.to_owned())) {
                    words.push(word.to_owned());
                }
                ids.push(from);
                self.ledger.carry(&[from]);
            }
            _ => self.set(table, key, Written::List(vec![word.to_owned()]), &[from]),
        }
    }

    /// Makes sure that the table is there, even if it stays empty.
    pub fn open(&mut self, table: &Table) {
        self.number_of(table);
    }

    /// Whether `key` is set in `table`.
    pub fn has(&self, table: &Table, key: &str) -> bool {
        self.places.get(table).is_some_and(|at| self.keys.contains_key(&(*at, key.to_owned())))
    }

    /// Whether there is such a table.
    pub fn has_table(&self, table: &Table) -> bool {
        self.places.contains_key(table)
    }

    /// A relay or a site that is not there yet, called after `text`: two that come to the same name here are not one, and
    /// the settings that the second is from say so.
    pub fn named(&mut self, of: fn(String) -> Table, text: &str, from: &[Id]) -> Table {
        let base = plain_name(text);
        let mut number = self.namesakes.get(&base).copied().unwrap_or(1);
        let called = |number: usize| of(if number == 1 { base.clone() } else { format!("{base}-{number}") });
        while self.has_table(&called(number)) {
            number += 1;
        }
        let table = called(number);
        self.namesakes.insert(base.clone(), number);
        if table.name() != base {
            let why = format!("the name {base} is taken here: this one is {}", table.name());
            self.say_all(from, text, &NAME, &why);
        }
        table
    }

    fn lines(&self, table: &Table) -> Option<&[Line]> {
        self.places.get(table).map(|at| self.tables[*at].1.as_slice())
    }

    /// The names of the relays, in order.
    pub fn relays(&self) -> Vec<&str> {
        let name = |(table, _): &'_ (Table, _)| matches!(table, Table::Relay(_));
        self.tables.iter().filter(|table| name(table)).map(|(table, _)| table.name()).collect()
    }

    /// Whether it makes sites of its own.
    pub fn has_sites(&self) -> bool {
        self.tables.iter().any(|(table, _)| matches!(table, Table::Site(_)))
    }

    /// What is in `table`: key, value, and the two as a line of TOML that holds no secret.
    pub fn entries(&self, table: &Table) -> impl Iterator<Item = (&str, &Written, String)> {
        let shape = Shape { secrets: Storing::Files(ABSOLUTE), site: None, head: "" };
        let table = table.clone();
        let lines = self.lines(&table).unwrap_or_default();
        lines.iter().map(move |line| (line.key.as_str(), &line.value, line.text(&table, &shape).to_string()))
    }

    /// The secrets with the names of their relays.
    pub fn secrets(&self) -> Vec<(&str, &Zeroizing<String>)> {
        let mut found = Vec::new();
        for (table, lines) in &self.tables {
            for line in lines {
                if let Written::Secret(secret) = &line.value {
                    found.push((table.name(), secret));
                }
            }
        }
        found
    }

    /// The names of the relays whose secrets are still to be stored.
    pub fn wanted(&self) -> Vec<&str> {
        let is_wanted = |line: &Line| matches!(line.value, Written::Wanted);
        self.tables.iter().filter(|(_, lines)| lines.iter().any(is_wanted)).map(|(table, _)| table.name()).collect()
    }

    /// The configuration file. Only [`Storing::Inline`] has secrets in it.
    pub fn toml(&self, shape: &Shape<'_>) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(8192));
        let mut said = String::new();
        let mut put = |line: &str, source: &str| {
            let gap = if source.is_empty() { 0 } else { COLUMN.saturating_sub(line.chars().count()).max(2) };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}{:gap$}{source}", "");
        };
        put(&format!("# {}", shape.head), "");
        let order = |table: &Table| match table {
            Table::Top => 0,
            Table::Relay(_) => 1,
            Table::Site(_) => 2,
            Table::Alias => 3,
            Table::Log => 4,
        };
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|(table, _)| order(table));
        if let Some((site, user)) = shape.site {
            // What is said of the whole is said of this site; the tables that follow it are its own.
            let is_top = |table: &Table| *table == Table::Top;
            let top = tables.iter().find(|(table, _)| is_top(table)).map_or(&[][..], |(_, lines)| lines.as_slice());
            tables.retain(|(table, _)| !is_top(table));
            put("", "");
            put(&Table::Site(site.to_owned()).head(), "");
            if let Some(user) = user {
                put(&format!("user = [{}]", *quoted(user)), "");
            }
            for line in top {
                put(&line.text(&Table::Top, shape), &self.source(line, &mut said));
            }
        }
        for (table, lines) in tables {
            if *table != Table::Top {
                put("", "");
                put(&table.head(), "");
            }
            for line in lines {
                put(&line.text(table, shape), &self.source(line, &mut said));
            }
        }
        text
    }

    /// The comment that names where a line comes from; a file only where it is another than the last.
    fn source(&self, line: &Line, last: &mut String) -> String {
        let mut places: Vec<String> = Vec::new();
        for id in &line.from {
            let item = self.ledger.item(*id);
            let Some(file) = &item.file else { continue };
            let name = file.display().to_string();
            let place = match (item.line, *last == name) {
                (0, _) => name.clone(),
                (number, true) => format!(":{number}"),
                (number, false) => format!("{name}:{number}"),
            };
            *last = name;
            let told = format!("{place} {}", item.key);
            if !places.contains(&told) {
                places.push(told);
            }
        }
        match (places.is_empty(), line.remark.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!("# {}", line.remark),
            (false, true) => format!("# {}", places.join(", ")),
            (false, false) => format!("# {}; {}", places.join(", "), line.remark),
        }
    }
}

impl Line {
    fn text(&self, table: &Table, shape: &Shape<'_>) -> Zeroizing<String> {
        let key = bare_key(&self.key);
        let strings =
            |words: &[String]| words.iter().map(|word| quoted(word).to_string()).collect::<Vec<_>>().join(", ");
        let in_file = |directory: &str| {
            Zeroizing::new(format!("{{ file = {} }}", *quoted(&format!("{directory}/{}", shape.stored(table.name())))))
        };
        let value = match (&self.value, shape.secrets) {
            (Written::Text(text), _) => quoted(text),
            (Written::Bare(word), _) => Zeroizing::new(word.clone()),
            (Written::List(words), _) => Zeroizing::new(format!("[{}]", strings(words))),
            (Written::Secret(text), Storing::Inline) => quoted(text),
            (Written::Secret(_), Storing::Files(directory)) => in_file(directory),
            (Written::Wanted, Storing::Files(directory)) => in_file(directory),
            (Written::Wanted, Storing::Inline) => in_file(ABSOLUTE),
            (Written::File(path), _) => Zeroizing::new(format!("{{ file = {} }}", *quoted(path))),
            (Written::Command(words), _) => Zeroizing::new(format!("{{ command = [{}] }}", strings(words))),
            (Written::Certificate(cert, of), _) => {
                Zeroizing::new(format!("{{ cert = {}, key = {} }}", *quoted(cert), *quoted(of)))
            }
        };
        Zeroizing::new(format!("{key} = {}", *value))
    }
}

impl Table {
    /// The name of a relay or a site.
    pub fn name(&self) -> &str {
        match self {
            Self::Relay(name) | Self::Site(name) => name,
            Self::Top | Self::Alias | Self::Log => "",
        }
    }

    fn head(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Relay(name) => format!("[relay.{}]", bare_key(name)),
            Self::Site(name) => format!("[site.{}]", bare_key(name)),
            Self::Alias => "[alias]".to_owned(),
            Self::Log => "[log]".to_owned(),
        }
    }
}

/// A key as TOML has it.
fn bare_key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { quoted(key).to_string() }
}

/// A name for a relay, a site and the file of a secret, made of what another program calls it.
fn plain_name(text: &str) -> String {
    let usual = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let name: String = text.chars().take(48).map(usual).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "main".to_owned() } else { name.to_owned() }
}

/// The directory of secrets as a configuration in `/etc/mailchute` names it.
pub const BESIDE: &str = "secrets";

/// The same wherever the configuration is.
pub const ABSOLUTE: &str = STORED;
