//! The process that spooled starts a flusher of its own where there is no timer and no cron line. That one is killed at
//! every one of its system calls, hears of errors there, and loses its power; the next one that is started goes on.

use testkit::{FileSystem, Mailchute, Server};

use crate::laid::{Laid, SHOP};
use crate::never_lost::SPOOLING;
use crate::never_lost_runs::{Errors, Scene};
use crate::setup::mailchute;

const IDS: [&str; 2] = ["aaaaaaaaaaa1", "aaaaaaaaaaa2"];

/// As it is started.
fn flusher() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--wait", "--quiet"])
}

/// From where it leaves its caller's session. It stays while something waits.
const FLUSHER: Scene = Scene {
    name: "flusher that was started",
    top: SPOOLING,
    relay: "",
    lay: || {
        let laid = Laid::of(SHOP);
        laid.due(IDS[0]).due(IDS[1]);
    },
    server: Server::new,
    call: flusher,
    stays: true,
    begins_at: |point| point.call == "setsid",
    ends_at: |_| false,
    behind: || drop(flusher().run()),
    judge: |seen| IDS.iter().filter_map(|id| seen.sent_once(id)).collect(),
};

#[test]
fn a_flusher_that_was_started_is_killed_and_loses_its_power_at_every_call() {
    FLUSHER.survives_on(&[FileSystem::Ext4], 2, 100);
}

#[test]
fn each_call_of_a_flusher_that_was_started_fails() {
    if let Some(counts) = FLUSHER.fail_everywhere(Errors::InTurn) {
        counts.expect_nothing("flusher that was started, errors", 150);
    }
}
