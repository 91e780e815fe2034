//! The envelope (RFC 5321 2.3.1): reverse-path, forward-paths, and what the caller asked of delivery
//! status notifications (RFC 3461).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::address::{Address, parse_address};

/// Reverse-path, forward-paths and DSN wishes of one submission. Can be written down and read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `None` is the null reverse-path `<>`.
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    pub reverse_path: Option<Address>,
    /// The forward-paths without duplicates, in order; never empty.
    #[serde(serialize_with = "write_paths", deserialize_with = "read_paths")]
    pub forward_paths: Vec<Address>,
    /// `-N`, `-R`, `-V`.
    pub dsn: Dsn,
}

impl Envelope {
    /// Every address of it.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.reverse_path.iter().chain(&self.forward_paths)
    }
}

/// Delivery status notification parameters, each as the caller typed it and already checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dsn {
    /// NOTIFY: `NEVER`, or a comma-separated list of `SUCCESS`, `FAILURE`, `DELAY`.
    pub notify: Option<String>,
    /// RET: `FULL` or `HDRS`.
    pub ret: Option<String>,
    /// ENVID, raw (xtext is the wire's business).
    pub envid: Option<String>,
}

/// The reverse-path that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// The null reverse-path: `-f ""`, `-f "<>"`, `MAIL FROM:<>`.
    Null,
    /// An address as typed: not empty, free of CR, LF and NUL.
    Typed(String),
}

impl ReversePath {
    /// What `text`, without spaces at its ends, asks for: nothing and `<>` are the null reverse-path.
    pub fn of(text: &str) -> Self {
        match text {
            "" | "<>" => Self::Null,
            path => Self::Typed(path.to_owned()),
        }
    }
}

fn write_path<S: Serializer>(path: &Option<Address>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(address) => to.collect_str(address),
        None => to.serialize_str(""),
    }
}

/// Writes addresses as they are typed.
pub(crate) fn write_paths<S: Serializer>(paths: &[Address], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(ToString::to_string))
}

fn read_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { address(&text).map(Some) }
}

/// Reads addresses back; there is at least one.
pub(crate) fn read_paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Address>, D::Error> {
    let paths: Vec<String> = Vec::deserialize(from)?;
    if paths.is_empty() {
        return Err(D::Error::custom("nobody receives it"));
    }
    paths.iter().map(|path| address(path)).collect()
}

/// Reads addresses back; there may be none.
pub(crate) fn read_some_paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Address>, D::Error> {
    let paths: Vec<String> = Vec::deserialize(from)?;
    paths.iter().map(|path| address(path)).collect()
}

/// The address that `text` is, and nothing else but it: what was written is what is sent to.
fn address<E: serde::de::Error>(text: &str) -> Result<Address, E> {
    let read = parse_address(text).and_then(|spec| spec.address());
    match read {
        Ok(address) if AsRef::<str>::as_ref(&address) == text => Ok(address),
        _ => Err(E::custom("not an address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_written_down_is_read_back() {
        let address = |text: &str| parse_address(text).unwrap().address().unwrap();
        let dsn = Dsn { notify: Some("NEVER".into()), ret: None, envid: Some("a=1".into()) };
        for reverse_path in [None, Some(address("bounces@b\u{fc}cher.example"))] {
            let forward_paths = ["Bob@x.org", "\"a b\"@x.org", "bj\u{f8}rn@x.org"].map(address).to_vec();
            let envelope = Envelope { reverse_path, forward_paths, dsn: dsn.clone() };
            let text = serde_json::to_string(&envelope).unwrap();
            assert_eq!(serde_json::from_str::<Envelope>(&text).unwrap(), envelope, "{text}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for paths in [r#"[]"#, r#"["Bob <bob@x.org>"]"#, r#"["bob"]"#, r#"["a@x\r\nRCPT TO:<b@y>"]"#, r#"[1]"#] {
            let text = format!(r#"{{"reverse_path":"","forward_paths":{paths},"dsn":{{}}}}"#);
            assert!(serde_json::from_str::<Envelope>(&text).is_err(), "{text}");
        }
    }
}
