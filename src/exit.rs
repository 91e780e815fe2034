//! The one table from outcome or failure to exit status. No other file knows a number.

use crate::failure::{Failure, Kind};
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

#[cfg(test)]
mod tests {
    use super::*;

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
