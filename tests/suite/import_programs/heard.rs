//! A server on loopback that hears what a program says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use testkit::PATIENCE;

/// What a program told a server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// `implicit`, `starttls` or nothing: then the conversation ends there.
    pub(super) tls: &'static str,
    pub(super) hello: String,
    pub(super) login: Option<(String, String)>,
    pub(super) sender: String,
    pub(super) recipient: String,
    pub(super) from: String,
}

/// What `program` tells a server at `listener` of a message, and how it ends.
pub(super) fn talk(program: &mut Command, listener: TcpListener, message: &str) -> (Heard, ExitStatus) {
    let place = listener.local_addr().expect("its address");
    let hearing = thread::spawn(move || hear(&listener));
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let _ = child.stdin.take().expect("piped").write_all(message.as_bytes());
    let status = child.wait().expect("the program ends");
    // One that never came is set free.
    let _ = TcpStream::connect(place);
    (hearing.join().expect("the server"), status)
}

/// What `program` tells a server at `listener`, where it does not end by itself: until the conversation is over, or until
/// `until` says that there is none. Then it is ended, with whatever it has started.
pub(super) fn overhear(
    program: &mut Command,
    listener: TcpListener,
    message: &str,
    until: impl FnOnce(&mut Child) + Send,
) -> Heard {
    let place = listener.local_addr().expect("its address");
    let mut child = program.stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().expect("it starts");
    let group = Pid::from_raw(i32::try_from(child.id()).expect("a process"));
    let _ = child.stdin.take().expect("piped").write_all(message.as_bytes());
    thread::scope(|scope| {
        let hearing = scope.spawn(move || hear(&listener));
        let waiting = scope.spawn(move || {
            until(&mut child);
            // One that never came is set free.
            let _ = TcpStream::connect(place);
            child
        });
        let heard = hearing.join().expect("the server");
        let _ = killpg(group, Signal::SIGKILL);
        let _ = waiting.join().expect("the end").wait();
        heard
    })
}

/// Listens for one conversation on `listener`, and takes everything.
fn hear(listener: &TcpListener) -> Heard {
    let (mut stream, _) = listener.accept().expect("a client");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut heard = Heard::default();
    if stream.write_all(b"220 mail.example.net\r\n").is_err() {
        return heard;
    }
    // A client that speaks TLS at once does not wait for the greeting.
    let mut first = [0; 1];
    if stream.peek(&mut first).is_ok_and(|count| count == 1 && first[0] == 22) {
        heard.tls = "implicit";
        return heard;
    }
    let mut lines = BufReader::new(stream.try_clone().expect("a second end"));
    let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    let (mut is_data, mut is_header) = (false, true);
    while let Some(line) = next(&mut lines) {
        let upper = line.to_uppercase();
        if is_data {
            match line.as_str() {
                "." => {
                    is_data = false;
                    say("250 ok\r\n");
                }
                "" => is_header = false,
                line if is_header && upper.starts_with("FROM:") => heard.from = line[5..].trim().to_owned(),
                _ => {}
            }
            continue;
        }
        let goes_on = match upper.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" | "HELO" => {
                heard.hello = line[4..].trim().to_owned();
                say("250-mail.example.net\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n")
            }
            "STARTTLS" => {
                heard.tls = "starttls";
                return heard;
            }
            "AUTH" => {
                let mut words = line.split(' ').skip(1);
                let is_plain = words.next().is_some_and(|word| word.eq_ignore_ascii_case("PLAIN"));
                let mut answer = |challenge: &str| {
                    words.next().map(str::to_owned).or_else(|| {
                        say(challenge);
                        next(&mut lines)
                    })
                };
                let first = base64(&answer("334 VXNlcm5hbWU6\r\n").unwrap_or_default());
                heard.login = Some(match first.split('\0').collect::<Vec<_>>()[..] {
                    [_, user, password] if is_plain => (user.to_owned(), password.to_owned()),
                    _ => (first, base64(&answer("334 UGFzc3dvcmQ6\r\n").unwrap_or_default())),
                });
                say("235 ok\r\n")
            }
            "MAIL" => {
                heard.sender = line.to_owned();
                say("250 ok\r\n")
            }
            "RCPT" => {
                heard.recipient = line.to_owned();
                say("250 ok\r\n")
            }
            "DATA" => {
                is_data = true;
                say("354 go\r\n")
            }
            "QUIT" => {
                say("221 bye\r\n");
                false
            }
            _ => say("250 ok\r\n"),
        };
        if !goes_on {
            break;
        }
    }
    heard
}

fn next(lines: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    lines.by_ref().take(4096).read_until(b'\n', &mut line).ok().filter(|count| *count > 0)?;
    let line = String::from_utf8_lossy(&line).into_owned();
    Some(line.strip_suffix("\r\n").map_or(line.clone(), str::to_owned))
}

fn base64(text: &str) -> String {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for value in text.bytes().filter_map(digit) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
