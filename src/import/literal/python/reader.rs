//! The statements of Python and their values.

use super::super::cursor::Cursor;
use super::super::token::Token;
use super::super::{Entry, Literal, Refused};
use super::{Act, is_true};

/// How deep values may nest.
const DEPTH: usize = 32;

/// Reads one line after the other.
pub(super) struct Reader<'a> {
    pub(super) tokens: Cursor,
    pub(super) env: &'a [Entry],
    pub(super) names: Vec<Entry>,
}

impl Reader<'_> {
    /// Over the condition, to what stands behind its colon.
    pub(super) fn skip_head(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.peek(0) {
            match token {
                Token::Sign("(" | "[" | "{") => depth += 1,
                Token::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
                Token::Sign(":") if depth == 0 => {
                    self.tokens.at += 1;
                    return;
                }
                _ => {}
            }
            self.tokens.at += 1;
        }
    }

    /// One statement, to behind its semicolon.
    pub(super) fn statement(&mut self) -> Result<Vec<Act>, Refused> {
        let mut acts = Vec::new();
        if self.tokens.name(0).as_deref() == Some("from") {
            self.tokens.at += 1;
            let mut module = String::new();
            while let Some(token) = self.tokens.peek(0) {
                match token {
                    Token::Name(name) if name == "import" => break,
                    Token::Name(name) => module.push_str(name),
                    Token::Sign(sign @ ("." | "...")) => module.push_str(sign),
                    _ => break,
                }
                self.tokens.at += 1;
            }
            if self.tokens.is(1, "*") {
                acts.push(Act::ImportAll(module));
            }
        } else if self.tokens.name(0).is_some() {
            let mut names = Vec::new();
            // A = B = VALUE
            while let (Some(name), true) = (self.tokens.name(0), self.tokens.is(1, "=")) {
                names.push(name);
                self.tokens.at += 2;
            }
            if !names.is_empty() {
                let value = self.whole()?;
                acts.extend(names.into_iter().map(|name| Act::Set(name, value.clone())));
            } else if let (Some(name), true) = (self.tokens.name(0), self.tokens.is(1, ":")) {
                self.tokens.at += 2;
                while !self.tokens.is_over() && !self.tokens.is(0, "=") && !self.tokens.is(0, ";") {
                    self.tokens.at += 1;
                }
                if self.tokens.take("=") {
                    let value = self.whole()?;
                    acts.push(Act::Set(name, value));
                }
            } else if let (Some(name), Some(Token::Sign(sign))) = (self.tokens.name(0), self.tokens.peek(1))
                && sign.len() > 1
                && sign.ends_with('=')
                && !matches!(*sign, "==" | "!=" | "<=" | ">=")
            {
                acts.push(Act::Set(name, Literal::Code));
            }
        }
        while !self.tokens.is_over() {
            let is_end = self.tokens.is(0, ";");
            self.tokens.at += 1;
            if is_end {
                break;
            }
        }
        Ok(acts)
    }

    /// A value to the end of the statement.
    fn whole(&mut self) -> Result<Literal, Refused> {
        let value = self.value(0)?;
        // A = 1, 2 is a tuple, and what else is left makes it no plain value.
        Ok(if self.tokens.peek(0).is_none() || self.tokens.is(0, ";") { value } else { Literal::Code })
    }

    fn value(&mut self, depth: usize) -> Result<Literal, Refused> {
        if depth > DEPTH {
            return Err((self.tokens.line(), "values are nested too deeply"));
        }
        let mut value = self.primary(depth)?;
        loop {
            if self.tokens.take("+") {
                let next = self.primary(depth)?;
                value = match (&value, &next) {
                    (Literal::Text(first), Literal::Text(second)) => Literal::text(format!("{}{}", **first, **second)),
                    (Literal::Number(first), Literal::Number(second)) => {
                        first.checked_add(*second).map_or(Literal::Code, Literal::Number)
                    }
                    _ => Literal::Code,
                };
            } else if self.tokens.name(0).as_deref() == Some("or") {
                self.tokens.at += 1;
                let next = self.value(depth + 1)?;
                let is_true = is_true(&value);
                value = value.or(next, is_true);
            } else {
                break;
            }
        }
        Ok(if self.tokens.skip_value(is_end) { Literal::Code } else { value })
    }

    fn primary(&mut self, depth: usize) -> Result<Literal, Refused> {
        if is_end(&self.tokens) {
            return Ok(Literal::Code);
        }
        let Some(token) = self.tokens.pass() else { return Ok(Literal::Code) };
        let mut value = match token {
            Token::Text(mut text) => {
                let mut is_plain = true;
                loop {
                    match self.tokens.peek(0).cloned() {
                        Some(Token::Text(more)) => text.push_str(&more),
                        Some(Token::Other) => is_plain = false,
                        _ => break,
                    }
                    self.tokens.at += 1;
                }
                if is_plain { Literal::Text(text) } else { Literal::Code }
            }
            Token::Number(number) => Literal::Number(number),
            Token::Sign("-") if depth > DEPTH => return Err((self.tokens.line(), "values are nested too deeply")),
            Token::Sign("-") => match self.primary(depth + 1)? {
                Literal::Number(number) => Literal::Number(-number),
                _ => Literal::Code,
            },
            Token::Sign("(") => self.group(depth)?,
            Token::Sign("[") => self.list("]", depth)?,
            Token::Sign("{") => self.dictionary(depth)?,
            Token::Name(name) => return self.named(name, depth),
            Token::Other => {
                while matches!(self.tokens.peek(0), Some(Token::Text(_) | Token::Other)) {
                    self.tokens.at += 1;
                }
                Literal::Code
            }
            Token::Sign(_) | Token::Variable(_) | Token::Symbol(_) | Token::End => Literal::Code,
        };
        while matches!(self.tokens.peek(0), Some(Token::Sign("." | "(" | "["))) {
            value = Literal::Code;
            if self.tokens.take(".") {
                self.tokens.at += 1;
            } else {
                self.tokens.at += 1;
                self.tokens.leave();
            }
        }
        Ok(value)
    }

    /// A value in parentheses, or a tuple.
    fn group(&mut self, depth: usize) -> Result<Literal, Refused> {
        if self.tokens.take(")") {
            return Ok(Literal::Table(Vec::new()));
        }
        let line = self.tokens.line();
        let first = self.value(depth + 1)?;
        if self.tokens.take(")") {
            return Ok(first);
        }
        if !self.tokens.take(",") {
            self.tokens.leave();
            return Ok(Literal::Code);
        }
        let rest = self.list(")", depth)?;
        let Literal::Table(rest) = rest else { return Ok(Literal::Code) };
        let mut entries = vec![Entry { key: "0".to_owned(), line, value: first }];
        entries.extend(rest.into_iter().enumerate().map(|(at, entry)| Entry { key: (at + 1).to_string(), ..entry }));
        Ok(Literal::Table(entries))
    }

    fn list(&mut self, end: &str, depth: usize) -> Result<Literal, Refused> {
        let mut entries: Vec<Entry> = Vec::new();
        while !self.tokens.take(end) {
            let line = self.tokens.line();
            let value = self.value(depth + 1)?;
            entries.push(Entry { key: entries.len().to_string(), line, value });
            if !self.tokens.take(",") && !self.tokens.is(0, end) {
                self.tokens.leave();
                return Ok(Literal::Code);
            }
        }
        Ok(Literal::Table(entries))
    }

    fn dictionary(&mut self, depth: usize) -> Result<Literal, Refused> {
        let mut entries: Vec<Entry> = Vec::new();
        while !self.tokens.take("}") {
            let line = self.tokens.line();
            let key = self.value(depth + 1)?;
            let is_pair = self.tokens.take(":");
            let value = if is_pair { self.value(depth + 1)? } else { Literal::Code };
            let (Some(key), true) = (key.as_text(), is_pair) else {
                self.tokens.leave();
                return Ok(Literal::Code);
            };
            entries.retain(|entry| entry.key != *key);
            entries.push(Entry { key: key.to_string(), line, value });
            if !self.tokens.take(",") && !self.tokens.is(0, "}") {
                self.tokens.leave();
                return Ok(Literal::Code);
            }
        }
        Ok(Literal::Table(entries))
    }

    /// What begins with a name: a constant, a name that was set, or one of the ways to ask the environment.
    fn named(&mut self, first: String, depth: usize) -> Result<Literal, Refused> {
        let mut path = first;
        while let (true, Some(name)) = (self.tokens.is(0, "."), self.tokens.name(1)) {
            path = format!("{path}.{name}");
            self.tokens.at += 2;
        }
        if path == "os.environ" && self.tokens.take("[") {
            let key = self.value(depth + 1)?;
            let is_alone = self.tokens.take("]");
            return Ok(match key {
                Literal::Text(name) if is_alone => self.variable(&name, None, Cast::None),
                _ => Literal::Code,
            });
        }
        if self.tokens.take("(") {
            let value = self.call(&path, depth)?;
            let is_more = matches!(self.tokens.peek(0), Some(Token::Sign("." | "(" | "[")));
            while matches!(self.tokens.peek(0), Some(Token::Sign("." | "(" | "["))) {
                let is_group = !self.tokens.is(0, ".");
                self.tokens.at += if is_group { 1 } else { 2 };
                if is_group {
                    self.tokens.leave();
                }
            }
            return Ok(if is_more { Literal::Code } else { value });
        }
        if self.tokens.take("[") {
            self.tokens.leave();
            return Ok(Literal::Code);
        }
        Ok(match path.as_str() {
            "True" => Literal::Flag(true),
            "False" => Literal::Flag(false),
            "None" => Literal::Null,
            _ => self
                .names
                .iter()
                .rev()
                .find(|entry| entry.key == path)
                .map_or(Literal::Code, |entry| entry.value.clone()),
        })
    }

    fn call(&mut self, path: &str, depth: usize) -> Result<Literal, Refused> {
        let mut plain = Vec::new();
        let mut named = Vec::new();
        while !self.tokens.take(")") {
            match (self.tokens.name(0), self.tokens.is(1, "=")) {
                (Some(name), true) => {
                    self.tokens.at += 2;
                    let (start, word) = (self.tokens.at, self.tokens.name(0));
                    let value = self.value(depth + 1)?;
                    let word = word.filter(|_| self.tokens.at == start + 1).unwrap_or_default();
                    named.push((name, value, word));
                }
                _ => plain.push(self.value(depth + 1)?),
            }
            if !self.tokens.take(",") && !self.tokens.is(0, ")") {
                self.tokens.leave();
                return Ok(Literal::Code);
            }
        }
        let mut plain = plain.into_iter();
        let (first, second) = (plain.next(), plain.next());
        let default = named.iter().find(|(name, ..)| name == "default").map(|(_, value, _)| value.clone());
        let cast = named.iter().find(|(name, ..)| name == "cast").map_or(Cast::None, |(_, _, word)| Cast::of(word));
        let cast = match path {
            "env.bool" => Cast::Flag,
            "env.int" => Cast::Number,
            _ => cast,
        };
        Ok(match (path, first) {
            ("os.environ.get" | "environ.get" | "os.getenv" | "getenv", Some(Literal::Text(name))) => {
                self.variable(&name, second.or(default), Cast::None)
            }
            ("env" | "env.str" | "env.int" | "env.bool" | "config", Some(Literal::Text(name))) => {
                self.variable(&name, default.or(second.filter(|_| path != "env")), cast)
            }
            ("int", Some(Literal::Text(text))) => text.trim().parse().map_or(Literal::Code, Literal::Number),
            ("int" | "str", Some(value @ (Literal::Number(_) | Literal::Variable(..)))) if path == "int" => value,
            ("str", Some(value @ (Literal::Text(_) | Literal::Variable(..)))) => value,
            _ => Literal::Code,
        })
    }

    /// A variable of the environment, as far as a file sets it.
    fn variable(&self, name: &str, default: Option<Literal>, cast: Cast) -> Literal {
        match self.env.iter().rev().find(|entry| entry.key == name) {
            Some(entry) => cast.apply(entry.value.clone()),
            None => Literal::Variable(name.to_owned(), default.map(Box::new)),
        }
    }
}

/// What becomes of a variable's text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cast {
    None,
    Flag,
    Number,
}

impl Cast {
    fn of(word: &str) -> Self {
        match word {
            "bool" => Self::Flag,
            "int" => Self::Number,
            _ => Self::None,
        }
    }

    fn apply(self, value: Literal) -> Literal {
        let Literal::Text(text) = &value else { return value };
        match self {
            Self::None => value,
            Self::Flag => Literal::Flag(matches!(
                text.trim().to_ascii_lowercase().as_str(),
                "true" | "1" | "yes" | "on" | "y" | "ok" | "t"
            )),
            Self::Number => text.trim().parse().map_or(Literal::Code, Literal::Number),
        }
    }
}

/// Whether a value ends here.
fn is_end(tokens: &Cursor) -> bool {
    matches!(tokens.peek(0), None | Some(Token::Sign("," | ")" | "]" | "}" | ";" | ":" | "=")))
}
