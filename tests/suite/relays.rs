//! The ways to a relay: proxy, source address, unix socket, client certificate, and the time each gets.

use std::fs;
use std::io::Read;
use std::net::IpAddr;

use testkit::{Action, Certs, Moment, Port, Run, Scratch, Server, Socks, TlsStart};

use crate::setup::{MESSAGE, Setup, mailchute};

const SECRET: &str = "correct horse battery staple";

/// Sends with this configuration and answers the run and its log record.
fn send(scratch: &Scratch, config: &str, recipients: &[&str]) -> (Run, serde_json::Value) {
    let log = scratch.join("log");
    let _ = fs::remove_file(&log);
    let config = format!("{config}\n[log]\nto = [\"{}\"]\n", log.display());
    let config = scratch.write("config.toml", config, 0o644);
    let run = mailchute().config(&config).arg("-i").args(recipients.iter().copied()).stdin(MESSAGE).run();
    (run, serde_json::from_str(&scratch.read("log")).unwrap_or_default())
}

/// A relay that only the proxy can know, reached in this way.
fn behind(proxy: &str) -> String {
    format!("[relay.main]\nhost = \"relay.invalid\"\nport = 2525\ntls = \"none\"\nproxy = {proxy}\n")
}

#[test]
fn a_proxy_finds_the_relay_by_its_name() {
    let server = Server::new().start();
    let scratch = Scratch::new();
    let open = Socks::to(server.port());
    let (run, record) =
        send(&scratch, &behind(&format!("\"socks5://127.0.0.1:{}\"", open.port())), &["bob@example.net"]);
    run.expect_status(0);
    assert_eq!(open.asked(), ["name relay.invalid:2525"]);
    let peer = format!("relay.invalid:2525 through 127.0.0.1:{}", open.port());
    assert_eq!(record["tries"][0]["peer"], peer, "{record}");

    let closed = Socks::with_login(server.port(), "gate", "p@ss/word");
    let secret = scratch.write("proxy-password", "p@ss/word\n", 0o600);
    for proxy in [
        format!("\"socks5://gate:p%40ss%2Fword@127.0.0.1:{}\"", closed.port()),
        format!(
            "{{ host = \"127.0.0.1\", port = {}, username = \"gate\", password = {{ file = \"{}\" }} }}",
            closed.port(),
            secret.display()
        ),
    ] {
        send(&scratch, &behind(&proxy), &["bob@example.net"]).0.expect_status(0);
    }
    assert_eq!(server.finish().iter().map(|session| session.deliveries.len()).sum::<usize>(), 3);
}

#[test]
fn a_proxy_that_does_not_help_says_why() {
    let scratch = Scratch::new();
    let refusing = Socks::refusing(5);
    let forbidding = Socks::refusing(2);
    let closed = Socks::with_login(1, "gate", SECRET);
    let nobody = Port::reserve();
    for (proxy, port, status, why) in [
        ("socks5://", refusing.port(), 69, "could not connect to the relay: connection refused"),
        ("socks5://", forbidding.port(), 69, "does not allow connections to the relay"),
        ("socks5://gate:wrong@", closed.port(), 78, "refused the user name or password"),
        ("socks5://", closed.port(), 78, "wants a user name and password"),
        ("socks5://", nobody.number(), 69, "connection refused"),
    ] {
        let (run, _) = send(&scratch, &behind(&format!("\"{proxy}127.0.0.1:{port}\"")), &["bob@example.net"]);
        run.expect_status(status);
        run.expect_stderr(&format!("mailchute: proxy 127.0.0.1:{port}: {why} (connect, relay main, site default)"));
        assert!(!run.stderr.contains("gate:") && !run.stderr.contains("wrong@"), "{}", run.report());
    }
}

#[test]
fn tls_and_login_are_the_relays_and_not_the_proxys() {
    let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"]).start();
    let scratch = Scratch::new();
    let proxy = Socks::to(server.port());
    let relay = server.relay_lines(&scratch);
    let through = |relay: &str| format!("[relay.main]\n{relay}proxy = \"socks5://127.0.0.1:{}\"\n", proxy.port());
    send(&scratch, &through(&relay.replace("127.0.0.1", "localhost")), &["bob@example.net"]).0.expect_status(0);
    assert_eq!(proxy.asked(), [format!("name localhost:{}", server.port())]);
    // The certificate has to be for the relay's name, whoever the proxy connects us with.
    let (run, _) = send(&scratch, &through(&relay.replace("127.0.0.1", "smtp.example.net")), &["bob@example.net"]);
    run.expect_status(76);
    let sessions = server.finish();
    assert!(sessions.iter().filter(|session| session.login.is_some()).count() == 1, "{sessions:?}");

    // Loopback on the other side of a proxy is not this host: no password in clear.
    let plain = Server::new().login("alice@example.org", SECRET, &["PLAIN"]).start();
    let proxy = Socks::to(plain.port());
    let relay =
        format!("[relay.main]\n{}proxy = \"socks5://127.0.0.1:{}\"\n", plain.relay_lines(&scratch), proxy.port());
    let (run, _) = send(&scratch, &relay, &["bob@example.net"]);
    run.expect_status(76);
    assert!(run.stderr.contains("unencrypted"), "{}", run.report());
    assert!(plain.finish().iter().all(|session| session.login.is_none()));
}

#[test]
fn the_server_sees_the_source_address() {
    let setup = Setup::new(Server::new()).relay("source = \"127.0.0.2\"");
    setup.send(&["bob@example.net"]).expect_status(0);
    assert_eq!(setup.finish()[0].peer, Some(IpAddr::from([127, 0, 0, 2])));
    let setup = Setup::new(Server::new()).relay("source = \"192.0.2.1\"");
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(78);
    run.expect_stderr(
        "mailchute: 127.0.0.1:*: source address 192.0.2.1 is not one of this host (connect, relay main, *)",
    );
    assert!(setup.finish().is_empty());
}

/// A server that logs in whoever shows the right certificate.
fn certified() -> Server {
    Server::new().tls(TlsStart::Implicit).wanting_certificate().login("client", "", &["EXTERNAL"]).start()
}

fn certificate_relay(server: &Server, scratch: &Scratch, more: &str) -> String {
    let authority = Certs::shared().write_authority(scratch);
    format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"implicit\"\nca_file = \"{}\"\n{more}\n",
        server.port(),
        authority.display()
    )
}

#[test]
fn a_client_certificate_logs_in() {
    let server = certified();
    let scratch = Scratch::new();
    let pem = Certs::shared().client_pem(false);
    scratch.write("both.pem", pem, 0o600);
    let (key, certificate) = pem.split_at(pem.find("-----BEGIN CERTIFICATE").unwrap());
    scratch.write("cert.pem", certificate, 0o644);
    scratch.write("key.pem", key, 0o600);
    for more in [
        "client_cert = \"both.pem\"\nauth = [\"EXTERNAL\"]",
        "client_cert = { cert = \"cert.pem\", key = \"key.pem\" }\nauth = [\"EXTERNAL\"]\nusername = \"client\"",
    ] {
        let (run, record) = send(&scratch, &certificate_relay(&server, &scratch, more), &["bob@example.net"]);
        run.expect_status(0);
        assert!(!record.to_string().contains("PRIVATE KEY"), "{record}");
    }
    for session in server.finish() {
        assert!(session.certified, "{session:?}");
        assert_eq!(session.login, Some(("EXTERNAL".to_owned(), "client".to_owned())));
        assert_eq!(session.deliveries.len(), 1);
    }
}

#[test]
fn a_certificate_that_will_not_do() {
    let server = certified();
    let open = Server::new().tls(TlsStart::Implicit).login("client", "", &["EXTERNAL"]).start();
    let scratch = Scratch::new();
    let pem = Certs::shared().client_pem(false);
    let key = pem.split_once("-----BEGIN CERTIFICATE").unwrap().0;
    let other_pem = Certs::shared().client_pem(true);
    let other_certificate = &other_pem[other_pem.find("-----BEGIN CERTIFICATE").unwrap()..];
    scratch.write("good.pem", pem, 0o600);
    scratch.write("stranger.pem", other_pem, 0o600);
    scratch.write("key-only.pem", key, 0o600);
    scratch.write("mixed.pem", format!("{key}{other_certificate}"), 0o600);
    scratch.write("world-writable.pem", pem, 0o602);
    fs::create_dir(scratch.join("directory.pem")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(scratch.join("fifo.pem")).status();
    assert!(fifo.unwrap().success());
    for (server, file, status, why) in [
        (&server, "stranger.pem", 76, "127.0.0.1:*: *"),
        (&open, "good.pem", 135, "login: 535 5.7.8 authentication credentials invalid (AUTH, *"),
        (&server, "missing.pem", 78, "*/missing.pem: no such file (*"),
        (&server, "key-only.pem", 78, "*/key-only.pem: contains no PEM certificate (*"),
        (&server, "mixed.pem", 78, "*/mixed.pem: does not match *"),
        (&server, "world-writable.pem", 77, "*/world-writable.pem: is world-writable *"),
        (&server, "directory.pem", 78, "*/directory.pem: is not a regular file but a directory (*"),
        (&server, "fifo.pem", 78, "*/fifo.pem: is not a regular file (*"),
    ] {
        let more = format!("client_cert = \"{file}\"\nauth = [\"EXTERNAL\"]");
        let (run, _) = send(&scratch, &certificate_relay(server, &scratch, &more), &["bob@example.net"]);
        assert_eq!(run.status, status, "{file}\n{}", run.report());
        run.expect_stderr(&format!("mailchute: {why}"));
    }
    let (run, _) = send(&scratch, &certificate_relay(&server, &scratch, ""), &["bob@example.net"]);
    run.expect_status(76);
    assert!(server.finish().iter().chain(&open.finish()).all(|session| session.login.is_none()));
}

#[test]
fn a_certificate_may_be_all_a_relay_asks_for() {
    let server = Server::new().tls(TlsStart::Implicit).wanting_certificate().start();
    let scratch = Scratch::new();
    scratch.write("client.pem", Certs::shared().client_pem(false), 0o600);
    let relay = certificate_relay(&server, &scratch, "client_cert = \"client.pem\"");
    send(&scratch, &relay, &["bob@example.net"]).0.expect_status(0);
    let sessions = server.finish();
    assert!(sessions[0].certified && sessions[0].login.is_none() && sessions[0].deliveries.len() == 1);
}

#[test]
fn only_the_mechanisms_that_are_allowed() {
    let server = || Server::new().tls(TlsStart::Implicit).login("alice", SECRET, &["PLAIN", "LOGIN", "CRAM-MD5"]);
    let setup = Setup::new(server()).relay("auth = [\"cram-md5\"]");
    setup.send(&["bob@example.net"]).expect_status(0);
    assert_eq!(setup.finish()[0].login.as_ref().map(|login| login.0.as_str()), Some("CRAM-MD5"));
    let setup = Setup::new(server()).relay("auth = [\"SCRAM-SHA-256\"]");
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(76);
    run.expect_stderr(
        "mailchute: 127.0.0.1:*: offers AUTH PLAIN LOGIN CRAM-MD5, and `auth` allows only SCRAM-SHA-256*",
    );
    assert!(setup.deliveries().is_empty());
}

#[test]
fn smtp_over_a_unix_socket() {
    let scratch = Scratch::new();
    let socket = scratch.join("smtp");
    let server = Server::new().login("alice@example.org", SECRET, &["PLAIN"]).start_at(&socket);
    let relay = format!("[relay.main]\n{}", server.relay_lines(&scratch));
    let (run, record) = send(&scratch, &relay, &["bob@example.net"]);
    run.expect_status(0);
    assert_eq!(record["tries"][0]["peer"], socket.display().to_string(), "{record}");
    let sessions = server.finish();
    assert!(sessions[0].peer.is_none() && sessions[0].login.is_some());
    assert_eq!(sessions[0].deliveries[0].text(), MESSAGE);
    // The socket's file is still there, and nobody listens any more.
    let (run, _) = send(&scratch, &relay, &["bob@example.net"]);
    run.expect_status(69);
    run.expect_stderr(&format!(
        "mailchute: {}: connection refused (connect, relay main, site default)",
        socket.display()
    ));
    fs::remove_file(&socket).unwrap();
    let (run, _) = send(&scratch, &relay, &["bob@example.net"]);
    run.expect_status(69);
    run.expect_stderr(&format!("mailchute: {}: no such socket (connect, relay main, site default)", socket.display()));
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let full = |server: Server, name: &str| {
        server.reply(Moment::MessageOf(format!("{name}@example.net")), "552 5.2.2 mailbox full")
    };
    for (server, status, lines) in [
        (Server::new(), 0, &[][..]),
        (
            full(Server::new(), "carol"),
            79,
            &[
                "in doubt: some recipients were accepted and others refused, do not resend to all (127.0.0.1, site default)",
                "carol@example.net: 552 5.2.2 mailbox full (message, 127.0.0.1, site default)",
                "accepted for bob@example.net",
            ],
        ),
        (
            full(full(Server::new(), "carol"), "bob"),
            152,
            &["message: 552 5.2.2 mailbox full (message, 127.0.0.1, site default)"],
        ),
    ] {
        let server = server.lmtp().start();
        let scratch = Scratch::new();
        let relay = format!("[relay.main]\nprotocol = \"lmtp\"\n{}", server.relay_lines(&scratch));
        let (run, record) = send(&scratch, &relay, &["bob@example.net", "carol@example.net"]);
        run.expect_status(status);
        let said: Vec<_> = run.stderr.lines().map(|line| line.trim_start_matches("mailchute: ")).collect();
        assert_eq!(said, lines, "{}", run.report());
        assert_eq!(record["exit"], status, "{record}");
        assert_eq!(server.finish()[0].deliveries[0].text(), MESSAGE);
    }
    // Refused at RCPT: nobody has it, as everywhere.
    let server = Server::new().lmtp().reply(Moment::RcptOf("carol@example.net".into()), "550 5.1.1 no").start();
    let scratch = Scratch::new();
    let relay = format!("[relay.main]\nprotocol = \"lmtp\"\n{}", server.relay_lines(&scratch));
    send(&scratch, &relay, &["bob@example.net", "carol@example.net"]).0.expect_status(150);
    assert!(server.finish().iter().all(|session| session.deliveries.is_empty()));
}

#[test]
fn the_first_of_two_relays_gets_half_of_the_time() {
    let hanging = Server::new().at(Moment::Greeting, Action::Hang).start();
    let working = Server::new().start();
    let scratch = Scratch::new();
    let relays = |second: &Server| {
        format!(
            "deadline = \"6s\"\n[relay.first]\n{}[relay.second]\n{}",
            hanging.relay_lines(&scratch),
            second.relay_lines(&scratch)
        )
    };
    let (run, record) = send(&scratch, &relays(&working), &["bob@example.net"]);
    run.expect_status(0);
    assert!(run.stderr.is_empty(), "{}", run.report());
    let tries = &record["tries"];
    assert_eq!((&tries[0]["relay"], &tries[1]["relay"]), (&"first".into(), &"second".into()), "{record}");
    let took = tries[0]["ms"].as_u64().unwrap();
    assert!((2700..5400).contains(&took), "half of the time: {record}");
    assert_eq!(working.finish()[0].deliveries.len(), 1);

    let (run, record) = send(&scratch, &relays(&hanging), &["bob@example.net"]);
    run.expect_status(69);
    run.expect_at_once();
    assert_eq!(record["tries"].as_array().map(Vec::len), Some(2), "{record}");
}

/// A relay whose account may not send at present is no word about the message; one about it is the last.
#[test]
fn what_a_relay_says_of_its_account_leads_to_the_next_one() {
    for (moment, reply, status) in [
        (Moment::Message, "550 5.4.5 Daily user sending limit exceeded", 0),
        (Moment::Rcpt, "550 User a@x has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250", 0),
        (Moment::Message, "554 Message rejected: Sending paused for this account. For more information, please", 0),
        (Moment::Mail, "550 5.1.8 Access denied, bad outbound sender", 0),
        (Moment::Message, "502 5.7.0 Your SMTP account is not yet activated. Please contact us", 0),
        (Moment::Message, "550 5.4.6 Unusual sending activity detected. Please try after sometime", 0),
        (Moment::Rcpt, "554 Sandbox subdomains are for test purposes only. Please add your own domain", 0),
        (Moment::Mail, "550 5.7.1 The from address does not match a verified Sender Identity", 150),
        (Moment::Rcpt, "550 5.2.2 This mailbox has exceeded its limit", 150),
        (Moment::Message, "554 5.7.1 rejected as spam", 154),
    ] {
        let (main, backup) = (Server::new().reply(moment, reply).start(), Server::new().start());
        let relay = |name: &str, server: &Server| {
            format!("[relay.{name}]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", server.port())
        };
        let config = format!("{}{}", relay("main", &main), relay("backup", &backup));
        let (run, record) = send(&Scratch::new(), &config, &["bob@example.net"]);
        assert_eq!(run.status, status, "{reply}\n{}", run.report());
        assert_eq!(record["tries"].as_array().map(Vec::len), Some(if status == 0 { 2 } else { 1 }), "{record}");
    }
}

#[test]
fn connect_timeout_ends_with_the_login() {
    // Slow to log in: the next relay. Slow to take the message: as long as the deadline says.
    let slow_login = Server::new().login("alice", SECRET, &["PLAIN"]).at(Moment::Auth, Action::Hang).start();
    let working = Server::new().start();
    let scratch = Scratch::new();
    let relays = format!(
        "deadline = \"40s\"\n[relay.first]\nconnect_timeout = \"3s\"\n{}[relay.second]\n{}",
        slow_login.relay_lines(&scratch),
        working.relay_lines(&scratch)
    );
    let (run, record) = send(&scratch, &relays, &["bob@example.net"]);
    run.expect_status(0);
    run.expect_at_once();
    assert_eq!(record["tries"][0]["stage"], "AUTH", "{record}");
    assert_eq!(working.finish()[0].deliveries.len(), 1);
}

#[test]
#[ignore = "reads and stores a gigabyte: half a minute in a debug build on a busy machine"]
fn more_than_a_gigabyte_is_taken_and_refused() {
    let setup = Setup::new(Server::new());
    let head: &[u8] = b"Subject: large\r\n\r\n";
    // One octet over the limit, the line end that will be added included, and then some that nobody keeps.
    let body = Letters.take((1 << 30) - head.len() as u64 + 1 + (1 << 20));
    let run = setup.mailchute().args(["-i", "bob@example.net"]).stdin_from(head.chain(body)).run();
    run.expect_status(152);
    run.expect_stderr("mailchute: message: 552 5.3.4 larger than 1024 MiB (mailchute*");
    assert!(run.drained, "all of it was read");
    assert_eq!(setup.record()["code"], 552, "{}", setup.record());
    assert!(setup.finish().is_empty(), "nobody was asked");
}

/// Endless, and cheap to make.
struct Letters;

impl Read for Letters {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(b'x');
        Ok(buffer.len())
    }
}
