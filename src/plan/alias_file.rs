//! The system's alias file, `/etc/aliases`: read once, whatever is asked of it.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::address::compared_name;
use crate::modes;

/// The largest alias file that is read, in octets.
const LIMIT: u64 = 1 << 20;

/// An alias file; it need not exist, and is read when it is first asked.
#[derive(Debug)]
pub struct AliasFile {
    path: PathBuf,
    table: OnceLock<Result<Table, String>>,
    asked: AtomicUsize,
}

/// By name in its compared form: the number of the line a list begins on, and the list.
type Table = HashMap<String, (usize, String)>;

/// What an alias file says about a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) targets: Vec<String>,
    /// The number of the line it begins on.
    pub(super) line: usize,
}

impl AliasFile {
    /// The file at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), table: OnceLock::new(), asked: AtomicUsize::new(0) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How often it was asked.
    #[cfg(test)]
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// What it has for `name`, in its compared form.
    ///
    /// # Errors
    /// The first time only: why the file is passed over.
    pub(super) fn find(&self, name: &str) -> Result<Option<Entry>, &str> {
        let is_first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
        match self.table.get_or_init(|| read(&self.path)) {
            Ok(table) => Ok(table.get(name).map(|(line, list)| Entry { targets: split_list(list), line: *line })),
            Err(why) if is_first => Err(why),
            Err(_) => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<Table, String> {
    let mut octets = Vec::new();
    match modes::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut octets)) {
        Ok(length) if length as u64 > LIMIT => Err("larger than 1 MiB".to_owned()),
        Ok(_) => Ok(parse(&String::from_utf8_lossy(&octets))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Table::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// Every list of the alias file `text` in the order of its lines: the name in its compared form, the line, the targets.
pub fn lists(text: &str) -> Vec<(String, usize, Vec<String>)> {
    let named = parse(text).into_iter().map(|(name, (line, list))| (name, line, split_list(&list)));
    let mut lists: Vec<_> = named.collect();
    lists.sort_by_key(|(_, line, _)| *line);
    lists
}

/// Every list, the first of a name where there are several.
fn parse(text: &str) -> Table {
    let mut table = Table::new();
    let mut open: Option<(String, usize, String)> = None;
    let mut keep = |open: Option<(String, usize, String)>| {
        if let Some((name, line, list)) = open {
            table.entry(name).or_insert((line, list));
        }
    };
    for (number, line) in text.lines().enumerate() {
        // Empty lines and comments, indented or not, come between the lines of one list.
        if matches!(line.trim_start().bytes().next(), None | Some(b'#')) {
            continue;
        }
        let line = without_comment(line);
        if line.starts_with([' ', '\t']) {
            if let Some((_, _, list)) = &mut open {
                list.push_str(line);
            }
            continue;
        }
        keep(open.take());
        open = split_outside_quotes(line, ':').map(|(key, list)| {
            let name = compared_name(key.trim().trim_matches('"'));
            (name, number + 1, list.to_owned())
        });
    }
    keep(open);
    table
}

/// `line` up to a `#` behind white space, where no quote holds it.
fn without_comment(line: &str) -> &str {
    let (mut is_quoted, mut before) = (false, '#');
    let end = line.find(|c: char| {
        is_quoted ^= c == '"';
        let behind = std::mem::replace(&mut before, c);
        c == '#' && !is_quoted && behind.is_whitespace()
    });
    end.map_or(line, |end| &line[..end])
}

/// The parts of a comma-separated list, quoted commas left alone.
fn split_list(list: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = list;
    while let Some((part, behind)) = split_outside_quotes(rest, ',') {
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn split_outside_quotes(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let at = text.find(|c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })?;
    Some((&text[..at], &text[at + separator.len_utf8()..]))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> (tempfile::NamedTempFile, AliasFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let aliases = AliasFile::at(file.path());
        (file, aliases)
    }

    #[test]
    fn lists_are_read_as_they_are_written() {
        let (_file, aliases) = file(
            "# c\nroot: alice, # who reads it\n\tbob@x.org, # and him\n  # between\n\n carol\nroot: second\n\
             \"two words\" : \"a, # b\" <a@x.org>\nno colon\n lost\nMüller: m@x.org\ntag: a#b@x.org\n",
        );
        for (name, line, targets) in [
            ("root", 2, &["alice", "bob@x.org", "carol"][..]),
            ("two words", 8, &["\"a, # b\" <a@x.org>"]),
            ("müller", 11, &["m@x.org"]),
            ("tag", 12, &["a#b@x.org"]),
        ] {
            let entry = aliases.find(name).unwrap().unwrap();
            assert_eq!((entry.line, entry.targets.as_slice()), (line, targets.map_to_strings().as_slice()), "{name}");
        }
        assert_eq!(aliases.find("nobody"), Ok(None));
    }

    trait Strings {
        fn map_to_strings(&self) -> Vec<String>;
    }

    impl Strings for [&str] {
        fn map_to_strings(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }

    #[test]
    fn the_file_is_read_once() {
        let (file, aliases) = file("root: a@x.org\n");
        assert!(aliases.find("root").unwrap().is_some());
        file.as_file().set_len(0).unwrap();
        assert!(aliases.find("root").unwrap().is_some());
        assert_eq!(aliases.find("ops"), Ok(None));
    }

    #[test]
    fn what_is_wrong_with_it_is_said_once() {
        let aliases = AliasFile::at(std::env::temp_dir());
        assert!(aliases.find("root").is_err());
        assert_eq!(aliases.find("root"), Ok(None));
        assert_eq!(AliasFile::at("/nowhere/aliases").find("root"), Ok(None));
    }
}
