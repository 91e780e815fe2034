//! The SMTP server without I/O (RFC 5321), for a caller that speaks SMTP to us (`-bs`): what the caller
//! says goes in, replies and requests come out.
//!
//! The driver does what [`Server::next_request`] says, answers each request with [`Server::answer`], and writes
//! what [`Server::take_replies`] gives whenever it has to wait. Any octets may be fed at any time; what
//! is held stays bounded by what one [`Server::receive`] gets, and nothing panics.

mod answer;
mod command;
mod content;
#[cfg(test)]
mod tests;

pub use self::answer::Told;
use self::command::Command;
pub use self::command::{Mail, Rcpt};
pub use self::content::Content;
use self::content::{LineEnd, Unstuffing};
use crate::reply::Reply;

/// The longest command line, in octets with its line end: the 512 of RFC 5321 4.5.3.1.4 and what the
/// parameters of SIZE, BODY, DSN and SMTPUTF8 may add.
pub const LINE_LIMIT: usize = 2048;
/// How many RCPT one transaction may have.
pub const RECIPIENT_LIMIT: usize = 1000;
/// The largest message, in octets; what EHLO promises.
pub const SIZE_LIMIT: u64 = 1 << 30;

/// What the driver does next.
#[derive(Debug)]
pub enum Request {
    /// Write the replies, then read more for [`Server::receive`].
    Read,
    /// A transaction begins with this reverse-path; answer.
    Mail(Mail),
    /// More recipients, as many as the caller has named without waiting; answer each, in order.
    Rcpt(Vec<Rcpt>),
    /// Take the message out of [`Server::content`] to its end; answer.
    Message,
    /// The transaction under way is forgotten.
    Reset,
    /// The session is over; the goodbye is among the replies.
    Quit,
}

/// What the driver was asked and has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Mail,
    /// How many of them.
    Rcpt(usize),
    Message,
}

/// The transaction under way.
#[derive(Debug, Default)]
struct Transaction {
    /// SMTPUTF8 was said behind MAIL.
    utf8: bool,
    /// How many RCPT were asked for.
    asked: usize,
    /// How many of them were accepted.
    accepted: usize,
}

/// The state of one session.
pub struct Server {
    host_name: String,
    input: Vec<u8>,
    /// How much of `input` is dealt with.
    taken: usize,
    /// A command line went over [`LINE_LIMIT`]; the rest of it is thrown away.
    overlong: bool,
    replies: Vec<u8>,
    transaction: Option<Transaction>,
    asked: Asked,
    /// The message that is being taken.
    content: Option<Unstuffing>,
    /// What [`Server::take_refusal`] tells.
    refusal: Option<Reply>,
    /// Whether a line was no command, and whether one was.
    babble: bool,
    command: bool,
    over: bool,
}

impl Server {
    /// A session that begins with the greeting of `host_name`.
    pub fn new(host_name: &str) -> Self {
        let replies = format!("220 {host_name} ESMTP mailchute\r\n").into_bytes();
        Self {
            host_name: host_name.to_owned(),
            input: Vec::new(),
            taken: 0,
            overlong: false,
            replies,
            transaction: None,
            asked: Asked::Nothing,
            content: None,
            refusal: None,
            babble: false,
            command: false,
            over: false,
        }
    }

    /// Octets from the caller; to be called when [`Request::Read`] or [`Content::Wait`] asks for them.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The replies that wait to be written.
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }

    /// What to do next. A request that was not answered is taken for refused.
    pub fn next_request(&mut self) -> Request {
        while self.asked != Asked::Nothing {
            self.answer(&Reply::own(451, (4, 3, 0), "not done").into());
        }
        loop {
            if self.over {
                return Request::Quit;
            }
            if self.content.is_some() && !self.skip_content() {
                return Request::Read;
            }
            let Some((line, line_end)) = self.line() else { return Request::Read };
            let parsed = line
                .map_err(|reply| (reply, false))
                .and_then(|line| command::parse(&line).map_err(|reply| (reply, command::is_of_transaction(&line))));
            let request = match parsed {
                Ok(command) => {
                    self.command = true;
                    self.obey(command, line_end)
                }
                Err((reply, is_of_transaction)) => {
                    self.babble = true;
                    self.say(&reply);
                    if is_of_transaction {
                        self.refusal = Some(reply);
                    }
                    None
                }
            };
            if let Some(request) = request {
                return request;
            }
        }
    }

    /// Answers the request that stands open. What was not taken of a message is thrown away.
    pub fn answer(&mut self, answer: &Told) {
        let is_positive = answer.reply.is_positive();
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Nothing => return,
            Asked::Mail if is_positive => {}
            Asked::Mail | Asked::Message => self.transaction = None,
            Asked::Rcpt(count) => {
                if count > 1 {
                    self.asked = Asked::Rcpt(count - 1);
                }
                if let Some(transaction) = &mut self.transaction {
                    transaction.accepted += usize::from(is_positive);
                }
            }
        }
        answer::write(&mut self.replies, &answer.reply, answer.hint.as_deref());
    }

    /// The last MAIL or RCPT that was refused here without a request, because it cannot be read or is too
    /// much. One that came out of order only follows from another refusal.
    pub fn take_refusal(&mut self) -> Option<Reply> {
        self.refusal.take()
    }

    /// Whether something was said and none of it was a command: a message, most likely.
    pub fn heard_no_smtp(&self) -> bool {
        self.babble && !self.command
    }

    /// The next octets of the message, dots unstuffed, into `out`.
    pub fn content(&mut self, out: &mut [u8]) -> Content {
        let Some(unstuffing) = &mut self.content else { return Content::End };
        let (content, taken) = unstuffing.take(&self.input[self.taken..], out);
        self.taken += taken;
        if matches!(content, Content::End) {
            self.content = None;
        }
        content
    }

    /// Throws away what the driver left of a message: no octet before the lone dot is ever a command. Whether
    /// the dot was reached.
    fn skip_content(&mut self) -> bool {
        let mut room = [0; 4096];
        loop {
            match self.content(&mut room) {
                Content::Octets(_) => {}
                Content::End => return true,
                Content::Wait => return false,
            }
        }
    }

    /// The next command line, without its line end, or the reply to one that cannot be read.
    fn line(&mut self) -> Option<(Result<String, Reply>, LineEnd)> {
        let rest = &self.input[self.taken..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            if rest.len() >= LINE_LIMIT {
                self.overlong = true;
                self.taken = self.input.len();
            }
            return None;
        };
        let (line, line_end) = match rest[..end].strip_suffix(b"\r") {
            Some(line) => (line, LineEnd::CrLf),
            None => (&rest[..end], LineEnd::Lf),
        };
        let line = match std::str::from_utf8(line) {
            _ if std::mem::take(&mut self.overlong) || end >= LINE_LIMIT => {
                Err(Reply::own(500, (5, 5, 2), "the line is too long"))
            }
            Ok(line) if line.chars().any(char::is_control) => {
                Err(Reply::own(500, (5, 5, 2), "a control character in the command"))
            }
            Ok(line) => Ok(line.to_owned()),
            Err(_) => Err(Reply::own(500, (5, 5, 2), "the command is not UTF-8")),
        };
        self.taken += end + 1;
        Some((line, line_end))
    }

    fn obey(&mut self, command: Command, line_end: LineEnd) -> Option<Request> {
        match command {
            Command::Ehlo => {
                let reply = answer::ehlo(&self.host_name);
                self.replies.extend_from_slice(reply.as_bytes());
                self.forget()
            }
            Command::Helo => {
                self.replies.extend_from_slice(format!("250 {}\r\n", self.host_name).as_bytes());
                self.forget()
            }
            Command::Reset => {
                self.say(&Reply::own(250, (2, 0, 0), "forgotten"));
                self.forget()
            }
            Command::Quit => {
                self.say(&Reply::own(221, (2, 0, 0), "bye"));
                self.over = true;
                Some(Request::Quit)
            }
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(line_end),
            Command::Say(reply) => {
                self.say(&reply);
                None
            }
        }
    }

    fn mail(&mut self, mail: Mail) -> Option<Request> {
        if self.transaction.is_some() {
            self.say(&Reply::own(503, (5, 5, 1), "a transaction is under way, RSET ends it"));
            return None;
        }
        if mail.size.is_some_and(|size| size > SIZE_LIMIT) {
            let refusal = Reply::own(552, (5, 3, 4), &format!("larger than {SIZE_LIMIT} octets"));
            self.say(&refusal);
            self.refusal = Some(refusal);
            return None;
        }
        self.transaction = Some(Transaction { utf8: mail.utf8, ..Transaction::default() });
        self.asked = Asked::Mail;
        Some(Request::Mail(mail))
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Option<Request> {
        let refusal = match &mut self.transaction {
            None => Reply::own(503, (5, 5, 1), "MAIL comes first"),
            Some(transaction) if transaction.asked >= RECIPIENT_LIMIT => {
                Reply::own(452, (4, 5, 3), &format!("no more than {RECIPIENT_LIMIT} recipients"))
            }
            Some(transaction) if !transaction.utf8 && !rcpt.is_ascii() => {
                Reply::own(553, (5, 6, 7), "an address outside ASCII needs SMTPUTF8 behind MAIL")
            }
            Some(transaction) => {
                transaction.asked += 1;
                let mut all = vec![rcpt];
                all.extend(std::iter::from_fn(|| self.next_rcpt()));
                self.asked = Asked::Rcpt(all.len());
                return Some(Request::Rcpt(all));
            }
        };
        self.say(&refusal);
        if self.transaction.is_some() {
            self.refusal = Some(refusal);
        }
        None
    }

    /// The next command if it is another RCPT that needs no answer of ours; else it stays where it is.
    fn next_rcpt(&mut self) -> Option<Rcpt> {
        let before = (self.taken, self.overlong);
        let command = self.line().and_then(|(line, _)| command::parse(&line.ok()?).ok());
        if let (Some(Command::Rcpt(rcpt)), Some(transaction)) = (command, &mut self.transaction)
            && transaction.asked < RECIPIENT_LIMIT
            && (transaction.utf8 || rcpt.is_ascii())
        {
            transaction.asked += 1;
            return Some(rcpt);
        }
        (self.taken, self.overlong) = before;
        None
    }

    fn data(&mut self, line_end: LineEnd) -> Option<Request> {
        let refusal = match &self.transaction {
            None => Reply::own(503, (5, 5, 1), "MAIL comes first"),
            Some(Transaction { asked: 0, .. }) => Reply::own(503, (5, 5, 1), "RCPT comes first"),
            Some(Transaction { accepted: 0, .. }) => Reply::own(554, (5, 5, 1), "no recipient was accepted"),
            Some(_) => {
                self.say(&Reply::new(354, None, "end the message with a lone dot"));
                self.content = Some(Unstuffing::new(line_end));
                self.asked = Asked::Message;
                return Some(Request::Message);
            }
        };
        self.say(&refusal);
        None
    }

    /// Ends the transaction under way, if there is one.
    fn forget(&mut self) -> Option<Request> {
        self.transaction.take().map(|_| Request::Reset)
    }

    fn say(&mut self, reply: &Reply) {
        answer::write(&mut self.replies, reply, None);
    }
}
