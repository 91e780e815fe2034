//! Every PHP of a machine: which files each kind of each version reads, and what they come to.
//!
//! The files are read here rather than by `php -i` and `php-fpm -tt`: that runs programs as root, takes 30 ms for each,
//! tells no line, and says nothing of a copy of a host. `tests/suite/check_php.rs` holds this reader to PHP-FPM.

mod ini;
mod judge;
mod layout;
mod pool;

use std::borrow::Borrow;
use std::path::PathBuf;

pub use self::ini::Setting;
pub(super) use self::judge::{all_name_us, judge};
pub use self::pool::Pool;
use crate::root::Root;

/// How many pools are named in one line.
const NAMED: usize = 8;

/// What a PHP is built into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The FastCGI process manager.
    Fpm,
    /// The command line.
    Cli,
    /// CGI and FastCGI.
    Cgi,
    /// Apache's module.
    Apache,
    /// LiteSpeed's.
    LiteSpeed,
    /// All of them: they read one file.
    Any,
}

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fpm => "fpm",
            Self::Cli => "cli",
            Self::Cgi => "cgi",
            Self::Apache => "apache2",
            Self::LiteSpeed => "litespeed",
            Self::Any => "",
        }
    }
}

/// One PHP.
#[derive(Clone, Debug)]
pub struct Php {
    /// `8.2`; empty where the path does not tell.
    pub version: String,
    /// What it is built into.
    pub kind: Kind,
    /// The files that it reads its settings from.
    pub files: Vec<PathBuf>,
    /// The directory of which it reads every file.
    pub more: PathBuf,
    /// The settings that mail depends on, in the order in which they count: the last one of a key.
    pub settings: Vec<Setting>,
    /// The pools, where it has any.
    pub pools: Vec<Pool>,
    /// It was built where no sendmail was, so that PHP knows none by itself.
    pub knows_no_sendmail: bool,
}

impl Php {
    /// `8.2 fpm`.
    pub fn name(&self) -> String {
        let words = [self.version.as_str(), self.kind.word()];
        let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        if name.is_empty() { "php".to_owned() } else { name }
    }

    /// The same with its pools and their users: `8.2 fpm (pools www as www-data, shop as shop)`.
    pub fn described(&self) -> String {
        let pools: Vec<String> = self.pools.iter().map(Pool::described).collect();
        match &pools[..] {
            [] => self.name(),
            [pool] => format!("{} (pool {pool})", self.name()),
            _ => format!("{} (pools {})", self.name(), listed(pools)),
        }
    }

    /// The setting of `key` that counts.
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| setting.key == key)
    }
}

/// The first few of `names`, and how many more there are.
fn listed(mut names: Vec<impl Borrow<str>>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}

/// Every PHP below `root`.
pub(super) fn find(root: &Root) -> Vec<Php> {
    let mut found: Vec<Php> = layout::LAYOUTS.iter().flat_map(|layout| layout.find(root)).collect();
    found.sort_by(|a, b| (&a.version, a.kind).cmp(&(&b.version, b.kind)));
    found
}
