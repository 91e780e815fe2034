//! The connection to a relay: octets in and out, in clear or over TLS, every wait under a deadline.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};

use super::connect;
use super::socket::{Patient, wait};
use super::tls_failure;
use super::trust;
use crate::config::relay::{Place, Relay, TlsMode};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;
use crate::trace::Trace;

/// How much input is kept that arrives while we write. Beyond it the server has to wait until it is read.
const INPUT_LIMIT: usize = 64 << 10;

/// Pieces from this size on fill TLS records of their own.
const RECORD: usize = 16 << 10;

/// How much is asked of the socket at once: replies are short.
const READ: usize = 4 << 10;

/// An open connection. Dropping it closes it without waiting for anything.
pub struct Connection {
    socket: File,
    tls: Option<Box<ClientConnection>>,
    /// Queued, not yet sealed or written.
    output: Vec<u8>,
    /// Received, not yet read.
    input: Vec<u8>,
    /// How the input ended, once it has, until that is told.
    ended: Option<WireError>,
    /// A flight could not be written to its end: nothing else may be.
    is_broken: bool,
    is_local: bool,
}

/// Why octets could not be moved.
#[derive(Debug)]
pub enum WireError {
    /// The other end closed or reset the connection.
    Closed,
    /// The deadline is over.
    TimedOut,
    /// What the system says.
    Io(io::Error),
    /// The other end broke TLS, or said why it ended it.
    Tls(String),
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

impl From<rustls::Error> for WireError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Tls(text) => write!(f, "TLS: {text}"),
        }
    }
}

impl std::error::Error for WireError {}

impl Connection {
    /// Connects to where `relay` listens and, with implicit TLS, shakes hands.
    ///
    /// # Errors
    /// With stage, reason and hint: the name does not exist (`NoHost`), nobody answers (`Unavailable`),
    /// TLS failed (`Protocol`), a local file or setting is no good (`Configuration`, `NoPermission`, `Io`).
    pub fn open(relay: &Relay, deadline: Deadline, trace: &mut Trace) -> Result<Self, Failure> {
        let link = connect::open(relay, deadline, trace)?;
        let mut connection = Self {
            socket: link.socket,
            tls: None,
            output: Vec::new(),
            input: Vec::new(),
            ended: None,
            is_broken: false,
            is_local: link.is_local,
        };
        if relay.tls == TlsMode::Implicit {
            connection.start_tls(relay, deadline, trace)?;
        }
        Ok(connection)
    }

    /// Shakes hands. After the STARTTLS command this is called once its reply has been read, and
    /// nothing but its reply: input left behind is a failure, as it was injected or meant to be.
    ///
    /// # Errors
    /// At stage TLS; as for [`Connection::open`].
    pub fn start_tls(&mut self, relay: &Relay, deadline: Deadline, trace: &mut Trace) -> Result<(), Failure> {
        trace.stage = Some(Stage::Tls);
        if !self.input.is_empty() {
            let why = "the server sent something between its STARTTLS reply and the TLS handshake";
            return Err(Failure::new(Kind::Protocol, relay.place.to_string(), why).at(Stage::Tls));
        }
        let mut tls = client(relay, trust::config(relay)?)?;
        let span = deadline.left();
        let mut stream = Overheard { inner: Patient { socket: &self.socket, deadline }, first: Vec::new() };
        if let Err(error) = tls.complete_io(&mut stream) {
            return Err(tls_failure::failure(relay, &error, &stream.first, span));
        }
        // The caller bounds what is queued by flushing.
        tls.set_buffer_limit(None);
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let line = format!("{version} {}", suite.unwrap_or_default());
        trace.note(&line);
        trace.tls = Some(line);
        // The greeting may have come along with the end of the handshake.
        take_plaintext(&mut tls, &mut self.input);
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// Queues `bytes` for the next flight. Nothing is held back but by the caller, who flushes at least
    /// every 64 KB.
    pub fn queue(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            // A chunk of the message is copied once, into its records.
            Some(tls) if bytes.len() >= RECORD => {
                seal(tls, &[IoSlice::new(&self.output), IoSlice::new(bytes)]);
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
        if self.is_broken {
            return Err(WireError::Closed);
        }
        let result = self.write_out(deadline);
        self.output.clear();
        if result.is_err() {
            self.is_broken = true;
            // A server that closes often says why before.
            while self.input.len() < INPUT_LIMIT && matches!(self.receive(), Ok(true)) {}
        }
        result
    }

    /// Flushes, then gives at least one octet of input, as soon as there is one.
    ///
    /// # Errors
    /// The end of the stream is [`WireError::Closed`].
    pub fn read(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, WireError> {
        if let Err(error) = self.flush(deadline)
            && self.input.is_empty()
        {
            return Err(error);
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

    /// Whether verified TLS is on.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the other end is this host: a loopback address or a unix socket, and no proxy.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    fn write_out(&mut self, deadline: Deadline) -> Result<(), WireError> {
        if let Some(tls) = &mut self.tls
            && !self.output.is_empty()
        {
            seal(tls, &[IoSlice::new(&self.output)]);
        }
        let mut written = 0;
        loop {
            let result = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut &self.socket),
                None if written < self.output.len() => (&self.socket).write(&self.output[written..]),
                _ => return Ok(()),
            };
            match result {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_to_write(deadline)?,
                Err(error) => return Err(error.into()),
            }
            if deadline.is_over() {
                return Err(WireError::TimedOut);
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
        let mut octets = &buffer[..count];
        let Some(tls) = &mut self.tls else {
            self.input.extend_from_slice(octets);
            return Ok(true);
        };
        while !octets.is_empty() {
            tls.read_tls(&mut octets).map_err(|error| WireError::Tls(error.to_string()))?;
            let state = tls.process_new_packets();
            // What came before an alert is still the server's word.
            take_plaintext(tls, &mut self.input);
            if state?.peer_has_closed() {
                return Err(WireError::Closed);
            }
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
            tls.send_close_notify();
            let _ = tls.write_tls(&mut &self.socket);
        }
    }
}

fn client(relay: &Relay, config: Arc<ClientConfig>) -> Result<ClientConnection, Failure> {
    let host = match &relay.place {
        Place::Tcp { host, .. } => host.as_str(),
        Place::Unix(_) => "localhost",
    };
    let impossible = |why: String| Failure::new(Kind::Configuration, relay.place.to_string(), why).at(Stage::Tls);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| impossible(format!("{host:?} is no name that a certificate could be for")))?;
    ClientConnection::new(config, name).map_err(|error| impossible(error.to_string()))
}

/// Turns plaintext into records, which wait to be written.
fn seal(tls: &mut ClientConnection, plaintext: &[IoSlice<'_>]) {
    let total: usize = plaintext.iter().map(|slice| slice.len()).sum();
    // Without a buffer limit rustls takes everything and has no error to give.
    let sealed = tls.writer().write_vectored(plaintext);
    debug_assert_eq!(sealed.ok(), Some(total));
}

/// Moves the plaintext that rustls holds to the end of `input`.
fn take_plaintext(tls: &mut ClientConnection, input: &mut Vec<u8>) {
    // Ends with WouldBlock or the end of the stream; both are dealt with where the socket is read.
    let _ = tls.reader().read_to_end(input);
}

/// A stream that remembers the first octets that came in, for the failure that they may explain.
struct Overheard<'a> {
    inner: Patient<'a>,
    first: Vec<u8>,
}

impl Read for Overheard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let missing = 3_usize.saturating_sub(self.first.len());
        self.first.extend_from_slice(&buffer[..count.min(missing)]);
        Ok(count)
    }
}

impl Write for Overheard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
