//! What a caller's MAIL and RCPT become for one relay: a parameter goes along where the extension is
//! offered; what cannot go along is refused where the mail would be another, else noted.

use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};

use super::client::{Capabilities, is_sayable};
use super::server::{Mail, Rcpt};
use crate::address::Address;
use crate::attempt::Trace;
use crate::failure::{Failure, Kind};
use crate::message::repair::Needs;
use crate::outcome::Stage;
use crate::reply::{Enhanced, Reply, printable};

/// The parameters of MAIL.
///
/// # Errors
/// 552 5.3.4 for a declared size over the relay's limit, `Data` for an address it cannot take.
pub(super) fn mail(
    reverse_path: Option<&Address>,
    mail: &Mail,
    offered: &Capabilities,
    trace: &mut Trace,
) -> Result<Vec<MailParameter>, Failure> {
    let mut parameters = Vec::new();
    if let Some(path) = reverse_path {
        check(path, offered, Stage::MailFrom)?;
    }
    if let (Some(size), Some(limit)) = (mail.size, offered.size) {
        if limit > 0 && size > limit {
            let text = format!("{size} octets, and the relay takes no more than {limit}");
            let reply = Reply::new(552, Some(Enhanced::new(5, 3, 4)), &text);
            return Err(Failure::refused("message", reply).at(Stage::MailFrom));
        }
        parameters.push(MailParameter::Size(usize::try_from(size).unwrap_or(usize::MAX)));
    }
    // The body is still to come and may hold anything; most callers do not know the parameter.
    if offered.eight_bit {
        parameters.push(MailParameter::Body(match mail.eight_bit {
            Some(false) => MailBodyParameter::SevenBit,
            _ => MailBodyParameter::EightBitMime,
        }));
    }
    if mail.utf8 && offered.utf8 {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let dsn = [("RET", &mail.ret), ("ENVID", &mail.envid)];
    for (keyword, value) in dsn.into_iter().filter_map(|(keyword, value)| Some((keyword, value.as_ref()?))) {
        match offered.dsn {
            true => {
                parameters.push(MailParameter::Other { keyword: keyword.to_owned(), value: Some(value.clone()) });
            }
            false => note(trace, keyword),
        }
    }
    Ok(parameters)
}

/// What the relay asks of the message, after that MAIL.
pub(super) fn needs(mail: &Mail, offered: &Capabilities) -> Needs {
    Needs { eight_bit: offered.eight_bit && mail.eight_bit != Some(false), utf8: offered.utf8 && mail.utf8 }
}

/// The parameters of RCPT.
///
/// # Errors
/// `Data` for an address the relay cannot take.
pub(super) fn rcpt(
    forward_path: &Address,
    rcpt: &Rcpt,
    offered: &Capabilities,
    trace: &mut Trace,
) -> Result<Vec<RcptParameter>, Failure> {
    check(forward_path, offered, Stage::RcptTo)?;
    let mut parameters = Vec::new();
    let dsn = [("NOTIFY", &rcpt.notify), ("ORCPT", &rcpt.original)];
    for (keyword, value) in dsn.into_iter().filter_map(|(keyword, value)| Some((keyword, value.as_ref()?))) {
        match offered.dsn {
            true => {
                parameters.push(RcptParameter::Other { keyword: keyword.to_owned(), value: Some(value.clone()) });
            }
            false => note(trace, keyword),
        }
    }
    Ok(parameters)
}

fn check(address: &Address, offered: &Capabilities, stage: Stage) -> Result<(), Failure> {
    let why = match () {
        () if !is_sayable(address) => "this address cannot be part of a command",
        () if !address.user().is_ascii() && !offered.utf8 => {
            "this address needs SMTPUTF8, which the relay does not offer"
        }
        () => return Ok(()),
    };
    Err(Failure::new(Kind::Data, printable(address.to_string().as_bytes(), 256), why).at(stage))
}

fn note(trace: &mut Trace, keyword: &str) {
    trace.warn(format!("{keyword} not carried: the relay does not offer DSN"));
}
