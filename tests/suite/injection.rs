//! Injection: what strangers type into a form and PHP hands on, in `mail()`'s fifth argument, in
//! addresses, names and header fields.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::{Scratch, Server, Session, need};

use crate::setup::every;

/// What a script came to.
struct Sent {
    /// What it printed.
    printed: String,
    /// What the server was told.
    sessions: Vec<Session>,
    /// What it left behind: the files of the scratch directory before and after, the log apart.
    before: BTreeMap<PathBuf, Vec<u8>>,
    after: BTreeMap<PathBuf, Vec<u8>>,
}

/// Runs a PHP script in a directory it may write to; `{www}` stands for that directory, `{planted}` for a
/// configuration that leads to somebody else's server, which must not be spoken to.
fn php(program: &Path, script: &str) -> Sent {
    let (server, other) = (Server::new().start(), Server::new().start());
    let scratch = Scratch::new();
    let binary = env!("CARGO_BIN_EXE_mailchute");
    let log = scratch.join("log");
    let relay = server.relay_lines(&scratch);
    let config = format!("[log]\nto = [\"{}\"]\n[relay.main]\n{relay}", log.display());
    let config = scratch.write("config.toml", config, 0o644);
    let planted = scratch.write("planted.toml", format!("[relay.other]\n{}", other.relay_lines(&scratch)), 0o644);
    let evil = scratch.write("www/evil.cf", "Mlocal, P=/bin/touch, A=touch pwned\n", 0o644);
    let www = evil.parent().expect("a directory").to_owned();
    let script = script.replace("{www}", &www.to_string_lossy()).replace("{planted}", &planted.to_string_lossy());
    let script = format!("<?php const SENDMAIL = ['{binary}', '--config', '{}'];\n{script}", config.display());
    let script = scratch.write("script.php", script, 0o644);
    let before = files(scratch.path(), &log);
    let output = Command::new(program)
        .args(["-n", "-d", &format!("sendmail_path={binary} --config {} -t -i", config.display())])
        .arg(script)
        .env_clear()
        .current_dir(&www)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("php runs");
    let after = files(scratch.path(), &log);
    assert!(other.finish().is_empty(), "the planted configuration was used");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    Sent { printed, sessions: server.finish(), before, after }
}

/// Every file below `folder` with its contents, `log` apart.
fn files(folder: &Path, log: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.insert(entry.clone(), Vec::new());
            found.extend(files(&entry, log));
        } else if entry != log {
            found.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    found
}

#[test]
fn words_in_the_fifth_argument_change_nothing_and_write_nothing() {
    let Some(program) = need("php") else { return };
    // The argument, and what `mail()` answers.
    let attacks = [
        ("-OQueueDirectory={www} -X{www}/shell.php", "true"),
        ("-f orders@shop.example -O QueueDirectory={www} -X {www}/shell.php", "true"),
        ("-C{www}/evil.cf -X{www}/leak", "true"),
        ("-C {www}/evil.cf", "true"),
        ("-D{www}/debug -d0-99.100", "true"),
        ("-D {www}/debug", "true"),
        ("-oQ{www} -oA{www}/aliases", "true"),
        ("-O LogFile={www}/log -oX{www}/x", "true"),
        ("-L{www}/tag -M{www} -p {www}", "true"),
        ("-Ac -Am -q{www}", "true"),
        ("-be ${run{/bin/touch {www}/pwned}}", "false"),
        ("-bP {www}", "false"),
        ("-bd -oD{www}", "false"),
        ("-bi -oA{www}/aliases", "false"),
        ("-bp", "false"),
        ("-bv bob@example.net", "false"),
        ("-bs", "false"),
        ("--config {planted}", "false"),
        ("--config={planted}", "false"),
        ("-f orders@shop.example --config={planted}", "false"),
        ("--site other", "false"),
        ("--relay=other", "false"),
        ("--help", "false"),
        ("--version", "false"),
    ];
    every(
        &attacks,
        |attack| attack.0.to_owned(),
        |(argument, answer)| {
            let script = format!(
                "var_export(mail('bob@example.net', 'hello', \"<?php evil();\\n\", 'From: orders@shop.example', '{argument}'));"
            );
            let sent = php(&program, &script);
            assert_eq!(sent.printed, *answer);
            assert_eq!(sent.before, sent.after, "files");
            let deliveries: Vec<_> = sent.sessions.iter().flat_map(|session| &session.deliveries).collect();
            assert_eq!(deliveries.len(), usize::from(*answer == "true"), "messages");
            for delivery in deliveries {
                assert_eq!(delivery.reverse_path, "orders@shop.example");
                assert_eq!(delivery.forward_paths(), ["bob@example.net"]);
                assert!(delivery.text().ends_with("\r\n\r\n<?php evil();\r\n\r\n"), "{}", delivery.text());
            }
        },
    );
}

#[test]
fn line_ends_and_nul_add_no_recipient_no_field_and_no_message() {
    let Some(program) = need("php") else { return };
    // What `mail()` is called with.
    let mail = [
        // PHP itself makes spaces of control characters here, or throws.
        r#""bob@example.net{i}", 'x', "x", 'From: orders@shop.example'"#,
        r#"'bob@example.net', "x{i}", "x", 'From: orders@shop.example'"#,
        r#"'bob@example.net', 'x', "x", ['From' => "orders@shop.example{i}"]"#,
        r#"'bob@example.net', 'x', "x", ['From' => 'orders@shop.example', 'X-Name' => "Eve{i}"]"#,
        r#"'bob@example.net', 'x', "x", 'From: orders@shop.example', "-forders@shop.example{i}""#,
        r#"'bob@example.net', 'x', "x", '', "-f orders@shop.example -FEve{i}""#,
        r#"'bob@example.net', 'x', "x{i}{i}\r\n.\r\n{i}", 'From: orders@shop.example'"#,
    ];
    // Nothing stands between these and the binary.
    let argv = [
        r#"['-i', '-f', "orders@shop.example{i}", 'bob@example.net']"#,
        r#"['-i', "-forders@shop.example>{i}", 'bob@example.net']"#,
        r#"['-i', '-F', "Eve{i}", 'bob@example.net']"#,
        r#"['-t', '-i', '-F', "Eve <eve@example.net>{i}", '-f', 'orders@shop.example']"#,
        r#"['-i', "bob@example.net{i}"]"#,
        r#"['-i', '--', "bob@example.net>{i}"]"#,
        r#"['-i', '-V', "id{i}", 'bob@example.net']"#,
        r#"['-i', '-N', "never{i}", 'bob@example.net']"#,
    ];
    let injected = [
        r"\r\nBcc: eve@example.net\r\nX-Injected: 1",
        r"\nBcc: eve@example.net\nX-Injected: 1",
        r"\rBcc: eve@example.net\rX-Injected: 1",
        r"\r\nRCPT TO:<eve@example.net>\r\nDATA\r\nX-Injected: 1\r\n\r\n.\r\n",
        r"\0\r\nBcc: eve@example.net",
        r"\0Bcc: eve@example.net",
        r"\r\r\nBcc: eve@example.net\r\r\nX-Injected: 1",
        r"\r\rBcc: eve@example.net\r\r\nX-Injected: 1",
    ];
    let mut scripts = Vec::new();
    for text in injected {
        for arguments in mail {
            scripts.push(format!("var_export(mail({}));", arguments.replace("{i}", text)));
        }
        // PHP passes a bare CR on, and so does an application that looks for LF only.
        if !text.contains(r"\n") {
            let fields = format!("From: orders@shop.example\\r\\nX-Name: Eve{text}");
            scripts.push(format!("var_export(mail('bob@example.net', 'x', 'x', \"{fields}\"));"));
        }
        for words in argv {
            scripts.push(format!(
                "$p = proc_open(array_merge(SENDMAIL, {}), [['pipe', 'r']], $pipes); \
                 fwrite($pipes[0], \"To: bob@example.net\\nSubject: x\\n\\nx\\n\"); fclose($pipes[0]); echo proc_close($p);",
                words.replace("{i}", text)
            ));
        }
    }
    every(&scripts, Clone::clone, |script| {
        let sent = php(&program, &format!("try {{ {script} }} catch (ValueError $e) {{ echo 'exception'; }}"));
        let is_answer = ["true", "false", "exception"].contains(&sent.printed.as_str());
        assert!(is_answer || sent.printed.parse::<u8>().is_ok(), "printed {}", sent.printed);
        assert_eq!(sent.before, sent.after, "files");
        let commands = sent.sessions.iter().flat_map(|session| &session.commands);
        for command in commands {
            let verb = command.split(' ').next().unwrap_or_default();
            assert!(["EHLO", "MAIL", "RCPT", "BDAT", "DATA", "QUIT"].contains(&verb), "said {command}");
            assert!(verb != "RCPT" || command.starts_with("RCPT TO:<bob@example.net>"), "said {command}");
        }
        let deliveries: Vec<_> = sent.sessions.iter().flat_map(|session| &session.deliveries).collect();
        assert!(deliveries.len() <= 1, "{deliveries:?}");
        for delivery in deliveries {
            let text = delivery.text();
            let (header, _) = text.split_once("\r\n\r\n").expect("a header section");
            for line in header.split("\r\n") {
                let name = line.split(':').next().unwrap_or_default();
                assert!(!["Bcc", "X-Injected", "RCPT TO"].contains(&name), "a field was added:\n{header}");
            }
        }
    });
}
