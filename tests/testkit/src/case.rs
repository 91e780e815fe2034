//! The one format of test data files: a sentence, `key: value` lines, and blocks.
//!
//! ```text
//! # What this case is about, as a sentence.
//! argv: -i bob@example.org
//! exit: 150
//! --- dialogue
//! S: 220 mx.example.net ESMTP
//! ```
//!
//! A key may be repeated. A block begins with `--- NAME` and goes on to the next one or the end; it may be a case of
//! its own ([`Case::each`]).

use std::fs;
use std::path::{Path, PathBuf};

/// One file of test data.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it was read from.
    pub path: PathBuf,
    fields: Vec<(String, String)>,
    blocks: Vec<(String, String)>,
}

impl Case {
    /// Every case of a folder, the files `NAME.case`, in order of names.
    ///
    /// # Panics
    /// The folder cannot be read, holds none, or a file is not in the format.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("a directory entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "{}: no *.case", folder.display());
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(path, &text)
    }

    /// Reads `text` as the case at `path`.
    ///
    /// # Panics
    /// A line before the first block is neither comment nor `key: value`.
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut case = Self { path: path.to_owned(), fields: Vec::new(), blocks: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = line.strip_prefix("--- ") {
                case.blocks.push((name.trim().to_owned(), String::new()));
            } else if let Some((_, block)) = case.blocks.last_mut() {
                block.push_str(line);
                block.push('\n');
            } else if !line.is_empty() && !line.starts_with('#') {
                let Some((key, value)) = line.split_once(':') else {
                    panic!("{}:{}: neither `key: value` nor a comment", path.display(), number + 1);
                };
                case.fields.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        case
    }

    /// The file's name without its extension.
    pub fn name(&self) -> String {
        self.path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The values of `key` in order.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |field| field.0 == key).map(|field| field.1.as_str())
    }

    /// The first value of `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == key).map(|field| field.1.as_str())
    }

    /// The text of the block `name`.
    pub fn block(&self, name: &str) -> Option<&str> {
        self.blocks.iter().find(|block| block.0 == name).map(|block| block.1.as_str())
    }

    /// Every block: its name and its text.
    pub fn blocks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.blocks.iter().map(|block| (block.0.as_str(), block.1.as_str()))
    }

    /// Every field before the blocks: its key and its value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (field.0.as_str(), field.1.as_str()))
    }

    /// The blocks as cases of their own, for a file that holds many small ones: each one's name and the case.
    ///
    /// # Panics
    /// Something else stands before them, or there are none.
    pub fn each(&self) -> impl Iterator<Item = (&str, Self)> {
        assert!(self.fields.is_empty(), "{}: a field before the first case", self.path.display());
        assert!(!self.blocks.is_empty(), "{}: no case", self.path.display());
        self.blocks().map(|(name, text)| (name, Self::parse(&self.path, text)))
    }

    /// Checks that only these keys and blocks occur, so that a misspelt one is noticed.
    ///
    /// # Panics
    /// Another one occurs.
    pub fn knows(&self, keys: &[&str], blocks: &[&str]) {
        for (key, _) in &self.fields {
            assert!(keys.contains(&key.as_str()), "{}: unknown key {key:?}", self.path.display());
        }
        for (name, _) in &self.blocks {
            let first = name.split(' ').next().unwrap_or_default();
            assert!(blocks.contains(&first), "{}: unknown block {name:?}", self.path.display());
        }
    }
}

/// Whether `text` is what `pattern` says; `*` stands for any run of characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// `text` with `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` as the octets they stand for.
///
/// # Panics
/// Another escape occurs.
pub fn escaped(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            octets.push(byte);
            continue;
        }
        octets.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("\\x{digits} is no octet"))
            }
            other => panic!("unknown escape \\{:?} in {text:?}", other.map(char::from)),
        });
    }
    octets
}
