//! Rules: what a refusal says, and the next step. Plain data, so that whoever knows a refusal can write it down.

use crate::outcome::Stage;
use crate::reply::{Enhanced, Reply};

/// A refusal that users really meet, with the next step. Everything a rule names must hold.
#[derive(Debug)]
pub struct Rule {
    /// Where it was given; empty: anywhere.
    pub stages: &'static [Stage],
    /// The reply codes; empty: any.
    pub codes: &'static [u16],
    /// The enhanced status codes; empty: any, or none.
    pub enhanced: &'static [Enhanced],
    /// Words of the text, in lower case, of which one is there; empty: any text.
    pub words: &'static [&'static str],
    /// The next step. `{provider}`, `{username}`, `{own}`, `{scope}` and `{login}` stand for the provider's name or the
    /// host, the user name, the address that logs in, what the token is for, and the command that logs in. Empty:
    /// nothing can be done about it here.
    pub hint: &'static str,
}

/// What a rule begins from: any refusal, and nothing to say.
pub const ANY: Rule = Rule { stages: &[], codes: &[], enhanced: &[], words: &[], hint: "" };

impl Rule {
    /// Whether `reply`, given at `stage`, is what this rule is about; `text` is its text in lower case.
    pub fn is_about(&self, reply: &Reply, text: &str, stage: Stage) -> bool {
        (self.stages.is_empty() || self.stages.contains(&stage))
            && (self.codes.is_empty() || self.codes.contains(&reply.code()))
            && (self.enhanced.is_empty() || reply.enhanced().is_some_and(|code| self.enhanced.contains(&code)))
            && (self.words.is_empty() || self.words.iter().any(|word| text.contains(word)))
    }
}
