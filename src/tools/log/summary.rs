//! `mailchute log --summary`: figures, reasons and a picture of the days.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::row::moment;
use super::tally::{By, Group, Reason, SLOT, Slot, Tally};
use crate::failure::{Failure, Kind};
use crate::journal::StatusWord;
use crate::tools::table::{self, Column, Layout, fixed, flexible, shown};

/// How many groups a table has.
pub(in crate::tools) const ROWS: usize = 40;
/// How many reasons are told.
pub(in crate::tools) const REASONS: usize = 5;
/// How many days are drawn.
pub(in crate::tools) const DAYS: usize = 31;
/// Where a terminal has room for wide gaps.
const ROOMY: usize = 90;
/// How wide a picture is where there is no terminal, and at most.
const WIDTH: usize = 80;

/// The figures as a page.
pub(in crate::tools) fn text(tally: &Tally, by: By, now: &Zoned, width: Option<usize>) -> String {
    let total = tally.total();
    let mut out = format!("{}\n\n{}", span(tally, &total, now), groups(tally, by, &total, width));
    let reasons = tally.reasons();
    if !reasons.is_empty() {
        out += "\nWhy messages were not accepted\n";
    }
    for reason in reasons.iter().take(REASONS) {
        out += &cut(&format!("{:>8}  {}", thousands(reason.count), told(reason)), width);
        if !reason.hint.is_empty() {
            out += &cut(&format!("          -> {}", shown(&reason.hint)), None);
        }
    }
    if let Some((count, others)) = others(&reasons) {
        out += &format!("{:>8}  {others}\n", thousands(count));
    }
    out + &pictures(tally, now, width)
}

/// What was said, and by which relay.
pub(in crate::tools) fn told(reason: &Reason) -> String {
    let said = format!("{} {}", shown(&reason.code), shown(&reason.text));
    let who = if reason.relay.is_empty() { String::new() } else { format!(" ({})", shown(&reason.relay)) };
    said.trim().to_owned() + &who
}

/// How many messages were not accepted for another reason than the first ones, and what is said of them; `None`: none.
pub(in crate::tools) fn others(reasons: &[&Reason]) -> Option<(u64, String)> {
    let others = reasons.get(REASONS..).filter(|others| !others.is_empty())?;
    let s = if others.len() == 1 { "" } else { "s" };
    Some((others.iter().map(|reason| reason.count).sum(), format!("for {} other reason{s}", others.len())))
}

fn cut(line: &str, width: Option<usize>) -> String {
    width.map_or_else(|| line.to_owned(), |width| table::cut(line, width)) + "\n"
}

fn zoned(time: i64, now: &Zoned) -> Zoned {
    Timestamp::from_millisecond(time).unwrap_or_default().to_zoned(now.time_zone().clone())
}

/// From when to when, and how many.
pub(in crate::tools) fn span(tally: &Tally, total: &Group, now: &Zoned) -> String {
    let count = total.all();
    let messages = format!("{} message{}", thousands(count), if count == 1 { "" } else { "s" });
    let Some((first, last)) = tally.span else { return messages };
    let told = |time| moment(time, now.time_zone(), "%Y-%m-%d %H:%M");
    format!("{messages}, {} to {}", told(first), told(last))
}

/// The statuses that have a column.
const STATUSES: [(StatusWord, &str); 5] = [
    (StatusWord::Accepted, "ACCEPTED"),
    (StatusWord::Deferred, "DEFERRED"),
    (StatusWord::Refused, "REFUSED"),
    (StatusWord::InDoubt, "IN DOUBT"),
    (StatusWord::Failed, "FAILED"),
];

/// What each of [`figures`] is.
pub(in crate::tools) fn headings() -> impl Iterator<Item = &'static str> {
    ["ALL"].into_iter().chain(STATUSES.map(|(_, name)| name)).chain(["WAITING", "MEDIAN", "95%"])
}

/// The figures of a group, for people.
pub(in crate::tools) fn figures(group: &Group) -> impl Iterator<Item = String> {
    let time = |part| group.quantile(part).map_or_else(|| "-".to_owned(), took);
    let last = [thousands(group.waiting), time(0.5), time(0.95)];
    let statuses = STATUSES.iter().map(|(status, _)| thousands(group.count(*status)));
    [thousands(group.all())].into_iter().chain(statuses).chain(last)
}

fn groups(tally: &Tally, by: By, total: &Group, width: Option<usize>) -> String {
    let mut columns: Vec<Column> = match by {
        By::SiteAndRelay => vec![flexible("SITE", 6), flexible("RELAY", 6)],
        By::Field(field) => vec![flexible(heading(field.name()), 12)],
    };
    columns.extend(headings().map(|name| fixed(name, true)));
    let cells = |names: &[String], group: &Group| -> Vec<String> {
        names.iter().map(|name| shown(name)).chain(figures(group)).collect()
    };
    let every = tally.groups();
    let mut rows: Vec<Vec<String>> =
        every.iter().take(ROWS).map(|(names, group)| cells(&fitted(names, by), group)).collect();
    if every.len() > 1 {
        rows.push(cells(&fitted(&["all".to_owned()], by), total));
    }
    let cells: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
    let gap = if width.is_some_and(|width| width < ROOMY) { 1 } else { 2 };
    let layout = Layout::fit(columns, &cells, width, gap);
    let lines = rows.iter().map(|row| layout.line(row, |_, text| text.to_owned()));
    let mut text = layout.head() + &lines.collect::<String>();
    if every.len() > ROWS {
        text += &format!("and {} more\n", every.len() - ROWS);
    }
    text
}

/// As many names as there are columns for them.
fn fitted(names: &[String], by: By) -> Vec<String> {
    let count = if by == By::SiteAndRelay { 2 } else { 1 };
    let mut names: Vec<String> = names.iter().take(count).cloned().collect();
    names.resize(count, String::new());
    names
}

fn heading(name: &'static str) -> &'static str {
    match name {
        "script" => "SCRIPT",
        "site" => "SITE",
        "relay" => "RELAY",
        "user" => "USER",
        "cwd" => "DIRECTORY",
        name => name,
    }
}

/// `1,234,567`.
pub(in crate::tools) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time that something took.
pub(in crate::tools) fn took(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=59_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

/// Messages by hour of the day, and by day, where `now` is.
pub(in crate::tools) fn hours_and_days(tally: &Tally, now: &Zoned) -> ([u64; 24], BTreeMap<Date, Slot>) {
    let (mut hours, mut days) = ([0_u64; 24], BTreeMap::<Date, Slot>::new());
    for (at, slot) in &tally.slots {
        let at = zoned(at * SLOT, now);
        hours[usize::try_from(at.hour()).unwrap_or(0)] += slot.all;
        let day = days.entry(at.date()).or_default();
        day.all += slot.all;
        day.bad += slot.bad;
    }
    (hours, days)
}

/// The hours of the day and the days, drawn.
fn pictures(tally: &Tally, now: &Zoned, width: Option<usize>) -> String {
    let (hours, days) = hours_and_days(tally, now);
    let most = hours.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    const BARS: [char; 9] =
        [' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
    let bar = |count: &u64| BARS[usize::try_from((count * 8).div_ceil(most)).unwrap_or(8)];
    let drawn: String = hours.iter().flat_map(|count| [bar(count), bar(count)]).collect();
    let mut out = format!("\nHours of the day (most: {})\n  {}\n", thousands(most), drawn.trim_end());
    out += "  0     3     6     9     12    15    18    21\n";
    out += "\nDays (\u{2588} went well, \u{2592} refused, deferred, failed or in doubt)\n";
    let skipped = days.len().saturating_sub(DAYS);
    let shown: Vec<(&Date, &Slot)> = days.iter().skip(skipped).collect();
    let most = shown.iter().map(|(_, slot)| slot.all.max(slot.bad)).max().unwrap_or(1).max(1);
    let room = u64::try_from(width.unwrap_or(WIDTH).min(WIDTH).saturating_sub(28).max(10)).unwrap_or(10);
    if skipped > 0 {
        out += &format!("  {skipped} more before\n");
    }
    for (date, slot) in shown {
        let bad = slot.bad.min(slot.all);
        let length = (slot.all * room).div_ceil(most);
        // Whatever went wrong is seen, however little it is.
        let of_bad = if bad == 0 { 0 } else { (bad * room / most).max(1).min(length) };
        let bar = "\u{2588}".repeat(usize::try_from(length - of_bad).unwrap_or(0))
            + &"\u{2592}".repeat(usize::try_from(of_bad).unwrap_or(0));
        out += &format!("  {} {bar} {}", date.strftime("%a %Y-%m-%d"), thousands(slot.all));
        out += &if bad > 0 { format!(" ({})\n", thousands(bad)) } else { "\n".to_owned() };
    }
    out
}

/// The figures for a program.
#[derive(Serialize)]
struct Figures {
    since: Option<String>,
    until: Option<String>,
    all: Numbers,
    groups: Vec<Numbers>,
    reasons: Vec<Said>,
}

#[derive(Serialize)]
struct Numbers {
    names: Vec<String>,
    all: u64,
    accepted: u64,
    deferred: u64,
    refused: u64,
    in_doubt: u64,
    failed: u64,
    waiting: u64,
    median_ms: Option<u64>,
    p95_ms: Option<u64>,
}

#[derive(Serialize)]
struct Said {
    count: u64,
    code: String,
    relay: String,
    text: String,
    hint: String,
}

/// The figures as one JSON object.
///
/// # Errors
/// `Software`.
pub(super) fn json(tally: &Tally) -> Result<String, Failure> {
    let numbers = |names: Vec<String>, group: &Group| Numbers {
        names: names.iter().map(|name| shown(name)).collect(),
        all: group.all(),
        accepted: group.count(StatusWord::Accepted),
        deferred: group.count(StatusWord::Deferred),
        refused: group.count(StatusWord::Refused),
        in_doubt: group.count(StatusWord::InDoubt),
        failed: group.count(StatusWord::Failed),
        waiting: group.waiting,
        median_ms: group.quantile(0.5),
        p95_ms: group.quantile(0.95),
    };
    let time = |time| format!("{:.3}", Timestamp::from_millisecond(time).unwrap_or_default());
    let figures = Figures {
        since: tally.span.map(|(first, _)| time(first)),
        until: tally.span.map(|(_, last)| time(last)),
        all: numbers(Vec::new(), &tally.total()),
        groups: tally.groups().into_iter().map(|(names, group)| numbers(names, group)).collect(),
        reasons: tally
            .reasons()
            .into_iter()
            .map(|reason| Said {
                count: reason.count,
                code: shown(&reason.code),
                relay: shown(&reason.relay),
                text: shown(&reason.text),
                hint: shown(&reason.hint),
            })
            .collect(),
    };
    let text = serde_json::to_string(&figures);
    text.map(|text| text + "\n").map_err(|error| Failure::new(Kind::Software, "JSON", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::read::{Field, Line};
    use crate::reply::is_hidden;

    #[test]
    fn a_page_has_figures_reasons_and_pictures_and_fits() {
        let mut tally = Tally::default();
        for number in 0..200 {
            let (status, code, text) = match number % 10 {
                0 => ("refused", 550, "no such user"),
                1 => ("deferred", 451, "greylisted"),
                _ => ("accepted", 250, "ok"),
            };
            let line = format!(
                r#"{{"v":1,"time":"2026-11-{:02}T{:02}:00:00.000Z","id":"{number}","status":"{status}","site":"shop","relay":"main","code":{code},"text":"{text}","hint":"look there","ms":{number},"exit":0}}"#,
                20 + number % 7,
                number % 24,
            );
            tally.add(&Line::read(line.as_bytes()).expect("a record"), By::SiteAndRelay);
        }
        let tally = Tally::all(vec![tally]);
        let now: Zoned = "2026-11-27T10:00:00+01:00[+01:00]".parse().expect("a time");
        for width in [Some(80), Some(120), None] {
            let page = text(&tally, By::SiteAndRelay, &now, width);
            for part in ["200 messages, 2026-11-20 ", "main", "160", "550 no such user (main)", "-> look there", "Days"]
            {
                assert!(page.contains(part), "{part}\n{page}");
            }
            let longest = page.lines().map(|line| line.chars().count()).max();
            assert!(width.is_none() || longest <= width, "{page}");
        }
        let figures: serde_json::Value = serde_json::from_str(&json(&tally).expect("JSON")).expect("JSON");
        assert_eq!((&figures["all"]["all"], &figures["groups"][0]["refused"]), (&200.into(), &20.into()));
    }

    #[test]
    fn nothing_that_a_record_says_moves_a_terminal() {
        const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n1";
        let mut line =
            serde_json::json!({ "v": 1, "time": "2026-11-27T10:00:00.000Z", "code": 550, "exit": 150, "ms": 1 });
        for name in
            ["id", "by", "site", "user", "cwd", "script", "relay", "provider", "enhanced", "text", "hint", "tag"]
        {
            line[name] = HOSTILE.into();
        }
        line["status"] = "failed".into();
        let now: Zoned = "2026-11-27T10:00:00+00:00[+00:00]".parse().expect("a time");
        for by in [By::SiteAndRelay, By::Field(Field::Script), By::Field(Field::Cwd)] {
            let mut tally = Tally::default();
            tally.add(&Line::read(line.to_string().as_bytes()).expect("a record"), by);
            let tally = Tally::all(vec![tally]);
            let page = text(&tally, by, &now, None) + &json(&tally).expect("JSON");
            assert!(page.contains("31m"), "{page}");
            assert!(!page.chars().any(|c| is_hidden(c) && c != '\n'), "{page:?}");
        }
    }

    #[test]
    fn numbers_are_for_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        for (ms, text) in [(0, "0 ms"), (999, "999 ms"), (1250, "1.2 s"), (61_000, "1 min")] {
            assert_eq!(took(ms), text);
        }
    }
}
