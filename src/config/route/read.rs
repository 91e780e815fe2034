//! The routes of one table: `[[route]]`, or `[[site.NAME.route]]`.

use std::path::Path;
use std::sync::Arc;

use super::glob::{AddressGlob, Glob};
use super::{Condition, Hours, Route, Size, Strategy};
use crate::config::document::{Keys, Section};
use crate::config::site::read::Shared;
use crate::failure::Failure;

/// The keys of a route: first those of what a message has to be like.
const KEYS: &[&str] = &[
    "subject",
    "from",
    "sender",
    "to",
    "cc",
    "reply_to",
    "header",
    "body",
    "larger",
    "attachment",
    "script",
    "uid",
    "cwd",
    "hour",
    "not",
    "relay",
    "strategy",
];

/// The keys of `not`.
const CONDITIONS: &[&str] = KEYS.split_at(KEYS.len() - 3).0;

/// The values of `strategy`.
pub(in crate::config) const STRATEGIES: &[(&str, Strategy)] =
    &[("order", Strategy::Order), ("spread", Strategy::Spread)];

/// The fields that a message has lost by the time a route is chosen.
const GONE: [&str; 3] = ["Bcc", "Resent-Bcc", "Return-Path"];

/// Reads the routes under `section`; `None`: it says nothing of any.
///
/// # Errors
/// `Configuration`, with the place of the key at fault: also for a route that an earlier one leaves nothing to.
pub(in crate::config) fn routes(
    section: &Section<'_>,
    shared: &Shared<'_>,
    above: &[&str],
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<[Route]>>, Failure> {
    let Some(tables) = section.tables("route")? else { return Ok(None) };
    let mut routes: Vec<Route> = Vec::with_capacity(tables.len());
    for table in tables {
        if routes.last().is_some_and(Route::is_for_all) {
            let failure =
                table.error("", "this route stands behind one without conditions, which is for every message");
            return Err(failure.hint("put the route without conditions last"));
        }
        routes.push(route(&table, shared, above, warnings)?);
    }
    Ok(Some(routes.into()))
}

fn route(
    table: &Section<'_>,
    shared: &Shared<'_>,
    above: &[&str],
    warnings: &mut Vec<String>,
) -> Result<Route, Failure> {
    table.expect(&Keys { now: KEYS, later: &[], above })?;
    if !table.has("relay") {
        let failure = table.error("", "the route names no relay");
        return Err(failure.hint("add relay = [\"NAME\"]"));
    }
    let exceptions = match table.section("not")? {
        Some(not) => {
            not.expect(&Keys { now: CONDITIONS, later: &[], above: &[] })?;
            conditions(&not, shared, warnings)?
        }
        None => Vec::new(),
    };
    Ok(Route {
        conditions: conditions(table, shared, warnings)?,
        exceptions,
        relays: shared.relays_of(table)?,
        strategy: table.word("strategy", STRATEGIES)?,
    })
}

/// The conditions of `table`, those that cost least first.
fn conditions(table: &Section<'_>, shared: &Shared<'_>, warnings: &mut Vec<String>) -> Result<Vec<Condition>, Failure> {
    let mut found = Vec::new();
    for key in table.keys() {
        found.push(match key {
            "uid" => Condition::Uid(shared.users(table, key, warnings)?.0),
            "cwd" => Condition::Cwd(read(table, key, "an absolute path", directory)?),
            "hour" => Condition::Hour(read(table, key, "hours such as \"22-06\"", Hours::parse)?),
            "sender" => Condition::Sender(addresses(table, key)?),
            "to" => Condition::To(addresses(table, key)?),
            "larger" => Condition::Larger(size(table, key)?),
            "from" => Condition::Address("From", addresses(table, key)?),
            "cc" => Condition::Address("Cc", addresses(table, key)?),
            "reply_to" => Condition::Address("Reply-To", addresses(table, key)?),
            "subject" => Condition::Subject(globs(table, key)?),
            "script" => Condition::Script(globs(table, key)?),
            "attachment" => attachment(table, key)?,
            "body" => Condition::Body(globs(table, key)?),
            "header" => {
                fields(table, key, &mut found)?;
                continue;
            }
            _ => continue,
        });
    }
    found.sort_by_key(Condition::cost);
    Ok(found)
}

/// What `parse` makes of each string under `key`, which have to be `wanted`.
fn read<T>(table: &Section<'_>, key: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    let words = table.strings(key)?.unwrap_or_default();
    if words.is_empty() {
        return Err(table.wrong(key, "is empty").hint("leave it out, or say what has to hold"));
    }
    let parsed = words
        .into_iter()
        .map(|word| parse(word).ok_or_else(|| table.wrong(key, format!("holds {word:?}, which is not {wanted}"))));
    parsed.collect()
}

fn globs(table: &Section<'_>, key: &str) -> Result<Vec<Glob>, Failure> {
    read(table, key, "a pattern", |word| Some(Glob::new(word)))
}

fn addresses(table: &Section<'_>, key: &str) -> Result<Vec<AddressGlob>, Failure> {
    let is_wrong = |failure: Failure| match failure.hint {
        None => failure.hint("write \"local@domain\", \"*@domain\", \"*@*.domain\" or \"local@*\""),
        Some(_) => failure,
    };
    // Only the envelope has a null reverse-path.
    let parse = |word: &str| AddressGlob::new(word).filter(|glob| key == "sender" || !glob.is_null());
    read(table, key, "a pattern for addresses", parse).map_err(is_wrong)
}

/// A working directory, links resolved where no wildcard keeps it from being looked up.
fn directory(text: &str) -> Option<Glob> {
    if !text.starts_with(['/', '*']) {
        return None;
    }
    let real = if text.contains(['*', '?']) { None } else { Path::new(text).canonicalize().ok() };
    Some(Glob::new(real.as_ref().and_then(|real| real.to_str()).unwrap_or(text)))
}

fn size(table: &Section<'_>, key: &str) -> Result<Size, Failure> {
    let octets = table.octets(key)?.unwrap_or_default();
    Ok(Size { octets, written: table.string(key)?.unwrap_or_default().to_owned() })
}

/// `header = { "X-Campaign" = "*" }`.
fn fields(table: &Section<'_>, key: &str, found: &mut Vec<Condition>) -> Result<(), Failure> {
    let Some(header) = table.section(key)? else { return Ok(()) };
    let names = header.keys();
    if names.is_empty() {
        return Err(table.wrong(key, "is empty").hint("write header = { \"X-Campaign\" = \"*\" }"));
    }
    for name in names {
        if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':') {
            return Err(header.wrong(name, "is not the name of a header field"));
        }
        if GONE.iter().any(|gone| name.eq_ignore_ascii_case(gone)) {
            let failure = header.wrong(name, "is removed before a route is chosen");
            return Err(failure.hint("`to` holds for everybody who gets the message, `sender` for the reverse-path"));
        }
        found.push(Condition::Header(name.to_owned(), globs(&header, name)?));
    }
    Ok(())
}

/// `attachment = true`, or a pattern for the name of a file.
fn attachment(table: &Section<'_>, key: &str) -> Result<Condition, Failure> {
    if let Ok(wanted) = table.boolean(key) {
        return Ok(Condition::Attachment(wanted.unwrap_or_default()));
    }
    let must = "must be true, false or patterns for the name of a file";
    globs(table, key).map(Condition::AttachmentName).map_err(|_| table.wrong(key, must))
}
