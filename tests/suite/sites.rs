//! Sites by uid, working directory and sender, as the operating system vouches for them. Needs root, to
//! become somebody else.

use std::fs;

use testkit::{Run, Scratch, Server};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const STRANGER: u32 = 61044;

struct Host {
    scratch: Scratch,
    server: Server,
}

impl Host {
    fn new(sites: &str) -> Self {
        let scratch = Scratch::new();
        let server = Server::new().start();
        for directory in ["shop", "shop/sub", "shop-not", "log"] {
            fs::create_dir(scratch.join(directory)).unwrap();
        }
        let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port());
        let text = format!("{relay}\n{}", sites.replace("{scratch}", &scratch.path().display().to_string()));
        scratch.write("config.toml", text, 0o644);
        Self { scratch, server }
    }

    fn send(&self, uid: u32, directory: &str, args: &[&str]) -> Run {
        mailchute()
            .config(&self.scratch.join("config.toml"))
            .args(args.iter().copied())
            .uid(uid)
            .directory(&self.scratch.join(directory))
            .stdin(MESSAGE)
            .run()
    }
}

#[test]
fn the_uid_is_the_boundary() {
    if !testkit::need_root() {
        return;
    }
    let host = Host::new(&format!(
        "[site.shop]\nuser = [{SHOP}]\nfrom = \"shop@example.org\"\n[site.blog]\nuser = [{BLOG}]\nsender = [\"*@blog.example\"]\n"
    ));
    host.send(SHOP, ".", &["-i", "bob@example.net"]).expect_status(0);
    // The blog may not write as alice@example.org.
    let run = host.send(BLOG, ".", &["-i", "bob@example.net"]);
    run.expect_status(153);
    assert!(run.stderr.contains("553 5.7.1") && run.stderr.contains("(mailchute, site blog)"), "{}", run.report());
    let run = host.send(STRANGER, ".", &["-i", "bob@example.net"]);
    run.expect_status(77);
    assert!(run.stderr.contains("61044"), "who it is\n{}", run.report());
    // Nobody takes another one's site by its name, root does.
    host.send(BLOG, ".", &["--site", "shop", "-i", "bob@example.net"]).expect_status(77);
    host.send(0, ".", &["--site", "shop", "-i", "bob@example.net"]).expect_status(0);
    assert_eq!(host.server.finish().iter().flat_map(|session| &session.deliveries).count(), 2);
}

#[test]
fn the_longest_path_then_the_sender_decides() {
    if !testkit::need_root() {
        return;
    }
    let site =
        |name: &str, more: &str| format!("[site.{name}]\nuser = [{SHOP}]\ndisabled = \"this is {name}\"\n{more}\n");
    let host = Host::new(
        &[
            site("shop", "path = [\"{scratch}/shop\"]"),
            site("sub", "path = [\"{scratch}/shop/sub\"]"),
            site("alice", "sender = [\"alice@example.org\"]"),
            site("rest", ""),
        ]
        .concat(),
    );
    for (directory, sender, name) in [
        ("shop", "x@example.org", "shop"),
        ("shop/sub", "x@example.org", "sub"),
        ("shop/sub", "alice@example.org", "sub"),
        (".", "alice@example.org", "alice"),
        ("shop-not", "alice@example.org", "alice"),
    ] {
        let run = host.send(SHOP, directory, &["-i", "-f", sender, "bob@example.net"]);
        assert_eq!(run.status, 150, "{directory} {sender}\n{}", run.report());
        assert!(run.stderr.contains(&format!("this is {name}")), "{directory} {sender}\n{}", run.report());
    }
}

#[test]
fn another_ones_secret_cannot_be_read() {
    if !testkit::need_root() {
        return;
    }
    let host = Host::new(&format!("[site.shop]\nuser = [{SHOP}]\n"));
    let secret = host.scratch.write("secret", "hunter22\n", 0o600);
    let config = format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nusername = \"a\"\npassword = {{ file = \"{}\" }}\n",
        host.server.port(),
        secret.display()
    );
    host.scratch.write("config.toml", config, 0o644);
    let run = host.send(SHOP, ".", &["-i", "bob@example.net"]);
    assert!([77, 78].contains(&run.status), "{}", run.report());
    run.expect_stderr(&format!("mailchute: {}: *", secret.display()));
    assert!(run.stderr.lines().any(|line| line.contains("hint: ") && line.contains("ch")), "{}", run.report());
    assert!(host.server.finish().iter().all(|session| session.deliveries.is_empty()));
}

/// Every host has these two, with groups of their own.
const DAEMON: u32 = 1;
const BIN: u32 = 2;

#[test]
fn who_has_no_site_is_told_of_the_file_that_is_his_and_of_no_other() {
    if !testkit::need_root() {
        return;
    }
    let site = |name: &str, user: &str| {
        format!("[relay.main]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\n[site.{name}]\n{user}\n")
    };
    let right = site("daemon", "user = [\"daemon\"]");
    for (what, text, owner, group, mode, cause, hint) in [
        (
            "missing",
            "",
            0,
            0,
            0,
            "has no site in */config.toml",
            "write */sites.d/daemon.toml (root:daemon 0640) with user = [\"daemon\"] in its [site.daemon]; 39 files belong to other users",
        ),
        (
            "wrong group",
            &right,
            0,
            0,
            0o640,
            "has no site: */sites.d/daemon.toml: permission denied",
            "sudo chgrp daemon */sites.d/daemon.toml && sudo chmod 0640 *",
        ),
        (
            "mistake",
            &format!("{right}prot = 1\n"),
            0,
            DAEMON,
            0o640,
            "has no site: */sites.d/daemon.toml:7: unknown key \"prot\" in [site.daemon]",
            "*",
        ),
        (
            "owned by the site",
            &right,
            DAEMON,
            DAEMON,
            0o640,
            "has no site: */sites.d/daemon.toml:6: \"user\" in [site.daemon] may not be set in a file that root does not own",
            "leave it out: the file speaks for its owner; *",
        ),
        (
            "owned by another",
            &right,
            BIN,
            DAEMON,
            0o640,
            "has no site: */sites.d/daemon.toml: is owned by uid 2, neither root nor the caller",
            "sudo chown root */sites.d/daemon.toml, and see that its [site.daemon] has user = [\"daemon\"]",
        ),
        (
            "user forgotten",
            &site("daemon", ""),
            0,
            DAEMON,
            0o640,
            "has no site: site daemon in */sites.d/daemon.toml has no \"user\"",
            "add user = [\"daemon\"] to [site.daemon]",
        ),
        (
            "user misspelt",
            &site("shop", "user = [\"deamon\"]"),
            0,
            DAEMON,
            0o640,
            "has no site: site shop in */sites.d/daemon.toml names the user \"deamon\", who does not exist",
            "write user = [\"daemon\"] there",
        ),
        (
            "user of another",
            &site("daemon", "user = [\"bin\"]"),
            0,
            DAEMON,
            0o640,
            "has no site: site daemon in */sites.d/daemon.toml is for bin",
            "if it is daemon's alone, write user = [\"daemon\"] there; if daemon is to send as it, too, add \"daemon\" to its \"user\"",
        ),
        (
            "user is a uid that nobody has",
            &site("daemon", "user = [61999]"),
            0,
            DAEMON,
            0o640,
            "has no site: site daemon in */sites.d/daemon.toml is for uid 61999, and no user has that",
            "write user = [\"daemon\"] there",
        ),
        (
            "a copy of a neighbour's, as it was",
            &site("neighbour7", "user = [\"bin\"]"),
            0,
            BIN,
            0o640,
            "has no site: */sites.d/daemon.toml: permission denied",
            "it is called after this user, and for the group bin: sudo chgrp daemon */sites.d/daemon.toml; if it is a copy, change what bin has in it",
        ),
        (
            "a copy of a neighbour's, but for the user",
            &site("neighbour7", "user = [\"daemon\"]"),
            0,
            DAEMON,
            0o640,
            "has no site: */sites.d/daemon.toml: defines site \"neighbour7\", which */sites.d/neighbour7.toml is for",
            "call it [site.daemon] in */sites.d/daemon.toml, and see that the rest is its own, too",
        ),
        (
            "a log of its own in a file of its own",
            "[relay.main]\nhost = \"127.0.0.1\"\n[log]\nto = [\"stderr\"]\n",
            DAEMON,
            DAEMON,
            0o640,
            "has no site: */sites.d/daemon.toml:3: \"log\" may not be set in a file that root does not own",
            "leave \"log\" out: config.toml says it for the whole host",
        ),
    ] {
        let scratch = Scratch::new();
        let config = scratch.write("config.toml", "default_site = \"refuse\"\n", 0o644);
        for number in 0..39 {
            scratch.write(&format!("sites.d/neighbour{number}.toml"), site("n", "user = [\"bin\"]"), 0o640);
        }
        if !text.is_empty() {
            let file = scratch.write("sites.d/daemon.toml", text, mode);
            std::os::unix::fs::chown(&file, Some(owner), Some(group)).unwrap();
        }
        let call = || mailchute().config(&config).uid(DAEMON).directory(scratch.path());
        let run = call().args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(77);
        let lines: Vec<&str> = run.stderr.lines().collect();
        let first = format!("mailchute: uid 1 (daemon): {cause} (mailchute)");
        assert!(testkit::matches(&first, lines[0]), "{what}: {first}\n{}", run.report());
        let last = format!("hint: {hint}");
        assert!(lines.len() == 2 && testkit::matches(&last, lines[1]), "{what}: {last}\n{}", run.report());
        let run = call().args(["explain", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(77);
        assert!(run.stderr.contains(lines[0].trim_end_matches(" (mailchute)")), "{what}\n{}", run.report());
        assert!(run.stdout.contains("39 files that belong to other users"), "{what}\n{}", run.report());
        let is_named = !cause.contains("neighbour") && (run.stdout + &run.stderr).contains("neighbour");
        assert!(!is_named, "{what}: {cause}");
    }
}

/// A host of strangers: `bin` has a site, and a file that is root's does not say whose it is.
#[test]
fn who_forgets_the_user_opens_a_site_to_nobody() {
    if !testkit::need_root() {
        return;
    }
    let relay = "[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n";
    let server = Server::new().start();
    let relay = relay.replace("{port}", &server.port().to_string());
    let bound = format!("{relay}[site.bin]\nuser = [\"bin\"]\n");
    let open = |more: &str| format!("{relay}[site.daemon]\n{more}");
    let sender = "sender = [\"*@example.org\"]\n";
    for (what, main, files, sends) in [
        ("a sender that matches", "default_site = \"refuse\"\n", [bound.clone(), open(sender)], false),
        ("nothing that asks for more", "", [bound.clone(), open("")], false),
        ("no table of a site", "", [bound.clone(), relay.clone()], false),
        ("a path that holds the directory", "", [bound.clone(), open("path = \"/\"\n")], false),
        ("a main file that binds", &bound, [open(sender).replace("daemon", "other"), open(sender)], false),
        ("the site that is meant for all", "default_site = \"daemon\"\n", [bound.clone(), open(sender)], true),
        ("no site is bound", "", [open(sender).replace("daemon", "other"), open(sender)], true),
    ] {
        let scratch = Scratch::new();
        let config = scratch.write("config.toml", main, 0o644);
        scratch.write("sites.d/a.toml", &files[0], 0o644);
        let own = scratch.write("sites.d/daemon.toml", &files[1], 0o644);
        let send = |uid, args: &[&str]| {
            mailchute()
                .config(&config)
                .uid(uid)
                .directory(scratch.path())
                .args(args.iter().copied())
                .stdin(MESSAGE)
                .run()
        };
        for args in [&["-i", "bob@example.net"][..], &["--site", "daemon", "-i", "bob@example.net"]] {
            let run = send(STRANGER, args);
            assert_eq!(run.status, if sends { 0 } else { 77 }, "{what} {args:?}\n{}", run.report());
        }
        let run = send(DAEMON, &["-i", "bob@example.net"]);
        assert_eq!(run.status, if sends { 0 } else { 77 }, "{what}\n{}", run.report());
        if !sends {
            let cause = format!("has no site: site daemon in {} has no \"user\"", own.display());
            let hint = "hint: add user = [\"daemon\"] to [site.daemon]";
            assert!(run.stderr.contains(&cause) && run.stderr.contains(hint), "{what}\n{}", run.report());
        }
        assert!(!run.stderr.contains("default_site"), "{what}\n{}", run.report());
        // Root uses all, and is told.
        let run = send(0, &["--site", "daemon", "-i", "bob@example.net"]);
        run.expect_status(0);
        let run = send(0, &["explain", "--site", "daemon", "-i", "bob@example.net"]);
        assert_eq!(run.stdout.contains("nobody but root sends as it"), !sends, "{what}\n{}", run.report());
    }
    drop(server.finish());
}

#[test]
fn no_hint_opens_a_site_to_all_where_sites_have_users() {
    if !testkit::need_root() {
        return;
    }
    let host = Host::new("[site.bin]\nuser = [\"bin\"]\n");
    let run = host.send(DAEMON, ".", &["-i", "bob@example.net"]);
    run.expect_status(77);
    assert!(run.stderr.contains("hint: list the user, user = [\"daemon\"], in a site of "), "{}", run.report());
    assert!(!run.stderr.contains("default_site"), "{}", run.report());
    let host = Host::new("[site.bin]\n");
    host.send(DAEMON, ".", &["-i", "bob@example.net"]).expect_status(0);
    assert_eq!(host.server.finish().iter().flat_map(|session| &session.deliveries).count(), 1);
}
