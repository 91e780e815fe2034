//! What was typed, typed: the first step of a message's path.

use super::commands::Tool;
use super::dialect::Sendmail;
use crate::failure::Failure;
use crate::plan::Choice;

/// One command line. Holds only what the words say; no file, host name or network was looked at.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The last component of `argv[0]`, printable; `mailchute` where the caller gave none.
    pub called_as: String,
    /// What is asked for.
    pub errand: Errand,
    /// `--site`, `--config`, `--relay`.
    pub choice: Choice,
    /// Options of ours that had no effect, for the record.
    pub ignored: Vec<String>,
    /// The words for the record, [`super::dialect::recorded`].
    pub argv: Vec<String>,
}

impl Invocation {
    /// Takes back what a privileged process does not let its caller choose: configuration, relay, dialogue.
    pub fn restrict(&mut self) {
        let verbose = match &mut self.errand {
            Errand::Sendmail(said) => std::mem::take(&mut said.verbose),
            Errand::Tool(Tool::Explain(explained)) => std::mem::take(&mut explained.of.verbose),
            _ => false,
        };
        let taken = [
            (self.choice.config.take().is_some(), "--config"),
            (self.choice.relay.take().is_some(), "--relay"),
            (verbose, "-v"),
        ];
        self.ignored.extend(taken.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name.to_owned()));
    }
}

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Errand {
    /// What sendmail would do.
    Sendmail(Sendmail),
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

impl Default for Errand {
    fn default() -> Self {
        Self::Sendmail(Sendmail::default())
    }
}
