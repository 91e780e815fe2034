//! `mailchute show`: all that is known of one message.

use std::ops::ControlFlow;

use jiff::Zoned;

use super::log::row::{self, json, status_text, user};
use super::queue;
use super::table::shown;
use crate::caller::Caller;
use crate::cli::invocation::Invocation;
use crate::cli::log::Show;
use crate::door::page::Page;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::journal::StatusWord;
use crate::journal::read::{Field, Line, Query, Records, Test};
use crate::providers::Provider;
use crate::{door, host};

/// How many records are shown of one message: a flush makes one for each try.
const MOST: usize = 500;

/// How many characters an ID has at least that is looked for.
const LEAST: usize = 4;

/// Shows the message that `words` name, as far as `caller` may see it, and returns the exit status.
pub(crate) fn run(invocation: &Invocation, words: &Show, caller: &Caller) -> u8 {
    show(invocation, words, caller).unwrap_or_else(|failure| {
        door::report(&failure);
        exit::of_kind(&failure.kind, Scheme::Reply)
    })
}

fn show(invocation: &Invocation, words: &Show, caller: &Caller) -> Result<u8, Failure> {
    let id = words.id.trim().to_ascii_lowercase();
    if id.len() < LEAST {
        return Err(Failure::new(Kind::Usage, words.id.as_str(), format!("an ID has at least {LEAST} characters"))
            .hint("`mailchute log --json` has them as id, a message that waits is named by `mailchute queue`"));
    }
    let records = Records::of(caller.uid, None);
    let found = gather(&records, Test::Begins(Field::Id, id.clone()));
    // Without any record the spool may have it still.
    let found = match found {
        Err(failure) if queue::told_of(invocation, &id, caller)?.is_none() => return Err(failure),
        found => found.unwrap_or_default(),
    };
    let mut lines: Vec<Line<'_>> = found.iter().filter_map(|octets| Line::read(octets)).collect();
    lines.sort_by_key(Line::time);
    let mut ids: Vec<String> = lines.iter().filter_map(|line| Some(line.text(Field::Id)?.into_owned())).collect();
    ids.sort();
    ids.dedup();
    if ids.len() > 1 && !ids.contains(&id) {
        let named: Vec<String> = ids.iter().take(5).map(|id| shown(id)).collect();
        return Err(Failure::new(Kind::Usage, id, format!("several IDs begin so: {}", named.join(", ")))
            .hint("write more of it"));
    }
    let id = if ids.contains(&id) { id } else { ids.pop().unwrap_or(id) };
    lines.retain(|line| line.text(Field::Id).is_some_and(|of| of == id));
    let waits = queue::told_of(invocation, &id, caller)?;
    if lines.is_empty() && waits.is_none() {
        return Err(unknown(&id, caller));
    }
    let again = gather(&records, Test::Is(Field::ResendOf, id)).unwrap_or_default();
    let again: Vec<Line<'_>> = again.iter().filter_map(|octets| Line::read(octets)).collect();
    let text = match words.json {
        true => lines.iter().chain(&again).map(json).collect(),
        false => page(&lines, waits.as_deref(), &again),
    };
    let mut page = Page::open(!words.json);
    let done = page.write(text.as_bytes());
    page.close();
    door::heard(done)?;
    Ok(exit::OK)
}

fn gather(records: &Records, test: Test) -> Result<Vec<Vec<u8>>, Failure> {
    let mut found = Vec::new();
    records.newest(&Query::default().with(test), |line| {
        found.push(line.octets().to_vec());
        if found.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

fn unknown(id: &str, caller: &Caller) -> Failure {
    let next = match caller.uid {
        0 => "`mailchute log` lists what is; what is older than log.keep is gone".to_owned(),
        _ => format!("`mailchute log` lists your own; `sudo mailchute show {}` looks at everybody's", shown(id)),
    };
    Failure::new(Kind::NoInput, id, "no record and no message that waits has this ID").hint(next)
}

/// The whole life of a message.
fn page(lines: &[Line<'_>], waits: Option<&str>, again: &[Line<'_>]) -> String {
    let now = host::now();
    let mut out = String::new();
    if let Some(line) = lines.first() {
        out += &head(line, lines.last().unwrap_or(line));
    }
    for line in lines {
        out += &event(line, &now);
    }
    if let Some(waits) = waits {
        out += "\nIn the spool\n";
        // Behind an empty line there is the header section.
        let told = waits.split("\n\n").next().unwrap_or_default();
        told.lines().for_each(|line| out += &format!("  {line}\n"));
    }
    if !again.is_empty() {
        out += "\nSent again\n";
    }
    for line in again {
        let id = shown(&line.text(Field::Id).unwrap_or_default());
        out += &format!("  {}  {}  mailchute show {id}\n", moment(line, &now), status_text(line));
    }
    out
}

/// What does not change from one try to the next.
fn head(line: &Line<'_>, last: &Line<'_>) -> String {
    let mut out = String::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            out += &format!("{:<12}{}\n", format!("{name}:"), shown(value));
        }
    };
    let text = |field| line.text(field).unwrap_or_default().into_owned();
    fact("id", &text(Field::Id));
    fact("status", last.status().name());
    fact("site", &text(Field::Site));
    fact("user", &user(line));
    for (name, field) in [
        ("script", Field::Script),
        ("directory", Field::Cwd),
        ("unit", Field::Unit),
        ("job", Field::Job),
        ("pool", Field::Pool),
        ("web host", Field::WebHost),
    ] {
        fact(name, &text(field));
    }
    let above = line.list(Field::Parents);
    fact("called by", &if above.is_empty() { text(Field::Parent) } else { above.join(" < ") });
    fact("command", &line.list(Field::Argv).join(" "));
    fact("tag", &text(Field::Tag));
    if line.has(Field::From) {
        let from = text(Field::From);
        fact("from", if from.is_empty() { "<>" } else { &from });
    }
    for recipient in line.list(Field::To) {
        fact("to", &recipient);
    }
    for recipient in line.list(Field::DivertedFrom) {
        fact("away from", &recipient);
    }
    fact("message-id", &text(Field::MessageId));
    fact("size", &line.number(Field::Size).map(queue::size).unwrap_or_default());
    out
}

fn moment(line: &Line<'_>, now: &Zoned) -> String {
    row::moment(line.time().unwrap_or_default(), now.time_zone(), "%Y-%m-%d %H:%M:%S")
}

/// One record: what was tried and what was said.
fn event(line: &Line<'_>, now: &Zoned) -> String {
    let text = |field| line.text(field).map(|value| shown(&value)).unwrap_or_default();
    let ms = line.number(Field::Ms).unwrap_or(0);
    let again = if line.is_again() { ", from the spool" } else { "" };
    let mut out =
        format!("\n{}  {}{again}, {ms} ms, exit status {}\n", moment(line, now), status_text(line), line.exit());
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            out += &format!("  {:<12}{value}\n", format!("{name}:"));
        }
    };
    let relay = text(Field::Relay);
    let by = match line.text(Field::By).as_deref() {
        Some("relay") => format!("relay {relay}"),
        _ if relay.is_empty() => "mailchute".to_owned(),
        _ => format!("mailchute, relay {relay}"),
    };
    let said = [text(Field::Enhanced), text(Field::Text)].join(" ");
    fact("said", &format!("{} ({by})", said.trim()));
    fact("stage", &text(Field::Stage));
    fact("tls", &text(Field::Tls));
    let tries = line.tries();
    // A single try says what the record says.
    for tried in tries.iter().filter(|_| tries.len() > 1) {
        let peer = tried.peer.as_ref().map(|peer| format!(" at {}", shown(peer))).unwrap_or_default();
        let code = tried.code.filter(|code| !tried.text.starts_with(&code.to_string())).map(|code| format!("{code} "));
        let said = format!("{}{}", code.unwrap_or_default(), shown(&tried.text));
        fact("tried", &format!("{}{peer}, {} ms: {said}", shown(&tried.relay), tried.ms));
    }
    if let ([only], true) = (tries.as_slice(), tries.len() == 1) {
        fact("peer", &only.peer.as_ref().map(|peer| shown(peer)).unwrap_or_default());
    }
    if let Some(id) = line.text(Field::ProviderId) {
        let provider = line.text(Field::Provider).and_then(|id| Provider::find(&id));
        let name = provider.map(|provider| provider.name);
        let whose = name.map(|name| format!(" at {name}, whose log tells what became of it later")).unwrap_or_default();
        fact("provider id", &format!("{}{whose}", shown(&id)));
        let ask = provider.and_then(|provider| provider.status_query?.of(&id));
        fact("ask it", &ask.unwrap_or_default());
    }
    fact("key", &text(Field::Key));
    for (name, field) in [("repaired", Field::Repairs), ("warning", Field::Warnings), ("ignored", Field::Ignored)] {
        line.list(field).iter().for_each(|item| fact(name, &shown(item)));
    }
    fact("hint", &text(Field::Hint));
    let dialogue = line.list(Field::Dialogue);
    if !dialogue.is_empty() {
        out += "  dialogue, its end:\n";
        dialogue.iter().for_each(|line| out += &format!("    {}\n", shown(line)));
    }
    if line.status() == StatusWord::InDoubt && !line.has(Field::Hint) {
        out += "  hint:       look for the Message-ID in the provider's log before you send it again\n";
    }
    out
}
