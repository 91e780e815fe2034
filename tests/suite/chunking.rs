//! Relays that offer CHUNKING and do not know it, or something on the way to them does not: each message arrives once,
//! with DATA, and what was learned is kept as long as there are more.

use testkit::{Action, Moment, Server, Session};

use crate::setup::{MESSAGE, Setup, every};

/// How many of `sessions` were said BDAT.
fn chunks(sessions: &[Session]) -> usize {
    sessions.iter().filter(|session| session.commands.iter().any(|line| line.starts_with("BDAT"))).count()
}

#[test]
fn a_chunk_that_is_refused_as_a_command_goes_out_once_more_with_data() {
    let replies = [
        "500 what",
        "501 5.5.4 Syntax: BDAT count [LAST]",
        "502 5.5.2 Error: command not recognized",
        "503 Bad sequence of commands",
        "504 Command parameter not implemented",
        "521 5.5.1 Protocol error",
        "550 5.5.1 Protocol error",
        "554 5.5.0 improper command pipelining",
        "554 SMTP synchronization error",
        "421 4.7.0 mx.example.net Error: too many errors",
        "421 Unknown command, closing connection",
    ];
    every(
        &replies,
        |reply| (*reply).to_owned(),
        |reply| {
            let first = Action::Reply((*reply).to_owned());
            let setup = Setup::new(Server::new().at_first(Moment::Message, first));
            setup.send(&["bob@example.net"]).expect_status(0);
            let record = setup.record();
            let warnings = record["warnings"].to_string();
            assert!(warnings.contains("set chunking = false") && warnings.contains(reply), "{record}");
            let sessions = setup.finish();
            assert_eq!((sessions.len(), chunks(&sessions)), (2, 1), "{sessions:?}");
            assert_eq!(sessions[1].deliveries.len(), 1);
            assert_eq!(sessions[1].deliveries[0].octets, MESSAGE.as_bytes());
        },
    );
}

#[test]
fn a_message_that_is_refused_is_not_sent_again() {
    let replies = [
        ("552 5.3.4 message too large", 152),
        ("554 5.7.1 spam", 154),
        ("550 5.6.0 no such charset", 150),
        ("421 4.3.2 shutting down", 21),
        ("451 4.3.0 later", 51),
    ];
    every(
        &replies,
        |(reply, _)| (*reply).to_owned(),
        |(reply, status)| {
            let setup = Setup::new(Server::new().reply(Moment::Message, reply));
            setup.send(&["bob@example.net"]).expect_status(*status);
            assert_eq!(setup.finish().len(), 1);
        },
    );
}

#[test]
fn both_refusals_are_told() {
    // With DATA the relay says what it has against the message itself.
    let reply = |text: &str| Action::Reply(text.to_owned());
    let server = Server::new().at_first(Moment::Message, reply("502 5.5.2 unknown"));
    let setup = Setup::new(server.at_later(Moment::Message, reply("554 5.7.1 spam")));
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(154);
    assert!(run.stderr.starts_with("mailchute: message: 554 5.7.1 spam"), "{}", run.report());
    let record = setup.record();
    assert!(record["warnings"].to_string().contains("502 5.5.2 unknown"), "{record}");
}
