//! What is on this machine, as far as mail depends on it: what stands in sendmail's place, PHP, confinement, whose
//! machine it is. Nothing is changed and nothing is run; every file is read below one [`Root`].

mod confinement;
pub mod mailer;
mod origin;
pub mod php;

use std::path::{Path, PathBuf};

pub use self::origin::{Host, Origin};
use self::php::Php;
use crate::finding::Section;
use crate::reply::printable;
use crate::root::Root;

/// The longest file that is read, in octets.
const LIMIT: usize = 1 << 20;
/// The longest line that describes a machine, in octets.
const DESCRIBED: usize = 1000;

/// What was found.
pub struct Machine<'r> {
    root: &'r Root,
    /// Every PHP, each kind of each version apart.
    pub php: Vec<Php>,
    /// The system, and who runs the host.
    pub origin: Origin,
}

/// What of the configuration decides what is wrong with a machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// A message may wait in the spool.
    pub spools: bool,
    /// The configuration is in environment variables.
    pub by_environment: bool,
    /// Records go to standard error.
    pub logs_to_stderr: bool,
    /// Who runs the binary gets a group of its own.
    pub set_group_id: bool,
}

impl<'r> Machine<'r> {
    /// Looks at the machine below `root`.
    pub fn look(root: &'r Root) -> Self {
        Self { root, php: php::find(root), origin: Origin::of(root) }
    }

    /// What it is, in one line: the system, panel and host, every PHP with its pools, and what sendmail is.
    pub fn described(&self) -> String {
        let mut words = self.origin.words();
        match self.php.is_empty() {
            true => words.push("no PHP".to_owned()),
            false => {
                let all: Vec<String> = self.php.iter().map(Php::described).collect();
                words.push(format!("PHP {}", all.join(", ")));
            }
        }
        let mailer = mailer::find(self.root, Path::new(mailer::SENDMAILS[0]));
        words.push(format!("{} {}", mailer::SENDMAILS[0], mailer.described()));
        printable(words.join(", ").as_bytes(), DESCRIBED)
    }

    /// The names of the users that PHP's pools run as, each once.
    pub fn pool_users(&self) -> Vec<&str> {
        let mut users: Vec<&str> = self.php.iter().flat_map(|php| &php.pools).filter_map(|pool| pool.user()).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// What is fine about the machine, and what is not.
    pub fn sections(&self, wanted: Wanted) -> Vec<Section> {
        vec![
            mailer::judge(self.root, php::all_name_us(self.root, &self.php)),
            php::judge(self.root, &self.php, wanted),
            confinement::judge(self.root, &self.php, wanted),
        ]
    }
}

/// The text of a file below `root`, what is no UTF-8 in it replaced; `None` where there is none.
fn text(root: &Root, path: impl AsRef<Path>) -> Option<String> {
    let (octets, _) = root.read(path.as_ref(), LIMIT).ok()?;
    Some(String::from_utf8_lossy(&octets).into_owned())
}

/// The paths in a directory whose names end in `ending`, in order.
fn files(root: &Root, directory: impl AsRef<Path>, ending: &str) -> Vec<PathBuf> {
    let directory = directory.as_ref();
    let names = root.list(directory).unwrap_or_default();
    names.into_iter().filter(|name| name.to_string_lossy().ends_with(ending)).map(|name| directory.join(name)).collect()
}

/// Whether anything is there.
fn exists(root: &Root, path: impl AsRef<Path>) -> bool {
    root.metadata(path.as_ref()).is_ok()
}
