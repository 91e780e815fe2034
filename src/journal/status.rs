//! What a record says has become of its message, in one word.

use crate::exit;
use crate::spool::Folder;

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
        match (Self::of_place(spool), code, exit) {
            (Some(word), ..) => word,
            (None, _, exit::OK) => Self::Accepted,
            (None, _, exit::IN_DOUBT) => Self::InDoubt,
            (None, Some(400..=499), _) => Self::Deferred,
            (None, Some(500..=599), _) => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// That of a message that waits at this place in the spool; `None`: it does not wait. Where a copy of it is says
    /// nothing of what has become of it.
    pub fn of_place(spool: Option<&str>) -> Option<Self> {
        let words = [(Folder::Queue, Self::Spooled), (Folder::Held, Self::Held)];
        words.into_iter().find_map(|(folder, word)| (spool? == folder.name()).then_some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_changes_no_word_and_a_place_to_wait_does() {
        for (code, exit, alone) in [
            (Some(250), exit::OK, StatusWord::Accepted),
            (None, exit::OK, StatusWord::Accepted),
            (Some(451), 51, StatusWord::Deferred),
            (Some(550), 150, StatusWord::Refused),
            (None, 69, StatusWord::Failed),
            (None, exit::IN_DOUBT, StatusWord::InDoubt),
        ] {
            for (folder, expected) in [
                (None, alone),
                (Some(Folder::Sent), alone),
                (Some(Folder::Failed), alone),
                (Some(Folder::Queue), StatusWord::Spooled),
                (Some(Folder::Held), StatusWord::Held),
            ] {
                assert_eq!(
                    StatusWord::of(code, exit, folder.map(Folder::name)),
                    expected,
                    "{code:?} {exit} {folder:?}"
                );
            }
        }
    }
}
