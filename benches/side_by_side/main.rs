//! The release binary side by side with msmtp, a naive lettre program, curl and `/bin/true`.
//!
//! ```text
//! cargo bench --bench side_by_side                        # everything, about four minutes
//! cargo bench --bench side_by_side -- --quick             # fewer rounds, about one minute
//! cargo bench --bench side_by_side -- --scenario small    # one table; may be repeated
//! ```
//!
//! Then come the tables about the spool (`spool/mod.rs`), beside Debian's nullmailer and Postfix, which take root.
//!
//! `--keep DIR` leaves messages, configurations and callgrind's files there. To see where the instructions go:
//!
//! ```text
//! export CARGO_PROFILE_BENCH_STRIP=none CARGO_PROFILE_BENCH_DEBUG=line-tables-only
//! cargo bench --bench side_by_side -- --quick --scenario instructions --keep /tmp/bench
//! callgrind_annotate --inclusive=yes /tmp/bench/instructions/callgrind.mailchute.NUMBER
//! ```
//!
//! Everything happens on the loopback, against a server inside this program: TLS 1.3 with an ECDSA P-256
//! certificate, AUTH PLAIN, PIPELINING and (unless a scenario says otherwise) CHUNKING. Every program gets the
//! system's whole trust bundle with the test authority in its middle. The programs take turns (A B C D, A B C D),
//! after one round that does not count; the tables show medians, the ratio of the medians to msmtp's, and the
//! median of the ratios within each round. "round trips" is what the server counted: flights of the client that
//! were answered, and the TCP handshake; peak memory is in millions of octets. "distance" puts a relay in between
//! that delivers every octet 25 ms late, so "wall in round trips" says how long the caller really waited. It flatters
//! programs that write one command in two pieces: the relay's own kernel acknowledges the first, so Nagle's
//! algorithm holds the second back less long.
//!
//! msmtp is taken from `PATH`, or downloaded from Debian and unpacked (not installed) below `target/`. What cannot
//! be had is left out with a sentence. The status is 0 although a target is missed, and 1 when a message was not
//! delivered whole.

// The tables and the progress are what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod contender;
mod launcher;
mod link;
mod scenario;
mod server;
mod spool;
mod stream;
mod table;
mod tools;
mod trust;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::contender::{Contender, Task};
use crate::launcher::{Copies, Program};
use crate::scenario::{SCENARIOS, Scenario};
use crate::server::Server;
use crate::table::{Row, Run};
use crate::tools::Tools;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    let done = match args.next_if(|word| word == launcher::LAUNCH) {
        Some(_) => launcher::launch(args).map(|()| true),
        None => bench(args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("side_by_side: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints every chosen table; false when a message was lost.
fn bench(mut args: impl Iterator<Item = OsString>) -> Result<bool> {
    let (mut quick, mut measuring, mut chosen, mut tables) = (false, false, Vec::new(), Vec::new());
    let scratch = tempfile::tempdir()?;
    let mut dir = scratch.path().to_owned();
    while let Some(word) = args.next() {
        match word.to_str() {
            // Added by `cargo bench`; `cargo test --all-targets` runs this program without it, to see that it builds.
            Some("--bench") => measuring = true,
            Some("--quick") => quick = true,
            Some("--scenario") => {
                let name = args.next().context("--scenario without a name")?;
                match spool::TABLES.iter().find(|table| name == table.name) {
                    Some(table) => tables.push(table),
                    None => {
                        let found = SCENARIOS.iter().find(|scenario| name == scenario.name);
                        chosen.push(found.with_context(|| format!("no such scenario; there are {}", names()))?);
                    }
                }
            }
            Some("--keep") => dir = std::path::absolute(args.next().context("--keep without a folder")?)?,
            _ => {
                bail!("unknown option {}; there are --quick, --keep DIR, --scenario NAME ({})", word.display(), names())
            }
        }
    }
    if !measuring {
        return Ok(true);
    }
    if chosen.is_empty() && tables.is_empty() {
        chosen.extend(SCENARIOS);
        tables.extend(spool::TABLES);
    }
    let kept_tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bench-tools");
    let tools = Tools::gather(&kept_tools, !chosen.is_empty(), !tables.is_empty())?;
    std::fs::create_dir_all(&dir)?;
    let bundle = dir.join("bundle.pem");
    trust::write_bundle(&bundle)?;
    let mut delivered = true;
    for scenario in chosen {
        if scenario.instructions && tools.valgrind.is_none() {
            continue;
        }
        let rows = run(scenario, quick, &tools, &bundle, &dir.join(scenario.name))?;
        delivered &= rows.iter().all(|row| row.failed == 0);
        println!("{}", table::render(scenario, &rows));
    }
    for table in tables {
        if let Some(text) = spool::run(table, quick, &tools, &bundle)? {
            println!("{text}");
        }
    }
    Ok(delivered)
}

fn names() -> String {
    let names = SCENARIOS.iter().map(|scenario| scenario.name).chain(spool::TABLES.iter().map(|table| table.name));
    names.collect::<Vec<_>>().join(", ")
}

fn run(scenario: &Scenario, quick: bool, tools: &Tools, bundle: &Path, dir: &Path) -> Result<Vec<Row>> {
    let server = Server::start(scenario.manner)?;
    let port =
        if scenario.round_trip > Duration::ZERO { link::open(server.port, scenario.round_trip)? } else { server.port };
    let task = Task::new(dir, port, scenario.manner.starttls, bundle, scenario.recipients, scenario.size)?;
    let mut ring: Vec<(Program, Row)> = scenario
        .contenders
        .iter()
        .filter_map(|&contender| {
            let program = task.program(contender, tools)?;
            Some((program, Row { contender, runs: Vec::new(), failed: 0 }))
        })
        .collect();
    let rounds = if quick { scenario.rounds.0 } else { scenario.rounds.1 };
    for round in 0..=rounds {
        eprint!("\r{}: round {round} of {rounds} ", scenario.name);
        for (program, row) in &mut ring {
            if scenario.instructions && round == 0 {
                under_callgrind(program, row.contender, tools, dir);
            }
            match turn(scenario, row.contender, program, &task, &server) {
                Ok(run) if round > 0 => row.runs.push(run),
                Ok(_) => {}
                Err(error) => {
                    row.failed += 1;
                    if row.failed == 1 {
                        eprintln!("\n{}: {error:#}", row.contender.name());
                    }
                }
            }
        }
    }
    eprintln!();
    Ok(ring.into_iter().map(|(_, row)| row).collect())
}

fn under_callgrind(program: &mut Program, contender: Contender, tools: &Tools, dir: &Path) {
    let valgrind = tools.valgrind.clone().unwrap_or_default();
    let output =
        format!("--callgrind-out-file={}/callgrind.{}.%p", dir.display(), contender.name().replace([' ', '/'], "-"));
    let words = [valgrind.into(), "--tool=callgrind".into(), "--trace-children=yes".into(), output.into()];
    program.argv.splice(0..0, words);
}

/// One run of one contender.
///
/// # Errors
///
/// When it failed, or when the server did not get the whole message for every recipient.
fn turn(scenario: &Scenario, contender: Contender, program: &Program, task: &Task, server: &Server) -> Result<Run> {
    let usage = launcher::measure(program, Copies::AtOnce(scenario.at_once), &task.message(contender))?;
    let sessions = server.take_sessions(if contender.sends() && usage.failed == 0 { scenario.at_once } else { 0 });
    ensure!(usage.failed == 0, "{} of {} failed: {}", usage.failed, scenario.at_once, said(&usage.stderr));
    let accepted: usize = sessions.iter().map(|session| session.accepted).sum();
    let recipients: usize = sessions.iter().map(|session| session.recipients).sum();
    if contender.sends() {
        ensure!(accepted == scenario.at_once, "status 0, but {accepted} of {} messages arrived", scenario.at_once);
        ensure!(recipients == scenario.at_once * scenario.recipients, "status 0, but {recipients} recipients arrived");
    }
    let per_session = |sum: f64| sum / sessions.len().max(1) as f64;
    Ok(Run {
        wall: usage.wall.as_secs_f64(),
        cpu: usage.cpu.as_secs_f64(),
        peak: usage.peak as f64,
        round_trips: per_session(sessions.iter().map(|session| session.round_trips as f64).sum()),
        wire: per_session(sessions.iter().map(|session| session.wire as f64).sum()) / task.size as f64,
        instructions: collected(&usage.stderr),
    })
}

/// The first line a program wrote to standard error that is not valgrind's.
fn said(stderr: &str) -> &str {
    stderr.lines().find(|line| !line.starts_with("==")).unwrap_or("nothing on standard error")
}

/// The sum of callgrind's "Collected : N" lines, one for every process.
fn collected(stderr: &str) -> f64 {
    let counts = stderr.lines().filter_map(|line| line.split_once("Collected : ")?.1.trim().parse::<f64>().ok());
    counts.sum()
}
