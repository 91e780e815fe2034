//! The tables of smtpd.conf, in the file itself or in text files (table(5)).

use std::collections::BTreeMap;
use std::path::Path;

use super::grammar::{Sort, Statement, Word};
use crate::failure::Failure;
use crate::import::draft::Draft;
use crate::import::draft::code::LOOKUP;
use crate::import::draft::ledger::Id;
use crate::import::source::{Inquiry, shown};

/// Where the rows of a table are.
enum Place {
    Here(Vec<(String, String)>),
    File(String),
    /// A kind that is not read.
    Elsewhere(String),
}

/// A row, with what it is from.
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) from: Vec<Id>,
}

/// Every table by its name.
#[derive(Default)]
pub(super) struct Tables(BTreeMap<String, (Place, Id)>);

impl Tables {
    /// Notes what `table NAME ...` says.
    pub(super) fn declare(&mut self, statement: &Statement, id: Id) {
        let [_, name, place @ ..] = &statement.words[..] else { return };
        let place = match place {
            [open, ..] if open.is("{") => Place::Here(pairs(place)),
            [word] => match word.text.split_once(':') {
                Some(("file" | "static", path)) => Place::File(path.to_owned()),
                Some(("db", path)) => Place::File(path.strip_suffix(".db").unwrap_or(path).to_owned()),
                None if word.text.starts_with('/') => Place::File(word.text.clone()),
                Some((kind, _)) => Place::Elsewhere(kind.to_owned()),
                None => Place::Elsewhere(word.text.clone()),
            },
            _ => Place::Elsewhere("that".to_owned()),
        };
        self.0.insert(name.text.clone(), (place, id));
    }

    /// The file that a table is in.
    pub(super) fn path(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some((Place::File(path), _)) => Some(path),
            _ => None,
        }
    }

    /// Says that a table is used.
    pub(super) fn carry(&self, name: &str, draft: &mut Draft) {
        if let Some((_, id)) = self.0.get(name) {
            draft.ledger.carry(&[*id]);
        }
    }

    /// The rows of `word`: of the table that it names, or itself. What cannot be read is said of the table.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn rows(
        &self,
        asked: &Inquiry<'_>,
        word: &Word,
        id: Id,
        draft: &mut Draft,
    ) -> Result<Vec<Row>, Failure> {
        if word.sort != Sort::Table {
            return Ok(vec![Row { key: word.text.clone(), value: String::new(), from: vec![id] }]);
        }
        let Some((place, table)) = self.0.get(&word.text) else {
            draft.ledger.say(id, &LOOKUP, format!("there is no table {}", shown(&word.text)));
            return Ok(Vec::new());
        };
        match place {
            Place::Here(pairs) => {
                draft.ledger.carry(&[*table]);
                let row = |(key, value): &(String, String)| Row {
                    key: key.clone(),
                    value: value.clone(),
                    from: vec![*table],
                };
                Ok(pairs.iter().map(row).collect())
            }
            Place::Elsewhere(kind) => {
                draft.ledger.say(*table, &LOOKUP, format!("tables of the kind {} are not read", shown(kind)));
                Ok(Vec::new())
            }
            Place::File(path) => {
                let source = match asked.files.is_empty() {
                    true => asked.find(Path::new(path))?,
                    false => asked.beside(path)?,
                };
                let Some(source) = source else {
                    draft.ledger.say(*table, &LOOKUP, format!("{path} does not exist as text"));
                    return Ok(Vec::new());
                };
                draft.ledger.carry(&[*table]);
                let mut rows = Vec::new();
                for (number, line) in source.text.lines().enumerate() {
                    let line = line.trim();
                    if line.is_empty() || line.starts_with('#') {
                        continue;
                    }
                    let (key, value) = line.split_once([' ', '\t', ':']).unwrap_or((line, ""));
                    let from = vec![draft.ledger.read(&source.path, number + 1, "entry")];
                    let value = value.trim_start_matches([' ', '\t']);
                    let value = value.strip_prefix(": ").or_else(|| value.strip_prefix(":\t")).unwrap_or(value);
                    rows.push(Row { key: key.to_owned(), value: value.trim_start().to_owned(), from });
                }
                Ok(rows)
            }
        }
    }
}

/// `{ a, b }` or `{ a = b, c => d }`.
fn pairs(words: &[Word]) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut is_value = false;
    for word in words {
        match word.sort {
            Sort::Sign if word.text == "=" => is_value = true,
            Sort::Sign => is_value = false,
            _ => {
                match pairs.last_mut().filter(|_| is_value) {
                    Some((_, value)) => value.clone_from(&word.text),
                    None => pairs.push((word.text.clone(), String::new())),
                }
                is_value = false;
            }
        }
    }
    pairs
}
