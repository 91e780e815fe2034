//! What is wrong with a text that is not TOML, in words for people who have never heard of it.
//!
//! The parser says what it expected next, at the octet where it gave up. What people do wrong are a dozen slips, which the
//! line itself shows best; its words are kept for the rest. No value is repeated: it may be a secret.

/// A slip: where it begins, what it is, and the next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The octet it begins at.
    pub(super) offset: usize,
    /// What is wrong.
    pub(super) why: String,
    /// What to write, where that is known.
    pub(super) hint: Option<String>,
}

/// A text without an end.
const OPEN_TEXT: &str = "the text that begins here has no closing quotation mark";

/// Quotation marks that word processors and web pages put in the place of `"` and `'`.
const TYPOGRAPHIC: [char; 10] = ['“', '”', '„', '‟', '‘', '’', '‚', '«', '»', '`'];

/// What is wrong with `source`, of which the parser said `message` at `offset`.
pub(super) fn of(source: &str, message: &str, offset: usize) -> Mistake {
    let offset = (0..=offset.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0);
    let start = source[..offset].rfind('\n').map_or(0, |end| end + 1);
    let line = source[start..].split('\n').next().unwrap_or_default().trim_end();
    let place = Place { source, start, line, offset };
    let said = |text: &str| message.contains(text);
    let found = match () {
        () if said("duplicate key") => Some(place.twice()),
        () if said("comment") || line.trim_start().starts_with("//") || line.trim_start().starts_with(';') => {
            place.remark()
        }
        () if line.trim_start().starts_with('[')
            && (said("unclosed") || said("unquoted key") || said("unexpected key")) =>
        {
            Some(place.header())
        }
        () if said("basic string") || said("literal string,") && !said("string values") => {
            Some(place.open_text(message))
        }
        () if said("escape") => Some(place.escape()),
        () if said("array") => Some(place.list()),
        () if said("between key-value pairs") || said("inline table") => Some(place.braces()),
        () if said("extra `=`") => Some(place.at(offset, "there is one = too many", None)),
        () if said("leading zero") => Some(place.at(offset, "a number does not begin with 0", None)),
        () if said("invalid boolean") => Some(place.boolean()),
        () if said("string values must be quoted") => Some(place.value()),
        () if said("unexpected key or value") || said("unexpected content") => Some(place.behind()),
        () if said("key with no value") || said("unquoted key") => Some(place.key()),
        () if said("carriage return") => Some(place.at(
            offset,
            "a line ends with a carriage return alone",
            Some("save the file with Unix line ends"),
        )),
        () => None,
    };
    found.unwrap_or_else(|| Mistake { offset, why: plain(message), hint: None })
}

/// The parser's words without what it expected.
fn plain(message: &str) -> String {
    message.split(", expected ").next().unwrap_or(message).replace('`', "\"")
}

/// Where the parser gave up.
struct Place<'s> {
    source: &'s str,
    /// Where the line begins.
    start: usize,
    line: &'s str,
    offset: usize,
}

impl Place<'_> {
    fn at(&self, offset: usize, why: &str, hint: Option<&str>) -> Mistake {
        Mistake { offset, why: why.to_owned(), hint: hint.map(str::to_owned) }
    }

    /// The first octet of the line that is no blank.
    fn indented(&self) -> usize {
        self.start + self.line.len() - self.line.trim_start().len()
    }

    /// What stands before `=` on the line, if that is a key; `KEY` else.
    fn named(&self) -> &str {
        let key = self.line.trim_start().split(['=', ':', ' ', '"']).next().unwrap_or_default().trim();
        let is_key = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !key.is_empty() && key.chars().all(is_key) { key } else { "KEY" }
    }

    /// The part of the line from the value on that the parser was at.
    fn rest(&self) -> &str {
        &self.source[self.offset..self.start + self.line.len().max(self.offset - self.start)]
    }

    /// The example of the line with its value in quotation marks.
    fn example(&self) -> String {
        format!("write {} = \"...\"", self.named())
    }

    fn typographic(&self, offset: usize) -> Mistake {
        let why = "these are not the quotation marks of a keyboard";
        let hint = format!("write \" on both sides: {} = \"...\"", self.named());
        Mistake { offset, why: why.to_owned(), hint: Some(hint) }
    }

    /// A key or a table that is there already.
    fn twice(&self) -> Mistake {
        let trimmed = self.line.trim();
        let is_header = trimmed.starts_with('[');
        let name = if is_header {
            trimmed.split(']').next().unwrap_or_default().to_owned() + "]"
        } else {
            self.named().to_owned()
        };
        let begins = |line: &str| {
            let line = line.trim_start();
            let rest = line.strip_prefix(&*name);
            rest.is_some_and(|rest| is_header || rest.trim_start().starts_with('='))
        };
        // Of a key, the table that it is in is the last.
        let before = &self.source[..self.start];
        let mut first = None;
        for (index, line) in before.lines().enumerate() {
            if !is_header && line.trim_start().starts_with('[') {
                first = None;
            } else if begins(line) {
                first = first.or(Some(index + 1));
            }
        }
        let what = if is_header { format!("the table {name}") } else { format!("the key {name:?}") };
        let (why, hint) = match (first, is_header) {
            (Some(line), true) => (
                format!("{what} is there twice, on line {line} as well"),
                "put what belongs together under one of them, or give this one another name".to_owned(),
            ),
            (Some(line), false) => (
                format!("{what} is there twice in its table, on line {line} as well"),
                "take one of the two out; several values are a list: [\"...\", \"...\"]".to_owned(),
            ),
            (None, _) => (format!("{what} is there twice"), "take one of the two out".to_owned()),
        };
        Mistake { offset: self.indented(), why, hint: Some(hint) }
    }

    /// A remark as other languages have it.
    fn remark(&self) -> Option<Mistake> {
        let is_strange = self.line.trim_start().starts_with(['/', ';']);
        is_strange
            .then(|| self.at(self.indented(), "a remark begins with # here", Some("write # in front of the line")))
    }

    /// The name of a table in brackets.
    fn header(&self) -> Mistake {
        let line = self.line.trim();
        let brackets = line.len() - line.trim_start_matches('[').len();
        let inside = line.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
        let is_name = inside.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let (open, close) = if brackets > 1 { ("[[", "]]") } else { ("[", "]") };
        if is_name && !inside.is_empty() {
            let why = format!("the name of a table stands between {open} and {close}");
            return Mistake { offset: self.offset, why, hint: Some(format!("write {open}{inside}{close}")) };
        }
        let why = "the name of a table has letters, digits, - and _, and a dot between its parts";
        self.at(
            self.offset,
            why,
            Some("write [relay.NAME] or [site.NAME]; another name stands in quotation marks: [site.\"a b\"]"),
        )
    }

    /// A text without an end.
    fn open_text(&self, message: &str) -> Mistake {
        if message.contains("visible characters") {
            return self.at(self.offset, "a control character stands in the text", Some("take it out"));
        }
        let is_long = message.contains("multi-line");
        let before = &self.source[..self.offset];
        let quote = if message.contains("literal") { '\'' } else { '"' };
        let mark = if is_long { String::from(quote).repeat(3) } else { String::from(quote) };
        let from = if is_long { before.rfind(&mark) } else { self.line_open(quote) };
        let offset = from.unwrap_or(self.offset);
        let text = &self.source[offset + mark.len()..self.start + self.line.len()];
        if !is_long && text.contains(TYPOGRAPHIC) {
            return self.typographic(offset);
        }
        self.at(offset, OPEN_TEXT, Some(&format!("write {mark} at its end")))
    }

    /// The `quote` on the line that opens the text which does not end.
    fn line_open(&self, quote: char) -> Option<usize> {
        let before = &self.source[self.start..self.offset];
        // Those before it come in pairs.
        let marks: Vec<usize> = before.match_indices(quote).map(|(at, _)| at).collect();
        marks.last().map(|at| self.start + at)
    }

    /// A backslash.
    fn escape(&self) -> Mistake {
        let offset = self.source[..self.offset].rfind('\\').unwrap_or(self.offset);
        let why = "a backslash means something else between \" and \"";
        self.at(offset, why, Some("write it twice, \\\\, or put the text between ' and '"))
    }

    /// A list that does not end, or values with nothing between them.
    fn list(&self) -> Mistake {
        let before = &self.source[..self.offset];
        let open = before.rfind('[').unwrap_or(self.offset);
        if before[open..].matches('"').count() % 2 == 1
            && let Some(at) = before.rfind('"')
        {
            return self.at(at, OPEN_TEXT, Some("write \" at its end"));
        }
        let is_next_key =
            self.rest().trim().is_empty() || self.line.contains('=') && !before[self.start..].contains('[');
        if is_next_key {
            let why = "the list that begins here has no closing ]";
            return self.at(open, why, Some("write ] at its end"));
        }
        self.at(self.offset, "between two values of a list stands a comma", Some("write [\"...\", \"...\"]"))
    }

    /// A table in braces.
    fn braces(&self) -> Mistake {
        let open = self.source[..self.offset].rfind('{').unwrap_or(self.offset);
        if self.rest().trim().is_empty() || open < self.start {
            return self.at(open, "the { here has no closing }", Some("write } at the end of the line"));
        }
        let why = "between { and } stand keys with =, and commas between them";
        self.at(self.offset, why, Some("such as password = { file = \"PATH\" }"))
    }

    fn boolean(&self) -> Mistake {
        let why = "true and false are written in lower case, without quotation marks";
        self.at(self.offset, why, Some(&format!("write {0} = true or {0} = false", self.named())))
    }

    /// A value that is none.
    fn value(&self) -> Mistake {
        let rest = self.rest().trim();
        if rest.is_empty() || rest.starts_with('#') {
            return Mistake {
                offset: self.offset,
                why: "there is nothing behind the =".to_owned(),
                hint: Some(self.example()),
            };
        }
        if rest.starts_with(TYPOGRAPHIC) {
            return self.typographic(self.offset);
        }
        let first = rest.split([' ', '#', ',', ';', ']', '}']).next().unwrap_or_default();
        if ["yes", "no", "on", "off"].contains(&first.to_ascii_lowercase().as_str()) {
            return self.boolean();
        }
        if rest.starts_with('(') {
            return self.at(self.offset, "a list stands between [ and ]", Some("write [\"...\", \"...\"]"));
        }
        if rest.ends_with(';') && rest[..rest.len() - 1].bytes().all(|octet| octet.is_ascii_digit()) {
            return self.at(
                self.offset + rest.len() - 1,
                "nothing stands at the end of a line",
                Some("take out the ;"),
            );
        }
        let is_inside = self.source[self.start..self.offset].contains(['[', '{']);
        let hint = if is_inside { "write \"...\"".to_owned() } else { self.example() };
        Mistake { offset: self.offset, why: "a text stands in quotation marks".to_owned(), hint: Some(hint) }
    }

    /// Something behind a value.
    fn behind(&self) -> Mistake {
        let before = self.source[self.start..self.offset].trim_end();
        let rest = self.rest().trim_start();
        let why = "there is something behind the value";
        match rest.chars().next() {
            Some(',') => self.at(self.offset, why, Some("several values are a list: [\"...\", \"...\"]")),
            Some('<') => self.at(
                self.offset,
                why,
                Some("name and address stand in one pair of quotation marks: \"Shop <a@shop.example>\""),
            ),
            Some(']' | '}') => self.at(self.offset, "there is one bracket too many", Some("take it out")),
            _ if before.ends_with(['"', '\'']) && rest.starts_with(['"', '\'']) => self.at(
                self.offset,
                why,
                Some("a text stands in one pair of quotation marks; several are a list: [\"...\", \"...\"]"),
            ),
            _ => self.at(self.offset, why, Some("one key a line; a remark begins with #")),
        }
    }

    /// A line that does not begin as one does.
    fn key(&self) -> Mistake {
        let line = self.line.trim_start();
        let name = self.named();
        let strange = self.line.char_indices().find(|(_, c)| !c.is_ascii() && c.is_whitespace() || *c == '\u{feff}');
        if let Some((at, _)) = strange {
            return self.at(
                self.start + at,
                "an invisible character stands here that is no blank",
                Some("write the line anew"),
            );
        }
        if line.starts_with('=') {
            return self.at(self.indented(), "there is no key before the =", Some("write KEY = \"...\""));
        }
        let why =
            if line.contains('=') { "a key is one word, and = follows it" } else { "there is no = behind the key" };
        match line.strip_prefix(name).map(str::trim_start) {
            Some(rest) if rest.starts_with([':', '"', '\'']) => {
                Mistake { offset: self.offset, why: why.to_owned(), hint: Some(self.example()) }
            }
            _ => self.at(
                self.offset,
                why,
                Some("a line is KEY = \"...\", or a table's name such as [relay.main]; a remark begins with #"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    /// The text, line and column, a piece of what is said, and of the hint.
    #[rustfmt::skip]
    const SLIPS: &[(&str, (usize, usize), &str, &str)] = &[
        ("a = 1\nfrom = \"a@b.example\nb = 2\n", (2, 8), "no closing quotation mark", "write \" at its end"),
        ("from = 'a@b.example\n", (1, 8), "no closing quotation mark", "write ' at its end"),
        ("a = [\"x\", \"y]\n", (1, 11), "no closing quotation mark", "write \" at its end"),
        ("from = \"\"\"a\nb\n", (1, 8), "no closing quotation mark", "write \"\"\" at its end"),
        ("[site.a]\n  from = a@b.example\n", (2, 10), "a text stands in quotation marks", "write from = \"...\""),
        ("from = Shop <a@b.example>\n", (1, 8), "a text stands in quotation marks", "write from = \"...\""),
        ("deadline = 30s\n", (1, 12), "a text stands in quotation marks", "write deadline = \"...\""),
        ("limit = 100/day\n", (1, 9), "a text stands in quotation marks", "write limit = \"...\""),
        ("user = [shop]\n", (1, 9), "a text stands in quotation marks", "write \"...\""),
        ("password = { file = secrets/x }\n", (1, 21), "a text stands in quotation marks", "write \"...\""),
        ("from = “a@b.example”\n", (1, 8), "not the quotation marks of a keyboard", "from = \"...\""),
        ("from = `a`\n", (1, 8), "not the quotation marks of a keyboard", "from = \"...\""),
        ("from = \"a@b.example”\n", (1, 8), "not the quotation marks of a keyboard", "from = \"...\""),
        ("host \"mx.example\"\n", (1, 6), "no = behind the key", "write host = \"...\""),
        ("host: \"mx.example\"\n", (1, 7), "no = behind the key", "write host = \"...\""),
        ("mx.example is my host\n", (1, 12), "no = behind the key", "KEY = \"...\""),
        ("a b = \"c\"\n", (1, 3), "a key is one word", "KEY = \"...\""),
        ("= \"c\"\n", (1, 1), "no key before the =", "write KEY = "),
        ("host =\nport = 1\n", (1, 7), "nothing behind the =", "write host = \"...\""),
        ("host == \"a\"\n", (1, 7), "one = too many", ""),
        ("host\u{a0}= \"a\"\n", (1, 5), "an invisible character", "write the line anew"),
        ("host = \"a\" port = 465\n", (1, 12), "something behind the value", "one key a line"),
        ("from = \"Shop\" <a@b.example>\n", (1, 15), "something behind the value", "one pair of quotation marks"),
        ("sender = \"a\", \"b\"\n", (1, 13), "something behind the value", "several values are a list"),
        ("sender = \"a\" \"b\"\n", (1, 14), "something behind the value", "several are a list"),
        ("sender = \"a\"]\n", (1, 13), "one bracket too many", "take it out"),
        ("[relay.main\nhost = \"a\"\n", (1, 12), "stands between [ and ]", "write [relay.main]"),
        ("[relay.main]]\n", (1, 13), "stands between [ and ]", "write [relay.main]"),
        ("[[route]\n", (1, 9), "stands between [[ and ]]", "write [[route]]"),
        ("[relay main]\n", (1, 7), "the name of a table has letters", "[relay.NAME]"),
        ("[relay.main]\nhost = \"a\"\n host = \"b\"\n", (3, 2), "the key \"host\" is there twice in its table, on line 2 as well", "take one of the two out"),
        ("[relay.a]\nhost = \"a\"\n[relay.b]\nport = 1\nhost = \"b\"\nhost = \"c\"\n", (6, 1), "twice in its table, on line 5 as well", "take one"),
        ("[relay.main]\nhost = \"a\"\n[relay.b]\n[relay.main]\n", (4, 1), "the table [relay.main] is there twice, on line 1 as well", "another name"),
        ("sender = [\"a\" \"b\"]\n", (1, 15), "stands a comma", "write [\"...\", \"...\"]"),
        ("sender = [\"a\", \"b\"\nfrom = \"c\"\n", (1, 10), "no closing ]", "write ] at its end"),
        ("password = { file = \"a\"\nfrom = \"x\"\n", (1, 12), "no closing }", "write } at the end of the line"),
        ("password = { file \"a\" }\n", (1, 19), "between { and } stand keys with =", "{ file = \"PATH\" }"),
        ("port = 0465\n", (1, 8), "does not begin with 0", ""),
        ("port = 465;\n", (1, 11), "nothing stands at the end of a line", "take out the ;"),
        ("strict_modes = True\n", (1, 16), "true and false are written in lower case", "strict_modes = true"),
        ("strict_modes = yes # so\n", (1, 16), "true and false are written in lower case", "strict_modes = true"),
        ("user = (\"shop\")\n", (1, 8), "a list stands between [ and ]", "write [\"...\", \"...\"]"),
        ("// remark\n", (1, 1), "a remark begins with #", "write #"),
        ("a = 1\n  ; remark\n", (2, 3), "a remark begins with #", "write #"),
        ("path = \"C:\\mail\"\n", (1, 11), "a backslash means something else", "write it twice"),
        ("x = \"a\u{1}\"\n", (1, 7), "a control character", "take it out"),
        ("a = 1\na.b = 2\n", (2, 1), "cannot extend value of type integer", ""),
    ];

    #[test]
    fn typical_slips_are_told_in_plain_words_at_their_place() {
        for (text, (line, column), why, hint) in SLIPS {
            let error = DeTable::parse(text).expect_err(text);
            let said = of(text, error.message(), error.span().map_or(0, |span| span.start));
            assert!(said.why.contains(why), "{text:?}: {said:?}");
            assert!(said.hint.as_deref().unwrap_or_default().contains(hint), "{text:?}: {said:?}");
            assert_eq!(said.hint.is_none(), hint.is_empty(), "{text:?}: {said:?}");
            let before = &text[..said.offset];
            let at =
                (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
            assert_eq!(at, (*line, *column), "{text:?}: {said:?}");
            assert!(!said.why.contains("expected"), "{text:?}: {said:?}");
        }
    }

    /// Whatever it is, something is said, at a place in it, and nothing of a value.
    #[test]
    fn no_slip_repeats_a_value_or_leads_out_of_the_text() {
        let whole = "[relay.main]\nhost = \"mx.example\" # ü\nsender = [\"hunter2@x\", 'hunter2']\npassword = { file = \"hunter2\" }\n";
        for at in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            let (head, tail) = whole.split_at(at);
            for text in ["", "“", "\"", "'", "=", "[", "]", "{", ",", "\\", "\u{a0}", "ü", "\r", "\n"] {
                for text in [format!("{head}{text}{tail}"), format!("{head}{text}")] {
                    let Err(error) = DeTable::parse(&text) else { continue };
                    let said = of(&text, error.message(), error.span().map_or(0, |span| span.start));
                    assert!(text.is_char_boundary(said.offset), "{text:?}: {said:?}");
                    let hint = said.hint.as_deref().unwrap_or_default();
                    assert!(!said.why.contains("hunter") && !hint.contains("hunter"), "{text:?}: {said:?}");
                    assert!(!said.why.is_empty() && !said.why.contains("expected"), "{text:?}: {said:?}");
                }
            }
        }
    }
}
