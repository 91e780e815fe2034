//! The MIME structure of a message (RFC 2045, RFC 2046) held in memory, for whoever takes a message apart.
//!
//! It is the structure that repair follows, so that both see the same parts.

use super::Message;
use super::content_type::ContentType;
use super::encoding::{Content, Encoding};
use super::header::Header;
use super::scan::{Entity, Piece, Section, Visitor, visit};
use crate::failure::Failure;

/// One part, or the message itself.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its fields.
    pub(crate) header: Header,
    /// What they say it is.
    pub(crate) content_type: ContentType,
    /// Its parts: several of a multipart, one of a message in a message, else none.
    pub(crate) parts: Vec<Part>,
    /// Its content as it is written, lines ending in CRLF; empty where it is made of parts.
    content: Vec<u8>,
}

impl Part {
    /// What `message` is made of.
    ///
    /// # Errors
    /// `Data`: it has too many parts, or they nest too deeply; `Io`: it cannot be read back.
    pub(crate) fn of(message: &Message) -> Result<Self, Failure> {
        let mut builder = Builder::default();
        visit(message, &mut builder)?;
        Ok(builder.finish())
    }

    /// Its content with the transfer encoding undone, and what was odd about it.
    ///
    /// # Errors
    /// Why it cannot be: `base64 with other text in it`.
    pub(crate) fn decoded(&self) -> Result<Content, &'static str> {
        let field = self.header.first("Content-Transfer-Encoding").map(|field| field.text().into_owned());
        let name = field.unwrap_or_default();
        let (encoding, is_standard) = Encoding::read(&name);
        let mut content = encoding.decode(&self.content)?;
        if !is_standard {
            let flaw = format!("transfer encoding {} taken for {}", super::encoding::shown(&name), encoding.name());
            content.flaw.get_or_insert(flaw);
        }
        Ok(content)
    }
}

/// Builds the tree while the body streams by.
#[derive(Default)]
struct Builder {
    /// The parts that are open, each with its number, the message first.
    open: Vec<(usize, Part)>,
    entities: usize,
    /// A line end of the content, which may turn out to be the delimiter's.
    line_end: bool,
    is_content: bool,
}

impl Builder {
    /// Closes what is open inside of part `number`.
    fn close(&mut self, number: usize) {
        while let Some((_, part)) = self.open.pop_if(|(open, _)| *open > number) {
            if let Some((_, parent)) = self.open.last_mut() {
                parent.parts.push(part);
            }
        }
    }

    fn finish(mut self) -> Part {
        self.close(0);
        // The scanner begins with the message itself.
        self.open.pop().map_or_else(|| Part::new(Header::empty()), |(_, part)| part)
    }
}

impl Part {
    fn new(header: Header) -> Self {
        let content_type = ContentType::of(&header);
        Self { header, content_type, parts: Vec::new(), content: Vec::new() }
    }
}

impl Visitor for Builder {
    fn header(&mut self, _entity: Entity, header: Header, _closed: bool) -> Result<(), Failure> {
        self.open.push((self.entities, Part::new(header)));
        self.entities += 1;
        Ok(())
    }

    fn begin(&mut self, entity: usize, section: Section) {
        self.is_content = section == Section::Content;
        if section == Section::Epilogue {
            // What comes now belongs to nobody, and what follows it to a part further out.
            self.close(entity);
        }
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
        if let Some((_, part)) = self.open.last_mut().filter(|_| self.is_content) {
            if std::mem::replace(&mut self.line_end, piece.ends) {
                part.content.extend_from_slice(b"\r\n");
            }
            part.content.extend_from_slice(piece.octets);
        }
        Ok(())
    }

    fn end(&mut self, before_delimiter: bool) -> Result<(), Failure> {
        if std::mem::take(&mut self.line_end)
            && !before_delimiter
            && let Some((_, part)) = self.open.last_mut()
        {
            part.content.extend_from_slice(b"\r\n");
        }
        self.is_content = false;
        Ok(())
    }

    fn delimiter(&mut self, entity: usize, _line: &[u8]) -> Result<(), Failure> {
        self.close(entity);
        Ok(())
    }
}
