//! A file inside a message, and how APIs write one: each names its fields, and the facts are taken from here.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// A file inside a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Its name; one is made up where it has none.
    pub name: String,
    /// Its media type with a charset where it has one: `text/csv; charset=iso-8859-1`.
    pub content_type: String,
    /// Its octets.
    pub content: Vec<u8>,
    /// Its Content-ID without angle brackets.
    pub content_id: Option<String>,
    /// Whether it is shown inside the text: it has a Content-ID, and is no plain attachment or the HTML text
    /// refers to it all the same.
    pub is_inline: bool,
}

/// The fields of a file in the order an API writes them, each with what it holds.
pub type FileForm = [(&'static str, Fact)];

/// What a field of a [`FileForm`] holds. It is left out where the file has nothing of the kind.
#[derive(Clone, Copy, Debug)]
pub enum Fact {
    /// The name.
    Name,
    /// The octets in standard base64, padded.
    Base64,
    /// The media type with a charset where it has one.
    ContentType,
    /// The media type alone, without parameters.
    MediaType,
    /// `inline` or `attachment`.
    Disposition,
    /// The Content-ID, of a plain attachment as well.
    ContentId,
    /// The Content-ID of a file that is shown inside the text.
    InlineId,
    /// What only this API wants.
    Own(fn(&Attachment) -> Option<String>),
}

impl Attachment {
    /// The media type alone, without parameters.
    pub fn media_type(&self) -> &str {
        self.content_type.split(';').next().unwrap_or_default()
    }
}

/// A file as an API writes it.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    file: &'a Attachment,
    form: &'static FileForm,
}

impl<'a> File<'a> {
    /// `file` in the form that an API wants.
    pub fn new(file: &'a Attachment, form: &'static FileForm) -> Self {
        Self { file, form }
    }
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { file, form } = self;
        let mut out = serializer.serialize_struct("File", form.len())?;
        for (name, fact) in *form {
            match fact {
                Fact::Name => out.serialize_field(name, &file.name),
                Fact::Base64 => out.serialize_field(name, &Base64(&file.content)),
                Fact::ContentType => out.serialize_field(name, &file.content_type),
                Fact::MediaType => out.serialize_field(name, file.media_type()),
                Fact::Disposition => out.serialize_field(name, if file.is_inline { "inline" } else { "attachment" }),
                Fact::ContentId => out.serialize_field(name, &file.content_id),
                Fact::InlineId => out.serialize_field(name, &file.content_id.as_deref().filter(|_| file.is_inline)),
                Fact::Own(make) => out.serialize_field(name, &make(file)),
            }?;
        }
        out.end()
    }
}

/// Octets that are written in base64, and never held so.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}
