//! The other ways of an alert: programs, mail, pings; whom a run over all users serves; and who flushes where nobody does.

use std::fs;
use std::path::Path;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{Port, Server, Web, need, processes};

use crate::alert_services::lay;
use crate::alerts::{SHOP, configure, flush, json, on_a_host, ops, path, send, series};
use crate::setup::mailchute;

const PASSWORD: &str = "correct horse battery staple";

#[test]
fn a_program_gets_the_facts_and_little_else() {
    on_a_host(|host| {
        let script = "#!/bin/sh\ncat >/home/shop/facts\nenv >/home/shop/env\necho 'no such pager' >&2\nexit $(cat /home/shop/status)\n";
        host.write("/home/shop/page", script, 0o755);
        let table = "[alert.ops]\ncommand = [\"/home/shop/page\", \"now\"]\n";
        configure(host, "", &[("main", 9)], table);
        lay("login", "535 <no>");
        host.write("/home/shop/status", "3", 0o644);
        let run = mailchute().uid(SHOP).env("PLANTED", "1").args(["queue", "flush"]).run();
        run.expect_status(0);
        assert!(
            run.stderr.contains("alert ops: command /home/shop/page: failed (exit status: 3): no such pager"),
            "{}",
            run.report()
        );
        host.write("/home/shop/status", "0", 0o644);
        crate::alerts::age("login.default.main", 3600);
        flush().expect_status(0);
        let facts: Value = serde_json::from_str(&fs::read_to_string("/home/shop/facts").unwrap()).unwrap();
        assert_eq!((&facts["event"], &facts["reason"]), (&"login".into(), &"535 <no>".into()));
        let environment = fs::read_to_string("/home/shop/env").unwrap();
        let names: Vec<_> = environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(
            names
                .iter()
                .all(|name| ["PATH", "HOME", "SHELL", "USER", "LOGNAME", "PWD", "_", "SHLVL", "OLDPWD"].contains(name)),
            "{names:?}"
        );
        // One that cannot be run.
        configure(host, "", &[("main", 9)], "[alert.ops]\ncommand = \"/nonexistent/page\"\n");
        lay("stuck", "x");
        let run = flush();
        assert!(run.stderr.contains("cannot be run"), "{}", run.report());
    });
}

#[test]
fn a_program_is_run_once_for_a_caller_that_ignores_its_children() {
    if need("perl").is_none() {
        return;
    }
    on_a_host(|host| {
        let ignoring = |words: &[&str]| {
            let call = mailchute().uid(SHOP).args(words.iter().copied());
            call.under("perl", &["-e", "$SIG{CHLD} = 'IGNORE'; exec @ARGV"]).run()
        };
        // One that leaves something behind that holds its pipes, and one whose status nobody keeps.
        for end in ["", "sleep 5 &", "exit 3"] {
            host.write("/home/shop/page", &format!("#!/bin/sh\necho run >>/home/shop/runs\n{end}\n"), 0o755);
            host.write_as("/home/shop/runs", "", 0o600, (SHOP, SHOP));
            configure(host, "", &[("main", 9)], "[alert.ops]\ncommand = \"/home/shop/page\"\n");
            lay("login", "535 no");
            let run = ignoring(&["queue", "flush"]);
            run.expect_status(0);
            assert!(run.stdout.starts_with("1 alert told\n") && run.stderr.is_empty(), "{end}: {}", run.report());
            flush().expect_status(0);
            assert_eq!(fs::read_to_string("/home/shop/runs").unwrap(), "run\n", "{end}");
            let run = ignoring(&["alert", "test", "ops"]);
            run.expect_status(0);
            assert!(run.stdout.ends_with("\ntold\n"), "{end}: {}", run.report());
        }
        configure(host, "", &[("main", 9)], "[alert.ops]\ncommand = \"/nonexistent/page\"\n");
        let run = ignoring(&["alert", "test", "ops"]);
        assert!(run.status != 0 && run.stderr.contains("cannot be run"), "{}", run.report());
    });
}

#[test]
fn a_program_of_another_user_is_run_for_nobody_else() {
    on_a_host(|host| {
        let mark = "/home/shop/was-here";
        let site = format!(
            "[relay.main]\nhost = \"127.0.0.1\"\nport = 9\ntls = \"none\"\n[alert.x]\ncommand = [\"/usr/bin/touch\", \"{mark}\"]\n"
        );
        configure(host, "", &[("main", 9)], "");
        host.write_as("/etc/mailchute/sites.d/shop.toml", &site, 0o644, (SHOP, SHOP));
        let test = |uid: u32| mailchute().uid(uid).args(["alert", "test", "shop/x"]).run();
        // Root does not even read a file of somebody else's.
        test(0).expect_status(66);
        assert!(!Path::new(mark).exists());
        test(SHOP).expect_status(0);
        assert!(Path::new(mark).exists());
        // What it says concerns its own site alone.
        let run = mailchute().uid(SHOP).args(["alert"]).run();
        assert!(run.stdout.starts_with("shop/x: command /usr/bin/touch\n"), "{}", run.report());
        let ping = format!("ping = \"https://hc.example/s3cret\"\n{site}");
        host.write_as("/etc/mailchute/sites.d/shop.toml", &ping, 0o644, (SHOP, SHOP));
        let run = mailchute().uid(SHOP).args(["explain", "bob@example.net"]).stdin("x\n\n").run();
        assert!(
            run.report().contains("belongs into the main file") && !run.report().contains("s3cret"),
            "{}",
            run.report()
        );
    });
}

#[test]
fn an_alert_by_mail_takes_another_relay_and_never_waits() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let backup = Server::new().start();
        let relays = [("main", nobody.number()), ("backup", backup.port())];
        let table = "[alert.ops]\nmail = \"Ops <ops@example.org>\"\nfrom = \"alerts@example.net\"\n";
        configure(host, "on_relay_failure = \"spool\"", &relays, table);
        lay("login", "535 5.7.8 a\u{201c}b\u{201d} no");
        let run = flush();
        run.expect_status(0);
        assert!(run.stdout.starts_with("1 alert told\n"), "{}", run.report());
        let sessions = backup.finish();
        let delivery = &sessions[0].deliveries[0];
        let text = delivery.text();
        for part in
            ["Auto-Submitted: auto-generated", "Subject: ", "To: \"Ops\" <ops@example.org>", "alerts@example.net"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        // The only one left is the one that fails: it is told, and nothing waits in the spool.
        configure(host, "on_relay_failure = \"spool\"", &[("main", nobody.number())], table);
        lay("stuck", "x");
        let run = flush();
        run.expect_status(0);
        assert!(
            run.stderr.contains("alert ops: mail: the only relay it may take is the one that fails"),
            "{}",
            run.report()
        );
        configure(host, "on_relay_failure = \"spool\"", &[("other", nobody.number())], table);
        lay("failed", "x");
        assert!(flush().stderr.contains("alert ops: "));
        assert!(!Path::new("/var/spool/mailchute/61042/queue").exists());
    });
}

#[test]
fn a_ping_says_how_the_flush_went() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let relays = [("main", nobody.number())];
        let web = Web::saying("HTTP/1.1 200 OK\n\nOK");
        let top = format!("ping = \"http://127.0.0.1:{}/s3cret?rid=1\"\non_relay_failure = \"spool\"", web.port());
        configure(host, &top, &relays, "");
        // Nothing was ever kept: that is well.
        flush().expect_status(0);
        send().run().expect_status(0);
        // One for all, however many users there are.
        mailchute().args(["queue", "flush", "--all"]).run().expect_status(69);
        fs::remove_dir_all("/var/spool/mailchute/61042").unwrap();
        mailchute().args(["queue", "flush", "--all"]).run().expect_status(0);
        let asked = web.finish();
        let targets: Vec<_> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
        let (good, bad) = ("GET /s3cret?rid=1", "GET /s3cret/fail?rid=1");
        assert_eq!(targets, [good, bad, good]);
        // Nobody hears it: that is said, and changes nothing.
        let run = mailchute().uid(SHOP).args(["queue", "flush"]).run();
        assert!(!run.report().contains("s3cret"), "{}", run.report());
        assert!(run.stderr.contains("mailchute: 127.0.0.1:"), "{}", run.report());
    });
}

#[test]
fn a_flush_that_comes_to_nothing_in_any_place_is_told_of_at_once() {
    on_a_host(|host| {
        // What waits may lie in several places of the user's.
        let places = ["61042", "61042.1"].map(|name| format!("/var/spool/mailchute/{name}"));
        for broken in &places {
            for directory in places.iter().flat_map(|place| [place.clone(), format!("{place}/queue")]) {
                fs::create_dir(&directory).unwrap();
                std::os::unix::fs::chown(&directory, Some(SHOP), Some(SHOP)).unwrap();
                fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
            }
            let lock = format!("{broken}/flush.lock");
            fs::create_dir(&lock).unwrap();
            let web = Web::saying("HTTP/1.1 200 OK\n\nok");
            configure(host, "", &[("main", 9)], &ops("json", web.port(), "on = [\"flush\"]"));
            let run = flush();
            assert!(run.status != 0 && run.stderr.contains(&lock), "{}", run.report());
            let asked = web.finish();
            assert_eq!(asked.len(), 1, "{lock}");
            let facts = json(&asked[0]);
            assert_eq!(facts["event"], "flush");
            assert!(facts["reason"].as_str().unwrap().starts_with(&format!("{lock}: ")), "{facts}");
            places.iter().for_each(|place| fs::remove_dir_all(place).unwrap());
        }
    });
}

#[test]
fn root_serves_whoever_has_only_alerts() {
    on_a_host(|host| {
        let web = Web::saying("HTTP/1.1 200 OK\n\nok");
        configure(host, "", &[("main", 9)], &ops("json", web.port(), ""));
        lay("login", "535 no");
        let run = mailchute().args(["queue", "flush", "--all"]).run();
        run.expect_status(0);
        assert!(run.stdout.contains("uid 61042: 1 alert told"), "{}", run.report());
        assert_eq!(web.finish().len(), 1);
        let run = mailchute().args(["alert"]).run();
        assert!(run.stdout.contains("uid 61042: 1 more, which `mailchute alert --as 61042` lists"), "{}", run.report());
        let run = mailchute().args(["alert", "--as", "shop"]).run();
        assert!(
            run.stdout.contains("login of default through main, once: 535 no\n    ops was told\n"),
            "{}",
            run.report()
        );
    });
}

#[test]
fn a_login_that_is_refused_and_works_again_is_one_incident() {
    on_a_host(|host| {
        let main = Server::new().login("alice", PASSWORD, &["PLAIN"]).start();
        let backup = Server::new().start();
        host.write_as("/home/shop/secret", "wrong\n", 0o600, (SHOP, SHOP));
        let web = Web::saying("HTTP/1.1 202 Accepted\n\n{}");
        let at = |port: u16| format!("host = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
        let text = format!(
            "[relay.main]\n{}username = \"alice\"\npassword = {{ file = \"/home/shop/secret\" }}\n[relay.backup]\n{}\
             [alert.oncall]\nkind = \"pagerduty\"\nrouting_key = \"k\"\nurl = \"http://127.0.0.1:{}/v2/enqueue\"\n\
             [log]\nto = [\"/var/log/shop.log\"]\n",
            at(main.port()),
            at(backup.port()),
            web.port()
        );
        host.write_as("/etc/mailchute/config.toml", &text, 0o640, (0, SHOP));
        send().run().expect_status(0);
        assert_eq!(series(), ["login.default.main"]);
        flush().expect_status(0);
        // Mended: the next message finds it well.
        host.write_as("/home/shop/secret", PASSWORD, 0o600, (SHOP, SHOP));
        send().run().expect_status(0);
        assert_eq!(series(), ["login.default.main", "recovered.default.main"]);
        flush().expect_status(0);
        let asked: Vec<Value> = web.finish().iter().map(json).collect();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert_eq!((&asked[0]["event_action"], &asked[1]["event_action"]), (&"trigger".into(), &"resolve".into()));
        assert_eq!(asked[0]["dedup_key"], asked[1]["dedup_key"]);
        let summary = asked[0]["payload"]["summary"].as_str().unwrap();
        assert!(summary.contains("main refuses the login (5") && summary.ends_with(", backup is used"), "{summary}");
        main.finish();
        backup.finish();
    });
}

#[test]
fn where_nobody_flushes_the_process_starts_one() {
    on_a_host(|host| {
        fs::remove_file("/etc/cron.d/mailchute").unwrap();
        let nobody = Port::reserve();
        let (sender, hears) = std::sync::mpsc::channel();
        let web = Web::start(None, move |_| {
            let _ = sender.send(Instant::now());
            testkit::Answer::text("HTTP/1.1 200 OK\n\nok")
        });
        configure(host, "", &[("main", nobody.number())], &ops("json", web.port(), ""));
        send().run().expect_status(69);
        let is_heard = hears.recv_timeout(testkit::PATIENCE);
        let stayers = processes("queue flush --wait --quiet");
        // It stays while what happens now would belong to what it told.
        for pid in &stayers {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        assert!(is_heard.is_ok(), "nobody told it");
        assert_eq!(stayers.len(), 1);
        assert_eq!(web.finish().len(), 1);
        assert!(path("failed.default.main").exists());
    });
}

#[test]
fn a_site_that_has_fallen_silent_is_told_of_once() {
    on_a_host(|host| {
        fs::create_dir_all("/var/log/mailchute").unwrap();
        let record = |site: &str, time: &str, exit: u8| {
            format!(
                "{{\"v\":1,\"time\":\"{time}\",\"id\":\"0123456789ab\",\"by\":\"relay\",\"site\":\"{site}\",\"uid\":{SHOP},\"text\":\"ok\",\"code\":{},\"ms\":1,\"exit\":{exit}}}\n",
                if exit == 0 { 250 } else { 550 }
            )
        };
        let now = jiff::Timestamp::now();
        let records = record("quiet", "2026-01-02T03:04:05.000Z", 0)
            + &record("busy", "2026-01-02T03:04:05.000Z", 0)
            + &record("quiet", &format!("{now:.3}"), 150)
            + &record("busy", &format!("{now:.3}"), 0);
        host.write_as("/var/log/mailchute/61042.log", &records, 0o640, (SHOP, SHOP));
        let web = Web::saying("HTTP/1.1 200 OK\n\nok");
        let sites: String = ["quiet", "busy", "new"].map(|name| format!("[site.{name}]\nuser = {SHOP}\n")).concat();
        configure(host, "", &[("main", 9)], &(sites + &ops("json", web.port(), "on = [\"silent\"]\nsilent = \"3d\"")));
        // Nobody has anything to flush: root looks for all.
        for _ in 0..3 {
            mailchute().args(["queue", "flush", "--all"]).run().expect_status(0);
        }
        let asked = web.finish();
        assert_eq!(asked.len(), 1);
        let facts = json(&asked[0]);
        assert_eq!((&facts["event"], &facts["site"]), (&"silent".into(), &"quiet".into()));
        assert_eq!(facts["since"], "2026-01-02T03:04:05Z");
    });
}
