//! Round trips as the server counts them; structure, not time.

use testkit::{Server, TlsStart};

use crate::setup::{MESSAGE, Setup, every};

const BOTH: &[&str] = &["PIPELINING", "CHUNKING", "8BITMIME"];
const PIPELINING: &[&str] = &["PIPELINING", "8BITMIME"];

struct Form {
    name: &'static str,
    tls: TlsStart,
    capabilities: &'static [&'static str],
    recipients: usize,
    /// Octets of body beyond the usual message.
    more: usize,
    partial: &'static str,
    round_trips: u32,
}

const FORM: Form = Form {
    name: "implicit TLS, PIPELINING and CHUNKING",
    tls: TlsStart::Implicit,
    capabilities: BOTH,
    recipients: 1,
    more: 0,
    partial: "refuse",
    round_trips: 6,
};

#[test]
fn round_trips() {
    let forms = [
        FORM,
        Form { name: "PIPELINING alone", capabilities: PIPELINING, round_trips: 7, ..FORM },
        Form { name: "STARTTLS", tls: TlsStart::StartTls, round_trips: 8, ..FORM },
        Form { name: "100 recipients", recipients: 100, round_trips: 7, ..FORM },
        Form { name: "100 recipients, deliver", recipients: 100, partial: "deliver", ..FORM },
        Form { name: "100, PIPELINING alone", recipients: 100, capabilities: PIPELINING, round_trips: 7, ..FORM },
        Form { name: "1 MB", more: 1 << 20, round_trips: 7, ..FORM },
        Form { name: "1 MB, PIPELINING alone", more: 1 << 20, capabilities: PIPELINING, round_trips: 7, ..FORM },
    ];
    every(
        &forms,
        |form| form.name.to_owned(),
        |form| {
            let server = Server::new()
                .tls(form.tls)
                .login("alice@example.org", "a good secret", &["PLAIN"])
                .capabilities(form.capabilities)
                .counting_flights();
            let setup = Setup::new(server).top(&format!("partial = \"{}\"", form.partial));
            let to: Vec<String> = (0..form.recipients).map(|number| format!("user{number}@example.net")).collect();
            let body = "x".repeat(70) + "\r\n";
            let message = format!("{MESSAGE}{}", body.repeat(form.more / body.len()));
            setup.mailchute().arg("-i").args(to).stdin(message).run().expect_status(0);
            let sessions = setup.finish();
            assert_eq!(sessions.len(), 1);
            let session = &sessions[0];
            assert!(session.tls && session.login.is_some(), "{session:?}");
            assert_eq!(session.deliveries.len(), 1);
            assert_eq!(session.deliveries[0].recipients.len(), form.recipients);
            assert_eq!(session.round_trips, form.round_trips, "{:?}", session.commands);
        },
    );
}
