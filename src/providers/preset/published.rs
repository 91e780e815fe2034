//! What a domain has to publish in the domain name system so that mail through a provider is believed.
//!
//! A provider's file holds it as text, read for `check` and `init` alone: as a table it would be full of addresses, which
//! the loader fills in each time the program starts, for a message that has no use for them. A line is `KEY: VALUE`:
//!
//! | Key | Value |
//! |---|---|
//! | `sure` | `high` (also where nothing is said), `medium`, `low`: how sure the facts are |
//! | `source` | where they are from |
//! | `key` | a DKIM key: `SELECTOR -> TARGET`, or `SELECTOR` where the key itself is published; several of those: each suffices |
//! | `and` | one more that is needed beside the key before |
//! | `selectors` | `own`: they are the account's own, so that a key under other names proves nothing, nor does its absence |
//! | `spf` | `needed` or `useless` in the record of the domain itself; its include; other names that do as well |
//! | `return-path` | the domain of the reverse-path as long as nothing is published |
//! | `bounces` | names below the domain that it may have, the usual first; `CNAME` or `MX`, its target, and the need |
//! | `wants` | another record: name (`@`: the domain itself), type, value and need |
//! | `registered` | `by login`: the domain of the SMTP user name is the one that is registered |
//! | `own` | domains of its own that everybody may have an address at |
//! | `exchanges` | the mail exchanges of domains whose mailboxes are with it |
//! | `shown` | where the records of an account are shown: it follows "see" |
//!
//! A need is `must`, `should` or `may`. Names are relative to the domain as it is registered with the provider. In targets,
//! values and exchanges `{domain}` stands for it, `{dashed}` for the same with dashes for dots, `{n}` for digits or
//! nothing, `{token}` for a label or a part of one that the account has, and `{any}` for anything.

/// The records that a provider wants.
#[derive(Debug)]
pub struct Published {
    /// How sure the facts are: what is built on weak ones is no more than a note.
    pub sure: Sure,
    /// Where they are from.
    pub source: &'static str,
    /// DKIM keys: one of these sets has to be there, with all its keys.
    pub keys: Vec<Vec<Key>>,
    /// Whether selectors are the account's own: then a key under other names proves nothing, nor does its absence.
    pub own_selectors: bool,
    /// Its SPF include.
    pub spf: Include,
    /// Where its bounces go, which decides whose SPF record counts.
    pub bounce: Bounce,
    /// What else it wants.
    pub others: Vec<Extra>,
    /// Whether the domain of the SMTP user name is the one that is registered with it.
    pub by_login: bool,
    /// Domains of its own that everybody may have an address at.
    pub own: Vec<&'static str>,
    /// Patterns of the mail exchanges of domains whose mailboxes are with it.
    pub exchanges: Vec<&'static str>,
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
    /// Its names, the usual first: others are those of regions, or former ones. Empty: there is none.
    pub names: Vec<&'static str>,
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
    pub names: Vec<&'static str>,
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
    /// Reads what a provider's file holds.
    ///
    /// # Errors
    /// The line that is wrong.
    pub(in crate::providers) fn read(text: &'static str) -> Result<Self, &'static str> {
        let mut published = Self {
            sure: Sure::High,
            source: "",
            keys: Vec::new(),
            own_selectors: false,
            spf: Include { names: Vec::new(), needed: false },
            bounce: Bounce { usual: "", names: Vec::new(), kind: BounceKind::Cname, target: "", need: Need::May },
            others: Vec::new(),
            by_login: false,
            own: Vec::new(),
            exchanges: Vec::new(),
            shown: "",
        };
        for line in text.lines().map(str::trim) {
            published.take(line).ok_or(line)?;
        }
        Ok(published)
    }

    /// Takes in one line. `None`: it is wrong.
    fn take(&mut self, line: &'static str) -> Option<()> {
        let (key, value) = line.split_once(": ")?;
        let words = || value.split(' ');
        match key {
            "sure" => self.sure = Sure::of(value)?,
            "source" => self.source = value,
            "key" if value.contains(" -> ") => self.keys.push(vec![Key::of(value)?]),
            "key" => self.keys.extend(words().map(|selector| vec![Key { selector, target: None }])),
            "and" => self.keys.last_mut()?.push(Key::of(value)?),
            "selectors" if value == "own" => self.own_selectors = true,
            "spf" => {
                let (need, names) = value.split_once(' ')?;
                let needed = match need {
                    "needed" => true,
                    "useless" => false,
                    _ => return None,
                };
                self.spf = Include { names: names.split(' ').collect(), needed };
            }
            "return-path" => self.bounce.usual = value,
            "bounces" => {
                let words: Vec<_> = words().collect();
                let (names @ [_, ..], &[kind, target, need]) = words.split_last_chunk()? else { return None };
                let kind = match kind {
                    "CNAME" => BounceKind::Cname,
                    "MX" => BounceKind::Mx,
                    _ => return None,
                };
                self.bounce =
                    Bounce { usual: self.bounce.usual, names: names.to_vec(), kind, target, need: Need::of(need)? };
            }
            "wants" => self.others.push(Extra::of(value)?),
            "registered" if value == "by login" => self.by_login = true,
            "own" => self.own = words().collect(),
            "exchanges" => self.exchanges = words().collect(),
            "shown" => self.shown = value,
            _ => return None,
        }
        Some(())
    }

    /// The host names of its SPF include.
    pub fn includes(&self) -> impl Iterator<Item = &'static str> {
        self.spf.names.iter().copied()
    }
}

impl Sure {
    fn of(word: &str) -> Option<Self> {
        match word {
            "high" => Some(Self::High),
            "medium" => Some(Self::Medium),
            "low" => Some(Self::Low),
            _ => None,
        }
    }
}

impl Need {
    fn of(word: &str) -> Option<Self> {
        match word {
            "must" => Some(Self::Must),
            "should" => Some(Self::Should),
            "may" => Some(Self::May),
            _ => None,
        }
    }
}

impl Key {
    fn of(text: &'static str) -> Option<Self> {
        match text.split(' ').collect::<Vec<_>>()[..] {
            [selector] => Some(Self { selector, target: None }),
            [selector, "->", target] => Some(Self { selector, target: Some(target) }),
            _ => None,
        }
    }
}

impl Extra {
    fn of(text: &'static str) -> Option<Self> {
        let words: Vec<_> = text.split(' ').collect();
        let [name, kind, value, need] = words[..] else { return None };
        let purpose = match (name, kind) {
            ("@", "TXT") => Purpose::Verification,
            ("@", "MX") => Purpose::Mx,
            ("_dmarc", "TXT") => Purpose::Dmarc,
            _ => return None,
        };
        Some(Self { purpose, name: if name == "@" { "" } else { name }, value, need: Need::of(need)? })
    }
}
