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
            "sudo chown root */sites.d/daemon.toml",
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
            "has no site: site daemon in */sites.d/daemon.toml is for other users",
            "add \"daemon\" to its \"user\"",
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
        assert!(!run.stdout.contains("neighbour") && !run.stderr.contains("neighbour"), "{what}\n{}", run.report());
    }
}
