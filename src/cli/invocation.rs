//! What was typed, typed: the first step of a message's path.

use std::path::PathBuf;

use super::commands::Tool;
use crate::envelope::Dsn;
use crate::failure::Failure;

/// One command line. Holds only what the words say; no file, host name or network was looked at.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The last component of `argv[0]`, printable; `mailchute` where the caller gave none.
    pub called_as: String,
    /// What is asked for.
    pub mode: Mode,
    /// `-t`: recipients from the header section, added to [`Self::recipients`].
    pub from_header: bool,
    /// `-i`, `-oi`: a lone dot does not end the message.
    pub ignore_dots: bool,
    /// `-f`, `-r`: the last one given.
    pub reverse_path: Option<ReversePath>,
    /// `-F`: one printable line, at most [`super::dialect::NAME_LIMIT`] bytes.
    pub full_name: Option<String>,
    /// `-N`, `-R`, `-V`.
    pub dsn: Dsn,
    /// The recipients as typed, in order: address lists still to be read, never empty strings, and
    /// free of CR, LF and NUL.
    pub recipients: Vec<String>,
    /// `-v`: show the dialogue.
    pub verbose: bool,
    /// `-L`: the identifier under which the system's log shall have this message.
    pub tag: Option<String>,
    /// `--site`.
    pub site: Option<String>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--relay`.
    pub relay: Option<String>,
    /// Options that had no effect, for the record; bounded like [`Self::argv`].
    pub ignored: Vec<String>,
    /// The words for the record, [`super::dialect::recorded`].
    pub argv: Vec<String>,
}

impl Invocation {
    /// Takes back what a privileged process does not let its caller choose: configuration, relay, dialogue.
    pub fn restrict(&mut self) {
        let taken = [
            (self.config.take().is_some(), "--config"),
            (self.relay.take().is_some(), "--relay"),
            (std::mem::take(&mut self.verbose), "-v"),
        ];
        self.ignored.extend(taken.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name.to_owned()));
    }
}

/// What a command line asks for.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// Take the message on standard input and submit it (`-bm`).
    #[default]
    Deliver,
    /// Speak SMTP on standard input and output (`-bs`).
    Smtp,
    /// List the queue (`-bp`, `mailq`).
    Queue,
    /// Rebuild the alias database (`-bi`, `-I`, `newaliases`).
    Aliases,
    /// Run the queue (`-q`).
    RunQueue,
    /// Check the recipients and send nothing (`-bv`).
    Verify,
    /// Print this help.
    Help(String),
    /// Print name and version.
    Version,
    /// A subcommand.
    Tool(Tool),
    /// A subcommand with arguments it does not take. Not an error of the reader, because no message
    /// waits on standard input and none has to be drained.
    Misuse(Failure),
}

/// The reverse-path of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// `-f ""` or `-f "<>"`.
    Null,
    /// An address as typed: not empty, free of CR, LF and NUL.
    Typed(String),
}
