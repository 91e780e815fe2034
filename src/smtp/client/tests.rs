//! Scripts: what the server says, what the client must send, and what comes of it.

mod flights;
mod login;
mod opening;
mod trouble;

use std::time::Duration;

use super::*;
use crate::config::relay::{
    Login, LoginSource, Mechanism, Place, Protocol, Relay, SecretKind, Smtp, TlsMode, Username, Way,
};
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::outcome::{Outcome, Stage};
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

fn smtp(relay: &mut Relay) -> &mut Smtp {
    match &mut relay.way {
        Way::Smtp(smtp) => smtp,
        _ => panic!("not an SMTP relay"),
    }
}

fn with_login(mut relay: Relay) -> Relay {
    smtp(&mut relay).login = Some(LoginSource { username: Username::Secret, kind: SecretKind::Password, secret: None });
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

/// What one submission is like.
#[derive(Clone, Copy)]
struct Task<'a> {
    relay: &'a Relay,
    login: Option<&'a Login>,
    envelope: &'a Envelope,
    measure: Measure,
    deliver_partially: bool,
}

fn task<'a>(relay: &'a Relay, login: Option<&'a Login>, envelope: &'a Envelope) -> Task<'a> {
    Task { relay, login, envelope, measure: Measure { size: 2000, ..Measure::default() }, deliver_partially: false }
}

/// The opening and the delivery of one message, one after the other.
struct Whole<'a> {
    task: Task<'a>,
    opening: Opening<'a>,
    delivery: Option<Delivery<'a>>,
}

impl Whole<'_> {
    fn deliver(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        let Task { envelope, measure, deliver_partially, .. } = self.task;
        let needs = needs(envelope, false, &dialogue.capabilities)?;
        let delivery = Delivery::new(envelope, measure, needs, deliver_partially, dialogue, trace)?;
        self.delivery.insert(delivery).begin(dialogue, trace)
    }
}

impl Script for Whole<'_> {
    fn begin(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        self.opening.begin(dialogue, trace)
    }

    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        if let Some(delivery) = &mut self.delivery {
            return delivery.hear(heard, dialogue, trace);
        }
        match self.opening.hear(heard, dialogue, trace)? {
            Step::Done => self.deliver(dialogue, trace),
            step => Ok(step),
        }
    }

    fn tls_started(&mut self, channel: Channel, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        self.opening.tls_started(channel, dialogue, trace)
    }

    fn message_sent(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) {
        self.delivery.as_mut().unwrap().message_sent(dialogue, trace);
    }
}

/// A client on one end of a script.
struct Talk<'a> {
    run: Run<'a, Whole<'a>>,
    trace: Trace,
    result: Option<Result<Outcome, Failure>>,
    /// The driver stands still inside the message.
    stall: bool,
}

impl<'a> Talk<'a> {
    fn new(task: Task<'a>, channel: Channel) -> Self {
        let Task { relay, login, .. } = task;
        let opening = Opening::new(relay, relay.smtp().unwrap(), login, "web.example.org", channel);
        // Both live as long as the test.
        let script = Box::leak(Box::new(Whole { task, opening, delivery: None }));
        let dialogue = Box::leak(Box::new(Dialogue::new(relay, relay.smtp().unwrap(), login)));
        let mut trace = Trace::default();
        Self { run: Run::begin(script, dialogue, &mut trace), trace, result: None, stall: false }
    }

    fn is_logging_in(&self) -> bool {
        self.run.script.delivery.is_none()
    }

    /// The server says `bytes`; what the client does about it until it waits again. `<tls>` and
    /// `<chunk>` or `<dots>` stand for the handshake and the message.
    fn says(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.run.receive(bytes.as_ref(), &mut self.trace);
        let mut done = String::new();
        loop {
            match self.run.next_action() {
                Action::Send(bytes) => done.push_str(std::str::from_utf8(&bytes).unwrap()),
                Action::StartTls => {
                    done.push_str("<tls>");
                    self.run.tls_started(TLS, &mut self.trace);
                }
                Action::SendMessage(framing) => {
                    done.push_str(if framing == Framing::Chunk { "<chunk>" } else { "<dots>" });
                    if self.stall {
                        return done;
                    }
                    self.run.message_sent(&mut self.trace);
                }
                Action::Read => return done,
                Action::Done(result) => {
                    self.end(result);
                    return done + std::str::from_utf8(&self.run.dialogue.take_output()).unwrap();
                }
            }
        }
    }

    /// What a session makes of how the script ended.
    fn end(&mut self, result: Result<(), Ending>) {
        let rest = match result {
            Ok(()) => None,
            Err(Ending::Refused(reply, stage)) => Some((reply, stage)),
            Err(Ending::Failed(failure)) => {
                self.result = Some(Err(failure));
                return self.run.dialogue.quit(&mut self.trace);
            }
        };
        let rest = rest.as_ref().map(|(reply, stage)| (reply, *stage));
        let everybody = &self.run.script.task.envelope.forward_paths;
        self.result = Some(Ok(match (&self.run.script.delivery, rest) {
            (Some(delivery), rest) => delivery.outcome(rest),
            (None, Some((reply, stage))) => Outcome::same_for_all(everybody, reply, stage),
            (None, None) => panic!("the opening is no delivery"),
        }));
        self.run.dialogue.quit(&mut self.trace);
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
        self.run.lost(loss);
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
