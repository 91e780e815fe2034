//! Where a browser on this machine brings the authorization code: a redirect URI of the loopback interface
//! (RFC 8252 7.3).

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use super::code::{Authorization, Redirected};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::secret::Secret;
use crate::wire::wait;

/// The longest request line with header section, in octets: a browser adds the cookies of whatever else
/// runs on this host.
const HEAD_LIMIT: usize = 32 << 10;

/// How long a visitor may take to say what it wants. Browsers open connections they may not need.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many visitors are heard at once; for one more, the one that has been silent longest goes.
const VISITORS: usize = 64;

/// A visitor whose request is not complete yet.
struct Visitor {
    stream: TcpStream,
    head: Vec<u8>,
    until: Deadline,
}

/// A page. Nothing of a request is ever in it.
struct Page {
    status: &'static str,
    text: &'static str,
}

const GRANTED: Page = Page { status: "200 OK", text: "The login has arrived. Go back to the terminal." };
const REFUSED: Page = Page { status: "200 OK", text: "The login was not granted. The terminal says why." };
const FOREIGN: Page = Page {
    status: "400 Bad Request",
    text: "This is not the answer to the login that is waiting. Open the address that the terminal shows.",
};
const NOT_FOUND: Page = Page { status: "404 Not Found", text: "There is nothing here." };
const TOO_LARGE: Page = Page { status: "431 Request Header Fields Too Large", text: "The browser sent too much." };

/// Listens for the answer.
#[derive(Debug)]
pub struct Loopback {
    listeners: Vec<TcpListener>,
    uri: String,
}

impl Loopback {
    /// Listens on a port that the system chooses; `host` is the redirect URI's, `127.0.0.1` or `localhost`.
    ///
    /// # Errors
    /// `System`: it cannot listen.
    pub fn open(host: &str) -> Result<Self, Failure> {
        let open = || -> io::Result<Self> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            let mut listeners = vec![listener];
            if host == "localhost" {
                // A browser may take the name for either address. Who else gets the code cannot redeem it.
                listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)));
            }
            for listener in &listeners {
                listener.set_nonblocking(true)?;
            }
            Ok(Self { listeners, uri: format!("http://{host}:{port}") })
        };
        open().map_err(|error| failed(&error))
    }

    /// The redirect URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Waits until a browser brings the answer to `authorization`.
    ///
    /// # Errors
    /// What it refuses; `Unavailable` when the deadline is over.
    pub fn wait(&self, authorization: &Authorization, deadline: Deadline) -> Result<Secret, Failure> {
        let mut visitors: Vec<Visitor> = Vec::new();
        loop {
            if deadline.is_over() {
                return Err(Failure::new(Kind::Unavailable, "login", "no browser came back in time"));
            }
            visitors.retain(|visitor| !visitor.until.is_over());
            let mut polled: Vec<_> = visitors.iter().map(|visitor| visitor.stream.as_fd()).collect();
            polled.extend(self.listeners.iter().map(|listener| listener.as_fd()));
            let mut polled: Vec<_> = polled.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            let first = visitors.iter().map(|visitor| visitor.until.left()).min();
            wait(&mut polled, first.map_or(deadline, |first| deadline.within(first)))
                .map_err(|error| failed(&error))?;
            let ready: Vec<bool> = polled.iter().map(|polled| polled.any().unwrap_or(true)).collect();
            for index in (0..visitors.len()).rev().filter(|index| ready[*index]) {
                let Some(answer) = visitors[index].answer(authorization) else { continue };
                drop(visitors.remove(index));
                match answer {
                    Redirected::Code(code) => return Ok(code),
                    Redirected::Refused(failure) => return Err(failure),
                    Redirected::Foreign => {}
                }
            }
            for listener in &self.listeners {
                let Ok(visitor) = Visitor::accept(listener) else { continue };
                if visitors.len() == VISITORS {
                    // A browser says at once what it wants: whoever only holds a place keeps nobody waiting.
                    drop(visitors.remove(0));
                }
                visitors.push(visitor);
            }
        }
    }
}

impl Visitor {
    fn accept(listener: &TcpListener) -> io::Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, head: Vec::new(), until: Deadline::after(PATIENCE) })
    }

    /// Reads what there is; once the request is complete it is answered, and so is this visitor done.
    fn answer(&mut self, authorization: &Authorization) -> Option<Redirected> {
        let mut octets = [0; 4096];
        let is_over = match self.stream.read(&mut octets) {
            Ok(0) => true,
            Ok(count) => {
                self.head.extend_from_slice(&octets[..count]);
                false
            }
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        let (page, answer) = if self.head.windows(4).any(|four| four == b"\r\n\r\n") {
            judge(&self.head, authorization)
        } else if self.head.len() > HEAD_LIMIT {
            (&TOO_LARGE, Redirected::Foreign)
        } else {
            return is_over.then_some(Redirected::Foreign);
        };
        // A page is smaller than what a socket takes at once; a visitor that is gone needs none.
        let _ = self.stream.write_all(page.response().as_bytes());
        Some(answer)
    }
}

/// What is said to a request, and what it answers.
fn judge(head: &[u8], authorization: &Authorization) -> (&'static Page, Redirected) {
    let line = head.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let Some(query) = line.strip_prefix("GET /?").and_then(|rest| rest.split(' ').next()) else {
        return (&NOT_FOUND, Redirected::Foreign);
    };
    let answer = authorization.read(query);
    let page = match answer {
        Redirected::Code(_) => &GRANTED,
        Redirected::Refused(_) => &REFUSED,
        Redirected::Foreign => &FOREIGN,
    };
    (page, answer)
}

impl Page {
    fn response(&self) -> String {
        let Self { status, text } = self;
        let body = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>mailchute</title></head>\
             <body><p>{text}</p></body></html>\n"
        );
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(Kind::System, "loopback interface", format!("cannot be listened on: {error}"))
        .hint("log in with `--paste`")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::code::tests::authorization;
    use super::*;

    fn get(uri: &str, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(uri.strip_prefix("http://").expect("http")).expect("a connection");
        stream.write_all(request).expect("a request");
        let mut said = String::new();
        // A visitor that says too much is answered while it still speaks.
        let _ = stream.read_to_string(&mut said);
        said
    }

    #[test]
    fn the_answer_is_found_among_other_visitors() {
        let loopback = Loopback::open("127.0.0.1").expect("a port");
        let uri = loopback.uri().to_owned();
        let browser = thread::spawn(move || {
            // One that says nothing, and one that is gone.
            let place = uri.strip_prefix("http://").expect("http");
            let _silent = TcpStream::connect(place).expect("a connection");
            drop(TcpStream::connect(place).expect("a connection"));
            for (request, status) in [
                (&b"GET /favicon.ico HTTP/1.1\r\n\r\n"[..], "404"),
                (b"GET / HTTP/1.1\r\n\r\n", "404"),
                (b"POST /?code=x&state=the+state HTTP/1.1\r\n\r\n", "404"),
                (b"\xff\xfe\r\n\r\n", "404"),
                (b"GET /?code=<script>&state=another HTTP/1.1\r\n\r\n", "400"),
                (b"GET /?code=x&state=the+state HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
            ] {
                let said = get(&uri, request);
                assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
                assert!(!said.contains("<script>"), "{said}");
            }
        });
        let code = loopback.wait(&authorization(), Deadline::after(Duration::from_secs(20)));
        browser.join().expect("every page");
        assert_eq!(code.expect("a code").expose(), "x");
    }

    #[test]
    fn idle_connections_keep_no_browser_waiting() {
        let loopback = Loopback::open("127.0.0.1").expect("a port");
        let uri = loopback.uri().to_owned();
        let browser = thread::spawn(move || {
            let place = uri.strip_prefix("http://").expect("http");
            let idle: Vec<_> = (0..3 * VISITORS).map(|_| TcpStream::connect(place).expect("a connection")).collect();
            let said = get(&uri, b"GET /?code=x&state=the+state HTTP/1.1\r\n\r\n");
            assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
            drop(idle);
        });
        // Less than a visitor's patience.
        let code = loopback.wait(&authorization(), Deadline::after(PATIENCE / 2));
        browser.join().expect("the page");
        assert_eq!(code.expect("a code").expose(), "x");
    }

    #[test]
    fn a_request_without_end_and_a_login_without_answer_end() {
        let loopback = Loopback::open("localhost").expect("a port");
        let uri = loopback.uri().replace("localhost", "127.0.0.1");
        let browser = thread::spawn(move || get(&uri, &[b'x'; HEAD_LIMIT + 1]));
        let failure = loopback.wait(&authorization(), Deadline::after(Duration::from_millis(300)));
        assert_eq!(failure.expect_err("nobody came").kind, Kind::Unavailable);
        drop(loopback);
        let said = browser.join().expect("a page or none");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    }
}
