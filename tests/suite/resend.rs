//! `keep_messages`, `keep_for` and `mailchute resend`: copies of what is done with, and what becomes of them.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use mailchute::spool::{Ended, Folder, Line};
use serde_json::{Value, json};
use testkit::{Action, Host, Mailchute, Moment, Server, Session};

use crate::laid::{BLOG, Laid, SHOP, USERS, now};
use crate::setup::mailchute;

const MAIN: &str = "/etc/mailchute/config.toml";
const LOG: &str = "/var/log/{user}.log";

fn configure(host: &Host<'_>, server: &Server, keys: &str) {
    host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
    Laid::of(SHOP);
    for (user, uid) in USERS {
        host.write_as(&LOG.replace("{user}", user), "", 0o640, (uid, uid));
    }
    let log = format!("[log]\nto = \"{LOG}\"\n");
    host.write(MAIN, &format!("{keys}\n{log}[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", server.port()), 0o644);
}

fn send(id: &str) -> Mailchute {
    let message = format!("From: a@shop.example\nTo: bob@example.net\nMessage-ID: <{id}@x>\nSubject: {id}\n\nhello\n");
    mailchute().uid(SHOP).args(["-i", "-fa@shop.example", "bob@example.net", "ann@example.net"]).stdin(message)
}

fn words(line: &str) -> Mailchute {
    mailchute().uid(SHOP).line(line)
}

/// Identifier and state of everything in the spool.
fn rows() -> Vec<(String, String)> {
    let run = words("queue list --sent --json").run();
    let rows = run.expect_status(0).stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| (row["id"].as_str().unwrap().to_owned(), row["state"].as_str().unwrap().to_owned())).collect()
}

fn only() -> (String, String) {
    let rows = rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

fn last_record(user: &str) -> Value {
    let log = fs::read_to_string(LOG.replace("{user}", user)).unwrap();
    serde_json::from_str(log.lines().last().expect("a record")).expect("JSON")
}

/// Whom each message reached, and its text.
fn deliveries(sessions: &[Session]) -> Vec<(Vec<String>, String)> {
    let each = sessions.iter().flat_map(|session| &session.deliveries);
    each.map(|delivery| (delivery.recipients.iter().map(|one| one.path.clone()).collect(), delivery.text())).collect()
}

/// Whoever comes first is refused for good.
fn refusing_once() -> Server {
    Server::new().at_first(Moment::Rcpt, Action::Reply("550 5.1.1 no such user".to_owned())).start()
}

#[test]
fn copies_are_kept_of_what_the_site_asks_for() {
    for (keys, accepted, refused) in [
        ("", None, None),
        ("keep_messages = \"failed\"", None, Some("failed")),
        ("keep_messages = \"all\"", Some("sent"), Some("failed")),
    ] {
        Host::run(&USERS, |host| {
            let (good, bad) = (Server::new().start(), Server::new().reply(Moment::Mail, "550 5.7.1 no").start());
            let silent = Server::new().at(Moment::Message, Action::Close).start();
            for (server, expected, status, word) in
                [(&good, accepted, 0, "accepted"), (&bad, refused, 150, "refused"), (&silent, refused, 79, "in-doubt")]
            {
                configure(host, server, keys);
                send("one").run().expect_status(status);
                let states: Vec<String> = rows().into_iter().map(|(_, state)| state).collect();
                assert_eq!(states.last().map(String::as_str), expected, "{keys}: {}", last_record("shop"));
                let record = last_record("shop");
                assert_eq!((record["spool"].as_str(), record["status"].as_str()), (expected, Some(word)), "{keys}");
                for (id, _) in rows() {
                    words(&format!("queue drop {id}")).run().expect_status(0);
                }
            }
        });
    }
}

#[test]
fn what_was_refused_is_sent_once_more_and_gone() {
    Host::run(&USERS, |host| {
        let server = refusing_once();
        configure(host, &server, "keep_messages = \"failed\"");
        send("one").run().expect_status(150);
        let (id, state) = only();
        assert_eq!(state, "failed");
        let run = words(&format!("resend {id}")).run();
        let record = last_record("shop");
        run.expect_status(0);
        assert_eq!(run.stdout, format!("{id}: was accepted as {}\n", record["id"].as_str().unwrap()));
        assert_eq!((&record["resend_of"], &record["message_id"]), (&json!(id), &json!("<one@x>")));
        assert!(rows().is_empty());
        let sent = deliveries(&server.finish());
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, ["bob@example.net", "ann@example.net"]);
        assert!(sent[0].1.starts_with("From: a@shop.example\r\nTo: bob@example.net\r\n"), "{}", sent[0].1);
        words(&format!("resend {id}")).run().expect_status(66);
    });
}

#[test]
fn what_was_accepted_goes_again_only_when_that_is_said_or_to_somebody_else() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, "keep_messages = \"all\"");
        send("one").run().expect_status(0);
        let (id, _) = only();
        words(&format!("resend {id}"))
            .run()
            .expect_status(65)
            .expect_stderr(&format!("mailchute: {id}: was accepted already"));
        words(&format!("resend {id} --to carl@example.org")).run().expect_status(0);
        words(&format!("resend {id} --again")).run().expect_status(0);
        words(&format!("queue release {id}")).run().expect_status(65);
        words(&format!("queue hold {id}")).run().expect_status(65);
        // Each of the three has a copy.
        assert!(rows().len() == 3 && rows().iter().all(|(_, state)| state == "sent"), "{:?}", rows());
        let shown = words(&format!("queue show {id}")).run();
        assert!(shown.expect_status(0).stdout.contains("\nresent:    "), "{}", shown.report());
        let sent = deliveries(&server.finish());
        assert_eq!(sent[1].0, ["carl@example.org"]);
        let (block, rest) =
            sent[1].1.split_once("From: a@shop.example\r\nTo: bob").expect("the message below its block");
        assert!(block.starts_with("Resent-Date: "), "{block}");
        assert!(
            block.contains("\r\nResent-From: a@shop.example\r\nResent-To: carl@example.org\r\nResent-Message-ID: <")
        );
        assert!(rest.ends_with("hello\r\n"));
        assert_eq!(sent[2], sent[0]);
    });
}

#[test]
fn what_may_have_arrived_waits_or_is_held_has_another_way() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, "");
        let doubtful = Line::End {
            t: now() - 60,
            relay: "main".to_owned(),
            result: Ended::InDoubt,
            code: None,
            text: "closed the connection".to_owned(),
            waiting: None,
            is_of_relays: false,
        };
        Laid::of(SHOP)
            .entry(Folder::Queue, "aaaaaaaaaaaa", "default", &[])
            .entry(Folder::Held, "bbbbbbbbbbbb", "default", &[])
            .entry(Folder::Failed, "cccccccccccc", "default", &[doubtful]);
        Laid::of(BLOG).entry(Folder::Failed, "dddddddddddd", "default", &[]);
        for (id, status, says, hint) in [
            ("aaaaaaaaaaaa", 65, "waits, and is sent by itself", "mailchute queue flush aaaaaaaaaaaa"),
            ("bbbbbbbbbbbb", 65, "is held", "mailchute queue release bbbbbbbbbbbb"),
            ("cccccccccccc", 65, "may have been accepted already", "--again "),
            ("dddddddddddd", 66, "no message of this ID *", ""),
        ] {
            let run = words(&format!("resend {id}")).run();
            run.expect_status(status).expect_stderr(&format!("mailchute: {id}: {says}"));
            assert!(run.stderr.contains(&format!("\nhint: {hint}")), "{}", run.report());
        }
        words("resend cccccccccccc --again").run().expect_status(0);
        // Root finds whose it is, and the owner's process sends it.
        let run = mailchute().line("resend dddddddddddd --to carl@example.org").run();
        assert!(run.expect_status(0).stdout.starts_with("dddddddddddd: was accepted as "), "{}", run.report());
        assert_eq!(last_record("blog")["resend_of"], "dddddddddddd");
        assert_eq!(deliveries(&server.finish()).len(), 2);
    });
}

#[test]
fn what_a_flush_sends_is_kept_too_and_nothing_is_kept_for_ever() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, "keep_messages = \"all\"\nkeep_for = \"2d\"");
        let shop = Laid::of(SHOP);
        shop.entry(Folder::Queue, "aaaaaaaaaaaa", "default", &[])
            .entry(Folder::Sent, "bbbbbbbbbbbb", "default", &[])
            .entry(Folder::Failed, "cccccccccccc", "default", &[])
            .entry(Folder::Sent, "dddddddddddd", "gone", &[])
            .entry(Folder::Held, "eeeeeeeeeeee", "default", &[]);
        let age = |folder, id: &str, days: u64| {
            let file = File::options().write(true).open(shop.path(folder, id)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400 + 60)).unwrap();
        };
        age(Folder::Queue, "aaaaaaaaaaaa", 0);
        age(Folder::Sent, "bbbbbbbbbbbb", 1);
        age(Folder::Failed, "cccccccccccc", 2);
        age(Folder::Sent, "dddddddddddd", 2);
        age(Folder::Held, "eeeeeeeeeeee", 9);
        words("queue flush").run().expect_status(0);
        let ids = || rows().into_iter().map(|(id, _)| id[..1].to_owned()).collect::<String>();
        assert_eq!(ids(), "eabd", "held for a person, sent now, a day old, of a site that is not configured");
        // Another hour has to pass, as root's flush knows, too.
        age(Folder::Sent, "bbbbbbbbbbbb", 3);
        mailchute().line("queue flush --all --quiet").run().expect_status(0);
        assert_eq!(ids(), "eabd");
        let aged = File::options().write(true).open(shop.spool.directory().join("aged")).unwrap();
        aged.set_modified(SystemTime::now() - Duration::from_secs(3700)).unwrap();
        mailchute().line("queue flush --all --quiet").run().expect_status(0);
        assert_eq!(ids(), "ead");
        drop(server);
    });
}

#[test]
fn a_copy_that_cannot_be_made_changes_nothing_else() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, "keep_messages = \"all\"\nspool_max = \"1 messages\"");
        send("one").run().expect_status(0);
        let run = send("two").run();
        run.expect_status(0);
        assert_eq!(run.stderr, "");
        let warnings = last_record("shop")["warnings"].to_string();
        assert!(warnings.contains("no copy is kept: ") && warnings.contains("spool_max"), "{warnings}");
        assert_eq!(deliveries(&server.finish()).len(), 2);
    });
}

/// It goes through the door as any message does.
#[test]
fn a_resending_is_held_to_the_limits_and_bans_of_its_site() {
    Host::run(&USERS, |host| {
        let server = refusing_once();
        configure(host, &server, "keep_messages = \"failed\"\nlimit = \"1/hour\"");
        fs::create_dir_all("/var/lib/mailchute/state").unwrap();
        fs::set_permissions("/var/lib/mailchute/state", Permissions::from_mode(0o1733)).unwrap();
        send("one").run().expect_status(150);
        let (id, _) = only();
        let resend = || words(&format!("resend {id}")).run();
        resend().expect_status(50).expect_stderr("mailchute: site default: 450 4.7.1 over the limit of 1/hour, *");
        configure(host, &server, "keep_messages = \"failed\"");
        mailchute().line("ban default --because spam").run().expect_status(0);
        resend().expect_status(150).expect_stderr("mailchute: site default: 550 5.7.1 this site is banned: spam *");
        assert_eq!(only().0, id, "it is kept still");
        mailchute().line("unban default").run().expect_status(0);
        resend().expect_status(0);
        assert_eq!(deliveries(&server.finish()).len(), 1);
    });
}
