//! What may have been accepted: a flush that sends it again because the site says so, and what a person or the relay
//! says of it, are killed at every system call, hear of errors there, and lose their power. Nothing is lost, and nothing
//! arrives twice but what the record calls in doubt.

use std::collections::HashSet;

use mailchute::spool::{Folder, Line};
use testkit::{Action, FileSystem, Mailchute, Moment, Pretence, Server};

use crate::laid::{Laid, SHOP, now};
use crate::never_lost::{SPOOLING, message_id};
use crate::never_lost_runs::{Errors, Scene, Seen, Wrong, on_disks};
use crate::setup::mailchute;

const FIRST: &str = "aaaaaaaaaaa1";
const SECOND: &str = "aaaaaaaaaaa2";
const ALL: [&str; 2] = [FIRST, SECOND];

fn queue(words: &[&str]) -> Mailchute {
    mailchute().uid(SHOP).arg("queue").args(words.iter().copied())
}

fn flush() -> Mailchute {
    queue(&["flush", "--quiet"])
}

fn begun() -> Line {
    Line::Begun { t: now() - 60, relay: "main".into() }
}

/// Whatever arrived counts, whether the client heard of it or not.
fn arrived(seen: &Seen<'_>, id: &str) -> usize {
    let all = seen.sessions.iter().flat_map(|session| &session.deliveries);
    all.filter(|delivery| message_id(&delivery.text()).starts_with(id)).count()
}

/// The first may have been accepted, and the relay hangs up on the first message that it gets.
const AGAIN: Scene = Scene {
    name: "doubt, sent again",
    top: "on_relay_failure = \"spool\"\nin_doubt = \"retry\"",
    relay: "",
    lay: || {
        let laid = Laid::of(SHOP);
        laid.entry(Folder::Queue, FIRST, "default", &[begun()]).due(SECOND);
    },
    server: || Server::new().at_first(Moment::Message, Action::Close),
    call: flush,
    stays: false,
    begins_at: |point| point.call == "flock",
    ends_at: |_| false,
    behind: || drop(flush().run()),
    judge: |seen| {
        let mut wrong = Vec::new();
        for id in ALL {
            if seen.accepted(id) == 0 {
                wrong.push((Wrong::Lost, id.to_owned()));
            }
            let records = seen.log.lines().filter(|line| line.contains(&format!("\"id\":\"{id}\"")));
            let told =
                records.filter(|line| line.contains("may have been accepted already, and is sent again")).count();
            let arrived = arrived(seen, id);
            if arrived > 1 + told || seen.after.count("queue", id) > 0 {
                wrong.push((Wrong::Doubled, format!("{id}: {arrived} times, and told of {told}\n{}", seen.log)));
            }
        }
        if seen.status == Some(0) && seen.before.count("queue", "") > 0 {
            wrong.push((Wrong::FalseZero, "something waits".to_owned()));
        }
        wrong
    },
};

#[test]
fn a_doubt_that_is_sent_again_is_killed_and_loses_its_power_at_every_call() {
    AGAIN.survives(50);
}

#[test]
fn each_call_fails_that_sends_a_doubt_again() {
    if let Some(counts) = AGAIN.fail_everywhere(Errors::All) {
        counts.expect_nothing("doubt, sent again, errors", 500);
    }
}

fn lay_held() {
    let laid = Laid::of(SHOP);
    for id in ALL {
        laid.entry(Folder::Held, id, "default", &[begun()]);
    }
}

fn release() -> Mailchute {
    queue(&["release", FIRST, SECOND])
}

/// A person says that they have not arrived.
const RELEASE: Scene = Scene {
    name: "doubt, released",
    top: SPOOLING,
    relay: "",
    lay: lay_held,
    server: Server::new,
    call: release,
    stays: false,
    begins_at: |point| point.call == "flock",
    ends_at: |_| false,
    behind: || {
        release().run();
        flush().run();
    },
    judge: |seen| {
        let mut wrong: Vec<_> = ALL.iter().filter_map(|id| seen.sent_once(id)).collect();
        for id in ALL {
            if seen.accepted(id) == 0 {
                wrong.push((Wrong::Lost, format!("{id} is not sent")));
            }
            if seen.status == Some(0) && seen.before.count("queue", id) != 1 {
                wrong.push((Wrong::FalseZero, format!("{id} does not wait to be sent")));
            }
        }
        wrong
    },
};

#[test]
fn a_release_is_killed_and_loses_its_power_at_every_call() {
    RELEASE.survives(30);
}

#[test]
fn each_call_of_a_release_fails() {
    if let Some(counts) = RELEASE.fail_everywhere(Errors::All) {
        counts.expect_nothing("doubt, released, errors", 150);
    }
}

/// What is moved is where it was when the power comes back, unless both directories are synced.
#[test]
fn a_release_that_syncs_no_directory_is_caught() {
    on_disks(&[FileSystem::Ext4], RELEASE, |host, system| {
        let [_, cut] = RELEASE.cut_pretending(host, system, |_| vec![Pretence::of("fsync", 0)]);
        cut.tell("a test of this test: no directory is synced, power cut, ext4");
        assert!(!cut.false_zeros.is_empty(), "a program that syncs no directory was not caught");
    });
}

fn arrived_says_a_person() -> Mailchute {
    queue(&["resolve", FIRST, "--arrived"])
}

/// A person says that one has arrived.
const ARRIVED: Scene = Scene {
    name: "doubt, arrived",
    call: arrived_says_a_person,
    behind: || {
        arrived_says_a_person().run();
        flush().run();
    },
    judge: |seen| {
        let mut wrong = Vec::new();
        if seen.after.count("held", SECOND) != 1 {
            wrong.push((Wrong::Lost, format!("{SECOND} is none of it")));
        }
        if seen.accepted("") > 0 || seen.after.count("queue", "") > 0 {
            wrong.push((Wrong::Doubled, format!("{FIRST} is sent")));
        }
        if seen.status == Some(0) && seen.before.count("held", FIRST) > 0 {
            wrong.push((Wrong::FalseZero, format!("{FIRST} is still there")));
        }
        wrong
    },
    ..RELEASE
};

#[test]
fn what_arrived_is_thrown_away_for_good() {
    ARRIVED.survives_on(&FileSystem::ALL, 1, 10);
    if let Some(counts) = ARRIVED.fail_everywhere(Errors::All) {
        counts.expect_nothing("doubt, arrived, errors", 50);
    }
}

fn resolve() -> Mailchute {
    queue(&["resolve", FIRST])
}

/// The relay is asked, which knows the key: the same request makes one message, however often it is made.
const ASKED: Scene = Scene {
    name: "doubt, the relay is asked",
    top: SPOOLING,
    relay: "provider = \"resend\"\npassword = \"re_secret\"",
    lay: || {
        Laid::of(SHOP).entry_with(Folder::Held, FIRST, "default", &[begun()], |head| {
            (head.key, head.keyed) = (Some("the-key".to_owned()), Some(now() - 60));
        });
    },
    server: || Server::new().login("resend", "re_secret", &["PLAIN"]),
    call: resolve,
    stays: false,
    begins_at: |point| point.call == "flock",
    ends_at: |_| false,
    behind: || {
        resolve().run();
        flush().run();
    },
    judge: |seen| {
        let all = seen.sessions.iter().flat_map(|session| &session.deliveries).filter(|delivery| delivery.accepted);
        let texts: Vec<String> = all.map(testkit::Delivery::text).collect();
        let key = |text: &String| {
            text.lines().find_map(|line| Some(line.strip_prefix("Resend-Idempotency-Key: ")?.to_owned()))
        };
        let keys: HashSet<Option<String>> = texts.iter().map(key).collect();
        let mut wrong = Vec::new();
        if texts.is_empty() {
            wrong.push((Wrong::Lost, "the relay has nothing".to_owned()));
        }
        if !keys.iter().all(|key| key.as_deref() == Some("the-key")) || seen.after.count("queue", "") > 0 {
            wrong.push((Wrong::Doubled, format!("{keys:?}")));
        }
        let left: usize = ["queue", "held", "failed"].iter().map(|folder| seen.before.count(folder, "")).sum();
        if seen.status == Some(0) && left > 0 {
            wrong.push((Wrong::FalseZero, "it is not settled".to_owned()));
        }
        wrong
    },
};

#[test]
fn a_relay_that_is_asked_makes_one_message_wherever_the_run_ends() {
    ASKED.survives_on(&[FileSystem::Ext4], 2, 30);
    if let Some(counts) = ASKED.fail_everywhere(Errors::InTurn) {
        counts.expect_nothing("doubt, the relay is asked, errors", 150);
    }
}
