//! A few commands in one flight, and the reply to each; and the replies that a script left behind.

use super::dialogue::{Dialogue, Ending, Expect, Heard};
use super::{Script, Step};
use crate::attempt::Trace;
use crate::reply::Reply;

/// Commands that are said together; whatever the replies are, they are all heard, up to a 421.
pub(in crate::smtp) struct Replies {
    commands: Vec<(String, Expect)>,
    /// What came so far, in order.
    pub(in crate::smtp) heard: Vec<Reply>,
}

impl Replies {
    pub(in crate::smtp) fn to(commands: Vec<(String, Expect)>) -> Self {
        Self { heard: Vec::with_capacity(commands.len()), commands }
    }
}

impl Script for Replies {
    fn begin(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        dialogue.check_silence(false, trace)?;
        for (command, expect) in &self.commands {
            dialogue.say(command, Some(*expect), trace)?;
        }
        Ok(if self.commands.is_empty() { Step::Done } else { Step::Wait })
    }

    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, _: &mut Trace) -> Result<Step, Ending> {
        if heard.reply.is_intermediate() {
            return Err(dialogue.breach(heard.expect, &heard.reply).into());
        }
        let is_closing = heard.reply.code() == 421;
        self.heard.push(heard.reply);
        Ok(if is_closing || dialogue.due().is_none() { Step::Done } else { Step::Wait })
    }
}

/// Hears what is still due of a script whose end was known before its last reply. Who is let into the message all the
/// same (354) cannot be told that there is none.
pub(in crate::smtp) struct Leftovers;

impl Script for Leftovers {
    fn begin(&mut self, dialogue: &mut Dialogue, _: &mut Trace) -> Result<Step, Ending> {
        Ok(if dialogue.due().is_some() { Step::Wait } else { Step::Done })
    }

    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, _: &mut Trace) -> Result<Step, Ending> {
        let Heard { expect, reply, .. } = heard;
        if reply.is_intermediate() {
            return Err(dialogue.breach(expect, &reply).into());
        }
        if expect == Expect::Data {
            // DATA was refused, so a command is a command again.
            dialogue.may_quit = reply.code() != 421;
        }
        Ok(if reply.code() == 421 || dialogue.due().is_none() { Step::Done } else { Step::Wait })
    }
}
