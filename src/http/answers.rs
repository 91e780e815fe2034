//! What the server says, without the interim answers in front of the final one (RFC 9110 15.2): they may
//! come unasked and at any time, before the request is out as well.

use std::io;

use memchr::memmem;

use super::HEADER_LIMIT;
use crate::deadline::Deadline;
use crate::wire::{Connection, WireError};

/// How many interim answers are passed over.
const INTERIM_LIMIT: usize = 16;

/// How much is read at a time while the final answer has not begun, in octets.
const READ: usize = 4 << 10;

/// Everything from the first octet of the final answer on.
#[derive(Default)]
pub(super) struct Answers {
    /// What has come and was not handed out.
    held: Vec<u8>,
    /// How many interim answers were passed over.
    passed: usize,
    /// The final answer has begun.
    is_final: bool,
}

impl Answers {
    /// Whether a final answer has begun, as far as `connection` has heard; nothing is waited for.
    pub(super) fn has_final(&mut self, connection: &mut Connection, deadline: Deadline) -> bool {
        while !self.is_final && connection.has_input() && self.hear(connection, deadline).is_ok() {}
        self.is_final
    }

    /// Whether all that has come was handed out.
    pub(super) fn is_spent(&self) -> bool {
        self.held.is_empty()
    }

    /// Waits for at least one octet of the final answer.
    ///
    /// # Errors
    /// As for [`Connection::read`], or interim answers without end.
    pub(super) fn read(
        &mut self,
        connection: &mut Connection,
        out: &mut [u8],
        deadline: Deadline,
    ) -> Result<usize, WireError> {
        while !self.is_final {
            self.hear(connection, deadline)?;
        }
        if self.passed > INTERIM_LIMIT {
            let text = format!("more than {INTERIM_LIMIT} interim answers");
            return Err(WireError::Io(io::Error::other(text)));
        }
        if self.held.is_empty() {
            return connection.read(out, deadline);
        }
        let count = self.held.len().min(out.len());
        out[..count].copy_from_slice(&self.held[..count]);
        self.held.drain(..count);
        Ok(count)
    }

    fn hear(&mut self, connection: &mut Connection, deadline: Deadline) -> Result<(), WireError> {
        let mut piece = [0; READ];
        let count = connection.read(&mut piece, deadline)?;
        self.take(&piece[..count]);
        Ok(())
    }

    fn take(&mut self, octets: &[u8]) {
        self.held.extend_from_slice(octets);
        while !self.is_final {
            match begins(&self.held) {
                Beginning::Undecided => return,
                Beginning::Interim(length) => {
                    self.held.drain(..length);
                    self.passed += 1;
                    self.is_final = self.passed > INTERIM_LIMIT;
                }
                Beginning::Final => self.is_final = true,
            }
        }
    }
}

/// What the octets of an answer begin with.
#[derive(Debug, PartialEq, Eq)]
enum Beginning {
    /// More has to come first.
    Undecided,
    /// A whole interim answer of this many octets.
    Interim(usize),
    /// Something else.
    Final,
}

fn begins(held: &[u8]) -> Beginning {
    const START: &[u8] = b"HTTP/1.";
    let known = held.len().min(START.len());
    let code = held.get(8..12);
    // 101 is no interim answer: what follows is another protocol, and nobody asked for one.
    let may_be_interim = code.is_none_or(|code| code.starts_with(b" 1") && code != b" 101");
    if held[..known] != START[..known] || !may_be_interim {
        return Beginning::Final;
    }
    let ends = [&b"\n\r\n"[..], b"\n\n"].map(|end| memmem::find(held, end).map(|at| at + end.len()));
    match ends.into_iter().flatten().min() {
        Some(length) if code.is_some() => Beginning::Interim(length),
        _ if held.len() > HEADER_LIMIT => Beginning::Final,
        _ => Beginning::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `octets` that come in pieces of `size`, and whether it is the final answer.
    fn left(octets: &[u8], size: usize) -> (String, bool) {
        let mut answers = Answers::default();
        octets.chunks(size).for_each(|piece| answers.take(piece));
        (String::from_utf8(answers.held).unwrap(), answers.is_final)
    }

    #[test]
    fn interim_answers_are_passed_over_across_every_seam() {
        for (said, rest, is_final) in [
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", "HTTP/1.1 200 OK\r\n\r\nx", true),
            (
                "HTTP/1.1 100\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.0 503 No\r\n",
                "HTTP/1.0 503 No\r\n",
                true,
            ),
            ("HTTP/1.1 102 Processing\nA: b\n\nHTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\n\n", true),
            ("HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", true),
            ("HTTP/1.1 100 Continue\r\nA: b\r\n", "HTTP/1.1 100 Continue\r\nA: b\r\n", false),
            ("HTTP/1.1 1", "HTTP/1.1 1", false),
            ("HTTP/1.\n\n", "HTTP/1.\n\n", false),
            ("HTTP/2 100\r\n\r\n", "HTTP/2 100\r\n\r\n", true),
            ("220 mx ESMTP\r\n", "220 mx ESMTP\r\n", true),
        ] {
            for size in 1..=said.len() {
                assert_eq!(left(said.as_bytes(), size), (rest.to_owned(), is_final), "{said:?} {size}");
            }
        }
    }

    #[test]
    fn neither_many_nor_endless_ones_are_waited_out() {
        assert!(!left(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(INTERIM_LIMIT), 50).1);
        assert!(left(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(INTERIM_LIMIT + 1), 50).1);
        let endless = [&b"HTTP/1.1 100 Continue\r\n"[..], &b"A: b\r\n".repeat(HEADER_LIMIT / 4)].concat();
        assert!(left(&endless, 1000).1);
    }
}
