//! Messages: `tests/messages/*.case`, what goes in and what the server has of it.
//!
//! | Key | Meaning |
//! |---|---|
//! | `argv:` | the arguments; `-t -i` unless said |
//! | `top:` | a line of the configuration's top level |
//! | `exit:`, `stderr:` | as in `tests/smtp` |
//! | `offers:` | the server's capabilities, in place of all it has |
//! | `from:` | the reverse-path |
//! | `to:` | the forward-paths, in order |
//! | `repair:`, `warning:` | text that the record's `repairs` or `warnings` hold |
//!
//! The block `input` is standard input: every line ends in LF, `\r \n \0 \xHH \\` stand for themselves,
//! a backslash at the end of a line takes its LF away. The block `output` is what arrives: lines that
//! end in CRLF, octets outside of printable ASCII as `\xHH`, `*` for any text. Without one, nothing may
//! arrive.

use std::io::Write;

use testkit::{Case, Delivery, Moment, Server, escaped, matches};

use crate::setup::{MESSAGE, Setup, check_stderr, every_case, exit};

#[test]
fn messages() {
    every_case("messages", |case| {
        case.knows(
            &["argv", "top", "offers", "exit", "stderr", "from", "to", "repair", "warning"],
            &["input", "output"],
        );
        check(case);
    });
}

fn check(case: &Case) {
    let mut server = Server::new();
    if let Some(offers) = case.value("offers") {
        server = server.capabilities(&offers.split_whitespace().collect::<Vec<_>>());
    }
    let mut setup = Setup::new(server);
    for line in case.values("top") {
        setup = setup.top(line);
    }
    let run = setup
        .mailchute()
        .line(case.value("argv").unwrap_or("-t -i"))
        .stdin(escaped(&case.block("input").unwrap_or_default().replace("\\\n", "")))
        .run();
    assert_eq!(run.status, exit(case), "exit status\n{}", run.report());
    check_stderr(case, &run);
    let record = setup.record();
    for text in case.values("repair") {
        assert!(record["repairs"].to_string().contains(text), "{text} is not in {record}");
    }
    for text in case.values("warning") {
        assert!(record["warnings"].to_string().contains(text), "{text} is not in {record}");
    }
    let deliveries = setup.deliveries();
    if case.block("output").is_none() {
        assert!(deliveries.is_empty(), "it arrived: {}", deliveries[0].text());
        return;
    }
    assert_eq!(deliveries.len(), 1, "messages\n{}", run.report());
    check_arrival(case, &deliveries[0]);
}

/// Compares what arrived with `from`, `to` and the block `output` of a case.
pub(crate) fn check_arrival(case: &Case, delivery: &Delivery) {
    if let Some(from) = case.value("from") {
        assert!(matches(from, &delivery.reverse_path), "reverse-path {}", delivery.reverse_path);
    }
    if let Some(to) = case.value("to") {
        assert_eq!(delivery.forward_paths().join(" "), to, "forward-paths");
    }
    let output = case.block("output").expect("the message that should arrive");
    let arrived = lines(&delivery.octets);
    let expected: Vec<&str> = output.lines().collect();
    let same = arrived.len() == expected.len() && expected.iter().zip(&arrived).all(|(a, b)| matches(a, b));
    assert!(same, "expected:\n{output}arrived:\n{}\n", arrived.join("\n"));
}

/// The lines of a message in CRLF form, octets outside of printable ASCII shown as escapes.
fn lines(octets: &[u8]) -> Vec<String> {
    let text = octets.strip_suffix(b"\r\n").expect("a message ends in CRLF");
    let text: String = text
        .iter()
        .map(|&byte| match byte {
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        })
        .collect();
    let lines: Vec<String> = text.split("\\x0d\\x0a").map(str::to_owned).collect();
    for line in &lines {
        assert!(!line.contains("\\x0d") && !line.contains("\\x0a"), "a bare CR or LF: {line}");
    }
    lines
}

#[test]
fn twenty_five_megabytes_arrive_octet_by_octet() {
    // Lines of many lengths, dots at their beginnings, in each sending form.
    let mut body = Vec::with_capacity(26 << 20);
    let mut number: u32 = 1;
    while body.len() < 25 << 20 {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let dots = if number.is_multiple_of(7) { "." } else { "" };
        write!(body, "{dots}{number:08x}{}\r\n", "=".repeat((number >> 16) as usize % 500)).unwrap();
    }
    let message = [MESSAGE.as_bytes(), &body].concat();
    for capabilities in [&["PIPELINING", "CHUNKING"][..], &["PIPELINING"]] {
        let setup = Setup::new(Server::new().capabilities(capabilities));
        setup.mailchute().args(["-i", "bob@example.net"]).stdin(message.clone()).run().expect_status(0);
        let deliveries = setup.deliveries();
        assert!(deliveries.len() == 1 && deliveries[0].octets == message, "{capabilities:?}: another message arrived");
    }
}

#[test]
fn no_line_end_smuggles_a_second_message() {
    let smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";
    let ends = [
        "\r\n.\r\n",
        "\n.\r\n",
        "\r\n.\n",
        "\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\n.\r",
        "\r\n\0.\r\n",
        "\r\r\n.\r\r\n",
    ];
    for capabilities in [&["PIPELINING", "CHUNKING"][..], &["PIPELINING"], &[]] {
        for end in ends {
            let setup = Setup::new(Server::new().capabilities(capabilities));
            let input = format!("{MESSAGE}before{end}{smuggled}{end}");
            let run = setup.mailchute().args(["-i", "bob@example.net"]).stdin(input).run();
            let what = format!("{end:?} with {capabilities:?}\n{}", run.report());
            let sessions = setup.finish();
            let commands: Vec<&String> = sessions.iter().flat_map(|session| &session.commands).collect();
            assert!(commands.iter().all(|line| !line.contains("victim")), "{what}");
            let deliveries: Vec<_> = sessions.iter().flat_map(|session| &session.deliveries).collect();
            if run.status == 0 {
                assert_eq!(deliveries.len(), 1, "{what}");
                assert!(deliveries[0].text().contains("Subject: smuggled"), "cut short: {what}");
                assert_eq!(deliveries[0].forward_paths(), ["bob@example.net"], "{what}");
            } else {
                assert!(deliveries.is_empty(), "{what}");
            }
        }
    }
}

#[test]
fn a_message_over_the_servers_size_is_refused_before_it_is_sent() {
    let setup = Setup::new(Server::new().capabilities(&["PIPELINING", "CHUNKING", "SIZE 1000"]));
    let run = setup
        .mailchute()
        .args(["-i", "bob@example.net"])
        .stdin(format!("{MESSAGE}{}", "a line of text\r\n".repeat(100)))
        .run();
    run.expect_status(152);
    assert!(run.stderr.contains("1000"), "{}", run.report());
    let sessions = setup.finish();
    assert!(sessions.iter().all(|session| session.commands.iter().all(|line| !line.starts_with("MAIL"))));
}

#[test]
fn dsn_wishes_reach_the_server() {
    let setup = Setup::new(Server::new());
    let args = ["-i", "-N", "failure,delay", "-R", "hdrs", "-V", "ticket+1", "bob@example.net"];
    setup.mailchute().args(args).stdin(MESSAGE).run().expect_status(0);
    let delivery = setup.deliveries().remove(0);
    assert!(delivery.parameters.contains("RET=HDRS"), "{}", delivery.parameters);
    assert!(delivery.parameters.contains("ENVID=ticket+2B1"), "{}", delivery.parameters);
    assert!(delivery.recipients[0].parameters.to_uppercase().contains("NOTIFY=FAILURE,DELAY"), "{delivery:?}");
}

#[test]
fn a_utf8_address_needs_a_server_that_takes_it() {
    let message = "From: a@example.org\nTo: \u{fc}ser@example.net\nSubject: x\n\nx\n";
    let setup = Setup::new(Server::new());
    setup.mailchute().args(["-t", "-i"]).stdin(message).run().expect_status(0);
    let delivery = setup.deliveries().remove(0);
    assert!(delivery.parameters.contains("SMTPUTF8"), "{}", delivery.parameters);
    assert_eq!(delivery.forward_paths(), ["\u{fc}ser@example.net"]);

    let setup = Setup::new(Server::new().capabilities(&["PIPELINING", "8BITMIME"]).reply(Moment::Data, "451 no"));
    setup.mailchute().args(["-t", "-i"]).stdin(message).run().expect_status(65);
    assert!(setup.deliveries().is_empty());
}
