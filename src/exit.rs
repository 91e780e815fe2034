//! The one table from outcome or failure to exit status. No other file knows a number.

use crate::failure::{Failure, Kind};
use crate::finding::{Area, Finding, Grade};
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;

/// Which numbers the caller understands (`exit_status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Status + 400 is the SMTP reply code.
    #[default]
    Reply,
    /// The classic numbers of sysexits.h; a transient refusal gives `transient`.
    Sysexits {
        /// `transient_status`, 69 unless the site says otherwise.
        transient: u8,
    },
}

/// Accepted by the relay for every recipient.
pub const OK: u8 = 0;
/// In doubt: perhaps somebody has the message.
pub const IN_DOUBT: u8 = 79;

/// The exit status of a submission.
pub fn status(result: &Result<Outcome, Failure>, scheme: Scheme) -> u8 {
    match result {
        Ok(outcome) if outcome.is_accepted() => OK,
        Ok(outcome) if outcome.is_forced_partial() => in_doubt(scheme),
        Ok(outcome) => match outcome.decisive() {
            Some((answer, reply)) => of_reply(reply, answer.stage, scheme),
            None => of_kind(&Kind::Software, scheme),
        },
        Err(failure) => of_kind(&failure.kind, scheme),
    }
}

/// The exit status of a failure of this kind.
pub fn of_kind(kind: &Kind, scheme: Scheme) -> u8 {
    match kind {
        Kind::Usage => 64,
        Kind::Data => 65,
        Kind::NoInput => 66,
        Kind::NoHost => 68,
        Kind::Unavailable => 69,
        Kind::Software => 70,
        Kind::System => 71,
        Kind::CannotCreate => 73,
        Kind::Io => 74,
        Kind::Protocol => 76,
        Kind::NoPermission => 77,
        Kind::Configuration => 78,
        Kind::InDoubt => in_doubt(scheme),
        Kind::Refused(reply) => of_reply(reply, Stage::Message, scheme),
    }
}

/// The exit status of what was found: 0 where nothing is broken, else that of what stands first in a message's way.
pub fn of_findings<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> u8 {
    let broken = findings.into_iter().filter(|finding| finding.grade == Grade::Broken);
    match broken.map(|finding| finding.code.area).max() {
        None => OK,
        Some(Area::Setup) => of_kind(&Kind::Configuration, Scheme::Reply),
        Some(Area::Access) => of_kind(&Kind::NoPermission, Scheme::Reply),
        Some(Area::Relay) => of_kind(&Kind::Unavailable, Scheme::Reply),
        Some(Area::Login) => of_code(535),
        Some(Area::Domain) => of_kind(&Kind::Data, Scheme::Reply),
    }
}

fn in_doubt(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::Reply => IN_DOUBT,
        Scheme::Sysexits { .. } => 74,
    }
}

fn of_reply(reply: &Reply, stage: Stage, scheme: Scheme) -> u8 {
    match scheme {
        Scheme::Reply => of_code(reply.code()),
        Scheme::Sysexits { transient } => match reply.code() {
            550 | 551 | 553 => 67,
            530..=539 => 77,
            // Before the data they are not about the content: a full mailbox, relaying denied.
            552 | 554 if stage >= Stage::Data => 65,
            400..=499 => transient,
            _ => 69,
        },
    }
}

/// Reply code minus 400, for the codes a shell can show: 400 and 460 to 499 are reported as 50, the
/// codes that would read as 126, 127 or death by signal as 150.
fn of_code(code: u16) -> u8 {
    match code {
        401..=459 => (code - 400) as u8,
        526 | 527 | 537 | 539 | 541 | 543 => 150,
        500..=599 => (code - 400) as u8,
        _ => 50,
    }
}

/// A status that stands for itself rather than for a reply code.
pub struct Sysexit {
    /// The number.
    pub status: u16,
    /// Its name in sysexits.h, where it has one.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// What to do.
    pub next: &'static str,
}

const fn sysexit(status: u16, name: &'static str, meaning: &'static str, next: &'static str) -> Sysexit {
    Sysexit { status, name, meaning, next }
}

/// Every status that is no reply code, in order. Sentences about them stand here and nowhere else.
pub static SYSEXITS: &[Sysexit] = &[
    sysexit(0, "EX_OK", "the relay accepted the message for every recipient", "nothing"),
    sysexit(
        64,
        "EX_USAGE",
        "bad command line, or no recipients",
        "read the line on standard error; `mailchute --help` lists the options",
    ),
    sysexit(
        65,
        "EX_DATAERR",
        "an invalid address, or a message that this relay cannot carry as it is",
        "correct the address or the message",
    ),
    sysexit(66, "EX_NOINPUT", "the input is empty or cannot be read", "find out why the program wrote no message"),
    sysexit(
        67,
        "EX_NOUSER",
        "the recipient was refused (only with exit_status = \"sysexits\")",
        "check the address; the record has the reply",
    ),
    sysexit(
        68,
        "EX_NOHOST",
        "the relay's host name does not exist",
        "check `host` in the configuration and the resolver",
    ),
    sysexit(
        69,
        "EX_UNAVAILABLE",
        "the relay cannot be reached, was silent, or the deadline is over",
        "try later; `mailchute test --to ADDRESS` shows where it stops",
    ),
    sysexit(70, "EX_SOFTWARE", "a bug in mailchute", "report it with the line on standard error"),
    sysexit(
        71,
        "EX_OSERR",
        "memory, temporary files, process limits, or a signal before the message was sent",
        "free the resource that ran out, then send it again",
    ),
    sysexit(73, "EX_CANTCREAT", "a local file cannot be created", "look at the directory's owner, mode and free space"),
    sysexit(74, "EX_IOERR", "a local file cannot be read or written", "look at the file named on standard error"),
    sysexit(
        75,
        "EX_TEMPFAIL",
        "never returned, because PHP 8.5 takes it for success (only as a chosen transient_status)",
        "if it came from mailchute, the configuration asks for it: try later",
    ),
    sysexit(
        76,
        "EX_PROTOCOL",
        "the relay broke the protocol, TLS failed, or STARTTLS or a usable AUTH is not offered",
        "check port, tls and auth of the relay; `mailchute test --to ADDRESS` shows the dialogue",
    ),
    sysexit(
        77,
        "EX_NOPERM",
        "not allowed: no site for this user, or the mode of a file",
        "run `mailchute explain --as USER` as root",
    ),
    sysexit(
        78,
        "EX_CONFIG",
        "the configuration is missing or wrong",
        "read the line on standard error; `mailchute explain`",
    ),
    sysexit(
        79,
        "",
        "in doubt: the message was handed over and no valid final reply came, or it was taken for some recipients only",
        "look at the provider's log; sending it again may deliver it twice",
    ),
];

/// The exit statuses in short, for `--help`.
pub fn summary() -> [(&'static str, &'static str); 5] {
    [
        ("0", "the relay accepted the message for every recipient"),
        ("1-59", "refused for now, nobody has the message: the SMTP reply code minus 400"),
        ("64-78", "no reply, nobody has the message: a number of sysexits.h, such as 69 and 78"),
        ("79", "in doubt: handed over, and no valid final reply came; somebody may have it"),
        ("100-199", "refused for good, nobody has the message: the SMTP reply code minus 400"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Code;

    #[test]
    fn what_is_broken_decides_by_what_is_in_the_way() {
        let code = |grade, area| Code { word: "a.b", grade, area, about: "" };
        let found = |all: &[(Grade, Area)]| {
            let made = |(grade, area): &(Grade, Area)| Finding::new(Box::leak(Box::new(code(*grade, *area))), "a", "b");
            of_findings(&all.iter().map(made).collect::<Vec<_>>())
        };
        assert_eq!(found(&[]), 0);
        assert_eq!(found(&[(Grade::Weak, Area::Setup), (Grade::Note, Area::Login)]), 0);
        let all = [(Area::Setup, 78), (Area::Access, 77), (Area::Relay, 69), (Area::Login, 135), (Area::Domain, 65)];
        for (index, (area, status)) in all.into_iter().enumerate() {
            let rest = all[index..].iter().rev().map(|(area, _)| (Grade::Broken, *area));
            assert_eq!(found(&rest.collect::<Vec<_>>()), status, "{area:?}");
        }
    }

    #[test]
    fn every_negative_reply_code_has_a_status_a_shell_can_show() {
        for code in 400..600 {
            let status = of_code(code);
            assert!((1..=59).contains(&status) || (100..=199).contains(&status), "{code} gives {status}");
            assert!(![126, 127, 137, 139, 141, 143, 75].contains(&status), "{code} gives {status}");
        }
        assert_eq!(of_code(451), 51);
        assert_eq!(of_code(550), 150);
    }
}
