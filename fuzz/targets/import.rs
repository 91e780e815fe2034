//! What other programs are set to: the first octet chooses the program or the language, the rest is its file.
//!
//! Whatever stands in it, the draft that comes of it is TOML and tells no secret, and the work of reading a language grows
//! with the file, not with its square.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mailchute::import::draft::{Shape, Storing};
use mailchute::import::literal::dotenv::{self, Dialect};
use mailchute::import::literal::{Refused, php, python, ruby};
use mailchute::import::source::{Inquiry, MailUser};
use mailchute::import::{KINDS, Program};
use mailchute::root::Root;
use tempfile::TempDir;

use super::{Target, assert_linear, assert_printable};
use crate::mutate::{Grammar, hash};

pub(crate) const TARGET: Target = Target { name: "import", seeds, words: WORDS, grammar: GRAMMAR, check };

const WORDS: &[&str] = &[
    "password=correct horse battery staple\n",
    "'hunter2-hunter2'",
    "<?php ",
    "?>",
    "<?php ?>",
    "//x\n",
    "#\n",
    "define( 'SMTP_HOST', '",
    "<<<'X'\n",
    "\nX;\n",
    "'''",
    "\"\"\"",
    "\\u{41}",
    "#{",
    "${MAIL_HOST:-",
    "$(",
    "dnl",
    "FEATURE(`",
    "define(`SMART_HOST', `",
    "')dnl\n",
    "[smtp.example.com]:587",
    "account default : ",
    "\\\n",
    "/*",
    "*/",
    "%w[",
    "=begin\n",
    "\n=end\n",
    "lambda:",
    "os.environ.get('",
    "ENV.fetch(\"",
    "\u{feff}",
    "\u{2028}",
];

/// What a reader may look for far ahead, again and again.
const UNITS: [&str; 40] = [
    "<?php ?>", "?><?= ", "//\n", "#\n", "/*", "/**/", "'", "\"", "'' ", "\"\" ", "(", "[", "{", "<", "`", "``",
    "<<<X\n", "<<~X\n", "\"\"\"", "'''", "\\", "\\\n", "${", "${a", "a=${a}\n", "#{", "\"#{", "$(", "a=\"\n", "%w[",
    "=begin\n", "dnl ", "a`", "a(", "a, ", "a\n", "1..", "<<<", "<<<'\n", "-",
];

const GRAMMAR: Grammar = &[
    (
        "line",
        &[
            "«key»=«value»\n",
            "«key» «value»\n",
            "'«key»' => «value»,\n",
            "define('«key»', «value»);\n",
            "«key» = «value»\n",
        ],
    ),
    (
        "key",
        &[
            "MAIL_HOST",
            "MAIL_MAILER",
            "EMAIL_HOST",
            "host",
            "port",
            "password",
            "relayhost",
            "MAILER_DSN",
            "config.action_mailer.smtp_settings",
        ],
    ),
    (
        "value",
        &[
            "'x'",
            "\"x\"",
            "587",
            "true",
            "[«value»]",
            "['a' => «value»]",
            "{ a: «value», 'b': «value» }",
            "array(«value», «value»)",
            "smtp://u:p@h:25",
            "(«value»)",
            "«value» . «value»",
            "f(«value»)",
            "\"#{«value»}\"",
            "${X:-«value»}",
        ],
    ),
];

/// The languages, behind the programs.
type Language = fn(&str) -> Result<usize, Refused>;

const LANGUAGES: [Language; 6] = [
    |text| php::read(text).map(|found| php::constants(&found).len()),
    |text| python::read(text, &[], &[]).map(|found| found.len()),
    |text| ruby::read(text, &[]).map(|found| found.len()),
    |text| dotenv::read(text, Dialect::Laravel, &[]).map(|found| found.len()),
    |text| dotenv::read(text, Dialect::Symfony, &[]).map(|found| found.len()),
    |text| dotenv::read(text, Dialect::Python, &[]).map(|found| found.len()),
];

/// The files of the tests of `import`, each for its program and for the languages.
fn seeds() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(directory).expect("the tests").filter_map(|entry| Some(entry.ok()?.path())).collect();
    cases.sort();
    let mut seeds = Vec::new();
    for case in cases {
        let text = fs::read_to_string(case).unwrap_or_default();
        let kind = text.lines().find_map(|line| line.strip_prefix("argv: ")?.split(' ').next());
        let Some(kind) = KINDS.iter().position(|known| Some(known.name) == kind) else { continue };
        for section in text.split("\n--- file ").skip(1) {
            let Some((_, file)) = section.split_once('\n') else { continue };
            let file = file.split("\n--- ").next().unwrap_or_default();
            seeds.push([&[kind as u8], file.as_bytes()].concat());
        }
    }
    assert!(seeds.len() > 100, "where are the tests?");
    let more = (0..LANGUAGES.len()).map(|language| [&[(KINDS.len() + language) as u8], &b"a = [1]\n"[..]].concat());
    seeds.extend(more);
    seeds
}

/// A name that the program takes for a file of its own.
fn file_name(program: &Program) -> &'static str {
    match program.name {
        "django" => "settings.py",
        "laravel" | "symfony" | "env" => ".env",
        "wordpress" => "wp-config.php",
        "drupal" => "settings.php",
        "nextcloud" => "config.php",
        "rails" => "production.rb",
        "sendmail" => "sendmail.mc",
        _ => "conf",
    }
}

fn check(input: &[u8]) -> u64 {
    let [choice, text @ ..] = input else { return 0 };
    let choice = usize::from(*choice);
    // Some are not read as they are: a piece of them is written over and over, and work is measured.
    let is_repeated = choice >= 128 && hash(text).is_multiple_of(4);
    let choice = choice % 128 % (KINDS.len() + LANGUAGES.len());
    let Ok(text) = std::str::from_utf8(text) else { return 1 };
    let number = hash(text.as_bytes()) as usize >> 8;
    let (begin, unit) = match number % 2 {
        0 => piece(text),
        _ => (if number & 2 == 0 { "" } else { "<?php " }, UNITS[(number >> 2) % UNITS.len()]),
    };
    match choice.checked_sub(KINDS.len()) {
        Some(language) if is_repeated => {
            assert_linear(begin, unit, |text| _ = LANGUAGES[language](text));
            2
        }
        Some(language) => match LANGUAGES[language](text) {
            Ok(count) => hash(&[3, language as u8, count.min(15) as u8]),
            Err((line, why)) => {
                assert!(line <= text.lines().count() + 1, "line {line} of {}", text.lines().count());
                assert_printable(why, 200);
                hash(&[&[4, language as u8], why.as_bytes()].concat())
            }
        },
        None => program(&KINDS[choice], text),
    }
}

/// A short piece of `text` and what stands before it.
fn piece(text: &str) -> (&str, &str) {
    let number = hash(text.as_bytes()) as usize;
    let at = (0..=number % (text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (begin, rest) = text.split_at(at);
    let length = (1..=1 + (number >> 32) % 24).rev().find(|length| rest.is_char_boundary(*length));
    (begin, &rest[..length.unwrap_or(rest.len())])
}

/// The path that the file took.
fn program(program: &Program, text: &str) -> u64 {
    static PLACE: OnceLock<(TempDir, Root)> = OnceLock::new();
    let (directory, root) = PLACE.get_or_init(|| {
        let directory = TempDir::new().expect("a temporary directory");
        let root = Root::at(Some(directory.path())).expect("a directory");
        (directory, root)
    });
    let name = file_name(program);
    fs::write(directory.path().join(name), text).expect("a temporary file");
    let person = MailUser { name: "web".to_owned(), uid: 1042, gid: 1042, home: "/home/web".into() };
    let files = [PathBuf::from(format!("/{name}"))];
    let asked = Inquiry { root, files: &files, person: &person, account: None, all: true, take: None, given: &[] };
    match program.read(&asked) {
        Ok(draft) => {
            let shape = Shape { secrets: Storing::Files("/etc/mailchute/"), site: None, head: "" };
            let written = draft.toml(&shape);
            if let Err(error) = toml::from_str::<toml::Table>(&written) {
                panic!("{error}: {}", &**written);
            }
            // What only a secret holds is neither shown nor said.
            let notes = draft.ledger.items().iter().flat_map(|item| item.notes().map(|(_, note)| note.to_owned()));
            let said: Vec<String> = notes.chain([written.to_string()]).collect();
            let is_sure = |secret: &str| secret.len() >= 12 && text.matches(secret).count() == 1;
            for (_, secret) in draft.secrets().into_iter().filter(|(_, secret)| is_sure(secret)) {
                assert!(!said.iter().any(|said| said.contains(secret.as_str())), "{:?} is told", **secret);
            }
            let marks = draft.ledger.items().iter().take(16).map(|item| item.mark() as u8).collect::<Vec<_>>();
            hash(&[program.name.as_bytes(), &marks, &[draft.relays().len().min(5) as u8]].concat())
        }
        Err(failure) => {
            assert_printable(&failure.to_string(), 4096);
            hash(&[program.name.as_bytes(), failure.why.as_bytes()].concat())
        }
    }
}
