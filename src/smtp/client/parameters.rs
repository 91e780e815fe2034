//! One message and envelope made to fit one server's extensions.

use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};

use super::Capabilities;
use crate::address::{Address, with_ascii_domain};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::Facts;
use crate::message::repair::Needs;
use crate::outcome::Stage;
use crate::reply::{Enhanced, Reply};

/// What the envelope commands carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Parameters of MAIL.
    pub mail: Vec<MailParameter>,
    /// NOTIFY for every RCPT.
    pub notify: Option<String>,
    /// Every RCPT names its original recipient (ORCPT).
    pub original: bool,
    /// What the server cannot carry and goes without, for the log record.
    pub warnings: Vec<String>,
}

impl Parameters {
    /// Parameters of the RCPT command for `recipient`.
    pub fn rcpt(&self, recipient: &Address) -> Vec<RcptParameter> {
        let other = |keyword: &str, value| RcptParameter::Other { keyword: keyword.to_owned(), value: Some(value) };
        let mut parameters = Vec::new();
        if let Some(notify) = &self.notify {
            parameters.push(other("NOTIFY", notify.clone()));
        }
        // The form for an address outside ASCII (RFC 6533) is left out: few servers know it.
        if self.original && AsRef::<str>::as_ref(recipient).is_ascii() {
            parameters.push(other("ORCPT", format!("rfc822;{recipient}")));
        }
        parameters
    }
}

/// What the server asks of the message. SMTPUTF8 is used only where a local part needs it, in the
/// envelope or (`utf8_header`) in an address field; domains have A-labels.
///
/// # Errors
/// `Data`: an address of the envelope needs SMTPUTF8, which is not offered.
pub fn needs(envelope: &Envelope, utf8_header: bool, offered: &Capabilities) -> Result<Needs, Failure> {
    let foreign = addresses(envelope).find(|address| !address.user().is_ascii());
    match foreign {
        Some(address) if !offered.utf8 => {
            let why = "this address needs SMTPUTF8, which the relay does not offer";
            Err(Failure::new(Kind::Data, address.to_string(), why).at(Stage::MailFrom))
        }
        _ => Ok(Needs { eight_bit: offered.eight_bit, utf8: offered.utf8 && (utf8_header || foreign.is_some()) }),
    }
}

/// `address` as a command says it.
///
/// # Errors
/// `Data`: the domain has no A-labels.
pub fn sayable(address: &Address) -> Result<Address, Failure> {
    with_ascii_domain(address).map_err(|bad| Failure::new(Kind::Data, bad.text, bad.why).at(Stage::MailFrom))
}

/// Makes the envelope fit, for a message of `size` octets that has what `needs` says.
///
/// # Errors
/// The message is larger than the server takes (552 5.3.4, our own refusal), or an address cannot be
/// said in a command at all.
pub fn adapt(
    facts: Facts,
    size: u64,
    envelope: &Envelope,
    needs: Needs,
    offered: &Capabilities,
) -> Result<Parameters, Failure> {
    let mut parameters = Parameters::default();
    if let Some(address) = addresses(envelope).find(|address| !is_sayable(address)) {
        let address = crate::reply::printable(address.to_string().as_bytes(), 256);
        return Err(Failure::new(Kind::Data, address, "this address cannot be part of a command").at(Stage::MailFrom));
    }

    if let Some(limit) = offered.size {
        if limit > 0 && size > limit {
            let text = format!("{size} octets, and the relay takes no more than {limit}");
            let reply = Reply::new(552, Some(Enhanced::new(5, 3, 4)), &text);
            return Err(Failure::refused("message", reply).at(Stage::MailFrom));
        }
        parameters.mail.push(MailParameter::Size(usize::try_from(size).unwrap_or(usize::MAX)));
    }

    if needs.eight_bit && (facts.eight_bit_header || facts.eight_bit_body || needs.utf8) {
        parameters.mail.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    if needs.utf8 {
        parameters.mail.push(MailParameter::SmtpUtfEight);
    }

    notifications(envelope, offered, &mut parameters);
    Ok(parameters)
}

/// Delivery status notifications (RFC 3461), as far as they are asked for and offered.
fn notifications(envelope: &Envelope, offered: &Capabilities, parameters: &mut Parameters) {
    let dsn = &envelope.dsn;
    let asked = [("NOTIFY", &dsn.notify), ("RET", &dsn.ret), ("ENVID", &dsn.envid)];
    let asked = || asked.into_iter().filter_map(|(keyword, value)| Some((keyword, value.as_ref()?)));
    if asked().next().is_none() {
        return;
    }
    if !offered.dsn {
        let words: Vec<_> = asked().map(|(keyword, _)| keyword).collect();
        parameters.warnings.push(format!("{} not carried: the relay does not offer DSN", words.join(", ")));
        return;
    }
    for (keyword, value) in asked() {
        match keyword {
            "NOTIFY" => parameters.notify = Some(value.clone()),
            _ => {
                parameters.mail.push(MailParameter::Other { keyword: keyword.to_owned(), value: Some(value.clone()) });
            }
        }
    }
    parameters.original = true;
}

/// Every address of the envelope.
fn addresses(envelope: &Envelope) -> impl Iterator<Item = &Address> {
    envelope.reverse_path.iter().chain(&envelope.forward_paths)
}

/// Whether `address` stays inside its angle brackets: no control character anywhere, and outside a
/// quoted string no space and no bracket.
pub(in crate::smtp) fn is_sayable(address: &Address) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in AsRef::<str>::as_ref(address).bytes() {
        match byte {
            0..=31 | 127 => return false,
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'<' | b'>' if !quoted => return false,
            _ => {}
        }
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Dsn;

    fn envelope(from: &str, to: &str) -> Envelope {
        Envelope {
            reverse_path: Some(from.parse().unwrap()),
            forward_paths: vec![to.parse().unwrap()],
            dsn: Dsn::default(),
        }
    }

    fn adapt(facts: Facts, size: u64, envelope: &Envelope, offered: &Capabilities) -> Result<Parameters, Failure> {
        super::adapt(facts, size, envelope, needs(envelope, false, offered)?, offered)
    }

    fn words(parameters: &Parameters) -> Vec<String> {
        parameters.mail.iter().map(ToString::to_string).collect()
    }

    fn everything() -> Capabilities {
        Capabilities { eight_bit: true, utf8: true, dsn: true, size: Some(1000), ..Capabilities::default() }
    }

    #[test]
    fn size_is_declared_and_checked() {
        let envelope = envelope("a@example.org", "b@example.org");
        let small = adapt(Facts::default(), 1000, &envelope, &everything()).unwrap();
        assert_eq!(words(&small), ["SIZE=1000"]);
        let failure = adapt(Facts::default(), 1001, &envelope, &everything()).unwrap_err();
        assert!(matches!(&failure.kind, Kind::Refused(reply) if reply.code() == 552), "{failure}");
        let unlimited = Capabilities { size: Some(0), ..Capabilities::default() };
        assert_eq!(words(&adapt(Facts::default(), 1 << 30, &envelope, &unlimited).unwrap()), ["SIZE=1073741824"]);
    }

    #[test]
    fn eight_bit_is_declared() {
        let envelope = envelope("a@example.org", "b@example.org");
        let facts = Facts { eight_bit_body: true, ..Facts::default() };
        let offered = Capabilities { eight_bit: true, ..Capabilities::default() };
        assert_eq!(words(&adapt(facts, 10, &envelope, &offered).unwrap()), ["BODY=8BITMIME"]);
        assert!(adapt(facts, 10, &envelope, &Capabilities::default()).unwrap().mail.is_empty());
    }

    #[test]
    fn utf8_only_where_an_address_needs_it() {
        let ascii = envelope("a@example.org", "b@example.org");
        let foreign = envelope("a@example.org", "bjørn@example.org");
        let facts = Facts { eight_bit_header: true, ..Facts::default() };
        assert!(!words(&adapt(facts, 10, &ascii, &everything()).unwrap()).contains(&"SMTPUTF8".to_owned()));
        let taken = adapt(Facts::default(), 10, &foreign, &everything()).unwrap();
        assert_eq!(words(&taken), ["SIZE=10", "BODY=8BITMIME", "SMTPUTF8"]);
        let failure = adapt(Facts::default(), 10, &foreign, &Capabilities::default()).unwrap_err();
        assert_eq!(failure.kind, Kind::Data);
        assert_eq!(failure.what, "bjørn@example.org");
        assert!(needs(&ascii, true, &everything()).unwrap().utf8);
        // The message's own trouble is told by its repair.
        assert!(!needs(&ascii, true, &Capabilities::default()).unwrap().utf8);
    }

    #[test]
    fn domains_are_said_in_ascii() {
        let idn = envelope("a@bücher.example", "b@bücher.example");
        assert!(!needs(&idn, false, &everything()).unwrap().utf8);
        assert_eq!(sayable(&idn.forward_paths[0]).unwrap().to_string(), "b@xn--bcher-kva.example");
        assert_eq!(sayable(&Address::new_dangerous("a", "\u{300}.example")).unwrap_err().kind, Kind::Data);
    }

    #[test]
    fn notifications_are_carried_or_named() {
        let mut envelope = envelope("a@example.org", "b+c@example.org");
        envelope.dsn = Dsn {
            notify: Some("SUCCESS,DELAY".to_owned()),
            ret: Some("HDRS".to_owned()),
            envid: Some("id=1 x".to_owned()),
        };
        let carried = adapt(Facts::default(), 10, &envelope, &everything()).unwrap();
        assert_eq!(words(&carried), ["SIZE=10", "RET=HDRS", "ENVID=id+3D1+20x"]);
        let rcpt: Vec<_> = carried.rcpt(&envelope.forward_paths[0]).iter().map(ToString::to_string).collect();
        assert_eq!(rcpt, ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;b+2Bc@example.org"]);
        let bare = adapt(Facts::default(), 10, &envelope, &Capabilities::default()).unwrap();
        assert_eq!(bare.warnings, ["NOTIFY, RET, ENVID not carried: the relay does not offer DSN"]);
    }

    #[test]
    fn an_address_cannot_break_out_of_its_command() {
        for local in ["a\r\nRCPT TO:<x@y>", "a> NOTIFY=NEVER", "a b", "\"open", "a\0"] {
            let mut envelope = envelope("a@example.org", "b@example.org");
            envelope.forward_paths[0] = Address::new_dangerous(local, "example.org");
            assert_eq!(adapt(Facts::default(), 1, &envelope, &everything()).unwrap_err().kind, Kind::Data, "{local}");
        }
        let mut envelope = envelope("a@example.org", "b@example.org");
        envelope.forward_paths[0] = Address::new_dangerous("\"a b>\\\"\"", "example.org");
        assert!(adapt(Facts::default(), 1, &envelope, &everything()).is_ok());
    }
}
