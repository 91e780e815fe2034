//! Imports: `tests/import/*.case`, the files of another program and what they come to.
//!
//! | Key | Meaning |
//! |---|---|
//! | `argv:` | the words behind `mailchute import --root DIR` |
//! | `as:` | the user it is about |
//! | `secret:` | what must appear in no output; may be repeated |
//! | `exit:` | the exit status |
//!
//! Blocks: `file PATH` is a file below the root directory; `raw PATH` the same with escapes (`\r`, `\n`) and without the
//! final line end; `toml` standard output, `told` standard error without `mailchute: ` before each line and the
//! test's directory as `SCRATCH`. A result is also
//! read by `mailchute explain`, so that a case that prints what would not load fails.

use testkit::{Case, Scratch, escaped};

use crate::setup::{every_case, exit, mailchute};

#[test]
fn imports() {
    every_case("import", |case| {
        case.knows(&["argv", "as", "secret", "exit"], &["file", "raw", "toml", "told"]);
        check(case);
    });
}

fn check(case: &Case) {
    let scratch = Scratch::new();
    for (name, text) in case.blocks() {
        match name.split_once(' ') {
            Some(("file", path)) => drop(scratch.write(&format!("root{path}"), text, 0o644)),
            Some(("raw", path)) => {
                let octets = escaped(text.strip_suffix('\n').unwrap_or(text));
                drop(scratch.write(&format!("root{path}"), octets, 0o644));
            }
            _ => {}
        }
    }
    scratch.write("root/etc/hostname", "web.example.net\n", 0o644);
    let mut call =
        mailchute().args(["import", "--root"]).arg(scratch.join("root")).line(case.value("argv").unwrap_or(""));
    if let Some(user) = case.value("as") {
        let entry = format!("root:x:0:0:root:/root:/bin/sh\n{user}:x:1042:1042::/home/{user}:/bin/sh\n");
        scratch.write("root/etc/passwd", entry, 0o644);
        call = call.args(["--as", user]);
    }
    let run = call.run();
    let told: String =
        run.stderr.lines().map(|line| format!("{}\n", line.strip_prefix("mailchute: ").unwrap_or(line))).collect();
    let told = told.replace(&scratch.path().display().to_string(), "SCRATCH");
    let stdout = run.stdout.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("MAILCHUTE_REWRITE_CASES").is_some() {
        return rewrite(case, run.status, &stdout, &told);
    }
    assert_eq!(run.status, exit(case), "exit status\n{}", run.report());
    assert_eq!(stdout, case.block("toml").unwrap_or_default(), "standard output");
    assert_eq!(told, case.block("told").unwrap_or_default(), "standard error");
    for secret in case.values("secret") {
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{secret} is shown\n{}", run.report());
    }
    if run.stdout.contains("[relay.") {
        let config = scratch.write("config.toml", &run.stdout, 0o644);
        let read = mailchute().arg("explain").arg("--config").arg(&config).args(["--", "-i", "bob@example.net"]).run();
        assert!(!read.stderr.contains("config.toml:"), "it does not load\n{}", read.report());
    }
}

/// Puts what came out into the case, for whoever has read it and found it right.
fn rewrite(case: &Case, status: i32, stdout: &str, told: &str) {
    let text = std::fs::read_to_string(&case.path).expect("the case");
    let kept = text.split("\n--- toml\n").next().unwrap_or(&text).split("\n--- told\n").next().unwrap_or_default();
    let lines = kept.lines().filter(|line| !line.starts_with("exit: "));
    let mut new = String::new();
    for (at, line) in lines.enumerate() {
        new += &format!("{line}\n");
        if at == 0 {
            new += &format!("exit: {status}\n");
        }
    }
    for (name, block) in [("toml", stdout), ("told", told)] {
        if !block.is_empty() {
            new += &format!("--- {name}\n{block}");
        }
    }
    std::fs::write(&case.path, new).expect("the case is written");
}
