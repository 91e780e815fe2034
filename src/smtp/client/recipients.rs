//! What the server has said about each recipient so far, and the outcome that makes.

use std::borrow::Cow;

use crate::address::Address;
use crate::outcome::{Answer, Outcome, Stage};
use crate::reply::Reply;

/// One recipient's fate.
#[derive(Clone, Debug)]
enum Fate {
    /// RCPT is not answered yet.
    Open,
    /// RCPT was accepted.
    Accepted,
    /// RCPT was refused.
    Refused(Reply),
    /// RCPT was accepted, and taken back.
    Withdrawn,
    /// The reply after the message.
    Final(Reply),
}

/// Every recipient's fate, in recipient order.
#[derive(Debug, Default)]
pub struct Recipients<'a> {
    addresses: Cow<'a, [Address]>,
    fates: Vec<Fate>,
    /// How many RCPT are answered.
    answered: usize,
    /// How many of them are refused.
    refused: usize,
}

impl<'a> Recipients<'a> {
    pub(super) fn new(addresses: &'a [Address]) -> Self {
        Self { addresses: addresses.into(), fates: vec![Fate::Open; addresses.len()], answered: 0, refused: 0 }
    }

    /// One more recipient, and what RCPT was answered.
    pub fn add(&mut self, address: Address, reply: Reply) {
        self.addresses.to_mut().push(address);
        self.fates.push(Fate::Open);
        self.rcpt(reply);
    }

    /// The recipients in order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The reply to the next RCPT.
    pub(super) fn rcpt(&mut self, reply: Reply) {
        let Some(fate) = self.fates.get_mut(self.answered) else { return };
        self.answered += 1;
        if reply.is_positive() {
            *fate = Fate::Accepted;
        } else {
            *fate = Fate::Refused(reply);
            self.refused += 1;
        }
    }

    pub(super) fn are_complete(&self) -> bool {
        self.answered == self.fates.len()
    }

    /// Whether RCPT was refused for anybody.
    pub fn any_refused(&self) -> bool {
        self.refused > 0
    }

    pub(super) fn any_accepted(&self) -> bool {
        self.refused < self.answered
    }

    /// Those who do not get the message: refused, or taken back, and named no other time. Whom the relay will hear of
    /// `later` is not among them where its refusal was transient.
    pub fn refused(&self, later: bool) -> Vec<Address> {
        let is_refused = |fate: &Fate| match fate {
            Fate::Refused(reply) => !(later && reply.is_transient()),
            Fate::Withdrawn => true,
            Fate::Open | Fate::Accepted | Fate::Final(_) => false,
        };
        let all = || self.addresses.iter().zip(&self.fates);
        let stays = |address: &Address| all().any(|(other, fate)| other == address && !is_refused(fate));
        let refused = all().filter(|(address, fate)| is_refused(fate) && !stays(address));
        refused.map(|(address, _)| address.clone()).collect()
    }

    /// Whether RCPT was refused for somebody, but not for good.
    pub fn any_deferred(&self) -> bool {
        self.fates.iter().any(|fate| matches!(fate, Fate::Refused(reply) if reply.is_transient()))
    }

    /// Takes back those deferred from the one at `first` on: they are not to have the message later either.
    pub fn withdraw_deferred(&mut self, first: usize) {
        for fate in &mut self.fates[first..] {
            if matches!(fate, Fate::Refused(reply) if reply.is_transient()) {
                *fate = Fate::Withdrawn;
                self.refused -= 1;
            }
        }
    }

    /// Takes back those accepted from the one at `first` on: they are not to have the message. Whether there
    /// were any.
    pub fn withdraw(&mut self, first: usize) -> bool {
        let mut any = false;
        for fate in &mut self.fates[first..] {
            if matches!(fate, Fate::Accepted) {
                *fate = Fate::Withdrawn;
                any = true;
            }
        }
        any
    }

    /// What was said of the message does not count: it is to be handed over again.
    pub fn reopen(&mut self) {
        for fate in &mut self.fates {
            if matches!(fate, Fate::Final(_)) {
                *fate = Fate::Accepted;
            }
        }
    }

    /// Those accepted so far, by their places.
    pub fn accepted(&self) -> impl Iterator<Item = (usize, &Address)> {
        let all = self.addresses.iter().zip(&self.fates).enumerate();
        all.filter(|(_, (_, fate))| matches!(fate, Fate::Accepted)).map(|(place, (address, _))| (place, address))
    }

    /// The reply to the message for everybody who was accepted.
    pub(super) fn message(&mut self, reply: &Reply) {
        for fate in &mut self.fates {
            if matches!(fate, Fate::Accepted) {
                *fate = Fate::Final(reply.clone());
            }
        }
    }

    /// The reply to the message for the next accepted recipient (LMTP); whether another one is due.
    pub(super) fn message_for_next(&mut self, reply: Reply) -> bool {
        let mut accepted = self.fates.iter_mut().filter(|fate| matches!(fate, Fate::Accepted));
        if let Some(next) = accepted.next() {
            *next = Fate::Final(reply);
        }
        accepted.next().is_some()
    }

    /// The outcome as it stands. Recipients who were neither refused nor withdrawn get `rest`, where there is
    /// a reply that concerns them all. Who is withdrawn under one name and stays under another is told once.
    pub fn outcome(&self, rest: Option<(&Reply, Stage)>, partial_chosen: bool) -> Outcome {
        let all = || self.addresses.iter().zip(&self.fates);
        let is_withdrawn = |fate: &Fate| matches!(fate, Fate::Withdrawn);
        let stays = |recipient: &Address| all().any(|(other, fate)| other == recipient && !is_withdrawn(fate));
        let told = all().filter(|(recipient, fate)| !is_withdrawn(fate) || !stays(recipient));
        let answers = told.map(|(recipient, fate)| {
            let (reply, stage) = match (fate, rest) {
                (Fate::Refused(reply), _) => (Some(reply), Stage::RcptTo),
                (Fate::Final(reply), _) => (Some(reply), Stage::Message),
                (Fate::Withdrawn, _) => (None, Stage::RcptTo),
                (_, Some((reply, stage))) => (Some(reply), stage),
                (_, None) => (None, Stage::RcptTo),
            };
            Answer { recipient: recipient.clone(), reply: reply.cloned(), stage }
        });
        let answers: Vec<_> = answers.collect();
        let accepted = self.fates.iter().find_map(|fate| match fate {
            Fate::Final(reply) if reply.is_positive() => Some(reply),
            _ => None,
        });
        Outcome { answers, partial_chosen, provider_id: accepted.and_then(|reply| queue_id(reply.text())) }
    }
}

/// The server's own id for the message, where the final reply's text gives one in a form that is
/// known: Postfix and its many imitators, Exim, Sendmail and OpenSMTPD, Gmail, Amazon SES.
fn queue_id(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let behind = |mark: &str| {
        let at = lower.find(mark)?;
        let starts_word = at == 0 || !lower.as_bytes()[at - 1].is_ascii_alphanumeric();
        // Lower case of ASCII keeps every offset.
        starts_word.then(|| text[at + mark.len()..].split_whitespace().next()).flatten()
    };
    let words = || text.split_whitespace();
    let alone = || words().nth(1).filter(|_| words().count() == 2 && lower.starts_with("ok "));
    let before_accepted = || words().next().filter(|_| lower.contains(" message accepted for delivery"));
    let gmail = || words().nth(2).filter(|_| lower.ends_with(" - gsmtp"));
    let id = behind("queued as ")
        .or_else(|| behind("id="))
        .or_else(before_accepted)
        .or_else(gmail)
        // One long word with digits behind "Ok" (Amazon SES).
        .or_else(|| alone().filter(|id| id.len() >= 16))?;
    let id = id.trim_matches(|c: char| "<>()[]\"'.,;:".contains(c));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@/+=".contains(c);
    ((6..=128).contains(&id.len()) && id.chars().all(plain) && id.contains(|c: char| c.is_ascii_digit()))
        .then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_ids_of_known_servers() {
        for (text, id) in [
            ("Ok: queued as 4Xyz0A1b2c", Some("4Xyz0A1b2c")),
            ("OK, queued as <9f8e7d6c>.", Some("9f8e7d6c")),
            ("OK id=1tEwQx-00000000A1b-2C3d", Some("1tEwQx-00000000A1b-2C3d")),
            ("45B1C2D3012345 Message accepted for delivery", Some("45B1C2D3012345")),
            ("OK  1700000000 x12-20020a05600c1234sm567890wmb.12 - gsmtp", Some("x12-20020a05600c1234sm567890wmb.12")),
            ("Ok 0100018c1a2b3c4d-5e6f7a8b-000000", Some("0100018c1a2b3c4d-5e6f7a8b-000000")),
            ("Ok", None),
            ("Message accepted", None),
            ("Ok thank-you-for-your-message", None),
            ("queued as soon as possible", None),
            ("valid=yes-we-can-1", None),
            ("Ok: queued as \u{130}x12345678", None),
        ] {
            assert_eq!(queue_id(text).as_deref(), id, "{text}");
        }
    }
}
