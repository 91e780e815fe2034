//! One connection and the script that is carried out over it: what is done with octets.

use super::client::{Framing, Loss, Run, Script};
use super::stuffing::{PIECE, Stuffing};
use crate::attempt::Attempt;
use crate::deadline::Pace;
use crate::failure::{Failure, Kind};
use crate::message::Message;
use crate::outcome::Stage;
use crate::wire::{Connection, WireError};

/// How much is read at a time, in octets.
const READ: usize = 16 << 10;

/// A connection, the script that is carried out over it, and the attempt both are part of.
pub(super) struct Line<'a, 'r, S> {
    pub(super) connection: &'a mut Connection,
    pub(super) run: &'a mut Run<'r, S>,
    pub(super) attempt: &'a mut Attempt,
}

impl<S: Script> Line<'_, '_, S> {
    /// Writes what waits, and hears what the server says next.
    pub(super) fn read(&mut self) {
        let mut buffer = [0; READ];
        match self.connection.read(&mut buffer, self.attempt.deadline) {
            Ok(count) => self.run.receive(&buffer[..count], &mut self.attempt.trace),
            Err(error) => {
                if self.connection.is_flight_unsent() {
                    self.run.message_withheld();
                }
                self.lost(error);
            }
        }
    }

    /// Streams the message; whether the server is there to take its last piece, which stays queued, so
    /// that what is said next leaves in the same write.
    ///
    /// # Errors
    /// The message cannot be read back from its file.
    pub(super) fn send(&mut self, message: &Message, framing: Framing) -> Result<bool, Failure> {
        let mut stuffing = Stuffing::new(framing, message.facts());
        let mut chunks = message.chunks();
        let mut waiting = 0;
        let mut pace = Pace::begin();
        loop {
            let chunk = chunks.advance().map_err(|error| {
                let why = format!("cannot be read back from its temporary file: {error}");
                Failure::new(Kind::Io, "message", why).at(Stage::Message)
            })?;
            let Some(chunk) = chunk else { break };
            for piece in chunk.chunks(PIECE) {
                if waiting > PIECE {
                    while !self.press_on() {}
                    if self.run.is_done() {
                        return Ok(false);
                    }
                    pace.went_out(waiting as u64, &mut self.attempt.deadline);
                    waiting = 0;
                }
                waiting += piece.len();
                stuffing.apply(piece, |bytes| self.connection.queue(bytes));
            }
        }
        self.connection.queue(stuffing.end());
        pace.went_out(waiting as u64, &mut self.attempt.deadline);
        pace.end(&mut self.attempt.deadline);
        Ok(self.is_awaited())
    }

    /// A connection that broke while we wrote may hold the reply that says why.
    fn lost(&mut self, error: WireError) {
        let mut buffer = [0; READ];
        while self.connection.has_input()
            && let Ok(count) = self.connection.read(&mut buffer, self.attempt.deadline)
        {
            self.run.receive(&buffer[..count], &mut self.attempt.trace);
        }
        let loss = match error {
            WireError::Closed => Loss::Closed,
            WireError::Ended => Loss::Ended,
            WireError::TimedOut => Loss::TimedOut(self.attempt.deadline.span()),
            WireError::Tls(reason, hint) => Loss::Tls(reason, hint),
            WireError::Io(error) => Loss::Broken(error.to_string()),
        };
        self.run.lost(&loss);
    }

    /// Writes what is queued of the message, or hears what the server has to say against it; whether
    /// there is nothing more to write.
    fn press_on(&mut self) -> bool {
        let is_written = match self.connection.flush_or_hear(self.attempt.deadline) {
            Ok(is_written) => is_written,
            Err(error) => {
                self.lost(error);
                true
            }
        };
        if self.connection.has_input() {
            self.read();
        }
        is_written || self.run.is_done()
    }

    /// Whether the server is still there and has not refused the message. Else the last octets stay here,
    /// so that nobody has it.
    fn is_awaited(&mut self) -> bool {
        loop {
            match self.connection.hear() {
                Ok(()) if self.connection.has_input() => self.read(),
                Ok(()) => return true,
                Err(error) => self.lost(error),
            }
            if self.run.is_done() {
                self.connection.give_up();
                return false;
            }
        }
    }
}
