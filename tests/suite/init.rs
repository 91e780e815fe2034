//! `mailchute init`: options and questions make the same files, what is wrong is told before anything is written, and
//! whoever is stopped leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use mailchute::providers;
use testkit::{Case, Host, Mailchute, Moment, Run, Server, need, need_strace, words};

use crate::setup::{data, mailchute};

const WEB: u32 = 61042;
const SHOP: u32 = 61043;
pub(crate) const USERS: [(&str, u32); 2] = [("www-data", WEB), ("shop", SHOP)];
pub(crate) const MAIN: &str = "/etc/mailchute/config.toml";
const STORED: &str = "/etc/mailchute/secrets";
pub(crate) const VALUE: &str = "correct-horse-battery";

pub(crate) fn init(line: &str) -> Mailchute {
    mailchute().arg("init").args(words(line))
}

/// Everything below /etc/mailchute: path, owner, group, mode, content.
pub(crate) fn laid() -> Vec<(String, u32, u32, u32, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new("/etc/mailchute").to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let about = path.symlink_metadata().unwrap();
            let content = fs::read_to_string(&path).unwrap_or_default();
            let mode = about.permissions().mode() & 0o7777;
            found.push((path.display().to_string(), about.uid(), about.gid(), mode, content));
            if about.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn clear() {
    let _ = fs::remove_dir_all("/etc/mailchute");
}

/// Nothing of it was written, not even a directory, and the secret is nowhere.
#[track_caller]
pub(crate) fn nothing(run: &Run) {
    assert!(!Path::new("/etc/mailchute").exists(), "{:?}\n{}", laid(), run.report());
    assert!(!run.stdout.contains(VALUE) && !run.stderr.contains(VALUE), "{}", run.report());
}

/// A server on this host that takes one login.
pub(crate) fn server() -> Server {
    Server::new().login("orders@shop.example", VALUE, &["PLAIN"])
}

/// What is said for that server.
fn said(port: u16) -> String {
    format!(
        "--from 'Shop <orders@shop.example>' --host 127.0.0.1 --port {port} --username orders@shop.example \
         --alias *=ops@shop.example"
    )
}

#[test]
fn what_is_missing_is_told_by_its_option() {
    Host::run(&USERS, |_| {
        for (line, missing) in [
            ("", "missing: --from, --provider or --host"),
            ("--provider postmark", "missing: --from, --secret-stdin (or "),
            ("--provider brevo --from a@b.example", "missing: --username, --secret-stdin (or "),
            ("--provider postmark --from a@b.example --secret-stdin", "missing: --user, --sites-by-pool or --group"),
            ("--yes --no-network --email a@b.example", "missing: --provider or --host"),
        ] {
            let run = init(line).stdin(VALUE).run();
            run.expect_status(64);
            run.expect_stderr(&format!("mailchute: init: {missing}*"));
            nothing(&run);
        }
        // What is not stored needs no group, and a server without a login no secret.
        for line in
            ["--provider postmark --from a@b.example --secret-env TOKEN", "--host mail.example --from a@b.example"]
        {
            init(line).run().expect_status(0);
        }
    });
}

#[test]
fn what_is_wrong_is_told_by_its_option_and_nothing_is_written() {
    Host::run(&USERS, |_| {
        let right = "--provider postmark --from a@b.example --user www-data --write --no-network --secret-stdin ";
        for (line, status, why) in [
            ("--from nobody", 64, "--from: "),
            ("--provider postmrak", 64, "postmrak: no such provider"),
            ("--provider postmark --region eu", 64, "--provider: "),
            ("--provider fastmail --via api --username a@b.example", 64, "--provider: "),
            ("--sender nobody", 64, "--sender: "),
            ("--alias nobody", 64, "--alias: must be NAME=ADDRESS"),
            ("--alias root=two@@x", 64, "--alias: "),
            ("--user nobody-there", 64, "--user nobody-there: no such user"),
            ("--group nobody-there", 64, "--group nobody-there: no such group"),
            ("--user shop --user www-data", 64, "--user: its users are of several groups"),
            ("--site a", 0, ""),
            ("--set token=x", 64, "--set: token is a secret"),
            ("--set colour=blue", 64, "--provider: "),
            ("--set colour", 64, "--set: must be KEY=VALUE"),
            ("--sites-by-pool", 64, "init: "),
        ] {
            let mut all = words(right);
            let said = words(line);
            // What is said again is said otherwise.
            if let Some(at) = all.iter().position(|known| said.contains(known)) {
                all.drain(at..at + 2);
            }
            all.extend(said);
            let run = mailchute().arg("init").args(all).stdin(VALUE).run();
            run.expect_status(status);
            if status != 0 {
                run.expect_stderr(&format!("mailchute: {why}*"));
                nothing(&run);
            }
            clear();
        }
    });
}

#[test]
fn the_wrong_kind_of_key_is_noticed_before_anything_else() {
    Host::run(&USERS, |_| {
        let common = "--from a@b.example --user www-data --write --secret-stdin";
        for (line, value, why) in [
            ("--provider brevo --username a@b.example", "xkeysib-0123456789", "is an API key, and SMTP wants"),
            ("--provider brevo --via api", "xsmtpsib-0123456789", "is for SMTP, and the API wants another"),
            ("--provider postmark", "SG.0123456789", "is a key of SendGrid, and this is for Postmark"),
            ("--provider sendgrid", "re_0123456789", "is a key of Resend, and this relay is SendGrid"),
            ("--provider postmark", "your-api-token", "stands for the secret"),
            ("--host m.example --username a@b.example", "a@b.example", "is the user name"),
        ] {
            let run = init(&format!("{common} {line}")).stdin(value).run();
            run.expect_status(65);
            assert!(run.stderr.contains(why) && !run.stderr.contains(value), "{line}\n{}", run.report());
            nothing(&run);
        }
    });
}

#[test]
fn it_is_shown_first_and_written_as_it_was_shown() {
    Host::run(&USERS, |_| {
        let line = "--provider postmark --from 'Shop <orders@shop.example>' --secret-stdin --user www-data \
                    --alias *=ops@shop.example --refuse --no-network";
        let shown = init(line).stdin(VALUE).run();
        shown.expect_status(0);
        nothing(&shown);
        for row in [
            "# /etc/mailchute/secrets/postmark  root:www-data 0640  new: the secret\n",
            "# /etc/mailchute/config.toml  root:root 0644  new\n",
            "from = \"Shop <orders@shop.example>\"\nsender = [\"*@shop.example\"]\nother_sender = \"refuse\"\n",
            "token = { file = \"/etc/mailchute/secrets/postmark\" }\n",
            "user = [\"www-data\", \"root\"]\n",
            "\"*\" = [\"ops@shop.example\"]\n",
        ] {
            assert!(shown.stdout.contains(row), "{row}\n{}", shown.report());
        }
        for umask in ["000", "077", "777"] {
            clear();
            let umask = format!("umask {umask}; exec \"$@\"");
            let run = init(&format!("{line} --write")).stdin(VALUE).under("/bin/sh", &["-c", &umask, "sh"]).run();
            run.expect_status(0);
            let (_, configuration) = shown.stdout.split_once("\n\n").unwrap();
            let file = |path: &str, gid, mode, text: &str| (path.to_owned(), 0, gid, mode, text.to_owned());
            assert_eq!(
                laid(),
                [
                    file(MAIN, 0, 0o644, configuration),
                    file(STORED, 0, 0o711, ""),
                    file("/etc/mailchute/secrets/postmark", WEB, 0o640, &format!("{VALUE}\n")),
                ]
            );
            for uid in [0, WEB] {
                let explain = mailchute().uid(uid).args(["explain", "-i", "bob@example.net"]).run();
                explain.expect_status(0);
            }
            mailchute().uid(SHOP).args(["explain", "-i", "bob@example.net"]).run().expect_status(77);
        }
        let before = laid();
        // Once more changes nothing; another one is in the way, and so is another secret.
        init(&format!("{line} --write")).stdin(VALUE).run().expect_status(0);
        for (line, value) in
            [(format!("{line} --write --sender *@b.example"), VALUE), (format!("{line} --write"), "another")]
        {
            let run = init(&line).stdin(value).run();
            run.expect_status(73);
            assert!(run.stderr.contains("is there already, and is another"), "{}", run.report());
            assert_eq!(laid(), before);
            init(&format!("{line} --replace")).stdin(value).run().expect_status(0);
            let names: Vec<_> = laid().into_iter().map(|(name, ..)| name).collect();
            assert_eq!(names, before.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>());
            assert_ne!(laid(), before);
            init(&format!("{} --write --replace", line.split(" --write").next().unwrap())).stdin(VALUE).run();
            assert_eq!(laid(), before);
        }
    });
}

#[test]
fn only_root_writes_for_the_host_and_anybody_for_oneself() {
    Host::run(&USERS, |host| {
        let line = "--provider postmark --from a@b.example --secret-stdin --no-network";
        let run = init(&format!("{line} --write")).uid(SHOP).stdin(VALUE).run();
        run.expect_status(77);
        nothing(&run);
        let home = "/home/shop/mail";
        host.write_as(&format!("{home}/x"), "", 0o600, (SHOP, SHOP));
        std::os::unix::fs::chown(home, Some(SHOP), Some(SHOP)).unwrap();
        init(&format!("{line} --output {home}/config.toml")).uid(SHOP).stdin(VALUE).run().expect_status(0);
        let secret = Path::new(home).join("secrets/postmark");
        let about = secret.metadata().unwrap();
        assert_eq!((about.uid(), about.permissions().mode() & 0o7777), (SHOP, 0o600));
        let config = Path::new(home).join("config.toml");
        mailchute().uid(SHOP).config(&config).args(["explain", "-i", "b@example.net"]).run().expect_status(0);
        // A site of its own beside those that are there.
        let sites = "/etc/mailchute/sites.d/shop.toml";
        init(&format!("{line} --site shop --user shop --output {sites}")).stdin(VALUE).run().expect_status(0);
        let about = Path::new(STORED).join("shop").metadata().unwrap();
        assert_eq!((about.uid(), about.gid(), about.permissions().mode() & 0o7777), (0, SHOP, 0o640));
        let run = mailchute().uid(SHOP).args(["explain", "-i", "b@example.net"]).run();
        run.expect_status(0);
        assert!(run.stdout.contains("shop"), "{}", run.report());
    });
}

/// A directory of `sites.d` says whose the site is, so the file may not, and nobody else sends by it.
#[test]
fn a_file_in_a_users_directory_is_for_that_user_alone() {
    Host::run(&USERS, |_| {
        let file = "/etc/mailchute/sites.d/shop/blog.toml";
        let line = format!("--provider postmark --from a@b.example --secret-stdin --no-network --output {file}");
        for more in ["--user www-data", "--user shop --user root", "--user shop --user www-data", "--sites-by-pool"] {
            let run = init(&format!("{line} {more}")).stdin(VALUE).run();
            run.expect_status(64);
            run.expect_stderr("mailchute: --output: a file in the directory of shop is for that user alone*");
            nothing(&run);
        }
        let run = init(&line.replace("/shop/", "/nobody-there/")).stdin(VALUE).run();
        run.expect_status(64);
        run.expect_stderr("mailchute: --output nobody-there: no such user*");
        nothing(&run);
        for more in ["", "--user shop", &format!("--user {SHOP}"), "--site blog"] {
            let run = init(&format!("{line} {more}")).stdin(VALUE).run();
            run.expect_status(0);
            let name = if more.contains("--site") { "blog" } else { "postmark" };
            let about = Path::new(STORED).join(name).metadata().unwrap();
            assert_eq!((about.uid(), about.gid(), about.permissions().mode() & 0o7777), (0, SHOP, 0o640), "{more}");
            // As the program finds it by itself.
            let run = mailchute().uid(SHOP).args(["explain", "-i", "b@example.net"]).run();
            run.expect_status(0);
            assert!(run.stdout.contains(&format!("uid {SHOP} (shop) is listed")), "{more}\n{}", run.report());
            mailchute().uid(WEB).args(["explain", "-i", "b@example.net"]).run().expect_status(77);
            let all = crate::check::findings(&mailchute().args(["check", "--offline", "--json"]).run());
            assert!(crate::check::with_code(&all, "config.skipped").is_empty(), "{more}: {all:?}");
            clear();
        }
    });
}

#[test]
fn a_set_group_id_binary_stores_for_its_own_group_and_hears_nobody_else() {
    Host::run(&USERS, |host| {
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), SHOP);
        let line = words("init --provider postmark --from a@b.example --secret-stdin --no-network --write");
        let run = Mailchute::new(&binary).uid(WEB).args(line.clone()).stdin(VALUE).run();
        run.expect_status(77);
        nothing(&run);
        Mailchute::new(&binary).args(line).stdin(VALUE).run().expect_status(0);
        let about = Path::new(STORED).join("postmark").metadata().unwrap();
        assert_eq!((about.uid(), about.gid(), about.permissions().mode() & 0o7777), (0, SHOP, 0o640));
    });
}

#[test]
fn the_test_goes_through_the_written_files_as_the_user_that_sends() {
    Host::run(&USERS, |_| {
        let server = server().start();
        let line = format!("{} --user www-data --secret-stdin --write", said(server.port()));
        let run = init(&line).stdin(VALUE).run();
        run.expect_status(0);
        assert!(run.stderr.contains("test as www-data: accepted"), "{}", run.report());
        // A secret that the server does not take is noticed before anything is written.
        let before = laid();
        let run = init(&format!("{line} --replace --to bob@example.net")).stdin("another-secret").run();
        run.expect_status(135);
        assert!(run.stderr.contains("nothing was written") && run.stderr.contains("535 "), "{}", run.report());
        assert!(!run.stderr.contains("another-secret") && !run.stdout.contains("another-secret"), "{}", run.report());
        assert_eq!(laid(), before);
        let sessions = server.finish();
        let deliveries: Vec<_> = sessions.iter().flat_map(|session| &session.deliveries).collect();
        assert_eq!(deliveries.len(), 1);
        assert_eq!(deliveries[0].forward_paths(), ["ops@shop.example"]);
        assert!(deliveries[0].text().contains("From: Shop <orders@shop.example>"), "{}", deliveries[0].text());
    });
}

#[test]
fn a_test_that_is_refused_is_told_and_the_files_stay() {
    Host::run(&USERS, |_| {
        let server = server().reply(Moment::Rcpt, "550 5.1.1 no such user").start();
        let line = format!("{} --user www-data --secret-stdin --write", said(server.port()));
        let run = init(&line).stdin(VALUE).run();
        run.expect_status(150);
        assert!(run.stderr.contains("accepts the login\n"), "{}", run.report());
        assert!(run.stderr.contains("test as www-data: not sent, exit status 150"), "{}", run.report());
        assert!(run.stderr.contains("550 5.1.1 no such user"), "{}", run.report());
        assert_eq!(laid().len(), 3);
        drop(server);
    });
}

/// What the fixtures of an API's provider say beside its credentials.
fn settings(provider: &providers::Provider) -> String {
    let case = Case::all(&data("providers")).into_iter().find(|case| case.name() == provider.id);
    let lines: Vec<String> = case.iter().flat_map(|case| case.values("relay").map(str::to_owned)).collect();
    let mut words = String::new();
    for line in lines {
        let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
        else {
            continue;
        };
        let is_credential = provider.api.is_some_and(|entry| entry.credentials.iter().any(|known| known.key == key));
        if !is_credential
            && key != "via"
            && !value.starts_with(['[', '{'])
            && provider.secrets.iter().all(|of| *of != key)
        {
            words += &format!(" --set {key}='{value}'");
        }
    }
    words
}

#[test]
fn every_provider_gets_a_configuration_that_loads() {
    Host::run(&USERS, |host| {
        for provider in providers::all().filter(|provider| provider.id != "smtp") {
            for via in if provider.api.is_some() { &["smtp", "api"][..] } else { &["smtp"] } {
                let mut line = format!(
                    "--provider {} --via {via} --from a@b.example --user www-data --secret-stdin --no-network --output \
                     /etc/{}-{via}.toml",
                    provider.id, provider.id
                );
                let keys = provider.api.map(providers::api::Entry::wanted_keys).unwrap_or_default();
                if (*via == "smtp" && (provider.username.key().is_some() || provider.host.is_empty()))
                    || (*via == "api" && keys.len() > 1)
                {
                    line += " --username a@b.example";
                }
                if *via == "smtp" && provider.host.is_empty() {
                    line += " --host mail.example";
                }
                if let (providers::UserName::Joined(keys), "smtp") = (&provider.username, *via) {
                    keys.iter().for_each(|key| line += &format!(" --set {key}=x"));
                }
                if *via == "api" {
                    line += &settings(provider);
                }
                // What the provider's own keys begin with, where they do.
                let form = provider.keys.iter().find(|form| if *via == "api" { form.api } else { form.smtp });
                let value = format!("{}0123456789abcdef", form.map_or("", |form| form.prefix));
                let run = init(&line).stdin(value.as_str()).run();
                assert_eq!(run.status, 0, "{line}\n{}", run.report());
                let config = Path::new("/etc").join(format!("{}-{via}.toml", provider.id));
                let explain = mailchute().uid(WEB).config(&config).args(["explain", "-i", "b@example.net"]).run();
                assert_eq!(explain.status, 0, "{line}\n{}\n{}", run.stdout, explain.report());
                let _ = fs::remove_file(&config);
                let _ = fs::remove_dir_all("/etc/secrets");
            }
        }
        let _ = host;
    });
}

#[test]
fn access_tokens_are_got_by_a_login_of_their_own() {
    Host::run(&USERS, |_| {
        for (line, client_secret) in [
            ("--provider microsoft --client-id 1b2c", false),
            ("--provider google --client-id 1b2c --secret-stdin", true),
            ("--provider google --client-id 1b2c --via api --secret-stdin", true),
        ] {
            clear();
            let line = format!("{line} --from a@b.example --username a@b.example --user www-data --write");
            let run = init(&line).stdin(VALUE).run();
            run.expect_status(0);
            assert!(run.stderr.contains("next: mailchute login --as www-data"), "{}", run.report());
            let text = fs::read_to_string(MAIN).unwrap();
            assert!(text.contains("client_id = \"1b2c\"\nusername = \"a@b.example\"\n"), "{text}");
            assert_eq!(text.contains("client_secret = { file = "), client_secret, "{text}");
            // It loads, and lacks nothing but the login.
            let run = mailchute().uid(WEB).args(["explain", "-i", "b@example.net"]).run();
            run.expect_status(78);
            assert!(run.stderr.contains("mailchute login"), "{}", run.report());
        }
    });
}

#[test]
fn the_provider_of_a_mailbox_is_told_by_its_domain() {
    Host::run(&USERS, |_| {
        for (address, provider) in [("a@gmail.com", "google"), ("a@outlook.com", "microsoft365"), ("a@gmx.de", "gmx")] {
            let line = format!("--email {address} --username {address} --secret-env PASSWORD");
            let run = init(&line).run();
            run.expect_status(0);
            assert!(run.stdout.contains(&format!("provider = \"{provider}\"\n")), "{}", run.report());
            init(&format!("{line} --no-network")).run().expect_status(64);
        }
    });
}

/// A terminal: for each step waits until its text is there, and types; `KILL` ends it as nobody can hear. Prints all that
/// was shown, the status last.
const TERMINAL: &str = r#"
import json, os, pty, signal, sys
steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    # It may be ignored by whoever started this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
seen, at = b"", 0
while True:
    try:
        read = os.read(terminal, 4096)
    except OSError:
        break
    if not read:
        break
    seen += read
    while steps and steps[0][0].encode() in seen[at:]:
        wanted, typed = steps.pop(0)
        at = seen.index(wanted.encode(), at) + len(wanted)
        if typed == "KILL":
            os.kill(pid, signal.SIGKILL)
        else:
            os.write(terminal, typed.encode())
print(seen.decode(), "status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "left", len(steps))
"#;

/// The program in a file with this mode, below directories that only root can change.
fn installed(mode: u32) -> Mailchute {
    let path = Path::new("/home/mailchute");
    if !path.exists() {
        // Not by us: a process that another test starts meanwhile would inherit the open file.
        let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_mailchute")).arg(path).status();
        assert!(copied.unwrap().success());
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    Mailchute::new(path)
}

/// Types the answers, each behind its question, where the program has this mode.
fn type_in_as(mode: u32, host: &Host<'_>, line: &str, steps: &[(&str, &str)]) -> Run {
    let script = host.scratch().write("terminal.py", TERMINAL, 0o644);
    let steps = serde_json::to_string(steps).unwrap();
    let call = installed(mode).arg("init").args(words(line));
    let run = call.under("python3", &[script.to_str().unwrap(), &steps]).run();
    assert!(!run.stdout.contains(VALUE), "the secret is shown\n{}", run.report());
    run
}

/// The same where others than root can change the program, so that the names of sendmail are not offered to it.
pub(crate) fn type_in(host: &Host<'_>, line: &str, steps: &[(&str, &str)]) -> Run {
    type_in_as(0o777, host, line, steps)
}

/// The questions, and what is answered.
fn answers(server: &str) -> [(&'static str, String); 8] {
    [
        ("Mail is sent as", "Shop <orders@shop.example>\n".to_owned()),
        ("or SMTP server: ", format!("{server}\n")),
        ("User name (- for no login) [orders@shop.example]: ", "\n".to_owned()),
        ("Password (it is not shown): ", format!("{VALUE}\n")),
        ("Who sends?", "\n".to_owned()),
        ("other local names goes to", "ops@shop.example\n".to_owned()),
        ("Write this?", "y\n".to_owned()),
        ("Send a test message to", "\n".to_owned()),
    ]
}

/// The same, as it is typed.
fn lines<'a>(steps: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    steps.iter().map(|(wanted, typed)| (*wanted, typed.as_str())).collect()
}

#[test]
fn questions_make_what_the_options_make() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let server = server().start();
        let all = answers(&format!("127.0.0.1:{}", server.port()));
        let run = type_in(host, "", &lines(&all));
        assert!(run.stdout.contains("status 0 left 0"), "{}", run.report());
        // Root's mail is not to go to a program that another can change.
        assert!(run.stdout.contains("the names of sendmail are left as they are"), "{}", run.report());
        assert!(run.stdout.contains("test as www-data: accepted"), "{}", run.report());
        let asked = laid();
        // Where nobody else can change it, that is asked, and left alone by whoever says no.
        clear();
        let mut steps = lines(&all);
        steps.insert(7, ("Make these links, so that PHP and cron send through mailchute? (y/n) [n]: ", "\n"));
        let owned = type_in_as(0o755, host, "", &steps);
        assert!(owned.stdout.contains("status 0 left 0"), "{}", owned.report());
        assert_eq!(laid(), asked);
        // The command that is told does the same.
        let told = run.stdout.lines().map(str::trim).find_map(|line| line.strip_prefix("mailchute init "));
        let told = told.unwrap_or_else(|| panic!("{}", run.report())).strip_suffix(" < FILE").unwrap();
        clear();
        init(told).stdin(VALUE).run().expect_status(0);
        assert_eq!(laid(), asked);
        assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 3);
    });
}

#[test]
fn a_provider_is_asked_for_what_it_wants_and_no_more_than_six_questions() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let from = ("Mail is sent as", "a@b.example\n");
        let upstream = "or SMTP server: ";
        let rest = [("Who sends?", "shop\n"), ("other local names", "-\n"), ("Write this?", "n\n")];
        let other = ("another sender", "2\n");
        for (steps, told) in [
            (
                vec![
                    from,
                    (upstream, "postmark\n"),
                    ("Postmark token, made at the server", VALUE),
                    ("", "\n"),
                    rest[0],
                    other,
                    rest[1],
                    rest[2],
                ],
                &["provider = \"postmark\"", "other_sender = \"refuse\"", "user = [\"shop\", \"root\"]"][..],
            ),
            (
                vec![
                    from,
                    (upstream, "mailgun eu\n"),
                    ("User name [a@b.example]: ", "x@mg.example\n"),
                    ("Mailgun password (it", VALUE),
                    ("", "\n"),
                    rest[0],
                    rest[1],
                    rest[2],
                ],
                &["provider = \"mailgun\"", "region = \"eu\"", "username = \"x@mg.example\""],
            ),
            (
                vec![
                    from,
                    (upstream, "outlook\n"),
                    ("ID of your OAuth client at Microsoft", "1b2c\n"),
                    rest[0],
                    rest[1],
                    rest[2],
                ],
                &["provider = \"microsoft365\"", "client_id = \"1b2c\"\r\nusername = \"a@b.example\""],
            ),
            (
                vec![
                    from,
                    (upstream, "gmail\n"),
                    ("ID of your OAuth client at Google", "1b2c\n"),
                    ("Google Workspace / Gmail client secret (it", VALUE),
                    ("", "\n"),
                    rest[0],
                    rest[1],
                    rest[2],
                ],
                &["client_id = \"1b2c\"", "client_secret = { file = \"/etc/mailchute/secrets/google\" }"],
            ),
            (
                vec![
                    from,
                    (upstream, "smtp.gmail.com\n"),
                    ("ID of your OAuth client at Google", "-\n"),
                    ("Gmail app password, made at myaccount", VALUE),
                    ("", "\n"),
                    rest[0],
                    rest[1],
                    rest[2],
                ],
                &["provider = \"google\"", "app_password = { file = ", "username = \"a@b.example\""],
            ),
            (
                vec![
                    from,
                    (upstream, "azure-communication\n"),
                    ("resource, client_id, tenant_id, with blanks", "r c t\n"),
                    ("client secret (it", VALUE),
                    ("", "\n"),
                    rest[0],
                    rest[1],
                    rest[2],
                ],
                &["resource = \"r\"", "client_id = \"c\"", "tenant_id = \"t\"", "client_secret = {"],
            ),
        ] {
            assert!(steps.iter().filter(|(wanted, _)| !wanted.is_empty()).count() <= 7, "six and the last");
            let run = type_in(host, "--no-network", &steps);
            assert!(
                run.stdout.contains("status 0 left 0") && run.stdout.contains("nothing was written"),
                "{}",
                run.report()
            );
            for told in told {
                assert!(run.stdout.contains(told), "{told}\n{}", run.report());
            }
            nothing(&run);
        }
    });
}

#[test]
fn wrong_answers_are_asked_for_again_with_the_reason() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let steps = [
            ("Mail is sent as", "nobody\n"),
            ("--from: ", "\n"),
            ("no usual answer", "a@b.example\n"),
            ("or SMTP server: ", "sendgrdi\n"),
            ("no such provider", ""),
            ("did you mean sendgrid?", "smtp.example:x\n"),
            ("x: is no port", "postmark eu\n"),
            ("--provider: ", "sendgrid\n"),
            ("(it is not shown)", "re_0123456789\n"),
            ("is a key of Resend, and this relay is SendGrid", ""),
            ("(it is not shown)", "SG.0123456789.abcdef\n"),
            ("Who sends?", "nobody-there\n"),
            ("no such user", ":nobody-there\n"),
            ("no such group", "shop,www-data\n"),
            ("several groups", "shop\n"),
            ("another sender", "3\n"),
            ("must be 1 or 2", "1\n"),
            ("other local names", "nowhere@\n"),
            ("--alias: ", "ops@b.example\n"),
            ("Write this?", "maybe\n"),
            ("must be y or n", "n\n"),
        ];
        let run = type_in(host, "--no-network", &steps);
        assert!(run.stdout.contains("status 0 left 0"), "{}", run.report());
        nothing(&run);
    });
}

#[test]
fn whoever_is_stopped_at_a_question_leaves_nothing() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let all = answers("smtp.example.net");
        for stopped in 0..7 {
            for (typed, said) in [
                ("\u{3}", "SIGINT: stopped: nothing was written"),
                ("\u{4}", "nothing was written"),
                ("KILL", "status -9"),
            ] {
                let mut steps = lines(&all[..=stopped]);
                steps[stopped].1 = typed;
                let run = type_in(host, "--no-network", &steps);
                assert!(run.stdout.contains(said) && run.stdout.contains("left 0"), "{stopped}\n{}", run.report());
                nothing(&run);
            }
        }
        // Behind the last of them, all of it is there.
        let server = server().start();
        let all = answers(&format!("127.0.0.1:{}", server.port()));
        let mut steps = lines(&all);
        steps[7].1 = "\u{3}";
        let run = type_in(host, "", &steps);
        assert!(
            run.stdout.contains("SIGINT: stopped: the files are written, and nothing was tested"),
            "{}",
            run.report()
        );
        assert_eq!(laid().len(), 3, "{}", run.report());
    });
}

#[test]
fn the_secret_is_in_no_command_line_and_in_no_environment() {
    if !need_strace() {
        return;
    }
    Host::run(&USERS, |host| {
        let server = server().start();
        let trace = host.scratch().join("trace");
        let words = ["-f", "-v", "-s", "4096", "-e", "trace=execve", "-o", trace.to_str().unwrap()];
        let line = format!("{} --user www-data --secret-stdin --write", said(server.port()));
        let run = init(&line).stdin(VALUE).under("strace", &words).run();
        assert!(run.stderr.contains("test as www-data: accepted"), "{}", run.report());
        let traced = fs::read_to_string(trace).unwrap();
        assert!(traced.matches("execve(").count() > 1 && !traced.contains(VALUE), "{traced}");
        assert_eq!(laid().iter().filter(|(.., content)| content.contains(VALUE)).count(), 1);
        drop(server);
    });
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    if !need_strace() {
        return;
    }
    Host::run(&USERS, |host| {
        let trace = host.scratch().join("trace");
        let line = "--provider postmark --from a@b.example --secret-stdin --user www-data --no-network --write";
        for call in ["linkat", "fchown", "fchmod", "fsync", "mkdir"] {
            for number in 1..4 {
                let fault = format!("inject={call}:error=ENOSPC:when={number}");
                let traced = format!("trace={call}");
                let words = ["-f", "-o", trace.to_str().unwrap(), "-e", &traced, "-e", &fault];
                let run = init(line).stdin(VALUE).under("strace", &words).run();
                if !fs::read_to_string(&trace).unwrap_or_default().contains("INJECTED") {
                    clear();
                    break;
                }
                // The directories of users are made later on, and their want stops nobody.
                if run.status != 0 {
                    nothing(&run);
                }
                clear();
            }
        }
    });
}

#[test]
fn each_pool_is_a_site_with_a_secret_of_its_own_and_another_mailer_is_named() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let none = init("--provider postmark --from a@b.example --secret-env X --sites-by-pool").run();
        none.expect_status(64);
        none.expect_stderr("mailchute: --sites-by-pool: there is no pool of PHP-FPM on this machine");
        host.write("/etc/php/8.2/fpm/php.ini", "", 0o644);
        host.write("/etc/php/8.2/fpm/php-fpm.conf", "[global]\ninclude=/etc/php/8.2/fpm/pool.d/*.conf\n", 0o644);
        for (pool, user) in [("www", "www-data"), ("www2", "www-data"), ("shop", "shop"), ("gone", "nobody-there")] {
            let text = format!("[{pool}]\nuser = {user}\nlisten = /run/php/{pool}.sock\n");
            host.write(&format!("/etc/php/8.2/fpm/pool.d/{pool}.conf"), &text, 0o644);
        }
        host.write("/etc/msmtprc", "account default\nhost mail.example\nfrom a@b.example\n", 0o600);
        let line = "--provider postmark --from a@b.example --no-network --secret-stdin";
        init(&format!("{line} --sites-by-pool --write")).stdin(VALUE).run().expect_status(0);
        let files = laid();
        for (name, gid) in [("postmark-shop", SHOP), ("postmark-www", WEB)] {
            let path = format!("{STORED}/{name}");
            let found = files.iter().find(|file| file.0 == path).unwrap_or_else(|| panic!("{files:?}"));
            assert_eq!((found.1, found.2, found.3), (0, gid, 0o640), "{name}");
        }
        for (uid, site) in [(WEB, "www"), (SHOP, "shop"), (0, "system")] {
            let run = mailchute().uid(uid).args(["explain", "-i", "b@example.net"]).run();
            run.expect_status(0);
            assert!(run.stdout.lines().any(|line| line.starts_with("site") && line.contains(site)), "{}", run.report());
        }
        // As the question has it, whose usual answer that is.
        let asked = fs::read_to_string(MAIN).unwrap();
        clear();
        let steps = [
            ("This machine: ", ""),
            ("PHP 8.2 fpm (pools gone as nobody-there, shop as shop, www as www-data, www2 as www-data), ", ""),
            ("/usr/sbin/sendmail ", ""),
            (", no configuration.", ""),
            ("msmtp is set up here (/etc/msmtprc). Take that over? (y/n) [y]: ", "n\n"),
            ("or SMTP server: ", "postmark\n"),
            ("token, made at", VALUE),
            ("", "\n"),
            ("pools = one site a pool (shop, www)", "\n"),
            ("other local names", "-\n"),
            ("Write this?", "y\n"),
        ];
        let run = type_in(host, "--no-network --from a@b.example", &steps);
        assert!(run.stdout.contains("status 0 left 0"), "{}", run.report());
        assert_eq!(fs::read_to_string(MAIN).unwrap(), asked);
    });
}

/// Has what is below /usr be this thread's own; false: that is not to be had here.
fn own_usr(host: &Host<'_>) -> bool {
    let place = host.scratch().join("usr");
    fs::create_dir_all(&place).unwrap();
    let mounted = |words: &[&str]| std::process::Command::new("mount").args(words).status().is_ok_and(|s| s.success());
    let place = place.to_str().unwrap();
    mounted(&["-t", "tmpfs", "none", place]) && {
        fs::create_dir_all(format!("{place}/upper")).unwrap();
        fs::create_dir_all(format!("{place}/work")).unwrap();
        let options = format!("lowerdir=/usr,upperdir={place}/upper,workdir={place}/work");
        mounted(&["-t", "overlay", "overlay", "-o", &options, "/usr"])
    }
}

const NAMES: [&str; 4] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"];

/// What stands at the names of sendmail, and beside them.
fn names() -> Vec<(String, String)> {
    let about = |name: String| {
        let link = fs::read_link(&name).map(|link| link.display().to_string());
        let what = link.unwrap_or_else(|_| fs::read_to_string(&name).unwrap_or_else(|_| "nothing".to_owned()));
        (name, what)
    };
    NAMES.iter().flat_map(|name| [about((*name).to_owned()), about(format!("{name}.mailchute-saved"))]).collect()
}

#[test]
fn the_names_of_sendmail_are_taken_as_the_installer_takes_them() {
    Host::run(&USERS, |host| {
        if !own_usr(host) {
            testkit::missing("an overlay over /usr");
            return;
        }
        for name in NAMES {
            let _ = fs::remove_file(name);
            let _ = fs::remove_file(format!("{name}.mailchute-saved"));
        }
        fs::create_dir_all("/usr/local/bin").unwrap();
        host.write("/usr/sbin/sendmail", "another program", 0o755);
        host.write("/usr/bin/mailq", "another list", 0o755);
        let before = names();
        let binary = "/usr/local/bin/mailchute";
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installer = |words: &[&str]| {
            let mut command = testkit::apart("/bin/sh");
            command.arg(root.join("install.sh")).args(words).output().unwrap()
        };
        let done = installer(&["--links", "--binary", env!("CARGO_BIN_EXE_mailchute")]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let by_installer = names();
        assert_ne!(by_installer, before);
        installer(&["--uninstall"]);
        assert_eq!(names(), before);
        let done = installer(&["--binary", env!("CARGO_BIN_EXE_mailchute")]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let line =
            "init --provider postmark --from a@b.example --secret-stdin --user www-data --no-network --take-sendmail";
        let run = Mailchute::new(binary).args(words(line)).stdin(VALUE).run();
        run.expect_status(0);
        assert!(run.stdout.contains("what is there becomes /usr/sbin/sendmail.mailchute-saved"), "{}", run.report());
        assert_eq!(names(), before);
        let write = || Mailchute::new(binary).args(words(line)).arg("--write").stdin(VALUE).run();
        write().expect_status(0);
        assert_eq!(names(), by_installer);
        // A second time there is nothing to do.
        write().expect_status(0);
        assert_eq!(names(), by_installer);
        installer(&["--uninstall"]);
        assert_eq!(names(), before);
        // On its own it makes the links and nothing else.
        installer(&["--binary", env!("CARGO_BIN_EXE_mailchute")]);
        let alone = || Mailchute::new(binary).args(["init", "--take-sendmail"]).run();
        let run = alone();
        run.expect_status(0);
        assert!(run.stdout.contains("what is there becomes /usr/sbin/sendmail.mailchute-saved"), "{}", run.report());
        assert_eq!(names(), by_installer);
        assert_eq!(alone().stdout, "nothing to do\n");
        installer(&["--uninstall"]);
        assert_eq!(names(), before);
        // Where both are taken, nothing is, not even the files.
        fs::copy(env!("CARGO_BIN_EXE_mailchute"), binary).unwrap();
        fs::write("/usr/bin/mailq.mailchute-saved", "older").unwrap();
        clear();
        let run = write();
        run.expect_status(73);
        nothing(&run);
        assert_eq!(fs::read_to_string("/usr/sbin/sendmail").unwrap(), "another program");
    });
}
