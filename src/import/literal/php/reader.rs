//! The statements of PHP that set something, and the values they set.

use super::super::cursor::Cursor;
use super::super::token::Token;
use super::super::{Entry, Literal, Refused};
use super::lexer::tokens;
use super::{Statement, Target};

/// How deep values may nest.
const DEPTH: usize = 32;

/// The statements of a file.
///
/// # Errors
/// A string or a bracket is never closed.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, Refused> {
    let mut reader = Reader { tokens: Cursor::new(tokens(text)?), found: Vec::new() };
    reader.statements()?;
    Ok(reader.found)
}

struct Reader {
    tokens: Cursor,
    found: Vec<Statement>,
}

impl Reader {
    /// A name as PHP compares those of functions and statements.
    fn word(&self, ahead: usize) -> Option<String> {
        self.tokens.name(ahead).map(|name| name.to_ascii_lowercase())
    }

    /// Walks over every statement, and keeps those that set something.
    fn statements(&mut self) -> Result<(), Refused> {
        let mut depth = 0_usize;
        // Whether the statement that begins is under a condition of its own: `if (...) define(...);`.
        let mut is_guarded = false;
        let mut is_start = true;
        // Blocks after `if (!defined('X'))`, which is only what PHP does anyway.
        let mut open: Vec<bool> = Vec::new();
        while !self.tokens.is_over() {
            let is_conditional = is_guarded || depth > 0;
            if is_start {
                is_start = false;
                if self.take_self_guard() {
                    if self.tokens.take("{") {
                        open.push(false);
                    }
                    is_start = true;
                    continue;
                }
                if self.statement(is_conditional)? {
                    is_guarded = false;
                    is_start = true;
                    continue;
                }
                if !is_conditional && matches!(self.word(0).as_deref(), Some("return" | "exit" | "die")) {
                    let is_result = self.word(0).as_deref() == Some("return");
                    self.tokens.at += 1;
                    if is_result && !self.is_end() {
                        let line = self.tokens.line();
                        let value = self.value(0)?;
                        self.found.push(Statement { target: Target::Result, line, value, is_conditional });
                    }
                    return Ok(());
                }
            }
            match self.word(0).as_deref() {
                Some("if" | "elseif" | "else" | "foreach" | "for" | "while" | "switch" | "try" | "do") => {
                    is_guarded = true;
                    self.tokens.at += 1;
                    if self.tokens.is(0, "(") {
                        self.skip_group()?;
                    }
                    is_start = true;
                    // `if (...):` goes on to its `endif`, whatever is between.
                    if self.tokens.take(":") {
                        depth += 1;
                        is_guarded = false;
                    }
                    continue;
                }
                Some("endif" | "endforeach" | "endfor" | "endwhile" | "endswitch") => depth = depth.saturating_sub(1),
                _ => {}
            }
            match self.tokens.peek(0) {
                Some(Token::Sign("{")) => {
                    open.push(true);
                    depth += 1;
                    is_guarded = false;
                    is_start = true;
                    self.tokens.at += 1;
                }
                Some(Token::Sign("}")) => {
                    if open.pop() == Some(true) {
                        depth = depth.saturating_sub(1);
                    }
                    is_guarded = false;
                    is_start = true;
                    self.tokens.at += 1;
                }
                Some(Token::Sign(";")) => {
                    is_guarded = false;
                    is_start = true;
                    self.tokens.at += 1;
                }
                Some(Token::Sign("(" | "[")) => self.skip_group()?,
                _ => self.tokens.at += 1,
            }
        }
        Ok(())
    }

    /// `if (!defined('X'))` before a definition of X.
    fn take_self_guard(&mut self) -> bool {
        let is_head = self.word(0).as_deref() == Some("if")
            && self.tokens.is(1, "(")
            && self.tokens.is(2, "!")
            && self.word(3).as_deref() == Some("defined")
            && self.tokens.is(4, "(")
            && self.tokens.is(6, ")")
            && self.tokens.is(7, ")");
        let Some(Token::Text(guarded)) = self.tokens.peek(5).cloned() else { return false };
        if !is_head {
            return false;
        }
        let ahead = 8 + usize::from(self.tokens.is(8, "{"));
        let is_definition = self.word(ahead).as_deref() == Some("define") && self.tokens.is(ahead + 1, "(");
        let is_same = matches!(self.tokens.peek(ahead + 2), Some(Token::Text(name)) if **name == **guarded);
        if is_definition && is_same {
            self.tokens.at += 8;
        }
        is_definition && is_same
    }

    /// A statement that sets something, up to behind its semicolon.
    fn statement(&mut self, is_conditional: bool) -> Result<bool, Refused> {
        let (line, start) = (self.tokens.line(), self.tokens.at);
        let is_bedrock = self.word(0).as_deref() == Some("config") && self.tokens.is(1, "::");
        let ahead = if is_bedrock { 2 } else { 0 };
        if self.word(ahead).as_deref() == Some("define")
            && self.tokens.is(ahead + 1, "(")
            && let Some(Token::Text(name)) = self.tokens.peek(ahead + 2).cloned()
            && self.tokens.is(ahead + 3, ",")
        {
            self.tokens.at += ahead + 4;
            let value = self.value(0)?;
            self.leave_group()?;
            self.end();
            let target = Target::Constant(name.to_string());
            self.found.push(Statement { target, line, value, is_conditional });
            return Ok(true);
        }
        if self.word(0).as_deref() == Some("const")
            && let (Some(Token::Name(name)), true) = (self.tokens.peek(1).cloned(), self.tokens.is(2, "="))
        {
            self.tokens.at += 3;
            let value = self.value(0)?;
            self.end();
            self.found.push(Statement { target: Target::Constant(name), line, value, is_conditional });
            return Ok(true);
        }
        let Some(Token::Variable(name)) = self.tokens.peek(0).cloned() else { return Ok(false) };
        self.tokens.at += 1;
        let mut path = Vec::new();
        while self.tokens.take("[") {
            path.push(match self.tokens.is(0, "]") {
                true => String::new(),
                false => self.value(0)?.as_text().map(|text| text.to_string()).unwrap_or_default(),
            });
            if !self.tokens.take("]") {
                self.tokens.at = start;
                return Ok(false);
            }
        }
        let is_plain = self.tokens.is(0, "=") && !self.tokens.is(1, "&");
        let is_assignment =
            matches!(self.tokens.peek(0), Some(Token::Sign("=" | ".=" | "+=" | "-=" | "*=" | "/=" | "??=")));
        if !is_assignment {
            self.tokens.at = start;
            return Ok(false);
        }
        self.tokens.at += 1;
        let value = self.value(0)?;
        let value = if is_plain { value } else { Literal::Code };
        self.end();
        self.found.push(Statement { target: Target::Variable(name, path), line, value, is_conditional });
        Ok(true)
    }

    /// To behind the semicolon.
    fn end(&mut self) {
        while !self.tokens.is_over() && !self.tokens.take(";") {
            if self.tokens.is(0, "}") {
                return;
            }
            self.tokens.at += 1;
        }
    }

    /// Over a group in brackets.
    fn skip_group(&mut self) -> Result<(), Refused> {
        self.tokens.at += 1;
        self.leave_group()
    }

    /// To behind the bracket that closes the group one is in.
    fn leave_group(&mut self) -> Result<(), Refused> {
        let line = self.tokens.line();
        if self.tokens.leave() { Ok(()) } else { Err((line, "a bracket is never closed")) }
    }

    fn is_end(&self) -> bool {
        matches!(self.tokens.peek(0), None | Some(Token::Sign("," | ")" | "]" | ";" | "=>" | "}")))
    }

    /// A value up to what ends it.
    fn value(&mut self, depth: usize) -> Result<Literal, Refused> {
        if depth > DEPTH {
            return Err((self.tokens.line(), "values are nested too deeply"));
        }
        let mut value = self.primary(depth)?;
        loop {
            let both = if self.tokens.take(".") {
                let next = self.primary(depth)?;
                match (value.as_text(), next.as_text()) {
                    (Some(first), Some(second)) => Some(Literal::text(format!("{}{}", *first, *second))),
                    _ => None,
                }
            } else if self.tokens.take("??") || self.tokens.take("?:") {
                let next = self.primary(depth)?;
                match value {
                    Literal::Variable(name, None) => Some(Literal::Variable(name, Some(Box::new(next)))),
                    _ => None,
                }
            } else {
                break;
            };
            value = both.unwrap_or(Literal::Code);
        }
        if self.is_end() {
            return Ok(value);
        }
        // An operator that is not known here.
        while !self.is_end() {
            if matches!(self.tokens.peek(0), Some(Token::Sign("(" | "[" | "{"))) {
                self.skip_group()?;
            } else {
                self.tokens.at += 1;
            }
        }
        Ok(Literal::Code)
    }

    fn primary(&mut self, depth: usize) -> Result<Literal, Refused> {
        let Some(token) = self.tokens.peek(0).cloned() else { return Ok(Literal::Code) };
        if self.is_end() {
            return Ok(Literal::Code);
        }
        match token {
            Token::Sign("(") => {
                self.tokens.at += 1;
                let value = self.value(depth + 1)?;
                if self.tokens.take(")") {
                    return Ok(value);
                }
                self.leave_group()?;
                return Ok(Literal::Code);
            }
            Token::Sign("[") => {
                self.tokens.at += 1;
                return self.array("]", depth);
            }
            Token::Sign("-") => {
                if depth > DEPTH {
                    return Err((self.tokens.line(), "values are nested too deeply"));
                }
                self.tokens.at += 1;
                return Ok(match self.primary(depth + 1)? {
                    Literal::Number(number) => Literal::Number(-number),
                    _ => Literal::Code,
                });
            }
            Token::Sign("{") => {
                self.skip_group()?;
                return Ok(Literal::Code);
            }
            _ => self.tokens.at += 1,
        }
        Ok(match token {
            Token::Text(text) => Literal::Text(text),
            Token::Number(number) => Literal::Number(number),
            Token::Name(name) => return self.named(&name, depth),
            Token::Variable(name)
                if (name == "_ENV" || name == "_SERVER") && self.tokens.is(0, "[") && self.tokens.is(2, "]") =>
            {
                let key = self.tokens.peek(1).cloned();
                self.tokens.at += 3;
                match key {
                    Some(Token::Text(key)) => Literal::Variable(key.to_string(), None),
                    _ => Literal::Code,
                }
            }
            _ => Literal::Code,
        })
    }

    /// What begins with a name.
    fn named(&mut self, name: &str, depth: usize) -> Result<Literal, Refused> {
        let lower = name.to_ascii_lowercase();
        if !self.tokens.is(0, "(") {
            return Ok(match lower.as_str() {
                "true" => Literal::Flag(true),
                "false" => Literal::Flag(false),
                "null" => Literal::Null,
                _ => self.constant(name).unwrap_or(Literal::Code),
            });
        }
        self.tokens.at += 1;
        match lower.as_str() {
            "array" => self.array(")", depth),
            "getenv" | "env" => {
                let name = self.value(depth + 1)?;
                let default = if self.tokens.take(",") { Some(Box::new(self.value(depth + 1)?)) } else { None };
                self.leave_group()?;
                Ok(match name {
                    Literal::Text(name) => Literal::Variable(name.to_string(), default.filter(|_| lower == "env")),
                    _ => Literal::Code,
                })
            }
            _ => {
                self.leave_group()?;
                Ok(Literal::Code)
            }
        }
    }

    /// A constant that was defined before.
    fn constant(&self, name: &str) -> Option<Literal> {
        let is_it = |statement: &&Statement| statement.target == Target::Constant(name.to_owned());
        let first = self.found.iter().find(is_it).filter(|first| !first.is_conditional)?;
        // What follows a name that is no constant, as in `A::B`, makes it none.
        let is_alone = !matches!(self.tokens.peek(0), Some(Token::Sign("::" | "[" | "->")));
        is_alone.then(|| first.value.clone())
    }

    /// The entries of an array, up to behind its end.
    fn array(&mut self, end: &'static str, depth: usize) -> Result<Literal, Refused> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = 0_i64;
        while !self.tokens.take(end) {
            if self.tokens.is_over() {
                return Err((self.tokens.line(), "an array is never closed"));
            }
            let line = self.tokens.line();
            let is_spread = self.tokens.take("...");
            let first = self.value(depth + 1)?;
            let (key, value) = match self.tokens.take("=>") {
                true => (Some(first), self.value(depth + 1)?),
                false => (None, first),
            };
            let key = match key {
                // Which number follows a negative one differs between PHP 8.2 and 8.3.
                None if next == 0 && entries.iter().any(|entry| entry.key.starts_with('-')) => return self.give_up(),
                None => {
                    next += 1;
                    (next - 1).to_string()
                }
                Some(Literal::Text(text)) => {
                    if let Some(number) = text.parse::<i64>().ok().filter(|number| number.to_string() == *text) {
                        next = next.max(number.saturating_add(1));
                    }
                    text.to_string()
                }
                Some(Literal::Number(number)) => {
                    next = next.max(number.saturating_add(1));
                    number.to_string()
                }
                Some(Literal::Flag(flag)) => {
                    next = next.max(i64::from(flag) + 1);
                    i64::from(flag).to_string()
                }
                Some(Literal::Null) => String::new(),
                Some(_) => return self.give_up(),
            };
            if is_spread || !(self.tokens.take(",") || self.tokens.is(0, end)) {
                return self.give_up();
            }
            match entries.iter_mut().find(|known| known.key == key) {
                Some(known) => (known.value, known.line) = (value, line),
                None => entries.push(Entry { key, line, value }),
            }
        }
        Ok(Literal::Table(entries))
    }

    /// An array that is known only when the program runs.
    fn give_up(&mut self) -> Result<Literal, Refused> {
        self.leave_group()?;
        Ok(Literal::Code)
    }
}
