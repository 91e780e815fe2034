//! What a provider's refusals mean, beyond what everybody's mean.

use crate::rule::Rule;

/// A refusal that users meet at this provider, with the next step.
#[derive(Debug)]
pub struct Hint {
    /// What was refused.
    pub when: When,
    /// What the reply says.
    pub rule: Rule,
}

/// When a hint is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The provider refused a user name and password.
    Login,
    /// The provider refused something else.
    Refusal,
    /// As `Refusal`, whoever passed the reply on: nobody else says such a thing.
    Anywhere,
}

impl Hint {
    /// After a refused login.
    pub(in crate::providers) const fn login(rule: Rule) -> Self {
        Self { when: When::Login, rule }
    }

    /// After another refusal.
    pub(in crate::providers) const fn refusal(rule: Rule) -> Self {
        Self { when: When::Refusal, rule }
    }

    /// After another refusal, whoever passed it on.
    pub(in crate::providers) const fn anywhere(rule: Rule) -> Self {
        Self { when: When::Anywhere, rule }
    }
}
