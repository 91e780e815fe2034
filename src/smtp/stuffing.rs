//! The message's octets as DATA wants them (RFC 5321 4.5.2).

use super::client::Framing;
use crate::message::Facts;

/// How much of the message is handled at a time, in octets.
pub(super) const PIECE: usize = 64 << 10;

/// Puts a dot before every line that begins with one, across pieces; only where there are such lines.
pub(super) struct Stuffing {
    framing: Framing,
    /// Whether there is anything to stuff.
    is_needed: bool,
    at_line_start: bool,
}

impl Stuffing {
    pub(super) fn new(framing: Framing, facts: Facts) -> Self {
        Self { framing, is_needed: framing == Framing::Dots && facts.leading_dot, at_line_start: true }
    }

    /// Hands the next piece of the message to `emit`, in order, in as few parts as there can be.
    pub(super) fn apply(&mut self, piece: &[u8], mut emit: impl FnMut(&[u8])) {
        if piece.is_empty() {
            return;
        }
        let at_line_start = std::mem::replace(&mut self.at_line_start, piece.ends_with(b"\n"));
        if !self.is_needed {
            return emit(piece);
        }
        if at_line_start && piece.starts_with(b".") {
            emit(b".");
        }
        let mut start = 0;
        for line_end in memchr::memmem::find_iter(piece, b"\n.") {
            emit(&piece[start..=line_end]);
            emit(b".");
            start = line_end + 1;
        }
        emit(&piece[start..]);
    }

    /// What follows the message.
    pub(super) fn end(&self) -> &'static [u8] {
        match (self.framing, self.at_line_start) {
            (Framing::Chunk, _) => b"",
            (Framing::Dots, true) => b".\r\n",
            (Framing::Dots, false) => b"\r\n.\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(framing: Framing, leading_dot: bool, pieces: &[&str]) -> String {
        let mut stuffing = Stuffing::new(framing, Facts { leading_dot, ..Facts::default() });
        let mut out = Vec::new();
        for piece in pieces {
            stuffing.apply(piece.as_bytes(), |bytes| out.extend_from_slice(bytes));
        }
        out.extend_from_slice(stuffing.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_leading_dot_is_doubled_wherever_the_pieces_are_cut() {
        let message = ".a: b\r\n\r\n.\r\n..\r\nx.\r\n.y\r\n";
        for cut in 0..message.len() {
            let (one, two) = message.split_at(cut);
            assert_eq!(
                stuffed(Framing::Dots, true, &[one, two]),
                "..a: b\r\n\r\n..\r\n...\r\nx.\r\n..y\r\n.\r\n",
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_chunk_goes_as_it_is() {
        assert_eq!(stuffed(Framing::Chunk, true, &["a: b\r\n\r\n", ".\r\n"]), "a: b\r\n\r\n.\r\n");
    }

    #[test]
    fn the_lone_dot_stands_on_its_own_line() {
        assert_eq!(stuffed(Framing::Dots, false, &["a: b\r\n\r\n", "x"]), "a: b\r\n\r\nx\r\n.\r\n");
    }
}
