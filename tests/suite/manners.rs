//! Manners: what a caller may leave out, and still be served.

use std::os::fd::OwnedFd;
use std::process::Command;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use testkit::{Moment, Run, Server};

use crate::setup::{MESSAGE, Setup};

/// Runs a line of shell in which `$@` is the whole call and `$0` a file that holds a message.
fn shell(setup: &Setup, line: &str, args: &[&str]) -> i32 {
    // The configuration is written by the builder, which is not run here.
    drop(setup.mailchute());
    let message = setup.scratch.write("message", MESSAGE, 0o644);
    let status = Command::new("/bin/sh")
        .args(["-c", line, message.to_str().unwrap(), env!("CARGO_BIN_EXE_mailchute")])
        .arg("--config")
        .arg(setup.scratch.join("config.toml"))
        .args(args)
        .env_clear()
        .current_dir(setup.scratch.path())
        .status()
        .unwrap();
    status.code().unwrap_or(-1)
}

/// A pipe that holds all it can: its end to write to, and the one that nobody reads.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (writer, reader)
}

#[test]
fn who_does_not_read_standard_error_keeps_no_message_waiting() {
    for (recipient, args, status) in [
        ("bob@example.net", &["-v", "-i"][..], 0),
        ("carol@example.net", &["-i"], 150),
        ("carol@example.net", &["-v", "-i"], 150),
    ] {
        let setup = Setup::new(Server::new().reply(Moment::RcptOf("carol@example.net".into()), "550 no"));
        drop(setup.mailchute());
        let (writer, _reader) = full_pipe();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailchute"))
            .arg("--config")
            .arg(setup.scratch.join("config.toml"))
            .args(args)
            .arg(recipient)
            .env_clear()
            .stdin(std::fs::File::open(setup.scratch.write("message", MESSAGE, 0o644)).unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let (ended, end) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || ended.send(child.wait()));
        let Ok(result) = end.recv_timeout(testkit::PATIENCE) else {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            panic!("{args:?} {recipient} waits without end");
        };
        let _ = waiting.join();
        assert_eq!(result.unwrap().code(), Some(status), "{args:?} {recipient}");
        assert_eq!(setup.deliveries().len(), usize::from(status == 0), "{args:?} {recipient}");
    }
}

#[test]
fn descriptors_may_be_closed() {
    for (line, args, status) in [
        ("exec \"$@\" <\"$0\" >&-", &["-i", "bob@example.net"][..], 0),
        ("exec \"$@\" <\"$0\" 2>&-", &["-i", "bob@example.net"], 0),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-i", "bob@example.net"], 0),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-v", "-i", "bob@example.net"], 0),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-i", "carol@example.net"], 150),
        ("exec \"$@\" <\"$0\" 2>/dev/full", &["-v", "-i", "carol@example.net"], 150),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-bd"], 64),
    ] {
        let setup = Setup::new(Server::new().reply(Moment::RcptOf("carol@example.net".into()), "550 no"));
        assert_eq!(shell(&setup, line, args), status, "{line} {args:?}");
        assert_eq!(setup.deliveries().len(), usize::from(status == 0), "{line} {args:?}");
    }
}

#[test]
fn closed_standard_input_is_no_input() {
    let setup = Setup::new(Server::new());
    assert_eq!(shell(&setup, "exec \"$@\" <&-", &["-i", "bob@example.net"]), 66);
}

#[test]
fn a_working_directory_that_is_gone() {
    let setup = Setup::new(Server::new());
    let line = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\" <\"$0\"";
    assert_eq!(shell(&setup, line, &["-i", "bob@example.net"]), 0);
    assert_eq!(setup.deliveries().len(), 1);
}

#[test]
fn a_uid_without_a_passwd_entry_and_an_empty_name() {
    if !testkit::need_root() {
        return;
    }
    let setup = Setup::new(Server::new());
    // The log's file belongs to nobody's business here: its directory is not writable for this uid.
    let config = setup.scratch.write(
        "other.toml",
        format!("[log]\nto = []\n[relay.main]\n{}", setup.server.relay_lines(&setup.scratch)),
        0o644,
    );
    let message = "To: bob@example.net\nSubject: x\n\nx\n";
    let run: Run = crate::setup::mailchute()
        .name("mailchute")
        .config(&config)
        .args(["-t", "-i", "-f", "shop@example.org"])
        .uid(61_077)
        .stdin(message)
        .run();
    run.expect_status(0);
    let run = crate::setup::mailchute().name("").args(["-i", "bob@example.net"]).stdin(message).run();
    assert_eq!(run.signal, None, "{}", run.report());
}

#[test]
fn nothing_is_written_on_success() {
    let setup = Setup::new(Server::new());
    let run = setup.send(&["bob@example.net"]);
    assert!(run.status == 0 && run.stdout.is_empty() && run.stderr.is_empty(), "{}", run.report());
}

#[test]
fn neither_home_nor_path_nor_a_terminal_is_needed() {
    let setup = Setup::new(Server::new());
    // The shell sets PWD and the like itself; `env -i` leaves nothing at all.
    let line = "exec setsid --wait env -i \"$@\" <\"$0\"";
    assert_eq!(shell(&setup, line, &["-i", "bob@example.net"]), 0);
    assert_eq!(setup.deliveries().len(), 1);
}

#[test]
fn a_caller_may_ignore_signals_and_close_every_descriptor() {
    // Signals that are ignored stay so across exec; nothing about the status may change.
    for (line, to, status) in [
        ("trap '' PIPE CHLD HUP; exec \"$@\" <\"$0\"", "bob@example.net", 0),
        ("trap '' PIPE CHLD HUP; exec \"$@\" <\"$0\"", "carol@example.net", 150),
        ("trap '' PIPE; exec \"$@\" <&- >&- 2>&-", "bob@example.net", 66),
        ("ulimit -n 16; exec \"$@\" <\"$0\" 3>&- 4>&-", "bob@example.net", 0),
    ] {
        let setup = Setup::new(Server::new().reply(Moment::RcptOf("carol@example.net".into()), "550 no"));
        assert_eq!(shell(&setup, line, &["-i", to]), status, "{line} {to}");
        assert_eq!(setup.deliveries().len(), usize::from(status == 0), "{line} {to}");
    }
}

#[test]
fn a_reader_that_went_away_changes_nothing() {
    // Standard output and standard error are pipes that nobody reads: writing to them is EPIPE.
    for (trap, args, status) in [
        ("", &["-v", "-i", "bob@example.net"][..], 0),
        ("trap '' PIPE;", &["-v", "-i", "bob@example.net"], 0),
        ("", &["-v", "-i", "carol@example.net"], 150),
        ("", &["-bp"], 0),
    ] {
        let setup = Setup::new(Server::new().reply(Moment::RcptOf("carol@example.net".into()), "550 no"));
        // The status comes on descriptor 3, past the pipe; opening a FIFO for both ends and closing the
        // reader's leaves a pipe without one.
        let line = format!("{trap} mkfifo gone; exec 4<>gone 5>gone 4<&-; \"$@\" <\"$0\" >&5 2>&5 5>&-");
        assert_eq!(shell(&setup, &line, args), status, "{line} {args:?}");
        assert_eq!(setup.deliveries().len(), usize::from(args.contains(&"bob@example.net")), "{line} {args:?}");
    }
}

#[test]
fn the_umask_changes_no_mode() {
    use std::os::unix::fs::PermissionsExt;
    for umask in ["000", "077", "777"] {
        let setup = Setup::new(Server::new());
        // Larger than what is held in memory, so that a temporary file is made.
        let line =
            format!("umask {umask}; {{ cat \"$0\"; head -c 3000000 /dev/zero | tr '\\0' 'x' | fold; }} | \"$@\"");
        assert_eq!(shell(&setup, &line, &["-i", "bob@example.net"]), 0, "{umask}");
        let mode = setup.scratch.join("log").metadata().expect("a log").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640, "{umask}");
        let deliveries = setup.deliveries();
        assert!(deliveries[0].octets.len() > 3_000_000, "{umask}");
    }
}
