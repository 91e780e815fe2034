//! Who we are, and what must not be shown.

use super::*;

#[test]
fn credentials_stay_at_home_where_they_would_go_in_clear() {
    let (mut relay, login, envelope) = (with_login(relay()), login("hunter22", false), envelope(&["b@example.org"]));
    relay.tls = TlsMode::None;
    let mut talk = Talk::new(task(&relay, Some(&login), &envelope), CLEAR);
    talk.says("220 hi\r\n");
    assert_eq!(talk.says(EVERYTHING), "");
    let failure = talk.failure();
    assert_eq!(failure.kind, Kind::Protocol);
    assert_eq!(failure.why, "offers AUTH PLAIN LOGIN CRAM-MD5, which would send the credentials unencrypted");

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

    let only = |mechanism| {
        let mut relay = relay.clone();
        smtp(&mut relay).auth = vec![mechanism];
        relay
    };
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
    smtp(&mut relay).auth = vec![Mechanism::ScramSha256];
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
