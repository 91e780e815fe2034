//! The trusted roots: a PEM bundle of which only the certificates that are asked for are decoded.
//!
//! Parsing the 150 roots of a system bundle costs more than the rest of a handshake, and one of them is
//! needed. So the bundle stays text, in its file, and a root is found in it by the base64 of its subject.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Take};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use memchr::{memchr, memmem, memrchr};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::verdict::ROOTS;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes;
use crate::outcome::Stage;

/// The largest file that is read.
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

/// What ends a certificate, as far as it matters here.
const END: &[u8] = b"-----END";

/// How much of a file is in memory at a time, as long as its certificates are no longer. A system's bundle in one
/// piece would be a twentieth of the memory this program takes.
const PIECE: usize = 16 << 10;

/// The files with the trusted certificates, looked through anew for each question.
#[derive(Debug)]
pub(super) struct Bundle(Vec<PathBuf>);

impl Bundle {
    /// The certificates of one file (`ca_file`).
    ///
    /// # Errors
    /// It cannot be read, or there is no certificate in it.
    pub(super) fn of_file(path: &Path) -> Result<Self, Failure> {
        match holds_certificate(path) {
            Ok(true) => Ok(Self(vec![path.to_owned()])),
            Ok(false) => {
                Err(Failure::new(Kind::Configuration, path.display().to_string(), "contains no PEM certificate")
                    .hint(ROOTS)
                    .at(Stage::Tls))
            }
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    /// The certificates this host trusts: what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the system's.
    /// A binary with privileges of its own does not ask the environment of its caller.
    ///
    /// # Errors
    /// There are none, or what a variable names cannot be read.
    pub(super) fn of_system() -> Result<Self, Failure> {
        let variable = |name| host::variable(name).filter(|value| !value.is_empty());
        let file = variable("SSL_CERT_FILE").map(PathBuf::from);
        let directories = variable("SSL_CERT_DIR");
        if file.is_some() || directories.is_some() {
            let mut files = Vec::new();
            if let Some(path) = file
                && holds_certificate(&path).map_err(|error| unreadable(&path, &error))?
            {
                files.push(path);
            }
            for directory in directories.iter().flat_map(env::split_paths) {
                files.extend(files_of(&directory).map_err(|error| unreadable(&directory, &error))?);
            }
            return Self::unless_empty(files).ok_or_else(|| {
                Failure::new(Kind::Configuration, "SSL_CERT_FILE, SSL_CERT_DIR", "no PEM certificate there")
                    .at(Stage::Tls)
            });
        }
        let file = FILES.iter().map(PathBuf::from).find(|path| holds_certificate(path).unwrap_or(false));
        // What is missing here is reported below, in words about the host instead of one directory.
        let files = file.map_or_else(|| files_of(Path::new(DIRECTORY)).unwrap_or_default(), |file| vec![file]);
        Self::unless_empty(files).ok_or_else(|| {
            Failure::new(Kind::Configuration, "trusted CA certificates", "this host has none")
                .hint("install the package ca-certificates, or set ca_file")
                .at(Stage::Tls)
        })
    }

    fn unless_empty(files: Vec<PathBuf>) -> Option<Self> {
        (!files.is_empty()).then_some(Self(files))
    }

    /// The roots whose subject is `name`, a DER Name without its outer tag.
    ///
    /// Finds them in bundles whose lines have 64 columns or more; an answer of none is not final, ask
    /// [`Bundle::all`] before despairing.
    pub(super) fn named(&self, name: &[u8]) -> RootCertStore {
        let fragments = fragments(name);
        let anchors = self.anchors(|text| {
            let places = fragments.iter().flat_map(|fragment| fragment.find_iter(text));
            let mut blocks: Vec<usize> = places.filter_map(|at| block_around(text, at)).collect();
            // A root names itself twice, as subject and as issuer.
            blocks.sort_unstable();
            blocks.dedup();
            blocks
        });
        anchors.into_iter().filter(|anchor| anchor.subject.as_ref() == name).collect()
    }

    /// The first of the files.
    pub(super) fn file(&self) -> Option<&Path> {
        self.0.first().map(PathBuf::as_path)
    }

    /// Every root that can be parsed.
    pub(super) fn all(&self) -> RootCertStore {
        let begin = memmem::Finder::new(BEGIN);
        self.anchors(|text| begin.find_iter(text).map(|at| at + BEGIN.len()).collect()).into_iter().collect()
    }

    /// Whether `certificate` itself is one of them.
    pub(super) fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        let begin = memmem::Finder::new(BEGIN);
        self.0.iter().filter_map(|path| Pieces::open(path).ok()).any(|mut pieces| {
            while let Ok(Some(text)) = pieces.next() {
                let mut ends = begin.find_iter(text).map(|at| at + BEGIN.len());
                if ends.any(|start| der(&text[start..]).as_ref() == Some(certificate)) {
                    return true;
                }
            }
            false
        })
    }

    /// The certificates that `choose` picks of each piece of text, by where their base64 begins.
    fn anchors(&self, choose: impl Fn(&[u8]) -> Vec<usize>) -> Vec<TrustAnchor<'static>> {
        let mut anchors = Vec::new();
        for path in &self.0 {
            // It could be read a moment ago; what is gone since is trusted no more.
            let Ok(mut pieces) = Pieces::open(path) else { continue };
            while let Ok(Some(text)) = pieces.next() {
                anchors.extend(choose(text).into_iter().filter_map(|start| anchor(&text[start..])));
            }
        }
        anchors
    }
}

/// Where the base64 of the certificate begins that the character at `at` belongs to.
fn block_around(text: &[u8], at: usize) -> Option<usize> {
    let start = memrchr(b'-', &text[..at])? + 1;
    text[..start].ends_with(BEGIN).then_some(start)
}

/// The certificate whose base64 `text` begins with.
fn der(text: &[u8]) -> Option<CertificateDer<'static>> {
    let text = &text[..memchr(b'-', text)?];
    let text: Vec<u8> = text.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    Some(CertificateDer::from(STANDARD.decode(text).ok()?))
}

/// The root whose base64 `text` begins with.
fn anchor(text: &[u8]) -> Option<TrustAnchor<'static>> {
    Some(webpki::anchor_from_trusted_cert(&der(text)?).ok()?.to_owned())
}

/// What the base64 of a certificate with `name` in it must contain, wherever in it the name begins: for
/// each of the three alignments, two neighbouring fragments. Taken from the end, where names differ.
fn fragments(name: &[u8]) -> Vec<memmem::Finder<'static>> {
    let mut fragments = Vec::with_capacity(6);
    for skip in 0..3 {
        let Some(aligned) = name.get(skip..) else { continue };
        let aligned = &aligned[..aligned.len() / 3 * 3];
        let end = &aligned[aligned.len().saturating_sub(2 * FRAGMENT / 4 * 3)..];
        let text = STANDARD_NO_PAD.encode(end).into_bytes();
        let (first, second) = text.split_at(text.len() / 2);
        // An empty name has no fragments.
        let halves = [first, second].into_iter().filter(|half| !half.is_empty());
        fragments.extend(halves.map(|half| memmem::Finder::new(half).into_owned()));
    }
    fragments
}

/// A file in pieces that hold whole certificates.
struct Pieces {
    file: Take<File>,
    /// The last piece, and what has been read behind it.
    text: Vec<u8>,
    /// How much of `text` the last piece was.
    done: usize,
    /// What may still be read, in octets: what the system makes up has no size, and may have no end.
    left: u64,
}

impl Pieces {
    fn open(path: &Path) -> io::Result<Self> {
        let file = modes::open(path)?;
        if file.metadata()?.len() > LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Self { file: file.take(0), text: Vec::with_capacity(PIECE), done: 0, left: LIMIT })
    }

    /// The next piece; `None` at the end.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.text.drain(..self.done);
        self.done = 0;
        while self.done == 0 {
            // To the full piece, or by one more for what is longer.
            let room = PIECE - self.text.len() % PIECE;
            self.file.set_limit(room as u64);
            let read = self.file.read_to_end(&mut self.text)?;
            if read == 0 {
                self.done = self.text.len();
                break;
            }
            self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
            self.done = memmem::rfind(&self.text, END).map_or(0, |at| at + END.len());
        }
        Ok(Some(&self.text[..self.done]).filter(|piece| !piece.is_empty()))
    }
}

fn holds_certificate(path: &Path) -> io::Result<bool> {
    let mut pieces = Pieces::open(path)?;
    while let Some(text) = pieces.next()? {
        if memmem::find(text, BEGIN).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The regular files in `directory` that can be read and hold a certificate.
fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.is_file() && holds_certificate(path).unwrap_or(false)).collect())
}

/// The failure for a certificate file that could not be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    modes::unreadable(path, error).at(Stage::Tls)
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
        let scratch = tempfile::tempdir().unwrap();
        // Nothing before the first certificate, then more than a piece.
        let preamble = "# no certificate\n".repeat(PIECE / 8);
        for text in [text.replace('\n', "\r\n"), preamble + &text, text] {
            let path = scratch.path().join("bundle.pem");
            fs::write(&path, text).unwrap();
            let bundle = Bundle::of_file(&path).unwrap();
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
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("twice.pem");
        fs::write(&path, text).unwrap();
        let bundle = Bundle::of_file(&path).unwrap();
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
        assert_eq!(Bundle(files_of(scratch.path()).unwrap()).all().len(), 2);

        let failure = Bundle::of_file(&scratch.path().join("README")).unwrap_err();
        assert_eq!((failure.kind, failure.why.as_str()), (Kind::Configuration, "contains no PEM certificate"));
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
