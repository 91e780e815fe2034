//! The grammar of main.cf and of tables in text form.

use std::path::Path;

use crate::failure::Failure;
use crate::import::draft::code::{COMPUTED, LOOKUP, UNUSED};
use crate::import::draft::ledger::{Id, Ledger};
use crate::import::source::{Inquiry, SourceFile, wrong};

/// How often a value may refer to another.
const DEPTH: usize = 8;

/// The parameters of a main.cf, the last of each name.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, String, Id)>);

impl Parameters {
    /// Reads them.
    ///
    /// # Errors
    /// `Data`: a line is no parameter.
    pub(super) fn read(source: &SourceFile, ledger: &mut Ledger) -> Result<Self, Failure> {
        let mut found = Self::default();
        for (number, line) in logical(&source.text) {
            let Some((name, value)) = line.split_once('=') else {
                return Err(wrong(&source.path, number, "missing '=' after the name of a parameter"));
            };
            let name = name.trim();
            let id = ledger.read(&source.path, number, name);
            if let Some(at) = found.0.iter().position(|(known, ..)| known == name) {
                let (_, _, old) = found.0.remove(at);
                ledger.say(old, &UNUSED, "a later line says otherwise");
            }
            found.0.push((name.to_owned(), value.trim().to_owned(), id));
        }
        Ok(found)
    }

    /// Every parameter.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Id)> {
        self.0.iter().map(|(name, _, id)| (name.as_str(), *id))
    }

    /// The value of `name` with what it refers to, and the setting; nothing of what is not there or cannot be known.
    pub(super) fn get(&self, name: &str, ledger: &mut Ledger) -> Option<(String, Id)> {
        let (_, value, id) = self.0.iter().find(|(known, ..)| known == name)?;
        match self.expanded(value, DEPTH) {
            Some(value) => Some((value, *id)),
            None => {
                ledger.say(*id, &COMPUTED, "it refers to what only Postfix knows");
                None
            }
        }
    }

    /// Whether `name` is there and says yes.
    pub(super) fn is_yes(&self, name: &str, ledger: &mut Ledger) -> Option<Id> {
        self.get(name, ledger).filter(|(value, _)| value == "yes").map(|(_, id)| id)
    }

    fn expanded(&self, value: &str, depth: usize) -> Option<String> {
        if !value.contains('$') {
            return Some(value.to_owned());
        }
        let (mut out, mut rest) = (String::new(), value);
        while let Some((before, behind)) = rest.split_once('$') {
            out += before;
            if let Some(behind) = behind.strip_prefix('$') {
                out.push('$');
                rest = behind;
                continue;
            }
            let (inside, behind) = match behind.chars().next()? {
                '{' => behind[1..].split_once('}')?,
                '(' => behind[1..].split_once(')')?,
                _ => {
                    let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
                    behind.split_at(end)
                }
            };
            let (name, then) = match inside.find(['?', ':']) {
                Some(at) => (&inside[..at], Some((&inside[at..=at], &inside[at + 1..]))),
                None => (inside, None),
            };
            let set = self.0.iter().find(|(known, ..)| known == name).map(|(_, value, _)| value.as_str());
            let next = match (then, set) {
                (None, set) => set?,
                (Some(("?", text)), Some(set)) if !set.is_empty() => text,
                (Some((":", text)), set) if set.is_none_or(str::is_empty) => text,
                (Some(_), _) => "",
            };
            out += &self.expanded(next, depth.checked_sub(1)?)?;
            rest = behind;
        }
        out += rest;
        Some(out)
    }
}

/// Lines with their continuations, and the number of the first of each.
fn logical(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(trimmed);
            }
            _ => lines.push((number + 1, trimmed.to_owned())),
        }
    }
    lines
}

/// One row of a table.
pub(super) struct TableRow {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) from: Vec<Id>,
}

/// The rows of the tables that `spec` names (`hash:/a, static:b`), keys in lower case; `*` is every key. The setting is
/// `id`; what cannot be read is said of it.
///
/// # Errors
/// A table's text cannot be read.
pub(super) fn rows(asked: &Inquiry<'_>, spec: &str, id: Id, ledger: &mut Ledger) -> Result<Vec<TableRow>, Failure> {
    let mut rows = Vec::new();
    for one in tables(spec) {
        let one = one.strip_prefix("proxy:").unwrap_or(&one);
        let (kind, rest) = one.split_once(':').unwrap_or(("hash", one));
        match kind {
            "static" => {
                let value = rest.trim_matches(['{', '}']).trim().to_owned();
                rows.push(TableRow { key: "*".to_owned(), value, from: vec![id] });
            }
            "inline" => {
                let inside = rest.trim().trim_start_matches('{').trim_end_matches('}');
                for pair in inside.split(['{', '}', ',']).map(str::trim).filter(|pair| !pair.is_empty()) {
                    if let Some((key, value)) = pair.split_once('=') {
                        rows.push(TableRow {
                            key: key.trim().to_lowercase(),
                            value: value.trim().to_owned(),
                            from: vec![id],
                        });
                    }
                }
            }
            "hash" | "btree" | "lmdb" | "cdb" | "dbm" | "sdbm" | "texthash" => {
                let Some(source) = beside(asked, rest)? else {
                    let why =
                        format!("{rest} does not exist as text; `postmap -s {kind}:{rest}` prints what the table has");
                    ledger.say(id, &LOOKUP, why);
                    continue;
                };
                for (number, line) in logical(&source.text) {
                    let (key, value) = line.split_once([' ', '\t']).unwrap_or((&line, ""));
                    let row = ledger.read(&source.path, number, "entry");
                    rows.push(TableRow { key: key.to_lowercase(), value: value.trim().to_owned(), from: vec![row] });
                }
            }
            kind => ledger.say(
                id,
                &LOOKUP,
                format!("tables of the kind {} are not read", crate::import::source::shown(kind)),
            ),
        }
    }
    Ok(rows)
}

/// A table that main.cf names: where it says, or beside the file that was named.
fn beside(asked: &Inquiry<'_>, path: &str) -> Result<Option<SourceFile>, Failure> {
    if asked.files.is_empty() { asked.find(Path::new(path)) } else { asked.beside(path) }
}

/// The tables of a list: apart by commas or blanks outside of braces.
fn tables(spec: &str) -> Vec<String> {
    let (mut depth, mut found) = (0_usize, vec![String::new()]);
    for c in spec.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match found.last_mut() {
            Some(last) if depth > 0 || !(c == ',' || c.is_whitespace()) => last.push(c),
            _ => found.push(String::new()),
        }
    }
    found.retain(|one| !one.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(text: &str) -> (Parameters, Ledger) {
        let mut ledger = Ledger::default();
        let modes = crate::modes::Modes { uid: 0, gid: 0, mode: 0o644 };
        let source = SourceFile { path: "/m".into(), text: zeroize::Zeroizing::new(text.to_owned()), modes };
        (Parameters::read(&source, &mut ledger).expect("parameters"), ledger)
    }

    #[test]
    fn values_go_on_on_the_next_line_and_refer_to_each_other() {
        let text =
            "a = 1\n# c\nb = x\n  # in between\n  ${a?y}$a $(a)${none:n}${a:n}\na = 2\nc=$none\nd = $d\ne = $$a#b\n";
        let (parameters, mut ledger) = parameters(text);
        let mut get = |name: &str| parameters.get(name, &mut ledger).map(|(value, _)| value);
        assert_eq!(get("b").as_deref(), Some("x y2 2n"));
        assert_eq!(get("e").as_deref(), Some("$a#b"));
        assert_eq!((get("c"), get("d"), get("f")), (None, None, None));
    }

    #[test]
    fn tables_are_apart_by_commas_and_blanks() {
        assert_eq!(tables("hash:/a, inline:{x=y, z=w} static:b"), ["hash:/a", "inline:{x=y, z=w}", "static:b"]);
    }
}
