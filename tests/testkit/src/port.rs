//! A port that is spoken for.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt};

/// A port of 127.0.0.1 that the system chose and gives to nobody else for as long as this lives. Nobody listens
/// there: whoever connects is refused. Only a server that is told the number and sets SO_REUSEADDR, as
/// servers do, can listen on it.
pub struct Port {
    number: u16,
    _socket: OwnedFd,
}

impl Port {
    /// Reserves one.
    ///
    /// # Panics
    /// It cannot.
    pub fn reserve() -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        setsockopt(&socket, sockopt::ReuseAddr, &true).expect("SO_REUSEADDR");
        let any = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        bind(socket.as_raw_fd(), &any).expect("a port on loopback");
        let bound: SockaddrIn = getsockname(socket.as_raw_fd()).expect("its address");
        Self { number: bound.port(), _socket: socket }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
