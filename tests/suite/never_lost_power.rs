//! The power is cut at every system call of a send that is kept, on real file systems: what was answered 0 is there
//! when the host is up again, and what is there is whole or is not believed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use testkit::{Disk, Fault, FileSystem, Host, Point, Port, need_disks, need_strace, unmount};

use crate::never_lost::{SPOOL, SPOOLING, TRACE, Totals, USERS, files, message, prepare, send, tell};

/// The message that waits already.
const BEFORE: &str = "before@lost.example";

/// What a series of cuts came to.
#[derive(Default)]
struct Cuts {
    points: usize,
    whole: usize,
    torn: usize,
    absent: usize,
    /// Answered 0, and not there any more.
    lost: Vec<String>,
}

/// A disk with the spool's place on it, as the installation leaves it.
fn installed(host: &Host<'_>, system: FileSystem) -> Disk {
    let spool = Path::new(SPOOL);
    let disk = Disk::make(host.scratch().join("disks/first"), system);
    disk.mount(spool);
    fs::set_permissions(spool, Permissions::from_mode(0o1733)).unwrap();
    unmount(spool);
    disk
}

/// Cuts the power at every point from the one at which the spool is first looked at, and after the last one. With
/// `warm` another message waits there already.
fn cut_everywhere(host: &Host<'_>, system: FileSystem, is_warm: bool) -> Cuts {
    let (spool, room) = (Path::new(SPOOL), host.scratch().join("disks"));
    let mut disk = installed(host, system);
    if is_warm {
        disk.mount(spool);
        send(BEFORE).run().expect_status(0);
        unmount(spool);
    }
    let begin = disk.clone();
    disk = begin.cut(room.join("traced"));
    disk.mount(spool);
    let (_, points) = testkit::points(send("traced@lost.example"), Path::new(TRACE));
    unmount(spool);
    // Before that nothing is written.
    let first = points.iter().rposition(|point| point.call == "openat" && point.line.contains("O_DIRECTORY")).unwrap();
    let first = points[..first].iter().rposition(|point| point.call == "connect").unwrap() + 1;
    let mut cuts = Cuts::default();
    // Looking for a directory that is not there has the same answer 255 times.
    let is_repeated =
        |at: usize| at > 1 && points[at - 1].call == points[at].call && points[at - 2].call == points[at].call;
    let at = (first..points.len()).filter(|at| !is_repeated(*at)).map(|at| Some(&points[at]));
    for (number, point) in at.chain([None]).enumerate() {
        let id = format!("{number}@lost.example");
        let live = begin.cut(room.join("live"));
        live.mount(spool);
        let (status, what) = run_to(point, &id);
        let what = format!("{} {what}", system.name());
        let left = live.cut(room.join("cut"));
        // Whoever comes next relies on what the one before may have left half done.
        let next = format!("next-{id}");
        send(&next).run().expect_status(0);
        let left_later = live.cut(room.join("later"));
        unmount(spool);
        left.mount(spool);
        cuts.judge(&id, status, is_warm, &what);
        unmount(spool);
        left_later.mount(spool);
        cuts.judge(&next, Some(0), is_warm, &format!("{what}, and another send"));
        unmount(spool);
    }
    cuts
}

/// Runs a send up to `point`; its status, where it came to one.
fn run_to(point: Option<&Point>, id: &str) -> (Option<i32>, String) {
    match point {
        Some(point) => {
            let (run, is_hit) = send(id).at(point, Fault::Kill, Path::new(TRACE)).run();
            assert!(is_hit, "{} {} was not met again", point.call, point.number);
            (
                run.signal.is_none().then_some(run.status),
                format!("before {} {}: {}", point.call, point.number, point.line),
            )
        }
        None => (Some(send(id).run().status), "after the end".to_owned()),
    }
}

impl Cuts {
    fn judge(&mut self, id: &str, status: Option<i32>, is_warm: bool, what: &str) {
        self.points += 1;
        let all = files("queue");
        let is_there = |id: &str| all.iter().any(|(_, file)| file.text().is_some_and(|text| text == message(id)));
        self.torn += all.iter().filter(|(_, file)| file.text().is_none()).count();
        match is_there(id) {
            true => self.whole += 1,
            false => self.absent += 1,
        }
        let is_lost = status == Some(0) && !is_there(id) || is_warm && !is_there(BEFORE);
        if is_lost {
            self.lost.push(format!("{what}: {all:?}"));
        }
        assert!(status.is_none_or(|status| status == 0), "{what}: {status:?}");
    }
}

#[test]
fn the_power_is_cut_at_every_call_of_a_send_that_is_kept() {
    if !need_strace() || !need_disks() {
        return;
    }
    let nobody = Port::reserve();
    let work = |system: FileSystem| {
        Host::run(&USERS, |host| {
            prepare(host, nobody.number(), SPOOLING);
            Disk::prepare(&host.scratch().join("disks"));
            if !system.is_there() {
                return;
            }
            for (is_warm, state) in [(false, "the first message"), (true, "another waits")] {
                let cuts = cut_everywhere(host, system, is_warm);
                let Cuts { points, whole, torn, absent, lost } = &cuts;
                tell(format!(
                    "power cut while a message is kept, {}, {state}: {points} points, {whole} whole, {torn} torn, \
                     {absent} absent: {} lost",
                    system.name(),
                    lost.len()
                ));
                Totals { kills: 0, errors: 0, cuts: *points }.add();
                assert!(*points > 20 && *whole > 1, "too few points");
                assert!(lost.is_empty(), "{}", lost.join("\n"));
            }
        });
    };
    thread::scope(|scope| {
        FileSystem::ALL.map(|system| scope.spawn(move || work(system))).map(|thread| thread.join().unwrap())
    });
}

/// The descriptor that the first call of `points` with all these words gives, and where that is.
fn opened(points: &[Point], words: &[&str]) -> Option<(usize, String)> {
    let is_it = |point: &Point| point.call == "openat" && words.iter().all(|word| point.line.contains(word));
    let at = points.iter().position(is_it)?;
    let (_, descriptor) = points[at].line.rsplit_once(" = ")?;
    Some((at, descriptor.to_owned()))
}

/// The last `call` on `descriptor`, which is opened at `made`, before its number is another file's.
fn last_of(points: &[Point], made: usize, descriptor: &str, call: &str) -> Option<usize> {
    let starts = |point: &Point, start: &str| point.line.starts_with(start);
    let closed = points[made..].iter().position(|point| starts(point, &format!("close({descriptor})")));
    let end = closed.map_or(points.len(), |closed| made + closed);
    let is_it = |point: &Point| point.call == call && starts(point, &format!("{call}({descriptor}"));
    points[..end].iter().rposition(is_it)
}

/// The descriptor of the entry that is made, and where; the breaker's page is made under another name and moved.
fn entry_made(points: &[Point]) -> Option<(usize, String)> {
    opened(points, &["O_CREAT", "O_EXCL", "O_NOFOLLOW"])
}

/// Whether a send makes an entry durable before it answers 0: all of it is written, the file is synced, and then the
/// directory that has its name.
fn is_durable_first(points: &[Point]) -> Result<(), &'static str> {
    let (made, file) = entry_made(points).ok_or("no file is made")?;
    let directory =
        points[..made].iter().rposition(|point| point.line.contains("O_DIRECTORY")).ok_or("no directory")?;
    let (_, directory) = opened(&points[directory..], &["O_DIRECTORY"]).ok_or("no directory")?;
    let find = |from: usize, call: &str, start: String| {
        let is_it = |point: &Point| point.call == call && point.line.starts_with(&start);
        points[from..].iter().position(is_it).map(|at| from + at)
    };
    let written = last_of(points, made, &file, "write").unwrap_or(0);
    let whole = find(made, "fsync", format!("fsync({file})")).ok_or("the file is not synced")?;
    if whole < written {
        return Err("it is written to when it was synced");
    }
    let named = find(whole, "fsync", format!("fsync({directory})")).ok_or("the directory is not synced behind it")?;
    find(named, "exit_group", "exit_group(0)".to_owned()).map(drop).ok_or("it ends before")
}

/// ext4, XFS and btrfs keep the name of a file that is synced, so no power cut on them shows that its directory is synced
/// as well; the order of the calls does, and what is left out or comes too early is seen.
#[test]
fn what_is_told_as_kept_is_synced_by_its_name_too() {
    if !need_strace() {
        return;
    }
    let nobody = Port::reserve();
    Host::run(&USERS, |host| {
        prepare(host, nobody.number(), SPOOLING);
        for id in ["first@lost.example", "second@lost.example"] {
            let (run, points) = testkit::points(send(id), Path::new(TRACE));
            run.expect_status(0);
            assert_eq!(is_durable_first(&points), Ok(()), "{points:#?}");
            let (made, file) = entry_made(&points).unwrap();
            let last = |call: &str| last_of(&points, made, &file, call).unwrap();
            let whole = last("fsync");
            let named = points.iter().rposition(|point| point.call == "fsync").unwrap();
            assert!(made < whole && whole < named);
            let without = |left_out: usize| {
                let mut other = points.clone();
                other.remove(left_out);
                is_durable_first(&other)
            };
            assert_eq!(without(named), Err("the directory is not synced behind it"));
            assert_eq!(without(whole), Err("the file is not synced"));
            let moved = |from: usize, to: usize| {
                let mut other = points.clone();
                let point = other.remove(from);
                other.insert(to, point);
                is_durable_first(&other)
            };
            assert_eq!(moved(named, whole), Err("the directory is not synced behind it"));
            assert_eq!(moved(named, points.len() - 1), Err("it ends before"));
            assert_eq!(moved(last("write"), whole), Err("it is written to when it was synced"));
        }
    });
}
