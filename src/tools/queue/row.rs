//! One message of a list, as it is told to people, to programs and to root's process.

use serde::{Deserialize, Serialize};

use super::{FOLDERS, seconds};
use crate::caller::Caller;
use crate::cli::queue::List;
use crate::failure::Failure;
use crate::spool::{Entry, Folder, Listed, Spool, Unopened};
use crate::tools::table::shown;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// It is tried again.
    Waiting,
    /// It is being sent.
    Sending,
    /// Somebody may have it: a person or the provider decides.
    InDoubt,
    /// It waits for a person.
    Held,
    /// It was given up.
    Failed,
    /// It was accepted, and a copy is kept.
    Sent,
}

/// One message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    /// Its ID.
    pub(super) id: String,
    /// What becomes of it.
    pub(super) state: Fate,
    /// The folder it is in.
    #[serde(skip, default = "queue")]
    pub(super) folder: Folder,
    /// Whose it is.
    pub(super) uid: u32,
    /// The name of that uid, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// The site that sent it.
    pub(super) site: String,
    /// When it was taken, in seconds since 1970.
    pub(super) created: i64,
    /// When it is tried next.
    pub(super) due: i64,
    /// When it is given up.
    pub(super) until: i64,
    /// Octets of the message.
    pub(super) size: u64,
    /// The reverse-path; empty: the null reverse-path.
    pub(super) from: String,
    /// Who still waits for it.
    pub(super) to: Vec<String>,
    /// How often it was tried by a flush.
    pub(super) tries: u32,
    /// The relays it goes through, in order.
    pub(super) route: Vec<String>,
    /// What was said last.
    pub(super) why: String,
    /// Those of its relays that are down, and since when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) down: Vec<String>,
    /// The ban that keeps it from being sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ban: Option<String>,
}

/// The entries of `spools` that `words` ask for, read one after the other.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn read(words: &List, spools: &[Spool], caller: &Caller) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for folder in FOLDERS.into_iter().chain(words.sent.then_some(Folder::Sent)) {
        let mut some = Vec::new();
        let all: Vec<_> = spools.iter().map(|spool| Ok((spool, spool.list(folder)?))).collect::<Result<_, _>>()?;
        let each = all.into_iter().flat_map(|(spool, list)| list.into_iter().map(move |listed| (spool, listed)));
        for (spool, listed) in each {
            match spool.look(folder, &listed.id) {
                Ok(entry) => some.push(Row::of(&entry, &listed, folder, spool, caller)),
                Err(Unopened::Newer) => {
                    some.push(Row::unread(&listed, folder, caller, "made by a newer version of mailchute"));
                }
                Err(Unopened::Failed(failure)) => {
                    some.push(Row::unread(&listed, folder, caller, &failure.to_string()));
                }
                // Sent meanwhile, or never acknowledged to anybody.
                Err(Unopened::Gone | Unopened::Torn(_) | Unopened::Busy) => {}
            }
        }
        let is_meant = |row: &Row| {
            words.site.as_ref().is_none_or(|site| row.site == *site)
                && words.relay.as_ref().is_none_or(|relay| row.route.contains(relay))
        };
        some.retain(is_meant);
        some.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        rows.append(&mut some);
    }
    Ok(rows)
}

impl Row {
    fn of(entry: &Entry, listed: &Listed, folder: Folder, spool: &Spool, caller: &Caller) -> Self {
        let (head, state) = (&entry.head, &entry.state);
        let is_begun = || state.begun.is_some() && matches!(spool.open(folder, &head.id), Err(Unopened::Busy));
        let fate = match folder {
            Folder::Failed => Fate::Failed,
            Folder::Sent => Fate::Sent,
            _ if is_begun() => Fate::Sending,
            _ if state.is_in_doubt() => Fate::InDoubt,
            Folder::Held => Fate::Held,
            _ => Fate::Waiting,
        };
        let why = match &state.said {
            Some((Some(code), text)) if !text.starts_with(&code.to_string()) => format!("{code} {text}"),
            Some((_, text)) => text.clone(),
            None => head.why.clone(),
        };
        Self {
            id: listed.id.clone(),
            state: fate,
            folder,
            uid: caller.uid,
            user: caller.user.clone(),
            site: head.site.clone(),
            created: head.created,
            due: seconds(listed.due),
            until: head.until,
            size: head.length,
            from: head.envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default(),
            to: head.envelope.forward_paths.iter().map(ToString::to_string).collect(),
            tries: state.tries,
            route: head.route.clone(),
            why,
            down: Vec::new(),
            ban: None,
        }
    }

    /// One that cannot be read, and why.
    fn unread(listed: &Listed, folder: Folder, caller: &Caller, why: &str) -> Self {
        let state = match folder {
            Folder::Failed => Fate::Failed,
            Folder::Sent => Fate::Sent,
            Folder::Held => Fate::Held,
            _ => Fate::Waiting,
        };
        let (user, due) = (caller.user.clone(), seconds(listed.due));
        let (id, why) = (listed.id.clone(), why.to_owned());
        let (site, from, to, route, down) = Default::default();
        let (created, until, size) = (due, due, listed.size);
        Self {
            id,
            state,
            folder,
            uid: caller.uid,
            user,
            site,
            created,
            due,
            until,
            size,
            from,
            to,
            tries: 0,
            route,
            why,
            down,
            ban: None,
        }
    }

    /// The user's name, or the uid.
    pub(super) fn owner(&self) -> String {
        self.user.as_ref().map_or_else(|| self.uid.to_string(), |user| shown(user))
    }
}

/// What a row is taken for that another process wrote: only its state is looked at.
fn queue() -> Folder {
    Folder::Queue
}
