//! Standard error, which nobody may read: a full pipe keeps no message waiting.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use crate::deadline::Deadline;
use crate::wire::wait;

/// How much a pipe that can be written to takes at least, in octets (PIPE_BUF).
const PIECE: usize = 4096;

/// How long one who does not read is waited for, once: what is said here matters less than the message that the
/// time is taken from.
const PATIENCE: Duration = Duration::from_secs(1);

/// Nobody read in time.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Writes `text`, in one write where that can be.
///
/// # Errors
/// It is closed, or nobody reads in time; then the rest is not written, nor anything behind it.
pub fn write(text: &[u8]) -> io::Result<()> {
    let stderr = io::stderr();
    let deadline = Deadline::after(PATIENCE);
    for piece in text.chunks(PIECE) {
        let mut polled = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if IS_STUCK.load(Ordering::Relaxed) || !wait(&mut polled, deadline)? {
            IS_STUCK.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::TimedOut.into());
        }
        stderr.lock().write_all(piece)?;
    }
    Ok(())
}
