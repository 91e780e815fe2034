//! `mailchute queue list`: as a table, as JSON, or in numbers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::row::{self, Fate, Row};
use super::{FOLDERS, now, seconds, size, span};
use crate::breaker::{Breaker, Health};
use crate::caller::Caller;
use crate::cli::queue::List;
use crate::config::Config;
use crate::config::limit::Limits;
use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::limit::{self, ban};
use crate::plan::{Choice, Course};
use crate::spool::{Folder, Spool};
use crate::tools::table::{self, fixed, flexible, shown};

/// What one user has, in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Count {
    /// Whose it is.
    pub(super) uid: u32,
    /// The name of that uid, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Messages that are tried again, those that are being sent and those in doubt included.
    pub(super) waiting: u64,
    /// Those of them that the next flush tries.
    pub(super) due: u64,
    /// When the first of the others is tried, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<i64>,
    /// Messages that wait for a person.
    pub(super) held: u64,
    /// Messages that were given up.
    pub(super) failed: u64,
    /// Octets of all of them.
    pub(super) size: u64,
    /// What is left of each limit of its sites and their relays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) limits: Vec<Room>,
}

/// What is left of a limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Room {
    /// What is limited: `site shop`.
    subject: String,
    /// The limit, as it is written.
    limit: String,
    /// How much may still be sent.
    left: u32,
    /// When there is more, in seconds since 1970, where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// Prints what `caller` has.
///
/// # Errors
/// The spool cannot be read, or standard output not be written.
pub(super) fn run(choice: &Choice, words: &List, caller: &Caller) -> Result<u8, Failure> {
    if words.summary {
        print_counts(words, &[Count { limits: limits(choice, words, caller), ..count(words, caller)? }])?;
    } else {
        let mut rows = rows(words, caller)?;
        note_what_keeps(choice, &mut rows, caller);
        print_rows(words, &rows, false)?;
    }
    Ok(exit::OK)
}

/// What `caller` has.
///
/// # Errors
/// The spool cannot be read.
pub(super) fn rows(words: &List, caller: &Caller) -> Result<Vec<Row>, Failure> {
    row::read(words, &Spool::every(caller), caller)
}

/// Notes in each of `rows` that waits which of its relays are down, and whether its site is banned. Without a
/// configuration nothing is known of them.
fn note_what_keeps(choice: &Choice, rows: &mut [Row], caller: &Caller) {
    if !rows.iter().any(|row| row.state == Fate::Waiting) {
        return;
    }
    let course = Course::begin(caller, choice);
    let Ok(config) = course.config() else { return };
    let mut known: HashMap<(String, String), Option<String>> = HashMap::new();
    let mut bans: HashMap<String, Option<String>> = HashMap::new();
    for row in rows.iter_mut().filter(|row| row.state == Fate::Waiting) {
        let Some(site) = config.site(&row.site).filter(|site| site.is_open_to(caller.uid)) else { continue };
        let banned = bans.entry(site.name.clone()).or_insert_with(|| told_ban(config, site, caller.uid));
        row.ban.clone_from(banned);
        let health = |name: &String| {
            let relay = site.every_relay().into_iter().find(|relay| relay.name == *name)?;
            match Breaker::of(site, caller.uid)?.health(relay) {
                Health::Up => None,
                Health::Due(down) | Health::Down(down) => Some(format!("relay {name} (site {}) is {down}", site.name)),
            }
        };
        let down = |name| known.entry((site.name.clone(), String::clone(name))).or_insert_with(|| health(name)).clone();
        row.down = row.route.iter().filter_map(down).collect();
    }
}

/// The ban that keeps what `uid` has sent as `site` from being sent, or why nobody can tell.
pub(super) fn told_ban(config: &Config, site: &Site, uid: u32) -> Option<String> {
    ban::check(config, site, uid).err().map(|failure| failure.to_string())
}

/// How much `caller` has. No entry is opened unless a site or relay is asked for.
fn count(words: &List, caller: &Caller) -> Result<Count, Failure> {
    let mut count = Count { uid: caller.uid, user: caller.user.clone(), ..Count::default() };
    let now = now();
    if words.site.is_some() || words.relay.is_some() {
        for row in rows(words, caller)? {
            count.add(row.folder, row.due, row.size, now);
        }
        return Ok(count);
    }
    for spool in Spool::every(caller) {
        for folder in FOLDERS {
            spool.each(folder, &mut |listed| count.add(folder, seconds(listed.due), listed.size, now))?;
        }
    }
    Ok(count)
}

/// What is left of each limit that `caller` is held to.
fn limits(choice: &Choice, words: &List, caller: &Caller) -> Vec<Room> {
    let course = Course::begin(caller, choice);
    let Ok(config) = course.config() else { return Vec::new() };
    let mut all: Vec<&Arc<Limits>> = Vec::new();
    let is_wanted = |site: &&Site| words.site.as_ref().is_none_or(|name| *name == site.name);
    for site in config.sites.iter().filter(|site| site.is_open_to(caller.uid)).filter(is_wanted) {
        let is_wanted = |relay: &&&Arc<Relay>| words.relay.as_ref().is_none_or(|name| *name == relay.name);
        let of_relays = site.every_relay();
        let of_relays = of_relays.iter().filter(is_wanted).filter_map(|relay| relay.limits.as_ref());
        // What is counted together is told once.
        for limits in site.limits.iter().chain(of_relays) {
            if !all.iter().any(|known| known.file == limits.file) {
                all.push(limits);
            }
        }
    }
    let room = |limits: &&Arc<Limits>| {
        let subject = limits.subject.clone();
        let left = limit::left(limits, caller.uid).unwrap_or_default().into_iter();
        left.map(move |left| Room {
            subject: subject.clone(),
            limit: left.limit.to_string(),
            left: left.left,
            next: left.next.map(seconds),
        })
    };
    all.iter().flat_map(room).collect()
}

impl Room {
    /// As a line.
    fn told(&self) -> String {
        let Self { subject, limit, left, next } = self;
        let next = next.and_then(|next| u64::try_from(next).ok()).map(|next| UNIX_EPOCH + Duration::from_secs(next));
        shown(&format!("{subject}: {limit}: {}", limit::left_in_words(*left, next)))
    }
}

impl Count {
    fn add(&mut self, folder: Folder, due: i64, size: u64, now: i64) {
        self.size += size;
        match folder {
            Folder::Held => self.held += 1,
            Folder::Failed | Folder::Sent => self.failed += 1,
            Folder::Queue => {
                self.waiting += 1;
                if due <= now {
                    self.due += 1;
                } else {
                    self.next = Some(self.next.map_or(due, |next| next.min(due)));
                }
            }
        }
    }
}

/// Prints numbers, a line for each user.
///
/// # Errors
/// `Io`.
pub(super) fn print_counts(words: &List, counts: &[Count]) -> Result<(), Failure> {
    if words.json {
        return print_json(counts);
    }
    let columns = vec![
        fixed("USER", false),
        fixed("WAITING", true),
        fixed("DUE", true),
        fixed("NEXT", true),
        fixed("HELD", true),
        fixed("FAILED", true),
        fixed("SIZE", true),
    ];
    let now = now();
    let name = |count: &Count| count.user.as_ref().map_or_else(|| count.uid.to_string(), |user| shown(user));
    let line = |count: &Count| {
        vec![
            name(count),
            count.waiting.to_string(),
            count.due.to_string(),
            count.next.map_or_else(|| "-".to_owned(), |next| span(next - now)),
            count.held.to_string(),
            count.failed.to_string(),
            size(count.size),
        ]
    };
    let mut text = table::text(&columns, &counts.iter().map(line).collect::<Vec<_>>(), door::width());
    for count in counts.iter().filter(|count| !count.limits.is_empty()) {
        text.push('\n');
        let name = if counts.len() > 1 { name(count) + ": " } else { String::new() };
        count.limits.iter().for_each(|room| text += &format!("{name}{}\n", room.told()));
    }
    door::print(&text)
}

/// Prints messages, with a column for users where there may be several.
///
/// # Errors
/// `Io`.
pub(super) fn print_rows(words: &List, rows: &[Row], has_users: bool) -> Result<(), Failure> {
    if words.json {
        return print_json(rows);
    }
    if rows.is_empty() {
        return door::print("nothing waits, is held or was given up\n");
    }
    let mut columns = vec![
        fixed("ID", false),
        fixed("AGE", true),
        fixed("SIZE", true),
        fixed("TRIES", true),
        fixed("NEXT", false),
        flexible("FROM", 12),
        flexible("TO", 12),
        flexible("WHY", 12),
    ];
    if has_users {
        columns.insert(0, fixed("USER", false));
    }
    let now = now();
    let line = |row: &Row| {
        let to = match row.to.as_slice() {
            [] => String::new(),
            [one] => shown(one),
            [first, rest @ ..] => format!("{} +{}", shown(first), rest.len()),
        };
        let mut cells = vec![
            shown(&row.id),
            span(now - row.created),
            size(row.size),
            row.tries.to_string(),
            next(row, now),
            if row.from.is_empty() { "<>".to_owned() } else { shown(&row.from) },
            to,
            shown(&row.why),
        ];
        if has_users {
            cells.insert(0, row.owner());
        }
        cells
    };
    let mut text = table::text(&columns, &rows.iter().map(line).collect::<Vec<_>>(), door::width());
    let keeps = rows.iter().flat_map(|row| row.down.iter().chain(&row.ban));
    let down: BTreeSet<String> = keeps.map(|down| shown(down)).collect();
    if !down.is_empty() {
        text.push('\n');
        down.iter().for_each(|down| text += &format!("{down}\n"));
    }
    door::print(&text)
}

/// What happens to it next, and when.
pub(super) fn next(row: &Row, now: i64) -> String {
    match row.state {
        Fate::Waiting if row.due <= now => "due".to_owned(),
        Fate::Waiting => format!("in {}", span(row.due - now)),
        Fate::Sending => "sending".to_owned(),
        Fate::InDoubt => "in doubt".to_owned(),
        Fate::Held => "held".to_owned(),
        Fate::Failed => "failed".to_owned(),
        Fate::Sent => "sent".to_owned(),
    }
}

fn print_json<T: Serialize>(values: &[T]) -> Result<(), Failure> {
    let mut text = String::new();
    for value in values {
        let line = serde_json::to_string(value);
        text += &line.map_err(|error| Failure::new(Kind::Software, "JSON", error.to_string()))?;
        text.push('\n');
    }
    door::print(&door::harmless_json(&text))
}
