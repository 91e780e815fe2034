//! The message itself: DATA or BDAT, its octets, and the final reply, of which LMTP has one for each
//! accepted recipient.

use lettre::transport::smtp::commands::Data;

use super::dialogue::{Dialogue, Ending, Expect, Heard, Upload};
use super::{Framing, Recipients, Script, Step};
use crate::attempt::Trace;
use crate::failure::Failure;
use crate::outcome::Stage;

/// How one message goes over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// The message's octets, CRLF counted, dot-stuffing not.
    size: u64,
    /// In one chunk, else with DATA.
    pub(super) is_chunked: bool,
}

impl Transfer {
    /// The transfer of `size` octets. A message that `holds_commands` waits for 354: a server, or something on
    /// the way to it, that does not know BDAT after all would do what its lines say.
    pub(super) fn new(size: u64, holds_commands: bool, dialogue: &Dialogue) -> Self {
        Self { size, is_chunked: dialogue.capabilities.chunking && !holds_commands }
    }

    /// Says DATA, or announces the chunk.
    pub(super) fn begin(self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Failure> {
        if self.is_chunked {
            return self.upload(dialogue, trace);
        }
        // Behind 354 a command would be content.
        dialogue.may_quit = false;
        dialogue.say(Data, Some(Expect::Data), trace)?;
        Ok(Step::Wait)
    }

    fn upload(self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Failure> {
        dialogue.upload(self.size, self.is_chunked, trace)?;
        Ok(Step::Message(if self.is_chunked { Framing::Chunk } else { Framing::Dots }))
    }

    /// What a reply to DATA or to the message leads to.
    pub(super) fn hear(
        self,
        Heard { expect, reply, .. }: Heard,
        recipients: &mut Recipients<'_>,
        dialogue: &mut Dialogue,
        trace: &mut Trace,
    ) -> Result<Step, Ending> {
        let is_closing = reply.code() == 421;
        match (expect, dialogue.upload) {
            (Expect::Data, _) if reply.is_intermediate() => Ok(self.upload(dialogue, trace)?),
            (Expect::Data, _) if reply.is_negative() => {
                // The server is not in the message, so a command is a command again.
                dialogue.may_quit = !is_closing;
                Err(Ending::Refused(reply, Stage::Data))
            }
            // A final reply that comes early is believed when it is a refusal.
            (Expect::Message, Upload::Running) if reply.is_negative() => Err(Ending::Refused(reply, Stage::Message)),
            (Expect::Message, Upload::Over) if is_closing => Err(Ending::Refused(reply, Stage::Message)),
            (Expect::Message, Upload::Over) if !reply.is_intermediate() => {
                if !dialogue.is_lmtp {
                    recipients.message(&reply);
                } else if recipients.message_for_next(reply) {
                    dialogue.expect_next(Expect::Message);
                    return Ok(Step::Wait);
                }
                Ok(Step::Done)
            }
            _ => Err(dialogue.breach(expect, &reply).into()),
        }
    }
}

/// The message alone, for recipients whose RCPT is answered: the session goes on behind it.
pub(in crate::smtp) struct Content<'r, 'a> {
    transfer: Transfer,
    recipients: &'r mut Recipients<'a>,
}

impl<'r, 'a> Content<'r, 'a> {
    /// The hand-over of `size` octets to the accepted ones of `recipients`.
    pub(in crate::smtp) fn new(
        size: u64,
        holds_commands: bool,
        recipients: &'r mut Recipients<'a>,
        dialogue: &Dialogue,
    ) -> Self {
        Self { transfer: Transfer::new(size, holds_commands, dialogue), recipients }
    }
}

impl Script for Content<'_, '_> {
    fn begin(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        dialogue.check_silence(false, trace)?;
        Ok(self.transfer.begin(dialogue, trace)?)
    }

    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        self.transfer.hear(heard, self.recipients, dialogue, trace)
    }
}
