//! The site's own process is stopped at a system call, whatever it holds there, and not continued: the others send, and
//! root sees what there is, within the time that they have. Every seventh call, and all while something is counted;
//! `MAILCHUTE_SWEEP=full` for every call.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Mailchute, Point, Running, need_strace, points_in};

use super::{BLOG, Bench, GROUP, Mode, in_both_modes, in_mode, sampled};
use crate::setup::MESSAGE;

/// What anybody may take while somebody else is stopped: less than the deadline of a site.
const SPAN: Duration = Duration::from_secs(8);

/// Lets both sites share a relay that has a limit, besides their own limits, and be served by it.
pub(super) fn share_a_relay(bench: &Bench<'_>) {
    let port = bench.open.port();
    for name in ["shop", "blog"] {
        fs::remove_file(format!("/etc/mailchute/sites.d/{name}.toml")).unwrap();
    }
    let text = format!(
        "[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\nlimit = \"100000/day\"\n\
         [site.shop]\nuser = \"shop\"\nlimit = \"100000/day\"\n[site.blog]\nuser = \"blog\"\nlimit = \"100000/day\"\n"
    );
    let (mode, gid) = if bench.mode == Mode::SetGroupId { (0o640, GROUP) } else { (0o644, 0) };
    bench.host.write_as("/etc/mailchute/config.toml", &text, mode, (0, gid));
    bench.accept();
}

/// A call of `user`'s that strace starts as root, so that the program gets its group.
pub(super) fn traced(bench: &Bench<'_>, user: &str, words: &[&str]) -> Mailchute {
    let all = [&["-u", user, "-qq"][..], words].concat();
    Mailchute::new(&bench.binary).stdin(MESSAGE).args(["-i", "bob@example.net"]).under("strace", &all)
}

/// What it does, one system call after the other.
fn points(bench: &Bench<'_>, trace: &Path) -> Vec<Point> {
    traced(bench, "shop", &["-o", trace.to_str().unwrap()]).run().expect_status(0);
    let points = points_in(trace);
    assert!(points.len() > 100, "{points:#?}");
    points
}

/// Starts the call, and returns when it is stopped at `point`; `None`: it did not come there.
fn stopped(bench: &Bench<'_>, point: &Point, trace: &Path) -> Option<Running> {
    let _ = fs::write(trace, "");
    let Point { call, number, .. } = point;
    let inject = format!("inject={call}:signal=STOP:when={number}");
    // The tracer is its grandchild then, and it is ours.
    let words = ["-D", "-o", trace.to_str().unwrap(), "-e", &format!("trace={call}"), "-e", &inject];
    let running = traced(bench, "shop", &words).spawn();
    let end = Instant::now() + SPAN;
    loop {
        let text = fs::read_to_string(trace).unwrap_or_default();
        if text.contains("stopped by SIGSTOP") {
            return Some(running);
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", running.id())).unwrap_or_default();
        let has_ended = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        if has_ended || Instant::now() > end {
            let _ = kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGKILL);
            drop(running.finish());
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sees that the others go on.
pub(super) fn others_go_on(bench: &Bench<'_>, what: &str) {
    let blog = Mailchute::new(&bench.binary).uid(BLOG).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
    if blog.status != 0 || !blog.stderr.is_empty() || blog.took > SPAN {
        bench.breaks(&format!("{what}: the neighbour cannot send in time: {}", blog.report()));
    }
}

/// Sees that root is served.
fn root_goes_on(bench: &Bench<'_>, what: &str) {
    for words in [&["queue", "list"][..], &["log", "-n", "3"], &["report"], &["bans"]] {
        let run = Mailchute::new(&bench.binary).args(words.iter().copied()).run();
        if ![0, 1].contains(&run.status) || run.took > SPAN {
            bench.breaks(&format!("{what}: root's {words:?}: {}", run.report()));
        }
    }
}

/// Which points belong to something that is counted: what follows the opening of its file.
fn counts(points: &[Point]) -> Vec<bool> {
    let mut left = 0;
    let counts = points.iter().map(|point| {
        let is_opening = point.call == "openat" && point.line.contains("/limit-");
        left = if is_opening { 12_usize } else { left.saturating_sub(1) };
        left > 0
    });
    counts.collect()
}

#[test]
fn no_stop_of_its_process_keeps_others_waiting() {
    if !need_strace() {
        return;
    }
    in_both_modes("stops at system calls", |bench| {
        share_a_relay(bench);
        // What is made with the first message is there.
        others_go_on(bench, "before");
        bench.call().args(["-i", "bob@example.net"]).run().expect_status(0);
        let trace = bench.host.scratch().join("trace");
        let points = points(bench, &trace);
        let is_counting = counts(&points);
        let mut hits = 0;
        for (place, point) in points.iter().enumerate() {
            if !sampled(place) && !is_counting[place] || ["exit_group", "execve"].contains(&point.call.as_str()) {
                continue;
            }
            let Some(running) = stopped(bench, point, &trace) else { continue };
            hits += 1;
            let what = format!("stopped at {} {}", point.call, point.number);
            others_go_on(bench, &what);
            if place % 5 == 0 {
                root_goes_on(bench, &what);
            }
            let _ = kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGKILL);
            let run = running.finish();
            bench.tried.set(bench.tried.get() + 1);
            bench.judge_text(&what, &format!("{}{}", run.stdout, run.stderr));
        }
        assert!(hits > 30, "{hits} of {} points were come to", points.len());
        // The site itself sends as before.
        bench.call().args(["-i", "bob@example.net"]).run().expect_status(0);
    });
}

#[test]
fn no_stop_keeps_the_record_file_of_all_from_getting_a_number() {
    if !need_strace() {
        return;
    }
    in_mode(Mode::SetGroupId, "stops while a file gets its number", &|bench: &Bench<'_>| {
        share_a_relay(bench);
        others_go_on(bench, "before");
        let file = "/var/log/mailchute/shared/mailchute.log";
        let is_numbered = || Path::new(&format!("{file}.1")).exists();
        let trace = bench.host.scratch().join("trace");
        for call in ["flock", "rename"] {
            // As long as one is that is full. What is counted is locked before, once for the site and once for the relay.
            fs::File::options().write(true).open(file).unwrap().set_len(64 << 20).unwrap();
            let number = if call == "flock" { 3 } else { 1 };
            let point = Point { call: call.to_owned(), number, line: String::new() };
            let running = stopped(bench, &point, &trace).expect("it comes there");
            let run = running.finish();
            if run.signal != Some(9) || run.took > SPAN {
                bench.breaks(&format!("{call}: it is not ended: {}", run.report()));
            }
            others_go_on(bench, call);
            if !is_numbered() {
                bench.breaks(&format!("{call}: the file is not numbered"));
            }
            let _ = fs::remove_file(format!("{file}.1"));
            bench.tried.set(bench.tried.get() + 1);
        }
    });
}
