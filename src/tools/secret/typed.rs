//! The value on standard input: what a pipe holds, or what is typed where nobody sees it.
//!
//! It is asked for once. Whoever makes up a password types it twice, because nobody else knows it; this one comes from a
//! provider's page, is pasted, and shows with the first message that is sent if it was not copied well.

use std::io::{IsTerminal as _, stdin};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::door::{self, signals};
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::secret::{LIMIT, Secret};

/// What a terminal keeps of a line, in octets; the rest is lost unseen.
const LINE: usize = 4095;

/// Reads the value of `name`, at most [`LIMIT`] octets, as it is.
///
/// # Errors
/// `NoInput`: there is none, or it cannot be read; `Data`: it is too long.
pub(in crate::tools) fn read(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let is_typed = stdin().is_terminal();
    let unseen = if is_typed { Some(Unseen::begin()?) } else { None };
    if is_typed {
        door::ask(&format!("{name} (it is not shown): "));
    }
    let mut value = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    let mut octets = Zeroizing::new([0; LINE + 1]);
    loop {
        match nix::unistd::read(stdin().as_fd(), &mut octets[..]) {
            Ok(0) => break,
            // Never more than there is room for, so that no copy is left behind.
            Ok(count) if value.len() + count > LIMIT => return Err(failed(Kind::Data, "holds more than 64 KB")),
            Ok(count) if is_typed && count >= LINE => {
                return Err(failed(Kind::Data, "the line is too long for a terminal")
                    .hint("put the value into a file of root's, and that on standard input"));
            }
            Ok(count) => value.extend_from_slice(&octets[..count]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(Kind::NoInput, &format!("cannot be read: {errno}"))),
        }
        if is_typed && is_whole(&value) {
            break;
        }
    }
    drop(unseen);
    Ok(value)
}

/// What stands around the value through copying it, and what it is called.
const AROUND: &str = "white space at its ends, which is part of no key (`--anyway` keeps it)";
const MARK: &str = "a byte order mark before it";

/// The value without what copying it has added, and what that was. One line end is what every line has, and not told.
///
/// # Errors
/// As [`as_it_is`].
pub(in crate::tools) fn trimmed(read: &[u8]) -> Result<(Secret, Option<&'static str>), Failure> {
    let whole = text(read)?;
    let bare = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    // Of a key of several lines every line has its end.
    let value = bare.trim();
    let left_out = match () {
        () if bare.len() < whole.len() => Some(MARK),
        () if value.len() < without_line_end(bare).len() => Some(AROUND),
        () => None,
    };
    Ok((some(value)?, left_out))
}

/// The value without its one line end.
///
/// # Errors
/// `NoInput`: it is empty; `Data`: it is no text, or holds a NUL character.
pub(super) fn as_it_is(read: &[u8]) -> Result<Secret, Failure> {
    some(without_line_end(text(read)?))
}

fn text(read: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(read).map_err(|_| failed(Kind::Data, "is not UTF-8 text"))
}

fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

fn some(value: &str) -> Result<Secret, Failure> {
    match value {
        "" => Err(failed(Kind::NoInput, "is empty").hint("the password, token or key is expected there")),
        value if value.contains('\0') => Err(failed(Kind::Data, "holds a NUL character, which no secret can")),
        value => Ok(Secret::new(value.to_owned())),
    }
}

fn failed(kind: Kind, why: &str) -> Failure {
    Failure::new(kind, "standard input", why)
}

/// Whether what was typed is all: one line, or all of a key that has several.
fn is_whole(value: &[u8]) -> bool {
    let text = value.trim_ascii();
    if text.starts_with(b"{") {
        return serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    }
    if text.starts_with(b"-----BEGIN") {
        let last = text.rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
        return last.starts_with(b"-----END");
    }
    value.ends_with(b"\n") && !text.is_empty()
}

/// The terminal as it was, while it does not show what is typed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that does not show what is typed, until it is dropped.
struct Unseen;

impl Unseen {
    fn begin() -> Result<Self, Failure> {
        let error = |error: rustix::io::Errno| {
            failed(Kind::NoInput, &format!("the terminal cannot be kept from showing it: {error}"))
        };
        let before = tcgetattr(stdin()).map_err(error)?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        unseen.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        // Whoever stops it (^Z) would be left with a terminal that shows nothing.
        unseen.special_codes[SpecialCodeIndex::VSUSP] = 0;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let this = Self;
        tcsetattr(stdin(), OptionalActions::Flush, &unseen).map_err(error)?;
        Ok(this)
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &before);
    }
}

/// From now on a signal ends this with the terminal as it was, and says what `stopped` says: how far it came. To be
/// called in the main thread before there is another.
pub(in crate::tools) fn watch(stopped: impl FnOnce() -> &'static str + Send + 'static) {
    signals::watch(Arc::default(), move |failure| {
        restore();
        door::report(&Failure { why: stopped().to_owned(), ..failure.clone() });
        exit::of_kind(&failure.kind, Scheme::Reply)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_all_but_of_a_key_that_has_several() {
        for (typed, whole) in [
            (&b"s3cret\n"[..], true),
            (b"s3cret", false),
            (b"\n", false),
            (b"{\n", false),
            (b"{\n\"a\": \"}\"\n", false),
            (b"{\n\"a\": \"}\"\n}\n", true),
            (b"-----BEGIN PRIVATE KEY-----\n", false),
            (b"-----BEGIN PRIVATE KEY-----\nx\n", false),
            (b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", true),
        ] {
            assert_eq!(is_whole(typed), whole, "{}", typed.escape_ascii());
        }
    }
}
