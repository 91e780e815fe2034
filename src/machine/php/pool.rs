//! The pools of a PHP-FPM, read as it reads them: one file, and those that it includes.

use std::path::{Path, PathBuf};

use super::ini::{self, Line, Setting};
use crate::machine::{files, text};
use crate::root::Root;

/// How deep files include files.
const DEPTH: usize = 8;
/// How many pools are read at most.
const POOLS: usize = 20_000;

/// A pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The name in brackets.
    pub name: String,
    /// What is said about it, in order.
    pub settings: Vec<Setting>,
}

impl Pool {
    /// The setting of `key` that counts.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| setting.key == key)
    }

    /// What the pool has PHP's `key` be. Of several, PHP-FPM applies the first one last (seen with 8.2).
    pub fn php(&self, key: &str) -> Option<&Setting> {
        self.every_php(key).next()
    }

    /// Everything that the pool says of PHP's `key`: `disable_functions` is added to.
    pub fn every_php(&self, key: &str) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(move |setting| inside(&setting.key, "php_admin_value") == Some(key))
    }

    /// What the pool says of PHP's `key` in a way that counts only where users may change it.
    pub fn php_of_user(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| inside(&setting.key, "php_value") == Some(key))
    }

    /// The value of `key`; `$pool` is the name.
    pub fn value(&self, key: &str) -> Option<String> {
        self.setting(key).map(|setting| setting.value.replace("$pool", &self.name))
    }

    /// Whom it runs as.
    pub fn user(&self) -> Option<&str> {
        let said = self.setting("user").map(|setting| setting.value.as_str())?;
        Some(if said == "$pool" { &self.name } else { said })
    }

    /// The name, and whom it runs as: `shop as shop`.
    pub(super) fn described(&self) -> String {
        self.user().map_or_else(|| self.name.clone(), |user| format!("{} as {user}", self.name))
    }
}

/// `key` of `array[key]`.
fn inside<'k>(said: &'k str, array: &str) -> Option<&'k str> {
    said.strip_prefix(array)?.strip_prefix('[')?.strip_suffix(']')
}

/// The pools that `file` and what it includes define, in order.
pub(super) fn read(root: &Root, file: &Path) -> Vec<Pool> {
    let mut pools = Vec::new();
    let mut section = None;
    include(root, file, DEPTH, &mut section, &mut pools);
    pools
}

/// Reads one file. `section`: the index of the pool at hand; `None`: the settings are the master's.
fn include(root: &Root, file: &Path, depth: usize, section: &mut Option<usize>, pools: &mut Vec<Pool>) {
    let Some(text) = text(root, file) else { return };
    for line in ini::lines(file, &text) {
        match line {
            Line::Section(name) if name == "global" => *section = None,
            Line::Section(name) => {
                let known = pools.iter().rposition(|pool| pool.name == name);
                if known.is_none() && pools.len() < POOLS {
                    pools.push(Pool { name, settings: Vec::new() });
                }
                *section = known.or(pools.len().checked_sub(1));
            }
            Line::Setting(setting) if setting.key == "include" => {
                for more in globbed(root, &setting.value) {
                    if depth > 0 {
                        include(root, &more, depth - 1, section, pools);
                    }
                }
            }
            Line::Setting(setting) => {
                if let Some(pool) = section.and_then(|index| pools.get_mut(index)) {
                    pool.settings.push(setting);
                }
            }
        }
    }
}

/// The files that the pattern stands for, each star some characters of one name.
fn globbed(root: &Root, pattern: &str) -> Vec<PathBuf> {
    // Where it is built from source, the path is one below where it was built for.
    let pattern = if pattern.starts_with('/') { PathBuf::from(pattern) } else { Path::new("/usr/local").join(pattern) };
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str();
        found = match name.to_str().and_then(|name| name.split_once('*')) {
            None => found.into_iter().map(|path| path.join(name)).collect(),
            Some((before, behind)) => {
                let is_meant = |path: &PathBuf| {
                    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    name.starts_with(before) && !(before.is_empty() && name.starts_with('.'))
                };
                found.iter().flat_map(|path| files(root, path, behind)).filter(is_meant).take(POOLS).collect()
            }
        };
    }
    found
}
