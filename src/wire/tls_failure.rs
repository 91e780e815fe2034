//! Why a TLS handshake failed, in a sentence and with the next step.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible};

use super::foreign;
use super::verdict::Verdict;
use crate::config::relay::{Relay, TlsMode};
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

/// The failure of a handshake with `relay` that ended with `error`, after the server had begun with the
/// octets `first` and, or not, asked for a certificate; `deadline` was the end of every wait.
pub(super) fn failure(
    relay: &Relay,
    error: &io::Error,
    first: &[u8],
    wants_certificate: bool,
    deadline: Deadline,
) -> Failure {
    let about = |kind, why: String| Failure::new(kind, relay.place.to_string(), why).at(Stage::Tls);
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        let (why, hint) = sentence(relay, error, first, wants_certificate);
        let failure = about(Kind::Protocol, why);
        return match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
    }
    // A handshake or an alert.
    let has_begun = matches!(first, [0x15 | 0x16, 0x03, ..]);
    match error.kind() {
        io::ErrorKind::TimedOut if has_begun => {
            about(Kind::Unavailable, format!("the TLS handshake stood still until {} were over", seconds(deadline.span())))
                .hint("the server speaks TLS and then nothing more came: does a VPN or tunnel on the way lose large packets (MTU)?")
        }
        io::ErrorKind::TimedOut => {
            about(Kind::Unavailable, format!("no answer to the TLS handshake within {}", seconds(deadline.span())))
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            let failure = about(Kind::Unavailable, "connection closed during the TLS handshake".into());
            if has_begun { failure.hint(AT_THE_SERVER) } else { failure }
        }
        _ => about(Kind::Unavailable, format!("TLS handshake: {error}")),
    }
}

/// What `error` says of a connection whose handshake was over for this side: with TLS 1.3 that is before the server has
/// judged the client's certificate.
pub(super) fn later(error: &Error, has_certificate: bool) -> (String, Option<String>) {
    match error {
        Error::AlertReceived(alert) if is_about_certificate(*alert) => about_certificate(has_certificate),
        _ => (error.to_string(), None),
    }
}

/// The next step where nothing on this side is wrong.
const AT_THE_SERVER: &str = "the server, or something on the way, broke off: its log says why";

/// Whether only our own certificate can be meant.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn about_certificate(has_certificate: bool) -> (String, Option<String>) {
    let (why, hint) = match has_certificate {
        true => (
            "the server did not accept our certificate",
            "check client_cert: has it ended, and is it the one the server was told about?",
        ),
        false => (
            "the server wants a certificate of its clients",
            "set client_cert = { cert = FILE, key = FILE } to the one its operator gave you",
        ),
    };
    (why.into(), Some(hint.into()))
}

fn sentence(relay: &Relay, error: &Error, first: &[u8], wants_certificate: bool) -> (String, Option<String>) {
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
            Some(match relay.tls {
                TlsMode::Implicit => "this port speaks STARTTLS: set tls = \"starttls\"".into(),
                _ => "something on the way answered STARTTLS for it: use the port with TLS from the start, often 465"
                    .into(),
            }),
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            let hint = foreign::hint(first).unwrap_or("check host, port and tls");
            ("the server does not speak TLS here".into(), Some(hint.into()))
        }
        Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => (
            "the server sends more certificates than 64 KB hold".into(),
            Some("no setting helps here: the server's operator must leave out those that nobody needs".into()),
        ),
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            "the server offers no TLS 1.2 or newer".into(),
            Some("older versions are not safe for a password; the server needs an update".into()),
        ),
        Error::AlertReceived(AlertDescription::HandshakeFailure) if wants_certificate => {
            about_certificate(relay.client_cert.is_some())
        }
        Error::AlertReceived(alert) if is_about_certificate(*alert) => about_certificate(relay.client_cert.is_some()),
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            let hint = "the server's operator must allow AES-GCM or ChaCha20 with ECDHE; ciphers in CBC mode and P-521 \
                        certificates are not supported";
            ("the server found no TLS version or cipher suite in common".into(), Some(hint.into()))
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            ("the server does not know the name it was called by".into(), Some("check the relay's host".into()))
        }
        Error::AlertReceived(alert) => {
            (format!("the server ended the TLS handshake: {alert:?}"), Some(AT_THE_SERVER.into()))
        }
        _ => (format!("TLS handshake: {error}"), Some(AT_THE_SERVER.into())),
    }
}

fn is_reply(first: &[u8]) -> bool {
    first.len() >= 3 && first[..3].iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::InvalidMessage::{HandshakePayloadTooLarge, InvalidContentType, InvalidEmptyPayload};

    use super::*;
    use crate::config::relay::Place;

    fn relay(tls: TlsMode) -> Relay {
        Relay::new("main", Place::Tcp { host: "mail.test".into(), port: 465 }, tls)
    }

    #[test]
    fn what_a_server_sends_instead_of_tls_is_named() {
        let invalid = || Error::InvalidMessage(InvalidContentType);
        for (first, tls, word) in [
            ("220 mx", TlsMode::Implicit, "set tls = \"starttls\""),
            ("250 what", TlsMode::StartTls, "answered STARTTLS for it"),
            ("HTTP/1.1", TlsMode::Implicit, "web server"),
            ("* OK IMAP", TlsMode::Implicit, "IMAP"),
            ("\x01\x02\x03", TlsMode::Implicit, "check host, port and tls"),
        ] {
            let hint = sentence(&relay(tls), &invalid(), first.as_bytes(), false).1.unwrap();
            assert!(hint.contains(word), "{first}: {hint}");
        }
        let (why, hint) = sentence(
            &relay(TlsMode::Implicit),
            &Error::InvalidMessage(HandshakePayloadTooLarge),
            b"\x16\x03\x03",
            false,
        );
        assert!(why.contains("64 KB") && hint.unwrap().contains("operator"), "{why}");
        let (_, hint) =
            sentence(&relay(TlsMode::Implicit), &Error::InvalidMessage(InvalidEmptyPayload), b"\x16\x03\x03", false);
        assert_eq!(hint.as_deref(), Some(AT_THE_SERVER));
    }

    #[test]
    fn a_refusal_behind_a_request_for_a_certificate_is_about_that() {
        let refused = Error::AlertReceived(AlertDescription::HandshakeFailure);
        let why = |wants| sentence(&relay(TlsMode::Implicit), &refused, b"\x16\x03\x03", wants).0;
        assert_eq!(why(false), "the server found no TLS version or cipher suite in common");
        assert_eq!(why(true), "the server wants a certificate of its clients");
        let ended = Error::AlertReceived(AlertDescription::CertificateExpired);
        assert!(later(&ended, true).1.unwrap().contains("has it ended"));
        assert_eq!(later(&Error::AlertReceived(AlertDescription::InternalError), true).1, None);
    }

    #[test]
    fn a_handshake_that_has_begun_is_not_taken_for_another_protocol() {
        let told = |kind: io::ErrorKind, first: &[u8]| {
            failure(&relay(TlsMode::Implicit), &kind.into(), first, false, Deadline::after(Duration::from_secs(4)))
        };
        assert!(told(io::ErrorKind::TimedOut, b"\x16\x03\x03").hint.unwrap().contains("MTU"));
        assert_eq!(told(io::ErrorKind::UnexpectedEof, b"\x16\x03\x03").hint.as_deref(), Some(AT_THE_SERVER));
        // Of these the hint depends on the configuration.
        assert_eq!(told(io::ErrorKind::TimedOut, b"").hint, None);
        assert_eq!(told(io::ErrorKind::UnexpectedEof, b"").hint, None);
    }
}
