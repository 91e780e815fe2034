//! The SMTP client against any server: the first octet chooses the relay, the second what the
//! submission is like, the third the size of the pieces, the rest is what the server says.

use mailchute::attempt::Trace;
use mailchute::config::relay::{
    Login, LoginSource, Mechanism, Place, Protocol, Relay, SecretKind, Smtp, TlsMode, Username, Way,
};
use mailchute::envelope::{Dsn, Envelope};
use mailchute::failure::{Failure, Kind};
use mailchute::outcome::{Outcome, Stage};
use mailchute::reply::TEXT_LIMIT;
use mailchute::secret::Secret;
use mailchute::smtp::client::{
    Action, Channel, Delivery, Dialogue, Ending, Loss, Measure, Opening, Run, Script, needs,
};

use super::{Target, assert_printable};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "client", seeds, words: WORDS, grammar: &[], check };

const PASSWORD: &str = "geheim-7";
/// The password alone and as PLAIN says it, in base64.
const ENCODED: [&str; 2] = ["Z2VoZWltLTc=", "AHNob3AAZ2VoZWltLTc="];

const WORDS: &[&str] = &[
    "220 mx ESMTP\r\n",
    "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 AUTH PLAIN LOGIN\r\n",
    "250-mx\r\n250-STARTTLS\r\n250 AUTH SCRAM-SHA-256 CRAM-MD5\r\n",
    "250-AUTH=LOGIN PLAIN\r\n",
    "250 OK\r\n",
    "235 2.7.0 in\r\n",
    "334 \r\n",
    "334 VXNlcm5hbWU6\r\n",
    "354 go\r\n",
    "421 4.3.2 bye\r\n",
    "450 4.2.1 later\r\n",
    "504 5.5.4 no\r\n",
    "534 no\r\n",
    "535 5.7.8 geheim-7\r\n",
    "550 5.1.1 no\r\n",
    "554 5.7.1 no\r\n",
    "250-SIZE 10\r\n",
    "334 Z2VoZWltLTc=\r\n",
];

fn seeds() -> Vec<Vec<u8>> {
    let hello = "220 mx ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN LOGIN\r\n";
    let plain = "220 mx ESMTP\r\n250-mx\r\n250 AUTH LOGIN CRAM-MD5\r\n";
    let starttls = "220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n";
    let mut seeds = Vec::new();
    for (relay, dialogue) in [
        (0, format!("{hello}235 in\r\n250 a\r\n250 b\r\n250 queued\r\n221 bye\r\n")),
        (0, format!("{hello}535 5.7.8 no\r\n")),
        (
            0,
            format!(
                "{plain}334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 in\r\n250 a\r\n250 b\r\n354 go\r\n250 queued\r\n"
            ),
        ),
        (1, format!("{starttls}235 in\r\n250 a\r\n550 5.1.1 no\r\n250 c\r\n354 go\r\n250 queued\r\n")),
        (2, "220 mx\r\n250 mx\r\n250 a\r\n250 b\r\n354 go\r\n451 later\r\n".to_owned()),
        (8, "220 mx\r\n250-mx\r\n250 PIPELINING\r\n250 a\r\n250 b\r\n250 c\r\n354 go\r\n250 x\r\n550 y\r\n".to_owned()),
        (2, "220 mx\r\n500 what\r\n250 mx\r\n250 a\r\n250 b\r\n354 go\r\n250 x\r\n".to_owned()),
    ] {
        for submission in [0, 1, 5, 7] {
            seeds.push([&[relay, submission, 40], dialogue.as_bytes()].concat());
        }
    }
    seeds
}

fn relay(choice: u8) -> Relay {
    let tls = [TlsMode::Implicit, TlsMode::StartTls, TlsMode::None][usize::from(choice % 4).min(2)];
    let with_login = choice & 4 == 0 && tls != TlsMode::None;
    let place = Place::Tcp { host: "mx.example.net".to_owned(), port: 465 };
    let smtp = Smtp {
        protocol: if choice & 8 == 0 { Protocol::Smtp } else { Protocol::Lmtp },
        auth: if choice & 16 == 0 { Vec::new() } else { vec![Mechanism::ScramSha256, Mechanism::Login] },
        login: with_login.then(|| LoginSource {
            username: Username::Given("shop".to_owned()),
            kind: SecretKind::Password,
            secret: None,
        }),
        chunking: choice & 32 == 0,
        ..Smtp::default()
    };
    Relay { way: Way::Smtp(smtp), ..Relay::new("main", place, tls) }
}

fn envelope(choice: u8) -> Envelope {
    let count = [1, 2, 3, 600][usize::from(choice & 3)];
    Envelope {
        reverse_path: (choice & 8 == 0).then(|| "orders@shop.example".parse().expect("an address")),
        forward_paths: (0..count).map(|n| format!("r{n}@example.org").parse().expect("an address")).collect(),
        dsn: Dsn { notify: (choice & 16 != 0).then(|| "SUCCESS".to_owned()), ..Dsn::default() },
    }
}

/// What the client did, for the checks at the end.
#[derive(Default)]
struct Seen {
    sent: Vec<u8>,
    message: bool,
    actions: Vec<u8>,
}

/// Fails if the configured password stands in what is shown.
fn assert_masked(text: &str, login: Option<&Login>) {
    let bare = login.is_some() && (text.contains(PASSWORD) || ENCODED.iter().any(|secret| text.contains(secret)));
    assert!(!bare, "the password is shown: {text}");
}

/// A script under way, whichever it is.
trait Machine {
    fn next_action(&mut self) -> Action;
    fn receive(&mut self, octets: &[u8], trace: &mut Trace);
    fn tls_started(&mut self, channel: Channel, trace: &mut Trace);
    fn message_sent(&mut self, trace: &mut Trace);
    fn lost(&mut self, loss: &Loss);
}

impl<S: Script> Machine for Run<'_, S> {
    fn next_action(&mut self) -> Action {
        self.next_action()
    }

    fn receive(&mut self, octets: &[u8], trace: &mut Trace) {
        self.receive(octets, trace);
    }

    fn tls_started(&mut self, channel: Channel, trace: &mut Trace) {
        self.tls_started(channel, trace);
    }

    fn message_sent(&mut self, trace: &mut Trace) {
        self.message_sent(trace);
    }

    fn lost(&mut self, loss: &Loss) {
        self.lost(loss);
    }
}

fn delivered(
    envelope: &Envelope,
    measure: Measure,
    partial: bool,
    state: &mut Dialogue,
    trace: &mut Trace,
    play: &mut impl FnMut(&mut dyn Machine, &mut Trace) -> Result<(), Ending>,
) -> Result<Outcome, Failure> {
    let needs = needs(envelope, false, state.capabilities())?;
    let mut delivery = Delivery::new(envelope, measure, needs, partial, state, trace)?;
    match play(&mut Run::begin(&mut delivery, state, trace), trace) {
        Ok(()) => Ok(delivery.outcome(None)),
        Err(Ending::Refused(reply, stage)) => Ok(delivery.outcome(Some((&reply, stage)))),
        Err(Ending::Failed(failure)) => Err(failure),
    }
}

fn check(input: &[u8]) -> u64 {
    let [choice, submission, size, dialogue @ ..] = input else { return 0 };
    let relay = relay(*choice);
    let smtp = relay.smtp().expect("an SMTP relay");
    let envelope = envelope(*submission);
    let login = smtp.login.as_ref().map(|_| Login {
        username: "shop".to_owned(),
        secret: Secret::new(PASSWORD.to_owned()),
        is_token: false,
    });
    let partial = submission & 4 != 0;
    let measure = Measure { size: if submission & 32 == 0 { 2000 } else { 10 << 20 }, ..Measure::default() };
    let mut channel = Channel { tls: relay.tls == TlsMode::Implicit, local: false };
    let mut trace = Trace::default();
    let mut state = Dialogue::new(&relay, smtp, login.as_ref());
    let mut opening = Opening::new(&relay, smtp, login.as_ref(), "web1.example", channel);
    let mut pieces = dialogue.chunks(usize::from(*size) + 1);
    let mut seen = Seen::default();
    let mut play = |run: &mut dyn Machine, trace: &mut Trace| loop {
        assert!(seen.actions.len() < 2 * input.len() + 64, "the client never comes to an end");
        match run.next_action() {
            Action::Send(octets) => {
                lines(&octets);
                let text = String::from_utf8_lossy(&octets);
                if !channel.tls {
                    assert!(!ENCODED.iter().any(|secret| text.contains(secret)), "the password in clear: {text}");
                }
                if login.is_some() && text.contains("MAIL FROM") {
                    let said = String::from_utf8_lossy(&seen.sent);
                    assert!(said.contains("AUTH "), "MAIL without the login that is configured");
                }
                seen.sent.extend_from_slice(&octets);
                seen.actions.push(b's');
            }
            Action::StartTls => {
                channel.tls = true;
                run.tls_started(channel, trace);
                seen.actions.push(b't');
            }
            Action::SendMessage(_) => {
                assert!(!seen.message, "the message twice");
                seen.message = true;
                run.message_sent(trace);
                seen.actions.push(b'm');
            }
            Action::Read => {
                match pieces.next() {
                    Some(piece) => run.receive(piece, trace),
                    None => run.lost(&Loss::Closed),
                }
                seen.actions.push(b'r');
            }
            Action::Done(result) => break result,
        }
    };
    let opened = play(&mut Run::begin(&mut opening, &mut state, &mut trace), &mut trace);
    let result = match opened {
        Ok(()) => delivered(&envelope, measure, partial, &mut state, &mut trace, &mut play),
        Err(Ending::Refused(reply, stage)) => Ok(Outcome::same_for_all(&envelope.forward_paths, &reply, stage)),
        Err(Ending::Failed(failure)) => Err(failure),
    };
    state.quit(&mut trace);
    trace.dialogue().for_each(|line| assert_masked(line, login.as_ref()));
    match result {
        Ok(outcome) => {
            assert_eq!(outcome.answers.len(), envelope.forward_paths.len(), "an answer for each recipient");
            assert!(!outcome.is_accepted_for_some() || seen.message, "accepted, and no message was sent");
            let refused_early = outcome.answers.iter().any(|answer| {
                answer.stage == Stage::RcptTo && answer.reply.as_ref().is_some_and(|reply| !reply.is_positive())
            });
            if envelope.forward_paths.len() > 1 && refused_early && !partial {
                assert!(!seen.message, "nobody or everybody");
            }
            if let Some((answer, reply)) = outcome.decisive() {
                assert_printable(&reply.to_string(), TEXT_LIMIT + 32);
                assert_masked(reply.text(), login.as_ref());
                seen.actions.extend([answer.stage as u8, reply.code().to_be_bytes()[1]]);
            }
        }
        Err(failure) => {
            assert_printable(&failure.to_string(), 4096);
            assert_masked(&failure.to_string(), login.as_ref());
            assert!(failure.kind != Kind::InDoubt || seen.message, "in doubt, and no message was sent");
            seen.actions.push(hash(format!("{:?} {:?}", failure.kind, failure.stage).as_bytes()) as u8);
        }
    }
    // How often something was read says little.
    seen.actions.dedup();
    seen.actions.extend([*choice & 31, *submission & 7]);
    hash(&seen.actions)
}

/// Fails unless these are whole command lines.
fn lines(octets: &[u8]) {
    assert!(octets.ends_with(b"\r\n"), "a command without its end: {}", octets.escape_ascii());
    for line in octets[..octets.len() - 2].split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.iter().any(u8::is_ascii_control), "a command with more in it: {}", line.escape_ascii());
        assert!(line.len() <= 12288, "a command of {} octets", line.len());
    }
    let ends = octets.iter().filter(|&&octet| octet == b'\n').count();
    assert_eq!(ends, octets.windows(2).filter(|pair| pair == b"\r\n").count(), "a bare LF in a command");
}
