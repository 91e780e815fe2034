//! Standard output for much text: through a pager where a person reads it, and in colours where they are seen.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::{host, process};

/// What shows a text where `PAGER` names nothing: less ends by itself where the text fits, and takes colours.
const PAGER: &str = "less -FRX";

/// How a word is coloured. No colour says what the word does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// It went well.
    Good,
    /// It may go well yet.
    Open,
    /// It went wrong.
    Bad,
}

impl Colour {
    /// The sequence that begins it (ECMA-48 8.3.117): one of the eight colours that each terminal has in its own shades,
    /// so that they are seen on light and on dark.
    const fn begin(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Open => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }

    /// `text` in this colour.
    pub fn paint(self, text: &str) -> String {
        format!("{}{text}\x1b[0m", self.begin())
    }
}

/// Where a text goes.
#[derive(Debug)]
pub struct Page {
    pager: Option<(Child, ChildStdin)>,
    /// Whether colours are seen there.
    pub is_coloured: bool,
}

impl Page {
    /// For a text that a person may want to page through (`is_long`). A privileged process starts no pager and reads no
    /// variable: both are its caller's.
    pub fn open(is_long: bool) -> Self {
        let variable =
            |name| host::variable(name).and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty());
        let terminal = variable("TERM");
        let is_terminal = io::stdout().is_terminal();
        let is_able = is_terminal && terminal.as_deref().is_some_and(|name| name != "dumb");
        let pager = variable("PAGER").unwrap_or_else(|| PAGER.to_owned());
        let takes_colours = pager.split_whitespace().next().is_some_and(|word| Path::new(word).ends_with("less"));
        let is_wanted = is_long && is_able && !host::stands_in() && pager != "cat";
        let pager = if is_wanted { start(&pager) } else { None };
        let is_coloured = is_able && variable("NO_COLOR").is_none() && (pager.is_none() || takes_colours);
        Self { pager, is_coloured }
    }

    /// Writes `octets`.
    ///
    /// # Errors
    /// It cannot be written, a reader that went away included.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.pager {
            Some((_, input)) => input.write_all(octets),
            None => super::say_octets(octets),
        }
    }

    /// Waits until the reader has seen enough.
    pub fn close(self) {
        if let Some((mut pager, input)) = self.pager {
            drop(input);
            let _ = pager.wait();
        }
    }
}

/// Starts the pager; `None`: there is none.
fn start(words: &str) -> Option<(Child, ChildStdin)> {
    if !is_there(words.split_whitespace().next()?) {
        return None;
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", words]);
    command.stdin(Stdio::piped());
    for (name, value) in [("LESS", "FRX"), ("LESSCHARSET", "utf-8")] {
        if host::variable(name).is_none() {
            command.env(name, value);
        }
    }
    let mut child = process::spawn(&mut command).ok()?;
    let input = child.stdin.take()?;
    Some((child, input))
}

/// Whether the search path leads to `program`.
fn is_there(program: &str) -> bool {
    process::is_found(program.as_ref(), &host::variable("PATH").unwrap_or_default())
}
