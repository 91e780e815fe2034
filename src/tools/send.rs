//! The course of one message, from the door's side.

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;

use crate::attempt::{HandOver, Sink};
use crate::caller::Caller;
use crate::cli::dialect::{self, Sendmail};
use crate::cli::invocation::Invocation;
use crate::config::Search;
use crate::config::relay::Relay;
use crate::door;
use crate::door::run::Run;
use crate::failure::Failure;
use crate::host;
use crate::message::{MailObject, Message, StandardInput};
use crate::plan;
use crate::plan::{Choice, Wishes};
use crate::submit::{self, Manner};

/// Reads the message on standard input and submits it.
pub(crate) fn deliver(invocation: &Invocation, said: &Sendmail) -> u8 {
    let caller = Caller::current();
    let hand_over = Arc::default();
    let run = Run::new(invocation, &caller, &hand_over);
    let show = said.verbose.then_some(show_on_stderr as fn() -> Sink);
    let result = match read_standard_input(!said.ignore_dots) {
        Ok(message) => submit(&invocation.choice, &said.wishes, &caller, &run, &hand_over, message, show),
        Err(failure) => {
            find_log(&run, invocation, &caller);
            Err(failure)
        }
    };
    result.unwrap_or_else(|failure| run.fail(&failure))
}

/// Ends a command line that could not be read: standard input is drained first.
pub(crate) fn refuse(words: &[OsString], failure: &Failure) -> u8 {
    let invocation = Invocation { argv: dialect::recorded(words), ..Invocation::default() };
    let caller = Caller::current();
    let run = Run::new(&invocation, &caller, &Arc::default());
    door::drain();
    find_log(&run, &invocation, &caller);
    run.fail(failure)
}

/// Reads the configuration for its log alone: what ends before a site is known is recorded there, too.
fn find_log(run: &Run, invocation: &Invocation, caller: &Caller) {
    if let Ok(config) = Search::new(invocation.choice.config.clone()).load(caller) {
        run.set_config(&config);
    }
}

/// The message on standard input. A lone dot ends it only where a person types it.
pub(crate) fn read_standard_input(lone_dot_ends: bool) -> Result<Message, Failure> {
    let mut input = StandardInput::lock();
    let lone_dot_ends = lone_dot_ends && input.is_terminal();
    Message::read(&mut input, lone_dot_ends)
}

/// Takes `message` from its site to the exit status. `show` makes a place for each dialogue.
///
/// # Errors
/// What kept the message from being given to a relay; nothing was said of it yet.
pub(crate) fn submit(
    choice: &Choice,
    wishes: &Wishes,
    caller: &Caller,
    run: &Run,
    hand_over: &Arc<HandOver>,
    mut message: Message,
    show: Option<fn() -> Sink>,
) -> Result<u8, Failure> {
    run.set_message(&message);
    let search = Search::new(choice.config.clone());
    let config = search.load(caller)?;
    run.set_config(&config);
    let wanted = search.wanted_site(choice.site.as_deref());
    let site = plan::choose_site(&config, caller, wanted.as_deref(), wishes, message.header())?.site;
    run.set_site(&config, site);
    let host_name = host::name();
    let plan = plan::make(site, caller, &host_name, wishes, choice.relay.as_deref(), &mut message);
    run.set_message(&message);
    let plan = plan?;
    run.set_plan(&plan);
    let begin = |relay: &Relay| {
        run.set_relay(relay);
        show.map(|sink| sink())
    };
    let manner = Manner {
        route: plan.route.as_slice().into(),
        terms: site.terms,
        host_name: host::ehlo_argument(&host_name),
        begin: &begin,
        hand_over,
    };
    let submission = submit::submit(MailObject { envelope: &plan.envelope, message: &message }, &manner);
    Ok(run.finish(&submission, &plan.envelope))
}

/// Shows a dialogue on standard error as it happens (`-v`).
pub(crate) fn show_on_stderr() -> Sink {
    Box::new(|line| {
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    })
}
