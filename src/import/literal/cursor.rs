//! Where a reader is among the tokens of a file, whatever the language.

use super::token::Token;

/// The tokens with their lines, and the place of the next.
pub(super) struct Cursor {
    tokens: Vec<(Token, usize)>,
    /// How many were passed. Whoever looks ahead may set it back.
    pub(super) at: usize,
}

impl Cursor {
    /// Before the first of them.
    pub(super) fn new(tokens: Vec<(Token, usize)>) -> Self {
        Self { tokens, at: 0 }
    }

    /// Whether none is left.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The one that comes after `ahead` others.
    pub(super) fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    /// Whether that one is this sign.
    pub(super) fn is(&self, ahead: usize, sign: &str) -> bool {
        matches!(self.peek(ahead), Some(Token::Sign(known)) if *known == sign)
    }

    /// The name that it is, as it is written.
    pub(super) fn name(&self, ahead: usize) -> Option<String> {
        match self.peek(ahead) {
            Some(Token::Name(name)) => Some(name.clone()),
            _ => None,
        }
    }

    /// Passes the next.
    pub(super) fn pass(&mut self) -> Option<Token> {
        let token = self.peek(0).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    /// Passes this sign; false: something else is next.
    pub(super) fn take(&mut self, sign: &str) -> bool {
        let is_it = self.is(0, sign);
        self.at += usize::from(is_it);
        is_it
    }

    /// The line of the next, or else of the last.
    pub(super) fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    /// Passes what is left of a value, to where `is_end` says outside of every bracket that it ends; false: nothing was.
    pub(super) fn skip_value(&mut self, is_end: impl Fn(&Self) -> bool) -> bool {
        let (start, mut open) = (self.at, 0_usize);
        while let Some(token) = self.peek(0) {
            match token {
                Token::Sign("(" | "[" | "{") => open += 1,
                Token::Sign(")" | "]" | "}") if open > 0 => open -= 1,
                _ if open == 0 && is_end(self) => break,
                _ => {}
            }
            self.at += 1;
        }
        self.at > start
    }

    /// Passes what is left of the group that one is in, and the bracket that closes it; false: none does.
    pub(super) fn leave(&mut self) -> bool {
        let mut depth = 1_usize;
        while depth > 0 && !self.is_over() {
            match self.peek(0) {
                Some(Token::Sign("(" | "[" | "{")) => depth += 1,
                Some(Token::Sign(")" | "]" | "}")) => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        depth == 0
    }
}
