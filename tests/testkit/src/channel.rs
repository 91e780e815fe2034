//! One connection as a server sees it: plain or TLS, line by line, counting the client's flights.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certs::Certs;

/// How long a server of ours waits for a client before it gives up, so that no test hangs. Longer than a
/// client's deadline, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Silence that ends a client's flight where flights are counted.
const QUIET: Duration = Duration::from_millis(25);

/// The longest command line a server of ours reads, in octets.
const LINE_LIMIT: usize = 64 << 10;

/// The socket below.
pub(crate) enum Socket {
    /// Loopback.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

impl Socket {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        self.set_read_timeout(PATIENCE)?;
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))
            }
            Self::Unix(stream) => stream.set_write_timeout(Some(PATIENCE)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Layer {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
    /// Only while TLS takes over, and after a handshake that failed.
    Gone,
}

/// One connection.
pub(crate) struct Channel {
    layer: Layer,
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
    /// Round trips the client has spent so far, the one that opens the connection included.
    pub(crate) round_trips: u32,
    /// Whether something was sent since the client was last heard: its next octets are a new flight.
    answered: bool,
    counting: bool,
    /// Lines taken since the current flight began.
    pub(crate) lines_in_flight: u32,
}

impl Channel {
    /// Takes over a fresh connection. With `counting`, a flight ends only after a short silence, so that
    /// one write which arrives in several pieces counts once.
    pub(crate) fn new(socket: Socket, counting: bool) -> io::Result<Self> {
        socket.prepare()?;
        Ok(Self {
            layer: Layer::Plain(socket),
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            // SYN and SYN-ACK are one; the greeting comes half a round trip after the ACK, so two.
            round_trips: 2,
            answered: false,
            counting,
            lines_in_flight: 0,
        })
    }

    /// Makes the TLS handshake. `implicit`: it is the first thing on this connection.
    pub(crate) fn start_tls(&mut self, config: Arc<ServerConfig>, implicit: bool) -> io::Result<()> {
        self.flush()?;
        let Layer::Plain(mut socket) = std::mem::replace(&mut self.layer, Layer::Gone) else {
            return Err(io::Error::other("TLS inside TLS"));
        };
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut socket) {
                // The alert tells the client why.
                let _ = connection.write_tls(&mut socket);
                return Err(error);
            }
        }
        // Implicit TLS: the ACK of the connection rides with ClientHello, and Finished must arrive before
        // the greeting can leave, so there is one round trip more than without TLS. After STARTTLS the
        // client's first words ride with its Finished, except with TLS 1.2, where it waits for ours.
        let waits_for_finished = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2);
        self.round_trips += 1 + u32::from(!implicit && waits_for_finished);
        self.answered = true;
        self.layer = Layer::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Tls(_))
    }

    /// The address the client connects from; `None` on a unix socket.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        let socket = match &self.layer {
            Layer::Plain(socket) => socket,
            Layer::Tls(stream) => &stream.sock,
            Layer::Gone => return None,
        };
        match socket {
            Socket::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip()),
            Socket::Unix(_) => None,
        }
    }

    /// Whether the client showed the certificate that the authority signed for it.
    pub(crate) fn has_client_certificate(&self) -> bool {
        let Layer::Tls(stream) = &self.layer else { return false };
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first);
        shown.is_some_and(|certificate| Certs::shared().is_client(certificate))
    }

    /// Whether the client has said more than was taken.
    pub(crate) fn has_input(&self) -> bool {
        self.taken < self.input.len()
    }

    /// Queues octets for the client.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        match &mut self.layer {
            Layer::Plain(socket) => socket.write_all(&output)?,
            Layer::Tls(stream) => {
                stream.write_all(&output)?;
                stream.flush()?;
            }
            Layer::Gone => return Err(ErrorKind::NotConnected.into()),
        }
        self.answered = true;
        Ok(())
    }

    fn read_some(&mut self, timeout: Duration) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        let count = match &mut self.layer {
            Layer::Plain(socket) => {
                socket.set_read_timeout(timeout)?;
                socket.read(&mut buffer)?
            }
            Layer::Tls(stream) => {
                stream.sock.set_read_timeout(timeout)?;
                stream.read(&mut buffer)?
            }
            Layer::Gone => 0,
        };
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Waits for more input; false at the end of the connection.
    fn fill(&mut self) -> io::Result<bool> {
        self.flush()?;
        if self.read_some(PATIENCE)? == 0 {
            return Ok(false);
        }
        if self.answered {
            self.answered = false;
            self.round_trips += 1;
            self.lines_in_flight = 0;
            while self.counting && matches!(self.read_some(QUIET), Ok(1..)) {}
        }
        Ok(true)
    }

    /// The next line without its line end; `None` at the end of the connection. A line ends in CRLF:
    /// a bare LF or CR is part of it, so that a smuggled one is seen.
    pub(crate) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let rest = &self.input[self.taken..];
            if let Some(at) = rest[searched..].windows(2).position(|pair| pair == b"\r\n") {
                let line = rest[..searched + at].to_vec();
                self.taken += line.len() + 2;
                self.lines_in_flight += 1;
                return Ok(Some(line));
            }
            if rest.len() > LINE_LIMIT {
                return Err(io::Error::other("the client's line has no end"));
            }
            searched = rest.len().saturating_sub(1);
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Exactly `count` octets; fewer at the end of the connection.
    pub(crate) fn octets(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut octets = Vec::with_capacity(count.min(64 << 20));
        loop {
            let rest = &self.input[self.taken..];
            let size = rest.len().min(count - octets.len());
            octets.extend_from_slice(&rest[..size]);
            self.taken += size;
            if octets.len() == count || !self.fill()? {
                return Ok(octets);
            }
        }
    }

    /// The octets after DATA up to the lone dot, dots unstuffed; `None` when the connection ends first.
    pub(crate) fn data(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut octets = Vec::new();
        loop {
            match self.line()? {
                None => return Ok(None),
                Some(line) if line == b"." => return Ok(Some(octets)),
                Some(line) => {
                    octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                    octets.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// Waits, saying nothing more, until the client closes the connection; answers what it still said.
    pub(crate) fn wait_for_close(&mut self) -> Vec<u8> {
        let _ = self.flush();
        while matches!(self.read_some(PATIENCE), Ok(1..)) {
            // Keeps what arrives in `input`, which is small here: a client that waits says little.
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        std::mem::take(&mut self.input)
    }

    /// Waits up to `timeout` for the client's end; true once the connection is over.
    pub(crate) fn is_closed_within(&mut self, timeout: Duration) -> bool {
        match self.read_some(timeout) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Waits until the client has said something and leaves it in the kernel, so that closing now
    /// resets the connection.
    pub(crate) fn leave_input_unread(&mut self) {
        let _ = self.flush();
        if let Layer::Plain(Socket::Tcp(stream)) = &self.layer {
            let _ = stream.peek(&mut [0]);
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let _ = self.flush();
        if let Layer::Tls(stream) = &mut self.layer {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }
}
