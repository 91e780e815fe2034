//! Round trips as the server counts them (design section 10); structure, not time.

use testkit::{Server, TlsStart};

use crate::setup::{MESSAGE, Setup, every};

const BOTH: &[&str] = &["PIPELINING", "CHUNKING", "8BITMIME"];
const PIPELINING: &[&str] = &["PIPELINING", "8BITMIME"];

#[test]
fn round_trips() {
    let cases: [(&str, TlsStart, &[&str], usize, usize, &str, u32); 8] = [
        ("implicit TLS, PIPELINING and CHUNKING", TlsStart::Implicit, BOTH, 1, 0, "refuse", 6),
        ("implicit TLS, PIPELINING alone", TlsStart::Implicit, PIPELINING, 1, 0, "refuse", 7),
        ("STARTTLS", TlsStart::StartTls, BOTH, 1, 0, "refuse", 8),
        ("100 recipients", TlsStart::Implicit, BOTH, 100, 0, "refuse", 7),
        ("100 recipients, deliver", TlsStart::Implicit, BOTH, 100, 0, "deliver", 6),
        ("100 recipients, PIPELINING alone", TlsStart::Implicit, PIPELINING, 100, 0, "refuse", 7),
        ("1 MB", TlsStart::Implicit, BOTH, 1, 1 << 20, "refuse", 7),
        ("1 MB, PIPELINING alone", TlsStart::Implicit, PIPELINING, 1, 1 << 20, "refuse", 7),
    ];
    every(
        &cases,
        |case| case.0.to_owned(),
        |(_, tls, capabilities, recipients, size, partial, expected)| {
            let server = Server::new()
                .tls(*tls)
                .login("alice@example.org", "a good secret", &["PLAIN"])
                .capabilities(capabilities)
                .counting_flights();
            let setup = Setup::new(server).top(&format!("partial = \"{partial}\""));
            let to: Vec<String> = (0..*recipients).map(|number| format!("user{number}@example.net")).collect();
            let body = "x".repeat(70) + "\r\n";
            let run = setup
                .mailchute()
                .arg("-i")
                .args(to)
                .stdin(format!("{MESSAGE}{}", body.repeat(size / body.len())))
                .run();
            run.expect_status(0);
            let sessions = setup.finish();
            assert_eq!(sessions.len(), 1);
            let session = &sessions[0];
            assert!(session.tls && session.login.is_some(), "{session:?}");
            assert_eq!(session.deliveries.len(), 1);
            assert_eq!(session.deliveries[0].recipients.len(), *recipients);
            assert_eq!(session.round_trips, *expected, "{:?}", session.commands);
        },
    );
}
