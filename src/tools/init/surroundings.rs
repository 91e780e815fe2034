//! This machine, as far as it tells what the answers are likely to be.

use nix::unistd::{User, getgid, getuid};

use super::takeover::Takeover;
use crate::failure::Failure;
use crate::import::source::MailUser;
use crate::import::{KINDS, Program};
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
pub(super) struct Surroundings {
    /// The machine in one line.
    pub(super) machine: String,
    /// The pools, in order.
    pub(super) pools: Vec<Pool>,
    /// The user that the web server runs as.
    pub(super) web_user: Option<String>,
    /// The other programs that are set up to send, and whose settings can be the beginning.
    pub(super) takeovers: Vec<Takeover>,
    /// Those whose settings cannot, by what `import` calls them, with a file of each.
    pub(super) others: Vec<(&'static str, String)>,
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
        let (mut takeovers, mut others) = (Vec::new(), Vec::new());
        for (program, file) in mailers(&root) {
            match Takeover::read(program, &root, &person()) {
                Ok(takeover) => takeovers.push(takeover),
                Err(_) => others.push((program.name, file)),
            }
        }
        Self { machine, pools, web_user, takeovers, others }
    }

    /// The settings of the mailer called `name`.
    ///
    /// # Errors
    /// As [`Takeover::read`]; `Usage`: there is none of this name.
    pub(super) fn takeover(name: &str) -> Result<Takeover, Failure> {
        Takeover::read(Program::named(name)?, &Root::host(), &person())
    }
}

fn is_there(name: &str) -> bool {
    User::from_name(name).is_ok_and(|found| found.is_some())
}

/// Whoever runs this.
fn person() -> MailUser {
    let entry = User::from_uid(getuid()).ok().flatten();
    MailUser {
        name: entry.as_ref().map_or_else(|| getuid().to_string(), |entry| entry.name.clone()),
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        home: entry.map(|entry| entry.dir).unwrap_or_default(),
    }
}

/// Every mailer that is set up to send, with a file of its.
fn mailers(root: &Root) -> Vec<(&'static Program, String)> {
    let person = person();
    let found =
        KINDS.iter().flat_map(|program| program.find(root, &person).into_iter().map(move |found| (program, found)));
    found.filter_map(|(program, found)| Some((program, found.files.first()?.display().to_string()))).collect()
}
