//! The binary with a group of its own: it reads what its caller cannot, so its caller decides nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use testkit::{Answer, Certs, Host, Mailchute, Run, Server, TlsStart, Web, need};

use crate::setup::MESSAGE;

const SHOP: u32 = 61042;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("mailchute", GROUP)];
const MAIN: &str = "/etc/mailchute/config.toml";
const SECRET: &str = "correct horse battery staple";

/// The binary, `root:mailchute` 2755.
fn binary(host: &Host<'_>) -> PathBuf {
    host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP)
}

fn call(binary: &PathBuf) -> Mailchute {
    Mailchute::new(binary).uid(SHOP).stdin(MESSAGE)
}

fn send(binary: &PathBuf) -> Run {
    call(binary).args(["-i", "bob@example.net"]).run()
}

fn server() -> Server {
    Server::new().login("alice@example.org", SECRET, &["PLAIN"]).start()
}

fn relay(server: &Server, password: &str) -> String {
    format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"alice@example.org\"\npassword = {password}\n",
        server.port()
    )
}

fn inline() -> String {
    format!("'{SECRET}'")
}

#[test]
fn it_reads_what_its_caller_cannot() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        host.write_as(MAIN, &relay(&server, &inline()), 0o640, (0, GROUP));
        send(&PathBuf::from(env!("CARGO_BIN_EXE_mailchute"))).expect_status(77);
        let run = send(&binary);
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "{}", run.report());
        // A file of its own for the secret works the same.
        host.write_as("/etc/mailchute/secrets/main", SECRET, 0o640, (0, GROUP));
        host.write_as(MAIN, &relay(&server, "{ file = \"secrets/main\" }"), 0o640, (0, GROUP));
        send(&binary).expect_status(0);
        assert_eq!(server.finish().iter().filter(|session| session.login.is_some()).count(), 2);
    });
}

#[test]
fn it_reads_that_for_root_too_where_no_rights_can_be_gained() {
    if need("setpriv").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        host.write_as(MAIN, &relay(&server, &inline()), 0o640, (0, GROUP));
        let test = |binary: &PathBuf| {
            let unit = Mailchute::new(binary).under("setpriv", &["--no-new-privs"]);
            unit.args(["test", "--as", "shop", "--to", "bob@example.net"]).run()
        };
        test(&binary).expect_status(0);
        test(&PathBuf::from(env!("CARGO_BIN_EXE_mailchute"))).expect_status(77);
        assert_eq!(server.finish().iter().filter(|session| session.login.is_some()).count(), 1);
    });
}

/// A relay for which an application gets access tokens, and the server of both.
fn application() -> (Web, String) {
    let web = Web::start(None, |asked| match asked.target.as_str() {
        "/token" => Answer::text(
            "HTTP/1.1 200 OK\n\n{\"access_token\":\"an-access-token\",\"token_type\":\"Bearer\",\"expires_in\":3600}",
        ),
        _ => Answer::text("HTTP/1.1 202 Accepted\nrequest-id: 7b9f0d1e\n"),
    });
    let here = format!("http://127.0.0.1:{}", web.port());
    let relay = format!(
        "[relay.main]\nprovider = \"outlook\"\nvia = \"api\"\nendpoint = \"{here}\"\ntenant = \"shop.example\"\n\
         client_id = \"app\"\nclient_secret = \"{SECRET}\"\nmailbox = \"alice@example.org\"\ntoken_endpoint = \"{here}/token\"\n"
    );
    (web, relay)
}

/// The token that all share.
fn shared_token() -> PathBuf {
    let mut kept = fs::read_dir("/var/lib/mailchute/tokens/shared").unwrap().map(|file| file.unwrap().path());
    kept.find(|path| path.extension().is_some_and(|end| end == "json")).expect("a token")
}

/// Another site's user; [`USERS`] has no name for it.
const BLOG: u32 = 61043;

#[test]
fn what_its_secrets_give_is_not_kept_where_its_caller_reads() {
    Host::run(&USERS, |host| {
        let (binary, (web, relay)) = (binary(host), application());
        host.write_as(MAIN, &relay, 0o640, (0, GROUP));
        // Where the caller could enter, it is got for each message.
        let tokens = "/var/lib/mailchute/tokens";
        fs::set_permissions(tokens, fs::Permissions::from_mode(0o1733)).unwrap();
        send(&binary).expect_status(0);
        send(&binary).expect_status(0);
        assert_eq!(fs::read_dir(tokens).unwrap().count(), 1);
        assert_eq!(fs::read_dir(format!("{tokens}/shared")).unwrap().count(), 0);
        // Where it cannot, it is kept for all.
        fs::set_permissions(tokens, fs::Permissions::from_mode(0o3770)).unwrap();
        let another = || call(&binary).uid(BLOG).args(["-i", "bob@example.net"]).run().expect_status(0).stderr.clone();
        send(&binary).expect_status(0);
        assert_eq!(another(), "");
        let json = &shared_token();
        let of = fs::symlink_metadata(json).unwrap();
        assert_eq!((of.uid(), of.gid(), of.mode() & 0o7777), (SHOP, GROUP, 0o660));
        // One that ends its time is renewed though another caller's process was stopped with the lock in its hands.
        let text =
            fs::read_to_string(json).unwrap().replace("an-access-token", "old").replace("\"until\": ", "\"until\": -");
        fs::write(json, text).unwrap();
        let lock = fs::File::open(json.with_extension("lock")).unwrap();
        let lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).unwrap();
        assert_eq!(another(), "");
        assert!(fs::read_to_string(json).unwrap().contains("an-access-token"));
        drop(lock);
        // Twice for both, once for two, once for one.
        assert_eq!(web.finish().len(), 4 + 3 + 2);
    });
}

#[test]
fn root_stands_in_for_a_caller_with_the_group() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        host.write_as(MAIN, &relay(&server, &inline()), 0o640, (0, GROUP));
        let run = Mailchute::new(&binary).args(["test", "--to", "bob@example.net", "--as", "shop"]).run();
        run.expect_status(0);
        assert_eq!(server.finish().iter().filter(|session| session.login.is_some()).count(), 1);
    });
}

#[test]
fn its_caller_chooses_nothing() {
    Host::run(&USERS, |host| {
        let (binary, ours, planted) = (binary(host), server(), Server::new().start());
        let lines = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", planted.port());
        let file = host.write_as("/home/shop/planted.toml", &lines, 0o644, (SHOP, SHOP));
        host.write_as("/home/shop/.config/mailchute/config.toml", &lines, 0o644, (SHOP, SHOP));
        let url = format!("smtp://127.0.0.1:{}", planted.port());
        let everything = || {
            let call = call(&binary).env("MAILCHUTE_CONFIG", &file).env("MAILCHUTE_URL", &url).env("MAILER_DSN", &url);
            call.env("MAILCHUTE_SITE", "nowhere").env("HOME", "/home/shop").env("MAILCHUTE_LOG", "stderr").config(&file)
        };
        let run = everything().args(["-i", "bob@example.net"]).run();
        run.expect_status(78);
        for place in ["planted", "/home/shop"] {
            assert!(!run.stderr.contains(place), "{place}\n{}", run.report());
        }
        host.write_as(MAIN, &relay(&ours, &inline()), 0o640, (0, GROUP));
        let run = everything().args(["-v", "-i", "bob@example.net"]).run();
        run.expect_status(0);
        assert!(run.stderr.is_empty(), "-v shows nothing\n{}", run.report());
        let run = everything().args(["test", "--to", "bob@example.net"]).run();
        run.expect_status(0);
        assert!(!run.stdout.contains("EHLO"), "nor does `test`\n{}", run.report());
        assert_eq!((ours.finish().len(), planted.finish().len()), (2, 0));
    });
}

#[test]
fn the_environment_is_its_callers() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        host.write_as(MAIN, &relay(&server, "{ env = \"PASSWORD\" }"), 0o640, (0, GROUP));
        let call = |binary: &PathBuf| call(binary).args(["-i", "bob@example.net"]);
        let run = call(&binary).env("PASSWORD", SECRET).run();
        run.expect_status(77);
        run.expect_stderr("mailchute: PASSWORD: a set-group-id binary reads no environment variable *");
        host.write_as("/home/shop/main", SECRET, 0o600, (SHOP, SHOP));
        host.write_as(MAIN, &relay(&server, "{ credential = \"main\" }"), 0o640, (0, GROUP));
        call(&binary).env("CREDENTIALS_DIRECTORY", "/home/shop").run().expect_status(78);
        assert!(server.finish().is_empty());

        // Nor does the caller choose whom to trust.
        let tls = Server::new().tls(TlsStart::Implicit).start();
        let authority = Certs::shared().write_authority(host.scratch());
        let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"implicit\"\n", tls.port());
        host.write("/etc/ssl/certs/ca-certificates.crt", Certs::shared().client_pem(true), 0o644);
        host.write_as(MAIN, &relay, 0o640, (0, GROUP));
        call(&binary).env("SSL_CERT_FILE", &authority).run().expect_status(76);
        host.write("/etc/ssl/certs/ca-certificates.crt", Certs::shared().authority_pem(), 0o644);
        call(&binary).run().expect_status(0);
    });
}

#[test]
fn a_command_runs_without_the_group() {
    Host::run(&USERS, |host| {
        let binary = binary(host);
        // Real, effective, saved and file system gid, then the supplementary groups.
        let gids = format!("Gid: {SHOP} {SHOP} {SHOP} {SHOP} Groups:");
        let server = Server::new().login("alice@example.org", &gids, &["PLAIN"]).start();
        let command = "{ command = [\"sh\", \"-c\", \
                       \"echo $(grep -E '^(Gid|Groups):' /proc/self/status)\"] }";
        host.write_as(MAIN, &relay(&server, command), 0o640, (0, GROUP));
        send(&binary).expect_status(0);
        host.write_as("/etc/mailchute/secrets/main", SECRET, 0o640, (0, GROUP));
        let command = "{ command = [\"cat\", \"/etc/mailchute/secrets/main\"] }";
        host.write_as(MAIN, &relay(&server, command), 0o640, (0, GROUP));
        let run = send(&binary);
        run.expect_status(78);
        assert!(run.stderr.contains("ermission denied"), "{}", run.report());
        host.write_as(MAIN, &relay(&server, "{ command = [\"/nonexistent/pass\"] }"), 0o640, (0, GROUP));
        if need("perl").is_none() {
            return;
        }
        let ignoring = ["-e", "$SIG{CHLD} = 'IGNORE'; exec @ARGV"];
        let run = call(&binary).args(["-i", "bob@example.net"]).under("perl", &ignoring).run();
        run.expect_status(78);
        run.expect_stderr("mailchute: command /nonexistent/pass: cannot be run: no such program *");
    });
}

#[test]
fn a_command_gets_an_environment_that_its_caller_does_not_choose() {
    Host::run(&USERS, |host| {
        let binary = binary(host);
        let environment =
            "HOME=/home/shop LOGNAME=shop PATH=/usr/local/bin:/usr/bin:/bin PWD=/ SHELL=/bin/sh USER=shop";
        let server = Server::new().login("alice@example.org", environment, &["PLAIN"]).start();
        let command = "{ command = [\"sh\", \"-c\", \"echo $(env | sort | grep -v ^_)\"] }";
        host.write_as(MAIN, &relay(&server, command), 0o640, (0, GROUP));
        let planted =
            [("PATH", "/home/shop:/usr/bin:/bin"), ("LD_PRELOAD", "x.so"), ("HOME", "/tmp"), ("PASSWORD", "x")];
        let call = planted.into_iter().fold(call(&binary), |call, (name, value)| call.env(name, value));
        call.args(["-i", "bob@example.net"]).run().expect_status(0);
        assert_eq!(server.finish()[0].deliveries.len(), 1);
    });
}

#[test]
fn weak_modes_are_refused() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        for (mode, why) in [(0o660, "group-writable"), (0o644, "world-readable"), (0o642, "world-writable")] {
            host.write_as(MAIN, &relay(&server, &inline()), mode, (0, GROUP));
            let run = send(&binary);
            run.expect_status(77);
            assert!(run.stderr.contains(&format!("{MAIN}: is {why}")), "{mode:o}\n{}", run.report());
        }
        host.write_as(MAIN, &relay(&server, "{ file = \"secrets/main\" }"), 0o640, (0, GROUP));
        host.write_as("/etc/mailchute/secrets/main", SECRET, 0o644, (0, GROUP));
        send(&binary).expect_status(77);
        // What the group cannot read: the hint gives it to the group, never to the caller.
        host.write("/etc/mailchute/secrets/main", SECRET, 0o600);
        let run = send(&binary);
        run.expect_status(77);
        let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
        assert!(hint.contains("chgrp mailchute "), "{}", run.report());
        host.write(MAIN, &relay(&server, &inline()), 0o600);
        let run = send(&binary);
        run.expect_status(77);
        assert!(run.stderr.contains("chgrp mailchute "), "{}", run.report());
        assert!(server.finish().is_empty());
    });
}

#[test]
fn a_callers_own_site_file_cannot_borrow_the_group() {
    Host::run(&USERS, |host| {
        let binary = binary(host);
        // It names another site's secret, and a server of the caller's own that would be told it.
        let thief = server();
        host.write_as("/etc/mailchute/secrets/other", SECRET, 0o640, (0, GROUP));
        host.write(MAIN, "strict_modes = true\n", 0o644);
        let lines = relay(&thief, "{ file = \"/etc/mailchute/secrets/other\" }");
        host.write_as("/etc/mailchute/sites.d/shop.toml", &lines, 0o644, (SHOP, SHOP));
        let run = send(&binary);
        run.expect_status(77);
        assert!(run.stderr.contains("/etc/mailchute/sites.d/shop.toml"), "{}", run.report());
        assert!(thief.finish().is_empty(), "the secret was given away");
    });
}

/// Everything of another site's that its caller must not read, and of the caller's own that must not count.
const UNHEARD: [&str; 9] =
    [SECRET, "carol", "theirs", "theirs.example", "third.example", "hots", "61043", "nobody-of-that-name", "planted"];

/// The host of [`a_hostile_caller_learns_and_moves_nothing`]: the caller's site, another one, and a file with a mistake.
fn two_sites(host: &Host<'_>, ours: &Server, theirs: &Server) {
    let lines = format!(
        "{}[relay.theirs]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"carol@theirs.example\"\npassword = '{SECRET}'\n\
         [site.shop]\nuser = \"shop\"\nrelay = \"main\"\n\
         [site.other]\nuser = [61043, \"nobody-of-that-name\"]\nrelay = \"theirs\"\n",
        relay(ours, &inline()),
        theirs.port()
    );
    host.write_as(MAIN, &lines, 0o640, (0, GROUP));
    let mistake = "[relay.third]\nhots = \"third.example\"\n";
    host.write_as("/etc/mailchute/sites.d/third.toml", mistake, 0o640, (0, GROUP));
}

#[test]
fn a_hostile_caller_learns_and_moves_nothing() {
    Host::run(&USERS, |host| {
        let (binary, ours, theirs, planted) = (binary(host), server(), server(), Server::new().start());
        two_sites(host, &ours, &theirs);
        let lines = format!("[relay.planted]\nhost = \"127.0.0.1\"\nport = {}\n", planted.port());
        let file = host.write_as("/home/shop/planted.toml", &lines, 0o644, (SHOP, SHOP));
        host.write_as("/home/shop/.config/mailchute/config.toml", &lines, 0o644, (SHOP, SHOP));
        let url = format!("smtp://127.0.0.1:{}", planted.port());
        let call = |words: &[&str]| {
            let call = call(&binary).env("MAILCHUTE_URL", &url).env("MAILCHUTE_CONFIG", &file);
            call.env("MAILCHUTE_SITE", "other").env("HOME", "/home/shop").args(words.iter().copied())
        };
        let planted_file = file.to_str().unwrap();
        // Words, and the status they end with.
        for (words, status) in [
            (&["test", "--to", "bob@example.net"][..], 0),
            (&["test", "--to", "bob@example.net", "--as", "shop"], 0),
            (&["test", "--to", "bob@example.net", "--as", "61042"], 0),
            (&["test", "--to", "bob@example.net", "--as", "shop", "--config", planted_file], 0),
            (&["test", "--to", "bob@example.net", "--as", "shop", "--relay", "theirs"], 0),
            (&["test", "--to", "bob@example.net", "--as", "root"], 77),
            (&["test", "--to", "bob@example.net", "--as", "0"], 77),
            (&["test", "--to", "bob@example.net", "--as", "61043"], 77),
            (&["test", "--to", "bob@example.net", "--site", "other"], 77),
            (&["explain", "-i", "bob@example.net"], 0),
            (&["explain", "--as", "shop", "-i", "bob@example.net"], 0),
            (&["explain", "--as", "shop", "--config", planted_file, "-i", "bob@example.net"], 0),
            (&["explain", "--as", "shop", "--relay", "theirs", "-i", "bob@example.net"], 0),
            (&["explain", "--as", "root", "-i", "bob@example.net"], 77),
            (&["explain", "--as", "61043", "-i", "bob@example.net"], 77),
            (&["explain", "--site", "other", "-i", "bob@example.net"], 77),
            (&["login"], 78),
            (&["login", "--as", "shop", "--config", planted_file], 78),
            (&["login", "--status"], 78),
            (&["login", "--status", "--as", "shop"], 78),
            (&["login", "--status", "--as", "root"], 77),
            (&["login", "--status", "--site", "other"], 77),
            (&["-bv", "bob@example.net"], 0),
            (&["--config", planted_file, "-bv", "bob@example.net"], 0),
            (&["--relay", "theirs", "-bv", "bob@example.net"], 0),
            (&["--site", "other", "-bv", "bob@example.net"], 77),
            (&["--config", planted_file, "--relay", "theirs", "-v", "-i", "bob@example.net"], 0),
            (&["--site", "other", "-i", "bob@example.net"], 77),
            (&["lint"], 0),
            (&["init", "--from-env"], 78),
            (&["init"], 77),
            (&["init", "--users"], 77),
            (&["providers"], 0),
            (&["status", "154"], 0),
        ] {
            let run = call(words).run();
            run.expect_status(status);
            for unheard in UNHEARD.into_iter().filter(|unheard| !words.contains(unheard)) {
                let is_named = |text: &str| text.replace(planted_file, "").contains(unheard);
                assert!(!is_named(&run.stdout) && !is_named(&run.stderr), "{words:?}: {unheard}\n{}", run.report());
            }
        }
        // One by each `test` that ends well, one by `-i`, each through the caller's own relay.
        assert_eq!((ours.finish().len(), theirs.finish().len(), planted.finish().len()), (6, 0, 0));
    });
}

#[test]
fn a_directory_that_only_the_group_enters_stays_unknown() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        host.write_as(MAIN, &relay(&server, &inline()), 0o640, (0, GROUP));
        let (closed, open) = (host.scratch().join("closed"), host.scratch().join("open"));
        for (path, mode) in [(&closed, 0o750), (&closed.join("there"), 0o755), (&open, 0o755)] {
            fs::create_dir(path).unwrap();
            chown(path, Some(0), Some(GROUP)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        for (word, more) in [("explain", &["bob@example.net"][..]), ("test", &["--to", "bob@example.net"])] {
            let enter = |directory: PathBuf| {
                let run = call(&binary).args([word, "--cwd"]).arg(&directory).args(more).run();
                (run.status, run.stderr.replace(&directory.display().to_string(), "DIRECTORY"))
            };
            // It has the group again to read the configuration with.
            assert_eq!(enter(open.clone()).0, 0, "{word}");
            let refused = (64, "mailchute: DIRECTORY: cannot be entered: Permission denied (os error 13)\n".to_owned());
            assert_eq!(enter(closed.clone()), refused, "{word}");
            assert_eq!(enter(closed.join("there")), refused, "{word}");
            assert_eq!(enter(closed.join("nothing")), refused, "{word}");
        }
        drop(server);
    });
}

#[test]
fn root_is_told_what_its_users_are_not() {
    Host::run(&USERS, |host| {
        let (binary, ours, theirs) = (binary(host), server(), server());
        two_sites(host, &ours, &theirs);
        let run = Mailchute::new(&binary).args(["explain", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(77);
        assert!(
            run.stdout.contains("third.toml:2: ") && run.stdout.contains("nobody-of-that-name"),
            "{}",
            run.report()
        );
        host.write_as(MAIN, "[relay.main]\nhots = \"x\"\n", 0o640, (0, GROUP));
        let run = send(&binary);
        run.expect_status(78);
        run.expect_stderr("mailchute: /etc/mailchute/config.toml: has a mistake, which only root is shown *");
        let run = Mailchute::new(&binary).args(["explain", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(78);
        run.expect_stderr("mailchute: /etc/mailchute/config.toml:2: *");
    });
}

#[test]
fn what_callers_share_has_its_modes_whatever_they_say_and_is_out_of_their_reach() {
    if need("perl").is_none() {
        return;
    }
    Host::run(&USERS, |host| {
        let (binary, (web, relay)) = (binary(host), application());
        host.write_as(MAIN, &relay, 0o640, (0, GROUP));
        let under = ["-e", "umask 0777; exec @ARGV or die $!"];
        call(&binary).under("perl", &under).args(["-i", "bob@example.net"]).run().expect_status(0);
        let file = shared_token().display().to_string();
        for file in [&file, &file.replace(".json", ".lock")] {
            let of = fs::symlink_metadata(file).expect("what is shared");
            assert_eq!((of.uid(), of.gid(), of.mode() & 0o7777), (SHOP, GROUP, 0o660), "{file}");
        }
        // It is the caller's own file, and nobody gets there.
        let tries = format!(
            "cat {file}; chmod 0666 {file}; ln {file} /home/shop/x; mv {file} /home/shop/x; rm -f {file}; \
             ls /var/lib/mailchute/tokens; cd /var/lib/mailchute/tokens; mkdir /var/lib/mailchute/tokens/1; echo > {file}"
        );
        let run = Mailchute::new("/bin/sh").uid(SHOP).args(["-c", &tries]).run();
        assert_eq!(run.stderr.lines().count(), 9, "{}", run.report());
        assert!(run.stdout.is_empty(), "{}", run.report());
        // Somebody who is in the group shares nothing, because nothing would be out of reach.
        let member = ["--reuid", "61043", "--regid", "61043", "--groups", "61050"];
        let words = ["-i", "bob@example.net"];
        for _ in 0..2 {
            Mailchute::new(&binary).args(words).stdin(MESSAGE).under("setpriv", &member).run().expect_status(0);
        }
        assert_eq!(web.finish().len(), 2 + 4);
    });
}

#[test]
fn root_fits_the_directories_to_the_binary() {
    const STATE: &str = "/var/lib/mailchute/state";
    Host::run(&USERS, |host| {
        let binary = binary(host);
        host.write(MAIN, "[relay.main]\nprotocol = \"null\"\n[site.shop]\nuser = \"shop\"\n", 0o644);
        let modes = |path: &str| {
            let of = fs::symlink_metadata(path).expect("a directory");
            (of.uid(), of.gid(), of.mode() & 0o7777)
        };
        // As after `dpkg-statoverride`, on a host where a neighbour was faster with a name.
        fs::remove_dir(format!("{STATE}/shared")).unwrap();
        fs::set_permissions(STATE, fs::Permissions::from_mode(0o1733)).unwrap();
        fs::create_dir(format!("{STATE}/shared")).unwrap();
        chown(format!("{STATE}/shared"), Some(SHOP), Some(SHOP)).unwrap();
        fs::remove_dir_all("/run/mailchute").unwrap();
        let init = |binary: &PathBuf| {
            Mailchute::new(binary).args(["init", "--users"]).under("perl", &["-e", "umask 0777; exec @ARGV"]).run()
        };
        let run = init(&binary);
        run.expect_status(0);
        assert!(run.stdout.contains(&format!("closed {STATE} to all but the group mailchute\n")), "{}", run.report());
        assert_eq!(run.stdout.matches("closed").count(), 1, "{}", run.report());
        for parent in [STATE, "/run/mailchute"] {
            assert_eq!(modes(parent), (0, GROUP, 0o3770), "{parent}");
            assert_eq!(modes(&format!("{parent}/shared")), (0, GROUP, 0o2770), "{parent}");
            let (uid, _, mode) = modes(&format!("{parent}/{SHOP}"));
            assert_eq!((uid, mode & 0o777), (SHOP, 0o700), "{parent}");
        }
        assert_eq!(init(&binary).expect_status(0).stdout, "", "a second time there is nothing to do");
        // Nor where an administrator has decided something else.
        fs::set_permissions(STATE, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(init(&binary).expect_status(0).stdout, "");
        fs::set_permissions(STATE, fs::Permissions::from_mode(0o3770)).unwrap();
        let run = init(&PathBuf::from(env!("CARGO_BIN_EXE_mailchute")));
        assert_eq!(run.expect_status(0).stdout.matches(" to all users\n").count(), 5, "{}", run.report());
        assert_eq!(modes(STATE), (0, 0, 0o1733));
    });
}

#[test]
fn explain_names_the_mode_and_what_of_its_callers_does_not_count() {
    Host::run(&USERS, |host| {
        let (binary, server) = (binary(host), server());
        host.write_as(MAIN, &relay(&server, &inline()), 0o640, (0, GROUP));
        host.write_as("/home/shop/.config/mailchute/config.toml", "", 0o644, (SHOP, SHOP));
        let explain = |binary: &PathBuf| {
            let call = call(binary).env("MAILCHUTE_URL", "smtps://planted").env("TZ", "UTC").env("PASSWORD", "x");
            call.args(["--config", "/nowhere", "--relay", "x", "explain", "-v", "-i", "bob@example.net"])
        };
        let run = explain(&binary).run();
        run.expect_status(0);
        for line in [
            "mode          set-group-id (mailchute): the caller reads no secret, and reaches nothing that is kept",
            "              what all sites share lies in /var/lib/mailchute/state/shared",
            "ignored       --config, --relay, -v, MAILCHUTE_URL, TZ, /home/shop/.config/mailchute/config.toml: a \
             set-group-id binary takes nothing from its caller",
        ] {
            assert!(run.stdout.lines().any(|said| said == line), "{line}\n{}", run.report());
        }
        let mode = |call: Mailchute, expected: &str| {
            let run = call.run();
            let said = run.stdout.lines().find(|line| line.starts_with("mode ")).unwrap_or_default();
            assert!(said.contains(expected), "{expected}\n{}", run.report());
            run
        };
        let words = ["explain", "-i", "bob@example.net"];
        // Where the group is not given, no hint gives the secret away instead.
        if need("setpriv").is_some() {
            let poor = || call(&binary).under("setpriv", &["--no-new-privs"]);
            mode(poor().args(words), "this process did not get the binary's group mailchute").expect_status(77);
            let run = poor().args(["-i", "bob@example.net"]).run();
            run.expect_status(77);
            run.expect_stderr("mailchute: /etc/mailchute/config.toml: permission denied *");
            let hint = "hint: the binary's group mailchute was not given to this process: *NoNewPrivileges*";
            assert!(run.stderr.lines().any(|line| testkit::matches(hint, line)), "{}", run.report());
            for more in [["--regid", "61050", "--clear-groups"], ["--regid", "61043", "--groups=61050"]] {
                let member = [&["--reuid", "61043"][..], &more].concat();
                let call = Mailchute::new(&binary).args(words).stdin(MESSAGE).under("setpriv", &member);
                mode(call, "nothing is kept from this caller: it is in the group mailchute; sudo gpasswd -d ");
            }
        }
        fs::set_permissions("/var/spool/mailchute", fs::Permissions::from_mode(0o1733)).unwrap();
        mode(call(&binary).args(words), "and others may enter /var/spool/mailchute; sudo mailchute init --users");
        let run = Mailchute::new(env!("CARGO_BIN_EXE_mailchute")).args(words).stdin(MESSAGE).run();
        assert!(!run.stdout.contains("mode "), "{}", run.report());
    });
}
