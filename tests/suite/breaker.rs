//! Relays that are down are remembered and passed by, and no mail is lost over it. Each test has a host of its own,
//! where the account `shop` (uid 61042) sends through `main`, and through `backup` behind it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Action, Host, Mailchute, Moment, Port, Run, Server, need};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const STATE: &str = "/var/lib/mailchute/state/61042";
const FILE: &str = "/var/lib/mailchute/state/61042/relays";
const SECRET: &str = "correct horse battery staple";

/// A host where something can be remembered.
fn on_a_host(test: impl FnOnce(&Bench<'_>) + Send) {
    Host::run(&[("shop", SHOP)], |host| {
        fs::create_dir_all("/var/lib/mailchute/state").unwrap();
        fs::set_permissions("/var/lib/mailchute/state", fs::Permissions::from_mode(0o1733)).unwrap();
        test(&Bench { host });
    });
}

struct Bench<'a> {
    host: &'a Host<'a>,
}

impl Bench<'_> {
    /// The configuration: what stands at its top, and relays with their lines, in order.
    fn configure(&self, top: &str, relays: &[(&str, &str)]) {
        let relays: String = relays.iter().map(|(name, lines)| format!("[relay.{name}]\n{lines}")).collect();
        let text = format!("{top}\n{relays}\n[log]\nto = [\"/home/shop/log\"]\n");
        self.host.write("/etc/mailchute/config.toml", &text, 0o644);
    }

    /// `main` at this port and `backup` as this server has it.
    fn main_and_backup(&self, main: u16, backup: &Server) {
        self.configure("", &[("main", &at(main)), ("backup", &backup.relay_lines(self.host.scratch()))]);
    }

    fn call(&self) -> Mailchute {
        mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
    }

    /// Sends a message and says what the record has of it.
    fn send(&self) -> (Run, Value) {
        let run = self.call().run();
        assert!(run.status != 0 || run.stderr.is_empty(), "{}", run.report());
        (run, last_record())
    }

    /// The relays that the next message is tried at.
    fn tries(&self) -> Vec<String> {
        names(&self.send().1)
    }

    fn explain(&self) -> String {
        mailchute().uid(SHOP).args(["explain", "bob@example.net"]).stdin(MESSAGE).run().stdout
    }
}

/// A relay on this host that wants no login.
fn at(port: u16) -> String {
    format!("host = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n")
}

fn last_record() -> Value {
    let log = fs::read_to_string("/home/shop/log").unwrap_or_default();
    serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap_or_default()
}

fn names(record: &Value) -> Vec<String> {
    let tries = record["tries"].as_array().expect("tries");
    tries.iter().map(|attempt| attempt["relay"].as_str().unwrap_or_default().to_owned()).collect()
}

fn warnings(record: &Value) -> Vec<String> {
    let warnings = record["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().map(|warning| warning.as_str().unwrap_or_default().to_owned()).collect()
}

fn expect_one(texts: &[String], pattern: &str) {
    assert!(texts.len() == 1 && testkit::matches(pattern, &texts[0]), "expected: {pattern}\n{texts:#?}");
}

/// So many seconds pass for what is remembered: the times in it become as much older.
fn pass(seconds: u64) {
    let mut octets = fs::read(FILE).expect("something is remembered");
    for slot in octets.chunks_exact_mut(64).filter(|slot| slot[16] == 1) {
        for at in (24..56).step_by(8) {
            let time = u64::from_le_bytes(*slot[at..].first_chunk().unwrap());
            slot[at..at + 8].copy_from_slice(&time.saturating_sub(seconds * 1000).to_le_bytes());
        }
        let crc = crc32(&slot[..60]);
        slot[60..].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(FILE, octets).unwrap();
}

fn crc32(octets: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !octets.iter().fold(u32::MAX, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), step))
}

fn deliveries(server: Server) -> usize {
    server.finish().iter().map(|session| session.deliveries.len()).sum()
}

#[test]
fn the_third_message_makes_no_connection_to_a_dead_relay() {
    on_a_host(|bench| {
        let (nobody, backup) = (Port::reserve(), Server::new().start());
        bench.main_and_backup(nobody.number(), &backup);
        assert_eq!(bench.tries(), ["main", "backup"]);
        assert!(!bench.explain().contains("down since"), "one trouble is none");
        assert_eq!(bench.tries(), ["main", "backup"]);
        let (run, record) = bench.send();
        run.expect_status(0);
        assert_eq!(names(&record), ["backup"], "{record}");
        let skipped = "relay main skipped: down since 20*Z (no connection), the next try is after 20*Z";
        expect_one(&warnings(&record), skipped);
        let shown = bench.explain();
        let row = shown.lines().find(|line| line.contains("down since")).unwrap_or_default();
        assert!(testkit::matches("* down since 20*Z (no connection), the next try is after 20*Z", row), "{shown}");
        let run = bench.call().arg("-v").run();
        assert!(run.stderr.contains("* relay main skipped: down since"), "{}", run.report());
        let modes = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((modes(STATE), modes(FILE)), (0o700, 0o600));
        assert_eq!(deliveries(backup), 4);
    });
}

#[test]
fn a_relay_that_is_back_is_used_again() {
    on_a_host(|bench| {
        let busy = Server::new().reply(Moment::Greeting, "421 4.3.2 too busy").start();
        let backup = Server::new().start();
        bench.main_and_backup(busy.port(), &backup);
        for tries in [&["main", "backup"][..], &["main", "backup"], &["backup"]] {
            assert_eq!(bench.tries(), tries);
        }
        // Its time is over: the next one tries it, and it is still busy, so that the time doubles.
        pass(36);
        assert!(bench.explain().contains("(it answered 421), the next message tries it"), "{}", bench.explain());
        let (_, record) = bench.send();
        assert_eq!(names(&record), ["main", "backup"], "{record}");
        let probed = "relay main tried to see whether it is back: down since 20*Z (it answered 421), *";
        expect_one(&warnings(&record), probed);
        pass(36);
        assert_eq!(bench.tries(), ["backup"]);
        assert_eq!(busy.finish().len(), 3, "no connection that is not told of");

        let well = Server::new().start();
        bench.main_and_backup(well.port(), &backup);
        pass(600);
        assert_eq!(bench.tries(), ["main"]);
        assert!(!bench.explain().contains("down since"), "{}", bench.explain());
        assert_eq!((deliveries(well), deliveries(backup)), (1, 5));
    });
}

#[test]
fn a_refused_login_is_not_tried_again_before_its_secret_is_another() {
    on_a_host(|bench| {
        let main = Server::new().login("alice", SECRET, &["PLAIN"]).start();
        let backup = Server::new().start();
        let secret = bench.host.write_as("/etc/mailchute/secrets/main", "wrong\n", 0o600, (SHOP, SHOP));
        let login = format!("username = \"alice\"\npassword = {{ file = \"{}\" }}\n", secret.display());
        let lines = at(main.port()) + &login;
        bench.configure("", &[("main", &lines), ("backup", &backup.relay_lines(bench.host.scratch()))]);
        assert_eq!(bench.tries(), ["main", "backup"]);
        for seconds in [0, 60, 400] {
            pass(seconds);
            let (_, record) = bench.send();
            assert_eq!(names(&record), ["backup"], "{record}");
            expect_one(&warnings(&record), "relay main skipped: down since 20*Z (it refused the login with 535), *");
        }
        // Another wrong one costs one login, the right one mends it.
        bench.host.write_as("/etc/mailchute/secrets/main", "another wrong one\n", 0o600, (SHOP, SHOP));
        assert_eq!(bench.tries(), ["main", "backup"]);
        assert_eq!(bench.tries(), ["backup"]);
        bench.host.write_as("/etc/mailchute/secrets/main", &format!("{SECRET}\n"), 0o600, (SHOP, SHOP));
        assert_eq!(bench.tries(), ["main"]);
        assert_eq!(bench.tries(), ["main"]);
        assert_eq!(main.finish().len(), 4);
        assert!(!String::from_utf8_lossy(&fs::read(FILE).unwrap()).contains("horse"));
    });
}

#[test]
fn what_is_said_of_the_message_is_no_trouble_of_the_relays() {
    on_a_host(|bench| {
        let backup = Server::new().start();
        for (server, tries) in [
            (Server::new().reply(Moment::Rcpt, "450 4.2.1 mailbox busy"), &["main", "backup"][..]),
            (Server::new().reply(Moment::Mail, "451 4.7.1 greylisted"), &["main", "backup"]),
            (Server::new().reply(Moment::Rcpt, "550 5.1.1 no such user"), &["main"]),
            (Server::new().reply(Moment::Message, "554 5.7.1 spam"), &["main"]),
        ] {
            let main = server.start();
            bench.main_and_backup(main.port(), &backup);
            for _ in 0..4 {
                assert_eq!(bench.tries(), tries);
            }
            assert!(main.finish().len() >= 4);
        }
        assert!(!Path::new(FILE).exists(), "and nothing is written");
    });
}

#[test]
fn an_api_that_is_away_is_passed_by() {
    on_a_host(|bench| {
        let web = testkit::Web::start(None, |_| testkit::Answer::text("HTTP/1.1 503 Service Unavailable\n\n"));
        let backup = Server::new().start();
        let main = format!(
            "provider = \"postmark\"\nvia = \"api\"\ntoken = \"k\"\nendpoint = \"http://127.0.0.1:{}\"\n",
            web.port()
        );
        bench.configure("", &[("main", &main), ("backup", &backup.relay_lines(bench.host.scratch()))]);
        for tries in [&["main", "backup"][..], &["main", "backup"], &["backup"]] {
            assert_eq!(bench.tries(), tries);
        }
        assert_eq!((web.finish().len(), deliveries(backup)), (2, 3));
    });
}

#[test]
fn where_all_are_down_the_one_that_is_due_first_is_tried_all_the_same() {
    on_a_host(|bench| {
        let (one, other) = (Port::reserve(), Port::reserve());
        let lines = |port: u16| [("main", at(one.number())), ("backup", at(port))];
        let configure = |port: u16| {
            let lines = lines(port);
            bench.configure("", &lines.each_ref().map(|(name, lines)| (*name, lines.as_str())));
        };
        configure(other.number());
        for _ in 0..2 {
            let (run, record) = bench.send();
            run.expect_status(69);
            assert_eq!(names(&record), ["main", "backup"], "{record}");
        }
        let (run, record) = bench.send();
        run.expect_status(69);
        assert_eq!(names(&record).len(), 1, "{record}");
        let told = warnings(&record);
        assert!(told.iter().any(|warning| warning.contains(" skipped: down since ")), "{told:#?}");
        assert!(told.iter().any(|warning| warning.contains(" tried for want of another: down since ")), "{told:#?}");
        // The relay that is well does not take it: the other one is the last resort.
        let deferring = Server::new().reply(Moment::Rcpt, "450 4.2.1 busy").start();
        configure(deferring.port());
        // The configuration was written anew, so that one probe is due.
        assert_eq!(bench.tries(), ["main", "backup"]);
        assert_eq!(bench.tries(), ["backup", "main"]);
        deferring.finish();
        // It accepts while it is taken for down: nothing is lost, and it is up.
        let mut octets = fs::read(FILE).unwrap();
        octets.iter_mut().for_each(|octet| *octet = 0);
        fs::write(FILE, &octets).unwrap();
        let well = Server::new().start();
        bench.configure("", &[("main", &at(one.number())), ("backup", &at(well.port()))]);
        assert_eq!(bench.tries(), ["main", "backup"]);
        assert_eq!(bench.tries(), ["main", "backup"]);
        assert_eq!(bench.tries(), ["backup"]);
        assert_eq!(deliveries(well), 3);
    });
}

#[test]
fn one_of_fifty_probes() {
    on_a_host(|bench| {
        let hanging = Server::new().at(Moment::Greeting, Action::Hang).start();
        let backup = Server::new().start();
        let main = at(hanging.port()) + "connect_timeout = \"1s\"\n";
        bench.configure("", &[("main", &main), ("backup", &backup.relay_lines(bench.host.scratch()))]);
        for tries in [&["main", "backup"][..], &["main", "backup"], &["backup"]] {
            assert_eq!(bench.tries(), tries);
        }
        pass(40);
        let running: Vec<_> = (0..50).map(|_| bench.call().spawn()).collect();
        for running in running {
            running.finish().expect_status(0);
        }
        let sessions = hanging.finish();
        assert_eq!(sessions.len(), 3, "two that opened it, and one probe");
        assert_eq!(deliveries(backup), 53);
    });
}

#[test]
fn a_file_that_is_not_ours_or_nonsense_is_worth_nothing() {
    let nothing: &[u8] = b"";
    let long = vec![0xa5; 1 << 20];
    let newer: Vec<u8> = (0..32u8).flat_map(|slot| [slot, 2].into_iter().chain([7; 62])).collect();
    let cases: &[(&str, &(dyn Fn() + Sync))] = &[
        ("empty", &|| fs::write(FILE, nothing).unwrap()),
        ("short", &|| fs::write(FILE, &newer[..100]).unwrap()),
        ("of a newer version", &|| fs::write(FILE, &newer).unwrap()),
        ("nonsense, and long", &|| fs::write(FILE, &long).unwrap()),
        ("root's", &|| fs::write(FILE, nothing).unwrap()),
        ("another's", &|| {
            fs::write(FILE, nothing).unwrap();
            chown(FILE, Some(61043), None).unwrap();
        }),
        ("another's, and open to all", &|| {
            fs::write(FILE, &newer).unwrap();
            fs::set_permissions(FILE, fs::Permissions::from_mode(0o666)).unwrap();
            chown(FILE, Some(61043), None).unwrap();
        }),
        ("a link", &|| symlink("/etc/passwd", FILE).unwrap()),
        ("a second name", &|| {
            fs::write("/home/shop/mine", "mine").unwrap();
            chown("/home/shop/mine", Some(SHOP), None).unwrap();
            let _ = fs::hard_link("/home/shop/mine", FILE);
        }),
        ("a FIFO", &|| assert!(Command::new("mkfifo").arg(FILE).status().unwrap().success())),
    ];
    on_a_host(|bench| {
        let (nobody, backup) = (Port::reserve(), Server::new().start());
        bench.main_and_backup(nobody.number(), &backup);
        for (what, lay) in cases {
            let _ = fs::remove_dir_all(STATE);
            fs::create_dir(STATE).unwrap();
            chown(STATE, Some(SHOP), Some(SHOP)).unwrap();
            lay();
            if !what.contains("another's")
                && !what.contains("root's")
                && Path::new(FILE).is_file()
                && !Path::new(FILE).is_symlink()
            {
                chown(FILE, Some(SHOP), Some(SHOP)).unwrap();
            }
            for tries in [&["main", "backup"][..], &["main", "backup"], &["backup"]] {
                let (run, record) = bench.send();
                run.expect_status(0);
                assert_eq!(names(&record), tries, "{what}: {record}");
            }
            let found = fs::symlink_metadata(FILE).unwrap();
            assert!(found.is_file() && found.len() <= 2048, "{what}");
        }
        assert_eq!(fs::read_to_string("/home/shop/mine").unwrap_or("mine".to_owned()), "mine");
        assert!(fs::read_to_string("/etc/passwd").unwrap().starts_with("root:"));
        // A directory of that name stays, and nothing is remembered.
        let _ = fs::remove_dir_all(STATE);
        fs::create_dir_all(Path::new(FILE).join("x")).unwrap();
        chown(STATE, Some(SHOP), Some(SHOP)).unwrap();
        for _ in 0..3 {
            assert_eq!(bench.tries(), ["main", "backup"]);
        }
    });
}

#[test]
fn a_neighbour_who_makes_the_directory_first_costs_a_name_only() {
    on_a_host(|bench| {
        let (nobody, backup) = (Port::reserve(), Server::new().start());
        bench.main_and_backup(nobody.number(), &backup);
        fs::create_dir(STATE).unwrap();
        chown(STATE, Some(61043), None).unwrap();
        fs::set_permissions(STATE, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(FILE, [0; 2048]).unwrap();
        chown(FILE, Some(61043), None).unwrap();
        for tries in [&["main", "backup"][..], &["main", "backup"], &["backup"]] {
            assert_eq!(bench.tries(), tries);
        }
        assert_eq!(fs::read(FILE).unwrap(), [0; 2048]);
        assert!(Path::new(&format!("{STATE}.1/relays")).is_file());
    });
}

#[test]
fn without_a_place_nothing_is_remembered_and_nothing_is_said() {
    on_a_host(|bench| {
        fs::remove_dir("/var/lib/mailchute/state").unwrap();
        let (nobody, backup) = (Port::reserve(), Server::new().start());
        bench.main_and_backup(nobody.number(), &backup);
        for _ in 0..3 {
            let (run, record) = bench.send();
            run.expect_status(0);
            assert_eq!(names(&record), ["main", "backup"], "{record}");
            assert_eq!(warnings(&record), Vec::<String>::new());
        }
        // Root makes the place, as where it is installed.
        fs::remove_file("/home/shop/log").unwrap();
        for tries in [&["main", "backup"][..], &["main", "backup"], &["backup"]] {
            let run = mailchute().args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
            run.expect_status(0);
            assert_eq!(names(&last_record()), tries);
        }
    });
}

#[test]
fn a_session_of_smtp_passes_by_what_is_down() {
    on_a_host(|bench| {
        let (nobody, backup) = (Port::reserve(), Server::new().start());
        bench.main_and_backup(nobody.number(), &backup);
        let one = "MAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n";
        let input = format!("EHLO me\r\n{}QUIT\r\n", one.repeat(3));
        let run = mailchute().uid(SHOP).arg("-bs").stdin(input).run();
        run.expect_status(0);
        let log = fs::read_to_string("/home/shop/log").unwrap();
        let tries: Vec<_> = log.lines().map(|line| names(&serde_json::from_str(line).unwrap())).collect();
        assert_eq!(tries, [&["main", "backup"][..], &["main", "backup"], &["backup"]]);
        let sessions = backup.finish();
        assert_eq!((sessions.len(), sessions[1].deliveries.len()), (2, 2), "it is kept where nothing is asked between");
    });
}

#[test]
fn what_waits_tells_which_relay_is_down() {
    on_a_host(|bench| {
        fs::create_dir_all("/var/spool/mailchute").unwrap();
        fs::set_permissions("/var/spool/mailchute", fs::Permissions::from_mode(0o1733)).unwrap();
        bench.host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        bench.host.write("/run/crond.pid", "1\n", 0o644);
        let nobody = Port::reserve();
        bench.configure("on_relay_failure = \"spool\"", &[("main", &at(nobody.number()))]);
        let shown = || {
            let id = last_record()["id"].as_str().unwrap().to_owned();
            mailchute().uid(SHOP).args(["queue", "show", &id]).run().expect_status(0).stdout.clone()
        };
        let (run, record) = bench.send();
        run.expect_status(0);
        assert_eq!(names(&record), ["main"], "{record}");
        assert!(!shown().contains("down:"), "{}", shown());
        // Nothing waits that was not tried, down or not.
        for _ in 0..2 {
            assert_eq!(bench.tries(), ["main"]);
        }
        expect_one(&warnings(&last_record()), "relay main tried for want of another: down since *");
        let line = "down:      main, down since 20*Z (no connection), the next try is after 20*Z";
        assert!(shown().lines().any(|found| testkit::matches(line, found)), "{}", shown());
        // The list tells it once, however many wait, to root as well.
        let line = "relay main (site default) is down since 20*Z (no connection), the next try is after 20*Z";
        for uid in [SHOP, 0] {
            let list = mailchute().uid(uid).arg("queue").run();
            let told = list.expect_status(0).stdout.lines().filter(|found| testkit::matches(line, found)).count();
            assert_eq!(told, 1, "{}", list.report());
        }
    });
}

/// The system calls of a message that have to do with what is remembered.
fn calls(bench: &Bench<'_>) -> Vec<String> {
    let trace = bench.host.scratch().join("trace");
    let words = ["-f", "-y", "-e", "trace=file,desc", "-o", trace.to_str().unwrap()];
    let run = mailchute().args(["-i", "bob@example.net"]).stdin(MESSAGE).under("/usr/bin/strace", &words).run();
    run.expect_status(0);
    let trace = fs::read_to_string(trace).unwrap();
    let own = trace.lines().filter(|line| line.contains("/var/lib/mailchute/state"));
    let names = own.filter_map(|line| line.split_whitespace().nth(1)?.split('(').next());
    // The standard library of a debug build looks at what it closes.
    names.filter(|name| *name != "fcntl").map(str::to_owned).collect()
}

#[test]
fn one_relay_opens_no_file_and_two_cost_four_calls() {
    if need("strace").is_none() {
        return;
    }
    on_a_host(|bench| {
        let (server, backup) = (Server::new().start(), Server::new().start());
        let main = server.relay_lines(bench.host.scratch());
        bench.configure("", &[("main", &main)]);
        assert_eq!(calls(bench), Vec::<String>::new());
        bench.main_and_backup(server.port(), &backup);
        assert!(calls(bench).len() <= 4, "nothing was ever remembered: {:?}", calls(bench));
        // Something was, once.
        fs::create_dir_all("/var/lib/mailchute/state/0").unwrap();
        fs::write("/var/lib/mailchute/state/0/relays", [0; 2048]).unwrap();
        assert_eq!(calls(bench), ["openat", "statx", "pread64", "close"]);
    });
}

#[test]
fn what_is_down_and_stays_so_is_read_and_not_written() {
    if need("strace").is_none() {
        return;
    }
    on_a_host(|bench| {
        let nobody = Port::reserve();
        fs::create_dir_all("/var/spool/mailchute").unwrap();
        bench.host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        bench.host.write("/run/crond.pid", "1\n", 0o644);
        let main = format!("host = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", nobody.number());
        bench.configure("on_relay_failure = \"spool\"", &[("main", &main)]);
        assert!(calls(bench).contains(&"pwrite64".to_owned()), "one trouble");
        assert!(calls(bench).contains(&"pwrite64".to_owned()), "two open it");
        let calls = calls(bench);
        let is_reading = |call: &String| ["openat", "statx", "pread64", "close"].contains(&call.as_str());
        assert!(calls.iter().all(is_reading) && calls.len() <= 10, "{calls:?}");
    });
}
