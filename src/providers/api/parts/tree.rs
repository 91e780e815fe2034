//! The MIME tree (RFC 2045 to 2047, 2183, 2387) as two texts and a list of files.

use std::collections::HashSet;

use super::Attachment;
use crate::charset;
use crate::failure::Failure;
use crate::message::content_type::ContentType;
use crate::message::tree::Part;
use crate::message::{Message, note};
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
    /// What was read otherwise than it is written, each with the part's name.
    pub(super) flaws: Vec<String>,
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
    /// `Data`, naming the part that no field carries; otherwise as [`Part::of`].
    pub(super) fn of(message: &Message) -> Result<Self, Failure> {
        let mut tree = Self::default();
        tree.part(&Part::of(message)?, Place::Mixed, DEPTH)?;
        let Self { html, attachments, .. } = &mut tree;
        let html = html.as_deref().unwrap_or_default();
        let words = html.split(|c: char| c.is_whitespace() || "\"'<>)\\".contains(c));
        let ids: HashSet<&str> = words.filter_map(|word| Some(word.rsplit_once("cid:")?.1)).collect();
        for file in attachments {
            file.is_inline |= file.content_id.as_deref().is_some_and(|id| ids.contains(id));
        }
        Ok(tree)
    }

    fn part(&mut self, part: &Part, place: Place, depth: usize) -> Result<(), Failure> {
        let kind = media_type(&part.content_type);
        if UNTOUCHABLE.contains(&kind.as_str()) {
            return Err(cannot(&format!("a signed or encrypted part ({kind})")));
        }
        match kind.split('/').next() {
            Some("multipart") => self.multipart(part, &kind, place, depth),
            Some("message") if !part.parts.is_empty() => Err(cannot(&format!("another message inside ({kind})"))),
            Some("message") => Err(cannot(&format!("a part of type {kind}"))),
            _ => self.leaf(part, kind, place),
        }
    }

    fn multipart(&mut self, part: &Part, kind: &str, place: Place, depth: usize) -> Result<(), Failure> {
        if depth == 0 {
            return Err(cannot("parts that nest too deeply"));
        }
        let [first, other] = match kind {
            "multipart/signed" | "multipart/encrypted" => {
                return Err(cannot(&format!("a signed or encrypted part ({kind})")));
            }
            "multipart/report" | "multipart/digest" | "multipart/parallel" => {
                return Err(cannot(&format!("a part of type {kind}")));
            }
            _ if part.parts.is_empty() => return Err(cannot(&format!("a {kind} part in which no part begins"))),
            "multipart/alternative" if self.text.is_none() && self.html.is_none() => [Place::Alternative; 2],
            "multipart/alternative" => return Err(cannot("a second text in a multipart/alternative part")),
            "multipart/related" if place == Place::Alternative => [Place::Alternative, Place::Related],
            "multipart/related" => [Place::Root, Place::Related],
            _ if place == Place::Alternative => return Err(cannot(&format!("a {kind} part as one form of the text"))),
            _ => [Place::Mixed; 2],
        };
        // The text of related parts is the first one, unless another is named (RFC 2387 3.2).
        let start = part.content_type.text("start").filter(|_| kind == "multipart/related");
        let root = start.and_then(|start| {
            let id = bare_id(&start.text);
            part.parts.iter().position(|part| content_id(part).as_deref() == Some(id))
        });
        let root = root.unwrap_or(0);
        for (index, child) in part.parts.iter().enumerate() {
            self.part(child, if index == root { first } else { other }, depth - 1)?;
        }
        Ok(())
    }

    fn leaf(&mut self, part: &Part, kind: String, place: Place) -> Result<(), Failure> {
        let disposition = ContentType::in_field(&part.header, "Content-Disposition");
        let name = disposition.text("filename").or_else(|| part.content_type.text("name"));
        let is_attachment = disposition.essence == "attachment";
        let is_file = is_attachment || name.is_some();
        let slot = match kind.as_str() {
            "text/plain" => Some(&self.text),
            "text/html" => Some(&self.html),
            _ => None,
        };
        match (slot, place) {
            (Some(None), Place::Alternative | Place::Root) => return self.text(part, &kind),
            (Some(None), Place::Mixed) if !is_file => {
                self.text(part, &kind)?;
                if self.text.is_some() && self.html.is_some() {
                    // Many programs that write so mean two forms of one text.
                    note(&mut self.flaws, "text/plain and text/html one behind the other, of which readers show one");
                }
                return Ok(());
            }
            (Some(_), Place::Mixed | Place::Alternative) if !is_file => {
                return Err(cannot(&format!("a second {kind} part that is no attachment")));
            }
            (_, Place::Alternative) => return Err(cannot(&format!("a {kind} part as one form of the text"))),
            _ => {}
        }
        let content_id = content_id(part);
        let is_inline = content_id.is_some() && !is_attachment;
        let number = self.attachments.len() + 1;
        let (name, flaw) = match name {
            Some(name) => (file_name(&name.text), name.flaw),
            None => (made_up_name(number, &kind), None),
        };
        let content = part.decoded().map_err(|why| cannot(&format!("a file in {why} ({name})")))?;
        for flaw in [flaw, content.flaw].into_iter().flatten() {
            note(&mut self.flaws, format!("file {name}: {flaw}"));
        }
        let content_type = match part.content_type.charset() {
            Some(charset) => format!("{kind}; charset={}", printable(charset.as_bytes(), 60)),
            None => kind,
        };
        self.attachments.push(Attachment { name, content_type, content: content.octets, content_id, is_inline });
        Ok(())
    }

    /// Takes a text in its own charset, lines ending in LF.
    fn text(&mut self, part: &Part, kind: &str) -> Result<(), Failure> {
        let content = part.decoded().map_err(|why| cannot(&format!("a text in {why}")))?;
        let label = part.content_type.charset();
        let text = charset::decode(&content.octets, label).ok_or_else(|| {
            let label = printable(label.unwrap_or_default().as_bytes(), 60);
            cannot(&format!("a text in the charset {label}"))
        })?;
        for flaw in [content.flaw, text.flaw].into_iter().flatten() {
            note(&mut self.flaws, format!("{kind}: {flaw}"));
        }
        let slot = if kind == "text/html" { &mut self.html } else { &mut self.text };
        *slot = Some(text.text.replace("\r\n", "\n"));
        Ok(())
    }
}

/// `type/subtype` in lower case; text/plain where the part does not say (RFC 2045 5.2).
fn media_type(of: &ContentType) -> String {
    match of.essence.as_str() {
        "" | "text" => "text/plain".to_owned(),
        essence if essence.contains('/') => printable(essence.as_bytes(), 120),
        other => format!("{}/octet-stream", printable(other.as_bytes(), 100)),
    }
}

/// The Content-ID of a part, without angle brackets.
fn content_id(part: &Part) -> Option<String> {
    let field = part.header.first("Content-ID")?;
    let id = printable(bare_id(&field.text()).as_bytes(), 255);
    (!id.is_empty()).then_some(id)
}

fn bare_id(id: &str) -> &str {
    id.trim_matches(['<', '>', ' ', '\t'])
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &[u8]) -> Result<Tree, Failure> {
        Tree::of(&Message::read(&mut &*text, false).unwrap())
    }

    #[test]
    fn texts_are_read_as_mail_readers_read_them_and_what_was_odd_is_named() {
        for (message, text, flaws) in [
            (&b"\n\nplain\n"[..], "\nplain\n", &[][..]),
            (
                b"Content-Type: text/plain; charset=utf-8\n\n\xc3\xbc \x92\n",
                "ü ’\n",
                &["text/plain: 1 octet that is not utf-8 read as windows-1252"],
            ),
            (
                b"Content-Type: text/plain\n\nJ\xfcrgen\n",
                "Jürgen\n",
                &["text/plain: 1 octet that is not utf-8 read as windows-1252"],
            ),
            (
                b"Content-Type: text/plain; charset=x-unheard-of\n\n\xfc\n",
                "ü\n",
                &["text/plain: the charset x-unheard-of is not known, read as windows-1252"],
            ),
            (
                b"Content-Transfer-Encoding: quoted-printable\n\n1 = 1, a =3D=\n b\n",
                "1 = 1, a = b\n",
                &["text/plain: a bare = in quoted-printable kept"],
            ),
            (b"Content-Transfer-Encoding: base64\n\neA==\n", "x", &[]),
            (b"Content-Transfer-Encoding: base64\n\ne!A==\n", "x", &["text/plain: 1 octet in base64 passed over"]),
            (
                b"Content-Transfer-Encoding: \"base64\"\n\neA==\n\n-- \nlist footer\n",
                "x",
                &["text/plain: text behind base64 left out"],
            ),
            (
                b"Content-Transfer-Encoding: base64;\n\neA==\n",
                "x",
                &["text/plain: transfer encoding \"base64;\" taken for base64"],
            ),
            (
                b"Content-Transfer-Encoding: 7 bit\n\nx=3D\n",
                "x=3D\n",
                &["text/plain: transfer encoding \"7 bit\" taken for none"],
            ),
            (
                b"Content-Transfer-Encoding: UTF8\n\n\xc3\xbc\n",
                "ü\n",
                &["text/plain: transfer encoding \"UTF8\" taken for none"],
            ),
            (b"Content-Type: text/plain;\xc2\xa0charset=koi8-r\n\n\xf0\n", "П\n", &[]),
        ] {
            let tree = tree(message).unwrap();
            assert_eq!(
                (tree.text.as_deref(), tree.flaws.as_slice()),
                (Some(text), &flaws.iter().map(|flaw| (*flaw).to_owned()).collect::<Vec<_>>()[..])
            );
        }
        for (message, named) in [
            (&b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n"[..], "a transfer encoding that is not known"),
            (b"Content-Type: multipart/mixed\n\nx\n", "in which no part begins"),
            (b"Content-Type: multipart/mixed; boundary=b\n\nx\n", "in which no part begins"),
            (
                b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nA: b\n\n--b--\n",
                "another message inside",
            ),
        ] {
            let failure = tree(message).map(|_| ()).unwrap_err();
            assert!(failure.why.contains(named), "{failure}");
        }
    }

    #[test]
    fn the_name_of_a_file_is_what_its_best_parameter_says() {
        for (fields, name, flaws) in [
            (
                "Content-Disposition: attachment; filename=\"Gr__e.txt\"; filename*=utf-8''Gr%C3%B6%C3%9Fe.txt",
                "Größe.txt",
                0,
            ),
            ("Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%BC.txt", "ü.txt", 0),
            ("Content-Disposition: attachment; filename=\"=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=\"", "ü", 0),
            ("Content-Type: text/csv; name=a.csv\nContent-Disposition: attachment", "a.csv", 0),
            ("Content-Disposition: attachment; filename*=utf-8''%FC.txt", "ü.txt", 1),
            ("Content-Disposition: attachment; filename=\"=?utf-8?Q?a=0D=0AX:_y?=\"", "a??X: y", 0),
            ("Content-Disposition: attachment", "attachment-1.txt", 0),
        ] {
            let tree = tree(format!("{fields}\n\nx\n").as_bytes()).unwrap();
            assert_eq!((tree.attachments[0].name.as_str(), tree.flaws.len()), (name, flaws), "{fields}");
        }
    }

    #[test]
    fn two_texts_that_are_not_said_to_be_one_are_named() {
        let message = |kind: &str| {
            let plain = "Content-Type: text/plain\n\nplain\n";
            format!(
                "Content-Type: multipart/{kind}; boundary=b\n\n--b\n{plain}--b\nContent-Type: text/html\n\n<p>\n--b--\n"
            )
        };
        for (kind, flaws) in [("mixed", 1), ("alternative", 0)] {
            let tree = tree(message(kind).as_bytes()).unwrap();
            assert_eq!(
                (tree.text.as_deref(), tree.html.as_deref(), tree.flaws.len()),
                (Some("plain"), Some("<p>"), flaws)
            );
        }
    }

    #[test]
    fn the_text_of_related_parts_is_the_one_that_is_named() {
        let message = |start: &str| {
            format!(
                "Content-Type: multipart/related; boundary=b{start}\n\n--b\nContent-Type: image/png\nContent-ID: <i@x>\n\n\
                 x\n--b\nContent-Type: text/html\nContent-ID: <t@x>\n\n<img src='cid:i@x'>\n--b--\n"
            )
        };
        for start in ["; start=\"<t@x>\"", "; start=t@x"] {
            let tree = tree(message(start).as_bytes()).unwrap();
            assert_eq!(tree.html.as_deref(), Some("<img src='cid:i@x'>"));
            assert_eq!(tree.attachments.len(), 1);
        }
        let first = tree(message("").as_bytes()).unwrap();
        assert_eq!((first.html, first.attachments.len()), (None, 2));
    }
}
