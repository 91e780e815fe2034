//! Standard input as every reader of a message needs it: a read waits, whatever the descriptor is set to.

use std::io::{self, ErrorKind, IsTerminal, Read, StdinLock};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Standard input, locked.
///
/// A caller that speaks through an event loop (Node, Python's asyncio, Perl's AnyEvent) hands us the end of a pipe
/// or socket pair that it has set to O_NONBLOCK. That is a property of the open file, ours as well as its own, so it
/// is not taken off: "nothing yet" is waited out instead, for as long as the caller takes.
pub struct StandardInput(StdinLock<'static>);

impl StandardInput {
    /// Waits for whoever else holds it.
    pub fn lock() -> Self {
        Self(io::stdin().lock())
    }

    /// Whether a person types.
    pub fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                result => return result,
            }
        }
    }
}
