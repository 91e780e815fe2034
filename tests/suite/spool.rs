//! What no relay takes is kept: when, for whom, and what is said where it cannot be.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use testkit::{Action, Host, Mailchute, Moment, Port, Run, Server, need_strace};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("other", 61043)];
const SPOOL: &str = "/var/spool/mailchute";
const CONFIG: &str = "/etc/mailchute/config.toml";
const LOG: &str = "/var/log/shop.log";

/// A spool, a cron that is sure to flush it, and a site that keeps what `port` does not take.
fn prepare(host: &Host<'_>, port: u16, top: &str) {
    parent();
    host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
    host.write("/run/crond.pid", "1\n", 0o644);
    host.write_as(LOG, "", 0o640, (SHOP, SHOP));
    let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    host.write(CONFIG, &format!("{top}\n{relay}[log]\nto = [\"{LOG}\"]\n"), 0o644);
}

fn parent() {
    fs::create_dir_all(SPOOL).unwrap();
    fs::set_permissions(SPOOL, Permissions::from_mode(0o1733)).unwrap();
}

fn send() -> Run {
    sender().args(["-t", "-i"]).stdin(MESSAGE).run()
}

fn sender() -> Mailchute {
    mailchute().uid(SHOP)
}

/// The entries in a folder of the uid's.
fn entries(folder: &str) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(Path::new(SPOOL).join(SHOP.to_string()).join(folder)) else { return Vec::new() };
    found.map(|entry| entry.unwrap().path()).collect()
}

fn last_record() -> serde_json::Value {
    let log = fs::read_to_string(LOG).unwrap();
    serde_json::from_str(log.lines().last().expect("a record")).unwrap()
}

#[test]
fn a_test_message_is_kept_nowhere_and_says_what_the_relay_said() {
    Host::run(&USERS, |host| {
        let server = Server::new().login("alice", "hunter2", &["PLAIN"]).start();
        let nobody = Port::reserve();
        let wrong = "tls = \"none\"\nusername = \"alice\"\npassword = \"hunter3\"\n";
        let (spool, fail) = ("on_relay_failure = \"spool\"\n", "on_relay_failure = \"fail\"\n");
        let over = "limit = [\"1/day\"]\nover_limit = \"spool\"\n";
        for (top, port, relay, status, first, also) in [
            (spool, server.port(), wrong, 135, "login as alice: 535 *", true),
            (spool, nobody.number(), "tls = \"none\"\n", 69, "*connection refused*", true),
            (fail, nobody.number(), "tls = \"none\"\n", 69, "*connection refused*", false),
        ] {
            prepare(host, port, "");
            let text =
                format!("{top}[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\n{relay}[log]\nto = [\"{LOG}\"]\n");
            host.write_as(CONFIG, &text, 0o640, (0, SHOP));
            let run = sender().args(["test", "--to", "bob@example.net"]).run();
            run.expect_status(status).expect_stderr(&format!("mailchute: {first}"));
            assert!(run.stdout.contains("message: nobody has it\n"), "{}", run.report());
            let told = "also:    mail of programs would be kept in the spool now, and they would be told 0\n";
            assert_eq!(run.stdout.contains(told), also, "{}", run.report());
            assert!(entries("queue").is_empty());
        }
        // Where it could not be kept, nobody is told that it would be.
        prepare(host, nobody.number(), spool);
        fs::set_permissions(SPOOL, Permissions::from_mode(0o755)).unwrap();
        let run = sender().args(["test", "--to", "bob@example.net"]).run();
        run.expect_status(69);
        assert!(!run.stdout.contains("would be kept"), "{}", run.report());
        // One that is over a limit is refused, too.
        prepare(host, nobody.number(), &format!("{spool}{over}"));
        sender().args(["test", "--to", "bob@example.net"]).run().expect_status(69);
        let run = sender().args(["test", "--to", "bob@example.net"]).run();
        run.expect_status(50);
        assert!(entries("queue").is_empty(), "{}", run.report());
    });
}

#[test]
fn a_message_waits_where_the_relay_is_away() {
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), "on_relay_failure = \"spool\"");
        let run = send();
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "{}", run.report());
        let entry = &entries("queue")[0];
        let octets = fs::read_to_string(entry).unwrap();
        assert!(octets.starts_with("mailchute spool 1\n{") && octets.contains(MESSAGE), "{octets}");
        let found = entry.metadata().unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777, found.nlink()), (SHOP, 0o600, 1));
        // It has just been tried.
        assert!(found.modified().unwrap() > SystemTime::now(), "due at once");
        let record = last_record();
        assert_eq!(record["id"].as_str(), entry.file_name().unwrap().to_str());
        assert_eq!((&record["spool"], &record["exit"]), (&"queue".into(), &0.into()), "{record}");
        assert!(record["text"].as_str().unwrap().contains("connection refused"), "{record}");
        let explain = || sender().args(["explain", "bob@example.net"]).run();
        let told = explain().stdout;
        assert!(told.contains(&format!("if none does  it waits in {SPOOL}/{SHOP}, at most 5 days")), "{told}");
        assert!(told.contains("the timer or the cron line sends it"), "{told}");
        fs::remove_file("/run/crond.pid").unwrap();
        assert!(explain().stdout.contains("no timer or cron line is at work"));
        // Without the key all is as before.
        prepare(host, nobody.number(), "");
        send().expect_status(69).expect_stderr("*connection refused*");
        assert_eq!(entries("queue").len(), 1);
    });
}

#[test]
fn what_is_refused_for_good_is_told() {
    Host::run(&USERS, |host| {
        let waits = |moment, reply: &str| {
            let server = Server::new().reply(moment, reply).start();
            prepare(host, server.port(), "on_relay_failure = \"spool\"");
            let (before, run) = (entries("queue").len(), send());
            (entries("queue").len() - before, run.status)
        };
        assert_eq!(waits(Moment::Rcpt, "550 5.1.1 no such user"), (0, 150));
        assert_eq!(waits(Moment::Mail, "553 5.7.1 not yours"), (0, 153));
        assert_eq!(waits(Moment::Message, "554 5.7.1 spam"), (0, 154));
        assert_eq!(waits(Moment::Rcpt, "451 4.7.1 greylisted"), (1, 0));
        assert_eq!(waits(Moment::Message, "452 4.3.1 full"), (1, 0));
        assert_eq!(waits(Moment::Greeting, "554 5.3.2 not today"), (1, 0));
    });
}

#[test]
fn both_facts_are_told_where_it_cannot_be_kept() {
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        let spool = "on_relay_failure = \"spool\"";
        prepare(host, nobody.number(), spool);
        let told = |why: &str| {
            let run = send();
            run.expect_status(69);
            for fact in ["connection refused", "\nmailchute: not kept for later: ", why] {
                assert!(run.stderr.contains(fact), "{}", run.report());
            }
            assert!(entries("queue").is_empty());
            let record = last_record();
            assert!(record["spool"].is_null() && record["warnings"].to_string().contains("not kept"), "{record}");
        };
        // No place at all: no spool of the host's, and a home that cannot be written.
        fs::remove_dir_all(SPOOL).unwrap();
        chown("/home/shop", Some(0), Some(0)).unwrap();
        told("cannot be made");
        // A disk that is full before the message is on it.
        parent();
        mount(&["-t", "tmpfs", "-o", "size=8k,mode=1733", "tmpfs", SPOOL]);
        fs::write(format!("{SPOOL}/full"), [0; 8192]).unwrap();
        told("No space left");
        unmount();
        mount(&["-t", "tmpfs", "-o", "ro,mode=1733", "tmpfs", SPOOL]);
        told("Read-only file system");
        unmount();
        // As much as may wait is waiting.
        prepare(host, nobody.number(), &format!("{spool}\nspool_max = \"1 messages\""));
        send().expect_status(0);
        let run = send();
        run.expect_status(69);
        assert!(run.stderr.contains("as many as spool_max allows"), "{}", run.report());
        assert_eq!(entries("queue").len(), 1);
        prepare(host, nobody.number(), &format!("{spool}\nspool_max = \"1 KB\""));
        send().expect_status(69);
    });
}

fn mount(words: &[&str]) {
    assert!(Command::new("mount").args(words).status().unwrap().success(), "{words:?}");
}

fn unmount() {
    assert!(Command::new("umount").arg(SPOOL).status().unwrap().success());
}

#[test]
fn a_folder_is_durable_before_a_message_in_it_is_told() {
    const TRACE: &str = "/run/trace";
    if !need_strace() {
        return;
    }
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), "on_relay_failure = \"spool\"");
        host.write_as(TRACE, "", 0o600, (SHOP, SHOP));
        let traced = |words: &[&str]| {
            let words = [&["-f", "-qq", "-o", TRACE], words].concat();
            let run = sender().args(["-t", "-i"]).stdin(MESSAGE).under("strace", &words).run();
            (run, fs::read_to_string(TRACE).unwrap().matches("fsync(").count())
        };
        // Whoever makes it fails to make its name durable, or is killed before.
        for fault in ["error=EIO", "signal=SIGKILL"] {
            let (run, _) = traced(&["-e", "trace=fsync", "-e", &format!("inject=fsync:{fault}:when=1")]);
            assert_ne!(run.status, 0, "{}", run.report());
            assert!(entries("queue").is_empty());
            assert!(Path::new(SPOOL).join(SHOP.to_string()).join("queue").is_dir(), "{}", run.report());
        }
        for (what, expected) in [("the next one does it", 3), ("and nobody again", 2)] {
            let (run, syncs) = traced(&["-e", "trace=fsync"]);
            run.expect_status(0);
            assert_eq!(syncs, expected, "{what}: {}", fs::read_to_string(TRACE).unwrap());
        }
        let mode = fs::metadata(Path::new(SPOOL).join(SHOP.to_string()).join("queue")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700);
    });
}

#[test]
fn a_neighbour_costs_a_name_and_no_message() {
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), "on_relay_failure = \"spool\"");
        let squatted = format!("{SPOOL}/{SHOP}");
        fs::create_dir(&squatted).unwrap();
        chown(&squatted, Some(61043), Some(61043)).unwrap();
        fs::set_permissions(&squatted, Permissions::from_mode(0o777)).unwrap();
        send().expect_status(0);
        assert_eq!(fs::read_dir(format!("{SPOOL}/{SHOP}.1/queue")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(squatted).unwrap().count(), 0);
    });
}

#[test]
fn what_may_have_been_accepted_is_held_where_the_site_says_so() {
    Host::run(&USERS, |host| {
        let doubtful = || Server::new().at(Moment::Message, Action::Close).start();
        let held = |top: &str| {
            let server = doubtful();
            prepare(host, server.port(), top);
            let run = send();
            drop(server.finish());
            run
        };
        held("").expect_status(79);
        held("on_relay_failure = \"spool\"").expect_status(79);
        assert!(entries("held").is_empty() && entries("queue").is_empty(), "report keeps nothing");
        let run = held("in_doubt = \"hold\"");
        run.expect_status(79);
        for fact in ["may have been accepted", "held in the spool as ", "\nhint: ", "mailchute queue release "] {
            assert!(run.stderr.contains(fact), "{}", run.report());
        }
        assert_eq!((entries("held").len(), entries("queue").len()), (1, 0));
        assert!(fs::read_to_string(&entries("held")[0]).unwrap().contains("\"in_doubt\":true"));
        held("in_doubt = \"retry\"").expect_status(79);
        let run = held("in_doubt = \"retry\"\non_relay_failure = \"spool\"");
        run.expect_status(0);
        assert_eq!((entries("held").len(), entries("queue").len()), (1, 1));
        assert!(fs::read_to_string(&entries("queue")[0]).unwrap().contains("\"in_doubt\":true"), "a key may tell");
        assert!(last_record()["warnings"].to_string().contains("may have been accepted already"));
    });
}

/// The key is written down with the time of its first use. Nothing in the entry says whose it is, so it is the first
/// relay's or none.
#[test]
fn what_is_held_keeps_the_key_by_which_the_relay_can_be_asked() {
    let resend = |server: &Server, name: &str| {
        let port = server.port();
        format!(
            "[relay.{name}]\nprovider = \"resend\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\npassword = \"re_secret\"\n"
        )
    };
    Host::run(&USERS, |host| {
        for is_first in [true, false] {
            let login = |server: Server| server.login("resend", "re_secret", &["PLAIN"]);
            let doubtful = login(Server::new()).at(Moment::Message, Action::Close).start();
            let busy = login(Server::new()).reply(Moment::Message, "451 4.3.0 later").start();
            prepare(host, 9, "in_doubt = \"hold\"");
            let relays = match is_first {
                true => resend(&doubtful, "first") + &resend(&busy, "second"),
                false => resend(&busy, "first") + &resend(&doubtful, "second"),
            };
            host.write(CONFIG, &format!("in_doubt = \"hold\"\n{relays}[log]\nto = [\"{LOG}\"]\n"), 0o644);
            let run = send();
            run.expect_status(79);
            let record = last_record();
            let key = format!("\"key\":{}", record["key"]);
            let entry = fs::read_to_string(entries("held").pop().unwrap()).unwrap();
            assert_eq!(entry.contains(&key) && entry.contains("\"keyed\":"), is_first, "{record}\n{entry}");
            assert_eq!(doubtful.finish().len(), 2, "{}", run.report());
            drop(busy.finish());
            fs::remove_dir_all(Path::new(SPOOL).join(SHOP.to_string())).unwrap();
        }
    });
}

#[test]
fn a_caller_that_speaks_smtp_hears_that_it_waits() {
    const SESSION: &str = "EHLO x\r\nMAIL FROM:<shop@shop.example>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\n\
                           DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n";
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), "on_relay_failure = \"spool\"");
        let run = sender().args(["-bs"]).stdin(SESSION).run();
        run.expect_status(0);
        let entry = &entries("queue")[0];
        let id = entry.file_name().unwrap().to_str().unwrap();
        assert!(run.stdout.contains(&format!("\r\n250 2.0.0 queued as {id}\r\n")), "{}", run.report());
        let octets = fs::read_to_string(entry).unwrap();
        assert!(octets.contains("[\"ann@example.org\",\"bob@example.org\"]"), "{octets}");
        // At the dot, too; whom the relay refused hears so, and is not written to later.
        let server = Server::new()
            .reply(Moment::RcptOf("ann@example.org".into()), "550 5.1.1 no such user")
            .reply(Moment::Message, "451 4.3.0 later")
            .start();
        prepare(host, server.port(), "on_relay_failure = \"spool\"");
        let run = sender().args(["-bs"]).stdin(SESSION).run();
        assert!(
            run.stdout.contains("\r\n550 5.1.1") && run.stdout.contains("\r\n250 2.0.0 queued"),
            "{}",
            run.report()
        );
        let all: Vec<String> = entries("queue").iter().map(|entry| fs::read_to_string(entry).unwrap()).collect();
        assert_eq!(all.len(), 2);
        assert!(all.iter().any(|entry| entry.contains("\"forward_paths\":[\"bob@example.org\"]")), "{all:?}");
        prepare(host, nobody.number(), "on_relay_failure = \"spool\"\nspool_max = \"1 messages\"");
        let run = sender().args(["-bs"]).stdin(SESSION).run();
        run.expect_status(69);
        assert!(!run.stdout.contains("queued as") && run.stdout.contains("\r\n451 4.4.1 "), "{}", run.report());
    });
}

/// One session under `-bs` to `recipients`; the replies to them and to the dot.
fn spoken(recipients: &[&str]) -> (Run, Vec<String>) {
    let rcpt: String = recipients.iter().map(|recipient| format!("RCPT TO:{recipient}\r\n")).collect();
    let session =
        format!("EHLO x\r\nMAIL FROM:<shop@shop.example>\r\n{rcpt}DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");
    let run = sender().args(["-bs"]).stdin(session).run();
    let replies: Vec<String> =
        run.stdout.lines().filter(|line| line.as_bytes().get(3) != Some(&b'-')).map(str::to_owned).collect();
    // Behind the greeting and the replies to EHLO and MAIL.
    let replies = replies.get(3..replies.len().saturating_sub(1)).unwrap_or_default().to_vec();
    (run, replies)
}

#[test]
fn whom_the_relay_does_not_take_now_a_caller_that_speaks_smtp_need_not_give_up() {
    let dave = || Server::new().reply(Moment::RcptOf("dave@example.org".into()), "450 4.2.0 greylisted");
    let no_ann = |server: Server| server.reply(Moment::RcptOf("ann@example.org".into()), "550 5.1.1 no such user");
    let later = "250 2.1.5 recipient ok, sent later";
    let queued = "250 2.0.0 queued as *";
    // What the relay does, to whom the message goes, what the caller hears, who has it now, and who waits.
    type Case<'a> = (&'a str, Server, &'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let table: [Case<'_>; 9] = [
        ("alone", dave(), &["dave"], &[later, "354 *", queued], &[], &["dave"]),
        ("beside another", dave(), &["dave", "bob"], &[later, "250 *", "354 *", queued], &["bob"], &["dave"]),
        ("named twice", dave(), &["dave", "dave"], &[later, later, "354 *", queued], &[], &["dave"]),
        (
            "beside one who is refused",
            no_ann(dave()),
            &["ann", "dave"],
            &["550 5.1.1 no such user", later, "354 *", queued],
            &[],
            &["dave"],
        ),
        (
            "beside both",
            no_ann(dave()),
            &["ann", "dave", "bob"],
            &["550 5.1.1 no such user", later, "250 *", "354 *", queued],
            &["bob"],
            &["dave"],
        ),
        (
            "and the message is refused now",
            dave().reply(Moment::Message, "451 4.3.0 later"),
            &["dave", "bob"],
            &[later, "250 *", "354 *", queued],
            &[],
            &["dave", "bob"],
        ),
        (
            "and the message is refused for good",
            dave().reply(Moment::Message, "554 5.7.1 spam"),
            &["dave", "bob"],
            &[later, "250 *", "354 *", "554 5.7.1 spam*"],
            &[],
            &[],
        ),
        (
            "421 at RCPT",
            Server::new().reply(Moment::RcptOf("dave@example.org".into()), "421 4.3.2 closing"),
            &["bob", "dave", "carol"],
            &["250 *", later, later, "354 *", queued],
            &[],
            &["bob", "dave", "carol"],
        ),
        (
            "the relay goes away at RCPT",
            Server::new().at(Moment::RcptOf("dave@example.org".into()), Action::Close),
            &["bob", "dave"],
            &["250 *", later, "354 *", queued],
            &[],
            &["bob", "dave"],
        ),
    ];
    Host::run(&USERS, |host| {
        let address = |name: &&str| format!("{name}@example.org");
        for (what, server, recipients, replies, have, wait) in table {
            let server = server.start();
            let _ = fs::remove_dir_all(Path::new(SPOOL).join(SHOP.to_string()));
            prepare(host, server.port(), "on_relay_failure = \"spool\"");
            let recipients: Vec<String> = recipients.iter().map(|name| format!("<{}>", address(name))).collect();
            let (run, heard) = spoken(&recipients.iter().map(String::as_str).collect::<Vec<_>>());
            let same = heard.len() == replies.len()
                && replies.iter().zip(&heard).all(|(pattern, line)| testkit::matches(pattern, line));
            assert!(same, "{what}: {heard:?}\n{}", run.report());
            let sessions = server.finish();
            let delivered: Vec<_> = sessions.iter().flat_map(|session| &session.deliveries).collect();
            let to = |delivery: &&testkit::Delivery| -> Vec<String> {
                delivery.recipients.iter().map(|recipient| recipient.path.clone()).collect()
            };
            let accepted: Vec<String> = delivered.iter().filter(|delivery| delivery.accepted).flat_map(to).collect();
            assert_eq!(accepted, have.iter().map(address).collect::<Vec<_>>(), "{what}\n{}", run.report());
            let text: String = entries("queue").iter().map(|entry| fs::read_to_string(entry).unwrap()).collect();
            let expected: Vec<String> = wait.iter().map(|name| format!("\"{}\"", address(name))).collect();
            let expected = format!("\"forward_paths\":[{}]", expected.join(","));
            assert_eq!(text.contains(&expected), !wait.is_empty(), "{what}: {expected} in {text}");
            assert_eq!(entries("queue").len(), usize::from(!wait.is_empty()), "{what}");
            let is_fine = replies.last() == Some(&queued) && !replies.iter().any(|reply| reply.starts_with("550"));
            assert_eq!(run.status == 0, is_fine, "{what}: {}", run.report());
        }
        assert_eq!(entries("queue").len(), 1, "of the last case");
        // Where they cannot be kept the caller hears that, and of nobody that he has it who has not.
        for (recipients, expected) in [
            (&["<dave@example.org>"][..], "450-4.2.0 greylisted"),
            (
                &["<bob@example.org>", "<dave@example.org>"],
                "554-5.4.2 accepted for some recipients only, do not send it again to all",
            ),
        ] {
            let server = dave().start();
            prepare(host, server.port(), "on_relay_failure = \"spool\"\nspool_max = \"1 messages\"");
            let (run, heard) = spoken(recipients);
            assert!(heard.len() == recipients.len() + 2 && run.stdout.contains(expected), "{}", run.report());
            assert_ne!(run.status, 0, "{}", run.report());
        }
        // A site that keeps nothing passes the refusal on.
        let server = dave().start();
        prepare(host, server.port(), "");
        let (run, heard) = spoken(&["<dave@example.org>"]);
        assert_eq!(heard[0], "450 4.2.0 greylisted", "{}", run.report());
    });
}

#[test]
fn a_name_of_which_one_is_refused_for_good_is_not_written_to_later() {
    Host::run(&USERS, |host| {
        let server = Server::new()
            .reply(Moment::RcptOf("dave@example.org".into()), "450 4.2.0 greylisted")
            .reply(Moment::RcptOf("ann@example.org".into()), "550 5.1.1 no such user")
            .start();
        let top = "on_relay_failure = \"spool\"\nlocal_domains = [\"shop.example\"]";
        prepare(host, server.port(), top);
        let config = fs::read_to_string(CONFIG).unwrap();
        host.write(CONFIG, &format!("{config}[alias]\nall = [\"dave@example.org\", \"ann@example.org\"]\n"), 0o644);
        let (run, heard) = spoken(&["<all@shop.example>", "<bob@example.org>"]);
        assert!(
            heard[0].starts_with("550 5.1.1") && heard.last().unwrap().starts_with("250 2.0.0"),
            "{}",
            run.report()
        );
        assert!(entries("queue").is_empty(), "{}", run.report());
    });
}

#[test]
fn what_was_asked_for_each_recipient_is_kept_and_passed_on() {
    Host::run(&USERS, |host| {
        let asked =
            ["<ann@example.org> NOTIFY=NEVER", "<bob@example.org> NOTIFY=FAILURE ORCPT=rfc822;b+2Bx@old.example"];
        let expected = [
            "RCPT TO:<ann@example.org> NOTIFY=NEVER ORCPT=rfc822;ann@example.org",
            "RCPT TO:<bob@example.org> NOTIFY=FAILURE ORCPT=rfc822;b+2Bx@old.example",
        ];
        let nobody = Port::reserve();
        let busy = Server::new().capabilities(&["DSN"]).reply(Moment::Message, "451 4.3.0 later").start();
        // No relay took MAIL, or one took the recipients and not the message.
        for port in [nobody.number(), busy.port()] {
            prepare(host, port, "on_relay_failure = \"spool\"");
            let (run, heard) = spoken(&asked);
            assert!(heard.last().unwrap().starts_with("250 2.0.0 queued"), "{}", run.report());
            let server = Server::new().capabilities(&["DSN"]).start();
            prepare(host, server.port(), "on_relay_failure = \"spool\"");
            let id = entries("queue")[0].file_name().unwrap().to_str().unwrap().to_owned();
            let run = sender().args(["queue", "flush", &id]).run();
            run.expect_status(0);
            let sessions = server.finish();
            let commands: Vec<_> = sessions.iter().flat_map(|session| &session.commands).collect();
            let said: Vec<_> = commands.into_iter().filter(|command| command.starts_with("RCPT")).collect();
            assert_eq!(said, expected, "{}", run.report());
        }
    });
}

/// What is noted beside the messages is opened again by the next process of the same user, whatever umask the first had.
#[test]
fn what_is_noted_beside_messages_is_open_to_their_user_whatever_the_umask() {
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), "on_relay_failure = \"spool\"\nbounce = false\nkeep_messages = \"all\"");
        let under = |call: Mailchute| call.uid(SHOP).under("/bin/sh", &["-c", "umask 0777; exec \"$@\"", "sh"]);
        under(mailchute().args(["-t", "-i"]).stdin(MESSAGE)).run().expect_status(0);
        let server = Server::new().start();
        prepare(host, server.port(), "on_relay_failure = \"spool\"\nkeep_messages = \"all\"");
        let due = File::options().write(true).open(&entries("queue")[0]).unwrap();
        due.set_modified(SystemTime::now() - Duration::from_secs(1)).unwrap();
        under(mailchute().line("queue flush")).run().expect_status(0);
        under(mailchute().args(["-t", "-i"]).stdin(MESSAGE)).run().expect_status(0);
        assert_eq!((entries("queue").len(), entries("sent").len()), (0, 2));
        let mut notes = Vec::new();
        for entry in fs::read_dir(Path::new(SPOOL).join(SHOP.to_string())).unwrap() {
            let (name, found) = entry.map(|entry| (entry.file_name(), entry.metadata().unwrap())).unwrap();
            let expected = if found.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(found.mode() & 0o7777, expected, "{name:?}");
            notes.push(name.into_string().unwrap());
        }
        for name in ["queue.count", "sent.count", "aged", "flush.lock"] {
            assert!(notes.iter().any(|note| note == name), "{name}: {notes:?}");
        }
        drop(server);
    });
}
