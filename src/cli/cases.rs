//! Runs the command lines of `tests/cli/*.toml`.
//!
//! A case is an `argv` with either `gives`, the fields of the invocation that are not at their default,
//! or `status` and `says`, the exit status and the line (`hint`: the hint) of the refusal.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::commands::Tool;
use super::dialect::{Mode, Sendmail};
use super::invocation::{Errand, Invocation};
use super::parse::parse;
use crate::envelope::ReversePath;
use crate::exit::{self, Scheme};
use crate::failure::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    argv: Vec<String>,
    gives: Option<Table>,
    status: Option<u8>,
    says: Option<String>,
    hint: Option<String>,
}

#[test]
fn command_lines_are_read_as_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("tests/cli") {
        let path = entry.expect("an entry of tests/cli").path();
        let text = fs::read_to_string(&path).expect("a readable file");
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for case in file.case {
            count += 1;
            if let Err(difference) = run(&case) {
                wrong.push(format!("{}: {}: {difference}", path.display(), case.name));
            }
        }
    }
    assert!(count > 0, "no case in {}", folder.display());
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

fn run(case: &Case) -> Result<(), String> {
    let result = parse(case.argv.iter().map(OsString::from));
    match (&case.gives, result) {
        (Some(wanted), Ok(invocation)) => match summary(&invocation) {
            got if got == *wanted => Ok(()),
            got => Err(format!("gives\n  {got:?}\ninstead of\n  {wanted:?}")),
        },
        (Some(_), Err(failure)) => Err(format!("is refused: {failure}")),
        (None, Ok(Invocation { errand: Errand::Misuse(failure), .. })) | (None, Err(failure)) => {
            refused(case, &failure)
        }
        (None, Ok(invocation)) => Err(format!("is not refused: {invocation:?}")),
    }
}

fn refused(case: &Case, failure: &Failure) -> Result<(), String> {
    let status = exit::of_kind(&failure.kind, Scheme::Reply);
    let hint_is_right = case.hint.is_none() || case.hint == failure.hint;
    match Some(status) == case.status && Some(failure.to_string()) == case.says && hint_is_right {
        true => Ok(()),
        false => Err(format!("ends with {status}: {failure}, hint {:?}", failure.hint)),
    }
}

/// The fields that are not at their default.
fn summary(invocation: &Invocation) -> Table {
    let mut table = match &invocation.errand {
        Errand::Sendmail(said) => dialect_summary(said),
        Errand::Tool(tool) => tool_summary(tool),
        _ => Table::new(),
    };
    let mut text = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            table.insert(key.to_owned(), Value::String(value));
        }
    };
    text("mode", errand(&invocation.errand).map(str::to_owned));
    text("site", invocation.choice.site.clone());
    text("config", invocation.choice.config.as_ref().map(|path| path.display().to_string()));
    text("relay", invocation.choice.relay.clone());
    table
}

fn dialect_summary(said: &Sendmail) -> Table {
    let mut table = Table::new();
    let mut text = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            table.insert(key.to_owned(), Value::String(value));
        }
    };
    let wishes = &said.wishes;
    text("mode", mode(said.mode).map(str::to_owned));
    text(
        "reverse_path",
        wishes.reverse_path.as_ref().map(|path| match path {
            ReversePath::Null => "<>".to_owned(),
            ReversePath::Typed(text) => text.clone(),
        }),
    );
    text("full_name", wishes.full_name.clone());
    text("notify", wishes.dsn.notify.clone());
    text("ret", wishes.dsn.ret.clone());
    text("envid", wishes.dsn.envid.clone());
    text("tag", said.tag.clone());
    for (key, flag) in
        [("from_header", wishes.from_header), ("ignore_dots", said.ignore_dots), ("verbose", said.verbose)]
    {
        if flag {
            table.insert(key.to_owned(), Value::Boolean(true));
        }
    }
    for (key, list) in [("recipients", &wishes.recipients), ("ignored", &said.ignored)] {
        if !list.is_empty() {
            table.insert(key.to_owned(), Value::Array(list.iter().cloned().map(Value::String).collect()));
        }
    }
    table
}

fn errand(errand: &Errand) -> Option<&'static str> {
    Some(match errand {
        Errand::Sendmail(said) => return mode(said.mode),
        Errand::Help(_) => "help",
        Errand::Version => "version",
        Errand::Misuse(_) => "misuse",
        Errand::Tool(Tool::Explain(_)) => "explain",
        Errand::Tool(Tool::Init(_)) => "init",
        Errand::Tool(Tool::Lint) => "lint",
        Errand::Tool(Tool::Login(_)) => "login",
        Errand::Tool(Tool::Providers(_)) => "providers",
        Errand::Tool(Tool::Status(_)) => "status",
        Errand::Tool(Tool::Test(_)) => "test",
    })
}

fn mode(mode: Mode) -> Option<&'static str> {
    Some(match mode {
        Mode::Deliver => return None,
        Mode::Smtp => "smtp",
        Mode::Queue => "queue",
        Mode::Aliases => "aliases",
        Mode::RunQueue => "run-queue",
        Mode::Verify => "verify",
    })
}

fn tool_summary(tool: &Tool) -> Table {
    let mut table = Table::new();
    let mut text = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            table.insert(key.to_owned(), Value::String(value));
        }
    };
    let speaker = match tool {
        Tool::Explain(explain) => Some(&explain.speaker),
        Tool::Test(test) => Some(&test.speaker),
        Tool::Init(_) | Tool::Lint | Tool::Login(_) | Tool::Providers(_) | Tool::Status(_) => None,
    };
    text("as", speaker.and_then(|speaker| speaker.user.clone()));
    text("cwd", speaker.and_then(|speaker| speaker.cwd.as_ref().map(|cwd| cwd.display().to_string())));
    match tool {
        Tool::Explain(explain) => {
            table.insert("of".to_owned(), Value::Table(dialect_summary(&explain.of)));
        }
        Tool::Test(test) => {
            text("from", test.from.clone());
            table.insert("to".to_owned(), Value::Array(test.to.iter().cloned().map(Value::String).collect()));
        }
        Tool::Login(login) => {
            text("name", login.name.clone());
            text("as", login.user.clone());
            text("flow", login.flow().map(|flow| format!("{flow:?}").to_lowercase()));
            if login.status {
                table.insert("status".to_owned(), Value::Boolean(true));
            }
        }
        Tool::Providers(providers) => text("id", providers.id.clone()),
        Tool::Status(status) => text("number", Some(status.number.clone())),
        Tool::Init(_) | Tool::Lint => {}
    }
    table
}
