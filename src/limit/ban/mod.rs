//! Bans: a site or a user that may send nothing for a while.
//!
//! Root's lie in a directory of root's (`register`). A ban of a site hits the site by whoever speaks as it, and its
//! users wherever they would speak instead: who is listed in a banned site's `user` is let into no site that does not
//! list that user, too, so neither `--site`, another directory nor `default_site` leads past it. A file of `sites.d`
//! that a third party owns names its sites after itself, `NAME` or `NAME/ANY`, so a ban of `NAME` hits all of these:
//! renaming one leads nowhere.

mod own;
mod register;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::own::impose;
pub use self::register::Register;
use crate::config::Config;
use crate::config::site::Site;
use crate::failure::Failure;
use crate::reply::{Reply, printable};

/// The longest reason, in octets.
const REASON: usize = 300;

/// Whom a ban hits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Banned {
    /// The site of this name, and those of the file of `sites.d` that is called so.
    Site(String),
    /// Whoever calls with this uid, as whatever site.
    User(u32),
}

/// One ban. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom it hits.
    #[serde(flatten)]
    pub of: Banned,
    /// When it was set.
    #[serde(default)]
    pub since: i64,
    /// When it ends; `None`: when it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Why, in one line; what a refused caller is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Who set it.
    #[serde(default)]
    pub by: By,
    /// The uid that went over the limit, where that did; without a set-group-id binary it is the one that is banned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

/// Who sets a ban.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `mailchute ban`.
    #[default]
    Root,
    /// `over_limit = "ban"`.
    OverLimit,
}

impl Ban {
    /// A ban from now on, for `span` or until it is lifted.
    pub fn new(of: Banned, span: Option<Duration>, because: Option<&str>) -> Self {
        let since = now();
        let end = |span: Duration| since.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        let because = because.map(reason).filter(|text| !text.is_empty());
        Self { of, since, until: span.map(end), because, by: By::Root, uid: None }
    }

    /// What `octets` say of a ban of `of`. Somebody has laid them there to ban it, so octets that are no ban are one
    /// without an end.
    fn read(of: &Banned, octets: &[u8]) -> Self {
        let read: Option<Self> = serde_json::from_slice(octets).ok();
        match read.filter(|ban| ban.of == *of) {
            Some(ban) => Self { because: ban.because.as_deref().map(reason), ..ban },
            None => Self { of: of.clone(), since: 0, until: None, because: None, by: By::Root, uid: None },
        }
    }

    /// Whether it holds at `now`. A clock that is set back makes it as much longer: it ends when the clock says so.
    pub fn holds(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The refusal of what it hits.
    pub fn refusal(&self) -> Failure {
        let hint = match &self.of {
            Banned::Site(name) => {
                let name = quoted(name);
                format!("`sudo mailchute bans {name}` tells more, `sudo mailchute unban {name}` lifts it")
            }
            Banned::User(uid) => format!("`sudo mailchute unban --user {uid}` lifts it"),
        };
        Failure::refused(self.of.to_string(), Reply::own(550, (5, 7, 1), &self.to_string())).hint(hint)
    }
}

impl Ban {
    /// `until 14:05: spam`: how long it holds, and why, as far as that is known.
    pub fn terms(&self) -> String {
        let until = self.until.map(|until| format!("until {}", clock(until)));
        until.into_iter().chain(self.because.clone()).collect::<Vec<_>>().join(": ")
    }
}

/// `this site is banned until 14:05: spam since this morning`.
impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.of {
            Banned::Site(_) => "this site is banned",
            Banned::User(_) => "this user is banned",
        })?;
        if let Some(until) = self.until {
            write!(f, " until {}", clock(until))?;
        }
        self.because.iter().try_for_each(|because| write!(f, ": {because}"))
    }
}

/// `site shop`, `uid 1042`.
impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(name) => write!(f, "site {}", printable(name.as_bytes(), REASON)),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

/// Refuses what `uid` would send as `site` while one of them is banned. Where nobody is, that costs one system call.
///
/// # Errors
/// `550 5.7.1` with the reason and the end. What keeps a ban from being read: nothing is sent then.
pub fn check(config: &Config, site: &Site, uid: u32) -> Result<(), Failure> {
    match find(config, site, uid)? {
        Some(ban) => Err(ban.refusal()),
        None => Ok(()),
    }
}

/// The ban that hits what `uid` would send as `site`.
///
/// # Errors
/// One cannot be read.
pub fn find(config: &Config, site: &Site, uid: u32) -> Result<Option<Ban>, Failure> {
    if let Some(register) = Register::open()? {
        let users = std::iter::once(Banned::User(uid));
        let sites = sites(config, site, uid).flat_map(names).map(|name| Banned::Site(name.into_owned()));
        let now = now();
        for of in users.chain(sites) {
            let ban = register.read(&of)?.filter(|ban| ban.holds(now));
            if ban.is_some() {
                return Ok(ban);
            }
        }
    }
    Ok(sites(config, site, uid).find_map(|site| own::find(site, uid)))
}

/// Every ban of this host that holds, for root, who mends the modes of the register where the binary has got or lost its
/// group since.
///
/// # Errors
/// As [`Register::open`], or it cannot be listed.
pub fn all() -> Result<Vec<Ban>, Failure> {
    let register = Register::open()?;
    let mut bans = register.as_ref().map_or(Ok(Vec::new()), Register::mend)?;
    bans.extend(own::all());
    let now = now();
    bans.retain(|ban| ban.holds(now));
    bans.sort_by(|one, other| one.of.cmp(&other.of));
    if let Some(register) = register {
        register.tidy();
    }
    Ok(bans)
}

/// The bans that hit `uid`, and the sites that it may send as.
///
/// # Errors
/// One cannot be read.
pub fn of_user(config: &Config, uid: u32) -> Result<Vec<Ban>, Failure> {
    let sites = || config.sites.iter().filter(|site| site.is_open_to(uid));
    let mut bans = Vec::new();
    if let Some(register) = Register::open()? {
        let mut whom = vec![Banned::User(uid)];
        whom.extend(sites().flat_map(names).map(|name| Banned::Site(name.into_owned())));
        whom.sort();
        whom.dedup();
        for of in whom {
            bans.extend(register.read(&of)?);
        }
    }
    bans.extend(sites().filter_map(|site| own::find(site, uid)));
    let now = now();
    bans.retain(|ban| ban.holds(now));
    Ok(bans)
}

/// Lifts every ban of `of`, as root. Whether one held.
///
/// # Errors
/// `Io`: one stands.
pub fn lift(of: &Banned) -> Result<bool, Failure> {
    let held = Register::open()?.map_or(Ok(false), |register| register.lift(of))?;
    Ok(own::lift(of)? || held)
}

/// The sites of which one may not be banned where `uid` is to speak as `site`.
fn sites<'c>(config: &'c Config, site: &'c Site, uid: u32) -> impl Iterator<Item = &'c Site> {
    let is_let_in = site.users.contains(&uid);
    let own = config.sites.iter().filter(move |other| !is_let_in && other.users.contains(&uid));
    std::iter::once(site).chain(own)
}

/// The names under which `site` may be banned: its own, and that of its file in `sites.d` where it is named after that.
pub fn names(site: &Site) -> impl Iterator<Item = Cow<'_, str>> {
    let stem = site.file.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy());
    let is_above = |stem: &Cow<'_, str>| site.name.strip_prefix(&**stem).is_some_and(|rest| rest.starts_with('/'));
    std::iter::once(Cow::Borrowed(site.name.as_str())).chain(stem.filter(is_above))
}

/// A reason as it is kept: one printable line, bounded.
fn reason(text: &str) -> String {
    printable(text.trim().as_bytes(), REASON)
}

/// `name` as a shell takes it for one word.
fn quoted(name: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_./".contains(&octet);
    let name = printable(name.as_bytes(), REASON);
    match !name.is_empty() && name.bytes().all(is_plain) {
        true => name,
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

/// Now, in seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A time as this host's clock shows it, with the day where that is another one.
pub fn clock(at: i64) -> String {
    super::shown(Timestamp::from_second(at).unwrap_or_default(), "%H:%M")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Banned {
        Banned::Site("shop".to_owned())
    }

    #[test]
    fn a_ban_is_read_back_and_what_is_none_bans_all_the_same() {
        let hour = Some(Duration::from_secs(3600));
        for ban in [
            Ban::new(site(), hour, Some(" spam\r\nand\u{202e} more ")),
            Ban::new(site(), None, None),
            Ban::new(Banned::User(1042), hour, Some("x")),
        ] {
            assert_eq!(Ban::read(&ban.of, &serde_json::to_vec(&ban).unwrap()), ban);
        }
        let other = serde_json::to_vec(&Ban::new(Banned::User(1), hour, None)).unwrap();
        for octets in [&b""[..], b"\0\xff", b"{}", b"{\"site\":\"shop\",\"until\":\"soon\"}", &other] {
            let ban = Ban::read(&site(), octets);
            assert_eq!((&ban.of, ban.until, ban.holds(i64::MAX)), (&site(), None, true), "{octets:?}");
        }
    }

    #[test]
    fn it_ends_by_itself_and_says_when_and_why() {
        let ban = Ban::new(site(), Some(Duration::from_secs(60)), Some("spam\r\nRCPT TO:<x@y>"));
        assert!(ban.holds(ban.since) && ban.holds(ban.since + 59) && !ban.holds(ban.since + 60));
        // A clock that was set back.
        assert!(ban.holds(ban.since - 1_000_000));
        let told = ban.refusal().to_string();
        assert!(told.starts_with("site shop: 550 5.7.1 this site is banned until "), "{told}");
        assert!(told.ends_with(": spam  RCPT TO:<x@y>") || told.ends_with(": spam??RCPT TO:<x@y>"), "{told}");
        let ban = Ban { until: None, because: None, ..ban };
        assert_eq!(ban.refusal().to_string(), "site shop: 550 5.7.1 this site is banned");
        let long = Ban::new(site(), None, Some(&"x".repeat(10_000)));
        assert!(long.to_string().len() < REASON + 40);
    }
}
