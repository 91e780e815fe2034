//! Subcommands as a person calls them.

use testkit::{Moment, Server, TlsStart};

use crate::setup::{MESSAGE, Setup, mailchute};

const SECRET: &str = "correct horse battery staple";

#[test]
fn explain_says_where_a_message_would_go_and_sends_nothing() {
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"]));
    drop(setup.mailchute());
    let config = setup.scratch.join("config.toml");
    let run = mailchute().config(&config).args(["explain", "-t", "-i", "bob@example.net"]).stdin(MESSAGE).run();
    run.expect_status(0);
    for text in ["config.toml", "default", "bob@example.net", "alice@example.org", "main", "127.0.0.1"] {
        assert!(run.stdout.contains(text), "{text} is missing\n{}", run.report());
    }
    assert!(!run.stdout.contains(SECRET), "{}", run.report());
    assert!(setup.finish().is_empty(), "somebody connected");
}

#[test]
fn explain_says_which_route_is_meant_and_why_the_others_are_not() {
    let scratch = testkit::Scratch::new();
    let config = "[[route]]\nsubject = '*[Invoice]*'\nrelay = 'bulk'\n\
        [[route]]\nfrom = '*@example.org'\nnot = { to = 'bob@*' }\nrelay = 'bulk'\n\
        [[route]]\nto = ['*@nowhere.example', 'BOB@*']\nrelay = ['bulk', 'main']\n\
        [[route]]\nrelay = 'main'\n\
        [relay.main]\nhost = 'main.example'\n[relay.bulk]\nhost = 'bulk.example'\n";
    let config = scratch.write("config.toml", config, 0o644);
    let explain = |argv: &[&str]| {
        let run = mailchute().config(&config).args(argv).stdin(MESSAGE).run();
        run.expect_status(0);
        run.stdout
            .lines()
            .filter(|line| line.contains("route") || line.starts_with("relay"))
            .map(str::to_owned)
            .collect()
    };
    let rows: Vec<String> = explain(&["explain", "-i", "bob@example.net"]);
    assert_eq!(
        rows,
        [
            "route 1       passed over: subject = \"*[Invoice]*\" does not hold",
            "route 2       passed over: not = { to = \"bob@*\" } does not hold",
            "route 3       matches: bulk, main",
            "route 4       not looked at: one before it matches",
            "relay 1       bulk: SMTP to bulk.example:465, TLS from the start",
            "relay 2       main: SMTP to main.example:465, TLS from the start",
        ]
    );
    let rows: Vec<String> = explain(&["explain", "--relay", "main", "-i", "bob@example.net"]);
    assert_eq!(rows, ["relay 1       main: SMTP to main.example:465, TLS from the start"]);
}

#[test]
fn explain_names_the_files_that_sending_would_fail_of() {
    let scratch = testkit::Scratch::new();
    scratch.write("secret", "hunter2", 0o644);
    scratch.write("cert.pem", "", 0o644);
    let relay = "[relay.main]\nhost = 'mx.example'\nusername = 'u'\npassword = { file = 'secret' }\n\
                 ca_file = 'ca.pem'\nclient_cert = { cert = 'cert.pem', key = 'key.pem' }\n";
    let config = scratch.write("config.toml", relay, 0o644);
    let run = mailchute().config(&config).args(["explain", "-i", "bob@example.net"]).stdin(MESSAGE).run();
    // As sending would.
    run.expect_status(78);
    run.expect_stderr("mailchute: */ca.pem: no such file");
    assert!(run.stderr.contains("\nmailchute: a caller would get exit status 78\n"), "{}", run.report());
    for (name, verdict) in [
        ("ca.pem", "NOT usable: no such file"),
        ("cert.pem", "readable"),
        ("key.pem", "NOT usable: no such file"),
        ("secret", "readable, but world-readable, and a secret is inside"),
    ] {
        let path = scratch.join(name).display().to_string();
        let line = run.stdout.lines().find(|line| line.contains(&path)).unwrap_or_default();
        let line = line.split("; sudo ").next().unwrap_or_default();
        assert!(line.ends_with(verdict), "{name}: {line}\n{}", run.report());
    }
}

#[test]
fn test_sends_a_message_of_our_own_and_shows_the_dialogue() {
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"]));
    drop(setup.mailchute());
    let config = setup.scratch.join("config.toml");
    let run = mailchute().config(&config).args(["test", "--to", "bob@example.net"]).run();
    run.expect_status(0);
    let is_root = nix::unistd::getuid().is_root();
    assert_eq!(
        run.stderr.contains("hint: this ran as root, who can read files that PHP cannot"),
        is_root,
        "{}",
        run.report()
    );
    assert!(run.stdout.contains("RCPT TO:<bob@example.net>"), "{}", run.report());
    assert!(!run.stdout.contains(SECRET) && !run.stdout.contains("AGFsaWNl"), "{}", run.report());
    let deliveries = setup.deliveries();
    assert_eq!(deliveries[0].forward_paths(), ["bob@example.net"]);
    for field in ["From: ", "To: ", "Subject: ", "Date: ", "Message-ID: ", "MIME-Version: "] {
        assert!(deliveries[0].text().contains(field), "{field}\n{}", deliveries[0].text());
    }
}

#[test]
fn test_ends_as_a_caller_would() {
    let setup = Setup::new(Server::new().reply(Moment::Rcpt, "550 5.1.1 no such user"));
    drop(setup.mailchute());
    let config = setup.scratch.join("config.toml");
    let run = mailchute().config(&config).args(["test", "--to", "bob@example.net", "--from", "a@example.org"]).run();
    assert!(format!("{}{}", run.stdout, run.stderr).contains("550 5.1.1 no such user"), "{}", run.report());
    assert!(format!("{}{}", run.stdout, run.stderr).contains("150"), "{}", run.report());
    // One next step at most.
    assert!(run.stderr.matches("hint: ").count() <= 1, "{}", run.report());
}

#[test]
fn init_prints_the_environment_as_a_file_that_works() {
    let server = Server::new().start();
    let url = format!("smtp://127.0.0.1:{}?tls=none", server.port());
    let run =
        mailchute().args(["init", "--from-env"]).env("MAILCHUTE_URL", url).env("MAILCHUTE_FROM", "a@example.org").run();
    run.expect_status(0);
    let scratch = testkit::Scratch::new();
    let config = scratch.write("config.toml", &run.stdout, 0o644);
    mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
    assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 1);
}

#[test]
fn explain_ends_as_sending_would() {
    for (relays, status) in [
        ("[relay.a]\nhost = 'mx.example'\nusername = 'u'\npassword = { file = 'missing' }\n", 78),
        ("[relay.a]\nhost = 'mx.example'\nusername = 'u'\npassword = { file = 'empty' }\n", 78),
        ("[relay.a]\nhost = 'mx.example'\nusername = 'u'\npassword = { env = 'MAILCHUTE_NOT_THERE' }\n", 78),
        ("[relay.a]\nprovider = 'google'\nclient_id = 'c'\nusername = 'u@example.org'\n", 78),
        ("[relay.a]\nhost = 'mx.example'\nusername = 'u'\npassword = { file = 'right' }\n", 0),
        // The second would take it.
        (
            "[relay.a]\nhost = 'mx.example'\nusername = 'u'\npassword = { file = 'missing' }\n[relay.b]\nhost = 'b.example'\n",
            0,
        ),
    ] {
        let scratch = testkit::Scratch::new();
        scratch.write("right", "hunter22", 0o600);
        scratch.write("empty", "\n", 0o600);
        let config = scratch.write("config.toml", relays, 0o644);
        let run = mailchute().config(&config).args(["explain", "-i", "bob@example.net"]).stdin(MESSAGE).run();
        assert_eq!(run.status, status, "{relays}\n{}", run.report());
        assert_eq!(run.stderr.contains("a caller would get exit status 78"), status == 78, "{}", run.report());
    }
}

#[test]
fn lint_lists_what_would_be_changed_and_why() {
    let message = b"Subject: caf\xe9\nContent-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9\n";
    let run = mailchute().arg("lint").stdin(&message[..]).run();
    run.expect_status(0);
    for text in [
        "line ends made CRLF",
        "with 8BITMIME:     Subject encoded (RFC 2047, iso-8859-1)",
        "body re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)",
    ] {
        assert!(run.stdout.contains(text), "{text} is missing\n{}", run.report());
    }
}

#[test]
fn status_tells_what_a_number_stands_for() {
    for (number, texts) in [
        ("150", &["550"][..]),
        ("0x96", &["550"]),
        ("51", &["451"]),
        ("79", &["doubt"]),
        ("78", &["onfiguration"]),
        ("0", &["accepted"]),
    ] {
        let run = mailchute().args(["status", number]).run();
        run.expect_status(0);
        for text in texts {
            assert!(run.stdout.contains(text), "{number}: {text}\n{}", run.report());
        }
    }
}

#[test]
fn providers_lists_them() {
    let run = mailchute().arg("providers").run();
    run.expect_status(0);
    for id in ["postmark", "mailgun", "amazon-ses", "sendgrid"] {
        assert!(run.stdout.contains(id), "{id}\n{}", run.report());
    }
}
