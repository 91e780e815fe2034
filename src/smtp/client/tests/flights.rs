//! What goes out together, and what waits for what.

use super::*;

#[test]
fn one_recipient_is_one_flight() {
    let (relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), TLS);
    assert!(talk.is_logging_in());
    let flight = talk.log_in(EVERYTHING);
    assert_eq!(flight, format!("{MAIL}RCPT TO:<b@example.org>\r\nBDAT 2000 LAST\r\n<chunk>QUIT\r\n"));
    assert!(!talk.is_logging_in());
    talk.play(&[("250 ok\r\n250 ok\r\n", ""), ("250 2.0.0 Ok: queued as 4ABC12345\r\n221 bye\r\n", "")]);
    let outcome = talk.outcome();
    assert!(outcome.is_accepted());
    assert_eq!(codes(&outcome), [(250, Stage::Message)]);
    assert_eq!(outcome.provider_id.as_deref(), Some("4ABC12345"));
    let dialogue = talk.dialogue();
    assert!(dialogue.contains(&"> AUTH PLAIN ***"), "{dialogue:?}");
    assert!(dialogue.contains(&"* message, 2000 octets"), "{dialogue:?}");
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
    let task = Task { measure: Measure { size: SMALL + 1, ..Measure::default() }, ..task(&relay, None, &envelope) };
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
    smtp(&mut relay).chunking = false;
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
fn lmtp_has_a_reply_for_each_accepted_recipient() {
    let (mut relay, three) = (relay(), envelope(&["b@example.org", "c@example.org", "d@example.org"]));
    smtp(&mut relay).protocol = Protocol::Lmtp;
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
