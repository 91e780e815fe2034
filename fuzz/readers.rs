//! Other readers than the program's own, for what it judged and what it wrote: RFC 5322, 2045, 2047 and 2231 by the
//! letter, and mail-parser. They share no code with it; where they find something else, somebody who receives does.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{HeaderName, HeaderValue, MessageParser};

/// The addresses of a list by RFC 5322 3.4 and 4.4, members of groups included, local parts without their quotes; `None`
/// where it does not keep to the grammar, as a name without a domain does not.
pub(crate) fn addresses(value: &str) -> Option<Vec<String>> {
    let mut reader = Letter { rest: value };
    let mut found = Vec::new();
    reader.list(false, &mut found)?;
    reader.rest.is_empty().then_some(found)
}

/// What is left to read by the letter.
struct Letter<'a> {
    rest: &'a str,
}

impl<'a> Letter<'a> {
    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Blanks and comments, which nest.
    fn space(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if !self.rest.starts_with('(') {
                return Some(());
            }
            let (mut depth, mut is_escaped) = (0, false);
            let end = self.rest.char_indices().find_map(|(at, c)| {
                match c {
                    _ if is_escaped => is_escaped = false,
                    '\\' => is_escaped = true,
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                (depth == 0).then_some(at + 1)
            });
            self.rest = &self.rest[end?..];
        }
    }

    fn list(&mut self, in_group: bool, found: &mut Vec<String>) -> Option<()> {
        loop {
            self.space()?;
            match self.rest.chars().next() {
                None => return (!in_group).then_some(()),
                Some(';') if in_group => return Some(()),
                Some(',') => drop(self.take(',')),
                Some(_) => {
                    self.address(in_group, found)?;
                    self.space()?;
                    let is_group_end = in_group && self.rest.starts_with(';');
                    (is_group_end || self.rest.is_empty() || self.rest.starts_with(',')).then_some(())?;
                }
            }
        }
    }

    fn address(&mut self, in_group: bool, found: &mut Vec<String>) -> Option<()> {
        let words = self.words()?;
        match self.rest.chars().next() {
            Some('<') => {
                self.take('<');
                self.space()?;
                while self.rest.starts_with(['@', ',']) {
                    if !self.take(',') {
                        self.take('@');
                        self.domain()?;
                    }
                    self.space()?;
                    if self.take(':') {
                        break;
                    }
                }
                let words = self.words()?;
                found.push(self.spec(&words)?);
                self.take('>').then_some(())
            }
            Some('@') => {
                found.push(self.spec(&words)?);
                Some(())
            }
            Some(':') if !in_group && !words.is_empty() => {
                self.take(':');
                self.list(true, found)?;
                self.take(';').then_some(())
            }
            _ => None,
        }
    }

    /// Atoms, strings and dots, strings without their quotes.
    fn words(&mut self) -> Option<Vec<Cow<'a, str>>> {
        let mut words = Vec::new();
        loop {
            self.space()?;
            match self.rest.chars().next() {
                Some('"') => {
                    let mut chars = self.rest.char_indices().skip(1);
                    let mut says = String::new();
                    let end = loop {
                        match chars.next()? {
                            (at, '"') => break at + 1,
                            (_, '\\') => says.push(chars.next()?.1),
                            (_, c) => says.push(c),
                        }
                    };
                    self.rest = &self.rest[end..];
                    words.push(Cow::Owned(says));
                }
                Some('.') => {
                    words.push(Cow::Borrowed("."));
                    self.take('.');
                }
                Some(c) if is_atext(c) => {
                    let (atom, rest) = self.rest.split_at(self.rest.find(|c| !is_atext(c)).unwrap_or(self.rest.len()));
                    words.push(Cow::Borrowed(atom));
                    self.rest = rest;
                }
                _ => return Some(words),
            }
        }
    }

    /// The address whose local part `words` are. Dots that stray are read as they are meant, because they are passed on.
    fn spec(&mut self, words: &[Cow<'_, str>]) -> Option<String> {
        let is_one = words.windows(2).all(|pair| pair[0] == "." || pair[1] == ".");
        (is_one && !words.is_empty() && self.take('@')).then_some(())?;
        let domain = self.domain()?;
        Some(format!("{}@{domain}", words.concat()))
    }

    fn domain(&mut self) -> Option<String> {
        self.space()?;
        if self.rest.starts_with('[') {
            let (literal, rest) = self.rest.split_at(self.rest.find(']')? + 1);
            self.rest = rest;
            return self.space().map(|()| literal.to_owned());
        }
        let words = self.words()?;
        let is_one = words.windows(2).all(|pair| (pair[0] == ".") != (pair[1] == "."));
        (is_one && words.first().is_some_and(|word| word != ".")).then(|| words.concat())
    }
}

fn is_atext(c: char) -> bool {
    !c.is_control() && !" ()<>[]:;@\\,.\"".contains(c)
}

/// What a text says by RFC 2047 6.2: an encoded word stands by itself between blanks and is whole; blanks between two of
/// them are nothing. `None`: a word says something that is not in its charset, or in one that is not read here.
pub(crate) fn decoded(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut was_encoded = false;
    let mut rest = value;
    while !rest.is_empty() {
        let (space, behind) = rest.split_at(rest.find(|c| !" \t".contains(c)).unwrap_or(rest.len()));
        let (word, behind) = behind.split_at(behind.find([' ', '\t']).unwrap_or(behind.len()));
        rest = behind;
        match encoded(word) {
            Some(says) => {
                out.push_str(if was_encoded { "" } else { space });
                out.push_str(&says?);
                was_encoded = true;
            }
            None => {
                out.push_str(space);
                out.push_str(word);
                was_encoded &= word.is_empty();
            }
        }
    }
    Some(out)
}

/// What `word` says, if it is an encoded word.
pub(crate) fn encoded(word: &str) -> Option<Option<String>> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let [charset, encoding, text] = inner.split('?').collect::<Vec<_>>().try_into().ok()?;
    let octets = match encoding {
        "B" | "b" => STANDARD.decode(text).ok()?,
        "Q" | "q" => unquoted(text)?,
        _ => return None,
    };
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    Some(match charset.as_str() {
        "utf-8" => String::from_utf8(octets).ok(),
        "us-ascii" => octets.is_ascii().then(|| String::from_utf8_lossy(&octets).into_owned()),
        "iso-8859-1" if !octets.iter().any(|octet| (0x80..0xa0).contains(octet)) => {
            Some(octets.into_iter().map(char::from).collect())
        }
        _ => None,
    })
}

fn unquoted(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'_' => b' ',
            b'=' => hex(octets.next()?, octets.next()?)?,
            0x21..=0x7e => octet,
            _ => return None,
        });
    }
    Some(out)
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// What a field with parameters says: its value, and each parameter by its name in lower case, sections put together
/// and decoded. Every section is to be whole characters. `None`: it does not keep to RFC 2045 5.1 and RFC 2231.
pub(crate) fn parameters(value: &str) -> Option<(String, Vec<(String, String)>)> {
    let mut reader = Letter { rest: value };
    let token = |reader: &mut Letter<'_>| {
        reader.space()?;
        let is_token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"[]?=".contains(c);
        let (token, rest) = reader.rest.split_at(reader.rest.find(|c| !is_token(c)).unwrap_or(reader.rest.len()));
        reader.rest = rest;
        reader.space()?;
        (!token.is_empty()).then(|| token.to_owned())
    };
    let first = token(&mut reader)?.to_ascii_lowercase();
    let mut raw: Vec<(String, String)> = Vec::new();
    while reader.take(';') {
        reader.space()?;
        if reader.rest.is_empty() {
            break;
        }
        let name = token(&mut reader)?.to_ascii_lowercase();
        reader.take('=').then_some(())?;
        reader.space()?;
        let says = match reader.rest.starts_with('"') {
            true => match reader.words()?.as_slice() {
                [one] => one.clone().into_owned(),
                _ => return None,
            },
            false => token(&mut reader)?,
        };
        if raw.iter().any(|(other, _)| *other == name) {
            return None;
        }
        raw.push((name, says));
    }
    reader.rest.is_empty().then_some(())?;
    let mut found: Vec<(String, String)> = Vec::new();
    let mut used = 0;
    for (name, says) in &raw {
        let base = name.split('*').next().unwrap_or_default();
        if found.iter().any(|(other, _)| other == base) {
            continue;
        }
        if !name.contains('*') {
            used += 1;
            found.push((base.to_owned(), says.clone()));
            continue;
        }
        let mut whole = String::new();
        let pick = |name: String| raw.iter().find(|(other, _)| *other == name).map(|(_, says)| says.as_str());
        if let Some(says) = pick(format!("{base}*")) {
            used += 1;
            whole = percent(behind_charset(says)?)?;
        } else {
            for number in 0.. {
                let starred = pick(format!("{base}*{number}*"));
                match (starred, pick(format!("{base}*{number}"))) {
                    (Some(says), None) if number == 0 => whole.push_str(&percent(behind_charset(says)?)?),
                    (Some(says), None) => whole.push_str(&percent(says)?),
                    (None, Some(says)) => whole.push_str(says),
                    (None, None) => break,
                    (Some(_), Some(_)) => return None,
                }
                used += 1;
            }
        }
        found.push((base.to_owned(), whole));
    }
    found.sort();
    // Every one was used, so none was without its beginning, or there twice in two forms.
    (used == raw.len()).then_some((first, found))
}

/// What stands behind the charset and the language, where that charset is UTF-8.
fn behind_charset(text: &str) -> Option<&str> {
    let (charset, rest) = text.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then_some(rest.split_once('\'')?.1)
}

fn percent(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        out.push(if octet == b'%' { hex(octets.next()?, octets.next()?)? } else { octet });
    }
    String::from_utf8(out).ok()
}

/// The addresses that mail-parser finds in the fields of these names, in order.
pub(crate) fn parsed_addresses(section: &[u8], names: &[&str]) -> Vec<String> {
    let Some(message) = MessageParser::default().parse(section) else { return Vec::new() };
    let wanted = |name: &HeaderName<'_>| names.iter().any(|wanted| name.as_str().eq_ignore_ascii_case(wanted));
    let mut found = Vec::new();
    for header in message.headers().iter().filter(|header| wanted(&header.name)) {
        if let HeaderValue::Address(list) = &header.value {
            found.extend(list.iter().filter_map(|one| one.address().map(str::to_owned)));
        }
    }
    found
}

/// What mail-parser reads as the subject.
pub(crate) fn parsed_text(value: &str) -> Option<String> {
    let raw = format!("Subject: {value}\r\n\r\n");
    MessageParser::default().parse(raw.as_bytes())?.subject().map(str::to_owned)
}
