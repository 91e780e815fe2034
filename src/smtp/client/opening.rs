//! The opening of a session: greeting, EHLO, STARTTLS, AUTH, until MAIL may be said.

use std::net::Ipv4Addr;

use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;

use super::dialogue::{Dialogue, Ending, Expect, Heard};
use super::{Capabilities, Channel, Script, Step, login};
use crate::attempt::Trace;
use crate::config::relay::{Login, Mechanism, Protocol, Relay, Smtp, TlsMode};
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;
use crate::reply::Reply;
use crate::smtp::parse::Raw;
use crate::smtp::sasl::{self, Exchange, Trouble};

/// What a reply leads to.
enum Move {
    Hello,
    Helo,
    StartTls,
    Handshake,
    Auth(Mechanism),
    Response(sasl::Line),
    Ready,
}

/// The opening of one session.
pub struct Opening<'a> {
    relay: &'a Relay,
    smtp: &'a Smtp,
    login: Option<&'a Login>,
    /// The EHLO argument when the relay names none.
    host_name: &'a str,
    channel: Channel,
    exchange: Option<Exchange<'a>>,
    /// Mechanisms the server would not have.
    tried: Vec<Mechanism>,
}

impl<'a> Opening<'a> {
    /// The opening of a session over a new connection, whose greeting is due.
    pub fn new(
        relay: &'a Relay,
        smtp: &'a Smtp,
        login: Option<&'a Login>,
        host_name: &'a str,
        channel: Channel,
    ) -> Self {
        Self { relay, smtp, login, host_name, channel, exchange: None, tried: Vec::new() }
    }

    /// What is offered, without what the relay is configured to do without.
    fn usable(&self, offered: Capabilities) -> Capabilities {
        let Smtp { chunking, pipelining, .. } = self.smtp;
        Capabilities {
            chunking: offered.chunking && *chunking,
            pipelining: offered.pipelining && *pipelining,
            ..offered
        }
    }

    fn judge(&mut self, heard: &Heard, dialogue: &mut Dialogue) -> Result<Move, Ending> {
        let Heard { expect, reply, raw } = heard;
        match expect {
            Expect::Greeting if reply.is_positive() => Ok(Move::Hello),
            Expect::Ehlo if reply.is_positive() => {
                dialogue.capabilities = self.usable(Capabilities::of(raw));
                self.after_hello(dialogue)
            }
            Expect::Ehlo if reply.is_permanent() && self.smtp.protocol == Protocol::Smtp => Ok(Move::Helo),
            Expect::Helo if reply.is_positive() => self.after_hello(dialogue),
            Expect::StartTls if reply.is_positive() => Ok(Move::Handshake),
            Expect::Auth => self.judge_login(reply, raw, dialogue),
            _ if reply.is_negative() => Err(Ending::Refused(reply.clone(), expect.stage())),
            _ => Err(dialogue.breach(*expect, reply).into()),
        }
    }

    fn judge_login(&mut self, reply: &Reply, raw: &Raw, dialogue: &Dialogue) -> Result<Move, Ending> {
        // AUTH is expected only where one was begun.
        let Some(exchange) = &mut self.exchange else { return Err(dialogue.breach(Expect::Auth, reply).into()) };
        let refused = || Ending::Refused(reply.clone(), Stage::Auth);
        let trouble = match reply.code() {
            200..=299 => match exchange.finish() {
                Ok(()) => return Ok(Move::Ready),
                Err(trouble) => trouble,
            },
            300..=399 => match exchange.respond(raw.lines().next().unwrap_or_default()) {
                Ok(line) => return Ok(Move::Response(line)),
                Err(trouble) => trouble,
            },
            504 | 534 => {
                self.tried.push(exchange.mechanism());
                return self.mechanism(dialogue).map(Move::Auth).ok_or_else(refused);
            }
            _ => return Err(refused()),
        };
        Err(described(&trouble, dialogue).into())
    }

    fn after_hello(&self, dialogue: &Dialogue) -> Result<Move, Ending> {
        let failed = |kind, stage, why: String| Err(dialogue.failure(kind, stage, why).into());
        let relay = self.relay;
        if relay.tls == TlsMode::StartTls && !self.channel.tls {
            return match dialogue.capabilities.starttls {
                true => Ok(Move::StartTls),
                false => failed(Kind::Protocol, Stage::StartTls, "does not offer STARTTLS".to_owned()),
            };
        }
        let Some(login) = self.login else {
            // The caller's mistake; a message of a relay with credentials never goes out without them.
            return match self.smtp.login.is_some() {
                true => failed(Kind::Software, Stage::Auth, "the credentials were not read".to_owned()),
                false => Ok(Move::Ready),
            };
        };
        match self.mechanism(dialogue) {
            Some(mechanism) => Ok(Move::Auth(mechanism)),
            None => {
                let why = login::why_none(relay, self.smtp, login, self.channel, &dialogue.capabilities);
                failed(Kind::Protocol, Stage::Auth, why)
            }
        }
    }

    /// The best mechanism that has not been tried.
    fn mechanism(&self, dialogue: &Dialogue) -> Option<Mechanism> {
        login::mechanisms(self.relay, self.smtp, self.login?, self.channel, &dialogue.capabilities)
            .find(|mechanism| !self.tried.contains(mechanism))
    }

    fn go(&mut self, next: Move, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        dialogue.check_silence(matches!(next, Move::Handshake), trace)?;
        match next {
            Move::Hello if self.smtp.protocol == Protocol::Lmtp => {
                dialogue.say(format_args!("LHLO {}", self.client_id()), Some(Expect::Ehlo), trace)?;
            }
            Move::Hello => dialogue.say(Ehlo::new(self.client_id()), Some(Expect::Ehlo), trace)?,
            Move::Helo => dialogue.say(format_args!("HELO {}", self.client_id()), Some(Expect::Helo), trace)?,
            Move::StartTls => dialogue.say(Starttls, Some(Expect::StartTls), trace)?,
            Move::Handshake => return Ok(Step::Handshake),
            Move::Auth(mechanism) => self.authenticate(mechanism, dialogue, trace)?,
            Move::Response(line) => dialogue.say_secret("", line, trace),
            Move::Ready => return Ok(Step::Done),
        }
        Ok(Step::Wait)
    }

    fn authenticate(
        &mut self,
        mechanism: Mechanism,
        dialogue: &mut Dialogue,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        let Some(login) = self.login else { return Ok(()) };
        dialogue.begin(Stage::Auth);
        let nonce = sasl::nonce().map_err(|trouble| described(&trouble, dialogue))?;
        let mut exchange = Exchange::new(mechanism, login, &self.relay.place, nonce);
        let initial = exchange.initial().map_err(|trouble| described(&trouble, dialogue))?;
        self.exchange = Some(exchange);
        let command = format!("AUTH {}", mechanism.name());
        match initial {
            Some(line) => dialogue.say_secret(&format!("{command} "), line, trace),
            None => dialogue.say(command, Some(Expect::Auth), trace)?,
        }
        Ok(())
    }

    fn client_id(&self) -> ClientId {
        let name = self.smtp.helo.as_deref().unwrap_or(self.host_name);
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
}

impl Script for Opening<'_> {
    fn begin(&mut self, _: &mut Dialogue, _: &mut Trace) -> Result<Step, Ending> {
        // The server speaks first.
        Ok(Step::Wait)
    }

    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        let next = self.judge(&heard, dialogue)?;
        self.go(next, dialogue, trace)
    }

    fn tls_started(&mut self, channel: Channel, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        self.channel = channel;
        dialogue.capabilities = Capabilities::default();
        self.go(Move::Hello, dialogue, trace)
    }
}

fn described(trouble: &Trouble, dialogue: &Dialogue) -> Failure {
    let kind = match trouble {
        Trouble::Credentials => Kind::Configuration,
        Trouble::Random => Kind::System,
        Trouble::Challenge | Trouble::Impostor | Trouble::Rounds(_) => Kind::Protocol,
    };
    dialogue.failure(kind, Stage::Auth, trouble.to_string())
}
