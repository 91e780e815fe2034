//! The connection to a relay: octets in and out, in clear or over TLS, every wait under a deadline.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags};

use super::connect;
use super::socket::{WireError, wait};
use super::tls::Tls;
use crate::attempt::{Attempt, Trace};
use crate::config::relay::{Relay, TlsMode};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

/// How much input is kept that arrives while we write. Beyond it the server has to wait until it is read.
const INPUT_LIMIT: usize = 64 << 10;

/// Pieces from this size on fill TLS records of their own.
const RECORD: usize = 16 << 10;

/// How much is asked of the socket at once: replies are short.
const READ: usize = 4 << 10;

/// An open connection. Dropping it closes it without waiting for anything.
pub struct Connection {
    socket: File,
    tls: Option<Box<Tls>>,
    /// Queued, not yet sealed or written.
    output: Vec<u8>,
    /// Received, not yet read.
    input: Vec<u8>,
    /// How the input ended, once it has, until that is told.
    ended: Option<WireError>,
    /// Octets of the present flight have been written.
    is_under_way: bool,
    /// A flight could not be written to its end: nothing else may be.
    is_broken: bool,
    is_local: bool,
    peer: String,
}

impl Connection {
    /// Connects to where `relay` listens and, with implicit TLS, shakes hands. What is weak about the files
    /// of its secrets becomes a warning, or is refused with `strict_modes`.
    ///
    /// # Errors
    /// With stage, reason and hint: the name does not exist (`NoHost`), nobody answers (`Unavailable`),
    /// TLS failed (`Protocol`), a local file or setting is no good (`Configuration`, `NoPermission`, `Io`).
    pub fn open(relay: &Relay, attempt: &mut Attempt) -> Result<Self, Failure> {
        let link = connect::open(relay, attempt)?;
        let mut connection = Self {
            socket: link.socket,
            tls: None,
            output: Vec::new(),
            input: Vec::new(),
            ended: None,
            is_under_way: false,
            is_broken: false,
            is_local: link.is_local,
            peer: link.peer,
        };
        if relay.tls == TlsMode::Implicit {
            connection.start_tls(relay, attempt)?;
        }
        Ok(connection)
    }

    /// Shakes hands. After the STARTTLS command this is called once its reply has been read, and
    /// nothing but its reply: input left behind is a failure, as it was injected or meant to be.
    ///
    /// # Errors
    /// At stage TLS; as for [`Connection::open`].
    pub fn start_tls(&mut self, relay: &Relay, attempt: &mut Attempt) -> Result<(), Failure> {
        if !self.input.is_empty() {
            let why = "the server sent something between its STARTTLS reply and the TLS handshake";
            return Err(Failure::new(Kind::Protocol, relay.place.to_string(), why).at(Stage::Tls));
        }
        let tls = Tls::start(relay, &self.socket, attempt)?;
        // The greeting may have come along with the end of the handshake.
        let tls = self.tls.insert(Box::new(tls));
        tls.take_plaintext(&mut self.input);
        Ok(())
    }

    /// Queues `bytes` for the next flight. Nothing is held back but by the caller, who flushes at least
    /// every 64 KB.
    pub fn queue(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            // A chunk of the message is copied once, into its records.
            Some(tls) if bytes.len() >= RECORD => {
                tls.seal(&[IoSlice::new(&self.output), IoSlice::new(bytes)]);
                self.output.clear();
            }
            _ => self.output.extend_from_slice(bytes),
        }
    }

    /// Writes everything queued, in one write where the system takes it. What arrives meanwhile is kept for
    /// [`Connection::read`], so that a server which stops reading until it is read from cannot deadlock us.
    ///
    /// # Errors
    /// After one the connection takes nothing more, and [`Connection::read`] still gives what had arrived.
    pub fn flush(&mut self, deadline: Deadline) -> Result<(), WireError> {
        while !self.flush_or_hear(deadline)? {
            self.wait_to_write(deadline).inspect_err(|_| self.give_up())?;
        }
        Ok(())
    }

    /// As [`Connection::flush`], but with the rest still queued and `false` as soon as the server takes no
    /// more and has said something: it may have refused what it does not want to read.
    ///
    /// # Errors
    /// As for [`Connection::flush`].
    pub fn flush_or_hear(&mut self, deadline: Deadline) -> Result<bool, WireError> {
        if self.is_broken {
            return Err(WireError::Closed);
        }
        self.write_out(deadline).inspect_err(|_| self.give_up())
    }

    /// Takes what has arrived, without waiting, for [`Connection::read`].
    ///
    /// # Errors
    /// There is no input, and there will be none: then nothing that is queued goes out any more.
    pub fn hear(&mut self) -> Result<(), WireError> {
        while self.ended.is_none() && self.input.len() < INPUT_LIMIT {
            match self.receive() {
                Ok(true) => {}
                Ok(false) => break,
                Err(end) => self.ended = Some(end),
            }
        }
        if self.has_input() {
            return Ok(());
        }
        self.ended.take().map_or(Ok(()), |end| {
            self.give_up();
            Err(end)
        })
    }

    /// Whether the last flight failed before its first octet was given to the system.
    pub fn is_flight_unsent(&self) -> bool {
        self.is_broken && !self.is_under_way
    }

    /// Takes nothing more, and what the server still said: one that closes often says why before. Nothing
    /// is waited for, nor taken without end.
    pub fn give_up(&mut self) {
        self.is_broken = true;
        self.output.clear();
        let mut reads = 0..INPUT_LIMIT / READ;
        while reads.next().is_some() && matches!(self.receive(), Ok(true)) {}
    }

    /// Flushes, then gives at least one octet of input, as soon as there is one.
    ///
    /// # Errors
    /// The end of the stream is [`WireError::Closed`], or [`WireError::Ended`] where TLS vouches for it.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, WireError> {
        // What has arrived may be the reason why nothing more can be written.
        if self.input.is_empty() {
            self.flush(deadline).or_else(|error| if self.input.is_empty() { Err(error) } else { Ok(()) })?;
        }
        while self.input.is_empty() {
            if let Some(end) = self.ended.take() {
                return Err(end);
            }
            if !wait(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], deadline)? {
                return Err(WireError::TimedOut);
            }
            // The end of the input may come with the last of it.
            self.ended = self.receive().err();
        }
        let count = buffer.len().min(self.input.len());
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }

    /// Whether input has arrived that is not read yet.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether something more may be said over it: nothing is left to be read or written, and the other end is still
    /// there as far as has arrived.
    pub fn is_idle(&mut self) -> bool {
        self.hear().is_ok() && !self.has_input() && self.ended.is_none() && self.output.is_empty() && !self.is_broken
    }

    /// Tells the trace of a later attempt what this connection is.
    pub fn describe(&self, trace: &mut Trace) {
        trace.peer = Some(self.peer.clone());
        trace.tls = self.tls.as_ref().map(|tls| tls.description().to_owned());
    }

    /// When the server's certificate ends, where there is one.
    pub fn certificate_end(&self) -> Option<Timestamp> {
        self.tls.as_ref()?.certificate_end()
    }

    /// Whether verified TLS is on.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the other end is this host: a loopback address or a unix socket, and no proxy.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// `false` when the socket takes no more and there is input to be read.
    fn write_out(&mut self, deadline: Deadline) -> Result<bool, WireError> {
        if let Some(tls) = &mut self.tls
            && !self.output.is_empty()
        {
            tls.seal(&[IoSlice::new(&self.output)]);
            self.output.clear();
        }
        let mut written = 0;
        loop {
            let is_done = self.tls.as_ref().map_or(written == self.output.len(), |tls| !tls.wants_write());
            if is_done {
                self.output.clear();
                self.is_under_way = false;
                return Ok(true);
            }
            if deadline.is_over() {
                return Err(WireError::TimedOut);
            }
            let result = match &mut self.tls {
                Some(tls) => tls.write(&self.socket),
                None => (&self.socket).write(&self.output[written..]),
            };
            match result {
                Ok(count) => {
                    written += count;
                    self.is_under_way = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.has_input() => {
                    if self.tls.is_none() {
                        self.output.drain(..written);
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_to_write(deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the server reads on, and takes what it says meanwhile.
    fn wait_to_write(&mut self, deadline: Deadline) -> Result<(), WireError> {
        let mut flags = PollFlags::POLLOUT;
        if self.ended.is_none() && self.input.len() < INPUT_LIMIT {
            flags |= PollFlags::POLLIN;
        }
        let mut polled = [PollFd::new(self.socket.as_fd(), flags)];
        if !wait(&mut polled, deadline)? {
            return Err(WireError::TimedOut);
        }
        if polled[0].revents().is_some_and(|ready| ready.contains(PollFlags::POLLIN)) {
            self.ended = self.receive().err();
        }
        Ok(())
    }

    /// Takes what one read of the socket gives; `false` if that is nothing at present.
    fn receive(&mut self) -> Result<bool, WireError> {
        let mut buffer = [0; READ];
        let count = match (&self.socket).read(&mut buffer) {
            Ok(0) => return Err(WireError::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        match &mut self.tls {
            Some(tls) => tls.open(&buffer[..count], &mut self.input)?,
            None => self.input.extend_from_slice(&buffer[..count]),
        }
        Ok(true)
    }
}

impl Drop for Connection {
    /// Says goodbye on TLS if the socket takes it at once. Not after a flight that was broken off: its
    /// rest must not go out behind the back of the one who was told that it did not.
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls
            && !self.is_broken
            && !tls.wants_write()
        {
            tls.say_goodbye(&self.socket);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;
    use std::thread::{self, JoinHandle};
    use std::time::{Duration, Instant};

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;
    use crate::config::relay::{Place, Proxy, ProxyKind};
    use crate::secret::{Secret, Source};

    /// Longer than any test takes.
    pub(crate) fn patience() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    /// An attempt that ends when [`patience`] does.
    pub(crate) fn attempt() -> Attempt {
        Attempt::new(patience())
    }

    pub(crate) fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    /// A relay at `place` with nothing else about it.
    pub(crate) fn relay(place: Place, tls: TlsMode) -> Relay {
        Relay { connect_timeout: patience().left(), ..Relay::new("main", place, tls) }
    }

    /// The relay that `listener` is.
    pub(crate) fn relay_of(listener: &TcpListener, tls: TlsMode) -> Relay {
        relay(Place::Tcp { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() }, tls)
    }

    /// Serves the first connection in a thread of its own; every wait of it has an end.
    pub(crate) fn serve<T: Send + 'static>(
        listener: TcpListener,
        server: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        thread::spawn(move || {
            assert!(wait(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], patience()).unwrap());
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(patience().left())).unwrap();
            stream.set_write_timeout(Some(patience().left())).unwrap();
            server(stream)
        })
    }

    fn serve_unix<T: Send + 'static>(
        path: &Path,
        server: impl FnOnce(UnixStream) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            assert!(wait(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], patience()).unwrap());
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(patience().left())).unwrap();
            stream.set_write_timeout(Some(patience().left())).unwrap();
            server(stream)
        })
    }

    fn open(relay: &Relay) -> Connection {
        Connection::open(relay, &mut attempt()).unwrap()
    }

    fn read_all(connection: &mut Connection) -> (String, WireError) {
        let mut text = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            match connection.read(&mut buffer, patience()) {
                Ok(count) => text.extend_from_slice(&buffer[..count]),
                Err(end) => return (String::from_utf8(text).unwrap(), end),
            }
        }
    }

    #[test]
    fn a_server_that_hung_up_does_not_get_what_is_queued() {
        let listener = listener();
        let relay = relay_of(&listener, TlsMode::None);
        let server = serve(listener, drop);
        let mut connection = open(&relay);
        server.join().unwrap();
        connection.queue(b"the message");
        assert!(matches!(connection.hear(), Err(WireError::Closed)));
        assert!(connection.flush(patience()).is_err());
        assert!(connection.is_flight_unsent());
    }

    #[test]
    fn nothing_more_goes_over_a_connection_that_has_ended_or_has_something_to_say() {
        type Peer = fn(TcpStream) -> Option<TcpStream>;
        let says: Peer = |mut stream| {
            stream.write_all(b"x").unwrap();
            Some(stream)
        };
        for (what, peer, is_idle) in
            [("waits", Some as Peer, true), ("is gone", |_| None, false), ("says", says, false)]
        {
            let listener = listener();
            let relay = relay_of(&listener, TlsMode::None);
            let server = serve(listener, peer);
            let mut connection = open(&relay);
            let kept = server.join().unwrap();
            assert_eq!(connection.is_idle(), is_idle, "{what}");
            assert_eq!(connection.is_idle(), is_idle, "{what}, asked again");
            drop(kept);
        }
    }

    #[test]
    fn what_is_queued_goes_out_with_the_next_read() {
        let listener = listener();
        let relay = relay_of(&listener, TlsMode::None);
        let server = serve(listener, |mut stream| {
            let mut line = [0; 12];
            stream.read_exact(&mut line).unwrap();
            stream.write_all(b"250 ").unwrap();
            line
        });
        let mut attempt = attempt();
        let mut connection = Connection::open(&relay, &mut attempt).unwrap();
        assert_eq!(attempt.trace.peer, Some(relay.place.to_string()));
        assert_eq!(attempt.trace.dialogue().collect::<Vec<_>>(), [format!("* connected to {}", relay.place)]);
        assert!(connection.is_local() && !connection.is_tls());
        connection.queue(b"NOOP\r\n");
        connection.queue(b"QUIT\r\n");
        let (text, end) = read_all(&mut connection);
        assert_eq!(text, "250 ");
        assert!(matches!(end, WireError::Closed), "{end:?}");
        assert_eq!(&server.join().unwrap(), b"NOOP\r\nQUIT\r\n");
    }

    #[test]
    fn a_silent_server_is_waited_for_until_the_deadline() {
        let listener = listener();
        let mut connection = open(&relay_of(&listener, TlsMode::None));
        let begun = Instant::now();
        let end = connection.read(&mut [0; 10], Deadline::after(Duration::from_millis(100)));
        assert!(matches!(end, Err(WireError::TimedOut)), "{end:?}");
        assert!((100..60_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_server_that_does_not_read_is_waited_for_until_the_deadline() {
        let listener = listener();
        let mut connection = open(&relay_of(&listener, TlsMode::None));
        let deadline = Deadline::after(Duration::from_millis(200));
        let end = loop {
            connection.queue(&[b'x'; 64 << 10]);
            if let Err(end) = connection.flush(deadline) {
                break end;
            }
        };
        assert!(matches!(end, WireError::TimedOut), "{end:?}");
        assert!(matches!(connection.flush(patience()), Err(WireError::Closed)), "a broken flight is not continued");
    }

    #[test]
    fn a_server_that_answers_before_it_reads_does_not_deadlock_us() {
        const SAID: usize = 48 << 10;
        const SENT: usize = 8 << 20;
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("socket");
        let server = serve_unix(&path, |mut stream| {
            // Room for a fraction of what it says: it stands still until that is read.
            setsockopt(&stream, sockopt::SndBuf, &4096).unwrap();
            stream.write_all(&[b'2'; SAID]).unwrap();
            let mut received = vec![0; SENT];
            stream.read_exact(&mut received).unwrap();
            received.iter().all(|&octet| octet == b'x')
        });
        let mut connection = open(&relay(Place::Unix(path), TlsMode::None));
        for _ in 0..SENT / (64 << 10) {
            connection.queue(&[b'x'; 64 << 10]);
            connection.flush(patience()).unwrap();
        }
        assert!(connection.has_input());
        assert_eq!(read_all(&mut connection).0.len(), SAID);
        assert!(server.join().unwrap());
    }

    #[test]
    fn the_last_words_of_a_server_that_closes_are_heard() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("socket");
        let server = serve_unix(&path, |mut stream| stream.write_all(b"421 too busy\r\n").unwrap());
        let mut connection = open(&relay(Place::Unix(path), TlsMode::None));
        assert!(connection.is_local());
        server.join().unwrap();
        connection.queue(b"EHLO a\r\n");
        assert!(matches!(connection.flush(patience()), Err(WireError::Closed)));
        let (text, end) = read_all(&mut connection);
        assert_eq!(text, "421 too busy\r\n");
        assert!(matches!(end, WireError::Closed), "{end:?}");
    }

    #[test]
    fn a_proxy_is_asked_for_the_name_and_then_out_of_the_way() {
        let listener = listener();
        let mut relay = relay(Place::Tcp { host: "smtp.example.net".into(), port: 25 }, TlsMode::None);
        relay.proxy = Some(Proxy {
            kind: ProxyKind::Socks5,
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            login: Some(("u".into(), Source::Inline(Secret::new("p".into())))),
        });
        let peer = listener.local_addr().unwrap();
        let server = serve(listener, |mut stream| {
            let mut told = [[0; 4].as_slice(), &[0; 5], &[0; 23]].concat();
            stream.read_exact(&mut told[..4]).unwrap();
            stream.write_all(b"\x05\x02").unwrap();
            stream.read_exact(&mut told[4..9]).unwrap();
            stream.write_all(b"\x01\x00").unwrap();
            stream.read_exact(&mut told[9..]).unwrap();
            stream.write_all(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00220 hello\r\n").unwrap();
            told
        });
        let mut attempt = attempt();
        let mut connection = Connection::open(&relay, &mut attempt).unwrap();
        assert_eq!(attempt.trace.peer, Some(format!("smtp.example.net:25 through {peer}")));
        assert!(!connection.is_local(), "the loopback address is the proxy's");
        assert_eq!(read_all(&mut connection).0, "220 hello\r\n");
        let told = server.join().unwrap();
        assert_eq!(told, b"\x05\x02\x00\x02\x01\x01u\x01p\x05\x01\x00\x03\x10smtp.example.net\x00\x19");
    }

    #[test]
    fn input_before_the_handshake_is_a_failure() {
        let listener = listener();
        let relay = relay_of(&listener, TlsMode::StartTls);
        let server = serve(listener, |mut stream| stream.write_all(b"220 go\r\n250 injected\r\n").unwrap());
        let mut connection = open(&relay);
        server.join().unwrap();
        let mut reply = [0; 8];
        assert_eq!(connection.read(&mut reply, patience()).unwrap(), 8);
        let failure = connection.start_tls(&relay, &mut attempt()).unwrap_err();
        assert_eq!((failure.kind, failure.stage), (Kind::Protocol, Some(Stage::Tls)));
    }
}
