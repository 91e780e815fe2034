//! The octets between 354 and the lone dot (RFC 5321 4.5.2).

/// How the caller ends its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// As RFC 5321 has it.
    CrLf,
    /// As scripts do.
    Lf,
}

/// What there is of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// This many octets.
    Octets(usize),
    /// The lone dot.
    End,
    /// More has to be received first.
    Wait,
}

/// Takes the dots off, across any seam.
///
/// The line end of the DATA command decides what a line is. A caller that writes CRLF ends its message
/// with CRLF, dot, CRLF and with nothing else: a dot between bare line feeds is content, or whoever wrote
/// the content could end the message and say commands.
#[derive(Debug)]
pub(super) struct Unstuffing {
    line_end: LineEnd,
    at_line_start: bool,
    /// The last octet that was handed out.
    last: u8,
}

impl Unstuffing {
    pub(super) fn new(line_end: LineEnd) -> Self {
        Self { line_end, at_line_start: true, last: b'\n' }
    }

    /// Moves octets of `input` to `out`; what there is, and how much of `input` is dealt with.
    pub(super) fn take(&mut self, input: &[u8], out: &mut [u8]) -> (Content, usize) {
        let (mut taken, mut filled) = (0, 0);
        while filled < out.len() && taken < input.len() {
            let rest = &input[taken..];
            if self.at_line_start && rest[0] == b'.' {
                match (self.line_end, &rest[1..]) {
                    (_, [b'\r', b'\n', ..]) | (LineEnd::Lf, [b'\n', ..]) if filled > 0 => break,
                    (_, [b'\r', b'\n', ..]) => return (Content::End, taken + 3),
                    (LineEnd::Lf, [b'\n', ..]) => return (Content::End, taken + 2),
                    // Not decided yet.
                    (_, [] | [b'\r']) => break,
                    _ => taken += 1,
                }
                self.at_line_start = false;
                continue;
            }
            let line = memchr::memchr(b'\n', rest).map(|at| at + 1);
            let count = line.unwrap_or(rest.len()).min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&rest[..count]);
            let before = if count > 1 { rest[count - 2] } else { self.last };
            self.last = rest[count - 1];
            self.at_line_start = line == Some(count) && (self.line_end == LineEnd::Lf || before == b'\r');
            taken += count;
            filled += count;
        }
        (if filled > 0 { Content::Octets(filled) } else { Content::Wait }, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `input`, handed over in pieces of `size` into room for `room`, and what is left;
    /// `None`: no end.
    fn unstuffed(line_end: LineEnd, input: &str, size: usize, room: usize) -> Option<(String, String)> {
        let mut unstuffing = Unstuffing::new(line_end);
        let mut waiting = Vec::new();
        let mut all = Vec::new();
        let mut pieces = input.as_bytes().chunks(size);
        loop {
            let mut out = vec![0; room];
            let (content, taken) = unstuffing.take(&waiting, &mut out);
            waiting.drain(..taken);
            match content {
                Content::Octets(count) => all.extend_from_slice(&out[..count]),
                Content::Wait => waiting.extend_from_slice(pieces.next()?),
                Content::End => {
                    waiting.extend(pieces.flatten());
                    return Some((String::from_utf8(all).unwrap(), String::from_utf8(waiting).unwrap()));
                }
            }
        }
    }

    #[test]
    fn the_end_is_found_across_every_seam() {
        for (line_end, input, body, rest) in [
            (LineEnd::CrLf, "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"),
            (LineEnd::CrLf, ".\r\nx", "", "x"),
            (LineEnd::CrLf, "..\r\n...a\r\n.\r\n", ".\r\n..a\r\n", ""),
            (LineEnd::CrLf, "a\n.\nMAIL\r\n.\r\n", "a\n.\nMAIL\r\n", ""),
            (LineEnd::CrLf, "a\r.\rb\n.\r\nc\r\n.\nd\r\n.\r\n", "a\r.\rb\n.\r\nc\r\n\nd\r\n", ""),
            (LineEnd::Lf, "a\n.\nQUIT\n", "a\n", "QUIT\n"),
            (LineEnd::Lf, "a\r\n..b\n.\r\nQUIT", "a\r\n.b\n", "QUIT"),
        ] {
            for size in 1..input.len() {
                for room in 1..4 {
                    let expected = Some((body.to_owned(), rest.to_owned()));
                    assert_eq!(unstuffed(line_end, input, size, room), expected, "{input:?} {size} {room}");
                }
            }
        }
        for input in ["a\r\n.", "a\r\n.\r", "a\r\n..\r\n", "a\n.\n"] {
            assert_eq!(unstuffed(LineEnd::CrLf, input, 1, 9), None, "{input:?}");
        }
    }
}
