//! A host of strangers: each site has a file of its own, root's, which nobody else reads. What goes wrong with one is told
//! to its user in one sentence, by `mail()` and by `check` alike, and nothing of the others.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use testkit::{Host, Mailchute, Run, Server};

use crate::check::{findings, with_code};
use crate::setup::MESSAGE;

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("blog", BLOG), ("mailchute", GROUP)];
const FILE: &str = "/etc/mailchute/sites.d/blog.toml";

/// As the binary comes, or set-group-id.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Plain,
    Group,
}

use Mode::{Group, Plain};

/// The binary, and the group that reads the files of `whose` site.
fn binary(host: &Host<'_>, mode: Mode) -> PathBuf {
    match mode {
        Plain => PathBuf::from(env!("CARGO_BIN_EXE_mailchute")),
        Group => host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP),
    }
}

fn group(mode: Mode, whose: u32) -> u32 {
    if mode == Group { GROUP } else { whose }
}

fn site(server: &Server, name: &str, user: &str) -> String {
    format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n[site.{name}]\n{user}\nsender = [\"*@{name}.example\", \"*@example.org\"]\n",
        server.port()
    )
}

/// Two sites with a file each, and a pool of PHP for each.
fn lay(host: &Host<'_>, server: &Server, mode: Mode) {
    host.write("/etc/mailchute/config.toml", "default_site = \"refuse\"\n[log]\nto = []\n", 0o644);
    for (name, uid) in [("shop", SHOP), ("blog", BLOG)] {
        let text = site(server, name, &format!("user = [{name:?}]"));
        host.write_as(&format!("/etc/mailchute/sites.d/{name}.toml"), &text, 0o640, (0, group(mode, uid)));
    }
    host.write("/etc/php/8.2/fpm/php-fpm.conf", "include=/etc/php/8.2/fpm/pool.d/*.conf\n", 0o644);
    for name in ["shop", "blog"] {
        host.write(&format!("/etc/php/8.2/fpm/pool.d/{name}.conf"), &format!("[{name}]\nuser = {name}\n"), 0o644);
    }
}

fn send(binary: &PathBuf, uid: u32, from: &str) -> Run {
    Mailchute::new(binary).uid(uid).args(["-i", "-f", from, "bob@example.net"]).stdin(MESSAGE).run()
}

fn check(binary: &PathBuf, words: &[&str]) -> (Run, Vec<Value>) {
    let own = ["check", "--json", "--offline", "--ignore", "sendmail.missing", "--ignore", "sendmail.other"];
    let run = Mailchute::new(binary).args(own).args(words.iter().copied()).run();
    let all = findings(&run);
    (run, all)
}

/// The step that a finding names.
fn next(finding: &Value) -> Option<&str> {
    let next = &finding["next"];
    next["run"].as_str().or_else(|| next["do"].as_str())
}

/// What is done to `blog.toml`: its text, owner, whether its group is right; what its user is told, as the binary comes and
/// set-group-id (`""`: it sends).
struct Mistake {
    what: &'static str,
    text: String,
    owner: u32,
    is_readable: bool,
    told: [(&'static str, &'static str); 2],
}

fn mistakes(server: &Server) -> Vec<Mistake> {
    let right = site(server, "blog", "user = [\"blog\"]");
    let mistake = |what, text: String, told| Mistake { what, text, owner: 0, is_readable: true, told };
    let hidden = |cause| (cause, "sudo mailchute check --as blog");
    let broken = hidden("/etc/mailchute/sites.d/blog.toml: has a mistake, which only root is shown");
    let foreign = hidden("/etc/mailchute/sites.d/blog.toml: is not for this user");
    vec![
        mistake(
            "no user",
            site(server, "blog", ""),
            [
                (
                    "site blog in /etc/mailchute/sites.d/blog.toml has no \"user\"",
                    "add user = [\"blog\"] to [site.blog]",
                ),
                foreign,
            ],
        ),
        mistake(
            "misspelt",
            site(server, "blog", "user = [\"blgo\"]"),
            [
                (
                    "site blog in /etc/mailchute/sites.d/blog.toml names the user \"blgo\", who does not exist",
                    "write user = [\"blog\"] there",
                ),
                foreign,
            ],
        ),
        mistake(
            "a uid that nobody has",
            site(server, "blog", "user = [61999]"),
            [
                (
                    "site blog in /etc/mailchute/sites.d/blog.toml is for uid 61999, and no user has that",
                    "write user = [\"blog\"] there",
                ),
                foreign,
            ],
        ),
        mistake(
            "a neighbour's name",
            site(server, "blog", "user = [\"shop\"]"),
            [
                (
                    "site blog in /etc/mailchute/sites.d/blog.toml is for shop",
                    "if it is blog's alone, write user = [\"blog\"] there; if blog is to send as it, too, add \"blog\" to its \"user\"",
                ),
                foreign,
            ],
        ),
        mistake(
            "an unknown key",
            format!("{right}form = \"a@blog.example\"\n"),
            [
                ("/etc/mailchute/sites.d/blog.toml:8: unknown key \"form\" in [site.blog]", "did you mean \"from\"?"),
                broken,
            ],
        ),
        mistake(
            "a copy",
            site(server, "shop", "user = [\"blog\"]"),
            [
                (
                    "/etc/mailchute/sites.d/blog.toml: defines site \"shop\", which /etc/mailchute/sites.d/shop.toml is for",
                    "call it [site.blog] in /etc/mailchute/sites.d/blog.toml, and see that the rest is its own, too",
                ),
                broken,
            ],
        ),
        Mistake {
            owner: BLOG,
            ..mistake(
                "a file of the customer's",
                site(server, "blog", ""),
                [
                    ("", ""),
                    (
                        "/etc/mailchute/sites.d/blog.toml: is owned by uid 61043, and a set-group-id binary takes root's files only",
                        "sudo chown root /etc/mailchute/sites.d/blog.toml, and see that its [site.blog] has user = [\"blog\"]",
                    ),
                ],
            )
        },
        Mistake {
            is_readable: false,
            ..mistake(
                "the wrong group",
                right.clone(),
                [
                    (
                        "/etc/mailchute/sites.d/blog.toml: permission denied",
                        "sudo chgrp blog /etc/mailchute/sites.d/blog.toml && sudo chmod 0640 /etc/mailchute/sites.d/blog.toml",
                    ),
                    (
                        "/etc/mailchute/sites.d/blog.toml: permission denied",
                        "sudo chgrp mailchute /etc/mailchute/sites.d/blog.toml && sudo chmod 0640 /etc/mailchute/sites.d/blog.toml",
                    ),
                ],
            )
        },
    ]
}

#[test]
fn a_user_is_told_of_its_own_file_and_check_says_the_same() {
    for mode in [Plain, Group] {
        Host::run(&USERS, |host| {
            let (binary, server) = (binary(host, mode), Server::new().start());
            for case in mistakes(&server) {
                lay(host, &server, mode);
                let reader = if case.is_readable { group(mode, BLOG) } else { 0 };
                host.write_as(FILE, &case.text, 0o640, (case.owner, reader));
                let (cause, hint) = case.told[usize::from(mode == Group)];
                let run = send(&binary, BLOG, "a@blog.example");
                let all = format!("{} {:?}\n{}", case.what, mode as u8, run.report());
                if cause.is_empty() {
                    run.expect_status(0);
                    continue;
                }
                run.expect_status(77);
                assert!(
                    run.stderr.starts_with(&format!("mailchute: uid 61043 (blog): has no site: {cause} (")),
                    "{all}"
                );
                assert!(run.stderr.contains(&format!("\nhint: {hint}")), "{all}");
                assert!(!run.stderr.contains("default_site"), "{all}");
                // In root's check it is the same; of what the user is not shown, root is shown all.
                let (cause, hint) = match mode {
                    Group if hint.ends_with("--as blog") => case.told[0],
                    _ => (cause, hint),
                };
                for words in [&["--as", "blog"][..], &[]] {
                    let (run, found) = check(&binary, words);
                    let found = with_code(&found, "site.none");
                    let its: Vec<_> = found.iter().filter(|finding| finding["subject"] == "blog").collect();
                    let [finding] = its[..] else { panic!("{} {words:?}\n{}", case.what, run.report()) };
                    let sentence = format!("has no site: {cause}, so what it sends is refused (77)");
                    assert_eq!(finding["sentence"], sentence.as_str(), "{}\n{}", case.what, run.report());
                    assert_eq!(next(finding), Some(hint), "{}\n{}", case.what, run.report());
                    assert_eq!(run.status, 78, "{}", case.what);
                }
                // The neighbour sends, and hears nothing of it.
                let words = ["--site", "shop", "-i", "-f", "a@shop.example", "bob@example.net"];
                let run = Mailchute::new(&binary).uid(SHOP).args(words).stdin(MESSAGE).run();
                run.expect_status(0);
                assert_eq!(run.stderr, "", "{}", case.what);
            }
            drop(server.finish());
        });
    }
}

#[test]
fn nobody_is_told_of_a_neighbours_mistake() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host, Group), Server::new().start());
        lay(host, &server, Group);
        let shop = "/etc/mailchute/sites.d/shop.toml";
        host.write_as(shop, "[relay.main]\nhost = \u{201c}mx.example\u{201d}\n", 0o640, (0, GROUP));
        fs::remove_file(FILE).unwrap();
        let run = send(&binary, BLOG, "a@blog.example");
        run.expect_status(77);
        assert!(!run.stderr.contains("shop"), "{}", run.report());
        let hint = "hint: write /etc/mailchute/sites.d/blog.toml (root:mailchute 0640) with user = [\"blog\"] in its [site.blog]";
        assert!(run.stderr.contains(hint), "{}", run.report());
        let run = Mailchute::new(&binary).uid(BLOG).args(["explain", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        assert!(!run.stdout.contains("shop") && !run.stderr.contains("shop"), "{}", run.report());
        // Root, who asks in the user's stead, is told of that user's mistake whole.
        let run =
            Mailchute::new(&binary).args(["explain", "--as", "shop", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        assert!(run.stderr.contains("shop.toml:2"), "{}", run.report());
        drop(server.finish());
    });
}

#[test]
fn a_file_that_is_called_otherwise_is_named() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        for mode in [Plain, Group] {
            let binary = binary(host, mode);
            lay(host, &server, mode);
            fs::rename(FILE, "/etc/mailchute/sites.d/blog.conf").unwrap();
            let run = send(&binary, BLOG, "a@blog.example");
            let cause = "has no site: /etc/mailchute/sites.d/blog.conf is not read: its name does not end in .toml";
            let hint = "hint: sudo mv /etc/mailchute/sites.d/blog.conf /etc/mailchute/sites.d/blog.toml";
            assert!(run.stderr.contains(cause) && run.stderr.contains(hint), "{}", run.report());
            let (run, found) = check(&binary, &[]);
            let is_named = |finding: &&Value| finding["subject"] == "/etc/mailchute/sites.d/blog.conf";
            assert!(
                with_code(&found, "config.skipped").into_iter().any(|finding| is_named(&finding)),
                "{}",
                run.report()
            );
            fs::remove_file("/etc/mailchute/sites.d/blog.conf").unwrap();
        }
        drop(server.finish());
    });
}

#[test]
fn no_key_is_removed_because_a_file_that_names_it_was_not_read() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host, Plain), Server::new().start());
        let key = "/etc/mailchute/secrets/blog";
        let advice = || {
            let (run, found) = check(&binary, &[]);
            let [unused] = with_code(&found, "secret.unused")[..] else { panic!("{}", run.report()) };
            next(unused).map(str::to_owned)
        };
        let right = site(&server, "blog", "user = [\"blog\"]");
        for (what, text, name, owner) in [
            ("a mistake", format!("{right}oops\n"), FILE, 0),
            ("another name", right.clone(), "/etc/mailchute/sites.d/blog.conf", 0),
            ("a file of the user's", right.clone(), FILE, BLOG),
            ("a site that is there already", right.replace("[site.blog]", "[site.shop]"), FILE, 0),
        ] {
            lay(host, &server, Plain);
            host.write_as(key, "Kx7-quite-2026\n", 0o640, (0, BLOG));
            fs::remove_file(FILE).unwrap();
            host.write_as(name, &text, 0o640, (owner, BLOG));
            assert_eq!(advice(), None, "{what}");
            fs::remove_file(name).unwrap();
        }
        // Where all of it was read, nobody names it.
        assert_eq!(advice().as_deref(), Some("rm /etc/mailchute/secrets/blog"));
        drop(server.finish());
    });
}

#[test]
fn a_command_that_gives_a_secret_to_a_group_gives_it_to_nobody_else() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host, Plain), Server::new().start());
        let key = "/etc/mailchute/secrets/blog";
        let with_key = |name: &str, user: &str| {
            let login = format!("username = \"x\"\npassword = {{ file = \"{key}\" }}\n[site.");
            site(&server, name, user).replacen("[site.", &login, 1)
        };
        lay(host, &server, Plain);
        host.write_as(key, "Kx7-quite-2026\n", 0o600, (0, 0));
        host.write_as(FILE, &with_key("blog", "user = [\"blog\"]"), 0o640, (0, BLOG));
        let (run, found) = check(&binary, &[]);
        let unreadable = with_code(&found, "secret.unreadable");
        let command = format!("chgrp blog {key} && chmod 0640 {key}");
        assert!(unreadable.iter().any(|finding| next(finding) == Some(&command)), "{}", run.report());
        assert!(!run.stdout.contains("GROUP"), "{}", run.report());
        // Two sites of different users read it, each from a file of its own: no command suits both.
        host.write_as("/etc/mailchute/sites.d/shop.toml", &with_key("shop", "user = [\"shop\"]"), 0o640, (0, SHOP));
        let (run, _) = check(&binary, &[]);
        assert!(
            !run.stdout.contains("chgrp") && run.stdout.contains("a group that nobody else is in"),
            "{}",
            run.report()
        );
        // One that both may read is not said to be read by a stranger.
        host.write_as(key, "Kx7-quite-2026\n", 0o640, (0, BLOG));
        let (run, found) = check(&binary, &[]);
        assert!(with_code(&found, "secret.shared").is_empty(), "{}", run.report());
        drop(server.finish());
    });
}

#[test]
fn one_user_and_one_site_are_asked_for_alone() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host, Plain), Server::new().start());
        lay(host, &server, Plain);
        host.write_as("/etc/mailchute/secrets/blog", "Kx7-quite-2026\n", 0o640, (0, BLOG));
        for words in [["--as", "shop"], ["--site", "shop"]] {
            let (run, _) = check(&binary, &words);
            run.expect_status(0);
            assert!(!run.stdout.contains("blog"), "{words:?}\n{}", run.report());
        }
        drop(server.finish());
    });
}

#[test]
fn what_a_site_says_of_its_users_and_paths_is_looked_at() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host, Plain), Server::new().start());
        let main = |more: &str| format!("{}{more}", site(&server, "shop", "user = [\"shop\"]"));
        let right = site(&server, "blog", "user = [\"blog\"]");
        for (code, grade, main, text) in [
            ("site.no-user", "broken", String::new(), site(&server, "blog", "")),
            ("site.no-user", "weak", main("[site.open]\nsender = [\"*@open.example\"]\n"), right.clone()),
            ("site.user", "weak", String::new(), site(&server, "blog", "user = [\"shop\"]")),
            ("site.path", "weak", String::new(), site(&server, "blog", "user = [\"blog\"]\npath = \"/srv/nowhere\"")),
        ] {
            lay(host, &server, Plain);
            fs::remove_file("/etc/mailchute/sites.d/shop.toml").unwrap();
            host.write("/etc/mailchute/config.toml", &format!("{main}[site.two]\nuser = [\"shop\"]\n"), 0o644);
            if main.is_empty() {
                host.write("/etc/mailchute/config.toml", &site(&server, "two", "user = [\"shop\"]"), 0o644);
            }
            host.write_as(FILE, &text, 0o640, (0, BLOG));
            let (run, found) = check(&binary, &[]);
            let [finding] = with_code(&found, code)[..] else { panic!("{code}\n{}", run.report()) };
            assert_eq!(finding["grade"], grade, "{code}\n{}", run.report());
            host.write_as(FILE, &right, 0o640, (0, BLOG));
        }
        drop(server.finish());
    });
}
