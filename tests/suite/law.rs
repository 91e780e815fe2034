//! The order of the rooms, read from the sources: a room uses only those before it, only the door prints
//! or exits, and no file grows into a second table of contents.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of code a file may have, unit tests not counted.
const LIMIT: usize = 400;

/// The rooms of the house in their order: one uses only those before it.
#[rustfmt::skip]
const ROOMS: &[&str] = &[
    // Words.
    "reply", "hex", "deadline", "host", "process", "spelling", "random", "charset", "encoded_word", "der",
    "address",
    // Nouns.
    "outcome", "rule", "failure", "finding", "envelope", "attempt", "exit", "caller", "modes", "root", "secret",
    "message",
    // What is kept on disk.
    "keep",
    // Facts.
    "providers", "config",
    // Reach.
    "wire", "dns", "smtp", "http", "oauth",
    // Course.
    "plan", "limit", "breaker", "records", "machine", "hint", "submit", "spool", "journal", "alert", "conclude",
    "flush",
    // Door.
    "cli", "door", "import", "tools", "program", "lib", "main",
];

/// The first room of the door.
const DOOR: &str = "cli";

/// The place of a room in the house.
fn place(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

/// Unit tests, and the build script.
fn is_apart(path: &Path) -> bool {
    path.ends_with("tests.rs")
        || path.parent().is_some_and(|folder| folder.ends_with("tests"))
        || path.ends_with("src/build.rs")
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_apart(&path) {
                let text = fs::read_to_string(&path).unwrap();
                let tests = [
                    "#[cfg(test)]\nmod tests {",
                    "#[cfg(test)]\npub(super) mod tests {",
                    "#[cfg(test)]\npub(crate) mod tests {",
                ];
                let end = tests.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
                let code = text[..end].to_owned();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), code));
            }
        }
    }
    files.sort();
    files
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules named behind `crate::` in `code`, `use crate::{a, b}` included.
fn named(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let behind = &line[at + "crate::".len()..];
            match behind.strip_prefix('{') {
                Some(list) => {
                    let names = list.split([',', '}']).map(|name| word(name.trim()));
                    found.extend(names.filter(|name| !name.is_empty()));
                }
                None => found.push(word(behind)),
            }
        }
    }
    found
}

#[test]
fn a_room_uses_only_those_before_it() {
    let mut broken = Vec::new();
    for (path, code) in sources() {
        let from = module(&path);
        let Some(own) = place(&from) else {
            broken.push(format!("{}: which room is `{from}`? name it in tests/suite/law.rs", path.display()));
            continue;
        };
        for to in named(&code) {
            match place(&to) {
                // A macro or an item of lib.rs itself would show up here as well.
                None => broken.push(format!("{}: crate::{to} is no room", path.display())),
                Some(other) if other > own => {
                    broken.push(format!("{}: {from} stands before {to} and uses it", path.display()));
                }
                Some(_) => {}
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whoever reads the documentation of the library finds the rooms there, in the same order.
#[test]
fn the_documentation_names_the_rooms() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").nth(1));
    let rooms = rows.flat_map(|row| row.split(", ")).filter_map(|room| room.strip_prefix('`')?.strip_suffix('`'));
    let crates = ["lib", "main"];
    assert_eq!(
        rooms.collect::<Vec<_>>(),
        ROOMS.iter().copied().filter(|room| !crates.contains(room)).collect::<Vec<_>>()
    );
}

/// The man page lists what is on the list, so what nobody emits would be promised there.
#[test]
fn every_code_on_the_list_is_given_to_a_finding() {
    let (list, others): (Vec<_>, Vec<_>) =
        sources().into_iter().partition(|(path, _)| path == Path::new("finding/codes.rs"));
    let name = |line: &str| line.trim().split_once(" \"").map(|(name, _)| name.to_owned());
    let is_name = |name: &String| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let names: Vec<String> = list.iter().flat_map(|(_, code)| code.lines().filter_map(name)).filter(is_name).collect();
    assert_eq!(names.len(), mailchute::finding::codes::ALL.len(), "{names:?}");
    let is_used = |name: &String| {
        let word = format!("codes::{name}");
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        others.iter().any(|(_, code)| code.match_indices(&word).any(|(at, _)| is_end(&code[at + word.len()..])))
    };
    let idle: Vec<&String> = names.iter().filter(|name| !is_used(name)).collect();
    assert!(idle.is_empty(), "nothing makes a finding with {idle:?}");
}

/// Whoever looks for a code in the tests finds where it is found.
#[test]
fn every_code_on_the_list_is_expected_by_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut texts = String::new();
    for folder in ["suite", "dns", "oauth"] {
        for entry in fs::read_dir(tests.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !path.ends_with("law.rs") {
                texts += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    let is_expected = |word: &str| texts.match_indices(word).any(|(at, _)| is_end(&texts[at + word.len()..]));
    let words = mailchute::finding::codes::ALL.iter().map(|code| code.word);
    let idle: Vec<&str> = words.filter(|word| !is_expected(word)).collect();
    assert!(idle.is_empty(), "no test has {idle:?} found");
}

#[test]
fn a_provider_never_uses_another_provider() {
    // What they share is in folders; every file beside the list is a provider's, and so is the folder of its name.
    let files: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with("providers")).collect();
    let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let is_of_provider = |path: &Path| path.parent() == Some(Path::new("providers")) && !path.ends_with("mod.rs");
    let names: Vec<String> =
        files.iter().filter(|(path, _)| is_of_provider(path)).map(|(path, _)| stem(path)).collect();
    assert!(names.len() > 20, "{names:?}");
    for (path, code) in files.iter().filter(|(path, _)| !path.ends_with("providers/mod.rs")) {
        let own = path.iter().nth(1).map(|part| stem(Path::new(part)));
        for name in names.iter().filter(|name| own.as_ref() != Some(name)) {
            let is_named = ["super", "providers"].iter().any(|room| code.contains(&format!("{room}::{name}")));
            assert!(!is_named, "{} uses {name}", path.display());
        }
    }
}

/// Their modules are made by a macro, so `cargo fmt` does not see them.
#[test]
fn the_providers_are_formatted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources().into_iter().map(|(path, _)| root.join("src").join(path));
    let files = files.filter(|path| path.parent().is_some_and(|folder| folder.ends_with("src/providers")));
    let Ok(output) = Command::new("rustfmt").args(["--edition", "2024", "--check"]).args(files).output() else {
        return;
    };
    let differences = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "run rustfmt --edition 2024 src/providers/*.rs\n{differences}");
}

#[test]
fn files_hold_one_thing() {
    for (path, code) in sources() {
        let lines = code.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
        assert!(lines <= LIMIT, "{}: {lines} lines of code, at most {LIMIT}", path.display());
    }
}

#[test]
fn only_the_door_prints_and_exits() {
    for (path, code) in sources() {
        // `[log] to = "stderr"` is a target like a file.
        let door = place(&module(&path)) >= place(DOOR) || path.ends_with("journal/stderr.rs");
        for (number, line) in code.lines().enumerate() {
            let place = format!("{}:{}: {line}", path.display(), number + 1);
            let line = line.split("//").next().unwrap_or_default();
            for word in ["println!", "print!", "eprint!", "eprintln!"] {
                assert!(!line.contains(word), "{place}\npanics on a closed descriptor");
            }
            for word in ["process::exit", "io::stdout(", "io::stderr(", "stdout().", "stderr()."] {
                assert!(door || !line.contains(word), "{place}\nonly the door prints and exits");
            }
        }
    }
}
