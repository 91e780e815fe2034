//! The words of smtpd.conf: statements end with the line, outside of braces; `\` goes on, `#` ends, `$name` is a macro.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::PathBuf;
use std::str::Chars;

use crate::failure::Failure;
use crate::import::source::{SourceFile, wrong};

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A word or a string.
    Text,
    /// The name in `<name>`.
    Table,
    /// A brace, `!`, `=` or `,`.
    Sign,
}

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) sort: Sort,
}

impl Word {
    /// Whether it is this word of the grammar.
    pub(super) fn is(&self, text: &str) -> bool {
        self.sort != Sort::Table && self.text == text
    }
}

/// A statement: its words, and where it begins.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) words: Vec<Word>,
}

/// The macros so far.
pub(super) type Macros = BTreeMap<String, Vec<Word>>;

/// The statements of a file, with macros filled in; those that define one are among them.
///
/// # Errors
/// `Data`: a quote or a brace is not closed, or a macro is not known.
pub(super) fn statements(source: &SourceFile, macros: &mut Macros) -> Result<Vec<Statement>, Failure> {
    let mut lexer = Lexer { rest: source.text.chars().peekable(), line: 1 };
    let mut found = Vec::new();
    let (mut words, mut first, mut depth) = (Vec::new(), 1, 0_usize);
    loop {
        let at = lexer.line;
        let (text, sort) = match lexer.next() {
            Lexed::End | Lexed::LineEnd if depth == 0 => {
                if let [name, sign, value @ ..] = &words[..]
                    && sign == &(Word { text: "=".to_owned(), sort: Sort::Sign })
                {
                    let name: &Word = name;
                    macros.insert(name.text.clone(), value.to_vec());
                }
                if !words.is_empty() {
                    found.push(Statement { path: source.path.clone(), line: first, words: std::mem::take(&mut words) });
                }
                if lexer.rest.peek().is_none() {
                    return Ok(found);
                }
                continue;
            }
            Lexed::End => return Err(wrong(&source.path, first, "the brace of this statement is not closed")),
            Lexed::LineEnd => continue,
            Lexed::Open => return Err(wrong(&source.path, at, "the quote that begins here is not closed")),
            Lexed::Macro(name) => {
                if words.is_empty() {
                    first = at;
                }
                let Some(value) = macros.get(&name) else {
                    return Err(wrong(&source.path, at, "smtpd refuses the file here: that macro is not defined"));
                };
                words.extend(value.iter().cloned());
                continue;
            }
            Lexed::Word(text, sort) => (text, sort),
        };
        if words.is_empty() {
            first = at;
        }
        match (text.as_str(), sort) {
            ("{", Sort::Sign) => depth += 1,
            ("}", Sort::Sign) => depth = depth.saturating_sub(1),
            _ => {}
        }
        words.push(Word { text, sort });
    }
}

enum Lexed {
    Word(String, Sort),
    Macro(String),
    LineEnd,
    /// A quote without an end.
    Open,
    End,
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Lexer<'_> {
    /// The next character, with lines that go on put together.
    fn take(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        match c {
            '\\' if self.rest.peek() == Some(&'\n') => {
                self.rest.next();
                self.line += 1;
                Some(' ')
            }
            '\n' => {
                self.line += 1;
                Some('\n')
            }
            c => Some(c),
        }
    }

    fn next(&mut self) -> Lexed {
        let first = loop {
            match self.take() {
                None => return Lexed::End,
                Some('\n') => return Lexed::LineEnd,
                Some('#') => {
                    while let Some(c) = self.take() {
                        if c == '\n' {
                            return Lexed::LineEnd;
                        }
                    }
                    return Lexed::End;
                }
                Some(c) if c.is_whitespace() => {}
                Some(c) => break c,
            }
        };
        match first {
            '"' | '\'' => self.string(first),
            '<' => {
                let name: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != '>' && *c != '\n')).collect();
                self.rest.next_if(|c| *c == '>');
                Lexed::Word(name.trim().trim_matches('"').to_owned(), Sort::Table)
            }
            '=' => {
                self.rest.next_if(|c| *c == '>');
                Lexed::Word("=".to_owned(), Sort::Sign)
            }
            '{' | '}' | ',' | '!' | '(' | ')' | '>' => Lexed::Word(first.to_string(), Sort::Sign),
            '$' => Lexed::Macro(self.bare(String::new(), |c| c.is_ascii_alphanumeric() || c == '_')),
            first => Lexed::Word(
                self.bare(first.to_string(), |c| !c.is_whitespace() && !"(){}<>!=#,".contains(c)),
                Sort::Text,
            ),
        }
    }

    fn bare(&mut self, mut text: String, is_part: fn(char) -> bool) -> String {
        while let Some(c) = self.rest.peek().copied() {
            if !is_part(c) || (c == '\\' && self.rest.clone().nth(1) == Some('\n')) {
                break;
            }
            text.push(c);
            self.rest.next();
        }
        text
    }

    fn string(&mut self, quote: char) -> Lexed {
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                '\n' => self.line += 1,
                '\\' => match self.rest.peek().copied() {
                    Some(next) if next == quote || next == ' ' || next == '\t' => {
                        text.push(next);
                        self.rest.next();
                    }
                    Some('\n') => {}
                    _ => text.push('\\'),
                },
                c if c == quote => return Lexed::Word(text, Sort::Text),
                c => text.push(c),
            }
        }
        Lexed::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, Vec<String>)>, Failure> {
        let modes = crate::modes::Modes { uid: 0, gid: 0, mode: 0o644 };
        let source = SourceFile { path: "/s".into(), text: zeroize::Zeroizing::new(text.to_owned()), modes };
        let found = statements(&source, &mut Macros::new())?;
        let shown = |word: Word| match word.sort {
            Sort::Table => format!("<{}>", word.text),
            Sort::Text | Sort::Sign => word.text,
        };
        Ok(found.into_iter().map(|one| (one.line, one.words.into_iter().map(shown).collect())).collect())
    }

    #[test]
    fn statements_are_lines_that_may_go_on() {
        let text = "host = \"a b\"\n\n# c \\\n goes on\naction \"x\" relay \\\n  host smtp://l@h:25 auth <s> # y\n\
                    table t { a = \"u:p#1\",\n b => 'q' }\nmatch $host !for any";
        let found = read(text).expect("statements");
        let words =
            |line: usize, words: &[&str]| (line, words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            found,
            [
                words(1, &["host", "=", "a b"]),
                words(5, &["action", "x", "relay", "host", "smtp://l@h:25", "auth", "<s>"]),
                words(7, &["table", "t", "{", "a", "=", "u:p#1", ",", "b", "=", "q", "}"]),
                words(9, &["match", "a b", "!", "for", "any"]),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_has_a_line() {
        for (text, line) in [("a\nb \"c\nd", 2), ("a\n\nt {\nb", 3), ("a\nb $none\n", 2)] {
            let failure = read(text).expect_err(text);
            assert_eq!(failure.what, format!("/s:{line}"), "{text}");
        }
    }
}
