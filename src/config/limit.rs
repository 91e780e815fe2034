//! How much may be sent in a span of time: `limit` of a site and of a relay.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::document::Section;
use crate::failure::Failure;
use crate::providers::Provider;

/// The most that one limit may allow in its span.
const MOST: u32 = 1_000_000;
/// The longest span.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// How a limit is written, for a hint.
const EXAMPLES: &str = "write \"20/minute\", \"20/10 minutes\", \"1000/day\" or \"5000 recipients/day\"";
/// The word that stands for what is known of the provider.
const PROVIDER: &str = "provider";

/// So much in any span of this length: `20/minute`, `20/10 minutes`, `5000 recipients/day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How much, 1 to a million.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
    /// How many periods the span has.
    periods: u32,
    period: Period,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Messages.
    Messages,
    /// Forward-paths of their envelopes.
    Recipients,
}

/// The word for a span of time, in the singular, and its seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period(&'static str, u32);

/// Every period. A month has 30 days.
const PERIODS: [Period; 6] = [
    Period("second", 1),
    Period("minute", 60),
    Period("hour", 3600),
    Period("day", 86_400),
    Period("week", 7 * 86_400),
    Period("month", 30 * 86_400),
];

/// All limits that are counted together, and the name under which they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What is limited, for a reader: `site shop`, `relay main`.
    pub subject: String,
    /// Each of them has to hold.
    pub all: Vec<Limit>,
    /// The most recipients of one message; `None`: any number.
    pub recipients: Option<u32>,
    /// The most octets of one message; `None`: any number.
    pub octets: Option<u64>,
    /// The name of the file that counts: no other site or relay of this host has it.
    pub file: String,
}

/// What is done with a message that is over a limit of its site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLimit {
    /// 450 4.7.1.
    #[default]
    Refuse,
    /// It waits in the spool until there is room.
    Spool,
    /// The site is banned for a while.
    Ban,
}

/// What `over_limit` may say.
pub(super) const OVER_LIMIT: &[(&str, OverLimit)] =
    &[("refuse", OverLimit::Refuse), ("spool", OverLimit::Spool), ("ban", OverLimit::Ban)];

impl Limit {
    /// The length of its span.
    pub fn span(&self) -> Duration {
        Duration::from_secs(u64::from(self.periods) * u64::from(self.period.1))
    }

    /// Reads `20/minute`, `20/10 minutes`, `5000 recipients/day`; otherwise what is wrong with it.
    fn read(text: &str) -> Result<Self, String> {
        let not_one = || "is not a limit".to_owned();
        let (count, span) = text.split_once('/').ok_or_else(not_one)?;
        let (count, unit) = number_before(count).ok_or_else(not_one)?;
        let unit = match unit {
            "" | "message" | "messages" => Unit::Messages,
            "recipient" | "recipients" => Unit::Recipients,
            _ => return Err(not_one()),
        };
        let (periods, period) = number_before(span).unwrap_or((1, span.trim()));
        let singular = period.strip_suffix('s').unwrap_or(period);
        let period = PERIODS.into_iter().find(|known| known.0 == singular).ok_or_else(not_one)?;
        let count = match u32::try_from(count) {
            Ok(0) => return Err("allows nothing; disabled = \"REASON\" switches a site off".to_owned()),
            Ok(count) if count <= MOST => count,
            _ => return Err(format!("allows more than {MOST}, which no limit can")),
        };
        let periods = u32::try_from(periods).ok().filter(|periods| *periods > 0).ok_or_else(not_one)?;
        let limit = Self { count, unit, periods, period };
        match limit.span() > LONGEST {
            true => Err("has a span of more than 366 days".to_owned()),
            false => Ok(limit),
        }
    }
}

/// A number of at most 18 digits, and the word behind it; `None`: there is no number.
fn number_before(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.get(..digits).filter(|digits| (1..=18).contains(&digits.len()))?;
    Some((number.parse().ok()?, text[digits..].trim_start()))
}

/// As it is written.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, unit, periods, period: Period(period, _) } = self;
        let unit = match (unit, count) {
            (Unit::Messages, _) => "",
            (Unit::Recipients, 1) => " recipient",
            (Unit::Recipients, _) => " recipients",
        };
        match periods {
            1 => write!(f, "{count}{unit}/{period}"),
            _ => write!(f, "{count}{unit}/{periods} {period}s"),
        }
    }
}

impl Limits {
    /// The limits `all` of the `kind` called `name` in the file `scope`; `None`: there is none.
    pub(super) fn of(kind: &str, name: &str, scope: Option<&Path>, all: Vec<Limit>) -> Option<Arc<Self>> {
        (!all.is_empty()).then(|| Arc::new(Self::none(kind, name, scope).with(all)))
    }

    fn none(kind: &str, name: &str, scope: Option<&Path>) -> Self {
        let (subject, file) = (format!("{kind} {name}"), file_name(kind, name, scope));
        Self { subject, all: Vec::new(), recipients: None, octets: None, file }
    }

    fn with(self, all: Vec<Limit>) -> Self {
        Self { all, ..self }
    }

    /// Reads `limit` of the relay `name`: `"provider"` stands for what is known of it.
    ///
    /// # Errors
    /// `Configuration`, with the place of the key.
    pub(super) fn of_relay(
        name: &str,
        section: &Section<'_>,
        provider: Option<&'static Provider>,
    ) -> Result<Option<Arc<Self>>, Failure> {
        let Some(mut words) = section.strings("limit").map_err(|failure| failure.hint(EXAMPLES))? else {
            return Ok(None);
        };
        let mut limits = Self::none("relay", name, section.text().file());
        if let Some(at) = words.iter().position(|word| *word == PROVIDER) {
            words.remove(at);
            let known = known(section, provider)?;
            words.extend(known.rates);
            (limits.recipients, limits.octets) = (known.recipients, known.octets);
        }
        let limits = limits.with(list(section, &words)?);
        let is_any = !limits.all.is_empty() || limits.recipients.is_some() || limits.octets.is_some();
        Ok(is_any.then(|| Arc::new(limits)))
    }
}

/// Reads `limit` of the top level or of a site; `None`: it is not there.
///
/// # Errors
/// `Configuration`, with the place of the key.
pub(super) fn read(section: &Section<'_>) -> Result<Option<Vec<Limit>>, Failure> {
    let Some(words) = section.strings("limit").map_err(|failure| failure.hint(EXAMPLES))? else { return Ok(None) };
    if words.contains(&PROVIDER) {
        return Err(section
            .wrong("limit", "says \"provider\", and a site has none")
            .hint("put limit = \"provider\" into the [relay.NAME] that names the provider"));
    }
    list(section, &words).map(Some)
}

fn list(section: &Section<'_>, words: &[&str]) -> Result<Vec<Limit>, Failure> {
    let mut limits: Vec<Limit> = Vec::with_capacity(words.len());
    for text in words {
        let limit = Limit::read(text)
            .map_err(|why| section.wrong("limit", format!("holds {text:?}, which {why}")).hint(EXAMPLES))?;
        if let Some(other) = limits.iter().find(|other| (other.unit, other.span()) == (limit.unit, limit.span())) {
            let why = format!("holds \"{other}\" and \"{limit}\", two limits for one span");
            return Err(section.wrong("limit", why).hint("leave one of them out"));
        }
        limits.push(limit);
    }
    Ok(limits)
}

/// What is known of the provider's limits.
fn known(
    section: &Section<'_>,
    provider: Option<&'static Provider>,
) -> Result<&'static crate::providers::Allowance, Failure> {
    let Some(provider) = provider else {
        return Err(section
            .wrong("limit", "says \"provider\", and this relay names none")
            .hint(format!("{EXAMPLES}; or name the provider")));
    };
    provider.allowance.ok_or_else(|| {
        section
            .wrong("limit", format!("says \"provider\", and the limits of {} are not known here", provider.id))
            .hint(format!("look them up in your account, and {EXAMPLES}"))
    })
}

/// How much of a name stands in a file's name.
const SHOWN: usize = 64;

/// A name that tells a person what is counted, and that no other kind, name and scope has.
fn file_name(kind: &str, name: &str, scope: Option<&Path>) -> String {
    let parts = [scope.map_or(OsStr::new(""), Path::as_os_str).as_bytes(), kind.as_bytes(), name.as_bytes()];
    // FNV-1a: it keeps apart what somebody named alike, not what somebody makes collide. Who could name sites for that
    // is the owner of a file of sites.d, whose sites are all counted in one file.
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    let hash = parts.iter().flat_map(|part| part.iter().chain(&[0])).fold(0xcbf2_9ce4_8422_2325, step);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let shown: String = name.chars().take(SHOWN).map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("limit-{kind}-{shown}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers;

    #[test]
    fn limits_are_read_and_shown() {
        for (text, count, unit, seconds, shown) in [
            ("20/minute", 20, Unit::Messages, 60, "20/minute"),
            ("20/10 minutes", 20, Unit::Messages, 600, "20/10 minutes"),
            (" 1 / 2seconds ", 1, Unit::Messages, 2, "1/2 seconds"),
            ("1000/day", 1000, Unit::Messages, 86_400, "1000/day"),
            ("3 messages/week", 3, Unit::Messages, 604_800, "3/week"),
            ("5000 recipients/day", 5000, Unit::Recipients, 86_400, "5000 recipients/day"),
            ("1 recipient/1 hour", 1, Unit::Recipients, 3600, "1 recipient/hour"),
            ("1000000/month", 1_000_000, Unit::Messages, 2_592_000, "1000000/month"),
            ("1/366 days", 1, Unit::Messages, 31_622_400, "1/366 days"),
        ] {
            let limit = Limit::read(text).unwrap();
            assert_eq!((limit.count, limit.unit, limit.span().as_secs()), (count, unit, seconds), "{text}");
            assert_eq!(limit.to_string(), shown);
            assert_eq!(Limit::read(shown), Ok(limit));
        }
        for (text, why) in [
            ("", "not a limit"),
            ("20", "not a limit"),
            ("/minute", "not a limit"),
            ("twenty/minute", "not a limit"),
            ("-1/minute", "not a limit"),
            ("1.5/minute", "not a limit"),
            ("20/min", "not a limit"),
            ("20/0 minutes", "not a limit"),
            ("20/minute/hour", "not a limit"),
            ("20 mails/minute", "not a limit"),
            ("20/4294967296 days", "not a limit"),
            ("9999999999999999999/day", "not a limit"),
            ("0/minute", "allows nothing"),
            ("1000001/day", "more than 1000000"),
            ("999999999999999999/day", "more than 1000000"),
            ("1/367 days", "366 days"),
            ("1/13 months", "366 days"),
        ] {
            assert!(Limit::read(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn what_is_counted_apart_has_names_of_its_own() {
        let (here, there) = (Path::new("/etc/mailchute/a.toml"), Path::new("/etc/mailchute/b.toml"));
        let names = [
            file_name("site", "shop", Some(here)),
            file_name("site", "shop", Some(there)),
            file_name("site", "shop", None),
            file_name("relay", "shop", Some(here)),
            file_name("site", "a/../b", Some(here)),
            file_name("site", "a_.._b", Some(here)),
            file_name("site", &"x".repeat(300), Some(here)),
            file_name("site", &"x".repeat(301), Some(here)),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(name.len() < 120 && !name.contains(['/', '.']), "{name}");
            assert!(!names[..at].contains(name), "{name}");
        }
        assert!(names[0].starts_with("limit-site-shop-"));
    }

    #[test]
    fn what_is_known_of_providers_can_be_read() {
        for provider in providers::all() {
            let Some(known) = provider.allowance else { continue };
            assert!(!known.source.is_empty(), "{}", provider.id);
            for rate in known.rates {
                assert_eq!(Limit::read(rate).map(|limit| limit.to_string()), Ok((*rate).to_owned()), "{}", provider.id);
            }
        }
    }
}
