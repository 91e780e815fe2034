//! A site that has been broken into: what one uid can try against all the rest, with the rights of its caller and
//! with a set-group-id binary. Each family counts its attempts and says so; nothing may come of any.
//!
//! The site is `shop`; its neighbour `blog` has a secret, an access token and a message that waits. None of these may
//! be shown, sent, moved or changed, nor, with a group of the binary's own, the secret of `shop` itself. That the judge
//! would notice is shown where something is laid wrongly (`breach`).
//!
//! Sweeps over system calls take every seventh point; with `MAILCHUTE_SWEEP=full` they take all.

mod argv;
mod breach;
mod clocks;
mod environment;
mod limits;
mod links;
mod namespaces;
mod process;
mod races;
mod records;
mod resources;
mod speaks;
mod stops;
mod table;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mailchute::keep::Place;
use testkit::{Delivery, Host, Mailchute, Port, Run, Server, Session};

use crate::setup::MESSAGE;

/// Whose site has been broken into, and whose has not.
const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("blog", BLOG), ("mailchute", GROUP)];

const SHOP_SECRET: &str = "the-secret-of-shop-7f3a";
const BLOG_SECRET: &str = "the-secret-of-blog-7f3a";
const BLOG_TOKEN: &str = "the-token-of-blog-7f3a";
const BLOG_TEXT: &str = "the-message-of-blog-7f3a";

/// A configuration of the site's own making.
const PLANTED: &str = "/home/shop/planted.toml";

/// How the binary is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    OwnRights,
    SetGroupId,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnRights => "with its caller's rights",
            Self::SetGroupId => "set-group-id",
        })
    }
}

/// What a path is, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    uid: u32,
    gid: u32,
    mode: u32,
    /// Of a file, which is when a message that waits is due.
    modified: Option<(i64, i64)>,
    content: Vec<u8>,
}

type Snapshot = BTreeMap<PathBuf, Found>;

/// A host with both sites, on which a family of attempts is made.
struct Bench<'a> {
    host: &'a Host<'a>,
    mode: Mode,
    binary: PathBuf,
    /// The relay of `shop`, and a server of the site's own.
    server: Option<Server>,
    planted: Option<Server>,
    /// A relay that asks nobody for a login.
    open: Server,
    /// What that one has taken.
    had: Arc<Mutex<Vec<String>>>,
    /// How many messages that relay has taken.
    taken: Arc<AtomicUsize>,
    /// The ID of the neighbour's message.
    id: RefCell<String>,
    before: RefCell<Snapshot>,
    tried: Cell<usize>,
    broken: RefCell<Vec<String>>,
}

/// Makes the attempts of `family` on a host in each mode.
fn in_both_modes(family: &str, attempts: impl Fn(&Bench<'_>) + Sync) {
    for mode in [Mode::OwnRights, Mode::SetGroupId] {
        in_mode(mode, family, &attempts);
    }
}

fn in_mode(mode: Mode, family: &str, attempts: &(impl Fn(&Bench<'_>) + Sync)) {
    Host::run(&USERS, |host| {
        let bench = Bench::new(host, mode);
        attempts(&bench);
        bench.end(family);
    });
}

impl<'a> Bench<'a> {
    fn new(host: &'a Host<'a>, mode: Mode) -> Self {
        let plain = PathBuf::from(env!("CARGO_BIN_EXE_mailchute"));
        let binary = match mode {
            Mode::OwnRights => plain,
            Mode::SetGroupId => host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP),
        };
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let server = Server::new().login("shop", SHOP_SECRET, &["PLAIN"]);
        let counted = move |_: &Session, _: &Delivery| {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let server = server.on_delivery(counted).start();
        let had = Arc::new(Mutex::new(Vec::new()));
        let texts = Arc::clone(&had);
        let heard = move |_: &Session, of: &Delivery| texts.lock().unwrap().push(of.text());
        let open = Server::new().on_delivery(heard).start();
        let planted = Server::new().start();
        // Something is sure to flush, so that nobody does it meanwhile.
        host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
        host.write("/run/crond.pid", "1\n", 0o644);
        host.write("/etc/mailchute/config.toml", "on_relay_failure = \"spool\"\n", 0o644);
        let nobody = Port::reserve();
        for (name, uid, secret, port) in
            [("shop", SHOP, SHOP_SECRET, server.port()), ("blog", BLOG, BLOG_SECRET, nobody.number())]
        {
            let reader = if mode == Mode::SetGroupId { GROUP } else { uid };
            let file = host.write_as(&format!("/etc/mailchute/secrets/{name}"), secret, 0o640, (0, reader));
            let text = format!(
                "[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\nusername = \"{name}\"\npassword = {{ file = \"{}\" }}\n\
                 [site.{name}]\nuser = \"{name}\"\nfrom = \"{name}@{name}.example\"\n",
                file.display()
            );
            host.write_as(&format!("/etc/mailchute/sites.d/{name}.toml"), &text, 0o640, (0, reader));
        }
        let lines = format!(
            "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"x\"\npassword = {{ file = \"/etc/mailchute/secrets/blog\" }}\n",
            planted.port()
        );
        host.write_as(PLANTED, &lines, 0o644, (SHOP, SHOP));
        host.write_as("/home/shop/.config/mailchute/config.toml", &lines, 0o644, (SHOP, SHOP));
        Mailchute::new(&binary).args(["init", "--users"]).run().expect_status(0);
        let bench = Self {
            host,
            mode,
            binary,
            server: Some(server),
            planted: Some(planted),
            open,
            had,
            taken,
            id: RefCell::default(),
            before: RefCell::default(),
            tried: Cell::new(0),
            broken: RefCell::default(),
        };
        let message = format!("{MESSAGE}{BLOG_TEXT}\r\n");
        let blog = bench.call().uid(BLOG).args(["-i", "bob@example.net"]).stdin(message).run();
        blog.expect_status(0);
        let token = format!("{}/{BLOG}/0123456789abcdef.json", Place::Tokens.parent());
        host.write_as(&token, &format!("{{\"refresh_token\":\"{BLOG_TOKEN}\"}}"), 0o600, (BLOG, BLOG));
        *bench.id.borrow_mut() = bench.waiting().file_name().unwrap().to_string_lossy().into_owned();
        bench.accept();
        bench
    }

    /// A call by the site.
    fn call(&self) -> Mailchute {
        Mailchute::new(&self.binary).uid(SHOP).stdin(MESSAGE).directory(Path::new("/home/shop"))
    }

    /// Adds `lines` to the site of the name `name`, which is the last section of its file.
    fn configure(&self, name: &str, lines: &str) {
        let file = format!("/etc/mailchute/sites.d/{name}.toml");
        let of = fs::metadata(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap() + lines + "\n";
        self.host.write_as(&file, &text, of.mode() & 0o777, (of.uid(), of.gid()));
        self.accept();
    }

    /// What there is now is as it should be.
    fn accept(&self) {
        *self.before.borrow_mut() = self.snapshot();
    }

    /// How many messages the relay of `shop` has taken.
    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Holds the site to a limit of messages.
    fn holds(&self, what: &str, limit: usize) {
        if self.taken() > limit {
            self.breaks(&format!("{what}: the limit of {limit} is exceeded: {} were sent", self.taken()));
        }
    }

    /// The message of `blog` that waits.
    fn waiting(&self) -> PathBuf {
        let queue = format!("{}/{BLOG}/queue", Place::Spool.parent());
        fs::read_dir(queue).unwrap().next().expect("it waits").unwrap().path()
    }

    /// Makes an attempt, and sees what came of it.
    fn attempt(&self, what: &str, call: Mailchute) -> Run {
        let run = call.run();
        self.judge(what, &format!("{}{}", run.stdout, run.stderr));
        run
    }

    /// Sees what came of an attempt that was told `text`.
    fn judge(&self, what: &str, text: &str) {
        self.tried.set(self.tried.get() + 1);
        self.judge_text(what, text);
        let now = self.snapshot();
        if now != *self.before.borrow() {
            let before = self.before.replace(now.clone());
            let is_other = |path: &&PathBuf| before.get(*path) != now.get(*path);
            let changed: BTreeSet<_> = before.keys().chain(now.keys()).filter(is_other).collect();
            self.breaks(&format!("{what}: changed {changed:?}"));
        }
    }

    /// Sees that `text` tells nothing that is to be kept.
    fn judge_text(&self, what: &str, text: &str) {
        let own = (self.mode == Mode::SetGroupId).then_some(SHOP_SECRET);
        for secret in [BLOG_SECRET, BLOG_TOKEN, BLOG_TEXT].into_iter().chain(own) {
            if text.contains(secret) {
                self.breaks(&format!("{what}: {secret} is told: {text}"));
            }
        }
    }

    fn breaks(&self, what: &str) {
        self.broken.borrow_mut().push(what.to_owned());
    }

    /// All that is not the site's: the configuration, the parents themselves, and what is kept for `blog`.
    fn snapshot(&self) -> Snapshot {
        let mut all = Snapshot::new();
        walk(Path::new("/etc"), &mut all);
        for place in Place::ALL {
            let parent = Path::new(place.parent());
            note(parent, &mut all);
            let names = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap());
            let is_blogs = |entry: &fs::DirEntry| {
                let is_named = entry.file_name().to_string_lossy().starts_with(&BLOG.to_string());
                is_named && entry.metadata().is_ok_and(|of| of.uid() == BLOG)
            };
            names.filter(is_blogs).for_each(|entry| walk(&entry.path(), &mut all));
        }
        all
    }

    /// What the relay of `shop` and the site's own server have had. The family is over.
    fn finish(&mut self) -> (usize, usize) {
        let sessions = |server: Option<Server>| server.map_or(0, |server| server.finish().len());
        (sessions(self.server.take()), sessions(self.planted.take()))
    }

    /// Says what was tried, and fails if anything came of it.
    fn end(self, family: &str) {
        let mode = self.mode;
        let (tried, broken) = self.outcome();
        let said = format!("hostile site: {family}, {mode}: {tried} attempts, {} broken", broken.len());
        let _ = writeln!(std::io::stderr(), "{said}");
        assert!(broken.is_empty(), "{}", broken.join("\n"));
        assert!(tried > 0, "nothing was tried");
    }

    /// How much was tried, and what came of it.
    fn outcome(mut self) -> (usize, Vec<String>) {
        // The neighbour sends and sees what is its own, as before.
        let blog =
            |words: &[&str]| Mailchute::new(&self.binary).uid(BLOG).args(words.iter().copied()).stdin(MESSAGE).run();
        let listed = blog(&["queue", "list", "--json"]).stdout;
        let id = self.id.borrow().clone();
        if !listed.contains(&id) || !blog(&["queue", "show", &id, "--message"]).stdout.contains(BLOG_TEXT) {
            self.breaks("the neighbour cannot see its own message");
        }
        let run = blog(&["-i", "bob@example.net"]);
        if run.status != 0 {
            self.breaks(&format!("the neighbour cannot send: {}", run.report()));
        }
        let (_, planted) = self.finish();
        if self.mode == Mode::SetGroupId && planted > 0 {
            self.breaks(&format!("{planted} connections were made to the site's own server"));
        }
        (self.tried.get(), self.broken.take())
    }
}

/// Whether a sweep takes the point at `place`.
fn sampled(place: usize) -> bool {
    place.is_multiple_of(7) || std::env::var_os("MAILCHUTE_SWEEP").is_some_and(|how| how == "full")
}

/// Notes what is at `path`, and below it.
fn walk(path: &Path, all: &mut Snapshot) {
    note(path, all);
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), all));
    }
}

fn note(path: &Path, all: &mut Snapshot) {
    let of = path.symlink_metadata().unwrap();
    let content = if of.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let modified = of.is_file().then(|| (of.mtime(), of.mtime_nsec()));
    all.insert(path.to_owned(), Found { uid: of.uid(), gid: of.gid(), mode: of.mode(), modified, content });
}
