//! Messages in, messages out, and a judge that decodes both.

use mail_parser::{MessageParser, MimeHeaders, PartType};

use super::*;
use crate::message::scan::Scanner;

const SEVEN: Needs = Needs { eight_bit: false, utf8: false };
const EIGHT: Needs = Needs { eight_bit: true, utf8: false };

fn message(input: &[u8]) -> Message {
    Message::read(&mut &*input, false).unwrap()
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chunks = message.chunks();
    while let Some(chunk) = chunks.advance().unwrap() {
        out.extend_from_slice(chunk);
    }
    assert_eq!(out.len() as u64, message.size());
    out
}

/// `input` repaired, or as it is, with what was done.
fn repaired(input: &[u8], needs: Needs) -> Result<(Vec<u8>, Vec<String>), Failure> {
    let before = message(input);
    match adapt(&before, needs)? {
        Some(after) => Ok((bytes(&after), after.repairs().to_vec())),
        None => Ok((bytes(&before), Vec::new())),
    }
}

/// `text` with LF made CRLF, and `LONG` a line no server has to take.
fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n").replace("LONG", &"long line ".repeat(100))
}

#[test]
fn what_needs_nothing_is_not_touched() {
    let text = crlf("Subject: x\nDKIM-Signature: y\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nü\n--b--\n");
    for (input, needs) in [
        (text.as_str(), EIGHT),
        (&text.replace('ü', "u"), SEVEN),
        (&format!("X: y\r\n\r\n{}\r\n", "x".repeat(998)), SEVEN),
        ("Subject: ü\r\n\r\nü\r\n", Needs { eight_bit: true, utf8: true }),
    ] {
        assert!(adapt(&message(input.as_bytes()), needs).unwrap().is_none(), "{input}");
    }
}

#[test]
fn a_changed_header_section_leaves_the_body_where_it_is() {
    let before = message("Subject: ü\r\n\r\nü\r\n".as_bytes());
    let after = adapt(&before, EIGHT).unwrap().unwrap();
    assert_eq!(String::from_utf8(bytes(&after)).unwrap(), "Subject: =?utf-8?Q?=C3=BC?=\r\n\r\nü\r\n");
    assert_eq!(after.facts(), crate::message::Facts { eight_bit_header: false, ..before.facts() });
    let (crate::message::Body::Memory(old), crate::message::Body::Memory(new)) = (&before.body, &after.body) else {
        panic!("not in memory");
    };
    assert!(std::sync::Arc::ptr_eq(old, new));
}

#[test]
fn messages_in_messages_out() {
    for (needs, input, output, repairs) in [
        (
            SEVEN,
            "A: b\n\nGrüße = \n",
            "A: b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\
             MIME-Version: 1.0\n\nGr=C3=BC=C3=9Fe =3D=20\n",
            &[
                "body re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "body declared as text/plain; charset=utf-8",
                "MIME-Version added",
            ][..],
        ),
        // A declaration that was wrong is corrected in its place.
        (
            SEVEN,
            "Mime-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Type: text/html; charset=utf-8\n\n<p>ü\n",
            "Mime-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\
             Content-Type: text/html; charset=utf-8\n\n<p>=C3=BC\n",
            &["body re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)"],
        ),
        // Part by part; what is fine stays, and the last line end is the delimiter's.
        (
            SEVEN,
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b\n\nplain = \n\
             --a b  \nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nü\n\n--a b\n\
             Content-Type: image/x; name=\"ü\"\n\nü\n--a b\nX: y\n--a b--\nepilogue\n",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b\n\nplain = \n\
             --a b  \nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
             =C3=BC\n\n--a b\nContent-Type: image/x; name*=utf-8''%C3%BC\nContent-Transfer-Encoding: base64\n\n\
             w7w=\n--a b\nX: y\n--a b--\nepilogue\n",
            &[
                "part 2 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "part 3: Content-Type encoded (RFC 2231, utf-8)",
                "part 3 re-encoded as base64 (8-bit for a relay without 8BITMIME)",
            ],
        ),
        // Long lines count for every relay, 8-bit parts beside them do not.
        (
            EIGHT,
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nü\n--b\n\
             Content-Type: multipart/alternative; boundary=b2\n\n--b2\n\nü\n--b2\nContent-Type: x/y\n\nLONG\n--b2--\n--b--\n",
            "",
            &["part 2.2 re-encoded as base64 (line of 1000 octets)"],
        ),
        // Existing encodings are kept, only their lines become shorter.
        (
            EIGHT,
            "MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: QUOTED-PRINTABLE\n\nLONG=3D\n",
            "",
            &["body quoted-printable re-wrapped (line of 1003 octets)"],
        ),
        // In an attached message the parts are encoded, never the message.
        (
            SEVEN,
            "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\n\n\
             Subject: ü\n\nü\n--b\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nü\n--c--\n--b--\n",
            "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b\nContent-Transfer-Encoding: 7bit\n\n--b\n\n\
             Subject: =?utf-8?Q?=C3=BC?=\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b\n\n\
             Content-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--c--\n--b--\n",
            &[
                "part 1.1: Subject encoded (RFC 2047, utf-8)",
                "part 1.1 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "part 1.1 declared as text/plain; charset=utf-8",
                "part 2.1 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "part 2.1 declared as text/plain; charset=utf-8",
            ],
        ),
        // Encodings as people name them, and a no-break space where a blank was meant.
        (
            SEVEN,
            "MIME-Version: 1.0\nContent-Type: multipart/mixed;\u{a0}boundary=b\n\n--b\n\
             Content-Transfer-Encoding: 7 bit\nContent-Type: text/plain; charset=utf-8\n\nü\n--b\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: \"8bit\"\n\nü\n--b\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: unknown-8bit\n\nü\n--b--\n",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
             Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=utf-8\n\n=C3=BC\n--b\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b--\n",
            &[
                "Content-Type encoded (no-break space made a space)",
                "part 1 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "part 2 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "part 3 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
            ],
        ),
        // What nobody reads goes.
        (
            SEVEN,
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\nprélude\n--b\n\nx\n--b--\népilogue\n",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n",
            &[
                "preamble of body removed (8-bit for a relay without 8BITMIME)",
                "epilogue of body removed (8-bit for a relay without 8BITMIME)",
            ],
        ),
        // Signed parts stay beside parts that are re-encoded.
        (
            SEVEN,
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
             Content-Type: multipart/signed; boundary=s\n\n--s\n\nx = \n--s--\n--b\nContent-Type: text/plain\n\nü\n--b--\n",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
             Content-Type: multipart/signed; boundary=s\n\n--s\n\nx = \n--s--\n--b\nContent-Type: text/plain\n\
             Content-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b--\n",
            &["part 2 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)"],
        ),
        // A multipart that is cut off, a part without its empty line, and lines that only look like delimiters.
        (
            SEVEN,
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--bb\n--b\nno field ü\n--b --\n--b-\n--b--x\n",
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--bb\n--b\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
             no field =C3=BC\n--b --\n--b-\n--b--x\n",
            &[
                "part 1 re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
                "part 1 declared as text/plain; charset=utf-8",
            ],
        ),
    ] {
        let (text, done) = repaired(crlf(input).as_bytes(), needs).unwrap();
        let text = String::from_utf8(text).unwrap();
        if !output.is_empty() {
            assert_eq!(text, crlf(output));
        }
        assert_eq!(done, repairs, "{input}");
        assert!(text.lines().all(|line| line.len() <= LINE_LIMIT), "{text}");
        // Repaired once, nothing is left to do.
        assert!(adapt(&message(text.as_bytes()), needs).unwrap().is_none(), "{text}");
    }
    let (text, _) = repaired(b"A: b\r\n\r\nGr\xfc\xdfe\r\n", SEVEN).unwrap();
    assert!(text.windows(20).any(|window| window == b"charset=windows-1252"));
}

#[test]
fn what_may_not_be_changed_and_cannot_go_is_refused() {
    for (needs, input, expected) in [
        (
            SEVEN,
            "Content-Type: multipart/signed; boundary=s\n\n--s\n\nü\n--s--\n",
            "body: multipart/signed content is never re-encoded (8-bit for a relay without 8BITMIME)",
        ),
        (
            EIGHT,
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\nContent-Type: application/pkcs7-mime\n\nLONG\n--b--\n",
            "part 2: application/pkcs7-mime content is never re-encoded (line of 1000 octets)",
        ),
        (
            SEVEN,
            "DKIM-Signature: x\n\nü\n",
            "body: what a DKIM-Signature vouches for is never re-encoded (8-bit for a relay without 8BITMIME)",
        ),
        (
            EIGHT,
            "DKIM-Signature: x\nSubject: ü\n\nü\n",
            "header section: raw 8-bit fields beside a DKIM-Signature are never encoded, and cannot go as they are",
        ),
        (
            SEVEN,
            "A: b\n\nü\n-----BEGIN PGP SIGNED MESSAGE-----\n",
            "body: inline PGP content is never re-encoded (8-bit for a relay without 8BITMIME)",
        ),
        (
            SEVEN,
            "Content-Transfer-Encoding: x-uuencode\n\nü\n",
            "body: its Content-Transfer-Encoding is not known (8-bit for a relay without 8BITMIME)",
        ),
        (
            SEVEN,
            "Content-Type: multipart/mixed; boundary=b\n\nü\n",
            "body: its boundary does not occur, so it cannot be re-encoded (8-bit for a relay without 8BITMIME)",
        ),
        (
            SEVEN,
            "Content-Type: multipart/mixed\n\nü\n",
            "body: multipart content without a usable boundary cannot be re-encoded (8-bit for a relay without 8BITMIME)",
        ),
        (EIGHT, "Cc: ü@x.org\n\n", "ü in the Cc field: this local part needs SMTPUTF8, which is not in use"),
    ] {
        let failure = repaired(crlf(input).as_bytes(), needs).unwrap_err();
        assert_eq!(failure.to_string(), expected);
        assert_eq!(failure.kind, Kind::Data);
    }
}

#[test]
fn structures_without_end_are_refused() {
    let nested: String = (0..60).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let messages = "Content-Type: message/rfc822\n\n".repeat(60);
    let parts = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n".repeat(10_100));
    let fields = format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n{}", "a: b\n".repeat(60_000));
    for (input, why) in [(nested, "50 deep"), (messages, "50 deep"), (parts, "10000 parts"), (fields, "256 KiB")] {
        let failure = repaired(crlf(&format!("{input}\n\nü\n")).as_bytes(), SEVEN).unwrap_err();
        assert!(failure.why.contains(why), "{failure}");
    }
}

/// A small generator: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    /// Header fields, empty line and content of some entity. A message right inside of a message is more
    /// than the judge can follow.
    fn entity(&mut self, depth: usize, in_message: bool, out: &mut String) {
        match self.roll(if depth > 3 { 4 } else { 7 }) {
            0 => {
                out.push_str("Content-Type: text/plain; charset=utf-8\n\n");
                self.text(out);
            }
            1 => {
                out.push_str("Content-Type: text/html;\n\tcharset=\"utf-8\"\nContent-Transfer-Encoding: 8bit\n\n");
                self.text(out);
            }
            2 => {
                out.push_str("Content-Transfer-Encoding: binary\nContent-Type: application/x; name=\"");
                out.push_str(self.pick(&["a.txt", "größe.txt", "日本.txt"]));
                out.push_str("\"\n\n");
                self.text(out);
            }
            3 => {
                out.push_str(
                    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n",
                );
                for _ in 0..self.roll(5) {
                    let piece = self.pick(&["=C3=BC", "plain ", "=\n", "x\n"]);
                    let times = 1 + self.roll(2) * self.roll(400);
                    out.push_str(&piece.repeat(times));
                }
            }
            4 if !in_message => {
                out.push_str("Content-Type: message/rfc822\n\nSubject: inner\n");
                self.entity(depth + 1, true, out);
            }
            _ => {
                let boundary = format!("=_{}_{depth}", self.roll(1 << 30));
                out.push_str(&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n"));
                out.push_str(self.pick(&["", "preamble\n"]));
                for _ in 0..=self.roll(4) {
                    out.push_str(&format!("--{boundary}\n"));
                    self.entity(depth + 1, false, out);
                    out.push('\n');
                }
                out.push_str(&format!("--{boundary}--"));
                out.push_str(self.pick(&["", "\n", "\nepilogue\n"]));
            }
        }
    }

    fn text(&mut self, out: &mut String) {
        let pieces = ["ü", "日本語", "word ", "\n", "\n\n", " \n", "=", "--", "\t", ".", "From x\n", "😀"];
        for _ in 0..self.roll(12) {
            let times = if self.roll(8) == 0 { self.roll(600) } else { self.roll(3) };
            let piece = self.pick(&pieces);
            out.push_str(&piece.repeat(times));
        }
    }
}

/// What a reader gets: of every part its type, name and decoded content.
fn decoded(raw: &[u8]) -> Vec<String> {
    let parsed = MessageParser::default().parse(raw).unwrap();
    let mut out = Vec::new();
    collect(&parsed, &mut out);
    out
}

fn collect(parsed: &mail_parser::Message<'_>, out: &mut Vec<String>) {
    for part in &parsed.parts {
        let kind = part.content_type().map(|kind| format!("{}/{:?}", kind.ctype(), kind.subtype()));
        let content = match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.as_bytes(),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => octets,
            PartType::Multipart(parts) => {
                out.push(format!("{kind:?} of {}", parts.len()));
                continue;
            }
            PartType::Message(inner) => {
                out.push(format!("{:?}", inner.subject()));
                collect(inner, out);
                continue;
            }
        };
        out.push(format!("{kind:?} {:?}: {}", part.attachment_name(), content.escape_ascii()));
    }
}

fn random(seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = String::from("MIME-Version: 1.0\n");
    dice.entity(0, false, &mut text);
    text.push('\n');
    text.replace('\n', "\r\n")
}

#[test]
fn readers_get_what_they_would_have_got() {
    for seed in 0..600 {
        let input = random(seed);
        for needs in [SEVEN, EIGHT] {
            let (output, repairs) = repaired(input.as_bytes(), needs).unwrap();
            let text = String::from_utf8_lossy(&output);
            assert_eq!(decoded(input.as_bytes()), decoded(&output), "seed {seed}: {repairs:?}\n{input}\n{text}");
            assert!(needs.eight_bit || text.is_ascii(), "seed {seed}: {text}");
            assert!(text.lines().all(|line| line.len() <= LINE_LIMIT), "seed {seed}: {text}");
        }
    }
}

#[test]
fn the_size_of_chunks_makes_no_difference() {
    for seed in 0..40 {
        let whole = message(random(seed).as_bytes());
        let body = bytes(&whole).split_off(whole.header.as_bytes().len());
        let (expected, repairs) = repaired(&bytes(&whole), SEVEN).unwrap();
        for size in [1, 2, 3, 5, 7, 64, 1023, 1024, 1025, 4096] {
            let mut survey = Survey::new(SEVEN);
            let mut scanner = Scanner::new(&whole.header, &mut survey).unwrap();
            body.chunks(size).for_each(|chunk| scanner.take(chunk).unwrap());
            scanner.finish().unwrap();
            assert!(repairs.ends_with(&survey.repairs), "seed {seed}, chunks of {size}");
            let mut rewriter = Rewriter::new(&survey.verdicts, false);
            let mut scanner = Scanner::new(&whole.header, &mut rewriter).unwrap();
            body.chunks(size).for_each(|chunk| scanner.take(chunk).unwrap());
            scanner.finish().unwrap();
            let rewritten = rewriter.finish().unwrap().under(whole.header.clone(), Vec::new());
            let rewritten = bytes(&rewritten).split_off(whole.header.as_bytes().len());
            assert!(expected.ends_with(&rewritten), "seed {seed}, chunks of {size}");
        }
    }
}

#[test]
fn garbage_never_panics_and_comes_out_within_the_limits() {
    let pieces = [
        "--b",
        "--",
        "\n",
        "\n\n",
        "ü",
        "Content-Type: multipart/mixed; boundary=b\n",
        ":",
        " ",
        "x",
        "Content-Type: message/rfc822\n",
        "Content-Transfer-Encoding: base64\n",
        "--b--\n",
        "--b\n",
        "LONG",
    ];
    for seed in 0..1500 {
        let mut dice = Dice(seed);
        let mut input = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
        for _ in 0..dice.roll(20) {
            input.push_str(dice.pick(&pieces));
        }
        if let Ok((output, _)) = repaired(crlf(&input).as_bytes(), SEVEN) {
            assert!(output.is_ascii(), "{input}");
            assert!(output.split(|&b| b == b'\n').all(|line| line.len() <= LINE_LIMIT + 1), "{input}");
        }
    }
}

#[test]
fn what_is_too_large_for_memory_goes_through_files() {
    let mut input =
        b"A: b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: a/b\r\n\r\n"
            .to_vec();
    input.resize(input.len() + (3 << 20), 0xfc);
    input.extend_from_slice(b"\r\n--b--\r\n");
    let before = message(&input);
    let after = adapt(&before, SEVEN).unwrap().unwrap();
    for message in [&before, &after] {
        assert!(matches!(message.body, crate::message::Body::File { .. }));
    }
    assert_eq!(decoded(&input).last(), decoded(&bytes(&after)).last());
    assert!(!after.facts().eight_bit_body && after.facts().longest_line < 100);
}

#[test]
fn a_field_of_many_parameters_takes_no_longer_than_others() {
    let text = format!("Content-Type: text/plain{}\r\n\r\nx\r\n", ";a=\u{e9}".repeat(50_000));
    let begun = std::time::Instant::now();
    adapt(&message(text.as_bytes()), EIGHT).unwrap().unwrap();
    assert!(begun.elapsed().as_secs() < 30);
}
