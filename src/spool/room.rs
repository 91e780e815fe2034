//! Whether a folder has room for another message, without a look at all that waits.
//!
//! A file beside the folder says how much was found there when it was counted, and what was let in since. What leaves is
//! not taken off, so it may say too much; where it would refuse a message, and once a minute, everything is counted
//! again, whatever became of the file. Counting misses what others have been let in for and not yet written, and
//! nothing tells the file of what comes another way (a bounce, a person who releases or holds), so a spool may exceed
//! `spool_max` by what is being written at that moment, and by what came so within a minute.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::FlockArg;

use super::store::{Folder, Spool};
use crate::config::site::SpoolMax;
use crate::failure::{Failure, Kind};
use crate::keep::Locked;

/// How long a count is believed, in seconds.
const FRESH: u64 = 60;
/// What an entry has beside its message, in octets: most have less, and what is wrong is found out within a minute.
const BESIDE: u64 = 1024;
/// How often the lock is tried, and how long it is waited between. Whoever has it keeps it for a few system calls, or
/// counts.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);
/// Octets of a count.
const LENGTH: usize = 32;
/// What no file of zeros has.
const SEAL: u64 = 0x6d61_696c_6368_7574;

/// How much is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    /// When it was counted, in seconds since 1970.
    at: u64,
    messages: u64,
    octets: u64,
}

impl Count {
    /// What is there.
    fn now(spool: &Spool, folder: Folder) -> Result<Self, Failure> {
        let (messages, octets) = spool.measure(folder)?;
        Ok(Self { at: unix(), messages, octets })
    }

    /// What is written down; `None`: nothing that makes sense, or too long ago.
    fn read(file: &File) -> Option<Self> {
        let mut octets = [0; LENGTH];
        file.read_exact_at(&mut octets, 0).ok()?;
        let mut words = octets.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        let (count, seal) = (Self { at: words.next()?, messages: words.next()?, octets: words.next()? }, words.next()?);
        let is_fresh = unix().checked_sub(count.at).is_some_and(|age| age < FRESH);
        (count.seal() == seal && is_fresh).then_some(count)
    }

    /// Writes it down. What cannot be written is counted again by the next one.
    fn write(self, file: &File) {
        let words = [self.at, self.messages, self.octets, self.seal()].map(u64::to_le_bytes);
        let _ = file.write_all_at(words.as_flattened(), 0);
    }

    fn seal(self) -> u64 {
        SEAL ^ self.at ^ self.messages.rotate_left(16) ^ self.octets.rotate_left(32)
    }

    /// The same with one more message of `size` octets, where that is not more than `max`.
    fn with(self, size: u64, max: SpoolMax) -> Option<Self> {
        let (messages, octets) = (self.messages + 1, self.octets.saturating_add(size));
        (messages <= max.messages && octets <= max.octets).then_some(Self { messages, octets, ..self })
    }
}

/// Lets a message of `size` octets into `folder`, where that then holds no more than `max`.
///
/// # Errors
/// `CannotCreate`: there is no room. `Io` or `NoPermission`: the folder cannot be read.
pub(super) fn admit(spool: &Spool, folder: Folder, max: SpoolMax, size: u64) -> Result<(), Failure> {
    let file = open(spool, folder);
    let size_on_disk = size.saturating_add(BESIDE);
    let known = file.as_deref().and_then(Count::read).and_then(|count| count.with(size_on_disk, max));
    let (count, is_full) = match known {
        Some(count) => (count, false),
        None => {
            let counted = Count::now(spool, folder)?;
            // The last one that fits is let in, whatever is reckoned for its head.
            match counted.with(size_on_disk, max).or_else(|| counted.with(size, max)) {
                Some(count) => (count, false),
                None => (counted, true),
            }
        }
    };
    if let Some(file) = file {
        count.write(&file);
    }
    if !is_full {
        return Ok(());
    }
    let what = spool.directory().join(folder.name()).display().to_string();
    let Count { messages, octets, .. } = count;
    let why = format!("holds {messages} messages of {octets} octets already, as many as spool_max allows");
    Err(Failure::new(Kind::CannotCreate, what, why)
        .hint("mailchute queue tells what waits and why; or raise spool_max"))
}

/// The file with the count of `folder`, locked; `None`: it cannot be had, or others have held the lock too long.
fn open(spool: &Spool, folder: Folder) -> Option<Locked> {
    let (keep, name) = (spool.keep(), format!("{}.count", folder.name()));
    for _ in 0..TRIES {
        let file = keep.change_or_make(&name).ok()?;
        if !keep.has_made(&file.metadata().ok()?) {
            return None;
        }
        match Locked::take(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => return Some(file),
            Err(Errno::EWOULDBLOCK | Errno::EINTR) => thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
    None
}

/// Seconds since 1970.
fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MAX: SpoolMax = SpoolMax { messages: 3, octets: 1 << 20 };

    fn spool(directory: &Path) -> Spool {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(directory.join("queue")).unwrap();
        Spool::at(directory.to_owned(), nix::unistd::geteuid().as_raw())
    }

    fn put(spool: &Spool, name: &str, size: usize) {
        fs::write(spool.directory().join("queue").join(name), vec![0; size]).unwrap();
    }

    /// Whether a message of `size` is let in; it is written then.
    fn enters(spool: &Spool, name: &str, size: usize, max: SpoolMax) -> bool {
        let is_in = admit(spool, Folder::Queue, max, size as u64).is_ok();
        if is_in {
            put(spool, name, size);
        }
        is_in
    }

    #[test]
    fn as_many_as_spool_max_says_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        for (name, is_in) in [("a", true), ("b", true), ("c", true), ("d", false), ("e", false)] {
            assert_eq!(enters(&spool, name, 10, MAX), is_in, "{name}");
        }
        // Room that was made is there at once, by whatever means.
        fs::remove_file(dir.path().join("queue/b")).unwrap();
        assert!(enters(&spool, "f", 10, MAX));
        assert!(!enters(&spool, "g", 10, MAX));
        // What waits for a person is counted by itself.
        assert!(admit(&spool, Folder::Held, MAX, 10).is_ok());
        let refused = admit(&spool, Folder::Queue, MAX, 10).unwrap_err();
        assert_eq!(refused.kind, Kind::CannotCreate);
        assert_eq!(refused.why, "holds 3 messages of 30 octets already, as many as spool_max allows");
    }

    #[test]
    fn octets_count_and_the_last_one_fits_to_the_octet() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let max = SpoolMax { messages: 100, octets: 10_000 };
        assert!(enters(&spool, "a", 4000, max));
        assert!(!enters(&spool, "b", 6001, max));
        assert!(enters(&spool, "b", 6000, max));
        assert!(!enters(&spool, "c", 1, max));
        assert!(!enters(&spool, "c", usize::MAX, max));
    }

    #[test]
    fn nobody_looks_at_all_that_waits_for_each_message() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        assert!(enters(&spool, "a", 10, MAX));
        // A folder that cannot even be read is not looked at.
        fs::remove_dir_all(dir.path().join("queue")).unwrap();
        fs::write(dir.path().join("queue"), "").unwrap();
        assert!(admit(&spool, Folder::Queue, MAX, 10).is_ok());
        assert!(admit(&spool, Folder::Queue, MAX, 10).is_ok());
        // Where it would refuse one, it is.
        assert_eq!(admit(&spool, Folder::Queue, MAX, 10).unwrap_err().kind, Kind::Io);
    }

    #[test]
    fn a_count_that_is_old_torn_or_of_another_time_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        for name in ["a", "b", "c"] {
            put(&spool, name, 10);
        }
        let path = dir.path().join("queue.count");
        let nothing = |at| Count { at, messages: 0, octets: 0 };
        let written = |count: Count| count.write(&File::create(&path).unwrap());
        written(nothing(unix()));
        assert!(admit(&spool, Folder::Queue, MAX, 10).is_ok(), "and this one is believed");
        let spoilt: [(&str, &dyn Fn()); 6] = [
            ("a minute old", &|| written(nothing(unix() - FRESH))),
            ("of tomorrow", &|| written(nothing(unix() + 86_400))),
            ("empty", &|| fs::write(&path, "").unwrap()),
            ("zeros", &|| fs::write(&path, [0; LENGTH]).unwrap()),
            ("torn", &|| {
                written(nothing(unix()));
                File::options().write(true).open(&path).unwrap().write_all_at(&[1], 9).unwrap();
            }),
            ("a link", &|| {
                fs::remove_file(&path).unwrap();
                std::os::unix::fs::symlink("/nowhere", &path).unwrap();
            }),
        ];
        for (what, spoil) in spoilt {
            spoil();
            assert!(admit(&spool, Folder::Queue, MAX, 10).is_err(), "{what}");
        }
    }

    #[test]
    fn whoever_comes_at_once_is_counted_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let (max, admitted) = (SpoolMax { messages: 40, octets: 1 << 30 }, AtomicUsize::new(0));
        assert!(admit(&spool, Folder::Queue, max, 10).is_ok());
        put(&spool, "first", 10);
        thread::scope(|scope| {
            for thread in 0..8 {
                let (spool, admitted) = (&spool, &admitted);
                scope.spawn(move || {
                    for number in 0..10 {
                        // Written first, so that whoever counts sees it.
                        let name = format!("{thread}-{number}");
                        if admit(spool, Folder::Queue, max, 10).is_ok() {
                            put(spool, &name, 10);
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let admitted = admitted.into_inner();
        // Whoever counts misses what the seven others are writing.
        assert!((39..=39 + 7).contains(&admitted), "{admitted}");
    }
}
