//! In whose name msmtp sends.

use super::file::Account;
use crate::failure::Failure;
use crate::import::draft::code::{ADDRESS, COMPUTED, FROM_FIELD, NO_COUNTERPART, PER_USER, REVERSE_PATH, UNUSED};
use crate::import::draft::ledger::Id;
use crate::import::draft::placeholder::is_placeholder;
use crate::import::draft::{Draft, Table, Written};
use crate::import::source::Inquiry;

/// Sets `from` and what belongs to it in `place`.
pub(super) fn of(asked: &Inquiry<'_>, account: &Account, place: &Table, draft: &mut Draft) -> Result<(), Failure> {
    let has_address = address(asked, account, place, draft)?;
    match account.get("from_full_name").filter(|_| !has_address) {
        Some(("", id)) => draft.ledger.imply(id),
        Some((_, id)) => draft.drop(id, "there is no address that it would belong to"),
        None => {}
    }
    Ok(())
}

/// Sets all but a full name that has no address; whether there is an address.
fn address(asked: &Inquiry<'_>, account: &Account, place: &Table, draft: &mut Draft) -> Result<bool, Failure> {
    let is_own_site = !matches!(place, Table::Top) && *place != Table::Site("default".to_owned());
    let ids = |keys: &[&str]| keys.iter().filter_map(|key| account.get(key)).map(|(_, id)| id).collect::<Vec<Id>>();
    let from = account.get("from").filter(|(from, _)| !from.is_empty());
    let is_auto = account.is_on("auto_from", false);
    let always = account.get("set_from_header").is_some_and(|(word, _)| word == "on");
    let is_fixed = !account.is_on("allow_from_override", true);
    for key in ["auto_from", "maildomain", "set_from_header", "allow_from_override"] {
        // What is said below is said beside this.
        if let Some((_, id)) = account.get(key) {
            draft.ledger.imply(id);
        }
    }
    if account.get("set_from_header").is_some_and(|(word, _)| word == "off") {
        draft.say_all(&ids(&["set_from_header"]), "", &NO_COUNTERPART, "a missing From field is always added here");
    }
    if is_auto {
        auto(asked, account, place, draft);
        return Ok(false);
    }
    let Some((pattern, id)) = from else {
        draft.ledger.remark(
            "from",
            &NO_COUNTERPART,
            "msmtp refuses messages without -f here; mailchute takes the From field's address",
        );
        return Ok(false);
    };
    if is_placeholder(pattern) {
        return Ok(false);
    }
    let Some(address) = resolved(asked, pattern, id, draft)? else { return Ok(false) };
    if address.contains(['*', '?', '[']) {
        let is_domain = address.strip_prefix("*@").is_some_and(|domain| !domain.contains(['*', '?', '[']));
        match is_domain && is_own_site {
            true => {
                draft.set(place, "sender", Written::List(vec![address]), &[id]);
                draft.set(place, "other_sender", "pass", &[]);
            }
            false => draft.ledger.say(
                id,
                &ADDRESS,
                "is a pattern, which msmtp compares -f with; there is no address to send from",
            ),
        }
        return Ok(false);
    }
    if !address.contains('@') {
        draft.ledger.say(id, &ADDRESS, "has no domain; say `domain` or a whole address");
        return Ok(false);
    }
    let name = account.get("from_full_name").filter(|(name, _)| !name.is_empty());
    let mailbox = name.map_or_else(|| address.clone(), |(name, _)| draft_name(name, &address));
    let from_ids = [ids(&["from"]), ids(&["from_full_name"])].concat();
    draft.set(place, "from", Written::Text(mailbox), &from_ids);
    if always || is_fixed {
        let ids = ids(&["set_from_header", "allow_from_override"]);
        draft.set(place, "sender", Written::List(vec![address]), &ids);
        draft.set(place, "other_sender", "rewrite", &ids);
        match always {
            true => draft.say_all(&ids, "from", &REVERSE_PATH, "a caller's -f is replaced by the same address"),
            false => draft.say_all(
                &ids,
                "from",
                &FROM_FIELD,
                "msmtp leaves the From field as it is; here it is rewritten, too",
            ),
        }
    } else {
        draft.own_reverse_path(&[id], "msmtp");
        if is_own_site {
            draft.set(place, "sender", Written::List(vec![address]), &[id]);
            draft.set(place, "other_sender", "pass", &[]);
        }
    }
    Ok(true)
}

/// `auto_from`: the user's name at `maildomain`.
fn auto(asked: &Inquiry<'_>, account: &Account, place: &Table, draft: &mut Draft) {
    let auto = account.get("auto_from").map(|(_, id)| id);
    if let Some((_, id)) = account.get("from") {
        draft.ledger.say(id, &UNUSED, "auto_from is on");
    }
    let auto: Vec<Id> = auto.into_iter().collect();
    match account.get("maildomain").filter(|(domain, _)| !domain.is_empty() && !is_placeholder(domain)) {
        Some((domain, id)) => {
            let both = [auto, vec![id]].concat();
            let why = "it was each caller's own name; here it is that of one user";
            draft.set(place, "from", Written::Text(format!("{}@{domain}", asked.person.name)), &both);
            draft.say_all(&both, "from", &PER_USER, why);
            draft.own_reverse_path(&both, "msmtp");
            if matches!(place, Table::Top) {
                draft.set(place, "domain", domain, &[id]);
            }
        }
        None => draft.say_all(
            &auto,
            "from",
            &REVERSE_PATH,
            "msmtp sends from the bare user name; here the From field's address goes first, and a name gets the host's",
        ),
    }
}

fn draft_name(name: &str, address: &str) -> String {
    format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The address with what msmtp puts into it filled in. `None`: that cannot be known here.
fn resolved(asked: &Inquiry<'_>, pattern: &str, id: Id, draft: &mut Draft) -> Result<Option<String>, Failure> {
    if !["%U", "%H", "%C", "%M"].iter().any(|part| pattern.contains(part)) {
        return Ok(Some(pattern.to_owned()));
    }
    if pattern.contains("%C") {
        draft.ledger.say(id, &COMPUTED, "%C is the host's name as DNS has it, which is not asked");
        return Ok(None);
    }
    let host = asked.host_name()?;
    let mail = asked.line("/etc/mailname")?.unwrap_or_else(|| host.clone());
    if pattern.contains("%U") {
        draft.ledger.say(id, &PER_USER, format!("%U was each caller's own name; here it is {}", asked.person.name));
    }
    Ok(Some(pattern.replace("%U", &asked.person.name).replace("%H", &host).replace("%M", &mail)))
}
