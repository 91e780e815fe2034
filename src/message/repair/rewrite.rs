//! Writes a body as [`Verdict`]s have it: the second of two passes.

use super::fields;
use super::survey::Verdict;
use super::transfer::{Encoder, Transfer};
use crate::failure::Failure;
use crate::message::header::{Edit, Header};
use crate::message::intake::Intake;
use crate::message::scan::{Entity, Piece, Section, Visitor};

/// How much is written at a time, in octets.
const CHUNK: usize = 64 << 10;

/// Writes what it visits, changed where a verdict says so.
pub(super) struct Rewriter<'a> {
    verdicts: &'a [Verdict],
    /// With it fields are UTF-8 where they must be.
    utf8: bool,
    /// How many entities have begun.
    entities: usize,
    encoder: Encoder,
    /// A line end of the content, which may turn out to be the delimiter's.
    line_end: bool,
    buffer: Vec<u8>,
    body: Intake,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(verdicts: &'a [Verdict], utf8: bool) -> Self {
        Self {
            verdicts,
            utf8,
            entities: 0,
            encoder: Encoder::new(Transfer::Keep),
            line_end: false,
            buffer: Vec::with_capacity(CHUNK),
            body: Intake::of_body(),
        }
    }

    /// The body, written.
    ///
    /// # Errors
    /// The temporary file cannot be written, or the message has become too large.
    pub(super) fn finish(mut self) -> Result<Intake, Failure> {
        self.body.take(&self.buffer)?;
        Ok(self.body)
    }

    /// Hands on what is written, once it is worth it. It never ends inside of a CRLF.
    fn settle(&mut self) -> Result<(), Failure> {
        if self.buffer.len() >= CHUNK {
            self.body.take(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Visitor for Rewriter<'_> {
    fn header(&mut self, _entity: Entity, mut header: Header, closed: bool) -> Result<(), Failure> {
        let number = self.entities;
        self.entities += 1;
        // The message's own header section is not part of its body.
        if number == 0 {
            return Ok(());
        }
        let verdict = &self.verdicts[number];
        if verdict.fields {
            fields::repair(&mut header, self.utf8)?;
        }
        declare(&mut header, verdict);
        let bytes = header.as_bytes();
        let is_kept = !verdict.fields && verdict.encoding.is_none() && verdict.content_type.is_none();
        let end = if closed || !is_kept { bytes.len() } else { bytes.len() - 2 };
        self.buffer.extend_from_slice(&bytes[..end]);
        self.settle()
    }

    fn begin(&mut self, entity: usize, section: Section) {
        let verdict = &self.verdicts[entity];
        self.encoder = Encoder::new(match section {
            Section::Content => verdict.content,
            Section::Preamble => verdict.preamble,
            Section::Epilogue => verdict.epilogue,
        });
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
        if std::mem::replace(&mut self.line_end, piece.ends) {
            self.encoder.line_end(&mut self.buffer);
        }
        // However long a line is, what is made of it is handed on bit by bit.
        for octets in piece.octets.chunks(CHUNK) {
            self.encoder.octets(octets, &mut self.buffer);
            self.settle()?;
        }
        Ok(())
    }

    fn end(&mut self, before_delimiter: bool) -> Result<(), Failure> {
        let line_end = std::mem::take(&mut self.line_end);
        let is_removed = self.encoder.transfer() == Transfer::Remove;
        if line_end && !before_delimiter {
            self.encoder.line_end(&mut self.buffer);
        }
        self.encoder.finish(&mut self.buffer);
        let is_open = if before_delimiter { line_end } else { self.encoder.is_inside_line() };
        if is_open && !is_removed {
            self.buffer.extend_from_slice(b"\r\n");
        }
        self.encoder = Encoder::new(Transfer::Keep);
        Ok(())
    }

    fn delimiter(&mut self, _entity: usize, line: &[u8]) -> Result<(), Failure> {
        self.buffer.extend_from_slice(line);
        self.buffer.extend_from_slice(b"\r\n");
        self.settle()
    }
}

/// Writes what `verdict` says of encoding and type into `header`, in the place of what is there.
pub(super) fn declare(header: &mut Header, verdict: &Verdict) {
    let fields = [("Content-Type", verdict.content_type), ("Content-Transfer-Encoding", verdict.encoding)];
    for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        if header.first(name).is_none() {
            header.append(name, value);
            continue;
        }
        let mut is_written = false;
        header.edit(|field| match field.is(name) {
            false => Edit::Keep,
            true if std::mem::replace(&mut is_written, true) => Edit::Remove,
            true => Edit::Value(value.to_owned()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_written_does_not_grow_with_the_message() {
        for transfer in [Transfer::Keep, Transfer::QuotedPrintable, Transfer::Base64, Transfer::Requote] {
            let verdict = Verdict { content: transfer, ..Verdict::default() };
            let verdicts = [verdict];
            let mut rewriter = Rewriter::new(&verdicts, false);
            rewriter.begin(0, Section::Content);
            // A megabyte is what intake may hold at once.
            let octets = vec![0xfc; 1 << 20];
            for _ in 0..2 {
                rewriter.piece(Piece { octets: &octets, begins: false, ends: false }).unwrap();
                assert!(rewriter.buffer.capacity() <= 8 * CHUNK, "{transfer:?}: {}", rewriter.buffer.capacity());
            }
        }
    }
}
