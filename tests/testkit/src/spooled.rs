//! What stands in a spool, read by the description of its files and not by the program's own reader.

use std::fs;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

/// A file in a folder of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spooled {
    /// An entry with its checksum.
    Whole {
        /// The message.
        message: Vec<u8>,
        /// What happened to it since, a line each.
        lines: Vec<String>,
    },
    /// No whole entry.
    Torn,
}

impl Spooled {
    /// Reads one file.
    pub fn read(path: &Path) -> Self {
        fs::read(path).ok().and_then(|octets| Self::parse(&octets)).unwrap_or(Self::Torn)
    }

    fn parse(octets: &[u8]) -> Option<Self> {
        let line = |from: usize| octets[from..].iter().position(|octet| *octet == b'\n').map(|at| from + at + 1);
        let head = line(0)?;
        let start = line(head)?;
        if &octets[..head] != b"mailchute spool 1\n" {
            return None;
        }
        let (_, length) = std::str::from_utf8(&octets[head..start]).ok()?.split_once("\"length\":")?;
        let length: usize = length.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        let end = start.checked_add(length)?;
        let sum: String =
            digest(&SHA256, octets.get(..end)?).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        let trailer = format!("\n{{\"sha256\":\"{sum}\"}}\n");
        let behind = octets[end..].strip_prefix(trailer.as_bytes())?;
        let lines = String::from_utf8_lossy(behind).lines().map(str::to_owned).collect();
        Some(Self::Whole { message: octets[start..end].to_vec(), lines })
    }

    /// The message as text; `None`: it is not whole.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Whole { message, .. } => Some(String::from_utf8_lossy(message).into_owned()),
            Self::Torn => None,
        }
    }
}

/// Every file in this folder of a spool.
pub fn spooled(folder: &Path) -> Vec<(PathBuf, Spooled)> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let paths = found.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.map(|path| (path.clone(), Spooled::read(&path))).collect()
}
