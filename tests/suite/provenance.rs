//! Where a message came from, in its record: what stands there, and what a caller can make stand there.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Mailchute, Server, need};

use crate::setup::{MESSAGE, Setup};

/// A shell that the system knows by this name.
fn shell_called(setup: &Setup, name: &str) -> PathBuf {
    let path = setup.scratch.join(name);
    // Not by us: a process that another test starts meanwhile would inherit the open file, and a file that is open for
    // writing cannot be run.
    assert!(Command::new("cp").arg("/bin/sh").arg(&path).status().unwrap().success());
    path
}

/// The record of `call`, which is sent by whatever it is put under.
fn record(setup: &Setup, call: Mailchute) -> Value {
    call.run().expect_status(0);
    setup.record()
}

fn setup() -> Setup {
    Setup::new(Server::new())
}

fn call(setup: &Setup) -> Mailchute {
    setup.mailchute().args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

#[test]
fn the_processes_above_are_named_and_shells_among_them() {
    for (name, seen) in [("wp-cron", "wp-cron"), ("a)b S (c", "a)b S (c"), ("\u{1b}[31m\u{202e}", "?[31m?")] {
        let setup = setup();
        let program = shell_called(&setup, name);
        let words = ["-c", "/bin/sh -c '\"$0\" \"$@\"; exit $?' \"$0\" \"$@\"; exit $?"];
        let record = record(&setup, call(&setup).under(program.to_str().unwrap(), &words));
        assert_eq!(record["parent"], seen, "{record}");
        assert!(record["parents"].as_array().is_some_and(|names| (3..=8).contains(&names.len())), "{record}");
        assert_eq!((&record["parents"][0], &record["parents"][1]), (&json!("sh"), &json!(seen)), "{record}");
        for field in ["job", "pool", "script", "web_host"] {
            assert_eq!(record[field], Value::Null, "{field}: {record}");
        }
    }
}

#[test]
fn a_cron_job_is_named_without_its_secrets() {
    let setup = setup();
    let cron = shell_called(&setup, "cron");
    let job = "/bin/sh -c 'KEY=s3cret; \"$0\" \"$@\"; exit $?' \"$0\" \"$@\"; exit $?";
    let record = record(&setup, call(&setup).under(cron.to_str().unwrap(), &["-c", job]));
    let job = record["job"].as_str().unwrap_or_default();
    assert!(job.starts_with("/bin/sh -c KEY=*** ") && !job.contains("s3cret"), "{record}");
    assert_eq!(record["parent"], "cron", "{record}");
}

#[test]
fn what_cron_says_itself_is_no_job() {
    let setup = setup();
    let cron = shell_called(&setup, "cron");
    let record = record(&setup, call(&setup).under(cron.to_str().unwrap(), &["-c", "\"$0\" \"$@\"; exit $?"]));
    assert_eq!((&record["parent"], &record["job"]), (&json!("cron"), &Value::Null), "{record}");
}

#[test]
fn a_cgi_program_says_its_script_and_its_web_site() {
    let setup = setup();
    let hostile = format!("shop.example\u{1b}[2J\r\n\u{202e}{}", "x".repeat(4000));
    let call = call(&setup).env("SCRIPT_FILENAME", "/srv/www/shop/send.php").env("HTTP_HOST", hostile);
    let record = record(&setup, call.env("SERVER_NAME", "www.shop.example"));
    assert_eq!(record["script"], "/srv/www/shop/send.php");
    let host = record["web_host"].as_str().unwrap_or_default();
    assert!(host.starts_with("shop.example?[2J??") && host.len() <= 256, "{record}");
    assert!(!host.contains(['\u{1b}', '\u{202e}', '\r']), "{record}");
}

#[test]
fn what_php_names_in_the_message_goes_before_the_program_that_runs() {
    let Some(php) = need("php") else { return };
    for (header, script) in [("On", "0:send.php"), ("Off", "send.php")] {
        let setup = setup();
        drop(setup.mailchute());
        let page = "<?php exit(mail('bob@example.net', 'x', 'y', 'From: alice@example.org') ? 0 : 1);";
        setup.scratch.write("send.php", page, 0o644);
        let config = setup.scratch.join("config.toml");
        let sendmail_path = format!("{} --config {} -t -i", env!("CARGO_BIN_EXE_mailchute"), config.display());
        let status = testkit::apart(&php)
            .args(["-n", "-d", &format!("mail.add_x_header={header}"), "-d", &format!("sendmail_path={sendmail_path}")])
            .arg("send.php")
            .current_dir(setup.scratch.path())
            .status()
            .unwrap();
        assert!(status.success());
        let record = setup.record();
        let uid = nix::unistd::getuid();
        assert_eq!(record["script"], script.replace("0:", &format!("{uid}:")), "{record}");
        assert!(record["parent"].as_str().is_some_and(|name| name.starts_with("php")), "{record}");
    }
}

#[test]
fn it_costs_one_read_a_file_and_four_files() {
    let Some(strace) = need("strace") else { return };
    let setup = setup();
    let trace = setup.scratch.join("trace");
    let words = ["-f", "-e", "trace=openat,read,close", "-o", trace.to_str().unwrap()];
    call(&setup).under(strace.to_str().unwrap(), &words).run().expect_status(0);
    let trace = setup.scratch.read("trace");
    let lines: Vec<&str> = trace.lines().collect();
    let is_ours = |line: &str| line.contains("/stat\"") || line.contains("/proc/self/cgroup\"");
    let opened: Vec<usize> = (0..lines.len()).filter(|at| is_ours(lines[*at])).collect();
    assert!((2..=4).contains(&opened.len()), "{trace}");
    for at in opened {
        assert!(lines[at + 1].contains("read(") && lines[at + 2].contains("close("), "{trace}");
    }
}
