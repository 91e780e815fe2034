//! What the caller is told: replies as lines, and the one table from failures to replies.

use std::fmt::Write as _;

use super::SIZE_LIMIT;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;
use crate::reply::{Enhanced, Reply};

/// The longest reply line, in octets with its CRLF (RFC 5321 4.5.3.1.5).
const LINE_LIMIT: usize = 512;

/// A reply, and one next step for whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The reply.
    pub reply: Reply,
    /// One next step, without the `hint: ` prefix.
    pub hint: Option<String>,
}

/// A relay that says 421 closes its session, and we do not close ours.
impl From<Reply> for Told {
    fn from(reply: Reply) -> Self {
        let reply = match reply.code() {
            421 => Reply::new(451, reply.enhanced(), reply.text()),
            _ => reply,
        };
        Self { reply, hint: None }
    }
}

/// A failure is temporary unless trying again could send twice or cannot help: the caller's own queue, if
/// it has one, may do what a second try can do.
impl From<&Failure> for Told {
    fn from(failure: &Failure) -> Self {
        let sentence = failure.to_string();
        let said = |code, enhanced| Reply::own(code, enhanced, &sentence);
        let reply = match (&failure.kind, failure.stage) {
            (Kind::Refused(reply), _) => {
                Reply::new(reply.code(), reply.enhanced(), &format!("{}: {}", failure.what, reply.text()))
            }
            (Kind::NoHost, _) => said(451, (4, 4, 3)),
            (Kind::Unavailable, _) => said(451, (4, 4, 1)),
            (Kind::Protocol, Some(Stage::Tls | Stage::StartTls)) => said(454, (4, 7, 5)),
            (Kind::Protocol, _) => said(451, (4, 5, 0)),
            (Kind::InDoubt, _) => Reply::own(554, (5, 4, 2), &format!("{sentence}, not retried")),
            (Kind::Configuration | Kind::NoPermission, _) => said(451, (4, 3, 5)),
            (Kind::CannotCreate, _) => said(452, (4, 3, 1)),
            (Kind::Software | Kind::System | Kind::Io, _) => said(451, (4, 3, 0)),
            // An address that cannot be said, or a message that cannot go through this relay.
            (Kind::Data, Some(Stage::Data | Stage::Message)) | (Kind::NoInput, _) => said(554, (5, 6, 0)),
            (Kind::Data | Kind::Usage, _) => said(553, (5, 1, 3)),
        };
        Self { reply, hint: failure.hint.clone() }
    }
}

/// Appends `reply` as lines of at most 512 octets of ASCII, each with the enhanced status code.
pub(super) fn write(out: &mut Vec<u8>, reply: &Reply, hint: Option<&str>) {
    let class = (reply.code() / 100) as u8;
    // Every 2yz, 4yz and 5yz reply has one, as was promised (RFC 2034).
    let enhanced = reply.enhanced().or_else(|| matches!(class, 2 | 4 | 5).then(|| Enhanced::new(class, 0, 0)));
    let enhanced = enhanced.map(|code| format!("{code} ")).unwrap_or_default();
    let room = LINE_LIMIT - "250-\r\n".len() - enhanced.len();
    let ascii = |text: &str| text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect::<String>();
    let mut lines = pieces(&ascii(reply.text()), room);
    if let Some(hint) = hint {
        lines.extend(pieces(&ascii(&format!("hint: {hint}")), room));
    }
    let last = lines.len() - 1;
    for (index, line) in lines.iter().enumerate() {
        let separator = if index == last { ' ' } else { '-' };
        out.extend_from_slice(format!("{}{separator}{enhanced}{line}\r\n", reply.code()).as_bytes());
    }
}

/// ASCII `text` in pieces of at most `room` octets, cut at spaces where there are some; never none.
fn pieces(text: &str, room: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > room {
        let at = rest[..=room].rfind(' ').filter(|&at| at > 0).unwrap_or(room);
        pieces.push(rest[..at].to_owned());
        rest = rest[at..].trim_start();
    }
    pieces.push(rest.to_owned());
    pieces
}

/// The reply to EHLO.
pub(super) fn ehlo(host_name: &str) -> String {
    let size = format!("SIZE {SIZE_LIMIT}");
    let words = ["PIPELINING", "8BITMIME", "SMTPUTF8", &size, "DSN", "ENHANCEDSTATUSCODES"];
    let mut reply = format!("250-{host_name}\r\n");
    for word in words {
        // Writing to a String cannot fail.
        let _ = write!(reply, "250-{word}\r\n");
    }
    reply + "250 HELP\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, hint: Option<&str>) -> String {
        let mut out = Vec::new();
        write(&mut out, reply, hint);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_lines_of_ascii_with_an_enhanced_code() {
        let reply = Reply::own(451, (4, 3, 5), "no site f\u{fc}r uid 5");
        assert_eq!(written(&reply, Some("list it")), "451-4.3.5 no site f?r uid 5\r\n451 4.3.5 hint: list it\r\n");
        assert_eq!(written(&Reply::new(550, None, "no"), None), "550 5.0.0 no\r\n");
        assert_eq!(written(&Reply::new(550, None, ""), None), "550 5.0.0 \r\n");
        assert_eq!(written(&Reply::new(250, None, "ok"), None), "250 2.0.0 ok\r\n");
        assert_eq!(written(&Reply::new(354, None, "go"), None), "354 go\r\n");
        let long = written(&Reply::new(550, None, &"word ".repeat(200)), None);
        assert!(long.lines().count() == 2 && long.lines().all(|line| line.len() <= 510), "{long}");
        assert!(long.starts_with("550-5.0.0 word ") && long.contains("\r\n550 5.0.0 word"), "{long}");
        let unbroken = written(&Reply::new(550, None, &"x".repeat(1000)), None);
        assert_eq!(unbroken.matches('x').count(), 1000);
    }

    #[test]
    fn every_failure_has_its_reply() {
        for (kind, stage, expected) in [
            (Kind::NoHost, None, "451 4.4.3"),
            (Kind::Unavailable, Some(Stage::Connect), "451 4.4.1"),
            (Kind::Protocol, Some(Stage::Tls), "454 4.7.5"),
            (Kind::Protocol, Some(Stage::RcptTo), "451 4.5.0"),
            (Kind::InDoubt, Some(Stage::Message), "554 5.4.2"),
            (Kind::Configuration, None, "451 4.3.5"),
            (Kind::NoPermission, None, "451 4.3.5"),
            (Kind::Data, None, "553 5.1.3"),
            (Kind::Data, Some(Stage::Message), "554 5.6.0"),
        ] {
            let mut failure = Failure::new(kind, "x", "y");
            failure.stage = stage;
            let reply = Told::from(&failure).reply.to_string();
            assert!(reply.starts_with(&format!("{expected} x: y")), "{reply}");
        }
        let failure = Failure::refused("a@b", Reply::own(553, (5, 7, 1), "sender not allowed"));
        assert_eq!(Told::from(&failure).reply.to_string(), "553 5.7.1 a@b: sender not allowed");
    }
}
