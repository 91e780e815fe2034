//! `mailchute queue hold`, `release`, `drop` and `resolve`: what a person decides about messages that wait.

use std::time::SystemTime;

use super::{find, flush, list, now, told, unopened};
use crate::caller::Caller;
use crate::cli::invocation::Invocation;
use crate::cli::queue::{Chosen, Flush, List, Resolve};
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::flush::can_be_asked;
use crate::message::Message;
use crate::plan::Course;
use crate::spool::{Ended, Folder, Line, Opened, Spool};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It waits for a person.
    Hold,
    /// It is sent at the next flush.
    Release,
    /// It goes.
    Drop,
}

impl Change {
    /// What was done, for the line that says so.
    const fn done(self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "to be sent at the next flush",
            Self::Drop => "thrown away",
        }
    }

    /// Whether `--site` means what is in `folder`. What was given up is chosen one by one.
    const fn is_for(self, folder: &Folder) -> bool {
        match self {
            Self::Hold => matches!(folder, Folder::Queue),
            Self::Release => matches!(folder, Folder::Held),
            Self::Drop => matches!(folder, Folder::Queue | Folder::Held),
        }
    }
}

/// Changes every message of `caller` that `words` choose; one that cannot be changed keeps no other from it. Returns the
/// status of the first that could not.
///
/// # Errors
/// The spool cannot be read, or standard output not be written.
pub(super) fn all(change: Change, words: &Chosen, caller: &Caller) -> Result<u8, Failure> {
    let spools = Spool::every(caller);
    let ids = match &words.site {
        None => words.ids.clone(),
        Some(site) => of_site(change, site, caller)?,
    };
    let mut status = exit::OK;
    let mut lines = String::new();
    for id in &ids {
        match one(change, &spools, id) {
            Ok(()) => lines += &format!("{id}: {}\n", change.done()),
            Err(failure) => {
                let failed = told(&failure);
                status = if status == exit::OK { failed } else { status };
            }
        }
    }
    if words.site.is_some() && ids.is_empty() {
        lines += "nothing of this site is there to be changed\n";
    }
    door::print(&lines)?;
    Ok(status)
}

/// The messages that `site` sent and that `change` is for.
fn of_site(change: Change, site: &str, caller: &Caller) -> Result<Vec<String>, Failure> {
    let words = List { site: Some(site.to_owned()), ..List::default() };
    let rows = list::rows(&words, caller)?;
    Ok(rows.into_iter().filter(|row| change.is_for(&row.folder)).map(|row| row.id).collect())
}

/// Changes one message.
fn one(change: Change, spools: &[Spool], id: &str) -> Result<(), Failure> {
    let (spool, folder) = find(spools, id)?;
    let mut entry = spool.open(folder, id).map_err(|why| unopened(id, why))?;
    match change {
        Change::Hold if folder == Folder::Held => Ok(()),
        Change::Hold if folder == Folder::Failed => {
            Err(Failure::new(Kind::Data, id, "was given up, so there is nothing to hold"))
        }
        Change::Hold | Change::Release if folder == Folder::Sent => Err(Failure::new(Kind::Data, id, "was accepted")
            .hint(format!("mailchute resend {id} --again sends it once more"))),
        Change::Hold => entry.move_to(Folder::Held),
        Change::Release => release(&mut entry),
        Change::Drop => remove(&spool, entry),
    }
}

/// Has `entry` sent at the next flush, whatever became of it before.
fn release(entry: &mut Opened) -> Result<(), Failure> {
    let state = &entry.entry.state;
    let is_settled = state.is_in_doubt() || state.is_bounced || state.ended == Some(Ended::Refused);
    if entry.folder() != Folder::Queue || is_settled {
        // Known before it is in the queue, where a flush may take it at once.
        entry.append(&Line::Released { t: now() }, true)?;
    }
    entry.retry_at(SystemTime::now())?;
    if entry.folder() == Folder::Queue { Ok(()) } else { entry.move_to(Folder::Queue) }
}

/// Throws `entry` away for good.
fn remove(spool: &Spool, entry: Opened) -> Result<(), Failure> {
    let folder = entry.folder();
    entry.remove()?;
    spool.sync(folder)
}

/// Settles a message of `caller` that may have arrived.
///
/// # Errors
/// `NoInput`: there is none. `Data`: it is not in doubt. `InDoubt`: nobody can be asked.
pub(super) fn resolve(invocation: &Invocation, words: &Resolve, caller: &Caller) -> Result<u8, Failure> {
    let id = &words.id;
    let (spool, folder) = find(&Spool::every(caller), id)?;
    let mut entry = spool.open(folder, id).map_err(|why| unopened(id, why))?;
    if !entry.entry.state.is_in_doubt() {
        let next = "`mailchute queue release` sends it, `mailchute queue drop` throws it away";
        return Err(Failure::new(Kind::Data, id, "is not in doubt: it has not arrived").hint(next));
    }
    if words.arrived {
        remove(&spool, entry)?;
        door::print(&format!("{id}: {}, because it arrived\n", Change::Drop.done()))?;
        return Ok(exit::OK);
    }
    if words.again {
        release(&mut entry)?;
        door::print(&format!("{id}: {}\n", Change::Release.done()))?;
        return Ok(exit::OK);
    }
    // Whoever is asked is the relay of today.
    let here = Caller { cwd: None, ..caller.clone() };
    let course = Course::begin(&here, &invocation.choice);
    let site = course.config().ok().and_then(|config| config.site(&entry.entry.head.site));
    if site.is_some_and(|site| site.is_open_to(caller.uid) && can_be_asked(&entry.entry, site)) {
        entry.retry_at(SystemTime::now())?;
        if folder != Folder::Queue {
            entry.move_to(Folder::Queue)?;
        }
        drop(entry);
        return ask(invocation, &spool, id, caller);
    }
    Err(unknown_fate(&entry, false)?)
}

/// Has the relay asked what became of the message `id`, and says that.
fn ask(invocation: &Invocation, spool: &Spool, id: &str, caller: &Caller) -> Result<u8, Failure> {
    let flush = Flush { ids: vec![id.to_owned()], quiet: true, ..Flush::default() };
    flush::run(invocation, &flush, caller)?;
    match find(std::slice::from_ref(spool), id).map(|(_, folder)| folder) {
        Err(_) | Ok(Folder::Sent) => {
            door::print(&format!("{id}: the relay has it, so it is sent and done with\n"))?;
            Ok(exit::OK)
        }
        Ok(Folder::Held) => {
            let entry = spool.open(Folder::Held, id).map_err(|why| unopened(id, why))?;
            Err(unknown_fate(&entry, true)?)
        }
        Ok(Folder::Failed) => {
            Err(Failure::new(Kind::Data, id, "the relay was asked and has refused it: it was given up")
                .hint(format!("`mailchute queue show {id}` tells why")))
        }
        Ok(Folder::Queue) => {
            let why = "the relay could not tell what became of it yet";
            Err(Failure::new(Kind::Unavailable, id, why).hint("the next flush asks again"))
        }
    }
}

/// Nobody tells what became of `entry`, and what to do about it.
fn unknown_fate(entry: &Opened, was_asked: bool) -> Result<Failure, Failure> {
    let (id, state, head) = (entry.id(), &entry.entry.state, &entry.entry.head);
    let relay = state.begun.as_ref().map(|(_, relay)| relay).or(state.relay.as_ref()).or(head.route.first());
    let relay = relay.map_or("the relay", String::as_str);
    let why = match head.key {
        _ if was_asked => format!("relay {relay} was asked, and did not tell whether it arrived"),
        None => format!("relay {relay} cannot be asked whether it arrived"),
        Some(_) => format!("relay {relay} can no longer be asked whether it arrived"),
    };
    let named = message_id(&entry.message()?);
    let next = format!(
        "look for {named} in the provider's log or ask the recipient; then `mailchute queue resolve {id} --arrived`, or \
         --again to send it once more"
    );
    Ok(Failure::new(Kind::InDoubt, id, why).hint(next))
}

/// How a provider's log may name the message.
fn message_id(message: &Message) -> String {
    let field = message.header().first("Message-ID");
    field.map_or_else(|| "the message".to_owned(), |field| format!("Message-ID {}", field.text()))
}
