//! The log record: what it holds, what it never holds, and the file it goes to.

use std::os::unix::fs::{PermissionsExt, symlink};

use testkit::{Moment, Server, TlsStart};

use crate::setup::{MESSAGE, Setup, mailchute};

const SECRET: &str = "correct horse battery staple";

fn server() -> Server {
    Server::new().tls(TlsStart::Implicit).login("alice@example.org", SECRET, &["PLAIN"])
}

#[test]
fn a_record_of_success_has_every_field() {
    let setup = Setup::new(server());
    setup.send(&["bob@example.net"]).expect_status(0);
    let text = setup.scratch.read("log");
    let mode = setup.scratch.join("log").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(text.starts_with("{\"v\":1,"), "v comes first: {text}");
    assert!(text.ends_with("}\n"));
    let record = setup.record();
    for field in ["time", "id", "by", "uid", "cwd", "argv", "ms"] {
        assert!(!record[field].is_null(), "{field} is missing: {record}");
    }
    for (field, value) in [
        ("site", "default".into()),
        ("relay", "main".into()),
        ("from", "alice@example.org".into()),
        ("to", serde_json::json!(["bob@example.net"])),
        ("message_id", "<complete@example.org>".into()),
        ("size", MESSAGE.len().into()),
        ("code", 250.into()),
        ("enhanced", "2.0.0".into()),
        ("stage", "message".into()),
        ("exit", 0.into()),
    ] {
        assert_eq!(record[field], value, "{field}: {record}");
    }
    assert!(record["tls"].to_string().contains("TLSv1.3"), "{record}");
    assert!(record["text"].to_string().contains("queued as 4F2A1"), "{record}");
    for text in ["one line", "a message that needs no change", SECRET] {
        assert!(!record.to_string().contains(text), "{text} is in {record}");
    }
    assert!(record.get("dialogue").is_none(), "only on failure: {record}");
}

#[test]
fn a_record_of_failure_has_the_end_of_the_dialogue_without_secrets() {
    use base64::Engine as _;
    let echo = format!("550 5.7.1 I know that alice has {SECRET}");
    let setup = Setup::new(server().reply(Moment::Rcpt, &echo));
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(150);
    let record = setup.record().to_string();
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("\0alice@example.org\0{SECRET}"));
    for text in [SECRET, encoded.as_str()] {
        assert!(!record.contains(text) && !run.stderr.contains(text), "{record}\n{}", run.report());
    }
    assert!(record.contains("\"dialogue\":") && record.contains("RCPT TO:<bob@example.net>"), "{record}");
    assert!(!record.contains("one line"), "{record}");
}

#[test]
fn what_ends_before_a_relay_is_recorded_too() {
    for (args, input, status) in [
        (&["-i", "bob@example.net"][..], "", 66),
        (&["-i", "bob@"], MESSAGE, 65),
        (&["-i"], MESSAGE, 64),
        (&["-bd"], MESSAGE, 64),
    ] {
        let setup = Setup::new(Server::new());
        let _ = setup.mailchute();
        // Named by the variable: a command line that cannot be read names nothing.
        let config = setup.scratch.join("config.toml");
        let run = mailchute().env("MAILCHUTE_CONFIG", config).args(args.iter().copied()).stdin(input).run();
        run.expect_status(status);
        let record = setup.record();
        assert_eq!((&record["exit"], &record["by"]), (&status.into(), &"mailchute".into()), "{args:?} {record}");
        assert_eq!(record["argv"].as_array().map(Vec::len), Some(args.len() + 1), "{args:?} {record}");
    }
}

#[test]
fn verbose_prints_the_dialogue_without_secrets() {
    let setup = Setup::new(server());
    let run = setup.mailchute().args(["-v", "-i", "bob@example.net"]).stdin(MESSAGE).run();
    run.expect_status(0);
    assert!(run.stderr.contains("RCPT TO:<bob@example.net>"), "{}", run.report());
    assert!(!run.stderr.contains(SECRET) && !run.stderr.contains("AGFsaWNl"), "{}", run.report());
}

#[test]
fn a_log_that_cannot_be_written_says_so_and_changes_nothing() {
    let server = Server::new().start();
    let scratch = testkit::Scratch::new();
    let elsewhere = scratch.write("elsewhere", "", 0o644);
    symlink(&elsewhere, scratch.join("link")).unwrap();
    for target in ["missing/log", "link"] {
        let config = format!(
            "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n[log]\nto = [\"{}\"]\n",
            server.port(),
            scratch.join(target).display()
        );
        let config = scratch.write("config.toml", config, 0o644);
        let run = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(0);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.report());
        run.expect_stderr(&format!("mailchute: {}: *", scratch.join(target).display()));
    }
    assert_eq!(scratch.read("elsewhere"), "", "no link is followed");
}

#[test]
fn a_path_may_hold_user_and_site() {
    let server = Server::new().start();
    let scratch = testkit::Scratch::new();
    let config = format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n[log]\nto = [\"{}/{{site}}.log\"]\n[site.shop]\n",
        server.port(),
        scratch.path().display()
    );
    let config = scratch.write("config.toml", config, 0o644);
    mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run().expect_status(0);
    assert!(scratch.read("shop.log").contains("\"site\":\"shop\""), "{}", scratch.read("shop.log"));
}
