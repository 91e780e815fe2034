//! What a domain has to publish in the domain name system so that mail through a provider is believed.
//!
//! Names are relative to the domain as it is registered with the provider. In patterns `{domain}` stands for it,
//! `{dashed}` for the same with dashes for dots, `{n}` for digits or nothing, `{token}` for a label or a part of one that
//! the account has, and `{any}` for anything.

/// The records that a provider wants.
#[derive(Debug)]
pub struct Published {
    /// How sure the facts are: what is built on weak ones is no more than a note.
    pub sure: Sure,
    /// Where they are from.
    pub source: &'static str,
    /// DKIM keys: one of these sets has to be there, with all its keys.
    pub keys: &'static [&'static [Key]],
    /// Whether selectors are the account's own: then a key under other names proves nothing, nor does its absence.
    pub own_selectors: bool,
    /// Further selectors that are worth asking for.
    pub probe: &'static [&'static str],
    /// Its SPF include.
    pub spf: Include,
    /// Where its bounces go, which decides whose SPF record counts.
    pub bounce: Bounce,
    /// What else it wants.
    pub others: &'static [Extra],
    /// Whether the domain of the SMTP user name is the one that is registered with it.
    pub by_login: bool,
    /// Domains of its own that everybody may have an address at.
    pub own: &'static [&'static str],
    /// Patterns of the mail exchanges of domains whose mailboxes are with it.
    pub exchanges: &'static [&'static str],
    /// Where the records of an account are shown: it follows "see".
    pub shown: &'static str,
}

/// How sure a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sure {
    /// One source, or none that was read.
    Low,
    /// Several independent zones agree.
    Medium,
    /// The vendor says so.
    High,
}

/// A DKIM key.
#[derive(Debug)]
pub struct Key {
    /// The selector.
    pub selector: &'static str,
    /// The pattern of the name that stands for it; `None`: the key itself is published.
    pub target: Option<&'static str>,
}

/// An SPF include.
#[derive(Debug)]
pub struct Include {
    /// The name; empty: there is none.
    pub name: &'static str,
    /// Names that do as well: of other regions, or former ones.
    pub also: &'static [&'static str],
    /// Whether the record of the domain itself has to have it. Otherwise it has no effect there.
    pub needed: bool,
}

/// The reverse-path that receivers see.
#[derive(Debug)]
pub struct Bounce {
    /// Its domain as long as nothing is published: `{domain}`, a name below it, or one of the provider's. Empty: it is not
    /// known.
    pub usual: &'static str,
    /// Names below the domain that it may have, the usual first. Empty: it has none, or the account's own.
    pub names: &'static [&'static str],
    /// What is published there.
    pub kind: BounceKind,
    /// The pattern of its target.
    pub target: &'static str,
    /// How badly it is needed.
    pub need: Need,
}

/// What is published at the name of a reverse-path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BounceKind {
    /// The provider's name stands for it.
    Cname,
    /// The provider's mail exchanges, and an SPF record.
    Mx,
}

/// How badly a record is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// For what is not mail.
    May,
    /// Mail arrives without it, and is less believed.
    Should,
    /// The provider refuses mail without it, or receivers do.
    Must,
}

/// Another record.
#[derive(Debug)]
pub struct Extra {
    /// What it is for.
    pub purpose: Purpose,
    /// Where; empty: at the domain itself.
    pub name: &'static str,
    /// The pattern of what it holds.
    pub value: &'static str,
    /// How badly it is needed.
    pub need: Need,
}

/// What another record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It proves that the domain is the account's: a TXT record.
    Verification,
    /// Mail exchanges: the provider sends for domains only that take mail.
    Mx,
    /// A DMARC policy, whichever.
    Dmarc,
}

impl Published {
    /// What most have in common: nothing that is wanted.
    pub(in crate::providers) const PRESET: Self = Self {
        sure: Sure::High,
        source: "",
        keys: &[],
        own_selectors: false,
        probe: &[],
        spf: Include { name: "", also: &[], needed: false },
        bounce: Bounce { usual: "", names: &[], kind: BounceKind::Cname, target: "", need: Need::May },
        others: &[],
        by_login: false,
        own: &[],
        exchanges: &[],
        shown: "",
    };

    /// The host names of its SPF include.
    pub fn includes(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.spf.name).chain(self.spf.also.iter().copied()).filter(|name| !name.is_empty())
    }
}

impl Key {
    /// A key that is published as it is.
    pub(in crate::providers) const fn text(selector: &'static str) -> Self {
        Self { selector, target: None }
    }

    /// A key that another name stands for.
    pub(in crate::providers) const fn alias(selector: &'static str, target: &'static str) -> Self {
        Self { selector, target: Some(target) }
    }
}

impl Include {
    /// One that has to be in the record of the domain itself.
    pub(in crate::providers) const fn needed(name: &'static str, also: &'static [&'static str]) -> Self {
        Self { name, also, needed: true }
    }

    /// One that has no effect there.
    pub(in crate::providers) const fn useless(name: &'static str, also: &'static [&'static str]) -> Self {
        Self { name, also, needed: false }
    }
}

impl Bounce {
    /// The domain itself.
    pub(in crate::providers) const AT_DOMAIN: Self =
        Self { usual: "{domain}", names: &[], kind: BounceKind::Cname, target: "", need: Need::May };

    /// The provider's own name, for everybody.
    pub(in crate::providers) const fn at(usual: &'static str) -> Self {
        Self { usual, ..Self::AT_DOMAIN }
    }
}

impl Extra {
    /// A TXT record at the domain that proves whose it is.
    pub(in crate::providers) const fn proof(value: &'static str, need: Need) -> Self {
        Self { purpose: Purpose::Verification, name: "", value, need }
    }

    /// A DMARC policy.
    pub(in crate::providers) const DMARC: Self =
        Self { purpose: Purpose::Dmarc, name: "_dmarc", value: "v=DMARC1{any}", need: Need::Must };
}
