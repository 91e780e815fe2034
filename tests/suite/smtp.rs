//! Transcripts: `tests/smtp/*.case`, one dialogue a file. See `testkit::Script` for its lines.
//!
//! | Key | Meaning |
//! |---|---|
//! | `top:`, `relay:` | a line of the configuration's top level or of `[relay.main]`; `{port}`, `{ca}` and `{scratch}` are filled in |
//! | `argv:` | the arguments; `-i bob@example.net` unless said |
//! | `field:`, `body:` | a field before, or a line behind the usual message; `\n` for a line end |
//! | `more:` | so many megabytes of body behind the usual message |
//! | `certificate:` | `expired`, `wrong-name`, `self-signed`, `other-authority`; a good one unless said |
//! | `exit:` | the exit status |
//! | `stderr:` | one line of standard error, `*` for any text; several lines in order |
//! | `received:` | `message` (whole and unchanged, once) or `nothing`; `nothing` unless said |
//! | `record:` | text the log record holds |
//! | `absent:` | text that may appear neither on standard error nor in the log record |

use testkit::{Case, Identity, Scratch, Script};

use crate::setup::{MESSAGE, check_stderr, every_case, exit, mailchute};

#[test]
fn transcripts() {
    every_case("smtp", |case| {
        let known = [
            "top",
            "relay",
            "argv",
            "field",
            "body",
            "more",
            "certificate",
            "exit",
            "stderr",
            "received",
            "record",
            "absent",
        ];
        case.knows(&known, &["dialogue"]);
        play(case);
    });
}

fn play(case: &Case) {
    let identity = match case.value("certificate") {
        None => Identity::Good,
        Some("expired") => Identity::Expired,
        Some("wrong-name") => Identity::WrongName,
        Some("self-signed") => Identity::SelfSigned,
        Some("other-authority") => Identity::OtherAuthority,
        Some(other) => panic!("no certificate is called {other}"),
    };
    let megabytes = case.value("more").map_or(0, |value| value.parse::<usize>().expect("megabytes"));
    let lines = |key| case.values(key).map(|line| line.replace("\\n", "\r\n") + "\r\n").collect::<String>();
    let message = format!(
        "{}{MESSAGE}{}{}",
        lines("field"),
        lines("body"),
        "sixty-four octets of text, line end included, from here to there\r\n".repeat(megabytes << 14)
    );
    let script = Script::play(case.block("dialogue").expect("a dialogue"), identity);
    let scratch = Scratch::new();
    let config = configuration(case, &scratch, script.port());
    let run = mailchute()
        .config(&scratch.write("config.toml", config, 0o644))
        .line(case.value("argv").unwrap_or("-i bob@example.net"))
        .stdin(message.clone())
        .run();
    let dialogue = script.finish();
    let seen = format!("{}\ndialogue:\n{}", run.report(), dialogue.lines.join("\n"));
    assert!(dialogue.complaints.is_empty(), "{}\n{seen}", dialogue.complaints.join("\n"));
    assert_eq!(run.status, exit(case), "exit status\n{seen}");
    check_stderr(case, &run);
    match case.value("received") {
        None | Some("nothing") => assert!(dialogue.messages.is_empty(), "a message arrived\n{seen}"),
        Some("message") => assert!(dialogue.messages == [message.as_bytes()], "not the message\n{seen}"),
        Some(other) => panic!("received: {other}?"),
    }
    let log = scratch.read("log");
    assert_eq!(log.lines().count(), 1, "log record\n{log}\n{seen}");
    for text in case.values("record") {
        assert!(
            log.contains(serde_json::to_string(text).expect("text")[1..].trim_end_matches('"')),
            "{text}\n{log}\n{seen}"
        );
    }
    for text in case.values("absent") {
        assert!(!run.stderr.contains(text) && !log.contains(text), "{text} was shown\n{log}\n{seen}");
    }
}

pub(crate) fn configuration(case: &Case, scratch: &Scratch, port: u16) -> String {
    let ca = testkit::Certs::shared().write_authority(scratch);
    let top: String = case.values("top").map(|line| format!("{line}\n")).collect();
    let mut relay: String = case.values("relay").map(|line| format!("{line}\n")).collect();
    for (key, line) in [
        ("host", "host = \"127.0.0.1\"\n"),
        ("port", "port = {port}\n"),
        ("tls", "tls = \"none\"\n"),
        ("ca_file", "ca_file = \"{ca}\"\n"),
    ] {
        if !relay.lines().any(|found| found.starts_with(key)) {
            relay += line;
        }
    }
    format!("{top}\n[relay.main]\n{relay}\n[log]\nto = [\"{{scratch}}/log\"]\n")
        .replace("{port}", &port.to_string())
        .replace("{ca}", &ca.display().to_string())
        .replace("{scratch}", &scratch.path().display().to_string())
}
