//! Patterns: `*` stands for any text, `?` for one character, everything else for itself in any case.

use std::fmt;

use memchr::memmem;

use crate::address::{AddrSpec, ascii_domain, compared_domain};

/// A pattern for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// As it is written.
    written: String,
    /// What stands between the stars, folded; never empty.
    pieces: Vec<String>,
}

/// A pattern for an address: `*@shop.example`, `noreply@*`, `*@*.shop.example`, or `<>` for the null reverse-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressGlob {
    /// As it is written.
    written: String,
    /// Local part and domain; `None` is `<>`.
    parts: Option<(Glob, Glob)>,
}

/// `text` in the form in which texts are compared: every letter in lower case, wherever it stands in its word.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.chars().flat_map(char::to_lowercase);
    lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

impl Glob {
    /// The pattern that `text` is.
    pub fn new(text: &str) -> Self {
        let pieces = folded(text).split('*').map(str::to_owned).collect();
        Self { written: text.to_owned(), pieces }
    }

    /// Whether all of `text` is like it.
    pub fn is_like(&self, text: &str) -> bool {
        self.is_like_folded(folded(text).as_bytes())
    }

    /// Whether all of `text` is like it: octets that are [`folded`] already, as far as they are text.
    pub fn is_like_folded(&self, text: &[u8]) -> bool {
        let [first, rest @ ..] = self.pieces.as_slice() else { return false };
        let Some(mut at) = begins(text, first.as_bytes()) else { return false };
        let [between @ .., last] = rest else { return at == text.len() };
        for piece in between {
            match find(&text[at..], piece.as_bytes()) {
                Some(behind) => at += behind,
                None => return false,
            }
        }
        ends(&text[at..], last.as_bytes())
    }
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
        Some(Self { written, parts: Some((Glob::new(local), Glob::new(&domain_pattern(domain)?))) })
    }

    /// Whether it stands for `spec`. Domains are compared as A-labels, local parts in any case.
    pub fn stands_for(&self, spec: &AddrSpec) -> bool {
        let Some((local, domain)) = &self.parts else { return false };
        let own = spec.domain.as_deref().unwrap_or_default();
        domain.is_like(&compared_domain(own)) && local.is_like(&spec.name())
    }

    /// Whether it stands for the null reverse-path.
    pub fn is_null(&self) -> bool {
        self.parts.is_none()
    }
}

/// `domain` with every label that is written out in ASCII; a label with a wildcard in it has to be.
fn domain_pattern(domain: &str) -> Option<String> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_empty() || domain.contains(char::is_whitespace) {
        return None;
    }
    if domain.is_ascii() {
        return Some(domain.to_owned());
    }
    if !domain.contains(['*', '?']) {
        return Some(compared_domain(domain).into_owned()).filter(|domain| domain.is_ascii());
    }
    let label = |label: &str| match label.contains(['*', '?']) {
        true => label.is_ascii().then(|| label.to_owned()),
        false => ascii_domain(label),
    };
    Some(domain.split('.').map(label).collect::<Option<Vec<_>>>()?.join("."))
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
    fn is_like(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            (['*', rest @ ..], _) => (0..=text.len()).any(|at| is_like(rest, &text[at..])),
            (['?', rest @ ..], [_, behind @ ..]) => is_like(rest, behind),
            ([one, rest @ ..], [other, behind @ ..]) => one == other && is_like(rest, behind),
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
                assert_eq!(glob.is_like(&shown), is_like(&pattern, text), "{glob} {shown}");
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
                assert!(glob.stands_for(&parse_address(address).unwrap()), "{pattern} {address}");
            }
            for address in unlike {
                assert!(!glob.stands_for(&parse_address(address).unwrap()), "{pattern} {address}");
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
