//! A flush is killed at every one of its system calls, hears of errors there, and loses its power: what waited is at
//! the server once, or waits, or is held in doubt; never lost, and never there twice.
//!
//! The same harness has to catch a program that leaves out what this rests on, so it is also held against disks that
//! only pretend to have written.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use testkit::{Disk, Fault, FileSystem, Host, Mailchute, Point, Port, Server, need_disks, need_strace, unmount};

use crate::never_lost::{ERRORS, SHOP, SPOOL, SPOOLING, TRACE, USERS, accepted, configure, files, prepare, send, tell};
use crate::setup::mailchute;

/// The messages that wait.
const IDS: [&str; 3] = ["one@lost.example", "two@lost.example", "three@lost.example"];

fn flush() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--quiet"])
}

/// Lets everything in the queue be due.
fn make_due() {
    for (path, _) in files("queue") {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
}

/// Runs `what` with a server of its own behind the relay: what that has accepted, by Message-ID.
fn with_server<T>(host: &Host<'_>, what: impl FnOnce() -> T) -> (T, HashMap<String, usize>) {
    let server = Server::new().start();
    configure(host, server.port(), SPOOLING);
    let result = what();
    (result, accepted(&server.finish()))
}

fn spool_all() {
    for id in IDS {
        send(id).run().expect_status(0);
    }
    make_due();
}

/// The points of a flush from the one at which it takes its turn.
fn points_of_flush(host: &Host<'_>) -> Vec<Point> {
    let ((_, points), accepted) = with_server(host, || testkit::points(flush(), Path::new(TRACE)));
    assert_eq!(accepted.len(), IDS.len(), "not all were sent while the calls were counted");
    let first = points.iter().position(|point| point.call == "flock").expect("a lock");
    points[first..].to_vec()
}

/// What a series of runs came to.
#[derive(Default)]
struct Counts {
    points: usize,
    missed: usize,
    in_doubt: usize,
    waiting: usize,
    lost: Vec<String>,
    doubled: Vec<String>,
}

impl Counts {
    /// Judges what is there and was accepted after the second flush.
    fn judge(&mut self, what: &str, first: &HashMap<String, usize>, second: &HashMap<String, usize>) {
        let count = |folder: &str, id: &str| {
            let is_it = |text: String| text.contains(&format!("Message-ID: <{id}>"));
            files(folder).iter().filter(|(_, file)| file.text().is_some_and(is_it)).count()
        };
        for id in IDS {
            let of = |counts: &HashMap<String, usize>| counts.get(id).copied().unwrap_or_default();
            let (accepted, waiting, held) = (of(first) + of(second), count("queue", id), count("held", id));
            let tale =
                || format!("{what}: {id}: accepted {} and {}, queued {waiting}, held {held}", of(first), of(second));
            self.in_doubt += held;
            self.waiting += waiting;
            if accepted + waiting + held + count("failed", id) == 0 {
                self.lost.push(tale());
            }
            if accepted + waiting > 1 {
                self.doubled.push(tale());
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.missed += other.missed;
        self.in_doubt += other.in_doubt;
        self.waiting += other.waiting;
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
    }

    fn tell(&self, name: &str) {
        let Self { points, missed, in_doubt, waiting, lost, doubled } = self;
        tell(format!(
            "{name}: {points} points ({missed} not met again): {} lost, {} doubled; {in_doubt} entries in doubt, {waiting} still \
             waiting",
            lost.len(),
            doubled.len()
        ));
    }

    fn expect_nothing(&self, name: &str) {
        self.tell(name);
        assert!(self.points > 50 && self.missed * 4 < self.points, "{name}: too few points");
        assert!(self.lost.is_empty(), "{name}: lost:\n{}", self.lost.join("\n"));
        assert!(self.doubled.is_empty(), "{name}: doubled:\n{}", self.doubled.join("\n"));
    }
}

/// Kills a flush at each of its points, and cuts the power there; flushes again on the host that lives, and on the one
/// that comes up again. With `pretended` that system call does nothing and says it did.
fn cut_everywhere(host: &Host<'_>, system: FileSystem, pretended: Option<&str>) -> [Counts; 2] {
    let (spool, room) = (Path::new(SPOOL), host.scratch().join("disks"));
    let begin = Disk::make(room.join("first"), system);
    begin.mount(spool);
    fs::set_permissions(spool, Permissions::from_mode(0o1733)).unwrap();
    spool_all();
    unmount(spool);
    let live = begin.cut(room.join("live"));
    live.mount(spool);
    let points = points_of_flush(host);
    unmount(spool);
    let mut counts = [Counts::default(), Counts::default()];
    for point in &points {
        let what = format!("{}, before {} {}: {}", system.name(), point.call, point.number, point.line);
        let live = begin.cut(room.join("live"));
        live.mount(spool);
        let kill = || flush().at_pretending(point, Fault::Kill, pretended, Path::new(TRACE)).run();
        let ((_, is_hit), first) = with_server(host, kill);
        let left = live.cut(room.join("cut"));
        let (_, second) = with_server(host, || flush().run());
        let [alive, cut] = &mut counts;
        alive.judge(&what, &first, &second);
        unmount(spool);
        left.mount(spool);
        make_due();
        let (_, second) = with_server(host, || flush().run());
        cut.judge(&what, &first, &second);
        unmount(spool);
        for counts in &mut counts {
            counts.points += 1;
            counts.missed += usize::from(!is_hit);
        }
    }
    counts
}

fn on_disks(systems: &[FileSystem], work: impl Fn(&Host<'_>, FileSystem) + Sync) {
    if !need_strace() || !need_disks() {
        return;
    }
    let nobody = Port::reserve();
    let one = |system: FileSystem| {
        Host::run(&USERS, |host| {
            prepare(host, nobody.number(), SPOOLING);
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

#[test]
fn a_flush_is_killed_and_loses_its_power_at_every_call() {
    on_disks(&FileSystem::ALL, |host, system| {
        let [alive, cut] = cut_everywhere(host, system, None);
        alive.expect_nothing(&format!("flush of three, killed, {}", system.name()));
        cut.expect_nothing(&format!("flush of three, power cut, {}", system.name()));
    });
}

#[test]
fn a_hand_over_that_is_not_durably_marked_is_caught() {
    on_disks(&[FileSystem::Ext4], |host, system| {
        let [alive, cut] = cut_everywhere(host, system, Some("fdatasync"));
        cut.tell("a test of this test: `begun` is not made durable, power cut, ext4");
        assert!(alive.doubled.is_empty() && alive.lost.is_empty(), "what is killed has its cache");
        assert!(!cut.doubled.is_empty(), "a program that does not make `begun` durable was not caught");
    });
}

/// The files of three entries, to be laid where they were.
fn laid_away() -> Vec<(PathBuf, Vec<u8>)> {
    files("queue").into_iter().map(|(path, _)| (path.clone(), fs::read(path).unwrap())).collect()
}

fn lay(entries: &[(PathBuf, Vec<u8>)]) {
    for (path, _) in ["queue", "held", "failed"].into_iter().flat_map(files) {
        fs::remove_file(path).unwrap();
    }
    for (path, octets) in entries {
        fs::write(path, octets).unwrap();
        chown(path, Some(SHOP), Some(SHOP)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    make_due();
}

#[test]
fn each_call_of_a_flush_fails() {
    if !need_strace() {
        return;
    }
    let nobody = Port::reserve();
    let (mut cases, mut entries) = (Vec::new(), Vec::new());
    Host::run(&USERS, |host| {
        prepare(host, nobody.number(), SPOOLING);
        spool_all();
        entries = laid_away();
        let points = points_of_flush(host);
        for point in points.into_iter().filter(|point| point.call != "exit_group") {
            cases.extend(ERRORS.map(|name| (point.clone(), Fault::Error(name))));
        }
    });
    if cases.is_empty() {
        return;
    }
    let (next, whole) = (AtomicUsize::new(0), Mutex::new(Counts::default()));
    let work = || {
        Host::run(&USERS, |host| {
            prepare(host, nobody.number(), SPOOLING);
            send(IDS[0]).run().expect_status(0);
            let mut counts = Counts::default();
            while let Some((point, fault)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                let what = format!("{fault:?} at {} {}: {}", point.call, point.number, point.line);
                lay(&entries);
                let fail = || flush().at(point, *fault, Path::new(TRACE)).run();
                let ((_, is_hit), first) = with_server(host, fail);
                make_due();
                let (_, second) = with_server(host, || flush().run());
                counts.judge(&what, &first, &second);
                counts.points += 1;
                counts.missed += usize::from(!is_hit);
            }
            whole.lock().unwrap().add(counts);
        });
    };
    thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
    whole.into_inner().unwrap().expect_nothing("flush of three, errors");
}
