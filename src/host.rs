//! This host and this process: name, local time, privileges.

use std::{env, fs};

use jiff::Zoned;
use jiff::tz::TimeZone;
use nix::unistd::{getegid, geteuid, getgid, getuid};

/// The zone every program of this host uses unless `TZ` says otherwise.
const LOCAL_TIME: &str = "/etc/localtime";

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

/// Whether this process has a user or group that its caller has not (set-user-id, set-group-id): then
/// nothing of the caller's environment counts.
pub fn is_privileged() -> bool {
    geteuid() != getuid() || getegid() != getgid()
}

/// The time, with this host's offset.
///
/// Without `TZ` the zone is read from its file: to learn the zone's name as well, jiff walks through the whole
/// zone database, which costs as much as a TLS handshake.
pub fn now() -> Zoned {
    let zone = match env::var_os("TZ").filter(|_| !is_privileged()) {
        Some(_) => TimeZone::system(),
        None => fs::read(LOCAL_TIME).ok().and_then(|tzif| TimeZone::tzif("", &tzif).ok()).unwrap_or(TimeZone::UTC),
    };
    jiff::Timestamp::now().to_zoned(zone)
}
