//! `mailchute check` on a host of its own: as every user that sends, and with relays that answer.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use mailchute::machine::Machine;
use mailchute::machine::php::Kind;
use mailchute::root::Root;
use testkit::{Host, Moment, Port, Run, Server, TlsStart, need};

use crate::check::{findings, with_code};
use crate::setup::mailchute;

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("blog", BLOG)];
const MAIN: &str = "/etc/mailchute/config.toml";
const VALUE: &str = "Kx7-quite-2026";
const SECRET: &str = "/etc/mailchute/secrets/main";

fn server() -> Server {
    Server::new().tls(TlsStart::Implicit).login("shop", VALUE, &["PLAIN"])
}

/// A site of the user shop with a relay, its secret in a file, and sendmail's name.
fn lay(host: &Host<'_>, relay: &str) {
    let relay = relay.replace(&format!("'{VALUE}'"), &format!("{{ file = \"{SECRET}\" }}"));
    let text =
        format!("[log]\nto = []\n[relay.main]\n{relay}[site.shop]\nuser = \"shop\"\nfrom = \"orders@shop.example\"\n");
    host.write(MAIN, &text, 0o644);
    host.write_as(SECRET, &format!("{VALUE}\n"), 0o640, (0, SHOP));
}

fn check(words: &[&str]) -> Run {
    mailchute().arg("check").args(words.iter().copied()).run()
}

/// Whether a finding with this code is there, and the status is that of the worst.
fn expect(name: &str, code: &str, status: i32, words: &[&str]) {
    let run = check(&[&["--json", "--ignore", "sendmail.missing", "--ignore", "sendmail.other"], words].concat());
    let all = findings(&run);
    assert!(!with_code(&all, code).is_empty(), "{name}: no {code}\n{}", run.report());
    run.expect_status(status);
    assert!(!run.stdout.contains(VALUE) && !run.stderr.contains("internal"), "{}", run.report());
}

#[test]
fn a_set_up_that_works_is_said_to_work_and_nothing_is_sent() {
    Host::run(&USERS, |host| {
        let server = server().start();
        lay(host, &server.relay_lines(host.scratch()));
        let run = check(&["--ignore", "sendmail.missing", "--ignore", "sendmail.other"]);
        run.expect_status(0);
        for told in [
            "site shop",
            "(user shop, From orders@shop.example, relay main)",
            "as shop",
            "TLSv1.3",
            "certificate until",
            "login accepted",
            "0 broken",
        ] {
            assert!(run.stdout.contains(told), "{told}\n{}", run.report());
        }
        let offline = check(&["--offline", "--ignore", "sendmail.missing", "--ignore", "sendmail.other"]);
        offline.expect_status(0);
        // A user sees it for itself.
        let own =
            mailchute().args(["check", "--ignore", "sendmail.missing", "--ignore", "sendmail.other"]).uid(SHOP).run();
        assert!(own.stdout.contains("login accepted"), "{}", own.report());
        let sessions = server.finish();
        assert_eq!(sessions.len(), 2, "once for root, once for shop, never offline");
        assert!(sessions.iter().all(|session| session.deliveries.is_empty()), "{sessions:?}");
    });
}

#[test]
fn faults_of_relays_are_named() {
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        let cases: Vec<(&str, Server, &str, i32)> = vec![
            (
                "wrong password",
                Server::new().tls(TlsStart::Implicit).login("shop", "other", &["PLAIN"]),
                "login.refused",
                135,
            ),
            ("turned away", server().reply(Moment::Greeting, "554 5.3.2 go away"), "relay.refused", 69),
            ("no AUTH", Server::new().tls(TlsStart::Implicit), "relay.protocol", 69),
            ("AUTH later", server().reply(Moment::Auth, "454 4.7.0 later"), "login.refused", 135),
        ];
        for (name, server, code, status) in cases {
            let server = server.start();
            lay(host, &server.relay_lines_with(host.scratch(), VALUE).replace("username = ''", "username = 'shop'"));
            let text = fs::read_to_string(MAIN).unwrap();
            if !text.contains("username") {
                let with_login = format!("[relay.main]\nusername = \"shop\"\npassword = {{ file = \"{SECRET}\" }}\n");
                host.write(MAIN, &text.replace("[relay.main]\n", &with_login), 0o644);
            }
            expect(name, code, status, &[]);
            server.finish();
        }
        let server = server().start();
        let lines = server.relay_lines(host.scratch());
        for (name, from, to, code, status) in [
            (
                "nobody there",
                format!("port = {}", server.port()),
                format!("port = {}", nobody.number()),
                "relay.unreachable",
                69,
            ),
            ("unknown authority", "ca_file".to_owned(), "#ca_file".to_owned(), "relay.tls", 69),
            (
                "not that certificate",
                "ca_file".to_owned(),
                format!("fingerprint = \"{}\"\n#", "00".repeat(32)),
                "relay.tls",
                69,
            ),
        ] {
            assert!(lines.contains(&from), "{from}: {lines}");
            lay(host, &lines.replace(&from, &to));
            expect(name, code, status, &[]);
        }
    });
}

#[test]
fn faults_of_files_are_named() {
    Host::run(&USERS, |host| {
        let relay = "host = \"mail.example.net\"\nusername = \"shop\"\npassword = 'Kx7-quite-2026'\n";
        let main = |add: &str, to: &str| {
            lay(host, relay);
            let text = fs::read_to_string(MAIN).unwrap();
            host.write(MAIN, &text.replace(add, to), 0o644);
        };
        let offline = |name: &str, code: &str, status: i32| expect(name, code, status, &["--offline"]);
        main("[site.shop]", "[site.shop]\nnonsense = 1");
        offline("unknown key", "config.invalid", 78);
        main("user = \"shop\"", "user = [\"shop\", \"gone\"]");
        offline("unknown user", "config.warning", 0);
        lay(host, relay);
        host.write(MAIN, &fs::read_to_string(MAIN).unwrap(), 0o600);
        offline("configuration unreadable", "config.unreadable", 77);
        host.write(MAIN, &fs::read_to_string(MAIN).unwrap(), 0o646);
        offline("configuration for all to write", "config.unreadable", 77);
        lay(host, relay);
        for directory in ["/etc/mailchute", "/etc/mailchute/secrets"] {
            let before = fs::metadata(directory).unwrap().permissions();
            fs::set_permissions(directory, Permissions::from_mode(0o777)).unwrap();
            offline(directory, "config.directory", 77);
            fs::set_permissions(directory, before).unwrap();
        }
        fs::remove_file(MAIN).unwrap();
        offline("no configuration", "config.invalid", 78);

        lay(host, relay);
        fs::remove_file(SECRET).unwrap();
        offline("no secret", "secret.missing", 78);
        host.write_as(SECRET, "", 0o640, (0, SHOP));
        offline("empty secret", "secret.wrong", 78);
        host.write_as(SECRET, &format!("{VALUE}\n"), 0o600, (0, 0));
        offline("secret unreadable", "secret.unreadable", 77);
        host.write_as(SECRET, &format!("{VALUE}\n"), 0o644, (0, SHOP));
        offline("secret for all", "secret.modes", 0);
        host.write_as(SECRET, &format!("{VALUE}\n"), 0o646, (0, SHOP));
        offline("secret for all to write", "secret.modes", 77);
        host.write_as(SECRET, &format!("{VALUE}\n"), 0o640, (BLOG, SHOP));
        offline("another's secret", "secret.modes", 0);
        lay(host, relay);
        host.write_as("/etc/mailchute/secrets/old", "x\n", 0o640, (0, SHOP));
        offline("unused", "secret.unused", 0);
        fs::remove_file("/etc/mailchute/secrets/old").unwrap();
        main(&format!("{{ file = \"{SECRET}\" }}"), &format!("\"{VALUE}\""));
        offline("inline", "secret.inline", 0);
        main(&format!("{{ file = \"{SECRET}\" }}"), "{ command = [\"echo\", \"Kx7-quite-2026\"] }");
        offline("a command", "secret.unseen", 0);
        main("[relay.main]", "[relay.main]\nsecret_expires = 2020-01-01");
        offline("expired", "secret.expires", 0);

        main("[site.shop]", "[site.shop]\ndisabled = \"spam\"");
        offline("disabled", "site.disabled", 0);
        main("[site.shop]", "[site.shop]\non_relay_failure = \"spool\"");
        offline("no flusher", "spool.no-flusher", 0);
        lay(host, relay);
        mailchute().args(["ban", "shop", "--because", "spam"]).run().expect_status(0);
        offline("banned", "site.banned", 78);
        mailchute().args(["unban", "shop"]).run().expect_status(0);
        expect("no such site", "site.none", 78, &["--offline", "--site", "shopp"]);
        host.write("/etc/mailchute/sites.d/blog.toml", "nonsense = [", 0o644);
        offline("a broken file of sites.d", "config.skipped", 78);
        fs::remove_file("/etc/mailchute/sites.d/blog.toml").unwrap();
        // A pool whose user no site lists.
        host.write("/etc/php/8.2/fpm/php-fpm.conf", "include=/etc/php/8.2/fpm/pool.d/*.conf\n", 0o644);
        host.write("/etc/php/8.2/fpm/pool.d/blog.conf", "[blog]\nuser = blog\n", 0o644);
        offline("a pool without a site", "site.none", 78);
    });
}

#[test]
fn a_site_of_which_no_domain_is_known_is_told() {
    Host::run(&USERS, |host| {
        lay(host, "host = \"localhost\"\n");
        let whole = fs::read_to_string(MAIN).unwrap();
        for (keys, is_told) in [
            ("from = \"orders@shop.example\"\n", false),
            ("sender = \"*@shop.example\"\n", false),
            ("", true),
            // What lies below a domain has names that only its messages tell.
            ("sender = \"*@*.shop.example\"\n", true),
        ] {
            host.write(MAIN, &whole.replace("from = \"orders@shop.example\"\n", keys), 0o644);
            let silent = ["--json", "--dns", "127.0.0.1:9"];
            let found = |words: &[&str]| with_code(&findings(&check(words)), "site.no-sender").len();
            assert_eq!(found(&silent), usize::from(is_told), "{keys:?}");
            // Then nothing would be looked up anyway.
            assert_eq!(found(&["--json", "--offline"]), 0, "{keys:?}");
        }
    });
}

/// What is known without asking anybody, in the words of `check`.
#[test]
fn explain_says_what_check_finds() {
    Host::run(&USERS, |host| {
        let relay = format!("host = \"mail.example.net\"\nusername = \"shop\"\npassword = '{VALUE}'\n");
        let explained = || {
            let run = mailchute().uid(SHOP).args(["explain", "-i", "b@example.net"]).run();
            assert!(!run.report().contains(VALUE), "{}", run.report());
            run.stdout
        };
        lay(host, &relay);
        assert!(!explained().contains("check"), "{}", explained());
        for (code, change) in [
            ("secret.missing", None),
            ("site.disabled", Some(("[site.shop]", "[site.shop]\ndisabled = \"spam\""))),
            ("site.no-sender", Some(("from = \"orders@shop.example\"", "domain = \"host.example\""))),
            ("secret.expires", Some(("[relay.main]", "[relay.main]\nsecret_expires = 2020-01-01"))),
        ] {
            lay(host, &relay);
            match change {
                Some((from, to)) => {
                    let text = fs::read_to_string(MAIN).unwrap();
                    host.write(MAIN, &text.replace(from, to), 0o644);
                }
                None => fs::remove_file(SECRET).unwrap(),
            }
            let all = findings(&check(&["--json", "--as", "shop", "--dns", "127.0.0.1:9"]));
            let found = with_code(&all, code);
            assert!(!found.is_empty(), "{code}: {all:?}");
            let line = |one: &serde_json::Value| {
                let text = |key: &str| one[key].as_str().unwrap().to_owned();
                format!("{} {code}: {}: {}", text("grade"), text("subject"), text("sentence"))
            };
            // Root's process tells of secrets more than a user's.
            let lines: Vec<String> = found.into_iter().map(line).collect();
            let page = explained();
            assert!(lines.iter().any(|line| page.contains(line)), "{lines:#?}\n{page}");
        }
    });
}

/// What a site's file says is read and followed with that site's rights: root's process learns nothing for it.
#[test]
fn a_sites_file_gets_nothing_from_roots_check() {
    Host::run(&USERS, |host| {
        let server = server().start();
        let lines = server.relay_lines(host.scratch());
        lay(host, "host = \"mail.example.net\"\n");
        let roots = host.write("/etc/mailchute/roots", &format!("{VALUE}\n"), 0o600);
        let marker = host.scratch().join("marker");
        let mut told = String::new();
        for secret in [
            format!("{{ file = \"{}\" }}", roots.display()),
            format!("{{ command = [\"/bin/sh\", \"-c\", \"id -u > {}; echo {VALUE}\"] }}", marker.display()),
        ] {
            let text = format!("[relay.own]\n{}[site.blog]\n", lines.replace(&format!("'{VALUE}'"), &secret));
            fs::set_permissions(host.scratch().path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
            host.write_as("/etc/mailchute/sites.d/blog.toml", &text, 0o644, (BLOG, BLOG));
            let run = check(&["--json", "--site", "blog"]);
            findings(&run);
            told += &run.report();
        }
        let said = server.finish().iter().flat_map(|session| session.commands.clone()).collect::<Vec<_>>().join("\n");
        let logins = said.matches("AUTH").count();
        assert_eq!(logins, 1, "the file of root's was not said: {said}\n{told}");
        assert_eq!(fs::read_to_string(&marker).unwrap().trim(), BLOG.to_string(), "the command ran as the site's user");
    });
}

/// What our reader makes of PHP-FPM's files is what PHP-FPM makes of them (`php-fpm -tt`).
#[test]
fn pools_are_read_as_php_fpm_reads_them() {
    let of_name = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"));
    let installed = fs::read_dir("/usr/sbin").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let Some(program) = installed.into_iter().find(of_name).or_else(|| need("php-fpm")) else { return };
    Host::run(&USERS, |host| {
        let version = program.file_name().unwrap().to_string_lossy().trim_start_matches("php-fpm").to_owned();
        let base = format!("/etc/php/{}/fpm", if version.is_empty() { "8.2" } else { &version });
        host.write(
            &format!("{base}/php-fpm.conf"),
            &format!("; comment\n[global]\nerror_log = /dev/null\ninclude={base}/pool.d/*.conf\n"),
            0o644,
        );
        let pools = [
            (
                "a",
                "[shop]\nuser = shop\ngroup = $pool\nlisten = /run/a.sock ; here\npm=static\npm.max_children = 1\nphp_admin_value[sendmail_path] = \"/usr/sbin/sendmail -t -i\" ; ours\n",
            ),
            (
                "b",
                "[blog]\nuser = \"blog\"\nlisten = '/run/b.sock'\npm = static\npm.max_children = 2\nphp_admin_value[disable_functions] = exec,mail\nphp_value[sendmail_path] = '/opt/x -t'\nchroot = \nclear_env = no\n",
            ),
            ("c", "[shop]\nclear_env = yes\nphp_admin_value[sendmail_path] = /usr/local/bin/mailchute -t\n"),
            (".hidden", "[hidden]\nuser = shop\n"),
        ];
        for (name, text) in pools {
            host.write(&format!("{base}/pool.d/{name}.conf"), text, 0o644);
        }
        let output = Command::new(&program).args(["-tt", "-y", &format!("{base}/php-fpm.conf")]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let root = Root::host();
        let machine = Machine::look(&root);
        let php = machine.php.iter().find(|php| php.kind == Kind::Fpm).expect("an FPM");
        let mut section = String::new();
        let mut theirs = BTreeMap::new();
        for line in told.lines().filter_map(|line| line.split_once("NOTICE: ").map(|(_, line)| line.trim())) {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once(" = ") else { continue };
            // What is applied last stands last.
            theirs.insert((section.clone(), key.to_owned()), value.trim_matches('"').to_owned());
        }
        let mut compared = 0;
        for ((section, key), value) in theirs.into_iter().filter(|(_, value)| value != "undefined") {
            let Some(pool) = php.pools.iter().find(|pool| pool.name == section) else {
                assert!(["", "global", "General"].contains(&section.as_str()), "no pool {section}: {told}");
                continue;
            };
            let inner = |array: &str| key.strip_prefix(array)?.strip_suffix(']').map(str::to_owned);
            let ours = match (key.as_str(), inner("php_admin_value["), inner("php_value[")) {
                ("user", ..) => pool.user().map(str::to_owned),
                ("group" | "listen", ..) => pool.value(&key),
                (_, Some(key), _) => pool.php(&key).map(|setting| setting.value.clone()),
                (_, _, Some(key)) => pool.php_of_user(&key).map(|setting| setting.value.clone()),
                _ => continue,
            };
            assert_eq!(ours.unwrap_or_default(), value, "{section}: {key}\n{told}");
            compared += 1;
        }
        assert!(compared >= 7, "{compared} compared:\n{told}");
        assert_eq!(php.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["shop", "blog"], "{told}");
    });
}
