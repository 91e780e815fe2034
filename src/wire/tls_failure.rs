//! Why a TLS handshake failed, in a sentence and with the next step.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

use super::verdict::Verdict;
use crate::config::relay::{Relay, TlsMode};
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

/// The failure of a handshake with `relay` that ended with `error`, after the server had begun with the
/// octets `first`; `deadline` was the end of every wait.
pub(super) fn failure(relay: &Relay, error: &io::Error, first: &[u8], deadline: Deadline) -> Failure {
    let about = |kind, why: String| Failure::new(kind, relay.place.to_string(), why).at(Stage::Tls);
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        let (why, hint) = sentence(relay, error, first);
        let failure = about(Kind::Protocol, why);
        return match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
    }
    match error.kind() {
        io::ErrorKind::TimedOut => {
            about(Kind::Unavailable, format!("no answer to the TLS handshake within {}", seconds(deadline.span())))
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            about(Kind::Unavailable, "connection closed during the TLS handshake".into())
        }
        _ => about(Kind::Unavailable, format!("TLS handshake: {error}")),
    }
}

fn sentence(relay: &Relay, error: &Error, first: &[u8]) -> (String, Option<String>) {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
        && let Some(verdict) = inner.downcast_ref::<Verdict>()
    {
        return (verdict.why.clone(), Some(verdict.hint.clone()));
    }
    if let Error::InvalidCertificate(error) = error
        && let Some(verdict) = Verdict::of_signature(error)
    {
        return (verdict.why, Some(verdict.hint));
    }
    match error {
        // A reply code where a TLS record was due.
        Error::InvalidMessage(_) if is_reply(first) => (
            "the server speaks without TLS".into(),
            (relay.tls == TlsMode::Implicit).then(|| "this port speaks STARTTLS: set tls = \"starttls\"".into()),
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            ("the server does not speak TLS here".into(), Some("check host, port and tls".into()))
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            "the server offers no TLS 1.2 or newer".into(),
            Some("older versions are not safe for a password; the server needs an update".into()),
        ),
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            let hint = "the server's operator must allow AES-GCM or ChaCha20 with ECDHE; ciphers in CBC mode and P-521 \
                        certificates are not supported";
            ("the server found no TLS version or cipher suite in common".into(), Some(hint.into()))
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => (
            "the server did not accept our certificate".into(),
            Some(match relay.client_cert {
                Some(_) => "check client_cert: is it the one the server was told about?".into(),
                None => "the server requires one: set client_cert".into(),
            }),
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            ("the server does not know the name it was called by".into(), Some("check the relay's host".into()))
        }
        Error::AlertReceived(alert) => (format!("the server ended the TLS handshake: {alert:?}"), None),
        _ => (format!("TLS handshake: {error}"), None),
    }
}

fn is_reply(first: &[u8]) -> bool {
    first.len() >= 3 && first[..3].iter().all(u8::is_ascii_digit)
}
