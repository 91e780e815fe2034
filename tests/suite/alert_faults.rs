//! A run that tells an alert, by mail, hears of errors at its system calls and loses its power there: the alert arrives,
//! and where it arrives twice the second one says so.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::json;
use testkit::{FileSystem, Mailchute, Server};

use crate::alerts::{ALERTS, age, path, series};
use crate::laid::SHOP;
use crate::never_lost_runs::{Errors, Scene, Seen, Wrong};
use crate::setup::mailchute;

const SERIES: &str = "login.default.other";

/// Lays the series, as whoever meets trouble does.
fn lay() {
    let notice = json!({
        "v": 1, "event": "login", "site": "default", "relay": "other", "time": 1_700_000_000, "reason": "535 no",
        "id": "0123456789ab",
    });
    fs::create_dir_all(ALERTS).unwrap();
    fs::write(path(SERIES), format!("{notice}\n")).unwrap();
    for (at, mode) in
        [(ALERTS.trim_end_matches("/alerts").into(), 0o700), (ALERTS.into(), 0o700), (path(SERIES), 0o600)]
    {
        chown(&at, Some(SHOP), Some(SHOP)).unwrap();
        fs::set_permissions(&at, Permissions::from_mode(mode)).unwrap();
    }
}

/// A run over that series alone, laid anew where something was done about it.
fn call() -> Mailchute {
    for name in series().iter().filter(|name| *name != SERIES) {
        fs::remove_file(path(name)).unwrap();
    }
    if !fs::read_to_string(path(SERIES)).is_ok_and(|text| text.lines().count() == 1) {
        lay();
    }
    flusher()
}

fn flusher() -> Mailchute {
    mailchute().uid(SHOP).args(["queue", "flush", "--quiet"])
}

/// Two runs, each later than what failed is tried again.
fn behind() {
    for _ in 0..2 {
        if path(SERIES).exists() {
            age(SERIES, 120);
        }
        flusher().run();
    }
}

/// One arrives, whatever else may be told of what the run heard; each one behind it says that it may have been told before.
fn judge(seen: &Seen<'_>) -> Vec<(Wrong, String)> {
    let deliveries = seen.sessions.iter().flat_map(|session| &session.deliveries).filter(|delivery| delivery.accepted);
    let texts = deliveries.map(|delivery| delivery.text().replace("=\r\n", ""));
    let texts: Vec<String> = texts.filter(|text| text.contains("other refuses the login")).collect();
    let is_silent = |text: &&String| !text.contains("(perhaps told before)");
    let silent = texts.iter().skip(1).filter(is_silent).count();
    match (texts.len(), silent) {
        (0, _) => vec![(Wrong::Lost, "nobody heard it".to_owned())],
        (_, 0) => Vec::new(),
        (count, _) => vec![(Wrong::Doubled, format!("told {count} times, {silent} without a word: {texts:?}"))],
    }
}

const TELLING: Scene = Scene {
    name: "alert",
    top: "",
    relay: "[alert.ops]\nmail = \"ops@example.org\"\nfrom = \"alerts@example.net\"",
    lay,
    server: Server::new,
    call,
    stays: false,
    begins_at: |point| point.call == "flock",
    // The lock of those who tell alerts: then comes what waits, which has sweeps of its own.
    ends_at: |point| point.call == "flock" && point.line.contains("LOCK_UN"),
    behind,
    judge,
};

#[test]
fn an_alert_survives_what_its_flusher_does_not() {
    TELLING.survives_on(&[FileSystem::Ext4], 8, 10);
}

#[test]
fn each_call_of_a_run_that_tells_an_alert_fails() {
    if let Some(counts) = TELLING.fail_everywhere(Errors::InTurn) {
        counts.expect_nothing("alert, errors", 50);
    }
}
