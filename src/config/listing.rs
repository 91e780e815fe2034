//! What there is in `sites.d` for one caller: its own directory where it has one, else what lies there for everybody.
//!
//! Who a file is for, only the file itself says, so on a host of hundreds of sites every process opens hundreds of
//! files. A directory called after a user says it without being opened: `sites.d/USER/*.toml` are that user's sites,
//! all of them, and nobody else looks there but root.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Skipped;
use super::accounts::Accounts;
use super::site::NOBODY;
use crate::caller::Caller;
use crate::host;
use crate::modes;

/// What the directory of the sites' own files is called.
pub(super) const DIRECTORY: &str = "sites.d";

/// What `sites.d` holds, in the order in which it counts.
#[derive(Default)]
pub(super) struct Listing {
    /// Its files, and the uid that all in it is bound to, for one in a user's directory.
    pub(super) files: Vec<(PathBuf, Option<u32>)>,
    /// The directories that are left out, and why.
    pub(super) left_out: Vec<Skipped>,
    /// Whether there is such a directory.
    pub(super) is_there: bool,
}

impl Listing {
    /// What lies beside the main file `main` for the caller.
    ///
    /// # Errors
    /// The directory cannot be listed. One that is missing is empty.
    pub(super) fn beside(main: &Path, accounts: &Accounts<'_>) -> io::Result<Self> {
        let directory = beside(main);
        let entries = match fs::read_dir(&directory) {
            Err(error) if is_missing(&error) => return Ok(Self::default()),
            entries => entries?,
        };
        let mut listing = Self { is_there: true, ..Self::default() };
        let caller = accounts.caller;
        let own = own_name(caller);
        if caller.uid != 0
            && let Some(own) = &own
        {
            listing.add(directory.join(own), caller.uid, caller);
            if !listing.files.is_empty() || !listing.left_out.is_empty() {
                return Ok(listing);
            }
        }
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match name.to_str() {
                _ if is_hidden(&entry) => {}
                Some(user) if is_directory && caller.uid == 0 => {
                    let uid = accounts.uid(user).or_else(|| user.parse().ok()).unwrap_or(NOBODY);
                    listing.add(entry.path(), uid, caller);
                }
                Some(user) if is_directory && own.as_deref() != Some(user) => listing.left_out.push(Skipped {
                    file: entry.path(),
                    why: format!("is for the user {user}"),
                    hint: Some("a user's directory is called what `id -un` prints for that user".to_owned()),
                    is_mistake: false,
                }),
                _ if is_site(&entry) => listing.files.push((entry.path(), None)),
                _ => {}
            }
        }
        listing.sort();
        Ok(listing)
    }

    fn sort(&mut self) {
        // As octets: to compare paths by their parts costs more than to read the files.
        self.files.sort_unstable_by(|(one, _), (other, _)| one.as_os_str().cmp(other.as_os_str()));
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.left_out.is_empty()
    }

    /// Adds the files in `directory`, that of the user `uid`, if there is one.
    fn add(&mut self, directory: PathBuf, uid: u32, caller: &Caller) {
        let listed = match trusted(&directory, caller) {
            Ok(true) => fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>),
            Ok(false) => {
                let hint = format!("sudo chown root {0} && sudo chmod go-w {0}", directory.display());
                let why = "others than root can write to it".to_owned();
                return self.left_out.push(Skipped { file: directory, why, hint: Some(hint), is_mistake: true });
            }
            Err(error) => Err(error),
        };
        match listed {
            Ok(entries) => {
                let sites = entries.into_iter().filter(|entry| !is_hidden(entry) && is_site(entry));
                self.files.extend(sites.map(|entry| (entry.path(), Some(uid))));
                self.sort();
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => {
                let why = modes::unreadable(&directory, &error).why;
                let hint = Some(format!("sudo chmod a+rx {}", directory.display()));
                self.left_out.push(Skipped { file: directory, why, hint, is_mistake: true });
            }
        }
    }
}

/// What the caller's own directory is called.
fn own_name(caller: &Caller) -> Option<String> {
    let name = caller.user.clone().unwrap_or_else(|| caller.uid.to_string());
    (!name.is_empty() && !name.starts_with('.') && !name.contains('/')).then_some(name)
}

/// Whether nobody but those who may write the configuration can lay a file in `directory`: with the rights of a
/// set-group-id binary, a link there could make another's site the caller's.
fn trusted(directory: &Path, caller: &Caller) -> io::Result<bool> {
    let found = directory.metadata()?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let is_own = found.uid() == caller.uid && !host::is_privileged();
    Ok((found.uid() == 0 || is_own) && found.mode() & 0o022 == 0)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_site(entry: &DirEntry) -> bool {
    Path::new(&entry.file_name()).extension().is_some_and(|extension| extension == "toml")
}

/// Whether there is nothing by this name.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The `sites.d` of a main file.
pub(super) fn beside(main: &Path) -> PathBuf {
    main.with_file_name(DIRECTORY)
}

/// The files of `directory`, which is `sites.d`, that no configuration is read from, because they are called otherwise
/// than `NAME.toml`.
pub(super) fn unread(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let is_left =
        |entry: &DirEntry| !is_hidden(entry) && !is_site(entry) && entry.file_type().is_ok_and(|kind| !kind.is_dir());
    let mut files: Vec<PathBuf> = entries.filter(is_left).map(|entry| entry.path()).collect();
    files.sort_unstable();
    files
}
