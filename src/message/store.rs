//! Where a body waits: in memory up to a limit, then in an unlinked temporary file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::vec;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Body;
use crate::failure::{Failure, Kind};
use crate::host;

/// How much of the buffer is kept once the body goes to a file, in octets.
const SPARE: usize = 128 << 10;

/// The body while it is read: in memory up to a limit, then in an unlinked file.
pub(super) struct Store {
    /// All of the body, or what is not yet in the file.
    buffer: Vec<u8>,
    file: Option<File>,
    written: u64,
    limit: usize,
    /// Where the file may still be; found out when it is needed. `None` is memory.
    places: Option<vec::IntoIter<Option<PathBuf>>>,
}

/// Where a temporary file may be, best first; `None` is a file in memory. A container has a read-only root, a jail no
/// `/tmp`, and `TMPDIR` may name what is not there.
fn places() -> Vec<Option<PathBuf>> {
    let wanted = host::variable("TMPDIR").filter(|place| !place.is_empty()).map(PathBuf::from);
    wanted.into_iter().chain(["/var/tmp", "/tmp"].map(PathBuf::from)).map(Some).chain([None]).collect()
}

impl Store {
    /// A body that may take `limit` octets of memory.
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), file: None, written: 0, limit, places: None }
    }

    /// Adds `octets`; [`Store::settle`] follows before long.
    pub(super) fn put(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Octets taken so far.
    pub(super) fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Moves what is too much for memory into the file, and file and all to the next place where one is full.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        if self.file.is_none() && self.buffer.len() <= self.limit {
            return Ok(());
        }
        loop {
            let file = match &self.file {
                Some(file) => file,
                None => {
                    let file = self.next_file()?;
                    self.file.insert(file)
                }
            };
            let Err(error) = file.write_all_at(&self.buffer, self.written) else { break };
            // What is in the full place already is taken along.
            let full = self.file.take();
            let next = self.next_file().map_err(|_| no_file(Kind::Io, &error))?;
            if let Some(full) = full {
                copy(&full, &next, self.written).map_err(|error| no_file(Kind::Io, &error))?;
            }
            self.file = Some(next);
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // The megabyte is not needed again.
        self.buffer.shrink_to(SPARE);
        Ok(())
    }

    /// A file in the next place that takes one.
    fn next_file(&mut self) -> Result<File, Failure> {
        let mut last = io::ErrorKind::StorageFull.into();
        for place in self.places.get_or_insert_with(|| places().into_iter()) {
            let file = match &place {
                Some(directory) => tempfile::tempfile_in(directory),
                None => memfd_create("message", MFdFlags::MFD_CLOEXEC).map(File::from).map_err(io::Error::from),
            };
            match file {
                Ok(file) => return Ok(file),
                // A directory can be mended; a system that lends no memory cannot.
                Err(error) if place.is_some() => last = error,
                Err(_) => {}
            }
        }
        Err(no_file(Kind::CannotCreate, &last))
    }

    /// The body, complete.
    pub(super) fn finish(self) -> Body {
        match self.file {
            None => Body::Memory(Arc::new(self.buffer)),
            Some(file) => Body::File { file: Arc::new(file), start: 0, length: self.written },
        }
    }
}

/// Copies the first `length` octets.
fn copy(from: &File, to: &File, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; SPARE];
    let mut at = 0;
    while at < length {
        let size = (SPARE as u64).min(length - at) as usize;
        from.read_exact_at(&mut buffer[..size], at)?;
        to.write_all_at(&buffer[..size], at)?;
        at += size as u64;
    }
    Ok(())
}

fn no_file(kind: Kind, error: &io::Error) -> Failure {
    let verb = if kind == Kind::CannotCreate { "made" } else { "written" };
    let directories: Vec<String> = places().iter().flatten().map(|place| place.display().to_string()).collect();
    let what = format!("temporary file in {} or memory", directories.join(", "));
    let raise = |limit: &str| format!("raise the limit where the calling program is started: {limit} of its unit");
    let hint = match error.raw_os_error().map(Errno::from_raw) {
        // No place is another one for these: they hold for all files of this process.
        Some(Errno::EFBIG) => raise("ulimit -f, or LimitFSIZE="),
        Some(Errno::EMFILE) => raise("ulimit -n, or LimitNOFILE="),
        _ => "make room in one of them, or set TMPDIR to a directory this user can write".to_owned(),
    };
    Failure::new(kind, what, format!("cannot be {verb}: {error}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_goes_where_there_is_room() {
        let body = |places: &[Option<&str>]| {
            let places: Vec<_> = places.iter().map(|place| place.map(PathBuf::from)).collect();
            let mut store = Store { places: Some(places.into_iter()), ..Store::new(2) };
            for octets in ["a", "bc", "def"] {
                store.put(octets.as_bytes());
                store.settle()?;
            }
            let Body::File { file, length, .. } = store.finish() else { panic!("in memory") };
            let mut octets = vec![0; length as usize];
            file.read_exact_at(&mut octets, 0).unwrap();
            Ok::<_, Failure>(octets)
        };
        for places in [&[Some("/tmp"), None][..], &[Some("/nowhere"), Some("/proc"), None], &[None]] {
            assert_eq!(body(places).unwrap(), b"abcdef", "{places:?}");
        }
        let failure = body(&[Some("/nowhere")]).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
    }

    #[test]
    fn a_limit_of_the_process_is_not_taken_for_a_full_place() {
        let limits = [(Errno::EFBIG, "LimitFSIZE"), (Errno::EMFILE, "LimitNOFILE")];
        for (errno, hint) in limits {
            let failure = no_file(Kind::Io, &errno.into());
            assert_eq!(failure.kind, Kind::Io, "{failure}");
            assert!(failure.hint.unwrap().contains(hint), "{hint}");
        }
        let full = no_file(Kind::Io, &Errno::ENOSPC.into());
        assert_eq!(full.kind, Kind::Io);
        assert!(full.hint.unwrap().contains("TMPDIR"));
    }
}
