//! Message repair: the first octet chooses the relay, the rest is a message.

use mailchute::message::Message;
use mailchute::message::repair::{self, Needs};

use super::{Target, assert_printable};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "repair", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "--b\r\n",
    "--b--\r\n",
    "--b",
    "\r\n\r\n",
    "Content-Type: multipart/mixed; boundary=b\r\n",
    "Content-Type: multipart/digest; boundary=\"b\"\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: application/x; name=\"\u{fc}\"\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Type: text/plain; charset=koi8-r\r\n",
    "To: \u{fc} <a@\u{fc}.org>, \"\u{fc}\" (\u{fc}) :;\r\n",
    "=?utf-8?Q?a?= ",
    "DKIM-Signature: x\r\n",
    "-----BEGIN PGP MESSAGE-----\r\n",
    "\u{fc}",
    "=3D=\r\n",
];

fn seeds() -> Vec<Vec<u8>> {
    let long = "long ".repeat(250);
    let mut seeds = Vec::new();
    for text in [
        "Subject: \u{fc}\r\nTo: J\u{fc} <a@b\u{fc}.org>, x (\u{fc})\r\n\r\n\u{fc}\r\n".to_owned(),
        format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\np\r\n--b\r\n\r\n{long}\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: \u{fc}\r\n\r\n\u{fc}\r\n--b--\r\ne\r\n"
        ),
        format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n=3D{long}=\r\n\u{fc}\r\n"),
        format!("Content-Transfer-Encoding: base64\r\n\r\n{}\r\n", "YWJj".repeat(400)),
        format!("To: {}\r\nContent-Disposition: inline; filename=\"\u{fc}\"\r\n\r\n", "a@x.org, ".repeat(150)),
    ] {
        for choice in 0..3 {
            seeds.push([&[choice], text.as_bytes()].concat());
        }
    }
    seeds
}

fn check(input: &[u8]) -> u64 {
    let [choice, message @ ..] = input else { return 0 };
    let Ok(message) = Message::read(&mut &message[..], false) else { return 1 };
    let needs = Needs { eight_bit: choice % 3 > 0, utf8: choice % 3 > 1 };
    let adapted = match repair::adapt(&message, needs) {
        Ok(Some(adapted)) => adapted,
        Ok(None) => return 2,
        Err(failure) => {
            assert_printable(&failure.to_string(), 1024);
            return hash(failure.why.as_bytes());
        }
    };
    let facts = adapted.facts();
    assert!(needs.eight_bit || !facts.eight_bit_body, "8-bit for a relay without 8BITMIME");
    let header = adapted.header().as_bytes();
    assert!(if needs.utf8 { str::from_utf8(header).is_ok() } else { header.is_ascii() }, "raw fields");
    let repairs = &adapted.repairs()[message.repairs().len()..];
    assert!(!repairs.is_empty(), "changed, and the record does not say so");
    repairs.iter().for_each(|repair| assert_printable(repair, 1024));
    match repair::adapt(&adapted, needs) {
        Ok(None) => {}
        Ok(Some(again)) => panic!("once more: {:?}", again.repairs()),
        Err(failure) => panic!("fit, and then refused: {failure}"),
    }
    hash(repairs.iter().map(|repair| repair.split('(').next().unwrap_or_default()).collect::<String>().as_bytes())
}
