//! The manners of the program: how it writes, what it does with standard input before it gives up, and
//! how a bug of ours ends.
//!
//! Nothing here fails: a closed or full standard error must not turn a delivered message into a
//! failure. Descriptors 0 to 2 that the caller left closed are `/dev/null`, and SIGPIPE is ignored;
//! std sees to both before `main`.

pub mod page;
pub mod signals;

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use crate::attempt::HandOver;
use crate::caller::Caller;
use crate::cli::invocation::{Errand, Invocation};
use crate::conclude::report::Report;
use crate::conclude::{Dossier, Typed};
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::journal::stderr;
use crate::message::{self, StandardInput};
use crate::reply::{is_hidden, printable};

/// Writes `text` to standard output as it is.
///
/// # Errors
/// Standard output cannot be written, a reader that went away included.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes `text` to standard output for whoever reads it there.
///
/// # Errors
/// `Io`, as [`heard`].
pub fn print(text: &str) -> Result<(), Failure> {
    heard(say(text))
}

/// What came of writing to standard output. A reader that went away (`mailchute --help | head`) has read what it wanted.
///
/// # Errors
/// `Io`: it cannot be written for another reason.
pub fn heard(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Io, "standard output", error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Writes a piece of something that is no text to standard output.
///
/// # Errors
/// As [`say`].
pub fn say_octets(octets: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(octets)?;
    out.flush()
}

/// How many characters a line of standard output has room for; `None`: it is no terminal.
pub fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // A terminal that does not know has 0.
    Some(size.ws_col).filter(|columns| *columns > 0).map(usize::from)
}

/// The longest line on standard error, in octets.
const LINE: usize = 8 << 10;

/// Writes one line to standard error, in one write, and does not mind if it is closed.
pub fn complain(line: &str) {
    let line = printable(line.as_bytes(), LINE);
    let _ = stderr::write(format!("mailchute: {line}\n").as_bytes());
}

/// Writes a line that a process of ours wrote to its standard error to this one's.
pub fn pass_on(line: &str) {
    let line = printable(line.as_bytes(), LINE);
    let _ = stderr::write(format!("{line}\n").as_bytes());
}

/// Writes the one next step to standard error.
pub fn suggest(hint: &str) {
    let hint = printable(hint.as_bytes(), LINE);
    let _ = stderr::write(format!("hint: {hint}\n").as_bytes());
}

/// Asks for what is typed behind it, at the terminal that standard error is, or without being seen.
pub fn ask(prompt: &str) {
    let _ = stderr::write(printable(prompt.as_bytes(), LINE).as_bytes());
}

/// Writes a failure and its hint to standard error.
pub fn report(failure: &Failure) {
    complain(&failure.to_string());
    if let Some(hint) = &failure.hint {
        suggest(hint);
    }
}

/// Writes what is said about one message, and its next step, to standard error.
pub fn tell(report: &Report) {
    for line in &report.lines {
        complain(line);
    }
    if let Some(hint) = &report.hint {
        suggest(hint);
    }
}

/// The dossier of a message that `caller` sends with the command line `invocation`; from now on signals are answered.
pub fn open(invocation: &Invocation, caller: &Caller, hand_over: &Arc<HandOver>) -> Dossier {
    let mut words = Typed { argv: &invocation.argv, ignored: invocation.ignored.clone(), tag: None };
    if let Errand::Sendmail(said) = &invocation.errand {
        words.ignored.extend_from_slice(&said.ignored);
        words.tag.clone_from(&said.tag);
    }
    let dossier = Dossier::open(caller, words, tell);
    let watched = dossier.clone();
    signals::watch(Arc::clone(hand_over), move |failure| watched.stop(failure));
    dossier
}

/// Reads standard input to its end, so that the caller's write does not meet a closed pipe and its
/// user reads our status instead of "broken pipe". A terminal is not waited for.
pub fn drain() {
    let mut input = StandardInput::lock();
    if !input.is_terminal() {
        message::drain(&mut input);
    }
}

/// Runs the program and returns its exit status; a panic becomes one line and 70.
///
/// The line names the place in our source and not the panic's message, which could quote a secret.
pub fn guard(program: impl FnOnce() -> u8) -> u8 {
    static PLACE: Mutex<Option<String>> = Mutex::new(None);
    panic::set_hook(Box::new(|info| {
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = info.location().map(ToString::to_string);
    }));
    let ended = panic::catch_unwind(AssertUnwindSafe(program));
    drop(panic::take_hook());
    ended.unwrap_or_else(|_| {
        let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).take();
        complain(&format!("internal error: {}", place.as_deref().unwrap_or("unknown place")));
        exit::of_kind(&Kind::Software, Scheme::Reply)
    })
}

/// `json` with nothing in it that a terminal obeys or a reader does not see, line ends between its values apart: in a
/// string that is escaped as JSON has it. JSON itself lets C1 controls and signs that turn the text around stand.
pub fn harmless_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if is_hidden(c) && c != '\n' => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_status_70() {
        assert_eq!(guard(|| panic!("a secret")), 70);
        assert_eq!(guard(|| 3), 3);
    }
}
