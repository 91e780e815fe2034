//! A search finds what one finds who reads every line.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::line::{Field, Line};
use super::query::{Query, Test};
use super::{Strange, scan, source};
use crate::journal::StatusWord;

fn me() -> u32 {
    // Root sees everybody's, whose files are theirs.
    nix::unistd::geteuid().as_raw()
}

/// Numbers that look random and are not.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Records in order of time, some of them long, with lines between them that are none.
fn text(dice: &mut Dice, count: u64, first: i64) -> String {
    let mut out = String::new();
    for number in 0..count {
        let at = jiff::Timestamp::from_millisecond(first + i64::try_from(number).unwrap() * 1000).unwrap();
        let status = StatusWord::ALL[usize::try_from(dice.roll(7)).unwrap()].name();
        let fill =
            "x".repeat(usize::try_from(if dice.roll(200) == 0 { dice.roll(600_000) } else { dice.roll(900) }).unwrap());
        let (site, who, uid) = (dice.roll(5), dice.roll(1000), me());
        let name = ["ann", "Ann", "bob"][usize::try_from(dice.roll(3)).unwrap()];
        out += &format!(
            "{{\"v\":1,\"time\":\"{at:.3}\",\"id\":\"{number:012x}\",\"status\":\"{status}\",\"site\":\"s{site}\",\"uid\":{uid},\
             \"to\":[\"{name}{who}@example.org\"],\"text\":\"{fill}\",\"ms\":{who},\"exit\":0}}\n"
        );
        match dice.roll(300) {
            0 => out += "\n",
            1 => out += "{\"v\":1,\"torn\n",
            _ => {}
        }
    }
    out
}

/// The IDs that `query` finds, by the search and by reading every line of `texts`.
fn both(directory: &Path, texts: &[&str], query: &Query) -> (Vec<String>, Vec<String>) {
    let strange = Strange::default();
    let sources = source::below(directory, me(), query.since, &strange).unwrap();
    let id = |line: &Line<'_>| line.text(Field::Id).unwrap().into_owned();
    let mut found = Vec::new();
    scan::newest(&sources, query, &strange, |line| {
        found.push(id(line));
        ControlFlow::Continue(())
    });
    let counts = scan::count(&sources, query, &strange, |count: &mut usize, _| *count += 1);
    assert_eq!(counts.iter().sum::<usize>(), found.len());
    let mut expected: Vec<(i64, String)> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| Line::read(line.as_bytes()))
        .filter(|line| query.is_for(line))
        .map(|line| (line.time().unwrap(), id(&line)))
        .collect();
    expected.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    (found, expected.into_iter().map(|(_, id)| id).collect())
}

#[test]
fn a_search_finds_what_reading_every_line_finds_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let first = 1_780_000_000_000;
    let (old, new) = (text(&mut dice, 1500, first), text(&mut dice, 1500, first + 1_500_000));
    let uid = me();
    fs::write(dir.path().join(format!("{uid}.log.1")), &old).unwrap();
    fs::write(dir.path().join(format!("{uid}.log")), &new).unwrap();
    assert!(old.len() > 3 << 20, "more than one piece: {}", old.len());
    let within = |word: &str| Test::Within(Field::To, word.to_owned());
    let mut queries = vec![
        Query::default(),
        Query::default().with(within("ann7")),
        Query::default().with(within("Ann7")),
        Query::default().with(Test::Anywhere("xxxxx".to_owned())).with(Test::Is(Field::Site, "s3".to_owned())),
        Query::default().with(Test::Status(StatusWord::Refused)),
        Query::default().with(Test::Below(Field::Ms, 10)),
        Query::default().with(Test::Is(Field::Site, "nobody".to_owned())),
    ];
    let mut without = Query::default();
    without.add(false, Test::Is(Field::Site, "s1".to_owned()));
    queries.push(without);
    for _ in 0..12 {
        let begin = first + i64::try_from(dice.roll(3_000_000)).unwrap();
        let end = begin + i64::try_from(dice.roll(400_000)).unwrap();
        for (until, query) in [(Some(end), Query::default()), (None, Query::default().with(within("bob")))] {
            let mut query = query;
            (query.since, query.until) = (Some(begin), until);
            queries.push(query);
        }
    }
    for query in queries {
        let (found, expected) = both(dir.path(), &[&old, &new], &query);
        assert_eq!(found.len(), expected.len(), "{query:?}");
        assert_eq!(found, expected, "{query:?}");
    }
}

#[test]
fn what_lies_behind_a_torn_line_is_found_and_what_is_endless_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let uid = me();
    let record = |id: &str, uid: u32| {
        format!("{{\"v\":1,\"time\":\"2026-11-27T10:00:00.000Z\",\"id\":\"{id}\",\"uid\":{uid},\"exit\":0}}")
    };
    let mut text = format!("{{\"v\":1,\"time\":\"2026{}\n", record("behind", uid));
    text += &format!("{}\n", record("forged", uid + 1));
    text += &"y".repeat(source::LONGEST * 2);
    text += &format!("\n\0\u{1b}[31m\n{}\n{}", record("whole", uid), record("last", uid));
    fs::write(dir.path().join(format!("{uid}.log")), &text).unwrap();
    let strange = Strange::default();
    let sources = source::below(dir.path(), uid, None, &strange).unwrap();
    let mut found = Vec::new();
    scan::newest(&sources, &Query::default(), &strange, |line| {
        found.push(line.text(Field::Id).unwrap().into_owned());
        ControlFlow::Continue(())
    });
    found.sort();
    assert_eq!(found, ["behind", "last", "whole"]);
    let told = strange.sentences().join("\n");
    assert!(told.contains("no whole record") && told.contains("1 record that names another user"), "{told}");
}

#[test]
fn whoever_has_enough_is_given_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let text = text(&mut Dice(7), 3000, 1_780_000_000_000);
    fs::write(dir.path().join(format!("{}.log", me())), text).unwrap();
    let strange = Strange::default();
    let sources = source::below(dir.path(), me(), None, &strange).unwrap();
    let mut count = 0;
    scan::newest(&sources, &Query::default(), &strange, |_| {
        count += 1;
        if count < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!(count, 3);
}
