//! A container: no file, only variables.

use testkit::{Answer, Certs, Mailchute, Moment, Port, Scratch, Server, TlsStart, Web};

use crate::setup::{MESSAGE, mailchute};

const SECRET: &str = "correct horse battery staple";

/// A call with nothing but a log.
fn container(scratch: &Scratch) -> Mailchute {
    mailchute().env("MAILCHUTE_LOG", scratch.join("log")).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

/// The record of the last run.
fn record(scratch: &Scratch) -> serde_json::Value {
    let log = scratch.read("log");
    serde_json::from_str(log.lines().last().unwrap_or_default()).unwrap_or_default()
}

#[test]
fn a_key_is_a_bearer_token() {
    let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", "ya29.token", &["XOAUTH2"]).start();
    let scratch = Scratch::new();
    let authority = Certs::shared().write_authority(&scratch);
    let key = scratch.write("key", "ya29.token\n", 0o600);
    let call = || {
        let url = format!("smtps://127.0.0.1:{}?ca_file={}", server.port(), authority.display());
        container(&scratch).env("MAILCHUTE_URL", url).env("MAILCHUTE_USERNAME", "alice@example.org")
    };
    call().env("MAILCHUTE_KEY", "ya29.token").run().expect_status(0);
    call().env("MAILCHUTE_KEY_FILE", key).run().expect_status(0);
    let run = call().env("MAILCHUTE_KEY", "ya29.old").run();
    run.expect_status(135);
    assert!(!run.stderr.contains("ya29") && !scratch.read("log").contains("ya29"), "{}", run.report());
}

#[test]
fn a_client_of_an_authorization_server() {
    let web = Web::start(None, |asked| match asked.target.as_str() {
        "/token" => Answer::text(
            "HTTP/1.1 200 OK\n\n{\"access_token\":\"an-access-token\",\"token_type\":\"Bearer\",\"expires_in\":0}",
        ),
        _ => Answer::text("HTTP/1.1 202 Accepted\nrequest-id: 7b9f0d1e\n"),
    });
    let scratch = Scratch::new();
    let secret = scratch.write("secret", "hush-hush\n", 0o600);
    let here = format!("http://127.0.0.1:{}", web.port());
    let query = format!("client_id=app&mailbox=shop@example.com&endpoint={here}&token_endpoint={here}/token");
    let url = format!("outlook+api://default?tenant=shop.example&{query}");
    container(&scratch).env("MAILCHUTE_URL", &url).env("MAILCHUTE_PASSWORD_FILE", &secret).run().expect_status(0);
    let person = format!("outlook+api://default?{query}");
    container(&scratch).env("MAILCHUTE_URL", person).env("MAILCHUTE_KEY", "a-refresh-token").run().expect_status(0);
    let run = mailchute()
        .env("MAILCHUTE_URL", &url)
        .env("MAILCHUTE_PASSWORD", "hush-hush")
        .args(["init", "--from-env"])
        .run();
    run.expect_status(0);
    for line in ["client_id = \"app\"", "client_secret = \"hush-hush\"", "tenant = \"shop.example\"", "via = \"api\""] {
        assert!(run.stdout.contains(line), "{line}\n{}", run.report());
    }
    let asked = web.finish();
    let bodies: Vec<_> = asked.iter().step_by(2).map(|asked| String::from_utf8_lossy(&asked.body)).collect();
    assert!(bodies[0].contains("client_credentials") && bodies[0].contains("client_secret=hush-hush"), "{bodies:?}");
    assert!(bodies[1].contains("refresh_token=a-refresh-token"), "{bodies:?}");
}

#[test]
fn the_backup_is_tried_when_the_first_is_away() {
    let backup = Server::new().login("backup@example.org", SECRET, &["PLAIN"]).start();
    let (scratch, nobody) = (Scratch::new(), Port::reserve());
    let secret = scratch.write("backup-password", SECRET, 0o600);
    let call = |main: u16| {
        container(&scratch)
            .env("MAILCHUTE_URL", format!("smtp://127.0.0.1:{main}"))
            .env("MAILCHUTE_BACKUP_URL", format!("smtp://127.0.0.1:{}", backup.port()))
            .env("MAILCHUTE_BACKUP_USERNAME", "backup@example.org")
            .env("MAILCHUTE_BACKUP_PASSWORD_FILE", &secret)
    };
    let run = call(nobody.number()).run();
    run.expect_status(0);
    assert!(run.stderr.is_empty(), "{}", run.report());
    let seen = record(&scratch);
    assert_eq!((&seen["relay"], seen["tries"].as_array().map(Vec::len)), (&"backup".into(), Some(2)), "{seen}");
    // Deferred by the first: the backup. Refused by the first: that is the answer.
    let deferring = Server::new().reply(Moment::Mail, "451 4.3.0 later").start();
    call(deferring.port()).run().expect_status(0);
    let refusing = Server::new().reply(Moment::Rcpt, "550 5.1.1 no such user").start();
    let run = call(refusing.port()).run();
    run.expect_status(150);
    assert_eq!(record(&scratch)["tries"].as_array().map(Vec::len), Some(1), "{}", record(&scratch));
    // Its secret is missing: only a message that needs it is told.
    std::fs::remove_file(&secret).unwrap();
    let main = Server::new().start();
    call(main.port()).run().expect_status(0);
    call(nobody.number()).run().expect_status(69);
    assert_eq!(backup.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 2);
}

#[test]
fn mailchute_from_writes_for_who_has_no_address() {
    let server = Server::new().start();
    let scratch = Scratch::new();
    let call = |input: &str| {
        let url = format!("smtp://127.0.0.1:{}", server.port());
        let call = container(&scratch).env("MAILCHUTE_URL", url).env("MAILCHUTE_FROM", "Shop <orders@shop.example>");
        call.stdin(input).run().expect_status(0);
    };
    call("Subject: nobody says who\n\nx\n");
    call(MESSAGE);
    let sessions = server.finish();
    let first = &sessions[0].deliveries[0];
    assert_eq!(first.reverse_path, "orders@shop.example");
    assert!(first.text().contains("From: Shop <orders@shop.example>\r\n"), "{}", first.text());
    assert_eq!(sessions[1].deliveries[0].reverse_path, "alice@example.org", "who has one keeps it");
}

#[test]
fn symfonys_dsn() {
    let server = Server::new().login("alice@example.org", "p@ss/word", &["PLAIN"]).start();
    let tls = Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"]).start();
    let scratch = Scratch::new();
    let authority = Certs::shared().write_authority(&scratch);
    let here = format!("smtp://alice%40example.org:p%40ss%2Fword@127.0.0.1:{}", server.port());
    // Another one each time: a host on which mailchute is installed remembers who is down.
    let nobodies: Vec<Port> = (0..12).map(|_| Port::reserve()).collect();
    let mut rest = nobodies.iter();
    let mut away = || format!("smtp://127.0.0.1:{}", rest.next().expect("one more").number());
    let secure = format!("smtps://alice%40example.org:{}@127.0.0.1:{}", SECRET.replace(' ', "%20"), tls.port());
    for (dsn, tries) in [
        (here.clone(), 1),
        (format!("{here}?local_domain=web1.example.net"), 1),
        (secure.clone(), 1),
        (format!("failover({} {here})", away()), 2),
        (format!("failover({} {} {secure})?retry_period=15", away(), away()), 3),
        (format!("failover({} failover({} {here}))", away(), away()), 3),
        (format!("failover({} roundrobin({} {here}))", away(), away()), 3),
    ] {
        let run = container(&scratch).env("MAILER_DSN", &dsn).env("SSL_CERT_FILE", &authority).run();
        assert_eq!(run.status, 0, "{dsn}\n{}", run.report());
        assert_eq!(record(&scratch)["tries"].as_array().map(Vec::len), Some(tries), "{dsn}\n{}", record(&scratch));
    }
    assert!(record(&scratch)["warnings"].to_string().contains("roundrobin"), "{}", record(&scratch));
    // Either comes first.
    container(&scratch).env("MAILER_DSN", format!("roundrobin({} {here})", away())).run().expect_status(0);
    let record_of_spread = record(&scratch);
    assert!(matches!(record_of_spread["tries"].as_array().map(Vec::len), Some(1 | 2)), "{record_of_spread}");
    assert!(record_of_spread["warnings"].is_null(), "{record_of_spread}");
    for member in [&secure, &here] {
        let run = container(&scratch).env("MAILER_DSN", format!("failover({} {member}?verify_peer=0)", away())).run();
        run.expect_status(78);
        run.expect_stderr(
            "mailchute: MAILER_DSN: verify_peer=0 turns the verification of certificates off (mailchute)",
        );
    }
    let sessions = server.finish();
    assert_eq!(sessions.len(), 6);
    assert!(sessions.iter().any(|session| session.commands[0] == "EHLO web1.example.net"), "{sessions:?}");
    assert_eq!(tls.finish().iter().filter(|session| session.deliveries.len() == 1).count(), 2);
}

#[test]
fn null_discards_and_the_record_says_so() {
    let scratch = Scratch::new();
    for dsn in ["null://null", "null://default"] {
        let run = container(&scratch).env("MAILER_DSN", dsn).run();
        run.expect_status(0);
        assert!(record(&scratch)["text"].to_string().contains("discarded"), "{}", record(&scratch));
        let run = mailchute().env("MAILER_DSN", dsn).args(["test", "--to", "bob@example.net"]).run();
        run.expect_status(0);
        assert!(run.stdout.contains("message: nobody has it\n"), "{}", run.report());
    }
}

#[test]
fn the_log_goes_where_the_variable_says() {
    let server = Server::new().start();
    let scratch = Scratch::new();
    let call = |log: &str| {
        let call = mailchute().env("MAILCHUTE_URL", format!("smtp://127.0.0.1:{}", server.port()));
        call.env("MAILCHUTE_LOG", log).args(["-i", "bob@example.net"]).stdin(MESSAGE).run()
    };
    let file = scratch.join("log").display().to_string();
    let run = call(&format!("stderr, {file}"));
    run.expect_status(0);
    assert_eq!(run.stderr, scratch.read("log"));
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.report());
    let run = call("relative/path");
    run.expect_status(78);
    run.expect_stderr("mailchute: MAILCHUTE_LOG: *relative/path* (mailchute)");
}

/// The first line and the hint that a container with these variables is told.
fn told(variables: &[(&str, &str)]) -> (i32, String, String) {
    let scratch = Scratch::new();
    let mut call = container(&scratch);
    for (name, value) in variables {
        call = call.env(name, value);
    }
    let run = call.run();
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default().to_owned();
    (run.status, run.stderr.lines().next().unwrap_or_default().to_owned(), hint)
}

#[test]
fn mistakes_with_variables_are_told_in_variables() {
    let nobody = Port::reserve();
    let here = format!("smtp://127.0.0.1:{}", nobody.number());
    let server = Server::new().login("alice", SECRET, &["PLAIN"]).start();
    let wants_login = format!("smtp://127.0.0.1:{}", server.port());
    for (variables, status, first, hint) in [
        (
            &[("MAILCHUTE_URL", "smtp.example.net")][..],
            78,
            "MAILCHUTE_URL: is not a URL*",
            "write smtps://HOST (port 465)*",
        ),
        (&[("MAILER_DSN", "mx.example")], 78, "MAILER_DSN: is not a URL*", "write smtp://USER:PASSWORD@HOST:587*"),
        (
            &[("MAILCHUTE_URL", "smtps://mx.example:587")],
            78,
            "MAILCHUTE_URL: says smtps*port 587*",
            "write smtp://HOST:587*",
        ),
        (
            &[("MAILCHUTE_URL", &here), ("MAILCHUTE_USERNAME", "a"), ("MAILCHUTE_PASSWORD_FILE", "/run/nowhere")],
            78,
            "/run/nowhere: no such file*",
            "mount the secret at /run/nowhere, or name the place*",
        ),
        (
            &[("MAILCHUTE_HOST", "mx.example")],
            78,
            "configuration: none found*",
            "*set MAILCHUTE_URL*; MAILCHUTE_HOST is not known here: write MAILCHUTE_URL",
        ),
        (
            &[("MAILCHUTE_URL", &here), ("MAILCHUTE_USER", "a"), ("MAILCHUTE_PASSWORD", "b")],
            78,
            "MAILCHUTE_*",
            "*MAILCHUTE_USER is not known here: write MAILCHUTE_USERNAME",
        ),
        (
            &[("MAILER_DSN", "sendmail://default")],
            78,
            "configuration: none found; MAILER_DSN points back at this program*",
            "set MAILCHUTE_URL*",
        ),
        (&[], 78, "configuration: none found; searched *", "write /etc/mailchute/config.toml, or set MAILCHUTE_URL*"),
        (
            &[("MAILCHUTE_URL", &wants_login)],
            130,
            "*530*",
            "this relay requires a login: set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD",
        ),
    ] {
        let (got, line, step) = told(variables);
        let fits = testkit::matches(&format!("mailchute: {first}"), &line) && testkit::matches(hint, &step);
        assert!(got == status && fits, "{variables:?}: {got}\n{line}\n{step}");
        assert!(!step.contains("php-fpm") && !step.contains("as root"), "{variables:?}\n{step}");
    }
}

#[test]
fn a_line_end_or_quotes_around_the_url_are_nothing() {
    let server = Server::new().start();
    let scratch = Scratch::new();
    let url = format!("smtp://127.0.0.1:{}", server.port());
    for name in ["MAILCHUTE_URL", "MAILER_DSN"] {
        for url in [format!("{url}\n"), format!("\"{url}\""), format!("'{url}'\n")] {
            container(&scratch).env(name, url).run().expect_status(0);
        }
    }
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let server = Server::new().start();
    let scratch = Scratch::new();
    let url = format!("smtp://127.0.0.1:{}", server.port());
    container(&scratch).env("MAILCHUTE_URL", url).env("MAILCHUTE_FORM", "a@example.org").run().expect_status(0);
    let warnings = record(&scratch)["warnings"].to_string();
    assert!(
        warnings.contains("MAILCHUTE_FORM is not a variable of mailchute: did you mean MAILCHUTE_FROM?"),
        "{warnings}"
    );
}

#[test]
fn the_hint_stands_in_the_record_too() {
    let scratch = Scratch::new();
    let run = container(&scratch).env("MAILCHUTE_URL", "smtps://127.0.0.1:1").run();
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
    assert!(hint.is_some() && record(&scratch)["hint"].as_str() == hint, "{}\n{}", run.report(), record(&scratch));
}

#[test]
fn laravels_variables() {
    let server = Server::new().login("alice@example.org", SECRET, &["PLAIN"]).start();
    let tls = Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"]).start();
    let scratch = Scratch::new();
    let authority = Certs::shared().write_authority(&scratch);
    let secret = scratch.write("password", SECRET, 0o600);
    let call = |port: u16| {
        let call = container(&scratch).env("MAIL_HOST", "127.0.0.1").env("MAIL_PORT", port.to_string());
        call.env("MAIL_USERNAME", "alice@example.org").env("SSL_CERT_FILE", &authority)
    };
    let nameless = "Subject: nobody says who\n\nx\n";
    let call_with_from = |port: u16| {
        call(port).env("MAIL_FROM_ADDRESS", "orders@shop.example").env("MAIL_FROM_NAME", "Shop, Inc.").stdin(nameless)
    };
    call_with_from(server.port()).env("MAIL_PASSWORD", SECRET).env("MAIL_ENCRYPTION", "null").run().expect_status(0);
    call(server.port()).env("MAIL_PASSWORD_FILE", secret).run().expect_status(0);
    call(tls.port()).env("MAIL_PASSWORD", SECRET).env("MAIL_SCHEME", "smtps").run().expect_status(0);
    call(tls.port()).env("MAIL_PASSWORD", SECRET).env("MAIL_ENCRYPTION", "ssl").run().expect_status(0);
    // Ours goes before, and Symfony's.
    let ours = format!("smtp://127.0.0.1:{}", Port::reserve().number());
    call(server.port()).env("MAIL_PASSWORD", SECRET).env("MAILCHUTE_URL", &ours).run().expect_status(69);
    call(server.port()).env("MAIL_PASSWORD", SECRET).env("MAILER_DSN", &ours).run().expect_status(69);
    // Which counts as unset where it means this program.
    let run = call(server.port()).env("MAIL_PASSWORD", SECRET).env("MAILER_DSN", "native://default").run();
    run.expect_status(0);
    let run = call(server.port()).env("MAIL_PASSWORD", SECRET).env("MAIL_PORT", "smtp").run();
    run.expect_status(78);
    run.expect_stderr("mailchute: MAIL_PORT: is not a port, but \"smtp\": write a number such as 587 (mailchute)");
    let run = call(server.port()).env("MAIL_SCHEME", "https").run();
    run.expect_status(78);
    run.expect_stderr("mailchute: MAIL_SCHEME: must be smtp, smtps, tls or ssl, not \"https\" (mailchute)");
    let sessions = server.finish();
    let deliveries: Vec<_> = sessions.iter().flat_map(|session| &session.deliveries).collect();
    assert_eq!(deliveries.len(), 3);
    assert_eq!(deliveries[0].reverse_path, "orders@shop.example");
    assert!(
        deliveries[0].text().contains("From: \"Shop, Inc.\" <orders@shop.example>\r\n"),
        "{}",
        deliveries[0].text()
    );
    assert_eq!(tls.finish().iter().filter(|session| session.deliveries.len() == 1).count(), 2);
}

#[test]
fn what_surrounds_a_value_is_no_part_of_it() {
    let server = Server::new().login("alice", SECRET, &["PLAIN"]).start();
    let scratch = Scratch::new();
    let secret = scratch.write("smtp", SECRET, 0o600);
    let path = secret.display().to_string();
    let port = server.port();
    for around in ["\"{}\"", "'{}'", "{}\r", " \"{}\" \r\n"] {
        let value = |text: &str| around.replace("{}", text);
        let call = container(&scratch)
            .env("MAILCHUTE_URL", value(&format!("smtp://127.0.0.1:{port}")))
            .env("MAILCHUTE_USERNAME", value("alice"))
            .env("MAILCHUTE_PASSWORD_FILE", value(&path))
            .env("MAILCHUTE_FROM", value("Shop <orders@shop.example>"));
        call.run().expect_status(0);
        let call = container(&scratch)
            .env("MAIL_HOST", value("127.0.0.1"))
            .env("MAIL_PORT", value(&port.to_string()))
            .env("MAIL_ENCRYPTION", value("null"))
            .env("MAIL_USERNAME", value("alice"))
            .env("MAIL_PASSWORD_FILE", value(&path));
        call.run().expect_status(0);
    }
    // A secret is taken as it stands.
    let quoted = Server::new().login("alice", "\"a secret # in quotes\"", &["PLAIN"]).start();
    for (url, username, password) in
        [("MAILCHUTE_URL", "MAILCHUTE_USERNAME", "MAILCHUTE_PASSWORD"), ("MAIL_HOST", "MAIL_USERNAME", "MAIL_PASSWORD")]
    {
        let here = format!("smtp://127.0.0.1:{}", quoted.port());
        let url_value = if url == "MAIL_HOST" { "127.0.0.1" } else { &here };
        let call = container(&scratch).env(url, url_value).env("MAIL_PORT", quoted.port().to_string());
        call.env(username, "alice").env(password, "\"a secret # in quotes\"").run().expect_status(0);
    }
}

/// The next step names what is set, in every form that a configuration without a file has.
#[test]
fn the_next_step_names_the_variable_that_holds_it() {
    let nobody = Port::reserve().number().to_string();
    let wants_login = Server::new().login("alice", SECRET, &["PLAIN"]).start();
    let own_only = Server::new().reply(Moment::Mail, "553 5.7.1 Relaying disallowed as x@example.org").start();
    let implicit = Server::new().tls(TlsStart::Implicit).start();
    let plain = Server::new().start();
    let (login_port, own_port) = (wants_login.port().to_string(), own_only.port().to_string());
    let (tls_port, plain_port) = (implicit.port().to_string(), plain.port().to_string());
    let at = |scheme: &str, port: &str| format!("{scheme}://127.0.0.1:{port}");
    let (main, own) = (at("smtp", &login_port), at("smtp", &own_port));
    let (untrusted, mailpit) = (at("smtps", &tls_port), at("smtp", &plain_port) + "?tls=starttls");
    let away = at("smtp", &nobody);
    let laravel = [("MAIL_HOST", "127.0.0.1")];
    for (variables, hint) in [
        (&[("MAILCHUTE_URL", &*main)][..], "*: set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD"),
        (&[("MAILER_DSN", &*main)], "*: set the user name and the password in MAILER_DSN"),
        (
            &[laravel[0], ("MAIL_PORT", &*login_port), ("MAIL_USERNAME", "null")],
            "*: set MAIL_USERNAME and MAIL_PASSWORD",
        ),
        (
            &[("MAILCHUTE_URL", &*away), ("MAILCHUTE_BACKUP_URL", &*main)],
            "*: set MAILCHUTE_BACKUP_USERNAME and MAILCHUTE_BACKUP_PASSWORD",
        ),
        (
            &[("MAILCHUTE_URL", &*own)],
            "*: set MAILCHUTE_FROM to *, and add ?sender=ADDRESS&other_sender=rewrite to MAILCHUTE_URL",
        ),
        (
            &[("MAILER_DSN", &*own)],
            "*: set MAILCHUTE_FROM to *, and use MAILCHUTE_URL in place of MAILER_DSN, with ?sender=ADDRESS&*",
        ),
        (
            &[laravel[0], ("MAIL_PORT", &*own_port)],
            "*: set MAIL_FROM_ADDRESS to *, and use MAILCHUTE_URL in place of MAIL_HOST, with ?sender=ADDRESS&*",
        ),
        (&[("MAILCHUTE_URL", &*untrusted)], "*add ?ca_file=FILE to MAILCHUTE_URL*"),
        (&[("MAILER_DSN", &*untrusted)], "*use MAILCHUTE_URL in place of MAILER_DSN, with ?ca_file=FILE*"),
        (
            &[("MAILCHUTE_URL", &*mailpit)],
            "a test server such as Mailpit*: add ?tls=none to MAILCHUTE_URL if this is one*",
        ),
        (
            &[("MAILCHUTE_URL", &*mailpit), ("MAILCHUTE_USERNAME", "a"), ("MAILCHUTE_PASSWORD", "b")],
            "*leave MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD out and add ?tls=none to MAILCHUTE_URL if this is one*",
        ),
        (
            &[("MAILCHUTE_URL", "smtp://mailpit:1025?tls=none"), ("MAILCHUTE_USERNAME", "a"), ("MAILCHUTE_KEY", "b")],
            "a test server*: leave MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD out;*",
        ),
        (&[laravel[0], ("MAIL_PORT", &*plain_port), ("MAIL_ENCRYPTION", "ssl")], "*set MAIL_ENCRYPTION=tls"),
        (&[laravel[0], ("MAIL_PORT", &*plain_port), ("MAIL_SCHEME", "smtps")], "*set MAIL_SCHEME=smtp"),
        (
            &[laravel[0], ("MAIL_PORT", "tcp://10.96.14.7:25")],
            "Kubernetes sets MAIL_PORT for a service that is called mail:*",
        ),
        (&[("MAILCHUTE_URL", "smtps://mx.example   # ours")], "a file of variables takes it as part of the value*"),
        (&[("MAILCHUTE_URL", &*away)], "nothing accepts connections on port * of this machine*in a container*"),
        (
            &[("MAILCHUTE_URL", "smtps://mx.example?verify_peer=0")],
            "leave it out; * write ?ca_file=FILE or ?fingerprint=SHA256",
        ),
        (&[("MAILCHUTE_URL", &*away), ("MAILCHUTE_LOG", "stdout")], "*stderr*"),
        (
            &[("MAILCHUTE_HOST", "mx"), ("MAILCHUTE_PORT", "587"), ("MAILCHUTE_USER", "a"), ("MAILCHUTE_PASS", "b")],
            "*set MAILCHUTE_URL*; MAILCHUTE_HOST, MAILCHUTE_PASS, MAILCHUTE_PORT and MAILCHUTE_USER are not known here: \
             write MAILCHUTE_URL, MAILCHUTE_PASSWORD and MAILCHUTE_USERNAME",
        ),
        (
            &[("MAILCHUTE_URL", &*main), ("MAILCHUTE_USER", "a"), ("MAILCHUTE_PASS", "b")],
            "*: set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD; MAILCHUTE_PASS and MAILCHUTE_USER are not known here: \
             write MAILCHUTE_PASSWORD and MAILCHUTE_USERNAME",
        ),
    ] {
        let (_, line, step) = told(variables);
        assert!(testkit::matches(hint, &step), "{variables:?}\n{line}\n{step}\n{hint}");
    }
}

#[test]
fn laravel_without_tls_and_login_is_a_test_server() {
    let plain = Server::new().start();
    let scratch = Scratch::new();
    let call = |name: &str| {
        container(&scratch).env("MAIL_HOST", "127.0.0.1").env("MAIL_PORT", plain.port().to_string()).env(name, "null")
    };
    for name in ["MAIL_ENCRYPTION", "MAIL_SCHEME"] {
        call(name).env("MAIL_USERNAME", "null").env("MAIL_PASSWORD", "null").run().expect_status(0);
    }
    assert_eq!(plain.finish().len(), 2);
    // What has a login to lose has TLS, and so has a port of the outside.
    for (variables, first) in [
        (&[("MAIL_HOST", "mx.example"), ("MAIL_PORT", "1025")][..], "no TLS"),
        (&[("MAIL_HOST", "mx.example"), ("MAIL_PORT", "587")], "STARTTLS required"),
        (
            &[("MAIL_HOST", "mx.example"), ("MAIL_PORT", "1025"), ("MAIL_USERNAME", "a"), ("MAIL_PASSWORD", "b")],
            "STARTTLS required",
        ),
    ] {
        let mut call =
            mailchute().env("MAIL_ENCRYPTION", "null").env("MAIL_PASSWORD", "null").args(["explain", "b@example.net"]);
        for (name, value) in variables {
            call = call.env(name, value);
        }
        let run = call.run();
        assert!(run.stdout.contains(first), "{variables:?}\n{}", run.report());
    }
}

/// `check`, `explain` and `secret check` say it in the same words as a message that fails.
#[test]
fn whoever_looks_is_told_in_variables_too() {
    let wants_login = Server::new().login("alice", SECRET, &["PLAIN"]).start();
    let url = format!("smtp://127.0.0.1:{}", wants_login.port());
    let call = |args: &[&str]| {
        let call = mailchute().env("MAILCHUTE_URL", &url).env("MAILCHUTE_USERNAME", "alice");
        call.env("MAILCHUTE_PASSWORD_FILE", "/run/secrets/nowhere").args(args).run()
    };
    for args in [&["check"][..], &["explain", "b@example.net"], &["secret", "check"]] {
        let run = call(args);
        let all = format!("{}{}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            all.contains("mount the secret at /run/secrets/nowhere, or name the place"),
            "{args:?}\n{}",
            run.report()
        );
        assert!(!all.contains("sudo install"), "{args:?}\n{}", run.report());
    }
    let run = mailchute().env("MAILCHUTE_URL", "smtp://127.0.0.1:1?tls=implicit").arg("check").run();
    assert!(!run.stdout.contains("[relay.") && !run.stdout.contains("tls ="), "{}", run.report());
}

#[test]
fn a_file_that_comes_first_says_so() {
    let scratch = Scratch::new();
    let nobody = Port::reserve();
    let file = scratch.write(
        "config.toml",
        format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {}\n", nobody.number()),
        0o600,
    );
    let call = || mailchute().env("MAILCHUTE_CONFIG", &file).args(["-i", "bob@example.net"]).stdin(MESSAGE);
    let run = call().env("MAILCHUTE_URL", "smtps://mx.example").run();
    let told = format!("; {} comes before MAILCHUTE_URL, which is ignored\n", file.display());
    assert!(run.stderr.ends_with(&told), "{}", run.report());
    let missing = call().env("MAILCHUTE_CONFIG", scratch.join("nowhere")).run();
    missing.expect_status(78);
    assert!(missing.stderr.contains("hint: MAILCHUTE_CONFIG names it"), "{}", missing.report());
    let run = call().env("MAILER_DSN", "smtps://mx.example").run();
    assert!(!run.stderr.contains("ignored"), "another program's: {}", run.report());
}

#[test]
fn a_test_message_that_is_thrown_away_is_said_to_be() {
    let server = Server::new().start();
    let test = |url: &str| {
        let args = ["test", "--from", "a@example.org", "--to", "bob@example.net"];
        mailchute().env("MAILCHUTE_URL", url).args(args).run()
    };
    let run = test("null://default");
    run.expect_status(0);
    assert!(run.stdout.contains("thrown away") && !run.stdout.contains("accepted"), "{}", run.report());
    let run = test(&format!("smtp://127.0.0.1:{}", server.port()));
    assert!(!run.stdout.contains("thrown away"), "{}", run.report());
}
