//! One TOML document with the position of everything in it, and typed access to its keys whose errors
//! name file, line, key and table, but never a value that could be a secret.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use memchr::memchr_iter;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::mistake::{self, Mistake};
use super::value::{self, Name};
use crate::failure::{Failure, Kind};
use crate::secret::{Secret, Source};
use crate::spelling;

/// Where a document's lines come from, for errors, and where its relative paths start.
#[derive(Debug)]
pub(super) enum Text {
    /// A file.
    File(PathBuf),
    /// Environment variables rendered as TOML: the variable of each line.
    Variables(Vec<String>),
}

impl Text {
    /// The file; `None`: the environment.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Variables(_) => None,
        }
    }

    /// `FILE:LINE`, or the variable that says so; `line` from 0.
    fn position(&self, line: usize) -> String {
        match self {
            Self::File(path) => format!("{}:{}", path.display(), line + 1),
            Self::Variables(names) => names.get(line).cloned().unwrap_or_else(|| "environment".into()),
        }
    }

    /// An absolute path, relative ones taken from the directory of the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let base = match self {
            Self::File(file) => file.parent().map(Path::to_owned),
            Self::Variables(_) => None,
        };
        let joined = base.map_or_else(|| path.to_owned(), |base| base.join(path));
        std::path::absolute(&joined).unwrap_or(joined)
    }
}

/// A parsed document.
pub(super) struct Document<'i> {
    text: &'i Text,
    source: &'i str,
    root: DeTable<'i>,
    /// Where lines end, once something has to be named by its line: there may be a warning on each.
    line_ends: OnceCell<Vec<usize>>,
}

impl<'i> Document<'i> {
    /// Parses `source`.
    ///
    /// # Errors
    /// `Configuration` with line and column. The line itself is not quoted: it may hold a secret.
    pub(super) fn parse(text: &'i Text, source: &'i str) -> Result<Self, Failure> {
        match DeTable::parse(source) {
            Ok(root) => Ok(Self { text, source, root: root.into_inner(), line_ends: OnceCell::new() }),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let line = |offset: usize| memchr_iter(b'\n', &source.as_bytes()[..offset.min(source.len())]).count();
                if text.file().is_none() {
                    // Nobody wrote these lines.
                    return Err(Failure::new(Kind::Configuration, text.position(line(offset)), error.message()));
                }
                let Mistake { offset, why, hint } = mistake::of(source, error.message(), offset);
                let column = source[..offset].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                let place = format!("{}:{column}", text.position(line(offset)));
                Err(Failure { hint, ..Failure::new(Kind::Configuration, place, why) })
            }
        }
    }

    /// `FILE:LINE` of what stands at `offset`, or the variable that says so.
    fn position(&self, offset: usize) -> String {
        let ends = self.line_ends.get_or_init(|| memchr_iter(b'\n', self.source.as_bytes()).collect());
        self.text.position(ends.partition_point(|end| *end < offset))
    }

    /// The top level.
    pub(super) fn root(&self) -> Section<'_> {
        Section { document: self, name: String::new(), offset: 0, table: &self.root }
    }
}

/// One table of a document.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    /// `relay.main`; empty at the top level.
    name: String,
    offset: usize,
    table: &'d DeTable<'d>,
}

/// Which keys a table takes.
pub(super) struct Keys<'k> {
    /// Those of this version.
    pub(super) now: &'k [&'k str],
    /// Those of later versions.
    pub(super) later: &'k [&'k str],
    /// Those that belong to the table above, where a misplaced one is looked for.
    pub(super) above: &'k [&'k str],
}

/// Where a secret may be.
const PLACES: &Keys<'_> = &Keys { now: &["file", "env", "credential", "command"], later: &[], above: &[] };

/// The tables of the top level.
const TABLES: &[&str] = &["relay", "route", "site", "alias", "alert", "log", "staging"];

/// What other programs say in the key, this one says in the value: the key of `password_file`, and the form of it.
fn place_in_key(key: &str) -> Option<(&str, &'static str)> {
    let forms: [(&[&str], _); 3] = [
        (&["_file", "_path"], "{ file = \"PATH\" }"),
        (&["eval", "_eval", "_command", "_cmd"], "{ command = [\"PROGRAM\", \"ARGUMENT\"] }"),
        (&["_env", "_var"], "{ env = \"NAME\" }"),
    ];
    forms.into_iter().find_map(|(endings, form)| {
        let ours = endings.iter().find_map(|ending| key.strip_suffix(ending))?;
        Some((value::elsewhere(ours).unwrap_or(ours), form))
    })
}

impl<'d> Section<'d> {
    /// The text the document was read from.
    pub(super) fn text(&self) -> &'d Text {
        self.document.text
    }

    /// Whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The keys, in the order of the file.
    pub(super) fn keys(&self) -> Vec<&'d str> {
        let mut keys: Vec<_> = self.table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().as_ref()).collect()
    }

    /// Refuses every key that is not among `keys`.
    ///
    /// # Errors
    /// For the first such key in the file, with the nearest right one as hint.
    pub(super) fn expect(&self, keys: &Keys<'_>) -> Result<(), Failure> {
        let is_taken = |key: &str| keys.now.contains(&key);
        // Only to name the first of those at fault the order of the file is needed.
        if self.table.keys().all(|key| is_taken(key.get_ref())) {
            return Ok(());
        }
        match self.keys().into_iter().find(|key| !is_taken(key)) {
            None => Ok(()),
            Some(key) if keys.later.contains(&key) => {
                Err(self.error(key, format!("{} is not in this version", self.quoted(key))))
            }
            Some(key) => Err(self.not_among(key, keys)),
        }
    }

    /// What is said of a key that this table does not take.
    pub(super) fn unknown(&self, key: &str) -> Failure {
        self.error(key, format!("unknown key {}", self.quoted(key)))
    }

    fn not_among(&self, key: &str, keys: &Keys<'_>) -> Failure {
        let failure = self.unknown(key);
        if !self.name.is_empty() && keys.above.contains(&key) {
            return failure.hint(format!("{key:?} belongs at the top, before the first [table]"));
        }
        if let Some((ours, form)) = place_in_key(key).filter(|(ours, _)| keys.now.contains(ours)) {
            return failure.hint(format!("write {ours} = {form}"));
        }
        if let Some(ours) = value::elsewhere(key).filter(|ours| keys.now.contains(ours)) {
            return failure.hint(format!("it is called {ours:?} here"));
        }
        if self.name.is_empty() && matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::Table(_))) {
            return failure.hint(match spelling::nearest(key, TABLES.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write [relay.{key}] for a relay, [site.{key}] for a site"),
            });
        }
        match spelling::nearest(key, keys.now.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint(format!("keys: {}", keys.now.join(", "))),
        }
    }

    /// `"key" in [table]`.
    fn quoted(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => format!("{key:?}"),
            name => format!("{key:?} in [{name}]"),
        }
    }

    /// What is wrong with `key`, at its place; at the table's own place where the key is not there.
    pub(super) fn error(&self, key: &str, why: impl Into<String>) -> Failure {
        let offset = self.table.get_key_value(key).map_or(self.offset, |(key, _)| key.span().start);
        Failure::new(Kind::Configuration, self.document.position(offset), why)
    }

    /// What is wrong with the value of `key`: `"key" in [table] why`.
    pub(super) fn wrong(&self, key: &str, why: impl AsRef<str>) -> Failure {
        self.error(key, format!("{} {}", self.quoted(key), why.as_ref()))
    }

    fn get<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let value = value.get_ref();
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(self.wrong(key, format!("must be {wanted}, not {}", value::kind(value)))),
        }
    }

    /// A string that is not empty.
    pub(super) fn string(&self, key: &str) -> Result<Option<&'d str>, Failure> {
        match self.get(key, "a string", DeValue::as_str)? {
            Some("") => Err(self.wrong(key, "is empty")),
            string => Ok(string),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, Failure> {
        self.get(key, "true or false", DeValue::as_bool)
    }

    /// A number from 1 to `max`.
    pub(super) fn number(&self, key: &str, max: u32) -> Result<Option<u32>, Failure> {
        let Some(number) = self.get(key, "a number", value::integer)? else { return Ok(None) };
        match u32::try_from(number) {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(key, format!("must be a number from 1 to {max}"))),
        }
    }

    /// A span of time such as `"30s"`, `"2m"`, `"500ms"`.
    pub(super) fn duration(&self, key: &str) -> Result<Option<Duration>, Failure> {
        let example = "must be a time such as \"30s\", \"2m\" or \"500ms\"";
        let Some(text) = self.get(key, "a time such as \"30s\"", DeValue::as_str)? else { return Ok(None) };
        value::duration(text).map(Some).ok_or_else(|| self.wrong(key, example))
    }

    /// A longer span of time such as `"5d"` or `"12h"`.
    pub(super) fn days(&self, key: &str) -> Result<Option<Duration>, Failure> {
        let must = "a time such as \"5d\" or \"12h\"";
        let Some(text) = self.get(key, must, DeValue::as_str)? else { return Ok(None) };
        value::days(text).map(Some).ok_or_else(|| self.wrong(key, format!("must be {must}, from a minute to 60 days")))
    }

    /// How old something may become, such as `"90d"`.
    pub(super) fn age(&self, key: &str) -> Result<Option<Duration>, Failure> {
        let must = "a time such as \"90d\" or \"52w\"";
        let Some(text) = self.get(key, must, DeValue::as_str)? else { return Ok(None) };
        value::age(text).map(Some).ok_or_else(|| self.wrong(key, format!("must be {must}, from an hour to 3650 days")))
    }

    /// A number of octets such as `"5 MB"`.
    pub(super) fn octets(&self, key: &str) -> Result<Option<u64>, Failure> {
        let must = "a size such as \"5 MB\"";
        let Some(text) = self.get(key, must, DeValue::as_str)? else { return Ok(None) };
        value::octets(text).map(Some).ok_or_else(|| self.wrong(key, format!("must be {must}")))
    }

    /// A day such as `2027-03-31`, with or without quotes.
    pub(super) fn date(&self, key: &str) -> Result<Option<Date>, Failure> {
        let must = "a day such as 2027-03-31";
        let Some(text) = self.get(key, must, value::date)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(key, format!("must be {must}")))
    }

    /// A string or an array of strings, none of them empty.
    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<&'d str>>, Failure> {
        let strings = self.get(key, "a string or an array of strings", value::strings)?;
        match &strings {
            Some(list) if list.contains(&"") => Err(self.wrong(key, "holds an empty string")),
            _ => Ok(strings),
        }
    }

    /// An array of names and numbers, or one of them; numbers as their digits.
    pub(super) fn names(&self, key: &str) -> Result<Option<Vec<Name<'d>>>, Failure> {
        self.get(key, "a name, a number or an array of them", |value| match value {
            DeValue::Array(array) => array.iter().map(|v| Name::read(v.get_ref())).collect(),
            value => Name::read(value).map(|name| vec![name]),
        })
    }

    /// One of `words`, each with the value it stands for.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, Failure> {
        let list = || words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        let Some(value) = self.table.get(key).map(Spanned::get_ref) else { return Ok(None) };
        let Some(said) = value.as_str() else {
            return Err(self.wrong(key, format!("must be {}, not {}", list(), value::kind(value))));
        };
        match words.iter().find(|(word, _)| *word == said) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(self.wrong(key, format!("must be {}, not {said:?}", list()))),
        }
    }

    /// A path, made absolute.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>, Failure> {
        Ok(self.string(key)?.map(|path| self.text().resolve(path)))
    }

    /// A secret: a string, or a table that says where it is read from.
    pub(super) fn source(&self, key: &str) -> Result<Option<Source>, Failure> {
        let wanted = "a string or one of { file = }, { env = }, { credential = }, { command = [] }";
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => Err(self
                .wrong(key, "is empty")
                .hint(format!("write the secret there, or {key} = {{ file = \"PATH\" }}"))),
            DeValue::String(text) => Ok(Some(Source::Inline(Secret::new(text.clone().into_owned())))),
            DeValue::Table(_) => {
                let Some(place) = self.section(key)? else { return Ok(None) };
                let [word] = place.keys()[..] else {
                    return Err(self.wrong(key, format!("must be {wanted}")));
                };
                let source = match word {
                    "file" => place.path(word)?.map(Source::File),
                    "env" => place.string(word)?.map(|name| Source::Env(name.to_owned())),
                    "credential" => place.string(word)?.map(|name| Source::Credential(name.to_owned())),
                    "command" if place.is_line(word) => {
                        let failure = place.wrong(word, "is one word with spaces in it, and there is no shell");
                        return Err(failure.hint("write the words apart: command = [\"PROGRAM\", \"ARGUMENT\"]"));
                    }
                    "command" => {
                        place.strings(word)?.map(|w| Source::Command(w.into_iter().map(str::to_owned).collect()))
                    }
                    _ => return Err(place.not_among(word, PLACES)),
                };
                match source {
                    Some(Source::Command(words)) if words.is_empty() => Err(place.wrong(word, "is empty")),
                    source => Ok(source),
                }
            }
            value => Err(self.wrong(key, format!("must be {wanted}, not {}", value::kind(value)))),
        }
    }

    /// Whether the value of `key` is a string with blanks in it.
    fn is_line(&self, key: &str) -> bool {
        let text = self.table.get(key).and_then(|value| value.get_ref().as_str());
        text.is_some_and(|text| text.trim().contains(char::is_whitespace))
    }

    /// What `read` makes of the keys that are not among `own`; `known` are those it may take.
    ///
    /// # Errors
    /// `Configuration`, with the place of the key at fault and never its value.
    pub(super) fn settings<T>(
        &self,
        own: &[&str],
        known: &[&str],
        above: &[&str],
        read: impl FnOnce(ValueDeserializer<'d>) -> Result<T, toml::de::Error>,
    ) -> Result<T, Failure> {
        let all = [own, known].concat();
        self.expect(&Keys { now: &all, later: &[], above })?;
        let mut table = self.table.clone();
        for key in own {
            table.remove(*key);
        }
        let value = Spanned::new(self.offset..self.offset, DeValue::Table(table));
        read(ValueDeserializer::from(value)).map_err(|error| {
            let at = error.span().map_or(self.offset, |span| span.start);
            let message = error.message();
            // What serde found stands in front of what it expected, and may be a secret.
            let must =
                message.rsplit_once("expected ").map(|(_, expected)| format!("must be {}", value::told(expected)));
            let key = self.table.iter().find(|(_, value)| value.span().contains(&at) || value.span().start == at);
            match (key, must) {
                (Some((key, _)), Some(must)) => self.wrong(key.get_ref(), must),
                (Some((key, _)), None) => self.wrong(key.get_ref(), "is not a value it can have"),
                (None, _) if message.starts_with("missing field") => self.error(
                    "provider",
                    format!(
                        "the relay has no {}, which the HTTP API needs",
                        message.replace("missing field ", "").replace('`', "\"")
                    ),
                ),
                (None, _) => self.error("provider", "a setting is not a value it can have"),
            }
        })
    }

    /// The table under `key`.
    pub(super) fn section(&self, key: &str) -> Result<Option<Section<'d>>, Failure> {
        let Some((name, value)) = self.table.get_key_value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(self.below(name, table))),
            value => Err(self.wrong(key, format!("must be a table, not {}", value::kind(value)))),
        }
    }

    /// The tables under `key`, such as every `[relay.NAME]`, in the order of the file.
    pub(super) fn sections(&self, key: &str) -> Result<Vec<(&'d str, Section<'d>)>, Failure> {
        let Some(parent) = self.section(key)? else { return Ok(Vec::new()) };
        let names = parent.keys();
        let mut sections = Vec::with_capacity(names.len());
        for name in names {
            match parent.table.get(name).map(Spanned::get_ref) {
                Some(DeValue::Table(_)) => sections.extend(parent.section(name)?.map(|section| (name, section))),
                _ => {
                    let why = format!("{key:?} takes named tables");
                    return Err(parent.error(name, why).hint(format!("write [{key}.NAME] above {name:?}")));
                }
            }
        }
        Ok(sections)
    }

    /// The tables of the array `[[key]]`, in the order of the file; `None`: it is not there.
    pub(super) fn tables(&self, key: &str) -> Result<Option<Vec<Section<'d>>>, Failure> {
        let Some((name, value)) = self.table.get_key_value(key) else { return Ok(None) };
        let full = self.below(name, self.table).name;
        let wrong = |value: &DeValue<'_>| {
            let failure = self.wrong(key, format!("must be an array of tables, not {}", value::kind(value)));
            failure.hint(format!("write [[{full}]], with two brackets, above each"))
        };
        let DeValue::Array(array) = value.get_ref() else { return Err(wrong(value.get_ref())) };
        let name = format!("[{full}]");
        let tables = array.iter().map(|item| match item.get_ref() {
            DeValue::Table(table) => {
                Ok(Section { document: self.document, name: name.clone(), offset: item.span().start, table })
            }
            value => Err(wrong(value)),
        });
        tables.collect::<Result<_, _>>().map(Some)
    }

    fn below(&self, key: &Spanned<std::borrow::Cow<'d, str>>, table: &'d DeTable<'d>) -> Section<'d> {
        let name = match self.name.as_str() {
            "" => key.get_ref().to_string(),
            name => format!("{}.{}", name.trim_matches(['[', ']']), key.get_ref()),
        };
        Section { document: self.document, name, offset: key.span().start, table }
    }
}
