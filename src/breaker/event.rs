//! What a try says of its relay, and not of its message.

use super::circuit::{Event, Trouble};
use crate::config::relay::Relay;
use crate::failure::{Failure, Kind};
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;

impl Event {
    /// What `result` of a try says of `relay`: no connection, TLS, no reply in time, a refusal before MAIL, 421 and 53x
    /// are its trouble; what is said of sender, recipients or content shows that it works.
    pub fn of(relay: &Relay, result: &Result<Outcome, Failure>) -> Self {
        match result {
            Ok(outcome) if outcome.is_accepted_for_some() => Self::Works,
            Ok(outcome) => outcome.decisive().map_or(Self::Works, |(answer, reply)| said(relay, reply, answer.stage)),
            Err(failure) => match (&failure.kind, failure.stage) {
                (Kind::Refused(reply), Some(stage @ Stage::Auth)) => said(relay, reply, stage),
                (Kind::Unavailable | Kind::NoHost | Kind::Protocol, None) => Self::Fails(Trouble::Token),
                (Kind::Unavailable | Kind::NoHost | Kind::Protocol, Some(Stage::Tls | Stage::StartTls)) => {
                    Self::Fails(Trouble::Tls)
                }
                (Kind::Unavailable | Kind::NoHost, Some(Stage::Connect)) => Self::Fails(Trouble::Connect),
                (Kind::Unavailable | Kind::NoHost | Kind::InDoubt, _) => Self::Fails(Trouble::Silent),
                (Kind::Protocol, Some(stage)) if stage < Stage::MailFrom => Self::Fails(Trouble::Protocol),
                _ => Self::Undecided,
            },
        }
    }
}

/// A refusal at `stage`. An API has one stage only, and what passes there is its own trouble or a limit of the account.
fn said(relay: &Relay, reply: &Reply, stage: Stage) -> Event {
    let is_own = stage < Stage::MailFrom
        || reply.code() == 421
        || (relay.api().is_some() && reply.is_transient())
        || reply.is_about_account();
    match reply.code() {
        code if reply.is_authentication() => Event::Fails(Trouble::Login(code)),
        code if is_own && reply.is_negative() => Event::Fails(Trouble::Said(code)),
        _ => Event::Works,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::config::relay::Place;
    use crate::providers::TlsMode;

    #[test]
    fn what_is_said_of_the_relay_counts_and_what_is_said_of_the_message_does_not() {
        let place = Place::Tcp { host: "smtp.example.net".to_owned(), port: 465 };
        let relay = Relay::new("main", place, TlsMode::Implicit);
        let bob = [Address::new_dangerous("bob", "example.net"), Address::new_dangerous("carol", "example.net")];
        let (works, undecided, fails) = (Event::Works, Event::Undecided, Event::Fails);
        for (code, stage, event) in [
            (250, Stage::Message, works),
            (220, Stage::Greeting, works),
            (421, Stage::Greeting, fails(Trouble::Said(421))),
            (451, Stage::Ehlo, fails(Trouble::Said(451))),
            (554, Stage::Greeting, fails(Trouble::Said(554))),
            (454, Stage::StartTls, fails(Trouble::Said(454))),
            (454, Stage::Auth, fails(Trouble::Said(454))),
            (550, Stage::Auth, fails(Trouble::Said(550))),
            (535, Stage::Auth, fails(Trouble::Login(535))),
            (530, Stage::MailFrom, fails(Trouble::Login(530))),
            (421, Stage::RcptTo, fails(Trouble::Said(421))),
            (450, Stage::MailFrom, works),
            (450, Stage::RcptTo, works),
            (452, Stage::Data, works),
            (451, Stage::Message, works),
            (550, Stage::MailFrom, works),
            (550, Stage::RcptTo, works),
            (554, Stage::Message, works),
        ] {
            let outcome = Outcome::same_for_all(&bob, &Reply::new(code, None, "x"), stage);
            assert_eq!(Event::of(&relay, &Ok(outcome)), event, "{code} {stage}");
            let outcome =
                Outcome::same_for_all(&bob, &Reply::new(code, None, "Daily user sending limit exceeded"), stage);
            let is_fine = Event::of(&relay, &Ok(outcome)) == works;
            assert_eq!(is_fine, code < 400, "{code} {stage}: of the account");
        }
        let mut some = Outcome::same_for_all(&bob, &Reply::new(421, None, "x"), Stage::Message);
        some.answers[0].reply = Some(Reply::new(250, None, "x"));
        assert_eq!(Event::of(&relay, &Ok(some)), works, "it has taken it for somebody");

        let refused = |code| Kind::Refused(Reply::new(code, None, "x"));
        for (kind, stage, event) in [
            (Kind::NoHost, Some(Stage::Connect), fails(Trouble::Connect)),
            (Kind::Unavailable, Some(Stage::Connect), fails(Trouble::Connect)),
            (Kind::Unavailable, Some(Stage::Tls), fails(Trouble::Tls)),
            (Kind::Protocol, Some(Stage::Tls), fails(Trouble::Tls)),
            (Kind::Protocol, Some(Stage::StartTls), fails(Trouble::Tls)),
            (Kind::Unavailable, Some(Stage::Greeting), fails(Trouble::Silent)),
            (Kind::Unavailable, Some(Stage::RcptTo), fails(Trouble::Silent)),
            (Kind::InDoubt, Some(Stage::Message), fails(Trouble::Silent)),
            (Kind::Protocol, Some(Stage::Greeting), fails(Trouble::Protocol)),
            (Kind::Protocol, Some(Stage::Auth), fails(Trouble::Protocol)),
            (Kind::Protocol, Some(Stage::RcptTo), undecided),
            (Kind::Unavailable, None, fails(Trouble::Token)),
            (refused(535), Some(Stage::Auth), fails(Trouble::Login(535))),
            (refused(454), Some(Stage::Auth), fails(Trouble::Said(454))),
            (refused(552), Some(Stage::Message), undecided),
            (refused(550), None, undecided),
            (Kind::Data, Some(Stage::MailFrom), undecided),
            (Kind::Configuration, Some(Stage::Tls), undecided),
            (Kind::Configuration, None, undecided),
            (Kind::NoPermission, None, undecided),
            (Kind::Io, Some(Stage::Message), undecided),
            (Kind::System, Some(Stage::Connect), undecided),
            (Kind::Software, None, undecided),
        ] {
            let mut failure = Failure::new(kind.clone(), "x", "y");
            failure.stage = stage;
            assert_eq!(Event::of(&relay, &Err(failure)), event, "{kind:?} {stage:?}");
        }
    }
}
