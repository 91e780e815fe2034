//! What becomes of a message after its relays were tried: told and over, kept to be sent, or held for a person.

use crate::address::Address;
use crate::config::site::InDoubt;
use crate::failure::{Failure, Kind};
use crate::outcome::Outcome;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The caller is told, and that is the end.
    Told,
    /// It is sent later.
    Queued {
        /// To whom, where the others have it or were refused for good; `None`: to everybody.
        waiting: Option<Vec<Address>>,
        /// No weather: somebody has to mend a relay (login, TLS, quota).
        is_relay_trouble: bool,
        /// Somebody may have it already.
        is_in_doubt: bool,
    },
    /// Somebody may have it already: a person decides.
    Held,
}

/// What one result says of the message.
enum Word {
    Accepted,
    /// Settled for good, by what it is or to whom it goes.
    Settled,
    /// Settled for good by this relay or us alone; another relay's word counts more.
    Unfit,
    /// Some have it or were refused, these are to wait.
    Waiting(Vec<Address>),
    /// No reply, or a reply that passes.
    Weather,
    /// The relay's own trouble: login, TLS, protocol.
    Trouble,
    /// Handed over, and no valid final reply. Of those who are named it is known that they do not have it.
    Doubt(Option<Vec<Address>>),
}

impl Word {
    fn of(result: &Result<Outcome, Failure>) -> Self {
        match result {
            Ok(outcome) => Self::of_outcome(outcome),
            Err(failure) => match &failure.kind {
                Kind::NoHost | Kind::Unavailable | Kind::System | Kind::CannotCreate | Kind::Io => Self::Weather,
                Kind::Protocol => Self::Trouble,
                Kind::Refused(_) if !failure.is_our_refusal() => Self::Trouble,
                // A limit of the relay's.
                Kind::Refused(reply) if reply.is_transient() => Self::Weather,
                Kind::Data | Kind::NoPermission | Kind::Configuration => Self::Unfit,
                Kind::Refused(_) | Kind::Usage | Kind::NoInput | Kind::Software => Self::Settled,
                Kind::InDoubt => Self::Doubt(None),
            },
        }
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        if outcome.is_accepted() {
            return Self::Accepted;
        }
        if outcome.is_accepted_for_some() {
            let waiting: Vec<Address> = outcome
                .answers
                .iter()
                .filter(|answer| answer.reply.as_ref().is_none_or(crate::reply::Reply::is_transient))
                .map(|answer| answer.recipient.clone())
                .collect();
            return match (outcome.is_forced_partial(), waiting.is_empty()) {
                (true, _) => Self::Doubt(Some(waiting)),
                (false, false) => Self::Waiting(waiting),
                (false, true) => Self::Settled,
            };
        }
        match outcome.decisive() {
            Some((_, reply)) if reply.is_authentication() => Self::Trouble,
            Some((_, reply)) if reply.is_transient() => Self::Weather,
            Some(_) if outcome.is_deferred() => Self::Trouble,
            Some(_) => Self::Settled,
            None => Self::Weather,
        }
    }
}

/// What `result` says, in one line, and its code where it is a reply.
pub fn said(result: &Result<Outcome, Failure>) -> (Option<u16>, String) {
    match result {
        Ok(outcome) => match outcome.decisive() {
            Some((_, reply)) => (Some(reply.code()), reply.to_string()),
            None => (None, String::new()),
        },
        Err(failure) => (None, failure.to_string()),
    }
}

/// The fate of a message that has come to `results`, one for each relay that was tried, in order.
///
/// It waits where a relay may take it later: nobody has it, and what went wrong is the relay's or ours and may pass
/// (design: deferred, no reply, resources, the relay's own trouble). What was said of the message or its recipients
/// for good is told, and so is what nobody can mend by waiting.
pub fn decide<'a>(
    results: impl IntoIterator<Item = &'a Result<Outcome, Failure>>,
    is_spooling: bool,
    in_doubt: InDoubt,
) -> Fate {
    let words: Vec<Word> = results.into_iter().map(Word::of).collect();
    let queued = |waiting, is_relay_trouble, is_in_doubt| match is_spooling {
        true => Fate::Queued { waiting, is_relay_trouble, is_in_doubt },
        false => Fate::Told,
    };
    if matches!(words.last(), None | Some(Word::Accepted)) {
        return Fate::Told;
    }
    if let Some(Word::Doubt(missing)) = words.iter().find(|word| matches!(word, Word::Doubt(_))) {
        return match (in_doubt, missing) {
            (InDoubt::Report, _) => Fate::Told,
            (InDoubt::Hold, _) => Fate::Held,
            // Who was refused for good has been told, and the others have it.
            (InDoubt::Retry, Some(missing)) if missing.is_empty() => Fate::Told,
            (InDoubt::Retry, Some(missing)) => queued(Some(missing.clone()), false, false),
            (InDoubt::Retry, None) => queued(None, false, true),
        };
    }
    match words.last() {
        Some(Word::Settled) => Fate::Told,
        Some(Word::Waiting(waiting)) => queued(Some(waiting.clone()), false, false),
        _ => {
            let is_any = |wanted: fn(&Word) -> bool| words.iter().any(wanted);
            let is_relay_trouble = is_any(|word| matches!(word, Word::Trouble));
            match is_relay_trouble || is_any(|word| matches!(word, Word::Weather)) {
                true => queued(None, is_relay_trouble, false),
                false => Fate::Told,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Answer, Stage};
    use crate::reply::{Enhanced, Reply};

    type Result_ = Result<Outcome, Failure>;

    fn person(name: &str) -> Address {
        Address::new_dangerous(name, "example.org")
    }

    fn failed(kind: Kind) -> Result_ {
        Err(Failure::new(kind, "smtp.example.net:465", "why"))
    }

    /// One reply for each of `codes`; 0: not refused, and nothing was sent.
    fn replied(codes: &[u16], stage: Stage, partial_chosen: bool) -> Result_ {
        let answers = codes.iter().enumerate().map(|(number, code)| Answer {
            recipient: person(&number.to_string()),
            reply: (*code != 0).then(|| Reply::new(*code, Some(Enhanced::new((code / 100) as u8, 0, 0)), "text")),
            stage,
        });
        Ok(Outcome { answers: answers.collect(), partial_chosen, provider_id: None })
    }

    fn to_all(code: u16, stage: Stage) -> Result_ {
        replied(&[code], stage, false)
    }

    fn queued(waiting: Option<&[&str]>, is_relay_trouble: bool, is_in_doubt: bool) -> Fate {
        let waiting = waiting.map(|names| names.iter().map(|name| person(name)).collect());
        Fate::Queued { waiting, is_relay_trouble, is_in_doubt }
    }

    /// Each result alone, and what becomes of it with a spool under report, hold and retry.
    #[test]
    fn every_outcome_and_failure_has_its_fate() {
        let told = || [Fate::Told, Fate::Told, Fate::Told];
        let waits =
            |trouble| [queued(None, trouble, false), queued(None, trouble, false), queued(None, trouble, false)];
        let of_account = |stage| {
            let reply = Reply::own(550, (5, 4, 5), "Daily user sending limit exceeded");
            Outcome::same_for_all(&["b@example.org".parse().unwrap()], &reply, stage)
        };
        let refused = |reply, stage: Option<Stage>| {
            Err(Failure { stage, ..Failure::refused("smtp.example.net:465", Reply::own(reply, (5, 7, 0), "no")) })
        };
        let part = queued(Some(&["1"]), false, false);
        let table: Vec<(&str, Result_, [Fate; 3])> = vec![
            ("accepted", to_all(250, Stage::Message), told()),
            ("accepted for all of two", replied(&[250, 250], Stage::Message, false), told()),
            ("greylisted", to_all(451, Stage::RcptTo), waits(false)),
            ("one of two greylisted, nothing sent", replied(&[0, 451], Stage::RcptTo, false), waits(false)),
            ("421 at the greeting", to_all(421, Stage::Greeting), waits(false)),
            ("454 at the login", to_all(454, Stage::Auth), waits(false)),
            ("452 after the dot", to_all(452, Stage::Message), waits(false)),
            ("login refused", to_all(535, Stage::Auth), waits(true)),
            ("530 at MAIL", to_all(530, Stage::MailFrom), waits(true)),
            ("554 at the greeting", to_all(554, Stage::Greeting), waits(true)),
            ("550 at EHLO", to_all(550, Stage::Ehlo), waits(true)),
            ("sender refused", to_all(550, Stage::MailFrom), told()),
            ("the day's quota, after the dot", Ok(of_account(Stage::Message)), waits(true)),
            ("the account is blocked, at MAIL", Ok(of_account(Stage::MailFrom)), waits(true)),
            ("recipient refused", to_all(550, Stage::RcptTo), told()),
            ("refused and greylisted, nothing sent", replied(&[550, 451], Stage::RcptTo, false), told()),
            ("too large", to_all(552, Stage::Data), told()),
            ("content refused", to_all(554, Stage::Message), told()),
            (
                "partial: one greylisted",
                replied(&[250, 451], Stage::Message, true),
                [part.clone(), part.clone(), part.clone()],
            ),
            ("partial: one refused", replied(&[250, 550], Stage::Message, true), told()),
            (
                "partial: one of each",
                replied(&[250, 451, 550], Stage::Message, true),
                [part.clone(), part.clone(), part.clone()],
            ),
            (
                "LMTP took it for one, the other waits",
                replied(&[250, 451], Stage::Message, false),
                [Fate::Told, Fate::Held, part],
            ),
            (
                "LMTP took it for one and refused the other",
                replied(&[250, 550], Stage::Message, false),
                [Fate::Told, Fate::Held, Fate::Told],
            ),
            ("usage", failed(Kind::Usage), told()),
            ("data", failed(Kind::Data), told()),
            ("no input", failed(Kind::NoInput), told()),
            ("no host", failed(Kind::NoHost), waits(false)),
            ("unavailable", failed(Kind::Unavailable), waits(false)),
            ("software", failed(Kind::Software), told()),
            ("system", failed(Kind::System), waits(false)),
            ("cannot create", failed(Kind::CannotCreate), waits(false)),
            ("input or output", failed(Kind::Io), waits(false)),
            ("protocol", failed(Kind::Protocol), waits(true)),
            ("no permission", failed(Kind::NoPermission), told()),
            ("configuration", failed(Kind::Configuration), told()),
            ("in doubt", failed(Kind::InDoubt), [Fate::Told, Fate::Held, queued(None, false, true)]),
            ("over a relay's limit", refused(450, None), waits(false)),
            ("our refusal", refused(550, None), told()),
            ("our refusal of the size", refused(552, Some(Stage::MailFrom)), told()),
            ("the authorization server's refusal", refused(535, Some(Stage::Auth)), waits(true)),
        ];
        for (name, result, wanted) in table {
            for (in_doubt, wanted) in [InDoubt::Report, InDoubt::Hold, InDoubt::Retry].into_iter().zip(wanted) {
                assert_eq!(decide([&result], true, in_doubt), wanted, "{name}, {in_doubt:?}, spool");
                let without = if wanted == Fate::Held { Fate::Held } else { Fate::Told };
                assert_eq!(decide([&result], false, in_doubt), without, "{name}, {in_doubt:?}, fail");
            }
        }
    }

    #[test]
    fn several_relays_come_to_one_fate() {
        let waits = |trouble| queued(None, trouble, false);
        let away = || failed(Kind::Unavailable);
        let failed_over = || Err(Failure::refused("relay main", Reply::own(450, (4, 7, 1), "over the limit")));
        let table: Vec<(&str, Vec<Result_>, Fate)> = vec![
            ("both away", vec![away(), away()], waits(false)),
            ("login refused, backup away", vec![to_all(535, Stage::Auth), away()], waits(true)),
            ("away, the backup refuses the login", vec![away(), to_all(535, Stage::Auth)], waits(true)),
            ("away, the backup refuses the recipient", vec![away(), to_all(550, Stage::RcptTo)], Fate::Told),
            ("away, the backup takes it", vec![away(), to_all(250, Stage::Message)], Fate::Told),
            ("away, the backup has no password", vec![away(), failed(Kind::Configuration)], waits(false)),
            ("over the limit of one, the backup is away", vec![failed_over(), away()], waits(false)),
            ("away, over the limit of the backup", vec![away(), failed_over()], waits(false)),
            ("over the limit of one, the backup refuses", vec![failed_over(), to_all(550, Stage::RcptTo)], Fate::Told),
            ("no password, the backup is away", vec![failed(Kind::NoPermission), away()], waits(false)),
            ("too odd for an API, the backup is away", vec![failed(Kind::Data), away()], waits(false)),
            (
                "nothing is configured rightly",
                vec![failed(Kind::Configuration), failed(Kind::NoPermission)],
                Fate::Told,
            ),
            ("a bug", vec![away(), failed(Kind::Software)], Fate::Told),
        ];
        for (name, results, wanted) in table {
            assert_eq!(decide(&results, true, InDoubt::Report), wanted, "{name}");
        }
        // Whatever the second says, the first may have it, unless the second has it.
        for (second, wanted) in [
            (away(), queued(None, false, true)),
            (to_all(550, Stage::RcptTo), queued(None, false, true)),
            (to_all(250, Stage::Message), Fate::Told),
        ] {
            assert_eq!(decide(&[failed(Kind::InDoubt), second], true, InDoubt::Retry), wanted);
        }
    }
}
