//! The course of one message, from the door's side.

use std::ffi::OsString;
use std::sync::Arc;

use crate::attempt::{HandOver, Sink};
use crate::breaker::Breaker;
use crate::caller::Caller;
use crate::cli::dialect::{self, Sendmail};
use crate::cli::invocation::Invocation;
use crate::conclude::Dossier;
use crate::config::relay::{Relay, Way};
use crate::door;
use crate::failure::Failure;
use crate::journal::stderr;
use crate::limit;
use crate::message::{MailObject, Message, StandardInput};
use crate::plan::{Course, Diversion, Wishes};
use crate::spool::{Kept, Order};
use crate::submit::{self, Submission};
use crate::tools::admission;

/// How a message is sent, for those who look on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Makes a place for each dialogue.
    pub show: Option<fn() -> Sink>,
    /// It is a person's, who waits for the relay's answer: it is kept nowhere.
    pub is_trial: bool,
}

/// How a message has ended.
pub(crate) struct End {
    /// The exit status.
    pub status: u8,
    /// What else is to be known of it, for whoever tries.
    pub but: Option<But>,
}

/// What a status does not tell.
pub(crate) enum But {
    /// Another message would wait in the spool now, and its caller would be told 0.
    WouldWait,
    /// It was thrown away, as the configuration says.
    Discarded,
}

/// Reads the message on standard input and submits it.
pub(crate) fn deliver(invocation: &Invocation, said: &Sendmail) -> u8 {
    let caller = Caller::current();
    let hand_over = Arc::default();
    let dossier = door::open(invocation, &caller, &hand_over);
    let show = said.verbose.then_some(show_on_stderr as fn() -> Sink);
    let course = Course::begin(&caller, &invocation.choice);
    let result = match read_standard_input(!said.ignore_dots) {
        Ok(message) => {
            let manner = Manner { show, is_trial: false };
            submit(&course, &said.wishes, &dossier, &hand_over, message, manner).map(|end| end.status)
        }
        Err(failure) => {
            find_log(&dossier, &course);
            Err(failure)
        }
    };
    result.unwrap_or_else(|failure| dossier.fail(&failure))
}

/// Ends a command line that could not be read: standard input is drained first.
pub(crate) fn refuse(words: &[OsString], failure: &Failure) -> u8 {
    let invocation = Invocation { argv: dialect::recorded(words), ..Invocation::default() };
    let caller = Caller::current();
    let dossier = door::open(&invocation, &caller, &Arc::default());
    door::drain();
    find_log(&dossier, &Course::begin(&caller, &invocation.choice));
    dossier.fail(failure)
}

/// Reads the configuration for its log alone: what ends before a site is known is recorded there, too.
fn find_log(dossier: &Dossier, course: &Course<'_>) {
    if let Ok(config) = course.own_config() {
        dossier.set_config(config);
    }
}

/// The message on standard input. A lone dot ends it only where a person types it.
pub(crate) fn read_standard_input(lone_dot_ends: bool) -> Result<Message, Failure> {
    let mut input = StandardInput::lock();
    let lone_dot_ends = lone_dot_ends && input.is_terminal();
    Message::read(&mut input, lone_dot_ends)
}

/// Sends what `compose` makes, given the identifier of the record, as any message of the caller goes, to those whom its
/// header section names, and returns the exit status.
pub(crate) fn composed(
    invocation: &Invocation,
    course: &Course<'_>,
    wishes: Wishes,
    compose: impl FnOnce(&str) -> Result<Vec<u8>, Failure>,
    manner: Manner,
) -> End {
    let hand_over = Arc::default();
    let dossier = door::open(invocation, course.caller(), &hand_over);
    let wishes = Wishes { from_header: true, ..wishes };
    let sent = compose(&dossier.id())
        .and_then(|octets| Message::read(&mut octets.as_slice(), false))
        .and_then(|message| submit(course, &wishes, &dossier, &hand_over, message, manner));
    sent.unwrap_or_else(|failure| End { status: dossier.fail(&failure), but: None })
}

/// Takes `message` from its site to the exit status.
///
/// # Errors
/// What kept the message from being given to a relay; nothing was said of it yet.
pub(crate) fn submit(
    course: &Course<'_>,
    wishes: &Wishes,
    dossier: &Dossier,
    hand_over: &Arc<HandOver>,
    mut message: Message,
    Manner { show, is_trial }: Manner,
) -> Result<End, Failure> {
    dossier.set_message(&message);
    let config = course.own_config()?;
    dossier.set_config(config);
    let site = course.site(wishes, message.header())?.site;
    dossier.set_site(config, site);
    admission::check_ban(config, site, course.caller().uid)?;
    let plan = course.plan(site, wishes, &mut message);
    dossier.set_message(&message);
    let plan = plan?;
    dossier.set_plan(&plan);
    if let (Some(diversion), Some(sink)) = (&plan.diversion, show) {
        sink()(&format!("* {diversion}"));
    }
    let (caller, id) = (course.caller(), dossier.id());
    let diverted_from = plan.diversion.as_ref().map_or(&[][..], Diversion::forward_paths);
    let mail = MailObject { envelope: &plan.envelope, message: &message };
    let order = Order { caller, site, route: &plan.route, mail, id: &id, doubt: None, diverted_from, hand_over };
    let admitted = match limit::admit_to(site, plan.envelope.forward_paths.len(), caller.uid) {
        Ok(admitted) => admitted,
        Err(refused) if !is_trial && admission::waits(site, &refused) => {
            let failure = refused.failure();
            let status = dossier.wait(failure, &order.wait(failure.to_string(), refused.next()));
            return Ok(End { status, but: None });
        }
        Err(refused) => return Err(admission::refusal(dossier, site, &refused, caller.uid)),
    };
    let begin = |relay: &Relay| {
        dossier.set_relay(relay);
        show.map(|sink| sink())
    };
    let manner = submit::Manner {
        route: plan.route.as_slice().into(),
        terms: site.terms,
        breaker: Breaker::of(site, course.caller().uid),
        host_name: course.ehlo_argument(),
        begin: &begin,
        keyed: &|key| dossier.set_key(key),
        hand_over,
    };
    let submission = submit::submit(mail, manner);
    let order = Order { doubt: submission.doubt(), ..order };
    let (kept, but) = match is_trial {
        true => (Kept::No, trial(&order, &submission)),
        false => (order.keep(submission.results()), None),
    };
    admission::settle(admitted, site, &submission, &kept, caller.uid);
    Ok(End { status: dossier.finish(&submission, &plan.envelope, &kept), but })
}

/// What a trial's status does not tell.
fn trial(order: &Order<'_>, submission: &Submission) -> Option<But> {
    match &submission.decisive().relay.way {
        Way::Null(_) => Some(But::Discarded),
        _ => order.would_wait(submission.results()).then_some(But::WouldWait),
    }
}

/// Shows a dialogue on standard error as it happens (`-v`).
pub(crate) fn show_on_stderr() -> Sink {
    Box::new(|line| {
        let _ = stderr::write(format!("{line}\n").as_bytes());
    })
}
