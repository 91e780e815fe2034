//! The idempotency key of a submission: made once for a relay that takes one, and carried by every request there.

use jiff::Timestamp;

use crate::attempt::{Attempt, IdempotencyKey};
use crate::config::relay::Relay;
use crate::message::{MailObject, Message};
use crate::{hex, random};

/// The longest key that is taken from a message, in characters: Resend's limit, the only one that takes any.
const LONGEST: usize = 256;

/// The key of `mail` at `relay`; `None`: it takes none, or the message cannot carry one.
pub(super) fn of(relay: &Relay, mail: MailObject<'_>) -> Option<IdempotencyKey> {
    let known = relay.idempotency()?;
    let header = mail.message.header();
    let is_carried_in_message = relay.smtp().is_some();
    let given = known.field.and_then(|name| header.first(name)).map(|field| field.text().into_owned());
    let value = match given {
        Some(given) if is_key(&given) => given,
        // The provider reads what the caller wrote, whatever it makes of it.
        Some(_) if is_carried_in_message => return None,
        _ if is_carried_in_message && known.field.is_some_and(|name| header.signs(name)) => return None,
        _ => match mail.own_id() {
            Ok(Some(id)) if known.accepted_only => id,
            _ => hex::uuid(random::octets()?, 4),
        },
    };
    Some(IdempotencyKey { value, since: Timestamp::now(), is_repeated: false })
}

fn is_key(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ')
}

/// `message` with the key of `attempt` in its header section, where `relay` looks for it there.
pub(super) fn carried(relay: &Relay, message: &Message, attempt: &mut Attempt) -> Option<Message> {
    let name = relay.smtp().and(relay.idempotency()?.field)?;
    let key = attempt.key.as_ref()?;
    if message.header().first(name).is_some() {
        return None;
    }
    attempt.trace.repairs.push(format!("{name} added"));
    Some(message.with_field(name, &key.value))
}
