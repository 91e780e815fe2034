//! The reply parser: octets in, whole replies out (RFC 5321 4.2.1).
//!
//! Liberal where real servers are sloppy: bare codes, LF line ends, text in any charset. Strict where
//! a wrong guess would be a lie: three digits from 200 to 599, then nothing, a space or a hyphen, and
//! the same code on every line.

use crate::reply::{Reply, printable};

/// The longest reply line, in octets without its line end.
pub const LINE_LIMIT: usize = 4 << 10;
/// The longest reply, in octets with its line ends.
pub const REPLY_LIMIT: usize = 64 << 10;
/// How much may wait unparsed. Several hundred replies to one flight fit; a server that says more than
/// it was asked for does not get to fill our memory.
const BACKLOG_LIMIT: usize = 4 * REPLY_LIMIT;
/// How much of what is no reply is quoted, in bytes.
const QUOTE_LIMIT: usize = 80;

/// Why the server's octets are no SMTP reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// The line that is no reply line, as far as it has come; foreign and unmasked.
    Line(Vec<u8>),
    /// A line over [`LINE_LIMIT`].
    LongLine,
    /// A reply over [`REPLY_LIMIT`], or a backlog of replies nobody asked for.
    LongReply,
}

impl Garbage {
    /// Part of a sentence, printable and bounded, such as `"HTTP/1.1 400 Bad Request"`, after every
    /// one of `secrets` is taken out.
    pub fn describe<'a>(&self, secrets: impl IntoIterator<Item = &'a [u8]>) -> String {
        match self {
            Self::Line(line) => {
                let mut line = line.clone();
                secrets.into_iter().for_each(|secret| mask(&mut line, secret));
                format!("\"{}\"", printable(&line[..line.len().min(QUOTE_LIMIT)], QUOTE_LIMIT))
            }
            Self::LongLine => format!("a line longer than {} KB", LINE_LIMIT >> 10),
            Self::LongReply => format!("a reply longer than {} KB", REPLY_LIMIT >> 10),
        }
    }
}

/// One syntactically valid reply as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// 200 to 599.
    pub code: u16,
    /// Every line with code and line end.
    text: Vec<u8>,
}

impl Raw {
    /// The lines without line ends, codes included: what a dialogue shows.
    pub fn full_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split_inclusive(|&byte| byte == b'\n').map(trim_end)
    }

    /// The lines without code, separator and line end.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.full_lines().map(|line| line.get(4..).unwrap_or_default())
    }

    /// The reply as a value.
    pub fn reply(&self) -> Reply {
        Reply::from_lines(self.code, self.lines())
    }

    /// Replaces every occurrence of `secret` by stars, before anything of the reply is shown or cut.
    /// Secrets under four octets are left alone, as everything would contain them.
    pub fn mask(&mut self, secret: &[u8]) {
        mask(&mut self.text, secret);
    }
}

/// The parser: holds what has come in and is not a whole reply yet, never more than about
/// a quarter of a megabyte.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Where the reply that is being read starts in `buffer`.
    start: usize,
    /// Where its current line starts.
    line: usize,
    /// How far that line has been searched for its end.
    searched: usize,
    overflow: bool,
}

impl Parser {
    /// Takes what the server sent. More than [`REPLY_LIMIT`] of it at a time is not needed.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.line -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        let room = BACKLOG_LIMIT.saturating_sub(self.buffer.len());
        self.overflow |= bytes.len() > room;
        self.buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether nothing is held: every octet the server sent belongs to a reply already taken.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// What is held, as something that should not be there.
    pub fn leftover(&self) -> Garbage {
        first_line(&self.buffer[self.start..])
    }

    /// The next whole reply; `None`: more octets are needed.
    ///
    /// # Errors
    /// What the server sent is no reply. It is recognised as early as possible, not only at a line end
    /// that may never come.
    pub fn advance(&mut self) -> Result<Option<Raw>, Garbage> {
        loop {
            let end = memchr::memchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
            let line = &self.buffer[self.line..end.unwrap_or(self.buffer.len())];
            let Some((code, last)) = self.check(trim_end(line), end.is_some())? else {
                self.searched = self.buffer.len();
                return match self.overflow {
                    true => Err(Garbage::LongReply),
                    false => Ok(None),
                };
            };
            // `check` answers with a code only where there is a line end.
            let next = end.map_or(self.buffer.len(), |end| end + 1);
            if next - self.start > REPLY_LIMIT {
                return Err(Garbage::LongReply);
            }
            self.line = next;
            self.searched = next;
            if last {
                let text = self.buffer[self.start..next].to_vec();
                self.start = next;
                return Ok(Some(Raw { code, text }));
            }
        }
    }

    /// Checks one line, `complete` or as far as it has come: its code and whether it is the last one.
    fn check(&self, line: &[u8], complete: bool) -> Result<Option<(u16, bool)>, Garbage> {
        if line.len() > LINE_LIMIT {
            return Err(Garbage::LongLine);
        }
        if self.line + line.len() - self.start > REPLY_LIMIT {
            return Err(Garbage::LongReply);
        }
        let first = &self.buffer[self.start..];
        let valid = line.iter().take(4).enumerate().all(|(at, byte)| match at {
            // Continuation lines repeat the code of the first one.
            0..3 if self.line > self.start => *byte == first[at],
            0 => matches!(byte, b'2'..=b'5'),
            1 | 2 => byte.is_ascii_digit(),
            _ => matches!(byte, b' ' | b'-'),
        });
        if !valid || complete && line.len() < 3 {
            return Err(first_line(&self.buffer[self.line..]));
        }
        if !complete {
            return Ok(None);
        }
        let code = line[..3].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        Ok(Some((code, line.get(3) != Some(&b'-'))))
    }
}

/// `line` without its line end, CRLF or LF.
fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn first_line(bytes: &[u8]) -> Garbage {
    let line = bytes.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    Garbage::Line(trim_end(&line[..line.len().min(LINE_LIMIT)]).to_vec())
}

fn mask(text: &mut Vec<u8>, secret: &[u8]) {
    if secret.len() < 4 {
        return;
    }
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&text[from..], secret) {
        let start = from + at;
        text.splice(start..start + secret.len(), *b"***");
        from = start + 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Result<Vec<String>, Garbage> {
        let mut parser = Parser::default();
        parser.push(input);
        let mut replies = Vec::new();
        while let Some(raw) = parser.advance()? {
            replies.push(raw.reply().to_string());
        }
        Ok(replies)
    }

    #[test]
    fn replies_come_out_whole_however_they_come_in() {
        let input = b"220 hi\r\n250-a\r\n250-\r\n250 b\r\n354\r\n421 4.3.2 bye\n";
        let whole = all(input).unwrap();
        assert_eq!(whole, ["220 hi", "250 a b", "354", "421 4.3.2 bye"]);
        let mut parser = Parser::default();
        let mut apart = Vec::new();
        for &byte in input {
            parser.push(&[byte]);
            while let Some(raw) = parser.advance().unwrap() {
                apart.push(raw.reply().to_string());
            }
        }
        assert_eq!(apart, whole);
        assert!(parser.is_empty());
    }

    #[test]
    fn sloppy_replies_are_taken() {
        assert_eq!(all(b"250\n").unwrap(), ["250"]);
        assert_eq!(all(b"250-\n250\n").unwrap(), ["250"]);
        assert_eq!(all(b"599 caf\xe9\0\x1b[0m\r\n").unwrap(), ["599 café??[0m"]);
        assert_eq!(all(b"250-one\r\n250").unwrap(), [""; 0], "the last line is not over yet");
    }

    #[test]
    fn what_is_no_reply_is_quoted() {
        for (input, quoted) in [
            (&b"HTTP/1.1 400 Bad\r\n\r\n"[..], "\"HTTP/1.1 400 Bad\""),
            (b"\x15\x03\x01", "\"???\""),
            (b"199 no\r\n", "\"199 no\""),
            (b"600 no\r\n", "\"600 no\""),
            (b"25\r\n", "\"25\""),
            (b"2500 OK\r\n", "\"2500 OK\""),
            (b"250\tOK\r\n", "\"250 OK\""),
            (b"\r\n", "\"\""),
            (b"250-a\r\n251 b\r\n", "\"251 b\""),
        ] {
            assert_eq!(all(input).unwrap_err().describe([]), quoted);
        }
    }

    #[test]
    fn lines_and_replies_are_bounded() {
        let mut line = b"250 ".to_vec();
        line.resize(LINE_LIMIT, b'x');
        line.extend_from_slice(b"\r\n");
        assert_eq!(all(&line).unwrap().len(), 1);
        line.insert(5, b'x');
        assert_eq!(all(&line), Err(Garbage::LongLine));

        let endless = b"250-go on and on\r\n".repeat(REPLY_LIMIT / 18 + 1);
        assert_eq!(all(&endless), Err(Garbage::LongReply));
    }

    #[test]
    fn memory_is_bounded_even_when_nothing_is_taken_out() {
        let mut parser = Parser::default();
        for _ in 0..100 {
            parser.push(&b"250 ok\r\n".repeat(1000));
        }
        assert!(parser.buffer.len() <= BACKLOG_LIMIT);
        assert!(std::iter::from_fn(|| parser.advance().transpose()).any(|reply| reply.is_err()));
    }

    #[test]
    fn what_follows_a_reply_is_seen() {
        let mut parser = Parser::default();
        parser.push(b"220 go ahead\r\nEH");
        assert!(parser.advance().unwrap().is_some());
        assert!(!parser.is_empty());
        assert_eq!(parser.leftover().describe([&b"none"[..]]), "\"EH\"");
    }

    #[test]
    fn secrets_are_starred_before_anything_is_cut() {
        let line = [b"?".repeat(QUOTE_LIMIT - 4), b"hunter22".to_vec()].concat();
        assert!(!all(&line).unwrap_err().describe([&b"hunter22"[..]]).contains("hun"));
        let mut parser = Parser::default();
        parser.push(b"535-hunter22 is\r\n535 hunter22\r\n");
        let mut raw = parser.advance().unwrap().unwrap();
        raw.mask(b"hunter22");
        assert_eq!(raw.reply().text(), "*** is ***");
    }
}
