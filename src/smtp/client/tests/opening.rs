//! From the greeting to the login.

use super::*;

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
        smtp(&mut relay).helo = Some(helo.to_owned());
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
