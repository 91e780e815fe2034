//! `-bs`: SMTP on standard input and output. Everything the caller says goes to the state machine, what
//! that asks for to a [`Transaction`], and the replies back.

mod passage;
mod pipe;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use self::passage::{Passage, Waiting};
use self::pipe::CallerPipe;
use super::admission;
use super::send::show_on_stderr;
use crate::address::Address;
use crate::attempt::{HandOver, IdempotencyKey, Sink};
use crate::breaker::Breaker;
use crate::caller::Caller;
use crate::cli::dialect::Sendmail;
use crate::cli::invocation::Invocation;
use crate::conclude::Dossier;
use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::door;
use crate::envelope::{Dsn, Envelope, ReversePath};
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::limit::{self, Refused};
use crate::message::{Header, MailObject, Message};
use crate::outcome::Stage;
use crate::plan::{Course, Diversion, Wishes};
use crate::reply::Reply;
use crate::smtp::server::{Mail, Rcpt, Request, Server, Told};
use crate::spool::Kept;
use crate::submit::stepwise::{self, Name, Transaction};
use crate::submit::{Manner, Upstream};

/// Serves one session. The exit status is that of the last message that was not accepted for everybody it
/// was asked for, 0 where there was none.
pub(crate) fn serve(invocation: &Invocation, said: &Sendmail) -> u8 {
    let caller = Caller::current();
    let hand_over = Arc::default();
    let dossier = door::open(invocation, &caller, &hand_over);
    let course = Course::begin(&caller, &invocation.choice);
    let show = said.verbose;
    let begin = |relay: &Relay| {
        dossier.set_relay(relay);
        show.then(show_on_stderr)
    };
    let keyed = |key: &IdempotencyKey| dossier.set_key(key);
    let lasting =
        Lasting { course: &course, said, hand_over: &hand_over, dossier: &dossier, begin: &begin, keyed: &keyed };
    let (input, output) = match (io::stdin().as_fd().try_clone_to_owned(), io::stdout().as_fd().try_clone_to_owned()) {
        (Ok(input), Ok(output)) => (File::from(input), File::from(output)),
        (Err(error), _) | (_, Err(error)) => return dossier.fail(&unreadable(&error)),
    };
    dossier.rest();
    let upstream = Upstream::default();
    let caller_pipe = CallerPipe { server: Server::new(course.ehlo_argument()), input, output, gone: false };
    let mut conversation =
        Conversation { lasting: &lasting, caller_pipe, upstream, transaction: None, status: exit::OK };
    conversation.serve();
    if conversation.caller_pipe.server.heard_no_smtp() {
        dossier.begin();
        // For where the record goes; what is wrong with it matters less now.
        if let Ok(config) = course.own_config() {
            dossier.set_config(config);
        }
        let failure = Failure::new(Kind::Usage, "standard input", "holds no SMTP command, so nothing was sent");
        conversation.refuse(&failure.hint("-bs is for programs that speak SMTP; PHP's mail() and cron want -t -i"));
    }
    // The goodbye ends a transaction as well.
    conversation.upstream.close();
    conversation.end_transaction();
    conversation.status
}

/// What stays the same from one message to the next.
struct Lasting<'a> {
    course: &'a Course<'a>,
    said: &'a Sendmail,
    hand_over: &'a Arc<HandOver>,
    dossier: &'a Dossier,
    /// Hears of each try at a relay.
    begin: &'a dyn Fn(&Relay) -> Option<Sink>,
    /// Hears of the key a try is given.
    keyed: &'a dyn Fn(&IdempotencyKey),
}

impl Lasting<'_> {
    /// What the command line says for every message.
    fn wishes(&self) -> Wishes {
        Wishes { keep_fields: true, ..self.said.wishes.clone() }
    }
}

/// The message under way, and for whom it is sent.
struct UnderWay<'a> {
    site: &'a Site,
    passage: Passage<'a>,
    /// What we refused ourselves.
    refusal: Option<Failure>,
}

/// What MAIL comes to.
enum Begun<'a> {
    /// A relay is asked; whether its route is still to be named.
    Goes(&'a Site, Manner<'a>, Option<Address>, bool),
    /// The site is over a limit.
    Waits(&'a Site, Waiting),
}

/// Why a message is taken that waits until its site may send again.
const OVER: &str = "over the limit, so it waits";

/// One session.
struct Conversation<'a> {
    lasting: &'a Lasting<'a>,
    caller_pipe: CallerPipe,
    upstream: Upstream,
    transaction: Option<UnderWay<'a>>,
    status: u8,
}

impl Conversation<'_> {
    fn serve(&mut self) {
        loop {
            let request = self.caller_pipe.server.next_request();
            if let Some(refusal) = self.caller_pipe.server.take_refusal() {
                self.status = exit::of_kind(&Kind::Refused(refusal), self.lasting.dossier.scheme());
            }
            match request {
                Request::Read => {
                    if !self.listen() {
                        return;
                    }
                }
                Request::Mail(mail) => {
                    self.lasting.dossier.begin();
                    let answer = self.mail(mail);
                    self.caller_pipe.server.answer(&answer);
                }
                Request::Rcpt(all) => {
                    for answer in self.rcpt(&all) {
                        self.caller_pipe.server.answer(&answer);
                    }
                }
                Request::Message => {
                    let Some(answer) = self.message() else { return };
                    self.caller_pipe.server.answer(&answer);
                }
                Request::Reset => self.end_transaction(),
                Request::Quit => {
                    let _ = self.caller_pipe.speak();
                    return;
                }
            }
        }
    }

    /// Waits for the caller, as long as it takes; a kept session is not kept that long. False: it is gone.
    fn listen(&mut self) -> bool {
        if self.caller_pipe.speak().is_err() {
            return false;
        }
        if self.transaction.is_none()
            && let Some(patience) = self.upstream.patience(Instant::now())
            && !self.caller_pipe.has_input_within(patience)
        {
            self.upstream.close();
        }
        self.caller_pipe.listen()
    }

    fn mail(&mut self, mail: Mail) -> Told {
        let lasting = self.lasting;
        let begun = lasting.course.own_config().and_then(|config| {
            lasting.dossier.set_config(config);
            let said = mail.reverse_path.as_ref();
            let wishes = Wishes {
                reverse_path: Some(said.map_or(ReversePath::Null, |spec| ReversePath::Typed(spec.to_string()))),
                ..lasting.wishes()
            };
            let site = lasting.course.site(&wishes, &Header::empty())?.site;
            lasting.dossier.set_site(config, site);
            admission::check_ban(config, site, lasting.course.caller().uid)?;
            let (reverse_path, repairs) = lasting.course.reverse_path(site, said)?;
            if let Some(limits) = &site.limits
                && let Err(refused) = limit::look(limits, 1, lasting.course.caller().uid)
            {
                if !admission::waits(site, &refused) {
                    return Err(admission::refusal(lasting.dossier, site, &refused, lasting.course.caller().uid));
                }
                let dsn = Dsn { ret: mail.ret.clone(), envid: mail.envid.clone(), ..Dsn::default() };
                let envelope = Envelope { reverse_path, forward_paths: Vec::new(), dsn };
                lasting.dossier.warn(&repairs);
                return Ok(Begun::Waits(site, Waiting { envelope, refused }));
            }
            let route = lasting.course.route_at_mail(site, reverse_path.as_ref())?;
            let is_open = route.is_none();
            let manner = Manner {
                route: route.map_or(Cow::Borrowed(&*site.relays), Cow::Owned),
                terms: site.terms,
                breaker: Breaker::of(site, lasting.course.caller().uid),
                host_name: lasting.course.ehlo_argument(),
                begin: lasting.begin,
                keyed: lasting.keyed,
                hand_over: lasting.hand_over,
            };
            lasting.dossier.warn(&repairs);
            Ok(Begun::Goes(site, manner, reverse_path, is_open))
        });
        let (site, manner, reverse_path, is_open) = match begun {
            Ok(Begun::Goes(site, manner, reverse_path, is_open)) => (site, manner, reverse_path, is_open),
            Ok(Begun::Waits(site, waiting)) => {
                let passage = Passage::Wait(Box::new(waiting));
                self.transaction = Some(UnderWay { site, passage, refusal: None });
                return Reply::own(250, (2, 1, 0), &format!("sender ok, {OVER}")).into();
            }
            Err(failure) => return self.refuse(&failure),
        };
        let begun = match is_open {
            true => Ok(Transaction::collect(manner, reverse_path, mail)),
            false => Transaction::begin(manner, reverse_path, mail, &mut self.upstream),
        };
        match begun {
            Ok((transaction, reply)) => {
                let transaction = transaction.keeping(site.spooling.is_on);
                self.transaction =
                    Some(UnderWay { site, passage: Passage::Relay(Box::new(transaction)), refusal: None });
                reply.into()
            }
            Err(end) if passage::is_kept(site, &end) => {
                self.transaction = Some(UnderWay { site, passage: Passage::Spool(end), refusal: None });
                Reply::own(250, (2, 1, 0), "sender ok, no relay answers now").into()
            }
            Err(end) => self.conclude(&end, &Kept::No),
        }
    }

    /// One answer for each of `all`; none where no MAIL came before, which the state machine sees to.
    fn rcpt(&mut self, all: &[Rcpt]) -> Vec<Told> {
        let Some(UnderWay { site, passage, refusal }) = &mut self.transaction else { return Vec::new() };
        let mut names = Vec::with_capacity(all.len());
        let mut failures = Vec::with_capacity(all.len());
        for rcpt in all {
            let addresses = self.lasting.course.forward_paths(site, &rcpt.forward_path);
            failures.push(addresses.map(|addresses| names.push(Name { rcpt, addresses })).err());
        }
        let replies = match passage {
            Passage::Relay(transaction) => transaction.rcpt(&names, &mut self.upstream),
            Passage::Spool(end) => {
                passage::take(&mut end.envelope, &names, "no relay answers now").into_iter().map(Ok).collect()
            }
            Passage::Wait(waiting) => passage::take(&mut waiting.envelope, &names, OVER).into_iter().map(Ok).collect(),
        };
        let mut replies = replies.into_iter();
        let results = failures.into_iter().filter_map(|failure| failure.map(Err).or_else(|| replies.next()));
        let answers = results.map(|result| match result {
            Ok(reply) => reply.into(),
            Err(failure) => {
                self.status = exit::of_kind(&failure.kind, site.exit_status);
                let answer = Told::from(&failure);
                *refusal = Some(failure);
                answer
            }
        });
        answers.collect()
    }

    /// Takes the message and hands it over; `None`: the caller went away in the middle of it.
    fn message(&mut self) -> Option<Told> {
        let message = Message::read(&mut self.caller_pipe, false);
        if self.caller_pipe.gone {
            let why = "the caller closed it before the lone dot, nothing was sent";
            if let Some(UnderWay { passage, .. }) = self.transaction.take() {
                self.lasting.dossier.set_envelope(&passage.envelope());
            }
            self.refuse(&Failure::new(Kind::NoInput, "standard input", why));
            return None;
        }
        let UnderWay { site, mut passage, .. } = self.transaction.take()?;
        let lasting = self.lasting;
        let mut envelope = passage.envelope().into_owned();
        lasting.dossier.set_envelope(&envelope);
        let fitted = message.and_then(|mut message| {
            lasting.dossier.set_message(&message);
            let result = lasting.course.fit(site, &lasting.wishes(), &mut envelope, &mut message);
            lasting.dossier.set_message(&message);
            let fitted = result?;
            lasting.dossier.warn(&fitted.warnings);
            if let Some(diversion) = &fitted.diversion {
                lasting.dossier.set_diversion(diversion);
                if lasting.said.verbose {
                    show_on_stderr()(&format!("* {diversion}"));
                }
                if let Passage::Relay(transaction) = &mut passage {
                    transaction.redirect(&envelope.forward_paths);
                }
            }
            if let Passage::Relay(transaction) = &mut passage
                && transaction.is_collected()
            {
                transaction.lead(lasting.course.route(site, MailObject { envelope: &envelope, message: &message })?);
            }
            Ok((message, fitted.diversion))
        });
        Some(match fitted {
            Ok((message, diversion)) => {
                let diverted_from = diversion.as_ref().map_or(&[][..], Diversion::forward_paths);
                self.pass_on(site, passage, MailObject { envelope: &envelope, message: &message }, diverted_from)
            }
            Err(failure) => {
                passage.abandon(&mut self.upstream);
                self.refuse(&failure.at(Stage::Message))
            }
        })
    }

    /// Admits a message of which nothing is missing any more, and passes it on.
    fn pass_on(&mut self, site: &Site, passage: Passage<'_>, mail: MailObject<'_>, diverted_from: &[Address]) -> Told {
        let (lasting, uid) = (self.lasting, self.lasting.course.caller().uid);
        let asked = passage.asked(mail.envelope);
        let mail = MailObject { envelope: &asked, ..mail };
        let admitted = match &passage {
            // There may be room by now, but its caller was told that it waits.
            Passage::Wait(_) => Ok(None),
            _ => limit::admit_to(site, asked.forward_paths.len(), uid),
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => {
                passage.abandon(&mut self.upstream);
                return self.wait(site, mail, &refused, diverted_from);
            }
        };
        let end = match passage {
            Passage::Relay(transaction) => transaction.send(mail.message, &mut self.upstream),
            Passage::Spool(end) => *end,
            Passage::Wait(waiting) => return self.wait(site, mail, &waiting.refused, diverted_from),
        };
        let kept = passage::keep(lasting, site, &end, mail.message, diverted_from);
        admission::settle(admitted, site, &end.submission, &kept, uid);
        self.conclude(&end, &kept)
    }

    /// Ends the message under way, which is over a limit of its site: it waits, or is refused.
    fn wait(&mut self, site: &Site, mail: MailObject<'_>, refused: &Refused, diverted_from: &[Address]) -> Told {
        if !admission::waits(site, refused) {
            let uid = self.lasting.course.caller().uid;
            let refusal = admission::refusal(self.lasting.dossier, site, refused, uid);
            return self.refuse(&refusal.at(Stage::Message));
        }
        match passage::wait(self.lasting, site, mail, refused, diverted_from) {
            Ok(kept) => {
                let dossier = self.lasting.dossier;
                let told = passage::told_of_waiting(refused, &kept, &dossier.id());
                let status = dossier.wait(refused.failure(), &kept);
                self.finished(status);
                told
            }
            Err(failure) => self.refuse(&failure.at(Stage::Message)),
        }
    }

    /// The transaction under way is over without a message.
    fn end_transaction(&mut self) {
        let Some(UnderWay { passage, refusal, .. }) = self.transaction.take() else { return };
        self.lasting.dossier.set_envelope(&passage.envelope());
        let end = passage.abandon(&mut self.upstream);
        match (end, refusal) {
            (Some(end), _) => {
                self.conclude(&end, &Kept::No);
            }
            (None, Some(failure)) => {
                self.refuse(&failure);
            }
            (None, None) => self.finished(exit::OK),
        }
    }

    /// Ends the message under way with what the relays said.
    fn conclude(&mut self, end: &stepwise::Finished, kept: &Kept) -> Told {
        let dossier = self.lasting.dossier;
        dossier.set_envelope(&end.envelope);
        let told = passage::told(end, kept, &dossier.id());
        let status = dossier.finish(&end.submission, &end.envelope, kept);
        self.finished(status);
        told
    }

    /// Ends the message under way with a failure of ours.
    fn refuse(&mut self, failure: &Failure) -> Told {
        let status = self.lasting.dossier.fail(failure);
        self.finished(status);
        failure.into()
    }

    /// No message is under way any more.
    fn finished(&mut self, status: u8) {
        if status != exit::OK {
            self.status = status;
        }
        self.lasting.hand_over.reset();
        self.lasting.dossier.rest();
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(Kind::NoInput, "standard input", format!("cannot be read: {error}"))
}
