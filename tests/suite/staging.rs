//! The guard of a staging host: what is sent there reaches nobody it is written to, by no path.

use std::time::{Duration, SystemTime};

use mailchute::spool::{Folder, Line};
use testkit::{Delivery, Host, Moment, Port, Run, Server};

use crate::laid::{Laid, SHOP, USERS, address, now};
use crate::setup::{MESSAGE, Setup, mailchute};

const DIVERT: &str = "divert = [\"qa@qa.example\", \"dev@qa.example\"]";
const TO_ALL: &str = "From: Alice <alice@example.org>\nTo: Bob <bob@example.net>, ann@example.net\nCc: carl@example.net\n\
                      Bcc: dora@example.net\nReply-To: alice@example.org\nSubject: to four\n\nhello\n";

/// Whoever gets it, and every recipient field with its value.
fn addressed(delivery: &Delivery) -> (Vec<String>, Vec<String>) {
    let text = delivery.text();
    let header = text.split_once("\r\n\r\n").expect("a header section").0.replace("\r\n ", " ");
    let names = ["To: ", "Cc: ", "Bcc: ", "Resent-", "X-Mailchute"];
    let fields = header.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).map(str::to_owned);
    (delivery.forward_paths().into_iter().map(str::to_owned).collect(), fields.collect())
}

fn expect(delivery: &Delivery, from: &str) {
    let to = "To: qa@qa.example, dev@qa.example".to_owned();
    let (paths, fields) = addressed(delivery);
    assert_eq!(paths, ["qa@qa.example", "dev@qa.example"]);
    assert_eq!(fields, [to, format!("X-Mailchute-Diverted-From: {from}")]);
}

#[test]
fn what_is_diverted_reaches_nobody_it_is_written_to() {
    for (argv, top, from) in [
        ("-t -i", "", "bob@example.net, ann@example.net, carl@example.net, dora@example.net"),
        ("-i bob@example.net", "", "bob@example.net"),
        // Neither an alias, the host's or another site's name, nor a route leads past it.
        (
            "-i root",
            "alias = { root = [\"bob@example.net\", \"qa@qa.example\"], qa = \"bob@example.net\" }",
            "bob@example.net, qa@qa.example",
        ),
        (
            "-i bob@example.net",
            "local_domains = [\"qa.example\"]\nalias = { qa = \"bob@example.net\" }",
            "bob@example.net",
        ),
    ] {
        let setup = Setup::new(Server::new()).top(top).top(DIVERT);
        setup.mailchute().line(argv).stdin(TO_ALL).run().expect_status(0);
        let record = setup.record();
        assert_eq!(record["to"], serde_json::json!(["qa@qa.example", "dev@qa.example"]));
        let named: Vec<_> =
            record["diverted_from"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert_eq!((named.join(", "), record["by"].as_str()), (from.to_owned(), Some("relay")), "{argv}");
        let deliveries = setup.deliveries();
        assert_eq!(deliveries.len(), 1);
        expect(&deliveries[0], from);
    }
}

#[test]
fn a_resent_message_and_a_field_of_ours_lead_nowhere_else() {
    let setup = Setup::new(Server::new()).top(DIVERT);
    let text = "X-Mailchute-Diverted-From: mallory@example.net\nResent-From: alice@example.org\nResent-To: eve@example.net\n\
                Resent-Cc: eric@example.net\nFrom: alice@example.org\nTo: bob@example.net\n\nx\n";
    setup.mailchute().args(["-t", "-i"]).stdin(text).run().expect_status(0);
    let delivery = setup.deliveries().remove(0);
    let (_, fields) = addressed(&delivery);
    let from = "X-Mailchute-Diverted-From: eve@example.net, eric@example.net";
    assert_eq!(fields, ["Resent-From: alice@example.org", "To: qa@qa.example, dev@qa.example", from]);
}

#[test]
fn whoever_is_named_there_is_bounded_and_written_safely() {
    let setup = Setup::new(Server::new()).top(DIVERT);
    let many: Vec<String> = (0..300).map(|number| format!("somebody.{number}@example.net")).collect();
    setup.mailchute().arg("-i").args(many.iter().map(String::as_str)).stdin(MESSAGE).run().expect_status(0);
    let text = setup.deliveries().remove(0).text();
    assert!(text.contains(" somebody.99@example.net, and 200 more\r\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 78) && !text.contains("somebody.100@"), "{text}");
    // A server that takes ASCII alone.
    let setup = Setup::new(Server::new()).top(DIVERT);
    setup.mailchute().args(["-i", "jörg@bücher.example"]).stdin(MESSAGE).run().expect_status(0);
    let text = setup.deliveries().remove(0).text();
    let field = "X-Mailchute-Diverted-From: =?utf-8?";
    assert!(text.is_ascii() && text.contains(field) && text.contains("xn--bcher-kva=2Eexample?="), "{text}");
}

#[test]
fn under_bs_everybody_is_taken_and_the_relay_is_asked_for_none() {
    let session = "EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net> NOTIFY=NEVER ORCPT=rfc822;bob@example.net\r\nRCPT TO:<ann@example.net>\r\nDATA\r\nFrom: alice@example.org\r\nTo: bob@example.net\r\nBcc: ann@example.net\r\n\r\nx\r\n.\r\nQUIT\r\n";
    let setup = Setup::new(Server::new()).top(DIVERT);
    let run = setup.mailchute().args(["-bs", "-v"]).stdin(session).run();
    run.expect_status(0);
    assert!(run.stdout.contains("250 2.1.5 recipient ok"), "{}", run.report());
    let told = "* diverted to qa@qa.example, dev@qa.example, away from bob@example.net, ann@example.net";
    assert!(run.stderr.lines().any(|line| line == told), "{}", run.report());
    let record = setup.record();
    assert_eq!(record["diverted_from"], serde_json::json!(["bob@example.net", "ann@example.net"]));
    let sessions = setup.finish();
    let rcpt: Vec<_> = sessions[0].commands.iter().filter(|line| line.starts_with("RCPT")).collect();
    assert!(rcpt.len() == 2 && rcpt.iter().all(|line| line.contains("@qa.example")), "{rcpt:?}");
    expect(&sessions[0].deliveries[0], "bob@example.net, ann@example.net");
}

#[test]
fn what_is_discarded_goes_nowhere_and_says_so() {
    let setup = || Setup::new(Server::new()).top("discard = true");
    let silent = setup();
    let run = silent.send(&["bob@example.net"]);
    run.expect_status(0);
    assert_eq!((run.stderr.as_str(), run.stdout.as_str()), ("", ""));
    let record = silent.record();
    assert_eq!(record["by"], "mailchute");
    assert_eq!(record["text"], "discarded: discard = true");
    assert_eq!(record["to"], serde_json::json!(["bob@example.net"]));
    assert!(silent.finish().is_empty());

    let talking = setup();
    let run = talking.mailchute().args(["-v", "-i", "bob@example.net"]).stdin(MESSAGE).run();
    assert!(run.stderr.contains("* discarded: nothing is sent to anybody"), "{}", run.report());
    let session = "EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nFrom: alice@example.org\r\n\r\nx\r\n.\r\nQUIT\r\n";
    let run = talking.mailchute().arg("-bs").stdin(session).run();
    assert!(run.stdout.contains("250 2.0.0 discarded: discard = true"), "{}", run.report());
    let run = talking.mailchute().args(["test", "--to", "bob@example.net"]).run();
    run.expect_status(0);
    assert!(run.stdout.contains("* discarded"), "{}", run.report());
    let thrown = "0: the configuration has every message thrown away, and this one was\nmessage: nobody has it\n";
    assert!(run.stdout.contains(thrown), "{}", run.report());
    assert!(talking.finish().is_empty());
}

#[test]
fn test_is_diverted_and_explain_names_the_guard() {
    let setup = Setup::new(Server::new()).top(DIVERT);
    let run = setup.mailchute().args(["test", "--to", "bob@example.net"]).run();
    run.expect_status(0);
    assert!(
        run.stdout.contains("* diverted to qa@qa.example, dev@qa.example, away from bob@example.net"),
        "{}",
        run.report()
    );
    let run = setup.mailchute().args(["explain", "bob@example.net"]).stdin(MESSAGE).run();
    run.expect_status(0);
    for line in [
        "staging       divert = [\"qa@qa.example\", \"dev@qa.example\"]: nobody else gets anything from this site",
        "recipient     qa@qa.example",
        "staging       diverted to qa@qa.example, dev@qa.example, away from bob@example.net",
    ] {
        assert!(run.stdout.lines().any(|found| found == line), "{line}\n{}", run.report());
    }
    expect(&setup.deliveries()[0], "bob@example.net");

    let elsewhere = Setup::new(Server::new()).top("staging = { hosts = [\"no.such.host\"], discard = true }");
    let run = elsewhere.mailchute().args(["explain", "bob@example.net"]).stdin(MESSAGE).run();
    assert!(run.stdout.contains("[staging] is for no.such.host, and not for this host ("), "{}", run.report());
    elsewhere.send(&["bob@example.net"]).expect_status(0);
    assert_eq!(elsewhere.deliveries()[0].forward_paths(), ["bob@example.net"]);
    let here = Setup::new(Server::new()).top("staging = { except_hosts = [\"web1\"], divert = \"qa@qa.example\" }");
    here.send(&["bob@example.net"]).expect_status(0);
    assert_eq!(here.deliveries()[0].forward_paths(), ["qa@qa.example"]);
}

#[test]
fn a_container_has_the_guard_in_its_url() {
    for (query, to) in
        [("divert=qa@qa.example,dev@qa.example", Some(["qa@qa.example", "dev@qa.example"])), ("discard=1", None)]
    {
        let server = Server::new().start();
        let url = format!("smtp://127.0.0.1:{}?tls=none&{query}", server.port());
        let run = mailchute().env("MAILCHUTE_URL", url).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(0);
        let deliveries: Vec<_> = server.finish().into_iter().flat_map(|session| session.deliveries).collect();
        let found: Option<Vec<_>> = deliveries.first().map(|delivery| delivery.forward_paths());
        assert_eq!(found, to.map(|to| to.to_vec()), "{query}");
    }
}

#[test]
fn show_tells_whom_it_was_written_to() {
    Host::run(&USERS, |host| {
        std::fs::create_dir_all("/var/log/mailchute").unwrap();
        std::fs::set_permissions("/var/log/mailchute", std::os::unix::fs::PermissionsExt::from_mode(0o1733)).unwrap();
        let relay = "[relay.main]\nprotocol = \"null\"\n";
        host.write("/etc/mailchute/config.toml", &format!("{DIVERT}\n{relay}"), 0o644);
        mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
        let log = std::fs::read_to_string(format!("/var/log/mailchute/{SHOP}.log")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&log).unwrap();
        let show = mailchute().uid(SHOP).args(["show", record["id"].as_str().unwrap()]).run();
        assert!(show.stdout.contains("to:         dev@qa.example\naway from:  bob@example.net\n"), "{}", show.report());
    });
}

/// A site `shop` that spools, whose relay is at `port`.
fn configure(host: &Host<'_>, port: u16, guard: &str) {
    host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
    host.write("/run/crond.pid", "1\n", 0o644);
    let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    let site = format!("[site.shop]\non_relay_failure = \"spool\"\n{guard}\n");
    if std::fs::metadata("/run/log").is_err() {
        host.write_as("/run/log", "", 0o660, (0, SHOP));
    }
    host.write("/etc/mailchute/config.toml", &format!("{relay}{site}[log]\nto = [\"/run/log\"]\n"), 0o644);
}

/// What a relay gets of a flush under this guard.
fn flushed(host: &Host<'_>, guard: &str) -> (Run, Vec<Delivery>) {
    let server = Server::new().start();
    configure(host, server.port(), guard);
    let run = mailchute().uid(SHOP).args(["queue", "flush"]).run();
    (run, server.finish().into_iter().flat_map(|session| session.deliveries).collect())
}

fn make_due(laid: &Laid) {
    let at = SystemTime::now() - Duration::from_secs(1);
    for (id, _) in laid.places().iter().filter(|(_, folder)| *folder == "queue") {
        laid.spool.open(Folder::Queue, id).unwrap().retry_at(at).unwrap();
    }
}

fn places(laid: &Laid) -> Vec<String> {
    laid.places().iter().map(|(id, folder)| format!("{folder}/{id}")).collect()
}

#[test]
fn what_waits_was_diverted_once_and_for_all() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        let nobody = Port::reserve();
        configure(host, nobody.number(), DIVERT);
        let send = || mailchute().uid(SHOP).args(["-t", "-i"]).stdin(TO_ALL).run();
        send().expect_status(0);
        let session = "EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nFrom: alice@example.org\r\n\r\nx\r\n.\r\nQUIT\r\n";
        mailchute().uid(SHOP).arg("-bs").stdin(session).run().expect_status(0);
        assert_eq!(laid.places().len(), 2);
        let shown = mailchute().uid(SHOP).args(["queue", "show", &laid.places()[0].0]).run();
        assert!(shown.stdout.contains("away from: bob@example.net"), "{}", shown.report());
        make_due(&laid);
        // Under the same guard, another one or none.
        let (run, deliveries) = flushed(host, DIVERT);
        assert_eq!(run.stdout, "2 sent\n", "{}", run.report());
        let from = ["bob@example.net, ann@example.net, carl@example.net, dora@example.net", "bob@example.net"];
        for delivery in &deliveries {
            expect(delivery, from[usize::from(!delivery.text().contains("to four"))]);
        }
        for (guard, sent) in [("divert = \"other@qa.example\"", 1), ("", 1), ("discard = true", 0)] {
            configure(host, nobody.number(), DIVERT);
            send().expect_status(0);
            make_due(&laid);
            let (run, deliveries) = flushed(host, guard);
            assert_eq!(deliveries.len(), sent, "{guard}: {}", run.report());
            deliveries.iter().for_each(|delivery| expect(delivery, from[0]));
        }
        let log = std::fs::read_to_string("/run/log").unwrap();
        let named = log.lines().filter(|line| line.contains("\"diverted_from\":[\"bob@example.net\"")).count();
        assert_eq!(named, log.lines().count(), "{log}");
    });
}

#[test]
fn what_waited_before_there_was_a_guard_is_held() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        let refused = || Line::End {
            t: now() - 60,
            relay: "main".into(),
            result: mailchute::spool::Ended::Refused,
            code: Some(550),
            text: "550 5.1.1 no".into(),
            waiting: None,
            is_of_relays: false,
        };
        let begun = || Line::Begun { t: now() - 60, relay: "main".into() };
        for guard in [DIVERT, "discard = true"] {
            laid.entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[]);
            laid.entry_with(Folder::Queue, "bbbbbbbbbbbb", "shop", &[], |head| head.until = now() - 1);
            laid.entry(Folder::Queue, "cccccccccccc", "shop", &[refused()]);
            laid.entry(Folder::Queue, "dddddddddddd", "shop", &[begun()]);
            laid.entry_with(Folder::Queue, "eeeeeeeeeeee", "shop", &[], |head| head.is_bounce = true);
            make_due(&laid);
            let (run, deliveries) = flushed(host, guard);
            assert!(deliveries.is_empty(), "{}", run.report());
            let held: Vec<String> =
                ["a", "b", "c", "d", "e"].iter().map(|id| format!("held/{}", id.repeat(12))).collect();
            assert_eq!(places(&laid), held, "neither sent, bounced nor given up: {}", run.report());
            // Nor does a person send it while the guard stands.
            let release = |id: &str| mailchute().uid(SHOP).args(["queue", "release", id]).run();
            release("aaaaaaaaaaaa").expect_status(0);
            let (_, deliveries) = flushed(host, guard);
            assert!(deliveries.is_empty());
            let list = mailchute().uid(SHOP).args(["queue", "list"]).run();
            assert!(list.stdout.contains("was taken before "), "{}", list.report());
            // It goes out where the guard is lifted.
            release("aaaaaaaaaaaa").expect_status(0);
            let (_, deliveries) = flushed(host, "");
            assert_eq!(deliveries[0].forward_paths(), ["bob@example.net", "ann@example.net"]);
            for id in ["b", "c", "d", "e"] {
                mailchute().uid(SHOP).args(["queue", "drop", &id.repeat(12)]).run().expect_status(0);
            }
            assert!(places(&laid).is_empty());
        }
    });
}

#[test]
fn a_bounce_is_diverted_too_or_not_made() {
    Host::run(&USERS, |host| {
        let laid = Laid::of(SHOP);
        let give_up = |guard: &str| {
            laid.entry_with(Folder::Queue, "aaaaaaaaaaaa", "shop", &[], |head| {
                head.until = now() - 1;
                head.diverted_from = vec![address("bob@example.net")];
                head.envelope.forward_paths = vec![address("qa@qa.example")];
                head.envelope.reverse_path = Some(address("customer@example.net"));
            });
            make_due(&laid);
            let down = Server::new().reply(Moment::Rcpt, "450 4.2.0 later").start();
            configure(host, down.port(), guard);
            mailchute().uid(SHOP).args(["queue", "flush"]).run();
            let bounce = laid.places().iter().any(|(id, folder)| id == "aaaaaaaaaaaa-b" && *folder == "queue");
            mailchute().uid(SHOP).args(["queue", "drop", "aaaaaaaaaaaa"]).run();
            bounce
        };
        assert!(give_up(DIVERT));
        make_due(&laid);
        let (run, deliveries) = flushed(host, DIVERT);
        assert_eq!(deliveries.len(), 1, "{}", run.report());
        expect(&deliveries[0], "customer@example.net");
        assert!(!give_up("discard = true"));
    });
}
