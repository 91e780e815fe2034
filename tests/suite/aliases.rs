//! Aliases: `[alias]` and the host's /etc/aliases, for the envelope and for bare names in To and Cc.

use std::fs;
use std::process::Command;

use testkit::{Delivery, Host, Server};

use crate::setup::{Setup, every, mailchute};

/// An alias file as hosts have it.
const ALIASES: &str = "# /etc/aliases
MAILER-DAEMON: postmaster
postmaster:\troot
  # an indented comment ends no list
root: alice,
\t\"Bob B., operations\" <bob@example.org> ,
    # nor does one between

  carol@example.org
alice: \\alice, backup@example.org
webmaster : root, dave@example.org\r
\"two words\": erin@example.org
team: frank@example.org, :include:/etc/team
vacation: \"|/bin/touch /run/mark, x\"
unquoted: |/bin/touch /run/mark
saved: /run/mark
nowhere: nobody-knows
away: \\away, # until Monday
\t\"|/bin/touch /run/mark\", /run/mark
loop: pool
pool: loop
";

/// What a call came to.
struct Called {
    status: i32,
    stderr: String,
    deliveries: Vec<Delivery>,
}

/// Calls the binary on a host with [`ALIASES`] as /etc/aliases; its programs and files would leave a mark.
fn call(top: &[&str], args: &[&str], message: &str) -> Called {
    let mut setup = Setup::new(Server::new());
    for line in top {
        setup = setup.top(line);
    }
    let run = setup.mailchute().args(args.iter().copied()).stdin(message).run();
    assert!(!fs::exists("/run/mark").unwrap(), "an alias wrote a file or ran a program");
    Called { status: run.status, stderr: run.stderr, deliveries: setup.deliveries() }
}

/// Runs `test` on a host with [`ALIASES`].
fn on_a_host(test: impl FnOnce() + Send) {
    Host::run(&[], |host| {
        host.write("/etc/aliases", ALIASES, 0o644);
        host.write("/etc/team", "mallory@example.org\n", 0o644);
        test();
    });
}

#[test]
fn names_lead_to_the_addresses_of_their_lists() {
    on_a_host(|| {
        const ROOT: &str = "alice@example.com backup@example.org bob@example.org carol@example.org";
        let cases = [
            ("root", ROOT.to_owned()),
            ("Mailer-Daemon", ROOT.to_owned()),
            ("root@localhost", ROOT.to_owned()),
            ("webmaster", format!("{ROOT} dave@example.org")),
            ("webmaster root alice", format!("{ROOT} dave@example.org")),
            ("\"two words\"", "erin@example.org".to_owned()),
            ("erin@example.net root", format!("erin@example.net {ROOT}")),
            // [alias] comes first, and its `*` last.
            ("ops", "ops@shop.example".to_owned()),
            ("anybody", "rest@shop.example".to_owned()),
        ];
        every(
            &cases,
            |case| case.0.to_owned(),
            |(recipients, expected)| {
                let top = [
                    "domain = \"example.com\"",
                    "alias = { ops = \"ops@shop.example\", \"*\" = \"rest@shop.example\" }",
                ];
                let args: Vec<&str> = match recipients.starts_with('"') {
                    true => vec!["-i", recipients],
                    false => std::iter::once("-i").chain(recipients.split(' ')).collect(),
                };
                let called = call(&top, &args, "Subject: x\n\nx\n");
                assert_eq!(called.status, 0, "{}", called.stderr);
                assert_eq!(called.deliveries[0].forward_paths().join(" "), *expected);
            },
        );
    });
}

#[test]
fn bare_names_in_to_and_cc_become_addresses() {
    on_a_host(|| {
        let message = "From: alice@example.org\nTo: root (Charlie Root), Web <webmaster>\nCc: bob@example.net, ops: team2;\n\nx\n";
        let top = ["domain = \"example.com\"", "alias = { team2 = [\"two@shop.example\", \"three@shop.example\"] }"];
        let called = call(&top, &["-t", "-i"], message);
        assert_eq!(called.status, 0, "{}", called.stderr);
        let delivery = &called.deliveries[0];
        let text = delivery.text();
        assert!(text.contains("\r\nTo: Charlie Root <alice@example.com>, Web <alice@example.com>\r\n"), "{text}");
        assert!(text.contains("\r\nCc: bob@example.net, ops: two@shop.example;\r\n"), "{text}");
        assert!(delivery.forward_paths().contains(&"three@shop.example"), "{:?}", delivery.forward_paths());
    });
}

#[test]
fn lists_files_and_programs_are_refused_with_a_sentence() {
    on_a_host(|| {
        let cases = [
            (
                "team",
                "mailchute: team: /etc/aliases line 13 sends it to the list :include:/etc/team, and only addresses are mailed to (mailchute, site default)",
            ),
            (
                "vacation",
                "mailchute: vacation: /etc/aliases line 14 sends it to the program |/bin/touch *, and only addresses are mailed to *",
            ),
            (
                "unquoted",
                "mailchute: unquoted: /etc/aliases line 15 sends it to the program |/bin/touch *, and only addresses are mailed to *",
            ),
            (
                "saved",
                "mailchute: saved: /etc/aliases line 16 sends it to the file /*, and only addresses are mailed to *",
            ),
            (
                "nowhere",
                "mailchute: nobody-knows: a local name, and neither an alias nor `domain` says where its mail goes *",
            ),
            ("loop", "mailchute: loop: its alias leads back to itself *"),
        ];
        every(
            &cases,
            |case| case.0.to_owned(),
            |(name, sentence)| {
                let called = call(&[], &["-i", "bob@example.net", name], "Subject: x\n\nx\n");
                assert_eq!(called.status, 65, "{}", called.stderr);
                let first = called.stderr.lines().next().unwrap_or_default();
                assert!(testkit::matches(sentence, first), "{}", called.stderr);
                assert!(called.deliveries.is_empty());
            },
        );
    });
}

#[test]
fn files_and_programs_among_addresses_are_left_out_with_a_warning() {
    on_a_host(|| {
        let setup = Setup::new(Server::new()).top("domain = \"example.com\"");
        let run = setup.mailchute().args(["-i", "away"]).stdin("Subject: x\n\nx\n").run();
        run.expect_status(0);
        assert!(!fs::exists("/run/mark").unwrap(), "an alias wrote a file or ran a program");
        let warnings = setup.record()["warnings"].to_string();
        for what in ["the program |/bin/touch /run/mark", "the file /run/mark"] {
            let warning = format!("away: /etc/aliases line 18 also sends it to {what}, which was left out");
            assert!(warnings.contains(&warning), "{warnings}");
        }
        assert_eq!(setup.deliveries()[0].forward_paths(), ["away@example.com"]);
    });
}

#[test]
fn sixty_thousand_names_read_the_alias_file_once() {
    on_a_host(|| {
        let names: Vec<String> = (0..60_000).map(|number| format!("u{number}")).collect();
        let message = format!("To: root, ops,\n {}\nSubject: x\n\nx\n", names.join(",\n "));
        let top = ["alias = { \"*\" = \"rest@shop.example\" }", "deadline = \"60s\"", "domain = \"example.com\""];
        let called = call(&top, &["-t", "-i"], &message);
        assert_eq!(called.status, 0, "{}", called.stderr);
        let paths = called.deliveries[0].forward_paths();
        assert_eq!((paths.len(), paths.last()), (5, Some(&"rest@shop.example")), "{paths:?}");
    });
}

#[test]
fn a_sites_own_alias_goes_before_everybodys_and_the_hosts() {
    on_a_host(|| {
        let server = Server::new().start();
        let scratch = testkit::Scratch::new();
        let text = format!(
            "[alias]\nroot = \"all@example.org\"\nweb = \"web@example.org\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n\
             [site.shop]\nalias = {{ root = \"shop@example.org\" }}\n[site.blog]\n",
            server.port()
        );
        let config = scratch.write("config.toml", text, 0o644);
        for site in ["shop", "blog"] {
            let call = mailchute().config(&config).args(["--site", site, "-i", "root", "web", "webmaster"]);
            call.stdin("Subject: x\n\nx\n").run().expect_status(0);
        }
        let sessions = server.finish();
        let paths: Vec<_> = sessions.iter().map(|session| session.deliveries[0].forward_paths()).collect();
        let webmaster = "dave@example.org";
        assert_eq!(
            paths,
            [["shop@example.org", "web@example.org", webmaster], ["all@example.org", "web@example.org", webmaster]]
        );
    });
}

#[test]
fn local_domains_say_whose_names_are_aliased() {
    on_a_host(|| {
        let top = ["local_domains = [\"lan\"]", "alias = { root = \"boss@example.org\" }"];
        let args = ["-i", "root@LAN", "root@localhost", "root@other.lan", "root"];
        let called = call(&top, &args, "Subject: x\n\nx\n");
        assert_eq!(called.status, 0, "{}", called.stderr);
        assert_eq!(called.deliveries[0].forward_paths(), ["boss@example.org", "root@localhost", "root@other.lan"]);
    });
}

#[test]
fn the_hint_for_a_name_that_leads_nowhere_works() {
    on_a_host(|| {
        for name in ["vacation", "saved", "team", "loop"] {
            let way_out = format!("alias = {{ {name} = \"{name}@example.net\" }}");
            let called = call(&[&way_out], &["-i", name], "Subject: x\n\nx\n");
            assert_eq!(called.status, 0, "{}", called.stderr);
            assert_eq!(called.deliveries[0].forward_paths(), [format!("{name}@example.net")]);
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
            let run = mailchute().uid(61042).args(["-i", "root"]).stdin("Subject: x\n\nx\n").run();
            run.expect_status(0).expect_at_once();
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
