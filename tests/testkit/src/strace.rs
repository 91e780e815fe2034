//! Faults at any one system call of a run: strace counts the calls of each name, and lets one of them fail, end the
//! process or only pretend.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::libc::SYS_futex;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::{Mailchute, Run};
use crate::peers::need;

/// One system call of a run's first thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub call: String,
    /// The how-manyth of its name, from 1.
    pub number: u32,
    /// All that strace tells of it.
    pub line: String,
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call.
    Kill,
    /// The call is not made and fails with this `errno`, by name.
    Error(&'static str),
    /// The call is not made and returns this.
    Pretend(i64),
}

/// Whether strace is there and may trace; says loudly that the test is skipped otherwise, as [`need`] does.
///
/// # Panics
/// It is required and missing.
pub fn need_strace() -> bool {
    let Some(strace) = need("strace") else { return false };
    let may = std::process::Command::new(strace).args(["-o", "/dev/null", "true"]).status();
    let may = may.is_ok_and(|status| status.success());
    if !may {
        crate::peers::missing("strace may not trace here");
    }
    may
}

/// What a call does, one system call after the other. `trace` is a file that the call may write.
///
/// # Panics
/// There is no trace.
pub fn points(call: Mailchute, trace: &Path) -> (Run, Vec<Point>) {
    let run = call.under("strace", &["-o", &trace.to_string_lossy()]).run();
    let points = points_in(trace);
    assert!(points.len() > 20, "{}\n{points:#?}", run.report());
    (run, points)
}

/// What strace has written down of a call into `trace`.
///
/// # Panics
/// There is no trace.
pub fn points_in(trace: &Path) -> Vec<Point> {
    let text = fs::read_to_string(trace).expect("a trace");
    let mut seen = HashMap::new();
    let mut points = Vec::new();
    // The first starts the program.
    for line in text.lines().skip(1) {
        let Some((call, _)) = line.split_once('(').filter(|(call, _)| is_name(call)) else { continue };
        let number = seen.entry(call.to_owned()).or_insert(0);
        *number += 1;
        points.push(Point { call: call.to_owned(), number: *number, line: line.to_owned() });
    }
    points
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

/// A run to which something happens.
pub struct Faulty {
    call: Mailchute,
    trace: PathBuf,
}

/// System calls of one name that are not made and return as if they had been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pretence {
    /// Their name.
    pub call: String,
    /// What they return.
    pub value: i64,
    /// The first of them, the last, and the step between them; all of them unless said.
    pub when: Option<(u32, u32, u32)>,
}

impl Pretence {
    /// All of the name `call`.
    pub fn of(call: &str, value: i64) -> Self {
        Self { call: call.to_owned(), value, when: None }
    }

    /// In strace's words.
    fn inject(&self) -> String {
        let Self { call, value, when } = self;
        let when = when.map(|(first, last, step)| format!(":when={first}..{last}+{step}")).unwrap_or_default();
        format!("inject={call}:retval={value}{when}")
    }
}

impl Mailchute {
    /// With `fault` at `point`. Only its first thread is traced: what the call starts is not followed, and not waited
    /// for. `trace` is a file that the call may write.
    pub fn at(self, point: &Point, fault: Fault, trace: &Path) -> Faulty {
        self.at_pretending(point, fault, &[], trace)
    }

    /// The same with these `pretences`, which are of other names than `point`.
    pub fn at_pretending(self, point: &Point, fault: Fault, pretences: &[Pretence], trace: &Path) -> Faulty {
        let Point { call, number, .. } = point;
        let what = match fault {
            Fault::Kill => "signal=KILL".to_owned(),
            Fault::Error(name) => format!("error={name}"),
            Fault::Pretend(value) => format!("retval={value}"),
        };
        let mut injections = vec![format!("inject={call}:{what}:when={number}")];
        injections.extend(pretences.iter().map(Pretence::inject));
        let calls = std::iter::once(call.as_str()).chain(pretences.iter().map(|of| of.call.as_str()));
        let only = format!("trace={}", calls.collect::<Vec<_>>().join(","));
        let out = trace.to_string_lossy().into_owned();
        let mut words = vec!["-qq", "-o", &out, "-e", &only];
        words.extend(injections.iter().flat_map(|injection| ["-e", injection.as_str()]));
        Faulty { call: self.under("strace", &words), trace: trace.to_owned() }
    }

    /// With these `pretences` alone.
    pub fn pretending(self, pretences: &[Pretence]) -> Self {
        if pretences.is_empty() {
            return self;
        }
        let only = format!("trace={}", pretences.iter().map(|of| of.call.as_str()).collect::<Vec<_>>().join(","));
        let injections: Vec<String> = pretences.iter().map(Pretence::inject).collect();
        let mut words = vec!["-qq", "-o", "/dev/null", "-e", &only];
        words.extend(injections.iter().flat_map(|injection| ["-e", injection.as_str()]));
        self.under("strace", &words)
    }
}

/// Whether it has not ended.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether its first thread waits for another one, or for a time.
fn is_waiting(pid: u32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    call.split(' ').next() == Some(&SYS_futex.to_string())
}

/// How often a process is to be found waiting for nothing but time until it counts as idle.
const IDLE: u32 = 3;

impl Faulty {
    /// The same for one that stays: it is told to end (SIGTERM) when it waits for nothing but time.
    ///
    /// # Panics
    /// As [`Mailchute::run`].
    pub fn run_until_idle(mut self) -> (Run, bool) {
        let _ = fs::write(&self.trace, "");
        // The tracer is its grandchild then, and it is ours.
        self.call = self.call.before("-D");
        let running = self.call.spawn();
        let pid = running.id();
        let mut idle = 0;
        while is_alive(pid) && idle < IDLE {
            idle = if is_waiting(pid) { idle + 1 } else { 0 };
            thread::sleep(Duration::from_millis(5));
        }
        if idle == IDLE {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let run = running.finish();
        let hit = run.signal == Some(9) || fs::read_to_string(&self.trace).unwrap_or_default().contains("(INJECTED)");
        (run, hit)
    }

    /// Runs it: what came of it, and whether it came to the point.
    pub fn run(self) -> (Run, bool) {
        // What an earlier run left does not count.
        let _ = fs::write(&self.trace, "");
        let run = self.call.run();
        let hit = run.signal == Some(9) || fs::read_to_string(&self.trace).unwrap_or_default().contains("(INJECTED)");
        (run, hit)
    }
}
