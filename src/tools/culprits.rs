//! What made the last messages of somebody who is banned, by script, directory and program.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::door;
use crate::journal::read::{Field, Line, Query, Records, Test};
use crate::limit::ban::{Banned, clock};
use crate::reply::printable;
use crate::tools::table::{self, fixed, flexible};

/// How many records are looked at.
const LAST: usize = 100;
/// How many lines tell of them.
const LINES: usize = 10;
/// The longest text of a cell, in octets.
const TEXT: usize = 300;

/// What made the last hundred messages of whom a ban hits, as far as `uid` may see the records; empty: there are none.
pub(super) fn told(of: &Banned, uid: u32) -> String {
    let query = Query::default().with(match of {
        Banned::Site(name) => Test::Is(Field::Site, name.clone()),
        Banned::User(user) => Test::User(user.to_string()),
    });
    let (mut counts, mut newest, mut all) = (HashMap::<[String; 3], usize>::new(), None, 0);
    let found = Records::of(uid, None).newest(&query, |line| {
        newest = newest.or(line.time());
        all += 1;
        *counts.entry(maker(line)).or_default() += 1;
        if all < LAST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    // Without records a ban is one all the same.
    let (Ok(()), Some(newest)) = (found, newest) else { return String::new() };
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| one.cmp(other)));
    let rest: usize = counts.iter().skip(LINES).map(|(_, count)| count).sum();
    let row = |(maker, count): &([String; 3], usize)| {
        let [script, directory, program] = maker.clone();
        vec![count.to_string(), script, directory, program]
    };
    let rows: Vec<_> = counts.iter().take(LINES).map(row).collect();
    let columns = [fixed("COUNT", true), flexible("SCRIPT", 12), flexible("DIRECTORY", 12), flexible("PROGRAM", 8)];
    let messages = if all == 1 { "its last message".to_owned() } else { format!("its last {all} messages") };
    let mut text = format!("{messages}, the newest {}:\n", clock(newest / 1000));
    text += &table::text(&columns, &rows, door::width());
    if rest > 0 {
        text += &format!("and {rest} by others\n");
    }
    text
}

/// Script, else cron's job or the unit; directory; programs above, the nearest first.
fn maker(line: &Line<'_>) -> [String; 3] {
    let text = |field| line.text(field).map(|text| printable(text.as_bytes(), TEXT));
    let script = [Field::Script, Field::Job, Field::Unit].into_iter().find_map(text);
    let parents = line.list(Field::Parents);
    let program = match parents.is_empty() {
        true => text(Field::Parent),
        false => Some(printable(parents.join(" < ").as_bytes(), TEXT)),
    };
    [script, text(Field::Cwd), program].map(|text| text.unwrap_or_else(|| "-".to_owned()))
}
