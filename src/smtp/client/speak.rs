//! The commands, and the one place where they become octets.

use std::fmt::Display;
use std::net::Ipv4Addr;

use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use super::judge::Expect;
use super::{Action, Client, FLIGHT, Framing, Task, Upload, adapt, needs, sayable};
use crate::config::relay::Mechanism;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;
use crate::reply::printable;
use crate::smtp::sasl::{self, Exchange};
use crate::trace::Trace;

impl Client<'_> {
    pub(super) fn client_id(&self) -> ClientId {
        let name = self.task.relay.helo.as_deref().unwrap_or(self.task.host_name);
        if let Ok(address) = name.parse() {
            ClientId::Ipv4(address)
        } else if let Ok(address) = name.parse() {
            ClientId::Ipv6(address)
        } else if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) {
            ClientId::Domain(name.to_owned())
        } else {
            ClientId::Ipv4(Ipv4Addr::LOCALHOST)
        }
    }

    pub(super) fn authenticate(&mut self, mechanism: Mechanism, trace: &mut Trace) -> Result<(), Failure> {
        let Some(login) = self.task.login else { return Ok(()) };
        trace.stage = Some(Stage::Auth);
        let nonce = sasl::nonce().map_err(|trouble| self.trouble(&trouble))?;
        let mut exchange = Exchange::new(mechanism, login, &self.task.relay.place, nonce);
        let initial = exchange.initial().map_err(|trouble| self.trouble(&trouble))?;
        self.exchange = Some(exchange);
        let command = format!("AUTH {}", sasl::name(mechanism));
        match initial {
            Some(line) => self.say_secret(&format!("{command} "), line, trace),
            None => self.say(command, Some(Expect::Auth), trace)?,
        }
        Ok(())
    }

    pub(super) fn envelope(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        self.logging_in = false;
        trace.stage = Some(Stage::MailFrom);
        let Task { envelope, utf8_header, .. } = self.task;
        self.needs = needs(envelope, utf8_header, &self.capabilities)?;
        self.pending = Some(Action::Adapt(self.needs));
        Ok(())
    }

    /// The message is fit: MAIL, and whatever may go with it.
    pub(super) fn mail(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let Task { envelope, size, facts, .. } = self.task;
        self.parameters = adapt(facts, size, envelope, self.needs, &self.capabilities)?;
        trace.warnings.append(&mut self.parameters.warnings);
        let parameters = std::mem::take(&mut self.parameters.mail);
        let reverse_path = envelope.reverse_path.as_ref().map(sayable).transpose()?;
        self.say(Mail::new(reverse_path, parameters), Some(Expect::Mail), trace)?;
        if self.capabilities.pipelining {
            self.recipients(trace)?;
        }
        Ok(())
    }

    pub(super) fn recipients(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let recipients = &self.task.envelope.forward_paths;
        let batch = if self.capabilities.pipelining { FLIGHT } else { 1 };
        for recipient in recipients.iter().skip(self.asked).take(batch) {
            self.asked += 1;
            let recipient = sayable(recipient)?;
            let parameters = self.parameters.rcpt(&recipient);
            let rcpt = Rcpt::new(recipient, parameters);
            self.say(rcpt, Some(Expect::Rcpt), trace)?;
        }
        let last = self.asked == recipients.len();
        let hopeless = self.recipients.any_refused() && !self.task.deliver_partially;
        if !last || !self.capabilities.pipelining || hopeless {
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
        self.may_quit = false;
        self.say(Data, Some(Expect::Data), trace)
    }

    pub(super) fn upload(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        let size = self.task.size;
        let framing = match self.chunking() {
            true => Framing::Chunk,
            false => Framing::Dots,
        };
        if framing == Framing::Chunk {
            self.say(format_args!("BDAT {size} LAST"), None, trace)?;
        }
        trace.stage = Some(Stage::Message);
        trace.note(&format!("message, {size} octets"));
        self.may_quit = false;
        self.upload = Upload::Running;
        self.expected.push_back(Expect::Message);
        self.pending = Some(Action::SendMessage(framing));
        Ok(())
    }

    pub(super) fn quit(&mut self, trace: &mut Trace) {
        self.may_quit = false;
        // QUIT holds nothing that could be refused.
        let _ = self.say(Quit, None, trace);
    }

    /// Puts one command behind the output; nothing that could end it early passes.
    pub(super) fn say(
        &mut self,
        command: impl Display,
        expect: Option<Expect>,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        let line = command.to_string();
        let line = line.strip_suffix("\r\n").unwrap_or(&line);
        if let Some(expect) = expect {
            trace.stage = Some(expect.stage());
            self.expected.push_back(expect);
        }
        if line.bytes().any(|byte| byte.is_ascii_control()) {
            let line = printable(line.as_bytes(), 256);
            return Err(Failure::new(Kind::Data, line, "a control character inside this command"));
        }
        trace.sent(&printable(line.as_bytes(), 1024));
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Puts a line of AUTH behind the output and keeps it from ever being shown.
    pub(super) fn say_secret(&mut self, prefix: &str, line: sasl::Line, trace: &mut Trace) {
        trace.sent(&format!("{prefix}***"));
        self.output.extend_from_slice(prefix.as_bytes());
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.expected.push_back(Expect::Auth);
        // The longest first: the secret's own base64 may be part of it.
        self.secrets.insert(0, line);
    }
}
