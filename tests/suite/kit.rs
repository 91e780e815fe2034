//! The kit itself: what the other modules rely on.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use testkit::{Action, Case, Identity, Moment, Script, Server, escaped, matches};

/// A client of a few lines: says each, and answers the last line of each reply.
fn converse(port: u16, lines: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(testkit::PATIENCE)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut reply = || loop {
        match replies.next() {
            Some(Ok(line)) if line.as_bytes().get(3) == Some(&b'-') => {}
            Some(Ok(line)) => return line,
            _ => return String::new(),
        }
    };
    let mut heard = vec![reply()];
    for line in lines {
        if stream.write_all(format!("{line}\r\n").as_bytes()).is_err() {
            break;
        }
        heard.push(reply());
    }
    heard
}

#[test]
fn a_server_takes_a_message_and_tells_about_it() {
    let server = Server::new().start();
    let lines = ["EHLO me", "MAIL FROM:<a@b> SIZE=3", "RCPT TO:<c@d>", "DATA", "..x\r\n.", "QUIT"];
    let heard = converse(server.port(), &lines);
    assert_eq!(heard[5], "250 2.0.0 queued as 4F2A1");
    let sessions = server.finish();
    let delivery = &sessions[0].deliveries[0];
    assert_eq!((delivery.reverse_path.as_str(), delivery.parameters.as_str()), ("a@b", "SIZE=3"));
    assert_eq!((delivery.forward_paths(), delivery.text().as_str()), (vec!["c@d"], ".x\r\n"));
    assert!(sessions[0].quit && !sessions[0].tls);
}

#[test]
fn chunks_come_to_the_last_octet() {
    let server = Server::new().start();
    let flight = "MAIL FROM:<>\r\nRCPT TO:<c@d>\r\nBDAT 5 LAST\r\n.\r\n.x";
    converse(server.port(), &["EHLO me", flight, "NOOP"]);
    assert_eq!(server.finish()[0].deliveries[0].octets, b".\r\n.x");
}

#[test]
fn moods_and_logins() {
    let server = Server::new()
        .login("tim", "tanstaaftanstaaf", &["PLAIN", "CRAM-MD5"])
        .reply(Moment::RcptOf("c@d".into()), "550-5.1.1 no\n550 5.1.1 really")
        .at(Moment::Data, Action::Close)
        .start();
    let lines =
        ["EHLO me", "MAIL FROM:<a@b>", "AUTH PLAIN AHRpbQB3cm9uZw==", "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm"];
    let heard = converse(server.port(), &[&lines[..], &["MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"]].concat());
    let codes: Vec<&str> = heard.iter().map(|reply| reply.get(..3).unwrap_or("")).collect();
    assert_eq!(codes, ["220", "250", "530", "535", "235", "250", "550", ""]);
}

#[test]
fn lmtp_answers_for_every_recipient() {
    let server = Server::new().lmtp().reply(Moment::MessageOf("e@f".into()), "452 4.2.2 full").start();
    let lines = ["EHLO me", "LHLO me", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "RCPT TO:<e@f>", "BDAT 1 LAST\r\nx", "NOOP"];
    let heard = converse(server.port(), &lines);
    assert_eq!(heard[1], "500 5.5.1 command not known here");
    assert_eq!(heard[6..], ["250 2.0.0 delivered", "452 4.2.2 full"]);
}

#[test]
fn a_script_says_its_lines_and_complains() {
    let text = "S: 220 hello\nC: EHLO *\nraw: 250 \\xe9\\r\\n\nC: QUIT\nend";
    let script = Script::play(text, Identity::Good);
    converse(script.port(), &["EHLO me", "NOOP"]);
    assert_eq!(script.finish().complaints, ["expected `QUIT`, heard `NOOP`"]);
    let script = Script::play(text, Identity::Good);
    assert_eq!(script.finish().complaints, ["the client did not connect"]);
}

#[test]
fn patterns_escapes_and_cases() {
    assert!(matches("a*c*", "abcd") && matches("*", "") && matches("a", "a"));
    assert!(!matches("a*b", "a") && !matches("a", "ab") && !matches("ab*ba", "aba"));
    assert_eq!(escaped(r"a\r\n\0\xff\\"), b"a\r\n\0\xff\\");
    let case = Case::parse("x".as_ref(), "# about\na: 1\na: 2\n--- b\nc: d\n\n--- e f\n");
    assert_eq!(case.values("a").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((case.block("b"), case.block("e f")), (Some("c: d\n\n"), Some("")));
}
