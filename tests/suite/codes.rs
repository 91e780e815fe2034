//! Every negative reply code at every stage comes back as the right exit status and sentence.

use testkit::{Action, Moment, Server};

use crate::setup::{Setup, every};

const CODES: [u16; 19] =
    [421, 450, 451, 452, 500, 501, 503, 530, 535, 550, 551, 552, 553, 554, 400, 475, 526, 537, 599];

/// The stage as the user reads it, the moment at the server, whether CHUNKING is offered, and whether the
/// relay wants a login.
fn stages() -> Vec<(&'static str, Moment, bool, bool)> {
    vec![
        ("greeting", Moment::Greeting, true, false),
        ("EHLO", Moment::Ehlo, true, false),
        ("AUTH", Moment::Auth, true, true),
        ("MAIL FROM", Moment::Mail, true, false),
        ("MAIL FROM", Moment::Mail, false, false),
        ("RCPT TO", Moment::Rcpt, true, false),
        ("RCPT TO", Moment::Rcpt, false, false),
        ("DATA", Moment::Data, false, false),
        ("message", Moment::Message, true, false),
        ("message", Moment::Message, false, false),
    ]
}

/// Status + 400 is the reply code, except for those that a shell could not show.
fn status(code: u16) -> i32 {
    match code {
        400 | 475 => 50,
        526 | 537 => 150,
        _ => i32::from(code) - 400,
    }
}

#[test]
fn every_code_at_every_stage() {
    let cases: Vec<_> = stages().into_iter().flat_map(|stage| CODES.map(|code| (stage.clone(), code))).collect();
    every(
        &cases,
        |((stage, _, chunking, _), code)| format!("{code} at {stage}, CHUNKING {chunking}"),
        |((stage, moment, chunking, login), code)| {
            let mut server = Server::new().reply(moment.clone(), &format!("{code} says the server"));
            if !chunking {
                server = server.capabilities(&["PIPELINING", "8BITMIME"]);
            }
            if *login {
                server = server.login("alice", "a good secret", &["PLAIN"]);
            }
            let setup = Setup::new(server);
            let run = setup.send(&["bob@example.net"]);
            run.expect_status(status(*code));
            run.expect_stderr(&format!("mailchute: *: {code} says the server ({stage}, 127.0.0.1*, site default)"));
            let record = setup.record();
            assert_eq!(record["code"], *code, "{record}");
            assert_eq!(record["exit"], status(*code), "{record}");
            assert_eq!(record["stage"], *stage, "{record}");
            assert!(record["dialogue"].to_string().contains("says the server"), "{record}");
            for delivery in setup.deliveries() {
                assert!(*moment == Moment::Message && !delivery.accepted, "{}", delivery.text());
            }
        },
    );
}

#[test]
fn the_classic_numbers_for_callers_that_know_only_those() {
    let cases = [(550, 67), (551, 67), (553, 67), (535, 77), (500, 69), (552, 65), (554, 65), (451, 69)];
    every(
        &cases,
        |(code, _)| code.to_string(),
        |(code, status)| {
            let server = Server::new().reply(Moment::Message, &format!("{code} no"));
            let setup = Setup::new(server).top("exit_status = \"sysexits\"");
            setup.send(&["bob@example.net"]).expect_status(*status);
        },
    );
    // About the recipient, not the content.
    for code in [552, 554] {
        let server = Server::new().reply(Moment::Rcpt, &format!("{code} mailbox full"));
        Setup::new(server).top("exit_status = \"sysexits\"").send(&["bob@example.net"]).expect_status(69);
    }
}

#[test]
fn authentication_decides_over_permanent_over_transient() {
    let setup = Setup::new(
        Server::new()
            .reply(Moment::RcptOf("a@example.net".into()), "451 4.3.0 later")
            .reply(Moment::RcptOf("b@example.net".into()), "550 5.1.1 no such user")
            .reply(Moment::RcptOf("c@example.net".into()), "551 5.1.6 moved"),
    );
    let run = setup.send(&["a@example.net", "b@example.net", "c@example.net", "d@example.net"]);
    run.expect_status(150);
    for line in ["a@example.net: 451 4.3.0 later", "b@example.net: 550 5.1.1 no such user", "c@example.net: 551"] {
        assert!(run.stderr.contains(line), "{}", run.report());
    }
    assert!(run.stderr.contains("d@example.net"), "what was not sent is named\n{}", run.report());
    assert!(setup.deliveries().is_empty());
}

#[test]
fn the_classic_numbers_of_doubt_and_delay() {
    let doubtful = Server::new().at(Moment::Message, Action::Close);
    let setup = Setup::new(doubtful).top("exit_status = \"sysexits\"");
    setup.send(&["bob@example.net"]).expect_status(74);
    let deferring = Server::new().reply(Moment::Rcpt, "451 4.3.0 later");
    let setup = Setup::new(deferring).top("exit_status = \"sysexits\"").top("transient_status = 75");
    setup.send(&["bob@example.net"]).expect_status(75);
}
