//! SMTP on standard input (`-bs`): `tests/bs/*.case`, both sides of one session a file.
//!
//! The block `relay` is what the relay says and hears, line by line as `testkit::Script` has it. The block
//! `caller` is the caller's side:
//!
//! | Line | Meaning |
//! |---|---|
//! | `C: text` | says the text and a line end; lines in a row leave in one write |
//! | `raw: text` | says these octets (`\r \n \0 \xHH`), nothing added |
//! | `S: pattern` | expects one line; `*` stands for anything |
//! | `close` | closes its end |
//! | `end` | expects the end |
//!
//! | Key | Meaning |
//! |---|---|
//! | `top:`, `relay:` | as in `tests/smtp`; without a block `relay` nobody listens |
//! | `line-end:` | `lf` for a caller that writes LF |
//! | `argv:` | the arguments; `-bs` unless said |
//! | `exit:` | the exit status |
//! | `stderr:` | one line of standard error, `*` for any text; several lines in order |
//! | `messages:` | how many arrived whole; 0 unless said |
//! | `holds:`, `lacks:` | text the first of them holds, or does not |
//! | `records:` | how many log records; as many as messages unless said |
//! | `record:` | text the log holds |

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{
    Action, Answer, Case, Identity, Moment, PATIENCE, Port, Scratch, Script, Server, TlsStart, Web, escaped, matches,
};

use crate::setup::{Setup, every_case, exit};
use crate::smtp::configuration;

#[test]
fn dialogues() {
    every_case("bs", |case| {
        let known =
            ["top", "relay", "line-end", "argv", "exit", "stderr", "messages", "holds", "lacks", "records", "record"];
        case.knows(&known, &["relay", "caller"]);
        play(case);
    });
}

fn play(case: &Case) {
    let script = case.block("relay").map(|text| Script::play(text, Identity::Good));
    let scratch = Scratch::new();
    let nobody = Port::reserve();
    let port = script.as_ref().map_or(nobody.number(), Script::port);
    let config = scratch.write("config.toml", configuration(case, &scratch, port), 0o644);
    let line_end = if case.value("line-end") == Some("lf") { "\n" } else { "\r\n" };
    let mut caller = Caller::start(&config, case.value("argv").unwrap_or("-bs"), line_end);
    let block = case.block("caller").expect("what the caller says");
    let complaint = block.lines().filter(|line| !line.is_empty()).find_map(|line| caller.play(line).err());
    let (status, stderr) = caller.finish();
    let dialogue = script.map(Script::finish).unwrap_or_default();
    let log = scratch.read("log");
    let seen = format!("stderr:\n{}\nrelay:\n{}\nlog:\n{log}", stderr.join("\n"), dialogue.lines.join("\n"));
    assert_eq!(complaint, None, "{seen}");
    assert!(dialogue.complaints.is_empty(), "{}\n{seen}", dialogue.complaints.join("\n"));
    assert_eq!(status, exit(case), "exit status\n{seen}");
    let patterns: Vec<&str> = case.values("stderr").collect();
    let same =
        patterns.len() == stderr.len() && patterns.iter().zip(&stderr).all(|(pattern, line)| matches(pattern, line));
    assert!(same, "expected on stderr:\n{}\n{seen}", patterns.join("\n"));
    let number = |key| case.value(key).map(|value| value.parse::<usize>().unwrap());
    let messages = number("messages").unwrap_or(0);
    assert_eq!(dialogue.messages.len(), messages, "messages\n{seen}");
    assert_eq!(log.lines().count(), number("records").unwrap_or(messages), "records\n{seen}");
    let message =
        dialogue.messages.first().map(|octets| String::from_utf8_lossy(octets).into_owned()).unwrap_or_default();
    let unescaped = |text: &str| String::from_utf8(escaped(text)).unwrap();
    for text in case.values("holds") {
        assert!(message.contains(&unescaped(text)), "{text} is not in\n{message}\n{seen}");
    }
    for text in case.values("lacks") {
        assert!(!message.contains(&unescaped(text)), "{text} is in\n{message}\n{seen}");
    }
    for text in case.values("record") {
        assert!(log.contains(text), "{text} is not recorded\n{seen}");
    }
}

/// A program that speaks SMTP to the binary.
pub(crate) struct Caller {
    child: Child,
    stdin: Option<ChildStdin>,
    line_end: &'static str,
    waiting: Vec<u8>,
    heard: mpsc::Receiver<String>,
    stderr: thread::JoinHandle<Vec<String>>,
}

impl Caller {
    pub(crate) fn start(config: &Path, argv: &str, line_end: &'static str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailchute"))
            .arg("--config")
            .arg(config)
            .args(argv.split(' '))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let stderr = thread::spawn(move || stderr.lines().map_while(Result::ok).collect());
        Self { stdin: child.stdin.take(), child, line_end, waiting: Vec::new(), heard, stderr }
    }

    fn play(&mut self, line: &str) -> Result<(), String> {
        let (verb, rest) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        match verb {
            "C" => self.waiting.extend_from_slice(format!("{rest}{}", self.line_end).as_bytes()),
            "raw" => self.waiting.extend_from_slice(&escaped(rest)),
            "S" => {
                let heard = self.hear().ok_or_else(|| format!("expected `{rest}`, heard nothing more"))?;
                if !matches(rest, &heard) {
                    return Err(format!("expected `{rest}`, heard `{heard}`"));
                }
            }
            "close" => {
                self.say();
                self.stdin = None;
            }
            "end" => {
                if let Some(heard) = self.hear() {
                    return Err(format!("expected the end, heard `{heard}`"));
                }
            }
            _ => panic!("{line:?} is not a line of a caller"),
        }
        Ok(())
    }

    fn say(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            // Whether it was heard is seen from the replies.
            let _ = stdin.write_all(&std::mem::take(&mut self.waiting));
        }
    }

    /// The next line; `None`: the end, or nothing within our patience.
    pub(crate) fn hear(&mut self) -> Option<String> {
        self.say();
        self.heard.recv_timeout(PATIENCE).ok()
    }

    /// Says `lines` one after the other and returns the last line of each reply.
    pub(crate) fn converse(&mut self, lines: &[&str]) -> Vec<String> {
        let mut replies = Vec::new();
        for line in lines {
            self.waiting.extend_from_slice(format!("{line}{}", self.line_end).as_bytes());
            let reply = std::iter::from_fn(|| self.hear()).find(|reply| reply.as_bytes().get(3) == Some(&b' '));
            replies.push(reply.unwrap_or_default());
        }
        replies
    }

    pub(crate) fn finish(mut self) -> (i32, Vec<String>) {
        self.say();
        self.stdin = None;
        // The end of standard output; whatever was said and not asked for is passed over.
        while self.heard.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.stderr.join().unwrap())
    }
}

impl Setup {
    /// A caller that speaks SMTP.
    pub(crate) fn caller(&self) -> Caller {
        // The configuration is written by the builder, which is not run here.
        drop(self.mailchute());
        let mut caller = Caller::start(&self.scratch.join("config.toml"), "-bs", "\r\n");
        assert!(caller.hear().unwrap().starts_with("220 "));
        caller
    }
}

const MESSAGE: &str = "From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n.";

/// What an HTTP API says is the reply to the dot: it takes sender, recipients and message at once.
#[test]
fn an_http_api_answers_at_the_dot() {
    let mut count = 0;
    let web = Web::start(None, move |_| {
        count += 1;
        match count {
            1 => Answer::text("HTTP/1.1 200 OK\n\n{\"ErrorCode\":0,\"MessageID\":\"pm-1\",\"Message\":\"OK\"}"),
            2 => Answer::text(
                "HTTP/1.1 422 Unprocessable Entity\n\n{\"ErrorCode\":406,\"Message\":\"inactive: bob@example.net\"}",
            ),
            3 => Answer::text("HTTP/1.1 500 Internal Server Error\n\n{\"ErrorCode\":0,\"Message\":\"later\"}"),
            _ => Answer::Close,
        }
    });
    let scratch = Scratch::new();
    let text = format!(
        "[relay.main]\nprovider = \"postmark\"\nvia = \"api\"\ntoken = \"pm-secret\"\n\
         endpoint = \"http://127.0.0.1:{}\"\n[log]\nto = [\"{}\"]\n",
        web.port(),
        scratch.join("log").display()
    );
    let mut caller = Caller::start(&scratch.write("config.toml", text, 0o600), "-bs", "\r\n");
    assert!(caller.hear().unwrap().starts_with("220 "));
    caller.converse(&["EHLO me"]);
    let message = format!("To: bob@example.net\r\n{MESSAGE}");
    for (code, exit) in [("250", 0), ("550", 150), ("451", 51), ("554", 79)] {
        let lines =
            ["MAIL FROM:<a@example.org>", "RCPT TO:<bob@example.net>", "RCPT TO:<eve@example.net>", "DATA", &message];
        let replies = caller.converse(&lines);
        for (reply, wanted) in replies.iter().zip(["250 ", "250 ", "250 ", "354 ", code]) {
            assert!(reply.starts_with(wanted), "{wanted}: {replies:?}");
        }
        let record: serde_json::Value = serde_json::from_str(scratch.read("log").lines().last().unwrap()).unwrap();
        assert_eq!(record["exit"], exit, "{record}");
    }
    assert_eq!(caller.converse(&["QUIT"])[0].get(..4), Some("221 "));
    assert_ne!(caller.finish().0, 0, "something went wrong");
    let asked = web.finish();
    assert_eq!(asked.len(), 4);
    let body: serde_json::Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!((&body["To"], &body["Bcc"]), (&"bob@example.net".into(), &"eve@example.net".into()), "{body}");
}

#[test]
fn several_messages_go_over_one_session_that_is_logged_in_once() {
    for (tls, capabilities) in [
        (TlsStart::Implicit, &["PIPELINING", "CHUNKING"][..]),
        (TlsStart::StartTls, &["PIPELINING"]),
        (TlsStart::Never, &[]),
    ] {
        let setup = Setup::new(Server::new().tls(tls).capabilities(capabilities).login("shop", "secret", &["PLAIN"]));
        let mut caller = setup.caller();
        caller.converse(&["EHLO me"]);
        for _ in 0..3 {
            let replies = caller.converse(&[
                "MAIL FROM:<a@example.org>",
                "RCPT TO:<bob@example.net>",
                "DATA",
                MESSAGE,
                "NOOP",
                "RSET",
            ]);
            assert_eq!(replies[3], "250 2.0.0 queued as 4F2A1");
        }
        assert_eq!(caller.converse(&["QUIT"]), ["221 2.0.0 bye"]);
        assert_eq!(caller.finish(), (0, Vec::new()));
        let sessions = setup.finish();
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0].deliveries.len(), 3);
        assert_eq!(sessions[0].commands.iter().filter(|line| line.starts_with("AUTH")).count(), 1);
        assert!(
            sessions[0].quit
                && sessions[0].deliveries.iter().all(|delivery| delivery.text().ends_with("\r\n\r\nbody\r\n"))
        );
    }
}

#[test]
fn a_large_message_arrives_octet_for_octet() {
    let body: String =
        (0..100_000).map(|line| format!("{}line {line}\r\n", if line % 3 == 0 { "." } else { "" })).collect();
    let stuffed = body.replace("\r\n.", "\r\n..");
    for capabilities in [&["PIPELINING", "CHUNKING"][..], &["8BITMIME"]] {
        let setup = Setup::new(Server::new().capabilities(capabilities));
        let mut caller = setup.caller();
        caller.converse(&["HELO me", "MAIL FROM:<a@example.org>", "RCPT TO:<bob@example.net>", "DATA"]);
        let reply = caller.converse(&[&format!("From: a@example.org\r\n\r\n.{stuffed}.")]);
        assert_eq!(reply, ["250 2.0.0 queued as 4F2A1"]);
        assert_eq!(caller.finish().0, 0);
        let text = setup.deliveries()[0].text();
        assert!(text.split_once("\r\n\r\n").unwrap().1 == body);
    }
}

#[test]
fn a_backup_relay_is_asked_where_the_first_takes_no_mail() {
    for (first, tries) in [
        (Server::new().at(Moment::Greeting, Action::Close), 2),
        (Server::new().reply(Moment::Greeting, "421 4.3.2 too busy"), 2),
        (Server::new().login("x", "y", &["PLAIN"]).reply(Moment::Auth, "535 5.7.8 no"), 2),
        (Server::new().reply(Moment::Mail, "451 4.7.1 later"), 2),
        (Server::new().reply(Moment::Mail, "550 5.7.1 never"), 1),
    ] {
        let first = first.start();
        let scratch = Scratch::new();
        let second = Server::new().start();
        let config = format!(
            "[relay.main]\n{}\n[relay.backup]\n{}\n[log]\nto = [\"{}\"]\n",
            first.relay_lines(&scratch),
            second.relay_lines(&scratch),
            scratch.join("log").display()
        );
        let mut caller = Caller::start(&scratch.write("config.toml", config, 0o644), "-bs", "\r\n");
        caller.hear();
        let replies = caller.converse(&["EHLO me", "MAIL FROM:<a@example.org>"]);
        if tries == 1 {
            assert_eq!(replies[1], "550 5.7.1 hint: *".replace('*', replies[1].trim_start_matches("550 5.7.1 hint: ")));
            assert_eq!(caller.finish().0, 150);
            assert!(second.finish().is_empty());
            continue;
        }
        assert_eq!(replies[1], "250 2.1.0 sender ok");
        assert_eq!(caller.converse(&["RCPT TO:<bob@example.net>", "DATA", MESSAGE])[2], "250 2.0.0 queued as 4F2A1");
        assert_eq!(caller.finish(), (0, Vec::new()));
        assert_eq!(second.finish()[0].deliveries.len(), 1);
        assert!(scratch.read("log").contains("\"relay\":\"backup\""));
    }
}

#[test]
fn an_lmtp_relay_that_takes_it_for_some_only_leaves_it_in_doubt() {
    for (refused, reply, status) in [
        (&["bob@example.net"][..], "554 5.4.2 accepted for some recipients only, do not send it again to all", 79),
        (&["bob@example.net", "carol@example.net"], "452 4.2.2 full", 52),
        (&[], "250 2.0.0 delivered", 0),
    ] {
        let scratch = Scratch::new();
        let server = refused.iter().fold(Server::new().lmtp(), |server, path| {
            server.reply(Moment::MessageOf((*path).to_owned()), "452 4.2.2 full")
        });
        let server = server.start();
        let config = format!("[log]\nto = []\n[relay.main]\nprotocol = \"lmtp\"\n{}", server.relay_lines(&scratch));
        let mut caller = Caller::start(&scratch.write("config.toml", config, 0o644), "-bs", "\r\n");
        caller.hear();
        let lines =
            ["MAIL FROM:<a@example.org>", "RCPT TO:<bob@example.net>", "RCPT TO:<carol@example.net>", "DATA", MESSAGE];
        assert_eq!(caller.converse(&lines)[4], reply);
        assert_eq!(caller.finish().0, status, "{reply}");
    }
}

#[test]
fn a_relay_that_takes_everything_at_once_is_asked_at_the_dot() {
    let scratch = Scratch::new();
    let config = "[log]\nto = []\n[relay.main]\nprotocol = \"null\"\n";
    let mut caller = Caller::start(&scratch.write("config.toml", config, 0o644), "-bs", "\r\n");
    caller.hear();
    let lines = ["MAIL FROM:<>", "RCPT TO:<bob@example.net>", "DATA", MESSAGE, "QUIT"];
    let replies = caller.converse(&lines);
    assert!(replies[3].starts_with("250 2.0.0 discarded"), "{replies:?}");
    assert_eq!(caller.finish(), (0, Vec::new()));
}

#[test]
fn a_signal_ends_a_session_that_waits_for_its_caller() {
    let setup = Setup::new(Server::new());
    let mut caller = setup.caller();
    let lines = ["MAIL FROM:<a@example.org>", "RCPT TO:<bob@example.net>", "DATA", MESSAGE];
    assert_eq!(caller.converse(&lines)[3], "250 2.0.0 queued as 4F2A1");
    kill(Pid::from_raw(caller.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(caller.hear(), None);
    assert_eq!(caller.finish(), (71, Vec::new()), "no message was under way, so there is nothing to tell");
    assert_eq!(setup.scratch.read("log").lines().count(), 1);

    let mut caller = setup.caller();
    caller.converse(&lines[..2]);
    kill(Pid::from_raw(caller.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(caller.hear(), None);
    let (status, stderr) = caller.finish();
    assert_eq!(status, 71);
    assert!(stderr[0].starts_with("mailchute: SIGTERM: stopped before the message was sent"), "{stderr:?}");
    assert_eq!(setup.scratch.read("log").lines().count(), 2);
}

/// As the server counts them; the write is small enough for the pipe to keep it in one piece.
#[test]
fn recipients_named_in_one_write_go_to_the_relay_in_one_flight() {
    let rest = ["CHUNKING", "8BITMIME"];
    let round_trips = [&["PIPELINING", "CHUNKING", "8BITMIME"][..], &rest].map(|capabilities| {
        let setup = Setup::new(Server::new().capabilities(capabilities));
        let mut caller = setup.caller();
        caller.converse(&["EHLO me", "MAIL FROM:<a@example.org>"]);
        let flight: Vec<String> = (0..100).map(|number| format!("RCPT TO:<user{number}@example.net>")).collect();
        caller.waiting.extend_from_slice((flight.join("\r\n") + "\r\n").as_bytes());
        for _ in &flight {
            assert!(caller.hear().unwrap().starts_with("250 "));
        }
        assert_eq!(caller.converse(&["DATA", MESSAGE])[1], "250 2.0.0 queued as 4F2A1");
        assert_eq!(caller.finish(), (0, Vec::new()));
        let session = setup.finish().remove(0);
        assert_eq!(session.deliveries[0].forward_paths().len(), 100);
        session.round_trips
    });
    assert_eq!(round_trips[1] - round_trips[0], 99, "{round_trips:?}");
}
