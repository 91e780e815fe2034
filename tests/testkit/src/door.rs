//! A listening socket that another thread can close.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::channel::Socket;

/// Where clients come in.
pub(crate) struct Door {
    listener: Listener,
    /// At its end once the key is gone.
    closing: UnixStream,
}

/// Closes the door on drop.
pub(crate) struct Key {
    _closing: UnixStream,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    /// On 127.0.0.1 at a port the system chooses.
    ///
    /// # Panics
    /// It cannot be opened.
    pub(crate) fn tcp() -> (Self, Key, SocketAddr) {
        Self::tcp_at(0)
    }

    /// At this port of 127.0.0.1; 0: one that the system chooses.
    ///
    /// # Panics
    /// It cannot be opened.
    pub(crate) fn tcp_at(port: u16) -> (Self, Key, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port on loopback");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("its address");
        let (door, key) = Self::of(Listener::Tcp(listener));
        (door, key, address)
    }

    /// At this path.
    ///
    /// # Panics
    /// It cannot be opened.
    pub(crate) fn unix(path: &Path) -> (Self, Key) {
        let listener = UnixListener::bind(path).expect("a unix socket");
        listener.set_nonblocking(true).expect("a socket that does not block");
        Self::of(Listener::Unix(listener))
    }

    fn of(listener: Listener) -> (Self, Key) {
        let (closing, key) = UnixStream::pair().expect("a pair of sockets");
        (Self { listener, closing }, Key { _closing: key })
    }

    /// The next client, in the order in which they came; `None` once the door is closed and everybody who
    /// came before that was let in, be it that he has left again.
    pub(crate) fn next(&self) -> Option<Socket> {
        loop {
            // In this order: nobody comes before the door was closed and after we looked.
            let is_closed = is_readable(&[self.closing.as_fd()], PollTimeout::ZERO);
            match self.accept() {
                Ok(socket) => return Some(socket),
                Err(error) if error.kind() != ErrorKind::WouldBlock => {}
                Err(_) if is_closed => return None,
                Err(_) => drop(is_readable(&[self.closing.as_fd(), self.listener.as_fd()], PollTimeout::NONE)),
            }
        }
    }

    /// Waits until the door is closed, but no longer than `patience`.
    pub(crate) fn wait_until_closed(&self, patience: Duration) {
        let patience = PollTimeout::try_from(patience).expect("less than a month");
        is_readable(&[self.closing.as_fd()], patience);
    }

    fn accept(&self) -> io::Result<Socket> {
        match &self.listener {
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| Socket::Tcp(stream)),
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Waits until one of `sources` can be read.
fn is_readable(sources: &[BorrowedFd<'_>], patience: PollTimeout) -> bool {
    let mut polled: Vec<PollFd<'_>> = sources.iter().map(|source| PollFd::new(*source, PollFlags::POLLIN)).collect();
    match poll(&mut polled, patience) {
        Ok(count) => count > 0,
        Err(Errno::EINTR) => false,
        Err(error) => panic!("poll: {error}"),
    }
}
