//! An upgrade: another file takes the binary's name while processes of the old one run and start others.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mailchute::spool::Folder;
use testkit::{Action, Host, Mailchute, Moment, PATIENCE, Server, Session};

use crate::laid::{Laid, SHOP, USERS};
use crate::never_lost::{accepted, configure, message, prepare};

/// A binary of the test's own, and the one that is to take its name.
fn binaries(host: &Host<'_>) -> (PathBuf, PathBuf) {
    let [old, new] = ["mailchute", "mailchute.new"].map(|name| {
        let path = host.scratch().join(name);
        // Not by us, see set_group_id.
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_mailchute")).arg(&path).status().unwrap().success());
        path
    });
    OpenOptions::new().append(true).open(&new).unwrap().write_all(b"a newer one").unwrap();
    (old, new)
}

/// A server that makes the upgrade when the first message has come, before it answers.
fn upgrading((old, new): (PathBuf, PathBuf)) -> Server {
    let is_done = AtomicBool::new(false);
    Server::new().on_delivery(move |_, _| {
        if !is_done.swap(true, Ordering::SeqCst) {
            fs::rename(&new, &old).unwrap();
        }
    })
}

fn is_new(binary: &Path) -> bool {
    fs::read(binary).unwrap().ends_with(b"a newer one")
}

/// Each of `count` messages was accepted once.
fn expect_each_once(sessions: &[Session], count: usize) {
    let counts = accepted(sessions);
    assert!(counts.len() == count && counts.values().all(|times| *times == 1), "{counts:?}");
}

#[test]
fn a_flush_goes_on_while_its_binary_is_replaced() {
    Host::run(&USERS, |host| {
        let (old, new) = binaries(host);
        let server = upgrading((old.clone(), new)).start();
        prepare(host, server.port(), "");
        let laid = Laid::of(SHOP);
        for number in 0..6 {
            laid.due(&format!("aaaaaaaaaaa{number}"));
        }
        let flush = || Mailchute::new(&old).uid(SHOP).args(["queue", "flush"]).run();
        let run = flush();
        run.expect_status(0);
        assert_eq!(run.stdout, "6 sent\n", "{}", run.report());
        assert!(is_new(&old));
        flush().expect_status(0);
        expect_each_once(&server.finish(), 6);
    });
}

/// The first four have their processes when the upgrade comes; those of the others are started behind it.
#[test]
fn root_goes_on_for_all_while_the_binary_is_replaced() {
    let users = [61_042, 61_043, 61_044, 61_045, 61_046, 61_047].map(|uid| (format!("user{uid}"), uid));
    let users: Vec<(&str, u32)> = users.iter().map(|(name, uid)| (name.as_str(), *uid)).collect();
    Host::run(&users, |host| {
        let (old, new) = binaries(host);
        let server = upgrading((old.clone(), new)).start();
        prepare(host, server.port(), "");
        for (_, uid) in &users {
            Laid::of(*uid).due(&format!("aaaaaaa{uid}"));
        }
        let all = || Mailchute::new(&old).args(["queue", "flush", "--all"]).run();
        let run = all();
        run.expect_status(0);
        for (_, uid) in &users {
            assert!(run.stdout.contains(&format!("uid {uid}: 1 sent\n")), "{}", run.report());
        }
        assert!(is_new(&old));
        assert_eq!(all().stdout, "nothing waits\n");
        expect_each_once(&server.finish(), users.len());
    });
}

/// The sender is of the old binary, and so is the flusher that it starts: its name is the new one's by then.
#[test]
fn a_sender_whose_binary_was_replaced_starts_who_sends() {
    Host::run(&USERS, |host| {
        let (old, new) = binaries(host);
        let server = upgrading((old.clone(), new));
        let server = server.at_first(Moment::Message, Action::Reply("421 4.3.2 not now".into())).start();
        prepare(host, server.port(), "");
        configure(host, server.port(), "on_relay_failure = \"spool\"");
        fs::remove_file("/etc/cron.d/mailchute").unwrap();
        // Where relays are remembered, what waits for one goes as soon as it is not known to be down.
        fs::create_dir_all("/var/lib/mailchute/state").unwrap();
        fs::set_permissions("/var/lib/mailchute/state", Permissions::from_mode(0o1733)).unwrap();
        let run = Mailchute::new(&old).uid(SHOP).args(["-t", "-i"]).stdin(message("only@upgrade.example")).run();
        run.expect_status(0);
        assert!(is_new(&old));
        // The flusher ends by itself when nothing waits any more.
        let (laid, begun) = (Laid::of(SHOP), Instant::now());
        while !laid.spool.list(Folder::Queue).unwrap().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nobody sends what waits");
            thread::sleep(Duration::from_millis(5));
        }
        expect_each_once(&server.finish(), 1);
    });
}
