//! `mailchute queue show`: one message.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::list::told_ban;
use super::{find, size, unopened};
use crate::breaker::{Breaker, Health};
use crate::caller::Caller;
use crate::cli::queue::Show;
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::message::Message;
use crate::plan::{Choice, Course};
use crate::spool::{Entry, Folder, Head, Spool};
use crate::tools::table::shown;

/// Prints the message of `caller` that `words` name.
///
/// # Errors
/// `NoInput`: there is none; or it cannot be read.
pub(super) fn run(words: &Show, caller: &Caller) -> Result<u8, Failure> {
    let (spool, folder) = find(&Spool::every(caller), &words.id)?;
    let (entry, message) = spool.look_into(folder, &words.id).map_err(|why| unopened(&words.id, why))?;
    if words.message {
        print(&message)?;
    } else {
        door::print(&text(&entry, &message, folder, caller))?;
    }
    Ok(exit::OK)
}

/// What is said of the message `id` of `caller`; `None`: there is none that can be read.
pub(super) fn told_of(id: &str, caller: &Caller) -> Option<String> {
    let (spool, folder) = find(&Spool::every(caller), id).ok()?;
    let (entry, message) = spool.look_into(folder, id).ok()?;
    Some(text(&entry, &message, folder, caller))
}

/// The message as it would be sent.
fn print(message: &Message) -> Result<(), Failure> {
    let mut chunks = message.chunks();
    while let Some(chunk) =
        chunks.advance().map_err(|error| Failure::new(Kind::Io, "message", format!("cannot be read: {error}")))?
    {
        if let Err(error) = door::say_octets(chunk) {
            return door::heard(Err(error));
        }
    }
    Ok(())
}

fn text(entry: &Entry, message: &Message, folder: Folder, caller: &Caller) -> String {
    let (head, state) = (&entry.head, &entry.state);
    let mut out = String::new();
    let mut line = |name: &str, value: &str| out += &format!("{:<11}{}\n", format!("{name}:"), shown(value));
    line("id", &head.id);
    line(
        "state",
        match folder {
            _ if state.is_in_doubt() => "in doubt: it may have arrived",
            Folder::Queue => "waiting",
            Folder::Held => "held",
            Folder::Failed if state.is_bounced => "failed, and its sender was told",
            Folder::Failed => "failed",
            Folder::Sent => "sent",
        },
    );
    line("site", &head.site);
    line("user", &caller.user.clone().unwrap_or_else(|| caller.uid.to_string()));
    line("from", &head.envelope.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string));
    for recipient in &head.envelope.forward_paths {
        line("to", recipient.as_ref());
    }
    for recipient in &head.diverted_from {
        line("away from", recipient.as_ref());
    }
    line("relays", &head.route.join(", "));
    line("size", &size(head.length));
    line("taken", &moment(head.created));
    if folder == Folder::Queue {
        line("gives up", &moment(head.until));
    }
    line("tries", &state.tries.to_string());
    if let Some((at, relay)) = &state.begun {
        line("begun", &format!("{}, to {relay}, and no end of it is known", moment(*at)));
    }
    match &state.said {
        Some((_, text)) => {
            let relay = state.relay.as_deref().unwrap_or("a relay");
            let at = state.last.map(|at| format!("{}: ", moment(at))).unwrap_or_default();
            line("last", &format!("{at}{relay}: {text}"));
        }
        None => line("why", &head.why),
    }
    if !state.resent.is_empty() {
        line("resent", &format!("as {}", state.resent.join(", ")));
    }
    if folder == Folder::Queue {
        let (ban, down) = keeps(head, caller);
        ban.iter().for_each(|told| line("banned", told));
        down.iter().for_each(|told| line("down", told));
    }
    out.push('\n');
    for field in message.header().fields() {
        out += &format!("{}: {}\n", shown(&field.name()), shown(&field.text()));
    }
    out
}

/// The ban of its site, and what is remembered of the relays that a message waits for, as far as they are down and the
/// configuration of today still has them.
fn keeps(head: &Head, caller: &Caller) -> (Option<String>, Vec<String>) {
    let choice = Choice::default();
    let course = Course::begin(caller, &choice);
    let Ok(config) = course.config() else { return Default::default() };
    let Some(site) = config.site(&head.site) else { return Default::default() };
    let ban = told_ban(config, site, caller.uid);
    let Some(breaker) = Breaker::of(site, caller.uid) else { return (ban, Vec::new()) };
    let relays = site.every_relay().into_iter().filter(|relay| head.route.contains(&relay.name));
    let told = relays.filter_map(|relay| match breaker.health(relay) {
        Health::Up => None,
        Health::Due(down) | Health::Down(down) => Some(format!("{}, {down}", relay.name)),
    });
    (ban, told.collect())
}

/// A time for people, with this host's offset.
fn moment(at: i64) -> String {
    let zoned = Timestamp::from_second(at).unwrap_or_default().to_zoned(host::now().time_zone().clone());
    rfc2822::to_string(&zoned).unwrap_or_default()
}
