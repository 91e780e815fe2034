//! What an import says beside the file: which settings are not as before, and what comes next.

use serde_json::json;

use crate::cli::import::{Import, Keeping, Reading};
use crate::door;
use crate::import::Program;
use crate::import::draft::code::{CODES, Mark};
use crate::import::draft::ledger::Item;
use crate::import::draft::{Draft, Shape};

/// Says on standard error what is not as before.
pub(super) fn tell(kind: &Program, draft: &Draft, unaccepted: &[&str]) {
    lines(kind, draft, unaccepted, &[]).iter().for_each(|line| door::complain(line));
}

/// The same as lines, without what is said by the codes `but`; what is in `unaccepted` is marked.
pub(in crate::tools) fn lines(kind: &Program, draft: &Draft, unaccepted: &[&str], but: &[&str]) -> Vec<String> {
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
    let mut lines = vec![format!("{}: {}", kind.name, rest.join(", "))];
    for item in items {
        for (code, why) in item.notes().filter(|(code, _)| !but.contains(&code.word)) {
            let place = item.place();
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            let must = if unaccepted.contains(&code.word) { "!" } else { " " };
            lines.push(format!("{must} {} [{}] {place}{}: {why}", code.mark.word(), code.word, item.key));
        }
    }
    lines
}

/// Everything as one JSON object.
pub(super) fn json(kind: &Program, draft: &Draft, shape: &Shape<'_>, unaccepted: &[&str]) -> String {
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
    let secrets: Vec<_> = draft.secrets().iter().map(|(relay, _)| shape.stored(relay)).collect();
    let whole = json!({
        "kind": kind.name,
        "files": files,
        "settings": settings,
        "secrets": secrets,
        "unaccepted": unaccepted,
        "toml": *draft.toml(shape),
    });
    door::harmless_json(&format!("{whole}\n"))
}

/// Says the next step.
pub(super) fn next(kind: &Program, of: &Import, draft: &Draft, shape: &Shape<'_>, is_written: bool) {
    for word in of.accept.iter().filter(|word| !CODES.iter().any(|code| code.word == **word)) {
        door::complain(&format!("--accept {word}: there is no such code"));
    }
    let mut wanted: Vec<&str> = draft.wanted();
    if of.secrets == Keeping::Keep {
        wanted.extend(draft.secrets().iter().map(|(name, _)| *name));
    }
    let who = of.user.as_deref().unwrap_or("www-data");
    let step = match (is_written, wanted.first()) {
        (false, _) => format!("sudo mailchute import{} --write", again(kind, of)),
        (true, Some(relay)) => format!("sudo mailchute secret put {}", shape.stored(relay)),
        (true, None) => format!("sudo mailchute test --as {who} --to you@example.org"),
    };
    door::suggest(&step);
}

/// The same words again, as a shell takes them.
fn again(kind: &Program, of: &Import) -> String {
    let mut words = vec![kind.name.to_owned()];
    words.extend(of.files.iter().map(|file| file.display().to_string()));
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value.to_owned()]);
        }
    };
    option("--as", of.user.as_deref());
    option("--account", of.account.as_deref());
    option("--site", of.site.as_deref());
    option("--group", of.group.as_deref());
    option("--root", of.root.as_ref().map(|root| root.to_string_lossy()).as_deref());
    option("--secrets", (of.secrets == Keeping::Keep).then_some("keep"));
    option("--take", of.take.map(|take| if take == Reading::File { "file" } else { "effective" }));
    for (name, address) in &of.alias {
        option("--alias", Some(&format!("{name}={address}")));
    }
    for code in &of.accept {
        option("--accept", Some(code));
    }
    if of.all {
        words.push("--all".to_owned());
    }
    let is_plain = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+=@:,".contains(&b));
    words
        .iter()
        .map(|word| if is_plain(word) { format!(" {word}") } else { format!(" '{}'", word.replace('\'', "'\\''")) })
        .collect()
}
