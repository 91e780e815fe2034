//! Figures of many records: how messages fared, how long it took, and why not.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::journal::StatusWord;
use crate::journal::read::{Field, Line};

/// How many groups, and how many reasons, are told apart; the others are counted together.
const GROUPS: usize = 20_000;

/// How long a part of the time is that is counted by itself, in milliseconds: every offset of a zone is a multiple of it.
pub(in crate::tools) const SLOT: i64 = 15 * 60 * 1000;

/// The longest name that is kept, in octets.
const NAME: usize = 200;

/// By what messages are grouped: one field, or site and relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum By {
    /// Site and relay.
    SiteAndRelay,
    /// This field.
    Field(Field),
}

/// The figures of one thread, or of all.
#[derive(Debug, Default)]
pub(in crate::tools) struct Tally {
    groups: Groups,
    reasons: HashMap<Vec<u8>, Reason>,
    /// Messages by time, in [`SLOT`]s since 1970.
    pub(in crate::tools) slots: BTreeMap<i64, Slot>,
    /// The first and the last moment.
    pub(in crate::tools) span: Option<(i64, i64)>,
    /// Messages that waited at some time, by ID: when that was said last, and in which group.
    waiting: HashMap<Vec<u8>, (i64, Vec<u8>)>,
    /// Messages that had waited, and of which the end is known.
    ended: HashSet<Vec<u8>>,
    /// The name of the group of the line that is counted.
    key: Vec<u8>,
    /// The part of the time that is counted.
    current: (i64, Slot),
}

/// One group: of messages with the same site and relay, the same script, ...
#[derive(Clone, Debug, Default)]
pub(in crate::tools) struct Group {
    /// By [`StatusWord`], but for those that wait.
    counts: [u64; StatusWord::ALL.len()],
    /// Those that wait still, as far as the records know.
    pub(in crate::tools) waiting: u64,
    times: Times,
}

/// Messages of a part of the time.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tools) struct Slot {
    /// All of them.
    pub(in crate::tools) all: u64,
    /// Those that went wrong: refused, deferred, failed or in doubt.
    pub(in crate::tools) bad: u64,
}

/// Why messages were not accepted.
#[derive(Clone, Debug)]
pub(in crate::tools) struct Reason {
    /// How many.
    pub(in crate::tools) count: u64,
    /// Reply code and enhanced status code, as far as there are any.
    pub(in crate::tools) code: String,
    /// Who said it; empty: this program.
    pub(in crate::tools) relay: String,
    /// What was said, the first time that it was seen.
    pub(in crate::tools) text: String,
    /// What to do about it.
    pub(in crate::tools) hint: String,
}

impl Group {
    /// How many messages fared so.
    pub(in crate::tools) fn count(&self, status: StatusWord) -> u64 {
        self.counts[status as usize]
    }

    /// Those that were not accepted and do not wait.
    pub(in crate::tools) fn not_accepted(&self) -> u64 {
        self.counts.iter().sum::<u64>() - self.count(StatusWord::Accepted)
    }

    /// All messages.
    pub(in crate::tools) fn all(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.waiting
    }

    /// The time that this part of the messages took at most, in milliseconds, to three per cent.
    pub(in crate::tools) fn quantile(&self, part: f64) -> Option<u64> {
        self.times.quantile(part)
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.waiting += other.waiting;
        self.times.merge(&other.times);
    }
}

impl Tally {
    /// Counts `line`.
    pub(in crate::tools) fn add(&mut self, line: &Line<'_>, by: By) {
        let status = line.status();
        let mut key = std::mem::take(&mut self.key);
        name_group(&mut key, line, by);
        let time = line.time();
        if let Some(time) = time {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
            let is_again = line.is_again();
            let at = time.div_euclid(SLOT);
            // Most come in order.
            if self.current.0 != at {
                self.settle();
                self.current.0 = at;
            }
            let slot = &mut self.current.1;
            slot.all += u64::from(!is_again);
            slot.bad += u64::from(!matches!(status, StatusWord::Accepted | StatusWord::Spooled | StatusWord::Held));
        }
        match status {
            StatusWord::Spooled | StatusWord::Held => {
                let id = id(line);
                let time = time.unwrap_or(0);
                let known = self.waiting.entry(id).or_insert((time, key.clone()));
                if known.0 < time {
                    *known = (time, key.clone());
                }
            }
            _ => {
                let group = self.groups.get(&key);
                group.counts[status as usize] += 1;
                if let Some(ms) = line.number(Field::Ms).filter(|_| line.has(Field::Relay)) {
                    group.times.add(ms);
                }
                if line.is_again() {
                    self.ended.insert(id(line));
                }
            }
        }
        self.key = key;
        if status != StatusWord::Accepted {
            self.note_reason(line);
        }
    }

    /// Enters what was counted of the current part of the time.
    fn settle(&mut self) {
        let (at, Slot { all, bad }) = std::mem::take(&mut self.current);
        if all + bad > 0 {
            let slot = self.slots.entry(at).or_default();
            slot.all += all;
            slot.bad += bad;
        }
    }

    fn note_reason(&mut self, line: &Line<'_>) {
        let text = |field| line.text(field).unwrap_or_default();
        let (code, enhanced, relay) = (line.code(), text(Field::Enhanced), text(Field::Relay));
        let code = [code.map(|code| code.to_string()).unwrap_or_default(), enhanced.into_owned()].join(" ");
        let code = code.trim().to_owned();
        let said = text(Field::Text);
        // The same trouble with another number, port or name of a host is the same trouble.
        let what: String = match code.is_empty() {
            true => said.chars().filter(|c| !c.is_ascii_digit()).take(NAME).collect(),
            false => String::new(),
        };
        let key = [code.as_bytes(), relay.as_bytes(), what.as_bytes()].join(&b'\0');
        if let Some(reason) = self.reasons.get_mut(&key) {
            reason.count += 1;
            if reason.hint.is_empty() && line.has(Field::Hint) {
                reason.hint = text(Field::Hint).into_owned();
            }
        } else if self.reasons.len() < GROUPS {
            let (relay, text, hint) = (relay.into_owned(), said.into_owned(), text(Field::Hint).into_owned());
            self.reasons.insert(key, Reason { count: 1, code, relay, text, hint });
        }
    }

    /// The figures of all of `tallies`.
    pub(in crate::tools) fn all(tallies: Vec<Self>) -> Self {
        let mut all = Self::default();
        for mut tally in tallies {
            tally.settle();
            for (key, group) in tally.groups.list {
                all.groups.get(&key).merge(&group);
            }
            for (key, reason) in tally.reasons {
                match all.reasons.get_mut(&key) {
                    Some(known) => {
                        known.count += reason.count;
                        if known.hint.is_empty() {
                            known.hint = reason.hint;
                        }
                    }
                    None => drop(all.reasons.insert(key, reason)),
                }
            }
            for (at, slot) in tally.slots {
                let known = all.slots.entry(at).or_default();
                known.all += slot.all;
                known.bad += slot.bad;
            }
            for (id, said) in tally.waiting {
                let known = all.waiting.entry(id).or_insert_with(|| said.clone());
                if known.0 < said.0 {
                    *known = said;
                }
            }
            all.ended.extend(tally.ended);
            all.span = match (all.span, tally.span) {
                (Some((first, last)), Some((other, later))) => Some((first.min(other), last.max(later))),
                (span, other) => span.or(other),
            };
        }
        // What waited once and was sent by a flush waits no longer.
        for (id, (_, key)) in std::mem::take(&mut all.waiting) {
            if !all.ended.contains(&id) {
                all.groups.get(&key).waiting += 1;
            }
        }
        all
    }

    /// The groups by their names, the largest first.
    pub(in crate::tools) fn groups(&self) -> Vec<(Vec<String>, &Group)> {
        let names = |key: &[u8]| key.split(|octet| *octet == 0).map(name).collect();
        let mut groups: Vec<(Vec<String>, &Group)> =
            self.groups.list.iter().map(|(key, group)| (names(key), group)).collect();
        groups.sort_by(|(a, x), (b, y)| (y.all(), a).cmp(&(x.all(), b)));
        groups
    }

    /// Everything together.
    pub(in crate::tools) fn total(&self) -> Group {
        let mut total = Group::default();
        self.groups.list.iter().for_each(|(_, group)| total.merge(group));
        total
    }

    /// Why messages were not accepted, the most frequent reason first.
    pub(in crate::tools) fn reasons(&self) -> Vec<&Reason> {
        let mut reasons: Vec<&Reason> = self.reasons.values().collect();
        reasons.sort_by(|a, b| (b.count, &a.code, &a.text).cmp(&(a.count, &b.code, &b.text)));
        reasons
    }
}

/// Groups by their names.
#[derive(Debug, Default)]
struct Groups {
    places: HashMap<Vec<u8>, usize>,
    list: Vec<(Vec<u8>, Group)>,
}

impl Groups {
    /// The group of this name; where there are too many, the one for the rest.
    fn get(&mut self, name: &[u8]) -> &mut Group {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => self.add(name),
        };
        &mut self.list[place].1
    }

    fn add(&mut self, name: &[u8]) -> usize {
        let name = if self.list.len() < GROUPS { name } else { b"(others)" };
        let list = &mut self.list;
        *self.places.entry(name.to_owned()).or_insert_with(|| {
            list.push((name.to_owned(), Group::default()));
            list.len() - 1
        })
    }
}

/// The message's ID, bounded.
fn id(line: &Line<'_>) -> Vec<u8> {
    let id = line.text(Field::Id).unwrap_or_default();
    id.as_bytes()[..id.len().min(NAME)].to_vec()
}

/// Writes the name of the group that `line` is in.
fn name_group(key: &mut Vec<u8>, line: &Line<'_>, by: By) {
    key.clear();
    match by {
        By::SiteAndRelay => {
            add_value(key, line, Field::Site);
            key.push(0);
            add_value(key, line, Field::Relay);
        }
        By::Field(Field::Status) => key.extend_from_slice(line.status().name().as_bytes()),
        By::Field(field) => add_value(key, line, field),
    }
}

fn add_value(key: &mut Vec<u8>, line: &Line<'_>, field: Field) {
    let value = match (line.text(field), line.number(field)) {
        (Some(text), _) => text,
        (None, Some(number)) => Cow::Owned(number.to_string()),
        (None, None) => Cow::Owned(line.list(field).join(" ")),
    };
    let value = &value.as_bytes()[..value.len().min(NAME)];
    // What separates names is in none.
    match value.contains(&0) {
        true => key.extend(value.iter().filter(|octet| **octet != 0)),
        false => key.extend_from_slice(value),
    }
}

fn name(octets: &[u8]) -> String {
    if octets.is_empty() { "-".to_owned() } else { String::from_utf8_lossy(octets).into_owned() }
}

/// How often something took how long: in steps of a thirty-second part, so that a million fit into a page.
#[derive(Clone, Debug, Default)]
struct Times {
    counts: Vec<u32>,
}

impl Times {
    const STEPS: u64 = 32;

    fn step(ms: u64) -> usize {
        let ms = ms.min(1 << 40);
        if ms < Self::STEPS {
            return usize::try_from(ms).unwrap_or(0);
        }
        let power = u64::from(ms.ilog2());
        let within = (ms >> (power - 5)) - Self::STEPS;
        usize::try_from((power - 4) * Self::STEPS + within).unwrap_or(0)
    }

    /// The middle of a step.
    fn value(step: usize) -> u64 {
        let step = step as u64;
        if step < Self::STEPS {
            return step;
        }
        let power = step / Self::STEPS + 4;
        let width = 1 << (power - 5);
        (Self::STEPS + step % Self::STEPS) * width + width / 2
    }

    fn add(&mut self, ms: u64) {
        let step = Self::step(ms);
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] = self.counts[step].saturating_add(1);
    }

    fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine = mine.saturating_add(*theirs));
    }

    fn quantile(&self, part: f64) -> Option<u64> {
        let all: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let wanted = ((all as f64) * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.counts
            .iter()
            .position(|count| {
                seen += u64::from(*count);
                seen >= wanted
            })
            .map(Self::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_per_cent() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), None);
        for ms in 1..=10_000 {
            times.add(ms);
        }
        for (part, expected) in [(0.5, 5000.0), (0.95, 9500.0), (0.001, 10.0)] {
            let found = times.quantile(part).expect("a time") as f64;
            assert!((found - expected).abs() <= expected * 0.03, "{part}: {found}");
        }
        for ms in [0, 1, 31, 32, 33, 63, 64, 1000, 60_000, u64::MAX] {
            let value = Times::value(Times::step(ms)) as f64;
            let ms = ms.min(1 << 40) as f64;
            assert!((value - ms).abs() <= ms * 0.03, "{ms}: {value}");
        }
    }

    fn tally(lines: &[&str]) -> Tally {
        // As two threads would.
        let halves = lines.chunks(2).map(|lines| {
            let mut tally = Tally::default();
            for line in lines {
                tally.add(&Line::read(line.as_bytes()).expect("a record"), By::SiteAndRelay);
            }
            tally
        });
        Tally::all(halves.collect())
    }

    #[test]
    fn what_waited_and_was_sent_counts_once() {
        let tally = tally(&[
            r#"{"v":1,"time":"2026-11-27T10:00:00.000Z","id":"a","status":"spooled","site":"shop","relay":"main","code":451,"text":"later","ms":5,"exit":0}"#,
            r#"{"v":1,"time":"2026-11-27T10:00:01.000Z","id":"b","status":"spooled","site":"shop","relay":"main","code":451,"text":"later","ms":5,"exit":0}"#,
            r#"{"v":1,"time":"2026-11-27T10:01:00.000Z","id":"a","status":"spooled","site":"shop","relay":"main","retry":true,"code":451,"text":"later","ms":5,"exit":0}"#,
            r#"{"v":1,"time":"2026-11-27T10:02:00.000Z","id":"a","status":"accepted","site":"shop","relay":"main","retry":true,"code":250,"text":"ok","ms":7,"exit":0}"#,
            r#"{"v":1,"time":"2026-11-27T10:02:00.000Z","id":"c","status":"refused","site":"blog","relay":"main","code":550,"enhanced":"5.1.1","text":"no such user ann","hint":"ask","ms":9,"exit":150}"#,
            r#"{"v":1,"time":"2026-11-27T10:02:00.000Z","id":"d","status":"refused","site":"blog","relay":"main","code":550,"enhanced":"5.1.1","text":"no such user bob","ms":9,"exit":150}"#,
        ]);
        let groups = tally.groups();
        let shop = groups.iter().find(|(names, _)| names[0] == "shop").expect("a group").1;
        assert_eq!((shop.all(), shop.count(StatusWord::Accepted), shop.waiting), (2, 1, 1));
        let blog = groups.iter().find(|(names, _)| names[..] == ["blog", "main"]).expect("a group").1;
        assert_eq!((blog.all(), blog.count(StatusWord::Refused), blog.quantile(0.5)), (2, 2, Some(9)));
        assert_eq!(tally.total().all(), 4);
        let reasons: Vec<_> = tally.reasons().iter().map(|reason| (reason.count, reason.code.as_str())).collect();
        assert_eq!(reasons, [(3, "451"), (2, "550 5.1.1")]);
        assert_eq!(tally.reasons()[1].hint, "ask");
        assert_eq!(tally.slots.values().map(|slot| (slot.all, slot.bad)).collect::<Vec<_>>(), [(4, 2)]);
    }
}
