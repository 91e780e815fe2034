//! What becomes of a message that no relay could be given: the keys about what waits.

use std::time::Duration;

use crate::config::document::Section;
use crate::config::value;
use crate::failure::Failure;

/// How long an entry is tried, unless `give_up_after` says otherwise.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);
/// What a spool may hold, unless `spool_max` says otherwise.
const MAX: SpoolMax = SpoolMax { messages: 10_000, octets: 1 << 30 };

/// What a site wants where no relay could be given its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spooling {
    /// `on_relay_failure = "spool"`: it is kept and sent later.
    pub is_on: bool,
    /// How long it is tried.
    pub give_up_after: Duration,
    /// Whether its sender is told that it was given up or refused.
    pub bounce: bool,
    /// How much may wait.
    pub max: SpoolMax,
}

impl Spooling {
    /// How long an entry is tried, as it is written.
    pub fn give_up(&self) -> String {
        let minutes = self.give_up_after.as_secs() / 60;
        let units = [(24 * 60, "day"), (60, "hour"), (1, "minute")];
        let (unit, name) = units.into_iter().find(|(unit, _)| minutes.is_multiple_of(*unit)).unwrap_or((1, "minute"));
        let count = minutes / unit;
        format!("{count} {name}{}", if count == 1 { "" } else { "s" })
    }
}

/// How much may wait for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolMax {
    /// Messages.
    pub messages: u64,
    /// Octets of them together.
    pub octets: u64,
}

/// The keys as written; what is `None` is left to the level above.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    is_on: Option<bool>,
    give_up_after: Option<Duration>,
    bounce: Option<bool>,
    messages: Option<u64>,
    octets: Option<u64>,
}

/// What holds where nothing is written.
impl Default for Spooling {
    fn default() -> Self {
        Written::default().spooling()
    }
}

impl Written {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Failure> {
        let (messages, octets) = max(section)?;
        Ok(Self {
            is_on: section.word("on_relay_failure", &[("spool", true), ("fail", false)])?,
            give_up_after: section.days("give_up_after")?,
            bounce: section.boolean("bounce")?,
            messages,
            octets,
        })
    }

    pub(super) fn over(self, base: Self) -> Self {
        Self {
            is_on: self.is_on.or(base.is_on),
            give_up_after: self.give_up_after.or(base.give_up_after),
            bounce: self.bounce.or(base.bounce),
            messages: self.messages.or(base.messages),
            octets: self.octets.or(base.octets),
        }
    }

    pub(super) fn spooling(self) -> Spooling {
        Spooling {
            is_on: self.is_on.unwrap_or(false),
            give_up_after: self.give_up_after.unwrap_or(GIVE_UP_AFTER),
            bounce: self.bounce.unwrap_or(true),
            max: SpoolMax {
                messages: self.messages.unwrap_or(MAX.messages),
                octets: self.octets.unwrap_or(MAX.octets),
            },
        }
    }
}

/// `spool_max`: `"1000 messages"`, `"500 MB"`, both of them in an array or with a comma between.
fn max(section: &Section<'_>) -> Result<(Option<u64>, Option<u64>), Failure> {
    let (mut messages, mut octets) = (None, None);
    for part in section.strings("spool_max")?.unwrap_or_default().into_iter().flat_map(|text| text.split(',')) {
        let number = part.trim().strip_suffix("messages").and_then(|number| number.trim().parse().ok());
        match (number.filter(|number| *number > 0), value::octets(part)) {
            (Some(number), _) if messages.is_none() => messages = Some(number),
            (None, Some(number)) if octets.is_none() => octets = Some(number),
            _ => {
                let why = format!("holds {:?}, which is not a number of messages or a size", part.trim());
                return Err(section
                    .wrong("spool_max", why)
                    .hint("write \"1000 messages\", \"500 MB\" or \"1000 messages, 500 MB\""));
            }
        }
    }
    Ok((messages, octets))
}
