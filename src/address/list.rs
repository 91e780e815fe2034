//! Reads the address list of a header field (RFC 5322 3.4, obsolete forms of 4.4 included) and what
//! sloppy software makes of it.
//!
//! One pass, no recursion: nested comments are counted, so time is linear whatever the input. What
//! cannot be read is reported by its text and never dropped.

use std::ops::Range;

use super::{AddrSpec, BadAddress, Mailbox, is_atext, quoted};

/// What an address list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The mailboxes in order, members of groups included.
    pub mailboxes: Vec<Listed>,
    /// The pieces that are no addresses.
    pub errors: Vec<BadAddress>,
}

/// A mailbox and where the list holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The mailbox; a comment stands in for a missing display name, as in `root (Cron Daemon)`.
    pub mailbox: Mailbox,
    /// Its place in the text, name, brackets and comments included.
    pub span: Range<usize>,
}

/// Reads every mailbox of `text`, an unfolded field value. Empty list elements are nothing,
/// groups give their members, routes are dropped, and a semicolon separates outside of groups too.
pub fn read_list(text: &str) -> List {
    let mut reader = Reader { text, list: List::default(), element: Element::default(), in_group: false };
    let mut at = 0;
    while at < text.len() {
        at = reader.token(at);
    }
    reader.finish(text.len());
    reader.list
}

/// A word of a phrase, local part or domain.
#[derive(Debug)]
enum Word {
    /// Visible characters up to the next special; dots belong to it.
    Atom(Range<usize>),
    /// A quoted string, decoded.
    Quoted(String),
    /// A domain literal, brackets included.
    Literal(Range<usize>),
    At,
    /// Of a route or, outside brackets, of a group.
    Colon,
}

/// What has been read since the last separator.
#[derive(Debug, Default)]
struct Element {
    /// Where its first token begins and its last one ends.
    span: Option<Range<usize>>,
    /// Words outside of brackets.
    outside: Vec<Word>,
    /// Words between `<` and `>`.
    inside: Option<Vec<Word>>,
    /// `<` is open.
    open: bool,
    comment: Option<String>,
    error: Option<&'static str>,
}

struct Reader<'a> {
    text: &'a str,
    list: List,
    element: Element,
    in_group: bool,
}

impl Reader<'_> {
    /// Takes the token at `at` and returns where the next one begins.
    fn token(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        // The caller is not at the end, so there is a character.
        let first = rest.chars().next().unwrap_or(' ');
        let end = at + first.len_utf8();
        match first {
            ',' if !self.element.open => self.finish(at),
            ';' if !self.element.open => {
                self.finish(at);
                self.in_group = false;
            }
            ':' if !self.element.open => self.group(at, end),
            c if c.is_whitespace() => {}
            '(' => return self.comment(at),
            '"' => return self.quoted(at),
            '<' if self.element.inside.is_some() => self.fail(at..end, "a second <"),
            '<' => {
                self.element.inside = Some(Vec::new());
                self.element.open = true;
                self.extend(at..end);
            }
            '>' if self.element.open => {
                self.element.open = false;
                self.extend(at..end);
            }
            '>' => self.fail(at..end, "> without <"),
            '@' => {
                self.word(at..end, Word::At);
                // Only behind @ is [ a domain literal; in a name it is a character like any other.
                if let Some(literal) = rest.strip_prefix("@[") {
                    let length = literal.find(|c| !is_dtext(c)).unwrap_or(literal.len());
                    if literal[length..].starts_with(']') {
                        let span = end..end + 1 + length + 1;
                        self.word(span.clone(), Word::Literal(span.clone()));
                        return span.end;
                    }
                }
            }
            ':' => self.word(at..end, Word::Colon),
            // A route (RFC 5322 4.4) lists its hosts with commas; nothing else in brackets may.
            ',' => match self.element.inside.as_deref() {
                Some([Word::At, ..]) => self.extend(at..end),
                _ => self.fail(at..end, "a comma between < and >"),
            },
            ';' => self.fail(at..end, "a semicolon between < and >"),
            c if c.is_control() => self.fail(at..end, "control characters"),
            ')' => self.fail(at..end, ") without ("),
            _ => {
                let length = rest.find(|c: char| !(c == '.' || c == '[' || c == ']' || c == '\\' || is_atext(c)));
                let atom = at..length.map_or(self.text.len(), |length| at + length);
                self.word(atom.clone(), Word::Atom(atom.clone()));
                return atom.end;
            }
        }
        end
    }

    /// Ends the element before the separator at `end`.
    fn finish(&mut self, end: usize) {
        let mut element = std::mem::take(&mut self.element);
        let Some(span) = element.span.take() else { return };
        if element.open {
            element.error.get_or_insert("< without >");
        }
        let read = match element.error {
            Some(why) => Err(why),
            None => self.mailbox(element),
        };
        match read {
            Ok(Some(mailbox)) => self.list.mailboxes.push(Listed { mailbox, span }),
            Ok(None) => {}
            Err(why) => self.list.errors.push(BadAddress::new(&self.text[span.start..end], why)),
        }
    }

    /// A colon outside of brackets: the words before it name a group.
    fn group(&mut self, at: usize, end: usize) {
        let is_name = self.element.inside.is_none() && !self.element.outside.iter().any(|w| matches!(w, Word::At));
        if self.in_group || !is_name || self.element.error.is_some() {
            return self.fail(at..end, "a stray colon");
        }
        self.element = Element::default();
        self.in_group = true;
    }

    fn comment(&mut self, start: usize) -> usize {
        let mut depth = 0_usize;
        let mut content = String::new();
        let mut chars = self.text[start..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            match c {
                '\\' => content.extend(chars.next().map(|(_, c)| c)),
                ')' if depth == 0 => {
                    let end = start + offset + 1;
                    // Alone between two separators a comment is nothing, so it does not begin an element.
                    if self.element.span.is_some() {
                        self.extend(start..end);
                    }
                    self.element.comment = Some(content);
                    return end;
                }
                '(' if depth == 1 => {}
                c => content.push(c),
            }
        }
        self.fail(start..self.text.len(), "( without )");
        self.text.len()
    }

    fn quoted(&mut self, start: usize) -> usize {
        let mut content = String::new();
        let mut chars = self.text[start..].char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    let end = start + offset + 1;
                    self.word(start..end, Word::Quoted(content));
                    return end;
                }
                '\\' => content.extend(chars.next().map(|(_, c)| c)),
                c => content.push(c),
            }
        }
        self.fail(start..self.text.len(), "a quote that is not closed");
        self.text.len()
    }

    fn word(&mut self, span: Range<usize>, word: Word) {
        self.extend(span);
        match &mut self.element.inside {
            None => self.element.outside.push(word),
            Some(inside) if self.element.open => inside.push(word),
            Some(_) => {
                self.element.error.get_or_insert("text behind >");
            }
        }
    }

    fn extend(&mut self, span: Range<usize>) {
        match &mut self.element.span {
            Some(known) => known.end = span.end,
            none => *none = Some(span),
        }
    }

    fn fail(&mut self, span: Range<usize>, why: &'static str) {
        self.extend(span);
        self.element.error.get_or_insert(why);
    }

    /// The mailbox an element without errors makes; `None` when it holds nothing.
    fn mailbox(&self, element: Element) -> Result<Option<Mailbox>, &'static str> {
        let Element { outside, inside, comment, .. } = element;
        let comment = comment.map(|c| c.trim().to_owned()).filter(|c| !c.is_empty());
        match inside {
            Some(words) => {
                let spec = self.spec(&words)?;
                let name = self.phrase(&outside);
                Ok(Some(Mailbox { name: (!name.is_empty()).then_some(name).or(comment), spec }))
            }
            None if outside.is_empty() => Ok(None),
            None => Ok(Some(Mailbox { name: comment, spec: self.spec(&outside)? })),
        }
    }

    /// The words of a display name, joined by one space each.
    fn phrase(&self, words: &[Word]) -> String {
        let words: Vec<&str> = words
            .iter()
            .map(|word| match word {
                Word::Atom(span) | Word::Literal(span) => &self.text[span.clone()],
                Word::Quoted(text) => text.as_str(),
                Word::At => "@",
                Word::Colon => ":",
            })
            .collect();
        words.join(" ").trim().to_owned()
    }

    /// The addr-spec that `words` make, a route before it dropped.
    fn spec(&self, words: &[Word]) -> Result<AddrSpec, &'static str> {
        let words = match words {
            [Word::At, ..] => match words.iter().position(|word| matches!(word, Word::Colon)) {
                Some(colon) => &words[colon + 1..],
                None => return Err("no local part"),
            },
            words => words,
        };
        let mut parts = words.split(|word| matches!(word, Word::At));
        let local = parts.next().unwrap_or_default();
        let domain = parts.next();
        if parts.next().is_some() {
            return Err("more than one @");
        }
        if local.is_empty() {
            return Err(if domain.is_some() { "no local part" } else { "no address" });
        }
        let domain = match domain {
            None => None,
            Some([]) => return Err("no domain"),
            Some([Word::Literal(span)]) => Some(self.text[span.clone()].to_owned()),
            Some(words) => Some(self.dotted(words).ok_or("not one domain behind the @")?),
        };
        let text = self.dotted(local).ok_or("not an address")?;
        let is_quoted = local.iter().any(|word| matches!(word, Word::Quoted(_)));
        let is_dot_atom = text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        if !is_quoted && !text.chars().all(|c| c == '.' || is_atext(c)) {
            return Err("not an address");
        }
        Ok(AddrSpec { local: if is_quoted && !is_dot_atom { quoted(&text) } else { text }, domain })
    }

    /// Words with nothing but dots between them as one text (obsolete white space around the dots
    /// goes); `None` where two words stand side by side.
    fn dotted(&self, words: &[Word]) -> Option<String> {
        let mut out = String::new();
        let mut joined = true;
        for word in words {
            let text = match word {
                Word::Atom(span) => &self.text[span.clone()],
                Word::Quoted(text) => text.as_str(),
                _ => return None,
            };
            let is_atom = matches!(word, Word::Atom(_));
            if !(joined || is_atom && text.starts_with('.')) {
                return None;
            }
            joined = is_atom && text.ends_with('.');
            out.push_str(text);
        }
        Some(out)
    }
}

/// What a domain literal may hold between its brackets (RFC 5322 3.4.1, without white space).
fn is_dtext(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '[' | ']' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailboxes(text: &str) -> Vec<String> {
        let list = read_list(text);
        assert_eq!(list.errors, [], "{text}");
        list.mailboxes
            .iter()
            .map(|listed| match &listed.mailbox.name {
                Some(name) => format!("{name} | {}", listed.mailbox.spec),
                None => listed.mailbox.spec.to_string(),
            })
            .collect()
    }

    #[test]
    fn address_madness() {
        for (text, expected) in [
            ("", &[][..]),
            (" ,, (nobody) ,\r\n ", &[]),
            ("a@x.org", &["a@x.org"]),
            ("a@x.org,b@y.org ,\r\n\tc@z.org,", &["a@x.org", "b@y.org", "c@z.org"]),
            ("root (Cron Daemon)", &["Cron Daemon | root"]),
            ("root", &["root"]),
            ("<root>", &["root"]),
            ("undisclosed-recipients:;", &[]),
            ("Friends (of mine): a@x.org, B <b@y.org>;, c@z.org", &["a@x.org", "B | b@y.org", "c@z.org"]),
            ("G:a@x.org;H:b@y.org", &["a@x.org", "b@y.org"]),
            ("G: a@x.org, b@y.org", &["a@x.org", "b@y.org"]),
            ("a@x.org;b@y.org", &["a@x.org", "b@y.org"]),
            ("a@x.org; b@y.org;", &["a@x.org", "b@y.org"]),
            ("\"Public, John \\\"Q\\\"\" <a@x.org>", &["Public, John \"Q\" | a@x.org"]),
            ("John Q. Public <a@x.org>", &["John Q. Public | a@x.org"]),
            ("[My Shop] Orders <a@x.org>", &["[My Shop] Orders | a@x.org"]),
            ("a@x.org <b@y.org>", &["a @ x.org | b@y.org"]),
            ("=?utf-8?Q?J=C3=BCrgen?= <a@x.org>", &["=?utf-8?Q?J=C3=BCrgen?= | a@x.org"]),
            ("Jürgen <jürgen@bücher.example>", &["Jürgen | jürgen@bücher.example"]),
            ("<@a.org,@b.org:c@d.org>", &["c@d.org"]),
            ("<@a.org:c@d.org>, x@y.org", &["c@d.org", "x@y.org"]),
            ("\"john doe\"@x.org", &["\"john doe\"@x.org"]),
            ("\"john.doe\"@x.org", &["john.doe@x.org"]),
            ("\"a@b,c;d\" <\"a@b,c;d\"@x.org>", &["a@b,c;d | \"a@b,c;d\"@x.org"]),
            ("john . doe @ x . org", &["john.doe@x.org"]),
            ("john(a).(b)doe(c)@(d)x(e).org(f)", &["f | john.doe@x.org"]),
            ("a@[192.0.2.1], b@[IPv6:2001:db8::1]", &["a@[192.0.2.1]", "b@[IPv6:2001:db8::1]"]),
            ("(a (b (c \\) d)) e) a@x.org", &["a (b (c ) d)) e | a@x.org"]),
            ("Folded\r\n  Name <a@x.org>", &["Folded Name | a@x.org"]),
            ("mailto:a@x.org", &["a@x.org"]),
        ] {
            assert_eq!(mailboxes(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named_and_the_others_are_kept() {
        for (text, bad, kept) in [
            ("a@x.org, John Smith, b@y.org", "John Smith", 2),
            ("a@x.org b@y.org", "a@x.org b@y.org", 0),
            ("<a@x.org> <b@y.org>, c@z.org", "<a@x.org> <b@y.org>", 1),
            ("<a@x.org, b@y.org>", "<a@x.org, b@y.org>", 0),
            ("<a@x.org", "<a@x.org", 0),
            ("a@x.org>", "a@x.org>", 0),
            ("a@x.org, \"open", "\"open", 1),
            ("a@x.org, b@y.org (open", "b@y.org (open", 1),
            ("a@x.org), b@y.org", "a@x.org)", 1),
            ("<>, b@y.org", "<>", 1),
            ("@x.org, b@y.org", "@x.org", 1),
            ("a@, b@y.org", "a@", 1),
            ("a@b@c.org", "a@b@c.org", 0),
            ("a@x.org:b", "a@x.org:b", 0),
            ("a\u{7}b@x.org, c@y.org", "a?b@x.org", 1),
            ("<a\\b@x.org>", "<a\\b@x.org>", 0),
            ("[a]@x.org", "[a]@x.org", 0),
            ("a@x.org\0, b@y.org", "a@x.org?", 1),
        ] {
            let list = read_list(text);
            let texts: Vec<_> = list.errors.iter().map(|error| error.text.as_str()).collect();
            assert_eq!(texts, [bad], "{text}");
            assert_eq!(list.mailboxes.len(), kept, "{text}");
        }
    }

    #[test]
    fn spans_cover_the_whole_mailbox() {
        let text = " a@x.org , Bob <b> (c), root (Cron)";
        let spans: Vec<_> = read_list(text).mailboxes.into_iter().map(|listed| &text[listed.span]).collect();
        assert_eq!(spans, ["a@x.org", "Bob <b> (c)", "root (Cron)"]);
    }

    #[test]
    fn hostile_lists_cost_linear_time() {
        for piece in ["(", "@[", "<", "\"\\", ":", "((a)", "a,", "@", "\\", "[", ";:", "a:b,", "é<"] {
            let text = piece.repeat((1 << 18) / piece.len());
            let list = read_list(&text);
            assert!(list.errors.len() + list.mailboxes.len() > 0 || piece == ";:", "{piece}");
        }
    }
}
