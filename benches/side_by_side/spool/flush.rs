//! Sending what waits, to a server with TLS and a login on the loopback.

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use super::rivals::{Nullmailer, Postfix};
use super::{Ground, QUEUE, judged, laid_out, subcommand};
use crate::contender::Contender;
use crate::launcher::{Copies, measure};
use crate::server::{Manner, Server};

/// What one program took to send what waited.
struct Sent {
    name: &'static str,
    count: usize,
    wall: Duration,
    sessions: usize,
    /// Megabytes.
    peak: Option<f64>,
}

impl Sent {
    fn rate(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }
}

/// How long a rival may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn fill(ground: &Ground<'_>) -> Result<String> {
    ground.prepare()?;
    let server = Server::start(Manner { starttls: false, chunking: true, prompt: false })?;
    let (many, some) = if ground.quick { (500, 100) } else { (5000, 1000) };
    let mut all = vec![ours(ground, &server, many)?];
    let task = ground.task("rivals", server.port)?;
    if let Some(nullmailer) = Nullmailer::prepare(ground)? {
        all.push(of_nullmailer(ground, &nullmailer, &server, some, &task.message(Contender::Mailchute))?);
    }
    if let Some(postfix) = Postfix::prepare(ground, server.port)? {
        let usage = measure(&postfix.keeper(ground), Copies::InTurn(some), &task.message(Contender::Mailchute))?;
        ensure!(usage.failed == 0, "Postfix kept nothing: {}", usage.stderr);
        postfix.settle(some)?;
        let start = Instant::now();
        postfix.tell("postqueue", &["-f"])?;
        let wall =
            start.elapsed() + server.wait_for(some, PATIENCE).with_context(|| format!("Postfix: {}", postfix.log()))?;
        // It keeps its sessions for a while.
        drop(postfix);
        let sessions = server.take_sessions(1).len();
        all.push(Sent { name: "Postfix", count: some, wall, sessions, peak: None });
    }
    let mut lines = vec![["", "messages", "seconds", "a second", "sessions", "peak MB"].map(str::to_owned).to_vec()];
    lines.extend(all.iter().map(|sent| {
        vec![
            sent.name.to_owned(),
            sent.count.to_string(),
            format!("{:.2}", sent.wall.as_secs_f64()),
            format!("{:.0}", sent.rate()),
            sent.sessions.to_string(),
            sent.peak.map_or_else(|| "-".to_owned(), |peak| format!("{peak:.1}")),
        ]
    }));
    let mut text = laid_out("2 KB each, implicit TLS + AUTH, loopback, what waits is sent (flush)", &lines);
    let own = &all[0];
    text += &judged("1000 a second over one session", Some(own.rate() >= 1000.0 && own.sessions == 1));
    for rival in &all[1..] {
        text += &judged(&format!("faster than {}", rival.name), Some(own.rate() > rival.rate()));
    }
    Ok(text)
}

fn ours(ground: &Ground<'_>, server: &Server, count: usize) -> Result<Sent> {
    eprintln!("flush: keeping {count} messages");
    ground.fill_spool(count)?;
    make_due()?;
    // The relay that was away is another, at another port; what is known of it is forgotten with it.
    fs::remove_dir_all("/var/lib/mailchute/state")?;
    ground.task("there", server.port)?;
    let flush = subcommand(&ground.dir.join("there"), &["queue", "flush"]);
    let nothing = ground.dir.join("nothing");
    fs::write(&nothing, "")?;
    let usage = measure(&flush, Copies::AtOnce(1), &nothing)?;
    ensure!(usage.failed == 0, "queue flush failed: {}", usage.stderr);
    server.wait_for(count, Duration::from_secs(1))?;
    ensure!(fs::read_dir(QUEUE)?.next().is_none(), "what was sent still waits");
    let sessions = server.take_sessions(1).len();
    Ok(Sent { name: "mailchute", count, wall: usage.wall, sessions, peak: Some(usage.peak as f64 / 1e6) })
}

fn of_nullmailer(
    ground: &Ground<'_>,
    nullmailer: &Nullmailer,
    server: &Server,
    count: usize,
    message: &std::path::Path,
) -> Result<Sent> {
    let (keeper, stdin) = nullmailer.keeper(ground, message)?;
    let usage = measure(&keeper, Copies::InTurn(count), &stdin)?;
    ensure!(usage.failed == 0, "nullmailer-queue kept nothing: {}", usage.stderr);
    let mut sender = nullmailer.send(ground, server.port)?;
    let wall = server.wait_for(count, PATIENCE);
    sender.kill()?;
    sender.wait()?;
    let sessions = server.take_sessions(1).len();
    let log = || fs::read_to_string(ground.dir.join("nullmailer.log")).unwrap_or_default();
    let wall =
        wall.with_context(|| format!("nullmailer: {}", log().lines().rev().take(3).collect::<Vec<_>>().join("; ")))?;
    Ok(Sent { name: "nullmailer-send", count, wall, sessions, peak: None })
}

/// Makes everything that waits due.
pub(super) fn make_due() -> Result<()> {
    let now = SystemTime::now() - Duration::from_secs(1);
    for entry in fs::read_dir(QUEUE)? {
        File::options().write(true).open(entry?.path())?.set_modified(now)?;
    }
    Ok(())
}
