//! What becomes of messages that a flush gives up: the sender is told once, by an entry of its own, and nothing is lost.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use mailchute::spool::{Ended, Folder, Head, Line};
use serde_json::Value;
use testkit::{Delivery, Host, Moment, Port, Run, Server, apart, need};

use crate::laid::{Laid, SHOP, USERS, address, now};
use crate::setup::mailchute;

const ID: &str = "aaaaaaaaaaaa";

/// A site `shop` whose relay is at `port`.
fn configure(host: &Host<'_>, port: u16, site: &str) {
    let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    let site = format!("[site.shop]\non_relay_failure = \"spool\"\n{site}\n");
    if fs::metadata("/run/log").is_err() {
        host.write_as("/run/log", "", 0o660, (0, SHOP));
    }
    host.write("/etc/mailchute/config.toml", &format!("{relay}{site}[log]\nto = [\"/run/log\"]\n"), 0o644);
}

/// Its time is up.
fn over(head: &mut Head) {
    head.until = now() - 1;
}

fn flush() -> Run {
    mailchute().uid(SHOP).args(["queue", "flush"]).run()
}

/// Lays an entry down that is due.
fn due(laid: &Laid, id: &str, lines: &[Line], change: impl FnOnce(&mut Head)) {
    laid.entry_with(Folder::Queue, id, "shop", lines, change);
    make_due(laid, Folder::Queue, id);
}

fn make_due(laid: &Laid, folder: Folder, id: &str) {
    let at = SystemTime::now() - Duration::from_secs(1);
    laid.spool.open(folder, id).unwrap().retry_at(at).unwrap();
}

fn places(laid: &Laid) -> Vec<String> {
    laid.places().iter().map(|(id, folder)| format!("{folder}/{id}")).collect()
}

/// The message of an entry that waits.
fn text(laid: &Laid, id: &str) -> String {
    let (_, message) = laid.spool.look_into(Folder::Queue, id).unwrap();
    let mut text = Vec::new();
    let mut chunks = message.chunks();
    while let Some(chunk) = chunks.advance().unwrap() {
        text.extend_from_slice(chunk);
    }
    String::from_utf8(text).unwrap()
}

/// What a relay gets that takes everything.
fn delivered(host: &Host<'_>, site: &str) -> Vec<Delivery> {
    let server = Server::new().start();
    configure(host, server.port(), site);
    flush();
    server.finish().into_iter().flat_map(|session| session.deliveries).collect()
}

/// The media types of a bounce, the fields for programs, and the text, as Python reads them.
fn read(bounce: &Delivery) -> Option<Value> {
    const READER: &str = r#"
import email, email.policy, json, sys
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
human, machine, original = message.iter_parts()
json.dump({
    "kinds": [part.get_content_type() for part in (message, human, machine, original)],
    "defects": [str(d) for part in message.walk() for d in part.defects],
    "header": {name: str(value) for name, value in message.items()},
    "human": human.get_content(), "blocks": [dict(block.items()) for block in machine.get_payload()],
    "original": original.get_content(),
}, sys.stdout)
"#;
    let python = need("python3")?;
    let mut reader =
        apart(python).args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    reader.stdin.take().unwrap().write_all(bounce.text().as_bytes()).unwrap();
    Some(serde_json::from_slice(&reader.wait_with_output().unwrap().stdout).expect("JSON"))
}

#[test]
fn a_refusal_is_bounced_at_once_and_the_message_kept() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        due(&laid, ID, &[], |_| {});
        let server = Server::new().reply(Moment::Rcpt, "550 5.1.1 no such user").start();
        configure(host, server.port(), "from = \"Shop <orders@shop.example>\"");
        flush();
        assert!(server.finish()[0].deliveries.is_empty());
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa", "queue/aaaaaaaaaaaa-b"]);
        make_due(&laid, Folder::Queue, "aaaaaaaaaaaa-b");
        let bounces = delivered(host, "");
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa"]);
        assert_eq!(bounces.len(), 1);
        assert_eq!((bounces[0].reverse_path.as_str(), bounces[0].forward_paths()), ("", vec!["a@shop.example"]));
        let Some(read) = read(&bounces[0]) else { return };
        assert_eq!(
            read["kinds"],
            serde_json::json!(["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"])
        );
        assert_eq!(read["defects"], serde_json::json!([]));
        assert_eq!(read["header"]["From"], "Mail Delivery System <orders@shop.example>");
        assert_eq!(read["header"]["Auto-Submitted"], "auto-replied");
        assert_eq!(read["blocks"].as_array().unwrap().len(), 3, "{read}");
        for (block, recipient) in [(1, "bob@example.net"), (2, "ann@example.net")] {
            let block = &read["blocks"][block];
            assert_eq!(block["Final-Recipient"], format!("rfc822; {recipient}"));
            assert_eq!((&block["Action"], &block["Status"]), (&"failed".into(), &"5.1.1".into()));
            assert_eq!(block["Diagnostic-Code"], "smtp; 550 5.1.1 no such user");
        }
        assert!(read["human"].as_str().unwrap().contains("127.0.0.1 refused it: 550 5.1.1 no such user"), "{read}");
        assert!(read["original"].as_str().unwrap().contains("Message-ID: <aaaaaaaaaaaa@shop.example>"), "{read}");
        let log = fs::read_to_string("/run/log").unwrap();
        assert!(log.contains("given up: its sender is told by aaaaaaaaaaaa-b"), "{log}");
    });
}

#[test]
fn whose_time_is_up_is_told_what_was_said_last() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        due(&laid, ID, &[], over);
        configure(host, Port::reserve().number(), "");
        flush();
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa", "queue/aaaaaaaaaaaa-b"]);
        let entry = laid.spool.look(Folder::Queue, "aaaaaaaaaaaa-b").unwrap();
        assert!(entry.head.is_bounce && entry.head.envelope.reverse_path.is_none());
        let text = text(&laid, "aaaaaaaaaaaa-b");
        assert!(text.contains("was out of reach until it was too late"), "{text}");
        assert!(text.contains("\r\nStatus: 4.4.7\r\n") && text.contains("connection refused"), "{text}");
        // A bounce that cannot be sent either ends with itself.
        let mut bounce = laid.spool.open(Folder::Queue, "aaaaaaaaaaaa-b").unwrap();
        let refused = Line::End {
            t: now(),
            relay: "main".into(),
            result: Ended::Refused,
            code: Some(550),
            text: "550 no".into(),
            waiting: None,
            is_of_relays: false,
        };
        bounce.append(&refused, false).unwrap();
        drop(bounce);
        make_due(&laid, Folder::Queue, "aaaaaaaaaaaa-b");
        flush();
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa", "failed/aaaaaaaaaaaa-b"]);
    });
}

#[test]
fn nobody_is_told_who_is_not_to_be() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        due(&laid, "aaaaaaaaaaa1", &[], |head| (head.envelope.reverse_path, head.until) = (None, 1));
        due(&laid, "aaaaaaaaaaa2", &[], |head| {
            (head.envelope.dsn.notify, head.until) = (Some("NEVER".into()), 1);
        });
        configure(host, Port::reserve().number(), "");
        flush();
        due(&laid, "aaaaaaaaaaa3", &[], over);
        configure(host, Port::reserve().number(), "bounce = false");
        flush();
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaa1", "failed/aaaaaaaaaaa2", "failed/aaaaaaaaaaa3"]);
    });
}

/// A run may be killed between any two of its steps: before the bounce is whole, before the original says that there is
/// one, before it is moved.
#[test]
fn a_run_that_was_killed_is_taken_up_and_there_is_one_bounce() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        configure(host, Port::reserve().number(), "");
        let refused = || Line::End {
            t: now(),
            relay: "main".into(),
            result: Ended::Refused,
            code: Some(550),
            text: "550 5.1.1 no such user".into(),
            waiting: None,
            is_of_relays: false,
        };
        // Torn.
        due(&laid, "aaaaaaaaaaa1", &[refused()], |_| {});
        fs::write(laid.path(Folder::Queue, "aaaaaaaaaaa1-b"), "mailchute spool 1\n{").unwrap();
        std::os::unix::fs::chown(laid.path(Folder::Queue, "aaaaaaaaaaa1-b"), Some(SHOP), Some(SHOP)).unwrap();
        // Whole.
        due(&laid, "aaaaaaaaaaa2", &[refused()], |_| {});
        laid.entry(Folder::Queue, "aaaaaaaaaaa2-b", "shop", &[]);
        // Known.
        due(&laid, "aaaaaaaaaaa3", &[refused(), Line::Bounced { t: now() }], |_| {});
        flush();
        let expected = [
            "failed/aaaaaaaaaaa1",
            "queue/aaaaaaaaaaa1-b",
            "failed/aaaaaaaaaaa2",
            "queue/aaaaaaaaaaa2-b",
            "failed/aaaaaaaaaaa3",
        ];
        assert_eq!(places(&laid), expected);
        let made = laid.spool.look(Folder::Queue, "aaaaaaaaaaa1-b").unwrap();
        assert!(made.head.is_bounce, "written anew");
        assert!(!laid.spool.look(Folder::Queue, "aaaaaaaaaaa2-b").unwrap().head.is_bounce, "left as it was");
        assert!(laid.spool.look(Folder::Failed, "aaaaaaaaaaa1").unwrap().state.is_bounced);
    });
}

/// The same where the bounce comes first, whatever the order is that a run finds them in.
#[test]
fn a_bounce_waits_until_its_original_says_that_there_is_one() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        let refused = Line::End {
            t: now(),
            relay: "main".into(),
            result: Ended::Refused,
            code: Some(550),
            text: "550 5.1.1 no such user".into(),
            waiting: None,
            is_of_relays: false,
        };
        due(&laid, ID, &[refused], |_| {});
        laid.entry_with(Folder::Queue, "aaaaaaaaaaaa-b", "shop", &[], |head| head.is_bounce = true);
        let long_ago = SystemTime::now() - Duration::from_secs(100);
        laid.spool.open(Folder::Queue, "aaaaaaaaaaaa-b").unwrap().retry_at(long_ago).unwrap();
        assert_eq!(delivered(host, "").len(), 0);
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa", "queue/aaaaaaaaaaaa-b"]);
        make_due(&laid, Folder::Queue, "aaaaaaaaaaaa-b");
        assert_eq!(delivered(host, "").len(), 1);
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa"]);
    });
}

#[test]
fn an_entry_whose_bounce_cannot_be_made_stays() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        due(&laid, ID, &[], over);
        configure(host, Port::reserve().number(), "");
        // Where the bounces of the last hour are counted, nothing can be put.
        fs::create_dir(laid.spool.directory().join("bounces")).unwrap();
        let run = flush();
        assert_eq!(places(&laid), ["queue/aaaaaaaaaaaa"], "{}", run.report());
        assert!(
            run.stderr.contains("aaaaaaaaaaaa: is given up, but its bounce cannot be made, so it stays: "),
            "{}",
            run.report()
        );
        assert!(laid.spool.open(Folder::Queue, ID).unwrap().due() > SystemTime::now());
        fs::remove_dir(laid.spool.directory().join("bounces")).unwrap();
        make_due(&laid, Folder::Queue, ID);
        flush();
        assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa", "queue/aaaaaaaaaaaa-b"]);
    });
}

#[test]
fn beyond_fifty_an_hour_one_tells_of_the_others() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        for number in 0..53 {
            due(&laid, &format!("{number:012}"), &[], over);
        }
        configure(host, Port::reserve().number(), "");
        flush();
        let all = places(&laid);
        let bounces = all.iter().filter(|place| place.ends_with("-b")).count();
        assert_eq!((bounces, all.iter().filter(|place| place.starts_with("failed/")).count()), (50, 52));
        let waiting: Vec<&String> =
            all.iter().filter(|place| place.starts_with("queue/") && !place.ends_with("-b")).collect();
        assert_eq!(waiting.len(), 1, "{all:?}");
        let id = waiting[0].strip_prefix("queue/").unwrap();
        let wait = laid.spool.open(Folder::Queue, id).unwrap().due().duration_since(SystemTime::now()).unwrap();
        assert!((3500..=3602).contains(&wait.as_secs()), "{wait:?}");
        // An hour later.
        let tally = laid.spool.directory().join("bounces");
        let counted: Value = serde_json::from_slice(&fs::read(&tally).unwrap()).unwrap();
        let sent: Vec<i64> =
            counted["sites"]["shop"]["sent"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap() - 3700).collect();
        let mut later = counted.clone();
        later["sites"]["shop"]["sent"] = serde_json::json!(sent);
        fs::write(&tally, later.to_string()).unwrap();
        make_due(&laid, Folder::Queue, id);
        flush();
        assert!(places(&laid).contains(&format!("failed/{id}")));
        let text = text(&laid, &format!("{id}-b"));
        assert!(text.contains("2 more messages were given up."), "{text}");
        let counted: Value = serde_json::from_slice(&fs::read(&tally).unwrap()).unwrap();
        assert_eq!(counted["sites"]["shop"]["withheld"], serde_json::json!([]));
    });
}

#[test]
fn who_is_refused_while_others_wait_is_told_at_once() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        due(&laid, ID, &[], |head| {
            head.envelope.forward_paths =
                ["bob@example.net", "ann@example.net", "carl@example.net"].map(address).to_vec();
        });
        let server = Server::new()
            .reply(Moment::RcptOf("ann@example.net".into()), "451 4.2.0 later")
            .reply(Moment::RcptOf("carl@example.net".into()), "550 5.1.1 no such user")
            .start();
        configure(host, server.port(), "partial = \"deliver\"");
        flush();
        let deliveries: Vec<Delivery> = server.finish().into_iter().flat_map(|session| session.deliveries).collect();
        assert_eq!(deliveries[0].forward_paths(), ["bob@example.net"]);
        assert_eq!(places(&laid), ["queue/aaaaaaaaaaaa", "queue/aaaaaaaaaaaa-b1"]);
        assert_eq!(
            laid.spool.look(Folder::Queue, ID).unwrap().head.envelope.forward_paths,
            [address("ann@example.net")]
        );
        let text = text(&laid, "aaaaaaaaaaaa-b1");
        assert!(text.contains("Final-Recipient: rfc822; carl@example.net\r\n"), "{text}");
        assert!(!text.contains("rfc822; ann@") && !text.contains("rfc822; bob@"), "{text}");
        // The rest is refused in the end, and those who have it are not told of.
        let server = Server::new().reply(Moment::RcptOf("ann@example.net".into()), "554 5.7.1 no").start();
        configure(host, server.port(), "partial = \"deliver\"");
        make_due(&laid, Folder::Queue, ID);
        flush();
        drop(server);
        let text = self::text(&laid, "aaaaaaaaaaaa-b");
        assert!(text.contains("Final-Recipient: rfc822; ann@example.net\r\n"), "{text}");
        assert!(!text.contains("rfc822; carl@") && !text.contains("rfc822; bob@"), "{text}");
    });
}

/// Kills a run that gives up at its `number`th call of `name`; false: it has not so many.
fn killed(name: &str, number: usize, strace: &Path) -> bool {
    let kill = format!("inject={name}:signal=SIGKILL:when={number}");
    let trace = format!("trace={name}");
    let words = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &kill];
    let run = mailchute().args(["queue", "flush"]).uid(SHOP).under(&strace.display().to_string(), &words).run();
    run.signal.is_some() || run.status == 137
}

#[test]
fn wherever_a_run_is_killed_that_gives_up_there_is_one_bounce() {
    let Some(strace) = need("strace") else { return };
    Host::run(&USERS, |host| {
        let refuse = |server: Server, to: &str| server.reply(Moment::RcptOf(to.into()), "550 5.1.1 no such user");
        let mut points = 0;
        for name in ["openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "utimensat", "flock"] {
            for number in 1.. {
                let laid = Laid::of(SHOP);
                due(&laid, ID, &[], |_| {});
                let server = refuse(refuse(Server::new(), "bob@example.net"), "ann@example.net").start();
                configure(host, server.port(), "in_doubt = \"retry\"");
                let is_killed = killed(name, number, &strace);
                let mut bounces = Vec::new();
                // The bounce is due a moment after it is made, and a killed try is one that somebody may have.
                for _ in 0..4 {
                    for listed in laid.spool.list(Folder::Queue).unwrap() {
                        let _ = laid
                            .spool
                            .open(Folder::Queue, &listed.id)
                            .map(|entry| entry.retry_at(SystemTime::UNIX_EPOCH));
                    }
                    flush();
                }
                bounces.extend(server.finish().into_iter().flat_map(|session| session.deliveries));
                let at = format!("{name} {number}: {:?}", places(&laid));
                assert_eq!(places(&laid), ["failed/aaaaaaaaaaaa"], "{at}");
                assert_eq!(bounces.iter().filter(|bounce| bounce.accepted).count(), 1, "{at}");
                fs::remove_dir_all(laid.spool.directory()).unwrap();
                if !is_killed {
                    break;
                }
                points += 1;
            }
        }
        assert!(points >= 40, "{points}");
    });
}
