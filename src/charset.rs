//! Octets in the charsets of mail as text, and what of them was not in their charset.
//!
//! Nothing is lost silently: text that was not exactly what its label says comes with the sentence the log
//! record gets. Readers of mail show such text all the same, so it is text here too.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// Labels that say nothing of octets above 127: those of ASCII, of UTF-8, and what programs write that know none.
const OPEN: [&str; 20] = [
    "utf-8",
    "utf8",
    "utf8mb4",
    "utf-8-sig",
    "x-utf-8",
    "unicode-1-1-utf-8",
    "us-ascii",
    "ascii",
    "ansi-x3.4-1968",
    "646",
    "7bit",
    "8bit",
    "ascii-8bit",
    "binary",
    "unknown",
    "unknown-8bit",
    "x-unknown",
    "default",
    "none",
    "",
];

/// Names of charsets that the decoder does not know, as Windows, Java, Python, PHP and Ruby have them.
const ALIASES: [(&str, &[&str]); 14] = [
    ("big5", &["big5hkscs", "cn-big5", "cp950", "csbig5", "ms950", "windows-950", "x-windows-950", "x-x-big5"]),
    ("euc-jp", &["cp51932", "euc-jp-ms", "eucjp", "eucjp-ms", "eucjp-win", "ujis", "x-euc-jp"]),
    ("euc-kr", &["cp949", "euckr", "korean", "ks-c-5601", "ksc5601", "ms949", "uhc", "windows-949", "x-windows-949"]),
    ("gbk", &["chinese", "cn-gb", "cp936", "euc-cn", "euccn", "ms936", "windows-936", "x-gbk"]),
    ("ibm866", &["cp-866", "dos-866", "ibm-866"]),
    ("iso-2022-jp", &["cp50220", "cp50221", "cp50222", "iso-2022-jp-1", "iso-2022-jp-ms", "iso2022jp", "jis"]),
    ("iso-8859-1", &["8859-1", "latin-1"]),
    ("iso-8859-2", &["8859-2", "latin-2"]),
    ("iso-8859-15", &["8859-15", "latin9"]),
    ("koi8-r", &["koi8r"]),
    (
        "shift_jis",
        &["cp932", "csshiftjis", "cswindows31j", "ms-kanji", "ms932", "sjis", "sjis-win", "windows-31j", "x-sjis"],
    ),
    ("utf-16", &["utf16"]),
    ("windows-874", &["cp874", "tis620"]),
    ("windows-1252", &["ansi", "windows-cp1252"]),
];

/// Charsets that a decoder knows by name only.
const UNDECODED: [&str; 6] =
    ["iso-2022-kr", "csiso2022kr", "iso-2022-cn", "iso-2022-cn-ext", "hz-gb-2312", "replacement"];

/// How much of a foreign label is shown, in bytes.
const SHOWN: usize = 40;

/// Text, and what was odd about the octets it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The text. U+FFFD stands in it only where `flaw` says so, or where it was in the octets.
    pub text: String,
    /// What was not as the label says, for a record: `1 octet that is not utf-8 read as windows-1252`.
    pub flaw: Option<String>,
}

impl Decoded {
    /// Text as it was meant.
    pub fn exact(text: impl Into<String>) -> Self {
        Self { text: text.into(), flaw: None }
    }
}

/// `octets` as the text that `label` says they are; nobody said anything without one.
///
/// UTF-8 is taken for what it is where the label is of ASCII, of no charset or of one that is not known; octets that
/// are not UTF-8 there are read as windows-1252. No C1 control comes of a charset of single octets.
///
/// `None`: the charset exists, but nothing here can decode it.
pub fn decode(octets: &[u8], label: Option<&str>) -> Option<Decoded> {
    let label = label.unwrap_or_default().trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let name = canonical(&label);
    if UNDECODED.contains(&name.replace('_', "-").as_str()) {
        return None;
    }
    let is_open = is_open(&name);
    let Some(decoder) = charset_decoder(name.as_bytes()).filter(|_| !is_open) else {
        let (text, strays) = utf8_or_windows_1252(octets);
        let flaw = match strays {
            0 if is_open || octets.is_ascii() => None,
            0 => Some(format!("the charset {} is not known, read as utf-8", shown(&label))),
            _ if !is_open => Some(format!("the charset {} is not known, read as windows-1252", shown(&label))),
            strays => Some(format!("{strays} octet{} not utf-8 read as windows-1252", plural(strays))),
        };
        return Some(Decoded { text, flaw });
    };
    let text = without_c1(decoder(octets));
    let lost = text.matches('\u{fffd}').count();
    let flaw = (lost > 0).then(|| format!("{lost} character{} not {} shown as U+FFFD", plural(lost), shown(&label)));
    Some(Decoded { text, flaw })
}

/// The text that raw octets of a header field stand for. What is not ASCII is UTF-8 where it is valid, else in the
/// charset that the message declares for its content, else in windows-1252. The escapes of ISO-2022-JP, which
/// is ASCII to look at, are read whatever is declared.
///
/// An octet that stands for nothing becomes a question mark: it neither makes a control character nor hides one.
pub fn field_text<'a, 'd>(octets: &'a [u8], declared: impl FnOnce() -> Option<&'d str>) -> Cow<'a, str> {
    let exact = |label: &str| decode(octets, Some(label)).filter(|decoded| decoded.flaw.is_none());
    if has_escapes(octets)
        && let Some(decoded) = exact("iso-2022-jp")
    {
        return Cow::Owned(decoded.text);
    }
    // UTF-7 would make marks of addresses out of letters, UTF-16 out of anything.
    let is_eight_bit =
        |label: &&str| !["utf", "unicode"].iter().any(|family| label.to_ascii_lowercase().starts_with(family));
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(match declared().filter(is_eight_bit).and_then(exact) {
            Some(decoded) => decoded.text,
            None => windows_1252(octets).replace('\u{fffd}', "?"),
        }),
    }
}

/// Whether ISO-2022-JP begins somewhere (RFC 1468).
fn has_escapes(octets: &[u8]) -> bool {
    let begins = |at: usize| matches!(octets[at + 1..], [b'$', b'@' | b'B', ..] | [b'(', b'J' | b'I', ..]);
    memchr::memchr_iter(0x1b, octets).any(begins)
}

/// Whether `label` is one that [`decode`] knows.
pub fn is_known(label: &str) -> bool {
    let name = canonical(label);
    is_open(&name) || charset_decoder(name.as_bytes()).is_some()
}

/// `label` in lower case, or the name by which everybody knows the charset that it means.
pub fn canonical(label: &str) -> String {
    let label = label.to_ascii_lowercase();
    let key = label.replace('_', "-");
    // `windows1251`, `win-1251` and the like.
    let page = ["windows", "win-", "win", "cp-"].iter().find_map(|family| key.strip_prefix(family));
    if let Some(page) = page.filter(|page| page.len() == 4 && page.starts_with("125")) {
        return format!("windows-{page}");
    }
    let alias = ALIASES.iter().find(|(_, aliases)| aliases.contains(&key.as_str()));
    alias.map_or(label, |(name, _)| (*name).to_owned())
}

fn is_open(name: &str) -> bool {
    OPEN.contains(&name.replace('_', "-").as_str())
}

/// Valid UTF-8 as it is and every other octet as windows-1252, and how many those are.
fn utf8_or_windows_1252(octets: &[u8]) -> (String, usize) {
    let mut text = String::with_capacity(octets.len());
    let mut strays = 0;
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        strays += chunk.invalid().len();
        text.push_str(&windows_1252(chunk.invalid()));
    }
    (text, strays)
}

/// Octets as windows-1252; the five it does not define are U+FFFD.
pub fn windows_1252(octets: &[u8]) -> String {
    charset_decoder(b"windows-1252").map_or_else(String::new, |decoder| without_c1(decoder(octets)))
}

fn without_c1(text: String) -> String {
    let is_c1 = |c: char| matches!(c, '\u{80}'..='\u{9f}');
    if text.contains(is_c1) { text.replace(is_c1, "\u{fffd}") } else { text }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { " that is" } else { "s that are" }
}

fn shown(label: &str) -> String {
    crate::reply::printable(label.as_bytes(), SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_readers_of_mail_show_it() {
        for (octets, label, text, flaw) in [
            (&b"plain"[..], None, "plain", None),
            (b"\xc3\xbc", None, "ü", None),
            (b"\xc3\xbc", Some("US-ASCII"), "ü", None),
            (b"\xc3\xbc", Some("UTF8"), "ü", None),
            (b"\xfc", Some("ISO-8859-1"), "ü", None),
            (b"\x80\x92", Some("iso-8859-1"), "€’", None),
            (b"\xf0\xd2", Some("KOI8-R"), "Пр", None),
            (b"\x93\xfa\x96\x7b", Some("shift_jis"), "日本", None),
            (b"\x1b$BF|K\\\x1b(B", Some("iso-2022-jp"), "日本", None),
            (b"\xc3\xbc \x92", Some("utf-8"), "ü ’", Some("1 octet that is not utf-8 read as windows-1252")),
            (b"\xfc\xfc", None, "üü", Some("2 octets that are not utf-8 read as windows-1252")),
            (b"\xc3\xbc", Some("x-unheard-of"), "ü", Some("the charset x-unheard-of is not known, read as utf-8")),
            (b"\xfc", Some("x-unheard-of"), "ü", Some("the charset x-unheard-of is not known, read as windows-1252")),
            (b"plain", Some("x-unheard-of"), "plain", None),
            (
                b"\x93\xfa\x80!",
                Some("shift_jis"),
                "日\u{fffd}!",
                Some("1 character that is not shift_jis shown as U+FFFD"),
            ),
            (b"\x81", Some("windows-1252"), "\u{fffd}", Some("1 character that is not windows-1252 shown as U+FFFD")),
        ] {
            let decoded = decode(octets, label).unwrap();
            assert_eq!(
                (decoded.text.as_str(), decoded.flaw.as_deref()),
                (text, flaw),
                "{label:?} {}",
                octets.escape_ascii()
            );
        }
        for (octets, labels, text) in [
            (&b"\x93\xfa"[..], &["CP932", "windows-31j", "x-sjis", "SJIS-win", "csWindows31J"][..], "日"),
            (b"\xc8\xd5", &["cp936", "EUC-CN", "x-gbk", "chinese", "GB2312"], "日"),
            (b"\xec\xed", &["cp949", "UHC", "ks_c_5601-1987", "KS_C_5601", "euckr"], "日"),
            (b"\xa4\xe9", &["cp950", "Big5-HKSCS", "big5hkscs"], "日"),
            (b"\xc6\xfc", &["eucJP-win", "ujis", "x-euc-jp", "CP51932"], "日"),
            (b"\x1b$BF|\x1b(B", &["cp50221", "ISO-2022-JP-MS", "JIS"], "日"),
            (b"\xef", &["win-1251", "windows1251", "cp1251", "CP-1251", "WINDOWS_1251"], "п"),
            (b"\xf0", &["koi8r", "KOI8_R"], "П"),
            (b"\xa4", &["latin-9", "latin9", "8859-15", "ISO_8859-15"], "€"),
            (b"\xfc", &["latin-1", "8859_1", "win1252", "ANSI"], "ü"),
            (b"\xc3\xbc", &["utf8mb4", "UTF-8-SIG", "utf_8", "unicode-1-1-utf-8", "ASCII-8BIT", "8bit"], "ü"),
        ] {
            for label in labels {
                let decoded = decode(octets, Some(label)).unwrap();
                assert_eq!((decoded.text.as_str(), decoded.flaw), (text, None), "{label}");
                assert!(is_known(label), "{label}");
            }
        }
        for label in ["ISO-2022-KR", "hz-gb-2312"] {
            assert_eq!(decode(b"x", Some(label)), None);
        }
    }

    #[test]
    fn no_octets_make_a_c1_control_of_a_charset_of_single_octets() {
        let octets: Vec<u8> = (128..=255).collect();
        for label in [None, Some("windows-1252"), Some("iso-8859-1"), Some("iso-8859-15"), Some("koi8-r")] {
            let text = decode(&octets, label).unwrap().text;
            assert!(!text.contains(|c| matches!(c, '\u{80}'..='\u{9f}')), "{label:?}: {text:?}");
        }
    }

    #[test]
    fn raw_octets_of_a_field_are_utf_8_or_what_is_declared_or_windows_1252() {
        for (octets, declared, text) in [
            (&b"plain"[..], None, "plain"),
            (b"\xc3\xbc", Some("iso-8859-1"), "ü"),
            (b"Pat O\x92Neil", None, "Pat O’Neil"),
            (b"Pat O\x92Neil", Some("utf-8"), "Pat O’Neil"),
            (b"O\x92Neil", Some("ISO-8859-1"), "O’Neil"),
            (b"\x81\x8d\x8f\x90\x9d", None, "?????"),
            (b"\xef\xf0\xe8", Some("windows-1251"), "при"),
            (b"\xd0\xd2\xc9", Some("KOI8-R"), "при"),
            (b"\xb1\xb3", Some("iso-8859-2"), "ął"),
            (b"\xc4\xe3\xba\xc3", Some("GBK"), "你好"),
            (b"\xb1\xe8\xc3\xb6\xbc\xf6", Some("euc-kr"), "김철수"),
            (b"\x83\x5c\x83\x6a\x81\x5b", Some("Shift_JIS"), "ソニー"),
            (b"\x1b$B;3ED\x1b(B <a@x.org>", None, "山田 <a@x.org>"),
            (b"\x1b$B;3ED\x1b(B", Some("us-ascii"), "山田"),
            (b"\x1b[1m", None, "\u{1b}[1m"),
            (b"\xfc", Some("utf-7"), "ü"),
            (b"\xfc", Some("x-unheard-of"), "ü"),
            (b"\xfc", Some(""), "ü"),
        ] {
            assert_eq!(field_text(octets, || declared), text, "{} {declared:?}", octets.escape_ascii());
        }
    }
}
