//! The trusted roots: a PEM bundle of which only the certificates that are asked for are decoded.
//!
//! Parsing the 150 roots of a system bundle costs more than the rest of a handshake, and one of them is
//! needed. So the bundle stays text, and a root is found in it by the base64 of its subject.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use memchr::{memchr, memmem, memrchr};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::failure::{Failure, Kind};
use crate::modes;
use crate::outcome::Stage;

/// The largest bundle that is read, all its files together.
const LIMIT: u64 = 16 << 20;

/// Debian and its kin, Fedora and RHEL, SUSE, Alpine and the BSDs, FreeBSD's package, NixOS.
const FILES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/ssl/certs/ca-bundle.crt",
];

/// Where hosts without any of [`FILES`] keep their roots, a file each.
const DIRECTORY: &str = "/etc/ssl/certs";

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// How much base64 one search looks for. Two such fragments side by side are shorter than a PEM line (64
/// columns), so a line end can cut one of them and not both.
const FRAGMENT: usize = 24;

/// Trusted certificates as PEM text.
#[derive(Debug)]
pub(super) struct Bundle(Vec<u8>);

impl Bundle {
    /// The certificates of one file (`ca_file`).
    ///
    /// # Errors
    /// It cannot be read, or there is no certificate in it.
    pub(super) fn of_file(path: &Path) -> Result<Self, Failure> {
        let mut text = Vec::new();
        append(&mut text, path).map_err(|error| unreadable(path, &error))?;
        Self::checked(text).ok_or_else(|| {
            Failure::new(Kind::Configuration, path.display().to_string(), "holds no PEM certificate").at(Stage::Tls)
        })
    }

    /// The certificates this host trusts: what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the system's.
    /// A binary with privileges of its own does not ask the environment of its caller.
    ///
    /// # Errors
    /// There are none, or what a variable names cannot be read.
    pub(super) fn of_system(privileged: bool) -> Result<Self, Failure> {
        let variable = |name| env::var_os(name).filter(|value| !privileged && !value.is_empty());
        let file = variable("SSL_CERT_FILE").map(PathBuf::from);
        let directories = variable("SSL_CERT_DIR");
        let mut text = Vec::new();
        if file.is_some() || directories.is_some() {
            if let Some(path) = file {
                append(&mut text, &path).map_err(|error| unreadable(&path, &error))?;
            }
            for directory in directories.iter().flat_map(env::split_paths) {
                append_all(&mut text, &directory).map_err(|error| unreadable(&directory, &error))?;
            }
            return Self::checked(text).ok_or_else(|| {
                Failure::new(Kind::Configuration, "SSL_CERT_FILE, SSL_CERT_DIR", "no PEM certificate there")
                    .at(Stage::Tls)
            });
        }
        for path in FILES {
            if append(&mut text, Path::new(path)).is_ok()
                && let Some(bundle) = Self::checked(std::mem::take(&mut text))
            {
                return Ok(bundle);
            }
        }
        // What is missing here is reported below, in words about the host instead of one directory.
        let _ = append_all(&mut text, Path::new(DIRECTORY));
        Self::checked(text).ok_or_else(|| {
            Failure::new(Kind::Configuration, "trusted CA certificates", "this host has none")
                .hint("install ca-certificates, or set ca_file")
                .at(Stage::Tls)
        })
    }

    fn checked(text: Vec<u8>) -> Option<Self> {
        memmem::find(&text, BEGIN).map(|_| Self(text))
    }

    /// The roots whose subject is `name`, a DER Name without its outer tag.
    ///
    /// Finds them in bundles whose lines have 64 columns or more; an answer of none is not final, ask
    /// [`Bundle::all`] before despairing.
    pub(super) fn named(&self, name: &[u8]) -> RootCertStore {
        let mut blocks: Vec<usize> = fragments(name)
            .iter()
            .flat_map(|fragment| memmem::find_iter(&self.0, fragment).filter_map(|at| self.block_around(at)))
            .collect();
        // A root names itself twice, as subject and as issuer.
        blocks.sort_unstable();
        blocks.dedup();
        self.anchors(blocks.into_iter()).filter(|anchor| anchor.subject.as_ref() == name).collect()
    }

    /// Every root that can be parsed.
    pub(super) fn all(&self) -> RootCertStore {
        self.anchors(memmem::find_iter(&self.0, BEGIN).map(|at| at + BEGIN.len())).collect()
    }

    /// Where the base64 of the certificate begins that the character at `at` belongs to.
    fn block_around(&self, at: usize) -> Option<usize> {
        let start = memrchr(b'-', &self.0[..at])? + 1;
        self.0[..start].ends_with(BEGIN).then_some(start)
    }

    fn anchors(&self, blocks: impl Iterator<Item = usize>) -> impl Iterator<Item = TrustAnchor<'static>> {
        blocks.filter_map(|start| {
            let text = &self.0[start..];
            let text = &text[..memchr(b'-', text)?];
            let text: Vec<u8> = text.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            let der = CertificateDer::from(STANDARD.decode(text).ok()?);
            Some(webpki::anchor_from_trusted_cert(&der).ok()?.to_owned())
        })
    }
}

/// What the base64 of a certificate with `name` in it must contain, wherever in it the name begins: for
/// each of the three alignments, two neighbouring fragments. Taken from the end, where names differ.
fn fragments(name: &[u8]) -> Vec<Vec<u8>> {
    let mut fragments = Vec::with_capacity(6);
    for skip in 0..3 {
        let Some(aligned) = name.get(skip..) else { continue };
        let aligned = &aligned[..aligned.len() / 3 * 3];
        let end = &aligned[aligned.len().saturating_sub(2 * FRAGMENT / 4 * 3)..];
        let text = STANDARD_NO_PAD.encode(end).into_bytes();
        let (first, second) = text.split_at(text.len() / 2);
        // An empty name has no fragments.
        fragments.extend([first, second].into_iter().filter(|half| !half.is_empty()).map(<[u8]>::to_vec));
    }
    fragments
}

/// Reads `path` to the end of `text`, within the limit on all of it.
fn append(text: &mut Vec<u8>, path: &Path) -> io::Result<()> {
    let left = LIMIT.saturating_sub(text.len() as u64);
    let mut file = modes::open(path)?;
    text.reserve(usize::try_from(file.metadata()?.len().min(left)).unwrap_or(0) + 1);
    if file.by_ref().take(left).read_to_end(text)? as u64 == left && file.read(&mut [0])? > 0 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // The next file must not begin in this one's last line.
    text.push(b'\n');
    Ok(())
}

/// Reads every regular file in `directory` that can be read.
fn append_all(text: &mut Vec<u8>, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        if entry.path().is_file() {
            let length = text.len();
            if append(text, &entry.path()).is_err() {
                text.truncate(length);
            }
        }
    }
    Ok(())
}

/// The failure for a certificate file that could not be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    modes::unreadable(path, error, nix::unistd::getegid().as_raw()).at(Stage::Tls)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    use super::*;

    fn subjects(store: &RootCertStore) -> Vec<Vec<u8>> {
        store.roots.iter().map(|root| root.subject.to_vec()).collect()
    }

    #[test]
    fn every_root_of_the_systems_bundle_is_found_by_its_name() {
        let path = Path::new("/etc/ssl/certs/ca-certificates.crt");
        if !path.exists() {
            return;
        }
        let bundle = Bundle::of_file(path).unwrap();
        let all = bundle.all();
        assert!(all.len() > 50, "{} roots", all.len());
        for root in &all.roots {
            let found = bundle.named(&root.subject);
            assert!(found.roots.contains(root), "{root:?}");
            assert!(found.roots.iter().all(|other| other.subject == root.subject));
        }
    }

    /// Names of every length shift the fragments through all alignments and columns. Another issuer's
    /// signature, so that each name is in its certificate only once.
    #[test]
    fn roots_are_found_at_every_alignment_and_column() {
        let key = KeyPair::generate().unwrap();
        let mut issuer = CertificateParams::default();
        let mut text = String::new();
        let lengths = 1..=64;
        for length in lengths.clone() {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "x".repeat(length));
            issuer.distinguished_name.push(DnType::CommonName, "i".repeat(length / 3 + 1));
            text.push_str(&params.signed_by(&key, &Issuer::from_params(&issuer, &key)).unwrap().pem());
        }
        for text in [text.replace('\n', "\r\n"), text] {
            let bundle = Bundle::checked(text.into_bytes()).unwrap();
            let all = bundle.all();
            assert_eq!(all.len(), lengths.clone().count());
            for subject in subjects(&all) {
                assert_eq!(subjects(&bundle.named(&subject)), [subject]);
            }
            assert!(bundle.named(b"nobody's name at all, longer than a line").is_empty());
            assert!(bundle.named(b"").is_empty());
        }
    }

    #[test]
    fn roots_of_one_name_are_all_found() {
        let mut text = String::from("# two keys, one name\n");
        for _ in 0..2 {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "Twice CA");
            text.push_str(&params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
        }
        let bundle = Bundle::checked(text.into_bytes()).unwrap();
        let subject = bundle.all().roots[0].subject.to_vec();
        assert_eq!(bundle.named(&subject).len(), 2);
    }

    #[test]
    fn a_directory_counts_file_by_file_and_a_file_without_certificates_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let pem = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        fs::write(scratch.path().join("a.pem"), pem("A").trim_end()).unwrap();
        fs::write(scratch.path().join("b.pem"), pem("B")).unwrap();
        fs::write(scratch.path().join("README"), "no certificate").unwrap();
        let mut text = Vec::new();
        append_all(&mut text, scratch.path()).unwrap();
        assert_eq!(Bundle(text).all().len(), 2);

        let failure = Bundle::of_file(&scratch.path().join("README")).unwrap_err();
        assert_eq!((failure.kind, failure.why.as_str()), (Kind::Configuration, "holds no PEM certificate"));
        let failure = Bundle::of_file(&scratch.path().join("absent")).unwrap_err();
        assert_eq!((failure.kind, failure.why.as_str()), (Kind::Configuration, "no such file"));
    }

    #[test]
    fn a_bundle_that_is_a_fifo_is_not_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let failure = Bundle::of_file(&path).unwrap_err();
        assert_eq!((failure.kind, failure.why.as_str()), (Kind::Configuration, "is not a regular file"));
    }
}
