//! For the unit tests of the providers: the request that a message comes to.

use serde_json::Value;
use toml::de::ValueDeserializer;

use super::{Credentials, Entry, Mail, Piece};
use crate::address::Address;
use crate::envelope::{Dsn, Envelope};
use crate::failure::Failure;
use crate::message::Message;
use crate::secret::Secret;

/// The body of the request for `message` with the settings of an inline table, and the warnings.
pub(in crate::providers) fn request(
    entry: &Entry,
    settings: &str,
    message: &str,
    recipients: &[&str],
) -> Result<(Value, Vec<String>), Failure> {
    let api = entry.read(ValueDeserializer::parse(settings).unwrap()).unwrap();
    let mut keys = Credentials::default();
    for credential in entry.credentials {
        keys.insert(credential.key, Secret::new("key".to_owned()));
    }
    let address = |text: &str| text.parse::<Address>().unwrap();
    let envelope = Envelope {
        reverse_path: Some(address("a@example.com")),
        forward_paths: recipients.iter().map(|text| address(text)).collect(),
        dsn: Dsn::default(),
    };
    let message = Message::read(&mut message.as_bytes(), false).unwrap();
    let endpoint = api.endpoint();
    let mail = Mail {
        envelope: &envelope,
        message: &message,
        endpoint: &endpoint,
        now: jiff::Timestamp::UNIX_EPOCH,
        undisclosed: false,
        key: None,
        before: &[],
    };
    let request = api.request(&mail, &keys)?;
    let Some(Piece::Octets(octets)) = request.body.first() else { panic!("no body of octets") };
    Ok((serde_json::from_slice(octets).unwrap(), request.warnings))
}
