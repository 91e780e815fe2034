//! Values as the files of applications write them. What would have to be run to be known is left as such.

mod cursor;
pub mod dotenv;
pub mod php;
pub mod python;
pub mod ruby;
mod token;

use zeroize::Zeroizing;

/// A value. There is no `Debug`: it may be a secret.
#[derive(Clone, PartialEq)]
pub enum Literal {
    /// A string.
    Text(Zeroizing<String>),
    /// A whole number.
    Number(i64),
    /// A truth value.
    Flag(bool),
    /// Nothing.
    Null,
    /// An array, a dictionary or a list, in order; of one key the last counts.
    Table(Vec<Entry>),
    /// The environment variable of this name, and what stands for it where it is not set.
    Variable(String, Option<Box<Literal>>),
    /// Anything that is known only when the program runs.
    Code,
}

/// A key of a table with its value.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// The key; of a list the number.
    pub key: String,
    /// Its line, from 1; 0 where nothing tells.
    pub line: usize,
    /// The value.
    pub value: Literal,
}

/// A file that its own program would refuse: the line, and why.
pub type Refused = (usize, &'static str);

impl Literal {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// What JSON says, without lines.
    pub fn of_json(value: &serde_json::Value) -> Self {
        let entry = |(key, value): (String, &serde_json::Value)| Entry { key, line: 0, value: Self::of_json(value) };
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Flag(*flag),
            serde_json::Value::Number(number) => number.as_i64().map_or(Self::Code, Self::Number),
            serde_json::Value::String(text) => Self::text(text.as_str()),
            serde_json::Value::Array(list) => {
                Self::Table(list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).map(entry).collect())
            }
            serde_json::Value::Object(map) => {
                Self::Table(map.iter().map(|(key, value)| (key.clone(), value)).map(entry).collect())
            }
        }
    }

    /// What "this or that" is, where the language takes this, as far as it is known, for true or false.
    fn or(self, next: Self, is_true: bool) -> Self {
        match self {
            Self::Variable(name, None) => Self::Variable(name, Some(Box::new(next))),
            Self::Variable(..) | Self::Code => Self::Code,
            value if is_true => value,
            _ => next,
        }
    }

    /// What stands at `path`; of one key the last.
    pub fn at(&self, path: &[&str]) -> Option<&Entry> {
        let Self::Table(entries) = self else { return None };
        let (first, rest) = path.split_first()?;
        let entry = entries.iter().rev().find(|entry| entry.key == *first)?;
        if rest.is_empty() { Some(entry) } else { entry.value.at(rest) }
    }

    /// Every value that is no table, with the keys that lead to it joined by dots; of one path the last.
    pub fn leaves(&self) -> Vec<Entry> {
        let mut found = Vec::new();
        self.gather("", 0, &mut found);
        found
    }

    fn gather(&self, path: &str, line: usize, found: &mut Vec<Entry>) {
        if let Self::Table(entries) = self {
            for (at, entry) in entries.iter().enumerate() {
                if entries[at + 1..].iter().any(|later| later.key == entry.key) {
                    continue;
                }
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                entry.value.gather(&path, entry.line, found);
            }
        } else {
            found.push(Entry { key: path.to_owned(), line, value: self.clone() });
        }
    }

    /// The text of a string or of a number.
    pub fn as_text(&self) -> Option<Zeroizing<String>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(Zeroizing::new(number.to_string())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn work_is_linear() {
        // A square takes a minute for one of them, and all of them are a second.
        let begun = Instant::now();
        for unit in ["<?php ?>", "?><?= ", "a //\n", "1..", "<<<", "a b ", "a = a\n"] {
            let text = unit.repeat((128 << 10) / unit.len());
            for text in [text.clone(), format!("<?php {text}")] {
                let _ = php::read(&text);
                let _ = ruby::read(&text, &[]);
                let _ = (unit != "a = a\n").then(|| python::read(&text, &[], &[]));
            }
        }
        // Nor is one so deep that there is no room for it.
        for sign in ["-", "!", "not ", "(", "[", "a or ", "a ? ", "-a + "] {
            let text = format!("a = {}", sign.repeat(1 << 15));
            for text in [text.clone(), format!("<?php ${text}")] {
                let _ = (php::read(&text), ruby::read(&text, &[]), python::read(&text, &[], &[]));
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    }
}
