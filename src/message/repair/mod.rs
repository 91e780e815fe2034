//! A message made fit for one relay's extensions: raw 8-bit header fields, lines that are too long,
//! 8-bit content where 8BITMIME is missing.
//!
//! Whether there is anything to do follows from what intake noted, so a message that needs nothing is
//! not looked at. A body that needs something is read twice, first to judge its parts, then to write
//! them; neither pass holds more than a few pieces of it.

mod fields;
mod fold;
mod grammar;
mod json;
mod mailboxes;
mod parameters;
mod rewrite;
mod survey;
mod transfer;
mod words;

use self::rewrite::{Rewriter, declare};
use self::survey::{Survey, Verdict};
use super::header::LINE_LIMIT;
use super::scan::visit;
use super::{Header, Message, note};
use crate::failure::{Failure, Kind};

/// What a relay asks of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// 8-bit bodies may go as they are: the relay offers 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 is in use (RFC 6531), so header fields may be UTF-8.
    pub utf8: bool,
}

/// What has to be done to a message; [`Plan::apply`] does it.
#[derive(Debug)]
pub struct Plan {
    needs: Needs,
    header: Header,
    /// What becomes of every entity, if the body cannot stay as it is.
    verdicts: Option<Vec<Verdict>>,
    repairs: Vec<String>,
}

/// Makes `message` fit, or says with `None` that it is.
///
/// # Errors
/// As [`plan`], and what [`Message::read`] says of the temporary file.
pub fn adapt(message: &Message, needs: Needs) -> Result<Option<Message>, Failure> {
    plan(message, needs)?.map(|plan| plan.apply(message)).transpose()
}

/// Whether `message` needs SMTPUTF8 because of its header section: an address field holds a local
/// part outside ASCII.
pub fn needs_utf8(message: &Message) -> bool {
    message.facts.eight_bit_header && fields::needs_utf8(&message.header)
}

/// What has to be done so that `message` fits; `None` where nothing has to.
///
/// # Errors
/// `Data`: something does not fit and may not or cannot be changed; `what` names the part. `Io`: the
/// temporary file cannot be read.
pub fn plan(message: &Message, needs: Needs) -> Result<Option<Plan>, Failure> {
    let facts = message.facts;
    let is_raw = facts.eight_bit_header && message.header.fields().any(|field| fields::is_raw(&field, needs.utf8));
    // What a signature covers may be folded as little as encoded; it goes as it is.
    let is_signed = || message.header.is_signed();
    let is_long = message.header.longest_line() > LINE_LIMIT && !is_signed();
    let is_body = facts.longest_line > LINE_LIMIT || (facts.eight_bit_body && !needs.eight_bit);
    if !is_raw && !is_long && !is_body {
        return Ok(None);
    }
    if is_raw && is_signed() {
        let why = "raw 8-bit fields beside a DKIM-Signature are never encoded, and cannot go as they are";
        return Err(Failure::new(Kind::Data, "header section", why).hint("encode them before the message is signed"));
    }
    let mut plan = Plan { needs, header: message.header.clone(), verdicts: None, repairs: Vec::new() };
    if is_raw || is_long {
        fields::repair(&mut plan.header, needs.utf8)?.iter().for_each(|repair| note(&mut plan.repairs, repair));
    }
    if is_body {
        let mut survey = Survey::new(needs);
        visit(message, &mut survey)?;
        if !survey.repairs.is_empty() {
            plan.rewrite_body(survey);
        }
    }
    Ok((!plan.repairs.is_empty()).then_some(plan))
}

impl Plan {
    /// What will be done, in the log record's words: `Subject encoded (RFC 2047, windows-1252)`.
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    fn rewrite_body(&mut self, survey: Survey) {
        survey.repairs.iter().for_each(|repair| note(&mut self.repairs, repair));
        // Entity 0 is the message; there always is one.
        declare(&mut self.header, &survey.verdicts[0]);
        if self.header.first("MIME-Version").is_none() {
            self.header.append("MIME-Version", "1.0");
            note(&mut self.repairs, "MIME-Version added");
        }
        self.verdicts = Some(survey.verdicts);
    }

    /// Does it. `message` is the one the plan was made for; it stays as it is, and a body that needs
    /// nothing is shared with it.
    ///
    /// # Errors
    /// The temporary file cannot be made, read or written, or the message has become too large.
    pub fn apply(self, message: &Message) -> Result<Message, Failure> {
        let mut repairs = message.repairs.clone();
        self.repairs.iter().for_each(|repair| note(&mut repairs, repair));
        let Some(verdicts) = &self.verdicts else {
            let mut facts = message.facts;
            facts.eight_bit_header = !self.header.as_bytes().is_ascii();
            return Ok(Message { header: self.header, body: message.body.clone(), facts, repairs });
        };
        let mut rewriter = Rewriter::new(verdicts, self.needs.eight_bit);
        visit(message, &mut rewriter)?;
        Ok(rewriter.finish()?.under(self.header, repairs))
    }
}

/// What helps against a relay that takes 7-bit content only.
fn seven_bit() -> &'static str {
    "send it through a relay that offers 8BITMIME"
}

#[cfg(test)]
mod tests;
