//! What an API is asked to submit.

mod addressed;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::response::Response;
use crate::address::{Address, same_mailbox};
use crate::attempt::IdempotencyKey;
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::{MailObject, Message};
use crate::outcome::Stage;
use crate::process;
use crate::reply::Reply;

/// The largest message that is built into a request in memory, in octets. Every API takes less.
const LIMIT: u64 = 64 << 20;

/// How often a message is in memory at once while a request is made of it: the message, its decoded parts, these in
/// base64, and the request while it grows.
const TIMES: usize = 6;

/// One message with its envelope, at one time for one place.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// Reverse-path and forward-paths.
    pub envelope: &'a Envelope,
    /// The message, made fit.
    pub message: &'a Message,
    /// Where the request goes, as [`Api::endpoint`](super::Api::endpoint) or the configuration says it.
    pub endpoint: &'a str,
    /// The time, for requests that are signed.
    pub now: jiff::Timestamp,
    /// What the request is recognised by when it is made again, where the provider does that.
    pub key: Option<&'a IdempotencyKey>,
    /// Whether the sender stands in To where every recipient is hidden (`undisclosed = "sender"`).
    pub undisclosed: bool,
    /// What the requests of [`Api::before`](super::Api::before) were answered, in their order.
    pub before: &'a [Response],
}

impl Mail<'_> {
    /// The reverse-path as a string; empty for `<>`.
    pub fn sender(&self) -> &str {
        self.envelope.reverse_path.as_ref().map_or("", AsRef::as_ref)
    }

    /// The forward-paths as strings.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.envelope.forward_paths.iter().map(AsRef::as_ref)
    }

    /// Whether any API takes this much, and this process can hold it.
    ///
    /// # Errors
    /// A refusal (552 5.3.4); `System` where the caller's limit on memory leaves no room for the request.
    pub(super) fn check_size(&self) -> Result<(), Failure> {
        let size = self.message.size();
        if size > LIMIT {
            let why = format!("message of {size} octets is too large for an HTTP API");
            return Err(Failure::refused("message", Reply::too_large(&why)));
        }
        let room = TIMES * usize::try_from(size).unwrap_or_default();
        match process::has_room(room) {
            true => Ok(()),
            false => Err(Failure::no_memory(room)),
        }
    }

    /// The whole message in memory.
    ///
    /// # Errors
    /// As `Mail::check_size`; `Io` when it cannot be read back.
    pub fn octets(&self) -> Result<Vec<u8>, Failure> {
        self.check_size()?;
        let mut octets = Vec::with_capacity(usize::try_from(self.message.size()).unwrap_or_default());
        let mut chunks = self.message.chunks();
        while let Some(chunk) = chunks.advance().map_err(|error| unreadable(&error))? {
            octets.extend_from_slice(chunk);
        }
        Ok(octets)
    }

    /// As [`MailObject::own_id`].
    ///
    /// # Errors
    /// `Io`: the message cannot be read back.
    pub fn own_id(&self) -> Result<Option<String>, Failure> {
        let Self { envelope, message, .. } = self;
        MailObject { envelope, message }.own_id().map_err(|error| unreadable(&error))
    }

    /// The whole message in standard base64, padded.
    ///
    /// # Errors
    /// As [`Mail::octets`].
    pub fn base64(&self) -> Result<String, Failure> {
        Ok(STANDARD.encode(self.octets()?))
    }

    /// The whole message as text, for an API that takes it as a JSON string.
    ///
    /// # Errors
    /// `Data`: it holds octets that are not UTF-8; otherwise as [`Mail::octets`].
    pub fn text(&self) -> Result<String, Failure> {
        String::from_utf8(self.octets()?).map_err(|_| {
            Failure::new(Kind::Data, "message", "holds 8-bit octets that are not UTF-8, which this API cannot carry")
                .hint("set via = \"smtp\" for this relay")
                .at(Stage::Message)
        })
    }

    /// The address of the From field, where it has one with a domain.
    pub fn author(&self) -> Option<Address> {
        self.message.header().first("From").and_then(|field| field.first_address())
    }

    /// For an API that puts a reverse-path of its own: the warning that ours is not carried, where it says
    /// something that the From field does not.
    pub fn sender_warning(&self) -> Vec<String> {
        if self.author().as_ref().map(same_mailbox) == self.envelope.reverse_path.as_ref().map(same_mailbox) {
            return Vec::new();
        }
        vec![format!("not carried by the API: reverse-path <{}>", self.sender())]
    }
}

/// The refusal of a message with `what` in it.
pub fn cannot(what: &str) -> Failure {
    Failure::new(Kind::Data, "message", format!("has {what}, which this provider's API cannot carry"))
        .hint("set via = \"smtp\" for this relay")
        .at(Stage::Message)
}

/// The failure of a message that cannot be read back.
pub(crate) fn unreadable(error: &std::io::Error) -> Failure {
    let why = format!("cannot be read back from its temporary file: {error}");
    Failure::new(Kind::Io, "message", why).at(Stage::Message)
}
