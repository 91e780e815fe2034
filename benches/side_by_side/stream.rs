//! One connection as the server sees it: plain, then TLS, counting what comes in below it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

const PATIENCE: Duration = Duration::from_secs(120);

/// A socket that counts the octets that come in.
pub(crate) struct Counted {
    pub(crate) tcp: TcpStream,
    /// Acknowledges at once.
    pub(crate) prompt: bool,
    pub(crate) octets: u64,
}

impl Counted {
    /// Sends every reply at once, and waits for no client for ever.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        self.tcp.set_nodelay(true)?;
        self.tcp.set_read_timeout(Some(PATIENCE))?;
        self.tcp.set_write_timeout(Some(PATIENCE))
    }

    fn acknowledge(&self) -> io::Result<()> {
        if self.prompt { SockRef::from(&self.tcp).set_tcp_quickack(true) } else { Ok(()) }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.acknowledge()?;
        let length = self.tcp.read(buffer)?;
        self.acknowledge()?;
        self.octets += length as u64;
        Ok(length)
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.tcp.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) enum Stream {
    Plain(Counted),
    Tls(Box<StreamOwned<ServerConnection, Counted>>),
    /// Between the two, for the length of one assignment.
    Changing,
}

impl Stream {
    pub(crate) fn socket(&self) -> &Counted {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
            Self::Changing => unreachable!("replaced in the statement that sets it"),
        }
    }

    pub(crate) fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<()> {
        let connection = ServerConnection::new(config)?;
        ensure!(matches!(self, Self::Plain(_)), "TLS inside TLS");
        let Self::Plain(socket) = std::mem::replace(self, Self::Changing) else { return Ok(()) };
        let mut stream = Box::new(StreamOwned::new(connection, socket));
        let handshake = stream.conn.complete_io(&mut stream.sock);
        let version = stream.conn.protocol_version();
        *self = Self::Tls(stream);
        handshake?;
        ensure!(version == Some(ProtocolVersion::TLSv1_3), "not TLS 1.3");
        Ok(())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Changing => Ok(0),
        }
    }

    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(octets),
            Self::Tls(stream) => stream.write_all(octets),
            Self::Changing => Ok(()),
        }
    }
}
