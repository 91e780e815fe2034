//! Alerts of limits and bans: told where a message is refused, waits or takes another relay because of a limit, and where
//! a ban is set, by whom it may be.

use std::fs;

use serde_json::Value;
use testkit::{Host, Port, Server, Web};

use crate::alerts::{ALERTS, configure, flush, json, on_a_host, ops, send, series};
use crate::setup::mailchute;

/// What the service of `[alert.ops]` hears of a flush, where the configuration is this beside it.
fn told(host: &Host<'_>, top: &str, relays: &[(&str, u16)], more: &str, flush: impl FnOnce()) -> Vec<Value> {
    let web = Web::saying("HTTP/1.1 200 OK\n\nok");
    configure(host, top, relays, &format!("{}{more}", ops("json", web.port(), "")));
    flush();
    web.finish().iter().map(json).collect()
}

fn one(all: Vec<Value>) -> Value {
    let [one] = <[Value; 1]>::try_from(all).unwrap();
    one
}

fn text(facts: &Value) -> &str {
    facts["text"].as_str().unwrap()
}

/// A new start: nothing was told, counted or banned.
fn forget() {
    for left in [ALERTS, "/var/lib/mailchute/state/61042", "/var/spool/mailchute/61042", "/var/spool/mailchute/0"] {
        let _ = fs::remove_dir_all(left);
    }
}

#[test]
fn what_a_site_sends_over_its_limit_is_told_once() {
    on_a_host(|host| {
        let relay = Server::new().start();
        let relays = [("main", relay.port())];
        let listens = ops("json", 9, "");
        // Whoever is told nothing of limits leaves nothing.
        configure(host, "limit = \"1/day\"", &relays, &ops("json", 9, "on = [\"failed\"]"));
        send().run().expect_status(0);
        send().run().expect_status(50);
        assert_eq!(series(), [""; 0]);

        forget();
        let top = "limit = \"1/day\"";
        configure(host, top, &relays, &listens);
        for status in [0, 50, 50] {
            send().run().expect_status(status);
        }
        let session = "EHLO x\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n";
        mailchute().uid(crate::alerts::SHOP).arg("-bs").stdin(session).run().expect_status(50);
        assert_eq!(series(), ["limit.default."]);
        let facts = one(told(host, top, &relays, "", || drop(flush())));
        assert_eq!(
            (&facts["event"], &facts["severity"], &facts["count"]),
            (&"limit".into(), &"warning".into(), &3.into())
        );
        assert!(text(&facts).starts_with("default: too much mail (over the limit of 1/day, next free at "), "{facts}");
        assert!(text(&facts).ends_with(", 3 times"), "{facts}");

        // One that waits for room waits in the spool, too: that is one alert.
        forget();
        let top = "limit = \"1/day\"\nover_limit = \"spool\"\non_relay_failure = \"spool\"";
        configure(host, top, &relays, &listens);
        send().run().expect_status(0);
        send().run().expect_status(0);
        assert_eq!(series(), ["limit.default."]);
        let facts = one(told(host, top, &relays, "", || drop(flush())));
        assert!(text(&facts).ends_with(", 1 message waits"), "{facts}");
        relay.finish();
    });
}

#[test]
fn a_relay_over_its_limit_is_told_with_the_one_that_is_used() {
    on_a_host(|host| {
        let (main, backup) = (Server::new().start(), Server::new().start());
        let limited = |relay: &Server, more: &str| {
            let listens = ops("json", 9, "");
            format!(
                "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nlimit = \"1/day\"\n{more}{listens}",
                relay.port()
            )
        };
        let spare = format!("[relay.backup]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", backup.port());
        for (more, status, end) in [(spare.as_str(), 0, ", backup is used"), ("", 50, "")] {
            forget();
            configure(host, "", &[], &limited(&main, more));
            send().run().expect_status(0);
            send().run().expect_status(status);
            assert_eq!(series(), ["limit.default.main"], "{more}");
            let facts = one(told(host, "", &[("main", main.port())], "", || drop(flush())));
            assert_eq!((&facts["event"], &facts["relay"]), (&"limit".into(), &"main".into()));
            assert!(text(&facts).starts_with("default: too much mail for main (over the limit of 1/day, "), "{facts}");
            assert!(text(&facts).ends_with(end), "{facts}");
        }
        main.finish();
        backup.finish();
    });
}

#[test]
fn a_ban_that_a_site_brings_upon_itself_is_told_when_it_is_set() {
    on_a_host(|host| {
        let relay = Server::new().start();
        let relays = [("main", relay.port())];
        let top = "limit = \"1/day\"\nover_limit = \"ban\"";
        // Who hears of limits alone hears of it, too.
        for on in ["", "on = [\"ban\"]", "on = [\"limit\"]"] {
            forget();
            configure(host, top, &relays, &ops("json", 9, on));
            // What comes behind the ban is refused because of it.
            for status in [0, 150, 150] {
                send().run().expect_status(status);
            }
            assert_eq!(series(), ["ban.default."], "{on}");
        }
        let facts = one(told(host, top, &relays, "", || drop(flush())));
        assert_eq!((&facts["event"], &facts["count"]), (&"ban".into(), &1.into()));
        assert!(text(&facts).starts_with("default: it is banned (until "), "{facts}");
        assert!(text(&facts).contains(": over the limit of 1/day) since "), "{facts}");
        relay.finish();
    });
}

#[test]
fn a_ban_that_root_sets_is_told_by_roots_flush() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let relays = [("main", nobody.number())];
        let ban = |words: &[&str]| mailchute().arg("ban").args(words.to_vec()).run().expect_status(0).status;
        let flush_all = || mailchute().args(["queue", "flush", "--all"]).run().expect_status(0).status;
        configure(host, "", &relays, &ops("json", 9, "on = [\"limit\"]"));
        ban(&["default"]);
        assert!(!std::path::Path::new("/var/spool/mailchute/0/alerts").exists());

        for (words, start) in [
            (&["default", "--for", "6h", "--because", "spam"][..], "default: it is banned (until "),
            (&["--user", "61043"], "a user is banned (uid 61043)"),
        ] {
            forget();
            configure(host, "", &relays, &ops("json", 9, ""));
            ban(words);
            let facts = one(told(host, "", &relays, "", || assert_eq!(flush_all(), 0)));
            assert_eq!(facts["event"], "ban");
            assert!(text(&facts).starts_with(start), "{facts}");
        }
        // The ban holds, configuration or not.
        host.write("/etc/mailchute/config.toml", "nonsense", 0o644);
        ban(&["--user", "61042"]);
    });
}
