//! Daemons and mail programs by their exact command lines, on a host with the usual configuration: a
//! `from` and an alias for root.

use testkit::Server;

use crate::setup::{Setup, every};

#[test]
fn daemons_by_their_command_lines() {
    // Who, argv, what it writes, the reverse-path, the forward-paths, the From field that arrives.
    let cases = [
        (
            "cron",
            "-FCronDaemon -i -B8BITMIME -oem root",
            "From: root (Cron Daemon)\nTo: root\n",
            ALERTS,
            ADMIN,
            "Cron Daemon <alerts@example.org>",
        ),
        (
            "cronie",
            "-FCronDaemon -i -odi -oem -oi -t -f root",
            "From: \"(Cron Daemon)\" <root>\nTo: root\n",
            ALERTS,
            ADMIN,
            "\"(Cron Daemon)\" <alerts@example.org>",
        ),
        ("busybox crond", "-ti", "To: root\nSubject: cron: x\n", ALERTS, ADMIN, "Host <alerts@example.org>"),
        (
            "anacron",
            "-FAnacron -odi root",
            "From: Anacron <root>\nTo: root\n",
            ALERTS,
            ADMIN,
            "Anacron <alerts@example.org>",
        ),
        ("at", "-i root", "Subject: Output from your job 1\nTo: root\n", ALERTS, ADMIN, "Host <alerts@example.org>"),
        (
            "arpwatch",
            "-odi root",
            "From: arpwatch (Arpwatch web1)\nTo: root\n",
            ALERTS,
            ADMIN,
            "Arpwatch web1 <alerts@example.org>",
        ),
        (
            "sudo",
            "-t",
            "To: root\nFrom: www-data\nAuto-Submitted: auto-generated\n",
            ALERTS,
            ADMIN,
            "alerts@example.org",
        ),
        (
            "mdadm",
            "-t",
            "From: mdadm monitoring <root>\nTo: root\n",
            ALERTS,
            ADMIN,
            "mdadm monitoring <alerts@example.org>",
        ),
        (
            "fail2ban",
            "-f fail2ban@example.org root@localhost",
            "From: Fail2Ban <fail2ban@example.org>\nTo: root@localhost\n",
            "fail2ban@example.org",
            ADMIN,
            "Fail2Ban <fail2ban@example.org>",
        ),
        (
            "a script's mail to a local name",
            "-oi -t -ODeliveryMode=b -OErrorMode=m",
            "From: rt\nTo: root\n",
            ALERTS,
            ADMIN,
            "alerts@example.org",
        ),
        (
            "vacation",
            "-i -f <> -- bob@example.net",
            "From: alice@example.org\nTo: bob@example.net\n",
            "",
            "bob@example.net",
            "alice@example.org",
        ),
        (
            "a filter",
            "-G -i -f list@example.net -- bob@example.net",
            "From: a@b.example\nTo: list@example.net\n",
            "list@example.net",
            "bob@example.net",
            "a@b.example",
        ),
        (
            "procmail",
            "-oi -f root bob@example.net",
            "From: a@b.example\nTo: root\n",
            ALERTS,
            "bob@example.net",
            "a@b.example",
        ),
    ];
    every(
        &cases,
        |case| case.0.to_owned(),
        |(_, argv, fields, from, to, field)| {
            let setup = Setup::new(Server::new())
                .top("from = \"Host <alerts@example.org>\"")
                .top("alias = { root = \"admin@example.org\" }");
            let run = setup.mailchute().line(argv).stdin(format!("{fields}\nit ran\n")).run();
            assert!(run.status == 0 && run.stderr.is_empty(), "{}", run.report());
            let deliveries = setup.deliveries();
            let [delivery] = &deliveries[..] else { panic!("{} messages\n{}", deliveries.len(), run.report()) };
            assert_eq!((delivery.reverse_path.as_str(), delivery.forward_paths()), (*from, vec![*to]));
            let text = delivery.text();
            assert!(text.contains(&format!("From: {field}\r\n")), "{text}");
            assert!(text.ends_with("\r\n\r\nit ran\r\n"), "{text}");
        },
    );
}

const ADMIN: &str = "admin@example.org";
const ALERTS: &str = "alerts@example.org";
