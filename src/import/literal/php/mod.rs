//! PHP: the constants and the variables that a file gives plain values. Nothing of it is run.

mod lexer;
mod reader;

use super::{Entry, Literal, Refused};

/// What a file sets, in its order.
pub struct Statement {
    /// What is set.
    pub target: Target,
    /// The line on which it stands.
    pub line: usize,
    /// The value.
    pub value: Literal,
    /// Whether it is set under a condition or inside of a function.
    pub is_conditional: bool,
}

/// What a statement sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A constant: `define()`, `Config::define()` or `const`.
    Constant(String),
    /// A variable, and the keys behind it. A key that is no plain value ends them with an empty one.
    Variable(String, Vec<String>),
    /// What the file as a whole returns.
    Result,
}

/// Reads a file.
///
/// # Errors
/// A string or a bracket is never closed.
pub fn read(text: &str) -> Result<Vec<Statement>, Refused> {
    reader::statements(text)
}

/// What a script's constants come to: the first of each counts, as PHP has it. Those under a condition are not known.
pub fn constants(statements: &[Statement]) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    for statement in statements {
        let Target::Constant(name) = &statement.target else { continue };
        if found.iter().all(|known| known.key != *name) {
            let value = if statement.is_conditional { Literal::Code } else { statement.value.clone() };
            found.push(Entry { key: name.clone(), line: statement.line, value });
        }
    }
    found
}

/// What the array `$name` comes to: the last assignment of each key counts. One under a condition is not known, and does
/// not stand in for what is set without: see [`conditional`].
pub fn variable(statements: &[Statement], name: &str) -> Option<Literal> {
    let mut table: Option<Literal> = None;
    for statement in statements {
        let Target::Variable(known, path) = &statement.target else { continue };
        if known != name {
            continue;
        }
        let table = table.get_or_insert_with(|| Literal::Table(Vec::new()));
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        match statement.is_conditional {
            false => put(table, path, statement.line, statement.value.clone()),
            true if table.at(&keys).is_none() => put(table, path, statement.line, Literal::Code),
            true => {}
        }
    }
    table
}

/// What the file returns.
pub fn result(statements: Vec<Statement>) -> Option<Literal> {
    let is_result = |statement: &Statement| statement.target == Target::Result && !statement.is_conditional;
    statements.into_iter().find(is_result).map(|statement| statement.value)
}

/// What is set of the array `$name` under a condition: the keys, joined by dots, and the lines.
pub fn conditional<'a>(statements: &'a [Statement], name: &'a str) -> impl Iterator<Item = (String, usize)> + 'a {
    statements.iter().filter(|statement| statement.is_conditional).filter_map(move |statement| {
        match &statement.target {
            Target::Variable(known, path) if known == name => Some((path.join("."), statement.line)),
            _ => None,
        }
    })
}

/// Puts `value` where `path` leads.
fn put(table: &mut Literal, path: &[String], line: usize, value: Literal) {
    let Some((first, rest)) = path.split_first() else {
        *table = value;
        return;
    };
    if !matches!(table, Literal::Table(_)) {
        *table = Literal::Table(Vec::new());
    }
    let Literal::Table(entries) = table else { return };
    let at = match entries.iter().rposition(|entry| entry.key == *first) {
        Some(at) => at,
        None => {
            entries.push(Entry { key: first.clone(), line, value: Literal::Null });
            entries.len() - 1
        }
    };
    entries[at].line = line;
    put(&mut entries[at].value, rest, line, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(text: &str, name: &str) -> Option<Literal> {
        let found = constants(&read(text).ok()?);
        found.into_iter().find(|entry| entry.key == name).map(|entry| entry.value)
    }

    #[test]
    fn plain_values_are_read_as_php_reads_them() {
        for (code, value) in [
            (r"'it\'s \\ \n'", Literal::text(r"it's \ \n")),
            (r#""a\tb\x41\101\u{e9}\$x \q""#, Literal::text("a\tbAA\u{e9}$x \\q")),
            ("'a' . \"b\" . 1", Literal::text("ab1")),
            ("0x1F", Literal::Number(31)),
            ("0_17", Literal::Number(15)),
            ("-5", Literal::Number(-5)),
            ("TRUE", Literal::Flag(true)),
            ("(false)", Literal::Flag(false)),
            ("null", Literal::Null),
            ("\"a $b\"", Literal::Code),
            ("\"a {$b['x']}\"", Literal::Code),
            ("ABSPATH . 'x'", Literal::Code),
            ("getenv('P') ?: 'd'", Literal::Variable("P".to_owned(), Some(Box::new(Literal::text("d"))))),
            ("$_ENV['P'] ?? 'd'", Literal::Variable("P".to_owned(), Some(Box::new(Literal::text("d"))))),
            ("strtolower('X')", Literal::Code),
            ("1 + 1", Literal::Code),
            ("<<<'E'\n  a$b\n  E", Literal::text("a$b")),
            ("<<<E\na\\tb\nE", Literal::text("a\tb")),
        ] {
            assert!(constant(&format!("<?php define('X', {code});"), "X") == Some(value), "{code}");
        }
    }

    #[test]
    fn the_first_definition_counts_and_one_under_a_condition_is_not_known() {
        let text = "page <?php // define('A', 0);\n/* define('A', 0) */ define('A', 1); define('A', 2);\n\
                    if (WP_DEBUG) define('B', 1);\nif ($x) { define('C', 1); }\n\
                    if ( ! defined('D') ) { define('D', 1); }\nif (!defined('E')) define('E', 1);\n\
                    function f() { define('F', 1); }\nconst G = A;\nif ($x): define('H', 1); endif; define('I', 1);\nreturn;\n\
                    define('J', 1);";
        let found = constants(&read(text).ok().unwrap());
        let is = |name: &str, value: &Literal| found.iter().any(|entry| entry.key == name && entry.value == *value);
        for name in ["A", "D", "E", "G", "I"] {
            assert!(is(name, &Literal::Number(1)), "{name}");
        }
        for name in ["B", "C", "F", "H"] {
            assert!(is(name, &Literal::Code), "{name}");
        }
        assert!(found.iter().all(|entry| entry.key != "J"));
        assert_eq!(found.iter().map(|entry| entry.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9, 9]);
    }

    #[test]
    fn the_last_assignment_of_a_key_counts() {
        let text = "<?php $c = array('a' => 'x', 'b' => ['k' => 1, 2, '7' => 3, 4], 'a' => 'y',);\n$c['b']['k'] = 'z';\n\
                    $c['q'] .= 'more'; if ($x) { $c['a'] = 'w'; $c['r'] = 1; }";
        let statements = read(text).ok().unwrap();
        let found = variable(&statements, "c").unwrap();
        let at = |path: &[&str]| found.at(path).map(|entry| (entry.line, entry.value.clone()));
        assert!(at(&["a"]) == Some((1, Literal::text("y"))));
        assert!(at(&["b", "k"]) == Some((2, Literal::text("z"))));
        assert!(at(&["b", "0"]) == Some((1, Literal::Number(2))));
        assert!(at(&["b", "8"]) == Some((1, Literal::Number(4))));
        assert!(at(&["q"]) == Some((3, Literal::Code)));
        assert!(at(&["r"]) == Some((3, Literal::Code)));
        let under: Vec<_> = conditional(&statements, "c").collect();
        assert_eq!(under, [("a".to_owned(), 3), ("r".to_owned(), 3)]);
    }

    #[test]
    fn what_php_refuses_is_refused_and_nothing_panics() {
        for (text, line) in
            [("<?php\n'a", 2), ("<?php \"a\n", 1), ("<?php define('A', array(1", 1), ("<?php <<<A\nb", 1)]
        {
            assert_eq!(read(text).err().map(|(line, _)| line), Some(line), "{text}");
        }
        let text = "<?php define('\u{e9}', \"\u{e9}\\\u{e9}\"); $\u{e9} = [1=>2, ...$a]; <<<; \\ '\\\\'; ?> é <?= 1";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = read(&text[..end]);
        }
        let deep = format!("<?php define('A', {}", "[".repeat(10_000));
        assert!(read(&deep).is_err());
    }
}
