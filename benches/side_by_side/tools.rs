//! Finds or fetches the programs to compare with: Debian's msmtp and nullmailer, the naive lettre program, curl,
//! Postfix, valgrind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where each program is; `None` when it cannot be had, which has been said on standard error.
#[derive(Default)]
pub(crate) struct Tools {
    pub(crate) msmtp: Option<PathBuf>,
    /// Libraries that were unpacked beside msmtp instead of being installed.
    pub(crate) libraries: Option<PathBuf>,
    pub(crate) lettre: Option<PathBuf>,
    pub(crate) curl: Option<PathBuf>,
    pub(crate) valgrind: Option<PathBuf>,
    /// Where nullmailer was unpacked.
    pub(crate) nullmailer: Option<PathBuf>,
    /// Postfix's sendmail.
    pub(crate) postfix: Option<PathBuf>,
}

impl Tools {
    /// Downloads and builds what is missing below `dir`, which is kept between runs: the programs that send, those
    /// that have a queue, or both.
    pub(crate) fn gather(dir: &Path, are_senders: bool, are_queues: bool) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut tools = Self::default();
        if are_senders {
            tools.msmtp = on_path("msmtp");
            if tools.msmtp.is_none() {
                let root = dir.join("msmtp");
                let msmtp = root.join("usr/bin/msmtp");
                let unpacked = if msmtp.exists() { Ok(()) } else { unpack("msmtp", &root) };
                tools.msmtp = or_say("msmtp (install it, or let apt-get download it)", unpacked.map(|()| msmtp));
                tools.libraries = libraries(&root);
            }
            tools.lettre = or_say("the naive lettre program", build_lettre(&dir.join("naive-lettre")));
            tools.curl = or_say("curl", on_path("curl").context("not installed"));
            tools.valgrind = or_say("valgrind, so no instructions", on_path("valgrind").context("not installed"));
        }
        if are_queues {
            let root = dir.join("nullmailer");
            let unpacked = if root.join("usr/sbin").exists() { Ok(()) } else { unpack("nullmailer", &root) };
            tools.nullmailer = or_say("nullmailer (let apt-get download it)", unpacked.map(|()| root));
            let postfix = on_path("postfix").and_then(|_| on_path("sendmail"));
            tools.postfix = or_say("Postfix", postfix.context("not installed"));
        }
        Ok(tools)
    }
}

fn or_say(what: &str, found: Result<PathBuf>) -> Option<PathBuf> {
    found.inspect_err(|error| eprintln!("going on without {what}: {error:#}")).ok()
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Unpacks a Debian package and those libraries it needs that are not installed, without installing anything.
fn unpack(package: &str, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root)?;
    let mut wanted = vec![package.to_owned()];
    let mut seen = 0;
    while seen < wanted.len() {
        let package = wanted[seen].clone();
        seen += 1;
        eprintln!("fetching Debian's {package}");
        run(Command::new("apt-get").args(["download", &package]).current_dir(root))?;
        let file = std::fs::read_dir(root)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| file_name(path).starts_with(&format!("{package}_")))
            .with_context(|| format!("apt-get left no file of {package}"))?;
        run(Command::new("dpkg").arg("-x").arg(file).arg(root))?;
        for needed in run(Command::new("apt-cache").args(["depends", "--important", &package]))?.lines() {
            let Some(needed) = needed.trim().strip_prefix("Depends: ") else { continue };
            let known = wanted.iter().any(|package| package == needed);
            if needed.starts_with("lib") && !known && !installed(needed) {
                wanted.push(needed.to_owned());
            }
        }
    }
    Ok(())
}

fn installed(package: &str) -> bool {
    run(Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]))
        .is_ok_and(|status| status.ends_with(" installed"))
}

/// `usr/lib/TRIPLET` below the place a package was unpacked to.
pub(crate) fn libraries(root: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(root.join("usr/lib")).ok()?;
    folders.filter_map(|entry| Some(entry.ok()?.path())).find(|path| file_name(path).contains("-linux-"))
}

fn build_lettre(target: &Path) -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/naive-lettre/Cargo.toml");
    eprintln!("building the naive lettre program");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
    run(build.arg("--target-dir").arg(target))?;
    Ok(target.join("release/naive-lettre"))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", stderr.lines().last().unwrap_or(""));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
