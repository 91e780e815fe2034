//! The next step a user is told, for refusals and failures that are really met.

use testkit::{Action, Moment, Scratch, Script, Server, TlsStart, Web};

use crate::setup::{MESSAGE, Setup, every, mailchute, with_enough_time};

/// The moment, the reply, and what the hint begins with; no hint where that is empty.
const REPLIES: [(Moment, &str, &str); 16] = [
    (Moment::Auth, "535 5.7.8 no", "check the user name `alice` and its password"),
    (Moment::Auth, "535 5.7.8 Username and Password not accepted - gsmtp", "Google refuses the account's own password"),
    (Moment::Auth, "534 5.7.9 Application-specific password required - gsmtp", "Google wants an app password"),
    (Moment::Auth, "454 4.7.0 Too many login attempts - gsmtp", "the password was not judged"),
    (Moment::Auth, "530 5.7.0 Must issue a STARTTLS command first", "the server wants TLS before anything else"),
    (Moment::Mail, "550 5.7.1 sender is not verified", "verify this sender"),
    (Moment::Mail, "552 5.3.4 Message size exceeds fixed limit", "the message is larger"),
    (Moment::Mail, "501 5.5.4 syntax", ""),
    (Moment::Mail, "451 4.7.1 rate limit exceeded", "127.0.0.1 is limiting how fast"),
    (Moment::Mail, "550 5.4.5 Daily user sending limit exceeded", "127.0.0.1 is limiting how fast"),
    (Moment::Rcpt, "450 4.7.1 Greylisted, try later", "the server asks to come back later"),
    (Moment::Rcpt, "452 4.2.2 mailbox full, over quota", ""),
    (Moment::Rcpt, "552 5.2.2 mailbox full", ""),
    (Moment::Rcpt, "554 5.7.1 Relay access denied", "the login was accepted but may not relay"),
    (Moment::Message, "552 5.7.0 content presents a potential security issue", ""),
    (Moment::Message, "552 too big", "the message is larger"),
];

#[test]
fn refusals_have_the_right_next_step() {
    every(
        &REPLIES,
        |case| case.1.to_owned(),
        |(moment, reply, hint)| {
            let server = Server::new().login("alice", "a good secret", &["PLAIN"]).reply(moment.clone(), reply);
            let run = Setup::new(server).send(&["bob@example.net"]);
            let hints: Vec<&str> = run.stderr.lines().filter_map(|line| line.strip_prefix("hint: ")).collect();
            match hint.is_empty() {
                true => assert!(hints.is_empty(), "{}", run.report()),
                false => assert!(hints.len() == 1 && hints[0].starts_with(hint), "{hint}\n{}", run.report()),
            }
        },
    );
}

#[test]
fn an_access_token_over_http_has_its_own_next_steps() {
    for (status, code, message, hint) in [
        ("401 Unauthorized", "InvalidAuthenticationToken", "expired", "get a new access token"),
        ("403 Forbidden", "ErrorSendAsDenied", "no", "the mailbox that logs in may not write as this sender"),
        (
            "400 Bad Request",
            "BadRequest",
            "/me request is only valid with delegated authentication flow.",
            "an application's token has no mailbox of its own: set mailbox",
        ),
    ] {
        let answer = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}");
        let web = Web::saying(&format!("HTTP/1.1 {status}\n\n{answer}"));
        let config = format!(
            "[relay.main]\nprovider = \"o365\"\nvia = \"api\"\ntoken = \"a secret\"\nendpoint = \"http://127.0.0.1:{}\"\n",
            web.port()
        );
        let scratch = Scratch::new();
        let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
        let run = call.args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        assert!(run.stderr.contains(&format!("hint: {hint}")), "{}", run.report());
    }
}

#[test]
fn a_token_over_smtp_has_its_own_next_steps() {
    let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", "a good token", &["XOAUTH2"]);
    let run = Setup::new(server).secret("another token").send(&["bob@example.net"]);
    run.expect_status(135);
    assert!(run.stderr.contains("hint: get a new access token"), "{}", run.report());
}

#[test]
fn tls_in_the_wrong_mode_for_the_port_is_guessed_from_silence() {
    for (action, tls) in [(Action::Hang, "starttls"), (Action::Close, "starttls"), (Action::Hang, "none")] {
        with_enough_time(|deadline| {
            let server = Server::new().at(Moment::Greeting, action.clone()).start();
            let port = server.port();
            let run = sent(port, tls, deadline);
            if action == Action::Hang && !server.is_hanging() {
                return false;
            }
            run.expect_status(69);
            let hint = format!("hint: does port {port} speak TLS from the start?");
            assert!(run.stderr.contains(&hint), "{}", run.report());
            true
        });
    }
    // As long as it hears nothing that ends like a line, it waits.
    let late = Script::play("C: *\nclose", testkit::Identity::Good);
    let run = sent(late.port(), "implicit", 3);
    run.expect_status(69);
    assert!(run.stderr.contains("speak STARTTLS? Then set tls = \"starttls\""), "{}", run.report());
}

#[test]
fn a_missing_extension_has_a_next_step() {
    let server = Server::new().start();
    let run = sent(server.port(), "starttls", 30);
    run.expect_status(76);
    assert!(run.stderr.contains("hint: use the port that speaks TLS from the start"), "{}", run.report());
    let setup = Setup::new(Server::new().tls(TlsStart::Never)).relay("username = \"alice\"\npassword = \"a secret\"");
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(76);
    assert!(run.stderr.contains("hint: servers often offer AUTH, or more of it, only over TLS"), "{}", run.report());
}

fn sent(port: u16, tls: &str, deadline: u32) -> testkit::Run {
    let scratch = Scratch::new();
    let text =
        format!("deadline = \"{deadline}s\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"{tls}\"\n");
    let config = scratch.write("config.toml", text, 0o644);
    mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run()
}
