//! Limits of every kind, and the end of the process at every system call: whoever comes next finds everything whole.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::{Mailchute, need, need_strace};

use super::{Bench, Mode, SHOP, in_both_modes, in_mode};
use crate::setup::MESSAGE;

#[test]
fn no_limit_of_its_own_harms_what_others_share() {
    if need("prlimit").is_none() {
        return;
    }
    in_both_modes("limits of a process", |bench| {
        for limit in [
            "as",
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
            "rss",
            "rtprio",
            "rttime",
            "sigpending",
            "stack",
        ] {
            for value in [0_u64, 1, 3, 7, 10, 64, 256, 1024, 4096, 65_536, 1 << 20, 16 << 20] {
                for words in [&["-i", "bob@example.net"][..], &["queue", "flush"], &["explain", "bob@example.net"]] {
                    let option = format!("--{limit}={value}:{value}");
                    let call = bench.call().under("prlimit", &[&option]).args(words.iter().copied());
                    bench.attempt(&format!("{option} {words:?}"), call);
                }
            }
            shared_is_whole(bench);
        }
    });
}

/// What all share can be read, and is nobody's alone.
pub(super) fn shared_is_whole(bench: &Bench<'_>) {
    for place in mailchute::keep::Place::ALL {
        let shared = format!("{}/shared", place.parent());
        let Ok(found) = fs::read_dir(&shared) else { continue };
        for path in found.map(|entry| entry.unwrap().path()) {
            let of = path.symlink_metadata().unwrap();
            let mode = of.mode() & 0o777;
            if of.is_file() && mode & 0o660 != 0o660 && !path.file_name().unwrap().to_string_lossy().starts_with(".tmp")
            {
                bench.breaks(&format!("{} has mode {mode:o}, so that others are kept out", path.display()));
            }
        }
    }
}

#[test]
fn no_end_of_its_process_harms_what_others_share() {
    if !need_strace() {
        return;
    }
    in_mode(Mode::SetGroupId, "ends at every system call", &|bench: &Bench<'_>| {
        // strace of root's gives the program the group that it would have.
        let traced = |words: &[&str]| {
            let all = [&["-u", "shop", "-qq"][..], words].concat();
            Mailchute::new(&bench.binary).stdin(MESSAGE).args(["-i", "bob@example.net"]).under("strace", &all)
        };
        let trace = bench.host.scratch().join("trace");
        traced(&["-o", trace.to_str().unwrap()]).run().expect_status(0);
        let mut seen = HashMap::<String, u32>::new();
        let text = fs::read_to_string(&trace).unwrap();
        for line in text.lines().skip(1) {
            let Some((call, _)) =
                line.split_once('(').filter(|(call, _)| call.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
            else {
                continue;
            };
            let number = seen.entry(call.to_owned()).or_insert(0);
            *number += 1;
            for what in ["signal=KILL", "signal=TERM", "error=ENOSPC", "error=EMFILE"] {
                if what.starts_with("error")
                    && ["execve", "mmap", "brk", "exit_group", "munmap", "mprotect"].contains(&call)
                {
                    continue;
                }
                let inject = format!("inject={call}:{what}:when={number}");
                bench.attempt(&inject, traced(&["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]));
            }
        }
        assert!(bench.tried.get() > 100, "{text}");
        shared_is_whole(bench);
        bench.call().uid(SHOP).args(["-i", "bob@example.net"]).run().expect_status(0);
    });
}
