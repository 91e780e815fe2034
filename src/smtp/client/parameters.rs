//! What MAIL and RCPT carry for one server: a parameter goes along where the extension is offered; what
//! cannot go along is refused where the mail would be another, else named in the record.

use lettre::transport::smtp::commands::{Mail, Rcpt};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};

use super::Capabilities;
use crate::address::{Address, with_ascii_domain};
use crate::attempt::Trace;
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::repair::Needs;
use crate::outcome::Stage;
use crate::reply::{Reply, printable};

/// What MAIL is to say.
pub(in crate::smtp) struct MailFrom<'a> {
    /// `None` is the null reverse-path.
    pub(in crate::smtp) reverse_path: Option<&'a Address>,
    /// SIZE (RFC 1870), in octets.
    pub(in crate::smtp) size: Option<u64>,
    /// BODY (RFC 6152), where 8BITMIME is offered.
    pub(in crate::smtp) body: Option<MailBodyParameter>,
    /// SMTPUTF8 (RFC 6531).
    pub(in crate::smtp) utf8: bool,
    /// RET and ENVID (RFC 3461).
    pub(in crate::smtp) ret: &'a Option<String>,
    pub(in crate::smtp) envid: &'a Option<String>,
}

impl MailFrom<'_> {
    /// The command.
    ///
    /// # Errors
    /// 552 5.3.4 for a size over the server's limit, `Data` for an address it cannot be told.
    pub(in crate::smtp) fn command(self, offered: &Capabilities, trace: &mut Trace) -> Result<Mail, Failure> {
        let mut parameters = Vec::new();
        if let Some(path) = self.reverse_path {
            check(path, offered, Stage::MailFrom)?;
        }
        if let (Some(size), Some(limit)) = (self.size, offered.size) {
            if limit > 0 && size > limit {
                let text = format!("{size} octets, but the relay accepts no more than {limit}");
                let reply = Reply::too_large(&text);
                return Err(Failure::refused("message", reply).at(Stage::MailFrom));
            }
            parameters.push(MailParameter::Size(usize::try_from(size).unwrap_or(usize::MAX)));
        }
        parameters.extend(self.body.filter(|_| offered.eight_bit).map(MailParameter::Body));
        if self.utf8 && offered.utf8 {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        for (keyword, value) in carried([("RET", self.ret), ("ENVID", self.envid)], offered, trace) {
            parameters.push(MailParameter::Other { keyword: keyword.to_owned(), value: Some(value.clone()) });
        }
        Ok(Mail::new(self.reverse_path.map(sayable).transpose()?, parameters))
    }
}

/// What RCPT is to say.
pub(in crate::smtp) struct RcptTo<'a> {
    pub(in crate::smtp) forward_path: &'a Address,
    /// NOTIFY and ORCPT (RFC 3461).
    pub(in crate::smtp) notify: &'a Option<String>,
    pub(in crate::smtp) original: &'a Option<String>,
}

impl RcptTo<'_> {
    /// The command.
    ///
    /// # Errors
    /// `Data` for an address the server cannot be told.
    pub(in crate::smtp) fn command(self, offered: &Capabilities, trace: &mut Trace) -> Result<Rcpt, Failure> {
        check(self.forward_path, offered, Stage::RcptTo)?;
        let mut parameters = Vec::new();
        for (keyword, value) in carried([("NOTIFY", self.notify), ("ORCPT", self.original)], offered, trace) {
            parameters.push(RcptParameter::Other { keyword: keyword.to_owned(), value: Some(value.clone()) });
        }
        Ok(Rcpt::new(sayable(self.forward_path)?, parameters))
    }
}

/// BODY's value.
pub(in crate::smtp) fn body(is_eight_bit: bool) -> MailBodyParameter {
    if is_eight_bit { MailBodyParameter::EightBitMime } else { MailBodyParameter::SevenBit }
}

/// ORCPT for a recipient whom nobody named otherwise. The form for an address outside ASCII (RFC 6533) is
/// left out: few servers know it.
///
/// # Errors
/// `Data`: the domain has no A-labels.
pub(super) fn original(recipient: &Address) -> Result<Option<String>, Failure> {
    let recipient = sayable(recipient)?;
    Ok(AsRef::<str>::as_ref(&recipient).is_ascii().then(|| format!("rfc822;{recipient}")))
}

/// Those of `asked` that have a value, where the server offers DSN; else they are named in the record.
pub(super) fn carried<'a, const N: usize>(
    asked: [(&'static str, &'a Option<String>); N],
    offered: &Capabilities,
    trace: &mut Trace,
) -> impl Iterator<Item = (&'static str, &'a String)> + use<'a, N> {
    let is_offered = offered.dsn;
    let asked = asked.into_iter().filter_map(|(keyword, value)| Some((keyword, value.as_ref()?)));
    let words: Vec<_> = asked.clone().map(|(keyword, _)| keyword).filter(|_| !is_offered).collect();
    if !words.is_empty() {
        trace.warn(format!("{} not carried: the relay does not offer DSN", words.join(", ")));
    }
    asked.filter(move |_| is_offered)
}

/// What the server asks of the message. SMTPUTF8 is used only where a local part needs it, in the
/// envelope or (`utf8_header`) in an address field; domains have A-labels.
///
/// # Errors
/// `Data`: an address of the envelope needs SMTPUTF8, which is not offered.
pub fn needs(envelope: &Envelope, utf8_header: bool, offered: &Capabilities) -> Result<Needs, Failure> {
    let foreign = envelope.addresses().find(|address| !address.user().is_ascii());
    if let Some(address) = foreign {
        check(address, offered, Stage::MailFrom)?;
    }
    Ok(Needs { eight_bit: offered.eight_bit, utf8: offered.utf8 && (utf8_header || foreign.is_some()) })
}

/// Whether the server can be told `address`.
///
/// # Errors
/// `Data`, at `stage`.
pub(super) fn check(address: &Address, offered: &Capabilities, stage: Stage) -> Result<(), Failure> {
    let why = match () {
        () if !is_sayable(address) => "this address cannot be part of a command",
        () if !address.user().is_ascii() && !offered.utf8 => {
            "this address needs SMTPUTF8, which the relay does not offer"
        }
        () => return Ok(()),
    };
    Err(Failure::new(Kind::Data, printable(address.to_string().as_bytes(), 256), why).at(stage))
}

/// `address` as a command says it.
///
/// # Errors
/// `Data`: the domain has no A-labels.
fn sayable(address: &Address) -> Result<Address, Failure> {
    with_ascii_domain(address).map_err(|bad| Failure::new(Kind::Data, bad.text, bad.why).at(Stage::MailFrom))
}

/// Whether `address` stays inside its angle brackets: no control character anywhere, and outside a
/// quoted string no space and no bracket.
fn is_sayable(address: &Address) -> bool {
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
    use crate::config::relay::{Place, Relay, TlsMode};
    use crate::envelope::Dsn;
    use crate::message::Facts;
    use crate::smtp::client::{Delivery, Dialogue, Measure, Run};

    fn envelope(from: &str, to: &str) -> Envelope {
        Envelope {
            reverse_path: Some(from.parse().unwrap()),
            forward_paths: vec![to.parse().unwrap()],
            dsn: Dsn::default(),
        }
    }

    /// The words behind the paths of MAIL and RCPT that begin a delivery, and the warnings.
    fn adapt(
        facts: Facts,
        size: u64,
        envelope: &Envelope,
        offered: &Capabilities,
    ) -> Result<(String, String, Vec<String>), Failure> {
        let relay = Relay::new("main", Place::Tcp { host: "a.example".to_owned(), port: 465 }, TlsMode::Implicit);
        let mut dialogue = Dialogue::new(&relay, relay.smtp().unwrap(), None);
        dialogue.capabilities = Capabilities { pipelining: true, ..offered.clone() };
        let (measure, mut trace) = (Measure { size, facts, holds_commands: false }, Trace::default());
        let needs = needs(envelope, false, offered)?;
        let mut delivery = Delivery::new(envelope, measure, needs, false, &dialogue, &mut trace)?;
        Run::begin(&mut delivery, &mut dialogue, &mut trace);
        let said = String::from_utf8(dialogue.take_output()).unwrap();
        let words = |line: usize| said.lines().nth(line).unwrap().split_once('>').unwrap().1.trim().to_owned();
        Ok((words(0), words(1), trace.warnings))
    }

    fn mail(facts: Facts, size: u64, envelope: &Envelope, offered: &Capabilities) -> String {
        adapt(facts, size, envelope, offered).unwrap().0
    }

    fn everything() -> Capabilities {
        Capabilities { eight_bit: true, utf8: true, dsn: true, size: Some(1000), ..Capabilities::default() }
    }

    #[test]
    fn size_is_declared_and_checked() {
        let envelope = envelope("a@example.org", "b@example.org");
        assert_eq!(mail(Facts::default(), 1000, &envelope, &everything()), "SIZE=1000");
        let failure = adapt(Facts::default(), 1001, &envelope, &everything()).unwrap_err();
        assert!(matches!(&failure.kind, Kind::Refused(reply) if reply.code() == 552), "{failure}");
        let unlimited = Capabilities { size: Some(0), ..Capabilities::default() };
        assert_eq!(mail(Facts::default(), 1 << 30, &envelope, &unlimited), "SIZE=1073741824");
    }

    #[test]
    fn eight_bit_is_declared() {
        let envelope = envelope("a@example.org", "b@example.org");
        let facts = Facts { eight_bit_body: true, ..Facts::default() };
        let offered = Capabilities { eight_bit: true, ..Capabilities::default() };
        assert_eq!(mail(facts, 10, &envelope, &offered), "BODY=8BITMIME");
        assert_eq!(mail(facts, 10, &envelope, &Capabilities::default()), "");
    }

    #[test]
    fn utf8_only_where_an_address_needs_it() {
        let ascii = envelope("a@example.org", "b@example.org");
        let foreign = envelope("a@example.org", "bjørn@example.org");
        let facts = Facts { eight_bit_header: true, ..Facts::default() };
        assert!(!mail(facts, 10, &ascii, &everything()).contains("SMTPUTF8"));
        assert_eq!(mail(Facts::default(), 10, &foreign, &everything()), "SIZE=10 BODY=8BITMIME SMTPUTF8");
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
            each: Vec::new(),
        };
        let (mail, rcpt, warnings) = adapt(Facts::default(), 10, &envelope, &everything()).unwrap();
        assert_eq!(mail, "SIZE=10 RET=HDRS ENVID=id+3D1+20x");
        assert_eq!(rcpt, "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@example.org");
        assert_eq!(warnings, [""; 0]);
        let (mail, rcpt, warnings) = adapt(Facts::default(), 10, &envelope, &Capabilities::default()).unwrap();
        assert_eq!((mail.as_str(), rcpt.as_str()), ("", ""));
        assert_eq!(warnings, ["NOTIFY, RET, ENVID not carried: the relay does not offer DSN"]);
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
