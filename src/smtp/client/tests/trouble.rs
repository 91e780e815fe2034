//! Servers that refuse, break the protocol or go away.

use super::*;

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
    assert_eq!(
        failure.to_string(),
        "smtp.example.net:465: greeted with \"SSH-2.0-OpenSSH_9\", which is not an SMTP reply"
    );
    let mut talk = Talk::new(task(&relay, None, &envelope), TLS);
    talk.says("220 hi\r\n");
    talk.says("\x1b[2J\n");
    assert_eq!(talk.failure().why, "answered EHLO with \"?[2J\", which is not an SMTP reply");
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
    // Replies come in order, so one who goes in order before the first has taken nothing.
    let failure = sent(EVERYTHING, "", false).lost(&Loss::Ended);
    assert_eq!((failure.kind, failure.why.as_str()), (Kind::Unavailable, "closed the connection after MAIL FROM"));
    assert_eq!(sent(EVERYTHING, "250 ok\r\n", false).lost(&Loss::Ended).kind, Kind::InDoubt);
    assert_eq!(sent(PIPELINING, data, false).lost(&Loss::Ended).kind, Kind::InDoubt);
    assert_eq!(sent(EVERYTHING, "", false).lost(&Loss::TimedOut(Duration::from_secs(30))).kind, Kind::InDoubt);
    // A refusal that is known leaves no doubt.
    let mut talk = sent(EVERYTHING, "250 ok\r\n550 who\r\n", false);
    assert_eq!(numbers(&talk.outcome()), [550]);
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
        talk.run.lost(&Loss::Closed);
        assert!(talk.run.is_done());
    }
}
