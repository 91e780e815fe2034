//! What the caller says, and what comes of it.

use super::*;

/// A caller of a server that answers every request with the next of `answers`, then with 250.
struct Talk {
    server: Server,
    answers: Vec<&'static str>,
    requests: Vec<String>,
}

impl Talk {
    fn new(answers: &[&'static str]) -> Self {
        let mut server = Server::new("web.example.org");
        assert_eq!(server.take_replies(), b"220 web.example.org ESMTP mailchute\r\n");
        Self { server, answers: answers.to_vec(), requests: Vec::new() }
    }

    fn answer(&mut self) {
        let text = if self.answers.is_empty() { "250 2.0.0 ok" } else { self.answers.remove(0) };
        let (code, text) = text.split_once(' ').unwrap();
        let reply = Reply::from_lines(code.parse().unwrap(), [text.as_bytes()]);
        self.server.answer(&reply.into());
    }

    /// The replies to `bytes`.
    fn says(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.server.receive(bytes.as_ref());
        loop {
            match self.server.next_request() {
                Request::Read | Request::Quit => return String::from_utf8(self.server.take_replies()).unwrap(),
                Request::Reset => self.requests.push("reset".to_owned()),
                Request::Mail(mail) => {
                    self.requests
                        .push(format!("from {}", mail.reverse_path.map_or(String::new(), |path| path.to_string())));
                    self.answer();
                }
                Request::Rcpt(all) => {
                    for rcpt in all {
                        self.requests.push(format!("to {}", rcpt.forward_path));
                        self.answer();
                    }
                }
                Request::Message => {
                    let mut all = Vec::new();
                    let mut buffer = [0; 7];
                    while let Content::Octets(count) = self.server.content(&mut buffer) {
                        all.extend_from_slice(&buffer[..count]);
                    }
                    self.requests.push(format!("message {:?}", String::from_utf8_lossy(&all)));
                    self.answer();
                }
            }
        }
    }

    fn codes(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u16> {
        self.says(bytes)
            .lines()
            .filter(|line| line.as_bytes()[3] == b' ')
            .map(|line| line[..3].parse().unwrap())
            .collect()
    }
}

#[test]
fn a_session_of_two_messages() {
    let mut talk = Talk::new(&[]);
    assert_eq!(
        talk.says("EHLO me\r\n"),
        "250-web.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 1073741824\r\n250-DSN\r\n\
         250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
    );
    for _ in 0..2 {
        assert_eq!(talk.codes("mail from:<a@b.example> SIZE=10\r\nRcpt To: <c@d.example>\r\n"), [250, 250]);
        assert_eq!(talk.codes("DATA\r\nx\r\n..y\r\n.\r\n"), [354, 250]);
    }
    assert_eq!(talk.codes("QUIT\r\nMAIL FROM:<>\r\n"), [221]);
    let once = ["from a@b.example", "to c@d.example", "message \"x\\r\\n.y\\r\\n\""];
    assert_eq!(talk.requests, [once, once].concat());
}

#[test]
fn octet_by_octet_and_in_one_flight_the_same() {
    for line_end in ["\r\n", "\n"] {
        let said =
            "EHLO me\nMAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nx\n.\nNOOP\nQUIT\n".replace('\n', line_end);
        let mut flight = Talk::new(&[]);
        let replies = flight.says(&said);
        let mut apart = Talk::new(&[]);
        // The message is taken when it is there.
        let (before, behind) = said.split_at(said.find('x').unwrap() - line_end.len() - 4);
        let mut heard: String = before.bytes().map(|byte| apart.says([byte])).collect();
        heard += &apart.says(behind);
        assert_eq!((heard, apart.requests), (replies, flight.requests));
    }
}

#[test]
fn the_order_is_kept() {
    let mut talk = Talk::new(&["250 ok", "550 5.1.1 who", "550 5.1.1 who", "250 ok", "553 5.7.1 no"]);
    assert_eq!(talk.codes("RCPT TO:<a@b.example>\r\nDATA\r\nRSET\r\n"), [503, 503, 250]);
    assert_eq!(talk.codes("MAIL FROM:<>\r\nDATA\r\nMAIL FROM:<>\r\n"), [250, 503, 503]);
    assert_eq!(talk.codes("RCPT TO:<a@b.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n"), [550, 550, 554]);
    assert_eq!(talk.codes("RSET\r\nMAIL FROM:<>\r\nEHLO me\r\n"), [250, 250, 250]);
    assert_eq!(talk.codes("MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n"), [553, 503]);
    let requests = ["from ", "to a@b.example", "to b@b.example", "reset", "from ", "reset", "from "];
    assert_eq!(talk.requests, requests);
}

#[test]
fn recipients_that_are_here_already_are_asked_for_at_once() {
    let mut talk = Talk::new(&[]);
    assert_eq!(talk.codes("MAIL FROM:<>\r\n"), [250]);
    talk.server.receive(
        "RCPT TO:<a@b.example>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<\u{fc}@b.example>\r\nRCPT TO:<c@b.example>\r\n\
         NOOP\r\nRCPT TO:<d@b.example>\r\nRCPT TO:<e@b.exa"
            .as_bytes(),
    );
    for names in [&["a@b.example", "b@b.example"][..], &["c@b.example"], &["d@b.example"]] {
        let Request::Rcpt(all) = talk.server.next_request() else { panic!("no RCPT") };
        assert_eq!(all.iter().map(|rcpt| rcpt.forward_path.to_string()).collect::<Vec<_>>(), names);
        if names.len() == 2 {
            talk.server.answer(&Reply::own(550, (5, 1, 1), "who").into());
        }
        talk.answer();
    }
    assert_eq!(talk.codes("mple>\r\nDATA\r\n.\r\n"), [550, 250, 553, 250, 250, 250, 250, 354, 250]);
}

#[test]
fn what_is_left_of_a_message_is_no_command() {
    let mut talk = Talk::new(&[]);
    assert_eq!(talk.codes("MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n"), [250, 250]);
    talk.server.receive(b"DATA\r\nx\r\nRCPT TO:<first@b.example>\r\n");
    assert!(matches!(talk.server.next_request(), Request::Message));
    // Too large, say: answered before its end.
    talk.server.answer(&Reply::own(552, (5, 3, 4), "too large").into());
    assert_eq!(talk.codes("MAIL FROM:<evil@b.example>\r\n.\r"), [354, 552]);
    assert_eq!(talk.codes("\nNOOP\r\n"), [250]);
    assert_eq!(talk.requests, ["from ", "to a@b.example"]);
}

#[test]
fn what_is_no_command() {
    let mut talk = Talk::new(&[]);
    for (line, reply) in [
        ("", "500 5.5.2"),
        ("MAIL", "501 5.5.4"),
        ("MAIL FROM:<a@b.example", "501 5.5.4"),
        ("MAIL FROM:<a@b.example>SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE=x", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE=1 size=2", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE=99999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<a@b.example> AUTH=<>", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> ENVID=a+0Ab", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> RET=BODY", "501 5.5.4"),
        ("MAIL FROM:<a@b.example, c@d.example>", "553 5.1.7"),
        ("MAIL FROM:<A (b) <a@b.example>>", "501 5.5.4"),
        ("MAIL FROM:<a@b@c>", "553 5.1.7"),
        ("MAIL FROM:<bj\u{f8}rn@b.example>", "553 5.6.7"),
        ("MAIL FROM:<a@b.example>\rRCPT TO:<x@y.example>", "500 5.5.2"),
        ("MAIL FROM:<a@b.example>\0", "500 5.5.2"),
        ("RCPT TO:<>", "553 5.1.3"),
        ("RCPT TO:<CORP\\jane@b.example>", "553 5.1.3"),
        ("RCPT TO:<CORP\\jane, bob>", "553 5.1.3"),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("VRFY bob", "252 2.0.0"),
        ("STARTTLS", "502 5.5.1"),
        ("EHLO", "501 5.5.4"),
        ("GET / HTTP/1.1", "500 5.5.2"),
        ("NOOP what ever", "250 2.0.0"),
        ("HELP", "214 2.0.0"),
    ] {
        let heard = talk.says(format!("{line}\r\n"));
        assert!(heard.starts_with(reply) && heard.lines().count() == 1, "{line:?} got {heard:?}");
    }
    assert!(talk.says(b"MAIL FROM:<\xff@b.example>\r\n").starts_with("500 5.5.2 "));
    assert!(talk.requests.is_empty(), "{:?}", talk.requests);
}

#[test]
fn paths_in_all_their_forms() {
    for (path, read) in [
        ("<a@b.example>", "a@b.example"),
        (" <a@b.example>", "a@b.example"),
        ("a@b.example", "a@b.example"),
        ("<@x.example,@y.example:a@b.example>", "a@b.example"),
        ("<root>", "root"),
        ("<CORP\\jane>", "\"CORP\\\\jane\""),
        ("<\"a >b\"@c.example>", "\"a >b\"@c.example"),
    ] {
        let mut talk = Talk::new(&[]);
        talk.says(format!("MAIL FROM:<>\r\nRCPT TO:{path} NOTIFY=success,DELAY ORCPT=rfc822;a+2Bb@c.example\r\n"));
        assert_eq!(talk.requests.last().unwrap(), &format!("to {read}"), "{path}");
    }
}

#[test]
fn lines_and_recipients_are_bounded() {
    let mut talk = Talk::new(&[]);
    for _ in 0..100 {
        assert_eq!(talk.says([b'x'; 16 << 10]), "");
        assert!(talk.server.input.len() <= 16 << 10);
    }
    assert_eq!(talk.says("x\r\nNOOP\r\n"), "500 5.5.2 the line is too long\r\n250 2.0.0 ok\r\n");
    talk.says("MAIL FROM:<>\r\n");
    let flight = "RCPT TO:<a@b.example>\r\n".repeat(RECIPIENT_LIMIT + 1);
    let codes = talk.codes(flight);
    assert!(codes[..RECIPIENT_LIMIT].iter().all(|&code| code == 250));
    assert_eq!(codes[RECIPIENT_LIMIT], 452);
}

#[test]
fn parameters_are_decoded() {
    let line = "MAIL FROM:<a@b.example> BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb+20c SIZE=7";
    let Ok(Command::Mail(mail)) = command::parse(line) else { panic!("{line}") };
    assert_eq!((mail.eight_bit, mail.utf8, mail.size), (Some(true), true, Some(7)));
    assert_eq!((mail.ret.as_deref(), mail.envid.as_deref()), (Some("HDRS"), Some("a+b c")));
}
