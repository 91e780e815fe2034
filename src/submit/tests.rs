//! Messages one after the other, through one relay, against scripted servers on loopback.

mod model;
mod reference;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::{Mutex, mpsc};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags};

use super::*;
use crate::config::relay::TlsMode;
use crate::envelope::{Dsn, Envelope};
use crate::message::Message;
use crate::wire::connection::tests::{listener, patience, relay_of};
use crate::wire::wait;

const EVERYTHING: &str = "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
const PIPELINING: &str = "250-mx\r\n250 PIPELINING\r\n";
const BARE: &str = "250 mx\r\n";

const MAIL: &str = "MAIL FROM:<a@example.org>";
const BODY: &str = "Subject: test\r\n\r\nhello\r\n";

/// What the server says to a line on the connection of this number; `None`: what is usual. Empty: it closes.
type Mood = fn(usize, &str) -> Option<&'static str>;

/// Serves `count` connections one after the other. What each of them said, a string for each flight.
fn serve(
    listener: TcpListener,
    keywords: &'static str,
    count: usize,
    mood: impl Fn(usize, &str) -> Option<&'static str> + Send + 'static,
) -> JoinHandle<Vec<Vec<String>>> {
    thread::spawn(move || (0..count).map(|number| serve_one(&listener, keywords, |line| mood(number, line))).collect())
}

fn serve_one(listener: &TcpListener, keywords: &str, mood: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
    let mut flights: Vec<String> = Vec::new();
    assert!(wait(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], patience()).unwrap(), "nobody comes");
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(patience().left())).unwrap();
    let mut stream = BufReader::new(stream);
    let mut replies = "220 hi\r\n".to_owned();
    loop {
        if stream.buffer().is_empty() {
            stream.get_mut().write_all(std::mem::take(&mut replies).as_bytes()).unwrap();
            if stream.fill_buf().unwrap_or_default().is_empty() {
                return flights;
            }
            flights.push(String::new());
        }
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let verb = line.split_whitespace().next().unwrap_or_default().to_owned();
        let flight = flights.last_mut().unwrap();
        flight.push_str(line.trim_end());
        flight.push('|');
        if verb == "BDAT" {
            let size = line.split(' ').nth(1).unwrap().parse().unwrap();
            let mut body = vec![0; size];
            stream.read_exact(&mut body).unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), BODY);
        }
        match mood(line.trim_end()) {
            Some("") => return flights,
            Some(reply) => replies.push_str(&format!("{reply}\r\n")),
            None if verb == "EHLO" => replies.push_str(keywords),
            None if verb == "DATA" => replies.push_str("354 go\r\n"),
            // The message, up to its end.
            None if verb == "Subject:" => {
                while !line.ends_with("\r\n.\r\n") && stream.read_line(&mut line).unwrap() > 0 {}
            }
            None => replies.push_str("250 ok\r\n"),
        }
        if verb == "Subject:" {
            replies.push_str("250 ok\r\n");
        }
    }
}

/// Somebody who submits one message after the other to a server.
struct Submitter {
    route: Vec<Arc<Relay>>,
    message: Message,
    upstream: Upstream,
}

impl Submitter {
    fn to(listener: &TcpListener) -> Self {
        let message = Message::read(&mut BODY.as_bytes(), false).unwrap();
        Self { route: vec![Arc::new(relay_of(listener, TlsMode::None))], message, upstream: Upstream::of(1) }
    }

    fn submit(&mut self, to: &str, hand_over: HandOver) -> Submission {
        let envelope = Envelope {
            reverse_path: Some("a@example.org".parse().unwrap()),
            forward_paths: to.split(' ').map(|to| to.parse().unwrap()).collect(),
            dsn: Dsn::default(),
        };
        let manner = Manner {
            route: self.route.as_slice().into(),
            terms: Terms { deadline: patience().span(), ..Terms::default() },
            breaker: None,
            host_name: "web.example.org",
            begin: &|_| None,
            keyed: &|_| (),
            hand_over: &Arc::new(hand_over),
        };
        submit_over(MailObject { envelope: &envelope, message: &self.message }, manner, &mut self.upstream)
    }

    /// The code of the decisive reply to a message for `to`, or why there is none.
    fn code(&mut self, to: &str) -> Result<u16, Kind> {
        let submission = self.submit(to, HandOver::default());
        let result = submission.decisive().result.as_ref();
        result.map(|outcome| outcome.decisive().unwrap().1.code()).map_err(|failure| failure.kind.clone())
    }
}

/// The codes of messages to each of `all`, and what the server heard on `count` connections.
fn submitted(all: &[&str], keywords: &'static str, count: usize, mood: Mood) -> (Vec<u16>, Vec<Vec<String>>) {
    let listener = listener();
    let mut submitter = Submitter::to(&listener);
    let server = serve(listener, keywords, count, mood);
    let codes = all.iter().map(|to| submitter.code(to).unwrap()).collect();
    drop(submitter);
    (codes, server.join().unwrap())
}

fn flight(to: &str) -> String {
    format!("{MAIL}|RCPT TO:<{to}>|BDAT {} LAST|", BODY.len())
}

#[test]
fn each_further_message_costs_one_round_trip() {
    let all = ["b@example.org", "c@example.org", "d@example.org"];
    let (codes, heard) = submitted(&all, EVERYTHING, 1, |_, _| None);
    assert_eq!(codes, [250; 3]);
    let mut flights = vec!["EHLO web.example.org|".to_owned()];
    flights.extend(all.map(flight));
    flights.push("QUIT|".to_owned());
    assert_eq!(heard, [flights]);
}

#[test]
fn without_extensions_a_session_is_kept_all_the_same() {
    for (keywords, flights) in [(PIPELINING, 1 + 3 * 2 + 1), (BARE, 1 + 3 * 4 + 1)] {
        let (codes, heard) = submitted(&["b@example.org"; 3], keywords, 1, |_, _| None);
        assert_eq!((codes, heard[0].len()), (vec![250; 3], flights), "{heard:?}");
    }
}

#[test]
fn a_refused_message_leaves_the_session_to_the_next_one() {
    for keywords in [EVERYTHING, BARE] {
        for refused in ["MAIL", "RCPT TO:<no@example.org>", "BDAT", "DATA"] {
            let mood = move |_, line: &str| {
                let is_refused = line.starts_with(refused) && !line.contains("ok@");
                is_refused.then_some("550 5.7.1 no")
            };
            let listener = listener();
            let mut submitter = Submitter::to(&listener);
            let is_refused_once = Mutex::new(false);
            let server = serve(listener, keywords, 1, move |number, line| {
                let mut is_over = is_refused_once.lock().unwrap();
                if line.starts_with("RSET") {
                    *is_over = true;
                }
                if *is_over { None } else { mood(number, line) }
            });
            let expected = if (refused == "BDAT") == (keywords == EVERYTHING) || refused.starts_with(['M', 'R']) {
                550
            } else {
                250
            };
            assert_eq!(submitter.code("no@example.org"), Ok(expected), "{refused}");
            assert_eq!(submitter.code("ok@example.org"), Ok(250), "{refused}");
            drop(submitter);
            let heard = server.join().unwrap();
            assert_eq!(heard[0].iter().filter(|flight| **flight == "RSET|").count(), usize::from(expected == 550));
        }
    }
}

#[test]
fn nothing_is_said_into_a_message_that_is_not_to_be() {
    // RCPT is refused, and DATA gets its 354 all the same.
    let mood: Mood = |_, line| line.contains("no@").then_some("550 5.1.1 no such user");
    let (codes, heard) = submitted(&["no@example.org", "b@example.org"], PIPELINING, 2, mood);
    assert_eq!(codes, [550, 250]);
    assert_eq!(heard[0].last().unwrap(), &format!("{MAIL}|RCPT TO:<no@example.org>|DATA|"));
}

#[test]
fn a_session_that_ends_is_no_failure_of_the_relays() {
    let goodbyes: [Mood; 4] = [
        |number, line| (number == 0 && line == "RCPT TO:<c@example.org>").then_some("421 4.4.2 enough"),
        |number, line| (number == 0 && line == "RCPT TO:<c@example.org>").then_some(""),
        // Said and closed behind the first message, before it is asked again.
        |number, line| (number == 0 && line.starts_with("BDAT")).then_some("250 ok\r\n421 4.4.2 idle"),
        |number, line| (number == 0 && line.starts_with("DATA")).then_some("421 4.3.2 going down"),
    ];
    for (place, (keywords, mood)) in [EVERYTHING, BARE, EVERYTHING, BARE].into_iter().zip(goodbyes).enumerate() {
        let all = ["b@example.org", "c@example.org", "d@example.org"];
        let listener = listener();
        let mut submitter = Submitter::to(&listener);
        let server = serve(listener, keywords, 2, mood);
        let codes: Vec<_> = all.iter().map(|to| submitter.code(to)).collect();
        drop(submitter);
        let heard = server.join().unwrap();
        // The very first message of a session has no other to fall back to.
        let first = if place == 3 { 421 } else { 250 };
        assert_eq!(codes, [Ok(first), Ok(250), Ok(250)], "{place}: {heard:?}");
    }
}

#[test]
fn a_session_carries_a_hundred_messages() {
    let (codes, heard) = submitted(&["b@example.org"; 101], EVERYTHING, 2, |_, _| None);
    assert_eq!(codes, [250; 101]);
    assert_eq!(heard.iter().map(Vec::len).collect::<Vec<_>>(), [101, 3], "the hundredth says goodbye with itself");
}

#[test]
fn a_mark_stands_before_the_last_octet_leaves() {
    for keywords in [EVERYTHING, PIPELINING, BARE] {
        let listener = listener();
        let mut submitter = Submitter::to(&listener);
        let (told, marks) = mpsc::channel();
        let marks = Mutex::new(marks);
        let server = serve(listener, keywords, 1, move |_, line| {
            let is_message = line.starts_with("BDAT") || line.starts_with("Subject");
            (is_message && marks.lock().unwrap().try_recv() != Ok("main".to_owned())).then_some("554 no mark")
        });
        for _ in 0..2 {
            let told = told.clone();
            let mark = HandOver::marked(Box::new(move |relay| {
                told.send(relay.to_owned()).unwrap();
                Ok(())
            }));
            let submission = submitter.submit("b@example.org", mark);
            assert!(submission.decisive().result.as_ref().unwrap().is_accepted());
        }
        drop(submitter);
        server.join().unwrap();
    }
}

#[test]
fn without_its_mark_nobody_has_the_message() {
    for keywords in [EVERYTHING, PIPELINING, BARE] {
        let listener = listener();
        let mut submitter = Submitter::to(&listener);
        let server = serve(listener, keywords, 1, |_, _| None);
        let failure = Failure::new(Kind::Io, "entry", "cannot be written: disk full");
        let submission = submitter.submit("b@example.org", HandOver::marked(Box::new(move |_| Err(failure.clone()))));
        assert_eq!(submission.decisive().result.as_ref().unwrap_err().kind, Kind::Io);
        drop(submitter);
        let heard = server.join().unwrap().concat().concat();
        assert!(!heard.contains("BDAT") && !heard.contains("Subject"), "{heard}");
    }
}
