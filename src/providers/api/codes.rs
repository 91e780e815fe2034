//! What the providers' own codes mean: the kinds of refusal there are, each with its reply.
//!
//! The reply decides the exit status and whether the next relay is asked: it is after whatever passes, and after
//! whatever is about the account and not about this message. A provider's file has a table of its codes, or of words of
//! its sentences, with where they are written down.

use crate::outcome::Stage;

/// A kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The reply code.
    pub(super) code: u16,
    /// The enhanced status code.
    pub(super) enhanced: (u8, u16, u16),
    /// The stage that it stands for; `None`: the one of the reply.
    pub(super) stage: Option<Stage>,
}

/// A provider's codes or words, and what each means. The first that fits counts.
pub type Codes = [(&'static str, Meaning)];

/// What any provider may say of the account in a refusal that its status makes one of the message. Sentences that no
/// refusal of a message, a sender or a recipient has: whoever is wrong here asks the next relay for nothing, whoever has
/// them not loses the message.
static ANYBODYS: &Codes = &[
    ("api key is invalid", Meaning::LOGIN),
    ("invalid api key", Meaning::LOGIN),
    ("invalid api token", Meaning::LOGIN),
    ("account is suspended", Meaning::ACCOUNT),
    ("account has been suspended", Meaning::ACCOUNT),
    ("account suspended", Meaning::ACCOUNT),
    ("account is disabled", Meaning::ACCOUNT),
    ("account has been disabled", Meaning::ACCOUNT),
    ("account disabled", Meaning::ACCOUNT),
    ("account is blocked", Meaning::ACCOUNT),
    ("account has been blocked", Meaning::ACCOUNT),
    ("account blocked", Meaning::ACCOUNT),
    ("account is not yet activated", Meaning::ACCOUNT),
    ("account is not active", Meaning::ACCOUNT),
    ("account is under review", Meaning::ACCOUNT),
    ("account is pending", Meaning::ACCOUNT),
    ("activate your account", Meaning::ACCOUNT),
    ("sending suspended", Meaning::ACCOUNT),
    ("sending paused", Meaning::ACCOUNT),
    ("sending is paused", Meaning::ACCOUNT),
    ("sending is disabled", Meaning::ACCOUNT),
    ("unusual sending activity", Meaning::ACCOUNT),
    ("permission to access this api", Meaning::ACCOUNT),
    ("daily limit", Meaning::QUOTA),
    ("monthly limit", Meaning::QUOTA),
    ("sending limit", Meaning::QUOTA),
    ("email limit is reached", Meaning::QUOTA),
    ("quota exceeded", Meaning::QUOTA),
    ("quota limit", Meaning::QUOTA),
    ("credits exceeded", Meaning::QUOTA),
    ("credits expired", Meaning::QUOTA),
    ("not enough credits", Meaning::QUOTA),
    ("insufficient credits", Meaning::QUOTA),
    ("rate limit", Meaning::RATE),
    ("too many requests", Meaning::RATE),
    ("resources unavailable", Meaning::TROUBLE),
    ("try again later", Meaning::TROUBLE),
];

impl Meaning {
    /// The credential is missing or wrong, has ended, or may not be used from here.
    pub const LOGIN: Self = Self::new(535, (5, 7, 8));
    /// The account, not this message: suspended, unpaid, in test mode, without the service or the permission to send.
    pub const ACCOUNT: Self = Self { stage: Some(Stage::Auth), ..Self::new(550, (5, 7, 1)) };
    /// There is no such account, region, domain or project: the relay is set up for another.
    pub const ELSEWHERE: Self = Self { stage: Some(Stage::Auth), ..Self::new(550, (5, 3, 5)) };
    /// The account may not write as this sender.
    pub const SENDER: Self = Self { stage: Some(Stage::MailFrom), ..Self::new(550, (5, 7, 1)) };
    /// The sender is no address.
    pub const BAD_SENDER: Self = Self::new(553, (5, 1, 7));
    /// A recipient is no address.
    pub const BAD_RECIPIENT: Self = Self::new(553, (5, 1, 3));
    /// There is no such recipient.
    pub const NO_RECIPIENT: Self = Self::new(550, (5, 1, 1));
    /// A recipient is on the account's suppression list.
    pub const SUPPRESSED: Self = Self::new(550, (5, 7, 1));
    /// More recipients than one message may have.
    pub const MANY: Self = Self::new(550, (5, 5, 3));
    /// Too fast: a limit of seconds or minutes, up to an hour.
    pub const RATE: Self = Self::new(451, (4, 7, 1));
    /// A quota of a day or a month, or paid credits, are used up.
    pub const QUOTA: Self = Self::new(452, (4, 3, 1));
    /// The provider's own trouble.
    pub const TROUBLE: Self = Self::new(451, (4, 3, 0));
    /// The message is too large.
    pub const SIZE: Self = Self::new(552, (5, 3, 4));
    /// The message itself.
    pub const CONTENT: Self = Self::new(554, (5, 6, 0));
    /// A kind of attachment that the provider does not take.
    pub const FILE: Self = Self::new(554, (5, 7, 1));
    /// The request was not made as the provider wants it.
    pub const REQUEST: Self = Self::new(554, (5, 5, 4));

    const fn new(code: u16, enhanced: (u8, u16, u16)) -> Self {
        Self { code, enhanced, stage: None }
    }

    /// What `code` means by `codes`.
    pub fn of(codes: &Codes, code: &str) -> Option<Self> {
        codes.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, meaning)| *meaning)
    }

    /// What `text` says of the account, whoever says it.
    pub fn of_account(text: &str) -> Option<Self> {
        Self::said(ANYBODYS, text)
    }

    /// What `text` means by `words`, which are in lower case.
    pub fn said(words: &Codes, text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        words.iter().find(|(known, _)| text.contains(known)).map(|(_, meaning)| *meaning)
    }
}
