//! This host and this process: name, local time, privileges, environment.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Zoned;
use jiff::tz::TimeZone;
use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::unistd::{getresgid, getresuid};

/// The zone every program of this host uses unless `TZ` says otherwise.
const LOCAL_TIME: &str = "/etc/localtime";

/// Where zones are found by name unless `TZDIR` says otherwise.
const ZONES: &str = "/usr/share/zoneinfo";

/// The size of the largest zone file, in octets; real ones have a few thousand.
const ZONE_LIMIT: u64 = 1 << 20;

/// The name the system has, `localhost` where it has none that is text.
pub fn name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// The EHLO argument for a host called `name`: a name without a dot is not one that a server could
/// accept, an address literal is (RFC 5321 4.1.4).
pub fn ehlo_argument(name: &str) -> &str {
    let is_domain = name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if is_domain { name } else { "[127.0.0.1]" }
}

/// Whether this process has a user or group that its caller has not (set-user-id, set-group-id): then the caller
/// chooses nothing.
///
/// Asked of the process wherever it matters and kept in no value, so that no argument can change it.
pub fn is_privileged() -> bool {
    // A system call for each: this is asked all along the way of a message.
    has_another_group() || !getresuid().is_ok_and(|user| user.effective == user.real)
}

/// Whether this process has a group that its caller has not: without one it shares nothing with others.
pub fn has_another_group() -> bool {
    !getresgid().is_ok_and(|group| group.effective == group.real)
}

/// The group that whoever runs this binary gets (set-group-id), whether this process got it or not: one that may gain
/// no rights, as in a hardened unit, did not.
pub fn binary_group() -> Option<u32> {
    const SET_GROUP_ID: u32 = 0o2010;
    let binary = fs::metadata("/proc/self/exe").ok()?;
    (binary.mode() & SET_GROUP_ID == SET_GROUP_ID).then(|| binary.gid())
}

/// Whether this process has become another user (`--as`), and has the environment of whoever it was before.
static STANDS_IN: AtomicBool = AtomicBool::new(false);

/// Notes that this process has become another user, for good.
pub fn stand_in() {
    STANDS_IN.store(true, Ordering::Relaxed);
}

/// Whether it has ([`stand_in`]): then what it starts does not get its environment.
pub fn stands_in() -> bool {
    STANDS_IN.load(Ordering::Relaxed)
}

/// The environment variable `name`; `None` for a privileged process, whose environment is its caller's.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|_| !is_privileged())
}

/// The names of the environment variables; none for a privileged process.
pub fn variables() -> Vec<OsString> {
    if is_privileged() { Vec::new() } else { env::vars_os().map(|(name, _)| name).collect() }
}

/// The time, with this host's offset.
///
/// The zone is read from its one file: jiff would walk through the whole zone database to learn a name as well, which
/// costs as much as a TLS handshake, and `TZ` may name what is no file at all.
pub fn now() -> Zoned {
    let zone = match variable("TZ").filter(|text| !text.is_empty()) {
        Some(text) => text.to_str().and_then(zone_of),
        None => zone_in(Path::new(LOCAL_TIME)),
    };
    jiff::Timestamp::now().to_zoned(zone.unwrap_or(TimeZone::UTC))
}

/// The zone that `TZ` names: a file, a name of the zone database, or rules (POSIX 8.3).
fn zone_of(text: &str) -> Option<TimeZone> {
    let text = text.strip_prefix(':').unwrap_or(text);
    let zones = variable("TZDIR").map_or_else(|| PathBuf::from(ZONES), PathBuf::from);
    // An absolute path stands for itself.
    zone_in(&zones.join(text)).or_else(|| TimeZone::posix(text).ok())
}

fn zone_in(file: &Path) -> Option<TimeZone> {
    // Neither waits for what is no file, nor reads one that never ends.
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_NOCTTY).open(file).ok()?;
    let mut tzif = Vec::new();
    let is_file = file.metadata().ok()?.is_file();
    let size = if is_file { file.take(ZONE_LIMIT).read_to_end(&mut tzif).ok()? } else { 0 };
    TimeZone::tzif("", &tzif[..size]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_name_a_file_or_rules_and_what_is_none_is_passed_over() {
        let offset = |zone: TimeZone| zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds();
        for (text, seconds) in [("EST5EDT,M3.2.0,M11.1.0", -18_000), (":<+03>-3", 10_800), ("UTC0", 0)] {
            assert_eq!(zone_of(text).map(offset), Some(seconds), "{text}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        for text in ["/dev/zero", "/dev/null", "/", fifo.to_str().expect("text"), "nonsense"] {
            assert!(zone_of(text).is_none(), "{text}");
        }
        if Path::new(ZONES).join("Asia/Tokyo").exists() {
            for text in ["Asia/Tokyo", ":Asia/Tokyo", "/usr/share/zoneinfo/Asia/Tokyo"] {
                assert_eq!(zone_of(text).map(offset), Some(32_400), "{text}");
            }
        }
    }
}
