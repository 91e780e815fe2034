//! What a record says has become of its message, in one word.

use crate::exit;

/// What has become of a message, as far as its record knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusWord {
    /// The relay accepted it for everybody.
    Accepted,
    /// Not now: 4yz.
    Deferred,
    /// No: 5yz.
    Refused,
    /// Somebody may have it.
    InDoubt,
    /// No reply was had.
    Failed,
    /// It waits in the spool.
    Spooled,
    /// It waits for a person.
    Held,
}

impl StatusWord {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Accepted, Self::Deferred, Self::Refused, Self::InDoubt, Self::Failed, Self::Spooled, Self::Held];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::InDoubt => "in-doubt",
            Self::Failed => "failed",
            Self::Spooled => "spooled",
            Self::Held => "held",
        }
    }

    /// The one that `name` is.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.name() == name)
    }

    /// That of a record with this reply code, exit status and place in the spool.
    pub fn of(code: Option<u16>, exit: u8, spool: Option<&str>) -> Self {
        match (spool, code, exit) {
            (Some("held"), ..) => Self::Held,
            (Some(_), ..) => Self::Spooled,
            (None, _, exit::OK) => Self::Accepted,
            (None, _, exit::IN_DOUBT) => Self::InDoubt,
            (None, Some(400..=499), _) => Self::Deferred,
            (None, Some(500..=599), _) => Self::Refused,
            _ => Self::Failed,
        }
    }
}
