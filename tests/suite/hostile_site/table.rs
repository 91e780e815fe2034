//! The table in README.md that says which mode protects what: each row names tests of this suite.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the suite.
fn sources(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, all),
            false => all.push(path),
        }
    }
}

#[test]
fn each_row_of_the_table_is_shown_by_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("tests/suite"), &mut files);
    let tests: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Two modes\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| A site that was"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 10, "{rows:?}");
    for row in &rows {
        let [_, _, _, shown] = row[..] else { panic!("four columns: {row:?}") };
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test shows {row:?}");
        for name in names {
            assert!(tests.contains(&format!("#[test]\nfn {name}()")), "{name} of {row:?} is no test");
        }
    }
    // Each family of this suite is in the table.
    for file in
        files.iter().filter(|file| file.parent().unwrap().ends_with("hostile_site") && !file.ends_with("table.rs"))
    {
        let text = fs::read_to_string(file).unwrap();
        for name in text.split("#[test]\nfn ").skip(1).filter_map(|test| test.split('(').next()) {
            assert!(section.contains(&format!("`{name}`")), "{name} is in no row");
        }
    }
}
