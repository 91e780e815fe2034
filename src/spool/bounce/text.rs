//! The part of a bounce that people read: what, since when, what the relay said, what to do.

use super::tally::HOURLY;
use super::{GivenUp, Last, Original, Undelivered, date, status};
use crate::address::{AddrSpec, Address, one_line};
use crate::encoded_word;
use crate::reply::printable;

/// How much of the subject is shown, in octets.
const SUBJECT: usize = 200;

/// How much of a failure is shown, in octets.
const WHY: usize = 900;

/// How wide the text is, in characters.
const WIDTH: usize = 72;

/// The whole text, its lines ending in CRLF.
pub(super) fn compose(given_up: &GivenUp<'_>, original: &Original) -> String {
    let mut out = String::new();
    let host = given_up.host;
    line(&mut out, "", &format!("Your message could not be delivered, and mailchute on {host} has given it up."));
    out.push_str("\r\n");
    if let Some(subject) = given_up.message.header().first("Subject") {
        let subject = one_line(&encoded_word::decode(&subject.text()));
        out.push_str(&format!("Subject: {}\r\n", printable(subject.trim().as_bytes(), SUBJECT)));
    }
    if let Ok(taken) = date(given_up.taken) {
        out.push_str(&format!("Sent:    {taken}\r\n"));
    }
    out.push_str(&format!("ID:      {}\r\n", given_up.id));
    let alike = |a: &Undelivered, b: &Undelivered| a.last == b.last && a.relay == b.relay;
    for group in given_up.recipients.chunk_by(alike) {
        out.push_str("\r\n");
        for undelivered in group {
            out.push_str(&format!("{}\r\n", shown(&undelivered.recipient)));
        }
        line(&mut out, "  ", &cause(&group[0]));
        line(&mut out, "  ", &format!("-> {}", advice(&group[0])));
    }
    if !given_up.withheld.is_empty() || given_up.others > 0 {
        out.push_str("\r\n");
        others(&mut out, given_up);
    }
    out.push_str("\r\n");
    let rest = match (original.is_whole, original.is_cut) {
        (true, _) => "The same for programs, and your message, are attached.",
        (false, false) => "The same for programs, and the header fields of your message, are attached.",
        (false, true) => {
            "The same for programs, and the header fields of your message, are attached. Your message is too large, or \
             not of a kind, to come back whole."
        }
    };
    line(&mut out, "", rest);
    out
}

/// What else was given up, where too many bounces would have gone out one by one.
fn others(out: &mut String, given_up: &GivenUp<'_>) {
    let number = given_up.withheld.len() as u64 + given_up.others;
    let messages = if number == 1 { "One more message was".to_owned() } else { format!("{number} more messages were") };
    let text =
        format!("{messages} given up. No bounce of their own goes out, because this site has had {HOURLY} in an hour:");
    line(out, "", &text);
    for one in given_up.withheld {
        out.push_str(&format!("\r\n{} {}\r\n", one.id, one.recipients));
        line(out, "  ", &one.why);
    }
    match given_up.others {
        0 => {}
        others if given_up.withheld.is_empty() => line(out, "", &format!("{others}, none of which is listed here")),
        others => {
            out.push_str("\r\n");
            line(out, "", &format!("and {others} that are not listed here"));
        }
    }
}

/// `address` for people.
pub(super) fn shown(address: &Address) -> String {
    AddrSpec::from(address).shown()
}

/// What happened, in one sentence.
pub(super) fn cause(undelivered: &Undelivered) -> String {
    let relay = undelivered.relay.as_deref().unwrap_or("the relay");
    match &undelivered.last {
        Last::Reply(reply) if reply.is_permanent() => format!("{relay} refused it: {reply}"),
        Last::Reply(reply) => format!("{relay} put it off until it was too late, at last with: {reply}"),
        Last::Silence(why) => {
            format!("{relay} was out of reach until it was too late, at last with: {}", printable(why.as_bytes(), WHY))
        }
        Last::Unfit(why) => format!("{relay} cannot be given it: {}", printable(why.as_bytes(), WHY)),
        Last::Unsent => "nothing was sent to this recipient, because another one was refused".to_owned(),
    }
}

/// What the reader can do.
fn advice(undelivered: &Undelivered) -> &'static str {
    let reply = match &undelivered.last {
        Last::Reply(reply) => reply,
        Last::Silence(_) => {
            return "the recipient never heard of it: ask whoever runs this host to mend the way out, then send the \
                    message again";
        }
        Last::Unfit(_) => return "the message has to be written in another way: the reason says what is in the way",
        Last::Unsent => return "send the message again without the recipient that was refused",
    };
    let code = status::code(&undelivered.last);
    match (code.subject, code.detail) {
        _ if reply.is_authentication() => {
            "the relay does not take the login: ask whoever runs this host to mend it, then send the message again"
        }
        (1, 7 | 8) => "the sender's address is what was refused: send from one that the relay knows",
        (1, _) => "look for a typing error in the address, or ask the recipient for another one",
        (2, 2) => "the mailbox is full: reach the recipient in another way, or send the message again later",
        (3, 4) | (2, 3) => "the message is too large: send it with smaller attachments, or with links to them",
        (7, _) => {
            "it was refused on principle, not by mistake: the reply says why, and who runs the recipient's mail can \
                   tell more"
        }
        (0, 0) if matches!(reply.code(), 550 | 551 | 553) => {
            "look for a typing error in the address, or ask the recipient for another one"
        }
        (0, 0) if reply.code() == 552 => {
            "the mailbox is full or the message too large: send a smaller one, or reach the recipient in another way"
        }
        _ if reply.is_permanent() => "the reply says why: mend that, then send the message again",
        _ => "send the message again later, or reach the recipient in another way",
    }
}

/// `text` in lines of at most [`WIDTH`] characters, each behind `indent`.
pub(super) fn line(out: &mut String, indent: &str, text: &str) {
    let mut column = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push_str("\r\n");
            column = 0;
        }
        let before = if column == 0 { indent } else { " " };
        out.push_str(before);
        out.push_str(word);
        column += before.len() + width;
    }
    out.push_str("\r\n");
}
