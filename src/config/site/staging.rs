//! The guard of a staging host: what is sent there reaches nobody it is written to.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::address::{Address, same_mailbox};
use crate::config::document::{Keys, Section};
use crate::config::route::glob::Glob;
use crate::config::value;
use crate::failure::Failure;
use crate::host;

/// The keys of a guard, of the top level or of a site.
pub(in crate::config) const KEYS: [&str; 2] = ["divert", "discard"];
/// The table of the guard that holds on some hosts only.
pub(in crate::config) const TABLE: &str = "staging";

/// What keeps the messages of a site from those they are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `divert`: these get everything; never empty, each mailbox once.
    Divert(Arc<[Address]>),
    /// `discard = true`: nobody gets anything.
    Discard,
}

/// What is said of a guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    /// The one that holds.
    pub guard: Option<Guard>,
    /// Where there is a `[staging]` that does not hold on this host: whom it is for, in words.
    pub elsewhere: Option<Arc<str>>,
}

/// As it is written.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard = true"),
            Self::Divert(to) => {
                let to: Vec<_> = to.iter().map(|address| format!("{:?}", address.to_string())).collect();
                write!(f, "divert = [{}]", to.join(", "))
            }
        }
    }
}

/// The guard as written. A level that says anything is not asked about the levels above it.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Written {
    /// `Some(None)`: `discard = false`, the mail of this level goes out.
    said: Option<Option<Guard>>,
    elsewhere: Option<Arc<str>>,
}

impl Written {
    /// Reads the keys of the top level or of a site; at the top level, `[staging]` too, which counts for more.
    ///
    /// # Errors
    /// `Configuration`: both keys at once, no address, an address without domain, or a `[staging]` that does not say
    /// where it holds.
    pub(in crate::config) fn read(section: &Section<'_>) -> Result<Self, Failure> {
        let written = Self { said: said(section)?, elsewhere: None };
        let Some(table) = section.section(TABLE)? else { return Ok(written) };
        let keys = [&KEYS[..], &["hosts", "except_hosts"]].concat();
        table.expect(&Keys { now: &keys, later: &[], above: &[] })?;
        let said = said(&table)?;
        if said.is_none() {
            let failure = table.error("hosts", "[staging] has neither \"divert\" nor \"discard\"");
            return Err(failure.hint("write divert = [\"you@example.com\"] or discard = true in it"));
        }
        let is_here = |key: &str| {
            let name = host::name();
            let is_like = |glob: &str| {
                let glob = Glob::new(glob);
                glob.is_like(&name) || name.split_once('.').is_some_and(|(first, _)| glob.is_like(first))
            };
            let globs = table.strings(key)?.filter(|globs| !globs.is_empty());
            let globs = globs.ok_or_else(|| table.wrong(key, "is empty"))?;
            Ok((globs.iter().any(|glob| is_like(glob)), globs.join(", ")))
        };
        let (holds, whom) = match (table.has("hosts"), table.has("except_hosts")) {
            (true, false) => is_here("hosts")?,
            (false, true) => {
                let (is_excepted, globs) = is_here("except_hosts")?;
                (!is_excepted, format!("every host but {globs}"))
            }
            (is_both, _) => {
                let why =
                    if is_both { "\"hosts\" and \"except_hosts\" exclude each other" } else { "does not say where" };
                let failure = table.error("except_hosts", format!("[staging] {why}"));
                return Err(
                    failure.hint("write hosts = [\"staging*\"], or except_hosts = [\"web1\"]; or leave [staging] out")
                );
            }
        };
        match holds {
            true => Ok(Self { said, elsewhere: None }),
            false => Ok(Self { elsewhere: Some(whom.into()), ..written }),
        }
    }

    /// This guard, or what is said of one in `base`.
    pub(in crate::config) fn over(self, base: &Self) -> Self {
        if self.said.is_some() {
            return self;
        }
        Self { said: base.said.clone(), elsewhere: self.elsewhere.or_else(|| base.elsewhere.clone()) }
    }

    /// What that comes to.
    pub(in crate::config) fn staging(&self) -> Staging {
        Staging { guard: self.said.clone().flatten(), elsewhere: self.elsewhere.clone() }
    }
}

fn said(section: &Section<'_>) -> Result<Option<Option<Guard>>, Failure> {
    let discard = section.boolean("discard")?;
    let Some(texts) = section.strings("divert")? else {
        return Ok(discard.map(|is_meant| is_meant.then_some(Guard::Discard)));
    };
    if discard.is_some() {
        return Err(section
            .wrong("discard", "stands beside \"divert\"")
            .hint("divert sends everything to others, discard sends nothing: keep one of them"));
    }
    let mut to: Vec<Address> = Vec::with_capacity(texts.len());
    let mut known = HashSet::new();
    for text in texts {
        let address = value::mailbox(text).and_then(|mailbox| mailbox.spec.address().ok()).ok_or_else(|| {
            let why = format!("holds {text:?}, which is not an address");
            section.wrong("divert", why).hint("write \"local@domain\": no alias leads on from there")
        })?;
        if known.insert(same_mailbox(&address)) {
            to.push(address);
        }
    }
    if to.is_empty() {
        return Err(section.wrong("divert", "is empty").hint("discard = true sends nothing, discard = false lifts it"));
    }
    Ok(Some(Some(Guard::Divert(to.into()))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::caller::Caller;
    use crate::config::Config;

    /// What is said of the site `a` in this configuration.
    fn staging(text: &str) -> Staging {
        let text = format!("{text}\n[relay.main]\nhost = 'a.example'\n");
        let caller = Caller { uid: 61_042, gid: 61_042, user: None, home: None, cwd: None };
        Config::parse(Path::new("/x.toml"), &text, &caller).unwrap().sites.remove(0).staging
    }

    fn guard(text: &str) -> Option<String> {
        staging(text).guard.map(|guard| guard.to_string())
    }

    #[test]
    fn the_nearest_word_counts() {
        let here = host::name();
        let divert = Some("divert = [\"qa@x.org\"]".to_owned());
        let discard = Some("discard = true".to_owned());
        let nothing = "[site.a]";
        for (text, wanted) in [
            (nothing.to_owned(), None),
            (format!("divert = 'qa@x.org'\n{nothing}"), divert.clone()),
            ("divert = 'qa@x.org'\n[site.a]\ndiscard = true".to_owned(), discard.clone()),
            ("discard = true\n[site.a]\ndivert = 'qa@x.org'".to_owned(), divert.clone()),
            ("discard = true\n[site.a]\ndiscard = false".to_owned(), None),
            (format!("[staging]\nhosts = '{here}'\ndivert = 'qa@x.org'\n{nothing}"), divert.clone()),
            (format!("[staging]\nhosts = ['x', '{}*']\ndiscard = true", here.to_uppercase()), discard.clone()),
            (format!("divert = 'qa@x.org'\n[staging]\nhosts = '*'\ndiscard = true\n{nothing}"), discard.clone()),
            (format!("divert = 'qa@x.org'\n[staging]\nhosts = 'no.such.host'\ndiscard = true\n{nothing}"), divert),
            (format!("[staging]\nexcept_hosts = '{here}'\ndiscard = true"), None),
            ("[staging]\nexcept_hosts = 'web1'\ndiscard = true".to_owned(), discard),
            ("[staging]\nhosts = '*'\ndiscard = true\n[site.a]\ndiscard = false".to_owned(), None),
        ] {
            assert_eq!(guard(&text), wanted, "{text}");
        }
    }

    #[test]
    fn a_guard_for_other_hosts_is_known() {
        let other = staging("[staging]\nhosts = ['a', 'b*']\ndiscard = true");
        assert_eq!((other.guard, other.elsewhere.as_deref()), (None, Some("a, b*")));
        let other = staging(&format!("[staging]\nexcept_hosts = ['{}']\ndiscard = true", host::name()));
        assert_eq!(other.elsewhere, Some(format!("every host but {}", host::name()).into()));
    }
}
