use super::*;
use crate::address::Address;
use crate::envelope::{Dsn, Envelope};
use crate::failure::Kind;
use crate::message::Message;

fn parts_for(message: &str, recipients: &[&str]) -> Result<Parts, Failure> {
    let address = |text: &str| text.parse::<Address>().unwrap();
    let envelope = Envelope {
        reverse_path: Some(address("a@example.com")),
        forward_paths: recipients.iter().map(|text| address(text)).collect(),
        dsn: Dsn::default(),
    };
    let message = Message::read(&mut message.as_bytes(), false).unwrap();
    let now = jiff::Timestamp::UNIX_EPOCH;
    Parts::of(&Mail {
        envelope: &envelope,
        message: &message,
        endpoint: "",
        now,
        undisclosed: false,
        key: None,
        before: &[],
    })
}

fn parts(message: &str) -> Result<Parts, Failure> {
    parts_for(&format!("From: a@example.com\nTo: b@example.net\n{message}"), &["b@example.net"])
}

#[test]
fn the_envelope_decides_who_receives() {
    let message = "From: a@example.com\nTo: B <b@example.net>, gone@example.net\nCc: \"C, D\" <C@example.net>, \
                   b@example.net\n\nx\n";
    let parts = parts_for(message, &["c@example.net", "b@example.net", "hidden@example.net"]).unwrap();
    let names = |people: &[Person]| people.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&parts.to), ["B <b@example.net>"]);
    assert_eq!(names(&parts.cc), ["\"C, D\" <C@example.net>"]);
    assert_eq!(names(&parts.bcc), ["hidden@example.net"]);
    assert!(parts.not_carried.iter().any(|what| what.contains("gone@example.net")), "{:?}", parts.not_carried);
}

#[test]
fn a_lone_recipient_is_not_hidden_and_several_hidden_ones_stay_so() {
    let message = "From: a@example.com\n\nx\n";
    assert_eq!(parts_for(message, &["b@example.net"]).unwrap().to[0].address, "b@example.net");
    let mut parts = parts_for(message, &["b@example.net", "c@example.net"]).unwrap();
    assert!(parts.to.is_empty() && parts.bcc.len() == 2);
    let failure = parts.need_to().unwrap_err();
    assert!(failure.why.contains("none is in To or Cc"), "{failure}");
    assert!(failure.hint.is_some_and(|hint| hint.contains("undisclosed = \"sender\"")));
    parts.undisclosed = true;
    parts.need_to().unwrap();
    assert_eq!((parts.to[0].address.as_str(), parts.to.len(), parts.bcc.len()), ("a@example.com", 1, 2));
    // Who is in Cc takes the place before the sender does.
    let message = "From: a@example.com\nCc: c@example.net\n\nx\n";
    let mut parts = parts_for(message, &["b@example.net", "c@example.net"]).unwrap();
    parts.undisclosed = true;
    parts.need_to().unwrap();
    assert_eq!(parts.to[0].address, "c@example.net");
}

#[test]
fn fields_are_decoded_and_every_one_is_carried_or_named() {
    let parts = parts(
        "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nDate: Mon, 02 Nov 2026 10:00:00 +0000\nX-Note: =?utf-8?b?w6Q=?=\n\
         References: <1@x> <2@x>\nList-Unsubscribe: <https://example.com/u>\n\nbody\n",
    )
    .unwrap();
    assert_eq!(parts.subject, "Grüße");
    let fields: Vec<_> = parts.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(fields, ["X-Note: ä", "References: <1@x> <2@x>", "List-Unsubscribe: <https://example.com/u>"]);
    assert_eq!(parts.warnings(), ["not carried by the API: Date"]);
}

#[test]
fn no_field_takes_more_than_a_line_however_it_is_encoded() {
    for word in ["=?utf-8?q?a=0D=0ABcc:_e@x.org?=", "=?utf-8?b?YQ1iCmMAZA==?=", "=?utf-8?q?a=C2=85=E2=80=A8b?=", "a\tb"]
    {
        let message = format!(
            "Subject: {word}\nX-Note: {word}\nReply-To: {word} <r@example.com>\nContent-ID: <{word}>\n\
             Content-Disposition: attachment; filename=\"{word}\"\n\nx\n"
        );
        let parts = parts(&message).unwrap();
        let file = &parts.attachments[0];
        let name = parts.reply_to[0].name.clone().unwrap();
        for text in [&parts.subject, &parts.headers[0].1, &name, &file.name, file.content_id.as_ref().unwrap()] {
            let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            assert!(!text.is_empty() && !text.contains(ends_line), "{text:?} of {word}");
        }
    }
}

#[test]
fn a_character_cut_in_two_is_one_and_what_is_not_in_its_charset_is_named() {
    let parts = parts(
        "Subject: =?utf-8?Q?Gr=C3?= =?utf-8?Q?=BC=C3=9Fe?=\nX-Note: =?utf-8?q?=FC?=\nX-Other: =?x-none?q?=C3=BC?=\n\nx\n",
    )
    .unwrap();
    assert_eq!((parts.subject.as_str(), parts.headers[0].1.as_str(), parts.headers[1].1.as_str()), ("Grüße", "ü", "ü"));
    assert_eq!(
        parts.warnings(),
        [
            "X-Note: 1 octet that is not utf-8 read as windows-1252",
            "X-Other: the charset x-none is not known, read as utf-8"
        ]
    );
}

#[test]
fn texts_come_in_every_charset_and_files_as_they_are() {
    let parts = parts(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain; charset=koi8-r\n\
         Content-Transfer-Encoding: base64\n\n8NLJ18XU\n--x\nContent-Type: text/csv; charset=iso-8859-1\n\
         Content-Disposition: attachment; filename=\"../a.csv\"\nContent-Transfer-Encoding: quoted-printable\n\n\
         =E4;1\n--x\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAE=\n--x--\n",
    )
    .unwrap();
    assert_eq!(parts.text.as_deref(), Some("Привет"));
    let names: Vec<_> = parts.attachments.iter().map(|file| (file.name.as_str(), file.content.as_slice())).collect();
    assert_eq!(names, [("a.csv", &b"\xe4;1"[..]), ("attachment-2.png", b"\0\x01")]);
    assert_eq!(parts.attachments[0].content_type, "text/csv; charset=iso-8859-1");
}

#[test]
fn a_file_that_the_html_refers_to_is_shown_inside_it() {
    let message = |html: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n{html}\n--x\n\
             Content-Type: image/png\nContent-ID: <logo@x>\nContent-Disposition: attachment; filename=a.png\n\n\
             x\n--x--\n"
        )
    };
    assert!(parts(&message("<img src=\"cid:logo@x\">")).unwrap().attachments[0].is_inline);
    assert!(!parts(&message("<p>see the attachment</p>")).unwrap().attachments[0].is_inline);
}

#[test]
fn what_no_field_carries_is_refused_by_name() {
    let multipart = |kind: &str, inner: &str| {
        format!("Content-Type: multipart/{kind}; boundary=x\n\n--x\n\ntext\n--x\nContent-Type: {inner}\n\nx\n--x--\n")
    };
    for (message, named) in [
        (multipart("signed", "application/pgp-signature"), "multipart/signed"),
        (multipart("encrypted", "application/octet-stream"), "multipart/encrypted"),
        (multipart("report", "message/delivery-status"), "multipart/report"),
        (multipart("alternative", "text/calendar; method=REQUEST"), "text/calendar"),
        (multipart("mixed", "message/rfc822"), "message/rfc822"),
        (multipart("mixed", "application/pkcs7-mime"), "application/pkcs7-mime"),
        (multipart("mixed", "text/plain"), "a second text/plain"),
        (
            "Content-Type: text/plain; charset=iso-2022-kr\nContent-Transfer-Encoding: base64\n\n5A==\n".into(),
            "the charset iso-2022-kr",
        ),
        ("DKIM-Signature: v=1\n\nx\n".into(), "DKIM"),
        ("Reply-To: x@y.example\nFrom: second@example.com\n\nx\n".into(), "From field"),
    ] {
        let failure = parts(&message).unwrap_err();
        assert_eq!(failure.kind, Kind::Data);
        assert!(failure.why.contains(named), "{named}: {failure}");
        assert_eq!(failure.hint.as_deref(), Some("set via = \"smtp\" for this relay"));
    }
}

#[test]
fn who_is_in_to_and_cc_is_not_said_to_be_left_out() {
    let message = "From: a@example.com\nTo: b@example.net\nCc: B <B@example.net>, gone@example.net\n\nx\n";
    let parts = parts_for(message, &["b@example.net"]).unwrap();
    assert_eq!((parts.to.len(), parts.cc.len()), (1, 0));
    let warnings = parts.warnings().concat();
    assert!(warnings.contains("Cc <gone@example.net>") && !warnings.contains("Cc <B@"), "{warnings}");
}

#[test]
fn many_files_in_a_long_html_text_take_no_longer_than_others() {
    let html = "cid:xx ".repeat(200_000);
    let file =
        |number| format!("--b\nContent-Type: a/b\nContent-ID: <xxx{number}>\nContent-Disposition: attachment\n\nx\n");
    let files: String = (0..4_000).map(file).collect();
    let text = format!("<img src='cid:xxx7'><p style=\"a:url(cid:xxx8)\">{html}");
    let begun = std::time::Instant::now();
    let message =
        format!("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n{text}\n{files}--b--\n");
    let parts = parts(&message).unwrap();
    let inline: Vec<_> = parts.attachments.iter().filter(|file| file.is_inline).map(|file| &file.content_id).collect();
    assert_eq!(inline, [&Some("xxx7".to_owned()), &Some("xxx8".to_owned())]);
    assert!(begun.elapsed().as_secs() < 30);
}

#[test]
fn the_fields_name_whom_the_senders_rule_judged() {
    let from = |field: &str| parts_for(&format!("From: {field}\nTo: b@example.net\n\nx\n"), &["b@example.net"]);
    for (field, person) in [
        ("=?utf-8?q?\"?= <ceo@bank.example> (\" <ok@ok.example>)", "\"\\\"\" <ceo@bank.example>"),
        ("=?utf-8?q?=22=2C?= <ok@ok.example> (\" <ceo@bank.example>)", "\"\\\",\" <ok@ok.example>"),
        ("=?ISO-8859-1?Q?M=FCller,_J.?= <ok@ok.example>", "\"Müller, J.\" <ok@ok.example>"),
        ("\"=?utf-8?q?ceo=40bank=2Eexample=3E?=\" <ok@ok.example>", "\"ceo@bank.example>\" <ok@ok.example>"),
        ("ok@ok.example (Ann B.)", "\"Ann B.\" <ok@ok.example>"),
        ("Shop, Inc. <ok@ok.example>", "\"Shop, Inc.\" <ok@ok.example>"),
        ("=?utf-8?q?a=0D=0ABcc:_e=40x.org?= <ok@bücher.example>", "\"a  Bcc: e@x.org\" <ok@xn--bcher-kva.example>"),
    ] {
        assert_eq!(from(field).unwrap().from.to_string(), person, "{field}");
    }
    for (field, why) in [
        ("=?utf-8?q?\"?= <ceo@bank.example> (\" <ok@ok.example>", "in its From field, which is not an address"),
        ("\"ceo@bank.example\":;", "no From field with an address"),
        ("ok@ok.example, ceo@bank.example", "more than one address"),
    ] {
        let failure = from(field).unwrap_err();
        assert!(failure.why.contains(why), "{field}: {failure}");
    }
}

#[test]
fn nobody_is_named_twice_in_whatever_case_or_form() {
    let message = "From: a@example.com\nTo: bob@example.net, B <Bob@Example.net>\nCc: BOB@example.net, c@xn--bcher-kva.example\n\
                   Errors-To: \"=?utf-8?q?e=40x=2Eorg?=\" <b@x.org>\n\nx\n";
    let message = Message::read(&mut message.as_bytes(), false).unwrap();
    let address = |text: &str| {
        let (local, domain) = text.split_once('@').unwrap();
        Address::new_dangerous(local, domain)
    };
    let forward_paths = ["bob@example.net", "Bob@example.net", "c@bücher.example", "d@x.org", "D@x.org"].map(address);
    let envelope = Envelope { reverse_path: None, forward_paths: forward_paths.to_vec(), dsn: Dsn::default() };
    let now = jiff::Timestamp::UNIX_EPOCH;
    let parts = Parts::of(&Mail {
        envelope: &envelope,
        message: &message,
        endpoint: "",
        now,
        undisclosed: false,
        key: None,
        before: &[],
    })
    .unwrap();
    assert_eq!(joined(&parts.to), "bob@example.net");
    assert_eq!(joined(&parts.cc), "c@xn--bcher-kva.example");
    assert_eq!(joined(&parts.bcc), "d@x.org");
    assert_eq!(parts.headers, [("Errors-To".to_owned(), "=?utf-8?q?e=40x=2Eorg?= <b@x.org>".to_owned())]);
    assert_eq!(parts.not_carried, ["reverse-path <>"]);
}

#[test]
fn many_recipients_are_shared_out_in_linear_time() {
    let recipients: Vec<String> = (0..50_000).map(|number| format!("r{number}@example.net")).collect();
    let (to, cc) = recipients.split_at(20_000);
    let message = format!("From: a@example.com\nTo: {}\nCc: {}\n\nx\n", to.join(",\n "), cc[..20_000].join(",\n "));
    let names: Vec<&str> = recipients.iter().rev().map(String::as_str).collect();
    let parts = parts_for(&message, &names).unwrap();
    assert_eq!((parts.to.len(), parts.cc.len(), parts.bcc.len()), (20_000, 20_000, 10_000));
}
