//! Ruby: the attributes that a file gives plain values. Nothing of it is run.

mod lexer;

use self::lexer::tokens;
use super::cursor::Cursor;
use super::token::Token;
use super::{Entry, Literal, Refused};

/// `config.action_mailer.smtp_settings = VALUE`.
pub struct Assignment {
    /// What is set: names with dots between.
    pub target: String,
    /// The line.
    pub line: usize,
    /// The value.
    pub value: Literal,
    /// Whether it stands under a condition.
    pub is_conditional: bool,
}

/// How deep values may nest.
const DEPTH: usize = 32;

/// Reads a file. `env` are variables of the environment that a file sets.
///
/// # Errors
/// A string or a bracket is never closed.
pub fn read(text: &str, env: &[Entry]) -> Result<Vec<Assignment>, Refused> {
    let mut reader = Reader { tokens: Cursor::new(tokens(text)?), env };
    let mut found = Vec::new();
    // Whether each block that is open is one that may not be run.
    let mut blocks: Vec<bool> = Vec::new();
    let mut is_start = true;
    while !reader.tokens.is_over() {
        let word = reader.tokens.name(0);
        match word.as_deref() {
            Some("if" | "unless" | "case" | "while" | "until" | "def") if is_start => blocks.push(true),
            Some("do" | "begin" | "class" | "module") if is_start || word.as_deref() == Some("do") => {
                blocks.push(false);
            }
            Some("end") => drop(blocks.pop()),
            _ => {}
        }
        if is_start {
            let (start, line) = (reader.tokens.at, reader.tokens.line());
            if let Some(target) = reader.target() {
                let value = reader.value(0)?;
                let is_whole = matches!(reader.tokens.peek(0), None | Some(Token::End));
                let is_modified = matches!(reader.tokens.name(0).as_deref(), Some("if" | "unless"));
                let value = if is_whole || is_modified { value } else { Literal::Code };
                let is_conditional = is_modified || blocks.contains(&true);
                found.push(Assignment { target, line, value, is_conditional });
                while !matches!(reader.tokens.peek(0), None | Some(Token::End)) {
                    reader.tokens.at += 1;
                }
                continue;
            }
            reader.tokens.at = start;
        }
        is_start =
            matches!(reader.tokens.peek(0), Some(Token::End)) || matches!(word.as_deref(), Some("then" | "else"));
        reader.tokens.at += 1;
    }
    Ok(found)
}

struct Reader<'a> {
    tokens: Cursor,
    env: &'a [Entry],
}

impl Reader<'_> {
    /// What an assignment sets, to behind its sign.
    fn target(&mut self) -> Option<String> {
        let mut path = self.tokens.name(0)?;
        self.tokens.at += 1;
        loop {
            if (self.tokens.is(0, ".") || self.tokens.is(0, "::")) && self.tokens.name(1).is_some() {
                path = format!("{path}.{}", self.tokens.name(1)?);
                self.tokens.at += 2;
            } else if let (true, Some(Token::Symbol(key)), true) =
                (self.tokens.is(0, "["), self.tokens.peek(1).cloned(), self.tokens.is(2, "]"))
            {
                path = format!("{path}.{key}");
                self.tokens.at += 3;
            } else {
                break;
            }
        }
        self.tokens.take("=").then_some(path)
    }

    fn value(&mut self, depth: usize) -> Result<Literal, Refused> {
        if depth > DEPTH {
            return Err((self.tokens.line(), "values are nested too deeply"));
        }
        let mut value = self.primary(depth)?;
        while self.tokens.take("||") {
            let next = self.primary(depth)?;
            let is_true = !matches!(value, Literal::Null | Literal::Flag(false));
            value = value.or(next, is_true);
        }
        Ok(if self.tokens.skip_value(is_end) { Literal::Code } else { value })
    }

    fn primary(&mut self, depth: usize) -> Result<Literal, Refused> {
        if is_end(&self.tokens) {
            return Ok(Literal::Code);
        }
        let Some(token) = self.tokens.pass() else { return Ok(Literal::Code) };
        let value = match token {
            Token::Text(mut text) => {
                while let Some(Token::Text(more)) = self.tokens.peek(0).cloned() {
                    text.push_str(&more);
                    self.tokens.at += 1;
                }
                Literal::Text(text)
            }
            Token::Symbol(name) => Literal::text(name),
            Token::Number(number) => Literal::Number(number),
            Token::Sign("{") => self.hash(depth)?,
            Token::Sign("(") => {
                let value = self.value(depth + 1)?;
                if self.tokens.take(")") {
                    value
                } else {
                    self.tokens.leave();
                    Literal::Code
                }
            }
            Token::Sign("[") => {
                self.tokens.leave();
                Literal::Code
            }
            Token::Name(name) => self.named(name, depth)?,
            Token::Other | Token::Sign(_) | Token::Variable(_) | Token::End => Literal::Code,
        };
        self.methods(value)
    }

    /// What is called on a value: conversions change nothing that counts here.
    fn methods(&mut self, mut value: Literal) -> Result<Literal, Refused> {
        while self.tokens.is(0, ".") || self.tokens.is(0, "&.") {
            let name = self.tokens.name(1).unwrap_or_default();
            self.tokens.at += 2;
            value = match (name.as_str(), value) {
                ("to_s" | "freeze" | "presence" | "to_sym", value @ (Literal::Text(_) | Literal::Variable(..))) => {
                    value
                }
                ("to_i", Literal::Text(text)) => text.trim().parse().map_or(Literal::Code, Literal::Number),
                ("to_i", value @ (Literal::Number(_) | Literal::Variable(..))) => value,
                _ => Literal::Code,
            };
            if self.tokens.take("(") {
                self.tokens.leave();
                value = Literal::Code;
            }
        }
        Ok(value)
    }

    fn hash(&mut self, depth: usize) -> Result<Literal, Refused> {
        let mut entries: Vec<Entry> = Vec::new();
        while !self.tokens.take("}") {
            let line = self.tokens.line();
            let key = match self.tokens.peek(0).cloned() {
                Some(Token::Symbol(key)) => key,
                Some(Token::Text(key)) => key.to_string(),
                _ => {
                    self.tokens.leave();
                    return Ok(Literal::Code);
                }
            };
            self.tokens.at += 1;
            if !self.tokens.take("=>") {
                self.tokens.leave();
                return Ok(Literal::Code);
            }
            let value = self.value(depth + 1)?;
            entries.retain(|entry| entry.key != key);
            entries.push(Entry { key, line, value });
            if !self.tokens.take(",") && !self.tokens.is(0, "}") {
                self.tokens.leave();
                return Ok(Literal::Code);
            }
        }
        Ok(Literal::Table(entries))
    }

    fn named(&mut self, name: String, depth: usize) -> Result<Literal, Refused> {
        let variable = |this: &Self, name: &str, default: Option<Literal>| match this
            .env
            .iter()
            .rev()
            .find(|entry| entry.key == name)
        {
            Some(entry) => entry.value.clone(),
            None => Literal::Variable(name.to_owned(), default.map(Box::new)),
        };
        match name.as_str() {
            "true" => return Ok(Literal::Flag(true)),
            "false" => return Ok(Literal::Flag(false)),
            "nil" => return Ok(Literal::Null),
            "ENV" if self.tokens.take("[") => {
                let key = self.value(depth + 1)?;
                let is_alone = self.tokens.take("]");
                return Ok(match key {
                    Literal::Text(name) if is_alone => variable(self, &name, None),
                    _ => Literal::Code,
                });
            }
            "ENV"
                if self.tokens.is(0, ".")
                    && self.tokens.name(1).as_deref() == Some("fetch")
                    && self.tokens.is(2, "(") =>
            {
                self.tokens.at += 3;
                let key = self.value(depth + 1)?;
                let default = if self.tokens.take(",") { Some(self.value(depth + 1)?) } else { None };
                if !self.tokens.take(")") {
                    self.tokens.leave();
                    return Ok(Literal::Code);
                }
                let mut is_block = false;
                if self.tokens.take("{") {
                    self.tokens.leave();
                    is_block = true;
                }
                return Ok(match key {
                    Literal::Text(name) if !is_block => variable(self, &name, default),
                    _ => Literal::Code,
                });
            }
            "OpenSSL" => {
                let mut last = name;
                while self.tokens.is(0, "::") && self.tokens.name(1).is_some() {
                    last = self.tokens.name(1).unwrap_or_default();
                    self.tokens.at += 2;
                }
                return Ok(match last.as_str() {
                    "VERIFY_NONE" => Literal::text("none"),
                    "VERIFY_PEER" => Literal::text("peer"),
                    _ => Literal::Code,
                });
            }
            _ => {}
        }
        while self.tokens.is(0, "::") {
            self.tokens.at += 2;
        }
        if self.tokens.take("(") || self.tokens.take("[") {
            self.tokens.leave();
        }
        Ok(Literal::Code)
    }
}

/// Whether a value ends here.
fn is_end(tokens: &Cursor) -> bool {
    matches!(tokens.peek(0), None | Some(Token::End | Token::Sign("," | ")" | "]" | "}" | "=>")))
        || matches!(tokens.name(0).as_deref(), Some("if" | "unless" | "do" | "then"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_read_as_ruby_reads_them() {
        let env = [Entry { key: "P".to_owned(), line: 1, value: Literal::text("587") }];
        let variable = |name: &str, default: Option<Literal>| Literal::Variable(name.to_owned(), default.map(Box::new));
        for (code, expected) in [
            ("'it\\'s \\n'", Literal::text("it's \\n")),
            ("\"a\\tb\\\"\"", Literal::text("a\tb\"")),
            ("\"a#{b}\"", Literal::Code),
            ("'a#{b}'", Literal::text("a#{b}")),
            ("'a' 'b'", Literal::text("ab")),
            (":plain", Literal::text("plain")),
            ("587", Literal::Number(587)),
            ("1_000", Literal::Number(1000)),
            ("nil", Literal::Null),
            ("ENV['X']", variable("X", None)),
            ("ENV.fetch(\"X\", 25)", variable("X", Some(Literal::Number(25)))),
            ("ENV['X'] || 'd'", variable("X", Some(Literal::text("d")))),
            ("ENV['P'].to_i", Literal::Number(587)),
            ("Rails.application.credentials.dig(:smtp, :password)", Literal::Code),
            ("%q(a b)", Literal::text("a b")),
            ("OpenSSL::SSL::VERIFY_NONE", Literal::text("none")),
            ("a + 1", Literal::Code),
        ] {
            let found = read(&format!("config.x = {code}\n"), &env).ok().unwrap();
            assert!(found.len() == 1 && found[0].target == "config.x" && found[0].value == expected, "{code}");
        }
    }

    #[test]
    fn hashes_of_both_kinds_and_conditions_are_told() {
        let text = "Rails.application.configure do\n  # config.a = 1\n  config.action_mailer.smtp_settings = {\n    address: 'x',\n    \
                    :port => 25, # c\n    \"tls\": true\n  }\n  if ENV['A']\n    config.b = 1\n  end\n  config.c = 2 if x\n  config.d[:e] = 3\nend\n";
        let found = read(text, &[]).ok().unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.target.as_str(), one.line, one.is_conditional)).collect();
        assert_eq!(
            told,
            [
                ("config.action_mailer.smtp_settings", 3, false),
                ("config.b", 9, true),
                ("config.c", 11, true),
                ("config.d.e", 12, false)
            ]
        );
        let Literal::Table(entries) = &found[0].value else { panic!("no hash") };
        let told: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(told, [("address", 4), ("port", 5), ("tls", 6)]);
    }

    #[test]
    fn nothing_panics() {
        let text = "é = { 'é': \"\\é#{x}\", b => %w[é], c: <<~E }\n x\nE\n/é\\//.y; z = ENV.fetch('A') { é } unless q?\n=begin\n=end\n";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            for start in (0..=end).filter(|start| text.is_char_boundary(*start)) {
                let _ = read(&text[start..end], &[]);
            }
        }
        assert!(read(&format!("a = {}{}", "{a: ".repeat(10_000), "}".repeat(10_000)), &[]).is_err());
    }
}
