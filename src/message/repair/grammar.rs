//! Which fields may hold encoded words, and what is done to raw octets where none may stand (RFC 2047 section 5).
//!
//! Identifiers and URLs are compared by programs, tokens are read by them: an encoded word would be another
//! identifier there, and no token at all. They take A-labels where a domain stands and percent-encoding elsewhere,
//! comments and names beside them encoded words, and a no-break space, which an editor put in, becomes a space.

use super::words::{self, Charset, Place};
use crate::address::ascii_domain;
use crate::address::lexer;
use crate::message::content_type::with_plain_spaces;

/// What the value of a field is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// Names and addresses (RFC 5322 3.4).
    Addresses,
    /// Message identifiers, and list identifiers with a name before them (RFC 5322 3.6.4, RFC 2919).
    Identifiers,
    /// URLs between angle brackets, between which white space counts for nothing (RFC 2369 section 2).
    ListUrls,
    /// URLs, with angle brackets or without (RFC 2557, RFC 5064).
    Urls,
    /// Octets in base64, between whose digits white space counts for nothing.
    Base64,
    /// A token with parameters (RFC 2045 5.1).
    Parameters,
    /// Tokens, dates, domains, comments.
    Tokens,
    /// Any text, and whatever nobody knows (RFC 5322 3.6.5, 3.6.8).
    Text,
}

/// Fields by their lower-case names. Those of addresses are known elsewhere; all others are text.
const STRUCTURED: &[(Grammar, &[&str])] = &[
    (
        Grammar::Identifiers,
        &[
            "content-id",
            "in-reply-to",
            "list-id",
            "message-id",
            "original-message-id",
            "references",
            "resent-message-id",
            "supersedes",
        ],
    ),
    (
        Grammar::ListUrls,
        &["list-archive", "list-help", "list-owner", "list-post", "list-subscribe", "list-unsubscribe"],
    ),
    (Grammar::Urls, &["archived-at", "content-base", "content-location"]),
    (Grammar::Base64, &["autocrypt", "autocrypt-gossip", "face"]),
    (Grammar::Parameters, &["content-disposition", "content-type"]),
    (
        Grammar::Tokens,
        &[
            "arc-authentication-results",
            "arc-message-signature",
            "arc-seal",
            "authentication-results",
            "auto-submitted",
            "content-duration",
            "content-language",
            "content-md5",
            "content-transfer-encoding",
            "date",
            "delivered-to",
            "dkim-signature",
            "expires",
            "importance",
            "list-unsubscribe-post",
            "mime-version",
            "original-recipient",
            "precedence",
            "priority",
            "received",
            "received-spf",
            "resent-date",
            "return-path",
        ],
    ),
];

impl Grammar {
    /// That of the field called `name`, which holds no addresses.
    pub(super) fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let known = STRUCTURED.iter().find(|(_, names)| names.contains(&name.as_str()));
        known.map_or(Self::Text, |(grammar, _)| *grammar)
    }

    /// Whether programs read the value, so that octets outside ASCII have no place in it even where SMTPUTF8 is in use.
    pub(super) fn is_ascii(self) -> bool {
        matches!(self, Self::Parameters | Self::Tokens)
    }
}

/// The value of a field of identifiers, URLs or tokens in ASCII, and by what rules: `A-labels, percent-encoding`.
pub(super) fn encode(text: &str, grammar: Grammar, taken: usize) -> (String, String) {
    let text = with_plain_spaces(text, false);
    let mut writer = Writer { out: String::with_capacity(text.len() * 2), rules: Vec::new(), taken };
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' => comment_length(rest),
            '<' => rest.find('>').map_or(rest.len(), |end| end + 1),
            ' ' | '\t' => rest.len() - rest.trim_start_matches([' ', '\t']).len(),
            _ if has_names(grammar) => name_length(rest),
            _ => rest.find(['(', '<', ' ', '\t']).unwrap_or(rest.len()),
        };
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        match (first, grammar) {
            _ if piece.is_ascii() => writer.out.push_str(piece),
            ('(', _) => writer.comment(piece),
            ('<', Grammar::Identifiers) => writer.identifier(piece),
            ('<', Grammar::ListUrls | Grammar::Urls) | (_, Grammar::Urls) => writer.url(piece),
            _ if has_names(grammar) => writer.words(&without_quotes(piece), Place::Phrase),
            _ => writer.token(piece),
        }
    }
    if writer.rules.is_empty() {
        writer.rules.push("no-break space made a space");
    }
    (writer.out, writer.rules.join(", "))
}

/// Whether names stand beside what programs read.
fn has_names(grammar: Grammar) -> bool {
    matches!(grammar, Grammar::Identifiers | Grammar::ListUrls)
}

/// Octets of the name that `text` begins with, without the white space behind it.
fn name_length(text: &str) -> usize {
    let mut length = 0;
    while let Some(c) = text[length..].chars().next().filter(|c| !matches!(c, '(' | '<')) {
        length += if c == '"' { string_length(&text[length..]) } else { c.len_utf8() };
    }
    text[..length].trim_end_matches([' ', '\t']).len().max(1)
}

/// A name whose strings are written without their quotes.
fn without_quotes(name: &str) -> String {
    let says = |token: lexer::Token| match token.kind {
        lexer::Kind::Quoted { .. } => lexer::unquoted(&name[token.span]),
        _ => name[token.span].to_owned(),
    };
    lexer::tokens(name).map(says).collect()
}

struct Writer {
    out: String,
    rules: Vec<&'static str>,
    taken: usize,
}

impl Writer {
    fn rule(&mut self, rule: &'static str) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    fn words(&mut self, text: &str, place: Place) {
        self.rule("RFC 2047, utf-8");
        let taken = if self.out.is_empty() { self.taken } else { 1 };
        self.out.push_str(&words::encode(text.as_bytes(), &Charset::utf_8(), place, taken));
    }

    fn comment(&mut self, comment: &str) {
        let inner = comment.strip_prefix('(').unwrap_or(comment);
        let inner = inner.strip_suffix(')').unwrap_or(inner).replace('\\', "");
        self.out.push('(');
        self.words(&inner, Place::Comment);
        self.out.push(')');
    }

    /// `<local@domain>`, or a list's `<domain>`.
    fn identifier(&mut self, text: &str) {
        let inner = text.strip_prefix('<').unwrap_or(text);
        let inner = inner.strip_suffix('>').unwrap_or(inner);
        self.out.push('<');
        self.mailbox(inner);
        self.out.push('>');
    }

    fn mailbox(&mut self, text: &str) {
        match text.rsplit_once('@') {
            Some((local, domain)) => {
                self.percent(local);
                self.out.push('@');
                self.domain(domain);
            }
            None => self.domain(text),
        }
    }

    /// A URL, perhaps in angle brackets: the host in A-labels, the rest percent-encoded (RFC 3986 2.5, 3.2.2).
    fn url(&mut self, url: &str) {
        let Some((scheme, behind)) = url.split_once(':') else { return self.percent(url) };
        self.percent(scheme);
        self.out.push(':');
        if scheme.trim_start_matches('<').eq_ignore_ascii_case("mailto") {
            let end = behind.find(['?', '>']).unwrap_or(behind.len());
            self.mailbox(&behind[..end]);
            return self.percent(&behind[end..]);
        }
        let Some(behind) = behind.strip_prefix("//") else { return self.percent(behind) };
        self.out.push_str("//");
        let (authority, path) = behind.split_at(behind.find(['/', '?', '#', '>']).unwrap_or(behind.len()));
        let host = authority.rfind('@').map_or(0, |at| at + 1);
        self.percent(&authority[..host]);
        let (host, port) = authority[host..].split_at(authority[host..].find(':').unwrap_or(authority[host..].len()));
        self.domain(host);
        self.percent(port);
        self.percent(path);
    }

    fn token(&mut self, text: &str) {
        match text.contains('@') {
            true => self.mailbox(text),
            false if text.contains('.') => self.domain(text),
            false => self.percent(text),
        }
    }

    fn domain(&mut self, text: &str) {
        match ascii_domain(text) {
            _ if text.is_ascii() => self.out.push_str(text),
            Some(labels) => {
                self.rule("A-labels");
                self.out.push_str(&labels);
            }
            None => self.percent(text),
        }
    }

    fn percent(&mut self, text: &str) {
        if !text.is_ascii() {
            self.rule("percent-encoding");
        }
        for octet in text.bytes() {
            match octet.is_ascii() {
                true => self.out.push(char::from(octet)),
                false => self.out.push_str(&format!("%{octet:02X}")),
            }
        }
    }
}

/// Octets of the comment that `text` begins with.
pub(super) fn comment_length(text: &str) -> usize {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return at + 1,
            b')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Octets of the string that `text` begins with, quotes included.
pub(super) fn string_length(text: &str) -> usize {
    crate::message::content_type::quoted_length(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_encoded_word_stands_where_programs_read() {
        for (name, input, output, rules) in [
            (
                "Message-ID",
                "<größe@bücher.example>",
                "<gr%C3%B6%C3%9Fe@xn--bcher-kva.example>",
                "percent-encoding, A-labels",
            ),
            ("References", "<a@x> <ü@y>", "<a@x> <%C3%BC@y>", "percent-encoding"),
            ("In-Reply-To", "Größe <a@x>", "=?utf-8?Q?Gr=C3=B6=C3=9Fe?= <a@x>", "RFC 2047, utf-8"),
            ("Content-ID", "<bild\u{a0}1@x>", "<bild 1@x>", "no-break space made a space"),
            (
                "List-Id",
                "Bücher <liste.bücher.example>",
                "=?utf-8?Q?B=C3=BCcher?= <liste.xn--bcher-kva.example>",
                "RFC 2047, utf-8, A-labels",
            ),
            (
                "List-Unsubscribe",
                "<https://ü@bücher.example:8/ü?ü=1>, <mailto:ü@bücher.example?subject=ü> (ü)",
                "<https://%C3%BC@xn--bcher-kva.example:8/%C3%BC?%C3%BC=1>, \
                 <mailto:%C3%BC@xn--bcher-kva.example?subject=%C3%BC> (=?utf-8?Q?=C3=BC?=)",
                "percent-encoding, A-labels, RFC 2047, utf-8",
            ),
            (
                "List-Id",
                "\"Größe, \\\"alle\\\"\" <l.example>",
                "=?utf-8?Q?Gr=C3=B6=C3=9Fe=2C_=22alle=22?= <l.example>",
                "RFC 2047, utf-8",
            ),
            (
                "List-Id",
                "Über  Größe der \"Maße, alle\" <l.example>",
                "=?utf-8?Q?=C3=9Cber__Gr=C3=B6=C3=9Fe?= der =?utf-8?Q?Ma=C3=9Fe=2C?= alle <l.example>",
                "RFC 2047, utf-8",
            ),
            ("Archived-At", "<http://x.example/ü>", "<http://x.example/%C3%BC>", "percent-encoding"),
            ("Content-Location", "bilder/größe.png", "bilder/gr%C3%B6%C3%9Fe.png", "percent-encoding"),
            (
                "Received",
                "from bücher.example (Größe [192.0.2.1]) by x; Mon, 1 Jan 2024",
                "from xn--bcher-kva.example (=?utf-8?Q?Gr=C3=B6=C3=9Fe?= [192.0.2.1]) by x; Mon, 1 Jan 2024",
                "A-labels, RFC 2047, utf-8",
            ),
            ("MIME-Version", "1.0\u{a0}", "1.0 ", "no-break space made a space"),
            ("Content-Transfer-Encoding", "\u{feff}8bit", "8bit", "no-break space made a space"),
            ("Date", "1 Mär 2024", "1 M%C3%A4r 2024", "percent-encoding"),
        ] {
            let (value, done) = encode(input, Grammar::of(name), 0);
            assert_eq!((value.as_str(), done.as_str()), (output, rules), "{name}: {input}");
        }
        for name in ["Subject", "Comments", "X-Anything", "Organization", "Keywords"] {
            assert_eq!(Grammar::of(name), Grammar::Text);
        }
    }
}
