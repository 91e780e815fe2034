//! Configurations: `tests/config/*.case`, and what the caller is told.
//!
//! | Key | Meaning |
//! |---|---|
//! | `argv:` | the arguments behind `--config`; `-i bob@example.net` unless said |
//! | `mode:` | the mode of the configuration file; 0644 unless said |
//! | `env:` | `NAME=value`, one variable |
//! | `uid:` | run as this uid (skipped, loudly, without root) |
//! | `as:` | `argv[0]` |
//! | `exit:`, `stderr:` | as in `tests/smtp` |
//! | `to:`, `from:` | the envelope that arrives |
//!
//! Blocks: `config` is the file given with `--config` (none: no such option), `file NAME MODE` another
//! file in the scratch directory, `input` standard input. `{port}` is a server that takes everything,
//! `{scratch}` the directory.

use testkit::{Case, Scratch, Server, matches};

use crate::setup::{MESSAGE, check_stderr, every_case, exit, mailchute};

#[test]
fn configurations() {
    every_case("config", |case| {
        let keys = ["argv", "mode", "env", "uid", "as", "exit", "stderr", "to", "from"];
        case.knows(&keys, &["config", "file", "input"]);
        check(case);
    });
}

fn check(case: &Case) {
    let uid: Option<u32> = case.value("uid").map(|uid| uid.parse().expect("a uid"));
    if uid.is_some() && !testkit::need_root() {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::new().start();
    let fill = |text: &str| {
        text.replace("{port}", &server.port().to_string()).replace("{scratch}", &scratch.path().display().to_string())
    };
    let octal = |mode: &str| u32::from_str_radix(mode, 8).expect("an octal mode");
    for (name, text) in case.blocks() {
        if let ["file", name, mode] = name.split(' ').collect::<Vec<_>>()[..] {
            scratch.write(name, fill(text), octal(mode));
        }
    }
    let mut call = mailchute();
    if let Some(config) = case.block("config") {
        let mode = case.value("mode").map_or(0o644, octal);
        call = call.config(&scratch.write("config.toml", fill(config), mode));
    }
    if let Some(uid) = uid {
        call = call.uid(uid);
    }
    if let Some(name) = case.value("as") {
        call = call.name(name);
    }
    for variable in case.values("env") {
        let (name, value) = variable.split_once('=').expect("NAME=value");
        call = call.env(name, fill(value));
    }
    let argv = fill(case.value("argv").unwrap_or("-i bob@example.net"));
    let run = call.line(&argv).stdin(case.block("input").unwrap_or(MESSAGE)).run();
    assert_eq!(run.status, exit(case), "exit status\n{}", run.report());
    check_stderr(case, &run);
    let deliveries: Vec<_> = server.finish().into_iter().flat_map(|session| session.deliveries).collect();
    assert_eq!(deliveries.len(), usize::from(case.value("to").is_some()), "messages\n{}", run.report());
    if let (Some(to), Some(delivery)) = (case.value("to"), deliveries.first()) {
        assert_eq!(delivery.forward_paths().join(" "), to, "forward-paths");
        let from = case.value("from").unwrap_or("*");
        assert!(matches(from, &delivery.reverse_path), "reverse-path {}", delivery.reverse_path);
    }
}
