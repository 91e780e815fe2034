//! The TLS layer of a connection: the handshake, and plaintext to records and back.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ProtocolVersion, SignatureScheme};

use super::socket::Patient;
use super::socket::WireError;
use super::{certificate, tls_failure, trust};
use crate::attempt::Attempt;
use crate::config::relay::{Place, Relay};
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

/// TLS with a server that is verified.
pub(super) struct Tls {
    session: ClientConnection,
    /// Version and cipher suite.
    description: String,
    /// A certificate was at hand for a server that wants one.
    has_certificate: bool,
}

impl Tls {
    /// Shakes hands over `socket`; the trace learns version and cipher suite.
    ///
    /// # Errors
    /// At stage TLS, as for [`Connection::open`](super::connection::Connection::open).
    pub(super) fn start(relay: &Relay, socket: &File, attempt: &mut Attempt) -> Result<Self, Failure> {
        let (mut tls, asked) = client(relay, attempt)?;
        let Attempt { deadline, trace, .. } = attempt;
        let mut stream = Overheard { inner: Patient { socket, deadline: *deadline }, first: Vec::new() };
        if let Err(error) = tls.complete_io(&mut stream) {
            let wants_certificate = asked.load(Ordering::Relaxed);
            return Err(tls_failure::failure(relay, &error, &stream.first, wants_certificate, *deadline));
        }
        // Whoever seals bounds what is queued, by writing it.
        tls.set_buffer_limit(None);
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let line = format!("{version} {}", suite.unwrap_or_default());
        trace.note(&line);
        trace.tls = Some(line.clone());
        Ok(Self { session: tls, description: line, has_certificate: relay.client_cert.is_some() })
    }

    /// Version and cipher suite, such as `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// When the server's certificate ends.
    pub(super) fn certificate_end(&self) -> Option<Timestamp> {
        certificate::end(self.session.peer_certificates()?.first()?)
    }

    /// Turns plaintext into records, which wait to be written.
    pub(super) fn seal(&mut self, plaintext: &[IoSlice<'_>]) {
        let total: usize = plaintext.iter().map(|slice| slice.len()).sum();
        // Without a buffer limit rustls takes everything and has no error to give.
        let sealed = self.session.writer().write_vectored(plaintext);
        debug_assert_eq!(sealed.ok(), Some(total));
    }

    /// Whether records wait to be written.
    pub(super) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Writes what the socket takes of the records that wait.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&mut self, mut socket: &File) -> io::Result<usize> {
        self.session.write_tls(&mut socket)
    }

    /// Takes octets that came in, and moves the plaintext they make to the end of `input`.
    ///
    /// # Errors
    /// The other end broke TLS, or ended it.
    pub(super) fn open(&mut self, mut octets: &[u8], input: &mut Vec<u8>) -> Result<(), WireError> {
        while !octets.is_empty() {
            self.session.read_tls(&mut octets).map_err(|error| WireError::Tls(error.to_string(), None))?;
            let state = self.session.process_new_packets();
            // What came before an alert is still the server's word.
            self.take_plaintext(input);
            let broken = |error| {
                let (why, hint) = tls_failure::later(&error, self.has_certificate);
                WireError::Tls(why, hint)
            };
            if state.map_err(broken)?.peer_has_closed() {
                return Err(WireError::Ended);
            }
        }
        Ok(())
    }

    /// Moves the plaintext at hand to the end of `input`.
    pub(super) fn take_plaintext(&mut self, input: &mut Vec<u8>) {
        // Ends with WouldBlock or the end of the stream; both are dealt with where the socket is read.
        let _ = self.session.reader().read_to_end(input);
    }

    /// Says that no more will come, if the socket takes that at once.
    pub(super) fn say_goodbye(&mut self, socket: &File) {
        self.session.send_close_notify();
        let _ = self.write(socket);
    }
}

/// The client's side, and what will tell whether the server has asked for a certificate.
fn client(relay: &Relay, attempt: &mut Attempt) -> Result<(ClientConnection, Arc<AtomicBool>), Failure> {
    let mut config = Arc::unwrap_or_clone(trust::config(relay, &mut attempt.trace.warnings)?);
    let asked = Arc::<AtomicBool>::default();
    let certificate = config.client_auth_cert_resolver;
    config.client_auth_cert_resolver = Arc::new(Noticed { certificate, asked: Arc::clone(&asked) });
    let host = match &relay.place {
        Place::Tcp { host, .. } => host.as_str(),
        Place::Unix(_) => "localhost",
    };
    let impossible = |why: String| Failure::new(Kind::Configuration, relay.place.to_string(), why).at(Stage::Tls);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| impossible(format!("{host:?} is no name that a certificate could be for")))?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(|error| impossible(error.to_string()))?;
    Ok((client, asked))
}

/// The client's certificate, where there is one, and whether it was asked for: until TLS 1.2 a server that wants one says
/// no more against its absence than against a cipher.
#[derive(Debug)]
struct Noticed {
    certificate: Arc<dyn ResolvesClientCert>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Noticed {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.certificate.resolve(issuers, schemes)
    }

    fn has_certs(&self) -> bool {
        self.certificate.has_certs()
    }
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
