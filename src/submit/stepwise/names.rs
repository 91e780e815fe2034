//! RCPT: the names the caller gives, and the addresses they stand for.

use std::sync::Arc;

use super::{Transaction, accepted};
use crate::address::Address;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;
use crate::reply::Reply;
use crate::smtp::server::{Rcpt, Told};
use crate::smtp::{self, Session};
use crate::submit::Upstream;

/// One RCPT of the caller's.
pub struct Name<'a> {
    /// As it was said.
    pub rcpt: &'a Rcpt,
    /// What it stands for.
    pub addresses: Vec<Address>,
}

impl Transaction<'_> {
    /// Says RCPT for everybody whom `names` stand for. Each name has one answer: it is accepted when all of
    /// its addresses are, else it is refused with the first that is, and nobody gets the message by it.
    ///
    /// # Errors
    /// For a name: no reply was had, now or before.
    pub fn rcpt(&mut self, names: &[Name<'_>], upstream: &mut Upstream) -> Vec<Result<Reply, Failure>> {
        let asked: Vec<_> =
            names.iter().flat_map(|name| name.addresses.iter().map(|address| (address, name.rcpt))).collect();
        let mut results = self.ask(&asked, upstream).into_iter();
        let mut is_withdrawn = false;
        let mut answers = Vec::with_capacity(names.len());
        for name in names {
            let first = self.said.len();
            let mut answer = Ok(Reply::own(451, (4, 3, 0), "no address came of it"));
            for (place, address) in name.addresses.iter().enumerate() {
                let heard = results.next().unwrap_or_else(|| Err(self.gone()));
                let deferral = if self.keeps { deferral(&heard) } else { None };
                if let Some(reply) = deferral.as_ref().or(heard.as_ref().ok()) {
                    self.recipients.add(address.clone(), reply.clone());
                    self.said.push(name.rcpt.clone());
                }
                if place == 0 || is_positive(&answer) {
                    answer = if deferral.is_some() { Ok(accepted(5, "recipient ok, sent later")) } else { heard };
                }
            }
            if !is_positive(&answer) {
                is_withdrawn |= self.recipients.withdraw(first);
                if self.keeps {
                    self.recipients.withdraw_deferred(first);
                }
            }
            answers.push(answer);
        }
        if is_withdrawn && let Err(failure) = self.begin_again(upstream) {
            for answer in answers.iter_mut().filter(|answer| !self.keeps && is_positive(answer)) {
                *answer = Err(failure.clone());
            }
            self.broken = Some(failure);
        }
        answers
    }

    /// Says RCPT for each of `recipients`; nothing for those behind the end of the session.
    fn ask(&mut self, recipients: &[(&Address, &Rcpt)], upstream: &mut Upstream) -> Vec<Result<Reply, Failure>> {
        if !self.is_stepwise() {
            return vec![Ok(accepted(5, "recipient ok")); recipients.len()];
        }
        if self.broken.is_some() {
            return Vec::new();
        }
        let Some(mut session) = upstream.take(&Arc::clone(self.walk.relay())) else { return Vec::new() };
        let results = self.timed(self.walk.left(), |this| session.rcpt(recipients, &mut this.walk.attempt));
        upstream.keep(session);
        let heard = results.into_iter().map(|result| match result {
            Ok(reply) | Err(smtp::Ending::Refused(reply, _)) => {
                if reply.code() == 421 {
                    self.closing = Some(reply.clone());
                }
                Ok(reply)
            }
            // An address this relay cannot be told is no reason to give up the others.
            Err(smtp::Ending::Failed(failure)) => {
                if failure.kind != Kind::Data {
                    self.broken = Some(failure.clone());
                }
                Err(failure)
            }
        });
        heard.collect()
    }

    /// Says the transaction again without those withdrawn: a relay cannot be told to forget one recipient.
    ///
    /// # Errors
    /// The relay does not take it as it did before.
    fn begin_again(&mut self, upstream: &mut Upstream) -> Result<(), Failure> {
        // Where the session is over nobody gets anything.
        let Some(mut session) = upstream.take(&Arc::clone(self.walk.relay())) else { return Ok(()) };
        let result = self.timed(self.walk.left(), |this| this.say_again(&mut session));
        upstream.keep(session);
        let refusal = match result {
            Ok(()) => return Ok(()),
            Err(smtp::Ending::Failed(failure)) => return Err(failure),
            Err(smtp::Ending::Refused(reply, _)) => reply,
        };
        let why = format!("said \"{refusal}\" when the recipients were named again without those of a refused name");
        Err(Failure::new(Kind::Unavailable, self.walk.relay().place.to_string(), why).at(Stage::RcptTo))
    }

    fn say_again(&mut self, session: &mut Session) -> Result<(), smtp::Ending> {
        let attempt = &mut self.walk.attempt;
        let reset = session.reset(attempt)?;
        let mail = match reset.is_positive() {
            true => session.mail(self.reverse_path.as_ref(), &self.mail, attempt)?,
            false => reset,
        };
        if !mail.is_positive() {
            return Err(smtp::Ending::Refused(mail, Stage::MailFrom));
        }
        self.name_again(session)
    }

    /// Says RCPT for those accepted before, behind another MAIL.
    ///
    /// # Errors
    /// One of them is not accepted now.
    pub(super) fn name_again(&mut self, session: &mut Session) -> Result<(), smtp::Ending> {
        let accepted: Vec<_> =
            self.recipients.accepted().map(|(place, address)| (address, &self.said[place])).collect();
        for result in session.rcpt(&accepted, &mut self.walk.attempt) {
            let reply = result?;
            if !reply.is_positive() {
                return Err(smtp::Ending::Refused(reply, Stage::RcptTo));
            }
        }
        Ok(())
    }
}

/// What was said of a recipient whom the relay may take later: `heard`, as a reply.
fn deferral(heard: &Result<Reply, Failure>) -> Option<Reply> {
    match heard {
        Ok(reply) => reply.is_transient().then(|| reply.clone()),
        Err(failure) => {
            let passes = matches!(failure.kind, Kind::Unavailable | Kind::NoHost | Kind::Protocol);
            passes.then(|| Told::from(failure).reply)
        }
    }
}

fn is_positive(answer: &Result<Reply, Failure>) -> bool {
    answer.as_ref().is_ok_and(Reply::is_positive)
}
