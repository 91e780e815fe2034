//! One question on its way: to which server, over what, how often.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::PollFlags;

use super::message::{self, Reading};
use super::{Question, Resolved, Servers};
use crate::deadline::Deadline;
use crate::{random, wire};

/// How many datagrams that are no answer are passed over before TCP is taken, which nobody else can write into.
const FOREIGN: u32 = 8;

/// The size of a received datagram that is looked at, in octets: a server may send more than was asked for.
const BUFFER: usize = 4096;

/// One question and the state of it.
pub(super) struct Flight {
    /// What is asked.
    pub(super) question: Question,
    /// What was asked at first, and the names that stand for it.
    chain: Vec<String>,
    /// How often a server was asked.
    tries: usize,
    id: u16,
    edns: bool,
    foreign: u32,
    socket: Option<Socket>,
    /// When this try ends.
    pub(super) until: Deadline,
    /// The best reason so far for having no answer.
    why: String,
}

enum Socket {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, unsent: Vec<u8>, got: Vec<u8> },
}

impl Flight {
    /// `question`, still to be sent.
    pub(super) fn new(question: Question) -> Self {
        Self {
            question,
            chain: Vec::new(),
            tries: 0,
            id: 0,
            edns: true,
            foreign: 0,
            socket: None,
            until: Deadline::after(std::time::Duration::ZERO),
            why: String::new(),
        }
    }

    /// Asks the next server, whatever was going on before; the end of it all where there is none left to ask.
    ///
    /// # Errors
    /// The answer: that nobody could be asked.
    pub(super) fn ask(&mut self, servers: &Servers, deadline: Deadline) -> Result<(), Resolved> {
        loop {
            if self.tries >= servers.addresses.len() * servers.attempts as usize {
                return Err(self.give_up());
            }
            let address = servers.addresses[self.tries % servers.addresses.len()];
            self.tries += 1;
            self.foreign = 0;
            match self.send(address) {
                Ok(()) => {
                    self.until = deadline.within(servers.timeout);
                    return Ok(());
                }
                Err(error) => self.failed(address, &error),
            }
        }
    }

    /// That nobody could be asked.
    pub(super) fn give_up(&self) -> Resolved {
        let why = if self.why.is_empty() { "no answer in time" } else { &self.why };
        Resolved { aliases: self.chain.clone(), ..Resolved::unasked(why) }
    }

    /// The time of this try is over.
    pub(super) fn was_silent(&mut self, servers: &Servers) {
        let address = self.server(servers);
        self.because(format!("{} does not answer", shown(address)));
    }

    fn server(&self, servers: &Servers) -> SocketAddr {
        servers.addresses[self.tries.saturating_sub(1) % servers.addresses.len()]
    }

    fn failed(&mut self, address: SocketAddr, error: &io::Error) {
        let what = match error.kind() {
            ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => "it closed the connection".to_owned(),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => "there is no way to it".to_owned(),
            _ => error.to_string(),
        };
        self.because(format!("{}: {what}", shown(address)));
    }

    /// What a server said goes before silence.
    fn because(&mut self, why: String) {
        if self.why.is_empty() || !why.ends_with("does not answer") {
            self.why = why;
        }
    }

    fn send(&mut self, address: SocketAddr) -> io::Result<()> {
        let octets = self.octets()?;
        let any: SocketAddr =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        // The system takes a random port for each, and passes only what comes from this server.
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        socket.connect(address)?;
        socket.send(&octets)?;
        self.socket = Some(Socket::Udp(socket));
        Ok(())
    }

    fn send_by_tcp(&mut self, address: SocketAddr) -> io::Result<()> {
        let octets = self.octets()?;
        let stream = TcpStream::from(wire::begin(address, None)?);
        let length = u16::try_from(octets.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let unsent = [&length.to_be_bytes()[..], &octets].concat();
        self.socket = Some(Socket::Tcp { stream, unsent, got: Vec::new() });
        Ok(())
    }

    fn octets(&mut self) -> io::Result<Vec<u8>> {
        let id: [u8; 2] = random::octets().ok_or(ErrorKind::Unsupported)?;
        self.id = u16::from_be_bytes(id);
        message::write(self.id, &self.question, self.edns).ok_or_else(|| ErrorKind::InvalidInput.into())
    }

    /// What is waited for.
    pub(super) fn polled(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match self.socket.as_ref()? {
            Socket::Udp(socket) => Some((socket.as_fd(), PollFlags::POLLIN)),
            Socket::Tcp { stream, unsent, .. } if unsent.is_empty() => Some((stream.as_fd(), PollFlags::POLLIN)),
            Socket::Tcp { stream, .. } => Some((stream.as_fd(), PollFlags::POLLOUT)),
        }
    }

    /// Something happened on the socket. The answer, if that is it.
    pub(super) fn advance(&mut self, servers: &Servers, deadline: Deadline) -> Option<Resolved> {
        let address = self.server(servers);
        let octets = match self.receive() {
            Ok(Some(octets)) => octets,
            Ok(None) => return None,
            Err(error) => {
                self.failed(address, &error);
                return self.ask(servers, deadline).err();
            }
        };
        let by_tcp = matches!(self.socket, Some(Socket::Tcp { .. }));
        match message::read(&octets, self.id, &self.question) {
            Reading::Answer(mut answer) => {
                answer.aliases.splice(0..0, self.chain.drain(..));
                Some(answer)
            }
            Reading::Further(aliases) => self.go_on(aliases, servers, deadline),
            Reading::Truncated if !by_tcp => self.change_to_tcp(address, servers, deadline),
            Reading::Truncated => {
                self.turn(format!("{}: its answer is cut even over TCP", shown(address)), servers, deadline)
            }
            Reading::Unsuitable if self.edns => {
                self.edns = false;
                self.tries -= 1;
                self.ask(servers, deadline).err()
            }
            Reading::Unsuitable => {
                self.turn(format!("{}: it does not take the question", shown(address)), servers, deadline)
            }
            Reading::Refused(why) => self.turn(format!("{}: {why}", shown(address)), servers, deadline),
            Reading::Foreign if by_tcp => {
                self.turn(format!("{}: it answers another question", shown(address)), servers, deadline)
            }
            Reading::Foreign => {
                self.foreign += 1;
                (self.foreign == FOREIGN).then(|| self.change_to_tcp(address, servers, deadline)).flatten()
            }
        }
    }

    /// The next server's turn.
    fn turn(&mut self, why: String, servers: &Servers, deadline: Deadline) -> Option<Resolved> {
        self.because(why);
        self.ask(servers, deadline).err()
    }

    fn change_to_tcp(&mut self, address: SocketAddr, servers: &Servers, deadline: Deadline) -> Option<Resolved> {
        match self.send_by_tcp(address) {
            Ok(()) => {
                self.until = deadline.within(servers.timeout);
                None
            }
            Err(error) => {
                self.failed(address, &error);
                self.ask(servers, deadline).err()
            }
        }
    }

    /// Asks for the name that stands for this one: a server that is no resolver leaves it to us.
    fn go_on(&mut self, aliases: Vec<String>, servers: &Servers, deadline: Deadline) -> Option<Resolved> {
        self.chain.extend(aliases);
        let last = self.chain.last().and_then(|name| Question::new(name, self.question.kind()));
        let turns = self.chain.iter().enumerate().any(|(at, name)| self.chain[..at].contains(name));
        match last {
            Some(next) if !turns && self.chain.len() <= message::CHAIN => {
                self.question = next;
                self.tries = 0;
                self.ask(servers, deadline).err()
            }
            _ => Some(Resolved::unasked("names that stand for one another lead nowhere (CNAME)")),
        }
    }

    /// A whole message, once there is one.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let is_passing = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
        match self.socket.as_mut() {
            None => Ok(None),
            Some(Socket::Udp(socket)) => {
                let mut buffer = [0; BUFFER];
                match socket.recv(&mut buffer) {
                    Ok(size) => Ok(Some(buffer[..size].to_vec())),
                    Err(error) if is_passing(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Some(Socket::Tcp { stream, unsent, .. }) if !unsent.is_empty() => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                match stream.write(unsent) {
                    Ok(size) => drop(unsent.drain(..size)),
                    Err(error) if is_passing(&error) => {}
                    Err(error) => return Err(error),
                }
                Ok(None)
            }
            Some(Socket::Tcp { stream, got, .. }) => {
                // Never more than one message: its length is in two octets.
                let wanted = got.first_chunk().map_or(2, |length| 2 + usize::from(u16::from_be_bytes(*length)));
                let mut buffer = [0; BUFFER];
                let room = (wanted - got.len()).min(BUFFER);
                match stream.read(&mut buffer[..room]) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(size) => got.extend_from_slice(&buffer[..size]),
                    Err(error) if is_passing(&error) => return Ok(None),
                    Err(error) => return Err(error),
                }
                let is_whole =
                    got.first_chunk().is_some_and(|length| got.len() == 2 + usize::from(u16::from_be_bytes(*length)));
                Ok(is_whole.then(|| got.split_off(2)))
            }
        }
    }
}

/// A server as it is named to a user: its port only where it is not the usual one.
fn shown(address: SocketAddr) -> String {
    let text = if address.port() == 53 { address.ip().to_string() } else { address.to_string() };
    format!("name server {text}")
}
