//! Reads the address list of a header field (RFC 5322 3.4, obsolete forms of 4.4 included) and what
//! sloppy software makes of it.
//!
//! One pass over the tokens, no recursion: time is linear whatever the input. What cannot be read is
//! reported by its text and never dropped.

use std::ops::Range;

use super::lexer::{Kind, Token, tokens, unquoted};
use super::{AddrSpec, BadAddress, List, Listed, Mailbox, Piece, Unreadable, encoded, is_atext, quoted};

/// Reads every mailbox of `text`, an unfolded field value. Empty list elements are nothing,
/// groups give their members, routes are dropped, and a semicolon separates outside of groups too.
///
/// `Shop, Inc. <orders@shop.example>` is one name: no comma separates before the only address that is there, and no
/// semicolon that ends a character of HTML, as in `Tom &amp; Jerry`. Names in lower case may be those of this host and
/// stay for themselves, as in `root, Bob <bob@example.org>`.
pub fn read_list(text: &str) -> List {
    Reader::new(text, false).read()
}

/// As [`read_list`], for a field that says who writes or is answered: there every comma, semicolon and colon before the
/// only address is part of its name.
pub fn read_authors(text: &str) -> List {
    Reader::new(text, true).read()
}

/// A word of a phrase, local part or domain.
#[derive(Debug)]
struct Word {
    kind: WordKind,
    span: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum WordKind {
    /// Visible characters up to the next special; dots belong to it.
    Atom,
    /// A quoted string.
    Quoted,
    Encoded,
    /// A domain literal, brackets included.
    Literal,
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
    /// White space outside of ASCII, which others take for text, stands outside of brackets.
    odd_space: bool,
    error: Option<&'static str>,
}

/// The octets that a character of HTML has at most, its semicolon not among them.
const ENTITY: usize = 10;

/// A name that separators may have cut: the elements before the only address of a list.
#[derive(Debug)]
enum Name {
    /// So far there were names only; each with its separator.
    Cut(String),
    /// Then came the one address.
    Whole(String),
    /// It is a list.
    List,
}

struct Reader<'a> {
    text: &'a str,
    list: List,
    element: Element,
    in_group: bool,
    /// A group has ended, and no comma has come.
    is_behind_group: bool,
    is_author: bool,
    name: Name,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, is_author: bool) -> Self {
        let (list, element) = (List::default(), Element::default());
        Self { text, list, element, in_group: false, is_behind_group: false, is_author, name: Name::Cut(String::new()) }
    }

    fn read(mut self) -> List {
        for token in tokens(self.text) {
            self.token(token);
        }
        self.finish(self.text.len(), "");
        self.list.is_obsolete |= self.in_group;
        if let Name::Whole(mut name) = self.name
            && !name.is_empty()
            && let Some(Piece::Mailbox(mut last)) = self.list.pieces.pop()
        {
            name.push_str(last.mailbox.name.as_deref().unwrap_or_default());
            last.mailbox.name = Some(name.trim_end_matches([',', ':', ' ']).to_owned());
            last.span.start = self.text.len() - self.text.trim_start().len();
            self.list.pieces = vec![Piece::Mailbox(last)];
            self.list.is_doubtful = true;
        }
        self.list
    }

    fn token(&mut self, Token { kind, span }: Token) {
        let open = self.element.open;
        match kind {
            Kind::Space if self.text[span.clone()].is_ascii() => {}
            Kind::Space => {
                // Some take a no-break space for a letter.
                self.list.is_obsolete = true;
                self.element.odd_space = true;
                self.list.is_doubtful |= self.element.inside.is_some();
            }
            Kind::Special(b',') if !open => {
                self.finish(span.start, ", ");
                self.is_behind_group = false;
            }
            Kind::Special(b';') if !open && self.is_within_name(span.start) => {
                let has_space = self.text[span.end..].starts_with(char::is_whitespace);
                self.finish(span.start, if has_space { "; " } else { ";" });
                self.is_behind_group = false;
                self.list.is_obsolete = true;
            }
            Kind::Special(b';') if !open => {
                self.finish(span.start, "");
                self.is_behind_group = std::mem::take(&mut self.in_group);
                match self.is_behind_group {
                    true => self.list.pieces.push(Piece::GroupEnd),
                    false => self.list.is_obsolete = true,
                }
                self.name = Name::List;
            }
            Kind::Special(b':') if !open => self.group(span),
            Kind::Special(b'<') if self.element.inside.is_some() => self.fail(span, "a second <"),
            Kind::Special(b'<') => {
                self.element.inside = Some(Vec::new());
                self.element.open = true;
                self.extend(span);
            }
            Kind::Special(b'>') if open => {
                self.element.open = false;
                self.extend(span);
            }
            Kind::Special(b'>') => self.fail(span, "> without <"),
            Kind::Special(b'@') => self.word(WordKind::At, span),
            Kind::Special(b':') => self.word(WordKind::Colon, span),
            // A route (RFC 5322 4.4) lists its hosts with commas; nothing else in brackets may.
            Kind::Special(b',') => match self.element.inside.as_deref() {
                Some([Word { kind: WordKind::At, .. }, ..]) => self.extend(span),
                _ => self.fail(span, "a comma between < and >"),
            },
            Kind::Special(b';') => self.fail(span, "a semicolon between < and >"),
            Kind::Special(_) => self.fail(span, ") without ("),
            Kind::Control => self.fail(span, "control characters"),
            Kind::Comment { closed } => self.comment(span, closed),
            Kind::Quoted { closed: false } => self.fail(span, "a quote that is not closed"),
            Kind::Quoted { closed: true } => {
                self.look_at(&span);
                self.word(WordKind::Quoted, span);
            }
            Kind::Encoded => {
                self.look_at(&span);
                self.word(WordKind::Encoded, span);
            }
            Kind::Atom => {
                self.look_at(&span);
                self.word(WordKind::Atom, span);
            }
            Kind::Literal => self.word(WordKind::Literal, span),
        }
    }

    /// Whether somebody else may see another end of what stands there, or something that must not stand anywhere.
    fn look_at(&mut self, span: &Range<usize>) {
        let text = &self.text[span.clone()];
        self.list.is_doubtful |= !encoded::is_settled(text);
        if text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n')) {
            self.element.error.get_or_insert("control characters");
        }
    }

    /// Whether the semicolon at `at` may belong to a name.
    fn is_within_name(&self, at: usize) -> bool {
        let mut tail = self.text.as_bytes()[..at].iter().rev().take(ENTITY);
        let begins_with = tail.find(|&&octet| !octet.is_ascii_alphanumeric() && octet != b'#');
        !self.in_group && (self.is_author || begins_with == Some(&b'&'))
    }

    /// Ends the element before the separator at `end`, which is written as `separator` where it is part of a name.
    fn finish(&mut self, end: usize, separator: &str) {
        let mut element = std::mem::take(&mut self.element);
        // In a name it is text to everybody.
        self.list.is_doubtful |= element.odd_space && (element.inside.is_none() || element.outside.is_empty());
        let Some(span) = element.span.take() else { return };
        if element.open {
            element.error.get_or_insert("< without >");
        }
        self.list.is_obsolete |= self.is_behind_group;
        self.follow(&element, separator);
        let name = self.name_of(&element);
        let spec = match element.error {
            Some(why) => Err(why),
            None => self.spec(element.inside.as_deref().unwrap_or(&element.outside)),
        };
        if element.inside.is_some() {
            let is_loose = self.is_loose(&element.outside) && self.text[span.start..end].matches('@').count() > 1;
            self.list.is_obsolete |=
                spec.as_ref().is_ok_and(|spec| is_loose || self.names_another(&element.outside, spec));
        }
        self.list.pieces.push(match spec {
            Ok(spec) => Piece::Mailbox(Listed { mailbox: Mailbox { name, spec }, span }),
            Err(why) => {
                Piece::Unreadable(Unreadable { bad: BadAddress::new(&self.text[span.start..end], why), name, span })
            }
        });
    }

    /// Whether a name that nothing quotes may be taken for another address than `spec`, which stands in brackets behind it.
    fn names_another(&self, name: &[Word], spec: &AddrSpec) -> bool {
        name.iter().any(|word| word.kind == WordKind::At) && self.phrase(name) != spec.to_string()
    }

    /// Whether something in a name is no word by the letter, so that nobody has to see where its parts end.
    fn is_loose(&self, name: &[Word]) -> bool {
        let is_word = |c: char| c == '.' || is_atext(c);
        name.iter().any(|word| match word.kind {
            WordKind::Atom => !self.text[word.span.clone()].chars().all(is_word),
            WordKind::Literal => true,
            _ => false,
        })
    }

    /// What `element` says about a name that may go on.
    fn follow(&mut self, element: &Element, separator: &str) {
        let is_address = element.inside.is_some();
        let is_name = !is_address && !element.outside.iter().any(|word| word.kind == WordKind::At);
        let next = match std::mem::replace(&mut self.name, Name::List) {
            Name::Cut(mut name) if is_name && element.error.is_none() && !self.is_local_name(&element.outside) => {
                name.push_str(&self.phrase(&element.outside));
                name.push_str(separator);
                Name::Cut(name)
            }
            Name::Cut(name) if is_address && element.error.is_none() => Name::Whole(name),
            _ => Name::List,
        };
        self.name = next;
    }

    /// Whether an element without address may be the name of somebody on this host.
    fn is_local_name(&self, words: &[Word]) -> bool {
        let [Word { kind: WordKind::Atom, span }] = words else { return false };
        let atom = &self.text[span.clone()];
        let is_lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_+.".contains(c);
        !self.is_author && !atom.ends_with('.') && (atom.contains('\\') || atom.chars().all(is_lower))
    }

    /// A colon outside of brackets: the words before it name a group.
    fn group(&mut self, span: Range<usize>) {
        let is_name = self.element.inside.is_none() && !self.element.outside.iter().any(|w| w.kind == WordKind::At);
        if self.in_group || !is_name || self.element.error.is_some() {
            return self.fail(span, "a stray colon");
        }
        let element = std::mem::take(&mut self.element);
        let name = self.phrase(&element.outside);
        // What has no name is no group, and its members stand for themselves.
        if name.is_empty() {
            self.name = Name::List;
            self.list.is_obsolete = true;
            return;
        }
        match &mut self.name {
            // Nobody writes as a group that goes on to the end of its field.
            Name::Cut(before) if self.is_author => before.push_str(&format!("{name}: ")),
            other => *other = Name::List,
        }
        self.list.pieces.push(Piece::Group(name));
        self.in_group = true;
    }

    fn comment(&mut self, span: Range<usize>, closed: bool) {
        if !closed {
            return self.fail(span, "( without )");
        }
        self.look_at(&span);
        // Alone between two separators a comment is nothing, so it does not begin an element.
        if self.element.span.is_some() {
            self.extend(span.clone());
        }
        // Beside a name, one between the brackets is nobody's.
        if !self.element.open || self.element.outside.is_empty() {
            self.element.comment = Some(unquoted(&self.text[span]));
        }
    }

    fn word(&mut self, kind: WordKind, span: Range<usize>) {
        self.extend(span.clone());
        match &mut self.element.inside {
            None => self.element.outside.push(Word { kind, span }),
            Some(inside) if self.element.open => inside.push(Word { kind, span }),
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

    /// The display name of an element with the comment beside it, or the comment that stands in for it. Beside a name, a
    /// comment in which a sloppy reader could find an address is left aside.
    fn name_of(&self, element: &Element) -> Option<String> {
        let name = element.inside.as_ref().map(|_| self.phrase(&element.outside)).filter(|name| !name.is_empty());
        let comment = element.comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty());
        match (name, comment) {
            (Some(name), Some(comment)) if !comment.contains(['<', '>', '@', '"', '\\']) => {
                Some(format!("{name} ({comment})"))
            }
            (name, comment) => name.or_else(|| comment.map(str::to_owned)),
        }
    }

    /// What a word says.
    fn says(&self, word: &Word) -> String {
        let text = &self.text[word.span.clone()];
        if word.kind == WordKind::Quoted { unquoted(text) } else { text.to_owned() }
    }

    /// The words of a display name, with one space between those that stand apart.
    fn phrase(&self, words: &[Word]) -> String {
        let mut name = String::new();
        let mut end = None;
        for word in words {
            if end.replace(word.span.end).is_some_and(|end| end < word.span.start) {
                name.push(' ');
            }
            name.push_str(&self.says(word));
        }
        name.trim().to_owned()
    }

    /// The addr-spec that `words` make, a route before it dropped.
    fn spec(&mut self, words: &[Word]) -> Result<AddrSpec, &'static str> {
        let route = words.first().is_some_and(|word| word.kind == WordKind::At);
        let words = match words.iter().position(|word| word.kind == WordKind::Colon) {
            Some(colon) if route => &words[colon + 1..],
            None if route => return Err("no local part"),
            _ => words,
        };
        if words.iter().any(|word| word.kind == WordKind::Encoded) {
            return Err("an encoded word is no address");
        }
        let mut parts = words.split(|word| word.kind == WordKind::At);
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
            Some([Word { kind: WordKind::Literal, span }]) => Some(self.text[span.clone()].to_owned()),
            Some(words) => Some(self.dotted(words).ok_or("not one domain behind the @")?),
        };
        let text = self.dotted(local).ok_or("not an address")?;
        if text.contains("=?") || domain.as_deref().is_some_and(|domain| domain.contains("=?")) {
            return Err("an encoded word is no address");
        }
        let is_quoted = local.iter().any(|word| word.kind == WordKind::Quoted);
        let is_dot_atom = text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        // A user of a Windows domain, `CORP\jane`, is a name of this host.
        let is_user = domain.is_none() && text.contains('\\');
        if !is_quoted && !text.chars().all(|c| c == '.' || is_atext(c) || (is_user && c == '\\')) {
            return Err("not an address");
        }
        self.list.is_obsolete |= route || words.windows(2).any(|pair| pair[0].span.end != pair[1].span.start);
        let local = if is_user || (is_quoted && !is_dot_atom) { quoted(&text) } else { text };
        let domain = domain.map(|domain| match domain.strip_suffix('.') {
            Some(rest) => {
                self.list.is_doubtful = true;
                rest.to_owned()
            }
            None => domain,
        });
        let spec = AddrSpec { local, domain };
        match &spec.domain {
            Some(_) => spec.address().map_err(|bad| bad.why).map(|_| spec),
            None => Ok(spec),
        }
    }

    /// Words with nothing but dots between them as one text (obsolete white space around the dots
    /// goes); `None` where two words stand side by side.
    fn dotted(&self, words: &[Word]) -> Option<String> {
        let mut out = String::new();
        let mut joined = true;
        for word in words {
            let text = match word.kind {
                WordKind::Atom | WordKind::Quoted => self.says(word),
                _ => return None,
            };
            let is_atom = word.kind == WordKind::Atom;
            if !(joined || is_atom && text.starts_with('.')) {
                return None;
            }
            joined = is_atom && text.ends_with('.');
            out.push_str(&text);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailboxes(text: &str) -> Vec<String> {
        let list = read_list(text);
        assert_eq!(list.errors().next(), None, "{text}");
        list.mailboxes()
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
            ("a@x.org <b@y.org>", &["a@x.org | b@y.org"]),
            ("=?utf-8?Q?M=C3=BC?=ller <a@x.org>", &["=?utf-8?Q?M=C3=BC?=ller | a@x.org"]),
            ("\"Blog \"News\"\" <a@x.org>", &["Blog News | a@x.org"]),
            ("Jane (Sales, EU) <a@x.org>", &["Jane (Sales, EU) | a@x.org"]),
            ("(Sales) \"Doe, J\" <(x)a@x.org(y)>", &["Doe, J (Sales) | a@x.org"]),
            ("Jane (\"<b@y.org>) <a@x.org>", &["Jane | a@x.org"]),
            ("Shop, Inc. (EU) <a@x.org>", &["Shop, Inc. (EU) | a@x.org"]),
            ("Tom &amp; Jerry <a@x.org>", &["Tom &amp; Jerry | a@x.org"]),
            ("O&#039;Neil, Inc. <a@x.org>", &["O&#039;Neil, Inc. | a@x.org"]),
            ("a&amp;b@x.org", &["a&amp", "b@x.org"]),
            ("Bob; Jane <a@x.org>", &["Bob", "Jane | a@x.org"]),
            ("\u{a0}a@x.org,\u{a0}Bob\u{a0}<b@y.org>,\u{a0}", &["a@x.org", "Bob | b@y.org"]),
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
    fn what_others_may_read_otherwise_is_noted() {
        for (text, expected) in [
            ("A <a@x.org>, b@y.org (B), G: c@z.org;", false),
            ("\"b@y.org\" <a@x.org>", false),
            ("J. Doe <a@x.org>", false),
            ("[Shop] A <a@x.org>", false),
            // A name that is another address. The same one once more is nothing.
            ("b@y.org <a@x.org>", true),
            ("A b@y.org <a@x.org>", true),
            ("@ <a@x.org>", true),
            // Beside something that is no word, not even quotes are sure to be seen.
            ("\"@\"\\<a@x.org>", true),
            ("\"b@y.org\" [x] <a@x.org>", true),
            ("A (b@y.org) [x] <a@x.org>", true),
            ("CORP\\jane <a@x.org>", false),
            ("a@x.org <a@x.org>", false),
            // A group that does not end, the end of none, and no comma behind one.
            ("G: a@x.org", true),
            ("a@x.org; b@y.org", true),
            ("G: a@x.org; b@y.org", true),
            ("G: a@x.org;, b@y.org", false),
            (":a@x.org", true),
            ("b@y.org, \"\":a@x.org;", true),
            ("<@y.org:a@x.org>", true),
            ("a @x.org", true),
            ("a (b)@x.org <a@x.org>", true),
            ("\u{a0}a@x.org", true),
        ] {
            assert_eq!(read_authors(text).is_obsolete, expected, "{text}");
            let again = read_authors(&read_authors(text).written());
            assert!(!again.is_obsolete && !again.is_doubtful, "{text}: {}", again.written());
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
            let texts: Vec<_> = list.errors().map(|error| error.bad.text.as_str()).collect();
            assert_eq!(texts, [bad], "{text}");
            assert_eq!(list.mailboxes().count(), kept, "{text}");
        }
    }

    #[test]
    fn spans_cover_the_whole_mailbox() {
        let text = " a@x.org , Bob <b> (c), root (Cron)";
        let spans: Vec<_> = read_list(text).mailboxes().map(|listed| &text[listed.span.clone()]).collect();
        assert_eq!(spans, ["a@x.org", "Bob <b> (c)", "root (Cron)"]);
    }

    #[test]
    fn hostile_lists_cost_linear_time() {
        for piece in [
            "(",
            "@[",
            "<",
            "\"\\",
            ":",
            "((a)",
            "a,",
            "@",
            "\\",
            "[",
            ";:",
            "a:b,",
            "é<",
            "=?a?q?",
            "=?a?q?b?=",
            "A,",
            "=?",
        ] {
            let text = piece.repeat((1 << 18) / piece.len());
            let list = read_list(&text);
            assert!(!list.pieces.is_empty() || list.is_obsolete, "{piece}");
        }
    }
}
