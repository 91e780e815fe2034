//! What stands in a sendmail.mc: the macros that are called and what they are given, as m4 takes quotes, `dnl` and `#`,
//! without m4. A macro of the file's own is filled in; whatever m4 would have to compute is known to be that.

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::import::source::{SourceFile, wrong};

/// How often a macro may lead to another.
const DEPTH: usize = 8;

/// What a macro is given; `None`: m4 would compute it.
pub(super) type Argument = Option<String>;

/// A macro that is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) line: usize,
}

impl Call {
    /// An argument that is known, by number.
    pub(super) fn text(&self, at: usize) -> Option<&str> {
        self.arguments.get(at)?.as_deref()
    }
}

/// The macros of the file's own, and two of sendmail's.
pub(super) struct Macros(BTreeMap<String, String>);

impl Default for Macros {
    fn default() -> Self {
        let known = [("MAIL_SETTINGS_DIR", "/etc/mail/"), ("DATABASE_MAP_TYPE", "hash")];
        Self(known.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Macros whose result only m4 knows.
const COMPUTED: [&str; 12] = [
    "ifdef", "ifelse", "eval", "incr", "decr", "index", "substr", "translit", "format", "esyscmd", "syscmd", "patsubst",
];

/// Whether m4 computes something to know what this macro comes to.
pub(super) fn is_computed(name: &str) -> bool {
    COMPUTED.contains(&name)
}

/// Every call of the file, in order.
///
/// # Errors
/// `Data`: a quote or a parenthesis is not closed.
pub(super) fn calls(source: &SourceFile, macros: &mut Macros) -> Result<Vec<Call>, Failure> {
    // Before sendmail's own macros are there, # begins a comment; with them it does not.
    let has_hash = source.text.contains("cf.m4");
    let mut reader = Reader { text: &source.text, at: 0, has_hash };
    let mut found = Vec::new();
    while let Some(c) = reader.peek() {
        let start = reader.at;
        let refused = || {
            wrong(
                &source.path,
                source.text[..start].matches('\n').count() + 1,
                "the quote or the parenthesis that begins here is not closed",
            )
        };
        match c {
            '`' => drop(reader.quoted().ok_or_else(refused)?),
            '#' if reader.has_hash => reader.line(),
            c if is_first(c) => {
                let word = reader.word();
                if word == "dnl" {
                    reader.line();
                    continue;
                }
                let is_called = reader.peek() == Some('(');
                if !is_called && word.bytes().any(|octet| octet.is_ascii_lowercase()) {
                    continue;
                }
                let arguments = if is_called { reader.arguments(macros).ok_or_else(refused)? } else { Vec::new() };
                let call =
                    Call { name: word.to_owned(), arguments, line: source.text[..start].matches('\n').count() + 1 };
                match (word, call.text(0)) {
                    ("define", Some(name)) => {
                        let value = call.text(1).unwrap_or_default().to_owned();
                        macros.0.insert(name.to_owned(), value);
                    }
                    ("undefine", Some(name)) => drop(macros.0.remove(name)),
                    ("include", Some(path)) if path.ends_with("cf.m4") => reader.has_hash = false,
                    _ => {}
                }
                found.push(call);
            }
            c => reader.at += c.len_utf8(),
        }
    }
    Ok(found)
}

impl Macros {
    /// A value with the file's own macros filled in.
    pub(super) fn expanded(&self, text: &str) -> Argument {
        self.expand(text, DEPTH)
    }

    fn expand(&self, text: &str, depth: usize) -> Argument {
        let mut reader = Reader { text, at: 0, has_hash: false };
        let mut out = String::new();
        while let Some(c) = reader.peek() {
            match c {
                '`' => out += &reader.quoted()?,
                c if is_first(c) => out += &self.word(&mut reader, depth)?,
                c => {
                    out.push(c);
                    reader.at += c.len_utf8();
                }
            }
        }
        Some(out)
    }

    /// What a word comes to.
    fn word(&self, reader: &mut Reader<'_>, depth: usize) -> Argument {
        let word = reader.word();
        match self.0.get(word) {
            _ if is_computed(word) => None,
            Some(_) if depth == 0 => None,
            Some(value) => self.expand(value, depth - 1),
            None => Some(word.to_owned()),
        }
    }
}

fn is_first(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    has_hash: bool,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// Goes to the next line.
    fn line(&mut self) {
        self.at += self.text[self.at..].find('\n').map_or(self.text.len() - self.at, |end| end + 1);
    }

    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// What a quote holds, without its own marks.
    fn quoted(&mut self) -> Option<String> {
        let (mut depth, mut out) = (0_usize, String::new());
        for (at, c) in self.text[self.at..].char_indices() {
            match c {
                '`' => depth += 1,
                '\'' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at += at + 1;
                return Some(out);
            }
            if !(depth == 1 && c == '`') {
                out.push(c);
            }
        }
        None
    }

    /// What stands between the parentheses here.
    fn arguments(&mut self, macros: &Macros) -> Option<Vec<Argument>> {
        self.at += 1;
        let (mut found, mut depth) = (Vec::new(), 0_usize);
        let mut current: Argument = Some(String::new());
        let mut is_start = true;
        loop {
            let c = self.peek()?;
            match c {
                c if is_start && c.is_whitespace() => {
                    self.at += c.len_utf8();
                    continue;
                }
                '`' => {
                    let inside = self.quoted()?;
                    push(&mut current, &inside);
                }
                '#' if self.has_hash => {
                    self.line();
                }
                ',' | ')' if depth == 0 => {
                    self.at += 1;
                    found.push(current.take());
                    if c == ')' {
                        return Some(found);
                    }
                    current = Some(String::new());
                    is_start = true;
                    continue;
                }
                c if is_first(c) => match macros.word(self, DEPTH) {
                    Some(word) if word == "dnl" => self.line(),
                    Some(word) => push(&mut current, &word),
                    None => current = None,
                },
                c => {
                    depth = match c {
                        '(' => depth + 1,
                        ')' => depth.saturating_sub(1),
                        _ => depth,
                    };
                    push(&mut current, c.encode_utf8(&mut [0; 4]));
                    self.at += c.len_utf8();
                }
            }
            is_start = false;
        }
    }
}

fn push(current: &mut Argument, text: &str) {
    if let Some(current) = current {
        current.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, String)>, Failure> {
        let modes = crate::modes::Modes { uid: 0, gid: 0, mode: 0o644 };
        let source = SourceFile { path: "/m".into(), text: zeroize::Zeroizing::new(text.to_owned()), modes };
        let shown = |call: Call| {
            let arguments: Vec<_> =
                call.arguments.into_iter().map(|one| one.unwrap_or_else(|| "?".to_owned())).collect();
            (call.line, format!("{}({})", call.name, arguments.join("|")))
        };
        Ok(calls(&source, &mut Macros::default())?.into_iter().map(shown).collect())
    }

    #[test]
    fn calls_are_read_as_m4_reads_them() {
        let text = "divert(-1)\n# it's `define(`A', `1')\ninclude(`/usr/share/sendmail/cf/m4/cf.m4')dnl\n#define(`B', `[b.example]')dnl\n\
                    dnl define(`C', `x')\ndefine( `D',\n ``two words''  )dnl\nFEATURE(authinfo, `hash 'MAIL_SETTINGS_DIR`authinfo')\n\
                    define(`E', ifelse(`a', `b', `c'))\n`MASQUERADE_AS(`quoted')'\nLOCAL_CONFIG\nFEATURE(`x', `D, (E)', D(1))\n";
        let found = read(text).expect("calls");
        let expected = [
            (1, "divert(-1)"),
            (3, "include(/usr/share/sendmail/cf/m4/cf.m4)"),
            (4, "define(B|[b.example])"),
            (6, "define(D|`two words'  )"),
            (8, "FEATURE(authinfo|hash /etc/mail/authinfo)"),
            (9, "define(E|?)"),
            (11, "LOCAL_CONFIG()"),
            (12, "FEATURE(x|D, (E)|two words  (1))"),
        ];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_macro_that_leads_to_itself_comes_to_nothing() {
        let mut macros = Macros::default();
        macros.0.insert("A".to_owned(), "B".to_owned());
        macros.0.insert("B".to_owned(), "A".to_owned());
        macros.0.insert("C".to_owned(), "[c.`A'.example]".to_owned());
        assert_eq!(macros.expanded("A"), None);
        assert_eq!(macros.expanded("C/x").as_deref(), Some("[c.A.example]/x"));
    }

    #[test]
    fn what_is_not_closed_has_a_line() {
        for (text, line) in [("a\ndefine(`A', `x)\n", 2), ("\n\nFEATURE(x\n", 3), ("`\n", 1)] {
            assert_eq!(read(text).expect_err(text).what, format!("/m:{line}"), "{text}");
        }
    }
}
