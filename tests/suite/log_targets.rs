//! The journal, syslog and files as log targets, on a host of the test's own.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use testkit::{Host, Mailchute, Moment, Run, Server};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const USERS: [(&str, u32); 1] = [("shop", SHOP)];
const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// Servers with their answer and its journal priority: accepted, deferred, refused.
fn servers() -> [(Server, i32, u8); 3] {
    [
        (Server::new().start(), 0, 6),
        (Server::new().reply(Moment::Rcpt, "451 4.7.1 later").start(), 51, 4),
        (Server::new().reply(Moment::Rcpt, "550 5.1.1 no").start(), 150, 3),
    ]
}

fn configure(host: &Host<'_>, server: &Server, log: &str) {
    let text = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n{log}\n", server.port());
    host.write("/etc/mailchute/config.toml", &text, 0o644);
}

fn call() -> Mailchute {
    mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

fn send() -> Run {
    call().run()
}

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 64 << 10];
    let length = socket.recv(&mut buffer).expect("a record in time");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn is_quiet(socket: &UnixDatagram) -> bool {
    socket.set_nonblocking(true).unwrap();
    let quiet = socket.recv(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    quiet
}

#[test]
fn the_journal_has_every_outcome_by_its_priority() {
    Host::run(&USERS, |host| {
        let journal = host.datagrams(JOURNAL);
        let syslog = host.datagrams(SYSLOG);
        for (server, status, priority) in servers() {
            for log in ["", "[log]\nto = [\"journal\"]"] {
                configure(host, &server, log);
                let run = send();
                run.expect_status(status);
                let heard = heard(&journal);
                let field = |name: &str| {
                    let found = heard.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                    found.unwrap_or_default().to_owned()
                };
                assert_eq!(field("PRIORITY"), priority.to_string(), "{heard}");
                assert_eq!(
                    (field("SYSLOG_IDENTIFIER").as_str(), field("SYSLOG_FACILITY").as_str()),
                    ("mailchute", "2")
                );
                let record: serde_json::Value = serde_json::from_str(&field("MESSAGE")).unwrap();
                assert_eq!((&record["exit"], &record["user"]), (&status.into(), &"shop".into()), "{record}");
            }
        }
        assert!(is_quiet(&journal) && is_quiet(&syslog), "one record each, and in one place");
    });
}

#[test]
fn syslog_takes_it_where_there_is_no_journal() {
    Host::run(&USERS, |host| {
        let syslog = host.datagrams(SYSLOG);
        for (server, status, priority) in servers() {
            for log in ["", "[log]\nto = [\"syslog\"]"] {
                configure(host, &server, log);
                send().expect_status(status);
                let heard = heard(&syslog);
                // Facility mail is 2.
                assert!(heard.starts_with(&format!("<{}>", 2 * 8 + priority)), "{heard}");
                let (head, record) = heard.split_once(": ").unwrap();
                assert!(head.contains(" mailchute[") && head.ends_with(']'), "{heard}");
                let record: serde_json::Value = serde_json::from_str(record).unwrap();
                assert_eq!(record["exit"], status, "{record}");
            }
        }
        assert!(is_quiet(&syslog));
    });
}

#[test]
fn without_a_target_nobody_is_bothered_and_a_named_one_that_fails_says_so() {
    Host::run(&USERS, |host| {
        for (server, status, _) in servers() {
            configure(host, &server, "");
            let quiet = send();
            quiet.expect_status(status);
            configure(host, &server, "[log]\nto = [\"journal\", \"syslog\"]");
            let run = send();
            run.expect_status(status);
            let lines: Vec<_> = run.stderr.lines().collect();
            let [.., journal, syslog] = lines[..] else { panic!("{}", run.report()) };
            assert!(journal.starts_with(&format!("mailchute: {JOURNAL}: cannot write the log record: ")), "{journal}");
            assert!(syslog.starts_with(&format!("mailchute: {SYSLOG}: cannot write the log record: ")), "{syslog}");
            // The outcome comes first, in the same words.
            assert_eq!(lines[..lines.len() - 2].join("\n"), quiet.stderr.trim_end(), "{}", run.report());
        }
    });
}

#[test]
fn a_journal_that_does_not_read_holds_nobody() {
    Host::run(&USERS, |host| {
        let journal = host.datagrams(JOURNAL);
        // What one socket may have under way ends before the journal's own room does where a machine gives that much.
        let mut fillers = Vec::new();
        loop {
            let filler = UnixDatagram::unbound().unwrap();
            filler.set_nonblocking(true).unwrap();
            if filler.send_to(b"x", JOURNAL).is_err() {
                break;
            }
            while filler.send_to(b"x", JOURNAL).is_ok() {}
            fillers.push(filler);
        }
        let server = Server::new().start();
        for (log, lines) in [("", 0), ("[log]\nto = [\"journal\"]", 1)] {
            configure(host, &server, log);
            let run = send();
            run.expect_status(0);
            assert_eq!(run.stderr.lines().count(), lines, "{}", run.report());
            run.expect_at_once();
        }
        drop(journal);
    });
}

#[test]
fn log_files_have_their_mode_and_are_not_waited_for() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        fs::create_dir_all("/run/log").unwrap();
        fs::set_permissions("/run/log", Permissions::from_mode(0o777)).unwrap();
        configure(host, &server, "[log]\nto = [\"/run/log/{user}-{site}.json\"]");
        let with_umask = |umask: &str, uid: u32| {
            let binary = env!("CARGO_BIN_EXE_mailchute");
            let script = format!("umask {umask}; exec {binary} -i bob@example.net");
            Mailchute::new("/bin/sh").args(["-c", &script]).uid(uid).stdin(MESSAGE).run().expect_status(0);
        };
        with_umask("000", SHOP);
        with_umask("077", 61099);
        for name in ["shop", "61099"] {
            let path = format!("/run/log/{name}-default.json");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o640, "{path} has mode {mode:o}");
        }
        with_umask("022", SHOP);
        assert_eq!(fs::read_to_string("/run/log/shop-default.json").unwrap().lines().count(), 2, "appended");

        assert!(Command::new("mkfifo").args(["-m", "666", "/run/log/fifo"]).status().unwrap().success());
        configure(host, &server, "[log]\nto = [\"/run/log/fifo\", \"/run/log\", \"/run/log/last\"]");
        let run = send();
        run.expect_status(0);
        run.expect_at_once();
        let lines: Vec<_> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{}", run.report());
        for (line, place) in lines.iter().zip(["/run/log/fifo", "/run/log"]) {
            assert!(line.starts_with(&format!("mailchute: {place}: cannot write the log record: ")), "{line}");
        }
        assert_eq!(fs::read_to_string("/run/log/last").unwrap().lines().count(), 1, "the others are written");
    });
}

#[test]
fn no_message_hides_its_record() {
    Host::run(&USERS, |host| {
        let journal = host.datagrams(JOURNAL);
        let server = Server::new().reply(Moment::Rcpt, "550 5.1.1 no").start();
        configure(host, &server, "");
        let hidden = "\u{9b}31m\u{202e}\u{200b}";
        let long = |name: &str, size: usize| format!("{name}: <{hidden}{}>\r\n", "x".repeat(size));
        let send = |message: String| {
            let call = mailchute().uid(SHOP).args(["-L", "sudo", "-F", hidden, "-i", "bob@example.net"]);
            call.stdin(message).run()
        };
        for field in [long("Message-ID", 300 << 10), long("X-PHP-Originating-Script", 900 << 10)] {
            let run = send(format!("{field}{MESSAGE}"));
            // A word that no line can hold is refused by us, and whatever fits by the server.
            assert!([65, 150].contains(&run.status), "{}", run.report());
            assert!(!run.stderr.contains(['\u{9b}', '\u{202e}', '\u{200b}']), "{}", run.report());
            let heard = heard(&journal);
            assert!(heard.contains("\nSYSLOG_IDENTIFIER=mailchute\n"), "{heard}");
            assert!(!heard.contains(['\u{9b}', '\u{202e}', '\u{200b}']), "{heard}");
            let line = heard.lines().find_map(|line| line.strip_prefix("MESSAGE=")).unwrap_or_default();
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&record["exit"], &record["tag"]), (&run.status.into(), &"sudo".into()), "{record}");
        }
        drop(journal);
        fs::remove_file(JOURNAL).unwrap();
        let syslog = host.datagrams(SYSLOG);
        // Recipients are bounded in number and together more than such a daemon takes.
        let to: Vec<_> = (0..200).map(|number| format!("{}{number}@example.net", "x".repeat(50))).collect();
        mailchute().uid(SHOP).arg("-i").args(to).stdin(MESSAGE).run().expect_status(150);
        let heard = heard(&syslog);
        assert!(heard.len() <= 8 << 10, "{}", heard.len());
        let record: serde_json::Value = serde_json::from_str(heard.split_once(": ").unwrap().1).unwrap();
        assert_eq!(record["exit"], 150);
        assert!(record["to"].as_array().unwrap().last().unwrap().as_str().unwrap().ends_with(" more"), "{record}");
    });
}

#[test]
fn nobody_reads_or_forges_what_another_logs() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        fs::create_dir_all("/run/log").unwrap();
        fs::set_permissions("/run/log", Permissions::from_mode(0o1777)).unwrap();
        configure(host, &server, "[log]\nto = [\"/run/log/{user}.log\"]");
        let path = "/run/log/shop.log";
        const OTHER: u32 = 61043;
        // Whose file it is, its mode, and whether it is written to.
        for (owner, mode, is_taken) in [
            ((OTHER, OTHER), 0o666, false),
            ((OTHER, OTHER), 0o622, false),
            ((SHOP, SHOP), 0o640, true),
            ((SHOP, SHOP), 0o600, true),
            ((SHOP, SHOP), 0o644, false),
            ((SHOP, SHOP), 0o660, false),
            ((0, SHOP), 0o660, true),
            ((0, SHOP), 0o620, true),
            ((0, 0), 0o666, false),
            ((0, SHOP), 0o664, false),
        ] {
            host.write_as(path, "", mode, owner);
            let run = send();
            run.expect_status(0);
            assert_eq!(fs::read_to_string(path).unwrap().lines().count(), usize::from(is_taken), "{owner:?} {mode:o}");
            let why = format!("mailchute: {path}: cannot write the log record: is not this user's or root's alone (");
            assert_eq!(run.stderr.starts_with(&why), !is_taken, "{owner:?} {mode:o}\n{}", run.report());
            fs::remove_file(path).unwrap();
        }
        host.write_as("/run/log/victim", "", 0o600, (SHOP, SHOP));
        for symbolic in [false, true] {
            match symbolic {
                true => std::os::unix::fs::symlink("/run/log/victim", path).unwrap(),
                false => fs::hard_link("/run/log/victim", path).unwrap(),
            }
            let what = if symbolic { "a link" } else { "another name" };
            let run = send();
            run.expect_status(0);
            assert!(run.stderr.starts_with(&format!("mailchute: {path}: cannot write")), "{what}\n{}", run.report());
            assert_eq!(fs::read_to_string("/run/log/victim").unwrap(), "", "{what}");
            fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn a_site_of_its_own_cannot_speak_under_anothers_name() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        fs::create_dir_all("/run/log").unwrap();
        fs::set_permissions("/run/log", Permissions::from_mode(0o1777)).unwrap();
        host.write("/etc/mailchute/config.toml", "[log]\nto = [\"/run/log/{site}.log\"]\n", 0o644);
        let site = |name: &str| {
            let lines = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n[site.{name}]\n", server.port());
            host.write_as("/etc/mailchute/sites.d/shop.toml", &lines, 0o640, (SHOP, SHOP));
        };
        for name in ["bank", "shopping", "\"bank/shop\""] {
            site(name);
            let run = send();
            run.expect_status(77);
            assert!(
                run.stderr.contains("a file that root does not own names its sites after itself"),
                "{}",
                run.report()
            );
        }
        for (name, file) in [("shop", "shop.log"), ("\"shop/bank\"", "shop%2Fbank.log")] {
            site(name);
            send().expect_status(0);
            let record = fs::read_to_string(format!("/run/log/{file}")).unwrap();
            let record: serde_json::Value = serde_json::from_str(&record).unwrap();
            assert_eq!(record["site"], name.trim_matches('"'));
        }
    });
}
