//! A flush is killed at every one of its system calls, hears of errors there, and loses its power: what waited is at
//! the server once, or waits, or is held in doubt; never lost, and never there twice.
//!
//! The same harness has to catch a program that leaves out what this rests on, so it is also held against disks that
//! only pretend to have written, and against a flush that does not say what it begins.

use testkit::{FileSystem, Mailchute, Point, Pretence, Server};

use crate::never_lost::{SHOP, SPOOLING, send};
use crate::never_lost_runs::{Errors, Scene, Seen, Wrong, make_due, on_disks};
use crate::setup::mailchute;

/// The messages that wait.
const IDS: [&str; 3] = ["one@lost.example", "two@lost.example", "three@lost.example"];

fn flush() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--quiet"])
}

fn spool_all() {
    for id in IDS {
        send(id).run().expect_status(0);
    }
    make_due();
}

/// Each is somewhere, and who is told that nothing waits finds nothing.
fn judge(seen: &Seen<'_>) -> Vec<(Wrong, String)> {
    let mut wrong: Vec<_> = IDS.iter().filter_map(|id| seen.sent_once(id)).collect();
    if seen.status == Some(0) && seen.before.count("queue", "") > 0 {
        wrong.push((Wrong::FalseZero, "something waits".to_owned()));
    }
    wrong
}

/// A flush of three, from where it takes its turn.
const FLUSH: Scene = Scene {
    name: "flush of three",
    top: SPOOLING,
    relay: "",
    lay: spool_all,
    server: Server::new,
    call: flush,
    stays: false,
    begins_at: |point| point.call == "flock",
    ends_at: |_| false,
    behind: || drop(flush().run()),
    judge,
};

#[test]
fn a_flush_is_killed_and_loses_its_power_at_every_call() {
    FLUSH.survives_on(&FileSystem::ALL, 1, 50);
}

#[test]
fn a_hand_over_that_is_not_durably_marked_is_caught() {
    on_disks(&[FileSystem::Ext4], FLUSH, |host, system| {
        let [alive, cut] = FLUSH.cut_pretending(host, system, |_| vec![Pretence::of("fdatasync", 0)]);
        cut.tell("a test of this test: `begun` is not made durable, power cut, ext4");
        assert!(alive.doubled.is_empty() && alive.lost.is_empty(), "what is killed has its cache");
        assert!(!cut.doubled.is_empty(), "a program that does not make `begun` durable was not caught");
    });
}

/// The writes of `begun`, each of which is the last one before it is made durable, do nothing and say they did.
fn without_begun(points: &[Point]) -> Vec<Pretence> {
    let is = |name: &'static str| move |point: &&Point| point.call == name;
    let syncs = points.iter().enumerate().filter(|(_, point)| point.call == "fdatasync").map(|(at, _)| at);
    let marks: Vec<&Point> = syncs.filter_map(|at| points[..at].iter().rfind(is("write"))).collect();
    let [first, second, third] = marks.as_slice() else { panic!("{marks:?}") };
    let step = second.number - first.number;
    assert_eq!(third.number - second.number, step, "{marks:?}");
    let length = first.line.rsplit_once(" = ").and_then(|(_, length)| length.parse().ok()).expect("a length");
    vec![Pretence { when: Some((first.number, third.number, step)), ..Pretence::of("write", length) }]
}

#[test]
fn a_flush_that_does_not_say_what_it_begins_is_caught() {
    on_disks(&[FileSystem::Ext4], FLUSH, |host, system| {
        let [alive, cut] = FLUSH.cut_pretending(host, system, without_begun);
        alive.tell("a test of this test: no `begun` at all, killed");
        cut.tell("a test of this test: no `begun` at all, power cut, ext4");
        assert!(!alive.doubled.is_empty() && !cut.doubled.is_empty(), "a program without `begun` was not caught");
    });
}

#[test]
fn each_call_of_a_flush_fails() {
    if let Some(counts) = FLUSH.fail_everywhere(Errors::All) {
        counts.expect_nothing("flush of three, errors", 1000);
    }
}

/// Before it takes its turn.
#[test]
fn each_call_of_the_start_of_a_flush_fails() {
    let start = Scene { begins_at: |_| true, ends_at: |point| point.call == "flock", ..FLUSH };
    if let Some(counts) = start.fail_everywhere(Errors::InTurnAndKill) {
        counts.expect_nothing("start of a flush of three, killed and errors", 150);
    }
}
