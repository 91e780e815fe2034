//! What there is to import.

use std::path::Path;

use serde_json::json;

use crate::door;
use crate::import::source::MailUser;
use crate::import::{Importable, KINDS, Program};
use crate::root::Root;

/// The list, for a reader or as one JSON object.
pub(super) fn of(root: &Root, person: &MailUser, is_json: bool) -> String {
    let found: Vec<(&Program, Importable)> =
        KINDS.iter().flat_map(|kind| kind.find(root, person).into_iter().map(move |found| (kind, found))).collect();
    let sendmail = sendmail(root);
    let is_sendmail = |kind: &Program| sendmail.as_deref().is_some_and(|path| path.contains(kind.name));
    if is_json {
        let list: Vec<_> = found
            .iter()
            .map(|(kind, found)| {
                let files: Vec<_> = found.files.iter().map(|file| file.display().to_string()).collect();
                json!({ "kind": kind.name, "files": files, "for": found.whom, "is_sendmail": is_sendmail(kind) })
            })
            .collect();
        return door::harmless_json(&format!("{}\n", json!({ "found": list })));
    }
    if found.is_empty() {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        return format!("nothing is found of {}\nnext: mailchute import KIND FILE\n", names.join(", "));
    }
    let mut rows = vec![("found".to_owned(), "files".to_owned(), "for".to_owned())];
    for (kind, found) in &found {
        let files: Vec<_> = found.files.iter().map(|file| file.display().to_string()).collect();
        let also = if is_sendmail(kind) { "; it is /usr/sbin/sendmail now" } else { "" };
        rows.push((kind.name.to_owned(), files.join(", "), format!("{}{also}", found.whom)));
    }
    let first = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
    let second = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0);
    let mut text: String =
        rows.iter().map(|(kind, files, whom)| format!("{kind:<first$}  {files:<second$}  {whom}\n")).collect();
    text += &format!("next: mailchute import {}\n", found[0].0.name);
    text
}

/// What `/usr/sbin/sendmail` leads to.
fn sendmail(root: &Root) -> Option<String> {
    let mut path = Path::new("/usr/sbin/sendmail").to_path_buf();
    let mut last = None;
    for _ in 0..8 {
        match root.link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => break,
        }
        last = Some(path.display().to_string());
    }
    last
}
