//! What a relay answered: one reply per recipient, and what that makes of the submission.

use std::fmt;

use crate::address::Address;
use crate::reply::Reply;

/// The step of a submission in which something was said or went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Name lookup and the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The server's greeting.
    Greeting,
    /// EHLO, HELO or LHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    MailFrom,
    /// RCPT TO.
    RcptTo,
    /// DATA, before the message is sent.
    Data,
    /// After the message was sent: the final reply.
    Message,
}

impl Stage {
    /// The name users read on stderr and in the log record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::MailFrom => "MAIL FROM",
            Self::RcptTo => "RCPT TO",
            Self::Data => "DATA",
            Self::Message => "message",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the relay said about one recipient.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The forward-path.
    pub recipient: Address,
    /// The decisive reply. `None`: this recipient was not refused, but nothing was sent because
    /// another one was (nobody or everybody).
    pub reply: Option<Reply>,
    /// Where the reply was given.
    pub stage: Stage,
}

impl Answer {
    /// Whether this recipient has the message.
    pub fn is_accepted(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::is_positive)
    }
}

/// The replies of one submission, one per recipient, in recipient order.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One answer per recipient; never empty.
    pub answers: Vec<Answer>,
    /// The site asked for `partial = "deliver"`: those accepted have the message on purpose.
    pub partial_chosen: bool,
    /// The provider's own id for the message, from the final reply's text or the HTTP answer.
    pub provider_id: Option<String>,
}

impl Outcome {
    /// The same `reply` for every recipient, as a refusal of the session or of MAIL FROM makes it.
    pub fn same_for_all(recipients: &[Address], reply: &Reply, stage: Stage) -> Self {
        Self {
            answers: recipients
                .iter()
                .map(|recipient| Answer { recipient: recipient.clone(), reply: Some(reply.clone()), stage })
                .collect(),
            partial_chosen: false,
            provider_id: None,
        }
    }

    /// Whether every recipient was accepted.
    pub fn is_accepted(&self) -> bool {
        self.answers.iter().all(Answer::is_accepted)
    }

    /// Whether the message was accepted for anybody.
    pub fn is_accepted_for_some(&self) -> bool {
        self.answers.iter().any(Answer::is_accepted)
    }

    /// Those who have not got it, in recipient order.
    pub fn undelivered(&self) -> Vec<Address> {
        let has_it = |answer: &&Answer| answer.reply.as_ref().is_some_and(Reply::is_positive);
        self.answers.iter().filter(|answer| !has_it(answer)).map(|answer| answer.recipient.clone()).collect()
    }

    /// A relay that cannot do otherwise took the message for some recipients only: in doubt.
    pub fn is_forced_partial(&self) -> bool {
        !self.partial_chosen && self.is_accepted_for_some() && !self.is_accepted()
    }

    /// The answer that decides the exit status: authentication over permanent over transient, among
    /// equals the first in recipient order; the first accepted one when nobody was refused.
    pub fn decisive(&self) -> Option<(&Answer, &Reply)> {
        let rank = |reply: &Reply| match reply {
            reply if reply.is_authentication() => 0,
            reply if reply.is_permanent() => 1,
            reply if reply.is_positive() => 3,
            _ => 2,
        };
        self.answers
            .iter()
            .filter_map(|answer| answer.reply.as_ref().map(|reply| (answer, reply)))
            .min_by_key(|(_, reply)| rank(reply))
    }

    /// Whether another relay may do better: nobody has the message, and the refusal was transient, came before this
    /// relay had heard of the message, or is about its account.
    pub fn is_deferred(&self) -> bool {
        !self.is_accepted_for_some()
            && self.decisive().is_some_and(|(answer, reply)| {
                reply.is_transient() || answer.stage < Stage::MailFrom || reply.is_about_account()
            })
    }
}
