//! What every part of a body needs before a relay can take it: the first of two passes.

use super::fields;
use super::transfer::Transfer;
use super::{Needs, seven_bit};
use crate::failure::{Failure, Kind};
use crate::message::encoding::{self, Encoding};
use crate::message::header::{Header, LINE_LIMIT};
use crate::message::note;
use crate::message::scan::{Entity, Nature, Piece, Section, Visitor};

/// What becomes of one entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Of its content, if it is not made of parts.
    pub(super) content: Transfer,
    /// Of what stands before and behind its parts.
    pub(super) preamble: Transfer,
    pub(super) epilogue: Transfer,
    /// Its new Content-Transfer-Encoding.
    pub(super) encoding: Option<&'static str>,
    /// Its new Content-Type.
    pub(super) content_type: Option<&'static str>,
    /// Fields in its header section have to be encoded or folded.
    pub(super) fields: bool,
}

/// Judges every entity of a body while it streams by.
pub(super) struct Survey {
    needs: Needs,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) repairs: Vec<String>,
    parts: Vec<Part>,
    /// The section that is passing, and whose it is.
    section: Option<(usize, Section)>,
    extent: Extent,
}

/// What is kept of an entity until its sections have passed.
struct Part {
    entity: Entity,
    encoding: Encoding,
    has_type: bool,
    /// Its boundary was met.
    is_delimited: bool,
}

/// What a section holds.
#[derive(Default)]
struct Extent {
    eight_bit: bool,
    longest: usize,
    column: usize,
    /// A line begins an OpenPGP message or signed text (RFC 9580 6.2, 7).
    pgp: bool,
    /// Whether its first line is text, whatever it is declared as.
    begins_as_text: Option<bool>,
    utf8: Utf8,
}

/// Whether octets that come in pieces are UTF-8.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character.
    open: Vec<u8>,
    is_broken: bool,
}

impl Survey {
    pub(super) fn new(needs: Needs) -> Self {
        Self {
            needs,
            verdicts: Vec::new(),
            repairs: Vec::new(),
            parts: Vec::new(),
            section: None,
            extent: Extent::default(),
        }
    }

    /// Decides on the section that is over.
    fn judge(&mut self, number: usize, section: Section) -> Result<(), Failure> {
        let extent = std::mem::take(&mut self.extent);
        let (part, verdict) = (&self.parts[number], &mut self.verdicts[number]);
        let name = &part.entity.name;
        let reason = if extent.longest > LINE_LIMIT {
            format!("line of {} octets", extent.longest)
        } else if extent.eight_bit && !self.needs.eight_bit {
            "8-bit for a relay without 8BITMIME".to_owned()
        } else {
            return Ok(());
        };
        let refused = |why: String| {
            let failure = Failure::new(Kind::Data, name, format!("{why} ({reason})"));
            Err(if extent.longest > LINE_LIMIT { failure } else { failure.hint(seven_bit()) })
        };
        let which = match section {
            Section::Content => None,
            Section::Preamble if !part.is_delimited => {
                return refused("its boundary does not occur, so it cannot be re-encoded".to_owned());
            }
            Section::Preamble => Some(("preamble", &mut verdict.preamble)),
            Section::Epilogue => Some(("epilogue", &mut verdict.epilogue)),
        };
        if let Some((which, transfer)) = which {
            *transfer = Transfer::Remove;
            note(&mut self.repairs, format!("{which} of {name} removed ({reason})"));
            return Ok(());
        }
        if let Nature::Sealed(why) = &part.entity.nature {
            return refused(why.clone());
        }
        if extent.pgp {
            return refused("inline PGP content is never re-encoded".to_owned());
        }
        let (transfer, encoding, done) = match part.encoding {
            Encoding::Foreign => return refused("its Content-Transfer-Encoding is not known".to_owned()),
            Encoding::QuotedPrintable => (Transfer::Requote, None, "quoted-printable re-wrapped"),
            Encoding::Base64 if extent.begins_as_text != Some(true) => (Transfer::Rewrap, None, "base64 re-wrapped"),
            _ if part.entity.nature == Nature::Text => {
                (Transfer::QuotedPrintable, Some("quoted-printable"), "re-encoded as quoted-printable")
            }
            _ => (Transfer::Base64, Some("base64"), "re-encoded as base64"),
        };
        verdict.content = transfer;
        verdict.encoding = encoding;
        note(&mut self.repairs, format!("{name} {done} ({reason})"));
        if !part.has_type && extent.eight_bit && encoding.is_some() {
            let content_type =
                if extent.utf8.is_valid() { "text/plain; charset=utf-8" } else { "text/plain; charset=windows-1252" };
            verdict.content_type = Some(content_type);
            note(&mut self.repairs, format!("{name} declared as {content_type}"));
        }
        Ok(())
    }
}

impl Visitor for Survey {
    fn header(&mut self, entity: Entity, header: Header, _closed: bool) -> Result<(), Failure> {
        let encoding = header.first("Content-Transfer-Encoding").map(|field| field.text().to_ascii_lowercase());
        let mut verdict = Verdict::default();
        let is_container = matches!(entity.nature, Nature::Multipart | Nature::Message);
        if is_container && !self.needs.eight_bit && matches!(encoding.as_deref(), Some("8bit" | "binary")) {
            verdict.encoding = Some("7bit");
        }
        // The fields of the message itself are repaired whatever its body needs.
        if !self.parts.is_empty() {
            let is_raw = !self.needs.eight_bit && !header.as_bytes().is_ascii();
            let is_long = header.longest_line() > LINE_LIMIT;
            if is_raw && header.is_signed() {
                let why = "fields beside a DKIM-Signature are never encoded (8-bit for a relay without 8BITMIME)";
                return Err(Failure::new(Kind::Data, entity.name, why).hint(seven_bit()));
            }
            verdict.fields = is_raw || (is_long && !header.is_signed());
            if verdict.fields {
                let repairs = fields::repair(&mut header.clone(), self.needs.eight_bit).map_err(|mut failure| {
                    failure.what = format!("{}: {}", entity.name, failure.what);
                    failure
                })?;
                repairs.iter().for_each(|repair| note(&mut self.repairs, format!("{}: {repair}", entity.name)));
            }
        }
        self.verdicts.push(verdict);
        self.parts.push(Part {
            encoding: Encoding::read(encoding.as_deref().unwrap_or_default()).0,
            has_type: header.first("Content-Type").is_some(),
            entity,
            is_delimited: false,
        });
        Ok(())
    }

    fn begin(&mut self, entity: usize, section: Section) {
        self.section = Some((entity, section));
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
        self.extent.piece(piece);
        Ok(())
    }

    fn end(&mut self, before_delimiter: bool) -> Result<(), Failure> {
        match self.section.take() {
            // The delimiter that ends a preamble says first whose it is.
            Some((entity, Section::Preamble)) if before_delimiter => {
                self.section = Some((entity, Section::Preamble));
                Ok(())
            }
            Some((entity, section)) => self.judge(entity, section),
            None => Ok(()),
        }
    }

    fn delimiter(&mut self, entity: usize, _line: &[u8]) -> Result<(), Failure> {
        self.parts[entity].is_delimited = true;
        match self.section.take() {
            Some((owner, section)) => self.judge(owner, section),
            None => Ok(()),
        }
    }
}

impl Extent {
    fn piece(&mut self, piece: Piece<'_>) {
        if piece.begins {
            self.column = 0;
            let marks = [&b"-----BEGIN PGP MESSAGE"[..], b"-----BEGIN PGP SIGNED MESSAGE"];
            self.pgp = self.pgp || marks.iter().any(|mark| piece.octets.starts_with(mark));
            if self.begins_as_text.is_none() && !piece.octets.trim_ascii().is_empty() {
                self.begins_as_text = Some(encoding::is_text(piece.octets));
            }
        }
        self.column += piece.octets.len();
        self.longest = self.longest.max(self.column);
        self.eight_bit = self.eight_bit || !piece.octets.is_ascii();
        self.utf8.take(piece);
    }
}

impl Utf8 {
    fn take(&mut self, piece: Piece<'_>) {
        if self.is_broken || (self.open.is_empty() && piece.octets.is_ascii()) {
            return;
        }
        let mut octets = std::mem::take(&mut self.open);
        octets.extend_from_slice(piece.octets);
        match std::str::from_utf8(&octets) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() && !piece.ends => {
                self.open = octets.split_off(error.valid_up_to());
            }
            Err(_) => self.is_broken = true,
        }
    }

    fn is_valid(&self) -> bool {
        !self.is_broken && self.open.is_empty()
    }
}
