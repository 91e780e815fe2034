//! What is fuzzed: for each target its seeds, the words worth putting in whole, and the check.

mod address;
mod api;
mod argv;
mod client;
mod config;
mod dns;
mod fields;
mod fit;
mod message;
mod people;
mod records;
mod repair;
mod reply;

use crate::mutate::Grammar;

/// One parser or machine and the properties it has to keep.
pub(crate) struct Target {
    /// What the command line calls it.
    pub name: &'static str,
    /// Inputs to begin with; never empty.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that a mutation of octets would hardly find.
    pub words: &'static [&'static str],
    /// Forms that are put in whole: what has a grammar that octets and words would seldom keep to.
    pub grammar: Grammar,
    /// Panics when a property does not hold; otherwise a number that stands for the path taken.
    pub check: fn(&[u8]) -> u64,
}

/// All of them.
pub(crate) static TARGETS: &[Target] = &[
    reply::TARGET,
    client::TARGET,
    message::TARGET,
    fit::TARGET,
    people::TARGET,
    repair::TARGET,
    fields::TARGET,
    address::TARGET,
    argv::TARGET,
    config::TARGET,
    api::TARGET,
    dns::TARGET,
    records::TARGET,
];

/// The texts as octets.
fn octets(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Fails unless `text` is one line that a terminal and a log can show.
fn assert_printable(text: &str, limit: usize) {
    assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
    assert!(text.len() <= limit, "{} octets, more than {limit}", text.len());
}
