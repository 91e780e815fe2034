//! Time, as far as a user has a say in it: clocks that a library or a namespace moves, the times of its own files, and
//! what is left of a limit when the host's clock is set.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailchute::keep::Place;
use testkit::{Mailchute, Port, need};

use super::{BLOG, BLOG_TEXT, Bench, Mode, SHOP, in_both_modes};

/// A library that adds `$SHIFT` seconds to the time, as libfaketime does.
const LIBRARY: &str = r#"
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <stdlib.h>
    #include <sys/syscall.h>
    #include <sys/time.h>
    #include <time.h>
    #include <unistd.h>
    static long shift(void) { const char *text = getenv("SHIFT"); return text ? atol(text) : 0; }
    int clock_gettime(clockid_t id, struct timespec *now) {
        int result = syscall(SYS_clock_gettime, id, now);
        if (result == 0 && id == CLOCK_REALTIME) now->tv_sec += shift();
        return result;
    }
    time_t time(time_t *at) {
        struct timespec now; clock_gettime(CLOCK_REALTIME, &now); if (at) *at = now.tv_sec; return now.tv_sec;
    }
    int gettimeofday(struct timeval *restrict at, void *restrict zone) {
        struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
        at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; return 0;
    }
"#;

const SHIFTS: [&str; 9] = ["-9000000000", "-100000", "-61", "-1", "1", "100000", "200000", "1000000000", "9000000000"];

fn send(bench: &Bench<'_>) -> Mailchute {
    bench.call().args(["-i", "bob@example.net"])
}

#[test]
fn no_clock_of_its_own_gives_the_site_more_than_its_limit() {
    let (Some(gcc), Some(unshare)) = (need("gcc"), need("unshare")) else { return };
    let unshare = unshare.display().to_string();
    in_both_modes("clocks", |bench| {
        let source = bench.host.write_as("/home/shop/clock.c", LIBRARY, 0o644, (SHOP, SHOP));
        let library = Path::new("/home/shop/clock.so");
        let made = Command::new(&gcc).args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).status();
        assert!(made.unwrap().success());
        bench.configure("shop", "limit = \"1/day\"");
        send(bench).run().expect_status(0);
        send(bench).run().expect_status(50);
        let shifted = |shift: &str, call: Mailchute| call.env("LD_PRELOAD", library).env("SHIFT", shift);
        for shift in SHIFTS {
            for words in [
                &["-i", "bob@example.net"][..],
                &["queue", "flush"],
                &["explain", "bob@example.net"],
                &["log"],
                &["queue"],
            ] {
                bench.attempt(&format!("{shift}, {words:?}"), shifted(shift, bench.call().args(words.iter().copied())));
            }
            if bench.mode == Mode::SetGroupId {
                bench.holds(shift, 1);
            }
        }
        // Where nothing forbids it the library does move the time.
        assert_eq!(bench.taken() > 1, bench.mode == Mode::OwnRights);
        let before = bench.taken();
        let binary = bench.binary.display();
        for offset in ["-100000", "100000", "4000000000"] {
            for option in [&["--monotonic", offset, "--boottime", offset][..], &["--monotonic", offset]] {
                for words in ["-i bob@example.net", "queue flush", "explain bob@example.net"] {
                    let flags = [&["-UrT", "--fork"][..], option].concat();
                    let script = format!("exec {binary} {words}");
                    let call = Mailchute::new(&unshare).uid(SHOP).args(flags).args(["sh", "-c", &script]);
                    let run = bench.attempt(&format!("{option:?} {words}"), call.stdin(crate::setup::MESSAGE));
                    if bench.mode == Mode::SetGroupId && words.starts_with("-i") && run.status == 0 {
                        bench.breaks(&format!("{option:?}: {}", run.report()));
                    }
                }
            }
        }
        // Nobody but root sets the host's clock; were it to work, it would be set to what it is.
        for script in ["date -s @$(date +%s)", "unshare -Ur date -s @$(date +%s)", "unshare -UrT date -s @$(date +%s)"]
        {
            let run = bench.attempt(script, Mailchute::new("/bin/sh").uid(SHOP).args(["-c", script]));
            if run.status == 0 {
                bench.breaks(&format!("{script}: the clock is set"));
            }
        }
        if bench.mode == Mode::SetGroupId {
            bench.holds("namespaces", before);
        }
    });
}

/// Moves the times of what was counted by so many seconds, which is what a clock that is set comes to.
fn set_clock(bench: &Bench<'_>, seconds: i64) {
    let owner = if bench.mode == Mode::SetGroupId { "shared".to_owned() } else { SHOP.to_string() };
    let found = fs::read_dir(format!("{}/{owner}", Place::State.parent())).unwrap().map(|entry| entry.unwrap().path());
    let counters: Vec<PathBuf> = found.filter(|path| path.display().to_string().contains("/limit-")).collect();
    assert!(!counters.is_empty());
    for path in counters {
        let file = File::options().read(true).write(true).open(&path).unwrap();
        for place in 0..file.metadata().unwrap().len() / 16 {
            let mut octets = [0; 16];
            file.read_exact_at(&mut octets, place * 16).unwrap();
            let time = u64::from_le_bytes(octets[..8].try_into().unwrap());
            let time = time.saturating_add_signed(-seconds * 1_000_000_000);
            let total = u64::from_le_bytes(octets[8..].try_into().unwrap()) & ((1 << 48) - 1);
            // As the program checks what it reads.
            let mixed = (time ^ total.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let tail = total | ((mixed >> 48) ^ 0x5a1e) << 48;
            file.write_all_at(&[time.to_le_bytes(), tail.to_le_bytes()].concat(), place * 16).unwrap();
        }
    }
}

#[test]
fn no_clock_that_is_set_gives_the_site_more_than_its_limit() {
    in_both_modes("a clock that is set", |bench| {
        bench.configure("shop", "limit = \"2/hour\"");
        for status in [0, 0, 50] {
            send(bench).run().expect_status(status);
        }
        // Back, once and again: what was counted is in the future then, and counts as now.
        for seconds in [-1, -59, -3599, -3601, -86_400, -1_000_000_000, -1_900_000_000] {
            set_clock(bench, seconds);
            for _ in 0..3 {
                bench.attempt(&format!("set by {seconds}"), send(bench));
                bench.holds(&format!("set by {seconds}"), 2);
            }
        }
        // On, by less than the span and then by more: as much again, and no more.
        set_clock(bench, 3000);
        bench.attempt("on", send(bench));
        bench.holds("on", 2);
        set_clock(bench, 3601);
        for _ in 0..4 {
            bench.attempt("on", send(bench));
        }
        bench.holds("on by the span", 4);
        if bench.taken() != 4 {
            bench.breaks(&format!("{} were sent, not 4", bench.taken()));
        }
    });
}

#[test]
fn no_time_of_its_files_harms_what_others_have() {
    in_both_modes("times of files", |bench| {
        // Two messages of the site's wait.
        let nobody = Port::reserve();
        let file = "/etc/mailchute/sites.d/shop.toml";
        let port = bench.server.as_ref().unwrap().port().to_string();
        let text = fs::read_to_string(file).unwrap().replace(&port, &nobody.number().to_string());
        fs::write(file, text).unwrap();
        bench.accept();
        for _ in 0..2 {
            send(bench).run().expect_status(0);
        }
        let own: Vec<String> = Place::ALL.iter().map(|place| format!("{}/{SHOP}", place.parent())).collect();
        let times = [
            "@0",
            "@-1",
            "@-2147483649",
            "@-9223372036854775807",
            "@1",
            "@4294967296",
            "@15032385535",
            "@253402300800",
            "@9223372036854775807",
            "now + 1 year",
            "now - 1 year",
        ];
        for time in times {
            let script =
                format!("find {} /var/log/mailchute/{SHOP}.log -exec touch -d '{time}' {{}} + ", own.join(" "));
            bench.attempt(&script, Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &script]));
            for words in [
                &["queue", "list"][..],
                &["queue", "list", "--json"],
                &["queue", "flush"],
                &["log"],
                &["-i", "bob@example.net"],
            ] {
                bench.attempt(&format!("{time}: {words:?}"), bench.call().args(words.iter().copied()));
            }
            bench.attempt(&script, Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &script]));
            for words in [
                &["queue", "list"][..],
                &["queue", "list", "--json", "--summary"],
                &["log", "--since", "1h"],
                &["log", "--summary"],
                &["report"],
                &["init", "--users"],
                &["bans"],
            ] {
                let run = Mailchute::new(&bench.binary).args(words.iter().copied()).run();
                bench.judge(&format!("{time}: root's {words:?}"), &run.stderr.replace(BLOG_TEXT, ""));
                if ![0, 1].contains(&run.status) {
                    bench.breaks(&format!("{time}: root's {words:?}: {}", run.report()));
                }
            }
            // Everybody's turn comes: the neighbour's is tried, and waits on.
            let run = Mailchute::new(&bench.binary).args(["queue", "flush", "--all", "--quiet"]).run();
            if ![0, 69, 75].contains(&run.status) {
                bench.breaks(&format!("{time}: root's flush: {}", run.report()));
            }
            if !fs::read_to_string(bench.waiting()).is_ok_and(|text| text.contains(BLOG_TEXT)) {
                bench.breaks(&format!("{time}: the message of {BLOG} is gone"));
            }
            bench.accept();
        }
    });
}
