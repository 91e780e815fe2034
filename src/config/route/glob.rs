//! Patterns: `*` stands for any text, `?` for one character, everything else for itself in any case.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;

use crate::address::{AddrSpec, Address, ascii_domain, compared_domain};

/// A pattern for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// As it is written.
    written: String,
    /// The same folded, where that differs.
    folded: Option<String>,
}

/// A pattern for an address: `*@shop.example`, `noreply@*`, `*@*.shop.example`, or `<>` for the null reverse-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressGlob {
    /// As it is written.
    written: String,
    /// Local part and domain, folded; `None` is `<>`.
    parts: Option<(String, String)>,
}

/// `text` in the form in which texts are compared: every letter in lower case, wherever it stands in its word.
pub fn folded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    let lower = text.chars().flat_map(char::to_lowercase);
    Cow::Owned(lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect())
}

impl Glob {
    /// The pattern that `text` is.
    pub fn new(text: &str) -> Self {
        let folded = match folded(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(folded) => Some(folded),
        };
        Self { written: text.to_owned(), folded }
    }

    /// Whether all of `text` is like it.
    pub fn is_like(&self, text: &str) -> bool {
        self.is_like_folded(folded(text).as_bytes())
    }

    /// Whether all of `text` is like it: octets that are [`folded`] already, as far as they are text.
    pub fn is_like_folded(&self, text: &[u8]) -> bool {
        is_like(self.folded.as_ref().unwrap_or(&self.written), text)
    }
}

/// Whether all of `text` is like `pattern`, both of them folded.
fn is_like(pattern: &str, text: &[u8]) -> bool {
    let (first, rest) = match pattern.split_once('*') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pattern, None),
    };
    let Some(mut at) = begins(text, first.as_bytes()) else { return false };
    let Some(rest) = rest else { return at == text.len() };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in between.split('*') {
        match find(&text[at..], piece.as_bytes()) {
            Some(behind) => at += behind,
            None => return false,
        }
    }
    ends(&text[at..], last.as_bytes())
}

/// Octets of the beginning of `text` that `piece` stands for.
fn begins(text: &[u8], piece: &[u8]) -> Option<usize> {
    let mut at = 0;
    for &octet in piece {
        if octet != b'?' {
            (text.get(at) == Some(&octet)).then(|| at += 1)?;
            continue;
        }
        text.get(at)?;
        at += 1;
        while text.get(at).is_some_and(|next| continues(*next)) {
            at += 1;
        }
    }
    Some(at)
}

/// Where the first text in `text` ends that `piece` stands for.
fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if memchr::memchr(b'?', piece).is_none() {
        return memmem::find(text, piece).map(|at| at + piece.len());
    }
    (0..text.len()).find_map(|at| begins(&text[at..], piece).map(|length| at + length))
}

/// Whether `text` ends with what `piece` stands for.
fn ends(text: &[u8], piece: &[u8]) -> bool {
    if memchr::memchr(b'?', piece).is_none() {
        return text.ends_with(piece);
    }
    let count = piece.iter().filter(|octet| !continues(**octet)).count();
    let starts = (0..text.len()).rev().filter(|at| !continues(text[*at]));
    starts.take(count).last().is_some_and(|at| begins(&text[at..], piece) == Some(text.len() - at))
}

/// Whether `octet` is inside of a character of several octets (RFC 3629).
fn continues(octet: u8) -> bool {
    octet & 0xc0 == 0x80
}

impl AddressGlob {
    /// The pattern that `text` is; `None`: it has no `@`, or a domain that is none. `*` alone is any address.
    pub fn new(text: &str) -> Option<Self> {
        let written = text.to_owned();
        if text == "<>" {
            return Some(Self { written, parts: None });
        }
        let (local, domain) = if text == "*" { ("*", "*") } else { text.rsplit_once('@')? };
        if local.is_empty() || domain.is_empty() || text.contains(['<', '>', ',']) {
            return None;
        }
        let domain = domain_pattern(domain)?;
        Some(Self { written, parts: Some((folded(local).into_owned(), folded(&domain).into_owned())) })
    }

    /// Whether it stands for `spec`. Domains are compared as A-labels, local parts in any case.
    pub fn stands_for(&self, spec: &AddrSpec) -> bool {
        self.is_for(&spec.name(), spec.domain.as_deref().unwrap_or_default())
    }

    /// Whether it stands for `address`, as [`AddressGlob::stands_for`].
    pub fn stands_for_address(&self, address: &Address) -> bool {
        match address.user().starts_with('"') {
            true => self.stands_for(&AddrSpec::from(address)),
            false => self.is_for(address.user(), address.domain()),
        }
    }

    fn is_for(&self, name: &str, domain: &str) -> bool {
        self.parts.as_ref().is_some_and(|(own_name, own_domain)| {
            let is_in = is_like(own_domain, folded(&compared_domain(domain)).as_bytes());
            is_in && is_like(own_name, folded(name).as_bytes())
        })
    }

    /// Whether it stands for the null reverse-path.
    pub fn is_null(&self) -> bool {
        self.parts.is_none()
    }
}

/// `domain` with every label that is written out in ASCII; a label with a wildcard in it has to be.
fn domain_pattern(domain: &str) -> Option<Cow<'_, str>> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_empty() || domain.contains(char::is_whitespace) {
        return None;
    }
    if domain.is_ascii() {
        return Some(Cow::Borrowed(domain));
    }
    if !domain.contains(['*', '?']) {
        return Some(compared_domain(domain)).filter(|domain| domain.is_ascii());
    }
    let label = |label: &str| match label.contains(['*', '?']) {
        true => label.is_ascii().then(|| label.to_owned()),
        false => ascii_domain(label),
    };
    Some(Cow::Owned(domain.split('.').map(label).collect::<Option<Vec<_>>>()?.join(".")))
}

/// As it is written.
impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// As it is written.
impl fmt::Display for AddressGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_address;

    #[test]
    fn a_pattern_stands_for_texts() {
        for (pattern, like, unlike) in [
            ("*[Invoice]*", &["Your [invoice] 7", "[INVOICE]"][..], &["Invoice", "[Invoice"][..]),
            ("invoice", &["Invoice"], &["invoices", "an invoice", ""]),
            ("invoice*", &["Invoices", "invoice"], &["an invoice"]),
            ("*invoice", &["an Invoice", "invoice", "invoice invoice"], &["invoices"]),
            ("*", &["", "x", "ü\n"], &[]),
            ("", &[""], &["x"]),
            ("a*b*c", &["abc", "aXbYc", "abbcc", "a b b c"], &["acb", "ab", "abcd", "bc"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*ab*abc", &["ababc", "xabababc"], &["abc", "ababcd"]),
            ("?", &["x", "ü", "日"], &["", "xy", "ü̈"]),
            ("*?", &["x", "日本"], &[""]),
            ("?*?", &["xy", "日本", "üü"], &["x", ""]),
            ("r?d", &["red", "rüd"], &["rd", "reed"]),
            ("*r?d*x?", &["a red box!", "rüdxü"], &["redx", "rdxx"]),
            ("*GRÜSSE*", &["Viele Grüsse"], &["Grusse"]),
            ("*ΟΔΟΣ*", &["οδος", "ΟΔΟΣΑ", "οδοσα"], &["οδο"]),
            ("**", &["", "x"], &[]),
        ] {
            let glob = Glob::new(pattern);
            assert_eq!(glob.to_string(), pattern);
            for text in like {
                assert!(glob.is_like(text), "{pattern} {text}");
            }
            for text in unlike {
                assert!(!glob.is_like(text), "{pattern} {text}");
            }
        }
    }

    /// The definition, character by character.
    fn is_defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            (['*', rest @ ..], _) => (0..=text.len()).any(|at| is_defined(rest, &text[at..])),
            (['?', rest @ ..], [_, behind @ ..]) => is_defined(rest, behind),
            ([one, rest @ ..], [other, behind @ ..]) => one == other && is_defined(rest, behind),
            (pattern, text) => pattern.is_empty() && text.is_empty(),
        }
    }

    #[test]
    fn every_short_pattern_stands_for_what_its_definition_says() {
        let words = |letters: &[char], longest: u32| -> Vec<Vec<char>> {
            let count = letters.len();
            let word = |number: usize, length: u32| (0..length).map(move |at| number / count.pow(at) % count);
            (0..=longest)
                .flat_map(|length| (0..count.pow(length)).map(move |number| (number, length)))
                .map(|(number, length)| word(number, length).map(|letter| letters[letter]).collect())
                .collect()
        };
        let texts = words(&['a', 'b', 'ü'], 4);
        for pattern in words(&['a', 'ü', '?', '*'], 5) {
            let glob = Glob::new(&pattern.iter().collect::<String>());
            for text in &texts {
                let shown: String = text.iter().collect();
                assert_eq!(glob.is_like(&shown), is_defined(&pattern, text), "{glob} {shown}");
            }
        }
    }

    #[test]
    fn octets_that_are_no_text_are_looked_at_as_they_are() {
        assert!(Glob::new("*code*").is_like_folded(b"\xff\x80code\x80"));
        assert!(Glob::new("a?b").is_like_folded(b"a\xfcb"));
        assert!(!Glob::new("*x").is_like_folded(b"\x80\x80"));
        assert!(!Glob::new("*??").is_like_folded(b"\x80\x80"));
    }

    #[test]
    fn work_is_linear() {
        let begun = std::time::Instant::now();
        let text = "a".repeat(1 << 20);
        for pattern in ["*ab*", "*a*a*a*a*a*b", "*a?b*", "*aaaaaaaaaaaaaaab"] {
            assert!(!Glob::new(pattern).is_like(&text), "{pattern}");
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_pattern_stands_for_addresses() {
        for (pattern, like, unlike) in [
            ("*@shop.example", &["Orders@Shop.EXAMPLE"][..], &["a@mail.shop.example", "a@evilshop.example"][..]),
            ("*@*.shop.example", &["a@mail.shop.example", "a@a.b.shop.example"], &["a@shop.example"]),
            ("noreply@*", &["NoReply@x.org", "noreply@y.example"], &["noreply2@x.org"]),
            ("*bounce*@*", &["my-bounces@x.org"], &["x@bounce.example"]),
            ("Orders@shop.example", &["orders@shop.example"], &["order@shop.example"]),
            (
                "*@bücher.example",
                &["a@xn--bcher-kva.example", "a@BÜCHER.example", "a@bu\u{308}cher.example"],
                &["a@x.org"],
            ),
            ("*@xn--bcher-kva.example", &["a@bücher.example"], &["a@bucher.example"]),
            ("*@*.bücher.example", &["a@mail.xn--bcher-kva.example", "a@post.bücher.example"], &["a@bücher.example"]),
            ("*@shop.*", &["a@shop.example", "a@shop.co.example"], &["a@shop"]),
            ("a b@x.org", &["\"a b\"@x.org"], &["ab@x.org"]),
            ("*", &["a@x.org"], &[]),
            ("<>", &[], &["a@x.org"]),
        ] {
            let glob = AddressGlob::new(pattern).unwrap();
            assert_eq!(glob.to_string(), pattern);
            for address in like {
                let spec = parse_address(address).unwrap();
                assert!(glob.stands_for(&spec), "{pattern} {address}");
                assert!(glob.stands_for_address(&spec.address().unwrap()), "{pattern} {address}");
            }
            for address in unlike {
                let spec = parse_address(address).unwrap();
                assert!(!glob.stands_for(&spec), "{pattern} {address}");
                assert!(!glob.stands_for_address(&spec.address().unwrap()), "{pattern} {address}");
            }
        }
        assert!(AddressGlob::new("<>").unwrap().is_null());
        for text in
            ["", "bob", "shop.example", "@shop.example", "a@", "a@.", "Bob <a@x.org>", "*@büch*.example", "a@x .org"]
        {
            assert_eq!(AddressGlob::new(text), None, "{text}");
        }
    }
}
