//! `mailchute init --import`: another mailer's settings are the beginning, and all the rest is as without them.

use std::fs;
use std::path::Path;

use testkit::{Host, need};

use crate::init::{MAIN, USERS, VALUE, clear, init, laid, nothing, server, type_in};

const FILE: &str = "/etc/msmtprc";
const REST: &str = "--user www-data --alias *=ops@shop.example";

/// msmtp's settings for a server at this port of this host, and more of them.
fn settings(port: u16, more: &str) -> String {
    format!(
        "defaults\nauth on\ntls off\naccount default\nhost 127.0.0.1\nport {port}\nuser orders@shop.example\n\
         from orders@shop.example\n{more}\n"
    )
}

#[test]
fn another_mailers_settings_are_the_beginning() {
    Host::run(&USERS, |host| {
        let server = server().start();
        let port = server.port();
        host.write(FILE, &settings(port, &format!("password {VALUE}")), 0o600);
        let shown = init(&format!("--import msmtp {REST}")).run();
        shown.expect_status(0);
        nothing(&shown);
        let run = init(&format!("--import msmtp {REST} --write")).run();
        run.expect_status(0);
        assert!(run.stderr.contains("msmtp: ") && run.stderr.contains("settings as before"), "{}", run.report());
        assert!(run.stderr.contains("accepts the login"), "{}", run.report());
        assert!(run.stderr.contains("test as www-data: accepted"), "{}", run.report());
        let written = fs::read_to_string(MAIN).unwrap();
        for line in [
            "from = \"orders@shop.example\"\n".to_owned(),
            format!("host = \"127.0.0.1\"\nport = {port}\n"),
            "username = \"orders@shop.example\"\n".to_owned(),
            "password = { file = \"/etc/mailchute/secrets/smtp\" }\n".to_owned(),
            "user = [\"www-data\", \"root\"]\n".to_owned(),
            "\"*\" = [\"ops@shop.example\"]\n".to_owned(),
        ] {
            assert!(written.contains(&line), "{line}\n{written}");
        }
        assert_eq!(fs::read_to_string("/etc/mailchute/secrets/smtp").unwrap(), format!("{VALUE}\n"));
        let asked_for = laid();
        if need("python3").is_some() {
            clear();
            let steps = [
                ("msmtp is set up here (/etc/msmtprc). Take that over? (y/n) [y]: ", "\n"),
                ("settings as before", ""),
                ("Who sends?", "\n"),
                ("another sender", "\n"),
                ("other local names", "ops@shop.example\n"),
                ("accepts the login", ""),
                ("Write this?", "\n"),
                ("Send a test message to", "\n"),
                ("mailchute init --import msmtp ", ""),
            ];
            let run = type_in(host, "", &steps);
            assert!(run.stdout.contains("status 0 left 0"), "{}", run.report());
            assert_eq!(laid(), asked_for);
            let told = run.stdout.lines().map(str::trim).find_map(|line| line.strip_prefix("mailchute init "));
            clear();
            init(told.unwrap()).run().expect_status(0);
            assert_eq!(laid(), asked_for);
            // Whoever is stopped, at whichever question, leaves nothing.
            clear();
            for stopped in [0, 2, 3, 4, 6] {
                let mut steps = steps[..=stopped].to_vec();
                steps[stopped].1 = "\u{3}";
                let run = type_in(host, "", &steps);
                assert!(run.stdout.contains("stopped: nothing was written"), "{stopped}\n{}", run.report());
                nothing(&run);
            }
        }
        let deliveries = server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>();
        assert!(deliveries >= 1, "{deliveries}");
        assert_eq!(fs::read_to_string(FILE).unwrap(), settings(port, &format!("password {VALUE}")));
    });
}

#[test]
fn what_would_change_is_accepted_by_its_name_or_asked() {
    Host::run(&USERS, |host| {
        // Nobody looked at this server's certificate.
        let text = "account default\nhost mail.example\nport 587\ntls on\ntls_certcheck off\nauth on\n\
                    user orders@shop.example\npassword other-horse\nfrom orders@shop.example\n";
        host.write(FILE, text, 0o600);
        let run = init(&format!("--import msmtp {REST} --no-network --write")).run();
        run.expect_status(78);
        let accept = run.stderr.split_once("say ").map(|(_, words)| words.trim().to_owned());
        let accept = accept.unwrap_or_else(|| panic!("{}", run.report()));
        assert!(accept.starts_with("--accept ") && run.stderr.contains("\n! "), "{}", run.report());
        nothing(&run);
        init(&format!("--import msmtp {accept} {REST} --no-network --write")).run().expect_status(0);
        let asked_for = laid();
        clear();
        if need("python3").is_none() {
            return;
        }
        let steps = [
            ("Take that over?", "\n"),
            ("What is marked ! would change. Take it over all the same? (y/n) [n]: ", "y\n"),
            ("Write this?", "y\n"),
            (accept.as_str(), ""),
        ];
        let run = type_in(host, &format!("{REST} --rewrite --no-network"), &steps);
        assert!(run.stdout.contains("status 0 left 0"), "{}", run.report());
        assert_eq!(laid(), asked_for);
        clear();
        let steps = [("Take that over?", "\n"), ("all the same?", "n\n"), ("Mail is sent as", "\u{3}")];
        let run = type_in(host, "--no-network", &steps);
        assert!(run.stdout.contains("left 0"), "{}", run.report());
        nothing(&run);
    });
}

#[test]
fn what_the_interview_has_no_answers_for_is_left_to_import() {
    Host::run(&USERS, |host| {
        let two = "account a\nhost a.example\nfrom a@a.example\naccount b\nhost b.example\nfrom b@b.example\n\
                   account default : a\n";
        host.write(FILE, two, 0o600);
        let run = init(&format!("--import msmtp {REST} --write")).run();
        run.expect_status(64);
        assert!(run.stderr.contains("has several accounts") && run.stderr.contains("import msmtp"), "{}", run.report());
        nothing(&run);
        for (line, status) in [("--import msmpt", 64), ("--import ssmtp", 66), ("--import msmtp --provider x", 64)] {
            let run = init(&format!("{line} {REST} --write")).run();
            run.expect_status(status);
            nothing(&run);
        }
        if need("python3").is_some() {
            let steps = [("`mailchute import msmtp` takes that over", ""), ("Mail is sent as", "\u{3}")];
            let run = type_in(host, "--no-network", &steps);
            assert!(run.stdout.contains("left 0"), "{}", run.report());
        }
        // A program that prints the secret stays that, and one that is nowhere is asked for.
        host.write(FILE, &settings(25, "passwordeval \"pass show mail\""), 0o600);
        let run = init(&format!("--import msmtp {REST} --no-network")).run();
        run.expect_status(0);
        assert!(run.stdout.contains("password = { command = "), "{}", run.report());
        assert!(!run.stdout.contains("secrets/"), "{}", run.report());
        host.write(FILE, &settings(25, ""), 0o600);
        let run = init(&format!("--import msmtp {REST} --no-network")).run();
        run.expect_status(64);
        assert!(run.stderr.contains("missing: --secret-stdin"), "{}", run.report());
        let run = init(&format!("--import msmtp {REST} --no-network --secret-stdin --write")).stdin(VALUE).run();
        run.expect_status(0);
        assert!(Path::new("/etc/mailchute/secrets/smtp").exists(), "{}", run.report());
    });
}
