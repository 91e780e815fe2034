//! The spool beside other programs' queues: keeping a message, sending what waits, listing what waits.
//!
//! Everything happens on a host of the benchmark's own, whose `/etc` and `/var/spool` are below the scratch directory, so
//! all the programs write to the same disk. It takes root.

mod calls;
mod enqueue;
mod equipped;
mod flush;
mod listing;
mod log;
mod rivals;

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use mailchute::spool::flusher::LOCK;
use testkit::Host;

use crate::contender::{Contender, Task};
use crate::launcher::{Copies, Program, measure};
use crate::tools::Tools;

/// One table about the spool.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    fill: fn(&Ground<'_>) -> Result<String>,
}

/// Every table, in the order of the report.
pub(crate) const TABLES: &[Table] = &[
    Table { name: "equipped-calls", fill: equipped::fill },
    Table { name: "enqueue", fill: enqueue::fill },
    Table { name: "flush", fill: flush::fill },
    Table { name: "listing", fill: listing::fill },
    Table { name: "log", fill: log::fill },
];

/// Where the programs run.
struct Ground<'a> {
    quick: bool,
    tools: &'a Tools,
    /// A directory for this table.
    dir: PathBuf,
    /// The trust bundle.
    bundle: PathBuf,
}

/// Fills one table; `None` where it takes more rights than this process has.
pub(crate) fn run(table: &Table, quick: bool, tools: &Tools, bundle: &Path) -> Result<Option<String>> {
    let mut filled = None;
    // Postfix wants its users and the files about itself.
    let users = ["postfix", "postdrop", "nobody"].map(|name| (name, id(name)));
    let its_own = files_of("/etc/postfix");
    Host::run(&users, |host| {
        filled = Some((|| {
            let dir = host.scratch().path().to_owned();
            let bundle_inside = dir.join("bundle.pem");
            fs::copy(bundle, &bundle_inside)?;
            fs::create_dir("/etc/postfix")?;
            for (path, content, mode) in &its_own {
                fs::write(path, content)?;
                fs::set_permissions(path, mode.clone())?;
            }
            (table.fill)(&Ground { quick, tools, dir, bundle: bundle_inside })
        })());
    });
    filled.transpose()
}

/// The files of a directory, with content and mode.
fn files_of(directory: &str) -> Vec<(PathBuf, Vec<u8>, Permissions)> {
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    let read =
        |entry: fs::DirEntry| Some((entry.path(), fs::read(entry.path()).ok()?, entry.metadata().ok()?.permissions()));
    found.filter_map(|entry| read(entry.ok()?)).collect()
}

/// The id of the user or group of this name, else one that nobody has.
fn id(name: &str) -> u32 {
    let of_group = |name| Some(nix::unistd::Group::from_name(name).ok()??.gid.as_raw());
    let of_user = |name| Some(nix::unistd::User::from_name(name).ok()??.uid.as_raw());
    of_user(name).or_else(|| of_group(name)).unwrap_or(64_000)
}

impl Ground<'_> {
    /// The message and the configurations for a server at `port`.
    fn task(&self, name: &str, port: u16) -> Result<Task> {
        Task::new(&self.dir.join(name), port, false, &self.bundle, 1, 2048)
    }

    /// Makes the spool of mailchute, and a cron that seems to look after it: nobody is started to send.
    fn prepare(&self) -> Result<()> {
        for (path, mode) in [("/var/spool/mailchute", 0o1733), ("/var/lib/mailchute", 0o755), ("/etc/cron.d", 0o755)] {
            DirBuilder::new().recursive(true).mode(mode).create(path)?;
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        DirBuilder::new().mode(0o1733).create("/var/lib/mailchute/state")?;
        fs::write(
            "/etc/cron.d/mailchute",
            format!("0 0 1 1 * root {} queue flush --all\n", env!("CARGO_BIN_EXE_mailchute")),
        )?;
        fs::write("/run/crond.pid", "1\n")?;
        // Its last run was a moment ago.
        DirBuilder::new().mode(0o700).create(OWN)?;
        fs::write(Path::new(OWN).join(LOCK), "")?;
        Ok(())
    }

    /// Has mailchute keep `count` messages of a relay that is away.
    fn fill_spool(&self, count: usize) -> Result<()> {
        let task = self.task("away", AWAY)?;
        let keeper = kept(task.program(Contender::Mailchute, self.tools), &self.dir.join("away"))?;
        let usage = measure(&keeper, Copies::InTurn(count), &task.message(Contender::Mailchute))?;
        ensure!(usage.failed == 0, "{} of {count} messages were not kept: {}", usage.failed, usage.stderr);
        Ok(())
    }
}

/// Where nobody listens.
const AWAY: u16 = 1;

/// The spool of root, which all programs run as.
const OWN: &str = "/var/spool/mailchute/0";
/// What waits there.
const QUEUE: &str = "/var/spool/mailchute/0/queue";

/// A call of mailchute with a spool.
fn kept(program: Option<Program>, dir: &Path) -> Result<Program> {
    let path = dir.join("mailchute.toml");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, format!("on_relay_failure = \"spool\"\nspool_max = \"1000000 messages, 100 GB\"\n{text}"))?;
    program.ok_or_else(|| anyhow::anyhow!("no mailchute"))
}

/// mailchute with a configuration of `dir` and these words.
fn subcommand(dir: &Path, words: &[&str]) -> Program {
    let mut argv = vec![env!("CARGO_BIN_EXE_mailchute").into(), "--config".into(), dir.join("mailchute.toml").into()];
    argv.extend(words.iter().map(Into::into));
    Program { argv, env: Vec::new() }
}

/// Lines of equal columns below a title.
fn laid_out(title: &str, lines: &[Vec<String>]) -> String {
    let mut text = format!("\n{title}\n");
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
            let _ = if column == 0 { write!(text, "  {cell:<width$}") } else { write!(text, "   {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

/// What is to be reached, and whether it is.
fn judged(what: &str, is_met: Option<bool>) -> String {
    let verdict = match is_met {
        None => "not measured",
        Some(true) => "ok",
        Some(false) => "missed",
    };
    format!("  target: {what}: {verdict}\n")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
