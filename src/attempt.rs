//! One try at one relay, handed on as one: its deadline, what is seen of the conversation (the masked
//! dialogue, TLS, how far it got), and whether the message has been handed over.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use crate::deadline::Deadline;
use crate::failure::Failure;

/// How much of the end of a dialogue a failure keeps for the log record, in bytes.
pub const DIALOGUE_LIMIT: usize = 2048;

/// Receives each dialogue line as it happens (`-v`, `mailchute test`).
pub type Sink = Box<dyn FnMut(&str)>;

/// What everybody needs who takes part in one try at one relay.
pub struct Attempt {
    /// The end of every wait.
    pub deadline: Deadline,
    /// What is seen of the conversation.
    pub trace: Trace,
    /// Whether the message has been handed over.
    pub hand_over: Arc<HandOver>,
    /// What every request that submits the message carries, where the relay takes it.
    pub key: Option<IdempotencyKey>,
}

impl Attempt {
    /// An attempt at which nobody looks and no signal is answered: something is asked, no message submitted.
    pub fn new(deadline: Deadline) -> Self {
        Self { deadline, trace: Trace::default(), hand_over: Arc::default(), key: None }
    }

    /// Does `work` under a deadline of `span` from now, or the attempt's own where that is earlier.
    pub fn within<T>(&mut self, span: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        let whole = self.deadline;
        self.deadline = whole.within(span);
        let result = work(self);
        self.deadline = whole;
        result
    }

    /// Something the record should name, once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.trace.warn(warning);
    }
}

/// What one submission is called at a provider that carries it out once, however often the same request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// What is said: a UUID, or what the caller's message gives.
    pub value: String,
    /// When it was first said.
    pub since: Timestamp,
    /// A request with it has gone out, and nobody knows what came of it.
    pub is_repeated: bool,
}

/// What a repeated request may take to arrive: a key that is forgotten meanwhile would make a second message.
const MARGIN: Duration = Duration::from_secs(60);

impl IdempotencyKey {
    /// Whether who remembers a key for `window` still knows this one when a request of `now` arrives. A clock that was
    /// set back since tells nothing, so it does not.
    pub fn is_known(&self, window: Duration, now: Timestamp) -> bool {
        let age = now.duration_since(self.since);
        Duration::try_from(age).is_ok_and(|age| age + MARGIN <= window)
    }
}

/// The trace of one try at one relay. Lines given to it are masked by whoever says them: no secret,
/// no message content.
#[derive(Default)]
pub struct Trace {
    lines: VecDeque<String>,
    bytes: usize,
    sink: Option<Sink>,
    /// TLS version and cipher suite, such as `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub tls: Option<String>,
    /// The address that was connected to, such as `192.0.2.1:465`.
    pub peer: Option<String>,
    /// What was changed in the message for this relay, in the record's words.
    pub repairs: Vec<String>,
    /// Things the record should name, such as a DSN parameter that is not carried.
    pub warnings: Vec<String>,
}

impl Trace {
    /// An empty trace whose lines also go to `sink`.
    pub fn new(sink: Option<Sink>) -> Self {
        Self { sink, ..Self::default() }
    }

    /// The place that the lines go to, for another trace.
    pub fn take_sink(&mut self) -> Option<Sink> {
        self.sink.take()
    }

    /// A line we sent, already masked.
    pub fn sent(&mut self, line: &str) {
        self.push(format!("> {line}"));
    }

    /// A printable line the server sent.
    pub fn received(&mut self, line: &str) {
        self.push(format!("< {line}"));
    }

    /// A remark of ours: connected, TLS established, the message's size.
    pub fn note(&mut self, line: &str) {
        self.push(format!("* {line}"));
    }

    /// Something the record should name, once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn push(&mut self, line: String) {
        if let Some(sink) = &mut self.sink {
            sink(&line);
        }
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > DIALOGUE_LIMIT && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |old| old.len() + 1);
        }
    }

    /// The last [`DIALOGUE_LIMIT`] bytes of the conversation, a line each.
    pub fn dialogue(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

/// Makes durable that the message is about to be handed over to the relay of this name.
///
/// # Errors
/// It cannot be made durable; then nothing is handed over.
pub type Mark = Box<dyn FnMut(&str) -> Result<(), Failure> + Send>;

/// Whether the message has been handed over and no final reply is in yet. Shared with the code that
/// answers signals, which must tell "nobody has it" from "perhaps somebody has it".
#[derive(Default)]
pub struct HandOver {
    state: AtomicU8,
    /// What is told on disk before it begins, and whether that was done for the relay in use.
    mark: Option<Mutex<(Mark, bool)>>,
}

/// Nothing was handed over yet.
const BEFORE: u8 = 0;
/// Handed over, no final reply.
const OPEN: u8 = 1;
/// The final reply is in.
const OVER: u8 = 2;
/// A signal ended the program before the hand-over.
const STOPPED: u8 = 3;
/// A try ended without a final reply, and another one is made: whatever comes of that, somebody may have the message.
const DOUBT: u8 = 4;

impl HandOver {
    /// One that is marked before it begins, once for each relay that is tried.
    pub fn marked(mark: Mark) -> Self {
        Self { state: AtomicU8::new(BEFORE), mark: Some(Mutex::new((mark, false))) }
    }

    /// Just before the last octet of the message is given to the system for `relay`.
    ///
    /// Does not return once [`Self::stop`] said that nobody has the message: the program is ending.
    ///
    /// # Errors
    /// The mark cannot be made: that octet must not leave.
    pub fn begin(&self, relay: &str) -> Result<(), Failure> {
        self.prepare(relay)?;
        while !self.set(OPEN) {
            thread::park();
        }
        Ok(())
    }

    /// Makes the mark early, while a reply of `relay` is waited for anyway.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn prepare(&self, relay: &str) -> Result<(), Failure> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
        let (make, is_made) = &mut *mark;
        if !*is_made {
            make(relay)?;
            *is_made = true;
        }
        Ok(())
    }

    /// Whether a mark is still to be made for the relay in use.
    pub fn is_mark_due(&self) -> bool {
        let is_made = |mark: &Mutex<(Mark, bool)>| mark.lock().unwrap_or_else(PoisonError::into_inner).1;
        self.mark.as_ref().is_some_and(|mark| !is_made(mark))
    }

    /// A valid final reply is in.
    pub fn end(&self) {
        self.set(OVER);
    }

    /// That reply was no, nobody has the message, and another try is made.
    pub fn again(&self) {
        self.unmark();
        self.set(BEFORE);
    }

    /// There was none, and another try is made all the same: from now on somebody may have the message, whatever is
    /// heard, until [`Self::settle`].
    pub fn doubt(&self) {
        self.unmark();
        self.set(DOUBT);
    }

    /// Nothing is in doubt any more: a reply told what became of the message.
    pub fn settle(&self) {
        self.leave(OVER);
    }

    /// Just before the message is kept on disk: from now on signals wait, so that what is durable is told.
    ///
    /// Does not return once [`Self::stop`] said that nobody has the message: the program is ending.
    pub fn keep(&self) {
        while !self.change(|_| OVER) {
            thread::park();
        }
    }

    /// Another message is next.
    pub fn reset(&self) {
        self.unmark();
        self.leave(BEFORE);
    }

    /// Whether somebody may have the message: we are between hand-over and final reply, or a try before was there.
    pub fn is_open(&self) -> bool {
        matches!(self.state.load(Ordering::SeqCst), OPEN | DOUBT)
    }

    /// Forbids the hand-over if it has not begun; whether it had not.
    pub fn stop(&self) -> bool {
        self.state.compare_exchange(BEFORE, STOPPED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The next try is one of its own.
    fn unmark(&self) {
        if let Some(mark) = &self.mark {
            mark.lock().unwrap_or_else(PoisonError::into_inner).1 = false;
        }
    }

    /// Goes to `state` unless stopped, and stays in doubt; whether it was not stopped.
    fn set(&self, state: u8) -> bool {
        self.change(|now| if now == DOUBT { DOUBT } else { state })
    }

    /// Goes to `state` unless stopped, out of doubt as well.
    fn leave(&self, state: u8) {
        self.change(|_| state);
    }

    fn change(&self, next: impl Fn(u8) -> u8) -> bool {
        let next = |now| (now != STOPPED).then(|| next(now));
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::failure::Kind;

    #[test]
    fn a_mark_is_made_once_for_each_relay() {
        let (told, heard) = mpsc::channel();
        let hand_over = HandOver::marked(Box::new(move |relay| {
            told.send(relay.to_owned()).unwrap();
            Ok(())
        }));
        assert!(hand_over.is_mark_due());
        hand_over.prepare("main").unwrap();
        assert!(!hand_over.is_mark_due() && !hand_over.is_open());
        hand_over.begin("main").unwrap();
        assert!(hand_over.is_open());
        hand_over.again();
        hand_over.begin("backup").unwrap();
        hand_over.end();
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["main", "backup"]);
    }

    #[test]
    fn nothing_is_handed_over_without_its_mark() {
        let failure = Failure::new(Kind::Io, "entry", "cannot be written: disk full");
        let hand_over = HandOver::marked(Box::new(move |_| Err(failure.clone())));
        assert_eq!(hand_over.begin("main").unwrap_err().kind, Kind::Io);
        assert!(!hand_over.is_open() && hand_over.is_mark_due());
        assert!(!HandOver::default().is_mark_due());
    }

    #[test]
    fn a_key_is_known_within_its_window_and_no_longer() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let key = IdempotencyKey { value: String::new(), since: at("2026-11-27T10:00:00Z"), is_repeated: true };
        for (now, is_known) in [
            ("2026-11-27T10:00:00Z", true),
            ("2026-11-27T10:04:00Z", true),
            ("2026-11-27T10:04:01Z", false),
            ("2026-11-28T10:00:00Z", false),
            // The clock was set back.
            ("2026-11-27T09:59:59Z", false),
        ] {
            assert_eq!(key.is_known(Duration::from_secs(300), at(now)), is_known, "{now}");
        }
    }
}
