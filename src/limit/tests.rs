use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::record::{Record, SIZE, nanoseconds};
use super::*;
use crate::caller::Caller;
use crate::config::Config;
use crate::config::limit::Unit;
use crate::keep::Keep;

thread_local! {
    static NOW: Cell<Time> = const { Cell::new(0) };
}

const SECOND: Time = 1_000_000_000;
const BEGIN: Time = 1_800_000_000 * SECOND;

/// The limits of a site that says so.
fn limits(words: &[&str]) -> Arc<Limits> {
    let source = format!("limit = {words:?}\n[relay.main]\nhost = 'mx.example'\n");
    let config = Config::parse(Path::new("/x/config.toml"), &source, &Caller::current()).unwrap();
    config.sites[0].limits.clone().unwrap()
}

/// A directory in memory, where there is one.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn counter<'a>(limits: &'a Limits, directory: &Path) -> Counter<'a> {
    let uid = nix::unistd::geteuid().as_raw();
    Counter::at(limits, Keep::at(directory.join("own"), uid), uid, || NOW.get())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What every admission is held to: all that is known of each, asked in the plainest way.
#[derive(Default)]
struct Model(Vec<(Time, u64)>);

impl Model {
    /// From which time on there is room; 0: now.
    fn free(&self, limit: &Limit, recipients: u64, now: Time) -> Option<Time> {
        let span = nanoseconds(limit.span());
        let weight = |own: u64| if limit.unit == Unit::Messages { 1 } else { own };
        let sum =
            |at: Time| -> u64 { self.0.iter().filter(|(time, _)| time + span > at).map(|(_, own)| weight(*own)).sum() };
        if weight(recipients) > u64::from(limit.count) {
            return None;
        }
        let has_room = |at: Time| sum(at) + weight(recipients) <= u64::from(limit.count);
        if has_room(now) {
            return Some(0);
        }
        self.0.iter().map(|(time, _)| time + span).filter(|at| has_room(*at)).min()
    }
}

#[test]
fn every_window_of_random_histories_holds_as_in_the_model() {
    let sets = [
        limits(&["3/minute"]),
        limits(&["1/2 seconds", "5/minute"]),
        limits(&["4/minute", "9 recipients/2 minutes"]),
        limits(&["7 recipients/minute"]),
        limits(&["70/hour", "200 recipients/hour"]),
        limits(&["2/minute", "6/3 minutes", "10 recipients/minute", "12 recipients/hour"]),
    ];
    let (mut dice, mut admitted, mut refused) = (Dice(4711), 0, 0);
    let directory = directory();
    for history in 0..10_000 {
        let mut set = &sets[dice.below(6) as usize];
        let own = directory.path().join(history.to_string());
        fs::create_dir(&own).unwrap();
        let mut model = Model::default();
        NOW.set(BEGIN);
        for _ in 0..dice.below(14) + 2 {
            let pass = match dice.below(8) {
                0 => 0,
                1..4 => dice.below(SECOND),
                4..6 => dice.below(20 * SECOND),
                6 => dice.below(150 * SECOND),
                _ => 60 * SECOND,
            };
            NOW.set(NOW.get() + pass);
            match dice.below(20) {
                // The clock is set back, by a little or by much.
                0 => NOW.set(NOW.get() - dice.below(3 * SECOND)),
                1 => NOW.set(NOW.get() - dice.below(300 * SECOND)),
                // The limit is changed while it runs. All are counted in one file.
                2 => set = &sets[dice.below(6) as usize],
                _ => {}
            }
            let now = NOW.get();
            model.0.iter_mut().for_each(|(time, _)| *time = now.min(*time));
            let recipients = dice.below(4) + 1;
            let counter = counter(set, &own);
            let wanted: Vec<_> = set.all.iter().map(|limit| (limit, model.free(limit, recipients, now))).collect();
            if wanted.iter().any(|(_, free)| free.is_none()) {
                continue;
            }
            let free = wanted.iter().filter_map(|(_, free)| *free).max().unwrap();
            match counter.admit(recipients as u32, false, soon()) {
                Ok(time) => {
                    assert_eq!((time, free), (now, 0), "{history}: {recipients} of {set:?}");
                    model.0.push((now, recipients));
                    admitted += 1;
                    // Something of it turns out not to have been sent.
                    match dice.below(12) {
                        0 => {
                            counter.take_back(time, recipients as u32, recipients as u32, soon());
                            model.0.pop();
                        }
                        1 if recipients > 1 => {
                            counter.take_back(time, recipients as u32, 1, soon());
                            model.0.last_mut().unwrap().1 -= 1;
                        }
                        _ => {}
                    }
                }
                Err(Denied::Behind) => unreachable!("nobody waits"),
                Err(Denied::Over(_, room)) => {
                    assert_eq!(room, Room::From(free), "{history}: {recipients} of {set:?}");
                    refused += 1;
                }
                Err(Denied::Uncounted(failure)) => panic!("{failure}"),
            }
            for (limit, left, _) in counter.left().unwrap() {
                let span = nanoseconds(limit.span());
                let in_window = model.0.iter().filter(|(time, _)| time + span > now);
                let used: u64 = in_window.map(|(_, own)| if limit.unit == Unit::Messages { 1 } else { *own }).sum();
                assert_eq!(u64::from(left), u64::from(limit.count).saturating_sub(used), "{history}: {limit}");
            }
        }
    }
    assert!(admitted > 25_000 && refused > 8_000, "{admitted} admitted, {refused} refused");
}

#[test]
fn a_thousand_is_a_thousand_and_what_is_old_is_forgotten() {
    let set = limits(&["1000/day"]);
    let directory = directory();
    let counter = counter(&set, directory.path());
    let file = directory.path().join("own").join(&set.file);
    let day = 86_400 * SECOND;
    for round in 0..4 {
        for number in 0..1000 {
            NOW.set(BEGIN + round * day + number * SECOND);
            counter.admit(1, false, soon()).unwrap_or_else(|denied| panic!("{round} {number}: {denied:?}"));
        }
        match counter.admit(1, false, soon()) {
            Err(Denied::Over(_, Room::From(free))) => assert_eq!(free, BEGIN + (round + 1) * day),
            other => panic!("{other:?}"),
        }
        NOW.set(BEGIN + (round + 1) * day - 1);
        assert!(matches!(counter.admit(1, false, soon()), Err(Denied::Over(..))));
        assert!(file.metadata().unwrap().len() <= 2000 * SIZE, "{round}");
    }
    assert!(!directory.path().join("own").join(format!("{}.new", set.file)).exists());
}

#[test]
fn a_far_future_is_no_prison() {
    let set = limits(&["2/minute"]);
    let directory = directory();
    let counter = counter(&set, directory.path());
    NOW.set(BEGIN + 365 * 86_400 * SECOND);
    counter.admit(1, false, soon()).unwrap();
    counter.admit(1, false, soon()).unwrap();
    NOW.set(BEGIN);
    // Whoever only looks cannot tell, and says so to nobody.
    counter.look(1).unwrap();
    assert!(
        matches!(counter.admit(1, false, soon()), Err(Denied::Over(_, Room::From(free))) if free == BEGIN + 60 * SECOND)
    );
    assert!(counter.look(1).is_err());
    NOW.set(BEGIN + 60 * SECOND);
    counter.admit(1, false, soon()).unwrap();
}

#[test]
fn one_message_that_asks_for_more_than_all_never_goes() {
    let set = limits(&["5/minute", "3 recipients/day"]);
    let directory = directory();
    let counter = counter(&set, directory.path());
    NOW.set(BEGIN);
    assert!(matches!(counter.admit(4, false, soon()), Err(Denied::Over(limit, Room::Never)) if limit.count == 3));
    let Refused::Never(failure) = refused(&set, counter.admit(4, false, soon()).unwrap_err()) else {
        panic!("some time")
    };
    assert_eq!(
        failure.to_string(),
        "site default: 550 5.5.3 has more recipients than the limit of 3 recipients/day ever allows"
    );
    assert_eq!(counter.left().unwrap()[1].1, 3, "nothing was counted");
    counter.admit(3, false, soon()).unwrap();
    let Refused::Over(failure, next, _) = refused(&set, counter.admit(1, false, soon()).unwrap_err()) else {
        panic!("never")
    };
    assert_eq!(next, moment(BEGIN + 86_400 * SECOND));
    let text = failure.to_string();
    assert!(text.starts_with("site default: 450 4.7.1 over the limit of 3 recipients/day, next free at 20"), "{text}");
}

/// Whatever is in the file, what can be read of it still counts, and a new record can be made.
#[test]
fn what_is_torn_or_foreign_is_passed_over() {
    let set = limits(&["3/minute"]);
    let record = |age: Time, total| Record { time: BEGIN - age * SECOND, total }.octets();
    let whole: Vec<u8> = [record(50, 1), record(40, 2), record(30, 3)].concat();
    let cases: Vec<(&str, Vec<u8>, usize)> = vec![
        ("nothing", Vec::new(), 3),
        ("whole", whole.clone(), 0),
        ("a part of a record behind it", [&whole[..], &[7; 9]].concat(), 0),
        ("the last one torn", whole[..40].to_vec(), 1),
        ("zeros of a power cut behind it", [&whole[..], &[0; 4096]].concat(), 0),
        ("zeros in place of the last", [&whole[..32], &[0; 16]].concat(), 1),
        ("the first one unreadable", [&[9; 16], &whole[16..]].concat(), 1),
        ("the middle one unreadable, which nobody asks", [&whole[..16], &[9; 16], &whole[32..]].concat(), 0),
        ("totals that fall", [record(50, 9), record(40, 2), record(30, 1)].concat(), 0),
        ("text", b"# what is this doing here?\n".repeat(999), 3),
    ];
    for (what, content, room) in cases {
        let directory = directory();
        let counter = counter(&set, directory.path());
        fs::create_dir(directory.path().join("own")).unwrap();
        fs::write(directory.path().join("own").join(&set.file), content).unwrap();
        NOW.set(BEGIN);
        for number in 0..4 {
            assert_eq!(counter.admit(1, false, soon()).is_ok(), number < room, "{what}: {number}");
        }
    }
}

#[test]
fn what_cannot_be_counted_is_not_sent() {
    let set = limits(&["3/minute"]);
    let why = |counter: &Counter<'_>| match counter.admit(1, false, Deadline::after(Duration::from_millis(30))) {
        Err(Denied::Uncounted(failure)) => uncounted(&set, &failure).to_string(),
        other => panic!("{other:?}"),
    };
    let directory = directory();
    let counter = counter(&set, directory.path());
    let path = directory.path().join("own").join(&set.file);
    fs::write(directory.path().join("own"), "").unwrap();
    assert!(why(&counter).starts_with("site default: its limit cannot be counted, so nothing is sent: "));
    fs::remove_file(directory.path().join("own")).unwrap();
    fs::create_dir_all(&path).unwrap();
    assert!(why(&counter).ends_with("s a directory (os error 21)"));
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    why(&counter);
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(why(&counter).ends_with("is not a file that only this program can have made"));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    fs::hard_link(&path, directory.path().join("own/another")).unwrap();
    assert!(why(&counter).ends_with("is not a file that only this program can have made"));
    fs::remove_file(directory.path().join("own/another")).unwrap();
    let held = OpenOptions::new().read(true).open(&path).unwrap();
    crate::keep::lock(&held, nix::fcntl::FlockArg::LockExclusive).unwrap();
    assert!(why(&counter).ends_with("another process has held this lock too long"));
    drop(held);
    NOW.set(BEGIN);
    counter.admit(1, false, soon()).unwrap();
}

/// Many at once, each with a descriptor and a lock of its own, while the file is replaced under them again and again.
#[test]
fn many_at_once_are_admitted_as_often_as_allowed() {
    let set = limits(&["1000/hour", "1500 recipients/hour"]);
    let directory = directory();
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for number in 0..100 {
                    NOW.set(BEGIN - number % 2);
                    if counter(&set, directory.path()).admit(1, false, soon()).is_ok() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.load(Ordering::Relaxed), 1000);
}

/// A process that is killed while it takes something back leaves what counts too much, never too little.
#[test]
fn taking_back_moves_what_came_later() {
    let set = limits(&["9/minute", "20 recipients/minute"]);
    let directory = directory();
    let counter = counter(&set, directory.path());
    let mut times = Vec::new();
    for number in 0..5 {
        NOW.set(BEGIN + number);
        times.push(counter.admit(3, false, soon()).unwrap());
    }
    let left = |messages, recipients| {
        let left: Vec<u32> = counter.left().unwrap().into_iter().map(|(_, left, _)| left).collect();
        assert_eq!(left, [messages, recipients]);
    };
    left(4, 5);
    counter.take_back(times[1], 3, 3, soon());
    left(5, 8);
    counter.take_back(times[1], 3, 3, soon());
    left(5, 8);
    counter.take_back(times[0], 3, 2, soon());
    left(5, 10);
    counter.take_back(times[4], 3, 3, soon());
    left(6, 13);
    // Half of it done: the file was not cut yet.
    let path = directory.path().join("own").join(&set.file);
    let octets = fs::read(&path).unwrap();
    let last = octets.last_chunk::<16>().copied().unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&last).unwrap();
    left(5, 13);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 3], octets.len() as u64 + 16).unwrap();
    NOW.set(BEGIN + 9);
    counter.admit(1, false, soon()).unwrap();
    left(4, 12);
}
