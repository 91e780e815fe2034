//! The caller's side of a session: its pipes, and the state machine that understands what it says.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use crate::deadline::Deadline;
use crate::smtp::server::{Content, Server};
use crate::wire::wait;

/// How much is read at a time, in octets.
const READ: usize = 64 << 10;
/// How long one wait for the caller lasts before the next begins.
const A_WHILE: Duration = Duration::from_secs(3600);

/// The caller at standard input and output, and the state machine that understands it.
pub(super) struct CallerPipe {
    pub(super) server: Server,
    pub(super) input: File,
    pub(super) output: File,
    /// The caller closed its end.
    pub(super) gone: bool,
}

impl CallerPipe {
    /// Writes the replies that wait.
    pub(super) fn speak(&mut self) -> io::Result<()> {
        let replies = self.server.take_replies();
        let mut rest = replies.as_slice();
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut polled = [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT)];
                    wait(&mut polled, Deadline::after(A_WHILE))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hears what the caller says next; false: nothing any more.
    pub(super) fn listen(&mut self) -> bool {
        let mut buffer = vec![0; READ];
        loop {
            match self.input.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    self.server.receive(&buffer[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The caller's end of a socket pair may have made ours non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.has_input_within(A_WHILE);
                }
                _ => {
                    self.gone = true;
                    return false;
                }
            }
        }
    }

    /// Whether it says something, or is gone, within `patience`.
    pub(super) fn has_input_within(&self, patience: Duration) -> bool {
        let mut polled = [PollFd::new(self.input.as_fd(), PollFlags::POLLIN)];
        wait(&mut polled, Deadline::after(patience)).unwrap_or(true)
    }
}

/// The message, from 354 to the lone dot.
impl Read for CallerPipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.server.content(out) {
                Content::Octets(count) => return Ok(count),
                Content::End => return Ok(0),
                Content::Wait if self.gone || self.speak().is_err() || !self.listen() => {
                    self.gone = true;
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                Content::Wait => {}
            }
        }
    }
}
