//! What is fuzzed: for each target its seeds, the words worth putting in whole, and the check.

mod address;
mod api;
mod argv;
mod client;
mod config;
mod dns;
mod fields;
mod fit;
mod import;
mod log;
mod message;
mod people;
mod received;
mod records;
mod repair;
mod reply;
mod spool;

use std::time::Duration;

use mailchute::message::{Field, Header};
use nix::time::{ClockId, clock_gettime};

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
    received::TARGET,
    spool::TARGET,
    log::TARGET,
    import::TARGET,
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

/// Fails if an address field holds a control character, which might join two recipients, or end a command.
fn assert_no_controls(header: &Header) {
    for field in header.fields().filter(Field::is_address) {
        let text = field.text();
        let is_bad = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
        assert!(!text.contains(is_bad), "{} goes out as {text:?}", field.name());
    }
}

/// Fails if the work that `read` does grows with the square of its text: `unit` over and over behind `begin`, at first 64 KB of it, which
/// a square would make long, then a quarter of that. Time of the processor is measured, whatever else runs on it, and a
/// suspicion is looked at three times.
fn assert_linear(begin: &str, unit: &str, read: impl Fn(&str)) {
    const LENGTH: usize = 64 << 10;
    if unit.is_empty() {
        return;
    }
    let spent = |length: usize| {
        let text = [begin, &unit.repeat((length / unit.len()).max(1))].concat();
        let begun = processor_time();
        read(&text);
        processor_time().saturating_sub(begun)
    };
    // A linear reader takes four times as long, one that sorts a little more, a square sixteen times.
    let is_square = || {
        let long = spent(LENGTH);
        long > Duration::from_millis(400) && long > spent(LENGTH / 4) * 10
    };
    assert!(!(is_square() && is_square() && is_square()), "work grows with the square of {unit:?} behind {begin:?}");
}

/// How long this thread has kept a processor busy.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
