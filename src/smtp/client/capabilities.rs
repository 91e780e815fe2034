//! What a server offers: the keywords of its EHLO reply (RFC 5321 4.1.1.1).

use crate::config::relay::Mechanism;
use crate::reply::printable;
use crate::smtp::parse::Raw;

/// The mechanisms we know, in the order in which they are tried: fewest round trips first.
pub(super) const PREFERENCE: [Mechanism; 8] = [
    Mechanism::Plain,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Login,
    Mechanism::CramMd5,
    Mechanism::XOAuth2,
    Mechanism::OAuthBearer,
    Mechanism::External,
];

/// The extensions a server offers; none of them after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// SIZE (RFC 1870): offered, and the limit in octets; 0 is none.
    pub size: Option<u64>,
    /// The known mechanisms of AUTH (RFC 4954).
    pub auth: Vec<Mechanism>,
    /// All mechanisms of AUTH as the server wrote them, printable; empty: AUTH is not offered.
    pub auth_words: String,
}

impl Capabilities {
    /// Reads the keywords of an EHLO reply, in any case; the first line is the server's name.
    pub fn of(reply: &Raw) -> Self {
        let mut offered = Self::default();
        for line in reply.lines().skip(1) {
            let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_slice() {
                b"PIPELINING" => offered.pipelining = true,
                b"CHUNKING" => offered.chunking = true,
                b"8BITMIME" => offered.eight_bit = true,
                b"SMTPUTF8" => offered.utf8 = true,
                b"DSN" => offered.dsn = true,
                b"STARTTLS" => offered.starttls = true,
                b"SIZE" => offered.size = Some(words.next().and_then(number).unwrap_or(0)),
                b"AUTH" => words.for_each(|word| offered.add_mechanism(word)),
                // The form of before RFC 2554, still said by some servers beside the right one.
                [b'A', b'U', b'T', b'H', b'=', ..] => {
                    std::iter::once(&keyword[5..]).chain(words).for_each(|word| offered.add_mechanism(word));
                }
                _ => {}
            }
        }
        offered
    }

    fn add_mechanism(&mut self, word: &[u8]) {
        let known = PREFERENCE.into_iter().find(|&known| word.eq_ignore_ascii_case(known.name().as_bytes()));
        match known {
            Some(known) if self.auth.contains(&known) => return,
            Some(known) => self.auth.push(known),
            None => {}
        }
        let shown = printable(word, 40);
        if self.auth_words.len() < 200 && !self.auth_words.split(' ').any(|before| before == shown) {
            if !self.auth_words.is_empty() {
                self.auth_words.push(' ');
            }
            self.auth_words.push_str(&shown);
        }
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::parse::Parser;

    fn offered(reply: &str) -> Capabilities {
        let mut parser = Parser::default();
        parser.push(reply.as_bytes());
        Capabilities::of(&parser.advance().unwrap().unwrap())
    }

    #[test]
    fn keywords_in_any_case() {
        let offered = offered(
            "250-PIPELINING\r\n250-Pipelining\r\n250-size 1000\r\n250-8bitMIME\r\n250-auth=login\r\n\
             250-AUTH plain LOGIN GSSAPI\r\n250 CHUNKING\r\n",
        );
        assert!(offered.pipelining && offered.chunking && offered.eight_bit && !offered.dsn);
        assert_eq!(offered.size, Some(1000));
        assert_eq!(offered.auth, [Mechanism::Login, Mechanism::Plain]);
        assert_eq!(offered.auth_words, "login plain GSSAPI");
    }

    #[test]
    fn the_first_line_offers_nothing() {
        assert_eq!(offered("250-PIPELINING hello\r\n250\r\n"), Capabilities::default());
        assert_eq!(offered("250-x\r\n250 SIZE\r\n").size, Some(0));
        assert_eq!(offered("250-x\r\n250 SIZE 99999999999999999999\r\n").size, Some(0));
    }
}
