//! The header section of a copy that arrived, as `check --message` reads it: any octets.

use mailchute::message::Message;
use mailchute::records::received::read;

use super::{Target, octets};
use crate::mutate::{Grammar, hash};

pub(crate) const TARGET: Target = Target { name: "received", seeds, words: WORDS, grammar: GRAMMAR, check };

const WORDS: &[&str] = &[
    "\nAuthentication-Results: ",
    "\nDKIM-Signature: ",
    "\nReturn-Path: <",
    "\nList-Unsubscribe: <https://x>",
    "d=shop.example; s=s1; ",
    "; spf=pass smtp.mailfrom=a@shop.example",
    " (a (b) \\) c)",
    "mx.example 1",
];

const GRAMMAR: Grammar = &[
    (
        "field",
        &[
            "\nAuthentication-Results: «who»;«results»\n",
            "\nDKIM-Signature: v=1; d=«name»; s=«name»; h=from\n",
            "\nReturn-Path: <«name»>\n",
            "\nReturn-Path: <a@«name»>\n",
            "From: a@«name»\n",
        ],
    ),
    ("who", &["mx.«name»", "«name» 1", "", "(«name») «name»"]),
    ("results", &["«result»", "«result»;«results»", " none"]),
    (
        "result",
        &[
            " spf=pass smtp.mailfrom=a@«name»",
            " dkim=fail (bad («name»)) header.d=«name» header.s=s",
            " dmarc=pass (p=none) header.from=«name»",
            " dkim/1=temperror reason=\"x;y\" header.i=@«name»",
            " spf = «name»",
        ],
    ),
    ("name", &["shop.example", "b.shop.example", "x", "ü.example", "(c)a.example", "a..b", "\"q\"", "«name».«name»"]),
];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "From: a@shop.example\nReturn-Path: <b@r.shop.example>\nDKIM-Signature: v=1; d=shop.example; s=s1; bh=x; b=y\n\
         Authentication-Results: mx.example; spf=pass smtp.mailfrom=b@r.shop.example;\n dkim=pass header.d=shop.example;\n\
         \tdmarc=pass (p=NONE) header.from=shop.example\n\n",
    ])
}

fn check(input: &[u8]) -> u64 {
    let Ok(message) = Message::read(&mut &input[..], false) else { return 0 };
    let Some(received) = read(message.header()) else { return 1 };
    // Each of these is asked for or shown.
    let names = received.signatures.iter().flat_map(|one| [&one.domain, &one.selector]);
    let domains = received.results.iter().filter_map(|one| one.domain.as_ref());
    let names = names.chain(domains).chain(&received.receiver).chain(&received.return_path);
    for name in names {
        let is_name = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        assert!(is_name && !name.is_empty() && name.len() <= 1024, "{name:?} is asked for");
    }
    for outcome in &received.results {
        let is_word = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
        assert!(is_word(&outcome.result), "{:?}", outcome.result);
    }
    assert!(received.signatures.len() <= 32 && received.results.len() <= 32 * 32);
    for signature in received.own_signatures() {
        assert!(received.is_related(&signature.domain));
    }
    hash(&[
        received.signatures.len().min(4) as u8,
        received.results.len().min(6) as u8,
        u8::from(received.receiver.is_some()) | u8::from(received.return_path.is_some()) << 1,
    ])
}
