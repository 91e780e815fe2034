//! A hundred thousand waiting messages: telling how many there are, and finding their relay away.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ring::digest::{SHA256, digest};

use super::flush::make_due;
use super::{AWAY, Ground, QUEUE, judged, laid_out, median, subcommand};
use crate::contender::Contender;
use crate::launcher::{Copies, measure};

pub(super) fn fill(ground: &Ground<'_>) -> Result<String> {
    ground.prepare()?;
    let (count, rounds) = if ground.quick { (5_000, 1) } else { (100_000, 5) };
    ground.fill_spool(1)?;
    multiply(count)?;
    make_due()?;
    let away = ground.dir.join("away");
    let nothing = ground.dir.join("nothing");
    fs::write(&nothing, "")?;
    let mut lines = vec![["", "seconds", "CPU ms", "peak MB"].map(str::to_owned).to_vec()];
    let mut row = |name: &str, words: &[&str], is_fine: bool, rounds: usize| -> Result<(f64, f64)> {
        eprintln!("listing: {name}");
        let (mut walls, mut cpu, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
        for _ in 0..rounds {
            let usage = measure(&subcommand(&away, words), Copies::AtOnce(1), &nothing)?;
            ensure!((usage.failed == 0) == is_fine, "{name}: {}", usage.stderr);
            walls.push(usage.wall.as_secs_f64());
            cpu.push(usage.cpu.as_secs_f64() * 1e3);
            peak = peak.max(usage.peak as f64 / 1e6);
        }
        let wall = median(walls);
        lines.push(vec![name.to_owned(), format!("{wall:.3}"), format!("{:.0}", median(cpu)), format!("{peak:.1}")]);
        Ok((wall, peak))
    };
    let summary = row("queue --summary", &["queue", "--summary"], true, rounds)?;
    let flush = row("queue flush, relay away", &["queue", "flush"], false, 1)?;
    let task = ground.task("one-more", AWAY)?;
    let one = super::kept(task.program(Contender::Mailchute, ground.tools), &ground.dir.join("one-more"))?;
    let usage = measure(&one, Copies::InTurn(10), &task.message(Contender::Mailchute))?;
    ensure!(usage.failed == 0, "one more was not kept: {}", usage.stderr);
    let more = usage.wall.as_secs_f64() / 10.0;
    let cpu = usage.cpu.as_secs_f64() * 100.0;
    lines.push(vec![
        "one more is kept".to_owned(),
        format!("{more:.3}"),
        format!("{cpu:.0}"),
        format!("{:.1}", usage.peak as f64 / 1e6),
    ]);
    let mut text = laid_out(&format!("{count} messages of 2 KB wait (listing)"), &lines);
    text += &judged("queue --summary in half a second", Some(summary.0 < 0.5));
    text += &judged("queue flush in 10 MB", Some(flush.1 <= 10.0));
    Ok(text)
}

/// Makes `count` entries of the one there is, each with an identifier of its own and a checksum that is right.
fn multiply(count: usize) -> Result<()> {
    const SEAL: &str = "\n{\"sha256\":\"";
    let first = fs::read_dir(QUEUE)?.next().context("nothing waits")??;
    let id = first.file_name().into_string().ok().context("a name")?;
    let text = fs::read_to_string(first.path())?;
    for number in 1..count {
        let other = format!("{number:012x}");
        let sealed = text.split_once(SEAL).context("no checksum")?.0.replace(&id, &other);
        let sum: String =
            digest(&SHA256, sealed.as_bytes()).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        fs::write(Path::new(QUEUE).join(other), format!("{sealed}{SEAL}{sum}\"}}\n"))?;
    }
    Ok(())
}
