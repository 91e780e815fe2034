//! Postfix as the relay: another implementation of TLS, SASL, PIPELINING and CHUNKING than our own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use nix::unistd::User;
use testkit::{Certs, Delivery, Identity, Mailchute, PATIENCE, Port, Run, Scratch, Server, apart, need, need_root};

const USERNAME: &str = "shop";
/// Characters that a shell, TOML, SASL or base64 could stumble over.
const PASSWORD: &str = r#"pä"ss \w0rd$%!<>"#;

/// A Postfix with a configuration, queue and port of its own; it stops on drop. What it accepts it hands
/// on by LMTP to a server of ours.
struct Postfix {
    program: PathBuf,
    scratch: Scratch,
    implicit: Port,
    starttls: Port,
    arrived: Receiver<Delivery>,
    _mailbox: Server,
}

impl Postfix {
    /// `None`: not installed, or not root.
    fn start() -> Option<Self> {
        let program = need("postfix")?;
        let saslpasswd2 = need("saslpasswd2")?;
        if !need_root() {
            return None;
        }
        let (sender, arrived) = mpsc::channel();
        let mailbox = Server::new().lmtp().on_delivery(move |_, delivery| drop(sender.send(delivery.clone()))).start();
        let scratch = Scratch::new();
        let (implicit, starttls) = (Port::reserve(), Port::reserve());
        let root = scratch.path().display();
        scratch.write("server.pem", Certs::shared().server_pem(Identity::Good), 0o600);
        scratch.write(
            "etc/main.cf",
            format!(
                "compatibility_level = 3.6\n\
                 queue_directory = {root}/queue\n\
                 data_directory = {root}/data\n\
                 maillog_file = {root}/mail.log\n\
                 maillog_file_prefixes = {root}\n\
                 myhostname = localhost\n\
                 mydestination =\n\
                 alias_maps =\n\
                 alias_database =\n\
                 inet_interfaces = loopback-only\n\
                 inet_protocols = ipv4\n\
                 message_size_limit = 1000000\n\
                 virtual_mailbox_limit = 1000000\n\
                 virtual_mailbox_domains = example.org\n\
                 virtual_mailbox_maps = inline:{{bob@example.org=bob}}\n\
                 virtual_transport = lmtp:inet:127.0.0.1:{}\n\
                 smtpd_error_sleep_time = 0\n\
                 smtpd_peername_lookup = no\n\
                 smtpd_tls_chain_files = {root}/server.pem\n\
                 smtpd_tls_security_level = encrypt\n\
                 smtpd_sasl_auth_enable = yes\n\
                 cyrus_sasl_config_path = {root}/etc/sasl\n\
                 smtpd_relay_restrictions = permit_sasl_authenticated, reject\n",
                mailbox.port()
            ),
            0o644,
        );
        scratch.write(
            "etc/master.cf",
            format!(
                "127.0.0.1:{} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n\
                 127.0.0.1:{} inet n - n - - smtpd\n\
                 cleanup unix n - n - 0 cleanup\n\
                 qmgr unix n - n 300 1 qmgr\n\
                 tlsmgr unix - - n 1000? 1 tlsmgr\n\
                 rewrite unix - - n - - trivial-rewrite\n\
                 bounce unix - - n - 0 bounce\n\
                 defer unix - - n - 0 bounce\n\
                 trace unix - - n - 0 bounce\n\
                 error unix - - n - - error\n\
                 retry unix - - n - - error\n\
                 lmtp unix - - n - - lmtp\n\
                 anvil unix - - n - 1 anvil\n\
                 proxymap unix - - n - - proxymap\n\
                 postlog unix-dgram n - n - 1 postlogd\n",
                implicit.number(),
                starttls.number()
            ),
            0o644,
        );
        let users = scratch.join("sasldb2");
        // Debian reads it below the configuration directory, others where cyrus_sasl_config_path says.
        scratch.write(
            "etc/sasl/smtpd.conf",
            format!(
                "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\n\
                 mech_list: PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5\n",
                users.display()
            ),
            0o644,
        );
        let mut child = apart(saslpasswd2)
            .args(["-p", "-c", "-u", "localhost", "-f"])
            .arg(&users)
            .arg(USERNAME)
            .stdin(Stdio::piped())
            .spawn()
            .expect("saslpasswd2");
        child.stdin.take().expect("piped").write_all(PASSWORD.as_bytes()).expect("the password is read");
        assert!(child.wait().expect("saslpasswd2").success());
        fs::create_dir(scratch.join("queue")).expect("a queue directory");
        fs::create_dir(scratch.join("data")).expect("a data directory");
        let uid = User::from_name("postfix").expect("the user database").expect("the user postfix").uid.as_raw();
        for path in [users, scratch.join("data")] {
            chown(path, Some(uid), None).expect("root may");
        }
        let postfix = Self { program, scratch, implicit, starttls, arrived, _mailbox: mailbox };
        // Returns when the ports are open.
        assert!(postfix.tell("start"), "{}", postfix.scratch.read("mail.log"));
        Some(postfix)
    }

    fn tell(&self, word: &str) -> bool {
        let mut command = apart(&self.program);
        command.arg("-c").arg(self.scratch.join("etc")).arg(word);
        // A daemon that kept our pipes would keep whoever reads the tests' output waiting.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Sends `message` to `recipients`; `lines` complete the relay.
    fn send(&self, lines: &str, recipients: &[&str], message: &str) -> Run {
        let authority = Certs::shared().write_authority(&self.scratch);
        let config = format!(
            "[log]\nto = [\"{}\"]\n[relay.main]\nhost = \"127.0.0.1\"\nca_file = \"{}\"\nusername = \"{USERNAME}\"\n{lines}\n",
            self.scratch.join("record.log").display(),
            authority.display()
        );
        let config = self.scratch.write("config.toml", config, 0o600);
        Mailchute::new(env!("CARGO_BIN_EXE_mailchute"))
            .config(&config)
            .args(["-i", "-f", "orders@shop.example"])
            .args(recipients)
            .stdin(message)
            .run()
    }

    /// Waits until the log holds `text`: a process of its own writes it, when it comes to that.
    fn wait_for_log(&self, text: &str) {
        let limit = Instant::now() + PATIENCE;
        while !self.scratch.read("mail.log").contains(text) {
            assert!(Instant::now() < limit, "{text} is not in\n{}", self.scratch.read("mail.log"));
            thread::yield_now();
        }
    }

    fn arrival(&self) -> Delivery {
        self.arrived
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("nothing came: {}", self.scratch.read("mail.log")))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.tell("abort");
    }
}

/// A whole message, so that nothing needs to be added, with lines that could end the data early.
fn message(subject: &str, body: &str) -> String {
    format!(
        "From: Shop <orders@shop.example>\r\nTo: bob@example.org\r\nSubject: {subject}\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1.{}@shop.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n{body}",
        subject.replace(' ', ".")
    )
}

#[test]
fn postfix_takes_what_we_send_and_its_refusals_are_told() {
    let Some(postfix) = Postfix::start() else { return };
    let password = format!("password = '{PASSWORD}'");
    let implicit = format!("port = {}\ntls = \"implicit\"\n{password}", postfix.implicit.number());
    let starttls = format!("port = {}\ntls = \"starttls\"\n{password}", postfix.starttls.number());

    let dots = ".\r\n..\r\n.leading\r\n\r\n.\r\nMAIL FROM:<smuggled@example.org>\r\n.\r\n";
    let long = "0123456789abcdef0123456789abcdef0123456789abcdef\r\n.dot\r\n".repeat(8000);
    for (lines, body) in [(&implicit, dots), (&starttls, dots), (&implicit, &long), (&starttls, &long)] {
        for chunking in ["true", "false"] {
            let sent = message("as sent", body);
            postfix.send(&format!("{lines}\nchunking = {chunking}"), &["bob@example.org"], &sent).expect_status(0);
            let arrived = postfix.arrival();
            assert_eq!(arrived.reverse_path, "orders@shop.example");
            assert_eq!(arrived.forward_paths(), ["bob@example.org"]);
            // Postfix puts its Received field in front and changes nothing else.
            assert!(arrived.octets.ends_with(sent.as_bytes()), "{}", arrived.text());
        }
    }

    for mechanism in ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"] {
        let lines = format!("{starttls}\nauth = [\"{mechanism}\"]");
        postfix.send(&lines, &["bob@example.org"], &message(mechanism, "\r\n")).expect_status(0);
        assert!(postfix.arrival().text().contains(&format!("Subject: {mechanism}\r\n")));
        postfix.wait_for_log(&format!("sasl_method={mechanism},"));
    }

    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let lines = format!(
            "port = {}\ntls = \"implicit\"\npassword = 'wrong'\nauth = [\"{mechanism}\"]",
            postfix.implicit.number()
        );
        let run = postfix.send(&lines, &["bob@example.org"], &message("wrong password", "\r\n"));
        run.expect_status(135).expect_stderr("mailchute: *: 535 5.7.8 * (AUTH*");
    }

    let run = postfix.send(&implicit, &["bob@example.org", "nobody@example.org"], &message("unknown", "\r\n"));
    run.expect_status(150).expect_stderr("mailchute: nobody@example.org: 550 5.1.1 * (RCPT TO*");

    let run = postfix.send(&implicit, &["bob@example.org"], &message("too large", &long.repeat(3)));
    run.expect_status(152);

    // What was refused went to nobody: the next message to arrive is the one sent after it.
    postfix.send(&implicit, &["bob@example.org"], &message("the last one", "\r\n")).expect_status(0);
    assert!(postfix.arrival().text().contains("Subject: the last one\r\n"));
}
