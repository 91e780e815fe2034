//! One connection's dialogue: what waits to be written, which replies are due, and what must never be
//! shown. One submission or several in a row are held over it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Duration;

use lettre::transport::smtp::commands::Quit;

use super::Capabilities;
use crate::attempt::Trace;
use crate::config::relay::{Login, Place, Protocol, Relay, Smtp};
use crate::deadline::seconds;
use crate::failure::{Failure, Kind};
use crate::outcome::{Answer, Outcome, Stage};
use crate::reply::{Reply, printable};
use crate::smtp::parse::{Garbage, Parser, Raw};
use crate::smtp::sasl;

/// A reply that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) enum Expect {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Message,
    Reset,
}

impl Expect {
    /// What it answers, in a sentence.
    fn what(self) -> &'static str {
        match self {
            Self::Message => "the message",
            other => other.stage().name(),
        }
    }

    pub(in crate::smtp) fn stage(self) -> Stage {
        match self {
            Self::Greeting => Stage::Greeting,
            Self::Ehlo | Self::Helo => Stage::Ehlo,
            Self::StartTls => Stage::StartTls,
            Self::Auth => Stage::Auth,
            Self::Mail | Self::Reset => Stage::MailFrom,
            Self::Rcpt => Stage::RcptTo,
            Self::Data => Stage::Data,
            Self::Message => Stage::Message,
        }
    }
}

/// A reply that was due and has come.
pub struct Heard {
    /// What it answers.
    pub(in crate::smtp) expect: Expect,
    /// As it may be shown.
    pub(in crate::smtp) reply: Reply,
    /// As it came.
    pub(in crate::smtp) raw: Raw,
}

/// Why a dialogue cannot go on.
#[derive(Debug)]
pub enum Ending {
    /// The server said no, in this stage.
    Refused(Reply, Stage),
    /// There is no reply that could be told.
    Failed(Failure),
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Why nothing more will come from the server.
#[derive(Debug)]
pub enum Loss {
    /// It closed the connection.
    Closed,
    /// It closed the connection in order: TLS vouches that it had said everything.
    Ended,
    /// Silence; the time it was given.
    TimedOut(Duration),
    /// The connection broke: the reason.
    Broken(String),
    /// TLS broke: the reason, and the next step where one is known.
    Tls(String, Option<String>),
}

/// How far the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// No message is under way.
    Ahead,
    /// Its octets are being sent.
    Running,
    /// Its last octet is out: from here on no answer means in doubt.
    Over,
}

/// The state of one connection.
pub struct Dialogue {
    /// Who the server is, for failures.
    server: String,
    /// Whose it is, for hints.
    provider: String,
    parser: Parser,
    expected: VecDeque<Expect>,
    output: Vec<u8>,
    /// What must not be shown: the secret and everything said in AUTH.
    secrets: Vec<sasl::Line>,
    /// What the server offers; nothing before EHLO is answered.
    pub(in crate::smtp) capabilities: Capabilities,
    /// How far the message is.
    pub(super) upload: Upload,
    /// QUIT would be understood: it is not said yet, and would not be taken for content.
    pub(in crate::smtp) may_quit: bool,
    /// The last stage that was begun.
    stage: Stage,
    /// The last message went in a chunk.
    pub(super) is_chunked: bool,
    /// The message has a reply for each recipient (RFC 2033).
    pub(super) is_lmtp: bool,
}

impl Dialogue {
    /// The dialogue of a new connection: the greeting is due.
    pub fn new(relay: &Relay, smtp: &Smtp, login: Option<&Login>) -> Self {
        Self {
            server: relay.place.to_string(),
            provider: match (relay.provider, &relay.place) {
                (Some(provider), _) => provider.name.to_owned(),
                (None, Place::Tcp { host, .. }) => host.clone(),
                (None, place) => place.to_string(),
            },
            parser: Parser::default(),
            expected: VecDeque::from([Expect::Greeting]),
            output: Vec::new(),
            secrets: login.map(sasl::needles).unwrap_or_default(),
            capabilities: Capabilities::default(),
            upload: Upload::Ahead,
            may_quit: true,
            stage: Stage::Greeting,
            is_chunked: false,
            is_lmtp: smtp.protocol == Protocol::Lmtp,
        }
    }

    /// What the server offers, as far as it is to be used.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Octets from the server.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.parser.push(bytes);
    }

    /// The next reply that is due; `None`: it is not there yet, or nothing is due.
    ///
    /// # Errors
    /// What came is no reply.
    pub(super) fn hear(&mut self, trace: &mut Trace) -> Result<Option<Heard>, Failure> {
        let Some(&expect) = self.expected.front() else { return Ok(None) };
        match self.parser.advance() {
            Ok(None) => Ok(None),
            Ok(Some(raw)) => {
                self.expected.pop_front();
                let reply = self.show(&raw, trace);
                self.may_quit &= reply.code() != 421;
                Ok(Some(Heard { expect, reply, raw }))
            }
            Err(garbage) => {
                let garbage = self.describe(&garbage);
                trace.received(&garbage);
                let why = match expect {
                    Expect::Greeting => format!("greeted with {garbage}, which is not an SMTP reply"),
                    _ => format!("answered {} with {garbage}, which is not an SMTP reply", expect.what()),
                };
                Err(self.failure(Kind::Protocol, expect.stage(), why))
            }
        }
    }

    /// The reply that is due next.
    pub(in crate::smtp) fn due(&self) -> Option<Expect> {
        self.expected.front().copied()
    }

    /// One more reply to the same command is due, before all others (LMTP).
    pub(super) fn expect_next(&mut self, expect: Expect) {
        self.expected.push_front(expect);
    }

    /// To be asked before something is said: the server must not have spoken first. In front of a
    /// handshake that is an attempt to smuggle; elsewhere a 421 is a goodbye like any other.
    pub(super) fn check_silence(&mut self, before_handshake: bool, trace: &mut Trace) -> Result<(), Ending> {
        if self.parser.is_empty() {
            return Ok(());
        }
        let stage = self.stage;
        let leftover = self.parser.leftover();
        if let Ok(Some(raw)) = self.parser.advance() {
            let reply = self.show(&raw, trace);
            if reply.code() == 421 && !before_handshake {
                self.may_quit = false;
                return Err(Ending::Refused(reply, stage));
            }
        }
        let leftover = self.describe(&leftover);
        let why = match before_handshake {
            true => format!("said {leftover} between STARTTLS and the TLS handshake"),
            false => format!("said {leftover} before it was asked"),
        };
        Err(self.failure(Kind::Protocol, stage, why).into())
    }

    /// What waits to be written.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Puts one command behind the output; nothing that could end it early passes.
    ///
    /// # Errors
    /// `Data`: the command holds a control character.
    pub(super) fn say(
        &mut self,
        command: impl Display,
        expect: Option<Expect>,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        let line = command.to_string();
        let line = line.strip_suffix("\r\n").unwrap_or(&line);
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            let line = printable(line.as_bytes(), 256);
            return Err(Failure::new(Kind::Data, line, "a control character inside this command"));
        }
        if let Some(expect) = expect {
            self.stage = expect.stage();
            self.expected.push_back(expect);
        }
        trace.sent(&printable(line.as_bytes(), 1024));
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Something of `stage` is about to be said.
    pub(super) fn begin(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Puts a line of AUTH behind the output and keeps it from ever being shown.
    pub(super) fn say_secret(&mut self, prefix: &str, line: sasl::Line, trace: &mut Trace) {
        trace.sent(&format!("{prefix}***"));
        self.output.extend_from_slice(prefix.as_bytes());
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.expected.push_back(Expect::Auth);
        // The longest first: the secret's own base64 may be part of it.
        self.secrets.insert(0, line);
    }

    /// Announces the message; its octets go behind the output, then comes [`Dialogue::uploaded`].
    ///
    /// # Errors
    /// None that could happen: BDAT holds no foreign text.
    pub(super) fn upload(&mut self, size: u64, chunked: bool, trace: &mut Trace) -> Result<(), Failure> {
        if chunked {
            self.say(format_args!("BDAT {size} LAST"), None, trace)?;
        }
        self.stage = Stage::Message;
        self.is_chunked = chunked;
        trace.note(&format!("message, {size} octets"));
        self.may_quit = false;
        self.upload = Upload::Running;
        self.expected.push_back(Expect::Message);
        Ok(())
    }

    /// The message is with the system to its last octet.
    pub(super) fn uploaded(&mut self) {
        self.upload = Upload::Over;
        self.may_quit = true;
    }

    /// Not one octet of its last flight is, after all.
    pub(super) fn withheld(&mut self) {
        if self.upload == Upload::Over {
            self.upload = Upload::Running;
        }
    }

    /// What was said ended like this: nothing that waits goes out any more. Whoever broke the protocol or is
    /// gone gets no goodbye either.
    pub(in crate::smtp) fn break_off(&mut self, end: &Ending) {
        self.output.clear();
        self.may_quit &= match end {
            Ending::Refused(..) => true,
            Ending::Failed(failure) => matches!(failure.kind, Kind::Data | Kind::Refused(_)),
        };
    }

    /// Another message may be said behind this one.
    pub(in crate::smtp) fn rest(&mut self) {
        self.upload = Upload::Ahead;
    }

    /// Says goodbye where that would be understood; its answer is not waited for.
    pub fn quit(&mut self, trace: &mut Trace) {
        if std::mem::replace(&mut self.may_quit, false) {
            // QUIT holds nothing that could be refused.
            let _ = self.say(Quit, None, trace);
        }
    }

    /// The failure that nothing more will come.
    pub(super) fn lost(&self, loss: &Loss) -> Failure {
        let stage = self.expected.front().map_or(Stage::Connect, |expect| expect.stage());
        let sending = self.upload == Upload::Running;
        let why = match loss {
            Loss::TimedOut(span) => {
                let span = seconds(*span);
                match stage {
                    _ if sending => format!("did not take the message within the deadline ({span})"),
                    Stage::Greeting => format!("no greeting within the deadline ({span})"),
                    Stage::Message => format!("no answer to the message within the deadline ({span})"),
                    _ => format!("no answer to {stage} within the deadline ({span})"),
                }
            }
            Loss::Closed | Loss::Ended | Loss::Broken(_) | Loss::Tls(..) => {
                let point = match stage {
                    _ if sending => "while the message was being sent".to_owned(),
                    Stage::Greeting => "before its greeting".to_owned(),
                    Stage::Message => "after the message was sent".to_owned(),
                    _ => format!("after {stage}"),
                };
                match loss {
                    Loss::Broken(reason) => format!("connection lost {point}: {reason}"),
                    Loss::Tls(reason, _) => format!("TLS failed {point}: {reason}"),
                    _ => format!("closed the connection {point}"),
                }
            }
        };
        let kind = match loss {
            Loss::Tls(..) => Kind::Protocol,
            _ => Kind::Unavailable,
        };
        // Replies come in order: whoever goes in order and has said nothing to MAIL has taken nothing.
        if matches!(loss, Loss::Ended) && self.due() == Some(Expect::Mail) {
            return Failure::new(kind, self.server.clone(), why).at(stage);
        }
        let failure = self.failure(kind, stage, why);
        match loss {
            Loss::Tls(_, Some(hint)) if failure.kind != Kind::InDoubt => failure.hint(hint),
            _ => failure,
        }
    }

    /// Whether `outcome` says that the server, or something on the way to it, does not know BDAT after all.
    pub(in crate::smtp) fn is_chunk_unknown(&self, outcome: &Outcome) -> bool {
        let is_unknown = |reply: &Reply| reply.is_about_command();
        let answers = || outcome.answers.iter().filter(|answer| answer.stage == Stage::Message);
        let unknown = |answer: &Answer| answer.reply.as_ref().is_some_and(is_unknown);
        self.is_chunked && answers().next().is_some() && answers().all(unknown)
    }

    /// The failure that `expect` was answered with `reply`, which is no answer to it.
    pub(super) fn breach(&self, expect: Expect, reply: &Reply) -> Failure {
        let why = match expect {
            Expect::Greeting => format!("greeted with \"{reply}\""),
            Expect::Message if self.upload == Upload::Running => {
                format!("answered \"{reply}\" before the message was complete")
            }
            _ => format!("answered {} with \"{reply}\"", expect.what()),
        };
        self.failure(Kind::Protocol, expect.stage(), why)
    }

    /// A failure in this server's name; in doubt once the message is out.
    pub(super) fn failure(&self, kind: Kind, stage: Stage, why: impl Into<String>) -> Failure {
        let (kind, why) = match self.upload {
            Upload::Over => (Kind::InDoubt, format!("{}; the message may have been accepted", why.into())),
            _ => (kind, why.into()),
        };
        let failure = Failure::new(kind, self.server.clone(), why).at(stage);
        match failure.kind {
            // Some firewalls swallow BDAT, close the connection at it, or take it for DATA.
            Kind::InDoubt if self.is_chunked => failure.hint(format!(
                "look for the message in the log of {} before you send it again; if every message ends like this, \
                 set chunking = false",
                self.provider
            )),
            _ => failure,
        }
    }

    /// The reply as it may be shown, and shows it to the trace.
    fn show(&self, raw: &Raw, trace: &mut Trace) -> Reply {
        let mut shown = raw.clone();
        for secret in &self.secrets {
            shown.mask(secret.as_bytes());
        }
        for line in shown.full_lines() {
            trace.received(&printable(line, 512));
        }
        shown.reply()
    }

    fn describe(&self, garbage: &Garbage) -> String {
        garbage.describe(self.secrets.iter().map(|secret| secret.as_bytes()))
    }
}
