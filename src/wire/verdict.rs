//! Why a server's certificate was not accepted, in a sentence.

use std::fmt::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use webpki::EndEntityCert;

/// How much of a name from a certificate is repeated, in characters.
const NAME_LIMIT: usize = 100;

/// The shortest RSA key that is accepted, in bits.
const RSA_BITS: usize = 2048;

/// The next step where no setting of ours helps.
const ANOTHER: &str = "no setting helps here: the server's operator must replace it, with RSA of 2048 bits or more, P-256 or \
                       P-384, X.509 version 3, signed with SHA-256 or better";

/// The next step where a file of trusted certificates is none.
pub(super) const ROOTS: &str = "it must hold the CA's certificate as text (PEM), from -----BEGIN CERTIFICATE----- on; from DER: \
                                openssl x509 -inform der -in FILE";

/// What is wrong with a certificate, and the next step. Travels through rustls as an [`OtherError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The sentence.
    pub(super) why: String,
    /// The next step.
    pub(super) hint: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Verdict {}

impl From<Verdict> for Error {
    fn from(verdict: Verdict) -> Self {
        CertificateError::Other(OtherError(std::sync::Arc::new(verdict))).into()
    }
}

impl Verdict {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hint: hint.into() }
    }

    /// The certificate is not the one whose fingerprint is configured.
    pub(super) fn other_fingerprint(end_entity: &CertificateDer<'_>) -> Self {
        let seen = fingerprint(end_entity);
        Self::new(
            "certificate is not the one whose fingerprint is configured",
            format!("if the server's certificate was renewed, set fingerprint = \"{seen}\""),
        )
    }

    /// Nothing in the files of trusted certificates can be read as one.
    pub(super) fn no_roots(file: &Path) -> Self {
        Self::new(format!("no certificate in {} can be read", file.display()), ROOTS)
    }

    /// What keeps the certificate from being used at all, whoever vouches for it.
    pub(super) fn of_kind(end_entity: &CertificateDer<'_>) -> Option<Self> {
        let certificate = match EndEntityCert::try_from(end_entity) {
            Ok(certificate) => certificate,
            Err(webpki::Error::UnsupportedCertVersion) => {
                return Some(Self::new("certificate is of X.509 version 1, which is not supported", ANOTHER));
            }
            Err(_) => return None,
        };
        let bits = rsa_bits(&certificate.subject_public_key_info()).filter(|bits| *bits < RSA_BITS)?;
        let why = format!("certificate has an RSA key of {bits} bits, which is too short to be safe");
        Some(Self::new(why, ANOTHER))
    }

    /// What `error` says of the server's signature in the handshake, if it is about that.
    pub(super) fn of_signature(error: &CertificateError) -> Option<Self> {
        let why = match error {
            CertificateError::BadSignature => "the server's signature does not match its certificate",
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                "certificate has a key that is not supported, such as P-521"
            }
            _ => return None,
        };
        Some(Self::new(why, ANOTHER))
    }

    /// What `error` says about the certificate that a server presented as `name`'s, with the
    /// certificates behind it; other errors come back.
    pub(super) fn of(
        error: Error,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<Self, Error> {
        let Error::InvalidCertificate(error) = error else { return Err(error) };
        let other = match &error {
            CertificateError::Other(OtherError(inner)) => Some(inner),
            _ => None,
        };
        if let Some(verdict) = other.and_then(|inner| inner.downcast_ref::<Self>()) {
            return Ok(verdict.clone());
        }
        let own_error = other.and_then(|inner| inner.downcast_ref::<webpki::Error>());
        Ok(match (&error, own_error) {
            (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }, _) => {
                wrong_name(end_entity, name)
            }
            (CertificateError::Expired, _) => {
                Self::new("certificate has expired", "the server's operator must renew it")
            }
            (CertificateError::ExpiredContext { time, not_after }, _) => {
                Self::new(format!("certificate expired on {}", day(*not_after)), clock(*time))
            }
            (CertificateError::NotValidYetContext { time, not_before }, _) => {
                let hint =
                    format!("is this host's clock right? It says {}; else the operator must replace it", day(*time));
                Self::new(format!("certificate is not valid before {}", day(*not_before)), hint)
            }
            // A certificate made by `openssl req -x509` calls itself a CA.
            (CertificateError::UnknownIssuer, _) | (_, Some(webpki::Error::CaUsedAsEndEntity)) => {
                unknown_issuer(end_entity, intermediates)
            }
            // A private CA that was made anew under its old name, or an impostor.
            (CertificateError::BadSignature, _) => {
                let hint = by_ca_file(end_entity, "if it is the right one,");
                Self::new("certificate is signed with another key than that of the trusted CA of this name", hint)
            }
            (CertificateError::BadEncoding, _) => Self::new("certificate cannot be read", ANOTHER),
            (
                CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
                _,
            ) => Self::new(
                "certificate, or its CA's, is signed in a way that is not supported, such as with SHA-1 or P-521",
                by_fingerprint(end_entity),
            ),
            _ => Self::new(format!("certificate is not acceptable: {error}"), by_fingerprint(end_entity)),
        })
    }
}

fn wrong_name(end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Verdict {
    let asked = name.to_str();
    let certificate = EndEntityCert::try_from(end_entity);
    let names: Vec<&str> = certificate.iter().flat_map(|certificate| certificate.valid_dns_names()).collect();
    if names.is_empty() {
        return Verdict::new(format!("certificate names no host, and so not {asked}"), by_fingerprint(end_entity));
    }
    let shown = list(&names);
    let hint = match names.iter().find(|name| !name.starts_with('*')) {
        Some(name) => format!("if that is the server meant, set host = \"{}\"", bounded(name)),
        None => "set host to a name that the certificate is for".into(),
    };
    Verdict::new(format!("certificate is for {shown}, not {asked}"), hint)
}

fn unknown_issuer(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Verdict {
    let is_self_signed =
        EndEntityCert::try_from(end_entity).is_ok_and(|certificate| certificate.issuer() == certificate.subject());
    if is_self_signed {
        return Verdict::new("certificate is self-signed", by_fingerprint(end_entity));
    }
    // The name that was looked for among the roots is the one the last certificate gives.
    let issuer = EndEntityCert::try_from(intermediates.last().unwrap_or(end_entity))
        .ok()
        .and_then(|certificate| common_name(certificate.issuer()))
        .map_or_else(|| "without a name".to_owned(), |name| bounded(&name));
    let unknown = format!("certificate is signed by an unknown CA ({issuer})");
    match intermediates {
        [] => Verdict::new(
            format!("{unknown}, and comes without that CA's own"),
            by_ca_file(end_entity, "the server may have to send its chain; for a CA of your own"),
        ),
        _ => Verdict::new(unknown, by_ca_file(end_entity, "if it is the right one,")),
    }
}

/// As many of the names as are worth a line; never none.
fn list(names: &[&str]) -> String {
    let mut shown = bounded(names[0]);
    for (number, name) in names.iter().enumerate().skip(1) {
        let is_last = number + 1 == names.len();
        if shown.len() + name.len() > NAME_LIMIT {
            let _ = write!(shown, " and {} others", names.len() - number);
            break;
        }
        let _ = write!(shown, "{}{}", if is_last { " and " } else { ", " }, bounded(name));
    }
    shown
}

/// The size of an RSA key, in bits.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    // SEQUENCE { SEQUENCE { algorithm, ... }, BIT STRING { SEQUENCE { modulus, ... } } } (RFC 3279 2.3.1)
    let (algorithm, rest) = element(element(key)?.0)?;
    if element(algorithm)?.0 != RSA {
        return None;
    }
    let (bits, _) = element(rest)?;
    let (modulus, _) = element(element(bits.get(1..)?)?.0)?;
    let first = modulus.iter().position(|octet| *octet != 0)?;
    Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
}

fn by_ca_file(end_entity: &CertificateDer<'_>, when: &str) -> String {
    format!("{when} set ca_file to it, or fingerprint = \"{}\"", fingerprint(end_entity))
}

fn by_fingerprint(end_entity: &CertificateDer<'_>) -> String {
    format!("if it is the right one, set fingerprint = \"{}\"", fingerprint(end_entity))
}

fn clock(now: UnixTime) -> String {
    format!("the server's operator must renew it; or is this host's clock wrong? It says {}", day(now))
}

/// The SHA-256 of a certificate as openssl shows it: `AA:BB:...`.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::with_capacity(95);
    for (index, octet) in digest(&SHA256, certificate).as_ref().iter().enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{octet:02X}");
    }
    text
}

fn day(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| "an impossible date".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

fn bounded(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(NAME_LIMIT).collect()
}

/// The common name in a DER Name (without its outer tag), else the last name of any kind in it.
fn common_name(name: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut found = None;
    let mut rest = name;
    // Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY } (RFC 5280, 4.1.2.4)
    while let Some((mut set, after)) = element(rest) {
        rest = after;
        while let Some((attribute, after)) = element(set) {
            set = after;
            let (kind, value) = element(attribute)?;
            let (value, _) = element(value)?;
            found = Some(String::from_utf8_lossy(value).into_owned());
            if kind == COMMON_NAME {
                return found;
            }
        }
    }
    found
}

/// The contents of the first DER element in `der`, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.get(1..)? {
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// P-256, X.509 version 1.
    const VERSION_1: &str = "MIIBIjCByQIUIhOF6CFo3FJa1ehGQFxMgNANovgwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEy\
        NzA0NDEzNFoXDTM2MTEyNDA0NDEzNFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\
        PTa8+AGL/fpq7S3QyJqhNb28R5o2kGP+TdjStKXSB0fpoWcKGk04jZ0EZcBlqZniV4YNuGIZaMb8JTc1V0qHzjAKBggqhkjO\
        PQQDAgNIADBFAiEAk5DaES/Zb0db0lLEiM7PTWa2WU9d/Y+X4N0VG3HN0vYCIDktva7csjRPOCdYIlYjhB0pFlWc4RVbV8/Q\
        nJF6TffL";

    /// RSA of 1024 bits, X.509 version 3.
    const RSA_1024: &str = "MIICBDCCAW2gAwIBAgIUAbvBuufbqnsujk4DSPorXyEkTQ0wDQYJKoZIhvcNAQELBQAwFDESMBAGA1UEAwwJbG9jYWxob3N0\
        MB4XDTI2MTEyNzA0NDEzNFoXDTM2MTEyNDA0NDEzNFowFDESMBAGA1UEAwwJbG9jYWxob3N0MIGfMA0GCSqGSIb3DQEBAQUA\
        A4GNADCBiQKBgQDdmR3EmFjh/TtC5+fGX7E+poFG69uadjZhMZqz9aURmp+uVhSFT7RRTFJGMHq3Lr2sbXGx4JlFfQ2UIZbJ\
        c/nSOCWlXFFayu3F7/m+MgQfExwigGNRJiy7XHoa5GSKToU4hI4NA7kQCKyO9LekACSl10ryoQ7EgyrS06cuVr+gUQIDAQAB\
        o1MwUTAdBgNVHQ4EFgQUd99TsiioaqCS7AEvnpgX3J46810wHwYDVR0jBBgwFoAUd99TsiioaqCS7AEvnpgX3J46810wDwYD\
        VR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOBgQBtYRwSxm3gvSAqkxkIn+SDKxRPSrGUEwI0QeugTEtBNONZnd0Y48Gb\
        DugJ9CMeUNWrSuX9rbbe+kMjGsRPRPADQp/rBpv51YwiDJTMl9f/gEf0/FBlEuMpv2LteQTIVGjRZrOHqNm00YrLgYJS2SzN\
        61OaqXpFGhseOg3OHx5XyQ==";

    #[test]
    fn what_no_setting_makes_good_is_told_without_one() {
        for (base64, why) in [
            (VERSION_1, "certificate is of X.509 version 1, which is not supported"),
            (RSA_1024, "certificate has an RSA key of 1024 bits, which is too short to be safe"),
        ] {
            let verdict = Verdict::of_kind(&STANDARD.decode(base64).unwrap().into()).unwrap();
            assert_eq!((verdict.why.as_str(), verdict.hint.as_str()), (why, ANOTHER));
        }
        let good = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(Verdict::of_kind(good.der()), None);
        assert_eq!(Verdict::of_kind(&b"no certificate".as_slice().into()), None);
    }

    #[test]
    fn as_many_names_are_told_as_fit_a_line() {
        assert_eq!(list(&["a.example"]), "a.example");
        assert_eq!(list(&["a.example", "b.example"]), "a.example and b.example");
        assert_eq!(list(&["a.example", "b.example", "*.c.example"]), "a.example, b.example and *.c.example");
        let many: Vec<String> = (10..60).map(|number| format!("mail{number}.hosting.example")).collect();
        let shown = list(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(shown.starts_with("mail10.hosting.example, mail11") && shown.ends_with(" and 46 others"), "{shown}");
    }

    #[test]
    fn unsupported_algorithms_are_not_listed() {
        let error = || CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![0; 300],
            supported_algorithms: Vec::new(),
        };
        let certificate = STANDARD.decode(RSA_1024).unwrap().into();
        let name = ServerName::try_from("localhost").unwrap();
        let verdict = Verdict::of(error().into(), &certificate, &[], &name).unwrap();
        assert!(
            verdict.why.ends_with("such as with SHA-1 or P-521") && verdict.hint.contains("fingerprint"),
            "{verdict:?}"
        );
        assert!(Verdict::of_signature(&error()).unwrap().why.ends_with("such as P-521"));
        assert_eq!(Verdict::of_signature(&CertificateError::Revoked), None);
    }
}
