//! Where a reader is among the tokens of a file, whatever the language.

/// A token, as far as the readers of all languages look at it.
pub(super) trait Token {
    /// The sign that it is.
    fn sign(&self) -> Option<&'static str>;

    /// The name that it is, as its language compares names.
    fn name(&self) -> Option<String>;
}

/// The tokens with their lines, and the place of the next.
pub(super) struct Cursor<T> {
    tokens: Vec<(T, usize)>,
    /// How many were passed. Whoever looks ahead may set it back.
    pub(super) at: usize,
}

impl<T: Token> Cursor<T> {
    /// Before the first of them.
    pub(super) fn new(tokens: Vec<(T, usize)>) -> Self {
        Self { tokens, at: 0 }
    }

    /// Whether none is left.
    pub(super) fn is_over(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The one that comes after `ahead` others.
    pub(super) fn peek(&self, ahead: usize) -> Option<&T> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    /// Whether that one is this sign.
    pub(super) fn is(&self, ahead: usize, sign: &str) -> bool {
        self.peek(ahead).and_then(Token::sign) == Some(sign)
    }

    /// The name that it is.
    pub(super) fn name(&self, ahead: usize) -> Option<String> {
        self.peek(ahead)?.name()
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

    /// Passes what is left of a value, to where `is_end` says outside of every bracket that it ends.
    pub(super) fn skip_value(&mut self, is_end: impl Fn(&Self) -> bool) {
        let mut open = 0_usize;
        while let Some(token) = self.peek(0) {
            match token.sign() {
                Some("(" | "[" | "{") => open += 1,
                Some(")" | "]" | "}") if open > 0 => open -= 1,
                _ if open == 0 && is_end(self) => break,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Passes what is left of the group that one is in, and the bracket that closes it; false: none does.
    pub(super) fn leave(&mut self) -> bool {
        let mut depth = 1_usize;
        while depth > 0 && !self.is_over() {
            match self.peek(0).and_then(Token::sign) {
                Some("(" | "[" | "{") => depth += 1,
                Some(")" | "]" | "}") => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        depth == 0
    }
}
