//! Nothing that was answered 0 is lost, and nothing is sent twice: a send with a spool behind it is killed, and hears
//! of errors, at every one of its system calls.
//!
//! The judge knows what the caller was told, what the server has, and what stands in the spool by the description of
//! its files. The counts are printed, and are to be nothing.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{major, minor};
use nix::unistd::Pid;
use testkit::{
    Action, Fault, Host, Mailchute, Moment, PATIENCE, Point, Port, Run, Server, Session, Spooled, need_strace,
    processes, spooled,
};

use crate::setup::{MESSAGE, mailchute};

pub(crate) const SHOP: u32 = 61042;
pub(crate) const USERS: [(&str, u32); 1] = [("shop", SHOP)];
pub(crate) const SPOOL: &str = "/var/spool/mailchute";
const CONFIG: &str = "/etc/mailchute/config.toml";
pub(crate) const TRACE: &str = "/run/trace";
/// How many hosts a sweep has at once.
const HOSTS: usize = 4;
/// What a disk may answer, and a signal.
pub(crate) const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR"];
pub(crate) const SPOOLING: &str = "on_relay_failure = \"spool\"";

/// A host whose cron is sure to flush what waits, and a site that sends to `port`.
pub(crate) fn prepare(host: &Host<'_>, port: u16, top: &str) {
    // In memory: what a disk makes of it is the power cut's matter.
    mount(&["-t", "tmpfs", "-o", "mode=755", "spool", "/var/spool"]);
    fs::create_dir(SPOOL).unwrap();
    fs::set_permissions(SPOOL, Permissions::from_mode(0o1733)).unwrap();
    host.write("/etc/cron.d/mailchute", crate::setup::CRON, 0o644);
    host.write("/run/crond.pid", "1\n", 0o644);
    host.write_as(TRACE, "", 0o600, (SHOP, SHOP));
    host.write_as("/var/log/shop.log", "", 0o640, (SHOP, SHOP));
    configure(host, port, top);
}

/// The site that sends to `port`.
pub(crate) fn configure(host: &Host<'_>, port: u16, top: &str) {
    let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n");
    host.write(CONFIG, &format!("{top}\n{relay}[log]\nto = [\"/var/log/shop.log\"]\n"), 0o644);
}

fn mount(words: &[&str]) {
    let status = std::process::Command::new("mount").args(words).status().unwrap();
    assert!(status.success(), "{words:?}");
}

/// [`MESSAGE`] with a Message-ID of its own.
pub(crate) fn message(id: &str) -> String {
    MESSAGE.replace("complete@example.org", id)
}

pub(crate) fn send(id: &str) -> Mailchute {
    mailchute().uid(SHOP).args(["-t", "-i"]).stdin(message(id))
}

fn speak(id: &str) -> Mailchute {
    let message = message(id).replace("\r\n.", "\r\n..");
    let session = format!(
        "EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n{message}.\r\nQUIT\r\n"
    );
    mailchute().uid(SHOP).arg("-bs").stdin(session)
}

/// The folders of this name in every place where the uid may have a spool.
fn folders(name: &str) -> Vec<PathBuf> {
    let shared = fs::read_dir(SPOOL).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let home = PathBuf::from("/home/shop/.local/state/mailchute/spool");
    shared.chain([home]).map(|spool| spool.join(name)).collect()
}

/// Every file in them.
pub(crate) fn files(name: &str) -> Vec<(PathBuf, Spooled)> {
    folders(name).iter().flat_map(|folder| spooled(folder)).collect()
}

/// How a sweep is set up.
struct Sweep {
    name: &'static str,
    top: String,
    server: Option<Server>,
    call: fn(&str) -> Mailchute,
    /// Whether the points before the relay is spoken to count, which are the same in every sweep.
    is_whole: bool,
    /// There is a cron that flushes; otherwise the process that spools starts a flusher.
    is_supervised: bool,
}

/// One run with a fault.
struct Case {
    id: String,
    what: String,
    point: Option<(Point, Fault)>,
    /// The largest file that may be written, in octets.
    limit: Option<usize>,
}

/// What came of it.
struct Verdict {
    id: String,
    what: String,
    run: Run,
    is_hit: bool,
    /// Entries with this message in the queue and in `held`.
    queued: usize,
    held: usize,
    torn: usize,
    /// Whether a 0 has somebody who sends.
    is_sure: bool,
}

/// What all of it comes to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kills: usize,
    errors: usize,
    short: usize,
    missed: usize,
    torn: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) false_zeros: Vec<String>,
}

/// Says what a run came to, past the harness's capture: the counts are the result.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "never lost: {text}");
}

impl Sweep {
    fn new(name: &'static str, server: Option<Server>) -> Self {
        Self { name, top: SPOOLING.to_owned(), server, call: send, is_whole: false, is_supervised: true }
    }

    fn run(self) {
        if !need_strace() {
            return;
        }
        let nobody = Port::reserve();
        let (name, server) = (self.name, self.server.map(Server::start));
        let port = server.as_ref().map_or(nobody.number(), Server::port);
        let mut cases = Vec::new();
        let prepare = |host: &Host<'_>| {
            prepare(host, port, &self.top);
            if !self.is_supervised {
                fs::remove_file("/etc/cron.d/mailchute").unwrap();
            }
        };
        Host::run(&USERS, |host| {
            prepare(host);
            cases = all_cases(self.call, self.is_whole);
            end_flushers();
        });
        if cases.is_empty() {
            return;
        }
        let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            Host::run(&USERS, |host| {
                prepare(host);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let verdict = try_one(case, self.call, self.is_supervised);
                    verdicts.lock().unwrap().push(verdict);
                }
            });
        };
        thread::scope(|scope| (0..HOSTS).for_each(|_| drop(scope.spawn(work))));
        let accepted = accepted(&server.map(Server::finish).unwrap_or_default());
        let mut tally = Tally::default();
        for verdict in verdicts.into_inner().unwrap() {
            tally.add(&verdict, accepted.get(&verdict.id).copied().unwrap_or_default());
        }
        tally.conclude(name);
    }
}

/// A case for every point and fault, and for every length a file may be cut to.
fn all_cases(call: fn(&str) -> Mailchute, is_whole: bool) -> Vec<Case> {
    // The second run finds the directories made.
    call("first@lost.example").run();
    clear();
    let (run, points) = testkit::points(call("traced@lost.example"), Path::new(TRACE));
    let begin = match is_whole {
        true => 0,
        false => points.iter().rposition(|point| point.call == "connect").unwrap(),
    };
    let mut cases = Vec::new();
    let mut add = |what: String, point, limit| {
        cases.push(Case { id: format!("{}@lost.example", cases.len()), what, point, limit });
    };
    for point in &points[begin..] {
        // One that ends the process does not return.
        let errors = ERRORS.iter().filter(|_| point.call != "exit_group").map(|name| Fault::Error(name));
        let faults = std::iter::once(Fault::Kill).chain(errors);
        let nothing =
            ["write", "writev", "sendto", "sendmsg"].contains(&point.call.as_str()).then_some(Fault::Pretend(0));
        for fault in faults.chain(nothing) {
            add(
                format!("{fault:?} at {} {}: {}", point.call, point.number, point.line),
                Some((point.clone(), fault)),
                None,
            );
        }
    }
    let size = files("queue").iter().map(|(path, _)| path.metadata().unwrap().len()).max();
    for limit in (0..size.unwrap_or(0) as usize + 90).step_by(41) {
        add(format!("no file longer than {limit}"), None, Some(limit));
    }
    clear();
    assert!(run.signal.is_none(), "{}", run.report());
    cases
}

fn try_one(case: &Case, call: fn(&str) -> Mailchute, is_supervised: bool) -> Verdict {
    let call = call(&case.id);
    let (run, is_hit) = match (&case.point, case.limit) {
        (Some((point, fault)), _) => call.at(point, *fault, Path::new(TRACE)).run(),
        (None, limit) => (call.under("prlimit", &[&format!("--fsize={}", limit.unwrap_or(0))]).run(), true),
    };
    let mut verdict = Verdict {
        id: case.id.clone(),
        what: case.what.clone(),
        is_sure: is_supervised || run.status != 0 || has_flusher(),
        run,
        is_hit,
        queued: 0,
        held: 0,
        torn: 0,
    };
    for (name, is_queue) in [("queue", true), ("held", false)] {
        for (_, file) in files(name) {
            match file.text() {
                // Of this message and in full.
                Some(text) if text == message(&case.id) => {
                    *if is_queue { &mut verdict.queued } else { &mut verdict.held } += 1;
                }
                Some(text) => panic!("{}: another message is in {name}:\n{text}", case.what),
                None => verdict.torn += 1,
            }
        }
    }
    clear();
    if !is_supervised {
        end_flushers();
    }
    verdict
}

/// The processes of this thread's host that were started to send what waits.
fn flushers() -> Vec<Pid> {
    processes("queue flush --wait --quiet").into_iter().map(Pid::from_raw).collect()
}

/// Whether somebody on this thread's host has the right to stay.
fn is_stay_held() -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    // Every host has a file system of its own here, and files of the same numbers.
    let file = |path: PathBuf| {
        let found = path.metadata().ok()?;
        Some(format!(" {:02x}:{:02x}:{} ", major(found.dev()), minor(found.dev()), found.ino()))
    };
    let mut files = folders("stay.lock").into_iter().filter_map(file);
    files.any(|file| locks.lines().any(|lock| lock.contains(" FLOCK ") && lock.contains(&file)))
}

/// Whether somebody stays until what waits is sent.
fn has_flusher() -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        // Whoever tries a lock has it for a moment.
        if !flushers().is_empty() && is_stay_held() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Ends them, and waits until they are gone. A process that is killed has no words any more before it lets go of its
/// locks, and the next one that is started leaves where another one seems to stay.
fn end_flushers() {
    let mut all = flushers();
    while !all.is_empty() || is_stay_held() {
        for pid in all {
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(2));
        all = flushers();
    }
}

/// As it is where nothing waits.
pub(crate) fn clear() {
    for (path, _) in ["queue", "held"].iter().flat_map(|name| files(name)) {
        fs::remove_file(path).unwrap();
    }
}

/// How often each message was accepted, by Message-ID.
pub(crate) fn accepted(sessions: &[Session]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for delivery in sessions.iter().flat_map(|session| &session.deliveries).filter(|delivery| delivery.accepted) {
        *counts.entry(message_id(&delivery.text()).to_owned()).or_insert(0) += 1;
    }
    counts
}

/// The Message-ID of a message.
pub(crate) fn message_id(text: &str) -> &str {
    let (_, id) = text.split_once("Message-ID: <").unwrap_or_default();
    id.split('>').next().unwrap_or_default()
}

/// How much all sweeps together have tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) kills: usize,
    pub(crate) errors: usize,
    pub(crate) cuts: usize,
}

impl Totals {
    /// Adds this to what the others have tried, and says what it is by now.
    pub(crate) fn add(self) {
        static ALL: Mutex<Totals> = Mutex::new(Totals { kills: 0, errors: 0, cuts: 0 });
        let mut all = ALL.lock().unwrap();
        all.kills += self.kills;
        all.errors += self.errors;
        all.cuts += self.cuts;
        let Self { kills, errors, cuts } = *all;
        tell(format!("all sweeps by now: killed {kills} times, {errors} errors, power cut {cuts} times"));
    }
}

impl Tally {
    fn add(&mut self, verdict: &Verdict, accepted: usize) {
        let Verdict { what, run, is_hit, queued, held, torn, is_sure, .. } = verdict;
        let is_killed = run.signal.is_some();
        match (is_killed && what.starts_with("Kill"), what.starts_with("no file")) {
            _ if !is_hit => self.missed += 1,
            (true, _) => self.kills += 1,
            (_, true) => self.short += 1,
            _ => self.errors += 1,
        }
        self.torn += torn;
        let tale =
            || format!("{what}\n  accepted {accepted}, queued {queued}, held {held}, torn {torn}\n{}", run.report());
        let there = accepted + queued;
        let said_ok = run.stdout.contains("\r\n354 ") && run.stdout.matches("\r\n250 2.0.0 ").count() > 0;
        let is_smtp = run.stdout.starts_with("220 ") || run.stdout.contains("\r\n220 ");
        let was_told_ok = match is_smtp {
            true => said_ok,
            false => !is_killed && run.status == 0,
        };
        if was_told_ok && (there == 0 || !is_sure) {
            self.false_zeros.push(tale());
        }
        if run.stderr.contains("held in the spool") && *held == 0 {
            self.lost.push(tale());
        }
        // Who hears of a failure sends again.
        let was_told_to_try_again = match is_smtp {
            true => run.stdout.contains("\r\n354 ") && run.stdout.contains("\r\n4"),
            false => !is_killed && ![0, 79].contains(&run.status),
        };
        if there > 1 || was_told_to_try_again && there > 0 {
            self.doubled.push(tale());
        }
        assert!(*torn == 0 || is_killed, "a file is left that is no entry: {}", tale());
    }

    fn conclude(&self, name: &str) {
        let Self { kills, errors, short, missed, torn, lost, doubled, false_zeros } = self;
        tell(format!(
            "{name}: killed at {kills} points, {errors} errors, {short} files cut short ({missed} points not met again, \
             {torn} torn files): {} lost, {} doubled, {} false zeros",
            lost.len(),
            doubled.len(),
            false_zeros.len()
        ));
        Totals { kills: *kills, errors: *errors + *short, cuts: 0 }.add();
        assert!(*kills > 20 && *errors > 100, "{name}: too few points");
        let all: Vec<String> = [("lost", lost), ("doubled", doubled), ("a false zero", false_zeros)]
            .iter()
            .flat_map(|(what, tales)| tales.iter().map(move |tale| format!("== {what}: {tale}")))
            .collect();
        assert!(all.is_empty(), "{name}:\n{}", all.join("\n"));
    }
}

#[test]
fn a_send_to_nobody_is_killed_everywhere() {
    Sweep { is_whole: true, ..Sweep::new("send, the relay is away", None) }.run();
}

/// Without a timer and a cron line.
#[test]
fn a_send_that_starts_a_flusher_is_killed_everywhere() {
    Sweep { is_supervised: false, ..Sweep::new("send, the relay is away and nobody flushes", None) }.run();
}

#[test]
fn a_send_that_is_deferred_is_killed_everywhere() {
    let server = Server::new().reply(Moment::Message, "451 4.3.0 later");
    Sweep::new("send, the relay defers", Some(server)).run();
}

#[test]
fn a_send_that_is_accepted_is_killed_everywhere() {
    Sweep::new("send, the relay accepts", Some(Server::new())).run();
}

#[test]
fn a_send_in_doubt_is_killed_everywhere() {
    for (name, top) in [
        ("send in doubt, told", SPOOLING.to_owned()),
        ("send in doubt, held", format!("{SPOOLING}\nin_doubt = \"hold\"")),
        ("send in doubt, sent again", format!("{SPOOLING}\nin_doubt = \"retry\"")),
    ] {
        let server = Server::new().at(Moment::Message, Action::Close);
        Sweep { top, ..Sweep::new(name, Some(server)) }.run();
    }
}

#[test]
fn a_session_with_a_caller_is_killed_everywhere() {
    Sweep { call: speak, ..Sweep::new("-bs, the relay is away", None) }.run();
    Sweep { call: speak, ..Sweep::new("-bs, the relay accepts", Some(Server::new())) }.run();
}
