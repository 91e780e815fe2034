//! The record files of this host: what `mailchute log` reads.
//!
//! Below one directory that the installation makes there is a file for each user, `UID.log`, or in set-group-id mode one
//! for all, `shared/mailchute.log`. A file that has grown becomes `UID.log.1`, and what was that `UID.log.2`. They are numbered
//! because nobody but root can list the directory, and a time in the name would have to be guessed. Every process opens
//! the file by its name, so none has to be told of that.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::FlockArg;

use super::file::{self, Rights, Took};
use crate::keep::{Keep, Locked, Place, Watch, has_room, shared_below};

/// Where they are.
pub(super) const DIRECTORY: &str = Place::Log.parent();

/// The one that all sites write to, in the directory in it that no site enters but by a set-group-id binary.
pub(super) const SHARED: &str = "mailchute.log";

/// What a file may have, in octets, before it gets a number.
const MOST: u64 = 64 << 20;

/// How many numbers there are. Behind them a file grows on.
pub(super) const NUMBERS: u32 = 999;

/// How many names a user's file may have: another may have taken the first.
pub(super) const NAMES: u32 = 16;

/// The part of the time that records are kept for after which a file gets a number even if it has not grown, so that
/// nothing is kept for much longer.
const PARTS: u32 = 10;

/// Appends `line`, the record of a run by `uid`, where this host has the directory for it.
///
/// # Errors
/// There is no such directory; it cannot be written.
pub(super) fn append(uid: u32, line: &str, keep: Duration) -> io::Result<()> {
    match Keep::shared(Place::Log) {
        Some(shared) => put(&shared.file(SHARED), Rights::Shared(&shared), line, keep),
        None => append_below(Path::new(DIRECTORY), uid, line, keep),
    }
}

fn append_below(directory: &Path, uid: u32, line: &str, keep: Duration) -> io::Result<()> {
    let mut failed = io::ErrorKind::NotFound.into();
    for path in names(directory, uid) {
        match put(&path, Rights::User(uid), line, keep) {
            Err(error) if is_of_another(&error, &path) => failed = error,
            done => return done,
        }
    }
    Err(failed)
}

/// The files that may be the user's, in the order in which they are tried.
pub(super) fn names(directory: &Path, uid: u32) -> impl Iterator<Item = PathBuf> {
    let first = directory.join(format!("{uid}.log"));
    std::iter::once(first).chain((1..NAMES).map(move |number| directory.join(format!("{uid}.{number}.log"))))
}

/// Whether somebody else, or something else, has the name: then the next one is tried.
fn is_of_another(error: &io::Error, path: &Path) -> bool {
    match error.raw_os_error().map(Errno::from_raw) {
        // Nor may it be looked at where the directory cannot be entered.
        Some(Errno::EACCES | Errno::EPERM) => path.symlink_metadata().is_ok(),
        Some(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO | Errno::ETXTBSY) => true,
        Some(_) => false,
        None => error.kind() == io::ErrorKind::Other,
    }
}

/// Appends `line` to the file at `path`, which gets a number first where it has grown or is old.
fn put(path: &Path, rights: Rights<'_>, line: &str, keep: Duration) -> io::Result<()> {
    let (mut file, mut found) = file::open(path, rights)?;
    if is_full(&found, line, keep) && number(path, &file, rights, keep) {
        (file, found) = file::open(path, rights)?;
    }
    // Whoever lets its process write no more would tear the line of a file that is not its own.
    if matches!(rights, Rights::Shared(_)) && !has_room(found.len() + line.len() as u64 + 1) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let is_anothers = matches!(rights, Rights::Shared(_)) && found.uid() != nix::unistd::geteuid().as_raw();
    let mut took = file::append(&file, line);
    // What all share counts against the disk quota of whoever made it; a file that this process makes, against its own.
    if is_anothers && found.len() > 0 && !matches!(took, Ok(Took::All)) && number(path, &file, rights, keep) {
        (file, found) = file::open(path, rights)?;
        took = file::append(&file, line);
    }
    match took? {
        Took::All => Ok(()),
        Took::Torn => {
            // The torn line is the last one of its file.
            if found.len() > 0 {
                number(path, &file, rights, keep);
            }
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

fn is_full(found: &Metadata, line: &str, keep: Duration) -> bool {
    let is_old = || found.created().is_ok_and(|made| made.elapsed().is_ok_and(|age| age > keep / PARTS));
    let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
    found.len() > 0 && (found.len().saturating_add(length) > MOST || is_old())
}

/// Gives the file at `path`, which is open as `file`, a number, and removes what is older than `keep`. False: it has
/// its name still. Nothing is waited for: whoever comes while another does it writes where it is.
fn number(path: &Path, file: &File, rights: Rights<'_>, keep: Duration) -> bool {
    // A caller that stops its own process here would keep the file of all from ever getting a number.
    let watch = matches!(rights, Rights::Shared(_)).then(Watch::begin).transpose();
    let Ok(_watch) = watch else { return false };
    let Ok(lock) = file.try_clone().map(|file| Locked::take(file, FlockArg::LockExclusiveNonblock)) else {
        return false;
    };
    let (Ok(lock), Ok(found)) = (lock, path.symlink_metadata()) else { return false };
    // Another has done it by now.
    if lock.metadata().is_ok_and(|ours| ours.ino() != found.ino()) {
        return true;
    }
    expire_numbered(path, rights, keep);
    let mut names = vec![path.to_owned()];
    for name in numbered(path) {
        match name.symlink_metadata() {
            Ok(found) if rights.hold_for(&found) => names.push(name),
            // Another's: the number is passed over.
            Ok(_) => {}
            Err(_) => {
                names.push(name);
                break;
            }
        }
    }
    let has_room = names.last().is_some_and(|last| last != path && last.symlink_metadata().is_err());
    has_room && names.windows(2).rev().all(|pair| fs::rename(&pair[0], &pair[1]).is_ok())
}

/// The names that the file at `path` gets, the newest first.
pub(super) fn numbered(path: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=NUMBERS).map(move |number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    })
}

fn expire_numbered(path: &Path, rights: Rights<'_>, keep: Duration) {
    for name in numbered(path) {
        match name.symlink_metadata() {
            Ok(found) if rights.hold_for(&found) && is_expired(&found, keep) => drop(fs::remove_file(name)),
            Ok(_) => {}
            Err(_) => break,
        }
    }
}

/// Whether the last record in it is too old.
fn is_expired(found: &Metadata, keep: Duration) -> bool {
    let written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    found.is_file() && written.elapsed().is_ok_and(|age| age > keep)
}

/// Removes the record files whose last record is older than `keep`: those of `uid`, for root everybody's. Only names
/// are looked at.
pub fn expire(uid: u32, keep: Duration) {
    let directory = Path::new(DIRECTORY);
    if uid == 0 {
        expire_below(directory, keep);
        if let Some((shared, _)) = shared_below(directory) {
            expire_below(&shared, keep);
        }
        return;
    }
    let shared = Keep::shared(Place::Log);
    let (names, rights): (Vec<PathBuf>, Rights<'_>) = match &shared {
        Some(shared) => (vec![shared.file(SHARED)], Rights::Shared(shared)),
        None => (names(directory, uid).take_while(|name| name.symlink_metadata().is_ok()).collect(), Rights::User(uid)),
    };
    for name in names {
        expire_numbered(&name, rights, keep);
        if name.symlink_metadata().is_ok_and(|found| rights.hold_for(&found) && is_expired(&found, keep)) {
            let _ = fs::remove_file(name);
        }
    }
}

fn expire_below(directory: &Path, keep: Duration) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_ours = entry.file_name().to_str().is_some_and(|name| owner(name).is_some());
        // In a sticky directory nobody puts another's file in the place of this one meanwhile.
        if is_ours && entry.metadata().is_ok_and(|found| is_expired(&found, keep)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The uid that the name of a record file tells; `None` in the second place: it is the one for all.
pub(super) fn owner(name: &str) -> Option<Option<u32>> {
    let base = match name.rsplit_once('.') {
        Some((base, number)) if is_number(number) => base,
        _ => name,
    };
    if base == SHARED {
        return Some(None);
    }
    let stem = base.strip_suffix(".log")?;
    let uid = match stem.split_once('.') {
        Some((uid, number)) if is_number(number) => uid,
        Some(_) => return None,
        None => stem,
    };
    uid.parse().ok().filter(|_| is_number(uid)).map(Some)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KEEP: Duration = Duration::from_secs(3600);

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_file_that_has_grown_gets_a_number_and_no_record_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let uid = me();
        let path = dir.path().join(format!("{uid}.log"));
        let at = |number: u32| dir.path().join(format!("{uid}.log.{number}"));
        for round in ["a", "b", "c"] {
            append_below(dir.path(), uid, round, KEEP).unwrap();
            File::options().append(true).open(&path).unwrap().set_len(MOST).unwrap();
        }
        append_below(dir.path(), uid, "d", KEEP).unwrap();
        assert_eq!(lines(&path), ["d"]);
        for (number, first) in [(1, "c"), (2, "b"), (3, "a")] {
            assert_eq!(fs::read(at(number)).unwrap()[0], first.as_bytes()[0]);
            assert_eq!(at(number).metadata().unwrap().mode() & 0o777, 0o640);
        }
        // What another has laid at a number stays there, and is passed over.
        fs::remove_file(at(1)).unwrap();
        symlink("/nowhere", at(1)).unwrap();
        File::options().append(true).open(&path).unwrap().set_len(MOST).unwrap();
        append_below(dir.path(), uid, "e", KEEP).unwrap();
        assert_eq!(fs::read(at(2)).unwrap()[0], b'd');
        assert!(at(1).symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read(at(4)).unwrap()[0], b'a');
        // The oldest goes when its last record is too old.
        File::options().append(true).open(at(4)).unwrap().set_modified(SystemTime::now() - KEEP * 2).unwrap();
        File::options().append(true).open(&path).unwrap().set_len(MOST).unwrap();
        append_below(dir.path(), uid, "f", KEEP).unwrap();
        assert_eq!(fs::read(at(4)).unwrap()[0], b'b', "and the others move up");
        assert!(!at(5).exists());
    }

    #[test]
    fn whoever_took_a_name_first_gets_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let uid = me();
        let file = |name: &str| dir.path().join(name);
        symlink(file("elsewhere"), file(&format!("{uid}.log"))).unwrap();
        fs::write(file(&format!("{uid}.1.log")), "").unwrap();
        fs::hard_link(file(&format!("{uid}.1.log")), file("another")).unwrap();
        fs::create_dir(file(&format!("{uid}.2.log"))).unwrap();
        nix::unistd::mkfifo(&file(&format!("{uid}.3.log")), nix::sys::stat::Mode::S_IRWXU).unwrap();
        append_below(dir.path(), uid, "a", KEEP).unwrap();
        assert_eq!(lines(&file(&format!("{uid}.4.log"))), ["a"]);
        assert!(!file("elsewhere").exists());
        assert_eq!(lines(&file("another")), [""; 0]);
        let missing = append_below(&file("missing"), uid, "a", KEEP).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn names_tell_whose_a_file_is() {
        for (name, expected) in [
            ("1042.log", Some(Some(1042))),
            ("1042.log.17", Some(Some(1042))),
            ("1042.3.log.17", Some(Some(1042))),
            ("mailchute.log", Some(None)),
            ("mailchute.log.2", Some(None)),
            ("1042.x.log", None),
            ("1042.log.gz", None),
            ("1042", None),
            (".log", None),
            ("+7.log", None),
            ("99999999999.log", None),
            ("mailchute.log.1.gz", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_old_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - KEEP * 2;
        for (name, is_old) in [("1.log", true), ("1.log.1", true), ("2.log", false), ("notes.txt", true)] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(if is_old { old } else { SystemTime::now() }).unwrap();
        }
        expire_below(dir.path(), KEEP);
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["2.log", "notes.txt"]);
    }
}
