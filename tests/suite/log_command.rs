//! `mailchute log` and `mailchute show`: what is found, by whom, and how it is told.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Host, Mailchute, Moment, Port, Run, Server, need};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const OTHER: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("other", OTHER), ("mailchute", GROUP)];
const PLACE: &str = "/var/log/mailchute";
const CONFIG: &str = "/etc/mailchute/config.toml";

fn make_place() {
    make(PLACE, 0o1733, 0, 0);
}

fn make(path: &str, mode: u32, uid: u32, gid: u32) {
    fs::create_dir_all(path).unwrap();
    chown(path, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A record as the program writes it: what `more` says goes before the rest.
fn record(number: u32, uid: u32, more: &str) -> String {
    format!(
        "{{\"v\":1,\"time\":\"2026-11-2{}T10:00:0{}.000Z\",\"id\":\"5cc24c00aa{number:02}\",{more}\"site\":\"shop\",\"uid\":{uid},\
         \"argv\":[\"-t\"],\"ms\":{number},\"exit\":0}}\n",
        number % 8,
        number % 10
    )
}

/// Lays a record file of this user.
fn lay(host: &Host<'_>, uid: u32, name: &str, text: &str) {
    host.write_as(&format!("{PLACE}/{name}"), text, 0o640, (uid, uid));
}

fn log(uid: u32, words: &[&str]) -> Run {
    let call = mailchute().args(["log"]).args(words.iter().copied()).env("TZ", "CET-1");
    if uid == 0 { call } else { call.uid(uid) }.run()
}

/// The IDs' last two digits, as they come.
fn ids(run: &Run) -> Vec<String> {
    let id = |line: &str| {
        let read: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        read["id"].as_str().unwrap()[10..].to_owned()
    };
    run.stdout.lines().map(id).collect()
}

#[test]
fn everybody_finds_their_own_and_root_all_by_time() {
    Host::run(&USERS, |host| {
        make_place();
        lay(host, SHOP, "61042.log.1", &(record(1, SHOP, "") + &record(3, SHOP, "")));
        lay(host, SHOP, "61042.log", &(record(5, SHOP, "") + &record(6, OTHER, "") + &record(7, SHOP, "")));
        lay(host, OTHER, "61043.log", &(record(2, OTHER, "") + &record(4, OTHER, "") + "{\"v\":1,\"torn"));
        for (uid, expected, strange) in [
            (SHOP, &["07", "05", "03", "01"][..], "1 record that names another user"),
            (OTHER, &["04", "02"], "1 line that is no whole record"),
            (0, &["07", "05", "04", "03", "02", "01"], "1 record that names another user"),
        ] {
            let run = log(uid, &["--json"]);
            run.expect_status(0);
            assert_eq!(ids(&run), expected, "{}", run.report());
            assert!(run.stderr.contains(strange), "{}", run.report());
        }
        // Nobody lists the directory to see whose files there are, and another's file is closed.
        let run = Mailchute::new("/bin/sh")
            .args(["-c", "ls /var/log/mailchute; cat /var/log/mailchute/61042.log"])
            .uid(OTHER)
            .run();
        assert!(run.stdout.is_empty(), "{}", run.report());
    });
}

#[test]
fn nobody_forges_a_record_for_root_nor_has_root_remove_a_file() {
    Host::run(&USERS, |host| {
        make_place();
        host.write(CONFIG, "[relay.main]\nhost = \"127.0.0.1\"\n[log]\nkeep = \"1h\"\n", 0o644);
        // Where everybody may make files: one that looks like all sites', root's and another's, and a directory.
        for name in ["mailchute.log", "0.log", "61042.log"] {
            lay(host, OTHER, name, &record(1, SHOP, ""));
        }
        let victim = host.write("/home/victim/61043.log", "x\n", 0o644);
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100_000);
        OpenOptions::new().append(true).open(&victim).unwrap().set_modified(old).unwrap();
        std::os::unix::fs::symlink("/home/victim", format!("{PLACE}/shared")).unwrap();
        let run = log(0, &["--json"]);
        run.expect_status(1);
        assert!(run.stdout.is_empty() && run.stderr.contains("2 record files could not be read"), "{}", run.report());
        mailchute().args(["queue", "flush", "--all"]).run().expect_status(0);
        assert!(victim.exists(), "a link leads nowhere");
        fs::remove_file(format!("{PLACE}/shared")).unwrap();
        make(&format!("{PLACE}/shared"), 0o755, OTHER, OTHER);
        lay(host, OTHER, "shared/mailchute.log", &record(2, SHOP, ""));
        log(0, &["--json"]).expect_status(1);
        // What was shared while the binary was set-group-id is root's to read afterwards.
        fs::remove_dir_all(format!("{PLACE}/shared")).unwrap();
        make(&format!("{PLACE}/shared"), 0o2770, 0, OTHER);
        lay(host, 0, "shared/mailchute.log", &record(2, SHOP, ""));
        let run = log(0, &["--json"]);
        run.expect_status(0);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.report());
    });
}

#[test]
fn words_and_options_choose_and_the_status_tells_whether_there_was_any() {
    Host::run(&USERS, |host| {
        make_place();
        let deferred =
            record(1, SHOP, "\"status\":\"deferred\",\"relay\":\"main\",\"to\":[\"Ann@example.org\"],\"code\":451,");
        let refused =
            record(2, SHOP, "\"status\":\"refused\",\"relay\":\"backup\",\"to\":[\"bob@example.org\"],\"code\":550,");
        let accepted =
            record(3, SHOP, "\"status\":\"accepted\",\"relay\":\"main\",\"from\":\"\",\"size\":9000000,\"code\":250,");
        lay(host, SHOP, "61042.log", &(deferred + &refused + &accepted));
        for (words, expected) in [
            (&["to:ann@"][..], &["01"][..]),
            (&["--to", "example.org", "-to:ann"], &["02"]),
            (&["status:5yz"], &["02"]),
            (&["--status", "accepted"], &["03"]),
            (&["from:<>"], &["03"]),
            (&["larger:5M"], &["03"]),
            (&["--relay", "main", "-n", "1"], &["03"]),
            (&["id:5cc24c00aa0", "site:shop"], &["03", "02", "01"]),
            (&["user:61042", "!relay:backup"], &["03", "01"]),
            (&["--since", "2026-11-22", "--until", "2026-11-23 10:30"], &["02"]),
            (&["to:nobody"], &[]),
            (&["--site", "blog"], &[]),
        ] {
            let run = log(SHOP, &[words, &["--json"]].concat());
            assert_eq!(ids(&run), expected, "{words:?}\n{}", run.report());
            run.expect_status(i32::from(expected.is_empty()));
        }
        for (words, line, hint) in [
            (
                &["status:refusd"][..],
                "mailchute: status:refusd: \"refusd\" is no status",
                "hint: did you mean status:refused?",
            ),
            (&["statuz:x"], "mailchute: statuz:x: there is no statuz: in a record", "hint: did you mean status:x?"),
            (&["--since", "soon"], "mailchute: --since: \"soon\" is no time", "hint: 2h, 3d, today"),
            (
                &["--summary", "--by", "scrpt"],
                "mailchute: --by: records have no \"scrpt\"",
                "hint: did you mean script?",
            ),
        ] {
            let run = log(SHOP, words);
            run.expect_status(64);
            run.expect_stderr(line);
            assert!(run.stderr.lines().any(|line| line.starts_with(hint)), "{}", run.report());
        }
        let run = log(SHOP, &["to:nobody"]);
        run.expect_status(1);
        run.expect_stderr("mailchute: log: no record matches");
    });
}

#[test]
fn a_table_tells_each_in_a_line_and_comma_separated_values_hold_no_formula() {
    Host::run(&USERS, |host| {
        make_place();
        let hostile = "\"from\":\"=cmd|' /C calc'!A0\",\"to\":[\"\\u202egnp@x\",\"b@x\"],\"status\":\"refused\",\"code\":550,\"text\":\"\u{1b}[2J\u{9b}31mno, \\\"user\\\"\",";
        lay(host, SHOP, "61042.log", &record(1, SHOP, hostile));
        let run = log(SHOP, &[]);
        run.expect_status(0);
        let lines: Vec<_> = run.stdout.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("TIME ") && !lines[0].contains("USER"), "{}", run.report());
        assert!(lines[1].starts_with("2026-11-21 11:00:01+01  shop  =cmd"), "{}", run.report());
        assert!(lines[1].contains("?gnp@x +1  550 refused"), "{}", run.report());
        let run = log(SHOP, &["--csv"]);
        assert!(run.stdout.contains(",\"'=cmd|' /C calc'!A0\",\"?gnp@x b@x\",refused,550,"), "{}", run.report());
        assert!(run.stdout.contains(",\"?[2J?31mno, "), "{}", run.report());
        for form in [&[][..], &["--csv"], &["--json"], &["--summary"]] {
            let run = log(SHOP, form);
            assert!(!run.stdout.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{}", run.report());
        }
        let run = mailchute().args(["show", "5cc24c"]).uid(SHOP).run();
        run.expect_status(0);
        assert!(
            !run.stdout.contains(['\u{1b}', '\u{9b}', '\u{202e}']) && run.stdout.contains("550 refused"),
            "{}",
            run.report()
        );
        assert!(log(0, &[]).stdout.starts_with("TIME"), "root sees whose they are");
        assert!(log(0, &[]).stdout.contains("  USER   "), "{}", log(0, &[]).report());
    });
}

#[test]
fn a_site_sees_nothing_of_the_others_in_the_file_they_share() {
    Host::run(&USERS, |host| {
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let server = Server::new().start();
        host.write(CONFIG, &format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", server.port()), 0o644);
        for uid in [SHOP, OTHER, OTHER] {
            let call = Mailchute::new(&binary).args(["-i", &format!("to{uid}@example.net")]).stdin(MESSAGE);
            call.uid(uid).run().expect_status(0);
        }
        let run = |uid: u32, words: &[&str]| {
            let call = Mailchute::new(&binary).args(["log"]).args(words.iter().copied());
            let call = call.env("PAGER", "/bin/false").env("TERM", "xterm");
            if uid == 0 { call } else { call.uid(uid) }.run()
        };
        for (uid, count) in [(SHOP, 1), (OTHER, 2), (0, 3)] {
            assert_eq!(run(uid, &["--json"]).stdout.lines().count(), count, "{}", run(uid, &["--json"]).report());
            let summary = run(uid, &["--summary", "--by", "user"]);
            let total = if count == 1 { "1 message,".to_owned() } else { format!("{count} messages,") };
            assert!(summary.stdout.starts_with(&total), "{}", summary.report());
        }
        for words in [
            &["--json"][..],
            &["--csv"],
            &[],
            &["--summary", "--by", "to"],
            &["other"],
            &["user:other"],
            &["-user:shop"],
        ] {
            let run = run(SHOP, words);
            assert!(!run.stdout.contains("61043") && !run.stdout.contains("other"), "{words:?}: {}", run.report());
            assert!(!run.stderr.contains("passed over"), "{}", run.report());
        }
        // By its ID nothing of another's is shown, either.
        let id = run(OTHER, &["--json"]).stdout.split("\"id\":\"").nth(1).unwrap()[..12].to_owned();
        Mailchute::new(&binary).args(["show", &id]).uid(OTHER).run().expect_status(0);
        let other = Mailchute::new(&binary).args(["show", &id]).uid(SHOP).run();
        other.expect_status(66);
        assert!(other.stdout.is_empty(), "{}", other.report());
    });
}

#[test]
fn where_there_are_no_files_and_no_journal_it_says_what_to_do() {
    Host::run(&USERS, |_| {
        let run = log(SHOP, &[]);
        run.expect_status(69);
        run.expect_stderr("mailchute: /var/log/mailchute: there are no record files, and *");
        assert!(run.stderr.contains("hint: sudo install -d -m 1733 /var/log/mailchute: "), "{}", run.report());
        let run = log(SHOP, &["--follow"]);
        run.expect_status(69);
        assert!(
            run.stderr.contains("hint: the journal can be followed: journalctl -t mailchute -f"),
            "{}",
            run.report()
        );
    });
}

#[test]
fn what_comes_is_followed_through_rotation() {
    Host::run(&USERS, |host| {
        make_place();
        lay(host, SHOP, "61042.log", &record(1, SHOP, ""));
        let mut running = mailchute().args(["log", "--follow", "--json", "-site:blog"]).uid(SHOP).spawn();
        let at = |text: &str, id: &str| text.contains(&format!("5cc24c00aa{id}")).then_some(());
        running.wait_for(|text| at(text, "01"));
        let append = |name: &str, text: &str| {
            let mut file = OpenOptions::new().append(true).open(format!("{PLACE}/{name}")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("61042.log", &record(2, SHOP, ""));
        running.wait_for(|text| at(text, "02"));
        fs::rename(format!("{PLACE}/61042.log"), format!("{PLACE}/61042.log.1")).unwrap();
        append("61042.log.1", &record(3, SHOP, ""));
        lay(host, SHOP, "61042.log", &record(4, SHOP, ""));
        running.wait_for(|text| at(text, "03"));
        running.wait_for(|text| at(text, "04"));
        append("61042.log", &record(5, SHOP, "").replace("shop", "blog"));
        append("61042.log", "{\"v\":1,\"half");
        append("61042.log", &record(6, SHOP, "")[7..]);
        append("61042.log", &record(7, SHOP, ""));
        running.wait_for(|text| at(text, "07"));
        kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGINT).unwrap();
        let run = running.finish();
        run.expect_status(0);
        assert_eq!(ids(&run), ["01", "02", "03", "04", "07"], "{}", run.report());
        assert!(run.stderr.is_empty(), "{}", run.report());
    });
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    Host::run(&USERS, |host| {
        make_place();
        let text: String = (0..20_000).map(|number| record(number % 100, SHOP, "")).collect();
        lay(host, SHOP, "61042.log", &text);
        for form in ["", "--csv", "--json"] {
            let script = format!("{} log {form} | head -n 2; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_mailchute"));
            let run = Mailchute::new("/bin/bash").args(["-c", &script]).uid(SHOP).run();
            run.expect_status(0);
            assert!(run.stderr.is_empty() && run.stdout.lines().count() == 2, "{}", run.report());
        }
    });
}

#[test]
fn on_a_terminal_a_pager_shows_it_in_colours_and_a_dumb_one_gets_neither() {
    let Some(script) = need("script") else { return };
    Host::run(&USERS, |host| {
        make_place();
        lay(host, SHOP, "61042.log", &record(1, SHOP, "\"status\":\"refused\",\"code\":550,"));
        let pager = host.write("/home/pager/less", "#!/bin/sh\necho PAGED\nexec cat\n", 0o755).display().to_string();
        let shown = |variables: &[(&str, &str)]| {
            let line = format!("stty cols 80; {} log", env!("CARGO_BIN_EXE_mailchute"));
            let mut call = Mailchute::new(&script).args(["-qec", &line, "/dev/null"]);
            for (name, value) in [("TERM", "xterm"), ("PAGER", pager.as_str())].iter().chain(variables) {
                call = call.env(*name, *value);
            }
            call.run().stdout
        };
        let usual = shown(&[]);
        assert!(usual.contains("PAGED") && usual.contains("\u{1b}[31m550 refused\u{1b}[0m"), "{usual:?}");
        let widest =
            usual.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "").lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{usual:?}");
        let plain = shown(&[("NO_COLOR", "1")]);
        assert!(plain.contains("PAGED") && !plain.contains('\u{1b}') && plain.contains("550 refused"), "{plain:?}");
        for variables in [&[("TERM", "dumb")][..], &[("PAGER", "cat"), ("TERM", "dumb")]] {
            let dumb = shown(variables);
            assert!(!dumb.contains("PAGED") && !dumb.contains('\u{1b}') && dumb.contains("550 refused"), "{dumb:?}");
        }
        let gone = shown(&[("PAGER", "/nowhere/less")]);
        assert!(gone.contains("550 refused"), "{gone:?}");
    });
}

#[test]
fn show_tells_the_whole_life_of_a_message() {
    Host::run(&USERS, |host| {
        make_place();
        for place in ["/var/spool/mailchute", "/var/lib/mailchute/state"] {
            make(place, 0o1733, 0, 0);
        }
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        host.write("/run/crond.pid", "1\n", 0o644);
        let configure = |port: u16| {
            let top = "on_relay_failure = \"spool\"\n[relay.main]\nhost = \"127.0.0.1\"\ntls = \"none\"\n";
            host.write(CONFIG, &format!("{top}port = {port}\n"), 0o644);
        };
        configure(Port::reserve().number());
        mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
        let id = log(SHOP, &["--json"]).stdout.split("\"id\":\"").nth(1).unwrap()[..12].to_owned();
        let show = |uid: u32, words: &[&str]| {
            let call = mailchute().args(["show"]).args(words.iter().copied());
            if uid == 0 { call } else { call.uid(uid) }.run()
        };
        for uid in [SHOP, 0] {
            let run = show(uid, &[&id[..6]]);
            run.expect_status(0);
            for part in [
                "status:     spooled",
                "to:         bob@example.net",
                "message-id: <complete@example.org>",
                "In the spool",
                "  state:     waiting",
            ] {
                assert!(run.stdout.contains(part), "{part}: {}", run.report());
            }
        }
        // Another's is none, and neither are its records.
        let run = show(OTHER, &[&id]);
        run.expect_status(66);
        assert!(run.stderr.contains("hint: `mailchute log` lists your own; `sudo mailchute show "), "{}", run.report());
        show(SHOP, &["xyz"]).expect_status(64);
        let server = Server::new().reply(Moment::Message, "250 2.0.0 queued as 77AA").start();
        configure(server.port());
        mailchute().uid(SHOP).args(["queue", "flush", &id]).run().expect_status(0);
        let run = show(SHOP, &[&id]);
        for part in ["status:     accepted", "spooled", "250 accepted, from the spool", "queued as 77AA"] {
            assert!(run.stdout.contains(part), "{part}: {}", run.report());
        }
        assert!(!run.stdout.contains("In the spool"), "{}", run.report());
        assert_eq!(show(SHOP, &[&id, "--json"]).stdout.lines().count(), 2);
        let summary = log(SHOP, &["--summary"]);
        assert!(summary.stdout.starts_with("1 message,"), "what waited and was sent is one: {}", summary.report());
    });
}
