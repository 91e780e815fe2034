//! Python: the names of a module that get plain values. Nothing of it is run.

mod lexer;
mod reader;

use self::lexer::lines;
use self::reader::Reader;
use super::cursor::Cursor;
use super::{Entry, Literal, Refused};

/// What a line of a module does.
pub struct Statement {
    /// The line.
    pub line: usize,
    /// What it does.
    pub act: Act,
    /// Whether it stands under a condition.
    pub is_conditional: bool,
}

/// What a statement does.
#[derive(Clone, PartialEq)]
pub enum Act {
    /// Gives a name a value.
    Set(String, Literal),
    /// Takes over all names of another module, which is named as it stands there.
    ImportAll(String),
}

/// Reads a module. `known` are the names that were set before it, `env` the variables of files of such.
///
/// # Errors
/// A string or a bracket is never closed.
pub fn read(text: &str, known: &[Entry], env: &[Entry]) -> Result<Vec<Statement>, Refused> {
    let lines = lines(text)?;
    let mut reader = Reader { tokens: Cursor::new(Vec::new()), env, names: known.to_vec() };
    let mut found = Vec::new();
    // The depth below which lines belong to a function or a class, which has names of its own.
    let mut own: Option<usize> = None;
    for line in lines {
        own = own.filter(|depth| line.indent > *depth);
        if own.is_some() {
            continue;
        }
        reader.tokens = Cursor::new(line.tokens);
        let first = reader.tokens.name(0).unwrap_or_default();
        if reader.tokens.is(0, "@") || matches!(first.as_str(), "def" | "class" | "async") {
            own = Some(line.indent);
            continue;
        }
        let mut is_conditional = line.indent > 0;
        if BLOCKS.contains(&first.as_str()) {
            is_conditional = true;
            reader.skip_head();
        }
        while !reader.tokens.is_over() {
            let number = reader.tokens.line();
            for act in reader.statement()? {
                if let (Act::Set(name, value), false) = (&act, is_conditional) {
                    reader.names.retain(|entry| entry.key != *name);
                    reader.names.push(Entry { key: name.clone(), line: number, value: value.clone() });
                }
                found.push(Statement { line: number, act, is_conditional });
            }
        }
    }
    Ok(found)
}

/// The words that begin what is run under a condition.
const BLOCKS: &[&str] = &["if", "elif", "else", "for", "while", "try", "except", "finally", "with"];

/// What Python takes for true.
pub fn is_true(value: &Literal) -> bool {
    match value {
        Literal::Text(text) => !text.is_empty(),
        Literal::Number(number) => *number != 0,
        Literal::Flag(flag) => *flag,
        Literal::Table(entries) => !entries.is_empty(),
        Literal::Null | Literal::Variable(..) | Literal::Code => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(code: &str) -> Option<Literal> {
        let env = [Entry { key: "P".to_owned(), line: 1, value: Literal::text("False") }];
        let found = read(&format!("B = 'b'\nA = {code}\n"), &[], &env).ok()?;
        found.into_iter().find_map(|statement| match statement.act {
            Act::Set(name, value) if name == "A" => Some(value),
            _ => None,
        })
    }

    #[test]
    fn plain_values_are_read_as_python_reads_them() {
        let variable = |name: &str, default: Option<Literal>| Literal::Variable(name.to_owned(), default.map(Box::new));
        for (code, expected) in [
            ("'a' \"b\"", Literal::text("ab")),
            ("'it\\'s \\x41\\101\\u00e9\\q'", Literal::text("it's AA\u{e9}\\q")),
            ("r'a\\n'", Literal::text("a\\n")),
            ("'''a\nb'''", Literal::text("a\nb")),
            ("('a'\n  'b')", Literal::text("ab")),
            ("'a' + B", Literal::text("ab")),
            ("B", Literal::text("b")),
            ("0x1F", Literal::Number(31)),
            ("1_000", Literal::Number(1000)),
            ("-1", Literal::Number(-1)),
            ("True", Literal::Flag(true)),
            ("None", Literal::Null),
            ("f'a{B}'", Literal::Code),
            ("f'a'", Literal::text("a")),
            ("1 if B else 2", Literal::Code),
            ("B == 'b'", Literal::Code),
            ("'%s' % B", Literal::Code),
            ("B.upper()", Literal::Code),
            ("int('5')", Literal::Number(5)),
            ("os.environ['X']", variable("X", None)),
            ("os.environ.get('X', 'd')", variable("X", Some(Literal::text("d")))),
            ("os.getenv('X') or 'd'", variable("X", Some(Literal::text("d")))),
            ("env('X', default='d')", variable("X", Some(Literal::text("d")))),
            ("env('P')", Literal::text("False")),
            ("env.bool('P')", Literal::Flag(false)),
            ("config('P', cast=bool)", Literal::Flag(false)),
            ("'' or 'x'", Literal::text("x")),
        ] {
            assert!(value(code) == Some(expected), "{code}");
        }
    }

    #[test]
    fn what_stands_under_a_condition_or_in_a_function_is_told_apart() {
        let text = "from .base import *\nA = B = 1; C = 2 # x\nif DEBUG:\n    A = 3\nif X: C = 4\ndef f():\n    D = 1\n\
                    class S:\n    E = 1\nF: str = 'x'\nG += 1\ntry:\n    from local import *\nexcept ImportError:\n    pass\n";
        let found = read(text, &[], &[]).ok().unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|statement| match &statement.act {
                Act::Set(name, _) => (statement.line, name.as_str(), statement.is_conditional),
                Act::ImportAll(name) => (statement.line, name.as_str(), statement.is_conditional),
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, ".base", false),
                (2, "A", false),
                (2, "B", false),
                (2, "C", false),
                (4, "A", true),
                (5, "C", true),
                (10, "F", false),
                (11, "G", false),
                (13, "local", true),
            ]
        );
    }

    #[test]
    fn what_python_refuses_is_refused_and_nothing_panics() {
        for (text, line) in [("\nA = 'a\n", 2), ("A = (1,\n", 1), ("A = '''a\n", 1)] {
            assert_eq!(read(text, &[], &[]).err().map(|(line, _)| line), Some(line), "{text}");
        }
        let text = "é = f'é{a}' \\\n + r\"\\é\" if (a, {1: [2]}) else -x.y(z=1)[0]; from ...a.b import *";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            for start in (0..=end).filter(|start| text.is_char_boundary(*start)) {
                let _ = read(&text[start..end], &[], &[]);
            }
        }
        assert!(read(&format!("A = {}", "[".repeat(10_000)), &[], &[]).is_err());
        assert!(read(&format!("A = {}{}", "[".repeat(10_000), "]".repeat(10_000)), &[], &[]).is_err());
    }
}
