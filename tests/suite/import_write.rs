//! `mailchute import --write`, `--output`, `--replace`, `--site` and `--secrets`: which files there are in the end, whose,
//! with which modes, and that a refusal leaves all as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use testkit::{Host, Mailchute, Run, Server, words};

use crate::init::laid;
use crate::setup::mailchute;

const WEB: u32 = 61042;
const SHOP: u32 = 61043;
const USERS: [(&str, u32); 2] = [("www-data", WEB), ("shop", SHOP)];
const MAIN: &str = "/etc/mailchute/config.toml";
const VALUE: &str = "correct-horse-battery";
const OTHER: &str = "staple-and-another";
const ALL: &str = "--alias *=ops@shop.example";

fn import(line: &str) -> Mailchute {
    mailchute().arg("import").args(words(line))
}

/// Runs it, and sees that no secret is said.
fn run(line: &str) -> Run {
    let run = import(line).run();
    for value in [VALUE, OTHER] {
        assert!(!run.stdout.contains(value) && !run.stderr.contains(value), "{}", run.report());
    }
    run
}

/// msmtp's file, with a login at this host.
fn msmtprc(host: &Host<'_>, port: u16, password: &str) {
    let text = format!(
        "account default\nhost 127.0.0.1\nport {port}\nauth plain\nuser orders@shop.example\npassword {password}\n\
         from orders@shop.example\n"
    );
    host.write("/etc/msmtprc", &text, 0o600);
}

/// nullmailer's, with two servers.
fn remotes(host: &Host<'_>) {
    let text = format!(
        "one.example.net smtp --port=587 --starttls --user=a --pass={VALUE}\n\
         two.example.net smtp --port=587 --starttls --user=b --pass={OTHER}\n"
    );
    host.write("/etc/nullmailer/remotes", &text, 0o600);
}

/// What is below /etc/mailchute: path, owner, group and mode.
fn modes() -> Vec<(String, u32, u32, u32)> {
    laid().into_iter().map(|(path, uid, gid, mode, _)| (path, uid, gid, mode)).collect()
}

fn entry(path: &str, gid: u32, mode: u32) -> (String, u32, u32, u32) {
    (format!("/etc/mailchute/{path}"), 0, gid, mode)
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn clear() {
    let _ = fs::remove_dir_all("/etc/mailchute");
}

/// Sees that `line` ends with `status` and `why`, and that nothing below /etc/mailchute is another than before.
#[track_caller]
fn refused(line: &str, status: i32, why: &str) {
    let before = (Path::new("/etc/mailchute").exists(), laid());
    let run = run(line);
    run.expect_status(status);
    assert!(run.stderr.contains(why), "{why}\n{}", run.report());
    assert_eq!((Path::new("/etc/mailchute").exists(), laid()), before, "{line}");
}

#[test]
fn what_is_written_sends() {
    Host::run(&USERS, |host| {
        let server = Server::new().login("orders@shop.example", VALUE, &["PLAIN"]).start();
        msmtprc(host, server.port(), VALUE);
        // Shown, nothing is written.
        refused(&format!("msmtp --as www-data {ALL}"), 0, "--write");
        for umask in ["000", "077", "777"] {
            clear();
            let shell = format!("umask {umask}; exec \"$@\"");
            let run =
                import(&format!("msmtp --as www-data {ALL} --write")).under("/bin/sh", &["-c", &shell, "sh"]).run();
            run.expect_status(0);
            assert!(
                run.stdout.contains("stored    /etc/mailchute/secrets/default (root:www-data 0640)"),
                "{}",
                run.report()
            );
            assert!(run.stdout.contains(&format!("written   {MAIN}\n")), "{}", run.report());
            let made =
                [entry("config.toml", 0, 0o644), entry("secrets", 0, 0o711), entry("secrets/default", WEB, 0o640)];
            assert_eq!(modes(), made, "umask {umask}");
            assert_eq!(Path::new("/etc/mailchute").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
            assert_eq!(text("/etc/mailchute/secrets/default"), format!("{VALUE}\n"));
            assert!(text(MAIN).contains("password = { file = \"secrets/default\" }"), "{}", text(MAIN));
        }
        let sent = mailchute().uid(WEB).args(["-i", "bob@example.net"]).stdin("Subject: x\n\nx\n").run();
        sent.expect_status(0);
        let sessions = server.finish();
        let deliveries: Vec<_> = sessions.iter().flat_map(|session| &session.deliveries).collect();
        assert_eq!(deliveries.len(), 1);
    });
}

#[test]
fn what_is_there_stays_or_is_kept() {
    Host::run(&USERS, |host| {
        let line = format!("msmtp --as www-data {ALL} --write");
        msmtprc(host, 2525, VALUE);
        run(&line).expect_status(0);
        let first = text(MAIN);
        msmtprc(host, 2526, OTHER);
        refused(&line, 73, "config.toml: is there already");
        for copy in ["config.toml.before-import-1", "config.toml.before-import-2"] {
            let before = text(MAIN);
            let run = run(&format!("{line} --replace"));
            run.expect_status(0);
            assert!(run.stdout.contains(&format!("kept      /etc/mailchute/{copy}\n")), "{}", run.report());
            assert_eq!(text(&format!("/etc/mailchute/{copy}")), before);
        }
        assert!(first.contains("port = 2525") && text(MAIN).contains("port = 2526"), "{}", text(MAIN));
        assert_eq!(text("/etc/mailchute/secrets/default"), format!("{OTHER}\n"));
        let all = [
            entry("config.toml", 0, 0o644),
            entry("config.toml.before-import-1", 0, 0o644),
            entry("config.toml.before-import-2", 0, 0o644),
            entry("secrets", 0, 0o711),
            entry("secrets/default", WEB, 0o640),
        ];
        assert_eq!(modes(), all);
        // The copy of one that holds a secret is for no more than the one.
        clear();
        let inline = format!("{line} --secrets inline");
        run(&inline).expect_status(0);
        run(&format!("{inline} --replace")).expect_status(0);
        let both = [entry("config.toml", WEB, 0o640), entry("config.toml.before-import-1", WEB, 0o640)];
        assert_eq!(modes(), both);
        assert!(text(MAIN).contains(&format!("password = \"{OTHER}\"")));
    });
}

#[test]
fn each_site_has_its_own_file_and_its_own_secret() {
    Host::run(&USERS, |host| {
        for (site, value) in [("www-data", VALUE), ("shop", OTHER)] {
            msmtprc(host, 2525, value);
            run(&format!("msmtp --as {site} --site {site} {ALL} --write")).expect_status(0);
        }
        let all = |more: &str| {
            let mut all = vec![
                entry("secrets", 0, 0o711),
                entry("secrets/shop.default", SHOP, 0o640),
                entry("secrets/www-data.default", WEB, 0o640),
                entry("sites.d", 0, 0o755),
                entry("sites.d/shop.toml", 0, 0o644),
                entry("sites.d/www-data.toml", 0, 0o644),
            ];
            if !more.is_empty() {
                all.insert(5, entry(more, 0, 0o644));
            }
            all
        };
        assert_eq!(modes(), all(""));
        assert_eq!(text("/etc/mailchute/secrets/www-data.default"), format!("{VALUE}\n"));
        assert_eq!(text("/etc/mailchute/secrets/shop.default"), format!("{OTHER}\n"));
        let config = text("/etc/mailchute/sites.d/shop.toml");
        assert!(config.contains("{ file = \"/etc/mailchute/secrets/shop.default\" }"), "{config}");
        for uid in [WEB, SHOP] {
            mailchute().uid(uid).args(["explain", "-i", "bob@example.net"]).run().expect_status(0);
        }
        // One is put in the place of itself, and of nothing else.
        msmtprc(host, 2525, "a-third-one");
        let run = import(&format!("msmtp --as shop --site shop {ALL} --write --replace")).run();
        run.expect_status(0);
        assert_eq!(modes(), all("sites.d/shop.toml.before-import-1"));
        assert_eq!(text("/etc/mailchute/secrets/www-data.default"), format!("{VALUE}\n"));
        assert_eq!(text("/etc/mailchute/secrets/shop.default"), "a-third-one\n");
        // What is still to be stored is asked for under the name that the file has.
        let run = import(&format!("msmtp --as shop --site other {ALL} --write --secrets keep")).run();
        run.expect_status(0);
        assert!(run.stderr.contains("secret put other.default"), "{}", run.report());
        let config = text("/etc/mailchute/sites.d/other.toml");
        assert!(config.contains("{ file = \"/etc/mailchute/secrets/other.default\" }"), "{config}");
        for name in ["../shop", "a/b", "''", ".shop", "'a b'", &"a".repeat(60)] {
            refused(&format!("msmtp --as shop --site {name} {ALL} --write"), 64, "--site");
        }
    });
}

#[test]
fn another_file_is_for_whoever_names_it() {
    Host::run(&USERS, |host| {
        msmtprc(host, 2525, VALUE);
        let open = host.scratch().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let path = open.join("own.toml");
        let about = || {
            let found = path.metadata().unwrap();
            use std::os::unix::fs::MetadataExt;
            (found.uid(), found.gid(), found.permissions().mode() & 0o7777)
        };
        let line = format!("msmtp --as www-data {ALL} --output {}", path.display());
        // Root's, with the secret where every secret of root's is.
        run(&line).expect_status(0);
        assert_eq!(about(), (0, 0, 0o644));
        assert_eq!(modes(), [entry("secrets", 0, 0o711), entry("secrets/default", WEB, 0o640)]);
        assert!(text(path.to_str().unwrap()).contains("{ file = \"/etc/mailchute/secrets/default\" }"));
        clear();
        fs::remove_file(&path).unwrap();
        // A user's own, which nobody else reads.
        let own = host.write_as("/home/shop/msmtprc", &text("/etc/msmtprc"), 0o600, (SHOP, SHOP));
        let line = format!("msmtp {} {ALL} --output {}", own.display(), path.display());
        for (more, status) in [("", 77), ("--secrets keep", 0), ("--secrets inline --replace", 0)] {
            let run = import(&format!("{line} {more}")).uid(SHOP).run();
            run.expect_status(status);
            assert_eq!(run.stdout.contains("written"), status == 0, "{}", run.report());
            assert_eq!(path.exists(), status == 0, "{more}");
        }
        assert_eq!(about(), (SHOP, SHOP, 0o600));
        assert!(text(path.to_str().unwrap()).contains(&format!("password = \"{VALUE}\"")));
        assert_eq!(modes(), []);
        let run = import(&format!("msmtp {} {ALL} --write", own.display())).uid(SHOP).run();
        run.expect_status(77);
        assert_eq!(modes(), []);
    });
}

#[test]
fn a_refusal_leaves_nothing_half() {
    Host::run(&USERS, |host| {
        msmtprc(host, 2525, VALUE);
        remotes(host);
        let common = format!("--as www-data {ALL}");
        refused(&format!("msmtp {common} --secrets inline"), 64, "no secret is printed");
        refused(&format!("msmtp {ALL} --write"), 64, "no group is named");
        refused(&format!("msmtp {common} --write --group nobody-there"), 64, "no such group");
        refused("msmtp --as www-data --write", 78, "nothing was written");
        // The secrets could be stored, and the configuration cannot.
        for more in ["", "--replace"] {
            refused(
                &format!("nullmailer {common} --output /nowhere/x.toml {more}"),
                73,
                "/nowhere/x.toml: cannot be written",
            );
        }
        // The first secret could be stored, and the second cannot.
        let second = host.write("/etc/mailchute/secrets/remote2", "before\n", 0o640);
        let first = Path::new("/etc/mailchute/secrets/remote1");
        refused(&format!("nullmailer {common} --write"), 73, "is there already");
        // What has been replaced is what it was before.
        host.write("/etc/mailchute/secrets/remote1", "before, too\n", 0o600);
        refused(&format!("nullmailer {common} --output /nowhere/x.toml --replace"), 73, "cannot be written");
        fs::remove_file(&second).unwrap();
        fs::create_dir(&second).unwrap();
        refused(&format!("nullmailer {common} --write --replace"), 73, "no regular file");
        assert_eq!(text(first.to_str().unwrap()), "before, too\n");
        clear();
        host.write("/etc/mailchute/config.toml/x", "", 0o644);
        refused(&format!("nullmailer {common} --write --replace"), 73, "config.toml: is there, and is no regular file");
        clear();
        // Where others could exchange what is written, nothing is.
        fs::create_dir("/etc/mailchute").unwrap();
        fs::set_permissions("/etc/mailchute", Permissions::from_mode(0o777)).unwrap();
        refused(&format!("msmtp {common} --write"), 77, "others than root can change what is in it");
    });
}

#[test]
fn no_link_of_a_users_brings_it_what_only_root_reads() {
    Host::run(&USERS, |host| {
        msmtprc(host, 2525, VALUE);
        fs::rename("/etc/msmtprc", "/etc/theirs").unwrap();
        let link = |target: &str| {
            let _ = fs::remove_file("/home/shop/.msmtprc");
            symlink(target, "/home/shop/.msmtprc").unwrap();
            lchown("/home/shop/.msmtprc", Some(SHOP), Some(SHOP)).unwrap();
        };
        fs::create_dir_all("/home/shop").unwrap();
        for (uid, status) in [(0, 74), (WEB, 74), (SHOP, 0)] {
            chown("/etc/theirs", Some(uid), None).unwrap();
            link("/etc/theirs");
            let line = format!("msmtp --as shop {ALL} --write");
            match status {
                0 => drop(run(&line).expect_status(0)),
                _ => refused(&line, status, "a link of uid 61043's leads there"),
            }
        }
        assert!(modes().contains(&entry("secrets/default", SHOP, 0o640)), "{:?}", modes());
    });
}

#[test]
fn the_group_is_that_of_this_hosts_user() {
    Host::run(&USERS, |host| {
        // There it has another number.
        let copy = host.scratch().join("copy");
        for (path, text) in [
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\nwww-data:x:48:48::/var/www:/bin/sh\n"),
            ("etc/msmtprc", &format!("host mail.example.net\nport 587\ntls on\nauth on\nuser a\npassword {VALUE}\n")),
        ] {
            host.write(copy.join(path).to_str().unwrap(), text, 0o600);
        }
        run(&format!("msmtp --root {} --as www-data {ALL} --write", copy.display())).expect_status(0);
        assert!(modes().contains(&entry("secrets/default", WEB, 0o640)), "{:?}", modes());
    });
}
