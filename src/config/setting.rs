//! Settings of the environment and their TOML.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// One key with its value and the variable that says so.
pub(crate) struct Setting {
    pub(crate) variable: &'static str,
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// A value, in one of the forms TOML has for it.
pub(crate) enum Value {
    /// A string, perhaps a secret.
    Text(Zeroizing<String>),
    /// A number or `true` or `false`.
    Bare(String),
    /// Strings.
    List(Vec<String>),
    /// A secret that is a variable's whole value.
    Variable(&'static str, Zeroizing<String>),
    /// The path of a file that holds a secret.
    File(String),
}

/// How secrets that are a variable's value are rendered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    /// As `{ env = "NAME" }`, read when the relay is tried.
    Named,
    /// Written out, for a place where the variable will not exist.
    Written,
}

impl Setting {
    /// `key = value`.
    pub(super) fn line(&self, secrets: Secrets) -> Zeroizing<String> {
        let bare =
            self.key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) && !self.key.is_empty();
        let key = if bare { self.key.clone() } else { quoted(&self.key).to_string() };
        let value = match &self.value {
            Value::Text(text) => quoted(text),
            Value::Bare(word) => Zeroizing::new(word.clone()),
            Value::List(words) => {
                let words: Vec<_> = words.iter().map(|word| quoted(word).to_string()).collect();
                Zeroizing::new(format!("[{}]", words.join(", ")))
            }
            Value::Variable(name, _) if secrets == Secrets::Named => Zeroizing::new(format!("{{ env = {name:?} }}")),
            Value::Variable(_, text) => quoted(text),
            Value::File(path) => Zeroizing::new(format!("{{ file = {} }}", *quoted(path))),
        };
        Zeroizing::new(format!("{key} = {}", *value))
    }
}

/// The value of a setting of a query, in the form its key takes.
pub(super) fn typed(key: &str, text: String) -> Value {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (key, text.as_str()) {
        ("port" | "transient_status" | "subaccount" | "weight", _) if digits => Value::Bare(text),
        ("tracking" | "open_tracking" | "click_tracking" | "sandbox" | "custom_headers", "true" | "false") => {
            Value::Bare(text)
        }
        ("chunking" | "pipelining" | "bounce" | "discard", "true" | "1") => Value::Bare("true".into()),
        ("chunking" | "pipelining" | "bounce" | "discard", "false" | "0") => Value::Bare("false".into()),
        ("auth" | "sender" | "local_domains" | "tags" | "divert" | "limit", list) => self::list(list),
        _ => Value::Text(Zeroizing::new(text)),
    }
}

/// Words apart by commas.
pub(super) fn list(text: &str) -> Value {
    Value::List(text.split(',').map(|word| word.trim().to_owned()).collect())
}

/// A TOML basic string.
pub(crate) fn quoted(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 6 + 2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a string cannot fail.
            c if c.is_control() => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
