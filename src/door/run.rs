//! One run of the program as its log record and its exit status see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::report::{self, Report};
use super::signals;
use crate::attempt::HandOver;
use crate::caller::{self, Caller};
use crate::cli::invocation::{Errand, Invocation};
use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::config::{Config, LogTarget};
use crate::door;
use crate::envelope::Envelope;
use crate::exit::{self, Scheme};
use crate::failure::Failure;
use crate::journal::{self, Record};
use crate::message::Message;
use crate::plan::Plan;
use crate::submit::Submission;

/// What is known so far. Shared with the signal watcher, so never locked while anything is waited for.
#[derive(Clone)]
pub(crate) struct Run(Arc<Mutex<State>>);

struct State {
    started: Instant,
    record: Record,
    targets: Vec<LogTarget>,
    scheme: Scheme,
    /// No message is under way, so there is nothing to record.
    idle: bool,
}

impl Run {
    /// A run of `invocation` by `caller`; from now on signals are answered.
    pub(crate) fn new(invocation: &Invocation, caller: &Caller, hand_over: &Arc<HandOver>) -> Self {
        let mut record = Record::new(caller.uid);
        record.user.clone_from(&caller.user);
        record.cwd = caller.cwd.as_ref().map(|cwd| cwd.display().to_string());
        record.parent = caller::parent();
        record.argv.clone_from(&invocation.argv);
        record.ignored.clone_from(&invocation.ignored);
        if let Errand::Sendmail(said) = &invocation.errand {
            record.ignored.extend_from_slice(&said.ignored);
            record.tag.clone_from(&said.tag);
        }
        let state = State { started: Instant::now(), record, targets: Vec::new(), scheme: Scheme::Reply, idle: false };
        let run = Self(Arc::new(Mutex::new(state)));
        let watched = run.clone();
        signals::watch(Arc::clone(hand_over), move |failure| watched.fail(failure));
        run
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identifier of the record.
    pub(crate) fn id(&self) -> String {
        self.state().record.id.clone()
    }

    /// No message is under way until [`Run::begin`].
    pub(crate) fn rest(&self) {
        self.state().idle = true;
    }

    /// One more message of the same caller begins, with a record of its own.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        state.started = Instant::now();
        state.record = state.record.another();
        state.idle = false;
    }

    /// The numbers the site's caller knows.
    pub(crate) fn scheme(&self) -> Scheme {
        self.state().scheme
    }

    /// Something the record should name.
    pub(crate) fn warn(&self, warnings: &[String]) {
        self.state().record.warnings.extend_from_slice(warnings);
    }

    /// The configuration is known.
    pub(crate) fn set_config(&self, config: &Config) {
        let mut state = self.state();
        state.targets = config.log(None).to_vec();
        state.record.warnings.extend_from_slice(&config.warnings);
    }

    /// The site is known.
    pub(crate) fn set_site(&self, config: &Config, site: &Site) {
        let mut state = self.state();
        state.targets = config.log(Some(site)).to_vec();
        state.scheme = site.exit_status;
        state.record.site = Some(site.name.clone());
    }

    /// The message has been read.
    pub(crate) fn set_message(&self, message: &Message) {
        let mut state = self.state();
        let text = |name| message.header().first(name).map(|field| field.text().into_owned());
        state.record.size = Some(message.size());
        state.record.message_id = text("Message-ID");
        state.record.script = text("X-PHP-Originating-Script");
        state.record.repairs = message.repairs().to_vec();
    }

    /// Everything is decided.
    pub(crate) fn set_plan(&self, plan: &Plan) {
        self.set_envelope(&plan.envelope);
        self.warn(&plan.warnings);
    }

    /// The envelope is known.
    pub(crate) fn set_envelope(&self, envelope: &Envelope) {
        let mut state = self.state();
        state.record.from = Some(envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default());
        state.record.set_recipients(envelope.forward_paths.iter());
    }

    /// A relay is about to be tried.
    pub(crate) fn set_relay(&self, relay: &Relay) {
        self.state().record.set_relay(relay);
    }

    /// Ends the run without a relay having been spoken to: stderr line, log record, exit status.
    /// Where no message is under way, there is nothing to tell but the status.
    pub(crate) fn fail(&self, failure: &Failure) -> u8 {
        let (site, idle) = {
            let state = self.state();
            (state.record.site.clone(), state.idle)
        };
        if !idle {
            say(&report::of_failure(failure, None, site.as_deref()));
        }
        self.close(failure)
    }

    /// Ends the run with what the relays said.
    pub(crate) fn finish(&self, submission: &Submission, envelope: &Envelope) -> u8 {
        let mut state = self.state();
        let site = state.record.site.clone().unwrap_or_default();
        say(&report::of_submission(submission, envelope, &site));
        state.record.set_submission(submission);
        let status = exit::status(&submission.decisive().result, state.scheme);
        state.close(status)
    }

    fn close(&self, failure: &Failure) -> u8 {
        let mut state = self.state();
        state.record.set_failure(failure);
        let status = exit::of_kind(&failure.kind, state.scheme);
        state.close(status)
    }
}

impl State {
    /// Writes the record. A named target that fails says so; the status stays what it is.
    fn close(&mut self, status: u8) -> u8 {
        if self.idle {
            return status;
        }
        self.record.finish(status, self.started.elapsed());
        for failure in journal::write(&self.record, &self.targets).err().unwrap_or_default() {
            door::complain(&failure.to_string());
        }
        status
    }
}

fn say(report: &Report) {
    for line in &report.lines {
        door::complain(line);
    }
    if let Some(hint) = &report.hint {
        door::suggest(hint);
    }
}
