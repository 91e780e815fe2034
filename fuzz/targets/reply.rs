//! The reply parser: any octets, in any pieces.

use mailchute::reply::TEXT_LIMIT;
use mailchute::smtp::parse::{Parser, Raw};

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "reply", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] =
    &["220 ", "250-", "250 ", "354", "421 4.3.2 ", "550 5.1.1 ", "550-5.1.1 ", "\r\n", "\r\n250 ", "600 x"];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "220 mx.example.net ESMTP\r\n250-mx.example.net\r\n250-PIPELINING\r\n250 SIZE 52428800\r\n",
        "550-5.1.1 no such\r\n550-5.1.1 user\r\n550 5.1.1 here\r\n354\r\n250\n",
        "535 5.7.8 falsches Kennwort \u{fc}\r\n421 4.3.2 closing\r\n",
        "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
    ])
}

/// The replies, and whether garbage ended them.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Raw>, bool) {
    let mut parser = Parser::default();
    let mut replies = Vec::new();
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.advance() {
                Ok(Some(raw)) => replies.push(raw),
                Ok(None) => break,
                Err(garbage) => {
                    assert_printable(&garbage.describe([b"geheim".as_slice()]), 512);
                    return (replies, true);
                }
            }
        }
    }
    (replies, false)
}

fn check(input: &[u8]) -> u64 {
    let (replies, garbage) = read(std::iter::once(input));
    assert_eq!((&replies, garbage), (&read(input.chunks(1)).0, read(input.chunks(1)).1), "pieces change the meaning");
    assert_eq!((&replies, garbage), (&read(input.chunks(7)).0, read(input.chunks(7)).1), "pieces change the meaning");
    let mut path = vec![u8::from(garbage), replies.len().min(8) as u8];
    for raw in &replies {
        let reply = raw.reply();
        assert!((200..600).contains(&reply.code()), "code {}", reply.code());
        // A code and an enhanced code stand before the text.
        assert_printable(&reply.to_string(), TEXT_LIMIT + 32);
        let mut masked = raw.clone();
        masked.mask(b"geheim");
        assert!(!masked.reply().to_string().contains("geheim"));
        path.extend([reply.code().to_be_bytes()[1], reply.enhanced().map_or(0, |code| code.class)]);
        path.push(raw.lines().count().min(4) as u8);
    }
    hash(&path)
}
