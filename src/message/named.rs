//! A message in a file that has a name: written down once, read back by another process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Body, Facts, Header, Message};

/// The largest header section that is read back, in octets; intake takes 1 MiB, and repairs add to it.
const HEADER_LIMIT: u64 = 8 << 20;

/// Where a message stands in a file: header section and body follow one another, both in CRLF form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first octet of the header section.
    pub start: u64,
    /// Octets of the header section, the empty line included.
    pub header: u64,
    /// Octets of the body.
    pub body: u64,
}

impl Message {
    /// The message at `extent` of `file`, with what was known of it when it was written there. The header section is
    /// read now, the body when it is sent.
    ///
    /// # Errors
    /// `InvalidData` where that is no header section, or the file ends before the message does; else as reading.
    pub fn in_file(file: Arc<File>, extent: Extent, facts: Facts, repairs: Vec<String>) -> io::Result<Self> {
        let broken = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let Extent { start, header, body } = extent;
        if !(2..=HEADER_LIMIT).contains(&header) {
            return Err(broken("no header section has this size"));
        }
        let end = start.checked_add(header).and_then(|end| end.checked_add(body));
        if end.is_none_or(|end| file.metadata().map_or(true, |of| of.len() < end)) {
            return Err(broken("the file ends before the message does"));
        }
        let mut section = vec![0; header as usize];
        file.read_exact_at(&mut section, start)?;
        let header = Header::read_back(section).ok_or_else(|| broken("not a header section"))?;
        let body = Body::File { file, start: start + extent.header, length: body };
        Ok(Self { header, body, facts, repairs })
    }

    /// Octets of the header section, the empty line included, and of the body: what [`Extent`] says of them.
    pub fn lengths(&self) -> (u64, u64) {
        let header = self.header.as_bytes().len() as u64;
        (header, self.size() - header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_written_down_is_read_back() {
        let long = format!("A: b\n\n{}\n", "caf\u{e9} ".repeat(300_000));
        for text in ["Subject: a\n b\nTo: x\n\nbody\n.dot\n", "A: b\n\n", "\n", &long] {
            let message = Message::read(&mut text.as_bytes(), false).unwrap();
            let octets = whole(&message);
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(b"before", 0).unwrap();
            file.write_all_at(&octets, 6).unwrap();
            file.write_all_at(b"behind", 6 + octets.len() as u64).unwrap();
            let (header, body) = message.lengths();
            let extent = Extent { start: 6, header, body };
            let back = Message::in_file(Arc::new(file), extent, message.facts(), vec!["Bcc removed".into()]).unwrap();
            assert!(whole(&back) == octets, "{}", &text[..text.len().min(40)]);
            assert_eq!((back.size(), back.facts()), (message.size(), message.facts()));
            assert_eq!(back.header().fields().count(), message.header().fields().count());
            assert_eq!(back.repairs(), ["Bcc removed"]);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let read = |octets: &[u8], header: u64, body: u64| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(octets, 0).unwrap();
            let extent = Extent { start: 0, header, body };
            Message::in_file(Arc::new(file), extent, Facts::default(), Vec::new()).map(|message| message.size())
        };
        let good = b"A: b\r\n c\r\nD: e\r\n\r\nbody\r\n";
        assert_eq!(read(good, 18, 6).unwrap(), 24);
        for (octets, header, body) in [
            (&good[..], 18, 7),
            (good, 17, 6),
            (good, 17, 6),
            (good, 1, 6),
            (good, 18, u64::MAX),
            (good, HEADER_LIMIT + 1, 0),
            (b"A: b\n\r\n", 7, 0),
            (b"A: b\r\r\n\r\n", 9, 0),
            (b"A: b\r\n\r\nC: d\r\n\r\n", 16, 0),
            (b"no field\r\n\r\n", 12, 0),
            (b" A: b\r\n\r\n", 9, 0),
            (b"A: b\0\r\n\r\n", 9, 0),
        ] {
            let error = read(octets, header, body).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{}", octets.escape_ascii());
        }
    }

    fn whole(message: &Message) -> Vec<u8> {
        let (mut octets, mut chunks) = (Vec::new(), message.chunks());
        while let Some(piece) = chunks.advance().unwrap() {
            octets.extend_from_slice(piece);
        }
        octets
    }
}
