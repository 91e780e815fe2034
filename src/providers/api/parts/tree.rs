//! The MIME tree (RFC 2045 to 2047, 2183, 2387) as two texts and a list of files.

use std::collections::HashSet;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{ContentType, Encoding, Message, MessagePart, MimeHeaders, PartType};

use super::Attachment;
use crate::failure::Failure;
use crate::providers::api::mail::cannot;
use crate::reply::printable;

/// How deep multiparts may nest.
const DEPTH: usize = 16;

/// Types that mean something only as they are.
const UNTOUCHABLE: &[&str] = &[
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "application/pkcs7-signature",
    "application/pgp-encrypted",
    "application/pgp-signature",
];

/// What a tree comes to.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

/// Where a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The message itself, or a piece of `multipart/mixed`.
    Mixed,
    /// One of several forms of the text.
    Alternative,
    /// The text that the other parts of `multipart/related` belong to.
    Root,
    /// Something the text refers to.
    Related,
}

impl Tree {
    /// Reads the tree of `message`.
    ///
    /// # Errors
    /// `Data`, naming the part that no field carries.
    pub(super) fn of(message: &Message<'_>) -> Result<Self, Failure> {
        let mut tree = Self::default();
        tree.part(message, 0, Place::Mixed, DEPTH)?;
        let Self { html, attachments, .. } = &mut tree;
        let html = html.as_deref().unwrap_or_default();
        let words = html.split(|c: char| c.is_whitespace() || "\"'<>)\\".contains(c));
        let ids: HashSet<&str> = words.filter_map(|word| Some(word.rsplit_once("cid:")?.1)).collect();
        for file in attachments {
            file.is_inline |= file.content_id.as_deref().is_some_and(|id| ids.contains(id));
        }
        Ok(tree)
    }

    fn part(&mut self, message: &Message<'_>, id: u32, place: Place, depth: usize) -> Result<(), Failure> {
        let Some(part) = message.part(id) else { return Ok(()) };
        let kind = media_type(part);
        if UNTOUCHABLE.contains(&kind.as_str()) {
            return Err(cannot(&format!("a signed or encrypted part ({kind})")));
        }
        match &part.body {
            PartType::Multipart(children) => self.multipart(message, &kind, children, place, depth),
            PartType::Message(_) => Err(cannot(&format!("another message inside ({kind})"))),
            _ if kind.starts_with("message/") => Err(cannot(&format!("a part of type {kind}"))),
            _ => self.leaf(message, part, kind, place),
        }
    }

    fn multipart(
        &mut self,
        message: &Message<'_>,
        kind: &str,
        children: &[u32],
        place: Place,
        depth: usize,
    ) -> Result<(), Failure> {
        if depth == 0 {
            return Err(cannot("parts that nest too deeply"));
        }
        let places = match kind {
            "multipart/signed" | "multipart/encrypted" => {
                return Err(cannot(&format!("a signed or encrypted part ({kind})")));
            }
            "multipart/report" | "multipart/digest" | "multipart/parallel" => {
                return Err(cannot(&format!("a part of type {kind}")));
            }
            "multipart/alternative" if self.text.is_none() && self.html.is_none() => [Place::Alternative; 2],
            "multipart/alternative" => return Err(cannot("a second text in a multipart/alternative part")),
            "multipart/related" if place == Place::Alternative => [Place::Alternative, Place::Related],
            "multipart/related" => [Place::Root, Place::Related],
            _ if place == Place::Alternative => return Err(cannot(&format!("a {kind} part as one form of the text"))),
            _ => [Place::Mixed; 2],
        };
        for (index, child) in children.iter().enumerate() {
            self.part(message, *child, places[usize::from(index > 0)], depth - 1)?;
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        message: &Message<'_>,
        part: &MessagePart<'_>,
        kind: String,
        place: Place,
    ) -> Result<(), Failure> {
        let disposition = part.content_disposition();
        let is_file = disposition.is_some_and(ContentType::is_attachment) || part.attachment_name().is_some();
        let slot = match kind.as_str() {
            "text/plain" => Some(&mut self.text),
            "text/html" => Some(&mut self.html),
            _ => None,
        };
        match (slot, place) {
            (Some(slot @ None), Place::Alternative | Place::Root) => {
                *slot = Some(text_of(message, part)?);
                return Ok(());
            }
            (Some(slot @ None), Place::Mixed) if !is_file => {
                *slot = Some(text_of(message, part)?);
                return Ok(());
            }
            (Some(_), Place::Mixed | Place::Alternative) if !is_file => {
                return Err(cannot(&format!("a second {kind} part that is no attachment")));
            }
            (_, Place::Alternative) => return Err(cannot(&format!("a {kind} part as one form of the text"))),
            _ => {}
        }
        let content_id = part.content_id().map(|id| id.trim_matches(['<', '>', ' ']).to_owned());
        let is_inline = content_id.is_some() && !disposition.is_some_and(ContentType::is_attachment);
        let number = self.attachments.len() + 1;
        let name = part.attachment_name().map_or_else(|| made_up_name(number, &kind), file_name);
        let charset = part.content_type().and_then(|of| of.attribute("charset"));
        let content_type = match charset {
            Some(charset) => format!("{kind}; charset={}", printable(charset.as_bytes(), 60)),
            None => kind,
        };
        let content = octets_of(message, part)?;
        self.attachments.push(Attachment { name, content_type, content, content_id, is_inline });
        Ok(())
    }
}

/// `type/subtype` in lower case; text/plain where the part does not say (RFC 2045 5.2).
fn media_type(part: &MessagePart<'_>) -> String {
    match part.content_type() {
        Some(of) => {
            let subtype = of.subtype().unwrap_or(if of.ctype() == "text" { "plain" } else { "octet-stream" });
            printable(format!("{}/{subtype}", of.ctype()).as_bytes(), 120).to_ascii_lowercase()
        }
        None if matches!(part.body, PartType::Multipart(_)) => "multipart/mixed".into(),
        None => "text/plain".into(),
    }
}

/// A text in its own charset, lines ending in LF.
fn text_of(message: &Message<'_>, part: &MessagePart<'_>) -> Result<String, Failure> {
    let charset = part.content_type().and_then(|of| of.attribute("charset"));
    let octets = octets_of(message, part)?;
    let text = match String::from_utf8(octets) {
        Ok(text) if charset.is_none_or(is_utf8) => text,
        octets => {
            let octets = octets.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
            let name = charset.unwrap_or("us-ascii");
            // Outside ASCII, us-ascii says nothing about the octets.
            let decode = charset_decoder(name.as_bytes()).filter(|_| !is_utf8(name));
            let decode = decode
                .ok_or_else(|| cannot(&format!("a text whose octets are not {}", printable(name.as_bytes(), 60))))?;
            decode(&octets)
        }
    };
    Ok(text.replace("\r\n", "\n"))
}

fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

/// A part's octets, its transfer encoding undone.
fn octets_of(message: &Message<'_>, part: &MessagePart<'_>) -> Result<Vec<u8>, Failure> {
    let range = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    let raw = message.raw_message().get(range).unwrap_or_default();
    let decoded = match part.encoding {
        Encoding::None => Some(raw.to_vec()),
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
    };
    decoded.ok_or_else(|| cannot("a part whose transfer encoding is broken"))
}

/// The last component of a name, without control characters.
fn file_name(name: &str) -> String {
    let name = printable(name.rsplit(['/', '\\']).next().unwrap_or_default().as_bytes(), 255);
    if name.is_empty() { "attachment".into() } else { name }
}

/// A name for a file that has none: `attachment-2.png`.
fn made_up_name(number: usize, kind: &str) -> String {
    let extension = match kind.rsplit('/').next().unwrap_or_default() {
        "plain" => "txt",
        "jpeg" => "jpg",
        "calendar" => "ics",
        subtype @ ("html" | "csv" | "png" | "gif" | "webp" | "pdf" | "zip" | "xml" | "json") => subtype,
        "svg+xml" => "svg",
        _ => "bin",
    };
    format!("attachment-{number}.{extension}")
}
