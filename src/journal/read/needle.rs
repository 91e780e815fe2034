//! What is looked for in lines, at the speed of memory.

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

/// The octets of records, the most frequent first. What is not among them is rare.
const FREQUENT: &[u8] = b"e\",ait:n0rosl2mc1-ph.d3u4@5697x8g_<>b/ \\k[]fywv{}z=TIPALESRDCONqjM+";

/// A word that is looked for: in any case of its letters where it has no capital among them.
#[derive(Clone, Debug)]
pub(super) enum Needle {
    /// As it stands.
    Exact(Box<Finder<'static>>),
    /// In any case, found by a part that has none: digits and signs.
    Around {
        /// In small letters.
        text: Vec<u8>,
        /// Where the part stands in it.
        at: usize,
        /// The part.
        part: Box<Finder<'static>>,
    },
    /// In any case, found by its rarest octet.
    Folded {
        /// In small letters.
        text: Vec<u8>,
        /// Where the rarest stands in it.
        at: usize,
        /// The rarest, in both cases.
        rarest: (u8, u8),
    },
}

impl Needle {
    /// `word` as a line holds it, inside a string.
    pub(super) fn of(word: &str) -> Self {
        let text = escaped(word);
        if text.iter().any(u8::is_ascii_uppercase) || !text.iter().any(u8::is_ascii_lowercase) {
            return Self::exact(&text);
        }
        if let Some((at, part)) = without_case(&text) {
            let part = Box::new(Finder::new(part).into_owned());
            return Self::Around { text, at, part };
        }
        let rank = |octet: &u8| FREQUENT.iter().position(|frequent| frequent == octet).unwrap_or(FREQUENT.len());
        let at = (0..text.len()).max_by_key(|at| rank(&text[*at])).unwrap_or(0);
        let rarest = (text[at], text[at].to_ascii_uppercase());
        Self::Folded { text, at, rarest }
    }

    /// These octets and no others.
    pub(super) fn exact(octets: &[u8]) -> Self {
        Self::Exact(Box::new(Finder::new(octets).into_owned()))
    }

    /// Where it stands first.
    pub(super) fn find(&self, hay: &[u8]) -> Option<usize> {
        match self {
            Self::Exact(finder) => finder.find(hay),
            Self::Around { text, at, part } => {
                let mut from = *at;
                loop {
                    let found = part.find(hay.get(from..)?)?;
                    let start = from + found - at;
                    if hay.get(start..start + text.len())?.eq_ignore_ascii_case(text) {
                        return Some(start);
                    }
                    from += found + 1;
                }
            }
            Self::Folded { text, at, rarest: (lower, upper) } => {
                let mut from = *at;
                loop {
                    let rest = hay.get(from..)?;
                    let found = if lower == upper { memchr(*lower, rest) } else { memchr2(*lower, *upper, rest) }?;
                    let start = from + found - at;
                    let candidate = hay.get(start..start + text.len())?;
                    if candidate.eq_ignore_ascii_case(text) {
                        return Some(start);
                    }
                    from += found + 1;
                }
            }
        }
    }

    /// Whether it stands there.
    pub(super) fn is_in(&self, hay: &[u8]) -> bool {
        self.find(hay).is_some()
    }

    /// How many octets it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Exact(finder) => finder.needle().len(),
            Self::Around { text, .. } | Self::Folded { text, .. } => text.len(),
        }
    }
}

/// The longest part of `text` without a letter, where there is one of some length, and where it stands.
fn without_case(text: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    let mut best: Option<(usize, &[u8])> = None;
    for part in text.split(u8::is_ascii_alphabetic) {
        if part.len() > best.map_or(1, |(_, known)| known.len()) {
            best = Some((at, part));
        }
        at += part.len() + 1;
    }
    best
}

/// `text` as JSON has it inside a string.
pub(super) fn escaped(text: &str) -> Vec<u8> {
    let quoted = serde_json::to_vec(text).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_letters_find_any_and_capitals_themselves() {
        for (word, hay, expected) in [
            ("ann@", "x Ann@example", Some(2)),
            ("ann@", "x anN@example", Some(2)),
            ("Ann@", "x ann@example", None),
            ("Ann@", "x Ann@example", Some(2)),
            ("5.7.1", "550 5.7.1 no", Some(4)),
            ("\"q\"", "\\\"q\\\"", Some(0)),
            ("zoë", "ZOë", Some(0)),
            ("needle", "needl", None),
            ("a", "", None),
            ("aab", "aaaab", Some(2)),
            ("ann77@x.example", "AnN77@X.example", Some(0)),
            ("b77@a", "c77@a B77@A", Some(6)),
            ("a512", "a51", None),
            ("512.x", "51512.X", Some(2)),
        ] {
            assert_eq!(Needle::of(word).find(hay.as_bytes()), expected, "{word} in {hay}");
        }
    }
}
