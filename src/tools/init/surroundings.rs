//! This machine, as far as it tells what the answers are likely to be.

use nix::unistd::{User, getgid, getuid};

use crate::import::KINDS;
use crate::import::source::MailUser;
use crate::machine::Machine;
use crate::root::Root;

/// A pool of PHP-FPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Its name.
    pub(super) name: String,
    /// The user that it runs as.
    pub(super) user: String,
}

/// The users that web servers and PHP run as, by distribution.
const WEB: [&str; 7] = ["www-data", "apache", "nginx", "http", "wwwrun", "www", "caddy"];

/// What is here.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The machine in one line.
    pub(super) machine: String,
    /// The pools, in order.
    pub(super) pools: Vec<Pool>,
    /// The user that the web server runs as.
    pub(super) web_user: Option<String>,
    /// The other programs that are set up to send, by what `import` calls them, with a file of each.
    pub(super) mailers: Vec<(&'static str, String)>,
}

impl Surroundings {
    /// Those of this host.
    pub(super) fn look() -> Self {
        let root = Root::host();
        let machine = Machine::look(&root);
        let all = machine.php.iter().flat_map(|php| &php.pools);
        let mut pools: Vec<Pool> = Vec::new();
        for pool in all.filter_map(|pool| Some(Pool { name: pool.name.clone(), user: pool.user()?.to_owned() })) {
            // The uid is the boundary: two pools of one user are one site.
            if is_there(&pool.user) && !pools.iter().any(|known| known.user == pool.user) {
                pools.push(pool);
            }
        }
        let web_user = match &pools[..] {
            [only] => Some(only.user.clone()),
            _ => WEB.iter().find(|name| is_there(name)).map(|name| (*name).to_owned()),
        };
        let mut machine = machine.described();
        if let (true, Some(user)) = (pools.is_empty(), &web_user) {
            machine += &format!(", web user {user}");
        }
        Self { machine, pools, web_user, mailers: mailers(&root) }
    }
}

fn is_there(name: &str) -> bool {
    User::from_name(name).is_ok_and(|found| found.is_some())
}

fn mailers(root: &Root) -> Vec<(&'static str, String)> {
    let entry = User::from_uid(getuid()).ok().flatten();
    let person = MailUser {
        name: entry.as_ref().map_or_else(|| getuid().to_string(), |entry| entry.name.clone()),
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        home: entry.map(|entry| entry.dir).unwrap_or_default(),
    };
    let found = KINDS.iter().flat_map(|kind| kind.find(root, &person).into_iter().map(move |found| (kind.name, found)));
    found.filter_map(|(name, found)| Some((name, found.files.first()?.display().to_string()))).collect()
}
