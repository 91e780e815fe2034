//! Many at once: senders in a crowd before a relay that takes few, and flushers that are killed while they send.

use std::collections::HashMap;
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Host, Mailchute, Run, Running, Server};

use crate::laid::{Laid, SHOP};
use crate::never_lost::{SPOOLING, USERS, accepted, configure, files, prepare, send, tell};
use crate::setup::mailchute;

fn flush() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--quiet"])
}

fn make_due() {
    for (path, _) in files("queue") {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
}

/// Returns when so many entries are in the spool, or after ten seconds.
fn wait_for_entries(count: usize) {
    let end = Instant::now() + Duration::from_secs(10);
    while files("queue").len() < count && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
}

fn id(number: usize) -> String {
    format!("{number}@lost.example")
}

/// How many of `count` messages were accepted more than once, and of how many there is no trace.
fn doubled_and_lost(count: usize, accepted: &HashMap<String, usize>, kept: &[String]) -> (usize, usize) {
    let doubled = accepted.values().filter(|times| **times > 1).count();
    let is_kept = |id: &str| kept.iter().any(|text| text.contains(&format!("Message-ID: <{id}>")));
    let lost = (0..count).map(id).filter(|id| !accepted.contains_key(id) && !is_kept(id)).count();
    (doubled, lost)
}

#[test]
fn two_hundred_senders_before_a_busy_relay_are_each_heard_once() {
    const SENDERS: usize = 200;
    const WAITING: usize = 20;
    Host::run(&USERS, |host| {
        // Ten are kept busy until others had to wait, however slowly the crowd gathers.
        let busy = Server::new().on_delivery(|_, _| wait_for_entries(WAITING)).places(10).start();
        prepare(host, busy.port(), SPOOLING);
        let calls: Vec<Running> = (0..SENDERS).map(|number| send(&id(number)).spawn()).collect();
        let runs: Vec<Run> = calls.into_iter().map(Running::finish).collect();
        let zeros = runs.iter().filter(|run| run.status == 0).count();
        let waited = files("queue").len();
        // The crowd is gone; four come at once, of which one has the turn.
        make_due();
        let idle = Server::new().start();
        configure(host, idle.port(), SPOOLING);
        let flushers: Vec<Running> = (0..4).map(|_| flush().spawn()).collect();
        flushers.into_iter().for_each(|flusher| drop(flusher.finish()));
        let sessions = [busy.finish(), idle.finish()].concat();
        let (doubled, lost) = doubled_and_lost(SENDERS, &accepted(&sessions), &[]);
        tell(format!(
            "{SENDERS} senders before a relay with 10 places: {zeros} answered 0, {waited} had to wait; {lost} lost, {doubled} doubled"
        ));
        assert!(waited >= WAITING, "{waited} met a full relay");
        assert_eq!((zeros, lost, doubled, files("queue").len()), (SENDERS, 0, 0, 0));
    });
}

/// Flushes until nothing waits any more; each flusher is killed after a while, which is another one each time and grows,
/// so that they get on however slow the machine is. How many were killed.
fn flush_and_kill() -> usize {
    let mut kills = 0;
    for round in 0_u64.. {
        if files("queue").is_empty() || round > 1000 {
            break;
        }
        let flusher = flush().spawn();
        thread::sleep(Duration::from_millis(3 + (round * 7) % (40 + round)));
        let _ = kill(Pid::from_raw(flusher.id().cast_signed()), Signal::SIGKILL);
        kills += usize::from(flusher.finish().signal.is_some());
    }
    kills
}

#[test]
fn flushers_that_are_killed_while_they_send_lose_and_double_nothing() {
    const ENTRIES: usize = 1000;
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        prepare(host, server.port(), SPOOLING);
        let laid = Laid::of(SHOP);
        for number in 0..ENTRIES {
            laid.due(&format!("{number}"));
        }
        let kills: usize = thread::scope(|scope| {
            let four: Vec<_> = (0..4).map(|_| scope.spawn(flush_and_kill)).collect();
            four.into_iter().map(|flushers| flushers.join().unwrap()).sum()
        });
        let kept: Vec<String> =
            ["queue", "held", "failed"].into_iter().flat_map(files).filter_map(|(_, file)| file.text()).collect();
        let counts = accepted(&server.finish());
        let counts = counts.into_iter().map(|(id, count)| (id.replace("@default.example", "@lost.example"), count));
        let kept: Vec<String> = kept.iter().map(|text| text.replace("@default.example>", "@lost.example>")).collect();
        let (doubled, lost) = doubled_and_lost(ENTRIES, &counts.collect(), &kept);
        tell(format!(
            "{ENTRIES} entries, four flushers at a time, {kills} killed: {lost} lost, {doubled} doubled; {} held in doubt",
            files("held").len()
        ));
        assert!(kills > 20 && files("queue").is_empty(), "{kills} killed, {} wait", files("queue").len());
        assert_eq!((lost, doubled), (0, 0));
    });
}
