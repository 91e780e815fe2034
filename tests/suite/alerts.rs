//! Alerts: who meets trouble keeps the fact and goes on; a flush tells it, once, and counts what follows. Each test has
//! a host of its own, where the account `shop` (uid 61042) sends, and a cron is sure to flush.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Answer, Asked, Host, Mailchute, Port, Run, Web};

use crate::setup::{MESSAGE, mailchute};

pub(crate) const SHOP: u32 = 61042;
pub(crate) const USERS: [(&str, u32); 2] = [("shop", SHOP), ("other", 61043)];
const SPOOL: &str = "/var/spool/mailchute";
const STATE: &str = "/var/lib/mailchute/state";
pub(crate) const ALERTS: &str = "/var/spool/mailchute/61042/alerts";
/// What must be seen nowhere.
const SECRET: &str = "/services/T0/B0/s3cretpart";

/// A host of a test's own.
pub(crate) fn on_a_host(test: impl FnOnce(&Host<'_>) + Send) {
    Host::run(&USERS, |host| {
        for parent in [SPOOL, STATE] {
            fs::create_dir_all(parent).unwrap();
            fs::set_permissions(parent, Permissions::from_mode(0o1733)).unwrap();
        }
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        host.write("/run/crond.pid", "1\n", 0o644);
        host.write_as("/var/log/shop.log", "", 0o640, (SHOP, SHOP));
        test(host);
    });
}

/// The configuration: what stands at its top, the relays, and the tables behind them.
pub(crate) fn configure(host: &Host<'_>, top: &str, relays: &[(&str, u16)], tables: &str) {
    let relay =
        |(name, port): &(&str, u16)| format!("[relay.{name}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    let relays: String = relays.iter().map(relay).collect();
    let text = format!("{top}\n{relays}\n{tables}\n[log]\nto = [\"/var/log/shop.log\"]\n");
    host.write("/etc/mailchute/config.toml", &text, 0o644);
}

/// `[alert.ops]` of this kind at this port.
pub(crate) fn ops(kind: &str, port: u16, more: &str) -> String {
    format!("[alert.ops]\nurl = \"http://127.0.0.1:{port}{SECRET}\"\nkind = \"{kind}\"\n{more}\n")
}

pub(crate) fn send() -> Mailchute {
    mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

pub(crate) fn flush() -> Run {
    mailchute().uid(SHOP).args(["queue", "flush"]).run()
}

fn alert(words: &[&str]) -> Run {
    mailchute().uid(SHOP).arg("alert").args(words.iter().copied()).run()
}

/// The files of alerts.
pub(crate) fn series() -> Vec<String> {
    let found = fs::read_dir(ALERTS).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = found.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(ALERTS).join(name)
}

/// Lets everything that was done about `name` have been done `seconds` earlier.
pub(crate) fn age(name: &str, seconds: i64) {
    let text = fs::read_to_string(path(name)).unwrap();
    let older = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(mut mark) if mark.get("mark").is_some() => {
            for key in ["t", "next"].into_iter().filter(|key| line.contains(&format!("\"{key}\":"))) {
                mark[key] = (mark[key].as_i64().unwrap() - seconds).into();
            }
            mark.to_string()
        }
        _ => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().map(older).collect();
    fs::write(path(name), lines.join("\n") + "\n").unwrap();
}

pub(crate) fn json(asked: &Asked) -> Value {
    serde_json::from_slice(&asked.body).unwrap_or_else(|_| panic!("{asked:?}"))
}

fn ok() -> Web {
    Web::saying("HTTP/1.1 200 OK\n\nok")
}

/// What a service at a port of its own was asked during `what`.
fn asked_during(web: Web, what: impl FnOnce(u16)) -> Vec<Asked> {
    what(web.port());
    web.finish()
}

#[test]
fn a_failure_is_told_once_and_what_follows_is_counted() {
    on_a_host(|host| {
        let (nobody, away) = (Port::reserve(), Port::reserve());
        let relays = [("main", nobody.number())];
        configure(host, "", &relays, &ops("json", away.number(), ""));
        send().run().expect_status(69);
        send().run().expect_status(69);
        assert_eq!(series(), ["failed.default.main"]);
        let found = path("failed.default.main").metadata().unwrap();
        assert_eq!((found.uid(), found.mode() & 0o777), (SHOP, 0o600));
        let asked = asked_during(ok(), |port| {
            configure(host, "", &relays, &ops("json", port, ""));
            let run = flush();
            run.expect_status(0);
            assert_eq!(run.stdout, "1 alert told\nnothing is due\n");
            // What follows is counted, and told an hour later.
            send().run().expect_status(69);
            flush().expect_status(0);
        });
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].method.as_str(), asked[0].target.as_str()), ("POST", SECRET));
        let facts = json(&asked[0]);
        for (key, value) in [
            ("event", Value::from("failed")),
            ("status", "firing".into()),
            ("severity", "error".into()),
            ("site", "default".into()),
            ("relay", "main".into()),
            ("count", 2.into()),
            ("waiting", 0.into()),
            ("again", false.into()),
        ] {
            assert_eq!(facts[key], value, "{facts}");
        }
        let text = facts["text"].as_str().unwrap();
        assert!(text.starts_with("default: mail is not sent (127.0.0.1:") && text.ends_with(", 2 times"), "{text}");
        let id = facts["record"].as_str().unwrap();
        assert!(fs::read_to_string("/var/log/shop.log").unwrap().contains(id), "{id}");

        age("failed.default.main", 3600);
        let asked = asked_during(ok(), |port| {
            configure(host, "", &relays, &ops("json", port, ""));
            flush().expect_status(0);
        });
        let later = json(&asked[0]);
        assert_eq!((&later["key"], &later["count"]), (&facts["key"], &3.into()));
        assert_ne!(later["id"], facts["id"]);
        assert!(later["text"].as_str().unwrap().contains("mail is still not sent"), "{later}");
        // Nothing came for an hour: what comes then is another one.
        age("failed.default.main", 3600);
        flush().expect_status(0);
        assert_eq!(series(), [""; 0]);
    });
}

#[test]
fn a_series_stays_short_however_often_it_happens() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let relays = [("main", nobody.number())];
        let name = "failed.default.main";
        let add = |events: usize| {
            let mut file = fs::OpenOptions::new().append(true).open(path(name)).unwrap();
            std::io::Write::write_all(&mut file, "1700000000\n".repeat(events).as_bytes()).unwrap();
        };
        configure(host, "", &relays, &ops("json", 9, ""));
        send().run().expect_status(69);
        // More than is read line by line, and something that was cut off.
        let mut events = 1 + 200_000;
        add(200_000);
        let asked = asked_during(ok(), |port| {
            configure(host, "", &relays, &ops("json", port, ""));
            flush().expect_status(0);
            // What was told stays told, and what follows is counted with the rest.
            for more in [10_000, 20_000] {
                send().run().expect_status(69);
                add(more);
                events += 1 + more;
                flush().expect_status(0);
                let found = path(name).metadata().unwrap();
                assert!(found.len() < 1000, "{}", found.len());
                assert_eq!((found.uid(), found.mode() & 0o777), (SHOP, 0o600));
            }
            age(name, 3600);
            flush().expect_status(0);
        });
        let counts: Vec<Value> = asked.iter().map(|asked| json(asked)["count"].clone()).collect();
        assert_eq!(counts, [200_001, events]);
        assert!(json(&asked[1])["text"].as_str().unwrap().contains("mail is still not sent (127.0.0.1:"));
        assert_eq!(json(&asked[0])["since"], json(&asked[1])["since"]);
    });
}

#[test]
fn who_is_told_of_nothing_leaves_nothing() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let relays = [("main", nobody.number())];
        configure(host, "", &relays, "");
        send().run().expect_status(69);
        configure(host, "", &relays, &ops("slack", 9, "on = [\"ban\", \"limit\"]"));
        send().run().expect_status(69);
        // What the caller did wrong is no trouble of the relay's.
        configure(host, "", &relays, &ops("slack", 9, ""));
        mailchute().uid(SHOP).args(["-i", "-t"]).stdin("Subject: x\n\nx\n").run().expect_status(64);
        assert!(!Path::new(ALERTS).exists());
    });
}

#[test]
fn a_test_shows_the_exchange_and_no_secret() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let relays = [("main", nobody.number())];
        for (answer, status, said) in [
            (Answer::text("HTTP/1.1 200 OK\n\nok"), 0, "told"),
            (Answer::text("HTTP/1.1 404 Not Found\n\nno_service for /services/T0/B0/s3cretpart"), 69, "HTTP 404"),
            (Answer::Close, 79, "it may have arrived"),
        ] {
            let web = Web::start(None, move |_| answer.clone());
            let port = web.port();
            configure(host, "", &relays, &ops("slack", port, ""));
            let run = alert(&["test", "ops"]);
            run.expect_status(status);
            let shown = format!("ops: slack, http://127.0.0.1:{port}/***\n");
            assert!(
                run.stdout.starts_with(&shown) && run.stdout.contains("> POST http://127.0.0.1:"),
                "{}",
                run.report()
            );
            assert!(run.stdout.contains(said) || run.stderr.contains(said), "{}", run.report());
            assert!(!run.report().contains("s3cret"), "{}", run.report());
            assert_eq!(web.finish().len(), 1);
        }
        configure(host, "", &relays, &ops("slack", nobody.number(), ""));
        alert(&["test", "ops"]).expect_status(69);
        let run = alert(&["test", "op"]);
        run.expect_status(66);
        assert!(run.stderr.ends_with("hint: did you mean \"ops\"?\n"), "{}", run.report());
        let run = alert(&[]);
        run.expect_status(0);
        assert!(!run.stdout.contains("s3cret") && run.stdout.contains("at most every 1h"), "{}", run.stdout);
    });
}
