//! Submission over a provider's HTTP API: the one exchange between the request that `api` makes and the
//! response it reads.
//!
//! ureq speaks HTTP/1.1; the connection below it is that of `wire`, so that names, proxies, trust
//! and the deadline are the same for every relay. One request at a time, no redirects, no retry. Whoever has several
//! messages for one relay may keep the connection in between ([`Line`]).

mod answers;
pub mod autoconfig;
mod body;
pub mod cloud;
mod login;
mod masking;
mod proxy;
mod transport;

use std::io::Read;
use std::sync::{Arc, Mutex};

use ureq::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use ureq::http::{Request as HttpRequest, Response as HttpResponse, Version};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, SendBody};

use self::body::{Matter, Outgoing, Submitted};
pub use self::login::login;
use self::masking::{hide, masked, without};
use self::transport::{Handed, Progress};
use crate::attempt::Attempt;
use crate::config::relay::{Endpoint, Interface, Relay};
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::message::repair::{self, Needs};
use crate::message::{MailObject, Message};
use crate::outcome::{Outcome, Stage};
use crate::providers::api::{Before, Credentials, Mail, Request, Response};
use crate::reply::{Reply, printable};
use crate::wire::Connection;

/// How much of a response's body is read, in octets.
const BODY_LIMIT: u64 = 256 << 10;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How large a response's header section may be, in octets.
const HEADER_LIMIT: usize = 32 << 10;

/// How often an API may ask for something before it is given the message.
const ROUNDS: usize = 8;

/// How much of a refusal the trace shows, in octets.
const SHOWN: usize = 400;

/// The connection with an API between two requests.
#[derive(Default)]
pub struct Line {
    connection: Option<Connection>,
    /// Whether it is kept at all.
    stays: bool,
}

impl Line {
    /// One that is kept, and none yet.
    pub fn kept() -> Self {
        Self { connection: None, stays: true }
    }

    /// Whether there is one to be kept.
    pub fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// The connection, as far as it may still be used.
    fn take(&mut self) -> Option<Connection> {
        self.connection.take().and_then(|mut connection| connection.is_idle().then_some(connection))
    }
}

/// Everything one submission needs.
pub struct ByApi<'a> {
    /// The relay to submit through.
    pub relay: &'a Relay,
    /// Its API.
    pub interface: &'a Interface,
    /// Its credentials, already read.
    pub keys: &'a Credentials,
    /// What is submitted.
    pub mail: MailObject<'a>,
}

/// Submits one message under one deadline, over the connection of `line` where there is one.
///
/// # Errors
/// No reply was had, or the message cannot go through this API; the kind is `InDoubt` from the moment the
/// last octet of the request was handed over.
pub fn submit(job: &ByApi<'_>, attempt: &mut Attempt, line: &mut Line) -> Result<Outcome, Failure> {
    check(job)?;
    // Fields are UTF-8 in any case; a finished message travels on as mail does.
    let entry = job.interface.entry;
    let needs = Needs { eight_bit: !entry.seven_bit, utf8: !entry.raw };
    let adapted = repair::adapt(job.mail.message, needs).map_err(|failure| failure.at(Stage::Message))?;
    let message = adapted.as_ref().unwrap_or(job.mail.message);
    attempt
        .trace
        .repairs
        .extend_from_slice(message.repairs().get(job.mail.message.repairs().len()..).unwrap_or_default());
    let result = walk(job, message, attempt, line);
    if !matches!(&result, Err(failure) if failure.kind == Kind::InDoubt) {
        attempt.hand_over.end();
    }
    result.map(|outcome| masked(outcome, job.keys)).map_err(|mut failure| {
        failure.why = without(failure.why, job.keys);
        failure
    })
}

/// Makes the requests of one submission: those that come before it, and the one that submits `message`.
fn walk(job: &ByApi<'_>, message: &Message, attempt: &mut Attempt, line: &mut Line) -> Result<Outcome, Failure> {
    let ByApi { relay, interface, keys, mail: MailObject { envelope, .. } } = job;
    let (api, endpoint) = (&interface.api, interface.endpoint.as_str());
    let (now, key) = (jiff::Timestamp::now(), attempt.key.clone());
    let key = key.as_ref();
    let mut answers = Vec::new();
    for _ in 0..ROUNDS {
        let mail = Mail { envelope, message, endpoint, now, undisclosed: interface.undisclosed, key, before: &answers };
        match api.before(&mail, keys)? {
            Before::Nothing => {
                let request = api.request(&mail, keys)?;
                check_size(job, message, &request)?;
                attempt.trace.warnings.extend_from_slice(&request.warnings);
                let mut response =
                    exchange(relay, endpoint, &request, Some(Matter::Message(message)), keys, attempt, line)?;
                response.is_repeat = key.is_some_and(|key| key.is_repeated);
                return api.outcome(envelope, &response);
            }
            Before::Refused(outcome) => return Ok(outcome),
            Before::Ask(requests) => {
                for request in requests {
                    let response = exchange(relay, endpoint, &request, None, keys, attempt, line)?;
                    let is_success = response.is_success();
                    answers.push(response);
                    if !is_success {
                        break;
                    }
                }
            }
        }
    }
    Err(Failure::new(Kind::Software, "message", format!("more than {ROUNDS} rounds of requests come before it")))
}

/// Refuses before anything is sent what the provider says it never takes.
fn check(job: &ByApi<'_>) -> Result<(), Failure> {
    let entry = job.interface.entry;
    let name = job.relay.provider.map_or("this API", |provider| provider.name);
    let count = job.mail.envelope.forward_paths.len();
    if let Some(most) = entry.recipients.filter(|most| count > *most) {
        let text = format!("{name} accepts {most} recipients per message, and this one has {count}");
        return Err(Failure::refused("message", Reply::own(550, (5, 5, 3), &text)));
    }
    Ok(())
}

/// Refuses before anything of it is sent a `request` for `message` that is larger than the provider says it takes.
fn check_size(job: &ByApi<'_>, message: &Message, request: &Request) -> Result<(), Failure> {
    let body = body::size(&request.body, message.size());
    let Some((most, what, size)) = job.interface.entry.size.and_then(|limit| limit.exceeded_by(message.size(), body))
    else {
        return Ok(());
    };
    let name = job.relay.provider.map_or("this API", |provider| provider.name);
    let text = format!("{name} accepts {most} octets per {what}, and this one has {size}");
    Err(Failure::refused("message", Reply::too_large(&text)))
}

/// Makes a request that submits nothing to `endpoint`, a server beside the relay, in the way the relay is
/// reached. Nothing of it is shown: what is said and heard there holds secrets.
///
/// # Errors
/// As [`Connection::open`], or `Unavailable`.
pub fn ask(
    relay: &Relay,
    endpoint: &Endpoint,
    request: &Request,
    keys: &Credentials,
    deadline: Deadline,
) -> Result<Response, Failure> {
    // What stands for the relay's own certificate does not stand for this one.
    let server = Relay {
        place: endpoint.place.clone(),
        tls: endpoint.tls,
        fingerprint: None,
        client_cert: None,
        ..relay.clone()
    };
    let answer =
        exchange(&server, &endpoint.url, request, None, keys, &mut Attempt::new(deadline), &mut Line::default());
    // No hint about how the relay is configured fits what happens here.
    answer.map_err(|failure| Failure { stage: None, ..failure })
}

/// Tells `server` something by a request that is not to be made twice: the hand-over begins with its last octet, and
/// from then on a failure is in doubt. `keys`, and the path, are shown nowhere.
///
/// # Errors
/// As [`Connection::open`], `Unavailable`, or `InDoubt`.
pub fn tell(
    server: &Relay,
    origin: &str,
    request: &Request,
    keys: &Credentials,
    attempt: &mut Attempt,
) -> Result<Response, Failure> {
    let answer = exchange(server, origin, request, Some(Matter::Request), keys, attempt, &mut Line::default());
    if !matches!(&answer, Err(failure) if failure.kind == Kind::InDoubt) {
        attempt.hand_over.end();
    }
    answer.map_err(|failure| {
        let why = without(failure.why, keys).replace("the message may have been accepted", "it may have arrived");
        Failure { why, stage: None, ..failure }
    })
}

/// Makes one request to `endpoint` and gives its response, whatever the status. `submitted` is what is handed over with
/// it; `None`: the request submits nothing, so it is never in doubt. `keys` are kept out of the trace.
///
/// # Errors
/// Before the last octet of the request was given to the system: as [`Connection::open`], or
/// `Unavailable`. After it: `InDoubt`.
fn exchange(
    relay: &Relay,
    endpoint: &str,
    request: &Request,
    submitted: Option<Matter<'_>>,
    keys: &Credentials,
    attempt: &mut Attempt,
    line: &mut Line,
) -> Result<Response, Failure> {
    let proxied = proxy::from_environment(relay)?;
    let relay = proxied.as_ref().unwrap_or(relay);
    if let Some(connection) = line.take() {
        connection.describe(&mut attempt.trace);
        attempt.trace.note("kept connection");
        let result = over(connection, relay, endpoint, request, submitted, keys, attempt, line);
        // It came to its end before the request was out, so that nobody has anything.
        let is_stale = matches!(&result, Err(failure) if failure.kind == Kind::Unavailable);
        if !is_stale || attempt.deadline.is_over() {
            return result;
        }
        attempt.hand_over.again();
    }
    let connection = attempt.within(relay.connect_timeout, |attempt| Connection::open(relay, attempt))?;
    over(connection, relay, endpoint, request, submitted, keys, attempt, line)
}

/// Makes the request over `connection`, and leaves that to `line` where another may follow.
#[expect(clippy::too_many_arguments, reason = "what an exchange needs, and the connection")]
fn over(
    connection: Connection,
    relay: &Relay,
    endpoint: &str,
    request: &Request,
    submitted: Option<Matter<'_>>,
    keys: &Credentials,
    attempt: &mut Attempt,
    line: &mut Line,
) -> Result<Response, Failure> {
    let Attempt { deadline, trace, hand_over, .. } = attempt;
    let submits = |matter| Submitted { matter, relay: &relay.name, hand_over };
    let mut outgoing = Outgoing::new(&request.body, submitted.map(submits));
    let size = outgoing.size();
    trace.sent(&format!("{} {endpoint}{} ({size} octets)", request.method, shown_path(request)));

    let progress = Progress::until(*deadline);
    let lent = Arc::new(Mutex::new(connection));
    let agent = agent(Handed::new(Arc::clone(&lent), progress.clone()));
    let result = head(endpoint, request, size).and_then(|head| {
        let answer = match size {
            0 => agent.run(head),
            _ => agent.run(head.map(|()| SendBody::from_reader(&mut outgoing))),
        };
        answer.map_err(|error| Failure::new(Kind::Protocol, "", error.to_string()))
    });
    *deadline = progress.deadline();
    if let Some(failure) = outgoing.failure() {
        return Err(failure);
    }
    let is_submission = submitted.is_some();
    let is_handed_over = is_submission && outgoing.is_done() && !progress.is_cut();
    match result {
        Ok(response) => {
            let may_stay = line.stays && outgoing.is_done() && !progress.is_cut() && may_stay(&response);
            let mut response = read(response);
            drop(agent);
            if may_stay && response.is_whole && !progress.has_surplus() {
                line.connection = Arc::into_inner(lent).and_then(|lent| lent.into_inner().ok());
            }
            // An answer to a question may well give what was sent: a refresh token that stays as it is.
            if is_submission || !response.is_success() {
                hide(&mut response, request, keys);
            }
            trace.received(&format!("HTTP {}", response.status));
            if !response.is_success() && !response.body.is_empty() {
                let shown = &response.body[..response.body.len().min(SHOWN)];
                trace.received(&without(printable(shown, SHOWN), keys));
            }
            // An acceptance of what was not sent, or an answer that announces another one.
            let is_early = is_submission && response.is_success() && !is_handed_over;
            if is_early || (is_handed_over && response.status < 200) {
                let when = if is_early { "before the end of the request" } else { "and no final answer" };
                let why = format!("said HTTP {} {when}: the message may have been accepted", response.status);
                return Err(Failure::new(Kind::InDoubt, relay.place.to_string(), why).at(Stage::Message));
            }
            Ok(response)
        }
        Err(failure) if failure.kind != Kind::Protocol => Err(failure),
        Err(failure) => {
            let handed_over = is_submission.then_some(is_handed_over);
            Err(lost(relay, &progress, &failure.why, handed_over, *deadline))
        }
    }
}

/// Why there is no response, in our words. `handed_over` is `None` where nothing was to be.
fn lost(relay: &Relay, progress: &Progress, why: &str, handed_over: Option<bool>, deadline: Deadline) -> Failure {
    let why = match progress.loss() {
        Some(loss) if loss.is_timeout => format!("no answer within {}", seconds(deadline.span())),
        Some(loss) => loss.text,
        None => format!("the answer is not HTTP ({})", printable(why.as_bytes(), 200)),
    };
    let place = relay.place.to_string();
    let (kind, why) = match handed_over {
        Some(true) => (Kind::InDoubt, format!("{why} after the request: the message may have been accepted")),
        Some(false) => (Kind::Unavailable, format!("{why} before the request was sent")),
        None => (Kind::Unavailable, why),
    };
    Failure::new(kind, place, why).at(Stage::Message)
}

/// The request line and header section.
fn head(endpoint: &str, request: &Request, size: u64) -> Result<HttpRequest<()>, Failure> {
    let wrong = |what: &str| Failure::new(Kind::Configuration, what, "cannot be put into an HTTP request");
    let mut head = HttpRequest::builder().method(request.method).uri(format!("{endpoint}{}", request.path));
    if let Some(headers) = head.headers_mut() {
        for (name, value) in &request.headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong(&format!("the value of {name}")))?;
            value.set_sensitive(true);
            headers.append(HeaderName::try_from(*name).map_err(|_| wrong(name))?, value);
        }
        // What comes is read as it comes.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mailchute/", env!("CARGO_PKG_VERSION"))));
        if size > 0 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
    }
    head.body(()).map_err(|_| wrong(&format!("{endpoint}{}", shown_path(request))))
}

/// The path without its query, which may hold anything.
fn shown_path(request: &Request) -> &str {
    match request.hides_path {
        true => "/***",
        false => request.path.split('?').next().unwrap_or_default(),
    }
}

/// Whether the server lets another request follow, and says where the answer ends.
fn may_stay<B>(response: &HttpResponse<B>) -> bool {
    let field = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let is_closing = field(CONNECTION).is_some_and(|value| value.to_ascii_lowercase().contains("close"));
    let is_delimited = field(CONTENT_LENGTH).is_some() || field(TRANSFER_ENCODING).is_some();
    response.version() == Version::HTTP_11 && response.status().as_u16() >= 200 && !is_closing && is_delimited
}

fn agent(connection: Handed) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(HEADER_LIMIT)
        .proxy(None)
        .build();
    Agent::with_parts(config, connection, Nowhere)
}

fn read(response: HttpResponse<ureq::Body>) -> Response {
    let (head, body) = response.into_parts();
    let mut headers = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        headers.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    let mut octets = Vec::new();
    let mut reader = body.into_reader().take(BODY_LIMIT + 1);
    let is_read = reader.read_to_end(&mut octets).is_ok();
    let is_whole = is_read && octets.len() as u64 <= BODY_LIMIT;
    // JSON must not begin with a byte order mark, and a reader may pass over one that does (RFC 8259 8.1).
    if octets.starts_with(BYTE_ORDER_MARK) {
        octets.drain(..BYTE_ORDER_MARK.len());
    }
    Response { status: head.status.as_u16(), headers, body: octets, is_whole, is_repeat: false }
}

/// No name is looked up here: the connection is open already.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([0, 0, 0, 0], 0).into());
        Ok(addresses)
    }
}
