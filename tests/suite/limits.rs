//! Limits: never one message more than is allowed, whoever sends, however many at once, wherever a process is killed.
//! Each test has a host of its own, where the account `shop` (uid 61042) sends.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use testkit::{Fault, Host, Mailchute, Moment, Port, Run, Server, Session, matches, need_strace};

use crate::never_lost::{accepted, message, tell};
use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const WEB: u32 = 61043;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("web", WEB)];
const STATE: &str = "/var/lib/mailchute/state";
const CONFIG: &str = "/etc/mailchute/config.toml";
const NULL: &str = "[relay.main]\nprotocol = \"null\"\n";

/// A host where state and spool have their places, and cron is sure to flush.
fn on_a_host(test: impl FnOnce(&Host<'_>) + Send) {
    Host::run(&USERS, |host| {
        for place in [STATE, "/var/spool/mailchute"] {
            fs::create_dir_all(place).unwrap();
            fs::set_permissions(place, Permissions::from_mode(0o1733)).unwrap();
        }
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        host.write("/run/crond.pid", "1\n", 0o644);
        for log in ["/var/log/shop.log", "/var/log/web.log"] {
            host.write_as(log, "", 0o640, if log.contains("shop") { (SHOP, SHOP) } else { (WEB, WEB) });
        }
        test(host);
    });
}

fn configure(host: &Host<'_>, top: &str, relays: &str) {
    host.write(CONFIG, &format!("{top}\n{relays}[log]\nto = [\"/var/log/{{user}}.log\"]\n"), 0o644);
}

/// A relay on this host that wants no login.
fn relay(name: &str, port: u16) -> String {
    format!("[relay.{name}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n")
}

/// One relay, and a limit over which messages wait.
fn limited(host: &Host<'_>, limit: &str, server: &Server) {
    configure(host, &format!("limit = \"{limit}\"\nover_limit = \"spool\""), &relay("main", server.port()));
}

fn send() -> Run {
    send_to(&["bob@example.net"])
}

fn send_to(recipients: &[&str]) -> Run {
    mailchute().uid(SHOP).arg("-i").args(recipients.to_vec()).stdin(MESSAGE).run()
}

/// One session that says so many messages.
fn session(messages: usize) -> String {
    let message = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
    format!("EHLO x\r\n{}QUIT\r\n", message.repeat(messages))
}

/// How many of so many messages that one process says are taken.
fn taken(messages: usize) -> usize {
    let run = mailchute().uid(SHOP).arg("-bs").stdin(session(messages)).run();
    run.stdout.matches("\r\n250 2.0.0 ").count()
}

fn record() -> Value {
    let log = fs::read_to_string("/var/log/shop.log").unwrap();
    serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap()
}

/// The files that count for a uid.
fn counters(uid: u32) -> Vec<PathBuf> {
    let found = fs::read_dir(format!("{STATE}/{uid}")).into_iter().flatten();
    found.map(|entry| entry.unwrap().path()).filter(|path| path.to_string_lossy().contains("/limit-")).collect()
}

#[test]
fn what_is_over_the_limit_is_refused_before_any_relay_is_asked() {
    on_a_host(|host| {
        let server = Server::new().start();
        configure(host, "limit = [\"2/day\", \"50 recipients/day\"]", &relay("main", server.port()));
        send().expect_status(0);
        send().expect_status(0);
        let run = send();
        run.expect_status(50);
        let lines: Vec<&str> = run.stderr.lines().collect();
        let wanted = "mailchute: site default: 450 4.7.1 over the limit of 2/day, next free at 20??-??-?? ??:??:?? (mailchute, \
             site default)";
        assert!(matches(&wanted.replace('?', "*"), lines[0]), "{}", run.report());
        assert!(lines[1].starts_with("hint: ") && lines.len() == 2, "{}", run.report());
        let record = record();
        assert_eq!((&record["by"], &record["code"], &record["exit"]), (&"mailchute".into(), &450.into(), &50.into()));
        assert_eq!(server.finish().len(), 2, "nobody was asked");
        let own: Vec<u64> = counters(SHOP).iter().map(|path| path.metadata().unwrap().len()).collect();
        assert_eq!(own, [32]);
        assert_eq!(counters(SHOP)[0].metadata().unwrap().mode() & 0o777, 0o600);
    });
}

#[test]
fn one_message_with_too_many_recipients_never_goes() {
    on_a_host(|host| {
        configure(host, "limit = \"2 recipients/day\"", NULL);
        let run = send_to(&["a@example.net", "b@example.net", "c@example.net"]);
        run.expect_status(150);
        run.expect_stderr("*550 5.5.3 has more recipients than the limit of 2 recipients/day ever allows*");
        send_to(&["a@example.net", "b@example.net"]).expect_status(0);
        send().expect_status(50);
    });
}

#[test]
fn a_caller_that_speaks_smtp_hears_of_it_at_mail_and_of_recipients_at_the_dot() {
    on_a_host(|host| {
        configure(host, "limit = [\"2/day\", \"3 recipients/day\"]", NULL);
        let mail = "MAIL FROM:<a@example.org>\r\n";
        let to =
            |names: &[&str]| names.iter().map(|name| format!("RCPT TO:<{name}@example.net>\r\n")).collect::<String>();
        let data = "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
        let said = format!(
            "EHLO x\r\n{mail}{}RSET\r\n{mail}{}{data}{mail}{}{data}{mail}{}{data}{mail}QUIT\r\n",
            to(&["a"]),
            to(&["a", "b"]),
            to(&["c", "d"]),
            to(&["e"])
        );
        let run = mailchute().uid(SHOP).arg("-bs").stdin(said).run();
        let replies: Vec<&str> = run.stdout.lines().filter(|line| !line.starts_with("250-")).collect();
        for (at, wanted) in [
            "220 *",
            "250 HELP",
            "250 *",
            "250 *",
            "250 *", // given up: nothing is counted
            "250 *",
            "250 *",
            "250 *",
            "354 *",
            "250 2.0.0 discarded*", // two recipients
            "250 *",
            "250 *",
            "250 *",
            "354 *",
            "450-4.7.1 site default: over the limit of 3 recipients/day, next free*",
            "450 4.7.1 hint: *",
            "250 *",
            "250 *",
            "354 *",
            "250 2.0.0 discarded*", // the third
            "450-4.7.1 site default: over the limit of *",
            "450 4.7.1 hint: *",
            "221 *",
        ]
        .iter()
        .enumerate()
        {
            assert!(matches(wanted, replies[at]), "{at}: {wanted}\n{}", run.report());
        }
        run.expect_status(50);
    });
}

#[test]
fn what_waits_for_room_is_admitted_by_the_flush() {
    on_a_host(|host| {
        let server = Server::new().start();
        let relays = relay("main", server.port());
        configure(host, "limit = \"1/day\"\nover_limit = \"spool\"", &relays);
        send().expect_status(0);
        let run = send();
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{}", run.report());
        let record = record();
        assert_eq!((&record["spool"], &record["code"], &record["exit"]), (&"queue".into(), &450.into(), &0.into()));
        let id = record["id"].as_str().unwrap().to_owned();
        let entry = PathBuf::from(format!("/var/spool/mailchute/{SHOP}/queue/{id}"));
        let due = entry.metadata().unwrap().mtime() - now();
        assert!((86_000..=86_402).contains(&due), "{due}: when the first one is out of the window");
        assert!(fs::read_to_string(&entry).unwrap().contains("\"is_unadmitted\":true"));
        // A caller that speaks SMTP is told the same.
        assert_eq!(taken(1), 1);
        // Nobody comes before there is room, asked or not.
        let flush = |words: &[&str]| mailchute().uid(SHOP).args(["queue", "flush"]).args(words.to_vec()).run();
        flush(&[]).expect_status(0);
        flush(&[&id]).expect_status(69);
        assert!(entry.metadata().unwrap().mtime() - now() > 86_000);
        assert_eq!(host_counts(host, &relays, "limit = \"2/day\"\nover_limit = \"spool\""), 1);
        flush(&[&id]).expect_status(0);
        assert!(!entry.exists());
        // It counts from now on.
        send().expect_status(0);
        assert_eq!(fs::read_dir(entry.parent().unwrap()).unwrap().count(), 2);
        assert_eq!(server.finish().len(), 2);
    });
}

/// Configures anew; how many messages wait.
fn host_counts(host: &Host<'_>, relays: &str, top: &str) -> usize {
    configure(host, top, relays);
    fs::read_dir(format!("/var/spool/mailchute/{SHOP}/queue")).unwrap().count() - 1
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn a_relay_over_its_limit_is_passed_by() {
    on_a_host(|host| {
        let (main, backup) = (Server::new().start(), Server::new().start());
        let limited = |name, port, limit: &str| format!("{}limit = \"{limit}\"\n", relay(name, port));
        let relays = limited("main", main.port(), "2/day") + &limited("backup", backup.port(), "1/day");
        configure(host, "", &relays);
        let tries = || record()["tries"].as_array().unwrap().len();
        send().expect_status(0);
        send().expect_status(0);
        assert_eq!(tries(), 1);
        let run = send();
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        assert_eq!(tries(), 2);
        let run = send();
        run.expect_status(50);
        run.expect_stderr(
            "mailchute: relay main: 450 4.7.1 over the limit of 2/day, next free at * (mailchute, site default)*",
        );
        assert!(run.stderr.contains("\nmailchute: relay backup: relay backup: 450 4.7.1 over the limit of 1/day"));
        // Under -bs MAIL says so.
        let run = mailchute().uid(SHOP).arg("-bs").stdin(session(1)).run();
        assert!(run.stdout.contains("\r\n450-4.7.1 relay main: over the limit of 2/day"), "{}", run.report());
        // It is a relay's trouble, so it waits where such things do.
        configure(host, "on_relay_failure = \"spool\"", &relays);
        send().expect_status(0);
        assert_eq!(record()["spool"], "queue");
        let id = record()["id"].as_str().unwrap().to_owned();
        mailchute().uid(SHOP).args(["queue", "flush", &id]).run().expect_status(69);
        let entry = format!("/var/spool/mailchute/{SHOP}/queue/{id}");
        assert!(Path::new(&entry).metadata().unwrap().mtime() - now() > 86_000, "as long as the relay is over it");
        assert_eq!((main.finish().len(), backup.finish().len()), (2, 1));
    });
}

#[test]
fn only_what_was_sent_counts_for_a_relay_and_for_recipients() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        configure(host, "", &format!("{}limit = \"1/day\"\n", relay("main", nobody.number())));
        send().expect_status(69);
        send().expect_status(69);
        let server = Server::new().start();
        configure(host, "", &format!("{}limit = \"1/day\"\n", relay("main", server.port())));
        send().expect_status(0);
        send().expect_status(50);
        assert_eq!(server.finish().len(), 1);
        let server = Server::new().reply(Moment::RcptOf("a@example.net".into()), "550 5.1.1 no such user").start();
        let top = "partial = \"deliver\"\nlimit = [\"9/day\", \"5 recipients/day\"]";
        configure(host, top, &format!("{}limit = \"5 recipients/day\"\n", relay("other", server.port())));
        send_to(&["a@example.net", "b@example.net", "c@example.net"]).expect_status(150);
        // Two were sent, so three are left, of which one is refused again.
        send_to(&["a@example.net", "b@example.net", "c@example.net", "d@example.net"]).expect_status(50);
        send_to(&["a@example.net", "b@example.net", "c@example.net"]).expect_status(150);
        send_to(&["a@example.net", "b@example.net"]).expect_status(50);
        server.finish();
    });
}

#[test]
fn what_a_provider_takes_is_known_where_its_pages_say_so() {
    on_a_host(|host| {
        let many: Vec<String> = (0..51).map(|number| format!("user{number}@example.net")).collect();
        let provider = "provider = \"postmark\"\ntoken = \"t\"\nlimit = \"provider\"\n";
        configure(host, "", &format!("[relay.main]\n{provider}"));
        let run = send_to(&many.iter().map(String::as_str).collect::<Vec<_>>());
        run.expect_status(65);
        run.expect_stderr("mailchute: relay main: takes 50 recipients a message, this one has 51 *");
    });
}

#[test]
fn what_cannot_be_counted_is_not_sent() {
    on_a_host(|host| {
        configure(host, "limit = \"9/day\"", NULL);
        let own = format!("{STATE}/{SHOP}");
        host.write(&own, "", 0o600);
        // Its own name is taken, so it takes the next.
        send().expect_status(0);
        assert_eq!(fs::read_dir(format!("{own}.1")).unwrap().count(), 1);
        fs::set_permissions(STATE, Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(format!("{own}.1")).unwrap();
        let run = send();
        run.expect_status(73);
        run.expect_stderr("mailchute: site default: its limit cannot be counted, so nothing is sent: *");
        // Where the host has no place at all, there is the user's own.
        fs::remove_dir_all(STATE).unwrap();
        send().expect_status(0);
        let home = "/home/shop/.local/state/mailchute/state";
        assert_eq!(fs::read_dir(home).unwrap().count(), 1);
        fs::remove_dir_all("/home/shop/.local").unwrap();
        host.write("/home/shop/.local", "", 0o600);
        send().expect_status(73);
    });
}

#[test]
fn a_file_that_root_does_not_own_lifts_no_limit() {
    on_a_host(|host| {
        configure(host, "limit = \"3/day\"\ndefault_site = \"refuse\"", "");
        let own = "limit = \"100/second\"\n[relay.own]\nprotocol = \"null\"\n[site.shop]\n[site.\"shop/a\"]\n\
                   limit = []\n[site.\"shop/b\"]\nlimit = \"7/day\"\nover_limit = \"refuse\"\n";
        host.write_as("/etc/mailchute/sites.d/shop.toml", own, 0o600, (SHOP, SHOP));
        let as_site =
            |site: &str| mailchute().uid(SHOP).args(["--site", site, "-i", "b@example.net"]).stdin(MESSAGE).run();
        for site in ["shop", "shop/a", "shop/b"] {
            as_site(site).expect_status(0);
        }
        for site in ["shop", "shop/a", "shop/b"] {
            as_site(site).expect_status(50);
        }
        // One of root's may say what it likes.
        fs::remove_file("/etc/mailchute/sites.d/shop.toml").unwrap();
        let roots = format!("limit = []\n{NULL}[site.shop]\nuser = \"shop\"\n");
        host.write("/etc/mailchute/sites.d/shop.toml", &roots, 0o644);
        for _ in 0..5 {
            as_site("shop").expect_status(0);
        }
    });
}

#[test]
fn explain_and_the_queue_tell_what_is_left() {
    on_a_host(|host| {
        configure(host, "limit = [\"2/day\", \"9 recipients/hour\"]", &format!("{NULL}limit = \"5/week\"\n"));
        let explain = || mailchute().uid(SHOP).args(["explain", "b@example.net"]).stdin(MESSAGE).run();
        let run = explain();
        run.expect_status(0);
        assert!(
            run.stdout.contains("limit         2/day: 2 left\n              9 recipients/hour: 9 left\n"),
            "{}",
            run.report()
        );
        assert!(counters(SHOP).is_empty(), "nothing is made");
        send_to(&["a@example.net", "b@example.net"]).expect_status(0);
        send().expect_status(0);
        let run = explain();
        run.expect_status(50);
        assert!(run.stdout.contains("limit         2/day: none left, next free at "), "{}", run.report());
        assert!(run.stdout.contains("9 recipients/hour: 6 left\n"), "{}", run.report());
        assert!(run.stdout.contains("5/week: 3 left\n"), "{}", run.report());
        let run = mailchute().uid(SHOP).args(["queue", "--summary"]).run();
        assert!(run.stdout.contains("site default: 2/day: none left, next free at "), "{}", run.report());
        let run = mailchute().uid(SHOP).args(["queue", "--summary", "--json"]).run();
        let count: Value = serde_json::from_str(&run.stdout).unwrap();
        let first = &count["limits"][0];
        assert_eq!(
            (&first["subject"], &first["limit"], &first["left"]),
            (&"site default".into(), &"2/day".into(), &0.into())
        );
        assert!(first["next"].as_i64().unwrap() > now() + 86_000);
        assert_eq!(count["limits"].as_array().unwrap().len(), 3);
    });
}

/// The proof of exactness: 200 processes at once, limit 1000, 2000 asked.
#[test]
fn of_two_thousand_asked_by_two_hundred_processes_a_thousand_are_admitted() {
    on_a_host(|host| {
        configure(host, "limit = [\"1000/day\", \"5000 recipients/day\"]", NULL);
        let running: Vec<_> = (0..200).map(|_| mailchute().uid(SHOP).arg("-bs").stdin(session(10)).spawn()).collect();
        let runs: Vec<Run> = thread::scope(|scope| {
            let ends: Vec<_> = running.into_iter().map(|running| scope.spawn(|| running.finish())).collect();
            ends.into_iter().map(|end| end.join().unwrap()).collect()
        });
        let said = |what: &str| runs.iter().map(|run| run.stdout.matches(what).count()).sum::<usize>();
        assert_eq!(said("\r\n250 2.0.0 discarded"), 1000);
        assert_eq!(said("450-4.7.1 site default: over the limit of 1000/day"), 1000);
        // Whatever is asked now, and by whom of them, nothing more.
        assert_eq!(taken(3), 0);
    });
}

#[test]
fn a_limit_may_be_changed_while_it_counts() {
    on_a_host(|host| {
        let mut sent = 0;
        for (limit, room) in [(30, 30), (50, 20), (10, 0), (60, 10), (600, 540), (599, 0), (601, 1)] {
            configure(host, &format!("limit = \"{limit}/day\""), NULL);
            let admitted: usize = thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(160))).collect();
                all.into_iter().map(|one| one.join().unwrap()).sum()
            });
            assert_eq!(admitted, room, "at {limit}, after {sent}");
            sent += admitted;
        }
    });
}

/// What one sweep finds before the message that is killed.
struct Before {
    name: &'static str,
    prepare: fn(&Path),
}

/// Killed at every system call from the first that has to do with the limit on, a message counts or does not, and never
/// does one go that is too much: over a limit of two, the killed one and all that are sent after it.
#[test]
fn wherever_a_process_is_killed_never_one_too_many_is_sent() {
    if !need_strace() {
        return;
    }
    for before in [
        Before { name: "nothing was counted yet", prepare: |path| fs::remove_dir_all(path.parent().unwrap()).unwrap() },
        Before { name: "something was", prepare: |path| fs::write(path, "").unwrap() },
        Before { name: "its end is torn, so it is written anew", prepare: |path| fs::write(path, [0; 64]).unwrap() },
    ] {
        on_a_host(|host| {
            let server = Server::new().start();
            configure(host, "limit = [\"2/day\", \"5 recipients/day\"]", &relay("main", server.port()));
            let trace = Path::new("/run/trace");
            host.write_as("/run/trace", "", 0o600, (SHOP, SHOP));
            send().expect_status(0);
            let path = counters(SHOP).remove(0);
            let call = |id: &str| mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(message(id));
            let reset = || {
                (before.prepare)(&path);
                if path.exists() {
                    std::os::unix::fs::chown(&path, Some(SHOP), Some(SHOP)).unwrap();
                }
            };
            reset();
            let (_, points) = testkit::points(call("traced"), trace);
            let first = points.iter().position(|point| point.line.contains("O_RDWR|O_NOCTTY|O_NONBLOCK")).unwrap();
            // Where the uid has no directory yet, it is looked for by 256 names.
            let is_worth_it = |point: &&testkit::Point| !(point.call == "statx" && point.line.contains("ENOENT"));
            let mut cases = Vec::new();
            for (number, point) in points[first..].iter().filter(is_worth_it).enumerate() {
                reset();
                let id = format!("killed-{number}");
                let (run, is_hit) = call(&id).at(point, Fault::Kill, trace).run();
                let mut later = 0;
                while later < 4 && call("later").run().status == 0 {
                    later += 1;
                }
                cases.push((id, is_hit, later, format!("{point:?}\n{}", run.report())));
            }
            let arrived = accepted(&server.finish());
            let (mut kills, mut in_vain) = (0, 0);
            for (id, is_hit, later, tale) in cases {
                let sent = later + arrived.get(&id).copied().unwrap_or_default();
                assert!(
                    later > 0 && sent <= 2,
                    "{}: {sent} of 2 were sent, {later} of them later: {tale}",
                    before.name
                );
                kills += usize::from(is_hit);
                in_vain += 2 - sent;
            }
            assert!(kills > 20, "{}: {kills}", before.name);
            tell(format!("limit, {}: killed at {kills} points, {in_vain} counted in vain, none too many", before.name));
        });
    }
}

/// All uids of a site count together where no caller can reach what counts.
#[test]
fn with_a_set_group_id_binary_a_site_counts_for_all_its_users() {
    const GROUP: u32 = 61050;
    Host::run(&[("shop", SHOP), ("web", WEB), ("mailchute", GROUP)], |host| {
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let shared = format!("{STATE}/shared");
        fs::create_dir_all(&shared).unwrap();
        for (path, mode) in [(STATE, 0o3770), (shared.as_str(), 0o2770)] {
            std::os::unix::fs::chown(path, Some(0), Some(GROUP)).unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let config = format!("limit = \"9/day\"\n{NULL}[site.shop]\nuser = [\"shop\", \"web\"]\nlimit = \"3/day\"\n");
        host.write(CONFIG, &config, 0o644);
        let send = |uid, under: &[&str]| {
            let call = Mailchute::new(&binary).uid(uid).args(["-i", "bob@example.net"]).stdin(MESSAGE);
            if under.is_empty() { call.run() } else { call.under(under[0], &under[1..]).run() }
        };
        // A umask of the caller's closes it to nobody.
        send(SHOP, &["sh", "-c", "umask 0777; exec \"$@\"", "sh"]).expect_status(0);
        send(WEB, &[]).expect_status(0);
        send(SHOP, &[]).expect_status(0);
        for uid in [SHOP, WEB] {
            send(uid, &[]).expect_status(50);
        }
        let files: Vec<_> = fs::read_dir(&shared).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0].metadata().unwrap().len(), 48);
        // Nothing of it is in a caller's reach.
        let gone = |words: &[&str]| {
            Command::new("setpriv")
                .args(["--reuid", "61042", "--regid", "61042", "--clear-groups", "--"])
                .args(words)
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        let path = files[0].to_str().unwrap();
        for words in [["rm", "-f", path], ["truncate", "-s0", path], ["cat", path, path], ["ls", &shared, STATE]] {
            assert!(!gone(&words), "{words:?}");
        }
        send(SHOP, &[]).expect_status(50);
        // No file can be written by a process that its caller has cut short: it is not sent, and nobody else suffers.
        host.write(CONFIG, &config.replace("3/day", "4/day"), 0o644);
        send(SHOP, &["prlimit", "--fsize=50"]).expect_status(74);
        send(WEB, &[]).expect_status(0);
        send(SHOP, &[]).expect_status(50);
    });
}

/// Sends to `NUMBER@example.net`; whether it waits.
fn waits(number: usize) -> bool {
    send_to(&[&format!("{number}@example.net")]).expect_status(0);
    record()["spool"] == "queue"
}

fn flush() {
    mailchute().uid(SHOP).args(["queue", "flush"]).run();
}

/// How many wait.
fn waiting() -> usize {
    fs::read_dir(format!("/var/spool/mailchute/{SHOP}/queue")).unwrap().count()
}

/// The names at example.net of those who got something in a session.
fn recipients(session: &Session) -> Vec<String> {
    let name = |path: &str| path.split('@').next().unwrap_or_default().to_owned();
    session.deliveries.iter().flat_map(|delivery| delivery.forward_paths()).map(name).collect()
}

#[test]
fn who_waits_for_room_goes_before_who_comes_later() {
    on_a_host(|host| {
        let server = Server::new().start();
        let limited = |limit: &str| limited(host, limit, &server);
        limited("1/day");
        assert_eq!([waits(0), waits(1), waits(2)], [false, true, true]);
        limited("2/day");
        // There is room for one, and it is not for the one that comes.
        assert!(waits(3));
        let record = record();
        let text = "other messages wait for its limit, this one waits behind them";
        assert_eq!((&record["code"], &record["text"]), (&450.into(), &text.into()));
        assert_eq!(taken(1), 1, "a caller that speaks SMTP is told the same");
        flush();
        assert_eq!(waiting(), 3, "the first one is sent, though others were due before it");
        limited("9/day");
        assert!(waits(4));
        flush();
        assert_eq!(waiting(), 0);
        assert!(!waits(5), "nobody waits any more");
        let sent = server.finish().iter().flat_map(recipients).collect::<Vec<_>>();
        assert_eq!(sent, ["0", "1", "2", "3", "b", "4", "5"]);
    });
}

#[test]
fn a_large_message_is_not_passed_by_small_ones() {
    on_a_host(|host| {
        let server = Server::new().start();
        let limited = |limit: &str| limited(host, limit, &server);
        limited("4 recipients/day");
        assert!(!waits(0));
        send_to(&["1@example.net", "2@example.net", "3@example.net", "4@example.net"]).expect_status(0);
        assert!([waits(5), waits(6)] == [true, true], "though there is room for them");
        flush();
        assert_eq!(waiting(), 3);
        limited("5 recipients/day");
        assert!(waits(7));
        flush();
        assert_eq!(waiting(), 3);
        let sent = server.finish().iter().flat_map(recipients).collect::<Vec<_>>();
        assert_eq!(sent, ["0", "1", "2", "3", "4"]);
    });
}

#[test]
fn a_mark_that_is_left_behind_delays_and_stops_nobody() {
    on_a_host(|host| {
        let server = Server::new().start();
        let limited = |limit: &str| limited(host, limit, &server);
        limited("1/day");
        assert_eq!([waits(0), waits(1)], [false, true]);
        limited("9/day");
        for entry in fs::read_dir(format!("/var/spool/mailchute/{SHOP}/queue")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        assert!(waits(2), "as far as it knows");
        flush();
        assert!(!waits(3));
        // One whose time is up counts for nothing, nor does what is none, or somebody else's.
        let mark = format!("{}.line", counters(SHOP).remove(0).display());
        for (octets, owner, is_heeded) in [
            (&[1, 0, 0, 0, 0, 0, 0, 0][..], SHOP, false),
            (&[0xff; 7], SHOP, false),
            (&[0xff; 8], WEB, false),
            (&[0xff; 8], SHOP, true),
        ] {
            fs::write(&mark, octets).unwrap();
            std::os::unix::fs::chown(&mark, Some(owner), Some(owner)).unwrap();
            assert_eq!(waits(4), is_heeded, "{octets:?} {owner}");
            fs::remove_file(&mark).unwrap();
        }
    });
}

#[test]
fn those_who_come_while_what_waits_is_sent_take_no_place_of_theirs() {
    on_a_host(|host| {
        let server = Server::new().start();
        let limited = |limit: &str| limited(host, limit, &server);
        limited("2/day");
        let all: Vec<bool> = (0..12).map(waits).collect();
        assert_eq!(all.iter().filter(|waits| **waits).count(), 10);
        limited("8/day");
        thread::scope(|scope| {
            for number in 12..24 {
                scope.spawn(move || {
                    send_to(&[&format!("{number}@example.net")]).expect_status(0);
                });
            }
            scope.spawn(flush);
        });
        flush();
        let mut sent: Vec<usize> =
            server.finish().iter().flat_map(recipients).map(|name| name.parse().unwrap()).collect();
        sent.sort_unstable();
        assert_eq!(sent, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(waiting(), 24 - 8);
    });
}

#[test]
fn one_limit_costs_no_more_than_seven_system_calls() {
    if !need_strace() {
        return;
    }
    on_a_host(|host| {
        let trace = "/run/trace";
        let calls = |top: &str| {
            configure(host, top, NULL);
            let count = || {
                let mut strace = testkit::apart("strace");
                strace.args(["-o", trace, env!("CARGO_BIN_EXE_mailchute"), "-i", "bob@example.net"]);
                let mut child = strace.stdin(Stdio::piped()).spawn().unwrap();
                child.stdin.take().unwrap().write_all(MESSAGE.as_bytes()).unwrap();
                assert!(child.wait().unwrap().success());
                // In a debug build the standard library looks at a descriptor before it closes it.
                fs::read_to_string(trace).unwrap().lines().filter(|line| !line.contains("F_GETFD")).count()
            };
            // The first makes the file.
            count();
            count()
        };
        let (without, with) = (calls(""), calls("limit = \"1000/day\""));
        assert!((without + 1..=without + 7).contains(&with), "{without} {with}");
    });
}
