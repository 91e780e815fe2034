//! Standard input: descriptors that do not block, and messages too large for memory on hosts with no room for files.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Instant;

use testkit::{Mailchute, PATIENCE, Server};

use crate::setup::{MESSAGE, Setup, every};

/// Waits until `child` sleeps, so that it has found nothing to read, or is over.
fn let_it_read(child: &Child) {
    let begun = Instant::now();
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next()).unwrap_or('Z')
    };
    while !matches!(state(), 'S' | 'Z') {
        assert!(begun.elapsed() < PATIENCE, "it neither sleeps nor ends");
        std::thread::yield_now();
    }
}

#[test]
fn a_descriptor_that_does_not_block_is_waited_for() {
    let session = "EHLO localhost\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";
    let whole = format!("{session}{MESSAGE}.\r\nQUIT\r\n");
    let long = format!("{MESSAGE}{}", "a line of text\r\n".repeat(40_000));
    let cases: [(&[&str], &str, i32, usize); 5] = [
        (&["-i", "bob@example.net"], MESSAGE, 0, 1),
        (&["-i", "bob@example.net"], &long, 0, 1),
        (&["-bs"], &whole, 0, 1),
        (&["lint"], MESSAGE, 0, 0),
        // Drained, although it is refused before it is read.
        (&["-bd"], &long, 64, 0),
    ];
    every(
        &cases,
        |(args, ..)| format!("{args:?}"),
        |(args, input, status, deliveries)| {
            let setup = Setup::new(Server::new());
            drop(setup.mailchute());
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            ours.set_write_timeout(Some(PATIENCE)).unwrap();
            let mut child = testkit::apart(env!("CARGO_BIN_EXE_mailchute"))
                .env("MAILCHUTE_CONFIG", setup.scratch.join("config.toml"))
                .args(*args)
                .stdin(OwnedFd::from(theirs))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            for piece in input.as_bytes().chunks(input.len() / 3 + 1) {
                let_it_read(&child);
                match ours.write_all(piece) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => panic!("{args:?}: the pipe broke"),
                    result => result.unwrap(),
                }
            }
            let_it_read(&child);
            drop(ours);
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(*status), "{args:?}: {stderr}");
            assert_eq!(setup.deliveries().len(), *deliveries, "{args:?}: {stderr}");
        },
    );
}

#[test]
fn a_large_message_finds_a_place() {
    if !testkit::need_root() {
        return;
    }
    let body = "sixty-four octets of text, line end included, from here to there\r\n".repeat(50_000);
    for prepare in [
        "export TMPDIR=/nowhere",
        "export TMPDIR=",
        // A place that is full before all of the message is there.
        "mount -t tmpfs -o size=1200k none \"$0\"; export TMPDIR=\"$0\"",
        "mount --bind / / && mount -o remount,ro,bind / && ! touch /var/tmp/x 2>&-",
    ] {
        let setup = Setup::new(Server::new());
        let config = setup.scratch.write(
            "other.toml",
            format!("[log]\nto = []\n[relay.main]\n{}", setup.server.relay_lines(&setup.scratch)),
            0o644,
        );
        let place = setup.scratch.join("place");
        fs::create_dir(&place).unwrap();
        let script = format!(
            "{prepare}; exec {} --config {} -i bob@example.net",
            env!("CARGO_BIN_EXE_mailchute"),
            config.display()
        );
        let run = Mailchute::new("/usr/bin/unshare")
            .args(["-m", "/bin/sh", "-c", &script, place.to_str().unwrap()])
            .stdin(format!("{MESSAGE}{body}"))
            .run();
        run.expect_status(0);
        assert_eq!(run.stderr, "", "{prepare}");
        let deliveries = setup.deliveries();
        assert!(deliveries[0].octets.ends_with(body.as_bytes()), "{prepare}");
    }
}
