use super::*;
use crate::address::parse_address;
use crate::message::repair::{self, Needs};
use crate::reply::Enhanced;

fn address(text: &str) -> Address {
    parse_address(text).unwrap().address().unwrap()
}

fn reply(code: u16, enhanced: (u16, u16), text: &str) -> Last {
    let class = (code / 100) as u8;
    Last::Reply(Reply::new(code, Some(Enhanced::new(class, enhanced.0, enhanced.1)), text))
}

fn undelivered(recipient: &str, last: Last) -> Undelivered {
    let tried = Some("2026-11-27T06:00:05+01:00[+01:00]".parse().unwrap());
    Undelivered { recipient: address(recipient), original: None, last, relay: Some("smtp.example.net".into()), tried }
}

/// What is composed of a message: the bounce, its octets as text, and the human, machine and original parts.
struct Composed {
    envelope: Envelope,
    message: Message,
    text: String,
}

impl Composed {
    fn parts(&self) -> Vec<&str> {
        let boundary = self.text.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        let parts: Vec<&str> = self.text.split(&format!("\r\n--{boundary}")).collect();
        assert_eq!(parts.len(), 5, "{}", self.text);
        assert_eq!(parts[4], "--\r\n");
        parts[1..4].to_vec()
    }
}

struct Given {
    from: Option<&'static str>,
    to: &'static str,
    dsn: Dsn,
    message: Vec<u8>,
    recipients: Vec<Undelivered>,
    withheld: Vec<Withheld>,
    others: u64,
}

impl Given {
    fn one(last: Last) -> Self {
        let message = b"From: a@shop.example\nSubject: Invoice =?utf-8?Q?f=C3=BCr?= you\n\nSecret body\n".to_vec();
        let recipients = vec![undelivered("bob@example.org", last)];
        let (from, to) = (Some("orders@shop.example"), "a@shop.example");
        Self { from, to, dsn: Dsn::default(), message, recipients, withheld: Vec::new(), others: 0 }
    }

    fn compose(&self) -> Composed {
        let message = Message::read(&mut self.message.as_slice(), false).unwrap();
        let envelope = Envelope {
            reverse_path: Some(address(self.to)),
            forward_paths: self.recipients.iter().map(|one| one.recipient.clone()).collect(),
            dsn: self.dsn.clone(),
        };
        let from = self.from.map(address);
        let given_up = GivenUp {
            id: "5cc24c0a1b2c",
            host: "web1.example.com",
            from: from.as_ref(),
            envelope: &envelope,
            message: &message,
            taken: &"2026-11-22T06:00:00+01:00[+01:00]".parse().unwrap(),
            now: &"2026-11-27T06:01:00+01:00[+01:00]".parse().unwrap(),
            recipients: &self.recipients,
            withheld: &self.withheld,
            others: self.others,
        };
        let (envelope, message) = compose(&given_up, addressee(&envelope, true).unwrap()).unwrap();
        let octets = octets(&message).unwrap();
        Composed { envelope, message, text: String::from_utf8(octets).unwrap() }
    }
}

#[test]
fn a_refusal_is_told_to_people_and_to_programs() {
    let composed = Given::one(reply(550, (1, 1), "no such user")).compose();
    assert_eq!(composed.envelope.reverse_path, None);
    assert_eq!(composed.envelope.forward_paths, [address("a@shop.example")]);
    assert_eq!(composed.envelope.dsn.notify.as_deref(), Some("NEVER"));
    let header = |name: &str| composed.message.header().first(name).unwrap().text().into_owned();
    for (name, value) in [
        ("From", "\"Mail Delivery System\" <orders@shop.example>"),
        ("To", "<a@shop.example>"),
        ("Subject", "Undelivered: your message to bob@example.org"),
        ("Date", "Fri, 27 Nov 2026 06:01:00 +0100"),
        ("Message-ID", "<5cc24c0a1b2c.bounce@web1.example.com>"),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "multipart/report; report-type=\"delivery-status\"; boundary=\"=5cc24c0a1b2c.0=\""),
    ] {
        assert_eq!(header(name), value);
    }
    let parts = composed.parts();
    assert!(
        parts[0].ends_with(
            "\r\n\r\nYour message could not be delivered, and mailchute on web1.example.com\r\nhas given it up.\r\n\r\n\
         Subject: Invoice f=C3=BCr you\r\nSent:    Sun, 22 Nov 2026 06:00:00 +0100\r\nID:      5cc24c0a1b2c\r\n\r\n\
         bob@example.org\r\n  smtp.example.net refused it: 550 5.1.1 no such user\r\n  \
         -> look for a typing error in the address, or ask the recipient for\r\n  another one\r\n\r\n\
         The same for programs, and the header fields of your message, are\r\nattached.\r\n"
        ),
        "{}",
        parts[0]
    );
    assert_eq!(
        parts[1],
        "\r\nContent-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         Reporting-MTA: dns; web1.example.com\r\nX-Mailchute-ID: 5cc24c0a1b2c\r\n\
         Arrival-Date: Sun, 22 Nov 2026 06:00:00 +0100\r\n\r\n\
         Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Remote-MTA: dns; smtp.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
         Last-Attempt-Date: Fri, 27 Nov 2026 06:00:05 +0100\r\n"
    );
    assert_eq!(
        parts[2],
        "\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
         From: a@shop.example\r\nSubject: Invoice =?utf-8?Q?f=C3=BCr?= you\r\n"
    );
}

#[test]
fn each_ending_has_its_words_and_its_status() {
    for (last, status, diagnostic, words) in [
        (
            reply(451, (7, 1), "greylisted"),
            "4.7.1",
            "smtp; 451 4.7.1 greylisted",
            "put it off until it was too late, at last with: 451 4.7.1 greylisted",
        ),
        (
            Last::Reply(Reply::new(550, Some(Enhanced::new(4, 2, 2)), "full")),
            "5.2.2",
            "smtp; 550 4.2.2 full",
            "-> the mailbox is full",
        ),
        (Last::Reply(Reply::new(550, None, "no")), "5.0.0", "smtp; 550 no", "-> look for a typing error"),
        (Last::Reply(Reply::new(552, None, "")), "5.0.0", "smtp; 552", "full or the message too large"),
        (Last::Reply(Reply::new(421, None, "busy")), "4.0.0", "smtp; 421 busy", "-> send the message again later"),
        (reply(535, (7, 8), "bad login"), "5.7.8", "smtp; 535 5.7.8 bad login", "does not take the login"),
        (reply(550, (7, 1), "spam"), "5.7.1", "smtp; 550 5.7.1 spam", "refused on principle"),
        (reply(552, (3, 4), "big"), "5.3.4", "smtp; 552 5.3.4 big", "with smaller attachments"),
        (reply(553, (1, 8), "who?"), "5.1.8", "smtp; 553 5.1.8 who?", "the sender's address is what was refused"),
        (
            Last::Silence("connection refused".into()),
            "4.4.7",
            "x-mailchute; no reply: connection refused",
            "was out of reach until it was too late, at last with: connection refused",
        ),
        (
            Last::Unfit("bj\u{f8}rn@x.org: needs SMTPUTF8".into()),
            "5.6.3",
            "x-mailchute; bj\\x{F8}rn@x.org: needs SMTPUTF8",
            "smtp.example.net cannot be given it: bj=C3=B8rn@x.org: needs SMTPUTF8",
        ),
        (
            Last::Unsent,
            "5.0.0",
            "x-mailchute; not sent, because another recipient was refused",
            "-> send the message again without the recipient that was refused",
        ),
    ] {
        let is_reply = matches!(last, Last::Reply(_));
        let composed = Given::one(last).compose();
        let parts = composed.parts();
        let unfolded = parts[1].replace("\r\n ", " ");
        assert!(unfolded.contains(&format!("\r\nStatus: {status}\r\n")), "{unfolded}");
        assert!(unfolded.contains(&format!("\r\nDiagnostic-Code: {diagnostic}\r\n")), "{unfolded}");
        assert_eq!(unfolded.contains("\r\nRemote-MTA: "), is_reply, "{unfolded}");
        let human = parts[0].replace("=\r\n", "").replace("\r\n  ", " ");
        assert!(human.contains(words), "{human}");
    }
}

#[test]
fn recipients_with_one_fate_are_told_it_once_and_each_has_its_block() {
    let mut given = Given::one(Last::Unsent);
    given.dsn.envid = Some("order 17".into());
    given.recipients = vec![
        undelivered("ann@example.org", Last::Unsent),
        undelivered("b\u{f6}b@example.org", Last::Unsent),
        undelivered("carl@b\u{fc}cher.example", reply(550, (1, 1), "no such user")),
    ];
    given.recipients[2].original = Some("rfc822;Carl@b.example".into());
    given.recipients[1].original = Some("utf-8;b+\u{f6}b@b.example".into());
    let composed = given.compose();
    assert!(composed.text.contains("Subject: Undelivered: your message to 3 recipients\r\n"));
    let parts = composed.parts();
    assert_eq!(parts[0].matches("nothing was sent").count(), 1, "{}", parts[0]);
    let blocks: Vec<&str> = parts[1].split("\r\n\r\n").skip(1).collect();
    assert_eq!(blocks.len(), 4, "{}", parts[1]);
    assert!(blocks[0].starts_with("Original-Envelope-Id: order 17\r\nReporting-MTA: "));
    assert!(blocks[1].starts_with("Final-Recipient: rfc822; ann@example.org\r\n"));
    assert!(blocks[2].starts_with(
        "Original-Recipient: utf-8; b\\x{2B}\\x{F6}b@b.example\r\nFinal-Recipient: utf-8; b\\x{F6}b@example.org\r\n"
    ));
    assert!(blocks[3].starts_with(
        "Original-Recipient: rfc822; Carl@b.example\r\nFinal-Recipient: rfc822; carl@xn--bcher-kva.example\r\n"
    ));
}

#[test]
fn a_bounce_to_an_address_outside_ascii_is_global() {
    let mut given = Given::one(Last::Reply(Reply::new(550, None, "kein Postfach f\u{fc}r Sie")));
    given.message = "From: j\u{f6}rg@shop.example\nSubject: Gr\u{fc}\u{df}e\n\nx\n".into();
    given.recipients[0].recipient = address("b\u{f6}b@b\u{fc}cher.example");
    // Who is told by plain mail reads plain mail.
    let plain = given.compose();
    assert!(plain.message.header().as_bytes().is_ascii() && plain.text.is_ascii(), "{}", plain.text);
    let parts = plain.parts();
    assert!(parts[1].starts_with("\r\nContent-Type: message/delivery-status\r\n"));
    assert!(parts[1].contains("\r\nFinal-Recipient: utf-8; b\\x{F6}b@xn--bcher-kva.example\r\n"));
    assert!(parts[1].contains("\r\nDiagnostic-Code: smtp; 550 kein Postfach f\\x{FC}r Sie\r\n"));
    assert!(parts[2].starts_with("\r\nContent-Type: text/rfc822-headers; charset=\"utf-8\"\r\n"), "{}", parts[2]);
    assert!(parts[2].ends_with("From: j=C3=B6rg@shop.example\r\nSubject: Gr=C3=BC=C3=9Fe\r\n"), "{}", parts[2]);

    given.to = "j\u{f6}rg@shop.example";
    let global = given.compose();
    assert!(repair::needs_utf8(&global.message));
    assert!(global.text.contains("\r\nTo: <j\u{f6}rg@shop.example>\r\n"), "{}", global.text);
    let parts = global.parts();
    assert!(
        parts[1]
            .starts_with("\r\nContent-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    );
    assert!(parts[1].contains("\r\nFinal-Recipient: utf-8; b\u{f6}b@b\u{fc}cher.example\r\n"));
    assert!(parts[1].contains("\r\nDiagnostic-Code: smtp; 550 kein Postfach f\u{fc}r Sie\r\n"));
    assert!(
        parts[2].starts_with("\r\nContent-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    );
    assert!(parts[2].ends_with("From: j\u{f6}rg@shop.example\r\nSubject: Gr\u{fc}\u{df}e\r\n"));
    given.dsn.ret = Some("full".into());
    let whole = given.compose();
    assert!(whole.parts()[2].starts_with("\r\nContent-Type: message/global\r\n"));
}

#[test]
fn the_whole_message_comes_back_where_it_is_asked_for_and_can() {
    let plain = "From: a@shop.example\nSubject: s\n\none\n--=5cc24c0a1b2c.0=\n=5cc24c0a1b2c.1=\n";
    let whole = |message: &str| {
        let mut given = Given::one(reply(550, (1, 1), "no"));
        given.message = message.into();
        given.dsn.ret = Some("FULL".into());
        given.compose()
    };
    let composed = whole(plain);
    assert!(composed.text.contains("boundary=\"=5cc24c0a1b2c.2=\""), "{}", composed.text);
    assert_eq!(
        composed.parts()[2],
        format!(
            "\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{}",
            plain.replace('\n', "\r\n")
        )
    );
    assert!(composed.text.contains("and your message, are attached"));
    let eight_bit = whole("Subject: s\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\ngr\u{fc}n\n");
    assert!(eight_bit.parts()[2].contains("\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject"));
    let long = format!("Subject: s\n\n{}\n", "x".repeat(999));
    let large = format!("Subject: s\n\n{}", "0123456789\n".repeat(100_000));
    for message in ["Subject: s\n\na\0b\n", "Subject: gr\u{fc}n\n\nx\n", &long, &large] {
        let composed = whole(message);
        let parts = composed.parts();
        assert!(parts[2].starts_with("\r\nContent-Type: text/rfc822-headers"), "{}", parts[2]);
        assert!(parts[0].contains("too large, or not"), "{}", parts[0]);
    }
}

#[test]
fn a_bounce_goes_out_as_it_is() {
    let text = "\u{fc}\u{202e}\r\n.\r\n".repeat(300);
    let long = format!("X-Long: {}\nSubject: s\n\nx\n", "x".repeat(1200));
    for message in ["Subject: s\n\nx\n", "Subject: gr\u{fc}n\n\nx\n", &long] {
        for to in ["a@shop.example", "j\u{f6}rg@shop.example", "\"a b\"@b\u{fc}cher.example"] {
            for last in [Last::Silence(text.clone()), Last::Reply(Reply::new(550, None, &text)), Last::Unsent] {
                let mut given = Given::one(last);
                (given.message, given.to) = (message.into(), to);
                given.recipients[0].original = Some(format!("rfc822;{}", "x".repeat(5000)));
                given.dsn.envid = Some(text.clone());
                let composed = given.compose();
                let is_global = to.starts_with('j');
                assert_eq!(repair::needs_utf8(&composed.message), is_global, "{}", composed.text);
                let needs = Needs { eight_bit: is_global, utf8: is_global };
                assert!(repair::adapt(&composed.message, needs).unwrap().is_none(), "{}", composed.text);
                assert_eq!(composed.message.repairs(), [""; 0]);
                assert!(composed.text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
                composed.parts();
            }
        }
    }
}

#[test]
fn without_an_address_of_the_site_the_sender_writes_to_itself() {
    let mut given = Given::one(Last::Unsent);
    given.from = None;
    assert!(given.compose().text.contains("From: \"Mail Delivery System\" <a@shop.example>\r\n"));
    given.from = Some("b\u{fc}ro@shop.example");
    assert!(given.compose().text.contains("From: \"Mail Delivery System\" <a@shop.example>\r\n"));
}

#[test]
fn who_is_told() {
    for (reverse_path, notify, wanted, told) in [
        (Some("a@x.org"), None, true, true),
        (Some("a@x.org"), Some("SUCCESS,failure"), true, true),
        (Some("a@x.org"), Some("DELAY"), true, false),
        (Some("a@x.org"), Some("NEVER"), true, false),
        (Some("a@x.org"), None, false, false),
        (None, None, true, false),
    ] {
        let dsn = Dsn { notify: notify.map(str::to_owned), ..Dsn::default() };
        let envelope =
            Envelope { reverse_path: reverse_path.map(address), forward_paths: vec![address("b@x.org")], dsn };
        assert_eq!(addressee(&envelope, wanted).is_some(), told, "{reverse_path:?} {notify:?} {wanted}");
    }
}

#[test]
fn what_was_withheld_is_told_with_the_next() {
    let mut given = Given::one(Last::Unsent);
    let withheld = |id: &str| Withheld::new(id, &address("a@shop.example"), &given.recipients);
    given.withheld = vec![withheld("000000000001"), withheld("000000000002")];
    given.others = 7;
    let composed = given.compose();
    let human = composed.parts()[0].replace("=\r\n", "");
    assert!(
        human.contains(
            "\r\n\r\n9 more messages were given up. No bounce of their own goes out, because\r\nthis site has had 50 in \
             an hour:\r\n\r\n000000000001 bob@example.org\r\n  nothing was sent to this recipient, because another one \
             was refused\r\n\r\n000000000002 bob@example.org\r\n"
        ),
        "{human}"
    );
    assert!(human.contains("\r\n\r\nand 7 that are not listed here\r\n"), "{human}");
}

/// Prints a bounce as somebody else reads it: media types, the fields for programs block by block, the defects found.
const READER: &str = r#"
import email, email.policy, json, sys
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
human, machine, original = message.iter_parts()
defects = [str(d) for part in message.walk() for d in part.defects]
defects += [str(d) for part in message.walk() for value in part.values() for d in value.defects]
blocks = [dict(block.items()) for block in machine.get_payload()] if machine.get_content_type() == "message/delivery-status" else []
json.dump({
    "defects": defects, "to": [a.addr_spec for a in message["To"].addresses],
    "from": [[a.display_name, a.addr_spec] for a in message["From"].addresses],
    "kinds": [part.get_content_type() for part in (message, human, machine, original)],
    "report": message.get_param("report-type"), "human": human.get_content(), "blocks": blocks,
    "original": original.get_content() if original.get_content_maintype() == "text" else str(original.get_payload(0)["Subject"]),
}, sys.stdout)
"#;

#[test]
fn pythons_email_package_reads_it() {
    use std::io::Write as _;
    use std::process::Stdio;
    let Some(python) = testkit::need("python3") else { return };
    let mut whole = Given::one(reply(451, (7, 1), &"a very long word of a relay ".repeat(30)));
    whole.dsn.ret = Some("FULL".into());
    let mut raw = Given::one(Last::Silence("gr\u{fc}n".into()));
    raw.message = "From: a@shop.example\nSubject: Gr\u{fc}\u{df}e\n\nx\n".into();
    for (given, kind, status, original) in [
        (Given::one(reply(550, (1, 1), "no such user")), "text/rfc822-headers", "5.1.1", "=?utf-8?Q?f=C3=BCr?= you"),
        (whole, "message/rfc822", "4.7.1", "Invoice f\u{fc}r you"),
        (raw, "text/rfc822-headers", "4.4.7", "Subject: Gr\u{fc}\u{df}e"),
    ] {
        let composed = given.compose();
        let mut reader = testkit::apart(&python)
            .args(["-c", READER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        reader.stdin.take().unwrap().write_all(composed.text.as_bytes()).unwrap();
        let output = reader.wait_with_output().unwrap();
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(read["defects"], serde_json::json!([]), "{}", composed.text);
        assert_eq!(read["from"], serde_json::json!([["Mail Delivery System", "orders@shop.example"]]));
        assert_eq!(read["to"], serde_json::json!(["a@shop.example"]));
        assert_eq!(read["report"], "delivery-status");
        assert_eq!(
            read["kinds"],
            serde_json::json!(["multipart/report", "text/plain", "message/delivery-status", kind])
        );
        let blocks = read["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 2, "{read}");
        assert_eq!(blocks[0]["Reporting-MTA"], "dns; web1.example.com");
        assert_eq!(blocks[1]["Action"], "failed");
        assert_eq!(blocks[1]["Status"], status);
        assert!(blocks[1]["Diagnostic-Code"].is_string() && blocks[1]["Final-Recipient"].is_string(), "{read}");
        assert!(read["original"].as_str().unwrap().contains(original), "{read}");
        assert!(read["human"].as_str().unwrap().contains("Subject: "), "{read}");
    }
}
