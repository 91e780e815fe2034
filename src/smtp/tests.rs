//! The driver against scripted servers on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::config::relay::TlsMode;
use crate::deadline::Deadline;
use crate::envelope::{Dsn, Envelope};
use crate::failure::Kind;
use crate::message::Message;
use crate::outcome::Stage;
use crate::reply::Reply;
use crate::wire::connection::tests::{listener, patience, relay_of, serve};

/// A message whose body is `lines` lines, some of which begin with a dot.
fn message(lines: usize) -> Message {
    let mut text = "Subject: test\n\n".to_owned();
    for line in 0..lines {
        text.push_str(&format!("{}line {line}\n", if line % 3 == 0 { "." } else { "" }));
    }
    Message::read(&mut text.as_bytes(), false).unwrap()
}

fn octets(message: &Message) -> Vec<u8> {
    let (mut all, mut chunks) = (Vec::new(), message.chunks());
    while let Some(chunk) = chunks.advance().unwrap() {
        all.extend_from_slice(chunk);
    }
    all
}

/// Submits `message` to `server`; the result, whether the hand-over stands open, and what the server
/// has to tell.
fn submitted<T: Send + 'static>(
    message: &Message,
    deadline: Deadline,
    server: impl FnOnce(&mut BufReader<TcpStream>) -> T + Send + 'static,
) -> (Result<Outcome, Failure>, bool, T) {
    let listener = listener();
    let relay = Arc::new(relay_of(&listener, TlsMode::None));
    let served = serve(listener, |stream| server(&mut BufReader::new(stream)));
    let envelope =
        Envelope { reverse_path: None, forward_paths: vec!["b@example.org".parse().unwrap()], dsn: Dsn::default() };
    let job = BySmtp {
        relay: &relay,
        smtp: relay.smtp().unwrap(),
        login: None,
        mail: MailObject { envelope: &envelope, message },
        terms: &Terms { deadline: deadline.span(), ..Terms::default() },
        host_name: "web.example.org",
        stays: false,
    };
    let mut attempt = Attempt::new(deadline);
    let result = submit(&job, &mut attempt).result;
    (result, attempt.hand_over.is_open(), served.join().unwrap())
}

fn say(server: &mut BufReader<TcpStream>, reply: &str) {
    server.get_mut().write_all(reply.as_bytes()).unwrap();
}

fn hear(server: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    server.read_line(&mut line).unwrap();
    line
}

/// Greets, answers EHLO with `keywords` and everything else with 250 until DATA gets its 354.
fn up_to_354(server: &mut BufReader<TcpStream>, keywords: &str) {
    say(server, "220 hi\r\n");
    loop {
        let line = hear(server);
        match line.split_whitespace().next() {
            Some("EHLO") => say(server, &format!("250-mx\r\n{keywords}250 OK\r\n")),
            Some("DATA") => return say(server, "354 go\r\n"),
            _ => say(server, "250 ok\r\n"),
        }
    }
}

fn code(result: &Result<Outcome, Failure>) -> Option<u16> {
    result.as_ref().ok()?.answers[0].reply.as_ref().map(Reply::code)
}

#[test]
fn a_chunked_message_arrives_octet_for_octet() {
    for lines in [3, 400_000] {
        let message = message(lines);
        let (result, is_open, body) = submitted(&message, patience(), |server| {
            say(server, "220 hi\r\n");
            hear(server);
            say(server, "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
            hear(server);
            hear(server);
            say(server, "250 ok\r\n250 ok\r\n");
            let command = hear(server);
            let size = command.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST\r\n")).unwrap();
            let mut body = vec![0; size.parse().unwrap()];
            server.read_exact(&mut body).unwrap();
            assert_eq!(hear(server), "QUIT\r\n");
            say(server, "250 ok\r\n");
            body
        });
        assert_eq!(code(&result), Some(250));
        assert!(!is_open);
        assert!(body == octets(&message));
    }
}

#[test]
fn a_stuffed_message_arrives_octet_for_octet() {
    let message = message(400_000);
    let (result, _, body) = submitted(&message, patience(), |server| {
        up_to_354(server, "250-PIPELINING\r\n");
        let mut body = String::new();
        loop {
            let line = hear(server);
            match line.strip_prefix('.') {
                Some("\r\n") => break,
                Some(rest) => body.push_str(rest),
                None => body.push_str(&line),
            }
        }
        assert_eq!(hear(server), "QUIT\r\n");
        say(server, "250 ok\r\n");
        body
    });
    assert_eq!(code(&result), Some(250));
    assert!(body.as_bytes() == octets(&message));
}

#[test]
fn a_refusal_during_the_message_is_the_outcome() {
    let (result, is_open, ()) = submitted(&message(1_000_000), patience(), |server| {
        up_to_354(server, "");
        say(server, "552 5.3.4 too large\r\n");
        // Reads on until we have understood.
        let _ = std::io::copy(server, &mut std::io::sink());
    });
    assert_eq!(code(&result), Some(552));
    assert!(!is_open);
}

#[test]
fn the_last_words_of_a_server_that_closes_are_heard() {
    let (result, ..) = submitted(&message(1_000_000), patience(), |server| {
        up_to_354(server, "");
        say(server, "421 4.3.2 going down\r\n");
        server.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
        let _ = std::io::copy(server, &mut std::io::sink());
    });
    assert_eq!(code(&result), Some(421));
}

#[test]
fn a_server_that_stops_reading_has_nothing() {
    let message = message(1_000_000);
    let deadline = Deadline::after(Duration::from_secs(3));
    let (result, is_open, _kept) = submitted(&message, deadline, |server| {
        up_to_354(server, "");
        server.get_mut().try_clone().unwrap()
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable, "{failure}");
    assert!(failure.why.starts_with("did not take the message within the deadline"), "{failure}");
    assert!(!is_open);
}

#[test]
fn a_connection_lost_after_the_dot_leaves_doubt() {
    let (result, is_open, ()) = submitted(&message(3), patience(), |server| {
        up_to_354(server, "250-PIPELINING\r\n");
        while hear(server) != "QUIT\r\n" {}
    });
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (Kind::InDoubt, Some(Stage::Message)));
    assert!(is_open);
}

#[test]
fn silence_ends_with_the_deadline() {
    let deadline = Deadline::after(Duration::from_secs(2));
    let (result, _, _kept) = submitted(&message(3), deadline, |server| {
        say(server, "220 hi\r\n");
        server.get_mut().try_clone().unwrap()
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable);
    assert!(failure.why.starts_with("no answer to EHLO within the deadline"), "{failure}");
}
