//! Local names on a host of the test's own, with its own `/etc/aliases`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::{Host, Server};

use crate::setup::mailchute;

const ALIASES: &str = "# the host's aliases
mailer-daemon: postmaster
postmaster: root
root: admin@example.org,
\tops
ops: \"On Call\" <oncall@example.org>,
  second@example.org, admin@example.org
vacation: \"|/usr/bin/vacation bob\"
archive: /var/mail/archive
staff: :include:/etc/staff
mixed: bob@example.org, |/bin/false
here: there
there: here
self: \\self, copy@example.org
";

/// Sends to `argv` with these lines in the configuration: the status, standard error, the recipients.
fn send(host: &Host<'_>, top: &str, argv: &str, input: &str) -> (i32, String, Vec<String>) {
    let server = Server::new().start();
    let text = format!("{top}\n[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", server.port());
    host.write("/etc/mailchute/config.toml", &text, 0o644);
    let run = mailchute().line(argv).stdin(input).run();
    let sessions = server.finish();
    let paths = sessions.iter().flat_map(|session| &session.deliveries).flat_map(|delivery| delivery.forward_paths());
    (run.status, run.stderr.clone(), paths.map(str::to_owned).collect())
}

const INPUT: &str = "From: cron@example.org\nTo: root, bob@example.net\nSubject: x\n\nx\n";

#[test]
fn names_lead_to_addresses() {
    Host::run(&[], |host| {
        host.write("/etc/aliases", ALIASES, 0o644);
        let root = ["admin@example.org", "oncall@example.org", "second@example.org"];
        let alias =
            "domain = \"shop.example\"\n[alias]\nroot = [\"boss@shop.example\", \"web\"]\nweb = \"web@shop.example\"";
        let star = "[alias]\n\"*\" = \"rest@shop.example\"";
        for (top, argv, expected) in [
            ("", "-i root", &root[..]),
            ("", "-i ROOT@localhost mailer-daemon", &root),
            ("", "-t -i", &[&root[..], &["bob@example.net"]].concat()),
            // Ours come first, the host's for the others.
            (alias, "-i root", &["boss@shop.example", "web@shop.example"]),
            (
                alias,
                "-i ops nobody",
                &["oncall@example.org", "second@example.org", "admin@example.org", "nobody@shop.example"],
            ),
            ("domain = \"shop.example\"", "-i self", &["self@shop.example", "copy@example.org"]),
            (star, "-i nobody root", &[&["rest@shop.example"], &root[..]].concat()),
            ("local_domains = [\"lan\"]", "-i root@LAN root@other.lan", &[&root[..], &["root@other.lan"]].concat()),
            ("local_domains = [\"lan\"]", "-i root@localhost", &["root@localhost"]),
        ] {
            let (status, stderr, paths) = send(host, top, argv, INPUT);
            assert_eq!(status, 0, "{top} {argv}\n{stderr}");
            assert_eq!(paths, expected, "{top} {argv}");
        }
    });
}

#[test]
fn a_sites_own_alias_goes_before_everybodys() {
    Host::run(&[], |host| {
        host.write("/etc/aliases", ALIASES, 0o644);
        let server = Server::new().start();
        let text = format!(
            "[alias]\nroot = \"all@example.org\"\nweb = \"web@example.org\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n\
             [site.shop]\nalias = {{ root = \"shop@example.org\" }}\n[site.blog]\n",
            server.port()
        );
        host.write("/etc/mailchute/config.toml", &text, 0o644);
        for site in ["shop", "blog"] {
            mailchute().args(["--site", site, "-i", "root", "web"]).stdin(INPUT).run().expect_status(0);
        }
        let sessions = server.finish();
        let paths: Vec<_> = sessions.iter().map(|session| session.deliveries[0].forward_paths()).collect();
        assert_eq!(paths, [["shop@example.org", "web@example.org"], ["all@example.org", "web@example.org"]]);
    });
}

#[test]
fn what_is_no_address_is_refused_by_its_line() {
    Host::run(&[], |host| {
        host.write("/etc/aliases", ALIASES, 0o644);
        for (name, part) in [
            ("vacation", "/etc/aliases line 8 sends it to the program |/usr/bin/vacation bob"),
            ("archive", "/etc/aliases line 9 sends it to the file /var/mail/archive"),
            ("staff", "/etc/aliases line 10 sends it to the list :include:/etc/staff"),
            ("mixed", "/etc/aliases line 11 sends it to the program |/bin/false"),
            ("here", "its alias leads back to itself"),
            ("nobody", "a local name, and neither an alias nor `domain` says where its mail goes"),
        ] {
            let (status, stderr, paths) = send(host, "", &format!("-i bob@example.net {name}"), INPUT);
            assert_eq!((status, paths.len()), (65, 0), "{name}: nobody has it\n{stderr}");
            assert!(stderr.starts_with(&format!("mailchute: {name}: {part}")), "{name}\n{stderr}");
            // The way out that the hint names.
            let way_out = format!("[alias]\n{name} = \"{name}@example.org\"");
            let (status, stderr, paths) = send(host, &way_out, &format!("-i {name}"), INPUT);
            assert_eq!((status, paths), (0, vec![format!("{name}@example.org")]), "{stderr}");
        }
    });
}

#[test]
fn an_alias_file_that_cannot_be_read_stops_nobody() {
    Host::run(&[("shop", 61042)], |host| {
        let server = Server::new().start();
        let text = format!("domain = \"shop.example\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", server.port());
        host.write("/etc/mailchute/config.toml", &text, 0o644);
        let send = || {
            let run = mailchute().uid(61042).args(["-i", "root"]).stdin(INPUT).run();
            run.expect_status(0);
            assert!(run.took < Duration::from_secs(5), "{}", run.report());
        };
        send();
        host.write("/etc/aliases", ALIASES, 0o600);
        send();
        fs::remove_file("/etc/aliases").unwrap();
        assert!(Command::new("mkfifo").args(["-m", "644", "/etc/aliases"]).status().unwrap().success());
        send();
        for session in server.finish() {
            assert_eq!(session.deliveries[0].forward_paths(), ["root@shop.example"]);
        }
    });
}
