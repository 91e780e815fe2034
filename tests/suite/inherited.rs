//! What a process inherits from its caller, and may not be harmed by: limits, timers, signals, descriptors, environment.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Action, Answer, Host, Moment, Run, Server, TlsStart, Web, need, need_root};

use crate::setup::{MESSAGE, Setup, every, mailchute};

const USER: u32 = 61_078;

/// A message that is held in a file.
fn large() -> String {
    format!("{MESSAGE}{}", "sixty-four octets of text, line end included, from here to there\r\n".repeat(40_000))
}

/// Sends `message` under `program` with `words`.
fn send(setup: &Setup, program: &str, words: &[&str], message: &str) -> Run {
    setup.mailchute().args(["-i", "bob@example.net"]).under(program, words).stdin(message).run()
}

fn prlimit(setup: &Setup, limits: &[&str], message: &str) -> Run {
    send(setup, "prlimit", limits, message)
}

#[test]
fn a_limit_that_leaves_enough_changes_nothing() {
    if need("prlimit").is_none() {
        return;
    }
    let limits = [
        "--stack=65536",
        "--stack=131072:unlimited",
        "--stack=524288",
        "--stack=unlimited",
        "--core=unlimited",
        "--memlock=0",
        "--sigpending=0",
        "--msgqueue=0",
        "--locks=0",
        "--nice=0",
        "--rtprio=0",
        "--nofile=8",
        "--fsize=4194304",
        "--cpu=30",
        "--as=536870912",
    ];
    let server = || Setup::new(Server::new().tls(TlsStart::Implicit));
    every(
        &limits,
        |limit| (*limit).to_owned(),
        |limit| {
            let setup = server();
            prlimit(&setup, &[limit], &large()).expect_status(0);
            assert_eq!(setup.deliveries().len(), 1);
        },
    );
}

#[test]
fn too_few_descriptors_are_said() {
    if need("prlimit").is_none() {
        return;
    }
    // From what the loader needs to what is enough.
    for count in 4..8 {
        let setup = Setup::new(Server::new().tls(TlsStart::Implicit));
        let run = prlimit(&setup, &[&format!("--nofile={count}")], &large());
        assert!(run.signal.is_none() && run.drained, "{count}\n{}", run.report());
        assert!(run.status == 0 || run.stderr.starts_with("mailchute: "), "{count}\n{}", run.report());
        assert_eq!(setup.deliveries().len(), usize::from(run.status == 0), "{count}\n{}", run.report());
    }
}

#[test]
fn no_process_more_changes_nothing() {
    if !need_root() || need("prlimit").is_none() {
        return;
    }
    let server = Server::new().start();
    let setup = testkit::Scratch::new();
    let lines = server.relay_lines(&setup);
    let config = setup.write("config.toml", format!("[log]\nto = []\n[relay.main]\n{lines}"), 0o644);
    let run = mailchute().config(&config).args(["-i", "bob@example.net"]).uid(USER).stdin(MESSAGE);
    run.under("prlimit", &["--nproc=1"]).run().expect_status(0);
    assert_eq!(server.finish()[0].deliveries.len(), 1);
}

#[test]
fn too_little_memory_is_said() {
    if need("prlimit").is_none() {
        return;
    }
    let setup = Setup::new(Server::new().tls(TlsStart::Implicit));
    let accepted = Cell::new(0);
    let send = |limit: u64| {
        let run = prlimit(&setup, &[&format!("--as={limit}")], &large());
        accepted.set(accepted.get() + usize::from(run.status == 0));
        run
    };
    // What the loader and the runtime need before the program begins depends on the build.
    let has_begun = |run: &Run| run.stderr.starts_with("mailchute: memory: ") || run.status == 0;
    let begun =
        (1..=1920).map(|step| step << 16).collect::<Vec<u64>>().partition_point(|limit| !has_begun(&send(*limit)))
            as u64;
    // From there on, a thread's stack may be had and nothing beside it.
    let ends: Vec<Run> = (begun + 1..begun + 160).map(|step| send((step + 1) << 16)).collect();
    let (said, sent): (Vec<_>, Vec<_>) = ends.iter().partition(|run| run.status != 0);
    assert!(said.len() > 100 && !sent.is_empty(), "{:?}", ends.iter().map(|run| run.status).collect::<Vec<_>>());
    assert_eq!(setup.deliveries().len(), accepted.get());
    for run in said {
        run.expect_status(71);
        run.expect_stderr("mailchute: memory: the limit on this process's memory leaves less than 8 MB (mailchute)");
        assert!(run.drained, "{}", run.report());
    }
}

#[test]
fn no_subcommand_ends_for_want_of_memory_without_a_word() {
    if need("prlimit").is_none() || !need_root() {
        return;
    }
    Host::run(&[("shop", USER)], |host| {
        let relay = "[log]\nto = []\n[relay.main]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\n";
        host.write("/etc/mailchute/config.toml", relay, 0o644);
        // Several threads at once, threads for what a child says, and a thread that reads standard input.
        let every: [&[&str]; 3] =
            [&["queue", "flush", "--all"], &["test", "--as", "shop", "--to", "bob@example.net"], &["-bs"]];
        for words in every {
            let run = |step: u64| {
                let limit = format!("--as={}", step << 16);
                mailchute().args(words.iter().copied()).under("prlimit", &[&limit]).run()
            };
            let is_said = |step: &u64| run(*step).stderr.starts_with("mailchute: memory: ");
            let near = (16..1920).step_by(16).find(is_said).expect("too little");
            let begun = (near - 15..=near).find(is_said).expect("too little");
            for step in begun + 1..begun + 192 {
                let run = run(step);
                assert!(run.signal.is_none(), "{words:?} {step}\n{}", run.report());
            }
        }
    });
}

#[test]
fn a_request_that_has_no_room_in_memory_is_not_begun() {
    if need("prlimit").is_none() {
        return;
    }
    let web = Web::start(None, |_| Answer::text("HTTP/1.1 202 Accepted\nX-Message-Id: 7b9f0d1e\n"));
    let scratch = testkit::Scratch::new();
    let config = format!(
        "[log]\nto = []\n[relay.main]\nprovider = \"sendgrid\"\nvia = \"api\"\napi_key = \"SG.x\"\nendpoint = \"http://127.0.0.1:{}\"\n",
        web.port()
    );
    let config = scratch.write("config.toml", config, 0o644);
    let line = "sixty-four octets of text, line end included, from here to there\r\n";
    let message = format!("{MESSAGE}{}", line.repeat(60_000));
    let send = |megabytes: u64| {
        let call = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(message.clone());
        call.under("prlimit", &[&format!("--as={}", megabytes << 20)]).run()
    };
    // What the program itself takes depends on the build: it says so before it begins where that is not to be had.
    let runs: Vec<Run> = (4..=24).map(|step| send(step * 8)).collect();
    let sent = runs.iter().filter(|run| run.status == 0).count();
    assert!(sent > 0 && runs.last().is_some_and(|run| run.status == 0));
    let begun = runs.iter().position(|run| !run.stderr.contains(" MB (mailchute)\n")).unwrap();
    let refused: Vec<&Run> = runs[begun..].iter().filter(|run| run.status != 0).collect();
    assert!(!refused.is_empty());
    for run in refused {
        run.expect_status(71);
        run.expect_stderr("mailchute: memory: the limit on this process's memory leaves less than * MB (*relay main*");
    }
    assert_eq!(web.finish().len(), sent);
}

#[test]
fn a_callers_timer_ends_it_with_a_record() {
    if need("perl").is_none() {
        return;
    }
    let timers = ["alarm 1", "use Time::HiRes; Time::HiRes::setitimer(Time::HiRes::ITIMER_REAL(), 0.2, 0.2)"];
    for timer in timers {
        let setup = Setup::new(Server::new().at(Moment::Greeting, Action::Hang));
        let run = send(&setup, "perl", &["-e", &format!("{timer}; exec @ARGV")], MESSAGE);
        run.expect_status(71);
        run.expect_stderr("mailchute: SIGALRM: stopped before the message was sent (mailchute, site default)");
        assert_eq!(setup.record()["exit"], 71, "{timer}");
    }
}

#[test]
fn signals_that_are_blocked_or_ignored_change_nothing_and_a_blocked_one_is_answered() {
    if need("perl").is_none() {
        return;
    }
    let block = "use POSIX; my $all = POSIX::SigSet->new; $all->fillset; sigprocmask(SIG_BLOCK, $all); exec @ARGV";
    let ignore = "$SIG{$_} = 'IGNORE' for grep { !/^(KILL|STOP|NUM\\d+|RT.*)$/ } keys %SIG; exec @ARGV";
    for how in [block, ignore] {
        let setup = Setup::new(Server::new());
        send(&setup, "perl", &["-e", how], &large()).expect_status(0);
        assert_eq!(setup.deliveries().len(), 1);
    }
    let setup = Setup::new(Server::new().at(Moment::Greeting, Action::Hang));
    let call = setup.mailchute().args(["-i", "bob@example.net"]).under("perl", &["-e", block]).stdin(MESSAGE);
    let running = call.spawn();
    setup.server.wait_until_hanging();
    kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGTERM).unwrap();
    running.finish().expect_status(71);
}

#[test]
fn a_small_stack_answers_signals_too() {
    if need("prlimit").is_none() {
        return;
    }
    let setup = Setup::new(Server::new().at(Moment::Greeting, Action::Hang));
    let call = setup.mailchute().args(["-i", "bob@example.net"]).under("prlimit", &["--stack=131072"]).stdin(MESSAGE);
    let running = call.spawn();
    setup.server.wait_until_hanging();
    kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGTERM).unwrap();
    running.finish().expect_status(71);
    assert_eq!(setup.record()["exit"], 71);
}

#[test]
fn the_environment_chooses_no_stack() {
    for size in ["1", "0", "18446744073709551615", "-1", "x"] {
        let setup = Setup::new(Server::new());
        drop(setup.mailchute());
        let lines = setup.server.relay_lines(&setup.scratch).replace("127.0.0.1", "localhost");
        let config = setup.scratch.write("named.toml", format!("[log]\nto = []\n[relay.main]\n{lines}"), 0o644);
        let call = mailchute().config(&config).args(["-i", "bob@example.net"]).env("RUST_MIN_STACK", size);
        call.stdin(MESSAGE).run().expect_status(0);
        assert_eq!(setup.deliveries().len(), 1, "{size}");
    }
}

#[test]
fn nobody_looks_into_it_and_no_core_is_left() {
    if !need_root() {
        return;
    }
    let setup = Setup::new(Server::new().at(Moment::Greeting, Action::Hang));
    drop(setup.mailchute());
    let lines = setup.server.relay_lines(&setup.scratch);
    let config = setup.scratch.write("other.toml", format!("[log]\nto = []\n[relay.main]\n{lines}"), 0o644);
    let call = mailchute().config(&config).args(["-i", "bob@example.net"]).uid(USER).stdin(MESSAGE);
    let running = call.spawn();
    setup.server.wait_until_hanging();
    // What belongs to root is closed to the user whose process it is: memory, descriptors, environment.
    let process = Path::new("/proc").join(running.id().to_string());
    for file in ["mem", "environ", "maps", "fd"] {
        assert_eq!(process.join(file).metadata().unwrap().uid(), 0, "{file}");
    }
    kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGKILL).unwrap();
    running.finish();
}

/// A server that takes what `command` prints, a word of shell, for the password.
fn told_by(command: &str, password: &str, environment: &[(&str, &str)], before: &str) {
    let server = Server::new().login("alice@example.org", password, &["PLAIN"]).start();
    let scratch = testkit::Scratch::new();
    let config = format!(
        "[log]\nto = []\n[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"alice@example.org\"\n\
         password = {{ command = [\"/bin/sh\", \"-c\", '{command}'] }}\n",
        server.port()
    );
    let config = scratch.write("config.toml", config, 0o644);
    let mut call = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE);
    for (name, value) in environment {
        call = call.env(*name, *value);
    }
    let run = call.under("/bin/sh", &["-c", &format!("{before} exec \"$@\""), "sh"]).run();
    run.expect_status(0);
    assert_eq!(server.finish()[0].deliveries.len(), 1, "{}", run.report());
}

#[test]
fn a_command_inherits_three_descriptors_and_leaves_no_core() {
    let before = "exec 3</etc/passwd 7>/dev/null 9<>/dev/null; ulimit -c unlimited 2>/dev/null;";
    let is_open = ["3", "7", "9"].map(|descriptor| format!("test -e /proc/$$/fd/{descriptor}")).join(" || ");
    told_by(&format!("{is_open} || ulimit -c"), "0", &[], before);
}

#[test]
fn a_command_hears_nothing_of_a_web_sites_visitor() {
    let field = [("HTTP_PROXY", "http://evil.example"), ("HTTP_X", "x"), ("https_proxy", "http://proxy.example")];
    let command = "echo \"<$HTTP_PROXY$HTTP_X>$https_proxy\"";
    // What an administrator has set goes on.
    told_by(command, "<http://evil.examplex>http://proxy.example", &field, "");
    for request in ["REQUEST_METHOD", "GATEWAY_INTERFACE"] {
        let environment = [&field[..], &[(request, "GET")]].concat();
        told_by(command, "<>http://proxy.example", &environment, "");
    }
}
