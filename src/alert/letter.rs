//! An alert by mail: through another relay than the one that failed, at once or not at all.

use std::sync::Arc;

use mail_builder::MessageBuilder;
use mail_builder::headers::address::{Address as To, EmailAddress};
use mail_builder::headers::raw::Raw;

use super::Setback;
use super::telling::Telling;
use crate::address::{Address, Mailbox};
use crate::attempt::Attempt;
use crate::config::relay::Relay;
use crate::config::site::{Site, Terms};
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::message::{MailObject, Message};
use crate::submit::{self, Manner};

/// To whom, from whom, and by which relays.
pub(super) struct Letter<'a> {
    /// To whom.
    pub(super) to: &'a [Mailbox],
    /// Who writes, where that is said.
    pub(super) from: Option<&'a Mailbox>,
    /// The relays it may take.
    pub(super) relays: &'a [Arc<Relay>],
    /// The site that the alert is about.
    pub(super) site: Option<&'a Site>,
}

/// Sends `telling`; `host_name` is for EHLO.
///
/// # Errors
/// No relay has taken it, or nobody knows.
pub(super) fn send(
    letter: &Letter<'_>,
    telling: &Telling,
    host_name: &str,
    attempt: &mut Attempt,
) -> Result<(), Setback> {
    // The end of a trouble may take the relay that had it.
    let is_bad = |relay: &Relay| telling.status == "firing" && telling.relay.as_deref() == Some(&relay.name);
    let route: Vec<Arc<Relay>> = letter.relays.iter().filter(|relay| !is_bad(relay)).map(Arc::clone).collect();
    if route.is_empty() {
        let why = "the only relay it may take is the one that fails";
        return Err(Failure::new(Kind::Configuration, "mail", why).hint("give it another: relay = \"backup\"").into());
    }
    let (envelope, message) = compose(letter, telling)?;
    let sink = std::cell::RefCell::new(std::mem::take(&mut attempt.trace));
    let manner = Manner {
        route: route.into(),
        terms: Terms { deadline: attempt.deadline.left(), ..Terms::default() },
        breaker: None,
        host_name,
        begin: &|_| sink.borrow_mut().take_sink(),
        keyed: &|_| {},
        hand_over: &attempt.hand_over,
    };
    let submission = submit::submit(MailObject { envelope: &envelope, message: &message }, manner);
    let last = submission.decisive();
    let what = format!("{} (relay {})", last.relay.place, last.relay.name);
    match &last.result {
        Ok(outcome) if outcome.is_accepted_for_some() => Ok(()),
        Ok(outcome) => {
            let why = outcome.decisive().map_or_else(String::new, |(_, reply)| reply.to_string());
            Err(Failure::new(Kind::Unavailable, what, why).into())
        }
        Err(failure) => Err(failure.clone().into()),
    }
}

fn compose(letter: &Letter<'_>, telling: &Telling) -> Result<(Envelope, Message), Failure> {
    let broken = |why: String| Failure::new(Kind::Configuration, "mail", why);
    let from = letter.from.or(letter.site.and_then(|site| site.from.as_ref())).or(letter.to.first());
    let from = from.ok_or_else(|| broken("has no sender".to_owned()))?;
    let address = |mailbox: &Mailbox| mailbox.spec.address().map_err(|bad| broken(bad.to_string()));
    let field = |mailbox: &Mailbox| -> Result<To<'static>, Failure> {
        let email = address(mailbox)?.to_string();
        Ok(To::Address(EmailAddress { name: mailbox.name.clone().map(Into::into), email: email.into() }))
    };
    let recipients = letter.to.iter().map(address).collect::<Result<Vec<Address>, _>>()?;
    let to = letter.to.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let text = format!(
        "{}\n\nHost: {}\nSince: {}\nMore: mailchute queue, and the record {}\n",
        telling.text, telling.host, telling.since, telling.record
    );
    let builder = MessageBuilder::new()
        .from(field(from)?)
        .to(To::List(to))
        .subject(telling.text.clone())
        .message_id(format!("{}@{}", telling.id, host::name()))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header("MIME-Version", Raw::new("1.0"))
        .text_body(text);
    let octets = builder.write_to_vec().map_err(|error| Failure::new(Kind::Software, "mail", error.to_string()))?;
    let envelope = Envelope { reverse_path: Some(address(from)?), forward_paths: recipients, dsn: Dsn::default() };
    Ok((envelope, Message::read(&mut octets.as_slice(), false)?))
}
