//! Where a body waits: in memory up to a limit, then in an unlinked temporary file.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::Body;
use crate::failure::{Failure, Kind};

/// How much of the buffer is kept once the body goes to a file, in octets.
const SPARE: usize = 128 << 10;

/// The body while it is read: in memory up to a limit, then in an unlinked file.
pub(super) struct Store {
    /// All of the body, or what is not yet in the file.
    buffer: Vec<u8>,
    file: Option<File>,
    written: u64,
    limit: usize,
}

impl Store {
    /// A body that may take `limit` octets of memory.
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), file: None, written: 0, limit }
    }

    /// Adds `octets`; [`Store::settle`] follows before long.
    pub(super) fn put(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Octets taken so far.
    pub(super) fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Moves what is too much for memory into the file.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let file = match &mut self.file {
            Some(file) => file,
            None if self.buffer.len() <= self.limit => return Ok(()),
            none => none.insert(tempfile::tempfile().map_err(|error| no_file(Kind::CannotCreate, &error))?),
        };
        file.write_all(&self.buffer).map_err(|error| no_file(Kind::Io, &error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // The megabyte is not needed again.
        self.buffer.shrink_to(SPARE);
        Ok(())
    }

    /// The body, complete.
    pub(super) fn finish(self) -> Body {
        match self.file {
            None => Body::Memory(Arc::new(self.buffer)),
            Some(file) => Body::File { file: Arc::new(file), length: self.written },
        }
    }
}

fn no_file(kind: Kind, error: &io::Error) -> Failure {
    let verb = if kind == Kind::CannotCreate { "made" } else { "written" };
    let place = std::env::temp_dir();
    Failure::new(kind, format!("temporary file in {}", place.display()), format!("cannot be {verb}: {error}"))
        .hint("make room there, or set TMPDIR to a directory this user can write")
}
