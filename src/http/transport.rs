//! The connection of `wire` as ureq wants it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use super::answers::Answers;
use crate::deadline::{Deadline, Pace};
use crate::wire::{Connection, WireError};

/// Buffer sizes, in octets: what is read and what is written at a time.
const INPUT: usize = 64 << 10;
const OUTPUT: usize = 64 << 10;

/// A connection that is ureq's for one exchange, and then its owner's again.
pub(super) type Lent = Arc<Mutex<Connection>>;

/// Hands out one open connection, once: a request is never sent a second time.
pub(super) struct Handed {
    connection: Mutex<Option<Lent>>,
    progress: Progress,
}

impl Handed {
    pub(super) fn new(connection: Lent, progress: Progress) -> Self {
        Self { connection: Mutex::new(Some(connection)), progress }
    }
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handed")
    }
}

impl Connector for Handed {
    type Out = Wire;

    fn connect(&self, _details: &ConnectionDetails<'_>, _chained: Option<()>) -> Result<Option<Wire>, Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = connection.ok_or(Error::ConnectionFailed)?;
        let progress = self.progress.clone();
        let buffers = LazyBuffers::new(INPUT, OUTPUT);
        Ok(Some(Wire { connection, answers: Answers::default(), pace: Pace::begin(), progress, buffers }))
    }
}

/// How far the exchange came, for the one who has to say why it ended.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<State>>);

struct State {
    deadline: Deadline,
    is_cut: bool,
    /// Something has come that is no part of the answer.
    has_surplus: bool,
    loss: Option<Loss>,
}

/// Why octets could not be moved.
#[derive(Clone)]
pub(super) struct Loss {
    /// In our words.
    pub(super) text: String,
    /// It was the deadline.
    pub(super) is_timeout: bool,
}

impl Progress {
    /// That of an exchange until `deadline`.
    pub(super) fn until(deadline: Deadline) -> Self {
        Self(Arc::new(Mutex::new(State { deadline, is_cut: false, has_surplus: false, loss: None })))
    }

    /// The end of every wait, which a large request makes later.
    pub(super) fn deadline(&self) -> Deadline {
        self.state().deadline
    }

    /// Whether the server stopped taking the request before its end.
    pub(super) fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// Whether something had come behind the answer when the connection was given back.
    pub(super) fn has_surplus(&self) -> bool {
        self.state().has_surplus
    }

    /// The first trouble.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.state().loss.clone()
    }

    fn note(&self, error: &WireError) -> io::Error {
        let loss = Loss { text: error.to_string(), is_timeout: matches!(error, WireError::TimedOut) };
        let error = io::Error::other(loss.text.clone());
        self.state().loss.get_or_insert(loss);
        error
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
pub(super) struct Wire {
    connection: Lent,
    answers: Answers,
    pace: Pace,
    progress: Progress,
    buffers: LazyBuffers,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Whether the server has given its final answer before the end of the request.
    fn is_cut(&mut self) -> bool {
        let is_cut =
            self.progress.is_cut() || self.answers.has_final(&mut lock(&self.connection), self.progress.deadline());
        self.progress.state().is_cut = is_cut;
        is_cut
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), Error> {
        // An answer before the end of the request is a refusal: nothing of the rest is sent.
        if self.is_cut() {
            return Ok(());
        }
        lock(&self.connection).queue(&self.buffers.output()[..amount]);
        loop {
            let flushed = lock(&self.connection).flush_or_hear(self.progress.deadline());
            match flushed {
                Ok(true) => {
                    self.pace.went_out(amount as u64, &mut self.progress.state().deadline);
                    return Ok(());
                }
                Ok(false) if self.is_cut() => return Ok(()),
                Ok(false) => {}
                // A server that stops reading has mostly said why: the rest goes nowhere, its answer counts.
                Err(WireError::Closed | WireError::Ended) if self.is_cut() => return Ok(()),
                Err(error) => return Err(self.progress.note(&error).into()),
            }
        }
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, Error> {
        let buffer = self.buffers.input_append_buf();
        if buffer.is_empty() {
            return Ok(false);
        }
        self.pace.end(&mut self.progress.state().deadline);
        let read = self.answers.read(&mut lock(&self.connection), buffer, self.progress.deadline());
        match read {
            Ok(count) => {
                self.buffers.input_appended(count);
                Ok(count > 0)
            }
            Err(error) => {
                let failure = self.progress.note(&error);
                // The end of the stream ends a body that has no length.
                if matches!(error, WireError::Closed | WireError::Ended) { Ok(false) } else { Err(failure.into()) }
            }
        }
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        lock(&self.connection).is_tls()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.progress.state().has_surplus = !self.answers.is_spent() || !self.buffers.input().is_empty();
    }
}

fn lock(connection: &Lent) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
