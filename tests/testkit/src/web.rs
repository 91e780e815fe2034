//! An HTTP/1.1 server that answers as it is told, and keeps what it was asked.

use std::io;
use std::thread::{self, JoinHandle};

use crate::certs::{Certs, Identity};
use crate::channel::{Channel, Socket};
use crate::door::{Door, Key};

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header fields in order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// The number of the connection it came over, from 1 on.
    pub connection: usize,
}

impl Asked {
    /// The first header field called `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Says these octets and closes the connection.
    Octets(Vec<u8>),
    /// Says these octets and takes another request over the same connection.
    Stay(Vec<u8>),
    /// Closes the connection without a word.
    Close,
    /// Says nothing until the client is gone.
    Hang,
}

impl Answer {
    /// A whole response: status line and header fields in lines, an empty line, the body. A Content-Length
    /// is added where there is none.
    pub fn text(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let body = body.trim_end_matches('\n');
        let mut out: String = head.lines().map(|line| format!("{line}\r\n")).collect();
        let lower = out.to_ascii_lowercase();
        if !lower.contains("\r\ncontent-length:") && !lower.contains("\r\ntransfer-encoding:") {
            out += &format!("Content-Length: {}\r\n", body.len());
        }
        Self::Octets((out + "\r\n" + body).into_bytes())
    }
}

/// A server that runs; it is ended by [`Web::finish`].
pub struct Web {
    port: u16,
    key: Key,
    worker: JoinHandle<Vec<Asked>>,
}

impl Web {
    /// Listens on 127.0.0.1, with TLS if `identity` is given, and answers each request with what `answer`
    /// says. A connection carries one request, unless that says otherwise.
    ///
    /// # Panics
    /// It cannot listen.
    pub fn start(identity: Option<Identity>, answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        Self::start_at(0, identity, answer)
    }

    /// The same at this port, which is free in a network of the test's own, see [`crate::Host::leave_network`].
    ///
    /// # Panics
    /// It cannot listen.
    pub fn start_at(
        port: u16,
        identity: Option<Identity>,
        mut answer: impl FnMut(&Asked) -> Answer + Send + 'static,
    ) -> Self {
        let (door, key, address) = Door::tcp_at(port);
        let worker = thread::spawn(move || {
            let (mut heard, mut connections) = (Vec::new(), 0);
            while let Some(client) = door.next() {
                connections += 1;
                // A client that breaks off, during the handshake perhaps, is the test's business.
                let _ = serve(client, connections, identity, &mut answer, &mut heard);
            }
            heard
        });
        Self { port: address.port(), key, worker }
    }

    /// One that answers every request with `text`; see [`Answer::text`].
    pub fn saying(text: &str) -> Self {
        let answer = Answer::text(text);
        Self::start(None, move |_| answer.clone())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it and hands out every request that came, in order.
    ///
    /// # Panics
    /// `answer` did.
    pub fn finish(self) -> Vec<Asked> {
        drop(self.key);
        self.worker.join().expect("an answer that can be given")
    }
}

fn serve(
    client: Socket,
    connection: usize,
    identity: Option<Identity>,
    answer: &mut impl FnMut(&Asked) -> Answer,
    heard: &mut Vec<Asked>,
) -> io::Result<()> {
    let mut channel = Channel::new(client, false)?;
    if let Some(identity) = identity {
        channel.start_tls(Certs::shared().config(identity), true)?;
    }
    while let Some(asked) = request(&mut channel)? {
        let answer = answer(&asked);
        heard.push(Asked { connection, ..asked });
        match answer {
            Answer::Stay(octets) => {
                channel.say(&octets);
                channel.flush()?;
                continue;
            }
            Answer::Octets(octets) => channel.say(&octets),
            Answer::Close => {}
            Answer::Hang => drop(channel.wait_for_close()),
        }
        break;
    }
    channel.flush()
}

fn request(channel: &mut Channel) -> io::Result<Option<Asked>> {
    let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
    let Some(first) = channel.line()?.map(text) else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut asked = Asked { method, target, ..Asked::default() };
    while let Some(line) = channel.line()?.map(text).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        asked.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    asked.body = channel.octets(length)?;
    Ok(Some(asked))
}
