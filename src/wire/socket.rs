//! Waiting on non-blocking sockets, always under a deadline.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::deadline::Deadline;

/// Waits until something happens on one of `polled`; `false` once the deadline is over.
///
/// # Errors
/// What poll(2) reports, interruptions apart.
pub(crate) fn wait(polled: &mut [PollFd<'_>], deadline: Deadline) -> io::Result<bool> {
    loop {
        // Asked before looking, so that a peer which always has something for us cannot outlast it.
        if deadline.is_over() {
            return Ok(false);
        }
        // Rounded up, or the last millisecond would be spent spinning.
        let milliseconds = deadline.left().as_micros().div_ceil(1000);
        match poll(polled, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A non-blocking socket read and written as if it blocked, until the deadline: then
/// [`io::ErrorKind::TimedOut`]. For exchanges of a few kilobytes, where each side waits for the other.
pub(super) struct Patient<'a> {
    /// The socket.
    pub(super) socket: &'a File,
    /// The end of every wait.
    pub(super) deadline: Deadline,
}

impl Patient<'_> {
    fn retry(&self, flags: PollFlags, mut attempt: impl FnMut(&File) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            if !wait(&mut [PollFd::new(self.socket.as_fd(), flags)], self.deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match attempt(self.socket) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => return result,
            }
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLIN, |mut socket| socket.read(buffer))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, |mut socket| socket.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, |mut socket| socket.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why octets could not be moved.
#[derive(Debug)]
pub enum WireError {
    /// The other end closed or reset the connection.
    Closed,
    /// The other end said in TLS that nothing more will come (RFC 8446 6.1): what it had said before is all
    /// there is.
    Ended,
    /// The deadline is over.
    TimedOut,
    /// What the system says.
    Io(io::Error),
    /// The other end broke TLS, or said why it ended it.
    Tls(String, Option<String>),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed | Self::Ended => f.write_str("connection closed"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Tls(text, _) => write!(f, "TLS: {text}"),
        }
    }
}

impl std::error::Error for WireError {}
