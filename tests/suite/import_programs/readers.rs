//! The readers of applications' files held against what reads them for the applications: texts are made at random, PHP,
//! Python, phpdotenv, symfony/dotenv and python-dotenv each say what they make of them, and ours says the same, or says
//! that it does not know. A value that is another one fails the test, and so does one that only one of the two has.
//!
//! A few hundred texts are made for each; with `MAILCHUTE_IMPORTS=2000` in the environment so many.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use mailchute::import::literal::dotenv::{self, Dialect};
use mailchute::import::literal::{Entry, Literal, php, python};
use serde_json::Value;
use testkit::{Scratch, apart, need, need_in};

use super::{Dice, files};

/// The most that may be left open: more would hide that nothing is read.
const OPEN: usize = 45;

/// What is compared: a name, and its value.
type Values = BTreeMap<String, Value>;

/// What ours came to, and what is left open of it.
#[derive(Default)]
struct Tally {
    same: usize,
    open: usize,
    refused: usize,
}

/// A value of ours as JSON; `None`: it is left open.
fn json(value: &Literal) -> Option<Value> {
    Some(match value {
        Literal::Text(text) => Value::from(text.as_str()),
        Literal::Number(number) => Value::from(*number),
        Literal::Flag(flag) => Value::from(*flag),
        Literal::Null => Value::Null,
        Literal::Table(entries) => Value::Object(
            entries.iter().map(|entry| Some((entry.key.clone(), json(&entry.value)?))).collect::<Option<_>>()?,
        ),
        Literal::Variable(..) | Literal::Code => return None,
    })
}

/// Whether some part of a value is left open.
fn is_open(value: &Literal) -> bool {
    match value {
        Literal::Table(entries) => entries.iter().any(|entry| is_open(&entry.value)),
        Literal::Variable(..) | Literal::Code => true,
        _ => false,
    }
}

impl Tally {
    /// Compares one text. `theirs` is `None` where the program refuses it.
    fn hold(&mut self, ours: Option<&[Entry]>, theirs: Option<&Values>, text: &str) {
        let (ours, theirs) = match (ours, theirs) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            // A text that ours refuses is told, whatever the program does.
            (None, _) => {
                self.refused += 1;
                return;
            }
            (Some(_), None) => panic!("the program refuses what ours takes:\n{text}"),
        };
        for entry in ours {
            let Some(value) = json(&entry.value) else {
                assert!(is_open(&entry.value));
                self.open += 1;
                continue;
            };
            let known = theirs.get(&entry.key);
            assert!(known == Some(&value), "{}: ours {value}, theirs {known:?}, of\n{text}", entry.key);
            self.same += 1;
        }
        for name in theirs.keys() {
            assert!(ours.iter().any(|entry| entry.key == *name), "ours has nothing of {name}, of\n{text}");
        }
    }

    /// Enough was compared for it to mean something.
    fn finish(&self, name: &str) {
        let all = self.same + self.open;
        let told =
            format!("{name}: {} values the same, {} left open, {} texts refused", self.same, self.open, self.refused);
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{told}\n").as_bytes());
        assert!(self.same > 200, "{name}: {} values", self.same);
        assert!(self.open * 100 <= all * OPEN, "{name}: {} of {all} are left open", self.open);
    }
}

/// Runs `program` on every text, which is a file of its own, and returns what it prints: a line of JSON for each.
fn run(scratch: &Scratch, program: &mut Command, texts: &[String]) -> Vec<Option<Values>> {
    for (number, text) in texts.iter().enumerate() {
        scratch.write(&format!("texts/{number}"), text, 0o644);
    }
    let output = program.arg(scratch.join("texts")).arg(texts.len().to_string()).output().expect("it runs");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let found: Vec<Option<Values>> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(found.len(), texts.len(), "{}", String::from_utf8_lossy(&output.stderr));
    found
}

fn many(dice: &mut Dice, most: usize, of: &[&str]) -> String {
    (0..dice.below(most + 1)).map(|_| dice.one(of)).collect()
}

const PHP_SINGLE: &[&str] =
    &["a", "b c", "\\'", "\\\\", "\\n", "\\\"", "\"", "$v", "{$v}", "#", "//", "/*", "*/", "é", "?>", ";", "\n", "0"];
const PHP_DOUBLE: &[&str] = &[
    "a", "b c", "\\\"", "\\\\", "\\n", "\\t", "\\$", "\\x41", "\\x4", "\\101", "\\60", "\\u{e9}", "\\q", "\\e", "'",
    "$ ", "}", "#", "//", "é", "?>", "\n", "{ $-", "\\{", "%", "\\v",
];

fn php_value(dice: &mut Dice, depth: usize) -> String {
    let kinds = if depth > 1 { 10 } else { 14 };
    match dice.below(kinds) {
        0 | 1 => format!("'{}'", many(dice, 6, PHP_SINGLE)),
        2..=4 => format!("\"{}\"", many(dice, 6, PHP_DOUBLE)),
        5 => dice.one(&["0", "587", "0x1F", "010", "0b11", "1_000", "-25", "9223372036854775807"]).to_owned(),
        6 => dice.one(&["true", "FALSE", "null", "True", "NULL"]).to_owned(),
        7 => format!("{} . {}", php_value(dice, 2), php_value(dice, 2)),
        8 => dice
            .one(&[
                "\"a$v\"",
                "\"{$v}b\"",
                "getenv('NOPE') ?: 'd'",
                "$v",
                "strtoupper('x')",
                "1 + 1",
                "'a' === 'a'",
                "(string) 5",
            ])
            .to_owned(),
        9 => format!("({})", php_value(dice, 2)),
        10 => format!("<<<'E'\n{}\nE", many(dice, 4, &["a", "$v", "\\n", "'", "\"", " b", "é"])),
        11 => format!("<<<E\n{}\nE", many(dice, 4, &["a", "\\$v", "\\n", "'", "\"", " b", "\\x41"])),
        _ => {
            let (open, close) = if dice.is(50) { ("[", "]") } else { ("array(", ")") };
            let mut text = open.to_owned();
            for _ in 0..dice.below(4) {
                let key = dice.one(&["", "'a' => ", "\"b\" => ", "7 => ", "'3' => ", "-2 => ", "true => ", "null => "]);
                let _ = write!(text, "{key}{},", php_value(dice, depth + 1));
            }
            text + close
        }
    }
}

fn php_text(dice: &mut Dice, number: usize) -> String {
    let mut text = dice.one(&["<?php\n", "page 'x\n<?php ", "<?php // c\n"]).to_owned();
    for index in 0..4 + dice.below(6) {
        let name = format!("N{number}_{}", dice.below(8));
        let value = php_value(dice, 0);
        let _ = match dice.below(12) {
            0..=4 => writeln!(text, "define('{name}', {value});"),
            5 => writeln!(text, "if ( ! defined( \"{name}\" ) ) {{ define( '{name}', {value} ); }}"),
            6 => writeln!(text, "if (!defined('{name}')) define('{name}', {value});"),
            7 => writeln!(text, "/* define('{name}', 1); */ # define('{name}', 2);\n// define('{name}', 3);"),
            8 => writeln!(text, "if ($v === 'x') {{\n  define('{name}', {value});\n}}"),
            9 => writeln!(text, "?>\n<p>define('{name}', 1)</p>\n<?php define('{name}', {value});"),
            10 => writeln!(text, "$CONFIG['k{index}'] = {value}; define('{name}', {value}, false);"),
            _ => writeln!(text, "$CONFIG = array('a' => {value}, 'k{index}' => 'x');"),
        };
    }
    text
}

const PHP: &str = r#"
error_reporting(0);
set_error_handler(function () { return true; });
function told($dir, $number) {
    $v = 'x';
    $CONFIG = null;
    ob_start();
    try { include "$dir/$number"; } catch (\ParseError $e) { ob_end_clean(); return null; } catch (\Throwable $e) { }
    ob_end_clean();
    $found = array();
    foreach (get_defined_constants(true)['user'] ?? [] as $name => $value) {
        if (strpos($name, "N{$number}_") === 0) { $found[$name] = $value; }
    }
    if (is_array($CONFIG)) { foreach ($CONFIG as $key => $value) { $found["CONFIG.$key"] = $value; } }
    return $found;
}
for ($number = 0; $number < (int) $argv[2]; $number++) {
    $found = told($argv[1], $number);
    echo json_encode($found === null ? null : (object) $found, JSON_FORCE_OBJECT | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR), "\n";
}
"#;

/// A call of PHP that prints what the script prints, whatever its `php.ini` adds; the extensions stay.
fn php_call(program: std::path::PathBuf) -> Command {
    let mut call = apart(program);
    for setting in
        ["auto_prepend_file=", "auto_append_file=", "disable_functions=", "display_errors=stderr", "memory_limit=512M"]
    {
        call.args(["-d", setting]);
    }
    call
}

#[test]
fn php_is_read_as_php_reads_it() {
    let Some(program) = need("php") else { return };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let texts: Vec<String> =
        (0..usize::try_from(files(200)).expect("a number")).map(|number| php_text(&mut dice, number)).collect();
    let scratch = Scratch::new();
    let harness = scratch.write("harness.php", format!("<?php{PHP}"), 0o644);
    let theirs = run(&scratch, php_call(program).arg(harness), &texts);
    let mut tally = Tally::default();
    for (text, theirs) in texts.iter().zip(&theirs) {
        let Ok(statements) = php::read(text) else {
            assert!(theirs.is_none(), "PHP takes what ours refuses:\n{text}");
            tally.refused += 1;
            continue;
        };
        let mut ours = php::constants(&statements);
        if let Some(Literal::Table(entries)) = php::variable(&statements, "CONFIG") {
            ours.extend(entries.into_iter().map(|entry| Entry { key: format!("CONFIG.{}", entry.key), ..entry }));
        }
        tally.hold(Some(&ours), theirs.as_ref(), text);
    }
    tally.finish("PHP");
}

const PLAIN: &[&str] = &[
    "a", "b", " ", "  ", "#", " #", "'", "\"", "\\", "\\n", "\\\"", "\\\\", "$", "${A}", "${NONE}", "$A", "=", "é",
    ":", "\t", "x", "1",
];
const INSIDE: &[&str] =
    &["a", "b", " ", "#", " # ", "\\\"", "\\\\", "\\n", "\\$", "${A}", "$A", "=", "é", ":", "x", "1", "'", "@"];

fn dotenv_text(dice: &mut Dice) -> String {
    let end = if dice.is(10) { "\r\n" } else { "\n" };
    let mut text = format!("A=first{end}");
    for _ in 0..1 + dice.below(4) {
        let before = if dice.is(10) { dice.one(&[" ", "export ", "export\t", "\t"]) } else { "" };
        let name = dice.one(&["A", "BEE", "MAIL_PASSWORD", "MAILER_DSN", "X_1"]);
        let equals = if dice.is(10) { dice.one(&[" = ", "= ", " ="]) } else { "=" };
        let value = match dice.below(5) {
            0 => many(dice, 5, PLAIN),
            1 => many(dice, 5, &["a", "b", "1", "#", "@", "x", ":", "$A", "${A}", "\\", "é"]),
            2 => format!("'{}'", many(dice, 5, INSIDE).replace('\'', "")),
            _ => format!("\"{}\"", many(dice, 5, INSIDE)),
        };
        let behind = if dice.is(20) { dice.one(&[" ", " # comment", "\t#x", "  "]) } else { "" };
        let _ = write!(text, "{before}{name}{equals}{value}{behind}{end}");
        if dice.is(10) {
            text.push_str(dice.one(&["# comment", "", "   ", "#", "  # x"]));
            text.push_str(end);
        }
    }
    text
}

/// Texts of one kind, ours and theirs.
fn hold_dotenv(name: &str, dialect: Dialect, mut program: Command, seed: u64) {
    let mut dice = Dice(seed);
    let texts: Vec<String> = (0..files(400)).map(|_| dotenv_text(&mut dice)).collect();
    let scratch = Scratch::new();
    let theirs = run(&scratch, &mut program, &texts);
    let mut tally = Tally::default();
    for (text, theirs) in texts.iter().zip(&theirs) {
        let ours = dotenv::read(text, dialect, &[]).ok();
        if ours.is_none() && theirs.is_some() {
            // Told with its line: an unclosed quote, which the library passes over with all that follows.
            assert!(dialect == Dialect::Laravel && text.contains('"'), "{name} takes what ours refuses:\n{text}");
        }
        tally.hold(ours.as_deref(), theirs.as_ref(), text);
    }
    tally.finish(name);
}

const PHPDOTENV: &str = r"
require '/usr/share/php/Dotenv/autoload.php';
for ($number = 0; $number < (int) $argv[2]; $number++) {
    try { $found = Dotenv\Dotenv::parse(file_get_contents($argv[1] . '/' . $number)); } catch (\Throwable $e) { $found = null; }
    echo json_encode($found === null ? null : (object) $found), PHP_EOL;
}
";

#[test]
fn a_dotenv_file_is_read_as_phpdotenv_reads_it() {
    let (Some(program), Some(_)) = (need("php"), need_in("autoload.php", "/usr/share/php/Dotenv")) else { return };
    let scratch = Scratch::new();
    let harness = scratch.write("harness.php", format!("<?php{PHPDOTENV}"), 0o644);
    let mut command = php_call(program);
    command.arg(harness);
    hold_dotenv("phpdotenv", Dialect::Laravel, command, 0x0123_4567_89ab_cdef);
}

const SYMFONY: &str = r"
error_reporting(0);
require '/usr/share/php/Symfony/Component/Dotenv/autoload.php';
$_ENV = $_SERVER = array();
for ($number = 0; $number < (int) $argv[2]; $number++) {
    $reader = new Symfony\Component\Dotenv\Dotenv();
    try { $found = $reader->parse(file_get_contents($argv[1] . '/' . $number)); } catch (\Throwable $e) { $found = null; }
    echo json_encode($found === null ? null : (object) $found), PHP_EOL;
}
";

#[test]
fn a_dotenv_file_is_read_as_symfony_reads_it() {
    let library = need_in("autoload.php", "/usr/share/php/Symfony/Component/Dotenv");
    let (Some(program), Some(_)) = (need("php"), library) else { return };
    let scratch = Scratch::new();
    let harness = scratch.write("harness.php", format!("<?php{SYMFONY}"), 0o644);
    let mut command = php_call(program);
    command.arg(harness);
    hold_dotenv("symfony/dotenv", Dialect::Symfony, command, 0xfedc_ba98_7654_3210);
}

const PYTHON_DOTENV: &str = r#"
import io, json, logging, os, sys
from dotenv import dotenv_values
logging.disable(logging.CRITICAL)
os.environ.clear()
for number in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/{number}", encoding="utf-8", newline="") as text:
        found = dotenv_values(stream=io.StringIO(text.read(), newline=""))
    print(json.dumps({name: value for name, value in found.items() if value is not None}))
"#;

#[test]
fn a_dotenv_file_is_read_as_python_dotenv_reads_it() {
    let Some(program) = need("oracles-python") else { return };
    let scratch = Scratch::new();
    let harness = scratch.write("harness.py", PYTHON_DOTENV, 0o644);
    let mut command = apart(program);
    command.arg(harness);
    hold_dotenv("python-dotenv", Dialect::Python, command, 0x1357_9bdf_0246_8ace);
}

const PYTHON_TEXT: &[&str] = &[
    "a", "b c", "\\'", "\\\"", "\\\\", "\\n", "\\x41", "\\101", "\\u00e9", "\\q", "#", "é", "{", "}", "%s", ";",
    "\\\n", "\\0",
];

fn python_value(dice: &mut Dice, depth: usize) -> String {
    match dice.below(if depth > 1 { 9 } else { 12 }) {
        0 | 1 => format!("'{}'", many(dice, 6, PYTHON_TEXT)),
        2 | 3 => format!("\"{}\"", many(dice, 6, PYTHON_TEXT)),
        4 => format!(
            "{}'{}'",
            dice.one(&["r", "u", "R", "f", "rf"]),
            many(dice, 5, &["a", "\\\\", "\\n", "#", "é", " "])
        ),
        5 => dice.one(&["0", "587", "0x1F", "0o17", "0b11", "1_000", "-25"]).to_owned(),
        6 => dice.one(&["True", "False", "None"]).to_owned(),
        7 => dice
            .one(&[
                "os.environ.get('NOPE', 'd')",
                "os.getenv('NOPE') or 'd'",
                "f'{1}'",
                "'a' if V else 'b'",
                "V + 'x'",
                "int('5')",
                "str('x')",
                "'a' == 'a'",
                "V",
                "'%s' % 1",
                "'a' or 'b'",
                "b'x'.decode()",
                "V.upper()",
                "1 + 2",
            ])
            .to_owned(),
        8 => format!("'a' \"{}\"\\\n 'c'", many(dice, 2, &["b", "#"])),
        9 => format!("(\n    {}  # x\n)", python_value(dice, 2)),
        10 => format!("'''{}'''", many(dice, 4, &["a", "\n", "\"", "#", "é", "\\n"])),
        _ => format!("{{'k': {}, \"l\": {}}}", python_value(dice, 2), python_value(dice, 2)),
    }
}

fn python_text(dice: &mut Dice) -> String {
    let mut text = "import os\nV = 'v'\n".to_owned();
    for _ in 0..3 + dice.below(6) {
        let name =
            dice.one(&["EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS", "DEFAULT_FROM_EMAIL"]);
        let value = python_value(dice, 0);
        let _ = match dice.below(10) {
            0..=4 => writeln!(text, "{name} = {value}"),
            5 => writeln!(text, "OTHER = {name} = {value} ; LAST = {value}"),
            6 => writeln!(text, "if True:\n    {name} = {value}\n# {name} = 1"),
            7 => writeln!(text, "{name}: str = {value}"),
            8 => writeln!(text, "def f():\n    {name} = {value}\n    return 1\n\nclass c:\n    {name} = 1"),
            _ => writeln!(text, "try:\n    {name} = {value}\nexcept Exception:\n    pass"),
        };
    }
    text
}

const PYTHON: &str = r#"
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ.clear()
for number in range(int(sys.argv[2])):
    names = {}
    try:
        with open(f"{sys.argv[1]}/{number}", encoding="utf-8") as text:
            exec(compile(text.read(), "settings", "exec"), names)
    except SyntaxError:
        print("null")
        continue
    except Exception as error:
        names["EMAIL_FAILED"] = str(error)
    plain = {name: value for name, value in names.items() if name.isupper()}
    print(json.dumps(plain, default=repr))
"#;

#[test]
fn python_is_read_as_python_reads_it() {
    let Some(program) = need("python3") else { return };
    let mut dice = Dice(0x2468_ace0_1357_9bdf);
    let texts: Vec<String> = (0..files(300)).map(|_| python_text(&mut dice)).collect();
    let scratch = Scratch::new();
    let harness = scratch.write("harness.py", PYTHON, 0o644);
    let theirs = run(&scratch, apart(program).arg(harness), &texts);
    let mut tally = Tally::default();
    for (text, theirs) in texts.iter().zip(&theirs) {
        // A module that ends in an exception sets nothing that an application would start with.
        if theirs.as_ref().is_some_and(|theirs| theirs.contains_key("EMAIL_FAILED")) {
            continue;
        }
        let Ok(statements) = python::read(text, &[], &[]) else {
            assert!(theirs.is_none(), "Python takes what ours refuses:\n{text}");
            tally.refused += 1;
            continue;
        };
        if theirs.is_none() {
            continue;
        }
        let mut ours: Vec<Entry> = Vec::new();
        for statement in statements {
            let python::Act::Set(key, value) = statement.act else { continue };
            ours.retain(|entry| entry.key != key);
            let value = if statement.is_conditional { Literal::Code } else { value };
            ours.push(Entry { key, line: statement.line, value });
        }
        tally.hold(Some(&ours), theirs.as_ref(), text);
    }
    tally.finish("Python");
}
