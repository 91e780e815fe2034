//! SMTP.com: `POST /v4/messages/mime`, the message as it is in a JSON string.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::parts::identity;
use super::api::{Api, Credential, Credentials, Entry, Mail, Meaning, Request, Response, cannot};
use super::preset::{Provider, implicit, starttls};
use crate::address::List;
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "smtp-com",
    name: "SMTP.com",
    aliases: &["smtpcom", "smtp.com"],
    host: "send.smtp.com",
    ports: &[implicit(465), starttls(2525), starttls(25), starttls(25025)],
    api: Some(&ENTRY),
    notes: &[
        "username and password are those of a sender (channel)",
        "some accounts have a host of their own: host = \"NAME.smtp.com\"",
        "by API: channel is the name of the sender",
    ],
    unverified: &["port 587", "size and recipient limits", "8-bit content by API"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: low
    source: zones, one manual
    key: smtpcomcustomers smtpcom dkim
    selectors: own
    spf: needed _spf.smtp.com
    shown: Sender domains at SMTP.com
";

static ENTRY: Entry =
    Entry { credentials: &[Credential::needed("api_key")], raw: true, seven_bit: true, ..Entry::of::<SmtpCom>() };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SmtpCom {
    /// The sender (channel) of the account that the message goes through.
    channel: String,
}

#[derive(Serialize)]
struct Body<'a> {
    channel: &'a str,
    recipients: Recipients<'a>,
    originator: Originator<'a>,
    mime: String,
}

#[derive(Default, Serialize)]
struct Recipients<'a> {
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
}

#[derive(Serialize)]
struct Originator<'a> {
    from: Mailbox<'a>,
}

#[derive(Serialize)]
struct Mailbox<'a> {
    address: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: BTreeMap<String, Value>,
}

impl Api for SmtpCom {
    fn endpoint(&self) -> String {
        "https://api.smtp.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let from = mail.author().ok_or_else(|| cannot("no From field with an address"))?;
        let body = Body {
            channel: &self.channel,
            recipients: recipients(mail),
            originator: Originator { from: Mailbox { address: from.as_ref() } },
            mime: mail.text()?,
        };
        let mut warnings = mail.sender_warning();
        // What is signed was not re-encoded.
        if !body.mime.is_ascii() {
            warnings.push("SMTP.com does not promise to carry 8-bit content".to_owned());
        }
        Ok(Request::json("/v4/messages/mime", &body)?.bearer(keys.get("api_key")?).warn(warnings))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        let Some(Answer { status, data }) = response.json() else { return response.undocumented(envelope) };
        if response.is_success() && status == "success" {
            // The id has a key of its own in the description, and stands in the text in practice.
            let behind = |text: &str| text.split("msg_id:").nth(1)?.split_whitespace().next().map(str::to_owned);
            let id =
                data.get("msg_id").map(plain).or_else(|| data.get("message").map(plain).as_deref().and_then(behind));
            return Ok(response.accepted(envelope, id.as_deref()));
        }
        // One field at fault is enough to know.
        let Some((field, why)) = data.first_key_value() else { return response.by_status(envelope, &status) };
        let text = format!("{field}: {}", plain(why));
        Ok(match field.split(['.', '[']).next().unwrap_or_default() {
            _ if response.status != 400 => return response.by_status(envelope, &text),
            "originator" => response.told(envelope, Meaning::SENDER, &text),
            "recipients" => response.told(envelope, Meaning::BAD_RECIPIENT, &text),
            "channel" => response.told(envelope, Meaning::ACCOUNT, &text),
            _ => return response.by_status(envelope, &text),
        })
    }
}

/// Who receives, each in the list of the field that names them; who is in none stays hidden.
fn recipients<'a>(mail: &'a Mail<'_>) -> Recipients<'a> {
    let [in_to, in_cc] = ["To", "Cc"].map(|name| {
        let lists = mail.message.header().all(name).map(|field| field.people());
        let specs = lists.flat_map(List::into_mailboxes).map(|mailbox| mailbox.spec);
        specs.filter_map(|spec| spec.address().ok()).map(|address| identity(&address)).collect::<HashSet<_>>()
    });
    let mut recipients = Recipients::default();
    let mut known = HashSet::new();
    for (path, address) in mail.envelope.forward_paths.iter().zip(mail.recipients()) {
        let identity = identity(path);
        let list = match (in_to.contains(&identity), in_cc.contains(&identity)) {
            _ if !known.insert(identity.clone()) => continue,
            (true, _) => &mut recipients.to,
            (false, true) => &mut recipients.cc,
            (false, false) => &mut recipients.bcc,
        };
        list.push(Mailbox { address });
    }
    recipients
}

/// A value for a reader.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    const CHANNEL: &str = "{ channel = \"shop\" }";

    #[test]
    fn the_message_stays_as_it_is_and_the_envelope_decides() {
        let message = "From: Shop <c@example.com>\nTo: gone@example.net, b@example.net\n\nhello\n";
        let (body, warnings) =
            trial::request(&ENTRY, CHANNEL, message, &["B@example.net", "hidden@example.net"]).unwrap();
        assert_eq!(body["mime"], message.replace('\n', "\r\n"));
        let expected = serde_json::json!({
            "to": [{ "address": "B@example.net" }], "bcc": [{ "address": "hidden@example.net" }]
        });
        assert_eq!(body["recipients"], expected);
        assert_eq!(body["originator"]["from"]["address"], "c@example.com");
        assert_eq!(warnings, ["not carried by the API: reverse-path <a@example.com>"]);
    }

    #[test]
    fn eight_bit_content_is_named() {
        let message = "From: a@example.com\nTo: b@example.net\n\ngr\u{fc}n\n";
        let (_, warnings) = trial::request(&ENTRY, CHANNEL, message, &["b@example.net"]).unwrap();
        assert_eq!(warnings, ["SMTP.com does not promise to carry 8-bit content"]);
    }
}
