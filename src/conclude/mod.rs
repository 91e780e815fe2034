//! The end of every message: log record, what is said, exit status. One value gathers what is known until then.

mod alarm;
pub mod report;

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::alarm::Alarm;
use self::report::Report;
use crate::address::Address;
use crate::alert;
use crate::attempt::IdempotencyKey;
use crate::caller::{Caller, Provenance};
use crate::config::alert::{Occasion, Occasions};
use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::config::{Config, LogTarget, Wording, log};
use crate::envelope::Envelope;
use crate::exit::{self, Scheme};
use crate::failure::Failure;
use crate::journal::{self, Record};
use crate::limit::ban::Ban;
use crate::message::Message;
use crate::plan::{Diversion, Plan};
use crate::spool::Kept;
use crate::submit::Submission;

/// What is known of a message so far. Shared with the signal watcher, so never locked while anything is waited for.
#[derive(Clone)]
pub struct Dossier(Arc<Mutex<State>>);

/// What the command line has for the record.
pub struct Typed<'a> {
    /// The command line, printable and bounded.
    pub argv: &'a [String],
    /// Options that had no effect.
    pub ignored: Vec<String>,
    /// `-L`.
    pub tag: Option<String>,
}

struct State {
    started: Instant,
    record: Record,
    /// The script that the calling program runs.
    script: Option<String>,
    targets: Vec<LogTarget>,
    /// How long record files are kept.
    keep: Duration,
    scheme: Scheme,
    /// No message is under way, so there is nothing to record.
    idle: bool,
    /// A signal ends the process.
    is_over: bool,
    tell: fn(&Report),
    /// How hints are worded.
    wording: Wording,
    watch: Watch,
}

/// Whoever hears of trouble.
#[derive(Default)]
struct Watch {
    /// What some alert of the site tells of.
    on: Occasions,
    /// It is about what waited, so that this process is the one that tells alerts.
    is_flusher: bool,
    /// Where the last alert was kept. Closed with the process, which is a system call less for whoever waits for it.
    kept: Option<File>,
}

impl Dossier {
    /// Nothing but the caller and its words; `tell` is how the user hears of the end.
    pub fn open(caller: &Caller, words: Typed<'_>, tell: fn(&Report)) -> Self {
        let mut record = Record::new(caller.uid);
        record.user.clone_from(&caller.user);
        record.cwd = caller.cwd.as_ref().map(|cwd| cwd.display().to_string());
        let provenance = Provenance::current();
        record.set_provenance(&provenance);
        record.argv = words.argv.to_vec();
        record.ignored = words.ignored;
        record.tag = words.tag;
        let (started, scheme) = (Instant::now(), Scheme::Reply);
        let (targets, keep, wording, script) = (Vec::new(), log::KEEP, Wording::FILE, provenance.script);
        Self(Arc::new(Mutex::new(State {
            started,
            record,
            script,
            targets,
            keep,
            scheme,
            idle: false,
            is_over: false,
            tell,
            wording,
            watch: Watch::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identifier of the record.
    pub fn id(&self) -> String {
        self.state().record.id.clone()
    }

    /// No message is under way until [`Dossier::begin`].
    pub fn rest(&self) {
        self.state().idle = true;
    }

    /// One more message of the same caller begins, with a record of its own.
    pub fn begin(&self) {
        let mut state = self.state();
        state.started = Instant::now();
        state.record = state.record.another();
        state.watch.on = Occasions::default();
        state.record.script = state.script.clone();
        state.idle = false;
    }

    /// The message that waits as `id` is taken up again: its record has the same identifier.
    pub fn resume(&self, id: &str) {
        self.begin();
        let mut state = self.state();
        state.watch.is_flusher = true;
        id.clone_into(&mut state.record.id);
        state.record.retry = true;
    }

    /// The message is the one of this identifier once more.
    pub fn set_resending(&self, of: &str) {
        self.state().record.resend_of = Some(of.to_owned());
    }

    /// The numbers the site's caller knows.
    pub fn scheme(&self) -> Scheme {
        self.state().scheme
    }

    /// Something the record should name.
    pub fn warn(&self, warnings: &[String]) {
        self.state().record.warnings.extend_from_slice(warnings);
    }

    /// The configuration is known.
    pub fn set_config(&self, config: &Config) {
        let mut state = self.state();
        state.targets = config.log(None).to_vec();
        state.keep = config.log_keep;
        state.wording = config.wording.clone();
        state.record.warnings.extend_from_slice(&config.warnings);
    }

    /// The site is known.
    pub fn set_site(&self, config: &Config, site: &Site) {
        let mut state = self.state();
        state.targets = config.log(Some(site)).to_vec();
        state.scheme = site.exit_status;
        state.record.site = Some(site.name.clone());
        state.watch.on = site.occasions();
    }

    /// The message has been read.
    pub fn set_message(&self, message: &Message) {
        let mut state = self.state();
        let text = |name| message.header().first(name).map(|field| field.text().into_owned());
        state.record.size = Some(message.size());
        state.record.message_id = text("Message-ID");
        state.record.script = text("X-PHP-Originating-Script").or_else(|| state.script.clone());
        state.record.repairs = message.repairs().to_vec();
    }

    /// Everything is decided.
    pub fn set_plan(&self, plan: &Plan) {
        self.set_envelope(&plan.envelope);
        self.warn(&plan.warnings);
        if let Some(diversion) = &plan.diversion {
            self.set_diversion(diversion);
        }
    }

    /// The site's guard has made this of the message.
    pub fn set_diversion(&self, diversion: &Diversion) {
        self.set_diverted_from(diversion.forward_paths());
    }

    /// The message was written to these, and goes to others.
    pub fn set_diverted_from(&self, forward_paths: &[Address]) {
        self.state().record.set_diverted_from(forward_paths);
    }

    /// The envelope is known.
    pub fn set_envelope(&self, envelope: &Envelope) {
        let mut state = self.state();
        state.record.from = Some(envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default());
        state.record.set_recipients(envelope.forward_paths.iter());
    }

    /// A relay is about to be tried.
    pub fn set_relay(&self, relay: &Relay) {
        self.state().record.set_relay(relay);
    }

    /// The relay that is tried is given this key, which a run that a signal ends names too.
    pub fn set_key(&self, key: &IdempotencyKey) {
        self.state().record.key = Some(key.value.clone());
    }

    /// Ends the message without a relay having been spoken to: what is said, log record, exit status.
    /// Where no message is under way, there is nothing to tell but the status.
    pub fn fail(&self, failure: &Failure) -> u8 {
        self.defer();
        self.end(failure)
    }

    /// Waits for the end of the process where it is certain: its status is another thread's to say.
    fn defer(&self) {
        if self.state().is_over {
            loop {
                thread::park();
            }
        }
    }

    fn end(&self, failure: &Failure) -> u8 {
        // Told without the lock: whoever reads standard error may be slow.
        let told = {
            let mut state = self.state();
            let report = report::of_failure(failure, None, state.record.site.as_deref());
            (!state.idle).then(|| (state.tell, state.heard(report, None)))
        };
        let is_told = told.is_some();
        if let Some((tell, report)) = told {
            tell(&report);
        }
        let status = self.close(failure);
        if is_told {
            self.raise(|watch| alarm::of_failure(failure, watch.is_flusher));
        }
        status
    }

    /// Ends the message as [`Dossier::fail`] does, and for good: the process is about to end, and what another thread
    /// finds out meanwhile is not told.
    pub fn stop(&self, failure: &Failure) -> u8 {
        let status = self.end(failure);
        let mut state = self.state();
        (state.idle, state.is_over) = (true, true);
        status
    }

    /// Has somebody hear of `event` of the site, about `relay`, where an alert tells of it. `reason` is what stands in
    /// brackets in the line that people read. For what no end of a message tells.
    pub fn alarm(&self, event: Occasion, relay: Option<&Relay>, reason: &str) {
        self.raise(|_| Some(Alarm::new(event, relay, reason.to_owned())));
    }

    /// Has somebody hear, where an alert tells of it, that the site has been banned for going over its limit.
    pub fn tell_of_ban(&self, ban: &Ban) {
        self.raise(|_| Some(Alarm::new(Occasion::Ban, None, ban.terms()).also(Occasion::Limit)));
    }

    /// Keeps what `find` finds for a flusher to tell, where anybody is to hear of it. The last thing that is done for a
    /// message: whoever waits has been told.
    fn raise<'a>(&self, find: impl FnOnce(&Watch) -> Option<Alarm<'a>>) {
        let state = self.state();
        if state.watch.on.is_empty() {
            return;
        }
        let Some(alarm) = find(&state.watch) else { return };
        let site = state.record.site.as_deref().unwrap_or_default();
        let notice = alarm.notice(site, Timestamp::now().as_second(), &state.record.id);
        if !notice.is_in(state.watch.on) {
            return;
        }
        let (uid, is_flusher) = (state.record.uid, state.watch.is_flusher);
        drop(state);
        if let Some(file) = alert::raise(&notice, uid, is_flusher) {
            self.state().watch.kept = Some(file);
        }
    }

    /// Ends the message with what the relays said, and what has become of it beside that.
    pub fn finish(&self, submission: &Submission, envelope: &Envelope, kept: &Kept) -> u8 {
        self.defer();
        let mut state = self.state();
        let site = state.record.site.clone().unwrap_or_default();
        let report = report::of_submission(submission, envelope, &site);
        let report = report::with_kept(report, submission, kept, &state.record.id);
        let report = state.heard(report, Some(&submission.decisive().relay.name));
        (state.tell)(&report);
        state.record.set_submission(submission);
        state.record.set_kept(kept);
        let status = match is_told_by_spool(submission, kept) {
            true => exit::OK,
            false => exit::status(&submission.decisive().result, state.scheme),
        };
        let status = state.close(status);
        drop(state);
        self.raise(|watch| alarm::of_submission(submission, kept, watch.is_flusher));
        status
    }

    /// Ends a message that is over a limit of its site and was to wait until there is room.
    pub fn wait(&self, failure: &Failure, kept: &Kept) -> u8 {
        self.defer();
        self.state().record.set_kept(kept);
        let status = match kept {
            Kept::Failed(why) => {
                let (tell, report) = {
                    let mut state = self.state();
                    let report = report::of_unkept(failure, why, state.record.site.as_deref());
                    (state.tell, state.heard(report, None))
                };
                tell(&report);
                self.close(failure)
            }
            _ => {
                let mut state = self.state();
                state.record.set_failure(failure);
                state.close(exit::OK)
            }
        };
        self.raise(|_| Some(alarm::of_waiting(failure, kept)));
        status
    }

    fn close(&self, failure: &Failure) -> u8 {
        let mut state = self.state();
        state.record.set_failure(failure);
        let status = exit::of_kind(&failure.kind, state.scheme);
        state.close(status)
    }
}

/// Whether everybody has the message or is going to: nobody was refused for good, and those who wait are in the spool.
fn is_told_by_spool(submission: &Submission, kept: &Kept) -> bool {
    match (kept, &submission.decisive().result) {
        (Kept::Queued { is_part: false, .. }, _) => true,
        (Kept::Queued { is_part: true, .. }, Ok(outcome)) => {
            outcome.decisive().is_some_and(|(_, reply)| !reply.is_permanent())
        }
        _ => false,
    }
}

impl State {
    /// What the user is told of the relay of this name: a hint in the words of this configuration, which the record keeps
    /// too.
    fn heard(&mut self, mut report: Report, relay: Option<&str>) -> Report {
        if !report.lines.is_empty() {
            let told = |hint| self.wording.told(hint, relay);
            report.hint = report.hint.as_deref().map(told).or_else(|| self.wording.alone().map(str::to_owned));
        }
        self.record.hint.clone_from(&report.hint);
        report
    }

    /// Writes the record. A named target that fails says so; the status stays what it is.
    fn close(&mut self, status: u8) -> u8 {
        if self.idle {
            return status;
        }
        self.record.finish(status, self.started.elapsed());
        let failed = journal::write(&self.record, &self.targets, self.keep).err().unwrap_or_default();
        if !failed.is_empty() {
            (self.tell)(&Report { lines: failed.iter().map(ToString::to_string).collect(), hint: None });
        }
        status
    }
}
