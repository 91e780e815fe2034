//! The words of a file, whatever the language, and the brackets between them.

use zeroize::Zeroizing;

use super::Refused;

/// A word or a sign. There is no `Debug`: it may be a secret.
#[derive(Clone, PartialEq)]
pub(super) enum Token {
    /// `$name` (PHP).
    Variable(String),
    /// A name as it is written; of PHP with its namespace.
    Name(String),
    /// `:name`, or `name:` with the sign `=>` behind it (Ruby).
    Symbol(String),
    /// A string without anything to put into it.
    Text(Zeroizing<String>),
    /// A whole number.
    Number(i64),
    /// A value that is known only when the program runs.
    Other,
    /// One of the signs that matter; empty, one that does not.
    Sign(&'static str),
    /// The end of a statement (Ruby).
    End,
}

/// The brackets that are open.
#[derive(Default)]
pub(super) struct Brackets {
    depth: usize,
    opened: usize,
}

impl Brackets {
    /// Whether there is none.
    pub(super) fn are_closed(&self) -> bool {
        self.depth == 0
    }

    /// Notes a sign on `line`.
    pub(super) fn note(&mut self, sign: &str, line: usize) {
        match sign {
            "(" | "[" | "{" => {
                if self.depth == 0 {
                    self.opened = line;
                }
                self.depth += 1;
            }
            ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Ends a file.
    ///
    /// # Errors
    /// One is still open.
    pub(super) fn end(self) -> Result<(), Refused> {
        match self.depth {
            0 => Ok(()),
            _ => Err((self.opened, "the bracket that begins here is never closed")),
        }
    }
}

/// The sign that `rest` begins with, and how many octets it has; `signs` has the long ones first.
pub(super) fn sign(rest: &str, signs: &[&'static str]) -> (Token, usize) {
    match signs.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => (Token::Sign(sign), sign.len()),
        None => (Token::Sign(""), rest.chars().next().map_or(0, char::len_utf8)),
    }
}
