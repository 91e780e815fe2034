//! Where an import reads: the files of a host or of a copy of it, for one user.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::local::Given;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::Modes;
use crate::reply::{TEXT_LIMIT, printable};
use crate::root::Root;

/// The largest file that is read, in octets.
const LIMIT: usize = 1 << 20;

/// The user whose mail is asked about.
#[derive(Clone, Debug)]
pub struct MailUser {
    /// The name; the number where it has none.
    pub name: String,
    /// The uid.
    pub uid: u32,
    /// The gid.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
}

/// Which of the two is believed where a program reads its file otherwise than it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// What the file says.
    File,
    /// What the program makes of it.
    Effective,
}

/// What is asked of an import.
#[derive(Debug)]
pub struct Inquiry<'a> {
    /// Where paths begin.
    pub root: &'a Root,
    /// The files that were named; empty: the usual ones.
    pub files: &'a [PathBuf],
    /// Whose mail it is about.
    pub person: &'a MailUser,
    /// The account that was named.
    pub account: Option<&'a str>,
    /// Whether all accounts are meant.
    pub all: bool,
    /// Which reading is believed, where that was said.
    pub take: Option<Belief>,
    /// The local names that the command line has addresses for.
    pub given: &'a [Given],
}

/// A file as text.
pub struct SourceFile {
    /// Its path below the root.
    pub path: PathBuf,
    /// What is in it.
    pub text: Zeroizing<String>,
    /// Whose it is.
    pub modes: Modes,
}

impl Inquiry<'_> {
    /// Whether the command line says where the mail of every other local name goes.
    pub fn gives_all_names(&self) -> bool {
        self.given.iter().any(|given| given.name == "*")
    }

    /// Reads a file, `-` for standard input. `None`: there is none.
    ///
    /// # Errors
    /// `NoPermission` or `Io`: it cannot be read. `Data`: it is no text of at most a megabyte.
    pub fn find(&self, path: &Path) -> Result<Option<SourceFile>, Failure> {
        let is_input = path == Path::new("-");
        let path = if is_input { Path::new("standard input") } else { path };
        let what = || named(path);
        let read = if is_input { standard_input() } else { self.root.read(path, LIMIT) };
        let (octets, modes) = match read {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Failure::new(Kind::NoPermission, what(), "cannot be read by this user")
                    .hint("put `sudo` in front of the command"));
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(Failure::new(Kind::Data, what(), "is larger than a megabyte, and no configuration"));
            }
            Err(error) => return Err(Failure::new(Kind::Io, what(), format!("cannot be read: {error}"))),
        };
        match std::str::from_utf8(&octets) {
            Ok(text) if !text.contains('\0') => {
                Ok(Some(SourceFile { path: path.to_owned(), text: Zeroizing::new(text.to_owned()), modes }))
            }
            Ok(_) => Err(Failure::new(Kind::Data, what(), "holds NUL characters, and is no text")),
            Err(error) => {
                let line = octets[..error.valid_up_to()].iter().filter(|octet| **octet == b'\n').count() + 1;
                Err(wrong(path, line, "is not UTF-8 text").hint("convert it first, for example with iconv"))
            }
        }
    }

    /// Reads a file that has to be there.
    ///
    /// # Errors
    /// `NoInput`: it is not; else as [`Inquiry::find`].
    pub fn read(&self, path: &Path) -> Result<SourceFile, Failure> {
        self.find(path)?.ok_or_else(|| Failure::new(Kind::NoInput, named(path), "does not exist"))
    }

    /// The file that was named, else the one at `usual`.
    ///
    /// # Errors
    /// As [`Inquiry::read`].
    pub fn main(&self, usual: &str) -> Result<SourceFile, Failure> {
        self.read(self.files.first().map_or(Path::new(usual), PathBuf::as_path))
    }

    /// A file that stands beside the main one: of the same name in the same directory where that was named, else the
    /// usual one.
    ///
    /// # Errors
    /// As [`Inquiry::find`].
    pub fn beside(&self, usual: &str) -> Result<Option<SourceFile>, Failure> {
        let usual = Path::new(usual);
        let Some(main) = self.files.first() else { return self.find(usual) };
        let name = usual.file_name().unwrap_or_default();
        if let Some(named) = self.files.iter().find(|file| file.file_name() == Some(name)) {
            return self.read(named).map(Some);
        }
        self.find(&main.with_file_name(name))
    }

    /// The first line of a file that holds nothing else, such as `/etc/hostname`.
    ///
    /// # Errors
    /// As [`Inquiry::find`].
    pub fn line(&self, path: &str) -> Result<Option<String>, Failure> {
        let text = self.find(Path::new(path))?;
        Ok(text
            .and_then(|source| source.text.lines().next().map(|line| line.trim().to_owned()))
            .filter(|t| !t.is_empty()))
    }

    /// The host's name.
    ///
    /// # Errors
    /// As [`Inquiry::find`].
    pub fn host_name(&self) -> Result<String, Failure> {
        if self.root.is_host() {
            return Ok(host::name());
        }
        Ok(self.line("/etc/hostname")?.unwrap_or_else(|| "localhost".to_owned()))
    }

    /// A path of a file with the person's home for its `~`.
    pub fn expanded(&self, path: &str) -> String {
        match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", self.person.home.display()),
            _ => path.to_owned(),
        }
    }
}

/// Standard input, which is nobody's file.
fn standard_input() -> io::Result<(Zeroizing<Vec<u8>>, Modes)> {
    let mut octets = Zeroizing::new(Vec::new());
    io::stdin().lock().take(LIMIT as u64 + 1).read_to_end(&mut octets)?;
    match octets.len() > LIMIT {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok((octets, Modes { uid: 0, gid: 0, mode: 0o600 })),
    }
}

/// A path that a file may have named.
fn named(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes(), TEXT_LIMIT)
}

/// A line that its own program would refuse, or that cannot be read as what it should be.
pub fn wrong(path: &Path, line: usize, why: impl Into<String>) -> Failure {
    // Words of the file may stand in it.
    Failure::new(Kind::Data, format!("{}:{line}", named(path)), printable(why.into().as_bytes(), TEXT_LIMIT))
}

/// A word of a file for a sentence: only what looks like a name, for everything else may be a secret.
pub fn shown(word: &str) -> String {
    let is_name = word.len() <= 40 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_name && !word.is_empty() { format!("{word:?}") } else { "what stands there".to_owned() }
}
