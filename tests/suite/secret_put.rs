//! `mailchute secret`: what is stored, with which modes, what is refused, and that nothing of it is seen.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use testkit::{Host, Mailchute, Run, need};

use crate::setup::mailchute;

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("blog", BLOG), ("mailchute", GROUP)];
const MAIN: &str = "/etc/mailchute/config.toml";
const SECRETS: &str = "/etc/mailchute/secrets";
const VALUE: &str = "correct horse battery staple";

/// Two sites, each with a relay and a secret of its own, and a relay that both use.
const SITES: &str = "\
[relay.shop]
host = \"mail.example.net\"
username = \"orders@shop.example\"
password = { file = \"secrets/shop\" }
[relay.blog]
provider = \"brevo\"
via = \"api\"
api_key = { file = \"secrets/blog\" }
[relay.both]
host = \"mail.example.net\"
username = \"all@shop.example\"
password = { file = \"secrets/both\" }
[site.shop]
user = \"shop\"
relay = [\"shop\", \"both\"]
[site.blog]
user = \"blog\"
relay = [\"blog\", \"both\"]
";

fn secret(words: &[&str], value: &str) -> Mailchute {
    mailchute().arg("secret").args(words.iter().copied()).stdin(value)
}

/// Runs it, and sees that nothing of the value is said.
fn put(words: &[&str], value: &str) -> Run {
    let run = secret(&[&["put"], words].concat(), value).run();
    for line in value.lines().map(str::trim).filter(|line| line.len() > 3) {
        assert!(!run.stdout.contains(line) && !run.stderr.contains(line), "{}", run.report());
    }
    run
}

/// Owner, group, mode and content.
fn stored(name: &str) -> (u32, u32, u32, String) {
    let path = Path::new(SECRETS).join(name);
    let found = path.metadata().unwrap();
    (found.uid(), found.gid(), found.permissions().mode() & 0o7777, fs::read_to_string(path).unwrap())
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(SECRETS).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn it_is_stored_for_the_group_that_sends() {
    Host::run(&USERS, |host| {
        // The directory is made as well, whatever the umask.
        for umask in ["000", "077", "777"] {
            let _ = fs::remove_dir_all("/etc/mailchute");
            let line = format!("umask {umask}; exec \"$@\"");
            let run = secret(&["put", "smtp", "--group", "shop"], VALUE).under("/bin/sh", &["-c", &line, "sh"]).run();
            run.expect_status(0);
            assert!(run.stdout.contains("/etc/mailchute/secrets/smtp (root:shop 0640)"), "{}", run.report());
            assert!(run.stdout.contains("password = { file = \"/etc/mailchute/secrets/smtp\" }"), "{}", run.report());
            assert_eq!(stored("smtp"), (0, SHOP, 0o640, format!("{VALUE}\n")));
            assert_eq!(Path::new(SECRETS).metadata().unwrap().permissions().mode() & 0o7777, 0o711);
            assert_eq!(names(), ["smtp"]);
        }
        host.write(MAIN, SITES, 0o644);
        put(&["shop", "--site", "shop"], VALUE).expect_status(0);
        assert_eq!(stored("shop").1, SHOP);
        // Whom it is for stands in the configuration.
        let run = put(&["blog"], "xkeysib-0123456789");
        run.expect_status(0);
        assert!(run.stdout.contains("relay blog, api_key"), "{}", run.report());
        assert_eq!(stored("blog"), (0, BLOG, 0o640, "xkeysib-0123456789\n".to_owned()));
        // Where it does not say whom, nothing is stored for somebody by chance.
        for words in [&["both"][..], &["other"], &["other", "--site", "both"], &["other", "--group", "nobody-there"]] {
            let run = put(words, VALUE);
            run.expect_status(64);
            assert!(run.stderr.contains("hint: ") || words.len() == 3, "{}", run.report());
        }
        assert_eq!(names(), ["blog", "shop", "smtp"]);
    });
}

#[test]
fn a_set_group_id_binary_stores_it_for_its_own_group() {
    Host::run(&USERS, |host| {
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        host.write_as(MAIN, SITES, 0o640, (0, GROUP));
        for (name, words) in [("a", &[][..]), ("shop", &[]), ("b", &["--site", "blog"])] {
            let call = Mailchute::new(&binary).args(["secret", "put", name]).args(words.iter().copied());
            call.stdin(VALUE).run().expect_status(0);
            assert_eq!((stored(name).1, stored(name).2), (GROUP, 0o640), "{name}");
        }
        let run = Mailchute::new(&binary).uid(SHOP).args(["secret", "check"]).run();
        run.expect_status(77);
        assert!(!run.stderr.contains("both") && run.stdout.is_empty(), "{}", run.report());
    });
}

#[test]
fn one_that_is_there_is_replaced_only_where_that_is_said() {
    Host::run(&USERS, |host| {
        host.write(MAIN, SITES, 0o644);
        put(&["both", "--group", "blog"], "the first").expect_status(0);
        let run = put(&["both", "--group", "shop"], "the second");
        run.expect_status(73);
        run.expect_stderr("mailchute: /etc/mailchute/secrets/both: is there already");
        assert_eq!(stored("both").3, "the first\n");
        // It stays its group's, and gets the mode that it should have had.
        fs::set_permissions(Path::new(SECRETS).join("both"), fs::Permissions::from_mode(0o666)).unwrap();
        put(&["both", "--replace"], "the second").expect_status(0);
        assert_eq!(stored("both"), (0, BLOG, 0o640, "the second\n".to_owned()));
        put(&["both", "--replace", "--site", "shop"], "the third").expect_status(0);
        assert_eq!(stored("both"), (0, SHOP, 0o640, "the third\n".to_owned()));
        // What is no file is not written through.
        let elsewhere = host.write("/etc/elsewhere", "kept", 0o600);
        symlink(&elsewhere, Path::new(SECRETS).join("link")).unwrap();
        put(&["link", "--group", "shop", "--replace"], VALUE).expect_status(73);
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
        assert_eq!(names(), ["both", "link"]);
    });
}

#[test]
fn only_root_stores_one_and_only_where_nobody_else_writes() {
    Host::run(&USERS, |host| {
        host.write(MAIN, SITES, 0o644);
        for words in [&["secret", "put", "x", "--group", "shop"][..], &["secret", "check"]] {
            let run = mailchute().uid(SHOP).args(words.iter().copied()).stdin(VALUE).run();
            run.expect_status(77);
            run.expect_stderr("mailchute: secret: only root looks after secrets");
        }
        fs::create_dir(SECRETS).unwrap();
        for (path, mode) in [(SECRETS, 0o1777), (SECRETS, 0o770), ("/etc/mailchute", 0o775)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let run = put(&["x", "--group", "shop"], VALUE);
            run.expect_status(77);
            assert!(run.stderr.contains(path) && run.stderr.contains("chmod go-w"), "{}", run.report());
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::chown(SECRETS, Some(SHOP), None).unwrap();
        put(&["x", "--group", "shop"], VALUE).expect_status(77);
        assert!(names().is_empty());
    });
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    Host::run(&USERS, |_| {
        for words in [
            &["smtp", VALUE][..],
            &["smtp", "--group", "shop", VALUE],
            &["smtp", "--group", "shop", "--", VALUE, VALUE],
            &["smtp=correct horse battery staple"],
            &[VALUE],
            &["SG.abcdefghijklmnop.qrstuv", "--group", "shop"],
            &["smtp", "--password=correct horse battery staple"],
            &["smtp", "--password", VALUE],
            &["smtp", "-pcorrect horse battery staple"],
            &["../x", "--group", "shop"],
            &["/etc/mailchute/secrets/x", "--group", "shop"],
            &[".hidden", "--group", "shop"],
            &["", "--group", "shop"],
        ] {
            let run = put(words, VALUE);
            run.expect_status(64);
            assert!(!run.stderr.contains("SG.abc"), "{}", run.report());
        }
        assert!(names().is_empty());
    });
}

#[test]
fn what_is_not_the_secret_is_refused_by_what_it_looks_like() {
    const ACCOUNT: &str =
        "{\n\"type\": \"service_account\",\n\"client_email\": \"x@y.example\",\n\"private_key\": \"k\"\n}\n";
    Host::run(&USERS, |host| {
        host.write(MAIN, SITES, 0o644);
        for (name, value, why) in [
            // An SMTP password, another provider's key, a key that is public.
            ("blog", "xsmtpsib-abcdefgh", "is for SMTP, and the API wants another"),
            ("blog", "SG.abcdefghijk", "is a key of SendGrid, and this relay is Brevo"),
            ("mailgun", "pubkey-abcdefghijk", "is a public key"),
            ("postmark", "re_abcdefghijk", "is a key of Resend, and this is for Postmark"),
            ("blog", "two words of a sentence", "has a blank in it"),
            ("blog", "xkeysib-a\u{200b}bc", "holds U+200B (a space without width)"),
            ("blog", "someone@shop.example", "is an address"),
            ("shop", "orders@shop.example", "is the user name"),
            ("x", "https://user:s3cr3t@mail.example.net", "is a URL"),
            ("x", "smtps://mail.example.net", "is a URL"),
            ("x", "/etc/mailchute/secrets/x", "is a path"),
            ("x", "./secret.txt", "is a path"),
            ("x", "$SMTP_PASSWORD", "looks like a variable"),
            ("x", "SMTP_PASSWORD=hunter22", "looks like a variable"),
            ("x", "password = { file = \"x\" }", "is a line of a configuration"),
            ("x", "\"hunter22\"", "is in quotes"),
            ("x", "your-api-key", "stands for the secret"),
            ("x", "YOUR_API_KEY_HERE", "stands for the secret"),
            ("x", "<api key>", "stands for the secret"),
            ("x", "changeme", "stands for the secret"),
            ("x", "xxxxxxxxxxxx", "stands for the secret"),
            ("x", "apikey", "stands for the secret"),
            ("x", "re_abc************xyz", "is what is shown instead of the secret"),
            ("x", "\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}", "is what is shown instead of the secret"),
            ("x", "hunter22\n# for the shop\n", "has several lines"),
            ("x", "{ \"type\": \"service_account\", ", "begins as JSON does"),
            ("x", "{ \"installed\": { \"client_secret\": \"hunter22\" } }", "is a file of an OAuth client"),
            ("x", "{ \"a\": 1 }", "is JSON, and no key of a service account"),
            ("blog", ACCOUNT, "is the key of a service account"),
            ("x", "-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n", "is a certificate"),
            ("x", "-----BEGIN PUBLIC KEY-----\nxxxx\n-----END PUBLIC KEY-----\n", "is a public key"),
            ("x", "-----BEGIN PRIVATE KEY-----\nxxxx\n", "begins as a private key does"),
            ("x", "", "is empty"),
            ("x", " \n\n", "is empty"),
            ("x", "hunter\u{0}22", "holds a NUL character"),
        ] {
            let run = put(&[name, "--group", "shop"], value);
            assert!([65, 66].contains(&run.status), "{value:?}\n{}", run.report());
            let line = run.stderr.lines().next().unwrap_or_default();
            assert!(line.starts_with("mailchute: standard input: ") && line.contains(why), "{value:?}: {line}");
        }
        assert!(names().is_empty());
        // A password may look like anything.
        put(&["x", "--group", "shop", "--anyway"], "\"$changeme \"\n").expect_status(0);
        assert_eq!(stored("x").3, "\"$changeme \"\n");
        // What has several lines where it may.
        for (name, value) in
            [("account", ACCOUNT), ("key", "-----BEGIN PRIVATE KEY-----\nxxxx\n-----END PRIVATE KEY-----\n")]
        {
            put(&[name, "--group", "shop"], value).expect_status(0);
            assert_eq!(stored(name).3, value);
        }
    });
}

#[test]
fn what_was_pasted_with_it_is_left_out_and_said() {
    Host::run(&USERS, |_| {
        for (number, (value, said)) in [
            ("s3cret\n", ""),
            ("s3cret", ""),
            ("s3cret\r\n", ""),
            ("s3cret  \n", "white space"),
            ("\t s3cret\n\n", "white space"),
            ("\u{feff}s3cret\n", "byte order mark"),
            ("\u{a0}s3cret\u{a0}\n", "white space"),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("x{number}");
            let run = put(&[&name, "--group", "shop"], value);
            run.expect_status(0);
            assert_eq!(stored(&name).3, "s3cret\n", "{value:?}");
            let line = run.stdout.lines().find(|line| line.starts_with("left out")).unwrap_or_default();
            assert!(line.contains(said) && line.is_empty() == said.is_empty(), "{value:?}: {line}");
        }
        let limit = "x".repeat(65_000) + "yz";
        put(&["long", "--group", "shop"], &limit).expect_status(0);
        put(&["longer", "--group", "shop"], &"xy".repeat(40_000)).expect_status(65);
        assert!(!names().contains(&"longer".to_owned()));
    });
}

/// A terminal: types `typed` once the prompt is there, and prints all that it showed and the status.
const TERMINAL: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
typed = sys.argv[1].encode().decode("unicode_escape").encode()
while True:
    try:
        read = os.read(terminal, 4096)
    except OSError:
        break
    if not read:
        break
    seen += read
    if typed and b"not shown" in seen:
        os.write(terminal, typed)
        typed = b""
print(seen.decode(), "status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn what_is_typed_is_not_shown() {
    if need("python3").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let script = host.scratch().write("terminal.py", TERMINAL, 0o644);
        let typed = |name: &str, typed: &str| {
            let words = [script.to_str().unwrap(), typed];
            let run = mailchute().args(["secret", "put", name, "--group", "shop"]).under("python3", &words).run();
            run.expect_status(0);
            assert!(!run.stdout.contains("s3cret"), "{}", run.report());
            run.stdout
        };
        let seen = typed("line", "s3cret-s3cret\\n");
        assert!(seen.contains("status 0") && seen.contains("line (it is not shown): "), "{seen}");
        assert_eq!(stored("line").3, "s3cret-s3cret\n");
        let key = "-----BEGIN PRIVATE KEY-----\\ns3cret\\n-----END PRIVATE KEY-----\\n";
        typed("key", key);
        assert_eq!(stored("key").3, key.replace("\\n", "\n"));
        // ^C, then ^D with nothing typed.
        let seen = typed("stopped", "s3cret\\x03");
        assert!(seen.contains("SIGINT: stopped before anything was stored") && seen.contains("status 71"), "{seen}");
        assert!(typed("nothing", "\\x04").contains("is empty"));
        assert_eq!(names(), ["key", "line"]);
    });
}

#[test]
fn a_failure_leaves_the_old_one_or_none() {
    if !testkit::need_strace() {
        return;
    }
    Host::run(&USERS, |host| {
        let trace = host.scratch().join("trace");
        put(&["old", "--group", "shop"], "the old value").expect_status(0);
        for name in ["write", "fchown", "fchmod", "fsync", "rename", "openat", "linkat", "renameat2"] {
            for (call, value) in [("old", "the new value"), ("new", "the new value")] {
                for number in 1..40 {
                    let fault = format!("inject={name}:error=ENOSPC:when={number}");
                    let words = ["-f", "-o", trace.to_str().unwrap(), "-e", &format!("trace={name}"), "-e", &fault];
                    let words = words.map(str::to_owned);
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let run =
                        secret(&["put", call, "--group", "shop", "--replace"], value).under("strace", &words).run();
                    let has_met = fs::read_to_string(&trace).unwrap_or_default().contains("INJECTED");
                    if !has_met {
                        break;
                    }
                    assert!(run.signal.is_none(), "{name} {number}\n{}", run.report());
                    let left: Vec<String> = names().into_iter().filter(|name| name != "old" && name != "new").collect();
                    assert!(left.is_empty(), "{name} {number}: {left:?}\n{}", run.report());
                    for name in names() {
                        let (uid, gid, mode, content) = stored(&name);
                        assert_eq!((uid, gid, mode), (0, SHOP, 0o640));
                        assert!(
                            content == "the new value\n" || (content == "the old value\n" && name == "old"),
                            "{content}"
                        );
                    }
                    put(&["old", "--group", "shop", "--replace"], "the old value").expect_status(0);
                    let _ = fs::remove_file(Path::new(SECRETS).join("new"));
                }
            }
        }
    });
}

#[test]
fn who_sends_without_it_is_told_the_command() {
    Host::run(&USERS, |host| {
        host.write(MAIN, SITES, 0o644);
        let send = || mailchute().uid(BLOG).args(["-i", "--", "bob@example.net"]).stdin(crate::setup::MESSAGE).run();
        let run = send();
        run.expect_status(78);
        let words: Vec<&str> = run.hint().unwrap_or_default().split(' ').collect();
        assert_eq!(words, ["sudo", "mailchute", "secret", "put", "blog"], "{}", run.report());
        mailchute().args(words.into_iter().skip(2)).stdin("xkeysib-abc").run().expect_status(0);
        assert!(!send().stderr.contains("secrets/blog"));
    });
}

fn check(words: &[&str]) -> Run {
    mailchute().args(["secret", "check"]).args(words.iter().copied()).run()
}

#[test]
fn a_secret_that_is_called_after_another_user_is_offered_to_nobody() {
    Host::run(&USERS, |host| {
        // A copy of the other's file, with the wrong user left in it.
        let relay =
            format!("host = \"mail.example.net\"\nusername = \"a\"\npassword = {{ file = \"{SECRETS}/shop\" }}\n");
        let text = |user: &str| format!("[relay.main]\n{relay}[site.main]\nuser = [\"{user}\"]\n");
        host.write_as(&format!("{SECRETS}/shop"), VALUE, 0o640, (0, SHOP));
        host.write(MAIN, &text("blog"), 0o644);
        let run = check(&[]);
        run.expect_status(78);
        assert!(run.stdout.contains("blog sends with it and cannot read it"), "{}", run.report());
        assert!(run.stdout.contains("it is called after shop") && !run.stdout.contains("chgrp"), "{}", run.report());
        host.write(MAIN, &text("shop"), 0o644);
        check(&[]).expect_status(0);
    });
}

#[test]
fn each_secret_is_looked_at() {
    Host::run(&USERS, |host| {
        host.write(MAIN, SITES, 0o644);
        let lay = |name: &str, value: &str, mode: u32, group: u32| -> PathBuf {
            host.write_as(&format!("{SECRETS}/{name}"), value, mode, (0, group))
        };
        lay("shop", VALUE, 0o640, SHOP);
        lay("blog", "xkeysib-abc", 0o640, BLOG);
        lay("both", VALUE, 0o640, GROUP);
        for user in ["shop", "blog"] {
            let group = fs::read_to_string("/etc/group").unwrap();
            fs::write("/etc/group", group.replace("mailchute:x:61050:", &format!("mailchute:x:61050:{user},")))
                .unwrap();
        }
        let run = check(&[]);
        run.expect_status(0);
        for line in ["ok      /etc/mailchute/secrets/shop (relay shop, password): read by shop", "read by shop, blog"] {
            assert!(run.stdout.contains(line), "{}", run.report());
        }
        for (name, value, mode, group, grade, why, next) in [
            ("shop", VALUE, 0o640, 0, "broken", "shop sends with it and cannot read it", "chgrp shop "),
            ("shop", VALUE, 0o644, SHOP, "weak", "is world-readable", "chmod 0640 "),
            ("shop", VALUE, 0o662, SHOP, "broken", "is world-writable", "chmod "),
            (
                "shop",
                VALUE,
                0o640,
                GROUP,
                "weak",
                "blog, of site blog, can read it and does not send with it",
                "chgrp ",
            ),
            ("shop", "", 0o640, SHOP, "broken", "is empty", "mailchute secret put shop --replace"),
            ("shop", "changeme", 0o640, SHOP, "broken", "stands for the secret", "mailchute secret put shop --replace"),
            ("blog", "SG.abc", 0o640, BLOG, "broken", "is a key of SendGrid", "mailchute secret put blog --replace"),
        ] {
            lay(name, value, mode, group);
            let run = check(&[name]);
            assert_eq!(run.status, if grade == "broken" { 78 } else { 0 }, "{}", run.report());
            let mut lines = run.stdout.lines();
            let is_told = lines.any(|line| line.starts_with(grade) && line.contains(why));
            assert!(is_told && run.stdout.contains(next), "{grade} {why}\n{}", run.report());
            assert!(!run.stdout.contains(VALUE) && !run.stdout.contains("SG.abc"), "{}", run.report());
            lay("shop", VALUE, 0o640, SHOP);
        }
        fs::remove_file(format!("{SECRETS}/shop")).unwrap();
        lay("old", VALUE, 0o640, SHOP);
        let run = check(&[]);
        run.expect_status(78);
        assert!(run.stdout.contains("-> mailchute secret put shop"), "{}", run.report());
        assert!(run.stdout.contains("old: nothing in the configuration names it"), "{}", run.report());
        check(&["nothing"]).expect_status(78);
        // A directory on the way is closed.
        fs::set_permissions(SECRETS, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check(&["both"]).stdout.contains("-> chmod a+x /etc/mailchute/secrets"));
    });
}

#[test]
fn those_of_alerts_are_looked_at_like_others() {
    Host::run(&USERS, |host| {
        let alerts = "[alert.ops]\nurl = { file = \"secrets/hook\" }\nkind = \"ntfy\"\ntoken = \"tk_1\"\n";
        let ping = "ping = { file = \"secrets/hc\" }\n";
        host.write("/etc/mailchute/config.toml", &format!("{ping}{SITES}{alerts}"), 0o640);
        host.write("/etc/mailchute/secrets/hook", "https://ntfy.example/t0p1c\n", 0o600);
        host.write("/etc/mailchute/secrets/hc", "https://hc.example/1\n", 0o600);
        let run = check(&[]);
        for part in [
            "hook (alert ops, url): ",
            "alert ops, token: stands in /etc/mailchute/config.toml itself",
            "hc (ping, URL): ",
        ] {
            assert!(run.stdout.contains(part), "{part}: {}", run.report());
        }
        // Who sends cannot read it, which is told before an alert is missing.
        assert!(run.stdout.contains("shop sends with it and cannot read it"), "{}", run.report());
        assert!(!run.report().contains("names it") && !run.report().contains("t0p1c"), "{}", run.report());
    });
}

#[test]
fn no_command_is_offered_where_a_user_decides_what_it_does() {
    Host::run(&USERS, |host| {
        let places = [
            "/home/shop/link",
            "/home/shop/missing",
            "/home/shop/own",
            "secrets/x;reboot",
            "secrets/\\u001b[2J",
            "x y",
        ];
        let relay = |(at, path): (usize, &&str)| {
            format!("[relay.e{at}]\nhost = \"m.example\"\nusername = \"a\"\npassword = {{ file = \"{path}\" }}\n")
        };
        let relays: String = places.iter().enumerate().map(relay).collect();
        host.write(MAIN, &(relays + "[site.shop]\nuser = \"shop\"\n"), 0o644);
        // A user's own file speaks for that user, and is not read for root: it chooses no group.
        let own = relay((0, &"/etc/mailchute/secrets/postmark"));
        host.write_as("/etc/mailchute/sites.d/shop.toml", &own, 0o644, (SHOP, SHOP));
        host.write("/etc/shadow", "root:hash", 0o600);
        symlink("/etc/shadow", "/home/shop/link").unwrap();
        host.write_as("/home/shop/own", VALUE, 0o644, (SHOP, SHOP));
        put(&["postmark"], VALUE).expect_status(64);
        let run = check(&[]);
        run.expect_status(78);
        assert!(run.stdout.contains("broken  /home/shop/link (relay e0, password)"), "{}", run.report());
        assert!(run.stdout.contains("/etc/mailchute/sites.d/shop.toml: is not looked at: "), "{}", run.report());
        assert!(!run.stdout.contains('\u{1b}') && !run.stdout.contains("root:hash"), "{}", run.report());
        assert!(!run.stdout.contains("-> "), "{}", run.report());
    });
}

#[test]
fn what_is_no_file_is_told_as_what_it_is() {
    Host::run(&USERS, |host| {
        let relay = |name: &str, password: &str| {
            format!("[relay.{name}]\nhost = \"mail.example.net\"\nusername = \"a\"\npassword = {password}\n")
        };
        let config = [
            relay("inline", &format!("'{VALUE}'")),
            relay("env", "{ env = \"PASSWORD\" }"),
            relay("credential", "{ credential = \"smtp\" }"),
            relay("command", "{ command = [\"touch\", \"/etc/touched\"] }"),
        ];
        host.write(MAIN, &config.concat(), 0o600);
        let run = check(&[]);
        run.expect_status(0);
        for told in [
            "relay inline, password: stands in /etc/mailchute/config.toml itself",
            "relay env, password: environment variable PASSWORD",
            "relay credential, password: systemd credential smtp",
            "relay command, password: command touch",
        ] {
            assert!(run.stdout.contains(told), "{told}\n{}", run.report());
        }
        assert!(!Path::new("/etc/touched").exists() && !run.stdout.contains(VALUE), "{}", run.report());
    });
}
