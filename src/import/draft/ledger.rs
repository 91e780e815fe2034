//! The account of every setting that was read: what becomes of each, so that none is lost in silence.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::code::{self, Judgement, Mark};
use crate::address::one_line;

/// One setting of the ledger, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(usize);

/// A setting as it was read.
#[derive(Debug)]
pub struct Item {
    /// The file; `None`: it is no setting of a file, but the program's own way.
    pub file: Option<Rc<Path>>,
    /// The line, from 1; 0 where a file has none.
    pub line: usize,
    /// Its name, never its value.
    pub key: String,
    /// What is said of it.
    said: Vec<(&'static Judgement, String)>,
}

impl Item {
    /// What becomes of it: the gravest of all that is said; one of which nothing is said is unknown.
    pub fn mark(&self) -> Mark {
        self.said.iter().map(|(code, _)| code.mark).max().unwrap_or(code::UNKNOWN.mark)
    }

    /// What is said beside that it is carried or implied.
    pub fn notes(&self) -> impl Iterator<Item = (&'static Judgement, &str)> {
        let unknown = self.said.is_empty().then_some((&code::UNKNOWN, code::UNKNOWN.about));
        let said = self.said.iter().map(|(code, why)| (*code, why.as_str()));
        said.filter(|(code, _)| code.mark > Mark::Implied).chain(unknown)
    }

    /// `FILE:LINE`.
    pub fn place(&self) -> String {
        match (&self.file, self.line) {
            (None, _) => String::new(),
            (Some(file), 0) => file.display().to_string(),
            (Some(file), line) => format!("{}:{line}", file.display()),
        }
    }
}

/// Every setting that was read, in that order.
#[derive(Debug, Default)]
pub struct Ledger {
    items: Vec<Item>,
    files: Vec<Rc<Path>>,
    /// Where each remark is, and what was said of each setting: a file may name as many as it has room for.
    remarks: HashMap<String, Id>,
    told: HashSet<(usize, &'static str, String)>,
}

impl Ledger {
    /// Notes the setting `key` of line `line` of `file`.
    pub fn read(&mut self, file: &Path, line: usize, key: impl Into<String>) -> Id {
        let file = match self.files.iter().find(|known| known.as_ref() == file) {
            Some(known) => Rc::clone(known),
            None => {
                let new: Rc<Path> = file.into();
                self.files.push(Rc::clone(&new));
                new
            }
        };
        self.add(Some(file), line, &key.into())
    }

    fn add(&mut self, file: Option<Rc<Path>>, line: usize, key: &str) -> Id {
        // It stands in a comment of the result, and a file may name a setting as it likes.
        let key = one_line(key);
        self.items.push(Item { file, line, key, said: Vec::new() });
        Id(self.items.len() - 1)
    }

    /// Says of a setting what becomes of it, and why: the end of a sentence without full stop.
    pub fn say(&mut self, id: Id, code: &'static Judgement, why: impl Into<String>) {
        let why = why.into();
        if self.told.insert((id.0, code.word, why.clone())) {
            self.items[id.0].said.push((code, why));
        }
    }

    /// Says something that no setting says: what the program does by itself.
    pub fn remark(&mut self, key: &str, code: &'static Judgement, why: impl Into<String>) {
        // Of several servers it is said once.
        let id = match self.remarks.get(key) {
            Some(id) => *id,
            None => {
                let id = self.add(None, 0, key);
                self.remarks.insert(key.to_owned(), id);
                id
            }
        };
        self.say(id, code, why);
    }

    /// The setting is there, and has no effect.
    pub fn imply(&mut self, id: Id) {
        self.say(id, &code::IMPLIED, "");
    }

    /// The settings are in the result.
    pub fn carry(&mut self, ids: &[Id]) {
        for id in ids {
            self.say(*id, &code::CARRIED, "");
        }
    }

    /// Whether nothing was said of it yet.
    pub fn is_open(&self, id: Id) -> bool {
        self.items[id.0].said.is_empty()
    }

    /// The settings that nothing was said of yet.
    pub fn open_ids(&self) -> Vec<Id> {
        (0..self.items.len()).map(Id).filter(|id| self.is_open(*id)).collect()
    }

    /// One setting.
    pub fn item(&self, id: Id) -> &Item {
        &self.items[id.0]
    }

    /// All settings.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The files that settings were read from, in order.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(|file| file.to_path_buf())
    }

    /// The words of the codes that have to be accepted, each once, without those in `accepted`.
    pub fn unaccepted(&self, accepted: &[String]) -> Vec<&'static str> {
        let mut words: Vec<&'static str> = Vec::new();
        for (code, _) in self.items.iter().flat_map(Item::notes) {
            if code.must_be_accepted && !words.contains(&code.word) && !accepted.iter().any(|word| word == code.word) {
                words.push(code.word);
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_is_said_of_is_unknown_and_has_to_be_accepted() {
        let mut ledger = Ledger::default();
        let silent = ledger.read(Path::new("/etc/x"), 3, "mystery");
        assert!(ledger.is_open(silent));
        assert_eq!((ledger.item(silent).mark(), ledger.item(silent).place().as_str()), (Mark::NotCarried, "/etc/x:3"));
        assert_eq!(ledger.unaccepted(&[]), ["unknown"]);
        assert_eq!(ledger.unaccepted(&["unknown".to_owned()]), Vec::<&str>::new());
        ledger.carry(&[silent]);
        assert_eq!(ledger.item(silent).notes().count(), 0);
        ledger.say(silent, &code::TLS_MODE, "because");
        assert_eq!(ledger.item(silent).mark(), Mark::Changed);
    }
}
