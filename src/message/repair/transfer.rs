//! Content transfer encodings (RFC 2045 section 6) written while content streams by.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::message::encoding;

/// The longest line of encoded content, in octets without CRLF.
const LINE: usize = 76;
/// Octets that make one such line of base64.
const GROUP: usize = LINE / 4 * 3;

/// What is done to a stretch of content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Transfer {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// Plain lines become quoted-printable.
    QuotedPrintable,
    /// Plain octets become base64.
    Base64,
    /// Quoted-printable gets shorter lines, and its raw octets are quoted.
    Requote,
    /// Base64 gets shorter lines, and what does not belong to it goes, text behind it as a whole.
    Rewrap,
}

/// Writes content by one [`Transfer`].
pub(super) struct Encoder {
    transfer: Transfer,
    /// Octets on the line that is being written.
    column: usize,
    /// White space or `=` whose form depends on what follows it; octets that do not make a group yet.
    held: Vec<u8>,
    /// Text stands behind base64.
    is_over: bool,
}

impl Encoder {
    /// An encoder at the beginning of its content.
    pub(super) fn new(transfer: Transfer) -> Self {
        Self { transfer, column: 0, held: Vec::new(), is_over: false }
    }

    /// What it does.
    pub(super) fn transfer(&self) -> Transfer {
        self.transfer
    }

    /// Takes octets without line ends.
    pub(super) fn octets(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self.transfer {
            Transfer::Keep => out.extend_from_slice(octets),
            Transfer::Remove => {}
            Transfer::QuotedPrintable => octets.iter().for_each(|&octet| self.quote(octet, out)),
            Transfer::Base64 => self.encode(octets, out),
            Transfer::Requote => octets.iter().for_each(|&octet| self.requote(octet, out)),
            Transfer::Rewrap if self.is_over => {}
            Transfer::Rewrap if encoding::is_text(octets) => self.is_over = true,
            Transfer::Rewrap => {
                let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
                octets.iter().filter(|b| is_base64(b)).for_each(|&octet| self.wrap(octet, out));
            }
        }
    }

    /// Takes a line end of the content.
    pub(super) fn line_end(&mut self, out: &mut Vec<u8>) {
        match self.transfer {
            Transfer::Remove | Transfer::Rewrap => {}
            Transfer::Base64 => self.encode(b"\r\n", out),
            Transfer::Keep | Transfer::QuotedPrintable | Transfer::Requote => {
                self.finish(out);
                out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
        }
    }

    /// Writes what is held: the content, or its line, is over.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match (self.transfer, held.as_slice()) {
            (_, []) => {}
            (Transfer::QuotedPrintable, &[space]) => self.token(&quoted(space), out),
            // A soft line break of the content's own, with the white space that mail servers put behind it.
            (Transfer::Requote, [b'=', rest @ ..]) if rest.iter().all(u8::is_ascii_whitespace) => out.push(b'='),
            (Transfer::Requote, held) => {
                self.token(b"=3D", out);
                held[1..].iter().for_each(|&octet| self.requote(octet, out));
            }
            (_, group) => {
                self.break_line(out);
                out.extend_from_slice(STANDARD.encode(group).as_bytes());
                self.column = LINE;
            }
        }
    }

    /// Whether the line that was written last lacks its end.
    pub(super) fn is_inside_line(&self) -> bool {
        self.column > 0
    }

    /// One octet of text. White space stays, except at the end of a line (RFC 2045 6.7, rule 3).
    fn quote(&mut self, octet: u8, out: &mut Vec<u8>) {
        if let Some(space) = self.held.pop() {
            self.token(&[space], out);
        }
        match octet {
            b' ' | b'\t' => self.held.push(octet),
            b'!'..=b'<' | b'>'..=b'~' => self.token(&[octet], out),
            _ => self.token(&quoted(octet), out),
        }
    }

    /// One octet of what is quoted-printable already. What follows a `=` says whether it quotes an octet, ends the line
    /// softly, or stands for itself, and is held until then.
    fn requote(&mut self, octet: u8, out: &mut Vec<u8>) {
        match (self.held.as_slice(), octet) {
            ([], b'=') | ([b'='], b'0'..=b'9' | b'A'..=b'F' | b'a'..=b'f') => return self.held.push(octet),
            ([], _) => {}
            ([b'=', rest @ ..], b' ' | b'\t') if rest.len() < LINE && rest.iter().all(u8::is_ascii_whitespace) => {
                return self.held.push(octet);
            }
            (&[b'=', high], b'0'..=b'9' | b'A'..=b'F' | b'a'..=b'f') if !high.is_ascii_whitespace() => {
                self.held.clear();
                return self.token(&[b'=', high, octet], out);
            }
            _ => {
                let held = std::mem::take(&mut self.held);
                self.token(b"=3D", out);
                held[1..].iter().for_each(|&octet| self.requote(octet, out));
                return self.requote(octet, out);
            }
        }
        match octet {
            b'\t' | b' '..=b'~' => self.token(&[octet], out),
            _ => self.token(&quoted(octet), out),
        }
    }

    fn token(&mut self, token: &[u8], out: &mut Vec<u8>) {
        // A line that begins here could be taken for a delimiter that was not there before.
        if self.make_room(token.len(), out) && token == b"-" {
            return self.token(&quoted(b'-'), out);
        }
        self.column += token.len();
        out.extend_from_slice(token);
    }

    /// Ends the line softly where `octets` more and a `=` do not fit, and says whether it did.
    fn make_room(&mut self, octets: usize, out: &mut Vec<u8>) -> bool {
        let is_full = self.column + octets >= LINE;
        if is_full {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        is_full
    }

    fn encode(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while !octets.is_empty() {
            let (now, later) = octets.split_at(octets.len().min(GROUP - self.held.len()));
            self.held.extend_from_slice(now);
            octets = later;
            if self.held.len() == GROUP {
                self.finish(out);
            }
        }
    }

    fn wrap(&mut self, octet: u8, out: &mut Vec<u8>) {
        if self.column == LINE {
            self.break_line(out);
        }
        self.column += 1;
        out.push(octet);
    }

    /// Ends the line before the one that follows, if there is one.
    fn break_line(&mut self, out: &mut Vec<u8>) {
        if self.column > 0 {
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
    }
}

fn quoted(octet: u8) -> [u8; 3] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [b'=', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `content` by `transfer`, handed over in pieces of `size` octets.
    fn encoded(transfer: Transfer, content: &[u8], size: usize) -> String {
        let mut encoder = Encoder::new(transfer);
        let mut out = Vec::new();
        for line in content.split_inclusive(|&b| b == b'\n') {
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            text.chunks(size).for_each(|piece| encoder.octets(piece, &mut out));
            if text.len() < line.len() {
                encoder.line_end(&mut out);
            }
        }
        encoder.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn octets_in_octets_out() {
        let long = "x".repeat(76);
        for (transfer, input, output) in [
            (Transfer::Keep, "a \r\n", "a \r\n".to_owned()),
            (Transfer::Remove, "a\r\nb", String::new()),
            (Transfer::QuotedPrintable, "a=b\tc \r\n\t\r\nü ", "a=3Db\tc=20\r\n=09\r\n=C3=BC=20".to_owned()),
            (Transfer::QuotedPrintable, &long, format!("{}=\r\nx", &long[1..])),
            (Transfer::QuotedPrintable, &format!("{long}--b"), format!("{}=\r\nx--b", &long[1..])),
            (Transfer::QuotedPrintable, &format!("{}--b", &long[1..]), format!("{}=\r\n=2D-b", &long[1..])),
            (Transfer::Base64, "a\r\nb", "YQ0KYg==".to_owned()),
            (Transfer::Base64, &"a".repeat(58), format!("{}\r\nYQ==", STANDARD.encode("a".repeat(57)))),
            (Transfer::Requote, "a=3D=\r\nb =20\r\nü", "a=3D=\r\nb =20\r\n=C3=BC".to_owned()),
            (Transfer::Requote, &format!("{}=3D=\r\n", &long[3..]), format!("{}=\r\n=3D=\r\n", &long[3..])),
            (Transfer::Requote, &format!("{}=\r\n", &long[1..]), format!("{}=\r\n", &long[1..])),
            (Transfer::Requote, "a = b=\r\n=zz= \r\n=3", "a =3D b=\r\n=3Dzz=\r\n=3D3".to_owned()),
            (Transfer::Requote, "==3D=  x", "=3D=3D=3D  x".to_owned()),
            (Transfer::Rewrap, "YQ 0K\r\nYüg==", "YQ0KYg==".to_owned()),
            (Transfer::Rewrap, &"YWJj".repeat(20), format!("{}\r\nYWJj", "YWJj".repeat(19))),
        ] {
            for size in [1, 2, 3, 1000] {
                assert_eq!(encoded(transfer, input.as_bytes(), size), output, "{input}");
            }
        }
    }

    #[test]
    fn no_line_is_longer_than_76() {
        for unit in ["x", "ü", " ", "= ", "ab\t", "=3D"] {
            for transfer in [Transfer::QuotedPrintable, Transfer::Base64, Transfer::Requote, Transfer::Rewrap] {
                let out = encoded(transfer, unit.repeat(2000).as_bytes(), 7);
                assert!(out.split("\r\n").all(|line| line.len() <= LINE), "{transfer:?} {unit}: {out}");
            }
        }
    }
}
