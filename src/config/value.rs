//! The forms a configured value may take: times, names, addresses, sender patterns, fingerprints.

use std::time::Duration;

use toml::de::DeValue;

use super::site::SenderPattern;
use crate::address::{AddrSpec, Address, Mailbox};

/// A user name or a number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'d> {
    /// A name.
    Word(&'d str),
    /// A number.
    Number(u32),
}

impl<'d> Name<'d> {
    pub(super) fn read(value: &'d DeValue<'d>) -> Option<Self> {
        match value {
            DeValue::String(word) if !word.is_empty() => Some(Self::Word(word)),
            // The last uid is the one no process has.
            DeValue::Integer(_) => {
                integer(value).and_then(|n| u32::try_from(n).ok()).filter(|n| *n != u32::MAX).map(Self::Number)
            }
            _ => None,
        }
    }
}

/// What a value is, for an error.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A date, or what may be one, as text.
pub(super) fn date(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Datetime(date) => Some(date.to_string()),
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}

/// A string or an array of strings.
pub(super) fn strings<'d>(value: &'d DeValue<'d>) -> Option<Vec<&'d str>> {
    match value {
        DeValue::String(one) => Some(vec![one]),
        DeValue::Array(array) => array.iter().map(|v| v.get_ref().as_str()).collect(),
        _ => None,
    }
}

/// `500ms`, `30s`, `2m`, `1h`; not zero, not more than a day.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.checked_mul(millis)?;
    (1..=86_400_000).contains(&millis).then(|| Duration::from_millis(millis))
}

/// `30m`, `12h`, `5d`, `1w`: at least a minute, not more than 60 days.
pub(super) fn days(text: &str) -> Option<Duration> {
    span(text).filter(|seconds| (60..=60 * 86_400).contains(seconds)).map(Duration::from_secs)
}

/// `12h`, `90d`, `52w`: at least an hour, not more than ten years.
pub(super) fn age(text: &str) -> Option<Duration> {
    span(text).filter(|seconds| (3600..=3650 * 86_400).contains(seconds)).map(Duration::from_secs)
}

/// A number of minutes, hours, days or weeks, in seconds.
fn span(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let seconds = match text[digits..].trim_start() {
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds)
}

/// `500 MB`, `2 GB`, `100 KB`, by 1024 each: octets; not zero.
pub(super) fn octets(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "KB" | "kB" | "K" | "KiB" => 1 << 10,
        "MB" | "M" | "MiB" => 1 << 20,
        "GB" | "G" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit).filter(|octets| *octets > 0)
}

/// What serde expects, in the words of TOML.
pub(super) fn told(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        "u32" => "a number",
        expected => expected,
    }
}

/// What other programs call a key, and what it is called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("user", "username"),
    ("login", "username"),
    ("pass", "password"),
    ("passwd", "password"),
    ("secret", "password"),
    ("server", "host"),
    ("hostname", "host"),
    ("smarthost", "host"),
    ("encryption", "tls"),
    ("security", "tls"),
    ("secure", "tls"),
    ("ssl", "tls"),
    ("starttls", "tls"),
    ("timeout", "connect_timeout"),
    ("local_domain", "helo"),
    ("peer_fingerprint", "fingerprint"),
    ("source_ip", "source"),
    ("auth_mode", "auth"),
    ("auto_tls", "tls"),
    ("require_tls", "tls"),
    ("uid", "user"),
    ("owner", "user"),
    ("logfile", "log"),
    ("file", "to"),
];

/// Our word for the key that other programs call `word`.
pub(super) fn elsewhere(word: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours)
}

/// `Name <local@domain>` or `local@domain`.
pub(super) fn mailbox(text: &str) -> Option<Mailbox> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim(), address),
        None => ("", text),
    };
    if text.contains(char::is_control) {
        return None;
    }
    let address: Address = address.parse().ok()?;
    let name = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    let spec = AddrSpec { local: address.user().to_owned(), domain: Some(address.domain().to_owned()) };
    Some(Mailbox { name: (!name.is_empty()).then_some(name), spec })
}

/// A host or domain name as it may be configured: no space, no control character, no `@`.
pub(super) fn domain(text: &str) -> Option<String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '/' | '<' | '>' | '*');
    (!text.is_empty() && !text.contains(bad)).then(|| text.to_lowercase())
}

/// `local@domain`, `*@domain`, `*@*.domain`.
pub(super) fn sender_pattern(text: &str) -> Option<SenderPattern> {
    let (local, host) = text.rsplit_once('@')?;
    let (subdomains, host) = match host.strip_prefix("*.") {
        Some(host) => (true, host),
        None => (false, host),
    };
    let local = match local {
        "*" => None,
        local if local.is_empty() || local.contains(['*', ' ', '<']) || subdomains => return None,
        local => Some(local.to_owned()),
    };
    Some(SenderPattern { local, domain: domain(host)?, subdomains })
}

/// 64 hexadecimal digits, with or without colons.
pub(super) fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    let mut print = [0; 32];
    let (pairs, rest) = hex.as_chunks::<2>();
    if pairs.len() != print.len() || !rest.is_empty() {
        return None;
    }
    for (octet, pair) in print.iter_mut().zip(pairs) {
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        *octet = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(print)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, millis) in [("30s", 30_000), ("2m", 120_000), ("500ms", 500), ("1 h", 3_600_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "0s", "-1s", "1.5s", "99999999999999999999s", "25h", "1d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_and_days_have_a_unit() {
        for (text, wanted) in [("500 MB", Some(500 << 20)), ("1GB", Some(1 << 30)), (" 2 KB", Some(2048))] {
            assert_eq!(octets(text), wanted, "{text}");
        }
        for text in ["", "5", "MB", "0 MB", "1.5 MB", "-1 MB", "5 messages", "99999999999999999999 GB"] {
            assert_eq!(octets(text), None, "{text}");
        }
        for (text, hours) in [("5d", 120), ("1 w", 168), ("12h", 12), ("60m", 1), ("60d", 1440)] {
            assert_eq!(days(text), Some(Duration::from_secs(hours * 3600)), "{text}");
        }
        for text in ["", "5", "d", "0d", "61d", "30s", "1.5d", "-1d"] {
            assert_eq!(days(text), None, "{text}");
        }
    }

    #[test]
    fn mailboxes_need_an_address_with_a_domain() {
        let shop = mailbox("Shop <orders@shop.example>").unwrap();
        assert_eq!((shop.name.as_deref(), shop.spec.local.as_str()), (Some("Shop"), "orders"));
        assert_eq!(mailbox("\"A, \\\"B\\\"\" <a@b.example>").unwrap().name.as_deref(), Some("A, \"B\""));
        assert_eq!(mailbox("a@b.example").unwrap().name, None);
        for text in ["", "root", "Shop <>", "Shop <orders>", "a@b.example\r\nBcc: x@y.example", "<a@b.example"] {
            assert_eq!(mailbox(text), None, "{text}");
        }
    }

    #[test]
    fn fingerprints_are_sha256() {
        let colons = ["ab"; 32].join(":");
        assert_eq!(fingerprint(&colons), Some([0xab; 32]));
        assert_eq!(fingerprint(&"AB".repeat(32)), Some([0xab; 32]));
        assert_eq!(fingerprint(&"ab".repeat(20)), None);
        assert_eq!(fingerprint(&"xy".repeat(32)), None);
    }
}
