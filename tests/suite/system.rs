//! `/etc/mailchute` as the host's own configuration, on a host of the test's own: what counts, who may
//! say what, and who is told why.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

use testkit::{Host, Mailchute, Run, Server};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
/// Without an account.
const STRANGER: u32 = 61044;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("blog", BLOG)];
const MAIN: &str = "/etc/mailchute/config.toml";

fn relay(server: &Server) -> String {
    format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", server.port())
}

/// Every caller's log is a file of its own: `/run/log/UID`.
const LOG: &str = "[log]\nto = [\"/run/log/{user}\"]\n";

fn make_log() {
    fs::create_dir_all("/run/log").unwrap();
    fs::set_permissions("/run/log", Permissions::from_mode(0o777)).unwrap();
}

fn warnings(user: &str) -> String {
    let log = fs::read_to_string(format!("/run/log/{user}")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap_or_default();
    record["warnings"].to_string()
}

fn call(uid: u32) -> Mailchute {
    mailchute().uid(uid).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

fn send(uid: u32) -> Run {
    call(uid).run()
}

/// How many messages a server has been given.
fn count(server: Server) -> usize {
    server.finish().iter().map(|session| session.deliveries.len()).sum()
}

/// The rows of `explain` for `user` with this label, asked by root.
fn explained(user: &str, label: &str) -> Vec<String> {
    let run = mailchute().args(["explain", "--as", user, "--", "-i", "bob@example.net"]).run();
    let mut rows = Vec::new();
    let mut current = "";
    for line in run.stdout.lines() {
        let (left, text) = line.split_at(line.len().min(14));
        current = if left.trim().is_empty() { current } else { left.trim() };
        if current == label {
            rows.push(text.to_owned());
        }
    }
    rows
}

#[test]
fn the_hosts_configuration_leaves_no_choice() {
    Host::run(&USERS, |host| {
        let [ours, planted] = [Server::new().start(), Server::new().start()];
        host.write(MAIN, &relay(&ours), 0o644);
        let user_file = "/home/shop/.config/mailchute/config.toml";
        host.write_as(user_file, &relay(&planted), 0o644, (SHOP, SHOP));
        let elsewhere = "/run/elsewhere/.config/mailchute/config.toml";
        host.write_as(elsewhere, &relay(&planted), 0o644, (SHOP, SHOP));
        let url = format!("smtp://127.0.0.1:{}", planted.port());
        let exported =
            |call: Mailchute| call.env("HOME", "/run/elsewhere").env("MAILCHUTE_URL", &url).env("MAILER_DSN", &url);
        exported(call(SHOP)).run().expect_status(0);
        // A broken variable does not matter either.
        call(SHOP).env("MAILCHUTE_URL", "nonsense").run().expect_status(0);
        let run = exported(mailchute().args(["explain", "-i", "bob@example.net"]).uid(SHOP)).run();
        run.expect_status(0);
        for line in [
            format!("source        {MAIN}"),
            format!("{user_file}: {MAIN} comes first"),
            format!("MAILCHUTE_URL: {MAIN} comes first"),
        ] {
            assert!(run.stdout.contains(&line), "{line}\n{}", run.report());
        }
        // A configuration that this caller may not read is the host's all the same.
        fs::set_permissions(MAIN, Permissions::from_mode(0o600)).unwrap();
        let run = exported(call(SHOP)).run();
        run.expect_status(77);
        run.expect_stderr(&format!("mailchute: {MAIN}: permission denied (mailchute)"));
        run.take_hint();
        exported(call(SHOP)).run().expect_status(0);
        assert_eq!((count(ours), count(planted)), (3, 0));
    });
}

#[test]
fn a_named_file_then_the_hosts_then_the_users_then_the_environment() {
    Host::run(&USERS, |host| {
        let [named, users, variables] = [(); 3].map(|()| Server::new().start());
        let url = format!("smtp://127.0.0.1:{}", variables.port());
        let named_file = host.write("/run/named.toml", &relay(&named), 0o644);
        host.write(MAIN, "this is broken", 0o644);
        call(SHOP).env("MAILCHUTE_CONFIG", &named_file).run().expect_status(0);
        call(SHOP).env("MAILCHUTE_CONFIG", "/run/missing.toml").env("MAILCHUTE_URL", &url).run().expect_status(78);
        send(SHOP).expect_status(78);
        fs::remove_dir_all("/etc/mailchute").unwrap();

        // The home is the account's, whatever HOME says.
        let user_file = "/home/shop/.config/mailchute/config.toml";
        host.write_as(user_file, &relay(&users), 0o600, (SHOP, SHOP));
        call(SHOP).env("HOME", "/run/elsewhere").env("MAILCHUTE_URL", &url).run().expect_status(0);
        let run = call(BLOG).env("HOME", "/home/shop").run();
        run.expect_status(78);
        for place in [MAIN, "/home/blog/.config/mailchute/config.toml", "MAILCHUTE_URL", "MAILER_DSN"] {
            assert!(run.stderr.contains(place), "{place}\n{}", run.report());
        }
        // Somebody else's file in one's home is not one's own.
        host.write_as("/home/blog/.config/mailchute/config.toml", &relay(&users), 0o644, (SHOP, SHOP));
        call(BLOG).env("MAILCHUTE_URL", &url).run().expect_status(0);
        let passed = explained("blog", "passed over").join("\n");
        assert!(passed.is_empty(), "there is no source at all: {passed}");
        let run = send(BLOG);
        run.expect_status(78);
        assert!(run.stderr.contains(&format!("is not owned by uid {BLOG}")), "{}", run.report());
        // Without an account there is no home, and nothing breaks.
        call(STRANGER).env("HOME", "/home/shop").env("MAILCHUTE_URL", &url).run().expect_status(0);
        assert_eq!((count(named), count(users), count(variables)), (1, 1, 2));
    });
}

#[test]
fn one_site_cannot_stop_the_others() {
    Host::run(&USERS, |host| {
        let [shop, blog] = [Server::new().start(), Server::new().start()];
        make_log();
        host.write(MAIN, LOG, 0o644);
        let site = |name: &str| format!("/etc/mailchute/sites.d/{name}.toml");
        let bound = format!("{}[site.shop]\nuser = \"shop\"\n", relay(&shop));
        host.write_as(&site("shop"), &bound, 0o640, (0, SHOP));
        // Not root's: it speaks for its owner, and needs to say nothing of that.
        host.write_as(&site("blog"), &relay(&blog), 0o644, (BLOG, BLOG));
        host.write(&site("broken"), "not = [toml", 0o644);
        host.write(&site("closed"), &format!("{}[site.closed]\nuser = 61099\n", relay(&shop)), 0o600);
        host.write_as(&site("theirs"), &relay(&shop), 0o644, (61050, 61050));
        host.write(&site("writable"), &format!("{}[site.writable]\n", relay(&shop)), 0o646);
        host.write("/etc/mailchute/sites.d/notes.txt", "no site", 0o644);
        symlink("/nonexistent", site("dangling")).unwrap();
        assert!(Command::new("mkfifo").arg(site("fifo")).status().unwrap().success());

        let run = send(SHOP);
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "{}", run.report());
        let noted = warnings("shop");
        for name in ["broken", "writable", "dangling", "fifo"] {
            assert!(noted.contains(&format!("{}: skipped: ", site(name))), "{name}: {noted}");
        }
        assert!(noted.contains("is world-writable"), "{noted}");
        send(BLOG).expect_status(0);
        let run = send(STRANGER);
        run.expect_status(77);
        assert!(run.stderr.contains(&site("broken")), "{}", run.report());
        assert!(run.stderr.contains("4 files belong to other users"), "{}", run.report());
        for name in ["shop", "blog", "closed", "theirs"] {
            assert!(!run.stderr.contains(&site(name)), "told of {name}\n{}", run.report());
        }
        assert_eq!(explained("blog", "skipped"), ["3 files that belong to other users"]);
        assert!(explained("blog", "warning").join("\n").contains(&format!("{}: skipped: ", site("broken"))));
        assert_eq!(explained("blog", "site").len(), 1);
        assert!(explained("shop", "site")[0].starts_with("shop: "), "{:?}", explained("shop", "site"));
        assert_eq!((count(shop), count(blog)), (1, 1));
    });
}

#[test]
fn a_users_own_site_file_speaks_for_that_user_only() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        make_log();
        host.write(MAIN, LOG, 0o644);
        let file = "/etc/mailchute/sites.d/blog.toml";
        for (more, why) in [
            ("user = \"shop\"", "\"user\" in [site.blog] may not be set"),
            ("[log]\nto = [\"/run/other\"]", "\"log\" may not be set"),
        ] {
            let text = format!("{}[site.blog]\n{more}\n", relay(&server));
            host.write_as(file, &text, 0o644, (BLOG, BLOG));
            let run = send(BLOG);
            run.expect_status(77);
            assert!(run.stderr.contains(why), "{why}\n{}", run.report());
            send(SHOP).expect_status(77);
        }
        host.write_as(file, &format!("default_site = \"blog\"\n{}", relay(&server)), 0o644, (BLOG, BLOG));
        send(BLOG).expect_status(77);
        host.write_as(file, &relay(&server), 0o644, (BLOG, BLOG));
        send(BLOG).expect_status(0);
        send(SHOP).expect_status(77);
        call(SHOP).env("MAILCHUTE_SITE", "blog").run().expect_status(77);
        assert_eq!(count(server), 1);
    });
}

#[test]
fn who_speaks_when_no_site_fits() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        let main = |top: &str| host.write(MAIN, &format!("{top}\n{}", relay(&server)), 0o644);
        main("");
        send(STRANGER).expect_status(0);
        // With the first site that has a user, strangers are out, its file readable or not.
        let shop = "/etc/mailchute/sites.d/shop.toml";
        for mode in [0o644, 0o600] {
            host.write(shop, &format!("{}[site.shop]\nuser = \"shop\"\n", relay(&server)), mode);
            let run = send(STRANGER);
            run.expect_status(77);
            run.expect_stderr(&format!("mailchute: uid {STRANGER}: has no site in {MAIN} (mailchute)"));
        }
        main("default_site = \"default\"");
        send(STRANGER).expect_status(0);
        main("default_site = \"refuse\"");
        send(STRANGER).expect_status(77);
        fs::set_permissions(shop, Permissions::from_mode(0o644)).unwrap();
        main("default_site = \"shop\"");
        let run = send(STRANGER);
        run.expect_status(78);
        assert!(run.stderr.contains("\"default_site\" names \"shop\", which is bound to users"), "{}", run.report());
        main("default_site = \"defualt\"");
        let run = send(STRANGER);
        run.expect_status(78);
        assert!(run.stderr.contains("did you mean \"default\"?"), "{}", run.report());
        assert_eq!(count(server), 2);
    });
}

#[test]
fn weak_modes_warn_or_refuse() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        make_log();
        let text = |top: &str| format!("{top}\n{}{LOG}", relay(&server));
        host.write(MAIN, &text(""), 0o666);
        let run = send(SHOP);
        run.expect_status(77);
        run.expect_stderr(&format!("mailchute: {MAIN}: is world-writable (root:root 0666) (mailchute)"));
        assert!(run.stderr.contains(&format!("hint: sudo chmod go-w {MAIN}")), "{}", run.report());

        host.write_as(MAIN, &text(""), 0o664, (0, SHOP));
        send(SHOP).expect_status(0);
        assert!(warnings("shop").contains("group-writable (root:shop 0664)"), "{}", warnings("shop"));
        assert!(explained("shop", "warning").join("\n").contains("group-writable"));
        host.write_as(MAIN, &text("strict_modes = true"), 0o664, (0, SHOP));
        let run = send(SHOP);
        run.expect_status(77);
        assert!(run.stderr.contains("which strict_modes forbids"), "{}", run.report());

        // A secret that everybody can read, in a file of its own.
        let secret = host.write("/etc/mailchute/secrets/main", "secret", 0o644);
        let login = format!("username = \"a\"\npassword = {{ file = \"{}\" }}\n", secret.display());
        let text = |top: &str| format!("{top}\n{}{login}{LOG}", relay(&server));
        host.write(MAIN, &text("strict_modes = true"), 0o644);
        let run = send(SHOP);
        run.expect_status(77);
        run.expect_stderr("mailchute: /etc/mailchute/secrets/main: is world-readable, and a secret is inside *");
        chown(&secret, Some(0), Some(SHOP)).unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(0o640)).unwrap();
        // The server has no AUTH; the secret was read.
        send(SHOP).expect_status(76);
        assert_eq!(count(server), 1);
    });
}

#[test]
fn the_c_library_is_the_only_one_that_is_loaded() {
    let asked = |name: &str| Command::new("cc").arg(format!("-print-file-name={name}")).output().ok();
    let has_unwinder = asked("libgcc_eh.a").is_some_and(|said| said.stdout.starts_with(b"/"));
    if !has_unwinder
        || cfg!(not(target_env = "gnu"))
        || option_env!("RUSTFLAGS").is_some_and(|set| set.contains("link"))
    {
        // There is no static one to take in.
        return;
    }
    let binary = fs::read(env!("CARGO_BIN_EXE_mailchute")).unwrap();
    let loads = |name: &str| binary.windows(name.len()).any(|octets| octets == name.as_bytes());
    assert!(loads("libc.so.6") && !loads("libgcc_s.so.1"));
}
