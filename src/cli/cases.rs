//! Runs the command lines of `tests/cli/*.case`; each block is one.
//!
//! | Key | Meaning |
//! |---|---|
//! | `argv:` | the words, `argv[0]` first; quotes hold one together, `\r \n \t \xHH` are what they stand for |
//! | `exit:` | the exit status of a refusal |
//! | `says:`, `hint:` | the line of the refusal, and its hint, which may be left out |
//!
//! Where nothing is refused every other key is a field of the invocation that is not at its default, and all of them have
//! to be there: `mode:`, `recipient:`, `from-header: yes`; `of.` begins those of the command line that is explained.

use std::ffi::OsString;
use std::path::Path;

use testkit::{Case, escaped, words};

use super::alert::AlertTask;
use super::commands::Tool;
use super::dialect::{Mode, Sendmail};
use super::invocation::{Errand, Invocation};
use super::parse::parse;
use super::queue::{Chosen, Task};
use super::secret::SecretTask;
use crate::envelope::ReversePath;
use crate::exit::{self, Scheme};
use crate::failure::Failure;

#[test]
fn command_lines_are_read_as_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in Case::all(&folder) {
        for (name, case) in file.each() {
            count += 1;
            if let Err(difference) = run(&case) {
                wrong.push(format!("{}: {name}: {difference}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

fn run(case: &Case) -> Result<(), String> {
    let argv = String::from_utf8(escaped(case.value("argv").expect("argv:"))).expect("UTF-8");
    let result = parse(words(&argv).iter().map(OsString::from));
    match (case.value("exit"), result) {
        (None, Ok(invocation)) => {
            let mut wanted: Fields =
                case.fields().filter(|field| field.0 != "argv").map(|(key, text)| (key.into(), text.into())).collect();
            let mut got = summary(&invocation);
            for fields in [&mut wanted, &mut got] {
                // Those of one name keep their order.
                fields.sort_by(|one, other| one.0.cmp(&other.0));
            }
            match got == wanted {
                true => Ok(()),
                false => Err(format!("gives\n  {got:?}\ninstead of\n  {wanted:?}")),
            }
        }
        (None, Err(failure)) => Err(format!("is refused: {failure}")),
        (Some(_), Ok(Invocation { errand: Errand::Misuse(failure), .. })) | (Some(_), Err(failure)) => {
            refused(case, &failure)
        }
        (Some(_), Ok(invocation)) => Err(format!("is not refused: {invocation:?}")),
    }
}

fn refused(case: &Case, failure: &Failure) -> Result<(), String> {
    case.knows(&["argv", "exit", "says", "hint"], &[]);
    let status = exit::of_kind(&failure.kind, Scheme::Reply).to_string();
    let hint_is_right = case.value("hint").is_none_or(|hint| Some(hint) == failure.hint.as_deref());
    match Some(status.as_str()) == case.value("exit")
        && Some(failure.to_string().as_str()) == case.value("says")
        && hint_is_right
    {
        true => Ok(()),
        false => Err(format!("ends with {status}: {failure}, hint {:?}", failure.hint)),
    }
}

/// Fields of an invocation: names and values, several where one is a list.
type Fields = Vec<(String, String)>;

/// The fields that are not at their default.
fn summary(invocation: &Invocation) -> Fields {
    let mut fields = match &invocation.errand {
        Errand::Sendmail(said) => dialect_summary(said),
        Errand::Tool(tool) => tool_summary(tool),
        _ => Fields::new(),
    };
    let mut text = |key: &str, value: Option<String>| fields.extend(value.map(|value| (key.to_owned(), value)));
    text("mode", errand(&invocation.errand).map(str::to_owned));
    text("site", invocation.choice.site.clone());
    text("config", invocation.choice.config.as_ref().map(|path| path.display().to_string()));
    text("relay", invocation.choice.relay.clone());
    fields
}

fn dialect_summary(said: &Sendmail) -> Fields {
    let mut fields = Fields::new();
    let mut text = |key: &str, value: Option<String>| fields.extend(value.map(|value| (key.to_owned(), value)));
    let wishes = &said.wishes;
    text("mode", mode(said.mode).map(str::to_owned));
    text(
        "reverse-path",
        wishes.reverse_path.as_ref().map(|path| match path {
            ReversePath::Null => "<>".to_owned(),
            ReversePath::Typed(text) => text.clone(),
        }),
    );
    text("full-name", wishes.full_name.clone());
    text("notify", wishes.dsn.notify.clone());
    text("ret", wishes.dsn.ret.clone());
    text("envid", wishes.dsn.envid.clone());
    text("tag", said.tag.clone());
    for (key, flag) in
        [("from-header", wishes.from_header), ("ignore-dots", said.ignore_dots), ("verbose", said.verbose)]
    {
        text(key, flag.then(yes));
    }
    for (key, list) in [("recipient", &wishes.recipients), ("ignored", &said.ignored)] {
        list.iter().for_each(|value| text(key, Some(value.clone())));
    }
    fields
}

fn yes() -> String {
    "yes".to_owned()
}

fn errand(errand: &Errand) -> Option<&'static str> {
    Some(match errand {
        Errand::Sendmail(_) => return None,
        Errand::Help(_) => "help",
        Errand::Version => "version",
        Errand::Misuse(_) => "misuse",
        Errand::Tool(Tool::Ban(_)) => "ban",
        Errand::Tool(Tool::Bans(_)) => "bans",
        Errand::Tool(Tool::Check(_)) => "check",
        Errand::Tool(Tool::Unban(_)) => "unban",
        Errand::Tool(Tool::Alert(_)) => "alert",
        Errand::Tool(Tool::Explain(_)) => "explain",
        Errand::Tool(Tool::Import(_)) => "import",
        Errand::Tool(Tool::Init(_)) => "init",
        Errand::Tool(Tool::Lint) => "lint",
        Errand::Tool(Tool::Login(_)) => "login",
        Errand::Tool(Tool::Log(_)) => "log",
        Errand::Tool(Tool::Show(_)) => "show",
        Errand::Tool(Tool::Providers(_)) => "providers",
        Errand::Tool(Tool::Queue(_)) => "queue",
        Errand::Tool(Tool::Report(_)) => "report",
        Errand::Tool(Tool::Resend(_)) => "resend",
        Errand::Tool(Tool::Secret(_)) => "secret",
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

fn tool_summary(tool: &Tool) -> Fields {
    let mut fields = Fields::new();
    let mut text = |key: &str, value: Option<String>| fields.extend(value.map(|value| (key.to_owned(), value)));
    let speaker = match tool {
        Tool::Explain(explain) => Some(&explain.speaker),
        Tool::Test(test) => Some(&test.speaker),
        _ => None,
    };
    text("as", speaker.and_then(|speaker| speaker.user.clone()));
    text("cwd", speaker.and_then(|speaker| speaker.cwd.as_ref().map(|cwd| cwd.display().to_string())));
    match tool {
        Tool::Explain(explain) => {
            fields.extend(dialect_summary(&explain.of).into_iter().map(|(key, value)| (format!("of.{key}"), value)));
        }
        Tool::Alert(task) => {
            text("as", task.user().cloned());
            text(
                "task",
                Some(match task {
                    AlertTask::List(_) => "list".to_owned(),
                    AlertTask::Test(of) => format!("test {}", of.name),
                }),
            );
        }
        Tool::Test(test) => {
            text("from", test.from.clone());
            test.to.iter().for_each(|address| text("to", Some(address.clone())));
        }
        Tool::Login(login) => {
            text("name", login.name.clone());
            text("as", login.user.clone());
            text("flow", login.flow().map(|flow| format!("{flow:?}").to_lowercase()));
            text("status", login.status.then(yes));
        }
        Tool::Import(import) => {
            text("name", import.kind.clone());
            text("as", import.user.clone());
            import.files.iter().for_each(|file| text("file", Some(file.display().to_string())));
            import.alias.iter().for_each(|(name, address)| text("alias", Some(format!("{name}={address}"))));
        }
        Tool::Ban(ban) => {
            text("name", ban.whom.site.clone());
            text("user", ban.whom.user.clone());
            text("for", ban.span.map(|span| format!("{} s", span.as_secs())));
            text("because", ban.because.clone());
        }
        Tool::Bans(bans) => {
            text("name", bans.name.clone());
            text("json", bans.json.then(yes));
        }
        Tool::Unban(unban) => {
            text("name", unban.whom.site.clone());
            text("user", unban.whom.user.clone());
        }
        Tool::Log(log) => {
            log.words.iter().for_each(|word| text("word", Some(word.clone())));
            let values = [("since", &log.since), ("by", &log.by)];
            values.into_iter().for_each(|(name, value)| text(name, value.clone()));
            let flags = [("follow", log.follow), ("json", log.json), ("csv", log.csv), ("summary", log.summary)];
            flags.into_iter().for_each(|(name, is_given)| text(name, is_given.then(yes)));
            text("lines", log.lines.map(|lines| lines.to_string()));
        }
        Tool::Check(check) => {
            check.sites.iter().for_each(|site| text("site", Some(site.clone())));
            text("as", check.user.clone());
            check.ignored.iter().for_each(|code| text("ignore", Some(code.word.to_owned())));
            text("offline", check.offline.then(yes));
            text("json", check.json.then(yes));
            text("quiet", check.quiet.then(yes));
            text("verbose", check.verbose.then(yes));
            text("root", check.root.as_ref().map(|root| root.display().to_string()));
        }
        Tool::Show(show) => {
            text("id", Some(show.id.clone()));
            text("json", show.json.then(yes));
        }
        Tool::Providers(providers) => text("id", providers.id.clone()),
        Tool::Queue(task) => {
            text("as", task.user().cloned());
            text("task", Some(task_summary(task)));
        }
        Tool::Report(report) => {
            text("since", Some(report.since.clone()));
            text("until", report.until.clone());
            report.to.iter().for_each(|address| text("to", Some(address.clone())));
            text("output", report.output.as_ref().map(|file| file.display().to_string()));
        }
        Tool::Resend(resend) => {
            resend.ids.iter().for_each(|id| text("id", Some(id.clone())));
            resend.to.iter().for_each(|address| text("to", Some(address.clone())));
            text("as", resend.user.clone());
            text("again", resend.again.then(yes));
        }
        Tool::Secret(SecretTask::Put(put)) => {
            text("name", Some(put.name.clone()));
            text("group", put.group.clone());
            text("for-site", put.site.clone());
            text("replace", put.replace.then(yes));
            text("anyway", put.anyway.then(yes));
        }
        Tool::Secret(SecretTask::Check(check)) => text("name", check.name.clone()),
        Tool::Status(status) => text("number", Some(status.number.clone())),
        Tool::Init(_) | Tool::Lint => {}
    }
    fields
}

/// A task, and what it is for, in one line.
fn task_summary(task: &Task) -> String {
    let chosen = |name: &str, of: &Chosen| {
        let site = of.site.iter().map(|site| format!("site={site}"));
        [name.to_owned()].into_iter().chain(of.ids.iter().cloned()).chain(site).collect::<Vec<_>>().join(" ")
    };
    let flags = |name: &str, flags: &[(bool, &str)]| {
        let given = flags.iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| *flag);
        [name].into_iter().chain(given).collect::<Vec<_>>().join(" ")
    };
    match task {
        Task::List(of) => {
            let names = [("site", &of.site), ("relay", &of.relay)];
            let names: String =
                names.iter().filter_map(|(name, value)| Some(format!(" {name}={}", value.as_ref()?))).collect();
            flags("list", &[(of.json, "json"), (of.summary, "summary")]) + &names
        }
        Task::Show(of) => flags(&format!("show {}", of.id), &[(of.message, "message")]),
        Task::Hold(of) => chosen("hold", of),
        Task::Release(of) => chosen("release", of),
        Task::Drop(of) => chosen("drop", of),
        Task::Flush(of) => {
            let site = of.site.as_ref().map(|site| format!("--site {site}"));
            let words: Vec<String> =
                ["flush".to_owned()].into_iter().chain(site).chain(of.ids.iter().cloned()).collect();
            flags(&words.join(" "), &[(of.all, "all"), (of.quiet, "quiet"), (of.wait, "wait"), (of.part, "part")])
        }
        Task::Resolve(of) => flags(&format!("resolve {}", of.id), &[(of.arrived, "arrived"), (of.again, "again")]),
    }
}
