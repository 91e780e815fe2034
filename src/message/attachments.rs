//! The files attached to a message, by name: found while the body streams by.

use super::Message;
use super::content_type::ContentType;
use super::header::Header;
use super::scan::{Entity, Piece, Section, Visitor, visit};
use crate::failure::Failure;

/// How many files of one message are named.
const LIMIT: usize = 1000;

impl Message {
    /// The names of the files attached to it, empty for one without a name.
    ///
    /// A file is a part that calls itself an attachment, or has a name, or is no text; not what the text shows in its
    /// place. At most 1000 are named.
    ///
    /// # Errors
    /// `Data`: it has too many parts, or they nest too deeply; `Io`: it cannot be read back.
    pub fn attachments(&self) -> Result<Vec<String>, Failure> {
        let mut files = Files::default();
        match is_container(&ContentType::of(self.header())) {
            true => visit(self, &mut files)?,
            false => files.add(self.header()),
        }
        Ok(files.0)
    }
}

/// Whether a part of this type is made of others. A message inside is a file, too.
fn is_container(of: &ContentType) -> bool {
    of.essence.starts_with("multipart/") || of.essence.starts_with("message/")
}

#[derive(Default)]
struct Files(Vec<String>);

impl Files {
    /// Adds the part whose fields are `header` if it is a file.
    fn add(&mut self, header: &Header) {
        let content_type = ContentType::of(header);
        let disposition = ContentType::in_field(header, "Content-Disposition");
        let name = disposition.text("filename").or_else(|| content_type.text("name"));
        let is_attachment = disposition.essence == "attachment";
        let essence = content_type.essence.as_str();
        let is_text = matches!(essence, "" | "text") || essence.starts_with("text/");
        let is_shown = !is_attachment && header.first("Content-ID").is_some();
        let is_file = is_attachment || name.is_some() || !is_text;
        if is_file && !is_shown && !essence.starts_with("multipart/") && self.0.len() < LIMIT {
            self.0.push(name.map(|name| name.text).unwrap_or_default());
        }
    }
}

impl Visitor for Files {
    fn header(&mut self, _entity: Entity, header: Header, _closed: bool) -> Result<(), Failure> {
        self.add(&header);
        Ok(())
    }

    fn begin(&mut self, _entity: usize, _section: Section) {}

    fn piece(&mut self, _piece: Piece<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn end(&mut self, _before_delimiter: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn delimiter(&mut self, _entity: usize, _line: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachments(text: &str) -> Vec<String> {
        Message::read(&mut text.as_bytes(), false).unwrap().attachments().unwrap()
    }

    fn mixed(parts: &[&str]) -> String {
        let parts: String = parts.iter().map(|part| format!("--b\n{part}\n\nx\n")).collect();
        format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n")
    }

    #[test]
    fn files_are_told_from_texts() {
        for (part, names) in [
            ("Content-Type: text/plain", &[][..]),
            ("Content-Type: text/html; charset=utf-8\nContent-Disposition: inline", &[]),
            ("X: y", &[]),
            ("Content-Disposition: attachment", &[""]),
            ("Content-Disposition: ATTACHMENT; filename=\"a b.pdf\"", &["a b.pdf"]),
            ("Content-Type: text/csv; name=a.csv", &["a.csv"]),
            ("Content-Type: application/pdf", &[""]),
            ("Content-Disposition: attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf; filename=x.pdf", &["Größe.pdf"]),
            ("Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%BC.pdf", &["ü.pdf"]),
            ("Content-Disposition: attachment; filename=\"=?utf-8?Q?=C3=BC.pdf?=\"", &["ü.pdf"]),
            ("Content-Type: image/png; name=logo.png\nContent-ID: <logo@x>", &[]),
            ("Content-Type: image/png; name=a.png\nContent-ID: <a@x>\nContent-Disposition: attachment", &["a.png"]),
            ("Content-Type: message/rfc822\n\nSubject: y", &[""]),
        ] {
            assert_eq!(attachments(&mixed(&["Content-Type: text/plain", part])), names, "{part}");
        }
    }

    #[test]
    fn a_file_may_be_the_whole_message_or_deep_inside() {
        assert_eq!(attachments("Content-Type: application/pdf; name=x.pdf\n\nx\n"), ["x.pdf"]);
        assert_eq!(attachments("Subject: x\n\nx\n"), Vec::<String>::new());
        let inner = "Content-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain\n\nx\n--c\n\
            Content-Type: text/calendar; name=i.ics\n\nx\n--c--";
        assert_eq!(attachments(&mixed(&[inner, "Content-Type: image/gif; name=y.gif"])), ["i.ics", "y.gif"]);
    }
}
