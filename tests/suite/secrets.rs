//! Where a password comes from, and what is said when it does not come.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Mailchute, PATIENCE, Run, Scratch, Server, need};

use crate::setup::{MESSAGE, mailchute};

const SECRET: &str = "p#\"a\\s's wörd";
const USER: u32 = 61042;

struct Bench {
    scratch: Scratch,
    server: Server,
}

impl Bench {
    fn new() -> Self {
        let server = Server::new().login("alice@example.org", SECRET, &["PLAIN"]).start();
        let bench = Self { scratch: Scratch::new(), server };
        let log = bench.scratch.write("log", "", 0o600);
        // The user's as well, where there can be one.
        if std::os::unix::fs::chown(log, None, Some(USER)).is_ok() {
            bench.scratch.write("log", "", 0o660);
        }
        bench
    }

    /// A call with `password` as TOML; `{scratch}` is filled in.
    fn call(&self, password: &str) -> Mailchute {
        let config = format!(
            "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"alice@example.org\"\n\
             password = {}\n[log]\nto = [\"{}\"]\n",
            self.server.port(),
            password.replace("{scratch}", &self.scratch.path().display().to_string()),
            self.scratch.join("log").display(),
        );
        let config = self.scratch.write("config.toml", config, 0o644);
        mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE)
    }

    /// Nothing was sent unless `accepted`, and the secret is nowhere to be read.
    fn check(self, accepted: usize, runs: &[Run]) {
        let sessions = self.server.finish();
        assert_eq!(sessions.iter().map(|session| session.deliveries.len()).sum::<usize>(), accepted);
        let log = self.scratch.read("log");
        assert_eq!(log.lines().count(), runs.len(), "{log}");
        for shown in runs.iter().map(|run| &run.stderr).chain([&log]) {
            assert!(!shown.contains("wörd") && !shown.contains("a\\\\s"), "{shown}");
        }
    }
}

/// Whatever a key is for, a character that no key has is named with it before anybody is asked.
#[test]
fn every_door_of_a_key_names_what_no_key_has() {
    let google = "provider = 'google'\nvia = 'api'\nclient_id = 'x'\ntoken_endpoint = 'http://127.0.0.1:1'\n";
    let doors = [
        ("api_key", "provider = 'sendgrid'\nvia = 'api'\n".to_owned()),
        ("api_key", "provider = 'sendgrid'\nvia = 'smtp'\n".to_owned()),
        ("token", "provider = 'postmark'\nvia = 'smtp'\n".to_owned()),
        ("token", "host = '127.0.0.1'\nusername = 'a@shop.example'\n".to_owned()),
        ("secret_access_key", "provider = 'ses'\nvia = 'smtp'\naccess_key_id = 'A'\n".to_owned()),
        ("client_secret", format!("{google}refresh_token = 'r'\n")),
        ("refresh_token", format!("{google}client_secret = 'c'\n")),
    ];
    let values = [
        ("k\u{200b}ey", "holds U+200B (a space without width), which no key has"),
        ("key\u{a0}", "holds U+00A0 (a no-break space), which no key has"),
        ("\u{feff}key", "holds U+FEFF (a byte order mark), which no key has"),
        ("k\ney", "holds U+000A (a line end), which no key has"),
        ("\"key\"", "is in quotes, which are taken as part of it"),
        ("'key'", "is in quotes, which are taken as part of it"),
    ];
    for (key, relay) in doors {
        for (number, (value, why)) in values.iter().enumerate() {
            let scratch = Scratch::new();
            let config = format!("[relay.main]\n{relay}{key} = {{ env = 'A_KEY' }}\n");
            let config = scratch.write("config.toml", config, 0o600);
            let line = format!("mailchute: environment variable A_KEY: {why}*");
            let call = || mailchute().config(&config).env("A_KEY", *value);
            let run = call().args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
            run.expect_status(78);
            run.expect_stderr(&line);
            if number == 0 {
                let run = call().args(["explain", "bob@example.net"]).stdin(MESSAGE).run();
                run.expect_status(78);
                run.expect_stderr(&line);
                let run = call().args(["check", "--offline"]).run();
                let said = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(said.contains(why), "{key}: {}", run.report());
            }
        }
    }
}

#[test]
fn every_place_a_password_can_be_in() {
    let bench = Bench::new();
    bench.scratch.write("secrets/relay", format!("{SECRET}\n"), 0o600);
    bench.scratch.write("credentials/relay", SECRET, 0o400);
    let runs = [
        bench.call("{ file = \"{scratch}/secrets/relay\" }").run(),
        // Relative to the file that says so, not to the working directory.
        bench.call("{ file = \"secrets/relay\" }").run(),
        bench.call("{ env = \"RELAY_PASSWORD\" }").env("RELAY_PASSWORD", SECRET).run(),
        bench.call("{ credential = \"relay\" }").env("CREDENTIALS_DIRECTORY", bench.scratch.join("credentials")).run(),
        bench.call("{ command = [\"cat\", \"{scratch}/secrets/relay\"] }").run(),
        bench.call("{ command = [\"sh\", \"-c\", \"cat {scratch}/secrets/relay; echo user: alice\"] }").run(),
    ];
    for run in &runs {
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "{}", run.report());
    }
    bench.check(runs.len(), &runs);
}

#[test]
fn a_password_that_is_not_there_is_named_with_the_next_step() {
    let bench = Bench::new();
    bench.scratch.write("empty", "\n", 0o600);
    bench.scratch.write("world-writable", SECRET, 0o602);
    fs::create_dir(bench.scratch.join("directory")).unwrap();
    assert!(Command::new("mkfifo").arg(bench.scratch.join("fifo")).status().unwrap().success());
    let here = bench.scratch.path().display().to_string();
    let cases = [
        ("{ file = \"missing\" }", 78, "{here}/missing: no such file", "install -m 0640"),
        ("{ file = \"empty\" }", 78, "file {here}/empty *: is empty", "put the password, token or key there"),
        ("{ file = \"world-writable\" }", 77, "{here}/world-writable: is world-writable *", "sudo chmod o="),
        ("{ file = \"directory\" }", 78, "{here}/directory: is not a regular file but a directory", "Docker makes"),
        ("{ file = \"fifo\" }", 78, "{here}/fifo: is not a regular file", ""),
        ("{ file = \"/dev/zero\" }", 78, "/dev/zero: is not a regular file", ""),
        (
            "{ env = \"NO_SUCH\" }",
            78,
            "NO_SUCH: the environment variable is not set",
            "where the calling program is started",
        ),
        ("{ env = \"EMPTY\" }", 78, "*EMPTY: *", ""),
        (
            "{ credential = \"relay\" }",
            78,
            "systemd credential relay: CREDENTIALS_DIRECTORY is not set",
            "LoadCredential",
        ),
        ("{ command = [\"/nonexistent/pass\"] }", 78, "command /nonexistent/pass: cannot be run: *", ""),
        ("{ command = [\"true\"] }", 78, "command true: is empty", "run the command as this user"),
        (
            "{ command = [\"sh\", \"-c\", \"echo the store is locked >&2; exit 2\"] }",
            78,
            "command sh: failed (exit status: 2): the store is locked",
            "",
        ),
    ];
    let runs: Vec<_> = cases.iter().map(|case| bench.call(case.0).env("EMPTY", "").run()).collect();
    for ((password, status, line, hint), run) in cases.iter().zip(&runs) {
        assert_eq!(run.status, *status, "{password}\n{}", run.report());
        run.expect_stderr(&format!("mailchute: {} (relay main, site default)", line.replace("{here}", &here)));
        run.expect_at_once();
        let hints: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("hint: ")).collect();
        assert!(hints.len() <= 1 && (hint.is_empty() || hints[0].contains(hint)), "{password}\n{}", run.report());
    }
    bench.check(0, &runs);
}

#[test]
fn the_hint_for_a_secret_that_cannot_be_read_works() {
    if !testkit::need_root() {
        return;
    }
    let bench = Bench::new();
    bench.scratch.write("secrets/relay", SECRET, 0o600);
    Command::new("chmod").arg("0700").arg(bench.scratch.join("secrets")).status().unwrap();
    let mut runs = Vec::new();
    // The directory first, then the file.
    for _ in 0..2 {
        let run = bench.call("{ file = \"secrets/relay\" }").uid(USER).run();
        run.expect_status(77);
        run.expect_stderr("mailchute: */secrets/relay: permission denied (relay main, site default)");
        run.take_hint();
        runs.push(run);
    }
    let run = bench.call("{ file = \"secrets/relay\" }").uid(USER).run();
    run.expect_status(0);
    runs.push(run);
    bench.check(1, &runs);
}

#[test]
fn a_command_that_hangs_costs_its_share_of_the_deadline() {
    let bench = Bench::new();
    let pid = bench.scratch.join("pid").display().to_string();
    let backup = Server::new().start();
    let hanging = format!(
        "username = \"a\"\npassword = {{ command = [\"sh\", \"-c\", \"echo $$ > {pid}; sleep 120; echo {SAFE}\"] }}\n"
    );
    let relay =
        |name: &str, port: u16, more: &str| format!("[relay.{name}]\nhost = \"127.0.0.1\"\nport = {port}\n{more}");
    for (more, status) in [(relay("backup", backup.port(), ""), 0), (String::new(), 69)] {
        let config = format!("deadline = \"4s\"\n{}{more}", relay("main", bench.server.port(), &hanging));
        let config = bench.scratch.write("config.toml", config, 0o644);
        let run = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(status);
        assert!(run.took < Duration::from_secs(9), "{}", run.report());
        assert!(!run.stderr.contains(SAFE), "its arguments may hold anything\n{}", run.report());
        // It is dead, with what it started: told to go at once, though the kernel may take a moment over it.
        let stat = format!("/proc/{}/stat", bench.scratch.read("pid").trim());
        let is_dead = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let limit = Instant::now() + PATIENCE;
        while !is_dead() {
            assert!(Instant::now() < limit, "{}", fs::read_to_string(&stat).unwrap_or_default());
            std::thread::yield_now();
        }
    }
    assert_eq!(backup.finish()[0].deliveries.len(), 1);
    assert!(bench.server.finish().is_empty());
}

const SAFE: &str = "hunter22";

#[test]
fn a_command_is_run_for_a_caller_that_ignores_its_children() {
    if need("perl").is_none() {
        return;
    }
    let bench = Bench::new();
    bench.scratch.write("secrets/relay", format!("{SECRET}\n"), 0o600);
    let cases = [
        ("[\"cat\", \"{scratch}/secrets/relay\"]", 0, ""),
        // What it leaves behind holds both pipes.
        ("[\"sh\", \"-c\", \"cat {scratch}/secrets/relay; sleep 600 &\"]", 0, ""),
        ("[\"sh\", \"-c\", \"echo locked >&2; exit 2\"]", 78, "command sh: printed no secret: locked"),
        ("[\"/nonexistent/pass\"]", 78, "command /nonexistent/pass: cannot be run: no such program"),
    ];
    let mut runs = Vec::new();
    for (words, status, line) in cases {
        let call = bench.call(&format!("{{ command = {words} }}"));
        // A shell's `trap '' CHLD` ignores nothing: it has children of its own.
        let run = call.under("perl", &["-e", "$SIG{CHLD} = 'IGNORE'; exec @ARGV"]).run();
        assert_eq!(run.status, status, "{words}\n{}", run.report());
        if status != 0 {
            run.expect_stderr(&format!("mailchute: {line} (relay main, site default)"));
        }
        run.expect_at_once();
        runs.push(run);
    }
    bench.check(2, &runs);
}

#[test]
fn a_signal_ends_the_command_as_well() {
    let bench = Bench::new();
    let pid = bench.scratch.join("pid");
    let script = format!("echo $$ >{0}.new; mv {0}.new {0}; exec sleep 600", pid.display());
    let running = bench.call(&format!("{{ command = [\"sh\", \"-c\", \"{script}\"] }}")).spawn();
    let begun = Instant::now();
    while !pid.exists() {
        assert!(begun.elapsed() < PATIENCE, "the command does not start");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").arg(running.id().to_string()).status().unwrap().success());
    let run = running.finish();
    run.expect_status(71);
    let stat = format!("/proc/{}/stat", bench.scratch.read("pid").trim());
    // Gone, or a zombie that its new parent has not looked at.
    let lives = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    while lives() {
        assert!(begun.elapsed() < PATIENCE, "the command lives on");
        std::thread::yield_now();
    }
    bench.check(0, &[run]);
}

#[test]
fn no_core_file_holds_a_secret() {
    if !testkit::need_root() {
        return;
    }
    let bench = Bench::new();
    bench.scratch.write("secrets/relay", SECRET, 0o644);
    let script =
        "awk '/^PPid:/{print $2}' /proc/self/status >{scratch}/parent.new; mv {scratch}/parent.new {scratch}/parent; \
                  exec sleep 600"
            .replace("{scratch}", &bench.scratch.path().display().to_string());
    fs::set_permissions(bench.scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let running = bench.call(&format!("{{ command = [\"sh\", \"-c\", \"{script}\"] }}")).uid(USER).spawn();
    let begun = Instant::now();
    while !bench.scratch.join("parent").exists() {
        assert!(begun.elapsed() < PATIENCE, "the command does not start");
        std::thread::yield_now();
    }
    // What leaves no core belongs to root in procfs, whoever runs it; what it started is as it would be.
    let owner = |pid: u32| std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{pid}/environ")).unwrap());
    assert_eq!(owner(running.id()), 0);
    assert!(Command::new("kill").arg(running.id().to_string()).status().unwrap().success());
    let run = running.finish();
    bench.check(0, &[run]);
}

#[test]
fn a_file_of_another_group_is_not_taken_from_it() {
    if !testkit::need_root() {
        return;
    }
    let bench = Bench::new();
    let refused = |name: &str, hint: &str| {
        let secret = bench.scratch.write(name, SECRET, 0o640);
        std::os::unix::fs::chown(&secret, Some(0), Some(USER + 1)).unwrap();
        let run = bench.call(&format!("{{ file = \"{name}\" }}")).uid(USER).run();
        run.expect_status(77);
        let said = run.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default();
        assert!(said.starts_with(hint) && !said.contains("chgrp relay"), "{said}");
        run
    };
    let ours = refused("secrets/relay", &format!("it is for the group {}: give this user a file of its own", USER + 1));
    // Who named it may have meant somebody else's file.
    let elsewhere = refused("relay", "if this user is to read it: as root, put it where only root writes");
    bench.check(0, &[ours, elsewhere]);
}

#[test]
fn a_missing_file_is_not_to_be_made_for_root_alone() {
    if !testkit::need_root() {
        return;
    }
    let bench = Bench::new();
    let run = bench.call("{ file = \"relay\" }").run();
    run.expect_status(78);
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default();
    assert!(hint.contains("-g GROUP ") && hint.contains("the user that sends"), "{hint}");
    bench.check(0, &[run]);
}
