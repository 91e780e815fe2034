//! What an import says beside the file: which settings are not as before, and what comes next.

use serde_json::json;

use crate::cli::import::{Import, Keeping};
use crate::door;
use crate::import::Kind;
use crate::import::draft::code::{CODES, Mark};
use crate::import::draft::ledger::Item;
use crate::import::draft::{Draft, Shape};

/// Says on standard error what is not as before.
pub(super) fn tell(kind: &Kind, draft: &Draft, unaccepted: &[&str]) {
    let items = draft.ledger.items();
    let of_files: Vec<&Item> = items.iter().filter(|item| item.file.is_some()).collect();
    let count = |mark: Mark| of_files.iter().filter(|item| item.mark() == mark).count();
    let same = count(Mark::Carried) + count(Mark::Implied);
    let mut rest: Vec<String> = [Mark::Stricter, Mark::Changed, Mark::NotCarried]
        .into_iter()
        .map(|mark| (mark, count(mark)))
        .filter(|(_, count)| *count > 0)
        .map(|(mark, count)| format!("{count} {}", mark.word()))
        .collect();
    rest.insert(0, format!("{same} of {} settings as before", of_files.len()));
    door::complain(&format!("{}: {}", kind.name, rest.join(", ")));
    for item in items {
        for (code, why) in item.notes() {
            let place = item.place();
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            let must = if unaccepted.contains(&code.word) { "!" } else { " " };
            door::complain(&format!("{must} {} [{}] {place}{}: {why}", code.mark.word(), code.word, item.key));
        }
    }
}

/// Everything as one JSON object.
pub(super) fn json(kind: &Kind, draft: &Draft, shape: &Shape<'_>, unaccepted: &[&str]) -> String {
    let settings: Vec<_> = draft
        .ledger
        .items()
        .iter()
        .map(|item| {
            let notes: Vec<_> = item.notes().map(|(code, why)| json!({ "code": code.word, "said": why })).collect();
            json!({
                "file": item.file.as_ref().map(|file| file.display().to_string()),
                "line": item.line,
                "key": item.key,
                "mark": item.mark().word(),
                "notes": notes,
            })
        })
        .collect();
    let files: Vec<_> = draft.ledger.files().map(|file| file.display().to_string()).collect();
    let secrets: Vec<_> = draft.secrets().iter().map(|(name, _)| *name).collect();
    let whole = json!({
        "kind": kind.name,
        "files": files,
        "settings": settings,
        "secrets": secrets,
        "unaccepted": unaccepted,
        "toml": *draft.toml(shape),
    });
    format!("{whole}\n")
}

/// Says the next step.
pub(super) fn next(kind: &Kind, of: &Import, draft: &Draft, is_written: bool) {
    for word in of.accept.iter().filter(|word| !CODES.iter().any(|code| code.word == **word)) {
        door::complain(&format!("--accept {word}: there is no such code"));
    }
    let mut wanted: Vec<&str> = draft.wanted();
    if of.secrets == Keeping::Keep {
        wanted.extend(draft.secrets().iter().map(|(name, _)| *name));
    }
    let who = of.user.as_deref().unwrap_or("www-data");
    let step = match (is_written, wanted.first()) {
        (false, _) => format!("sudo mailchute import {} --write", kind.name),
        (true, Some(name)) => format!("sudo mailchute secret put {name}"),
        (true, None) => format!("sudo mailchute test --as {who} --to you@example.org"),
    };
    door::suggest(&step);
}
