//! Sweeps over runs that find messages in the spool: each run is killed at every one of its system calls, hears of
//! errors there, and loses its power. Then comes what comes usually, and it is counted what is where.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use testkit::{
    Disk, Fault, FileSystem, Host, Mailchute, Point, Port, Pretence, Run, Server, Session, need_disks, need_strace,
    unmount,
};

use crate::never_lost::{ERRORS, SHOP, SPOOL, TRACE, Totals, USERS, accepted, files, message_id, prepare, tell};

const LOG: &str = "/var/log/shop.log";
const CONFIG: &str = "/etc/mailchute/config.toml";
/// How many hosts a sweep has at once.
const HOSTS: usize = 3;
/// How often what waits is sent again until nothing does.
const ROUNDS: usize = 4;

/// What is swept, and what is to be true then.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// The site's keys.
    pub(crate) top: &'static str,
    /// More of the relay's.
    pub(crate) relay: &'static str,
    /// Lays what waits. The relay is away.
    pub(crate) lay: fn(),
    pub(crate) server: fn() -> Server,
    /// The run.
    pub(crate) call: fn() -> Mailchute,
    /// It does not end while something waits, and is told to when it does nothing any more.
    pub(crate) stays: bool,
    /// The first call that counts.
    pub(crate) begins_at: fn(&Point) -> bool,
    /// The first one that does not any more.
    pub(crate) ends_at: fn(&Point) -> bool,
    /// What is done behind it, each time once.
    pub(crate) behind: fn(),
    pub(crate) judge: fn(&Seen<'_>) -> Vec<(Wrong, String)>,
}

/// What goes wrong in a run.
#[derive(Clone, Debug)]
enum Trial {
    At(Point, Fault),
    /// No file may be longer, in octets: what is written is cut short.
    Limit(usize),
    /// Nothing.
    End,
}

impl Trial {
    fn describe(&self) -> String {
        match self {
            Self::At(Point { call, number, line }, fault) => format!("{fault:?} at {call} {number}: {line}"),
            Self::Limit(size) => format!("no file longer than {size}"),
            Self::End => "behind the end".to_owned(),
        }
    }

    fn is_kill(&self) -> bool {
        matches!(self, Self::At(_, Fault::Kill))
    }
}

/// Which errors a sweep tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Each at each point, a write that writes nothing, and files that are cut short.
    All,
    /// One at each point, another one at the next.
    InTurn,
    /// The same, and a kill.
    InTurnAndKill,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Lost,
    Doubled,
    FalseZero,
}

/// Where messages are: folder and Message-ID of each whole entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stock(Vec<(&'static str, String)>);

impl Stock {
    fn take() -> Self {
        let of = |name: &'static str| {
            files(name).into_iter().filter_map(move |(_, file)| Some((name, message_id(&file.text()?).to_owned())))
        };
        Self(["queue", "held", "failed"].into_iter().flat_map(of).collect())
    }

    /// How many in `folder` have a Message-ID that begins so.
    pub(crate) fn count(&self, folder: &str, id: &str) -> usize {
        self.0.iter().filter(|(name, found)| *name == folder && found.starts_with(id)).count()
    }

    fn size(&self, folder: &str) -> usize {
        self.count(folder, "")
    }
}

/// What is seen of a run and of what came behind it.
pub(crate) struct Seen<'a> {
    /// Its status, where it came to one.
    pub(crate) status: Option<i32>,
    /// What was there behind it.
    pub(crate) before: &'a Stock,
    /// What is there in the end.
    pub(crate) after: &'a Stock,
    /// What the relay had until then.
    pub(crate) sessions: &'a [Session],
    /// All records.
    pub(crate) log: &'a str,
}

impl Seen<'_> {
    /// How often messages were accepted whose Message-ID begins so.
    pub(crate) fn accepted(&self, id: &str) -> usize {
        accepted(self.sessions).iter().filter(|(found, _)| found.starts_with(id)).map(|(_, count)| count).sum()
    }

    /// A message that is to be sent: it is somewhere, and never in two places.
    pub(crate) fn sent_once(&self, id: &str) -> Option<(Wrong, String)> {
        let (accepted, waiting) = (self.accepted(id), self.after.count("queue", id));
        let kept = self.after.count("held", id) + self.after.count("failed", id);
        let wrong = match () {
            () if accepted + waiting + kept == 0 => Wrong::Lost,
            () if accepted + waiting > 1 || accepted > 0 && self.after.count("failed", id) > 0 => Wrong::Doubled,
            () => return None,
        };
        Some((wrong, format!("{id}: accepted {accepted}, queued {waiting}, kept {kept}")))
    }
}

/// What a series of runs came to.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) points: usize,
    pub(crate) missed: usize,
    pub(crate) in_doubt: usize,
    pub(crate) waiting: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) false_zeros: Vec<String>,
}

impl Counts {
    fn judge(&mut self, scene: &Scene, what: &str, seen: &Seen<'_>) {
        self.in_doubt += seen.after.size("held");
        self.waiting += seen.after.size("queue");
        for (wrong, tale) in (scene.judge)(seen) {
            let tales = match wrong {
                Wrong::Lost => &mut self.lost,
                Wrong::Doubled => &mut self.doubled,
                Wrong::FalseZero => &mut self.false_zeros,
            };
            let Seen { status, before, after, .. } = seen;
            tales.push(format!("{what}: {tale}\n  status {status:?}, then {before:?}, in the end {after:?}"));
        }
    }

    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.missed += other.missed;
        self.in_doubt += other.in_doubt;
        self.waiting += other.waiting;
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.false_zeros.extend(other.false_zeros);
    }

    pub(crate) fn tell(&self, name: &str) {
        let Self { points, missed, in_doubt, waiting, lost, doubled, false_zeros } = self;
        tell(format!(
            "{name}: {points} points ({missed} not met again): {} lost, {} doubled, {} false zeros; {in_doubt} entries in \
             doubt, {waiting} still waiting",
            lost.len(),
            doubled.len(),
            false_zeros.len(),
        ));
    }

    /// Fails where anything was wrong, or where there were fewer than `least` points.
    pub(crate) fn expect_nothing(&self, name: &str, least: usize) {
        self.tell(name);
        assert!(self.points >= least && self.missed * 4 < self.points, "{name}: too few points");
        for (what, tales) in [("lost", &self.lost), ("doubled", &self.doubled), ("false zeros", &self.false_zeros)] {
            assert!(tales.is_empty(), "{name}: {what}:\n{}", tales.join("\n"));
        }
    }
}

/// Lets everything in the queue be due.
pub(crate) fn make_due() {
    for (path, _) in files("queue") {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
}

/// Whether nothing was told of what waits, and it waits all the same.
fn waits(stock: &Stock) -> bool {
    stock.size("queue") > 0
}

impl Scene {
    fn configure(&self, host: &Host<'_>, port: u16) {
        let relay = format!("[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n{}\n", self.relay);
        host.write(CONFIG, &format!("{}\n{relay}[log]\nto = [\"{LOG}\"]\n", self.top), 0o644);
    }

    /// Does `what` with a server of its own behind the relay: what that has had.
    fn with_server<T>(&self, host: &Host<'_>, what: impl FnOnce() -> T) -> (T, Vec<Session>) {
        let server = (self.server)().start();
        self.configure(host, server.port());
        let result = what();
        (result, server.finish())
    }

    /// What comes usually, until nothing waits any more.
    fn settle(&self, host: &Host<'_>) -> Vec<Session> {
        let all = || {
            for _ in 0..ROUNDS {
                make_due();
                (self.behind)();
                if !waits(&Stock::take()) {
                    break;
                }
            }
        };
        self.with_server(host, all).1
    }

    /// The points of the run, of which all count from the one on at which it begins.
    fn points(&self, host: &Host<'_>) -> Vec<Point> {
        let ((_, points), _) = self.with_server(host, || testkit::points((self.call)(), Path::new(TRACE)));
        let first = points.iter().position(|point| (self.begins_at)(point)).expect("a point at which it begins");
        let mut counted: Vec<Point> = Vec::new();
        for point in points[first..].iter().take_while(|point| !(self.ends_at)(point)) {
            // What is looked for in vain 255 times has the same answer each time; who we are is always known.
            let is_vain = |point: &Point| point.line.ends_with("ENOENT (No such file or directory)");
            let is_repeated =
                counted.iter().rev().take(2).filter(|before| before.call == point.call && is_vain(before)).count() == 2;
            if !(is_repeated && is_vain(point) || ["getuid", "geteuid"].contains(&point.call.as_str())) {
                counted.push(point.clone());
            }
        }
        counted
    }

    fn prepare(&self, host: &Host<'_>) -> Port {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), self.top);
        self.configure(host, nobody.number());
        nobody
    }

    fn run_with(&self, host: &Host<'_>, trial: &Trial, pretences: &[Pretence]) -> Faulted {
        fs::write(LOG, "").unwrap();
        let call = || match trial {
            Trial::At(point, fault) => {
                let faulty = (self.call)().at_pretending(point, *fault, pretences, Path::new(TRACE));
                if self.stays { faulty.run_until_idle() } else { faulty.run() }
            }
            Trial::Limit(size) => ((self.call)().under("prlimit", &[&format!("--fsize={size}")]).run(), true),
            Trial::End => ((self.call)().pretending(pretences).run(), true),
        };
        let ((run, is_hit), sessions) = self.with_server(host, call);
        Faulted { run, is_hit, sessions, before: Stock::take(), log: take_log() }
    }

    /// What became of it after `faulted`, in a spool that may have lost its power since.
    fn judge(&self, host: &Host<'_>, what: &str, faulted: &Faulted, before: &Stock, counts: &mut Counts) {
        let mut sessions = faulted.sessions.clone();
        sessions.extend(self.settle(host));
        let log = faulted.log.clone() + &take_log();
        let status = (faulted.run.signal.is_none()).then_some(faulted.run.status);
        counts.judge(self, what, &Seen { status, before, after: &Stock::take(), sessions: &sessions, log: &log });
        counts.points += 1;
        counts.missed += usize::from(!faulted.is_hit);
    }

    /// What is tried with a run that has these points and finds these entries.
    fn trials(&self, points: &[Point], entries: &HashMap<PathBuf, Vec<u8>>, errors: Errors) -> Vec<Trial> {
        let mut trials = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let faults = match (point.call.as_str(), errors) {
                // It does not return.
                ("exit_group", _) => Vec::new(),
                (_, Errors::InTurn | Errors::InTurnAndKill) => vec![Fault::Error(ERRORS[at % ERRORS.len()])],
                ("write" | "sendto", _) => ERRORS.map(Fault::Error).into_iter().chain([Fault::Pretend(0)]).collect(),
                _ => ERRORS.map(Fault::Error).to_vec(),
            };
            let kill = (errors == Errors::InTurnAndKill).then_some(Fault::Kill);
            trials.extend(faults.into_iter().chain(kill).map(|fault| Trial::At(point.clone(), fault)));
        }
        if errors == Errors::All {
            let sizes = || entries.values().map(Vec::len);
            let (least, most) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
            trials.extend((least..most + 200).step_by(19).map(Trial::Limit));
        }
        trials
    }

    /// Lets the run hear of errors at each of its points, in hosts of their own.
    pub(crate) fn fail_everywhere(&self, errors: Errors) -> Option<Counts> {
        if !need_strace() {
            return None;
        }
        let (mut trials, mut entries) = (Vec::new(), HashMap::new());
        Host::run(&USERS, |host| {
            let _nobody = self.prepare(host);
            (self.lay)();
            entries = laid_away();
            trials = self.trials(&self.points(host), &entries, errors);
        });
        let (next, whole) = (AtomicUsize::new(0), Mutex::new(Counts::default()));
        let work = || {
            Host::run(&USERS, |host| {
                let _nobody = self.prepare(host);
                // What the first run makes is there in all others.
                (self.lay)();
                let mut counts = Counts::default();
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::SeqCst)) {
                    lay_back(&entries);
                    let faulted = self.run_with(host, trial, &[]);
                    self.judge(host, &trial.describe(), &faulted, &faulted.before, &mut counts);
                }
                whole.lock().unwrap().add(counts);
            });
        };
        thread::scope(|scope| (0..HOSTS).for_each(|_| drop(scope.spawn(work))));
        let kills = trials.iter().filter(|trial| trial.is_kill()).count();
        Totals { kills, errors: trials.len() - kills, cuts: 0 }.add();
        Some(whole.into_inner().unwrap())
    }

    /// [`Scene::cut`] at every fourth point with a program that is another one: what `pretences` name does nothing and
    /// says it did.
    pub(crate) fn cut_pretending(
        &self,
        host: &Host<'_>,
        system: FileSystem,
        pretences: impl Fn(&[Point]) -> Vec<Pretence>,
    ) -> [Counts; 2] {
        self.cut(host, system, 4, pretences)
    }

    /// Kills the run at each of its points, or every `step`th of them, and behind its end, and cuts the power there; goes
    /// on with the host that lives, and with the one that comes up again.
    fn cut(
        &self,
        host: &Host<'_>,
        system: FileSystem,
        step: usize,
        pretences: impl Fn(&[Point]) -> Vec<Pretence>,
    ) -> [Counts; 2] {
        let (spool, room) = (Path::new(SPOOL), host.scratch().join("disks"));
        let begin = Disk::make(room.join("first"), system);
        begin.mount(spool);
        fs::set_permissions(spool, Permissions::from_mode(0o1733)).unwrap();
        (self.lay)();
        make_due();
        unmount(spool);
        let live = begin.cut(room.join("live"));
        live.mount(spool);
        let points = self.points(host);
        unmount(spool);
        let pretences = pretences(&points);
        let mut counts = [Counts::default(), Counts::default()];
        // One system call cannot be two things.
        let is_free = |point: &&Point| pretences.iter().all(|of| of.call != point.call);
        let kills = points.iter().filter(is_free).step_by(step).map(|point| Trial::At(point.clone(), Fault::Kill));
        for trial in kills.chain([Trial::End]) {
            let what = format!("{}, {}", system.name(), trial.describe());
            let live = begin.cut(room.join("live"));
            live.mount(spool);
            let faulted = self.run_with(host, &trial, &pretences);
            let left = live.cut(room.join("cut"));
            let [alive, cut] = &mut counts;
            self.judge(host, &what, &faulted, &faulted.before, alive);
            unmount(spool);
            left.mount(spool);
            self.judge(host, &what, &faulted, &Stock::take(), cut);
            unmount(spool);
        }
        if pretences.is_empty() {
            Totals { kills: counts[0].points, errors: 0, cuts: counts[1].points }.add();
        }
        counts
    }

    /// The same on each of `systems` with every `step`th point, with nothing pretended and nothing to be wrong.
    pub(crate) fn survives_on(self, systems: &[FileSystem], step: usize, least: usize) {
        on_disks(systems, self, |host, system| {
            let [alive, cut] = self.cut(host, system, step, |_| Vec::new());
            alive.expect_nothing(&format!("{}, killed, {}", self.name, system.name()), least);
            cut.expect_nothing(&format!("{}, power cut, {}", self.name, system.name()), least);
        });
    }

    /// The same on all: at every point on ext4, at every third one on the others.
    pub(crate) fn survives(self, least: usize) {
        self.survives_on(&[FileSystem::Ext4], 1, least);
        self.survives_on(&[FileSystem::Xfs, FileSystem::Btrfs], 3, least / 3);
    }
}

/// A run with a fault, and what was there behind it.
struct Faulted {
    run: Run,
    is_hit: bool,
    sessions: Vec<Session>,
    before: Stock,
    log: String,
}

fn take_log() -> String {
    let log = fs::read_to_string(LOG).unwrap();
    fs::write(LOG, "").unwrap();
    log
}

/// Does `work` on a host of its own for each of `systems` that is there.
pub(crate) fn on_disks(systems: &[FileSystem], scene: Scene, work: impl Fn(&Host<'_>, FileSystem) + Sync) {
    if !need_strace() || !need_disks() {
        return;
    }
    let one = |system: FileSystem| {
        Host::run(&USERS, |host| {
            let _nobody = scene.prepare(host);
            Disk::prepare(&host.scratch().join("disks"));
            if system.is_there() {
                work(host, system);
            }
        });
    };
    let one = &one;
    thread::scope(|scope| {
        let all: Vec<_> = systems.iter().map(|system| scope.spawn(move || one(*system))).collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The files of all entries, to be laid where they were.
fn laid_away() -> HashMap<PathBuf, Vec<u8>> {
    let all = ["queue", "held", "failed"].into_iter().flat_map(files);
    all.map(|(path, _)| (path.clone(), fs::read(path).unwrap())).collect()
}

fn lay_back(entries: &HashMap<PathBuf, Vec<u8>>) {
    for (path, _) in ["queue", "held", "failed"].into_iter().flat_map(files) {
        fs::remove_file(path).unwrap();
    }
    // How many bounces there were is forgotten, too.
    let _ = fs::remove_file(Path::new(SPOOL).join(SHOP.to_string()).join("bounces"));
    for (path, octets) in entries {
        fs::write(path, octets).unwrap();
        chown(path, Some(SHOP), Some(SHOP)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    make_due();
}
