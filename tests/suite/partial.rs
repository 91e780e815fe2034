//! Several recipients of whom some are refused, in each form in which a message is sent.

use testkit::{Moment, Server};

use crate::setup::{MESSAGE, Setup, every};

const FORMS: [(&str, &[&str]); 4] = [
    ("pipelined, chunked", &["PIPELINING", "CHUNKING", "8BITMIME"]),
    ("pipelined", &["PIPELINING", "8BITMIME"]),
    ("chunked", &["CHUNKING", "8BITMIME"]),
    ("one command at a time", &["8BITMIME"]),
];

fn server(capabilities: &[&str]) -> Server {
    Server::new()
        .capabilities(capabilities)
        .reply(Moment::RcptOf("carol@example.net".into()), "550 5.1.1 no such user")
        .reply(Moment::RcptOf("dave@example.net".into()), "550 5.2.1 disabled")
}

#[test]
fn nobody_has_it_when_one_is_refused() {
    every(
        &FORMS,
        |form| form.0.to_owned(),
        |(_, capabilities)| {
            let setup = Setup::new(server(capabilities));
            let run = setup.send(&["bob@example.net", "carol@example.net"]);
            run.expect_status(150);
            run.expect_stderr(
                "mailchute: carol@example.net: 550 5.1.1 no such user (RCPT TO, 127.0.0.1*, site default)",
            );
            assert!(run.stderr.contains("bob@example.net"), "{}", run.report());
            assert!(setup.deliveries().is_empty(), "nobody or everybody");
        },
    );
}

#[test]
fn the_accepted_have_it_when_the_site_wants_that() {
    every(
        &FORMS,
        |form| form.0.to_owned(),
        |(_, capabilities)| {
            let setup = Setup::new(server(capabilities)).top("partial = \"deliver\"");
            let run = setup.send(&["bob@example.net", "carol@example.net", "erin@example.net"]);
            run.expect_status(150);
            run.expect_stderr(
                "mailchute: carol@example.net: 550 5.1.1 no such user (RCPT TO, 127.0.0.1*, site default)",
            );
            let deliveries = setup.deliveries();
            assert_eq!(deliveries.len(), 1);
            assert_eq!(deliveries[0].forward_paths(), ["bob@example.net", "erin@example.net"]);
            assert!(deliveries[0].accepted);
            assert_eq!(deliveries[0].text(), MESSAGE);
        },
    );
}

#[test]
fn no_empty_message_when_everybody_is_refused() {
    let cases: Vec<_> = FORMS.iter().flat_map(|form| ["refuse", "deliver"].map(|partial| (form, partial))).collect();
    every(
        &cases,
        |(form, partial)| format!("{}, partial {partial}", form.0),
        |((_, capabilities), partial)| {
            let setup = Setup::new(server(capabilities)).top(&format!("partial = \"{partial}\""));
            setup.send(&["carol@example.net", "dave@example.net"]).expect_status(150);
            assert!(setup.deliveries().is_empty());
        },
    );
}

#[test]
fn a_message_too_large_for_one_flight_is_refused_for_all_as_well() {
    let setup = Setup::new(server(&["PIPELINING", "CHUNKING", "8BITMIME"])).top("partial = \"deliver\"");
    let body = "a line of sixty-four octets, line end included, again and again\r\n".repeat(20_000);
    let run =
        setup.mailchute().args(["-i", "bob@example.net", "carol@example.net"]).stdin(format!("{MESSAGE}{body}")).run();
    run.expect_status(150);
    let deliveries = setup.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].forward_paths(), ["bob@example.net"]);
    assert!(deliveries[0].text() == format!("{MESSAGE}{body}"), "not the message");
}

#[test]
fn lmtp_that_takes_it_for_some_only_leaves_it_in_doubt() {
    let scratch = testkit::Scratch::new();
    let socket = scratch.join("lmtp");
    let server = Server::new()
        .lmtp()
        .reply(Moment::MessageOf("carol@example.net".into()), "452 4.2.2 mailbox full")
        .start_at(&socket);
    let config = format!(
        "[relay.main]\nhost = \"{}\"\nprotocol = \"lmtp\"\n[log]\nto = [\"{}\"]\n",
        socket.display(),
        scratch.join("log").display()
    );
    let config = scratch.write("config.toml", config, 0o644);
    let send = |recipients: &[&str]| {
        crate::setup::mailchute().config(&config).arg("-i").args(recipients.iter().copied()).stdin(MESSAGE).run()
    };
    send(&["bob@example.net"]).expect_status(0);
    let run = send(&["bob@example.net", "carol@example.net"]);
    run.expect_status(79);
    assert!(run.stderr.contains("carol@example.net: 452 4.2.2 mailbox full"), "{}", run.report());
    let sessions = server.finish();
    assert!(sessions.iter().all(|session| session.commands[0].starts_with("LHLO ")), "{sessions:?}");
}
