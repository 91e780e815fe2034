//! Bans: who is banned sends nothing by any way, hears until when and why, and nobody else notices.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use mailchute::spool::{Folder, Head};
use serde_json::Value;
use testkit::{Delivery, Fpm, Host, Mailchute, Run, Scratch, Server, need};

use crate::laid::{Laid, now};
use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("blog", BLOG), ("mailchute", GROUP)];
const MAIN: &str = "/etc/mailchute/config.toml";
const BANS: &str = "/var/lib/mailchute/bans";

/// Sites of a shared host: two of one user, one of both, one open to everybody, which speaks where no other does.
const SITES: &str = "default_site = \"open\"\n[site.shop]\nuser = [\"shop\"]\n[site.shop2]\nuser = [\"shop\"]\npath = [\"/home/shop\"]\n\
                     [site.blog]\nuser = [\"blog\"]\n[site.open]\n";

fn configure(host: &Host<'_>, server: &Server, sites: &str) {
    let (top, tables) = sites.split_at(sites.find("[site").unwrap_or(sites.len()));
    let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port());
    for (user, uid) in USERS {
        if fs::metadata(format!("/var/log/{user}.log")).is_err() {
            host.write_as(&format!("/var/log/{user}.log"), "", 0o640, (uid, uid));
        }
    }
    host.write(MAIN, &format!("{top}{relay}{tables}[log]\nto = [\"/var/log/{{user}}.log\"]\n"), 0o644);
}

fn ban(words: &[&str]) -> Run {
    mailchute().args(words.iter().copied()).stdin(MESSAGE).run()
}

fn send(uid: u32, words: &[&str]) -> Run {
    mailchute()
        .uid(uid)
        .directory(Path::new("/"))
        .args(words.iter().copied())
        .args(["-i", "bob@example.net"])
        .stdin(MESSAGE)
        .run()
}

fn is_banned(run: &Run, told: &str) {
    run.expect_status(150);
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(testkit::matches(told, first), "{told}\n{}", run.report());
    let hint = run.hint().unwrap_or_default();
    assert!(hint.contains("sudo mailchute unban ") && hint.ends_with("` lifts it"), "{}", run.report());
}

fn records() -> Vec<Value> {
    let log = fs::read_to_string("/var/log/shop.log").unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn deliveries(server: Server) -> Vec<Delivery> {
    server.finish().into_iter().flat_map(|session| session.deliveries).collect()
}

#[test]
fn a_banned_site_sends_nothing_and_the_others_do() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, SITES);
        let run = ban(&["ban", "shop", "--for", "6h", "--because", "spam since this morning"]);
        run.expect_status(0);
        assert!(run.stdout.starts_with("site shop: this site is banned until "), "{}", run.report());
        assert!(run.stdout.contains("its users may still send as shop2: "), "{}", run.report());
        assert!(run.stderr.contains("hint: a hostile site can still read its own secret"), "{}", run.report());

        let told = "mailchute: site shop: 550 5.7.1 this site is banned until *: spam since this morning (mailchute, site shop)";
        is_banned(&send(SHOP, &[]), told);
        let record = records().pop().unwrap();
        assert_eq!((&record["by"], &record["code"], &record["exit"]), (&"mailchute".into(), &550.into(), &150.into()));
        assert_eq!((&record["uid"], &record["site"], &record["cwd"]), (&SHOP.into(), &"shop".into(), &"/".into()));
        assert!(record["parent"].is_string(), "{record}");
        // Root, who stands in for it or speaks as it, and an SMTP session.
        is_banned(&ban(&["test", "--as", "shop", "--cwd", "/", "--to", "bob@example.net"]), told);
        is_banned(&ban(&["--site", "shop", "-i", "bob@example.net"]), told);
        let session = "EHLO x\r\nMAIL FROM:<alice@example.org>\r\nQUIT\r\n";
        let run = mailchute().uid(SHOP).directory(Path::new("/")).arg("-bs").stdin(session).run();
        run.expect_status(150);
        assert!(run.stdout.contains("550-5.7.1 site shop: this site is banned until "), "{}", run.report());
        let explain =
            mailchute().uid(SHOP).directory(Path::new("/")).args(["explain", "bob@example.net"]).stdin(MESSAGE).run();
        explain.expect_status(150);
        assert!(
            explain.stdout.lines().any(|line| line.starts_with("ban ") && line.contains("banned until")),
            "{}",
            explain.report()
        );

        send(BLOG, &[]).expect_status(0);
        assert_eq!(deliveries(server).len(), 1);
    });
}

#[test]
fn nobody_escapes_into_another_site() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, SITES);
        send(SHOP, &["--site", "open"]).expect_status(0);
        ban(&["ban", "shop"]).expect_status(0);
        let told = "mailchute: site shop: 550 5.7.1 this site is banned (mailchute, site *)";
        is_banned(&send(SHOP, &[]), told);
        // A site that is open to everybody, by name or where nothing else fits.
        is_banned(&send(SHOP, &["--site", "open"]), told);
        is_banned(
            &mailchute().uid(SHOP).env("MAILCHUTE_SITE", "open").args(["-i", "x@example.net"]).stdin(MESSAGE).run(),
            told,
        );
        // Another site of its own is another site, until the user is banned.
        let elsewhere = || {
            mailchute()
                .uid(SHOP)
                .directory(Path::new("/home/shop"))
                .args(["-i", "bob@example.net"])
                .stdin(MESSAGE)
                .run()
        };
        elsewhere().expect_status(0);
        ban(&["ban", "--user", "shop", "--because", "hacked"]).expect_status(0);
        let told = "mailchute: uid 61042: 550 5.7.1 this user is banned: hacked (mailchute, site *)";
        is_banned(&elsewhere(), told);
        is_banned(&send(SHOP, &["--site", "open"]), told);
        // Whoever lists nobody else is not hit.
        send(BLOG, &["--site", "open"]).expect_status(0);
        ban(&["unban", "shop"]).expect_status(0);
        is_banned(&send(SHOP, &[]), told);
        ban(&["unban", "--user", "61042"]).expect_status(0);
        send(SHOP, &[]).expect_status(0);
        assert!(!Path::new(BANS).exists(), "nobody is banned");
        // A site without users is banned by itself.
        ban(&["ban", "open"]).expect_status(0);
        is_banned(&send(BLOG, &["--site", "open"]), "mailchute: site open: 550 5.7.1 this site is banned (*");
        send(BLOG, &[]).expect_status(0);
        assert_eq!(deliveries(server).len(), 5);
    });
}

#[test]
fn a_file_of_a_third_party_is_banned_whatever_its_sites_are_called() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port());
        let shop = |sites: &str| {
            host.write_as("/etc/mailchute/sites.d/shop.toml", &format!("{relay}{sites}"), 0o600, (SHOP, SHOP))
        };
        host.write_as("/etc/mailchute/sites.d/shop-blog.toml", &relay, 0o600, (BLOG, BLOG));
        shop("");
        send(SHOP, &[]).expect_status(0);
        // Root cannot tell what is in the file, and need not.
        ban(&["ban", "shop/whatever", "--because", "spam"]).expect_status(0);
        for sites in ["", "[site.shop]\n", "[site.\"shop/new\"]\n", "[site.\"shop/../x\"]\n"] {
            shop(sites);
            is_banned(&send(SHOP, &[]), "mailchute: site shop: 550 5.7.1 this site is banned: spam (*");
        }
        send(BLOG, &[]).expect_status(0);
        ban(&["unban", "shop"]).expect_status(0);
        send(SHOP, &[]).expect_status(0);
        assert_eq!(deliveries(server).len(), 3);
    });
}

#[test]
fn it_ends_by_itself_and_any_name_is_data() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        let odd = "../../../etc/x %\u{e9}";
        configure(host, &server, &format!("[site.\"{odd}\"]\nuser = [\"shop\"]\n"));
        ban(&["ban", odd, "--for", "1h"]).expect_status(0);
        let files: Vec<_> = fs::read_dir(BANS).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        is_banned(&send(SHOP, &[]), "mailchute: site *: 550 5.7.1 this site is banned until *:* (*");
        let list = ban(&["bans", "--json"]);
        let told: Value = serde_json::from_str(&list.stdout).unwrap();
        assert_eq!(
            (told["site"].as_str(), told["until"].as_i64().unwrap() - told["since"].as_i64().unwrap()),
            (Some(odd), 3600)
        );
        // An hour later.
        let text = fs::read_to_string(&files[0]).unwrap().replace(&told["until"].to_string(), &(now() - 1).to_string());
        fs::write(&files[0], text).unwrap();
        send(SHOP, &[]).expect_status(0);
        assert_eq!(ban(&["bans"]).stdout, "nobody is banned\n");
        let run = ban(&["unban", odd]);
        run.expect_status(66);
        assert!(!Path::new(BANS).exists());
        // What nobody can read bans, too: root has laid it there.
        fs::create_dir(BANS).unwrap();
        fs::write(&files[0], "").unwrap();
        is_banned(&send(SHOP, &[]), "mailchute: site *: 550 5.7.1 this site is banned (*");
        fs::remove_file(&files[0]).unwrap();
        symlink("/etc/passwd", &files[0]).unwrap();
        let run = send(SHOP, &[]);
        assert!(run.status == 74 && run.stderr.contains("nobody can tell who is banned"), "{}", run.report());
        // Somebody else's directory bans nobody and lets nobody send, until root has looked.
        fs::set_permissions(BANS, fs::Permissions::from_mode(0o777)).unwrap();
        send(SHOP, &[]).expect_status(77);
        assert_eq!(deliveries(server).len(), 1);
    });
}

#[test]
fn root_bans_and_a_user_sees_its_own() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, SITES);
        for words in [&["ban", "blog"][..], &["ban", "--user", "blog"], &["unban", "shop"]] {
            let run = mailchute().uid(SHOP).args(words.iter().copied()).run();
            run.expect_status(77);
            assert!(run.stderr.contains("only root bans, and lifts a ban"), "{}", run.report());
        }
        let run = ban(&["ban", "shpo"]);
        run.expect_status(64);
        assert!(run.stderr.contains("hint: did you mean \"shop\"?"), "{}", run.report());
        ban(&["ban", "--user", "nobody-here"]).expect_status(64);
        ban(&["ban", "blog", "--because", "a secret matter"]).expect_status(0);
        ban(&["ban", "shop", "--for", "2d"]).expect_status(0);
        ban(&["ban", "--user", "shop"]).expect_status(0);
        let all = ban(&["bans"]).stdout;
        for text in ["BANNED", "site blog", "a secret matter", "site shop", "uid 61042"] {
            assert!(all.contains(text), "{text}\n{all}");
        }
        assert_eq!(ban(&["bans", "blog"]).stdout.lines().count(), 2);
        let own = mailchute().uid(SHOP).arg("bans").run();
        own.expect_status(0);
        assert!(own.stdout.contains("site shop") && own.stdout.contains("uid 61042"), "{}", own.report());
        assert!(!own.stdout.contains("blog") && !own.stdout.contains("secret"), "{}", own.report());
        // Nobody lists the directory, and nobody but root writes to it.
        let ls = std::process::Command::new("setpriv")
            .args(["--reuid", "61042", "--clear-groups", "ls", BANS])
            .output()
            .unwrap();
        assert!(!ls.status.success());
        drop(server);
    });
}

#[test]
fn with_a_group_of_its_own_nobody_reads_of_others() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, SITES);
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let run = Mailchute::new(&binary).args(["ban", "shop", "--because", "spam"]).run();
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "its secret is out of its reach\n{}", run.report());
        let found = fs::metadata(BANS).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o2750, 0, GROUP));
        let file = fs::metadata(format!("{BANS}/site-shop")).unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o640, 0, GROUP));
        let send = |uid| {
            Mailchute::new(&binary)
                .uid(uid)
                .directory(Path::new("/"))
                .args(["-i", "bob@example.net"])
                .stdin(MESSAGE)
                .run()
        };
        is_banned(&send(SHOP), "mailchute: site shop: 550 5.7.1 this site is banned: spam (*");
        send(BLOG).expect_status(0);
        let bans = |uid: u32| Mailchute::new(&binary).uid(uid).arg("bans").run().stdout;
        assert!(bans(SHOP).contains("site shop"));
        assert_eq!(bans(BLOG), "nobody is banned\n");
        Mailchute::new(&binary).uid(SHOP).args(["unban", "shop"]).run().expect_status(77);
        // The binary loses its group again, and root looks after the bans.
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let run = send(SHOP);
        assert!(run.status == 77 && run.stderr.contains("nobody can tell who is banned"), "{}", run.report());
        Mailchute::new(&binary).arg("bans").run().expect_status(0);
        is_banned(&send(SHOP), "mailchute: site shop: 550 5.7.1 this site is banned: spam (*");
        send(BLOG).expect_status(0);
        assert_eq!(deliveries(server).len(), 2);
    });
}

#[test]
fn what_waits_for_a_banned_site_stays() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, SITES);
        let laid = Laid::of(SHOP);
        let lay = |id: &str, change: fn(&mut Head)| {
            laid.entry_with(Folder::Queue, id, "shop", &[], change);
            laid.spool.open(Folder::Queue, id).unwrap().retry_at(SystemTime::now() - Duration::from_secs(1)).unwrap();
        };
        lay("aaaaaaaaaaaa", |_| {});
        lay("bbbbbbbbbbbb", |head| head.until = now() - 1);
        ban(&["ban", "shop", "--because", "spam"]).expect_status(0);
        let flush = || mailchute().uid(SHOP).args(["queue", "flush"]).run();
        let queue = |words: &[&str]| mailchute().uid(SHOP).arg("queue").args(words.iter().copied()).run();
        flush();
        let places: Vec<_> = laid.places().iter().map(|(id, folder)| format!("{folder}/{id}")).collect();
        assert_eq!(places, ["queue/aaaaaaaaaaaa", "failed/bbbbbbbbbbbb", "queue/bbbbbbbbbbbb-b"], "given up as ever");
        let told = "site shop: 550 5.7.1 this site is banned: spam";
        let list = queue(&["list"]);
        assert!(list.stdout.lines().any(|line| line == told), "{}", list.report());
        assert!(
            queue(&["list", "--json"]).stdout.contains("\"ban\":\"site shop: 550 5.7.1 this site is banned: spam\"")
        );
        let show = queue(&["show", "aaaaaaaaaaaa"]);
        assert!(show.stdout.contains(&format!("banned:    {told}\n")), "{}", show.report());
        // Nor does a person send it.
        queue(&["flush", "aaaaaaaaaaaa"]);
        assert!(laid.places().contains(&("aaaaaaaaaaaa".to_owned(), "queue")));
        assert!(records().iter().all(|record| record["by"] == "mailchute"), "no relay was asked");
        ban(&["unban", "shop"]).expect_status(0);
        let run = queue(&["flush", "--site", "shop"]);
        assert_eq!(run.stdout, "2 sent\n", "{}", run.report());
        assert_eq!(deliveries(server).len(), 2);
    });
}

#[test]
fn where_nobody_is_banned_it_costs_one_system_call() {
    let Some(strace) = need("strace") else { return };
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        configure(host, &server, SITES);
        let calls = || {
            let trace = host.scratch().join("trace");
            let run = mailchute().args(["-i", "bob@example.net"]).stdin(MESSAGE);
            let run = run.under(&strace.display().to_string(), &["-f", "-o", &trace.display().to_string()]).run();
            let trace = fs::read_to_string(trace).unwrap();
            (run.status, trace.lines().filter(|line| line.contains(BANS)).count())
        };
        assert_eq!(calls(), (0, 1));
        ban(&["ban", "blog"]).expect_status(0);
        let (status, several) = calls();
        assert!(status == 0 && (2..=4).contains(&several), "{several}");
        drop(server);
    });
}

/// A place for state as the installation makes it without a group of the binary's own.
fn open_state() {
    fs::create_dir_all("/var/lib/mailchute/state").unwrap();
    fs::set_permissions("/var/lib/mailchute/state", fs::Permissions::from_mode(0o1733)).unwrap();
}

const LIMITED: &str = "limit = \"3/hour\"\nover_limit = \"ban\"\n";

#[test]
fn a_site_over_its_limit_bans_itself_for_a_while() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        open_state();
        configure(host, &server, &format!("{LIMITED}{SITES}"));
        for _ in 0..3 {
            send(SHOP, &[]).expect_status(0);
        }
        let told =
            "mailchute: site shop: 550 5.7.1 this site is banned until *: over the limit of 3/hour (mailchute, site *)";
        is_banned(&send(SHOP, &[]), told);
        is_banned(&send(SHOP, &[]), told);
        // Nor does another site help.
        is_banned(&send(SHOP, &["--site", "open"]), told);
        send(BLOG, &[]).expect_status(0);
        let list = ban(&["bans", "--json"]);
        let ban_of: Value = serde_json::from_str(&list.stdout).unwrap();
        assert_eq!(
            (&ban_of["site"], &ban_of["by"], &ban_of["uid"]),
            (&"shop".into(), &"over_limit".into(), &SHOP.into())
        );
        assert_eq!(ban_of["until"].as_i64().unwrap() - ban_of["since"].as_i64().unwrap(), 3600);
        let own = mailchute().uid(SHOP).arg("bans").run();
        assert!(
            own.stdout.contains("site shop") && own.stdout.contains("over the limit of 3/hour"),
            "{}",
            own.report()
        );
        // What the limit allows again the ban does not, until it is over.
        configure(host, &server, &format!("{}{SITES}", LIMITED.replace('3', "100")));
        is_banned(&send(SHOP, &[]), told);
        let file = format!("/var/lib/mailchute/state/{SHOP}/ban-site-shop");
        let text = fs::read_to_string(&file).unwrap();
        let set = |since: i64, until: i64| {
            let mut other = ban_of.clone();
            (other["since"], other["until"]) = (since.into(), until.into());
            fs::write(&file, other.to_string()).unwrap();
        };
        set(now() - 3601, now() - 1);
        send(SHOP, &[]).expect_status(0);
        // A clock that was set back by a day makes no hour longer.
        set(now() + 86_400, now() + 90_000);
        is_banned(&send(SHOP, &[]), told);
        let mended: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert!(mended["until"].as_i64().unwrap() <= now() + 3600, "{mended}");
        fs::write(&file, text).unwrap();
        is_banned(&send(SHOP, &[]), told);
        ban(&["unban", "shop"]).expect_status(0);
        send(SHOP, &[]).expect_status(0);
        assert_eq!(ban(&["bans"]).stdout, "nobody is banned\n");
        assert_eq!(deliveries(server).len(), 6);
    });
}

#[test]
fn under_bs_the_message_that_is_too_much_bans() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        open_state();
        configure(host, &server, &format!("{LIMITED}{SITES}"));
        let message = "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nFrom: alice@example.org\r\n\r\nx\r\n.\r\n";
        let session = format!("EHLO x\r\n{}QUIT\r\n", message.repeat(5));
        let run = mailchute().uid(SHOP).directory(Path::new("/")).arg("-bs").stdin(session).run();
        run.expect_status(150);
        assert_eq!(run.stdout.matches("this site is banned until").count(), 2, "{}", run.report());
        assert_eq!(deliveries(server).len(), 3);
    });
}

#[test]
fn with_a_group_of_its_own_the_ban_is_out_of_reach_and_everybodys() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        let sites = "[site.both]\nuser = [\"shop\", \"blog\"]\n";
        configure(host, &server, &format!("{LIMITED}{sites}"));
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let send = |uid| Mailchute::new(&binary).uid(uid).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        for uid in [SHOP, BLOG, SHOP] {
            send(uid).expect_status(0);
        }
        for uid in [BLOG, SHOP] {
            is_banned(
                &send(uid),
                "mailchute: site both: 550 5.7.1 this site is banned until *: over the limit of 3/hour (*",
            );
        }
        let list = Mailchute::new(&binary).args(["bans", "both"]).run();
        assert!(list.stdout.contains("over_limit, uid 61043"), "{}", list.report());
        Mailchute::new(&binary).args(["unban", "both"]).run().expect_status(0);
        assert_eq!(Mailchute::new(&binary).arg("bans").run().stdout, "nobody is banned\n");
        assert_eq!(deliveries(server).len(), 3);
    });
}

#[test]
fn what_a_user_lays_into_its_state_leads_root_nowhere() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        open_state();
        configure(host, &server, &format!("{LIMITED}{SITES}"));
        let own = format!("/var/lib/mailchute/state/{SHOP}");
        host.write_as(
            &format!("{own}/ban-site-blog"),
            "{\"site\":\"blog\",\"by\":\"root\",\"uid\":0}",
            0o600,
            (SHOP, SHOP),
        );
        host.write_as(&format!("{own}/ban-site-open"), "no ban", 0o600, (SHOP, SHOP));
        symlink("/etc/passwd", format!("{own}/ban-site-x")).unwrap();
        nix::unistd::mkfifo(Path::new(&format!("{own}/ban-site-y")), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("/etc", format!("/var/lib/mailchute/state/{BLOG}")).unwrap();
        std::os::unix::fs::chown(&own, Some(SHOP), Some(SHOP)).unwrap();
        let list = ban(&["bans"]);
        list.expect_status(0);
        assert!(list.stdout.contains("over_limit, uid 61042") && list.stdout.lines().count() == 2, "{}", list.report());
        send(BLOG, &[]).expect_status(0);
        ban(&["unban", "blog"]).expect_status(0);
        assert!(!Path::new(&format!("{own}/ban-site-blog")).exists() && Path::new("/etc/passwd").exists());
        drop(server);
    });
}

/// Sends until it was told often enough that it may not; prints what `mail()` said, a letter each.
const SPAM: &str = "<?php for ($i = 0; $i < 30; $i++) { echo mail('bob@example.net', 'Spam', \"Buy.\\n\", \
                    'From: shop@example.org') ? 'y' : 'n'; }";
const SEND: &str =
    "<?php var_export(mail('bob@example.net', 'Your order', \"Thank you.\\n\", 'From: shop@example.org'));";

#[test]
fn of_forty_pools_one_spams_is_banned_and_named_and_the_others_send() {
    const POOLS: u32 = 40;
    const FIRST: u32 = 61_100;
    let names: Vec<String> = (0..POOLS).map(|number| format!("pool{number}")).collect();
    let mut users: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(FIRST..).collect();
    users.push(("mailchute", GROUP));
    Host::run(&users, |host| {
        let server = Server::new().start();
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port());
        host.write_as(MAIN, "limit = \"20/hour\"\nover_limit = \"ban\"\n", 0o640, (0, GROUP));
        for name in &names {
            let site = format!("{relay}[site.{name}]\nuser = [\"{name}\"]\n");
            host.write_as(&format!("/etc/mailchute/sites.d/{name}.toml"), &site, 0o640, (0, GROUP));
        }
        let scratch = Scratch::new();
        let (spam, send) = (scratch.write("spam.php", SPAM, 0o644), scratch.write("send.php", SEND, 0o644));
        let sendmail_path = format!("{} -t -i\nphp_admin_value[mail.add_x_header] = On", binary.display());
        let pools: Vec<_> =
            users.iter().take(POOLS as usize).map(|&(name, uid)| (name, uid, sendmail_path.as_str())).collect();
        let Some(fpm) = Fpm::start(scratch, &pools) else { return };
        let (spammer, others) = names.split_first().unwrap();
        thread::scope(|scope| {
            let spamming = scope.spawn(|| fpm.answer(spammer, &spam));
            for name in others {
                assert_eq!(fpm.answer(name, &send), "true", "{name}");
            }
            assert_eq!(spamming.join().unwrap(), "y".repeat(20) + &"n".repeat(10));
        });
        let call = || Mailchute::new(&binary);
        let told = "mailchute: site pool0: 550 5.7.1 this site is banned until *: over the limit of 20/hour (*";
        is_banned(&call().uid(FIRST).args(["-i", "bob@example.net"]).stdin(MESSAGE).run(), told);
        let bans = call().args(["bans", "pool0"]).run();
        bans.expect_status(0);
        assert!(
            bans.stdout.contains("site pool0") && bans.stdout.contains("over_limit, uid 61100"),
            "{}",
            bans.report()
        );
        assert!(bans.stdout.contains("its last 31 messages, the newest "), "{}", bans.report());
        let named =
            |line: &str| line.trim_start().starts_with("30 ") && line.contains("spam.php") && line.contains("php-fpm");
        assert!(bans.stdout.lines().any(named), "{}", bans.report());
        let all = call().arg("bans").run();
        assert_eq!(all.stdout.lines().count(), 2, "{}", all.report());
        // Root's word names the same.
        let ban = call().args(["ban", "pool0", "--because", "spam"]).run();
        assert!(ban.stdout.contains("spam.php"), "{}", ban.report());
        // What others sent is nobody's but theirs.
        let own = call().uid(FIRST + 1).args(["bans", "pool0"]).run();
        assert_eq!(own.stdout, "site pool0 is not banned\n");
        assert_eq!(deliveries(server).len(), 20 + 39);
    });
}
