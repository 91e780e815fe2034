//! `.env` files, as the library of each framework reads them: they agree on the plain lines only.

mod phpdotenv;
mod python;
mod symfony;

use zeroize::Zeroizing;

use super::{Entry, Literal, Refused};

/// Whose reading of a file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// vlucas/phpdotenv 5, which Laravel has.
    Laravel,
    /// symfony/dotenv.
    Symfony,
    /// python-dotenv 1, which is also nearest to what container tools do.
    Python,
}

/// Reads a file. `before` are the variables of files that were read before it. What refers to a variable that is in no
/// file, or to a program's output, is left as such.
///
/// # Errors
/// The library refuses the file.
pub fn read(text: &str, dialect: Dialect, before: &[Entry]) -> Result<Vec<Entry>, Refused> {
    let text = text.strip_prefix('\u{feff}').filter(|_| dialect == Dialect::Python).unwrap_or(text);
    let mut scope = Scope { before, found: Vec::new() };
    match dialect {
        Dialect::Laravel => phpdotenv::read(text, &mut scope)?,
        Dialect::Symfony => symfony::read(text, &mut scope)?,
        Dialect::Python => python::read(text, &mut scope),
    }
    Ok(scope.found)
}

/// The variables so far.
struct Scope<'a> {
    before: &'a [Entry],
    found: Vec<Entry>,
}

impl Scope<'_> {
    fn get(&self, name: &str) -> Option<&Literal> {
        let of = |list: &'_ [Entry]| list.iter().rposition(|entry| entry.key == name);
        match of(&self.found) {
            Some(at) => Some(&self.found[at].value),
            None => of(self.before).map(|at| &self.before[at].value),
        }
    }

    /// Sets a variable, in the place of one that is there.
    fn set(&mut self, key: &str, line: usize, value: Literal) {
        self.found.retain(|entry| entry.key != key);
        self.found.push(Entry { key: key.to_owned(), line, value });
    }
}

/// A value while it is put together of parts.
struct Value {
    text: Zeroizing<String>,
    /// What it is instead, where it cannot be known.
    unknown: Option<Literal>,
}

impl Value {
    fn new() -> Self {
        Self { text: Zeroizing::new(String::new()), unknown: None }
    }

    /// Appends the value of a variable, `default` where it is not there and that is known.
    fn refer(&mut self, name: &str, known: Option<&Literal>, default: Option<&str>) {
        match known {
            Some(Literal::Text(text)) if text.is_empty() && default.is_some() => {
                self.text.push_str(default.unwrap_or_default());
            }
            Some(Literal::Text(text)) => self.text.push_str(text),
            Some(other) => drop(self.unknown.get_or_insert(other.clone())),
            None => {
                let default = default.map(|text| Box::new(Literal::text(text)));
                self.unknown.get_or_insert(Literal::Variable(name.to_owned(), default));
            }
        }
    }

    fn finish(self) -> Literal {
        self.unknown.unwrap_or(Literal::Text(self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, dialect: Dialect) -> Result<Literal, Refused> {
        let found = read(text, dialect, &[Entry { key: "BEFORE".to_owned(), line: 1, value: Literal::text("b") }])?;
        Ok(found.into_iter().find(|entry| entry.key == "A").map_or(Literal::Null, |entry| entry.value))
    }

    #[test]
    fn each_library_reads_in_its_own_way() {
        let (php, symfony, python) = (Dialect::Laravel, Dialect::Symfony, Dialect::Python);
        let text = |text: &str| Ok(Literal::text(text));
        for (line, dialect, expected) in [
            ("A=ex#mple", php, text("ex")),
            ("A=ex#mple", symfony, text("ex#mple")),
            ("A=ex#mple", python, text("ex#mple")),
            ("A=a # b", php, text("a")),
            ("A=a # b", symfony, text("a")),
            ("A=a # b", python, text("a")),
            ("A=a b", php, Err((1, "a value with blanks is not in quotes"))),
            ("A=a b", symfony, Err((1, "a value with blanks is not in quotes"))),
            ("A=a b", python, text("a b")),
            ("A=\"a#b \\$c\"", php, text("a#b $c")),
            ("A=\"a#b \\$c\"", symfony, text("a#b $c")),
            ("A=\"a#b \\$c\"", python, text("a#b \\$c")),
            ("A='${BEFORE}'", php, text("${BEFORE}")),
            ("A='${BEFORE}'", symfony, text("${BEFORE}")),
            ("A='${BEFORE}'", python, text("b")),
            ("A=\"x${BEFORE}y\"", php, text("xby")),
            ("A=x${BEFORE}y", symfony, text("xby")),
            ("A=x$BEFORE", php, text("x$BEFORE")),
            ("A=x$BEFORE", symfony, text("xb")),
            ("A=x$BEFORE", python, text("x$BEFORE")),
            ("A=${NONE:-d}", symfony, Ok(Literal::Variable("NONE".to_owned(), Some(Box::new(Literal::text("d")))))),
            ("A=$(reboot)", symfony, Ok(Literal::Code)),
            ("A = a", php, text("a")),
            ("A = a", symfony, Err((1, "blanks before = are not allowed"))),
            ("A = a", python, text("a")),
            // Its own rule for the shortest names.
            ("export A=a", php, Err((1, "what stands there is no name of a variable"))),
            ("export A=a", symfony, text("a")),
            ("export A=a", python, text("a")),
            ("A=\"a\nb\"", php, text("a\nb")),
            ("A=\"a\nb\"", symfony, text("a\nb")),
            ("A=\"a\nb\"", python, text("a\nb")),
            ("A=a\nA=b", php, text("b")),
            ("A=a\nA=b", symfony, text("b")),
            ("A=a\nA=b", python, text("b")),
            ("A=\"a\\nb\"", python, text("a\nb")),
            ("A=\"a\"x", python, Ok(Literal::Code)),
            ("A=", php, text("")),
            ("# A=a\n\n", python, Ok(Literal::Null)),
        ] {
            let found = value(line, dialect);
            let (found, expected) =
                (found.map_err(|refused| refused.0), expected.map_err(|refused: Refused| refused.0));
            assert!(found == expected, "{line:?} {dialect:?}");
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic() {
        let text = "export A=\"é\\\\n${B:-x}\" # c\nB='é'\\\"x\n_C=$(a (b))\r\nD=\\\nE=${\n";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            for start in (0..=end).filter(|start| text.is_char_boundary(*start)) {
                for dialect in [Dialect::Laravel, Dialect::Symfony, Dialect::Python] {
                    let _ = read(&text[start..end], dialect, &[]);
                }
            }
        }
    }
}
