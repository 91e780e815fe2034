//! Macros (RFC 7208 7).

use std::fmt::Write as _;
use std::net::IpAddr;

/// A text with macros in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Macro(Macro),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    /// In lower case.
    letter: char,
    /// Whether the result is escaped as in a URL.
    escaped: bool,
    /// How many labels from the right count; `None`: all.
    labels: Option<usize>,
    reversed: bool,
    delimiters: String,
}

/// What macros stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    /// The client.
    pub(super) address: IpAddr,
    /// The sender, with a local part.
    pub(super) sender: &'a str,
    /// The domain that is looked at.
    pub(super) domain: &'a str,
    /// The HELO argument.
    pub(super) helo: &'a str,
    /// The name of the client, `unknown` where it has none.
    pub(super) name: &'a str,
}

/// The longest name a macro may make, in octets.
const NAME_LIMIT: usize = 253;

impl Template {
    /// A `domain-spec`: it ends in a label that is no number, or in a macro.
    pub(super) fn domain(text: &str) -> Result<Self, String> {
        let template = Self::text(text, false)?;
        let is_domain = match template.parts.last() {
            None => false,
            Some(Part::Macro(_)) => true,
            // Something has to stand before the last dot, which may be a macro.
            Some(Part::Literal(end)) => {
                let end = end.strip_suffix('.').unwrap_or(end);
                end.rsplit_once('.').is_some_and(|(before, label)| {
                    is_top_label(label) && (!before.is_empty() || template.parts.len() > 1)
                })
            }
        };
        if is_domain { Ok(template) } else { Err("is no domain".to_owned()) }
    }

    /// A `macro-string`; with `explains`, blanks and the letters of explanations are allowed.
    pub(super) fn text(text: &str, explains: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(octet) = rest.chars().next() {
            let after = &rest[octet.len_utf8()..];
            if octet != '%' {
                if !(octet.is_ascii_graphic() || explains && octet == ' ') {
                    return Err(format!("holds a character that may not stand there: {}", octet.escape_default()));
                }
                literal.push(octet);
                rest = after;
                continue;
            }
            let (replaced, length) = match after.as_bytes().first() {
                Some(b'%') => ("%", 1),
                Some(b'_') => (" ", 1),
                Some(b'-') => ("%20", 1),
                Some(b'{') => ("", after.find('}').ok_or("has a macro without its end")? + 1),
                _ => return Err("has a lone percent sign".to_owned()),
            };
            literal.push_str(replaced);
            if replaced.is_empty() {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                let inside = &after[1..length - 1];
                let read = Macro::read(inside, explains);
                parts.push(Part::Macro(read.ok_or_else(|| format!("has a macro that is none: %{{{inside}}}"))?));
            }
            rest = &after[length..];
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// Whether the name of the client is needed, which has to be asked for.
    pub(super) fn needs_name(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Macro(one) if one.letter == 'p'))
    }

    /// The text, where no macro but the domain's own name is in it: it is the same for every message.
    pub(super) fn fixed(&self, domain: &str) -> Option<String> {
        let is_fixed = self.parts.iter().all(|part| match part {
            Part::Literal(_) => true,
            Part::Macro(one) => one.letter == 'd',
        });
        let values = Values { address: IpAddr::from([0; 4]), sender: "", domain, helo: "", name: "" };
        is_fixed.then(|| self.name(&values))
    }

    /// The name it makes; one that is too long loses labels from the left.
    pub(super) fn name(&self, values: &Values<'_>) -> String {
        let name = self.fill(values);
        let mut name = name.strip_suffix('.').unwrap_or(&name);
        while name.len() > NAME_LIMIT {
            let Some((_, rest)) = name.split_once('.') else { break };
            name = rest;
        }
        name.to_ascii_lowercase()
    }

    /// The text it makes.
    pub(super) fn fill(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Macro(one) => text.push_str(&one.fill(values)),
            }
        }
        text
    }
}

impl Macro {
    fn read(text: &str, explains: bool) -> Option<Self> {
        let letter = text.chars().next()?;
        let letters = if explains { "slodiphcrtv" } else { "slodiphv" };
        let lower = letter.to_ascii_lowercase();
        if !letters.contains(lower) {
            return None;
        }
        let rest = &text[1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let labels = match &rest[..digits] {
            "" => None,
            // More digits than fit are more labels than any name has.
            number => Some(number.parse().unwrap_or(usize::MAX)).filter(|number| *number > 0).map(Some)?,
        };
        let rest = &rest[digits..];
        let reversed = rest.starts_with(['r', 'R']);
        let delimiters = &rest[usize::from(reversed)..];
        delimiters.bytes().all(|octet| b".-+,/_=".contains(&octet)).then(|| Self {
            letter: lower,
            escaped: letter.is_ascii_uppercase(),
            labels,
            reversed,
            delimiters: if delimiters.is_empty() { ".".to_owned() } else { delimiters.to_owned() },
        })
    }

    fn fill(&self, values: &Values<'_>) -> String {
        let value = self.value(values);
        let mut pieces: Vec<&str> = value.split(|letter| self.delimiters.contains(letter)).collect();
        if self.reversed {
            pieces.reverse();
        }
        let first = pieces.len().saturating_sub(self.labels.unwrap_or(usize::MAX));
        let joined = pieces[first..].join(".");
        if self.escaped { escape(&joined) } else { joined }
    }

    fn value(&self, values: &Values<'_>) -> String {
        let (local, domain) = values.sender.rsplit_once('@').unwrap_or(("", values.sender));
        match self.letter {
            's' => values.sender.to_owned(),
            'l' => local.to_owned(),
            'o' => domain.to_owned(),
            'd' => values.domain.to_owned(),
            'i' => dotted(values.address),
            'p' => values.name.to_owned(),
            'v' => if values.address.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            'h' => values.helo.to_owned(),
            'c' => values.address.to_string(),
            't' => jiff::Timestamp::now().as_second().to_string(),
            // The receiver, which this program never is (RFC 7208 7.3).
            _ => "unknown".to_owned(),
        }
    }
}

/// The address with a dot between its parts: octets of IPv4, nibbles of IPv6.
pub(super) fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            let nibbles: Vec<_> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            nibbles.join(".")
        }
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            escaped.push(char::from(octet));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{octet:02X}");
        }
    }
    escaped
}

/// Letters, digits and hyphens, not digits alone, no hyphen at an end.
fn is_top_label(label: &str) -> bool {
    let is_ldh = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    is_ldh
        && !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7208 7.4.
    #[test]
    fn the_rfc_s_examples() {
        let fill = |text: &str, address: &str| {
            let values = Values {
                address: address.parse().unwrap(),
                sender: "strong-bad@email.example.com",
                domain: "email.example.com",
                helo: "mail.example.com",
                name: "unknown",
            };
            Template::text(text, false).unwrap().fill(&values)
        };
        for (text, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{d99999999999999999999}", "email.example.com"),
            ("%{S}%%%_%-", "strong-bad%40email.example.com% %20"),
        ] {
            assert_eq!(fill(text, "192.0.2.3"), expected, "{text}");
        }
        let expected = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com";
        assert_eq!(fill("%{ir}.%{v}._spf.%{d2}", "2001:db8::cb01"), expected);
    }
}
