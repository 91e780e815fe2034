//! Lines of record files: any octets. What is read of a line is what JSON says; no part of a line is one.

use mailchute::journal::read::{Field, Line};
use serde_json::Value;

use super::{Target, assert_linear, octets};
use crate::mutate::{Grammar, hash};

pub(crate) const TARGET: Target = Target { name: "log", seeds, words: WORDS, grammar: GRAMMAR, check };

const WORDS: &[&str] = &[
    "{\"v\":1,",
    "{\"v\":",
    "\"time\":\"2026-11-27T20:00:00.000Z\",",
    "\"to\":[\"a@x.org\",\"b@y.org\"]",
    "\"tries\":[{\"relay\":\"main\",\"code\":451,\"text\":\"x\",\"ms\":3}]",
    "\"text\":\"a\\u00fc\\n\\\"\"",
    "\"code\":250",
    "\\u0000",
    "\\ud83d\\ude00",
    "[[[[",
    "}{",
    "\\\\\"",
];

const GRAMMAR: Grammar = &[
    ("object", &["{\"v\":1,«fields»}", "{\"v\":1}"]),
    ("fields", &["«field»", "«field»,«fields»", "«field», «fields»"]),
    (
        "field",
        &[
            "\"text\":«value»",
            "\"to\":[«values»]",
            "\"code\":«number»",
            "\"x\":«value»",
            "\"tries\":[«value»]",
            "\"dialogue\":[«values»]",
            "\"time\":\"2026-11-27T20:00:0«number»Z\"",
            "\"status\":\"deferred\"",
            "\"retry\":true",
            "\"hint\":«value»",
            "\"exit\":«number»",
        ],
    ),
    ("values", &["«value»", "«value»,«values»", "\"«text»\", \"«text»\""]),
    ("value", &["\"«text»\"", "«number»", "null", "{\"a\":«value»}", "[«values»]", "true", "{}", "[]"]),
    (
        "text",
        &[
            "a",
            "\\\\",
            "\\\"",
            "\\u00fc",
            "ü",
            "}",
            "]",
            "{\\\"v\\\":1}",
            ",",
            "«text»«text»",
            "«text»«text»«text»",
            "",
        ],
    ),
    ("number", &["1", "0", "-1", "1.5e3", "250", "18446744073709551616"]),
];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "{\"v\":1,\"time\":\"2026-11-27T20:00:00.000Z\",\"id\":\"5cc24c0a91b2\",\"status\":\"accepted\",\"site\":\"shop\",\
         \"uid\":33,\"from\":\"a@x.org\",\"to\":[\"b@y.org\"],\"size\":312,\"code\":250,\"text\":\"2.0.0 ok\",\
         \"tries\":[{\"relay\":\"main\",\"code\":250,\"text\":\"ok\",\"ms\":81}],\"ms\":81,\"exit\":0}",
        "{\"v\":1,\"text\":\"torn {\\\"v\\\":1\",\"to\":[]}",
        "{\"v\":1,\"hint\":\"cut o{\"v\":1,\"text\":\"whole\"}",
    ])
}

fn check(input: &[u8]) -> u64 {
    if let [0xff, unit @ ..] = input
        && let Ok(unit) = std::str::from_utf8(unit)
    {
        assert_linear("", unit, |text| _ = Line::read(text.as_bytes()).map(|line| line.list(Field::To).len()));
        return 1;
    }
    let Some(line) = Line::read(input) else {
        let behind = Line::behind_torn(input).is_some();
        assert!(!is_record(input), "a record is not read");
        return 2 + u64::from(behind);
    };
    assert!(input.trim_ascii_start().starts_with(b"{") && input.ends_with(b"}"), "more than a record is one");
    // All that may be asked of it.
    let path = [line.exit(), line.code().map_or(0, |code| (code / 100) as u8), line.status() as u8];
    let _ = (line.time(), line.tries(), line.is_again());
    if let Some(record) = record(input) {
        for field in Field::ALL {
            let value = record.get(field.name());
            assert_eq!(line.has(*field), value.is_some(), "{}", field.name());
            let Some(value) = value else { continue };
            assert_eq!(line.text(*field).as_deref(), value.as_str(), "{}", field.name());
            assert_eq!(line.number(*field), value.as_u64(), "{}", field.name());
            if let Some(list) = value.as_array() {
                let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                assert_eq!(line.list(*field), texts, "{}", field.name());
            }
        }
        // What a full disk cut off is no record, and does not keep the next one from being one.
        let at = 1 + hash(input) as usize % input.len().saturating_sub(1).max(1);
        assert!(at == input.len() || Line::read(&input[..at]).is_none(), "{at} octets of a record are one");
        let torn = [&input[..at], b"{\"v\":1,\"id\":\"behind\"}"].concat();
        let behind = Line::read(&torn).or_else(|| Line::behind_torn(&torn)).and_then(|line| line.text(Field::Id));
        assert_eq!(behind.as_deref(), Some("behind"), "a record behind a torn one is lost");
    }
    hash(&path)
}

/// Whether a line is one that this program writes: an object that begins with its version.
fn is_record(input: &[u8]) -> bool {
    input.starts_with(b"{\"v\":1") && input.ends_with(b"}") && record(input).is_some()
}

/// What `input` says, where it is one object without any name twice and all of it is text.
fn record(input: &[u8]) -> Option<serde_json::Map<String, Value>> {
    let text = std::str::from_utf8(input).ok()?;
    let Value::Object(record) = serde_json::from_str(text).ok()? else { return None };
    // As many fields as names, for of a name that stands twice each reader takes another one.
    let count = Field::ALL.iter().filter(|field| text.matches(&format!("\"{}\"", field.name())).count() > 1).count();
    (count == 0 && !text.contains(['\n', '\r', '\t'])).then_some(record)
}
