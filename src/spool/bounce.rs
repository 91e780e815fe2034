//! The bounce: what the sender reads of a message that is given up (RFC 3464, RFC 6522; RFC 6533 for addresses
//! outside ASCII).
//!
//! First a text for people, then the same for programs, then what was sent. Composing looks nothing up and sends
//! nothing.

use std::borrow::Cow;
use std::io;

use jiff::Zoned;
use jiff::fmt::rfc2822;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::{Address as Person, EmailAddress};
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};

use crate::address::{Address, with_ascii_domain};
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::message::Message;
use crate::reply::Reply;

mod status;
mod tally;
mod text;

pub use tally::{Decision, HOURLY, Tally, Withheld};

/// The largest message that comes back whole, in octets; of a larger one its header section does.
const WHOLE_LIMIT: u64 = 1 << 20;

/// The longest line that goes through every server, in octets without CRLF (RFC 5321 4.5.3.1.6).
const LINE_LIMIT: usize = 998;

/// Under which name a bounce is written.
const NAME: &str = "Mail Delivery System";

/// A message that is given up.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp<'a> {
    /// Its ID in spool and record.
    pub id: &'a str,
    /// The name of this host.
    pub host: &'a str,
    /// The site's own address, which its relays let it write as.
    pub from: Option<&'a Address>,
    /// Its envelope. The reverse-path is whom [`addressee`] names.
    pub envelope: &'a Envelope,
    /// The message, made fit.
    pub message: &'a Message,
    /// When the caller handed it over.
    pub taken: &'a Zoned,
    /// When it is given up.
    pub now: &'a Zoned,
    /// Those who do not get it; never empty.
    pub recipients: &'a [Undelivered],
    /// What is told along with it, see [`Tally`].
    pub withheld: &'a [Withheld],
    /// How many more are told by their number alone.
    pub others: u64,
}

/// A recipient who does not get the message.
#[derive(Clone, Debug)]
pub struct Undelivered {
    /// The forward-path.
    pub recipient: Address,
    /// ORCPT as the caller gave it, decoded: `rfc822;bob@example.org`.
    pub original: Option<String>,
    /// What the last try came to.
    pub last: Last,
    /// The host of the relay that was tried last.
    pub relay: Option<String>,
    /// When that was.
    pub tried: Option<Zoned>,
}

/// What the last try came to for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// The relay said no: for good, or for now until time was up.
    Reply(Reply),
    /// No reply was had, and this is why.
    Silence(String),
    /// No relay can be given it as it is, and this is why.
    Unfit(String),
    /// Nothing was sent, because another recipient was refused (nobody or everybody).
    Unsent,
}

/// The one address that is told when a message with this `envelope` is given up; `None`: nobody is. A bounce is never
/// bounced (RFC 5321 6.1), NOTIFY may ask for silence (RFC 3461 4.1), and so may the site (`wanted`, its `bounce`).
pub fn addressee(envelope: &Envelope, wanted: bool) -> Option<&Address> {
    let is_asked = || envelope.forward_paths.iter().any(|recipient| envelope.dsn.tells_of(recipient));
    envelope.reverse_path.as_ref().filter(|_| wanted && is_asked())
}

/// The ID of the entry that holds the bounce of the entry `id`.
pub fn id_of(id: &str) -> String {
    format!("{id}-b")
}

/// The bounce for `to`, which [`addressee`] named: its envelope, and the message, fit to be sent as it is.
///
/// # Errors
/// `Io`: the message that is given up cannot be read; or as [`Message::read`].
pub fn compose(given_up: &GivenUp<'_>, to: &Address) -> Result<(Envelope, Message), Failure> {
    let form = Form::of(to);
    let original = original(given_up, form)?;
    let human = text::compose(given_up, &original);
    let machine = status::compose(given_up, form);
    // Nobody who wrote the message knew how often this would have to be tried.
    let parts = [human.as_bytes(), machine.as_bytes(), &original.octets];
    let is_inside =
        |boundary: &String| parts.iter().any(|part| memchr::memmem::find(part, boundary.as_bytes()).is_some());
    let boundary = (0_u64..).map(|number| format!("={}.{number}=", given_up.id)).find(|text| !is_inside(text));
    let report = ContentType::new("multipart/report")
        .attribute("report-type", "delivery-status")
        .attribute("boundary", boundary.unwrap_or_default());
    let parts = vec![MimePart::new("text/plain", human), form.status(machine), original.into_part()];
    let subject = match given_up.recipients {
        [one] => format!("Undelivered: your message to {}", text::shown(&one.recipient)),
        several => format!("Undelivered: your message to {} recipients", several.len()),
    };
    letter(given_up.id, given_up.host, given_up.from, given_up.now, to)
        .and_then(|letter| finish(letter.subject(subject).body(MimePart::new(report, BodyPart::Multipart(parts))), to))
}

/// What every letter of ours has at its top.
fn letter<'a>(
    id: &str,
    host: &str,
    from: Option<&'a Address>,
    now: &Zoned,
    to: &'a Address,
) -> Result<MessageBuilder<'a>, Failure> {
    let form = Form::of(to);
    // The sender of the message is an address that its relay knows, too.
    let from = from.filter(|from| form == Form::Utf8 || Form::of(from) == Form::Ascii).unwrap_or(to);
    let person = |name: Option<&'static str>, address: &Address| {
        let email = with_ascii_domain(address).unwrap_or_else(|_| address.clone()).to_string();
        Person::Address(EmailAddress { name: name.map(Cow::from), email: email.into() })
    };
    Ok(MessageBuilder::new()
        .from(person(Some(NAME), from))
        .to(person(None, to))
        .header("Date", Raw::new(date(now)?))
        .message_id(format!("{id}.bounce@{host}"))
        .header("Auto-Submitted", Raw::new("auto-replied"))
        .header("MIME-Version", Raw::new("1.0")))
}

/// The envelope and message that `builder` makes for `to`. Nobody is to be told when it fails.
fn finish(builder: MessageBuilder<'_>, to: &Address) -> Result<(Envelope, Message), Failure> {
    let octets = builder.write_to_vec().map_err(|error| Failure::new(Kind::Software, "bounce", error.to_string()))?;
    let dsn = Dsn { notify: Some("NEVER".to_owned()), ..Dsn::default() };
    let envelope = Envelope { reverse_path: None, forward_paths: vec![to.clone()], dsn };
    Ok((envelope, Message::read(&mut octets.as_slice(), false)?))
}

/// Which characters a bounce may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It goes to an address that every server can be told, so it is plain mail.
    Ascii,
    /// It goes to one that needs SMTPUTF8, so header fields and reports may be UTF-8 as well (RFC 6532, RFC 6533).
    Utf8,
}

impl Form {
    /// What may be sent to `to`. A domain always has a form in ASCII.
    fn of(to: &Address) -> Self {
        if to.user().is_ascii() { Self::Ascii } else { Self::Utf8 }
    }

    /// The part for programs.
    fn status(self, content: String) -> MimePart<'static> {
        let (kind, encoding) = match self {
            Self::Utf8 if !content.is_ascii() => ("message/global-delivery-status", "8bit"),
            _ => ("message/delivery-status", "7bit"),
        };
        MimePart::new(kind, content.into_bytes()).transfer_encoding(encoding)
    }
}

/// What of the message comes back.
struct Original {
    /// Its media type.
    kind: &'static str,
    octets: Vec<u8>,
    /// All of it, and not the header section alone.
    is_whole: bool,
    /// It was asked for whole, but cannot come back so.
    is_cut: bool,
}

impl Original {
    fn into_part(self) -> MimePart<'static> {
        let is_long = self.octets.split(|&octet| octet == b'\n').any(|line| line.len() > LINE_LIMIT + 1);
        let encoding = match self.kind {
            // Text may be encoded; a message inside another may not (RFC 2046 5.2.1).
            "text/rfc822-headers" if is_long || !self.octets.is_ascii() => {
                return match String::from_utf8(self.octets) {
                    Ok(text) => MimePart::new(self.kind, text),
                    Err(raw) => MimePart::new(self.kind, raw.into_bytes()),
                };
            }
            _ if self.octets.is_ascii() => "7bit",
            _ => "8bit",
        };
        MimePart::new(self.kind, self.octets).transfer_encoding(encoding)
    }
}

/// What of the message comes back: all of it where RET says so (RFC 3461 4.3) and it can go inside another.
fn original(given_up: &GivenUp<'_>, form: Form) -> Result<Original, Failure> {
    let message = given_up.message;
    let header = message.header().as_bytes();
    let (facts, is_utf8) = (message.facts(), std::str::from_utf8(header).is_ok());
    let is_asked = given_up.envelope.dsn.ret.as_ref().is_some_and(|ret| ret.eq_ignore_ascii_case("FULL"));
    let is_header_fit = header.is_ascii() || (form == Form::Utf8 && is_utf8);
    let is_long = facts.longest_line > LINE_LIMIT
        || header.split(|&octet| octet == b'\n').any(|line| line.len() > LINE_LIMIT + 1);
    let is_fit = message.size() <= WHOLE_LIMIT && is_header_fit && !facts.nul && !is_long;
    if is_asked && is_fit {
        let octets = octets(message).map_err(|error| {
            Failure::new(Kind::Io, "the message that is given up", format!("cannot be read: {error}"))
        })?;
        let kind = if header.is_ascii() { "message/rfc822" } else { "message/global" };
        return Ok(Original { kind, octets, is_whole: true, is_cut: false });
    }
    let kind = match form {
        Form::Utf8 if !header.is_ascii() && is_utf8 && !is_long => "message/global-headers",
        _ => "text/rfc822-headers",
    };
    // Without the empty line that closes it.
    let fields = header.strip_suffix(b"\r\n").unwrap_or(header).to_vec();
    Ok(Original { kind, octets: fields, is_whole: false, is_cut: is_asked })
}

/// The whole message.
fn octets(message: &Message) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut chunks = message.chunks();
    while let Some(chunk) = chunks.advance()? {
        octets.extend_from_slice(chunk);
    }
    Ok(octets)
}

/// `at` as a field holds it (RFC 5322 3.3).
fn date(at: &Zoned) -> Result<String, Failure> {
    rfc2822::to_string(at).map_err(|error| Failure::new(Kind::System, "system clock", error.to_string()))
}

#[cfg(test)]
mod tests;
