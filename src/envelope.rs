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
    /// What was asked for single recipients, where the caller spoke SMTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Asked>,
}

/// What was asked for one recipient alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The forward-path, as it is typed.
    pub recipient: String,
    /// NOTIFY, as [`Dsn::notify`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// ORCPT, raw: `rfc822;bob@example.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

impl Dsn {
    /// Notes what is asked for `recipient` alone, if anything is.
    pub fn ask(&mut self, recipient: &Address, notify: &Option<String>, original: &Option<String>) {
        if notify.is_some() || original.is_some() {
            let (recipient, notify, original) = (recipient.to_string(), notify.clone(), original.clone());
            self.each.push(Asked { recipient, notify, original });
        }
    }

    /// NOTIFY of `recipient`.
    pub fn notify_of(&self, recipient: &Address) -> &Option<String> {
        self.asked_for(recipient).map_or(&self.notify, |asked| &asked.notify)
    }

    /// ORCPT of `recipient`, where somebody named it otherwise.
    pub fn original_of(&self, recipient: &Address) -> Option<&String> {
        self.asked_for(recipient)?.original.as_ref()
    }

    /// Whether somebody is to hear that `recipient` does not get the message (RFC 3461 4.1).
    pub fn tells_of(&self, recipient: &Address) -> bool {
        let is_failure = |when: &str| when.trim().eq_ignore_ascii_case("FAILURE");
        self.notify_of(recipient).as_ref().is_none_or(|notify| notify.split(',').any(is_failure))
    }

    fn asked_for(&self, recipient: &Address) -> Option<&Asked> {
        self.each.iter().find(|asked| asked.recipient == AsRef::<str>::as_ref(recipient))
    }
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
        let original = Some("rfc822;Bob@x.org".to_owned());
        let each = vec![Asked { recipient: "Bob@x.org".into(), notify: None, original }];
        let dsn = Dsn { notify: Some("NEVER".into()), ret: None, envid: Some("a=1".into()), each };
        for reverse_path in [None, Some(address("bounces@b\u{fc}cher.example"))] {
            let forward_paths = ["Bob@x.org", "\"a b\"@x.org", "bj\u{f8}rn@x.org"].map(address).to_vec();
            let envelope = Envelope { reverse_path, forward_paths, dsn: dsn.clone() };
            let text = serde_json::to_string(&envelope).unwrap();
            assert_eq!(serde_json::from_str::<Envelope>(&text).unwrap(), envelope, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_one_recipient_is_not_asked_for_another() {
        let [bob, eve] = ["bob@x.org", "eve@x.org"].map(|text| parse_address(text).unwrap().address().unwrap());
        let mut dsn = Dsn { notify: Some("SUCCESS".into()), ..Dsn::default() };
        dsn.ask(&bob, &None, &None);
        assert!(dsn.each.is_empty() && !dsn.tells_of(&bob));
        dsn.ask(&bob, &Some("delay, failure".into()), &Some("rfc822;b@y.org".into()));
        assert_eq!(dsn.notify_of(&bob).as_deref(), Some("delay, failure"));
        assert_eq!(dsn.notify_of(&eve).as_deref(), Some("SUCCESS"));
        assert_eq!(dsn.original_of(&bob).map(String::as_str), Some("rfc822;b@y.org"));
        assert_eq!(dsn.original_of(&eve), None);
        assert_eq!([&bob, &eve].map(|recipient| dsn.tells_of(recipient)), [true, false]);
        assert!(Dsn::default().tells_of(&eve));
        dsn.ask(&eve, &Some("NEVER".into()), &None);
        assert!(!dsn.tells_of(&eve));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for paths in [r#"[]"#, r#"["Bob <bob@x.org>"]"#, r#"["bob"]"#, r#"["a@x\r\nRCPT TO:<b@y>"]"#, r#"[1]"#] {
            let text = format!(r#"{{"reverse_path":"","forward_paths":{paths},"dsn":{{}}}}"#);
            assert!(serde_json::from_str::<Envelope>(&text).is_err(), "{text}");
        }
    }
}
