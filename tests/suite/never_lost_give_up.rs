//! A run that gives messages up is killed at every one of its system calls, hears of errors there, and loses its power:
//! what is given up is kept, and its sender is told once.

use testkit::{Mailchute, Moment, Server};

use crate::laid::{Laid, SHOP, address, now};
use crate::never_lost_runs::{Errors, Scene, Seen, Wrong};
use crate::setup::mailchute;
use mailchute::spool::Folder;

/// The relay refuses the recipients of the first, and defers that of the second, whose time is up.
const IDS: [&str; 2] = ["aaaaaaaaaaa1", "aaaaaaaaaaa2"];

fn flush() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--quiet"])
}

fn lay() {
    let laid = Laid::of(SHOP);
    laid.due(IDS[0]);
    laid.entry_with(Folder::Queue, IDS[1], "default", &[], |head| {
        head.until = now() - 1;
        head.envelope.forward_paths = vec![address("carl@example.net")];
    });
    laid.set_due(Folder::Queue, IDS[1]);
}

fn server() -> Server {
    let refused = |server: Server, name: &str| server.reply(Moment::RcptOf(name.into()), "550 5.1.1 no such user");
    refused(refused(Server::new(), "bob@example.net"), "ann@example.net")
        .reply(Moment::RcptOf("carl@example.net".into()), "451 4.2.0 later")
}

fn judge(seen: &Seen<'_>) -> Vec<(Wrong, String)> {
    let mut wrong = Vec::new();
    for id in IDS {
        let (message, bounce) = (format!("{id}@"), format!("{id}.bounce@"));
        let in_the_end = |folder| seen.after.count(folder, &message);
        if in_the_end("failed") != 1 || in_the_end("queue") + in_the_end("held") > 0 {
            wrong.push((Wrong::Lost, format!("{id} is not where it is kept")));
        }
        let waiting: usize = ["queue", "held", "failed"].iter().map(|folder| seen.after.count(folder, &bounce)).sum();
        match seen.accepted(&bounce) + waiting {
            0 => wrong.push((Wrong::Lost, format!("nobody is told of {id}"))),
            1 => {}
            _ => wrong.push((Wrong::Doubled, format!("the bounce of {id}"))),
        }
        let is_done = seen.before.count("failed", &message) == 1 && seen.before.count("queue", &bounce) == 1;
        if seen.status == Some(0) && !is_done {
            wrong.push((Wrong::FalseZero, format!("{id} is not given up")));
        }
    }
    wrong
}

const GIVE_UP: Scene = Scene {
    name: "two given up",
    // What was begun and refused is refused again.
    top: "on_relay_failure = \"spool\"\nin_doubt = \"retry\"",
    relay: "",
    lay,
    server,
    call: flush,
    stays: false,
    begins_at: |point| point.call == "flock",
    ends_at: |_| false,
    behind: || drop(flush().run()),
    judge,
};

#[test]
fn a_run_that_gives_up_is_killed_and_loses_its_power_at_every_call() {
    GIVE_UP.survives(50);
}

#[test]
fn each_call_of_a_run_that_gives_up_fails() {
    if let Some(counts) = GIVE_UP.fail_everywhere(Errors::All) {
        counts.expect_nothing("two given up, errors", 500);
    }
}
