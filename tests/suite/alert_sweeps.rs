//! Alerts under stress: two hundred processes at once, the system calls of whoever fails, and a flusher that is killed at
//! every one of its own while it tells alerts, and at every eighth one behind that; with `MAILCHUTE_ALL_POINTS` set at
//! every one there, too.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::Path;
use std::thread;

use serde_json::Value;
use testkit::{Asked, Fault, Mailchute, Port, Server, Web, need_strace, points};

use crate::alert_services::lay;
use crate::alerts::{SHOP, configure, flush, json, on_a_host, ops, path, send, series};
use crate::setup::mailchute;

const TRACE: &str = "/run/trace";

/// How many processes fail at once.
const MANY: usize = 200;

#[test]
fn many_that_fail_at_once_make_one_alert() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let web = Web::saying("HTTP/1.1 200 OK\n\nok");
        configure(host, "", &[("main", nobody.number())], &ops("json", web.port(), ""));
        let all: Vec<_> = (0..MANY).map(|_| send().spawn()).collect();
        for running in all {
            running.finish().expect_status(69);
        }
        assert_eq!(series(), ["failed.default.main"]);
        flush().expect_status(0);
        flush().expect_status(0);
        let asked = web.finish();
        assert_eq!(asked.len(), 1);
        assert_eq!(json(&asked[0])["count"], MANY);
    });
}

/// Makes the user's directories, as the installation does.
fn install() {
    for parent in ["/var/spool/mailchute", "/var/lib/mailchute/state"] {
        let own = format!("{parent}/{SHOP}");
        fs::create_dir(&own).unwrap();
        chown(&own, Some(SHOP), Some(SHOP)).unwrap();
    }
}

/// How often `call` makes each system call.
fn calls(call: Mailchute) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for point in points(call, Path::new(TRACE)).1 {
        *counts.entry(point.call).or_insert(0) += 1;
    }
    counts
}

/// The calls that `with` makes more often than `without`; time decides how often it is waited.
fn more(with: &HashMap<String, usize>, without: &HashMap<String, usize>) -> Vec<(String, usize)> {
    let is_waiting =
        |call: &str| matches!(call, "poll" | "ppoll" | "clock_nanosleep" | "futex" | "sched_yield" | "madvise");
    let count = |of: &HashMap<String, usize>, call: &str| of.get(call).copied().unwrap_or_default();
    let more = with
        .keys()
        .filter(|call| !is_waiting(call))
        .map(|call| (call.clone(), count(with, call).saturating_sub(count(without, call))));
    let mut more: Vec<_> = more.filter(|(_, more)| *more > 0).collect();
    more.sort();
    more
}

#[test]
fn who_fails_pays_three_system_calls() {
    if !need_strace() {
        return;
    }
    on_a_host(|host| {
        host.write_as(TRACE, "", 0o600, (SHOP, SHOP));
        install();
        let nobody = Port::reserve();
        let relays = [("main", nobody.number())];
        // The same octets to read, and the same to log.
        let with = ops("json", 9, "on = [\"failed\"]");
        let without = ops("json", 9, "on = [\"silent\"]\nsilent = \"3d\"")
            .replace("[\"silent\"]\nsilent = \"3d\"", "[\"ban\"]   ");
        assert_eq!(with.len(), without.len());
        configure(host, "", &relays, &without);
        calls(send());
        let nothing = calls(send());
        configure(host, "", &relays, &with);
        let first = more(&calls(send()), &nothing);
        assert_eq!(series(), ["failed.default.main"]);
        let later = more(&calls(send()), &nothing);
        assert_eq!(fs::read_to_string(path("failed.default.main")).unwrap().lines().count(), 2);
        let sum = |all: &[(String, usize)]| all.iter().map(|(_, count)| count).sum::<usize>();
        assert!(sum(&later) <= 3, "{later:?}");
        // The first of a series makes the file, and looks whether anybody flushes; here it makes the directories, too.
        assert!(sum(&first) <= 16, "{first:?}");
        fs::remove_file(path("failed.default.main")).unwrap();
        let first = more(&calls(send()), &nothing);
        assert!(sum(&first) <= 8, "{first:?}");

        // What goes out well touches nothing of it.
        let server = Server::new().start();
        let relays = [("main", server.port())];
        configure(host, "", &relays, &without);
        calls(send());
        let nothing = calls(send());
        configure(host, "", &relays, &with);
        let well = more(&calls(send()), &nothing);
        assert!(well.is_empty(), "{well:?}");
        drop(server);
    });
}

fn flusher() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--quiet"])
}

/// What the service hears during `what`.
fn heard(host: &testkit::Host<'_>, what: impl FnOnce()) -> Vec<Value> {
    let web = Web::saying("HTTP/1.1 200 OK\n\nok");
    configure(host, "", &[("main", 9)], &ops("json", web.port(), ""));
    what();
    // What was cut off before its end has said nothing.
    let is_whole = |asked: &&Asked| asked.header("content-length") == Some(&asked.body.len().to_string());
    web.finish().iter().filter(is_whole).map(json).collect()
}

#[test]
fn a_flusher_that_is_killed_loses_no_alert_and_says_what_it_doubles() {
    if !need_strace() {
        return;
    }
    on_a_host(|host| {
        host.write_as(TRACE, "", 0o600, (SHOP, SHOP));
        install();
        lay("login", "535 no");
        let mut all = Vec::new();
        let once = heard(host, || all = points(flusher(), Path::new(TRACE)).1);
        assert_eq!(once.len(), 1);
        let start = all.iter().position(|point| point.call == "flock").expect("a lock");
        // Then comes what waits.
        let told = start + all[start..].iter().position(|point| point.line.contains("LOCK_UN")).expect("its end");
        let step = if std::env::var_os("MAILCHUTE_ALL_POINTS").is_some() { 1 } else { 8 };
        let points = all[start..=told].iter().chain(all[told + 1..].iter().step_by(step));
        let (mut lost, mut doubled, mut silent) = (Vec::new(), 0, Vec::new());
        let mut hits = 0;
        for point in points {
            lay("login", "535 no");
            let mut is_hit = false;
            let first = heard(host, || is_hit = flusher().at(point, Fault::Kill, Path::new(TRACE)).run().1);
            hits += usize::from(is_hit);
            let second = heard(host, || drop(flush()));
            let third = heard(host, || drop(flush()));
            let what = format!("before {} {}: {}", point.call, point.number, point.line);
            if first.len() + second.len() == 0 {
                lost.push(what.clone());
            }
            if first.len() + second.len() > 1 {
                doubled += 1;
                // It says so, and is the same to whoever reads its id.
                let (one, other) = (&first[0], &second[0]);
                if other["again"] != true || one["id"] != other["id"] {
                    silent.push(what);
                }
            }
            assert!(third.is_empty(), "{third:?}");
        }
        let text = format!("alerts: a flusher killed at {hits} points: {} lost, {doubled} told twice", lost.len());
        // Past the harness's capture: the counts are the result.
        let _ = writeln!(std::io::stderr(), "{text}, each with a remark");
        assert!(hits > 30, "only {hits} points");
        assert!(lost.is_empty(), "lost:\n{}", lost.join("\n"));
        assert!(silent.is_empty(), "doubled without a word:\n{}", silent.join("\n"));
        // Between the last octet that leaves and the mark that it has arrived nobody can know: that is little.
        assert!(doubled > 0 && doubled * 3 < hits, "{doubled} of {hits} doubled");
    });
}

#[test]
fn who_raises_while_the_flusher_ends_a_series_is_heard() {
    on_a_host(|host| {
        let nobody = Port::reserve();
        let web = Web::saying("HTTP/1.1 200 OK\n\nok");
        configure(host, "", &[("main", nobody.number())], &ops("json", web.port(), ""));
        // Whoever meets a flusher that is about to lay a series aside either adds to it or begins another.
        for _ in 0..20 {
            send().run().expect_status(69);
            flush().expect_status(0);
            crate::alerts::age("failed.default.main", 3600);
            thread::scope(|scope| {
                let failing = scope.spawn(|| send().run().expect_status(69).status);
                flush().expect_status(0);
                failing.join().unwrap();
            });
            flush().expect_status(0);
            while path("failed.default.main").exists() {
                crate::alerts::age("failed.default.main", 3600);
                flush().expect_status(0);
            }
            assert_eq!(series(), [""; 0]);
        }
        let mut told: i64 = 0;
        let mut last = 0;
        for asked in web.finish() {
            let count = json(&asked)["count"].as_i64().unwrap();
            // Another series begins at one.
            told += if count > last { count - last } else { count };
            last = count;
        }
        assert_eq!(told, 40);
    });
}
