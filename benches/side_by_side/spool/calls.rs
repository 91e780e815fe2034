//! System calls, counted by strace.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::launcher::Program;

/// What one run asked of the system.
pub(super) struct Calls {
    /// How often the device was made to write.
    pub(super) flushed: usize,
    pub(super) all: usize,
}

/// Runs a program once, with its children; `log` is for strace.
pub(super) fn traced(program: &Program, stdin: &Path, log: &Path) -> Result<Calls> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(log).args(&program.argv);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(program.env.iter().map(|(name, value)| (name, value)));
    command.stdin(File::open(stdin)?).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().context("strace (Debian's package of that name has it)")?;
    let trace = fs::read_to_string(log)?;
    // "1234 openat(...": a process id and a call; one that was interrupted goes on in a line of its own.
    let names: Vec<&str> = trace
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1.trim_start()))
        .filter(|call| call.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|call| Some(call.split_once('(')?.0))
        .collect();
    let flushed = names.iter().filter(|name| ["fsync", "fdatasync", "syncfs", "sync"].contains(name)).count();
    Ok(Calls { flushed, all: names.len() })
}
