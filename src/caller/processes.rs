//! The processes above this one, as procfs has them. The names and the words in here are what those processes call
//! themselves.

use std::fs::File;
use std::io::Read as _;

use crate::reply::printable;

/// How much of a file of procfs is read, in octets. A page is what the system gives at once.
const PIECE: usize = 4096;

/// The longest command name that is shown, in octets; the system keeps 15.
const NAME: usize = 64;

/// How many processes are looked at.
const DEEPEST: usize = 8;

/// One process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// Its command name.
    pub(super) name: String,
    /// The process above it.
    parent: i32,
}

impl Process {
    /// The process of this number; `None` where procfs does not tell.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = read(&format!("/proc/{pid}/stat"))?;
        let (name, parent) = stat_fields(&stat)?;
        Some(Self { pid, name: printable(name, NAME), parent })
    }

    /// Its command line, an argument an item.
    pub(super) fn words(&self) -> Vec<Vec<u8>> {
        let line = read(&format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|octet| *octet == 0).map(<[u8]>::to_vec).collect()
    }
}

/// Shells that `popen` and `system` put between a program and us.
const SHELLS: [&str; 4] = ["sh", "dash", "bash", "busybox"];

impl Process {
    pub(super) fn is_shell(&self) -> bool {
        SHELLS.contains(&self.name.as_str())
    }
}

/// The processes above this one, nearest first, until `is_enough` of them, [`DEEPEST`] at most; the first of all
/// processes only where `to_the_first`, or where it runs us itself.
pub(super) fn above(to_the_first: bool, is_enough: impl Fn(&[Process]) -> bool) -> Vec<Process> {
    let mut chain: Vec<Process> = Vec::with_capacity(DEEPEST);
    let mut pid = nix::unistd::getppid().as_raw();
    while chain.len() < DEEPEST && (pid > 1 || (pid == 1 && (to_the_first || chain.is_empty()))) && !is_enough(&chain) {
        let Some(process) = Process::of(pid) else { break };
        pid = process.parent;
        chain.push(process);
    }
    chain
}

/// Name and parent in `pid (name) state ppid ...`: the name may hold blanks and parentheses, what follows it may not.
fn stat_fields(stat: &[u8]) -> Option<(&[u8], i32)> {
    let end = stat.iter().rposition(|octet| *octet == b')')?;
    let begin = stat.iter().position(|octet| *octet == b'(')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    Some((stat.get(begin + 1..end)?, rest.split_ascii_whitespace().nth(1)?.parse().ok()?))
}

/// What one read gives of a file of procfs: enough of each that is read here, and a third of what reading to the end
/// costs.
pub(super) fn read(path: &str) -> Option<Vec<u8>> {
    let mut octets = vec![0; PIECE];
    let count = File::open(path).ok()?.read(&mut octets).ok()?;
    octets.truncate(count);
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Process {
        /// One that is not there.
        pub(in crate::caller) fn called(name: &str) -> Self {
            Self { pid: 0, name: name.to_owned(), parent: 0 }
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        for (stat, name, parent) in [
            ("7 (php-fpm8.2) S 3 7 7 0 -1", "php-fpm8.2", 3),
            ("7 (a) S 1 (b) R 9 7", "a) S 1 (b", 9),
            ("7 (\n) ) S 2 7", "\n) ", 2),
            ("7 () S 2 7", "", 2),
        ] {
            assert_eq!(stat_fields(stat.as_bytes()), Some((name.as_bytes(), parent)), "{stat}");
        }
        assert_eq!(stat_fields(b"7 (\xff\xfe) S 2 7"), Some((&b"\xff\xfe"[..], 2)));
        for stat in ["", "7", "7 (a", "7 a)", "7 )a(", "7 (a) S", "7 (a) S x"] {
            assert_eq!(stat_fields(stat.as_bytes()), None, "{stat}");
        }
    }

    #[test]
    fn the_processes_above_this_one() {
        let chain = above(true, |_| false);
        assert_eq!(chain[0].pid, nix::unistd::getppid().as_raw());
        assert!(chain.windows(2).all(|pair| pair[0].parent == pair[1].pid), "{chain:?}");
        assert!(!chain[0].words()[0].is_empty());
    }
}
