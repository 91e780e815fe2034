//! The providers' HTTP APIs: what is asked of each, and what its answers mean.
//!
//! Nothing here does I/O. A provider is two pure functions, the request for a message and the outcome of
//! a response; the one exchange between them is `http`. What the providers share is here; each has a file of its own
//! beside this folder.

mod codes;
mod keys;
mod lean;
mod login;
mod mail;
pub mod parts;
pub(super) mod request;
pub(super) mod response;
#[cfg(test)]
pub(super) mod trial;

use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

pub use codes::{Codes, Meaning};
pub use keys::{Credential, Credentials};
pub use lean::Kept;
pub use login::Validity;
pub(crate) use mail::unreadable;
pub use mail::{Mail, cannot};
pub use request::{Body, Piece, Request};
pub use response::Response;

use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

/// One provider's API with its settings: the value that `[relay.NAME]` is read into.
///
/// The settings are the implementing struct itself; serde refuses keys it does not have.
pub trait Api: Debug + Send + Sync {
    /// The provider's own address: scheme and authority, perhaps a path, no final slash.
    /// `endpoint` in the configuration stands in for it.
    fn endpoint(&self) -> String;

    /// The domain that is registered with the provider, where the settings name it.
    fn domain(&self) -> Option<&str> {
        None
    }

    /// Where the surroundings may have the credentials that the configuration has not.
    fn cloud(&self) -> Option<Cloud<'_>> {
        None
    }

    /// Takes the region that the surroundings name, where the settings name none.
    fn settle(&mut self, _region: String) {}

    /// What has to be asked before the request that submits `mail`, given what was answered so far
    /// ([`Mail::before`]): it is called again after each round of requests, until nothing is left to ask.
    ///
    /// # Errors
    /// As [`Api::request`]. Nobody has the message then.
    fn before(&self, _mail: &Mail<'_>, _keys: &Credentials) -> Result<Before, Failure> {
        Ok(Before::Nothing)
    }

    /// The request that submits `mail`: the last one, and the only one that leaves doubt.
    ///
    /// # Errors
    /// `Data`: the API cannot carry this message; the sentence names the part.
    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure>;

    /// A request that submits nothing, by which it is seen whether `keys` are accepted at `endpoint`; `now` is signed where
    /// requests are. `None`: the provider documents none that keys for sending may make.
    ///
    /// # Errors
    /// As [`Api::request`].
    fn login(&self, _keys: &Credentials, _endpoint: &str, _now: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(None)
    }

    /// What `response` to it says of the keys.
    fn validity(&self, response: &Response) -> Validity {
        response.validity()
    }

    /// What `response` says about each recipient of `envelope`.
    ///
    /// # Errors
    /// `InDoubt`: a 2xx answer that is not what the provider documents.
    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure>;
}

/// What comes before the request that submits a message.
pub enum Before {
    /// That is the next request.
    Nothing,
    /// These come first, in this order. They submit nothing: an account is looked up, a file uploaded. A failure
    /// of one, or an answer that is no success, ends the round.
    Ask(Vec<Request>),
    /// One of the answers refused what the message needs.
    Refused(Outcome),
}

/// Surroundings that give credentials to the programs in them.
#[derive(Clone, Copy, Debug)]
pub enum Cloud<'a> {
    /// The AWS environment variables, a role that a web identity takes, the profile, the role of container or instance.
    Aws {
        /// The profile; `None`: the one the environment names, or `default`.
        profile: Option<&'a str>,
        /// The region whose services are asked.
        region: &'a str,
    },
}

/// What is known about an API before it is configured.
#[derive(Debug)]
pub struct Entry {
    /// The keys of the relay's table that hold its credentials. The settings do not repeat them.
    pub credentials: &'static [Credential],
    /// The keys that a URL gives as user name and password (`provider+api://FIRST:SECOND@default`); empty:
    /// the credentials in their order.
    pub url: &'static [&'static str],
    /// Whether the message is taken as it is; otherwise it is taken apart into fields.
    pub raw: bool,
    /// Whether the message goes as a string of text, so that 8-bit content is re-encoded first.
    pub seven_bit: bool,
    /// What its settings mean, for the man page: those that the page does not tell of for other providers' sake.
    /// Whole sentences.
    pub about: &'static [(&'static str, &'static str)],
    /// What becomes of the reverse-path.
    pub sender: Sender,
    /// The most recipients of one message, where the provider documents it.
    pub recipients: Option<usize>,
    /// How much it takes at once, where the provider documents it.
    pub size: Option<Size>,
    /// The settings' keys.
    pub(super) keys: fn() -> &'static [&'static str],
    /// Reads the settings.
    pub(super) read: fn(toml::de::ValueDeserializer<'_>) -> Result<Arc<dyn Api>, toml::de::Error>,
}

/// How much an API takes at once, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Of the message, by whatever form the provider counts: too large is what is so as it is and as it goes out.
    Message(u64),
    /// Of the request's body.
    Request(u64),
}

impl Size {
    /// The limit that a message of `message` octets breaks, which goes out in a body of `body`.
    pub fn exceeded_by(self, message: u64, body: u64) -> Option<(u64, &'static str, u64)> {
        match self {
            Self::Message(most) => (message.min(body) > most).then_some((most, "message", message)),
            Self::Request(most) => (body > most).then_some((most, "request", body)),
        }
    }
}

/// What an API does with the reverse-path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// It is given to the provider.
    Carried,
    /// The provider's own takes its place.
    Replaced,
}

impl Entry {
    /// An entry with settings of type `S`, whose other facts are filled in by struct update.
    pub(super) const fn of<S: Api + DeserializeOwned + 'static>() -> Self {
        Self {
            credentials: &[],
            url: &[],
            raw: false,
            seven_bit: false,
            about: &[],
            sender: Sender::Replaced,
            recipients: None,
            size: None,
            keys: field_names::<S>,
            read: settings::<S>,
        }
    }

    /// The keys of the settings, credentials not among them.
    pub fn keys(&self) -> &'static [&'static str] {
        (self.keys)()
    }

    /// Whether `key` belongs to this API: a credential or a setting.
    pub fn has(&self, key: &str) -> bool {
        self.credentials.iter().any(|credential| credential.key == key) || self.keys().contains(&key)
    }

    /// The key that the user name (0) or the password (1) of a URL belongs to.
    pub fn url_key(&self, position: usize) -> Option<&'static str> {
        match self.url {
            [] => self.credentials.get(position).map(|credential| credential.key),
            keys => keys.get(position).copied(),
        }
    }

    /// The settings in `table`, which holds nothing else.
    ///
    /// # Errors
    /// As serde has it, with the span of the key at fault.
    pub fn read(&self, table: toml::de::ValueDeserializer<'_>) -> Result<Arc<dyn Api>, toml::de::Error> {
        (self.read)(table)
    }

    /// With the one setting that it cannot be without, where there is one, and `value` for that.
    ///
    /// # Errors
    /// It takes more than that.
    pub fn with_needed(&self, value: &str) -> Result<(Option<&'static str>, Arc<dyn Api>), toml::de::Error> {
        let read = |text: &str| self.read(toml::de::ValueDeserializer::parse(text)?);
        read("{}").map(|api| (None, api)).or_else(|error| {
            let mut with = self.keys().iter().map(|key| (*key, read(&format!("{{ {key} = {value:?} }}"))));
            with.find_map(|(key, api)| Some((Some(key), api.ok()?))).ok_or(error)
        })
    }

    /// The keys of the credentials to write; where the surroundings may give them all, the first two.
    pub fn wanted_keys(&self) -> Vec<&'static str> {
        let needed: Vec<_> = self.credentials.iter().filter(|c| c.needed).map(|c| c.key).collect();
        if needed.is_empty() { self.credentials.iter().take(2).map(|c| c.key).collect() } else { needed }
    }
}

/// Several words or one, as everywhere in the configuration.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string or an array of strings")]
    enum Words {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Words::deserialize(deserializer)? {
        Words::One(word) => vec![word],
        Words::Several(words) => words,
    })
}

/// The settings in `table`. Not a closure: of a closure, the linker sees only that it is some `FnOnce`, and
/// `build.rs` could not tell it from those that every message runs.
fn settings<S: Api + DeserializeOwned + 'static>(
    table: toml::de::ValueDeserializer<'_>,
) -> Result<Arc<dyn Api>, toml::de::Error> {
    Ok(Arc::new(S::deserialize(table)?))
}

/// The names of the fields that `S` is deserialised from.
fn field_names<S: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Ends in an error, always: it is asked for its fields and given nothing.
    let _ = S::deserialize(Fields(&mut names));
    names
}

/// A deserializer that only hears which fields a struct has.
struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("no value"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_so_by_the_providers_way_of_counting() {
        for (limit, message, body, exceeded) in [
            (Size::Message(10), 10, 13, None),
            (Size::Message(10), 13, 10, None),
            (Size::Message(10), 12, 11, Some((10, "message", 12))),
            (Size::Request(10), 12, 10, None),
            (Size::Request(10), 8, 11, Some((10, "request", 11))),
        ] {
            assert_eq!(limit.exceeded_by(message, body), exceeded, "{limit:?} {message} {body}");
        }
    }
}
