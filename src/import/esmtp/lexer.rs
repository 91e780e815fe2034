//! The words of esmtp's file. Of the rules that fit, the program takes that with the longest text, and of two as long the
//! first; so `a#b` is one word, `12345` without quotes is a number and refused, and what stands behind a closing quote
//! makes the quotes a part of the value.

/// A word with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) kind: WordKind,
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    /// A word that the program knows, by its first spelling.
    Known(&'static str),
    /// `=`.
    Equals,
    /// A value; whether an escape at its end made the program read on behind it.
    Text(String, bool),
    /// A number without quotes, which nothing may be.
    Number,
}

/// Every spelling and the first of each.
const KNOWN: &[(&str, &str)] = &[
    ("identity", "identity"),
    ("hostname", "hostname"),
    ("host", "hostname"),
    ("username", "username"),
    ("user", "username"),
    ("password", "password"),
    ("pass", "password"),
    ("starttls", "starttls"),
    ("tls", "starttls"),
    ("certificate_passphrase", "certificate_passphrase"),
    ("passphrase", "certificate_passphrase"),
    ("preconnect", "preconnect"),
    ("postconnect", "postconnect"),
    ("qualifydomain", "qualifydomain"),
    ("helo", "helo"),
    ("force", "force"),
    ("reverse_path", "reverse_path"),
    ("sender", "sender"),
    ("message_id", "message_id"),
    ("mda", "mda"),
    ("force_mda", "force_mda"),
    ("disabled", "disabled"),
    ("enabled", "enabled"),
    ("required", "required"),
    ("default", "default"),
];

/// The words behind which a value may hold a colon, and may be a word that is known.
const NAMES: [&str; 4] = ["identity", "hostname", "username", "password"];

/// Every word of the file.
pub(super) fn words(text: &str) -> Vec<Word> {
    let octets = text.as_bytes();
    let (mut at, mut line, mut is_name, mut found) = (0, 1, false, Vec::new());
    while let Some(first) = octets.get(at).copied() {
        let rest = &text[at..];
        let run = |ends: &[char]| rest.find(ends).unwrap_or(rest.len());
        let bare = run(&['=', ';', ':', ',', ' ', '\t', '\r', '\n']);
        let name = if is_name { run(&['=', ';', ',', ' ', '\t', '\r', '\n']) } else { 0 };
        let quoted = match first {
            b'"' | b'\'' => rest[1..].find(char::from(first)).map_or(0, |end| end + 2),
            _ => 0,
        };
        let blank = blank(rest);
        let (number, digits) = number(octets, at);
        let longest = [quoted, name, bare, blank, number].into_iter().max().unwrap_or(0);
        let mut put = |kind| found.push(Word { kind, line });
        let length = if quoted > 0 && quoted == longest {
            let (value, reads_on) = unescaped(&rest[1..quoted - 1]);
            put(WordKind::Text(value, reads_on));
            is_name = false;
            quoted
        } else if name > 0 && name == longest {
            let (value, reads_on) = unescaped(&rest[..name]);
            put(WordKind::Text(value, reads_on));
            is_name = false;
            name
        } else if let Some((_, word)) = KNOWN.iter().find(|(word, _)| longest == bare && rest[..bare] == **word) {
            put(WordKind::Known(word));
            is_name |= NAMES.contains(word);
            bare
        } else if first == b'=' {
            put(WordKind::Equals);
            1
        } else if blank > 0 && blank == longest {
            blank
        } else if number > 0 && number == longest {
            put(WordKind::Number);
            digits
        } else if bare > 0 {
            let (value, reads_on) = unescaped(&rest[..bare]);
            put(WordKind::Text(value, reads_on));
            bare
        } else {
            // What no rule is for is passed over.
            1
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// How long the comment, the line end or the blanks are that `rest` begins with.
fn blank(rest: &str) -> usize {
    let ended = |from: usize| {
        let bare = rest[from..].strip_prefix('\\').map_or(from, |_| from + 1);
        rest[bare..].starts_with('\n').then_some(bare + 1)
    };
    let comment = || rest.starts_with('#').then(|| rest.find('\n')).flatten().map(|end| end + 1);
    let blanks = || rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    comment().or_else(|| ended(0)).unwrap_or_else(blanks)
}

/// How much a number counts for: its digits, and the octet behind them unless that is a letter; and its digits alone.
fn number(octets: &[u8], at: usize) -> (usize, usize) {
    let sign = usize::from(octets[at] == b'-');
    let digits = octets[at + sign..].iter().take_while(|octet| octet.is_ascii_digit()).count();
    let is_ended = octets.get(at + sign + digits).is_some_and(|octet| !octet.is_ascii_alphabetic());
    match (digits, is_ended) {
        (0, _) | (1, false) => (0, 0),
        (_, true) => (sign + digits + 1, sign + digits),
        // The last digit stands for the octet behind.
        (_, false) => (sign + digits, sign + digits - 1),
    }
}

/// A value as its escapes have it, and whether the last of them has too few digits before the end.
fn unescaped(text: &str) -> (String, bool) {
    let octets = text.as_bytes();
    let (mut at, mut out, mut reads_on) = (0, Vec::with_capacity(octets.len()), false);
    while let Some(octet) = octets.get(at).copied() {
        at += 1;
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let (radix, most) = match octets.get(at) {
            Some(b'x' | b'X') => {
                at += 1;
                (16, 2)
            }
            Some(b'0') => (8, 3),
            Some(b'1'..=b'9') => (10, 3),
            Some(other) => {
                at += 1;
                out.push(match other {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'b' => 8,
                    b'r' => b'\r',
                    other => *other,
                });
                continue;
            }
            None => {
                reads_on = true;
                break;
            }
        };
        let digit = |octet: &&u8| char::from(**octet).is_digit(radix);
        let count = octets[at..].iter().take(most).take_while(digit).count();
        let value = octets[at..at + count]
            .iter()
            .fold(0, |sum, octet| sum * radix + char::from(*octet).to_digit(radix).unwrap_or_default());
        at += count;
        reads_on |= count < most && at == octets.len();
        out.push((value & 0xff) as u8);
    }
    // It ends for the program where a NUL is.
    let end = out.iter().position(|octet| *octet == 0).unwrap_or(out.len());
    (String::from_utf8_lossy(&out[..end]).into_owned(), reads_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let shown = |word: Word| match word.kind {
            WordKind::Text(text, false) => text,
            WordKind::Text(text, true) => format!("{text}..."),
            WordKind::Known(word) => format!("<{word}>"),
            WordKind::Equals => "=".to_owned(),
            WordKind::Number => "<number>".to_owned(),
        };
        words(text).into_iter().map(shown).collect()
    }

    #[test]
    fn words_are_taken_as_the_program_takes_them() {
        for (text, found) in [
            ("host=a:25 # x\n", &["<hostname>", "=", "a:25"][..]),
            ("pass a#b\n", &["<password>", "a#b"]),
            ("pass \"a b\" 'c d'\n", &["<password>", "a b", "c d"]),
            ("pass \"ab\"cd\n", &["<password>", "\"ab\"cd"]),
            ("pass \"a\\\"b\"\n", &["<password>", "\"a\"b\""]),
            ("pass 12345\n", &["<password>", "<number>"]),
            ("pass 12345", &["<password>", "12345"]),
            ("pass 1234a\n", &["<password>", "1234a"]),
            ("helo 12.example\n", &["<helo>", "12.example"]),
            ("helo a:b\n", &["<helo>", "a", "b"]),
            ("user default pass host\n", &["<username>", "default", "<password>", "host"]),
            ("helo default\n", &["<helo>", "<default>"]),
            ("host a;\nx", &["<hostname>", "a", "x"]),
            ("pass a\\x41\\101\\n\\q\\0101 \n", &["<password>", "aAe\nq\u{8}1"]),
            ("pass \"a\\x4\"", &["<password>", "a\u{4}..."]),
            ("pass \"a\\\"\n", &["<password>", "a..."]),
            ("a\\\nb\\x00c", &["a...", "b"]),
            ("# no end", &["#", "no", "end"]),
            ("host\u{e9}=\u{e9}", &["host\u{e9}", "=", "\u{e9}"]),
        ] {
            assert_eq!(values(text), found, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_in_quotes_too() {
        let lines: Vec<usize> = words("host 'a\nb'\n# c\nuser x").iter().map(|word| word.line).collect();
        assert_eq!(lines, [1, 1, 4, 4]);
    }
}
