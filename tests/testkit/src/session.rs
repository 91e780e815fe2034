//! One session of the server: what the client said, and what it was told.

use std::io;
use std::net::IpAddr;

use crate::channel::{Channel, Socket};
use crate::sasl;
use crate::server::{Action, Manners, Moment, TlsStart};

/// What happened on one connection.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Every command line, as it came; lines of a SASL exchange and message octets are not commands.
    pub commands: Vec<String>,
    /// The address the client connected from; `None` on a unix socket.
    pub peer: Option<IpAddr>,
    /// Whether TLS was in use at the end.
    pub tls: bool,
    /// Whether the client showed the certificate that the authority signed for it.
    pub certified: bool,
    /// Mechanism and user name of the login that succeeded.
    pub login: Option<(String, String)>,
    /// The transactions for which message octets came.
    pub deliveries: Vec<Delivery>,
    /// Round trips the client spent, connection and TLS included, the answer to QUIT not. Exact only
    /// with `Server::counting_flights`.
    pub round_trips: u32,
    /// Whether the client said QUIT.
    pub quit: bool,
}

/// One message that arrived whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Between the angle brackets of MAIL.
    pub reverse_path: String,
    /// The parameters of MAIL.
    pub parameters: String,
    /// The recipients that were accepted.
    pub recipients: Vec<Recipient>,
    /// The message, dots unstuffed.
    pub octets: Vec<u8>,
    /// Whether the client was told 250.
    pub accepted: bool,
}

/// One accepted RCPT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Between the angle brackets.
    pub path: String,
    /// The parameters.
    pub parameters: String,
}

impl Delivery {
    /// The forward-paths.
    pub fn forward_paths(&self) -> Vec<&str> {
        self.recipients.iter().map(|recipient| recipient.path.as_str()).collect()
    }

    /// The message as text, for looking at.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }
}

/// Serves one connection to its end.
pub(crate) fn serve(socket: Socket, manners: &Manners) -> Session {
    let mut session = Session::default();
    if let Ok(channel) = Channel::new(socket, manners.counting) {
        session.peer = channel.peer();
        let mut talk = Talk { channel, manners, session: &mut session, mail: None, chunks: Vec::new() };
        // Whatever ends the connection, what was recorded until then counts.
        let _ = talk.run();
        talk.session.round_trips = talk.channel.round_trips;
        talk.session.tls = talk.channel.is_tls();
        talk.session.certified = talk.channel.has_client_certificate();
    }
    session
}

struct Talk<'a> {
    channel: Channel,
    manners: &'a Manners,
    session: &'a mut Session,
    /// The transaction under way.
    mail: Option<Delivery>,
    /// What BDAT has brought so far.
    chunks: Vec<u8>,
}

/// Whether the conversation goes on.
type Next = io::Result<bool>;

impl Talk<'_> {
    fn run(&mut self) -> io::Result<()> {
        if self.manners.tls == TlsStart::Implicit {
            self.channel.start_tls(self.manners.tls_config(), true)?;
        }
        if !self.reply_at(&Moment::Greeting, "220 mx.example.net ESMTP ready")? {
            return Ok(());
        }
        loop {
            // Replies to one flight leave together.
            if !self.channel.has_input() {
                self.channel.flush()?;
            }
            let Some(line) = self.channel.line()? else { return Ok(()) };
            let line = String::from_utf8_lossy(&line).into_owned();
            self.session.commands.push(line.clone());
            if !self.command(&line)? {
                return Ok(());
            }
        }
    }

    fn command(&mut self, line: &str) -> Next {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "LHLO" => self.ehlo(verb),
            "HELO" => self.reply_at(&Moment::Ehlo, "250 mx.example.net"),
            "STARTTLS" => self.starttls(),
            "AUTH" => self.auth(rest),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            "DATA" => self.data(),
            "BDAT" => self.bdat(rest),
            "RSET" => {
                self.mail = None;
                self.say("250 2.0.0 reset")
            }
            "NOOP" => self.say("250 2.0.0 ok"),
            "QUIT" => {
                if self.channel.lines_in_flight == 1 && self.channel.round_trips > 0 {
                    // A flight of QUIT alone: the client does not wait for it.
                    self.channel.round_trips -= 1;
                }
                self.session.quit = true;
                self.say("221 2.0.0 bye")?;
                Ok(false)
            }
            _ => self.say("500 5.5.2 unknown command"),
        }
    }

    fn say(&mut self, reply: &str) -> Next {
        let lines: Vec<&str> = reply.split('\n').collect();
        for line in lines {
            self.channel.say(line.as_bytes());
            self.channel.say(b"\r\n");
        }
        Ok(true)
    }

    fn act(&mut self, action: &Action) -> Next {
        match action {
            Action::Reply(reply) => self.say(reply),
            Action::Close => Ok(false),
            Action::Hang => {
                self.manners.hanging.one_more();
                self.channel.wait_for_close();
                Ok(false)
            }
        }
    }

    /// Says `usual` unless a mood of this moment says otherwise.
    fn reply_at(&mut self, moment: &Moment, usual: &str) -> Next {
        match self.manners.mood(moment) {
            Some(action) => self.act(action),
            None => self.say(usual),
        }
    }

    fn ehlo(&mut self, verb: &str) -> Next {
        if let Some(action) = self.manners.mood(&Moment::Ehlo) {
            return self.act(action);
        }
        if self.manners.no_ehlo || verb.eq_ignore_ascii_case("LHLO") != self.manners.lmtp {
            return self.say("500 5.5.1 command not known here");
        }
        let mut words = vec!["mx.example.net".to_owned()];
        words.extend(self.manners.capabilities.iter().cloned());
        let tls = self.channel.is_tls();
        if self.manners.tls == TlsStart::StartTls && !tls {
            words.push("STARTTLS".to_owned());
        }
        if let Some(login) = &self.manners.login
            && (tls || self.manners.tls == TlsStart::Never)
            && !login.mechanisms.is_empty()
        {
            words.push(format!("AUTH {}", login.mechanisms.join(" ")));
        }
        let last = words.len() - 1;
        let lines: Vec<String> = words
            .iter()
            .enumerate()
            .map(|(index, word)| format!("250{}{word}", if index == last { ' ' } else { '-' }))
            .collect();
        self.say(&lines.join("\n"))
    }

    fn starttls(&mut self) -> Next {
        let usual = if self.manners.tls == TlsStart::StartTls && !self.channel.is_tls() {
            "220 2.0.0 go ahead"
        } else {
            "503 5.5.1 not offered"
        };
        let goes_on = self.reply_at(&Moment::StartTls, usual)?;
        if usual.starts_with("220") && self.manners.mood(&Moment::StartTls).is_none() {
            self.channel.start_tls(self.manners.tls_config(), false)?;
        }
        Ok(goes_on)
    }

    fn auth(&mut self, rest: &str) -> Next {
        if let Some(action) = self.manners.mood(&Moment::Auth) {
            return self.act(action);
        }
        let Some(login) = &self.manners.login else { return self.say("503 5.5.1 no AUTH here") };
        let (mechanism, initial) = rest.split_once(' ').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        let mechanism = mechanism.to_ascii_uppercase();
        if !login.mechanisms.contains(&mechanism) {
            return self.say("504 5.5.4 mechanism not offered");
        }
        let certified = self.channel.has_client_certificate();
        let channel = &mut self.channel;
        let mut ask = |challenge: &str| -> io::Result<Option<String>> {
            channel.say(format!("334 {challenge}\r\n").as_bytes());
            channel.flush()?;
            Ok(channel.line()?.map(|line| String::from_utf8_lossy(&line).into_owned()))
        };
        let proven = sasl::exchange(&mechanism, initial, login, &mut ask)?;
        match proven && (mechanism != "EXTERNAL" || certified) {
            true => {
                self.session.login = Some((mechanism, login.username.clone()));
                self.say("235 2.7.0 welcome")
            }
            false => self.say("535 5.7.8 authentication credentials invalid"),
        }
    }

    fn mail(&mut self, rest: &str) -> Next {
        if let Some(action) = self.manners.mood(&Moment::Mail) {
            return self.act(action);
        }
        if self.manners.login.is_some() && self.session.login.is_none() {
            return self.say("530 5.7.0 authentication required");
        }
        let Some((path, parameters)) = path(rest, "FROM:") else { return self.say("501 5.5.4 no reverse-path") };
        self.chunks.clear();
        self.mail = Some(Delivery { reverse_path: path, parameters, ..Delivery::default() });
        self.say("250 2.1.0 sender ok")
    }

    fn rcpt(&mut self, rest: &str) -> Next {
        let Some((path, parameters)) = path(rest, "TO:") else { return self.say("501 5.5.4 no forward-path") };
        let mood = self.manners.mood(&Moment::RcptOf(path.clone())).or_else(|| self.manners.mood(&Moment::Rcpt));
        match (mood, &mut self.mail) {
            (Some(action), _) => self.act(action),
            (None, None) => self.say("503 5.5.1 MAIL first"),
            (None, Some(mail)) => {
                mail.recipients.push(Recipient { path, parameters });
                self.say("250 2.1.5 recipient ok")
            }
        }
    }

    fn has_recipients(&self) -> bool {
        self.mail.as_ref().is_some_and(|mail| !mail.recipients.is_empty())
    }

    fn data(&mut self) -> Next {
        if let Some(action) = self.manners.mood(&Moment::Data) {
            return self.act(action);
        }
        if !self.has_recipients() {
            return self.say("503 5.5.1 no valid recipients");
        }
        self.say("354 end with a lone dot")?;
        match self.channel.data()? {
            Some(octets) => self.deliver(octets),
            None => Ok(false),
        }
    }

    fn bdat(&mut self, rest: &str) -> Next {
        let mut words = rest.split(' ');
        let Some(size) = words.next().and_then(|word| word.parse::<usize>().ok()) else {
            return self.say("501 5.5.4 BDAT without a size");
        };
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let octets = self.channel.octets(size)?;
        if octets.len() < size {
            return Ok(false);
        }
        if !self.has_recipients() {
            return self.say("503 5.5.1 no valid recipients");
        }
        self.chunks.extend_from_slice(&octets);
        if !last {
            return self.say("250 2.0.0 chunk ok");
        }
        let octets = std::mem::take(&mut self.chunks);
        self.deliver(octets)
    }

    fn deliver(&mut self, octets: Vec<u8>) -> Next {
        let mut mail = self.mail.take().unwrap_or_default();
        mail.octets = octets;
        let paths = mail.recipients.iter().map(|recipient| recipient.path.clone()).collect::<Vec<_>>();
        mail.accepted = self.manners.mood(&Moment::Message).is_none();
        self.session.tls = self.channel.is_tls();
        if let Some(hook) = &self.manners.on_delivery {
            hook(self.session, &mail);
        }
        self.session.deliveries.push(mail);
        if !self.manners.lmtp {
            return self.reply_at(&Moment::Message, "250 2.0.0 queued as 4F2A1");
        }
        for path in paths {
            let goes_on = match self.manners.mood(&Moment::MessageOf(path)) {
                Some(action) => self.act(action)?,
                None => self.reply_at(&Moment::Message, "250 2.0.0 delivered")?,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The path between the angle brackets behind `keyword`, and the parameters behind it.
fn path(rest: &str, keyword: &str) -> Option<(String, String)> {
    let behind = rest.get(..keyword.len()).filter(|word| word.eq_ignore_ascii_case(keyword))?;
    let behind = rest[behind.len()..].trim_start().strip_prefix('<')?;
    let end = behind.rfind('>')?;
    Some((behind[..end].to_owned(), behind[end + 1..].trim().to_owned()))
}
