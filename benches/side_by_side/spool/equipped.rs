//! What a backup relay, routes and a spool cost a message that needs none of them.

use anyhow::{Context, Result, ensure};

use super::calls::traced;
use super::{Ground, judged, laid_out, median};
use crate::contender::Contender::{Equipped, Mailchute};
use crate::launcher::{Copies, measure};
use crate::server::{Manner, Server};

pub(super) fn fill(ground: &Ground<'_>) -> Result<String> {
    ground.prepare()?;
    let server = Server::start(Manner { starttls: false, chunking: true, prompt: false })?;
    let task = ground.task("equipped", server.port)?;
    let rounds = if ground.quick { 3 } else { 21 };
    let mut lines = vec![["", "wall ms", "CPU ms", "peak MB", "system calls"].map(str::to_owned).to_vec()];
    let mut measured = Vec::new();
    for contender in [Mailchute, Equipped] {
        let program = task.program(contender, ground.tools).context("no mailchute")?;
        let message = task.message(contender);
        let (mut wall, mut cpu, mut peak) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let usage = measure(&program, Copies::AtOnce(1), &message)?;
            ensure!(usage.failed == 0, "{}: {}", contender.name(), usage.stderr);
            wall.push(usage.wall.as_secs_f64() * 1e3);
            cpu.push(usage.cpu.as_secs_f64() * 1e3);
            peak.push(usage.peak as f64 / 1e6);
        }
        let calls = traced(&program, &message, &ground.dir.join("strace"))?.all;
        let [wall, cpu, peak] = [wall, cpu, peak].map(median);
        let cells = [format!("{wall:.2}"), format!("{cpu:.2}"), format!("{peak:.2}"), calls.to_string()];
        lines.push([vec![contender.name().to_owned()], cells.to_vec()].concat());
        measured.push((peak, calls));
    }
    let title = "2 KB, implicit TLS + AUTH, loopback, with routes, backup relay and spool configured (equipped-calls)";
    let mut text = laid_out(title, &lines);
    let [(plain_peak, plain_calls), (peak, calls)] = measured[..] else { return Ok(text) };
    text += &judged("at most 10 system calls more", Some(calls <= plain_calls + 10));
    text += &judged("at most 0.3 MB more", Some(peak <= plain_peak + 0.3));
    Ok(text)
}
