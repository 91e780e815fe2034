//! Scripts: what the server says, what the client must send, and what comes of it.

mod flights;
mod login;
mod opening;
mod trouble;

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
