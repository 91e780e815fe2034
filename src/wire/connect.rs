//! The way to a relay: addresses raced (RFC 8305), unix sockets, proxies.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, getsockopt, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::names::resolve;
use super::socket::{Patient, wait};
use super::{socks, tunnel};
use crate::attempt::{Attempt, Trace};
use crate::config::relay::{Place, Proxy, ProxyKind, Relay, is_loopback};
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

/// How long one address gets before the next is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// A connected socket, non-blocking, with Nagle's algorithm off.
///
/// A `File`, because TCP and unix sockets need the same three calls of it: read, write, writev.
pub(super) struct Link {
    /// The socket.
    pub(super) socket: File,
    /// The other end is this host: a loopback address or a unix socket.
    pub(super) is_local: bool,
    /// Where it leads, such as `192.0.2.1:465`.
    pub(super) peer: String,
}

/// Connects to where `relay` listens, through its proxy if it has one.
///
/// # Errors
/// At stage connect: the name does not exist (`NoHost`), nobody answers (`Unavailable`), the source
/// address or the proxy's credentials cannot be used (`Configuration`).
pub(super) fn open(relay: &Relay, attempt: &mut Attempt) -> Result<Link, Failure> {
    let link = match (&relay.place, &relay.proxy) {
        (Place::Unix(path), _) => to_path(path, attempt.deadline)?,
        (Place::Tcp { host, port }, None) => to_host(host, *port, relay.source, attempt)?,
        (Place::Tcp { host, port }, Some(proxy)) => through(proxy, (host, *port), relay, attempt)?,
    };
    attempt.trace.note(&format!("connected to {}", link.peer));
    attempt.trace.peer = Some(link.peer.clone());
    Ok(link)
}

fn to_host(host: &str, port: u16, source: Option<IpAddr>, attempt: &mut Attempt) -> Result<Link, Failure> {
    let Attempt { deadline, trace, .. } = attempt;
    let deadline = *deadline;
    let place = Place::Tcp { host: host.to_owned(), port };
    let mut addresses = resolve(host, port, deadline)?;
    if let Some(source) = source {
        addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
        if addresses.is_empty() {
            let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
            let why = format!("has no {family} address, but the source address {source} is one");
            return Err(Failure::new(Kind::Configuration, place.to_string(), why).at(Stage::Connect));
        }
    }
    match race(&addresses, source, deadline, trace) {
        Ok((socket, address)) => {
            let peer = address.to_string();
            trace.peer = Some(peer.clone());
            let is_local = address.ip().to_canonical().is_loopback();
            Ok(Link { socket: File::from(socket), is_local, peer })
        }
        Err(error) => Err(unreachable(&place, &error, source, deadline)),
    }
}

/// Connects to the first address that answers. Each gets a head start of [`STAGGER`] over the next, and
/// loses it when it fails.
fn race(
    addresses: &[SocketAddr],
    source: Option<IpAddr>,
    deadline: Deadline,
    trace: &mut Trace,
) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut waiting = addresses.iter();
    let mut running: Vec<(OwnedFd, SocketAddr)> = Vec::new();
    let mut head_start = Deadline::after(Duration::ZERO);
    let mut verdict: Option<io::Error> = None;
    let mut lost = |address: SocketAddr, error: io::Error, trace: &mut Trace| {
        trace.note(&format!("{address}: {}", reason(&error)));
        // A family without a route says nothing about the relay; keep what another address said.
        if verdict.as_ref().is_none_or(is_unreachable) {
            verdict = Some(error);
        }
    };
    loop {
        if running.is_empty() || head_start.is_over() {
            match waiting.next() {
                Some(&address) => match begin(address, source) {
                    Ok(socket) => {
                        running.push((socket, address));
                        head_start = Deadline::after(STAGGER);
                    }
                    Err(error) => {
                        lost(address, error, trace);
                        continue;
                    }
                },
                None if running.is_empty() => {
                    return Err(verdict.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
                }
                None => {}
            }
        }
        let until = if waiting.as_slice().is_empty() { deadline } else { deadline.within(head_start.left()) };
        let mut polled: Vec<_> =
            running.iter().map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLOUT)).collect();
        if !wait(&mut polled, until)? && deadline.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let ready: Vec<bool> = polled.iter().map(|polled| polled.any().unwrap_or(false)).collect();
        for index in (0..running.len()).rev().filter(|&index| ready[index]) {
            let (socket, address) = running.remove(index);
            match getsockopt(&socket, sockopt::SocketError)? {
                0 => return Ok((socket, address)),
                code => {
                    lost(address, io::Error::from_raw_os_error(code), trace);
                    head_start = Deadline::after(Duration::ZERO);
                }
            }
        }
    }
}

/// A socket that is connecting to `address`; it becomes writable when it is connected or has failed.
pub(crate) fn begin(address: SocketAddr, source: Option<IpAddr>) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    if let Some(source) = source {
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn to_path(path: &Path, deadline: Deadline) -> Result<Link, Failure> {
    let dial = || -> io::Result<File> {
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // A full backlog blocks connect(2), for as long as the send timeout says; a non-blocking socket
        // would be turned away at once. Zero would mean for ever.
        let left = deadline.left().max(Duration::from_millis(1));
        let left = TimeVal::new(left.as_secs().try_into().unwrap_or(i64::MAX), left.subsec_micros().into());
        setsockopt(&socket, sockopt::SendTimeout, &left)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(File::from(socket))
    };
    match dial() {
        Ok(socket) => Ok(Link { socket, is_local: true, peer: path.display().to_string() }),
        Err(error) => Err(unreachable(&Place::Unix(path.to_owned()), &error, None, deadline)),
    }
}

fn through(proxy: &Proxy, (host, port): (&str, u16), relay: &Relay, attempt: &mut Attempt) -> Result<Link, Failure> {
    let in_proxy = |mut failure: Failure| {
        failure.what = format!("proxy {}", failure.what);
        failure
    };
    let login = match &proxy.login {
        Some((username, source)) => Some((username.as_str(), source.read(relay.strict_modes, attempt)?)),
        None => None,
    };
    let link = to_host(&proxy.host, proxy.port, relay.source, attempt).map_err(in_proxy)?;
    let deadline = attempt.deadline;
    let login = login.as_ref().map(|(username, secret)| (*username, secret));
    let mut stream = Patient { socket: &link.socket, deadline };
    let result = match proxy.kind {
        ProxyKind::Socks5 => socks::negotiate(&mut stream, host, port, login),
        ProxyKind::Http => tunnel::negotiate(&mut stream, host, port, login),
    };
    result.map_err(|error| {
        let place = Place::Tcp { host: proxy.host.clone(), port: proxy.port };
        in_proxy(match error {
            socks::Refusal::Io(error) => unreachable(&place, &error, None, deadline),
            socks::Refusal::Login(why) => Failure::new(Kind::Configuration, place.to_string(), why).at(Stage::Connect),
            socks::Refusal::Said(why) => Failure::new(Kind::Unavailable, place.to_string(), why).at(Stage::Connect),
        })
    })?;
    let relay = Place::Tcp { host: host.to_owned(), port };
    // The loopback end, if it is one, is the proxy's and not the relay's.
    Ok(Link { is_local: false, peer: format!("{relay} through {}", link.peer), ..link })
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
        || error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
}

/// The error in our words, or the system's.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            "connection closed".into()
        }
        io::ErrorKind::NetworkUnreachable => "network unreachable".into(),
        io::ErrorKind::HostUnreachable => "host unreachable".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::NotFound => "no such socket".into(),
        _ => error.to_string(),
    }
}

/// Whether the place is this machine itself.
fn is_here(place: &Place) -> bool {
    matches!(place, Place::Tcp { host, .. } if is_loopback(host))
}

fn unreachable(place: &Place, error: &io::Error, source: Option<IpAddr>, deadline: Deadline) -> Failure {
    let port = match place {
        Place::Tcp { port, .. } => Some(*port),
        Place::Unix(_) => None,
    };
    let failure = |kind, why: String| Failure::new(kind, place.to_string(), why).at(Stage::Connect);
    match (error.kind(), port, source) {
        // The send timeout of a unix socket ends as EAGAIN.
        (io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock, _, _) => {
            let failure = failure(Kind::Unavailable, format!("no answer within {}", seconds(deadline.span())));
            match port {
                Some(port @ (25 | 465 | 587)) => failure.hint(format!(
                    "the host may block outgoing port {port}; try {} or the provider's HTTP API",
                    if port == 465 { "2525, 587" } else { "2525, 465" }
                )),
                Some(port) => failure.hint(format!("a firewall may block outgoing port {port}")),
                None => failure.hint("the server behind this socket does not accept connections"),
            }
        }
        (io::ErrorKind::ConnectionRefused, Some(port), _) if is_here(place) => failure(
            Kind::Unavailable,
            reason(error),
        )
        .hint(format!(
            "nothing accepts connections on port {port} of this machine: check the port; in a container, localhost is \
                 the container itself: write the name of the other service as host"
        )),
        (io::ErrorKind::ConnectionRefused, Some(port), _) => failure(Kind::Unavailable, reason(error)).hint(format!(
            "nothing accepts connections on port {port} there, or a firewall in between refuses them: check host and \
             port{}",
            if matches!(port, 25 | 465 | 587) { ", or try 2525 or the provider's HTTP API" } else { "" },
        )),
        (io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, None, _) => {
            failure(Kind::Unavailable, reason(error)).hint("is the server behind this socket running?")
        }
        (io::ErrorKind::PermissionDenied, None, _) => failure(Kind::NoPermission, reason(error))
            .hint("the calling user needs write permission on the socket and search permission on its directories"),
        (io::ErrorKind::AddrNotAvailable, Some(_), Some(source)) => {
            failure(Kind::Configuration, format!("source address {source} is not one of this host"))
        }
        _ if is_unreachable(error) => failure(Kind::Unavailable, reason(error))
            .hint("this host has no route there: check its network and firewall"),
        _ => failure(Kind::Unavailable, reason(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use nix::sys::socket::{Backlog, SockaddrIn, getsockname, listen};
    use testkit::Port;

    use super::*;
    use crate::wire::connection::tests::{attempt, listener, patience};

    /// The address of a port that nobody listens on.
    fn address(port: &Port) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port.number()).into()
    }

    /// An address whose host drops every packet, for as long as the sockets live.
    fn silent() -> (SocketAddr, Vec<OwnedFd>) {
        let loopback = SockaddrStorage::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let server = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(server.as_raw_fd(), &loopback).unwrap();
        listen(&server, Backlog::new(0).unwrap()).unwrap();
        let address: SockaddrIn = getsockname(server.as_raw_fd()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        // A full backlog drops what comes on top.
        let mut sockets: Vec<_> = (0..4).map(|_| begin(address, None).unwrap()).collect();
        sockets.push(server);
        (address, sockets)
    }

    fn run(addresses: &[SocketAddr], deadline: Deadline) -> (io::Result<SocketAddr>, String) {
        let mut trace = Trace::default();
        let won = race(addresses, None, deadline, &mut trace).map(|(_, address)| address);
        (won, trace.dialogue().collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_refusal_passes_the_turn_and_is_noted() {
        let (port, good) = (Port::reserve(), listener());
        let refusing = address(&port);
        let (won, notes) = run(&[refusing, good.local_addr().unwrap()], patience());
        assert_eq!(won.unwrap(), good.local_addr().unwrap());
        assert_eq!(notes, format!("* {refusing}: connection refused"));
    }

    #[test]
    fn silence_loses_against_the_next_address_and_against_the_deadline() {
        let ((silent, _sockets), refusing, good) = (silent(), Port::reserve(), listener());
        let (won, _) = run(&[silent, address(&refusing), good.local_addr().unwrap()], patience());
        assert_eq!(won.unwrap(), good.local_addr().unwrap());

        let (lost, _) = run(&[silent, silent], Deadline::after(Duration::from_millis(300)));
        assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn failures_name_the_place_and_the_next_step() {
        let nobody = Port::reserve();
        let refused = to_host("127.0.0.1", nobody.number(), None, &mut attempt()).err().unwrap();
        assert_eq!((refused.kind, refused.why.as_str()), (Kind::Unavailable, "connection refused"));
        assert!(refused.hint.unwrap().starts_with("nothing accepts connections on port"));

        let place = Place::Tcp { host: "smtp.example.net".into(), port: 587 };
        let blocked =
            unreachable(&place, &io::ErrorKind::TimedOut.into(), None, Deadline::after(Duration::from_secs(5)));
        assert_eq!(blocked.to_string(), "smtp.example.net:587: no answer within 5 s");
        assert!(blocked.hint.unwrap().contains("block outgoing port 587; try 2525"));

        let absent = to_path(Path::new("/nonexistent/socket"), patience()).err().unwrap();
        assert_eq!(absent.to_string(), "/nonexistent/socket: no such socket");
    }

    #[test]
    fn the_source_address_is_used_and_must_be_ours() {
        let good = listener();
        let port = good.local_addr().unwrap().port();
        let dial = |source: &str| to_host("127.0.0.1", port, Some(source.parse().unwrap()), &mut attempt());
        dial("127.0.0.2").unwrap();
        assert_eq!(good.accept().unwrap().1.ip().to_string(), "127.0.0.2");
        let foreign = dial("192.0.2.1").err().unwrap();
        assert_eq!(foreign.why, "source address 192.0.2.1 is not one of this host");
        let family = dial("::1").err().unwrap();
        assert_eq!((family.kind, family.stage), (Kind::Configuration, Some(Stage::Connect)));
    }
}
