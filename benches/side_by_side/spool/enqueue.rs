//! Keeping a message: how many a second, and how often the disk is made to write.
//!
//! The others keep what they are given; mailchute asks its relay first, in vain, and keeps what that does not take. So two
//! things are compared with them: the whole call, and what keeping adds to a call that fails in the same way and keeps
//! nothing.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::calls::{Calls, traced};
use super::rivals::{Nullmailer, Postfix};
use super::{AWAY, Ground, judged, kept, laid_out, median};
use crate::contender::Contender;
use crate::launcher::{Copies, Program, measure};

/// Who keeps, and what was counted.
struct Keeper {
    name: &'static str,
    program: Program,
    stdin: PathBuf,
    /// It reports that nothing was kept.
    is_told: bool,
    rates: Vec<f64>,
    cpu: Vec<f64>,
    peak: f64,
}

impl Keeper {
    fn new(name: &'static str, program: Program, stdin: PathBuf) -> Self {
        Self { name, program, stdin, is_told: false, rates: Vec::new(), cpu: Vec::new(), peak: 0.0 }
    }
}

pub(super) fn fill(ground: &Ground<'_>) -> Result<String> {
    ground.prepare()?;
    let task = ground.task("away", AWAY)?;
    let plain = ground.task("plain", AWAY)?;
    let message = task.message(Contender::Mailchute);
    let ours = kept(task.program(Contender::Mailchute, ground.tools), &ground.dir.join("away"))?;
    let mut keepers = vec![Keeper::new("mailchute", ours, message.clone())];
    if let Some(nullmailer) = Nullmailer::prepare(ground)? {
        let (program, stdin) = nullmailer.keeper(ground, &message)?;
        keepers.push(Keeper::new("nullmailer-queue", program, stdin));
    }
    // It is not running: what it keeps, nobody fetches meanwhile.
    let postfix = Postfix::prepare(ground, AWAY)?;
    if let Some(postfix) = &postfix {
        keepers.push(Keeper::new("Postfix's sendmail", postfix.keeper(ground), message.clone()));
    }
    let without = plain.program(Contender::Mailchute, ground.tools).context("no mailchute")?;
    keepers.push(Keeper { is_told: true, ..Keeper::new("mailchute, no spool", without, message) });

    let (rounds, count) = if ground.quick { (2, 50) } else { (7, 200) };
    for round in 0..=rounds {
        eprint!("\renqueue: round {round} of {rounds} ");
        for keeper in &mut keepers {
            let usage = measure(&keeper.program, Copies::InTurn(count), &keeper.stdin)?;
            let expected = if keeper.is_told { count } else { 0 };
            ensure!(usage.failed == expected, "{}: {} of {count} failed: {}", keeper.name, usage.failed, usage.stderr);
            if round > 0 {
                keeper.rates.push(count as f64 / usage.wall.as_secs_f64());
                keeper.cpu.push(usage.cpu.as_secs_f64() * 1e3 / count as f64);
                keeper.peak = keeper.peak.max(usage.peak as f64 / 1e6);
            }
        }
    }
    eprintln!();
    let heading = ["", "a second", "x", "CPU ms", "peak MB", "flushes", "system calls"];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    let own = median(keepers[0].rates.clone());
    let (mut flushes, mut calls) = (Vec::new(), Vec::new());
    for keeper in &keepers {
        let Calls { flushed, all } = traced(&keeper.program, &keeper.stdin, &ground.dir.join("strace"))?;
        let rate = median(keeper.rates.clone());
        lines.push(vec![
            keeper.name.to_owned(),
            format!("{rate:.0}"),
            format!("{:.2}", own / rate),
            format!("{:.2}", median(keeper.cpu.clone())),
            format!("{:.1}", keeper.peak),
            flushed.to_string(),
            all.to_string(),
        ]);
        flushes.push(flushed);
        calls.push(all);
    }
    let title = format!("2 KB kept, relay away, {count} in turn, medians of {rounds} rounds (enqueue)");
    let mut text = laid_out(&title, &lines);
    text += &judged("mailchute flushes the disk twice", Some(flushes[0] == 2));
    for keeper in keepers.iter().skip(1).filter(|keeper| !keeper.is_told) {
        let rate = median(keeper.rates.clone());
        text += &judged(&format!("at least as many as {}", keeper.name), Some(own >= rate));
    }
    let without = keepers.iter().find(|keeper| keeper.is_told).map(|keeper| median(keeper.rates.clone()));
    let alone = without.map(|without| 1.0 / (1.0 / own - 1.0 / without)).filter(|alone| *alone > 0.0);
    if let Some(alone) = alone {
        text += &format!("  keeping alone, without the call that fails: {alone:.0} a second\n");
        for keeper in keepers.iter().skip(1).filter(|keeper| !keeper.is_told) {
            let rate = median(keeper.rates.clone());
            text += &judged(&format!("keeping alone, at least as many as {}", keeper.name), Some(alone >= rate));
        }
    }
    let more = calls[0].saturating_sub(*calls.last().unwrap_or(&0));
    text += &format!("  system calls that keeping adds: {more}\n");
    Ok(text)
}
