//! What one submission says once the session is open.

use lettre::transport::smtp::commands::{Data, Mail, Rcpt};

use super::dialogue::Expect;
use super::{Action, Client, FLIGHT, Framing, Task, adapt, needs, sayable};
use crate::attempt::Trace;
use crate::failure::Failure;
use crate::outcome::Stage;

impl Client<'_> {
    pub(super) fn envelope(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        self.logging_in = false;
        trace.stage = Some(Stage::MailFrom);
        let Task { envelope, utf8_header, .. } = self.task;
        self.needs = needs(envelope, utf8_header, &self.dialogue.capabilities)?;
        self.pending = Some(Action::Adapt(self.needs));
        Ok(())
    }

    /// The message is fit: MAIL, and whatever may go with it.
    pub(super) fn mail(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let Task { envelope, size, facts, .. } = self.task;
        self.parameters = adapt(facts, size, envelope, self.needs, &self.dialogue.capabilities)?;
        trace.warnings.append(&mut self.parameters.warnings);
        let parameters = std::mem::take(&mut self.parameters.mail);
        let reverse_path = envelope.reverse_path.as_ref().map(sayable).transpose()?;
        self.dialogue.say(Mail::new(reverse_path, parameters), Some(Expect::Mail), trace)?;
        if self.dialogue.capabilities.pipelining {
            self.recipients(trace)?;
        }
        Ok(())
    }

    pub(super) fn recipients(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let recipients = &self.task.envelope.forward_paths;
        let pipelining = self.dialogue.capabilities.pipelining;
        let batch = if pipelining { FLIGHT } else { 1 };
        for recipient in recipients.iter().skip(self.asked).take(batch) {
            self.asked += 1;
            let recipient = sayable(recipient)?;
            let parameters = self.parameters.rcpt(&recipient);
            self.dialogue.say(Rcpt::new(recipient, parameters), Some(Expect::Rcpt), trace)?;
        }
        let last = self.asked == recipients.len();
        let hopeless = self.recipients.any_refused() && !self.task.deliver_partially;
        if !last || !pipelining || hopeless {
            Ok(())
        } else if self.in_one_flight() {
            self.upload(trace)
        } else if self.chunking() {
            Ok(())
        } else {
            self.data(trace)
        }
    }

    pub(super) fn data(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        self.dialogue.may_quit = false;
        self.dialogue.say(Data, Some(Expect::Data), trace)
    }

    pub(super) fn upload(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let chunked = self.chunking();
        self.dialogue.upload(self.task.size, chunked, trace)?;
        self.pending = Some(Action::SendMessage(if chunked { Framing::Chunk } else { Framing::Dots }));
        Ok(())
    }
}
