//! The body of a request on its way out, and the moment it is handed over.

use std::io::{self, Read};

use crate::attempt::HandOver;
use crate::failure::Failure;
use crate::message::{Chunks, Message};
use crate::providers::api::{Piece, unreadable};

/// A body read piece by piece. Where it submits a message, the hand-over begins when its last octet is taken.
pub(super) struct Outgoing<'a> {
    pieces: std::slice::Iter<'a, Piece>,
    submitted: Option<Submitted<'a>>,
    /// What is left of the piece at hand.
    octets: &'a [u8],
    /// The message, while it is the piece at hand, and how much of its chunk at hand was taken.
    chunks: Option<Chunks<'a>>,
    chunk: Vec<u8>,
    taken: usize,
    left: u64,
    failure: Option<Failure>,
}

/// What is submitted, through which relay, and what is told when it is handed over.
#[derive(Clone, Copy)]
pub(super) struct Submitted<'a> {
    pub(super) matter: Matter<'a>,
    pub(super) relay: &'a str,
    pub(super) hand_over: &'a HandOver,
}

/// What it is that is not to be handed over twice.
#[derive(Clone, Copy)]
pub(super) enum Matter<'a> {
    /// What [`Piece::Message`] streams.
    Message(&'a Message),
    /// The request itself, in which no message is.
    Request,
}

impl<'a> Matter<'a> {
    fn message(self) -> Option<&'a Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Request => None,
        }
    }
}

/// How large `body` is with a message of `message` octets.
pub(super) fn size(body: &[Piece], message: u64) -> u64 {
    let size = |piece: &Piece| match piece {
        Piece::Octets(octets) => octets.len() as u64,
        Piece::Message => message,
    };
    body.iter().map(size).sum()
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(body: &'a [Piece], submitted: Option<Submitted<'a>>) -> Self {
        Self {
            left: size(body, submitted.and_then(|submitted| submitted.matter.message()).map_or(0, Message::size)),
            pieces: body.iter(),
            submitted,
            octets: &[],
            chunks: None,
            chunk: Vec::new(),
            taken: 0,
            failure: None,
        }
    }

    /// Octets not taken yet; at first all of them.
    pub(super) fn size(&self) -> u64 {
        self.left
    }

    /// Whether the last octet was taken.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Why the request was broken off, if it was: the message could not be read back, or its hand-over not be marked.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Makes the next octets the ones at hand; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        while self.octets.is_empty() && self.taken == self.chunk.len() {
            if let Some(chunks) = &mut self.chunks {
                self.taken = 0;
                self.chunk.clear();
                match chunks.advance()? {
                    Some(chunk) => self.chunk.extend_from_slice(chunk),
                    None => self.chunks = None,
                }
                continue;
            }
            match self.pieces.next() {
                Some(Piece::Octets(octets)) => self.octets = octets,
                Some(Piece::Message) => {
                    self.chunks = self.submitted.and_then(|of| of.matter.message()).map(Message::chunks);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.advance() {
            Ok(true) => {}
            Ok(false) => return Ok(0),
            Err(error) => {
                self.failure = Some(unreadable(&error));
                return Err(error);
            }
        }
        let count = if self.octets.is_empty() {
            let waiting = &self.chunk[self.taken..];
            let count = waiting.len().min(buffer.len());
            buffer[..count].copy_from_slice(&waiting[..count]);
            self.taken += count;
            count
        } else {
            let count = self.octets.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.octets[..count]);
            self.octets = &self.octets[count..];
            count
        };
        self.left = self.left.saturating_sub(count as u64);
        if let Some(Submitted { relay, hand_over, .. }) = self.submitted.filter(|_| self.left == 0)
            && let Err(failure) = hand_over.begin(relay)
        {
            self.failure = Some(failure);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn the_last_octets_wait_for_the_mark() {
        let message = Message::read(&mut &b"Subject: x\n\nbody\n"[..], false).unwrap();
        let body = [Piece::Octets(b"{".to_vec()), Piece::Message, Piece::Octets(b"}".to_vec())];
        let failure = Failure::new(Kind::Io, "entry", "cannot be written: disk full");
        let hand_over =
            HandOver::marked(Box::new(move |relay| if relay == "good" { Ok(()) } else { Err(failure.clone()) }));
        let taken = |relay| {
            let mut outgoing = Outgoing::new(
                &body,
                Some(Submitted { matter: Matter::Message(&message), relay, hand_over: &hand_over }),
            );
            let mut all = Vec::new();
            let is_whole = outgoing.read_to_end(&mut all).is_ok();
            (is_whole, String::from_utf8(all).unwrap(), outgoing.failure().map(|failure| failure.kind))
        };
        assert_eq!(taken("bad"), (false, "{Subject: x\r\n\r\nbody\r\n".to_owned(), Some(Kind::Io)));
        assert!(!hand_over.is_open());
        assert_eq!(taken("good"), (true, "{Subject: x\r\n\r\nbody\r\n}".to_owned(), None));
        assert!(hand_over.is_open());
    }
}
