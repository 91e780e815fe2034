//! Many at once: senders in a crowd before a relay that takes few, and flushers that are killed while they send.

use std::collections::HashMap;
use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Host, Mailchute, Port, Run, Running, Server};

use crate::never_lost::{SHOP, SPOOLING, USERS, accepted, configure, files, prepare, send, tell};
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

/// A server that takes this long over each message, in milliseconds.
fn slow(pace: u64) -> Server {
    Server::new().on_delivery(move |_, _| std::thread::sleep(Duration::from_millis(pace)))
}

/// Returns when so many entries are in the spool, or after ten seconds.
fn wait_for_entries(count: usize) {
    let end = Instant::now() + Duration::from_secs(10);
    while files("queue").len() < count && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
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

#[test]
fn flushers_that_are_killed_while_they_send_lose_and_double_nothing() {
    const ENTRIES: usize = 120;
    Host::run(&USERS, |host| {
        let nobody = Port::reserve();
        prepare(host, nobody.number(), SPOOLING);
        for number in 0..ENTRIES {
            send(&id(number)).run().expect_status(0);
        }
        let server = slow(4).start();
        configure(host, server.port(), SPOOLING);
        let (mut kills, mut rounds) = (0, 0);
        while !files("queue").is_empty() && rounds < 400 {
            make_due();
            let four: Vec<Running> = (0..4).map(|_| flush().spawn()).collect();
            // At another moment each time; what takes longer is left to end by itself now and then.
            std::thread::sleep(Duration::from_millis(5 + (rounds * 7) % 40));
            for flusher in four {
                let pid = Pid::from_raw(i32::try_from(flusher.id()).unwrap());
                let _ = kill(pid, Signal::SIGKILL);
                kills += usize::from(flusher.finish().signal.is_some());
            }
            rounds += 1;
        }
        let kept: Vec<String> =
            ["queue", "held", "failed"].into_iter().flat_map(files).filter_map(|(_, file)| file.text()).collect();
        let (doubled, lost) = doubled_and_lost(ENTRIES, &accepted(&server.finish()), &kept);
        tell(format!(
            "{ENTRIES} entries, four flushers at a time, {kills} killed: {lost} lost, {doubled} doubled; {} held in doubt",
            files("held").len()
        ));
        assert!(kills > 4 && files("queue").is_empty(), "{kills} killed, {} wait", files("queue").len());
        assert_eq!((lost, doubled), (0, 0));
    });
}
