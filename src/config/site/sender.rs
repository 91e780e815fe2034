//! Whom a site may write as: the entries of `sender`.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};

use crate::address::{Address, compared_domain};

/// One entry of `sender`: an address, `*@domain`, or `*@*.domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderPattern {
    /// Local part, compared as it is; `None` is `*`.
    pub local: Option<String>,
    /// Domain in lower case, without a leading `*.`.
    pub domain: String,
    /// `*.domain`: every domain below it, not the domain itself.
    pub subdomains: bool,
}

impl SenderPattern {
    /// Whether it lists `address`. Domains are compared as A-labels, local parts as they are.
    pub fn matches(&self, address: &Address) -> bool {
        let (domain, own) = (compared_domain(address.domain()), compared_domain(&self.domain));
        let below = || domain.strip_suffix(&*own).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
        let listed = if self.subdomains { below() } else { domain == own };
        listed && self.local.as_ref().is_none_or(|local| local == address.user())
    }
}

/// How many addresses are held against each pattern before the patterns are put in order: most messages have two.
const FEW: usize = 8;

/// Patterns that addresses are asked about: where there are many addresses, none is held against each of the patterns.
#[derive(Debug)]
pub struct Patterns<'p> {
    all: &'p [SenderPattern],
    asked: Cell<usize>,
    order: OnceCell<Order<'p>>,
}

/// Patterns by their domain, in the form in which it is compared; the domains below it have their own.
#[derive(Debug, Default)]
struct Order<'p> {
    exact: HashMap<Cow<'p, str>, HashSet<Option<&'p str>>>,
    below: HashMap<Cow<'p, str>, HashSet<Option<&'p str>>>,
}

impl<'p> Patterns<'p> {
    /// These patterns.
    pub fn of(all: &'p [SenderPattern]) -> Self {
        Self { all, asked: Cell::new(0), order: OnceCell::new() }
    }

    /// Whether one of them lists `address`, as [`SenderPattern::matches`] has it.
    pub fn list(&self, address: &Address) -> bool {
        self.asked.set(self.asked.get() + 1);
        match self.asked.get() <= FEW {
            true => self.all.iter().any(|pattern| pattern.matches(address)),
            false => self.order.get_or_init(|| Order::of(self.all)).lists(address),
        }
    }
}

impl<'p> Order<'p> {
    fn of(all: &'p [SenderPattern]) -> Self {
        let mut order = Self::default();
        for pattern in all {
            let by_domain = if pattern.subdomains { &mut order.below } else { &mut order.exact };
            by_domain.entry(compared_domain(&pattern.domain)).or_default().insert(pattern.local.as_deref());
        }
        order
    }

    fn lists(&self, address: &Address) -> bool {
        let domain = compared_domain(address.domain());
        let holds = |locals: &HashSet<Option<&str>>| locals.contains(&None) || locals.contains(&Some(address.user()));
        // Every domain that it is below, a label of at least one octet before each.
        let mut above = domain.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &domain[at + 1..]);
        self.exact.get(&*domain).is_some_and(holds) || above.any(|domain| self.below.get(domain).is_some_and(holds))
    }
}

/// Addresses that patterns are asked about: no pattern looks at each of them.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Their domains, last letter first: those below one domain stand together.
    domains: BTreeSet<String>,
    /// Their local parts, with these domains.
    exact: BTreeSet<(String, String)>,
}

impl Addresses {
    /// These addresses.
    pub fn of<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Self {
        let mut all = Self::default();
        for address in addresses {
            let domain = reversed(address.domain());
            all.exact.insert((address.user().to_owned(), domain.clone()));
            all.domains.insert(domain);
        }
        all
    }

    /// Whether `pattern` lists one of them, as [`SenderPattern::matches`] has it.
    pub fn have(&self, pattern: &SenderPattern) -> bool {
        let domain = reversed(&pattern.domain);
        let above = format!("{domain}.");
        let below = |found: &String| found.starts_with(&above);
        match (&pattern.local, pattern.subdomains) {
            (None, false) => self.domains.contains(&domain),
            (None, true) => self.domains.range((Excluded(above.clone()), Unbounded)).next().is_some_and(below),
            (Some(local), false) => self.exact.contains(&(local.clone(), domain)),
            (Some(local), true) => {
                let first = self.exact.range((Excluded((local.clone(), above.clone())), Unbounded)).next();
                first.is_some_and(|(found, domain)| found == local && below(domain))
            }
        }
    }
}

/// `domain` as domains are compared, last letter first.
fn reversed(domain: &str) -> String {
    compared_domain(domain).chars().rev().collect()
}

/// As it is written in `sender`.
impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.subdomains { "*." } else { "" };
        write!(f, "{}@{below}{}", self.local.as_deref().unwrap_or("*"), self.domain)
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::config::value::sender_pattern;

    #[test]
    fn many_addresses_are_asked_at_once() {
        let text = ["a@x.example", "b@m.y.example", "c@.z.example", "d@w.example", "a@n.y.example"];
        let addresses: Vec<Address> = text
            .iter()
            .map(|text| text.split_once('@').map(|(local, domain)| Address::new_dangerous(local, domain)).unwrap())
            .collect();
        let all = Addresses::of(&addresses);
        for pattern in [
            "*@x.example",
            "a@x.example",
            "b@x.example",
            "*@*.x.example",
            "*@*.y.example",
            "*@y.example",
            "*@*.example",
            "*@*.z.example",
            "d@w.example",
            "a@w.example",
            "*@*.w.example",
            "*@example",
            "b@m.y.example",
        ] {
            let mut read = sender_pattern(pattern).unwrap();
            for local in [read.local.clone(), Some("a".to_owned()), Some("c".to_owned())] {
                read.local = local;
                let listed = addresses.iter().any(|address| read.matches(address));
                assert_eq!(all.have(&read), listed, "{read:?}");
                let patterns = [read.clone()];
                let order = Order::of(&patterns);
                assert_eq!(addresses.iter().any(|address| order.lists(address)), listed, "{patterns:?}");
            }
        }
    }

    #[test]
    fn patterns_list_addresses() {
        for (pattern, address, listed) in [
            ("*@shop.example", "orders@Shop.EXAMPLE", true),
            ("*@shop.example", "orders@mail.shop.example", false),
            ("*@shop.example", "orders@evilshop.example", false),
            ("*@*.shop.example", "orders@mail.shop.example", true),
            ("*@*.shop.example", "orders@a.b.shop.example", true),
            ("*@*.shop.example", "orders@shop.example", false),
            ("*@*.shop.example", "orders@evilshop.example", false),
            ("orders@shop.example", "orders@shop.example", true),
            ("orders@shop.example", "Orders@shop.example", false),
            ("*@bücher.example", "a@xn--bcher-kva.example", true),
            ("*@xn--bcher-kva.example", "a@BÜCHER.example", true),
            ("*@bücher.example", "a@bu\u{308}cher.example", true),
            ("*@*.bücher.example", "a@mail.xn--bcher-kva.example", true),
            ("*@bücher.example", "a@bucher.example", false),
        ] {
            let read = sender_pattern(pattern).unwrap();
            let (local, domain) = address.split_once('@').unwrap();
            let address = Address::new_dangerous(local, domain);
            assert_eq!(read.matches(&address), listed, "{pattern} {address}");
            assert_eq!(Addresses::of([&address]).have(&read), listed, "{pattern} {address}");
            assert_eq!(Order::of(slice::from_ref(&read)).lists(&address), listed, "{pattern} {address}");
            assert_eq!(read.to_string(), pattern);
        }
        for text in ["shop.example", "@shop.example", "*@", "a*@b.example", "*@*", "*@a@b/c"] {
            assert_eq!(sender_pattern(text), None, "{text}");
        }
    }
}
