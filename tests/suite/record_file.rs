//! The record files below `/var/log/mailchute`: whose they are, that none holds half a record, and when they go.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{Host, Mailchute, Moment, Server, need_strace, points};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const OTHER: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("other", OTHER), ("mailchute", GROUP)];
const PLACE: &str = "/var/log/mailchute";
const CONFIG: &str = "/etc/mailchute/config.toml";
/// What a record file may have before it gets a number.
const MOST: u64 = 64 << 20;

/// The directory that the installation makes.
fn make_place() {
    fs::create_dir_all(PLACE).unwrap();
    fs::set_permissions(PLACE, Permissions::from_mode(0o1733)).unwrap();
}

fn configure(host: &Host<'_>, server: &Server, more: &str) {
    host.write(CONFIG, &format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n{more}", server.port()), 0o644);
}

fn call() -> Mailchute {
    mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

/// One that reaches no relay, so that two hundred of it are soon done.
fn discard() -> Mailchute {
    call().env("MAILER_DSN", "null://null")
}

fn file(name: &str) -> PathBuf {
    Path::new(PLACE).join(name)
}

/// The records in a file of [`PLACE`]; every line has to be one.
fn records(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(file(name)).unwrap_or_default();
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
    text.lines().filter(|line| !line.starts_with('\0')).map(read).collect()
}

#[test]
fn every_outcome_is_in_its_users_file_and_the_journal_finds_it_by_field() {
    Host::run(&USERS, |host| {
        make_place();
        let journal = host.datagrams("/run/systemd/journal/socket");
        for (server, status, word) in [
            (Server::new(), 0, "accepted"),
            (Server::new().reply(Moment::Rcpt, "451 4.7.1 later"), 51, "deferred"),
            (Server::new().reply(Moment::Rcpt, "550 5.1.1 no"), 150, "refused"),
        ] {
            let server = server.start();
            configure(host, &server, "[site.shop]\n");
            call().run().expect_status(status);
            let record = records("61042.log").pop().expect("a record");
            assert_eq!((&record["status"], &record["exit"]), (&word.into(), &status.into()), "{record}");
            let mut buffer = [0; 64 << 10];
            let length = journal.recv(&mut buffer).expect("a record in time");
            let heard = String::from_utf8_lossy(&buffer[..length]).into_owned();
            for (field, value) in [
                ("SITE", "shop"),
                ("ID", record["id"].as_str().unwrap()),
                ("RELAY", "main"),
                ("STATUS", word),
                ("MESSAGE_ID", "<complete@example.org>"),
            ] {
                assert!(heard.lines().any(|line| line == format!("MAILCHUTE_{field}={value}")), "{field}: {heard}");
            }
        }
        let nobody = testkit::Port::reserve();
        host.write(CONFIG, &format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", nobody.number()), 0o644);
        call().run().expect_status(69);
        assert_eq!(records("61042.log").pop().unwrap()["status"], "failed");
        assert_eq!(records("61042.log").len(), 4);
        let found = fs::metadata(file("61042.log")).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (SHOP, 0o640));
    });
}

#[test]
fn a_doubt_is_one_whatever_number_the_caller_knows() {
    Host::run(&USERS, |host| {
        make_place();
        for (scheme, status) in [("reply", 79), ("sysexits", 74)] {
            let server = Server::new().at(Moment::Message, testkit::Action::Close).start();
            configure(host, &server, &format!("[site.shop]\nexit_status = \"{scheme}\"\n"));
            call().run().expect_status(status);
            let record = records("61042.log").pop().unwrap();
            assert_eq!((&record["status"], &record["exit"]), (&"in-doubt".into(), &status.into()), "{record}");
        }
    });
}

#[test]
fn a_file_is_made_with_its_mode_and_only_where_nothing_else_is_named() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, "");
        call().run().expect_status(0);
        assert!(!Path::new(PLACE).exists(), "the directory is the installation's to make");
        make_place();
        for (umask, uid) in [("000", SHOP), ("077", OTHER)] {
            let script = format!("umask {umask}; exec {} -i bob@example.net", env!("CARGO_BIN_EXE_mailchute"));
            let run = Mailchute::new("/bin/sh").args(["-c", &script]).uid(uid).stdin(MESSAGE).run();
            run.expect_status(0);
            let mode = fs::metadata(file(&format!("{uid}.log"))).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0o640, "umask {umask}: {mode:o}");
        }
        configure(host, &server, "[log]\nto = [\"stderr\"]\nkeep = \"30d\"\n");
        call().run().expect_status(0);
        assert_eq!(records("61042.log").len(), 1);
        // Nobody is bothered where it cannot be written.
        configure(host, &server, "");
        fs::set_permissions(PLACE, Permissions::from_mode(0o700)).unwrap();
        let run = call().run();
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "{}", run.report());
    });
}

#[test]
fn a_neighbour_who_takes_the_name_gets_no_record() {
    Host::run(&USERS, |host| {
        make_place();
        let server = Server::new().start();
        configure(host, &server, "");
        host.write_as("/var/log/mailchute/61042.log", "", 0o666, (OTHER, OTHER));
        symlink("/etc/passwd", file("61042.1.log")).unwrap();
        call().run().expect_status(0);
        call().run().expect_status(0);
        assert_eq!(fs::read_to_string(file("61042.log")).unwrap(), "");
        assert_eq!(records("61042.2.log").len(), 2);
    });
}

/// Starts `count` processes at once and waits for all of them.
fn at_once(count: usize) {
    let running: Vec<_> = (0..count).map(|number| discard().args(["-L", &number.to_string()]).spawn()).collect();
    for run in running {
        run.finish().expect_status(0);
    }
}

/// The tags of `records`, sorted.
fn tags(records: &[Value]) -> Vec<usize> {
    let mut tags: Vec<usize> = records.iter().filter_map(|record| record["tag"].as_str()?.parse().ok()).collect();
    tags.sort_unstable();
    tags
}

#[test]
fn two_hundred_writers_tear_no_line_and_lose_none_when_the_file_gets_a_number() {
    Host::run(&USERS, |host| {
        make_place();
        host.write_as("/var/log/mailchute/61042.log", "", 0o640, (SHOP, SHOP));
        at_once(200);
        assert_eq!(tags(&records("61042.log")), (0..200).collect::<Vec<_>>());
        // Some find room still, and the others meet one that gives the file its number.
        let whole = fs::metadata(file("61042.log")).unwrap().len();
        let grown = File::options().append(true).open(file("61042.log")).unwrap();
        fs::write(file("61042.log"), "").unwrap();
        grown.set_len(MOST - whole / 2).unwrap();
        {
            use std::io::Write as _;
            (&grown).write_all(b"\n").unwrap();
        }
        at_once(200);
        let (old, new) = (records("61042.log.1"), records("61042.log"));
        assert!(!old.is_empty() && !new.is_empty(), "{} and {}", old.len(), new.len());
        assert_eq!(tags(&[old, new].concat()), (0..200).collect::<Vec<_>>());
        assert!(!file("61042.log.2").exists());
    });
}

#[test]
fn on_a_full_disk_the_next_record_begins_a_line() {
    Host::run(&USERS, |host| {
        fs::create_dir_all(PLACE).unwrap();
        let (fs_type, options) = (Some("tmpfs"), Some("size=64k"));
        mount(fs_type, PLACE, fs_type, MsFlags::empty(), options).unwrap();
        make_place();
        host.write(CONFIG, "[relay.main]\nhost = \"127.0.0.1\"\nport = 1\n", 0o644);
        fs::write(file("ballast"), [b'x'; 40 << 10]).unwrap();
        let mut runs = 0;
        // Until one finds room for a part of it only.
        while !file("61042.log.1").exists() && runs < 200 {
            let run = call().run();
            run.expect_status(69);
            assert!(!run.stderr.contains("/var/log"), "{}", run.report());
            runs += 1;
        }
        let torn = fs::read_to_string(file("61042.log.1")).expect("a torn line ends its file");
        assert!(!torn.ends_with('\n'), "{torn}");
        fs::remove_file(file("ballast")).unwrap();
        call().run().expect_status(69);
        assert!(!records("61042.log").is_empty());
        nix::mount::umount(PLACE).unwrap();
    });
}

#[test]
fn senders_that_are_killed_while_they_write_leave_no_line_that_reads_as_a_record_and_is_none() {
    Host::run(&USERS, |_| {
        make_place();
        let shown = || mailchute().uid(SHOP).args(["log", "--json", "--since", "1h"]).run().stdout;
        let size = || file("61042.log").metadata().map_or(0, |found| found.len());
        let mut killed = 0;
        for _ in 0..8 {
            let begun = size();
            let all: Vec<_> = (0..16).map(|_| discard().spawn()).collect();
            // As soon as one writes, the others are about to.
            while size() == begun {
                std::thread::yield_now();
            }
            for running in &all {
                let _ = kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGKILL);
            }
            killed += all.into_iter().map(|running| usize::from(running.finish().signal.is_some())).sum::<usize>();
            // Each line is whole, whatever became of whoever wrote it, and so is the next one.
            let before = records("61042.log").len();
            discard().run().expect_status(0);
            assert_eq!(records("61042.log").len(), before + 1);
            assert_eq!(shown().lines().count(), before + 1);
        }
        assert!(killed > 8, "{killed} were killed");

        // Half a line, as a machine that stops leaves it: whoever writes next begins a line of its own.
        let whole = fs::read_to_string(file("61042.log")).unwrap();
        let last = whole.lines().last().unwrap();
        for part in [1, last.len() / 2, last.len() - 1] {
            let before = shown().lines().count();
            let text = fs::read_to_string(file("61042.log")).unwrap();
            fs::write(file("61042.log"), text + &last[..part]).unwrap();
            assert_eq!(shown().lines().count(), before, "{part}");
            discard().run().expect_status(0);
            assert_eq!(shown().lines().count(), before + 1, "{part}");
        }
    });
}

#[test]
fn it_costs_four_system_calls() {
    if !need_strace() {
        return;
    }
    Host::run(&USERS, |host| {
        let trace = host.scratch().write("trace", "", 0o666);
        // Root's: nobody else looks into such a process.
        let root = || mailchute().env("MAILER_DSN", "null://null").args(["-i", "bob@example.net"]).stdin(MESSAGE);
        let calls = || {
            let (run, points) = points(root(), &trace);
            run.expect_status(0);
            points
        };
        let touching = |points: &[testkit::Point]| -> Vec<String> {
            let mut found = Vec::new();
            let mut descriptor = None;
            for point in points {
                let (arguments, result) = point.line.rsplit_once(" = ").unwrap_or_default();
                let is_of_it = descriptor.as_ref().is_some_and(|of: &String| {
                    let first = arguments.split_once('(').map_or("", |(_, rest)| rest).split([',', ')']).next();
                    first == Some(of)
                });
                if arguments.contains("/var/log/mailchute") {
                    descriptor = Some(result.trim().to_owned());
                    found.push(point.call.clone());
                // The standard library of a debug build looks at what it closes.
                } else if is_of_it && point.call != "fcntl" {
                    found.push(point.call.clone());
                    if point.call == "close" {
                        descriptor = None;
                    }
                }
            }
            found
        };
        assert_eq!(touching(&calls()), ["openat"], "where there is no directory");
        make_place();
        root().run().expect_status(0);
        let found = touching(&calls());
        assert!(
            matches!(&found[..], [open, stat, write, close] if open == "openat"
            && ["statx", "fstat", "newfstatat"].contains(&stat.as_str()) && write == "write" && close == "close"),
            "{found:?}"
        );
    });
}

#[test]
fn the_flush_removes_what_is_older_than_keep() {
    Host::run(&USERS, |host| {
        make_place();
        for parent in ["/var/spool/mailchute", "/var/lib/mailchute/state"] {
            fs::create_dir_all(parent).unwrap();
            fs::set_permissions(parent, Permissions::from_mode(0o1733)).unwrap();
        }
        host.write(CONFIG, "[relay.main]\nhost = \"127.0.0.1\"\n[log]\nkeep = \"2d\"\n", 0o644);
        let lay = |name: &str, uid: u32, days: u64| {
            let path = host.write_as(&format!("{PLACE}/{name}"), "x\n", 0o640, (uid, uid));
            let written = SystemTime::now() - Duration::from_secs(days * 86_400);
            File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
        };
        let left = || {
            let mut names: Vec<_> = fs::read_dir(PLACE)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        for (name, uid, days) in [
            ("61042.log", SHOP, 0),
            ("61042.log.1", SHOP, 1),
            ("61042.log.2", SHOP, 3),
            ("61043.log", OTHER, 3),
            ("other.txt", 0, 300),
        ] {
            lay(name, uid, days);
        }
        // A user's own: those of others stay.
        fs::create_dir_all("/var/spool/mailchute/61042/queue").unwrap();
        for path in ["/var/spool/mailchute/61042", "/var/spool/mailchute/61042/queue"] {
            chown(path, Some(SHOP), Some(SHOP)).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        }
        mailchute().uid(SHOP).args(["queue", "flush"]).run().expect_status(0);
        assert_eq!(left(), ["61042.log", "61042.log.1", "61043.log", "other.txt"]);
        mailchute().args(["queue", "flush", "--all"]).run().expect_status(0);
        assert_eq!(left(), ["61042.log", "61042.log.1", "other.txt"]);
    });
}

#[test]
fn with_a_group_of_its_own_all_write_to_one_file_that_none_comes_near() {
    Host::run(&USERS, |host| {
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let server = Server::new().start();
        configure(host, &server, "");
        for uid in [SHOP, OTHER, 0] {
            let call = Mailchute::new(&binary).args(["-i", "bob@example.net"]).stdin(MESSAGE);
            if uid == 0 { call } else { call.uid(uid) }.run().expect_status(0);
        }
        let uids: Vec<_> = records("shared/mailchute.log").iter().map(|record| record["uid"].clone()).collect();
        assert_eq!(uids, [SHOP, OTHER, 0]);
        let found = fs::metadata(file("shared/mailchute.log")).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o7777), (GROUP, 0o660));
        assert_eq!(fs::read_dir(PLACE).unwrap().count(), 1);
        // Who lets its process write no more than a part of a line writes none.
        let script = format!("ulimit -f 1; umask 077; exec {} -i bob@example.net", binary.display());
        for _ in 0..3 {
            let _ = Mailchute::new("/bin/sh").args(["-c", &script]).uid(SHOP).stdin(MESSAGE).run();
        }
        let text = fs::read_to_string(file("shared/mailchute.log")).unwrap();
        assert!(text.ends_with('\n') && !file("shared/mailchute.log.1").exists(), "{text}");
        records("shared/mailchute.log");
    });
}
