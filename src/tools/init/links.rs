//! The names of sendmail, taken as `install.sh --links` takes them: what is there is renamed to `NAME.mailchute-saved`, by
//! dpkg-divert where it belongs to a package, and `install.sh --uninstall` gives it back.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Kind};
use crate::process;

/// The names, as `install.sh` has them.
const NAMES: [&str; 4] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"];

/// What is put behind the name of what was there.
const SAVED: &str = ".mailchute-saved";

/// The names that are to become links to this program.
#[derive(Debug)]
pub(super) struct Links {
    target: PathBuf,
    wanted: Vec<&'static str>,
}

impl Links {
    /// Those that are no links to this program yet.
    ///
    /// # Errors
    /// `CannotCreate`: something is in the way of one, and so is what was there before; `NoPermission`: others than root can
    /// change this program; `System`: its file is not known.
    pub(super) fn plan() -> Result<Self, Failure> {
        let target = std::env::current_exe()
            .map_err(|error| Failure::new(Kind::System, "--take-sendmail", format!("this program's file: {error}")))?;
        if !target.ancestors().all(is_roots) {
            let why = "others than root can change this program or what is above it, and root's mail would be theirs";
            return Err(Failure::new(Kind::NoPermission, target.display().to_string(), why)
                .hint("install it first, such as with install.sh"));
        }
        let wanted: Vec<_> = NAMES.into_iter().filter(|name| !is_link_to(Path::new(name), &target)).collect();
        for name in &wanted {
            let is_there = |path: &str| fs::symlink_metadata(path).is_ok();
            if is_there(name) && is_there(&saved(name)) {
                let why = format!("is in the way, and so is {}", saved(name));
                return Err(Failure::new(Kind::CannotCreate, *name, why)
                    .hint("compare the two, and take one away; `install.sh --links --force` does that"));
            }
        }
        Ok(Self { target, wanted })
    }

    /// Whether there is nothing to do.
    pub(super) fn is_done(&self) -> bool {
        self.wanted.is_empty()
    }

    /// A line each.
    pub(super) fn rows(&self) -> Vec<String> {
        let row = |name: &&str| {
            let is_there = fs::symlink_metadata(name).is_ok();
            let saved = if is_there { format!(", and what is there becomes {}", saved(name)) } else { String::new() };
            format!("{name}  a link to {}{saved}", self.target.display())
        };
        self.wanted.iter().map(row).collect()
    }

    /// Makes them, or none.
    ///
    /// # Errors
    /// `CannotCreate`: one cannot be made; those that were made are taken back.
    pub(super) fn make(&self) -> Result<(), Failure> {
        let mut made = Vec::new();
        for name in &self.wanted {
            match take(name, &self.target) {
                Ok(before) => made.push((*name, before)),
                Err(error) => {
                    made.into_iter().rev().for_each(|(name, before)| give_back(name, before));
                    return Err(Failure::new(Kind::CannotCreate, *name, format!("cannot be made a link: {error}")));
                }
            }
        }
        Ok(())
    }
}

/// What was done with what was there.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Renamed,
    Diverted,
}

/// Whether nobody but root can change it.
fn is_roots(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.uid() == 0 && !found.is_symlink() && found.mode() & 0o022 == 0)
}

fn saved(name: &str) -> String {
    format!("{name}{SAVED}")
}

fn is_link_to(path: &Path, target: &Path) -> bool {
    fs::read_link(path).is_ok_and(|link| link == target)
}

fn take(name: &str, target: &Path) -> io::Result<Before> {
    let before = match fs::symlink_metadata(name) {
        Err(_) => Before::Nothing,
        Ok(_) if is_of_package(name) => {
            divert("--add", name)?;
            Before::Diverted
        }
        Ok(_) => {
            fs::rename(name, saved(name))?;
            Before::Renamed
        }
    };
    if let Some(above) = Path::new(name).parent() {
        fs::create_dir_all(above)?;
    }
    symlink(target, name).inspect_err(|_| give_back(name, before)).map(|()| before)
}

fn give_back(name: &str, before: Before) {
    let _ = fs::remove_file(name);
    let _ = match before {
        Before::Nothing => Ok(()),
        Before::Renamed => fs::rename(saved(name), name),
        Before::Diverted => divert("--remove", name),
    };
}

/// Whether dpkg would lay this file again with the next upgrade.
fn is_of_package(name: &str) -> bool {
    run(Command::new("dpkg-query").args(["--search", name])).is_ok() && has_divert()
}

fn has_divert() -> bool {
    run(Command::new("dpkg-divert").arg("--version")).is_ok()
}

fn divert(task: &str, name: &str) -> io::Result<()> {
    run(Command::new("dpkg-divert").args(["--quiet", "--local", "--rename", "--divert", &saved(name), task, name]))
}

fn run(command: &mut Command) -> io::Result<()> {
    let mut child = process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("{} ended with {status}", command.get_program().display()))),
    }
}
