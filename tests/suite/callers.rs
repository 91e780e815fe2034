//! Real callers, `tests/callers/*.case`: programs that run sendmail, untouched, against a server that
//! accepts and one that refuses in each of four ways. What arrives is compared line by line, and so is
//! what the program concluded.
//!
//! | Key | Meaning |
//! |---|---|
//! | `needs:` | a program, the path of a file, or an extension of PHP (`php:mbstring`) that has to be installed |
//! | `namespace:` | `yes`: it is run in a mount namespace, which takes root |
//! | `top:` | a line of the configuration's top level |
//! | `accepted:` | what the program concludes when the relay took the message |
//! | `refused:` | what it concludes in the four other moods |
//! | `550:`, `451:`, `554:`, `535:` | the same for one mood, instead of `refused` |
//! | `from:`, `to:`, block `output` | as in `tests/messages` |
//! | block `file NAME` | a file beside the script |
//! | block `run` | the script of `/bin/sh` that calls the program |
//!
//! The conclusion is the last line that the script prints, or `exit N` where it prints nothing. The
//! script is run in a scratch directory with `bin/sendmail`, a link to the binary, first in `PATH`;
//! `MAILCHUTE` and `MAILCHUTE_CONFIG` name binary and configuration. What else is installed and how it is set up
//! must not matter: `HOME` is the directory, PHP reads no other `php.ini` than the one there, which loads the extensions that
//! the case needs, git no configuration of the system's, and programs are those of the system's own directories. What a
//! program reads from anywhere else its case switches off.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::panic::{catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use testkit::{
    Case, Host, Moment, Port, Scratch, Server, TlsStart, apart, matches, missing, need_in, need_mount_namespace,
};

use crate::messages::check_arrival;
use crate::setup::{data, every, mailchute};

/// The configuration's password is another one in the mood that refuses the login.
const PASSWORD: &str = "a secret of the shop";

/// Where programs are looked for; what somebody has put into `/usr/local` is none of ours.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest that one caller may take, in seconds.
const LIMIT: &str = "240";

/// One way of the relay to answer.
struct Mood {
    /// The column of the table.
    title: &'static str,
    /// The key of a case that says what is concluded; its first three digits are the reply code.
    key: &'static str,
    refusal: Option<(Moment, &'static str)>,
    /// The exit status of the binary, as its record has it.
    status: u64,
}

const MOODS: [Mood; 5] = [
    Mood { title: "accepted", key: "accepted", refusal: None, status: 0 },
    Mood { title: "550 at RCPT", key: "550", refusal: Some((Moment::Rcpt, "550 5.1.1 no such user")), status: 150 },
    Mood { title: "451 at RCPT", key: "451", refusal: Some((Moment::Rcpt, "451 4.7.1 greylisted")), status: 51 },
    Mood {
        title: "554 after data",
        key: "554",
        refusal: Some((Moment::Message, "554 5.7.1 looks like spam")),
        status: 154,
    },
    Mood { title: "wrong password", key: "535", refusal: None, status: 135 },
];

/// What each caller concluded in each mood, or why it was not run.
type Table = BTreeMap<String, [String; MOODS.len()]>;

#[test]
fn every_caller_hears_the_truth_in_every_mood() {
    let cases = Case::all(&data("callers"));
    let mut runs = Vec::new();
    let mut table = Table::new();
    for case in &cases {
        case.knows(
            &["needs", "namespace", "top", "accepted", "refused", "550", "451", "554", "535", "from", "to"],
            &["run", "file", "output"],
        );
        let found = case.values("needs").all(is_installed);
        let is_run = found && (case.value("namespace") != Some("yes") || need_mount_namespace());
        let word = if is_run { "FAILED" } else { "skipped" };
        table.insert(case.name(), MOODS.map(|_| word.to_owned()));
        if is_run {
            runs.extend((0..MOODS.len()).map(|mood| (case, mood)));
        }
    }
    let table = Mutex::new(table);
    let result = catch_unwind(|| {
        every(
            &runs,
            |(case, mood)| format!("tests/callers/{}.case, {}", case.name(), MOODS[*mood].title),
            |(case, mood)| {
                let concluded = check(case, &MOODS[*mood]);
                table.lock().unwrap().get_mut(&case.name()).unwrap()[*mood] = concluded;
            },
        );
    });
    show(&table.into_inner().unwrap());
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

/// Callers that send while the relay is away, and how often each does.
const PATIENT: [(&str, usize); 4] = [("wordpress", 20), ("php-cli", 3), ("symfony-bs", 3), ("cron", 1)];

#[test]
fn what_callers_send_while_the_relay_is_away_arrives_once() {
    for case in Case::all(&data("callers")) {
        let Some((_, count)) = PATIENT.iter().find(|(name, _)| *name == case.name()) else { continue };
        if !case.values("needs").all(is_installed) {
            continue;
        }
        let php = std::fs::canonicalize("/usr/bin/php");
        Host::run(&[("crontab", 61_060)], |host| {
            // Debian's php is a link to one in /etc.
            std::fs::create_dir("/etc/alternatives").unwrap();
            if let Ok(php) = &php {
                symlink(php, "/etc/alternatives/php").unwrap();
            }
            // What Debian's cron finds on every host.
            std::fs::create_dir("/var/spool/cron").unwrap();
            host.write("/etc/crontab", "", 0o644);
            let pam = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_unix.so\n";
            host.write("/etc/pam.d/cron", pam, 0o644);
            std::fs::create_dir_all("/var/spool/mailchute").unwrap();
            host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
            host.write("/run/crond.pid", "1\n", 0o644);
            let top: String = case.values("top").map(|line| format!("{line}\n")).collect();
            let at = |port: u16| {
                format!(
                    "{top}on_relay_failure = \"spool\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n"
                )
            };
            let nobody = Port::reserve();
            for _ in 0..*count {
                let scratch = Scratch::new();
                let (concluded, said) = call(&case, &scratch, &at(nobody.number()));
                let expected = case.value("accepted").expect("what is concluded");
                assert!(matches(expected, &concluded), "{}: `{concluded}`\n{said}", case.name());
            }
            let queue: Vec<_> =
                std::fs::read_dir("/var/spool/mailchute/0/queue").unwrap().map(Result::unwrap).collect();
            assert_eq!(queue.len(), *count, "{}: what waits", case.name());
            for entry in queue {
                let due = std::fs::File::options().write(true).open(entry.path()).unwrap();
                due.set_modified(std::time::SystemTime::now()).unwrap();
            }
            let server = Server::new().start();
            let config = host.scratch().write("later.toml", at(server.port()), 0o644);
            for _ in 0..2 {
                mailchute().config(&config).args(["queue", "flush"]).run().expect_status(0);
            }
            let deliveries: Vec<_> = server.finish().into_iter().flat_map(|session| session.deliveries).collect();
            assert_eq!(deliveries.len(), *count, "{}: what arrived", case.name());
            check_arrival(&case, &deliveries[0]);
        });
    }
}

/// Whether `tool` is there; Debian puts versions into some names, which `*` stands for.
fn is_installed(tool: &str) -> bool {
    if let Some(extension) = tool.strip_prefix("php:") {
        let Some(php) = need_in("php", PATH) else { return false };
        let script = format!("exit(extension_loaded('{extension}') ? 0 : 1);");
        let status = apart(php).args(["-n", "-d", &format!("extension={extension}"), "-r", &script]).output();
        let is_loaded = status.is_ok_and(|output| output.status.success());
        if !is_loaded {
            missing(&format!("PHP has no {extension}"));
        }
        return is_loaded;
    }
    let Some((folder, name)) = tool.strip_suffix('*').and_then(|start| start.rsplit_once('/')) else {
        return need_in(tool, PATH).is_some();
    };
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with(name)) || need_in(tool, PATH).is_some()
}

/// Runs one caller in one mood and returns what it concluded.
fn check(case: &Case, mood: &Mood) -> String {
    let mut server = Server::new().tls(TlsStart::Implicit).login("shop", PASSWORD, &["PLAIN"]);
    if let Some((moment, reply)) = &mood.refusal {
        server = server.reply(moment.clone(), reply);
    }
    let server = server.start();
    let scratch = Scratch::new();
    let (concluded, said) = call(case, &scratch, &configuration(case, mood, &server, &scratch));

    let record = scratch.read("log");
    let exits: Vec<u64> = record
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["exit"].as_u64())
        .collect();
    assert_eq!(exits, [mood.status], "the records' exit status\n{record}\n{said}");
    let expected = case.value(mood.key).or_else(|| case.value("refused")).expect("what is concluded");
    assert!(matches(expected, &concluded), "expected `{expected}`, concluded `{concluded}`\n{said}");
    let deliveries: Vec<_> = server.finish().into_iter().flat_map(|session| session.deliveries).collect();
    match mood.status {
        0 => {
            assert_eq!(deliveries.len(), 1, "messages\n{said}");
            check_arrival(case, &deliveries[0]);
        }
        _ => assert!(deliveries.iter().all(|delivery| !delivery.accepted), "it was accepted\n{said}"),
    }
    concluded
}

/// The text of a configuration that reaches `server`.
fn configuration(case: &Case, mood: &Mood, server: &Server, scratch: &Scratch) -> String {
    let mut text = case.values("top").map(|line| format!("{line}\n")).collect::<String>();
    let relay = match mood.key {
        "535" => server.relay_lines(scratch).replace(PASSWORD, "another secret"),
        _ => server.relay_lines(scratch),
    };
    text += &format!("[relay.main]\n{relay}[log]\nto = [\"{}\"]\n", scratch.join("log").display());
    text
}

/// Runs the script of `case`: what it concluded, and everything it said.
fn call(case: &Case, scratch: &Scratch, configuration: &str) -> (String, String) {
    let binary = env!("CARGO_BIN_EXE_mailchute");
    for (name, text) in case.blocks() {
        if let Some(file) = name.strip_prefix("file ") {
            scratch.write(file, text, 0o755);
        }
    }
    let extensions = case.values("needs").filter_map(|tool| tool.strip_prefix("php:"));
    let ini: String = extensions.map(|extension| format!("extension={extension}\n")).collect();
    scratch.write("php.ini", ini, 0o644);
    let config = scratch.write("config.toml", configuration, 0o644);
    let script = scratch.write("bin/run", case.block("run").expect("a script"), 0o755);
    symlink(binary, scratch.join("bin/sendmail")).expect("a link");
    let output = Command::new("timeout")
        .args(["--kill-after=5", LIMIT, "/bin/sh", "-eu"])
        .arg(script)
        .env_clear()
        .env("PATH", format!("{}:{PATH}", scratch.join("bin").display()))
        .env("HOME", scratch.path())
        .env("LC_ALL", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("PHPRC", scratch.path())
        .env("PHP_INI_SCAN_DIR", "")
        .env("MAILCHUTE", binary)
        .env("MAILCHUTE_CONFIG", config)
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell and coreutils");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let status = output.status.code().unwrap_or(-1);
    let concluded = match stdout.lines().last() {
        Some(line) => line.to_owned(),
        None => format!("exit {status}"),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    (concluded, format!("status {status}\nstderr:\n{stderr}stdout:\n{stdout}"))
}

/// Prints the table past the test harness's capture, in one write.
fn show(table: &Table) {
    let row = |name: &str, cells: [&str; MOODS.len()]| {
        let cells: String = cells.iter().map(|cell| format!(" | {cell:33.33}")).collect();
        format!("{name:18}{}\n", cells.trim_end())
    };
    let mut text = "\n".to_owned() + &row("caller", MOODS.map(|mood| mood.title));
    for (name, cells) in table {
        text += &row(name, cells.each_ref().map(String::as_str));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}
