//! Names without a domain: who gets the mail of root and the others.

use std::path::Path;

use super::draft::code::{LOCAL_NAMES, NO_COUNTERPART, REVERSE_PATH};
use super::draft::ledger::Id;
use super::draft::{Draft, Table, Written};
use super::source::{Inquiry, SourceFile};
use crate::failure::Failure;
use crate::plan::lists;

/// The system's alias file, which mailchute reads by itself.
const SYSTEM: &str = "/etc/aliases";

/// A local name, or `*` for all, and where its mail goes: `--alias NAME=ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The name.
    pub name: String,
    /// The address.
    pub address: String,
}

/// Takes over an alias file in our words: names and addresses, the name `default` as every other.
///
/// # Errors
/// As [`Inquiry::find`].
pub(super) fn take(asked: &Inquiry<'_>, path: &str, has_default: bool, draft: &mut Draft) -> Result<bool, Failure> {
    let Some(source) = asked.find(Path::new(path))? else { return Ok(false) };
    for (name, line, targets) in lists(&source.text) {
        let is_rest = has_default && name == "default";
        // The system's own file is read anyway, but for the word that only some programs know.
        if path == SYSTEM && !is_rest {
            continue;
        }
        let id = draft.ledger.read(&source.path, line, name.as_str());
        set(draft, if is_rest { "*" } else { &name }, &targets, &[id]);
    }
    Ok(true)
}

/// Sets an alias, without the targets that are no name or address.
pub(super) fn set(draft: &mut Draft, name: &str, targets: &[String], from: &[Id]) {
    let is_plain =
        |target: &&String| !target.starts_with(['|', '/', ':', '"']) && !target.contains(char::is_whitespace);
    let plain: Vec<String> = targets.iter().filter(is_plain).cloned().collect();
    if plain.len() < targets.len() {
        draft.say_all(
            from,
            name,
            &NO_COUNTERPART,
            "files, programs and lists are no addresses: their mail is not kept",
        );
    }
    if !plain.is_empty() {
        draft.set(&Table::Alias, name, Written::List(plain), from);
    }
}

/// Makes sure that the mail of local names gets somewhere, or says that nothing does.
pub(super) fn settle(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    for Given { name, address } in asked.given {
        draft.set_because(&Table::Alias, name, Written::List(vec![address.clone()]), &[], "--alias");
    }
    let is_settled = draft.has(&Table::Alias, "*")
        || draft.has(&Table::Alias, "root")
        || draft.has(&Table::Top, "domain")
        || draft.has(&Table::Top, "discard");
    if is_settled || draft.relays().is_empty() {
        return Ok(());
    }
    let leads_out = |source: SourceFile| {
        lists(&source.text).iter().any(|(name, _, targets)| name == "root" && targets.iter().any(|t| t.contains('@')))
    };
    if !asked.find(Path::new(SYSTEM))?.is_some_and(leads_out) {
        let why = "mail to root and other names without a domain is refused here: say --alias '*=ADDRESS'";
        draft.ledger.remark("local names", &LOCAL_NAMES, why);
    }
    Ok(())
}

impl Draft {
    /// One more place for records.
    pub(super) fn log(&mut self, target: &str, id: Id) {
        self.add(&Table::Log, "to", target, id);
    }

    /// The reverse-path of a program that has one of its own for every message.
    pub(super) fn own_reverse_path(&mut self, ids: &[Id], program: &str) {
        let why = format!(
            "{program} sends every message from it; here the From field's address goes first, as sendmail has it"
        );
        self.say_all(ids, "from", &REVERSE_PATH, &why);
    }
}
