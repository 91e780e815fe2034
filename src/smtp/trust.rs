//! Whom TLS trusts: chain and name against the roots, or one fingerprint.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{getegid, geteuid, getgid, getuid};
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring as provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use zeroize::Zeroizing;

use super::roots::{Bundle, unreadable};
use super::verdict::Verdict;
use crate::config::relay::{ClientCert, Relay};
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

/// How TLS is spoken with `relay`: TLS 1.2 or 1.3, the server's certificate verified, its client
/// certificate at hand. For one connection; sessions are not resumed.
///
/// # Errors
/// `Configuration`, `NoPermission` or `Io`: the roots, `ca_file` or `client_cert` cannot be used.
pub fn config(relay: &Relay) -> Result<Arc<ClientConfig>, Failure> {
    let trusted = match (relay.fingerprint, &relay.ca_file) {
        (Some(fingerprint), _) => Trusted::Fingerprint(fingerprint),
        (None, Some(path)) => Trusted::Roots(Bundle::of_file(path)?),
        (None, None) => Trusted::Roots(Bundle::of_system(is_privileged())?),
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
            let (chain, key) = client_certificate(pair)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let why = format!("does not go with {}: {error}", pair.certificate.display());
                unusable(&pair.key, why)
            })?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Whether this process has rights that its caller has not (set-user-id or set-group-id), so that the
/// caller's environment must not choose the roots.
fn is_privileged() -> bool {
    getuid() != geteuid() || getgid() != getegid()
}

fn unusable(path: &Path, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Configuration, path.display().to_string(), why).at(Stage::Tls)
}

fn client_certificate(pair: &ClientCert) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
    let read = |path: &Path| fs::read(path).map(Zeroizing::new).map_err(|error| unreadable(path, &error));
    let chain = CertificateDer::pem_slice_iter(&read(&pair.certificate)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable(&pair.certificate, "holds no PEM certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&pair.key)?)
        .map_err(|_| unusable(&pair.key, "holds no PEM private key without a passphrase"))?;
    Ok((chain, key))
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
            chains(&bundle.all())?;
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
