//! SMTP on standard input (`-bs`): whatever the site says there, only messages of its own go, each of them answered.

use testkit::Run;

use super::{Bench, in_both_modes};

/// The beginning of a session, and of a message.
const HELLO: &str = "EHLO x\r\n";
const MAIL: &str = "MAIL FROM:<shop@shop.example>\r\nRCPT TO:<bob@example.net>\r\n";
const SMUGGLED: &str =
    "MAIL FROM:<blog@blog.example>\r\nRCPT TO:<smuggled@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";

/// What the site says.
fn sessions() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut say = |what: &str, text: String| all.push((what.to_owned(), text.into_bytes()));
    // Ends of a message that are none, and what is behind them.
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\n.\r",
        "\r.\n",
        "\r.\r\n",
        "\r\n.\r\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n. \r\n",
        "\r\n..\r\n",
        "\r\n\x0b.\r\n",
        "\r\n\u{2024}\r\n",
        "\n\n.\n\n",
        "\r\r\n.\r\r\n",
    ] {
        say(&format!("{end:?}"), format!("{HELLO}{MAIL}DATA\r\nSubject: x\r\n\r\nx{end}{SMUGGLED}\r\n.\r\nQUIT\r\n"));
    }
    say("many at once", format!("{HELLO}{}QUIT\r\n", format!("{MAIL}DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n").repeat(5)));
    say("no end", format!("{HELLO}{MAIL}DATA\r\nSubject: x\r\n\r\nx"));
    say("no commands", SMUGGLED.repeat(3));
    for length in [511, 513, 2048, 70_000, 3_000_000] {
        let long = "x".repeat(length);
        say(&format!("a line of {length}"), format!("{HELLO}{long}\r\n{MAIL}{long}"));
        say(
            &format!("an argument of {length}"),
            format!("{HELLO}MAIL FROM:<{long}@shop.example>\r\n{MAIL}RCPT TO:<{long}>\r\n"),
        );
        say(
            &format!("a line of text of {length}"),
            format!("{HELLO}{MAIL}DATA\r\nSubject: {long}\r\n\r\n{long}\r\n.\r\n{SMUGGLED}"),
        );
    }
    say(
        "recipients",
        format!(
            "{HELLO}MAIL FROM:<shop@shop.example>\r\n{}DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n",
            (0..3000).map(|number| format!("RCPT TO:<{number}@example.net>\r\n")).collect::<String>()
        ),
    );
    for size in [
        "0",
        "1",
        "-1",
        "5",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "0x10",
        "1e3",
        "",
        " LAST",
        "5 LAST LAST",
        "2147483648 LAST",
    ] {
        say(&format!("BDAT {size}"), format!("{HELLO}{MAIL}BDAT {size}\r\nSubject: x\r\n\r\nx\r\n{SMUGGLED}"));
        say(
            &format!("BDAT {size} LAST"),
            format!("{HELLO}{MAIL}BDAT {size} LAST\r\nSubject: x\r\n\r\nx\r\n{SMUGGLED}"),
        );
    }
    let chunk = "Subject: x\r\n\r\nx\r\n";
    say("BDAT and DATA", format!("{HELLO}{MAIL}BDAT {}\r\n{chunk}DATA\r\n{SMUGGLED}", chunk.len()));
    say("BDAT and MAIL", format!("{HELLO}{MAIL}BDAT {}\r\n{chunk}{SMUGGLED}BDAT 0 LAST\r\n", chunk.len()));
    let inner = format!("{chunk}.\r\n{SMUGGLED}");
    say("an end in BDAT", format!("{HELLO}{MAIL}BDAT {} LAST\r\n{inner}QUIT\r\n", inner.len()));
    for path in [
        "<a\0@example.net>",
        "<a\rRSET\r@example.net>",
        "<a@example.net>\rRCPT TO:<b@example.net>",
        "<\"a\r\nRSET\"@x>",
        "<a@x> AUTH=<>",
        "<@a,@b:c@d>",
        "<a@[IPv6:::1]>",
        "<a@x>\nMAIL FROM:<blog@blog.example>",
        "<>",
        "<postmaster>",
        "a@x",
        "<a@x> NOTIFY=NEVER,SUCCESS",
        "<a@x> ORCPT=rfc822;a+0D+0ARSET",
        "<a@x> ENVID=+0D+0A",
        "<a@x> SIZE=99999999999999999999",
        "<a@x> XVERP",
        "<ä@x>",
        "<a@x> BODY=BINARYMIME",
        "<|/bin/sh>",
        "</etc/mailchute/secrets/blog>",
        "<:include:/etc/mailchute/secrets/blog>",
        "<a@x> HOLDFOR=99999999999",
        "<a@x> BY=1;N",
        "<blog>",
    ] {
        say(path, format!("{HELLO}MAIL FROM:{path}\r\n{MAIL}RCPT TO:{path}\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"));
    }
    for command in [
        "VRFY blog",
        "EXPN blog",
        "ETRN blog.example",
        "TURN",
        "AUTH PLAIN AGJsb2cAeA==",
        "AUTH LOGIN",
        "STARTTLS",
        "XCLIENT NAME=x ADDR=127.0.0.1",
        "XFORWARD NAME=x",
        "HELP blog",
        "SEND FROM:<a@x>",
        "BURL imap://blog@x/ LAST",
        "DEBUG",
        "WIZ",
        "\0",
        "\u{ff}",
        "EHLO x\0y",
        "HELO",
        "RSET\r\nRSET",
        "NOOP x",
        "DATA",
        "BDAT 0 LAST",
        "QUIT\r\nMAIL FROM:<a@x>",
        "MAIL FROM:<a@x>\r\nMAIL FROM:<b@x>",
    ] {
        say(
            command,
            format!("{HELLO}{command}\r\n{MAIL}{command}\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n{command}\r\n"),
        );
    }
    // Octets of any kind.
    let mut seed = 7_u32;
    for length in [10, 1000, 100_000] {
        let mut octets = HELLO.as_bytes().to_vec();
        octets.extend((0..length).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        }));
        all.push((format!("{length} octets"), octets));
    }
    all
}

/// Sees that the relay has got as many messages as the caller was told, and none that is another's.
pub(super) fn judge(bench: &Bench<'_>, what: &str, before: usize, run: &Run) {
    let told = run.stdout.matches("250 2.0.0 queued as").count() + run.stdout.matches("250 2.0.0 delivered").count();
    let taken = bench.taken() - before;
    if taken != told {
        bench.breaks(&format!("{what}: {taken} messages went, and the caller was told of {told}: {}", run.report()));
    }
}

#[test]
fn no_word_of_smtp_reaches_what_is_another_sites() {
    in_both_modes("SMTP on standard input", |bench| {
        for (what, octets) in sessions() {
            let before = bench.taken();
            let run = bench.attempt(&what, bench.call().arg("-bs").stdin(octets));
            judge(bench, &what, before, &run);
            if let Some(signal) = run.signal {
                bench.breaks(&format!("{what}: ended by {signal}"));
            }
        }
        let session = format!("{HELLO}{MAIL}DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n");
        for words in [
            &["--site", "blog"][..],
            &["-f", "blog@blog.example"],
            &["-t"],
            &["-N", "never"],
            &["-C", super::PLANTED],
            &["-X", "/home/shop/x"],
            &["-v"],
            &["--relay", "main"],
        ] {
            let before = bench.taken();
            let run = bench.attempt(
                &format!("{words:?}"),
                bench.call().args(words.iter().copied()).arg("-bs").stdin(session.clone()),
            );
            judge(bench, &format!("{words:?}"), before, &run);
        }
    });
}
