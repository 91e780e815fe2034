//! Which messages a copy is kept of, and for how long: the keys about what is done with.

use std::time::Duration;

use crate::config::document::Section;
use crate::failure::Failure;

/// How long a copy is kept, unless `keep_for` says otherwise.
const FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// Of which messages a copy is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kinds {
    /// Of none; what a flush gave up is kept all the same.
    #[default]
    None,
    /// Of those that a relay was asked to take and that not everybody has.
    Failed,
    /// Of every one that a relay was asked to take.
    All,
}

/// What a site keeps of what is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// `keep_messages`.
    pub kinds: Kinds,
    /// `keep_for`: how long what is done with stays, what a flush gave up included.
    pub span: Duration,
}

/// The keys as written; what is `None` is left to the level above.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    kinds: Option<Kinds>,
    span: Option<Duration>,
}

/// What holds where nothing is written.
impl Default for Keeping {
    fn default() -> Self {
        Written::default().keeping()
    }
}

impl Written {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Failure> {
        let kinds = [("none", Kinds::None), ("failed", Kinds::Failed), ("all", Kinds::All)];
        Ok(Self { kinds: section.word("keep_messages", &kinds)?, span: section.days("keep_for")? })
    }

    pub(super) fn over(self, base: Self) -> Self {
        Self { kinds: self.kinds.or(base.kinds), span: self.span.or(base.span) }
    }

    pub(super) fn keeping(self) -> Keeping {
        Keeping { kinds: self.kinds.unwrap_or_default(), span: self.span.unwrap_or(FOR) }
    }
}
