//! Aliases: `[alias]` and the host's /etc/aliases, for the envelope and for bare names in To and Cc.

use std::process::{Command, Stdio};

use testkit::{Delivery, Moment, Server, need_mount_namespace};

use crate::setup::{Setup, every};

/// An alias file as hosts have it.
const ALIASES: &str = "# /etc/aliases
MAILER-DAEMON: postmaster
postmaster:\troot
  # an indented comment ends no list
root: alice,
\t\"Bob B., operations\" <bob@example.org> ,
    # nor does one between

  carol@example.org
alice: \\alice, backup@example.org
webmaster : root, dave@example.org\r
\"two words\": erin@example.org
team: frank@example.org, :include:/etc/team
vacation: \"|/bin/touch MARK, x\"
unquoted: |/bin/touch MARK
saved: /MARK
nowhere: nobody-knows
loop: pool
pool: loop
";

/// What a call came to.
struct Called {
    status: i32,
    stderr: String,
    deliveries: Vec<Delivery>,
}

/// Calls the binary with [`ALIASES`] as /etc/aliases; its programs and files would leave a mark.
fn call(top: &[&str], args: &[&str], message: &str) -> Called {
    let mut setup = Setup::new(Server::new().reply(Moment::RcptOf("refused@example.org".into()), "550 5.1.1 no"));
    for line in top {
        setup = setup.top(line);
    }
    // The configuration is written by the builder, which is not run here.
    drop(setup.mailchute());
    let mark = setup.scratch.join("mark");
    setup.scratch.write(
        "etc/aliases",
        ALIASES.replace("/MARK", &mark.to_string_lossy()).replace("MARK", &mark.to_string_lossy()),
        0o644,
    );
    setup.scratch.write("etc/team", "mallory@example.org\n", 0o644);
    let message = setup.scratch.write("message", message, 0o644);
    let output = Command::new("unshare")
        .args(["--mount", "/bin/sh", "-eu", "-c"])
        .arg("mount -t overlay -o lowerdir=\"$1/etc\":/etc overlay /etc; shift; exec \"$@\" <\"$0\"")
        .arg(message)
        .arg(setup.scratch.path())
        .arg(env!("CARGO_BIN_EXE_mailchute"))
        .arg("--config")
        .arg(setup.scratch.join("config.toml"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    assert!(!mark.exists(), "an alias wrote a file or ran a program");
    Called {
        status: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        deliveries: setup.deliveries(),
    }
}

#[test]
fn names_lead_to_the_addresses_of_their_lists() {
    if !need_mount_namespace() {
        return;
    }
    const ROOT: &str = "alice@example.com backup@example.org bob@example.org carol@example.org";
    let cases = [
        ("root", ROOT.to_owned()),
        ("Mailer-Daemon", ROOT.to_owned()),
        ("root@localhost", ROOT.to_owned()),
        ("webmaster", format!("{ROOT} dave@example.org")),
        ("webmaster root alice", format!("{ROOT} dave@example.org")),
        ("\"two words\"", "erin@example.org".to_owned()),
        ("erin@example.net root", format!("erin@example.net {ROOT}")),
        // [alias] comes first, and its `*` last.
        ("ops", "ops@shop.example".to_owned()),
        ("anybody", "rest@shop.example".to_owned()),
    ];
    every(
        &cases,
        |case| case.0.to_owned(),
        |(recipients, expected)| {
            let top =
                ["domain = \"example.com\"", "alias = { ops = \"ops@shop.example\", \"*\" = \"rest@shop.example\" }"];
            let args: Vec<&str> = match recipients.starts_with('"') {
                true => vec!["-i", recipients],
                false => std::iter::once("-i").chain(recipients.split(' ')).collect(),
            };
            let called = call(&top, &args, "Subject: x\n\nx\n");
            assert_eq!(called.status, 0, "{}", called.stderr);
            assert_eq!(called.deliveries[0].forward_paths().join(" "), *expected);
        },
    );
}

#[test]
fn bare_names_in_to_and_cc_become_addresses() {
    if !need_mount_namespace() {
        return;
    }
    let message =
        "From: alice@example.org\nTo: root (Charlie Root), Web <webmaster>\nCc: bob@example.net, ops: team2;\n\nx\n";
    let top = ["domain = \"example.com\"", "alias = { team2 = [\"two@shop.example\", \"three@shop.example\"] }"];
    let called = call(&top, &["-t", "-i"], message);
    assert_eq!(called.status, 0, "{}", called.stderr);
    let delivery = &called.deliveries[0];
    let text = delivery.text();
    assert!(text.contains("\r\nTo: Charlie Root <alice@example.com>, Web <alice@example.com>\r\n"), "{text}");
    assert!(text.contains("\r\nCc: bob@example.net, ops: two@shop.example;\r\n"), "{text}");
    assert!(delivery.forward_paths().contains(&"three@shop.example"), "{:?}", delivery.forward_paths());
}

#[test]
fn lists_files_and_programs_are_refused_with_a_sentence() {
    if !need_mount_namespace() {
        return;
    }
    let cases = [
        (
            "team",
            "mailchute: team: /etc/aliases line 13 sends it to the list :include:/etc/team, and only addresses are mailed to (mailchute, site default)",
        ),
        (
            "vacation",
            "mailchute: vacation: /etc/aliases line 14 sends it to the program |/bin/touch *, and only addresses are mailed to *",
        ),
        (
            "unquoted",
            "mailchute: unquoted: /etc/aliases line 15 sends it to the program |/bin/touch *, and only addresses are mailed to *",
        ),
        ("saved", "mailchute: saved: /etc/aliases line 16 sends it to the file /*, and only addresses are mailed to *"),
        (
            "nowhere",
            "mailchute: nobody-knows: a local name, and neither an alias nor `domain` says where its mail goes *",
        ),
        ("loop", "mailchute: loop: its alias leads back to itself *"),
    ];
    every(
        &cases,
        |case| case.0.to_owned(),
        |(name, sentence)| {
            let called = call(&[], &["-i", "bob@example.net", name], "Subject: x\n\nx\n");
            assert_eq!(called.status, 65, "{}", called.stderr);
            let first = called.stderr.lines().next().unwrap_or_default();
            assert!(testkit::matches(sentence, first), "{}", called.stderr);
            assert!(called.deliveries.is_empty());
        },
    );
}
