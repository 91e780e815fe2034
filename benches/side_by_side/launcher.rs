//! Runs a command and measures it: wall clock, CPU seconds and peak memory of it and its children.
//!
//! On Linux a child's peak memory starts at that of the process it was started from. So the harness, with its
//! server threads and message buffers, never starts a program itself: it runs its own executable again as a
//! launcher (`--launch ORDER COUNT STDIN PROGRAM ARGS...`), which is small, starts the program, waits for it and
//! prints what the kernel counted. `/bin/true` in the same table shows the launcher's floor.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// First word of the launcher's own command line.
pub(crate) const LAUNCH: &str = "--launch";

/// How many copies of a program, and whether they run together.
#[derive(Clone, Copy)]
pub(crate) enum Copies {
    AtOnce(usize),
    /// Each is started when the one before it has ended.
    InTurn(usize),
}

/// The word for [`Copies::InTurn`].
const IN_TURN: &str = "in-turn";

impl Copies {
    fn words(self) -> [String; 2] {
        match self {
            Self::AtOnce(count) => ["at-once".into(), count.to_string()],
            Self::InTurn(count) => [IN_TURN.into(), count.to_string()],
        }
    }
}

/// A program with everything it needs but its standard input.
pub(crate) struct Program {
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
}

/// What one run of one program, or of several copies at once, took.
pub(crate) struct Usage {
    /// From the first start to the last end.
    pub(crate) wall: Duration,
    /// User and system time of all copies and their children.
    pub(crate) cpu: Duration,
    /// The largest resident set of any copy, in bytes.
    pub(crate) peak: u64,
    /// How many copies did not end with status 0.
    pub(crate) failed: usize,
    /// What they wrote to standard error.
    pub(crate) stderr: String,
}

/// Runs `copies` of a program, each with `stdin` as its standard input.
pub(crate) fn measure(program: &Program, copies: Copies, stdin: &Path) -> Result<Usage> {
    let output = Command::new(std::env::current_exe()?)
        .arg(LAUNCH)
        .args(copies.words())
        .arg(stdin)
        .args(&program.argv)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak, failed] = numbers[..] else { bail!("the launcher failed: {stderr}") };
    Ok(Usage {
        wall: Duration::from_nanos(wall),
        cpu: Duration::from_micros(cpu),
        peak: peak * 1024,
        failed: usize::try_from(failed)?,
        stderr,
    })
}

/// The launcher: starts the copies, waits for them, prints nanoseconds, CPU microseconds, kilobytes and failures.
pub(crate) fn launch(mut args: impl Iterator<Item = OsString>) -> Result<()> {
    let is_in_turn = args.next().is_some_and(|word| word == IN_TURN);
    let copies: usize = args.next().and_then(|word| word.to_str()?.parse().ok()).context("no number of copies")?;
    let stdin = args.next().context("no file for standard input")?;
    let program = args.next().context("no program")?;
    let args: Vec<OsString> = args.collect();
    let start = Instant::now();
    let mut children = Vec::with_capacity(copies);
    let mut failed = 0;
    for _ in 0..copies {
        let mut command = Command::new(&program);
        command.args(&args).stdin(File::open(&stdin)?).stdout(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        if is_in_turn {
            failed += usize::from(!child.wait()?.success());
        } else {
            children.push(child);
        }
    }
    for mut child in children {
        failed += usize::from(!child.wait()?.success());
    }
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    ensure!(usage.max_rss() >= 0, "the kernel counted no memory");
    println!("{} {} {} {failed}", wall.as_nanos(), cpu.num_microseconds(), usage.max_rss());
    Ok(())
}
