//! `--as USER` by root: what runs as USER finds no way to root's terminal.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use testkit::{Host, PATIENCE, Scratch, Server, apart};

const USER: u32 = 61042;
const SECRET: &str = "correct horse battery staple";

/// A configuration whose secret is printed by a program of the user's, which notes what it finds around it.
struct Bench {
    scratch: Scratch,
    server: Server,
}

/// Runs `test` on a host of its own; it is skipped, loudly, where there is none or no `script` to make a terminal with.
fn run(test: impl FnOnce(Bench) + Send) {
    if testkit::need("script").is_some() {
        Host::run(&[("shop", USER)], |_| test(Bench::new()));
    }
}

impl Bench {
    fn new() -> Self {
        let bench =
            Self { scratch: Scratch::new(), server: Server::new().login("a@example.org", SECRET, &["PLAIN"]).start() };
        fs::set_permissions(bench.scratch.path(), Permissions::from_mode(0o777)).unwrap();
        let spy = "#!/bin/sh\n\
            exec 2>/dev/null\n\
            { echo \"groups $(id -G)\"\n\
              (: </dev/tty) && echo 'terminal: /dev/tty'\n\
              for fd in /proc/$$/fd/* /proc/$PPID/fd/*; do\n\
                  case $(readlink \"$fd\") in /dev/pts/* | /dev/tty* | */inherited) echo \"terminal: $fd\" ;; esac\n\
                  # Simulates input at the terminal, where there is one behind the descriptor.\n\
                  perl -e 'open F, \"+<\", shift or exit; $c = \"x\"; print \"typed\\n\" if ioctl F, 0x5412, $c' \"$fd\"\n\
              done\n\
              echo \"environment $(env | cut -d= -f1 | sort | tr '\\n' ' ')\"\n\
              echo \"home $HOME $USER $LOGNAME\"\n\
              echo \"session $(cut -d' ' -f6 /proc/$$/stat)\"\n\
            } >\"$(dirname \"$0\")/seen.new\"\n\
            mv \"$(dirname \"$0\")/seen.new\" \"$(dirname \"$0\")/seen\"\n";
        bench.scratch.write("spy", format!("{spy}echo '{SECRET}'\n"), 0o755);
        bench.scratch.write("hang", format!("{spy}exec sleep 600\n"), 0o755);
        bench.scratch.write("inherited", "", 0o666);
        bench.configure("spy");
        bench
    }

    fn configure(&self, program: &str) {
        let program = self.scratch.join(program);
        let text = format!(
            "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"a@example.org\"\npassword = {{ command = [\"{}\"] }}\n",
            self.server.port(),
            program.display()
        );
        self.scratch.write("config.toml", text, 0o644);
    }

    /// `mailchute` with these words and `--config`, at a terminal of its own with a descriptor too many.
    fn at_terminal(&self, words: &str) -> Command {
        let mut command = apart("script");
        command.env("ROOTS_SECRET", "x");
        let line = format!(
            "exec 7<>{}; exec {} {words} --config {}",
            self.scratch.join("inherited").display(),
            env!("CARGO_BIN_EXE_mailchute"),
            self.config().display()
        );
        command.args(["-qefc", &line, "/dev/null"]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn config(&self) -> PathBuf {
        self.scratch.join("config.toml")
    }

    /// What the user's program found, once it has looked.
    fn seen(&self) -> String {
        let begun = Instant::now();
        while !self.scratch.join("seen").exists() {
            assert!(begun.elapsed() < PATIENCE, "the program does not run");
            std::thread::yield_now();
        }
        self.scratch.read("seen")
    }
}

#[test]
fn a_program_of_the_users_has_no_way_to_roots_terminal() {
    run(|bench| {
        let mut child = bench.at_terminal(&format!("test --to bob@example.net --as {USER}")).spawn().unwrap();
        let stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("EHLO") && said.contains("0 (EX_OK)"), "what it says is passed on: {said}");
        let seen = bench.seen();
        assert!(seen.contains(&format!("groups {USER}\n")), "{seen}");
        let names = seen.lines().find_map(|line| line.strip_prefix("environment ")).unwrap_or_default();
        // A shell sets the last three by itself.
        let own = ["HOME", "LOGNAME", "PATH", "SHELL", "USER", "PWD", "OLDPWD", "_"];
        assert!(names.split_whitespace().all(|name| own.contains(&name)), "{seen}");
        assert!(seen.contains("home /home/shop shop shop\n"), "{seen}");
        assert!(!seen.contains("terminal") && !seen.contains("typed"), "{seen}");
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let own = own.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
        assert!(!seen.contains(&format!("session {own}\n")), "{seen}");
        assert_eq!(bench.server.finish().len(), 1);
    });
}

#[test]
fn whoever_becomes_another_leaves_no_core_then() {
    if !testkit::need_strace() {
        return;
    }
    run(|bench| {
        let trace = bench.scratch.join("trace");
        let words = ["-f", "-e", "trace=setresuid,setresgid,setgroups,prctl", "-o", trace.to_str().unwrap()];
        let call = crate::setup::mailchute().args(["test", "--to", "bob@example.net", "--cwd", "/", "--as"]);
        call.arg(USER.to_string()).config(&bench.config()).under("strace", &words).run().expect_status(0);
        let trace = bench.scratch.read("trace");
        // The last word on it before anything of the user's is read: the kernel has set it anew with each change.
        let mut has_core = HashMap::new();
        for (pid, call) in trace.lines().filter_map(|line| line.split_once(' ')) {
            let call = call.trim_start();
            match call {
                _ if call.starts_with("setres") && call.ends_with("= 0") => drop(has_core.insert(pid, true)),
                _ if call.starts_with("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)") => drop(has_core.insert(pid, false)),
                _ => {}
            }
        }
        assert!(trace.contains(&format!("setresuid({USER}, {USER}, {USER})")), "{trace}");
        assert!(has_core.values().all(|has_core| !has_core), "{trace}");
    });
}

#[test]
fn the_bench_would_see_a_terminal() {
    run(|bench| {
        // Without `--as`, root's own program is at root's own terminal.
        let output = bench.at_terminal("test --to bob@example.net").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        let seen = bench.seen();
        assert!(seen.contains("terminal: /dev/tty\n") && seen.contains("typed\n"), "{seen}");
        assert!(seen.contains("ROOTS_SECRET"), "{seen}");
    });
}

#[test]
fn what_root_types_and_interrupts_reaches_the_other_process() {
    run(|bench| {
        bench.configure("hang");
        let mut child = bench.at_terminal(&format!("test --to bob@example.net --as {USER}")).spawn().unwrap();
        bench.seen();
        // Ctrl-C at the terminal.
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\x03").unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(71), "{said}");
        assert!(said.contains("SIGINT: stopped before the message was sent"), "{said}");
        // A login that is pasted.
        let lines = "[relay.main]\nprovider = \"gmail\"\nclient_id = \"x\"\nusername = \"a@example.org\"\n";
        bench.scratch.write("config.toml", lines, 0o644);
        let mut child = bench.at_terminal(&format!("login main --as {USER}")).spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"not an address\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("paste it here and press Enter"), "{said}");
        assert_eq!(output.status.code(), Some(65), "{said}");
    });
}
