//! Certificates: an authority and the server certificates, good and bad, that it signs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::scratch::Scratch;

/// The names every certificate of ours is good for, unless it is made for another one.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// What [`Identity::Named`] is good for.
const NAMED: [&str; 4] = ["shop.example", "*.shop.example", "api.postmarkapp.com", "api.brevo.com"];

/// What a server presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Signed by the authority, for 127.0.0.1, ::1 and localhost.
    Good,
    /// Good for a week yet.
    Ending,
    /// Good but over since 2021.
    Expired,
    /// Good but for mx.example.com only.
    WrongName,
    /// Signed by itself, for the right names.
    SelfSigned,
    /// Signed by an authority that nobody has heard of.
    OtherAuthority,
    /// Good for shop.example, the names right below it, and the APIs of Postmark and Brevo.
    Named,
}

/// One server certificate with its key.
struct Presented {
    identity: Identity,
    config: Arc<ServerConfig>,
    /// The same, wanting a certificate of the authority's from the client.
    demanding: Arc<ServerConfig>,
    certificate: Vec<u8>,
    pem: String,
}

/// An authority and its server certificates, ECDSA P-256; one set a process.
pub struct Certs {
    authority_pem: String,
    servers: Vec<Presented>,
    clients: [Client; 2],
}

/// A client's certificate.
struct Client {
    certificate: Vec<u8>,
    pem: String,
}

impl Certs {
    /// The set of this process.
    pub fn shared() -> &'static Self {
        static CERTS: OnceLock<Certs> = OnceLock::new();
        CERTS.get_or_init(Self::new)
    }

    fn new() -> Self {
        let authority = authority("mailchute test authority");
        let other = authority_other();
        let good = server(&NAMES);
        let mut expired = server(&NAMES);
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2021, 1, 1);
        let mut ending = server(&NAMES);
        ending.not_after = (SystemTime::now() + Duration::from_secs(7 * 24 * 3600)).into();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("an authority");
        let roots = Arc::new(roots);
        let signed = |identity, params, issuer| signed(identity, params, issuer, &roots);
        let servers = vec![
            signed(Identity::Good, &good, Some(&authority)),
            signed(Identity::Ending, &ending, Some(&authority)),
            signed(Identity::Expired, &expired, Some(&authority)),
            signed(Identity::WrongName, &server(&["mx.example.com"]), Some(&authority)),
            signed(Identity::SelfSigned, &good, None),
            signed(Identity::OtherAuthority, &good, Some(&other)),
            signed(Identity::Named, &server(&NAMED), Some(&authority)),
        ];
        Self { authority_pem: authority.pem(), servers, clients: [client(&authority), client(&other)] }
    }

    /// The authority's certificate in PEM.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Writes the authority's certificate as `ca.pem` into `scratch`.
    pub fn write_authority(&self, scratch: &Scratch) -> PathBuf {
        scratch.write("ca.pem", &self.authority_pem, 0o644)
    }

    /// Writes the authority's certificate to `path`.
    pub fn write_authority_to(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, &self.authority_pem)
    }

    /// What a server with this identity needs.
    pub fn config(&self, identity: Identity) -> Arc<ServerConfig> {
        Arc::clone(&self.entry(identity).config)
    }

    /// The same for a server that wants a certificate of the authority's from its clients.
    pub fn demanding_config(&self, identity: Identity) -> Arc<ServerConfig> {
        Arc::clone(&self.entry(identity).demanding)
    }

    /// Private key and certificate of a client in PEM: one that the authority signed, or a stranger's.
    pub fn client_pem(&self, stranger: bool) -> &str {
        &self.clients[usize::from(stranger)].pem
    }

    /// Whether `certificate` (DER) is the one that the authority signed for a client.
    pub fn is_client(&self, certificate: &[u8]) -> bool {
        self.clients[0].certificate == certificate
    }

    /// SHA-256 of the certificate of `identity`, in lower-case hexadecimal.
    pub fn fingerprint(&self, identity: Identity) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.entry(identity).certificate);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The private key and the certificate of `identity` in PEM, for a server that is not ours.
    pub fn server_pem(&self, identity: Identity) -> &str {
        &self.entry(identity).pem
    }

    fn entry(&self, identity: Identity) -> &Presented {
        self.servers.iter().find(|entry| entry.identity == identity).expect("every identity is made above")
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key()).expect("an authority")
}

fn authority_other() -> Authority {
    authority("somebody else's authority")
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names and addresses");
    params.distinguished_name.push(DnType::CommonName, "mailchute test server");
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a P-256 key")
}

fn client(issuer: &Authority) -> Client {
    let key = key();
    let certificate = server(&["client.example.org"]).signed_by(&key, issuer).expect("a certificate");
    Client { certificate: certificate.der().to_vec(), pem: key.serialize_pem() + &certificate.pem() }
}

fn signed(
    identity: Identity,
    params: &CertificateParams,
    issuer: Option<&Authority>,
    clients: &Arc<RootCertStore>,
) -> Presented {
    let key = key();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    }
    .expect("a certificate");
    let der: CertificateDer<'static> = certificate.der().clone();
    let presented = der.to_vec();
    let pem = key.serialize_pem() + &certificate.pem();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(clients), Arc::clone(&provider));
    let verifier = verifier.build().expect("an authority for clients");
    let fits = "the key fits the certificate";
    let demanding = builder().with_client_cert_verifier(verifier);
    let demanding = demanding.with_single_cert(vec![der.clone()], private.clone_key()).expect(fits);
    let config = builder().with_no_client_auth().with_single_cert(vec![der], private).expect(fits);
    let (config, demanding) = (Arc::new(config), Arc::new(demanding));
    Presented { identity, config, demanding, certificate: presented, pem }
}
