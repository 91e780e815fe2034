//! Manners (design section 6): what a caller may leave out, and still be served.

use std::process::Command;

use testkit::{Moment, Run, Server};

use crate::setup::{MESSAGE, Setup};

/// Runs a line of shell in which `$@` is the whole call and `$0` a file that holds a message.
fn shell(setup: &Setup, line: &str, args: &[&str]) -> i32 {
    // The configuration is written by the builder, which is not run here.
    drop(setup.mailchute());
    let message = setup.scratch.write("message", MESSAGE, 0o644);
    let status = Command::new("/bin/sh")
        .args(["-c", line, message.to_str().unwrap(), env!("CARGO_BIN_EXE_mailchute")])
        .arg("--config")
        .arg(setup.scratch.join("config.toml"))
        .args(args)
        .env_clear()
        .current_dir(setup.scratch.path())
        .status()
        .unwrap();
    status.code().unwrap_or(-1)
}

#[test]
fn descriptors_may_be_closed() {
    for (line, args, status) in [
        ("exec \"$@\" <\"$0\" >&-", &["-i", "bob@example.net"][..], 0),
        ("exec \"$@\" <\"$0\" 2>&-", &["-i", "bob@example.net"], 0),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-i", "bob@example.net"], 0),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-v", "-i", "bob@example.net"], 0),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-i", "carol@example.net"], 150),
        ("exec \"$@\" <\"$0\" 2>/dev/full", &["-v", "-i", "carol@example.net"], 150),
        ("exec \"$@\" <\"$0\" >&- 2>&-", &["-bd"], 64),
    ] {
        let setup = Setup::new(Server::new().reply(Moment::RcptOf("carol@example.net".into()), "550 no"));
        assert_eq!(shell(&setup, line, args), status, "{line} {args:?}");
        assert_eq!(setup.deliveries().len(), usize::from(status == 0), "{line} {args:?}");
    }
}

#[test]
fn closed_standard_input_is_no_input() {
    let setup = Setup::new(Server::new());
    assert_eq!(shell(&setup, "exec \"$@\" <&-", &["-i", "bob@example.net"]), 66);
}

#[test]
fn a_working_directory_that_is_gone() {
    let setup = Setup::new(Server::new());
    let line = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\" <\"$0\"";
    assert_eq!(shell(&setup, line, &["-i", "bob@example.net"]), 0);
    assert_eq!(setup.deliveries().len(), 1);
}

#[test]
fn a_uid_without_a_passwd_entry_and_an_empty_name() {
    if !testkit::need_root() {
        return;
    }
    let setup = Setup::new(Server::new());
    // The log's file belongs to nobody's business here: its directory is not writable for this uid.
    let config = setup.scratch.write(
        "other.toml",
        format!("[log]\nto = []\n[relay.main]\n{}", setup.server.relay_lines(&setup.scratch)),
        0o644,
    );
    let message = "To: bob@example.net\nSubject: x\n\nx\n";
    let run: Run = crate::setup::mailchute()
        .name("mailchute")
        .config(&config)
        .args(["-t", "-i", "-f", "shop@example.org"])
        .uid(61_077)
        .stdin(message)
        .run();
    run.expect_status(0);
    let run = crate::setup::mailchute().name("").args(["-i", "bob@example.net"]).stdin(message).run();
    assert_eq!(run.signal, None, "{}", run.report());
}

#[test]
fn nothing_is_written_on_success() {
    let setup = Setup::new(Server::new());
    let run = setup.send(&["bob@example.net"]);
    assert!(run.status == 0 && run.stdout.is_empty() && run.stderr.is_empty(), "{}", run.report());
}
