//! Certificates and logins over TLS: what is refused, and that nothing leaks on the way.

use testkit::{Certs, Identity, Moment, Server, TlsStart, need};

use crate::setup::{MESSAGE, Setup, every};

const SECRET: &str = "correct horse battery staple";

#[test]
fn bad_certificates() {
    let cases = [
        (Identity::Expired, "*expired*"),
        (Identity::WrongName, "certificate is for mx.example.com, not 127.0.0.1*"),
        (Identity::SelfSigned, "*"),
        (Identity::OtherAuthority, "*"),
    ];
    let cases: Vec<_> =
        cases.iter().flat_map(|case| [TlsStart::Implicit, TlsStart::StartTls].map(|tls| (*case, tls))).collect();
    every(
        &cases,
        |case| format!("{case:?}"),
        |((identity, sentence), tls)| {
            let setup = Setup::new(Server::new().tls(*tls).identity(*identity).login("alice", SECRET, &["PLAIN"]));
            let run = setup.send(&["bob@example.net"]);
            run.expect_status(76);
            run.expect_stderr(&format!("mailchute: 127.0.0.1:*: {sentence}"));
            if matches!(identity, Identity::SelfSigned | Identity::OtherAuthority) {
                let seen = Certs::shared().fingerprint(*identity);
                assert!(run.stderr.replace(':', "").to_lowercase().contains(&seen), "{seen}\n{}", run.report());
            }
            for session in setup.finish() {
                assert!(session.commands.iter().all(|line| !line.starts_with("AUTH")), "{session:?}");
                assert!(session.deliveries.is_empty());
            }
        },
    );
}

#[test]
fn a_fingerprint_stands_in_for_chain_and_name() {
    for identity in [Identity::SelfSigned, Identity::WrongName] {
        let setup = Setup::new(Server::new().tls(TlsStart::Implicit).identity(identity).login("a", SECRET, &["PLAIN"]));
        let right = format!("fingerprint = \"{}\"", Certs::shared().fingerprint(identity));
        let setup = setup.relay(&right);
        setup.send(&["bob@example.net"]).expect_status(0);
        assert_eq!(setup.deliveries().len(), 1);
    }
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit));
    let wrong = format!("fingerprint = \"{}\"", Certs::shared().fingerprint(Identity::WrongName));
    let setup = setup.relay(&wrong);
    setup.send(&["bob@example.net"]).expect_status(76);
}

#[test]
fn a_file_of_authorities_without_an_end_is_too_large() {
    let (Some(prlimit), Some(sleep)) = (need("prlimit"), need("sleep")) else { return };
    // A regular file that has no size, and no end for as long as anybody reads.
    let mut sleeper = std::process::Command::new(sleep).arg("600").spawn().unwrap();
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit));
    let endless = format!("/proc/{}/pagemap", sleeper.id());
    let config = format!(
        "[relay.main]\nhost = \"localhost\"\nport = {}\ntls = \"implicit\"\nca_file = \"{endless}\"\n",
        setup.server.port()
    );
    let config = setup.scratch.write("endless.toml", config, 0o644);
    let call = crate::setup::mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE);
    let run = call.under(&prlimit.display().to_string(), &["--as=1073741824"]).run();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    run.expect_status(78);
    run.expect_stderr(&format!("mailchute: {endless}: is too large*"));
    assert!(setup.deliveries().is_empty());
}

#[test]
fn an_unknown_authority_is_not_trusted_because_the_system_has_others() {
    let server = Server::new().tls(TlsStart::Implicit).start();
    let scratch = testkit::Scratch::new();
    let config = format!("[relay.main]\nhost = \"localhost\"\nport = {}\ntls = \"implicit\"\n", server.port());
    let config = scratch.write("config.toml", config, 0o644);
    let call = || crate::setup::mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE);
    call().run().expect_status(76);
    let authority = Certs::shared().write_authority(&scratch);
    call().env("SSL_CERT_FILE", authority).run().expect_status(0);
}

#[test]
fn every_mechanism_logs_in() {
    let cases = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "LOGIN", "CRAM-MD5"];
    every(
        &cases,
        |name| (*name).to_owned(),
        |mechanism| {
            let server = Server::new().tls(TlsStart::Implicit);
            let setup = Setup::new(server.login("alice@example.org", "p=a,ss \u{2713}\"\\w", &[mechanism]));
            // The password has every kind of character, so the literal string of TOML holds it.
            setup.send(&["bob@example.net"]).expect_status(0);
            let sessions = setup.finish();
            let login = sessions[0].login.as_ref().map(|(mechanism, user)| (mechanism.as_str(), user.as_str()));
            assert_eq!(login, Some((*mechanism, "alice@example.org")));
            assert_eq!(sessions[0].deliveries.len(), 1);
        },
    );
}

#[test]
fn tokens_log_in() {
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", "ya29.token", &[mechanism]);
        let setup = Setup::new(server);
        setup.send(&["bob@example.net"]).expect_status(0);
        let sessions = setup.finish();
        assert_eq!(sessions[0].login.as_ref().map(|login| login.0.as_str()), Some(mechanism));
    }
    // The server knows another token: it explains itself in a challenge and then refuses.
    let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", "ya29.token", &["XOAUTH2"]);
    let setup = Setup::new(server).secret("ya29.expired");
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(135);
    assert!(!run.stderr.contains("ya29"), "{}", run.report());
}

#[test]
fn the_mechanism_with_the_fewest_round_trips_is_first() {
    let all = ["CRAM-MD5", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN"];
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit).login("alice", SECRET, &all));
    setup.send(&["bob@example.net"]).expect_status(0);
    assert_eq!(setup.finish()[0].login.as_ref().map(|login| login.0.as_str()), Some("PLAIN"));
}

#[test]
fn a_wrong_password_is_tried_once() {
    let setup = Setup::new(
        Server::new()
            .tls(TlsStart::Implicit)
            .login("alice", SECRET, &["PLAIN", "LOGIN"])
            .reply(Moment::Auth, "535 5.7.8 no"),
    );
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(135);
    run.expect_stderr("mailchute: *: 535 5.7.8 no (AUTH, 127.0.0.1*, site default)");
    let sessions = setup.finish();
    let tries = sessions[0].commands.iter().filter(|line| line.starts_with("AUTH")).count();
    assert_eq!(tries, 1, "never a second try after 535");
}

#[test]
fn no_login_is_offered_though_credentials_are_configured() {
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit).login("alice", SECRET, &[]));
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(76);
    run.expect_stderr("mailchute: 127.0.0.1:*: *AUTH*");
    let sessions = setup.finish();
    assert!(sessions[0].commands.iter().all(|line| !line.starts_with("MAIL")), "{sessions:?}");
}

#[test]
fn only_mechanisms_we_do_not_speak() {
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit).login("alice", SECRET, &["GSSAPI", "NTLM"]));
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(76);
    assert!(run.stderr.contains("GSSAPI"), "what is offered is named\n{}", run.report());
}

#[test]
fn a_container_with_nothing_but_environment_variables() {
    let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"]).start();
    let scratch = testkit::Scratch::new();
    let authority = Certs::shared().write_authority(&scratch);
    let secret = scratch.write("password", format!("{SECRET}\n"), 0o644);
    let call = || {
        crate::setup::mailchute()
            .env("MAILCHUTE_URL", format!("smtps://127.0.0.1:{}", server.port()))
            .env("SSL_CERT_FILE", &authority)
            .env("MAILCHUTE_USERNAME", "alice@example.org")
            .env("MAILCHUTE_LOG", scratch.join("log"))
            .args(["-i", "bob@example.net"])
            .stdin(MESSAGE)
    };
    call().env("MAILCHUTE_PASSWORD", SECRET).run().expect_status(0);
    call().env("MAILCHUTE_PASSWORD_FILE", secret).run().expect_status(0);
    call().env("MAILCHUTE_PASSWORD", "wrong").run().expect_status(135);
    let log = scratch.read("log");
    assert_eq!(log.lines().count(), 3);
    assert!(!log.contains(SECRET), "{log}");
}
