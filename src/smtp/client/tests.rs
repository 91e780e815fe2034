//! Scripts: what the server says, what the client must send, and what comes of it.

use std::time::Duration;

use super::*;
use crate::config::relay::{LoginSource, Mechanism, Place, Protocol, SecretKind, TlsMode, Username};
use crate::envelope::Dsn;
use crate::outcome::Stage;
use crate::reply::Reply;
use crate::secret::Secret;

const EVERYTHING: &str =
    "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n";
const PIPELINING: &str = "250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n";
const BARE: &str = "250-mx\r\n250 AUTH PLAIN\r\n";
const MAIL: &str = "MAIL FROM:<a@example.org>\r\n";
const PLAIN: &str = "AUTH PLAIN AHVzZXIAaHVudGVyMjI=\r\n";

fn relay() -> Relay {
    let place = Place::Tcp { host: "smtp.example.net".to_owned(), port: 465 };
    Relay { connect_timeout: Duration::from_secs(5), ..Relay::new("main", place, TlsMode::Implicit) }
}

fn with_login(mut relay: Relay) -> Relay {
    relay.login = Some(LoginSource { username: Username::Secret, kind: SecretKind::Password, secret: None });
    relay
}

fn login(secret: &str, is_token: bool) -> Login {
    Login { username: "user".to_owned(), secret: Secret::new(secret.to_owned()), is_token }
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        reverse_path: Some("a@example.org".parse().unwrap()),
        forward_paths: recipients.iter().map(|to| to.parse().unwrap()).collect(),
        dsn: Dsn::default(),
    }
}

const TLS: Channel = Channel { tls: true, local: false };
const CLEAR: Channel = Channel { tls: false, local: false };

fn task<'a>(relay: &'a Relay, login: Option<&'a Login>, envelope: &'a Envelope) -> Task<'a> {
    Task {
        relay,
        login,
        envelope,
        size: 2000,
        facts: Facts::default(),
        utf8_header: false,
        deliver_partially: false,
        host_name: "web.example.org",
    }
}

/// A client on one end of a script.
struct Talk<'a> {
    client: Client<'a>,
    trace: Trace,
    result: Option<Result<Outcome, Failure>>,
    /// The driver stands still inside the message.
    stall: bool,
}

impl<'a> Talk<'a> {
    fn new(task: Task<'a>, channel: Channel) -> Self {
        Self { client: Client::new(task, channel), trace: Trace::default(), result: None, stall: false }
    }

    /// The server says `bytes`; what the client does about it until it waits again. `<tls>` and
    /// `<chunk>` or `<dots>` stand for the handshake and the message.
    fn says(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.client.receive(bytes.as_ref(), &mut self.trace);
        let mut done = String::new();
        loop {
            match self.client.next_action() {
                Action::Send(bytes) => done.push_str(std::str::from_utf8(&bytes).unwrap()),
                Action::StartTls => {
                    done.push_str("<tls>");
                    self.client.tls_started(TLS, &mut self.trace);
                }
                Action::Adapt(_) => {
                    let Task { size, facts, .. } = self.client.task;
                    self.client.adapted(Ok((size, facts)), &mut self.trace);
                }
                Action::SendMessage(framing) => {
                    done.push_str(if framing == Framing::Chunk { "<chunk>" } else { "<dots>" });
                    if self.stall {
                        return done;
                    }
                    self.client.message_sent(&mut self.trace);
                }
                Action::Read => return done,
                Action::Done(result) => {
                    self.result = Some(result);
                    return done;
                }
            }
        }
    }

    /// Plays a script of (server, client).
    fn play(&mut self, script: &[(&str, &str)]) {
        for (server, client) in script {
            assert_eq!(self.says(server), *client, "after {server:?}, dialogue {:#?}", self.dialogue());
        }
    }

    /// Up to the login; the client's answer to the last reply.
    fn log_in(&mut self, ehlo: &str) -> String {
        self.play(&[("220 hi\r\n", "EHLO web.example.org\r\n"), (ehlo, PLAIN)]);
        self.says("235 ok\r\n")
    }

    fn lost(&mut self, loss: &Loss) -> Failure {
        self.client.lost(loss, &mut self.trace);
        self.says("");
        self.failure()
    }

    fn outcome(&mut self) -> Outcome {
        self.result.take().expect("a result").expect("an outcome")
    }

    fn failure(&mut self) -> Failure {
        self.result.take().expect("a result").expect_err("a failure")
    }

    fn dialogue(&self) -> Vec<&str> {
        self.trace.dialogue().collect()
    }
}

/// Code and stage of every answer; 0 where nothing was sent because of the others.
fn codes(outcome: &Outcome) -> Vec<(u16, Stage)> {
    outcome.answers.iter().map(|answer| (answer.reply.as_ref().map_or(0, Reply::code), answer.stage)).collect()
}

fn numbers(outcome: &Outcome) -> Vec<u16> {
    codes(outcome).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn one_recipient_is_one_flight() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    assert!(talk.client.is_logging_in());
    let flight = talk.log_in(EVERYTHING);
    assert_eq!(flight, format!("{MAIL}RCPT TO:<b@example.org>\r\nBDAT 2000 LAST\r\n<chunk>QUIT\r\n"));
    assert!(!talk.client.is_logging_in());
    talk.play(&[("250 ok\r\n250 ok\r\n", ""), ("250 2.0.0 Ok: queued as 4ABC12345\r\n221 bye\r\n", "")]);
    let outcome = talk.outcome();
    assert!(outcome.is_accepted());
    assert_eq!(codes(&outcome), [(250, Stage::Message)]);
    assert_eq!(outcome.provider_id.as_deref(), Some("4ABC12345"));
    let dialogue = talk.dialogue();
    assert!(dialogue.contains(&"> AUTH PLAIN ***"), "{dialogue:?}");
    assert!(dialogue.contains(&"* message, 2000 octets"), "{dialogue:?}");
    assert_eq!(talk.trace.stage, Some(Stage::Message));
}

#[test]
fn in_one_flight_the_refusal_of_the_recipient_is_the_outcome() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org"]));
    for (replies, code, stage) in [
        ("250 ok\r\n550 5.1.1 who\r\n503 no recipients\r\n", 550, Stage::RcptTo),
        ("451 later\r\n503 what\r\n503 what\r\n", 451, Stage::MailFrom),
        ("250 ok\r\n250 ok\r\n554 5.7.1 spam\r\n", 554, Stage::Message),
        ("250 ok\r\n421 going down\r\n", 421, Stage::RcptTo),
        ("421 going down\r\n", 421, Stage::MailFrom),
    ] {
        let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
        talk.says("220 hi\r\n");
        assert!(talk.says(EVERYTHING).ends_with("<chunk>QUIT\r\n"));
        assert_eq!(talk.says(replies), "");
        assert_eq!(codes(&talk.outcome()), [(code, stage)], "{replies}");
    }
}

#[test]
fn several_recipients_are_asked_for_before_the_message() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org", "c@example.org"]));
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("220 hi\r\n");
    talk.play(&[
        (EVERYTHING, &format!("{MAIL}RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n")),
        ("250 ok\r\n250 ok\r\n251 ok\r\n", "BDAT 2000 LAST\r\n<chunk>QUIT\r\n"),
        ("250 ok\r\n", ""),
    ]);
    assert_eq!(codes(&talk.outcome()), [(250, Stage::Message), (250, Stage::Message)]);

    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("220 hi\r\n");
    talk.says(EVERYTHING);
    talk.play(&[("250 ok\r\n250 ok\r\n450 later\r\n", "QUIT\r\n")]);
    assert_eq!(codes(&talk.outcome()), [(0, Stage::RcptTo), (450, Stage::RcptTo)]);
}

#[test]
fn a_large_message_waits_for_its_recipient() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org"]));
    let task = Task { size: SMALL + 1, ..task(&relay, None, &envelope) };
    let mut talk = Talk::new(task, TLS);
    talk.says("220 hi\r\n");
    talk.play(&[
        (EVERYTHING, &format!("{MAIL}RCPT TO:<b@example.org>\r\n")),
        ("250 ok\r\n250 ok\r\n", "BDAT 65537 LAST\r\n<chunk>QUIT\r\n"),
        ("250 ok\r\n", ""),
    ]);
    assert!(talk.outcome().is_accepted());
}

#[test]
fn partial_delivery_is_one_flight_for_everybody() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org", "c@example.org"]));
    let task = Task { deliver_partially: true, ..task(&relay, None, &envelope) };
    let mut talk = Talk::new(task, TLS);
    talk.says("220 hi\r\n");
    assert!(talk.says(EVERYTHING).ends_with("RCPT TO:<c@example.org>\r\nBDAT 2000 LAST\r\n<chunk>QUIT\r\n"));
    talk.says("250 ok\r\n550 who\r\n250 ok\r\n250 done\r\n");
    let outcome = talk.outcome();
    assert_eq!(codes(&outcome), [(550, Stage::RcptTo), (250, Stage::Message)]);
    assert!(outcome.partial_chosen);

    let mut talk = Talk::new(task, TLS);
    talk.says("220 hi\r\n");
    talk.says(EVERYTHING);
    talk.says("250 ok\r\n550 who\r\n551 who\r\n");
    assert_eq!(codes(&talk.outcome()), [(550, Stage::RcptTo), (551, Stage::RcptTo)]);
}

#[test]
fn pipelining_alone_puts_data_into_the_flight() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    assert_eq!(talk.log_in(PIPELINING), format!("{MAIL}RCPT TO:<b@example.org>\r\nDATA\r\n"));
    talk.play(&[("250 ok\r\n250 ok\r\n354 go\r\n", "<dots>QUIT\r\n"), ("250 OK id=1abcde-000-2b\r\n", "")]);
    assert_eq!(talk.outcome().provider_id.as_deref(), Some("1abcde-000-2b"));
}

#[test]
fn chunking_can_be_turned_off() {
    let (mut relay, envelope) = (relay(), envelope(&["b@example.org"]));
    relay.chunking = false;
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("220 hi\r\n");
    assert!(talk.says(EVERYTHING).ends_with("DATA\r\n"));
}

#[test]
fn a_refusal_and_354_all_the_same_ends_without_an_octet() {
    let (relay, both) = (relay(), envelope(&["b@example.org", "c@example.org"]));
    for (replies, expected) in [
        ("250 ok\r\n550 who\r\n250 ok\r\n354 go\r\n", [550, 0]),
        ("250 ok\r\n550 who\r\n551 who\r\n354 go\r\n", [550, 551]),
        ("250 ok\r\n550 who\r\n551 who\r\n503 no\r\n", [550, 551]),
    ] {
        let mut talk = Talk::new(task(&relay, None, &both), TLS);
        talk.says("220 hi\r\n");
        assert!(talk.says(PIPELINING).ends_with("DATA\r\n"));
        assert_eq!(talk.says(replies), "", "no dot, no QUIT: either could be content");
        assert_eq!(numbers(&talk.outcome()), expected);
    }
}

#[test]
fn without_pipelining_one_command_at_a_time() {
    let (relay, login, envelope) =
        (with_login(relay()), login("hunter22", false), envelope(&["b@example.org", "c@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    assert_eq!(talk.log_in(BARE), MAIL);
    talk.play(&[
        ("250 ok\r\n", "RCPT TO:<b@example.org>\r\n"),
        ("250 ok\r\n", "RCPT TO:<c@example.org>\r\n"),
        ("250 ok\r\n", "DATA\r\n"),
        ("354 go\r\n", "<dots>"),
        ("250 ok\r\n", "QUIT\r\n"),
    ]);
    assert!(talk.outcome().is_accepted());

    // Everybody is asked for, so that every refusal is known.
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.log_in(BARE);
    talk.play(&[
        ("250 ok\r\n", "RCPT TO:<b@example.org>\r\n"),
        ("550 who\r\n", "RCPT TO:<c@example.org>\r\n"),
        ("535 no\r\n", "QUIT\r\n"),
    ]);
    assert_eq!(numbers(&talk.outcome()), [550, 535]);
}

#[test]
fn a_hundred_recipients_are_one_flight_and_thousands_are_several() {
    let relay = relay();
    let many: Vec<_> = (0..FLIGHT + 1).map(|n| format!("r{n}@example.org")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let hundred = envelope(&many[..100]);
    let mut talk = Talk::new(task(&relay, None, &hundred), TLS);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(EVERYTHING).matches("RCPT").count(), 100);
    assert_eq!(talk.says("250 ok\r\n".repeat(101)), "BDAT 2000 LAST\r\n<chunk>QUIT\r\n");

    let all = envelope(&many);
    let mut talk = Talk::new(task(&relay, None, &all), TLS);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(PIPELINING).lines().last(), Some("RCPT TO:<r499@example.org>"));
    assert_eq!(talk.says("250 ok\r\n".repeat(FLIGHT + 1)), "RCPT TO:<r500@example.org>\r\nDATA\r\n");
    assert_eq!(talk.says("250 ok\r\n354 go\r\n"), "<dots>QUIT\r\n");
}

#[test]
fn every_refusal_is_an_outcome_for_everybody() {
    let (relay, login, envelope) =
        (with_login(relay()), login("hunter22", false), envelope(&["b@example.org", "c@example.org"]));
    let before: [(&[&str], Stage); 7] = [
        (&[], Stage::Greeting),
        (&["220 hi\r\n"], Stage::Ehlo),
        (&["220 hi\r\n", BARE], Stage::Auth),
        (&["220 hi\r\n", BARE, "235 ok\r\n"], Stage::MailFrom),
        (&["220 hi\r\n", BARE, "235 ok\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n"], Stage::Data),
        (&["220 hi\r\n", BARE, "235 ok\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"], Stage::Message),
        (&["220 hi\r\n", BARE, "235 ok\r\n", "250 ok\r\n"], Stage::RcptTo),
    ];
    for (replies, stage) in before {
        for code in [421, 450, 499, 500, 535, 554, 599] {
            let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
            replies.iter().for_each(|reply| assert_ne!(talk.says(reply), ""));
            let mut sent = talk.says(format!("{code} 4.0.0 no\r\n"));
            if code >= 500 && stage == Stage::Ehlo {
                assert_eq!(sent, "HELO web.example.org\r\n");
                sent = talk.says(format!("{code} no\r\n"));
            }
            if code != 421 && stage == Stage::RcptTo {
                assert_eq!(sent, "RCPT TO:<c@example.org>\r\n");
                sent = talk.says(format!("{code} no\r\n"));
            }
            assert_eq!(sent, if code == 421 { "" } else { "QUIT\r\n" }, "{code} at {stage}");
            assert_eq!(codes(&talk.outcome()), [(code, stage); 2]);
        }
    }
}

#[test]
fn helo_where_ehlo_is_unknown() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.play(&[
        ("220\r\n", "EHLO web.example.org\r\n"),
        ("502 what\r\n", "HELO web.example.org\r\n"),
        ("250-PIPELINING\r\n250 PIPELINING\r\n", MAIL),
    ]);
}

#[test]
fn the_name_we_give_is_a_name_or_an_address() {
    let (mut relay, envelope) = (relay(), envelope(&["b@example.org"]));
    for (helo, said) in [
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("a b\r\nRSET", "[127.0.0.1]"),
        ("", "[127.0.0.1]"),
    ] {
        relay.helo = Some(helo.to_owned());
        let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
        assert_eq!(talk.says("220 hi\r\n"), format!("EHLO {said}\r\n"));
    }
}

#[test]
fn starttls_comes_first_and_forgets_what_was_offered() {
    let (mut relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    relay.tls = TlsMode::StartTls;
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
    talk.play(&[
        ("220 hi\r\n", "EHLO web.example.org\r\n"),
        ("250-mx\r\n250-STARTTLS\r\n250-CHUNKING\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n", "STARTTLS\r\n"),
        ("220 go\r\n", "<tls>EHLO web.example.org\r\n"),
        (BARE, PLAIN),
        ("235 ok\r\n", MAIL),
    ]);
}

#[test]
fn starttls_stripped_refused_or_smuggled_into() {
    let (mut relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    relay.tls = TlsMode::StartTls;
    let offered = "250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n";

    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(EVERYTHING), "");
    let failure = talk.failure();
    assert_eq!((failure.kind, failure.stage), (Kind::Protocol, Some(Stage::StartTls)));
    assert_eq!(failure.why, "does not offer STARTTLS");

    for after in ["220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n", "220 go\r\n421 bye\r\n", "220 go\r\n\0"] {
        let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
        talk.says("220 hi\r\n");
        talk.says(offered);
        assert_eq!(talk.says(after), "");
        let failure = talk.failure();
        assert_eq!(failure.kind, Kind::Protocol);
        assert!(failure.why.ends_with("between STARTTLS and the TLS handshake"), "{failure}");
    }

    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
    talk.says("220 hi\r\n");
    talk.says(offered);
    talk.says("454 4.7.0 TLS not available\r\n");
    assert_eq!(codes(&talk.outcome()), [(454, Stage::StartTls)]);
}

#[test]
fn what_is_said_before_it_is_asked_is_a_breach() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let early = format!("{BARE}235 ok\r\n");
    for script in [
        &["220 hi\r\n250 mx\r\n"][..],
        &["220 hi\r\n", &early],
        &["220 hi\r\n", BARE, "235 ok\r\n250 ok\r\n"],
        &["220 hi\r\n", BARE, "235 ok\r\n", "250 ok\r\n250 ok\r\n"],
        &["220 hi\r\n", BARE, "235 ok\r\n", "250 ok\r\n", "250 ok\r\n354 go\r\n"],
        &["220 hi\r\n", BARE, "235 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n250 done\r\n"],
    ] {
        let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
        talk.stall = true;
        let sent: Vec<_> = script.iter().map(|reply| talk.says(reply)).collect();
        assert_eq!(talk.failure().kind, Kind::Protocol, "{script:?}");
        assert_eq!(sent.last().map(String::as_str), Some(""), "{script:?}");
    }
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.says("220 hi\r\n421 too busy\r\n");
    assert_eq!(numbers(&talk.outcome()), [421]);
}

#[test]
fn a_refusal_during_the_message_is_its_answer() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org"]));
    for (reply, code) in [("552 too large\r\n", 552), ("421 bye\r\n", 421)] {
        let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
        talk.stall = true;
        talk.says("220 hi\r\n");
        talk.says(PIPELINING);
        assert_eq!(talk.says("250 ok\r\n250 ok\r\n354 go\r\n"), "<dots>");
        assert_eq!(talk.says(reply), "", "QUIT would be content");
        assert_eq!(codes(&talk.outcome()), [(code, Stage::Message)]);
    }
}

#[test]
fn garbage_is_quoted() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("SSH-2.0-OpenSSH_9\r\n");
    let failure = talk.failure();
    assert_eq!(failure.kind, Kind::Protocol);
    assert_eq!(failure.to_string(), "smtp.example.net:465: greeted with \"SSH-2.0-OpenSSH_9\", which is no SMTP reply");
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("220 hi\r\n");
    talk.says("\x1b[2J\n");
    assert_eq!(talk.failure().why, "answered EHLO with \"?[2J\", which is no SMTP reply");
    for wrong in ["354 go\r\n", "250-a\r\n550 b\r\n"] {
        let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
        talk.says("220 hi\r\n");
        talk.says(wrong);
        assert_eq!(talk.failure().kind, Kind::Protocol);
    }
}

#[test]
fn a_connection_that_ends_names_the_stage() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    for (replies, stage, why) in [
        (&[][..], Stage::Greeting, "closed the connection before its greeting"),
        (&["220 hi\r\n"], Stage::Ehlo, "closed the connection after EHLO"),
        (&["220 hi\r\n", BARE], Stage::Auth, "closed the connection after AUTH"),
        (&["220 hi\r\n", BARE, "235\r\n"], Stage::MailFrom, "closed the connection after MAIL FROM"),
        (&["220 hi\r\n", PIPELINING, "235\r\n", "250\r\n"], Stage::RcptTo, "closed the connection after RCPT TO"),
        (&["220 hi\r\n", PIPELINING, "235\r\n", "250\r\n250\r\n"], Stage::Data, "closed the connection after DATA"),
    ] {
        let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
        replies.iter().for_each(|reply| drop(talk.says(reply)));
        let failure = talk.lost(&Loss::Closed);
        assert_eq!((failure.kind, failure.stage, failure.why.as_str()), (Kind::Unavailable, Some(stage), why));
    }
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    assert_eq!(talk.lost(&Loss::TimedOut(Duration::from_secs(5))).why, "no greeting within the deadline (5 s)");
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.says("220 hi\r\n");
    assert_eq!(
        talk.lost(&Loss::TimedOut(Duration::from_millis(29_999))).why,
        "no answer to EHLO within the deadline (30 s)"
    );
}

#[test]
fn in_doubt_from_the_last_octet_to_the_final_reply() {
    let (relay, envelope) = (relay(), envelope(&["b@example.org"]));
    let sent = |ehlo: &str, replies: &str, stall: bool| {
        let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
        talk.stall = stall;
        talk.says("220 hi\r\n");
        talk.says(ehlo);
        talk.says(replies);
        talk
    };
    let data = "250 ok\r\n250 ok\r\n354 go\r\n";

    let failure = sent(PIPELINING, data, true).lost(&Loss::Closed);
    assert_eq!(failure.kind, Kind::Unavailable, "the dot is not out");
    assert_eq!(failure.why, "closed the connection while the message was being sent");

    let failure = sent(PIPELINING, data, false).lost(&Loss::Closed);
    assert_eq!((failure.kind, failure.stage), (Kind::InDoubt, Some(Stage::Message)));
    assert_eq!(failure.why, "closed the connection after the message was sent; the message may have been accepted");
    assert_eq!(sent(PIPELINING, data, false).lost(&Loss::TimedOut(Duration::from_secs(30))).kind, Kind::InDoubt);
    // One flight: nothing is answered, everything may have been done.
    assert_eq!(sent(EVERYTHING, "", false).lost(&Loss::Closed).kind, Kind::InDoubt);
    for garbage in ["what\r\n", "354 more\r\n", "2", "250"] {
        let mut talk = sent(PIPELINING, data, false);
        talk.says(garbage);
        let failure = if talk.result.is_some() { talk.failure() } else { talk.lost(&Loss::Broken("reset".to_owned())) };
        assert_eq!(failure.kind, Kind::InDoubt, "{garbage}");
    }
    // A refusal that is known leaves no doubt.
    let mut talk = sent(EVERYTHING, "250 ok\r\n550 who\r\n", false);
    assert_eq!(numbers(&talk.outcome()), [550]);
}

#[test]
fn credentials_stay_at_home_where_they_would_go_in_clear() {
    let (mut relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    relay.tls = TlsMode::None;
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(EVERYTHING), "");
    let failure = talk.failure();
    assert_eq!(failure.kind, Kind::Protocol);
    assert_eq!(failure.why, "offers AUTH PLAIN LOGIN CRAM-MD5, which would send the credentials in clear");

    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
    talk.says("220 hi\r\n");
    assert!(talk.says("250-mx\r\n250 AUTH PLAIN SCRAM-SHA-1\r\n").starts_with("AUTH SCRAM-SHA-1 "));

    let local = Channel { tls: false, local: true };
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), local);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(EVERYTHING), PLAIN);
}

#[test]
fn never_unauthenticated_when_credentials_are_configured() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    for (offered, why) in [
        ("250 mx\r\n", "does not offer AUTH, though credentials are configured"),
        (
            "250-mx\r\n250 AUTH GSSAPI NTLM\r\n",
            "offers AUTH GSSAPI NTLM, none of which can be used with these credentials",
        ),
        ("250-mx\r\n250 AUTH XOAUTH2\r\n", "offers AUTH XOAUTH2, none of which can be used with these credentials"),
    ] {
        let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
        talk.says("220 hi\r\n");
        assert_eq!(talk.says(offered), "");
        let failure = talk.failure();
        assert_eq!((failure.kind, failure.stage), (Kind::Protocol, Some(Stage::Auth)));
        assert_eq!(failure.why, why);
    }
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(EVERYTHING), "");
    assert_eq!(talk.failure().kind, Kind::Software);
}

#[test]
fn the_next_mechanism_on_504_and_534_but_never_after_535() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let start = |relay| {
        let mut talk = Talk::new(task(relay, Some(&login), &envelope), TLS);
        talk.says("220 hi\r\n");
        talk
    };
    let mut talk = start(&relay);
    talk.play(&[
        (EVERYTHING, PLAIN),
        ("504 5.5.4 not that\r\n", "AUTH LOGIN\r\n"),
        ("334 VXNlcm5hbWU6\r\n", "dXNlcg==\r\n"),
        ("334 UGFzc3dvcmQ6\r\n", "aHVudGVyMjI=\r\n"),
        ("534 5.7.9 too weak\r\n", "AUTH CRAM-MD5\r\n"),
        ("504 nor that\r\n", "QUIT\r\n"),
    ]);
    assert_eq!(codes(&talk.outcome()), [(504, Stage::Auth)]);
    assert!(!talk.dialogue().join("\n").contains("aHVudGVyMjI="), "{:?}", talk.dialogue());

    let mut talk = start(&relay);
    talk.play(&[(EVERYTHING, PLAIN), ("535 5.7.8 wrong\r\n", "QUIT\r\n")]);
    assert_eq!(codes(&talk.outcome()), [(535, Stage::Auth)]);

    let only = |mechanism| Relay { auth: vec![mechanism], ..relay.clone() };
    let cram = only(Mechanism::CramMd5);
    start(&cram).play(&[(EVERYTHING, "AUTH CRAM-MD5\r\n")]);
    let scram = only(Mechanism::ScramSha256);
    let mut talk = start(&scram);
    talk.says(EVERYTHING);
    assert_eq!(talk.failure().why, "offers AUTH PLAIN LOGIN CRAM-MD5, and `auth` allows only SCRAM-SHA-256");
}

#[test]
fn a_token_logs_in_by_xoauth2_and_reports_the_final_reply() {
    let (relay, login, envelope) = (with_login(relay()), login("token-12345", true), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.says("220 hi\r\n");
    assert!(
        talk.says("250-mx\r\n250 AUTH PLAIN XOAUTH2\r\n").starts_with("AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyI")
    );
    talk.play(&[("334 eyJzdGF0dXMiOiI0MDAifQ==\r\n", "\r\n"), ("535 5.7.8 expired\r\n", "QUIT\r\n")]);
    assert_eq!(codes(&talk.outcome()), [(535, Stage::Auth)]);
}

#[test]
fn scram_does_not_believe_a_server_without_proof() {
    let (mut relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    relay.auth = vec![Mechanism::ScramSha256];
    for answer in ["235 welcome\r\n", "334 !!\r\n", "334 cj1hLHM9YWJjZCxpPTQwOTY=\r\n"] {
        let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
        talk.says("220 hi\r\n");
        talk.says("250-mx\r\n250 AUTH SCRAM-SHA-256\r\n");
        assert_eq!(talk.says(answer), "");
        assert_eq!(talk.failure().kind, Kind::Protocol, "{answer}");
    }
}

#[test]
fn an_echoed_secret_is_shown_nowhere() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.says("220 hi\r\n");
    talk.says(EVERYTHING);
    talk.says("535-hunter22 is wrong\r\n535-aHVudGVyMjI= too\r\n535 AUTH PLAIN AHVzZXIAaHVudGVyMjI=\r\n");
    let outcome = talk.outcome();
    assert_eq!(outcome.answers[0].reply.as_ref().unwrap().text(), "*** is wrong *** too AUTH PLAIN ***");
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.says("220 hi\r\n");
    talk.says(EVERYTHING);
    talk.says("hunter22\r\n");
    assert!(!talk.failure().why.contains("hunter"));
    assert!(!talk.dialogue().join("\n").contains("hunter"), "{:?}", talk.dialogue());
}

#[test]
fn a_secret_that_is_a_keyword_does_not_blind_us() {
    let (relay, login, envelope) = (with_login(relay()), login("PLAIN", false), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    talk.says("220 hi\r\n");
    assert!(talk.says(BARE).starts_with("AUTH PLAIN "));
}

#[test]
fn lmtp_has_a_reply_for_each_accepted_recipient() {
    let (mut relay, three) = (relay(), envelope(&["b@example.org", "c@example.org", "d@example.org"]));
    relay.protocol = Protocol::Lmtp;
    relay.tls = TlsMode::None;
    let task = Task { deliver_partially: true, ..task(&relay, None, &three) };
    let start = |ehlo| {
        let mut talk = Talk::new(task, CLEAR);
        assert_eq!(talk.says("220 hi\r\n"), "LHLO web.example.org\r\n");
        talk.says(ehlo);
        talk
    };
    for ehlo in [PIPELINING, EVERYTHING] {
        let mut talk = start(ehlo);
        talk.says("250 ok\r\n250 ok\r\n550 who\r\n250 ok\r\n");
        if ehlo == PIPELINING {
            assert_eq!(talk.says("354 go\r\n"), "<dots>QUIT\r\n");
        }
        assert_eq!(talk.says("250 delivered\r\n"), "");
        assert!(talk.result.is_none());
        talk.says("452 full\r\n");
        assert_eq!(codes(&talk.outcome()), [(250, Stage::Message), (550, Stage::RcptTo), (452, Stage::Message)]);
    }
    let mut talk = start(EVERYTHING);
    talk.says("250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 delivered\r\n");
    assert_eq!(talk.lost(&Loss::Closed).kind, Kind::InDoubt);

    let mut talk = Talk::new(task, CLEAR);
    talk.says("220 hi\r\n");
    talk.says("500 what\r\n");
    assert_eq!(numbers(&talk.outcome()), [500, 500, 500], "LMTP has no HELO");
}

#[test]
fn what_the_relay_cannot_take_is_refused_before_mail() {
    let (relay, foreign) = (relay(), envelope(&["bjørn@example.org"]));
    let mut talk = Talk::new(task(&relay, None, &foreign), TLS);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(BARE), "QUIT\r\n");
    assert_eq!(talk.failure().kind, Kind::Data);
    let ascii = envelope(&["b@example.org"]);
    let mut talk = Talk::new(task(&relay, None, &ascii), TLS);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says("250-mx\r\n250 SIZE 1000\r\n"), "QUIT\r\n");
    assert!(matches!(talk.failure().kind, Kind::Refused(reply) if reply.code() == 552));
}

#[test]
fn any_octets_are_survived() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let mut seed = 1u32;
    for _ in 0..2000 {
        let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
        for _ in 0..20 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let parts = ["220 ", "250-", "250 ", "334 ", "354 ", "235", "\r\n", "\n", "\0", "AUTH PLAIN", "421", "x"];
            talk.says(parts[(seed >> 16) as usize % parts.len()]);
        }
        talk.client.lost(&Loss::Closed, &mut talk.trace);
        assert!(talk.client.is_done());
    }
}
