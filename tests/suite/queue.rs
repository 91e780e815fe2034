//! `mailchute queue`, `mailq` and `-bp` over a spool that the test lays out.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use mailchute::spool::{Ended, Folder, Line};
use serde_json::Value;
use testkit::{Host, Run, Web, need_root};

use crate::laid::{BLOG, Laid, PLACE, SHOP, USERS, now};
use crate::setup::mailchute;

fn deferred() -> Line {
    let (relay, text) = ("main".to_owned(), "451 4.7.1 greylisted".to_owned());
    Line::End {
        t: now() - 60,
        relay,
        result: Ended::Deferred,
        code: Some(451),
        text,
        waiting: None,
        is_of_relays: false,
    }
}

fn begun() -> Line {
    Line::Begun { t: now() - 60, relay: "main".to_owned() }
}

fn queue(line: &str) -> testkit::Mailchute {
    mailchute().arg("queue").line(line)
}

fn json(run: &Run) -> Vec<Value> {
    run.expect_status(0).stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn nothing_that_a_user_writes_into_its_spool_moves_a_terminal() {
    const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}gpj.exe";
    Host::run(&USERS, |_| {
        let id = "aaaaaaaaaaaa";
        Laid::of(SHOP).entry_with(Folder::Queue, id, "shop", &[], |head| {
            head.site = HOSTILE.to_owned();
            head.why = HOSTILE.to_owned();
            head.route = vec![HOSTILE.to_owned()];
            head.repairs = vec![HOSTILE.to_owned()];
            head.key = Some(HOSTILE.to_owned());
        });
        for words in ["list", "list --json", &format!("show {id}")] {
            let run = queue(words).run();
            let said = format!("{}{}", run.expect_status(0).stdout, run.stderr);
            assert!(said.contains("31m"), "{words}\n{said}");
            assert!(!said.chars().any(|c| mailchute::reply::is_hidden(c) && c != '\n'), "{words}\n{said:?}");
        }
    });
}

#[test]
fn everybody_sees_their_own_and_root_all() {
    Host::run(&USERS, |_| {
        Laid::of(SHOP)
            .entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[begun(), deferred()])
            .entry(Folder::Queue, "bbbbbbbbbbbb", "other", &[begun()])
            .entry(Folder::Held, "cccccccccccc", "shop", &[])
            .entry(Folder::Failed, "dddddddddddd", "shop", &[]);
        Laid::of(BLOG).entry(Folder::Queue, "eeeeeeeeeeee", "blog", &[]);
        let own = queue("").uid(SHOP).run();
        let expected = "\
ID            AGE   SIZE  TRIES  NEXT      FROM             TO                  WHY
aaaaaaaaaaaa   2h  156 B      1  in 10m    a@shop.example   bob@example.net +1  451 4.7.1 greylisted
bbbbbbbbbbbb   2h  158 B      1  in doubt  a@other.example  bob@example.net +1  smtp.example.net:465: connection refused
cccccccccccc   2h  156 B      0  held      a@shop.example   bob@example.net +1  smtp.example.net:465: connection refused
dddddddddddd   2h  156 B      0  failed    a@shop.example   bob@example.net +1  smtp.example.net:465: connection refused
";
        assert_eq!(own.expect_status(0).stdout, expected, "{}", own.report());
        assert_eq!(own.stderr, "");
        let ids =
            |run: &Run| json(run).iter().map(|row| row["id"].as_str().unwrap()[..1].to_owned()).collect::<String>();
        assert_eq!(ids(&queue("--json").uid(BLOG).run()), "e");
        assert_eq!(ids(&queue("list --json --site shop").uid(SHOP).run()), "acd");
        assert_eq!(ids(&queue("list --json --relay other").uid(SHOP).run()), "");
        assert_eq!(ids(&queue("list --json").run()), "abcde");
        assert_eq!(ids(&queue("--json --as blog").run()), "e");
        let all = queue("list --json --site shop").run();
        let rows = json(&all);
        assert_eq!(
            (&rows[0]["state"], &rows[0]["user"], &rows[0]["uid"]),
            (&"waiting".into(), &"shop".into(), &SHOP.into())
        );
        assert_eq!(rows[0]["to"], serde_json::json!(["bob@example.net", "ann@example.net"]));
        let table = queue("").run();
        assert!(
            table.stdout.starts_with("USER  ID  ") && table.stdout.contains("\nblog  eeeeeeeeeeee "),
            "{}",
            table.report()
        );
        queue("--as shop").uid(BLOG).run().expect_status(77).expect_stderr("mailchute: --as: only root *");
        for (uid, id) in [(BLOG, "aaaaaaaaaaaa"), (SHOP, "ffffffffffff"), (0, "ffffffffffff"), (0, "../../x"), (0, "")]
        {
            for word in ["show", "hold", "release", "drop", "resolve"] {
                let run = mailchute().args(["queue", word, id]).uid(uid).run();
                run.expect_status(66)
                    .expect_stderr("mailchute: *: no message of this ID waits, is held, was given up or is kept");
            }
        }
    });
}

#[test]
fn numbers_and_an_empty_spool() {
    Host::run(&USERS, |_| {
        for uid in [0, SHOP] {
            let run = queue("").uid(uid).run();
            assert_eq!(run.expect_status(0).stdout, "nothing waits, is held or was given up\n", "{}", run.report());
            for (name, words) in [("mailq", ""), ("sendmail", "-bp")] {
                let run = mailchute().name(name).line(words).uid(uid).run();
                assert_eq!(run.expect_status(0).stdout, "Mail queue is empty\n", "{}", run.report());
            }
        }
        assert!(fs::metadata(PLACE).is_err(), "a look makes nothing");
        let shop = Laid::of(SHOP);
        shop.entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[]).entry(Folder::Held, "cccccccccccc", "shop", &[]);
        let run = queue("--summary").uid(SHOP).run();
        let lines: Vec<&str> = run.expect_status(0).stdout.lines().collect();
        assert_eq!(lines[0], "USER  WAITING  DUE  NEXT  HELD  FAILED  SIZE");
        assert!(
            lines[1].starts_with("shop        1    0   10m     1       0  ") && lines.len() == 2,
            "{}",
            run.report()
        );
        Laid::of(BLOG).entry(Folder::Failed, "eeeeeeeeeeee", "blog", &[]);
        let counts = json(&queue("list --summary --json").run());
        assert_eq!(
            (&counts[0]["user"], &counts[0]["waiting"], &counts[0]["held"]),
            (&"shop".into(), &1.into(), &1.into())
        );
        assert_eq!(
            (&counts[1]["user"], &counts[1]["waiting"], &counts[1]["failed"]),
            (&"blog".into(), &0.into(), &1.into())
        );
        let one = json(&queue("list --summary --json --site other").uid(SHOP).run());
        assert_eq!((&one[0]["waiting"], &one[0]["size"]), (&0.into(), &0.into()));
    });
}

#[test]
fn mailq_in_the_form_that_its_callers_know() {
    Host::run(&USERS, |_| {
        Laid::of(SHOP)
            .entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[begun(), deferred()])
            .entry(Folder::Held, "cccccccccccc", "shop", &[])
            .entry(Folder::Failed, "dddddddddddd", "shop", &[]);
        for (name, words, uid) in [("mailq", "", SHOP), ("sendmail", "-bp", 0)] {
            let run = mailchute().name(name).line(words).uid(uid).run();
            let lines: Vec<&str> = run.expect_status(0).stdout.lines().collect();
            assert_eq!(lines[0], "-Queue ID-    --Size-- ----Arrival Time---- -Sender/Recipient-------");
            assert!(
                lines[1].starts_with("aaaaaaaaaaaa       156  ") && lines[1].ends_with(" a@shop.example"),
                "{}",
                lines[1]
            );
            assert_eq!(lines[2], "        (451 4.7.1 greylisted)");
            assert_eq!(lines[3], format!("{:44}bob@example.net", ""));
            assert!(lines[6].starts_with("cccccccccccc!      156  "), "{}", run.report());
            assert_eq!(*lines.last().unwrap(), "-- 1 Kbytes in 2 Requests.", "{}", run.report());
        }
    });
}

#[test]
fn a_person_decides() {
    Host::run(&USERS, |_| {
        let shop = Laid::of(SHOP);
        shop.entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[deferred()])
            .entry(Folder::Queue, "bbbbbbbbbbbb", "other", &[begun()])
            .entry(Folder::Held, "cccccccccccc", "shop", &[begun()])
            .entry(Folder::Failed, "dddddddddddd", "shop", &[begun(), Line::Bounced { t: 1 }]);
        let does = |uid: u32, line: &str, status: i32, says: &str| {
            let run = queue(line).uid(uid).run();
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(run.status == status && said.starts_with(says), "{line}\n{}", run.report());
        };
        does(SHOP, "hold aaaaaaaaaaaa", 0, "aaaaaaaaaaaa: held\n");
        does(SHOP, "hold aaaaaaaaaaaa", 0, "aaaaaaaaaaaa: held\n");
        does(SHOP, "hold dddddddddddd", 65, "mailchute: dddddddddddd: was given up");
        does(SHOP, "resolve aaaaaaaaaaaa", 65, "mailchute: aaaaaaaaaaaa: is not in doubt");
        does(
            0,
            "resolve cccccccccccc",
            79,
            "mailchute: cccccccccccc: relay main cannot be asked whether it arrived\nhint: look for Message-ID \
             <cccccccccccc@shop.example> in the provider's log or ask the recipient; then `mailchute queue resolve \
             cccccccccccc --arrived`, or --again to send it once more\n",
        );
        does(SHOP, "resolve --again cccccccccccc", 0, "cccccccccccc: to be sent at the next flush\n");
        does(0, "resolve --arrived bbbbbbbbbbbb", 0, "bbbbbbbbbbbb: thrown away, because it arrived\n");
        does(0, "release aaaaaaaaaaaa ffffffffffff dddddddddddd", 66, "aaaaaaaaaaaa: to be sent");
        let places = ["aaaaaaaaaaaa", "cccccccccccc", "dddddddddddd"].map(|id| (id.to_owned(), "queue"));
        assert_eq!(shop.places(), places);
        for (id, _) in places {
            let entry = shop.spool.open(Folder::Queue, &id).unwrap();
            assert!(entry.due() <= SystemTime::now(), "{id}");
            let state = &entry.entry.state;
            assert!(!state.is_in_doubt() && !state.is_bounced, "{id}: {state:?}");
        }
        // What is being sent has an owner already.
        let sending = shop.spool.open(Folder::Queue, "aaaaaaaaaaaa").unwrap();
        for word in ["hold", "release", "drop"] {
            does(SHOP, &format!("{word} aaaaaaaaaaaa"), 71, "mailchute: aaaaaaaaaaaa: is being sent right now\nhint: ");
        }
        does(0, "drop --site shop", 71, "cccccccccccc: thrown away\ndddddddddddd: thrown away\nmailchute: aaaa");
        drop(sending);
        does(SHOP, "hold --site other", 0, "nothing of this site");
        does(0, "hold --site shop", 0, "aaaaaaaaaaaa: held\n");
        does(SHOP, "release --site shop", 0, "aaaaaaaaaaaa: to be sent");
        does(SHOP, "drop aaaaaaaaaaaa", 0, "aaaaaaaaaaaa: thrown away\n");
        assert_eq!(shop.places(), []);
        does(SHOP, "drop", 64, "mailchute: queue: ");
        does(SHOP, "drop aaaaaaaaaaaa --site shop", 64, "mailchute: queue: ");
    });
}

#[test]
fn a_provider_that_takes_a_key_is_asked() {
    Host::run(&USERS, |host| {
        let shop = Laid::of(SHOP);
        for (keep, answer, status, says, place) in [
            (
                "none",
                "HTTP/1.1 200 OK\n\n{\"id\":\"x\"}",
                0,
                "aaaaaaaaaaaa: the relay has it, so it is sent and done with\n",
                None,
            ),
            (
                "all",
                "HTTP/1.1 200 OK\n\n{\"id\":\"x\"}",
                0,
                "aaaaaaaaaaaa: the relay has it, so it is sent and done with\n",
                Some("sent"),
            ),
            (
                "none",
                "HTTP/1.1 503 Service Unavailable\n",
                79,
                "mailchute: aaaaaaaaaaaa: relay main was asked, and did not tell whether it arrived\nhint: look for Message-ID ",
                Some("held"),
            ),
        ] {
            shop.entry_with(Folder::Held, "aaaaaaaaaaaa", "shop", &[begun()], |head| {
                (head.key, head.keyed) = (Some("a-key".into()), Some(now() - 60));
            });
            let web = Web::saying(answer);
            let relay = format!(
                "[relay.main]\nprovider = \"resend\"\nvia = \"api\"\nendpoint = \"http://127.0.0.1:{}\"\napi_key = \"re_x\"\n",
                web.port()
            );
            host.write(
                "/etc/mailchute/config.toml",
                &format!("deadline = \"2s\"\nkeep_messages = \"{keep}\"\n{relay}[site.shop]\n[log]\nto = [\"/home/shop/log\"]\n"),
                0o644,
            );
            let run = queue("resolve aaaaaaaaaaaa").uid(SHOP).run();
            let said = format!("{}{}", run.stdout, run.stderr);
            let log = fs::read_to_string("/home/shop/log").unwrap();
            assert!(run.status == status && said.starts_with(says), "{}{log}", run.report());
            let asked = web.finish();
            assert_eq!(asked[0].header("idempotency-key"), Some("a-key"));
            assert_eq!(shop.places().first().map(|(_, folder)| *folder), place);
            let _ = fs::remove_file(shop.path(Folder::Sent, "aaaaaaaaaaaa"));
        }
        // What can no longer be asked is not asked.
        shop.entry_with(Folder::Held, "bbbbbbbbbbbb", "shop", &[begun()], |head| {
            (head.key, head.keyed) = (Some("a-key".into()), Some(now() - 90_000));
        });
        let run = queue("resolve bbbbbbbbbbbb").uid(SHOP).run();
        run.expect_status(79).expect_stderr("mailchute: bbbbbbbbbbbb: relay main can no longer be asked *");
    });
}

#[test]
fn one_that_was_given_up_has_its_time_again() {
    Host::run(&USERS, |_| {
        let shop = Laid::of(SHOP);
        shop.entry(Folder::Failed, "aaaaaaaaaaaa", "shop", &[Line::Released { t: now() + 90_000 }]);
        let until = shop.spool.look(Folder::Failed, "aaaaaaaaaaaa").unwrap().head.until;
        assert!((now() + 90_000 + 93_000..now() + 90_000 + 94_000).contains(&until), "{until}");
    });
}

#[test]
fn one_message_is_shown() {
    Host::run(&USERS, |_| {
        Laid::of(SHOP).entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[begun(), deferred()]);
        for uid in [SHOP, 0] {
            let run = queue("show aaaaaaaaaaaa").uid(uid).run();
            run.expect_status(0);
            for line in [
                "id:        aaaaaaaaaaaa",
                "state:     waiting",
                "site:      shop",
                "user:      shop",
                "from:      a@shop.example",
                "to:        bob@example.net",
                "to:        ann@example.net",
                "relays:    main",
                "tries:     1",
                "Subject: Gr\u{fc}\u{df}e aaaaaaaaaaaa",
            ] {
                assert!(run.stdout.lines().any(|found| found == line), "{line}\n{}", run.report());
            }
            assert!(
                run.stdout.contains(": main: 451 4.7.1 greylisted\n") && !run.stdout.contains("body of"),
                "{}",
                run.report()
            );
            let whole = queue("show --message aaaaaaaaaaaa").uid(uid).run();
            assert!(whole.expect_status(0).stdout.ends_with("\r\n\r\nbody of aaaaaaaaaaaa\r\n"), "{}", whole.report());
        }
    });
}

#[test]
fn what_is_laid_into_the_spool_opens_nothing() {
    Host::run(&USERS, |host| {
        let shop = Laid::of(SHOP);
        shop.entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[]);
        let blog = Laid::of(BLOG);
        blog.entry(Folder::Queue, "eeeeeeeeeeee", "blog", &[]);
        let secret = host.write("/etc/secret", "hunter2hunter2\n", 0o600);
        symlink(&secret, shop.path(Folder::Queue, "000000000001")).unwrap();
        symlink(blog.path(Folder::Queue, "eeeeeeeeeeee"), shop.path(Folder::Queue, "000000000002")).unwrap();
        fs::hard_link(shop.path(Folder::Queue, "aaaaaaaaaaaa"), shop.path(Folder::Queue, "000000000003")).unwrap();
        nix::unistd::mkfifo(&shop.path(Folder::Queue, "000000000004"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(shop.path(Folder::Queue, "000000000005")).unwrap();
        File::create(shop.path(Folder::Queue, "000000000006")).unwrap();
        symlink("/etc", shop.spool.directory().join("held")).unwrap();
        // A directory that bears another's name is nobody's.
        fs::create_dir(Path::new(PLACE).join("61044")).unwrap();
        let run = queue("").run();
        let said = format!("{}{}", run.expect_status(0).stdout, run.stderr);
        assert!(!said.contains("hunter2"), "{}", run.report());
        assert_eq!(run.stdout.matches("eeeeeeeeeeee").count(), 1, "{}", run.report());
        for id in ["000000000001", "000000000002", "000000000004", "000000000005"] {
            for word in ["show", "show --message", "drop", "hold", "release"] {
                let run = queue(&format!("{word} {id}")).run();
                assert!(
                    run.status != 0 && !format!("{}{}", run.stdout, run.stderr).contains("hunter2"),
                    "{}",
                    run.report()
                );
            }
        }
        assert_eq!(fs::read_to_string(&secret).unwrap(), "hunter2hunter2\n");
        assert!(blog.path(Folder::Queue, "eeeeeeeeeeee").exists());
    });
}

#[test]
fn a_hundred_thousand_are_counted_at_once() {
    if !need_root() {
        return;
    }
    Host::run(&USERS, |_| {
        let shop = Laid::of(SHOP);
        shop.entry(Folder::Queue, "aaaaaaaaaaaa", "shop", &[]);
        for number in 0..100_000 {
            File::create(shop.path(Folder::Queue, &format!("{number:012x}"))).unwrap();
        }
        let best = (0..3)
            .map(|_| {
                let run = queue("--summary --json").uid(SHOP).run();
                assert_eq!(json(&run)[0]["waiting"], 100_001);
                run.took
            })
            .min()
            .unwrap();
        // Half a second is what is promised of the program that is shipped; this one is not optimized.
        assert!(best < Duration::from_secs(2), "{best:?}");
    });
}
