//! Whom TLS trusts: chain and name against the roots, or one fingerprint.

use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring as provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::roots::{Bundle, unreadable};
use super::verdict::Verdict;
use crate::config::relay::{ClientCert, Relay};
use crate::failure::{Failure, Kind};
use crate::modes;
use crate::outcome::Stage;
use crate::secret;

/// How TLS is spoken with `relay`: TLS 1.2 or 1.3, the server's certificate verified, its client
/// certificate at hand. For one connection; sessions are not resumed.
///
/// # Errors
/// `Configuration`, `NoPermission` or `Io`: the roots, `ca_file` or `client_cert` cannot be used. What is
/// weak about the key's file is added to `warnings`, or refused with `strict_modes`.
pub fn config(relay: &Relay, warnings: &mut Vec<String>) -> Result<Arc<ClientConfig>, Failure> {
    let trusted = match (relay.fingerprint, &relay.ca_file) {
        (Some(fingerprint), _) => Trusted::Fingerprint(fingerprint),
        (None, Some(path)) => Trusted::Roots(Bundle::of_file(path)?),
        (None, None) => Trusted::Roots(Bundle::of_system()?),
    };
    let provider = CryptoProvider {
        // AES-128 first: the cheapest of those that are all good enough. Servers mostly follow.
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            provider::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            provider::cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        ..provider::default_provider()
    };
    let verifier = Verifier { trusted, algorithms: provider.signature_verification_algorithms };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Kind::Software, "TLS", error.to_string()).at(Stage::Tls))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &relay.client_cert {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = client_certificate(pair, relay.strict_modes, warnings)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let certificate = pair.certificate.display();
                let why = match error {
                    Error::InconsistentKeys(_) => format!("does not match {certificate}, which is for another key"),
                    error => format!("does not match {certificate}: {error}"),
                };
                unusable(&pair.key, why)
            })?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn unusable(path: &Path, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Configuration, path.display().to_string(), why).at(Stage::Tls)
}

fn client_certificate(
    pair: &ClientCert,
    strict_modes: bool,
    warnings: &mut Vec<String>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    let path = &pair.certificate;
    let (pem, _) = modes::read(path, secret::LIMIT).map_err(|error| unreadable(path, &error))?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable(path, "contains no PEM certificate"))?;
    let key = secret::read_file(&pair.key, strict_modes, warnings).map_err(|failure| failure.at(Stage::Tls))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| unusable(&pair.key, "holds no PEM private key without a passphrase"))?;
    Ok((chain, key))
}

/// Whether all that is wrong is that a CA's certificate was presented as a server's; its dates were looked at before.
fn is_ca(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else { return false };
    matches!(inner.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

#[derive(Debug)]
enum Trusted {
    Roots(Bundle),
    Fingerprint([u8; 32]),
}

#[derive(Debug)]
struct Verifier {
    trusted: Trusted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Chain, dates and name. Of the roots only those are decoded that a presented certificate names as
    /// its issuer: every presented one is asked, because a server may send a cross-signed intermediate
    /// on top of one whose issuer we trust, and the last one first, because it mostly names the root.
    fn verify(
        &self,
        bundle: &Bundle,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let chains = |roots: &RootCertStore| {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, self.algorithms.all)
        };
        let is_chained = intermediates.iter().rev().chain([end_entity]).any(|presented| {
            webpki::EndEntityCert::try_from(presented)
                .map(|presented| bundle.named(presented.issuer()))
                .is_ok_and(|roots| !roots.is_empty() && chains(&roots).is_ok())
        });
        if !is_chained {
            // The search by name may miss roots in oddly wrapped bundles; a refusal is worth the time.
            let all = bundle.all();
            chains(&all).or_else(|error| match bundle.file() {
                // What `openssl req -x509` makes calls itself a CA, and is its own.
                _ if is_ca(&error) && bundle.holds(end_entity) => Ok(()),
                Some(file) if all.is_empty() => Err(Verdict::no_roots(file).into()),
                _ => Err(error),
            })?;
        }
        verify_server_name(&parsed, name)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(verdict) = Verdict::of_kind(end_entity) {
            return Err(verdict.into());
        }
        match &self.trusted {
            Trusted::Fingerprint(fingerprint) => {
                if digest(&SHA256, end_entity).as_ref() != fingerprint {
                    return Err(Verdict::other_fingerprint(end_entity).into());
                }
            }
            Trusted::Roots(bundle) => {
                if let Err(error) = self.verify(bundle, end_entity, intermediates, server_name, now) {
                    return Err(Verdict::of(error, end_entity, intermediates, server_name)?.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread::JoinHandle;

    use base64::Engine as _;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use tempfile::TempDir;

    use super::*;
    use crate::attempt::Trace;
    use crate::config::relay::TlsMode;
    use crate::wire::connection::tests::{attempt, listener, patience, relay_of, serve};
    use crate::wire::{Connection, WireError};

    /// A CA, and a scratch directory with its certificate in `ca.pem`.
    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        scratch: TempDir,
    }

    struct Identity {
        chain: Vec<CertificateDer<'static>>,
        key: KeyPair,
    }

    impl Authority {
        fn new() -> Self {
            Self::named("Test CA")
        }

        fn named(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let scratch = tempfile::tempdir().unwrap();
            fs::write(scratch.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
            Self { issuer: Issuer::new(params, key), scratch }
        }

        fn file(&self) -> PathBuf {
            self.scratch.path().join("ca.pem")
        }

        /// An identity for `name`, signed by an intermediate of this CA.
        fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
            let mut middle = CertificateParams::default();
            middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            middle.distinguished_name.push(DnType::CommonName, "Test Intermediate");
            let middle_key = KeyPair::generate().unwrap();
            let middle_certificate = middle.signed_by(&middle_key, &self.issuer).unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            change(&mut params);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &Issuer::new(middle, middle_key)).unwrap();
            Identity { chain: vec![certificate.der().clone(), middle_certificate.der().clone()], key }
        }
    }

    fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
    }

    /// A TLS server that greets and gives back what it is sent until the end of the stream. `None`: the
    /// stream was torn off, not ended.
    fn serve_tls(listener: TcpListener, identity: Identity) -> JoinHandle<Option<Vec<u8>>> {
        let key = PrivatePkcs8KeyDer::from(identity.key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, key.into())
            .unwrap();
        serve(listener, |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
            let mut received = Vec::new();
            stream.write_all(b"220 ready\r\n").and_then(|()| stream.read_to_end(&mut received)).ok().map(|_| received)
        })
    }

    fn open(
        identity: Identity,
        host: &str,
        change: impl FnOnce(&mut Relay),
    ) -> (Result<Connection, Failure>, JoinHandle<Option<Vec<u8>>>, Trace) {
        let listener = listener();
        let mut relay = relay_of(&listener, TlsMode::Implicit);
        if let crate::config::relay::Place::Tcp { host: name, .. } = &mut relay.place {
            host.clone_into(name);
        }
        change(&mut relay);
        let mut attempt = attempt();
        let server = serve_tls(listener, identity);
        (Connection::open(&relay, &mut attempt), server, attempt.trace)
    }

    /// The sentence and the hint of a handshake that must fail at the certificate.
    fn refusal(identity: Identity, change: impl FnOnce(&mut Relay)) -> (String, String) {
        let (result, server, _) = open(identity, "localhost", change);
        let failure = result.err().expect("the certificate is refused");
        assert_eq!((&failure.kind, failure.stage), (&Kind::Protocol, Some(Stage::Tls)), "{failure}");
        assert_eq!(server.join().unwrap(), None);
        (failure.why, failure.hint.unwrap())
    }

    #[test]
    fn a_good_chain_carries_octets_both_ways_and_ends_politely() {
        let authority = Authority::new();
        let (result, server, trace) =
            open(authority.issue("localhost", |_| ()), "localhost", |relay| relay.ca_file = Some(authority.file()));
        let mut connection = result.unwrap();
        assert_eq!(trace.tls.as_deref(), Some("TLSv1.3 TLS13_AES_128_GCM_SHA256"));
        assert!(connection.is_tls());
        let mut greeting = [0; 11];
        assert_eq!(connection.read(&mut greeting, patience()).unwrap(), 11);

        let message: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        connection.queue(b"DATA\r\n");
        for chunk in message.chunks(40_000) {
            connection.queue(chunk);
            connection.flush(patience()).unwrap();
        }
        connection.queue(b".\r\n");
        connection.flush(patience()).unwrap();
        drop(connection);
        assert_eq!(server.join().unwrap(), Some([b"DATA\r\n", message.as_slice(), b".\r\n"].concat()));
    }

    #[test]
    fn an_address_needs_a_certificate_for_the_address() {
        let authority = Authority::new();
        let trust = |relay: &mut Relay| relay.ca_file = Some(authority.file());
        let (result, _server, _) = open(authority.issue("127.0.0.1", |_| ()), "127.0.0.1", trust);
        result.unwrap();
        let (result, _server, _) = open(authority.issue("localhost", |_| ()), "127.0.0.1", trust);
        assert_eq!(result.err().unwrap().why, "certificate is for localhost, not 127.0.0.1");
    }

    #[test]
    fn a_bundle_wrapped_in_short_lines_is_trusted_all_the_same() {
        let authority = Authority::new();
        let pem = fs::read_to_string(authority.file()).unwrap();
        let wrapped: Vec<String> = pem
            .lines()
            .flat_map(|line| match line.as_bytes() {
                [b'-', ..] => vec![line.to_owned()],
                base64 => base64.chunks(8).map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect(),
            })
            .collect();
        fs::write(authority.file(), wrapped.join("\n")).unwrap();
        let identity = authority.issue("localhost", |_| ());
        let (result, _server, _) = open(identity, "localhost", |relay| relay.ca_file = Some(authority.file()));
        result.unwrap();
    }

    #[test]
    fn bad_certificates_are_refused_in_plain_words() {
        let authority = Authority::new();
        let trust = |relay: &mut Relay| relay.ca_file = Some(authority.file());

        let (why, hint) = refusal(authority.issue("mail.example.org", |_| ()), trust);
        assert_eq!(why, "certificate is for mail.example.org, not localhost");
        assert_eq!(hint, "if that is the server meant, set host = \"mail.example.org\"");

        let (why, hint) = refusal(
            authority.issue("localhost", |params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 3, 1);
            }),
            trust,
        );
        assert_eq!(why, "certificate expired on 2021-03-01");
        assert!(hint.contains("clock"), "{hint}");

        let (why, _) =
            refusal(authority.issue("localhost", |params| params.not_before = date_time_ymd(2999, 3, 1)), trust);
        assert_eq!(why, "certificate is not valid before 2999-03-01");

        let (why, hint) = refusal(Authority::named("Other CA").issue("localhost", |_| ()), trust);
        assert_eq!(why, "certificate is signed by an unknown CA (Other CA)");
        assert!(hint.contains("ca_file") && hint.contains("fingerprint = \""), "{hint}");
        assert!(hint.len() < 200, "{hint}");

        let alone = |identity: Identity| Identity { chain: identity.chain[..1].to_vec(), ..identity };
        let (why, hint) = refusal(alone(authority.issue("localhost", |_| ())), trust);
        assert_eq!(why, "certificate is signed by an unknown CA (Test Intermediate), and comes without that CA's own");
        assert!(hint.contains("chain") && hint.len() < 200, "{hint}");

        // What ca_file names can be read as text and not as a certificate.
        let broken = authority.scratch.path().join("broken.pem");
        fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let (why, hint) = refusal(authority.issue("localhost", |_| ()), |relay| relay.ca_file = Some(broken.clone()));
        assert_eq!(why, format!("no certificate in {} can be read", broken.display()));
        assert!(hint.contains("openssl x509"), "{hint}");
    }

    #[test]
    fn a_server_that_wants_a_certificate_is_understood_before_and_after_the_handshake() {
        let authority = Authority::new();
        let roots = Arc::new(Bundle::of_file(&authority.file()).unwrap().all());
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let wants = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::clone(&roots),
                Arc::new(provider::default_provider()),
            );
            let identity = authority.issue("localhost", |_| ());
            let key = PrivatePkcs8KeyDer::from(identity.key.serialize_der());
            let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_client_cert_verifier(wants.build().unwrap())
                .with_single_cert(identity.chain, key.into())
                .unwrap();
            let listener = listener();
            let mut relay = relay_of(&listener, TlsMode::Implicit);
            if let crate::config::relay::Place::Tcp { host, .. } = &mut relay.place {
                "localhost".clone_into(host);
            }
            relay.ca_file = Some(authority.file());
            let server = serve(listener, |stream| {
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
                stream.write_all(b"220 ready\r\n").is_err()
            });
            let (why, hint) = match Connection::open(&relay, &mut attempt()) {
                Err(failure) => (failure.why, failure.hint),
                Ok(mut connection) => match connection.read(&mut [0; 100], patience()) {
                    Err(WireError::Tls(why, hint)) => (why, hint),
                    other => panic!("{other:?}"),
                },
            };
            assert_eq!(why, "the server wants a certificate of its clients");
            assert!(hint.unwrap().contains("client_cert"));
            assert!(server.join().unwrap(), "it greeted");
        }
    }

    #[test]
    fn the_same_name_with_another_key_is_not_trusted() {
        let (authority, namesake) = (Authority::new(), Authority::new());
        let (why, _) = refusal(namesake.issue("localhost", |_| ()), |relay| relay.ca_file = Some(authority.file()));
        assert_eq!(why, "certificate is signed with another key than that of the trusted CA of this name");
    }

    #[test]
    fn a_self_signed_certificate_is_trusted_by_its_fingerprint_only() {
        let authority = Authority::new();
        for is_ca in [false, true] {
            let make = || {
                self_signed("whatever.example", |params| {
                    if is_ca {
                        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                    }
                })
            };
            let (why, hint) = refusal(make(), |relay| relay.ca_file = Some(authority.file()));
            assert_eq!(why, "certificate is self-signed");
            assert!(hint.contains("set fingerprint = \""), "{hint}");

            let identity = make();
            let seen = digest(&SHA256, &identity.chain[0]);
            let fingerprint = Some(seen.as_ref().try_into().unwrap());
            let (result, _server, _) = open(identity, "localhost", |relay| relay.fingerprint = fingerprint);
            result.unwrap();

            let (why, _) = refusal(make(), |relay| relay.fingerprint = fingerprint);
            assert_eq!(why, "certificate is not the one whose fingerprint is configured");
        }
    }

    #[test]
    fn a_servers_own_certificate_may_be_the_ca_file() {
        for is_ca in [false, true] {
            let make = |name: &str| {
                self_signed(name, |params| {
                    if is_ca {
                        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                    }
                })
            };
            let authority = Authority::new();
            let trusting = |identity: &Identity| {
                let pem = format!(
                    "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                    base64::engine::general_purpose::STANDARD.encode(&identity.chain[0])
                );
                fs::write(authority.file(), pem).unwrap();
                |relay: &mut Relay| relay.ca_file = Some(authority.file())
            };
            let identity = make("localhost");
            let trust = trusting(&identity);
            let (result, _server, _) = open(identity, "localhost", trust);
            result.unwrap();
            // Its name counts all the same, and nobody else's certificate does.
            let identity = make("mail.example.org");
            let trust = trusting(&identity);
            assert_eq!(refusal(identity, trust).0, "certificate is for mail.example.org, not localhost");
            let trust = trusting(&make("localhost"));
            refusal(make("localhost"), trust);
            // And so do its dates.
            let old = self_signed("localhost", |params| {
                (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 3, 1));
                if is_ca {
                    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                }
            });
            let trust = trusting(&old);
            assert_eq!(refusal(old, trust).0, "certificate expired on 2021-03-01");
        }
    }

    /// What the handshake makes of a server that says `octets` and nothing else.
    fn against(octets: &'static [u8]) -> Failure {
        let authority = Authority::new();
        let listener = listener();
        let mut relay = relay_of(&listener, TlsMode::Implicit);
        relay.ca_file = Some(authority.file());
        let server = serve(listener, move |mut stream| {
            stream.write_all(octets).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Until we hang up, lest our answer meets a reset.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let failure = Connection::open(&relay, &mut attempt()).err().unwrap();
        server.join().unwrap();
        failure
    }

    #[test]
    fn servers_that_cannot_tls_are_told_apart() {
        let plain = against(b"220 mx.example.net ESMTP\r\n");
        assert_eq!((plain.kind, plain.why.as_str()), (Kind::Protocol, "the server speaks without TLS"));
        assert_eq!(plain.hint.unwrap(), "this port speaks STARTTLS: set tls = \"starttls\"");

        let old = against(b"\x15\x03\x01\x00\x02\x02\x46");
        assert_eq!((old.kind, old.why.as_str()), (Kind::Protocol, "the server offers no TLS 1.2 or newer"));

        let foreign = against(b"\x15\x03\x03\x00\x02\x02\x28");
        assert_eq!(foreign.why, "the server found no TLS version or cipher suite in common");
        assert!(foreign.hint.unwrap().contains("CBC"));

        let gone = against(b"");
        assert_eq!(gone.kind, Kind::Unavailable);
        assert_eq!(gone.why, "connection closed during the TLS handshake");

        let garbage = against(b"\xff\xff\xff\xff\xff\xff");
        assert_eq!(garbage.why, "the server does not speak TLS here");
    }

    #[test]
    fn a_torn_stream_ends_as_closed_after_what_was_said() {
        let authority = Authority::new();
        let identity = authority.issue("localhost", |_| ());
        let listener = listener();
        let mut relay = relay_of(&listener, TlsMode::Implicit);
        relay.ca_file = Some(authority.file());
        relay.fingerprint = Some(digest(&SHA256, &identity.chain[0]).as_ref().try_into().unwrap());
        let key = PrivatePkcs8KeyDer::from(identity.key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, key.into())
            .unwrap();
        let server = serve(listener, |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
            stream.write_all(b"421 bye\r\n").unwrap();
        });
        let mut attempt = attempt();
        let mut connection = Connection::open(&relay, &mut attempt).unwrap();
        assert_eq!(attempt.trace.tls.as_deref(), Some("TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
        let mut buffer = [0; 100];
        assert_eq!(connection.read(&mut buffer, patience()).unwrap(), 9);
        server.join().unwrap();
        let end = connection.read(&mut buffer, patience());
        assert!(matches!(end, Err(WireError::Closed)), "{end:?}");
    }
}
