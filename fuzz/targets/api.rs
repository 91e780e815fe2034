//! The providers' APIs: any answer with any status, and any message as the fields of a request.

use std::sync::Arc;

use mailchute::envelope::{Dsn, Envelope};
use mailchute::failure::Kind;
use mailchute::message::Message;
use mailchute::providers;
use mailchute::providers::api::parts::Parts;
use mailchute::providers::api::{Api, Entry, Mail, Response};
use mailchute::reply::TEXT_LIMIT;

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "api", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "{\"ErrorCode\":0,\"Message\":\"OK\",\"MessageID\":\"x\"}",
    "{\"ErrorCode\":406,\"Message\":\"inactive b@example.net\"}",
    "{\"errors\":[{\"message\":\"x\",\"field\":\"from\",\"code\":\"7001\"}]}",
    "{\"results\":{\"total_rejected_recipients\":1,\"total_accepted_recipients\":1,\"id\":\"1\"}}",
    "{\"message\":\"not allowed to send\"}",
    "{\"MessageId\":\"1\"}",
    "multipart/signed",
    "multipart/alternative; boundary=x\n\n--x\n",
    "\n--x\nContent-Type: text/html\n\n",
    "\n--x--\n",
    "Content-Transfer-Encoding: base64\n",
    "Content-ID: <a@b>\n",
    "message/rfc822",
    "=?utf-8?B?w6Q=?=",
    "; charset=utf-7",
    "; charset=shift_jis",
    "; filename*0*=utf-8''%C3; filename*1*=%BC",
    "Content-Transfer-Encoding: quoted-printable\n\n=FC = =C3=BC",
    "=?utf-8?q?=0D=0A=FC?=",
    "\u{2028}",
];

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = octets(&[
        "\0\0From: a@example.com\nTo: b@example.net, C <c@example.net>\nSubject: =?koi8-r?Q?=F0?=\n\nbody\n",
        "\0\0From: a@example.com\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/related; \
         boundary=y\n\n--y\nContent-Type: text/html\n\n<p>\n--y\nContent-Type: image/png\nContent-ID: <l@x>\n\
         Content-Transfer-Encoding: base64\n\nAAE=\n--y--\n--x\nContent-Type: text/csv; name=a.csv\n\n1;2\n--x--\n",
    ]);
    seeds.extend(
        WORDS[..6]
            .iter()
            .flat_map(|word| [[b"\x01\x00", word.as_bytes()].concat(), [b"\x01\x0b", word.as_bytes()].concat()]),
    );
    seeds
}

const STATUSES: &[u16] =
    &[200, 201, 202, 204, 301, 302, 303, 304, 307, 400, 401, 402, 403, 404, 413, 420, 422, 429, 500, 503];

/// Every API with the least settings it takes.
fn apis() -> Vec<Arc<dyn Api>> {
    let read = |entry: &Entry, text: &str| entry.read(toml::de::ValueDeserializer::parse(text).ok()?).ok();
    let least = ["{}", "{ domain = 'mg.example.com' }"];
    providers::all()
        .filter_map(|provider| provider.api)
        .filter_map(|entry| least.iter().find_map(|text| read(entry, text)))
        .collect()
}

fn check(input: &[u8]) -> u64 {
    let envelope = Envelope {
        reverse_path: "a@example.com".parse().ok(),
        forward_paths: ["b@example.net", "c@example.net"].iter().filter_map(|text| text.parse().ok()).collect(),
        dsn: Dsn::default(),
    };
    match input {
        [0, _, message @ ..] => parts(message, &envelope),
        [_, choice, body @ ..] => answers(*choice, body, &envelope),
        _ => 0,
    }
}

/// The envelope decides who receives, whatever the message says; nobody receives twice.
fn parts(message: &[u8], envelope: &Envelope) -> u64 {
    let octets = message;
    let Ok(message) = Message::read(&mut { message }, false) else { return 1 };
    let mail = Mail {
        envelope,
        message: &message,
        endpoint: "https://x.example",
        now: jiff::Timestamp::UNIX_EPOCH,
        undisclosed: false,
        key: None,
        before: &[],
    };
    let parts = match Parts::of(&mail) {
        Ok(parts) => parts,
        Err(failure) => {
            assert_eq!(failure.kind, Kind::Data);
            assert_printable(&failure.why, 512);
            return hash(&[2, failure.why.len() as u8]);
        }
    };
    let mut everybody: Vec<String> = parts.everybody().map(|person| person.address.to_lowercase()).collect();
    everybody.sort();
    assert_eq!(everybody, ["b@example.net", "c@example.net"]);
    let people = parts.everybody().chain(&parts.reply_to).chain([&parts.from]);
    let people = people.flat_map(|person| [Some(&person.address), person.name.as_ref()]);
    let files = parts
        .attachments
        .iter()
        .flat_map(|file| [Some(&file.name), Some(&file.content_type), file.content_id.as_ref()]);
    let fields = parts.headers.iter().flat_map(|(name, value)| [Some(name), Some(value)]);
    let lines: Vec<&String> = people.chain(files).chain(fields).chain([Some(&parts.subject)]).flatten().collect();
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    lines.iter().for_each(|text| assert!(!text.contains(ends_line), "{text:?}"));
    // What is lost is named, unless somebody else lost it before.
    let mut said = lines.into_iter().chain(&parts.text).chain(&parts.html);
    if said.any(|text| text.contains('\u{fffd}')) {
        let raw = octets.escape_ascii().to_string().to_ascii_lowercase();
        let may_hold = ["\\xef", "=ef", "%ef", "base64", "base-64", "?b?"].iter().any(|form| raw.contains(form));
        assert!(may_hold || !parts.flaws.is_empty(), "U+FFFD, and nobody says so");
    }
    parts.flaws.iter().for_each(|flaw| assert_printable(flaw, 512));
    let shape =
        [3, parts.attachments.len().min(5) as u8, u8::from(parts.text.is_some()), u8::from(parts.html.is_some())];
    hash(&[&shape[..], &[parts.to.len() as u8, parts.headers.len().min(8) as u8]].concat())
}

/// Accepted only by a 2xx; a 2xx that is not understood is in doubt; everything said can be shown.
fn answers(choice: u8, body: &[u8], envelope: &Envelope) -> u64 {
    let status = STATUSES[usize::from(choice) % STATUSES.len()];
    let mut path = vec![choice];
    for api in apis() {
        let headers = vec![("retry-after".to_owned(), "7".to_owned())];
        let (is_whole, is_repeat) = (choice & 128 == 0, choice & 64 != 0);
        let response = Response { status, headers, body: body.to_vec(), is_whole, is_repeat };
        match api.outcome(envelope, &response) {
            Ok(outcome) => {
                // Of a request that was made before it may be said that it was accepted then.
                let may_accept = is_repeat || status / 100 == 2;
                assert!(may_accept || !outcome.is_accepted_for_some(), "{status} accepts");
                assert_eq!(outcome.answers.len(), envelope.forward_paths.len());
                for reply in outcome.answers.iter().filter_map(|answer| answer.reply.as_ref()) {
                    assert!((200..600).contains(&reply.code()));
                    assert_printable(&reply.to_string(), TEXT_LIMIT + 32);
                    path.extend(reply.code().to_be_bytes());
                }
            }
            Err(failure) => {
                assert_eq!((failure.kind, status / 100), (Kind::InDoubt, 2));
                assert_printable(&failure.why, TEXT_LIMIT * 2);
            }
        }
    }
    hash(&path)
}
