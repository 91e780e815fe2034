//! Imports held against the programs themselves: files are made at random, the program reads each, and what it makes of it
//! is what the import has made of it, or the import has named the setting. A difference that is not named fails the test.
//!
//! Some files are made for each program; with `MAILCHUTE_IMPORTS=10000` in the environment so many. msmtp prints what it
//! has read (`-P`), Postfix too (`postconf -xn`, `postmap -q`); ssmtp, esmtp, nullmailer and dma tell it to a server on
//! loopback; m4 makes a sendmail.cf. `.ci/run` unpacks what cannot be installed beside a mail server to `/opt/mailers`.

mod dma;
mod esmtp;
mod heard;
mod msmtp;
mod nullmailer;
mod postfix;
mod readers;
mod sendmail;
mod ssmtp;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use mailchute::caller::Caller;
use mailchute::config::Config;
use mailchute::config::relay::{LoginSource, Place, Relay, Username};
use mailchute::failure::Failure;
use mailchute::import::Program;
use mailchute::import::draft::{Draft, Shape, Storing};
use mailchute::import::source::{Inquiry, MailUser};
use mailchute::root::Root;
use testkit::need_in;

/// A small generator of numbers (xorshift), so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How many files are made, `usual` unless the environment says so.
fn files(usual: u64) -> u64 {
    std::env::var("MAILCHUTE_IMPORTS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn need_mailer(program: &str) -> Option<PathBuf> {
    let own = "/opt/mailers/usr/bin:/opt/mailers/usr/sbin:/opt/mailers/usr/lib/nullmailer";
    need_in(program, &format!("{}:{own}", std::env::var("PATH").unwrap_or_default()))
}

/// The import of `file` for whoever runs the tests, as the programs do too, with root's home; read as every message would
/// read it.
fn imported(kind: &str, file: &Path) -> Result<(Draft, Config), Failure> {
    let root = Root::host();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let name = user.map_or_else(|| "root".to_owned(), |user| user.name);
    let person = MailUser { name, uid: 0, gid: 0, home: PathBuf::from("/root") };
    let files = [file.to_owned()];
    let inquiry =
        Inquiry { root: &root, files: &files, person: &person, account: None, all: false, take: None, given: &[] };
    let draft = Program::named(kind)?.read(&inquiry)?;
    let toml = draft.toml(&Shape { secrets: Storing::Files("secrets"), site: None, head: "test" });
    let config = Config::parse(Path::new("/etc/mailchute/config.toml"), &toml, &Caller::current())?;
    Ok((draft, config))
}

/// The differences of which the import has said nothing.
#[derive(Default)]
struct Silent {
    told: BTreeSet<String>,
    found: Vec<String>,
}

impl Silent {
    fn of(draft: &Draft) -> Self {
        Self { told: named(draft), found: Vec::new() }
    }

    /// Holds both against each other: they are the same, or one of `keys` was named.
    fn same<T: PartialEq + Debug + ?Sized>(&mut self, keys: &[&str], theirs: &T, ours: &T) {
        if theirs != ours && !keys.iter().any(|key| self.told.contains(*key)) {
            self.found.push(format!("{keys:?}: {theirs:?}, ours {ours:?}"));
        }
    }
}

/// The settings that the import has named, in lower case.
fn named(draft: &Draft) -> BTreeSet<String> {
    let items = draft.ledger.items().iter();
    items.filter(|item| item.notes().next().is_some()).map(|item| item.key.to_lowercase()).collect()
}

/// Host and port.
fn place(relay: &Relay) -> (String, u16) {
    match &relay.place {
        Place::Tcp { host, port } => (host.clone(), *port),
        Place::Unix(path) => (path.display().to_string(), 0),
    }
}

fn username(relay: &Relay) -> Option<String> {
    let name = |login: &LoginSource| match &login.username {
        Username::Given(name) => name.clone(),
        Username::Secret | Username::Read(_) => "(the secret)".to_owned(),
    };
    relay.smtp_login().map(name).filter(|name| !name.is_empty())
}
