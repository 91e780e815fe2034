//! `mailchute check` on what a host remembers: alerts that could not be told, messages that wait, limits that are nearly
//! used.

use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use testkit::{Port, Server, Web};

use crate::alerts::{SHOP, configure, flush, on_a_host, ops, path, send, series};
use crate::check::{findings, with_code};
use crate::setup::mailchute;

/// The findings of this code, as shop's process and root's have them.
fn found(code: &str) -> Vec<Value> {
    let run = mailchute().args(["check", "--offline", "--json", "--as", "shop"]).run();
    let all = findings(&run);
    let of_shop = mailchute().uid(SHOP).args(["check", "--offline", "--json"]).run();
    let own = findings(&of_shop);
    assert_eq!(with_code(&all, code).len(), with_code(&own, code).len(), "{}\n{}", run.report(), of_shop.report());
    let ignored = mailchute().args(["check", "--offline", "--json", "--as", "shop", "--ignore", code]).run();
    assert!(with_code(&findings(&ignored), code).is_empty(), "{}", ignored.report());
    with_code(&all, code).into_iter().cloned().collect()
}

fn says(finding: &Value) -> String {
    format!("{}: {} -> {}", finding["subject"], finding["sentence"], finding["next"])
}

/// Does what the one finding of this code says.
fn take(code: &str) {
    let all = found(code);
    let next = all.first().map(|finding| finding["next"]["run"].clone()).unwrap_or_default();
    let command = next.as_str().unwrap_or_else(|| panic!("{code}: {all:?}")).replace("sudo ", "");
    let done = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    assert!(found(code).is_empty(), "{command}");
}

#[test]
fn a_cron_line_or_a_spool_that_does_not_do_is_named_and_mended() {
    on_a_host(|host| {
        configure(host, "on_relay_failure = \"spool\"", &[("main", 9)], "");
        assert!(found("spool.no-flusher").is_empty());
        for (line, why) in [
            (
                "* * * * * root mailchute-of-nowhere queue flush --all\n",
                "runs mailchute-of-nowhere, which cron does not",
            ),
            ("* * * * * root /usr/bin/env mailchute queue flush\n", "has no --all"),
            ("# nothing\n", "has no line that runs"),
        ] {
            host.write("/etc/cron.d/mailchute", line, 0o644);
            assert!(says(&found("spool.no-flusher")[0]).contains(why), "{line}");
            // Who cannot rely on it sends what waits itself.
            let explain = mailchute().uid(SHOP).args(["explain", "bob@example.net"]).run();
            assert!(explain.stdout.contains("no timer or cron line is at work"), "{}", explain.report());
            take("spool.no-flusher");
        }
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o666);
        fs::set_permissions("/etc/cron.d/mailchute", Permissions::from_mode(0o666)).unwrap();
        assert!(says(&found("spool.no-flusher")[0]).contains("is not root's alone to write"));
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        fs::set_permissions("/etc/cron.d/mailchute", Permissions::from_mode(0o644)).unwrap();
        fs::remove_file("/run/crond.pid").unwrap();
        assert!(says(&found("spool.no-flusher")[0]).contains("is there, and no cron is running"));
        assert!(found("spool.no-place").is_empty());
        fs::set_permissions("/var/spool/mailchute", Permissions::from_mode(0o755)).unwrap();
        take("spool.no-place");
    });
}

#[test]
fn an_alert_that_is_not_told_is_named_until_it_is() {
    on_a_host(|host| {
        let server = Server::new().login("nobody", "x", &["PLAIN"]).start();
        let nobody = Port::reserve();
        let relays = [("main", server.port())];
        configure(host, "", &relays, &ops("slack", nobody.number(), ""));
        assert!(found("alert.failing").is_empty());
        let notice = serde_json::json!({
            "v": 1, "event": "login", "site": "default", "relay": "main", "time": 1_700_000_000, "reason": "535 no", "id": "0123456789ab",
        });
        fs::create_dir_all(crate::alerts::ALERTS).unwrap();
        fs::write(path("login.default.main"), format!("{notice}\n")).unwrap();
        for at in [
            crate::alerts::ALERTS.trim_end_matches("/alerts").into(),
            crate::alerts::ALERTS.into(),
            path("login.default.main"),
        ] {
            std::os::unix::fs::chown(at, Some(SHOP), Some(SHOP)).unwrap();
        }
        // Nobody has tried yet.
        assert!(found("alert.failing").is_empty(), "{:?}", series());
        flush();
        let all = found("alert.failing");
        assert_eq!(all.len(), 1, "{:?}", series());
        let text = says(&all[0]);
        assert!(text.contains("alert ops") && text.contains("mailchute alert test ops"), "{text}");
        assert!(!text.contains("s3cretpart"), "{text}");
        // It works again, and was told.
        let web = Web::saying("HTTP/1.1 200 OK\n\nok");
        configure(host, "", &relays, &ops("slack", web.port(), ""));
        crate::alerts::age("login.default.main", 7200);
        flush();
        assert!(found("alert.failing").is_empty());
    });
}

#[test]
fn what_an_alert_lacks_is_named() {
    on_a_host(|host| {
        let relays = [("main", 9)];
        let of = |table: &str| configure(host, "", &relays, &format!("[alert.ops]\n{table}\n"));
        host.write_as("/etc/mailchute/hook", "https://hooks.slack.com/services/T0/B0/x", 0o600, (0, 0));
        host.write("/opt/tell", "#!/bin/sh\n", 0o700);
        for (table, code) in [
            ("url = { file = \"/etc/mailchute/hook\" }", "alert.secret"),
            ("url = { file = \"/etc/mailchute/none\" }", "alert.secret"),
            ("command = [\"/opt/tell\", \"x\"]", "alert.command"),
            ("command = [\"/opt/none\"]", "alert.command"),
            ("command = [\"no-such-program\"]", "alert.command"),
        ] {
            of(table);
            let all = found(code);
            assert_eq!(all.len(), 1, "{table}: {all:?}");
            assert!(says(&all[0]).contains("alert ops"), "{all:?}");
        }
        for table in ["command = [\"cat\"]", "command = [\"/bin/cat\"]", "mail = \"ops@example.org\""] {
            of(table);
            assert!(found("alert.command").is_empty() && found("alert.secret").is_empty(), "{table}");
        }
    });
}

#[test]
fn what_waits_and_what_is_nearly_used_is_named() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        configure(host, "on_relay_failure = \"spool\"", &[("main", nobody.number())], "");
        assert!(found("spool.overdue").is_empty() && found("spool.kept").is_empty());
        send().run().expect_status(0);
        let page = mailchute().args(["check", "--offline", "--as", "shop"]).run();
        assert!(page.stdout.contains("1 message of shop waits"), "{}", page.report());
        assert!(found("spool.overdue").is_empty());
        // Nobody has been there for a quarter of an hour.
        let long_ago = SystemTime::now() - Duration::from_secs(900);
        let below = |folder: &str| fs::read_dir(format!("/var/spool/mailchute/{SHOP}/{folder}")).unwrap();
        let all: Vec<_> =
            below("queue").chain(below("")).map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        for file in &all {
            fs::File::open(file).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        }
        assert!(found("spool.overdue").len() == 1, "{all:?}");
        let id = below("queue").next().unwrap().unwrap().file_name().into_string().unwrap();
        mailchute().uid(SHOP).args(["queue", "hold", &id]).run().expect_status(0);
        let kept = found("spool.kept");
        assert!(kept.len() == 1 && says(&kept[0]).contains("1 message held"), "{kept:?}");
        assert!(found("spool.overdue").is_empty());

        let server = Server::new().start();
        configure(host, "limit = [\"10/day\"]", &[("main", server.port())], "");
        let codes = || (found("limit.near").len(), found("limit.reached").len());
        for sent in 1..=10 {
            send().run().expect_status(0);
            let expected = match sent {
                9 => (1, 0),
                10 => (0, 1),
                _ => (0, 0),
            };
            if sent >= 8 {
                assert_eq!(codes(), expected, "{sent}");
            }
        }
    });
}
