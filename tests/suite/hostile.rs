//! Servers that are silent or close at every stage, and what the caller is told.

use testkit::{Action, Moment, Port, Server};

use crate::setup::{MESSAGE, Setup, every, with_enough_time};

/// Before the message was handed over, nobody has it: 69. After it, perhaps somebody: 79.
fn stages() -> Vec<(&'static str, Moment, bool, i32)> {
    vec![
        ("greeting", Moment::Greeting, true, 69),
        ("EHLO", Moment::Ehlo, true, 69),
        ("AUTH", Moment::Auth, true, 69),
        ("MAIL, one command at a time", Moment::Mail, false, 69),
        ("RCPT, one command at a time", Moment::Rcpt, false, 69),
        ("DATA", Moment::Data, false, 69),
        ("final reply to DATA", Moment::Message, false, 79),
        ("final reply to BDAT", Moment::Message, true, 79),
    ]
}

/// What the caller is told when the server does this at each stage. With a silent one, whether it came so far.
fn check(action: &Action, stage: &(&str, Moment, bool, i32), deadline: u32) -> bool {
    let (_, moment, pipelining, status) = stage;
    let mut server = Server::new().at(moment.clone(), action.clone());
    if !pipelining {
        server = server.capabilities(&["8BITMIME"]);
    }
    if *moment == Moment::Auth {
        server = server.login("alice", "a good secret", &["PLAIN"]);
    }
    let setup = Setup::new(server).top(&format!("deadline = \"{deadline}s\""));
    let run = setup.send(&["bob@example.net"]);
    if *action == Action::Hang && !setup.server.is_hanging() {
        return false;
    }
    run.expect_status(*status);
    let record = setup.record();
    assert_eq!(record["exit"], *status, "{record}");
    if *status == 79 {
        assert!(run.stderr.contains("may have been accepted"), "{}", run.report());
        assert!(record.to_string().contains("may have been accepted"), "{record}");
    }
    assert!(run.stderr.contains("127.0.0.1"), "the relay is named\n{}", run.report());
    true
}

#[test]
fn closing_at_every_stage() {
    every(&stages(), |stage| format!("closing at {}", stage.0), |stage| assert!(check(&Action::Close, stage, 30)));
}

#[test]
fn silent_at_every_stage() {
    every(
        &stages(),
        |stage| format!("silent at {}", stage.0),
        |stage| with_enough_time(|deadline| check(&Action::Hang, stage, deadline)),
    );
}

#[test]
fn a_flight_that_holds_the_whole_message_is_in_doubt_once_it_is_out() {
    // MAIL, RCPT and BDAT LAST left together; the server closes, or says nothing, without a reply to MAIL.
    Setup::new(Server::new().at(Moment::Mail, Action::Close)).send(&["bob@example.net"]).expect_status(79);
    with_enough_time(|deadline| {
        let silent = Server::new().at(Moment::Mail, Action::Hang);
        let setup = Setup::new(silent).top(&format!("deadline = \"{deadline}s\""));
        let run = setup.send(&["bob@example.net"]);
        setup.server.is_hanging() && run.expect_status(79).status == 79
    });
}

#[test]
fn nobody_listens() {
    let nobody = Port::reserve();
    let port = nobody.number();
    let scratch = testkit::Scratch::new();
    let text = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    let config = scratch.write("config.toml", text, 0o644);
    let run = crate::setup::mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
    run.expect_status(69);
    run.expect_stderr(&format!("mailchute: 127.0.0.1:{port}: *refused*"));
}

#[test]
fn a_name_that_does_not_exist() {
    let scratch = testkit::Scratch::new();
    let text = "deadline = \"5s\"\n[relay.main]\nhost = \"mx.does-not-exist.invalid\"\n";
    let config = scratch.write("config.toml", text, 0o644);
    let run = crate::setup::mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
    // Without a resolver at hand it is 69: nobody can say that the name does not exist.
    assert!([68, 69].contains(&run.status), "{}", run.report());
    run.expect_stderr("mailchute: mx.does-not-exist.invalid*: *");
}

#[test]
fn the_second_relay_takes_what_the_first_cannot() {
    let backup = Server::new().start();
    let firsts: [(&str, Server); 4] = [
        ("refuses the session", Server::new().reply(Moment::Greeting, "421 4.3.2 busy")),
        ("defers the message", Server::new().reply(Moment::Message, "451 4.3.0 later")),
        ("closes", Server::new().at(Moment::Ehlo, Action::Close)),
        ("does not know the login", Server::new().login("alice", "other", &["PLAIN"]).reply(Moment::Auth, "535 no")),
    ];
    let count = firsts.len();
    for (what, first) in firsts {
        let setup = Setup::new(first);
        let second = format!("[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"", backup.port());
        let setup = setup.relay(&second);
        let run = setup.send(&["bob@example.net"]);
        assert_eq!(run.status, 0, "{what}\n{}", run.report());
        let record = setup.record();
        assert_eq!(record["relay"], "backup", "{what}\n{record}");
        assert!(record["tries"].as_array().is_some_and(|tries| !tries.is_empty()), "{what}\n{record}");
    }
    let arrived: usize = backup.finish().iter().map(|session| session.deliveries.len()).sum();
    assert_eq!(arrived, count);
}

#[test]
fn no_other_relay_is_tried_when_somebody_may_have_it_or_it_was_refused() {
    let backup = Server::new().start();
    for (first, status) in [
        (Server::new().at(Moment::Message, Action::Close), 79),
        (Server::new().reply(Moment::Message, "554 5.7.1 spam"), 154),
        (Server::new().reply(Moment::Rcpt, "550 5.1.1 no such user"), 150),
    ] {
        let second = format!("[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"", backup.port());
        let setup = Setup::new(first).relay(&second);
        setup.send(&["bob@example.net"]).expect_status(status);
    }
    assert!(backup.finish().is_empty());
}

#[test]
fn a_message_in_doubt_goes_to_the_next_relay_only_when_the_site_wants_that() {
    let backup = Server::new().start();
    let second = format!("[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"", backup.port());
    let first = Server::new().at(Moment::Message, Action::Close);
    let setup = Setup::new(first).top("in_doubt = \"retry\"").relay(&second);
    setup.send(&["bob@example.net"]).expect_status(0);
    assert_eq!(backup.finish().len(), 1);
}

#[test]
fn fifty_at_once() {
    // Time for all of them on one slow processor.
    let setup = Setup::new(Server::new()).top("deadline = \"5m\"");
    drop(setup.mailchute());
    let config = setup.scratch.join("config.toml");
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let call = crate::setup::mailchute().config(&config).arg("-i").arg(format!("user{number}@example.net"));
            call.stdin(MESSAGE).spawn()
        })
        .collect();
    for call in calls {
        call.finish().expect_status(0);
    }
    let log = setup.scratch.read("log");
    assert_eq!(log.lines().count(), 50);
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "a torn record: {line}");
    }
    assert_eq!(setup.deliveries().len(), 50);
}

#[test]
fn a_later_refusal_does_not_take_back_what_is_in_doubt() {
    for second in ["550 5.1.1 no such user", "451 4.3.0 later"] {
        let backup = Server::new().reply(Moment::Rcpt, second).start();
        let relay = format!("[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"", backup.port());
        let setup = Setup::new(Server::new().at(Moment::Message, Action::Close)).relay(&relay);
        let run = setup.top("in_doubt = \"retry\"").send(&["bob@example.net"]);
        run.expect_status(79);
        assert!(run.stderr.contains("may have been accepted") && run.stderr.contains(second), "{}", run.report());
    }
}
