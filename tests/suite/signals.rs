//! Signals: the program never dies by one, and says whether somebody may have the message.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Action, Mailchute, Moment, Server};

use crate::setup::{MESSAGE, Setup, every, mailchute};

#[test]
fn a_limit_on_file_sizes_is_an_error_like_another() {
    let setup = Setup::new(Server::new());
    let _ = setup.mailchute();
    let config = setup.scratch.join("config.toml");
    let script = format!(
        "ulimit -f 2048; exec {} --config {} -i bob@example.net",
        env!("CARGO_BIN_EXE_mailchute"),
        config.display()
    );
    let body = "sixty-four octets of text, line end included, from here to there\r\n".repeat(80_000);
    let run = Mailchute::new("/bin/sh").args(["-c", &script]).stdin(format!("{MESSAGE}{body}")).run();
    run.expect_status(74);
    run.expect_stderr("mailchute: temporary file in *: cannot be written: *");
    assert!(run.drained, "{}", run.report());
    assert_eq!(setup.record()["exit"], 74, "{}", setup.record());
    assert!(setup.deliveries().is_empty());
}

#[test]
fn a_signal_ends_with_71_before_the_hand_over_and_79_after_it() {
    let moments = [(Moment::Greeting, 71), (Moment::Ehlo, 71), (Moment::Data, 71), (Moment::Message, 79)];
    let signals = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGXCPU,
    ];
    let cases: Vec<_> = moments.iter().flat_map(|moment| signals.map(|signal| (moment, signal))).collect();
    every(
        &cases,
        |((moment, _), signal)| format!("{signal} at {moment:?}"),
        |((moment, status), signal)| {
            let server = Server::new().capabilities(&["PIPELINING", "8BITMIME"]).at(moment.clone(), Action::Hang);
            let setup = Setup::new(server);
            let running = setup.mailchute().args(["-i", "bob@example.net"]).stdin(MESSAGE).spawn();
            setup.server.wait_until_hanging();
            kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), *signal).unwrap();
            let run = running.finish();
            run.expect_status(*status);
            assert_eq!(run.stderr.contains("may have been accepted"), *status == 79, "{}", run.report());
            assert_eq!(setup.record()["exit"], *status);
            assert_eq!(setup.record()["relay"], "main");
            run.expect_stderr(&format!("mailchute: {signal}: stopped *(mailchute, site default)"));
        },
    );
}

#[test]
fn a_signal_at_the_next_relay_does_not_take_back_what_is_in_doubt() {
    for moment in [Moment::Greeting, Moment::Message] {
        let backup = Server::new().at(moment, Action::Hang).start();
        let second = format!("[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"", backup.port());
        let setup = Setup::new(Server::new().at(Moment::Message, Action::Close)).relay(&second);
        let setup = setup.top("in_doubt = \"retry\"");
        let running = setup.mailchute().args(["-i", "bob@example.net"]).stdin(MESSAGE).spawn();
        backup.wait_until_hanging();
        kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGTERM).unwrap();
        let run = running.finish();
        run.expect_status(79);
        run.expect_stderr("mailchute: SIGTERM: stopped while waiting*, may have been accepted*");
    }
}

#[test]
fn the_system_log_is_told_too() {
    // No [log] table: the journal or syslog, whichever this host has, or neither.
    let server = Server::new().at(Moment::Greeting, Action::Hang).start();
    let scratch = testkit::Scratch::new();
    let text = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port());
    let config = scratch.write("config.toml", text, 0o644);
    let running = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).spawn();
    server.wait_until_hanging();
    kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGTERM).unwrap();
    running.finish().expect_status(71);
}
