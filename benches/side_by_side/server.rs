//! The peer: an SMTP submission server that accepts everything and counts round trips and octets.
//!
//! A thread per connection, TLS 1.3, AUTH PLAIN, PIPELINING, SIZE, 8BITMIME and, unless told otherwise, CHUNKING.
//! Replies to pipelined commands leave in one write, as those of every server in use do.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use rustls::ServerConfig;
use testkit::{Certs, Identity};

use crate::stream::{Counted, Stream};

/// The account every program logs in with.
pub(crate) const USER: &str = "bench@sender.example";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// The last line of every message, so that a message cut short is noticed.
pub(crate) const LAST_LINE: &str = "-- the last line of the message --";

/// How the server behaves.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) starttls: bool,
    pub(crate) chunking: bool,
    /// Acknowledges every segment at once instead of waiting for 40 ms for something to send along.
    pub(crate) prompt: bool,
}

/// What the server saw of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// Flights of the client that were answered, the TCP handshake included.
    pub(crate) round_trips: usize,
    /// Octets received, below TLS.
    pub(crate) wire: u64,
    /// Messages accepted whole.
    pub(crate) accepted: usize,
    pub(crate) recipients: usize,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Ledger {
    state: Mutex<(usize, Vec<Session>)>,
    /// Messages of all sessions, those that are open included, since it was asked for last.
    accepted: Mutex<usize>,
    arrived: Condvar,
    changed: Condvar,
}

impl Server {
    /// Listens on a free port of the loopback; the threads live as long as the process.
    pub(crate) fn start(manner: Manner) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let ledger = Arc::new(Ledger::default());
        let (tls, books) = (Certs::shared().config(Identity::Good), Arc::clone(&ledger));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                books.change(|(open, _)| *open += 1);
                let (tls, books) = (Arc::clone(&tls), Arc::clone(&books));
                thread::spawn(move || {
                    let session = serve(client, manner, &tls, &books);
                    books.change(|(open, closed)| {
                        *open -= 1;
                        closed.push(session);
                    });
                });
            }
        });
        Ok(Self { port, ledger })
    }

    /// The sessions since the last call, once `expected` of them have come and all have ended.
    pub(crate) fn take_sessions(&self, expected: usize) -> Vec<Session> {
        let state = self.ledger.state.lock().expect("no thread panics while it holds the ledger");
        let (mut state, _) = self
            .ledger
            .changed
            .wait_timeout_while(state, Duration::from_secs(5), |(open, closed)| *open > 0 || closed.len() < expected)
            .expect("no thread panics while it holds the ledger");
        std::mem::take(&mut state.1)
    }
}

impl Server {
    /// Waits until `count` messages were accepted since the last call, and tells how long that took.
    ///
    /// # Errors
    ///
    /// When they were not within `patience`.
    pub(crate) fn wait_for(&self, count: usize, patience: Duration) -> Result<Duration> {
        let start = Instant::now();
        let accepted = self.ledger.accepted.lock().expect("no thread panics while it holds the ledger");
        let (mut accepted, _) = self
            .ledger
            .arrived
            .wait_timeout_while(accepted, patience, |accepted| *accepted < count)
            .expect("no thread panics while it holds the ledger");
        let wall = start.elapsed();
        let arrived = std::mem::take(&mut *accepted);
        ensure!(arrived == count, "{arrived} of {count} messages arrived");
        Ok(wall)
    }
}

impl Ledger {
    fn count(&self) {
        *self.accepted.lock().expect("no thread panics while it holds the ledger") += 1;
        self.arrived.notify_all();
    }

    fn change(&self, change: impl FnOnce(&mut (usize, Vec<Session>))) {
        change(&mut self.state.lock().expect("no thread panics while it holds the ledger"));
        self.changed.notify_all();
    }
}

fn serve(tcp: TcpStream, manner: Manner, tls: &Arc<ServerConfig>, ledger: &Arc<Ledger>) -> Session {
    let socket = Counted { tcp, prompt: manner.prompt, octets: 0 };
    let mut talk = Talk {
        stream: Stream::Plain(socket),
        buffer: vec![0; 64 * 1024].into(),
        pending: Vec::new(),
        replies: Vec::new(),
        // The TCP handshake.
        session: Session { round_trips: 1, ..Session::default() },
        manner,
        ledger: Arc::clone(ledger),
        logged_in: false,
    };
    // A client that hangs up after QUIT, or a broken one, ends the talk; what was accepted until then counts.
    let _ = talk.hold(tls);
    Session { wire: talk.stream.socket().octets, ..talk.session }
}

struct Talk {
    stream: Stream,
    /// Takes one read; kept, because clearing it anew for each would be a part of what is measured.
    buffer: Box<[u8]>,
    /// Received and not yet consumed.
    pending: Vec<u8>,
    /// Written when nothing more can be done with what was received.
    replies: Vec<u8>,
    session: Session,
    manner: Manner,
    ledger: Arc<Ledger>,
    logged_in: bool,
}

impl Talk {
    fn hold(&mut self, tls: &Arc<ServerConfig>) -> Result<()> {
        self.stream.socket().prepare()?;
        if !self.manner.starttls {
            self.start_tls(tls)?;
        }
        self.reply("220 bench.example ESMTP");
        loop {
            let line = self.line()?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.greet(),
                "STARTTLS" => {
                    self.reply("220 2.0.0 go ahead");
                    self.flush()?;
                    self.start_tls(tls)?;
                }
                "AUTH" => self.log_in(rest)?,
                "MAIL" if !self.logged_in => self.reply("530 5.7.0 authentication required"),
                "MAIL" => self.reply("250 2.1.0 sender ok"),
                "RCPT" => {
                    self.session.recipients += 1;
                    self.reply("250 2.1.5 recipient ok");
                }
                "DATA" => {
                    self.reply("354 go ahead");
                    self.flush()?;
                    self.data()?;
                }
                "BDAT" => self.chunk(rest)?,
                "QUIT" => {
                    self.reply("221 2.0.0 bye");
                    return self.flush();
                }
                "NOOP" | "RSET" => self.reply("250 2.0.0 ok"),
                _ => self.reply("500 5.5.2 what?"),
            }
        }
    }

    /// One round trip: ClientHello and what is said to it. The client's Finished travels with its next words, and
    /// the session tickets with the reply to those.
    fn start_tls(&mut self, tls: &Arc<ServerConfig>) -> Result<()> {
        self.session.round_trips += 1;
        self.stream.start_tls(Arc::clone(tls))
    }

    fn greet(&mut self) {
        self.reply(
            "250-bench.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES",
        );
        if self.manner.chunking {
            self.reply("250-CHUNKING");
        }
        if matches!(self.stream, Stream::Plain(_)) {
            self.reply("250-STARTTLS");
        } else {
            self.reply("250-AUTH PLAIN");
        }
        self.reply("250 SMTPUTF8");
    }

    fn log_in(&mut self, words: &str) -> Result<()> {
        let mut response = words.split(' ').nth(1).unwrap_or("").to_owned();
        if response.is_empty() {
            self.reply("334 ");
            response = self.line()?;
        }
        // Some say before it whom they act for.
        let said = STANDARD.decode(&response).unwrap_or_default();
        self.logged_in = said.ends_with(format!("\0{USER}\0{PASSWORD}").as_bytes());
        self.reply(if self.logged_in { "235 2.7.0 welcome" } else { "535 5.7.8 who are you?" });
        Ok(())
    }

    /// The message behind DATA, up to the line with the lone dot.
    fn data(&mut self) -> Result<()> {
        let end = memmem::Finder::new("\r\n.\r\n");
        let mut tail = Vec::new();
        loop {
            if let Some(at) = end.find(&self.pending) {
                keep_tail(&mut tail, &self.pending[..at + 2]);
                self.pending.drain(..at + 5);
                break;
            }
            let keep = self.pending.len().min(4);
            let done = self.pending.len() - keep;
            keep_tail(&mut tail, &self.pending[..done]);
            self.pending.drain(..done);
            self.fill()?;
        }
        self.judge(&tail);
        Ok(())
    }

    fn chunk(&mut self, words: &str) -> Result<()> {
        let mut words = words.split(' ');
        let mut left: usize = words.next().and_then(|size| size.parse().ok()).context("BDAT without a size")?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut tail = Vec::new();
        while left > 0 {
            if self.pending.is_empty() {
                self.fill()?;
            }
            let taken = left.min(self.pending.len());
            keep_tail(&mut tail, &self.pending[..taken]);
            self.pending.drain(..taken);
            left -= taken;
        }
        if last {
            self.judge(&tail);
        } else {
            self.reply("250 2.0.0 chunk ok");
        }
        Ok(())
    }

    fn judge(&mut self, tail: &[u8]) {
        // lettre ends every message with one empty line more.
        if tail.trim_ascii_end().ends_with(LAST_LINE.as_bytes()) {
            self.session.accepted += 1;
            self.ledger.count();
            self.reply("250 2.0.0 queued as BENCH");
        } else {
            self.reply("554 5.6.0 the end of the message is missing");
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.pending) {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            ensure!(self.pending.len() < 4096, "endless line");
            self.fill()?;
        }
    }

    fn reply(&mut self, text: &str) {
        self.replies.extend_from_slice(text.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    fn flush(&mut self) -> Result<()> {
        if !self.replies.is_empty() {
            self.session.round_trips += 1;
            self.stream.write(&self.replies)?;
            self.replies.clear();
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        self.flush()?;
        let length = self.stream.read(&mut self.buffer)?;
        self.pending.extend_from_slice(&self.buffer[..length]);
        ensure!(length > 0, "the client closed");
        Ok(())
    }
}

/// Appends, and forgets all but the last octets, which are enough to see how the message ended.
fn keep_tail(tail: &mut Vec<u8>, octets: &[u8]) {
    tail.extend_from_slice(&octets[octets.len().saturating_sub(64)..]);
    tail.drain(..tail.len().saturating_sub(64));
}
