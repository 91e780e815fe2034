//! Bad input: each case names its status and its sentence, and nothing is sent.

use testkit::Server;

use crate::setup::{MESSAGE, Setup, every, mailchute};

#[test]
fn bad_command_lines_and_bad_messages() {
    // argv, standard input, status, first line of standard error
    let cases: &[(&[&str], &str, i32, &str)] = &[
        (&["-i"], MESSAGE, 64, "mailchute: no recipients: the command line names none *"),
        (&["-t", "-i"], "Subject: nobody is named\n\nx\n", 64, "mailchute: *no recipients*"),
        (&["-bd"], MESSAGE, 64, "mailchute: -bd: *"),
        (&["-bD"], MESSAGE, 64, "mailchute: -bD: *"),
        (&["-bt"], MESSAGE, 64, "mailchute: -bt: *"),
        (&["-t", "--config", "/tmp/evil"], MESSAGE, 64, "mailchute: --config: *"),
        (&["-t", "-i", "--site=other"], MESSAGE, 64, "mailchute: --site*: *"),
        (&["root"], MESSAGE, 64, "mailchute: root: no such subcommand*"),
        (&["-i", "bob@example.net"], "", 66, "mailchute: standard input: *empty*"),
        (&["-i", "bob@@example.net"], MESSAGE, 65, "mailchute: bob@@example.net: *"),
        (&["-i", "bob@exa mple.net"], MESSAGE, 65, "mailchute: bob@exa mple.net: *"),
        (&["-i", "bob@example.net\r\nRCPT TO:<eve@example.net>"], MESSAGE, 65, "mailchute: *bob@example.net??RCPT*: *"),
        (&["-i", "-f", "a@b@c", "bob@example.net"], MESSAGE, 65, "mailchute: a@b@c: *"),
        (&["-i", "bob"], MESSAGE, 65, "mailchute: bob: *"),
        (&["-t", "-i"], "To: bob@\n\nx\n", 65, "mailchute: bob@: *"),
    ];
    every(
        cases,
        |case| format!("{:?}", case.0),
        |(args, stdin, status, sentence)| {
            let setup = Setup::new(Server::new());
            let run = setup.mailchute().args(args.iter().copied()).stdin(*stdin).run();
            run.expect_status(*status);
            run.expect_stderr(sentence);
            assert!(setup.finish().is_empty(), "somebody connected\n{}", run.report());
        },
    );
}

#[test]
fn standard_input_is_drained_before_an_error_exit() {
    // More than a pipe holds: a caller that cannot write it would die of SIGPIPE.
    let large = format!("{MESSAGE}{}", "x\r\n".repeat(1 << 20));
    let setup = Setup::new(Server::new());
    for args in [&["-i"][..], &["-bd"], &["-t", "--relay", "x"], &["--nonsense", "-t"], &["-i", "bob@@example.net"]] {
        let run = setup.mailchute().args(args.iter().copied()).stdin(large.clone()).run();
        assert!(run.status > 0 && run.drained, "{args:?}\n{}", run.report());
    }
    let run = mailchute().args(["--config", "/proc/nonexistent", "-t", "-i"]).stdin(large).run();
    assert!(run.status > 0 && run.drained, "{}", run.report());
}

#[test]
fn a_subcommand_that_is_none_is_told_the_nearest() {
    let run = mailchute().arg("explian").run();
    run.expect_status(64);
    assert!(run.stderr.contains("explain"), "{}", run.report());
}

#[test]
fn questions_a_caller_without_a_queue_asks() {
    let setup = Setup::new(Server::new());
    for (name, args) in [
        ("mailq", &[][..]),
        ("sendmail", &["-bp"]),
        ("sendmail", &["-q"]),
        ("sendmail", &["-q15m"]),
        ("newaliases", &[]),
        ("sendmail", &["-bi"]),
    ] {
        let run = mailchute().name(name).args(args.iter().copied()).run();
        assert_eq!(run.status, 0, "{name} {args:?}\n{}", run.report());
        assert!(run.stderr.is_empty(), "{name} {args:?}\n{}", run.report());
    }
    let run = setup.mailchute().arg("-bs").stdin("EHLO me\r\nQUIT\r\n").run();
    run.expect_status(0);
    assert!(run.stdout.starts_with("220 ") && run.stdout.ends_with("221 2.0.0 bye\r\n"), "{}", run.report());
}

#[test]
fn recipients_are_verified_without_a_message() {
    let setup = Setup::new(Server::new()).top("[alias]\nroot = [\"admin@example.net\"]");
    let run = setup.mailchute().args(["-bv", "root", "bob@example.net"]).run();
    run.expect_status(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("admin@example.net... deliverable: ") && lines.len() == 2, "{}", run.report());
    setup.mailchute().args(["-bv", "nosuchname"]).run().expect_status(65).expect_stderr("mailchute: nosuchname: *");
    assert!(setup.deliveries().is_empty());
}

#[test]
fn options_for_delivery_reports_reach_the_server() {
    for (offered, notify) in [(&["DSN", "PIPELINING", "CHUNKING"][..], "NOTIFY=SUCCESS,DELAY"), (&["8BITMIME"], "")] {
        let setup = Setup::new(Server::new().capabilities(offered));
        let line = "-bm -i -Nsuccess,delay -R hdrs -V ticket+1 -B 8BITMIME -L tag -G -U -h 3 bob@example.net";
        setup.mailchute().line(line).stdin(MESSAGE).run().expect_status(0);
        let noted = setup.record()["warnings"].to_string();
        let deliveries = setup.deliveries();
        let (mail, rcpt) = (&deliveries[0].parameters, &deliveries[0].recipients[0].parameters);
        assert_eq!(mail.contains("RET=HDRS ENVID=ticket+2B1"), !notify.is_empty(), "{mail}");
        assert!(
            rcpt.starts_with(notify) && rcpt.contains("ORCPT=rfc822;bob@example.net") != notify.is_empty(),
            "{rcpt}"
        );
        assert_eq!(noted.contains("NOTIFY, RET, ENVID not carried"), notify.is_empty(), "{noted}");
    }
}

#[test]
fn help_and_version_need_no_configuration() {
    for args in [&["--help"][..], &["--version"], &["providers"], &["status", "150"], &["status", "0x4b"]] {
        let run = mailchute().args(args.iter().copied()).run();
        assert_eq!(run.status, 0, "{args:?}\n{}", run.report());
        assert!(!run.stdout.is_empty() && run.stderr.is_empty(), "{args:?}\n{}", run.report());
    }
}

#[test]
fn any_other_name_speaks_the_dialect_only() {
    let run = mailchute().name("/usr/sbin/sendmail").args(["--version"]).run();
    run.expect_status(64);
    // A first word is a recipient there, not a subcommand; without a configuration that is 78.
    let run = mailchute().name("sendmail").args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
    run.expect_status(78);
}

#[test]
fn what_some_caller_passes_has_no_effect() {
    let lines = [
        "-oi -oem -oMrsmtp -O DeliveryMode=b -C /etc/evil.cf -X {scratch}/trace -p smtp:host -L tag bob@example.net",
        "-i -Am -d0.1 -n -m -em -Btest -hx -v bob@example.net",
        "-i -N never -h 12 -U -G -F Bob -- bob@example.net",
        "-i -bm -Zunknown bob@example.net",
    ];
    for line in lines {
        let setup = Setup::new(Server::new());
        let line = line.replace("{scratch}", &setup.scratch.path().display().to_string());
        let run = setup.mailchute().line(&line).stdin(MESSAGE).run();
        assert_eq!(run.status, 0, "{line}\n{}", run.report());
        assert!(!setup.scratch.join("trace").exists(), "{line}");
        let deliveries = setup.deliveries();
        assert_eq!(deliveries[0].forward_paths(), ["bob@example.net"], "{line}");
    }
}

#[test]
fn a_lone_dot_in_a_pipe_cuts_nothing() {
    let setup = Setup::new(Server::new());
    setup.mailchute().args(["bob@example.net", "-oem"]).stdin(MESSAGE).run().expect_status(0);
    setup.mailchute().args(["-oem", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
    let texts: Vec<String> = setup.deliveries().iter().map(testkit::Delivery::text).collect();
    assert_eq!(texts, [MESSAGE, MESSAGE]);
}
