//! The log record: one JSON object a line that tells what happened to one message.
//!
//! Metadata only: no body, no subject, no secret.

mod bounds;
mod file;
pub mod read;
mod record_file;
mod sink;
mod status;
pub mod stderr;

use serde::Serialize;

pub use record_file::expire;
pub use sink::write;
pub use status::StatusWord;

use crate::caller::Provenance;
use crate::config::relay::{Relay, Way};
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::hex;
use crate::outcome::{Outcome, Stage};
use crate::random;
use crate::reply::Reply;
use crate::spool::{Folder, Kept};
use crate::submit::{Submission, Try};

/// The version of the record's form (`v`).
const VERSION: u8 = 1;

/// One log record. The order of the fields is the order in the line.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    v: u8,
    /// RFC 3339, UTC, milliseconds.
    time: String,
    /// Random, one per run.
    pub id: String,
    /// What has become of the message ([`StatusWord`]).
    status: &'static str,
    /// Whose word decided: `relay` or `mailchute`.
    by: &'static str,
    /// The site that spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The calling uid.
    pub uid: u32,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The command name of the calling process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The command names of the processes above, nearest first, where there is more than `parent`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// The systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What cron runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The PHP-FPM pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The name of the web site, where a CGI program calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_host: Option<String>,
    /// The script: the one that PHP names in the message, else the one that the calling program runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The command line, bounded.
    pub argv: Vec<String>,
    /// The message that this one is a resending of, by its identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resend_of: Option<String>,
    /// What the caller calls the message (`-L`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
    /// The reverse-path; empty for `<>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The forward-paths, at most 100 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Whom it was written to, where the site's guard has it go to others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diverted_from: Vec<String>,
    /// The Message-ID field, brackets included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Octets of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced: Option<String>,
    text: String,
    /// Where the spool has it: `queue` or `held`; `failed` or `sent` for a copy of what is done with.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<&'static str>,
    /// The next step that the user was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    /// The idempotency key of the submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tries: Vec<TryRecord>,
    /// What was changed in the message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<String>,
    /// What a reader should know: file modes, skipped files, 8-bit sent undeclared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Options accepted without effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// It had waited in the spool, and was tried again.
    #[serde(skip_serializing_if = "is_false")]
    pub retry: bool,
    ms: u64,
    exit: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dialogue: Vec<String>,
    /// Somebody may have the message.
    #[serde(skip)]
    is_in_doubt: bool,
}

#[derive(Clone, Debug, Serialize)]
struct TryRecord {
    relay: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    ms: u64,
}

impl Record {
    /// A record of a run by `uid` in which nothing has happened yet.
    pub fn new(uid: u32) -> Self {
        Self {
            v: VERSION,
            time: String::new(),
            id: random_id(),
            status: StatusWord::Failed.name(),
            by: "mailchute",
            site: None,
            uid,
            user: None,
            cwd: None,
            parent: None,
            parents: Vec::new(),
            unit: None,
            job: None,
            pool: None,
            web_host: None,
            script: None,
            argv: Vec::new(),
            resend_of: None,
            relay: None,
            provider: None,
            from: None,
            to: Vec::new(),
            diverted_from: Vec::new(),
            message_id: None,
            size: None,
            code: None,
            enhanced: None,
            text: String::new(),
            spool: None,
            hint: None,
            provider_id: None,
            key: None,
            stage: None,
            tls: None,
            tries: Vec::new(),
            repairs: Vec::new(),
            warnings: Vec::new(),
            ignored: Vec::new(),
            retry: false,
            ms: 0,
            exit: 0,
            dialogue: Vec::new(),
            tag: None,
            is_in_doubt: false,
        }
    }

    /// A record of the next message in the same run.
    pub fn another(&self) -> Self {
        let Self { user, cwd, parent, parents, unit, job, pool, web_host, argv, ignored, tag, .. } = self;
        Self {
            user: user.clone(),
            cwd: cwd.clone(),
            parent: parent.clone(),
            parents: parents.clone(),
            unit: unit.clone(),
            job: job.clone(),
            pool: pool.clone(),
            web_host: web_host.clone(),
            argv: argv.clone(),
            ignored: ignored.clone(),
            tag: tag.clone(),
            ..Self::new(self.uid)
        }
    }

    /// Enters where the message came from.
    pub fn set_provenance(&mut self, provenance: &Provenance) {
        let Provenance { parent, parents, unit, job, pool, script, web_host } = provenance.clone();
        (self.parent, self.parents, self.unit, self.job) = (parent, parents, unit, job);
        (self.pool, self.web_host, self.script) = (pool, web_host, script);
    }

    /// Names the envelope's recipients, no more of them than a record holds.
    pub fn set_recipients<'a>(&mut self, recipients: impl ExactSizeIterator<Item = &'a crate::address::Address>) {
        self.to = named(recipients);
    }

    /// Names those whom the message was written to, no more of them than a record holds.
    pub fn set_diverted_from(&mut self, recipients: &[crate::address::Address]) {
        self.diverted_from = named(recipients.iter());
    }

    /// Enters the relay that is being tried, so that a run which a signal ends names it.
    pub fn set_relay(&mut self, relay: &Relay) {
        self.relay = Some(relay.name.clone());
        self.key = None;
        self.provider = relay.provider.map(|provider| provider.id);
    }

    /// Enters what the relays said.
    pub fn set_submission(&mut self, submission: &Submission) {
        let decisive = submission.decisive();
        self.set_relay(&decisive.relay);
        self.tls = decisive.trace.tls.clone();
        self.key = decisive.key.as_ref().map(|key| key.value.clone());
        match &decisive.result {
            Ok(outcome) => self.set_outcome(outcome, &decisive.relay.way),
            Err(failure) => self.set_failure(failure),
        }
        self.repairs.extend_from_slice(&decisive.trace.repairs);
        self.tries = submission.tries().iter().map(TryRecord::new).collect();
        for attempt in submission.tries() {
            self.warnings.extend_from_slice(&attempt.trace.warnings);
        }
        if !decisive.result.as_ref().is_ok_and(Outcome::is_accepted) {
            self.dialogue = decisive.trace.dialogue().map(str::to_owned).collect();
        }
    }

    /// Enters what has become of the message beside what the relays said.
    pub fn set_kept(&mut self, kept: &Kept) {
        match kept {
            Kept::No => {}
            Kept::Queued { is_in_doubt, is_relay_trouble, .. } => {
                self.spool = Some(Folder::Queue.name());
                if *is_in_doubt {
                    self.warnings.push("may have been accepted already, and will be sent again".to_owned());
                }
                if *is_relay_trouble {
                    self.warnings.push("waits for somebody to mend the relay".to_owned());
                }
            }
            Kept::Held => self.spool = Some(Folder::Held.name()),
            Kept::Failed(failure) => self.warnings.push(format!("not kept for later: {failure}")),
            Kept::Copied(folder) => self.spool = Some(folder.name()),
            Kept::Uncopied(failure) => self.warnings.push(format!("no copy is kept: {failure}")),
        }
    }

    fn set_outcome(&mut self, outcome: &Outcome, way: &Way) {
        // Nobody but us decides what null:// discards.
        self.by = if matches!(way, Way::Null(_)) { "mailchute" } else { "relay" };
        self.provider_id = outcome.provider_id.clone();
        self.is_in_doubt = outcome.is_forced_partial();
        if let Some((answer, reply)) = outcome.decisive() {
            self.set_reply(reply);
            self.stage = Some(answer.stage.name());
        }
    }

    /// Enters why the message never reached a relay, or that no reply was had.
    pub fn set_failure(&mut self, failure: &Failure) {
        if let Kind::Refused(reply) = &failure.kind {
            self.by = if failure.is_our_refusal() { "mailchute" } else { "relay" };
            self.set_reply(reply);
        } else {
            self.text = failure.to_string();
        }
        self.stage = failure.stage.map(Stage::name);
        self.is_in_doubt = failure.kind == Kind::InDoubt;
    }

    fn set_reply(&mut self, reply: &Reply) {
        self.code = Some(reply.code());
        self.enhanced = reply.enhanced().map(|code| code.to_string());
        reply.text().clone_into(&mut self.text);
    }

    /// Closes the record with the exit status and how long the run took.
    pub fn finish(&mut self, exit: u8, took: std::time::Duration) {
        self.time = format!("{:.3}", jiff::Timestamp::now());
        self.exit = exit;
        self.status = match self.is_in_doubt && StatusWord::of_place(self.spool).is_none() {
            // Whatever number the caller knows it by.
            true => StatusWord::InDoubt,
            false => StatusWord::of(self.code, exit, self.spool),
        }
        .name();
        self.ms = millis(took);
        self.bound(bounds::FULL);
    }

    /// The line, without a line end. Every string in it is bounded and printable once the record is closed.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the journal indexes, by the names that its fields have behind `MAILCHUTE_`.
    fn index(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = [
            ("ID", Some(self.id.as_str())),
            ("SITE", self.site.as_deref()),
            ("RELAY", self.relay.as_deref()),
            ("STATUS", Some(self.status)),
            ("MESSAGE_ID", self.message_id.as_deref()),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// The syslog severity (RFC 5424 6.2.1): `info` when accepted, `warning` when it may be tried again,
    /// `err` otherwise.
    pub fn severity(&self) -> u8 {
        match self.exit {
            exit::OK => 6,
            1..=59 => 4,
            _ => 3,
        }
    }
}

impl TryRecord {
    fn new(attempt: &Try) -> Self {
        let Try { relay, result, trace, took, key: _, has_recovered: _ } = attempt;
        let relay: &Relay = relay;
        let (code, text, stage) = match result {
            Ok(outcome) => match outcome.decisive() {
                Some((answer, reply)) => (Some(reply.code()), reply.text().to_owned(), Some(answer.stage)),
                None => (None, String::new(), None),
            },
            Err(failure) => match &failure.kind {
                Kind::Refused(reply) => (Some(reply.code()), failure.to_string(), failure.stage),
                _ => (None, failure.to_string(), failure.stage),
            },
        };
        Self {
            relay: relay.name.clone(),
            peer: trace.peer.clone(),
            code,
            text,
            stage: stage.map(Stage::name),
            ms: millis(*took),
        }
    }
}

/// Addresses, no more of them than a record holds.
fn named<'a>(addresses: impl ExactSizeIterator<Item = &'a crate::address::Address>) -> Vec<String> {
    let more = addresses.len().saturating_sub(bounds::ITEMS);
    let mut names: Vec<_> = addresses.take(bounds::ITEMS).map(ToString::to_string).collect();
    if more > 0 {
        names.push(bounds::more(more));
    }
    names
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands on a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Twelve random hexadecimal digits; zeros where the system has no randomness to give.
fn random_id() -> String {
    hex::encode(random::octets::<6>().unwrap_or_default())
}
