//! A real SMTP or LMTP server on loopback: TLS, AUTH, pipelining, chunking, and moods.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::certs::{Certs, Identity};
use crate::channel::PATIENCE;
use crate::door::{Door, Key};
use crate::session::{self, Delivery, Session};

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsStart {
    /// Never.
    Never,
    /// From the first octet.
    Implicit,
    /// After STARTTLS, which is offered.
    StartTls,
}

/// A point of the dialogue at which the server may behave otherwise than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Instead of the greeting.
    Greeting,
    /// Instead of the reply to EHLO, HELO or LHLO.
    Ehlo,
    /// Instead of the reply to STARTTLS.
    StartTls,
    /// Instead of the reply to the AUTH command.
    Auth,
    /// Instead of the reply to MAIL.
    Mail,
    /// Instead of the reply to any RCPT.
    Rcpt,
    /// Instead of the reply to RCPT for this address.
    RcptOf(String),
    /// Instead of 354.
    Data,
    /// Instead of the final reply: after the lone dot or BDAT LAST; LMTP: for every recipient.
    Message,
    /// LMTP: instead of the final reply for this address.
    MessageOf(String),
}

/// What it does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Says this; lines are separated by LF.
    Reply(String),
    /// Closes the connection.
    Close,
    /// Says nothing until the client gives up.
    Hang,
}

/// The one login the server takes.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password or token.
    pub secret: String,
    /// The mechanisms offered.
    pub mechanisms: Vec<String>,
}

/// What a server is like. Every capability is in `capabilities` except STARTTLS, AUTH and the greeting
/// line, which follow from the rest.
#[derive(Clone)]
pub(crate) struct Manners {
    pub(crate) tls: TlsStart,
    pub(crate) identity: Identity,
    pub(crate) wants_certificate: bool,
    pub(crate) login: Option<Login>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) moods: Vec<(Moment, Action)>,
    /// Those of the first session alone.
    pub(crate) first_moods: Vec<(Moment, Action)>,
    /// Those of every other session.
    pub(crate) later_moods: Vec<(Moment, Action)>,
    pub(crate) lmtp: bool,
    pub(crate) no_ehlo: bool,
    pub(crate) counting: bool,
    pub(crate) places: Option<usize>,
    pub(crate) on_delivery: Option<Arc<OnDelivery>>,
    pub(crate) hanging: Arc<Hanging>,
}

/// How many sessions have come to a moment at which they hang.
#[derive(Default)]
pub(crate) struct Hanging {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Hanging {
    pub(crate) fn one_more(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }
}

/// Told of each message before its final reply leaves.
pub(crate) type OnDelivery = dyn Fn(&Session, &Delivery) + Send + Sync;

impl Manners {
    pub(crate) fn tls_config(&self) -> Arc<rustls::ServerConfig> {
        match self.wants_certificate {
            true => Certs::shared().demanding_config(self.identity),
            false => Certs::shared().config(self.identity),
        }
    }

    pub(crate) fn mood(&self, moment: &Moment) -> Option<&Action> {
        self.moods.iter().find(|mood| mood.0 == *moment).map(|mood| &mood.1)
    }
}

/// A server to be started, then a server that runs; it stops on drop.
pub struct Server {
    manners: Manners,
    running: Option<Running>,
}

struct Running {
    place: Place,
    key: Key,
    /// Answers the threads of the sessions, in the order in which the clients came.
    accepting: JoinHandle<Vec<JoinHandle<Session>>>,
}

enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A plain server with PIPELINING, CHUNKING, SIZE, 8BITMIME, SMTPUTF8, DSN and enhanced codes, that
    /// wants no login and takes everything.
    pub fn new() -> Self {
        let capabilities =
            ["PIPELINING", "CHUNKING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"];
        Self {
            manners: Manners {
                tls: TlsStart::Never,
                identity: Identity::Good,
                wants_certificate: false,
                login: None,
                capabilities: capabilities.map(str::to_owned).to_vec(),
                moods: Vec::new(),
                first_moods: Vec::new(),
                later_moods: Vec::new(),
                lmtp: false,
                no_ehlo: false,
                counting: false,
                places: None,
                on_delivery: None,
                hanging: Arc::default(),
            },
            running: None,
        }
    }

    /// Takes this many connections at once, and answers 421 to the others.
    pub fn places(mut self, places: usize) -> Self {
        self.manners.places = Some(places);
        self
    }

    /// When TLS begins.
    pub fn tls(mut self, start: TlsStart) -> Self {
        self.manners.tls = start;
        self
    }

    /// What certificate it presents; a good one unless said.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.manners.identity = identity;
        self
    }

    /// Wants a certificate from the client, of the authority's; without one there is no EXTERNAL.
    pub fn wanting_certificate(mut self) -> Self {
        self.manners.wants_certificate = true;
        self
    }

    /// Wants this login, by one of these mechanisms, and refuses MAIL without it (530).
    pub fn login(mut self, username: &str, secret: &str, mechanisms: &[&str]) -> Self {
        let mechanisms = mechanisms.iter().map(|name| (*name).to_owned()).collect();
        self.manners.login = Some(Login { username: username.to_owned(), secret: secret.to_owned(), mechanisms });
        self
    }

    /// Offers these capabilities and no others (STARTTLS and AUTH follow from `tls` and `login`).
    pub fn capabilities(mut self, capabilities: &[&str]) -> Self {
        self.manners.capabilities = capabilities.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Does this at that moment, every time.
    pub fn at(mut self, moment: Moment, action: Action) -> Self {
        self.manners.moods.push((moment, action));
        self
    }

    /// Does this at that moment of the first session, and never again.
    pub fn at_first(mut self, moment: Moment, action: Action) -> Self {
        self.manners.first_moods.push((moment, action));
        self
    }

    /// Does this at that moment of every session but the first.
    pub fn at_later(mut self, moment: Moment, action: Action) -> Self {
        self.manners.later_moods.push((moment, action));
        self
    }

    /// Says this at that moment, every time.
    pub fn reply(self, moment: Moment, reply: &str) -> Self {
        self.at(moment, Action::Reply(reply.to_owned()))
    }

    /// Speaks LMTP (RFC 2033): LHLO, and a final reply per recipient.
    pub fn lmtp(mut self) -> Self {
        self.manners.lmtp = true;
        self
    }

    /// Knows HELO only.
    pub fn without_ehlo(mut self) -> Self {
        self.manners.no_ehlo = true;
        self
    }

    /// Counts the client's flights exactly, at the price of a short silence after each.
    pub fn counting_flights(mut self) -> Self {
        self.manners.counting = true;
        self
    }

    /// Calls `hook` with the session so far and each message, before the final reply leaves.
    pub fn on_delivery(mut self, hook: impl Fn(&Session, &Delivery) + Send + Sync + 'static) -> Self {
        self.manners.on_delivery = Some(Arc::new(hook));
        self
    }

    /// Listens on 127.0.0.1 at a port the system chooses.
    ///
    /// # Panics
    /// It cannot.
    pub fn start(self) -> Self {
        let (door, key, address) = Door::tcp();
        self.open(Place::Tcp(address), door, key)
    }

    /// Listens on a unix socket.
    ///
    /// # Panics
    /// It cannot.
    pub fn start_at(self, path: &Path) -> Self {
        let (door, key) = Door::unix(path);
        self.open(Place::Unix(path.to_owned()), door, key)
    }

    fn open(mut self, place: Place, door: Door, key: Key) -> Self {
        let manners = self.manners.clone();
        // Made here: the first handshake should not pay for the certificates.
        Certs::shared();
        let accepting = thread::spawn(move || {
            let mut sessions = Vec::new();
            let with = |moods: &[_]| Arc::new(Manners { moods: [moods, &manners.moods].concat(), ..manners.clone() });
            let (mut first, later) = (Some(with(&manners.first_moods)), with(&manners.later_moods));
            let crowded = (Moment::Greeting, Action::Reply("421 4.3.2 too many connections".to_owned()));
            let crowded = with(&[crowded]);
            // One for each session that has a place, and this.
            let taken = Arc::new(());
            while let Some(client) = door.next() {
                let is_full = manners.places.is_some_and(|places| places < Arc::strong_count(&taken));
                let place = (!is_full).then(|| Arc::clone(&taken));
                let mut usual = || first.take().unwrap_or_else(|| Arc::clone(&later));
                let manners = if is_full { Arc::clone(&crowded) } else { usual() };
                sessions.push(thread::spawn(move || {
                    let _place = place;
                    session::serve(client, &manners)
                }));
            }
            sessions
        });
        self.running = Some(Running { place, key, accepting });
        self
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server was started")
    }

    /// The port it listens on.
    ///
    /// # Panics
    /// It was not started, or listens on a unix socket.
    pub fn port(&self) -> u16 {
        match &self.running().place {
            Place::Tcp(address) => address.port(),
            Place::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    /// Whether a session has come to a moment at which it hangs.
    pub fn is_hanging(&self) -> bool {
        *self.manners.hanging.count.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }

    /// Waits until a session has come to a moment at which it hangs.
    ///
    /// # Panics
    /// None has in time.
    pub fn wait_until_hanging(&self) {
        let hanging = &self.manners.hanging;
        let count = hanging.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = hanging.changed.wait_timeout_while(count, PATIENCE, |count| *count == 0);
        assert!(*waited.unwrap_or_else(PoisonError::into_inner).0 > 0, "no session came to the moment to hang");
    }

    /// Stops, waits for the sessions under way, and hands out all of them, in the order in which the clients
    /// came.
    pub fn finish(mut self) -> Vec<Session> {
        self.halt()
    }

    fn halt(&mut self) -> Vec<Session> {
        let Some(Running { key, accepting, .. }) = self.running.take() else { return Vec::new() };
        drop(key);
        let sessions = accepting.join().unwrap_or_default();
        sessions.into_iter().filter_map(|session| session.join().ok()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Server {
    /// The lines of `[relay.main]` that reach this server: host, port, TLS mode, authority, login.
    pub fn relay_lines(&self, scratch: &crate::Scratch) -> String {
        let secret = self.manners.login.as_ref().map_or("", |login| &login.secret);
        self.relay_lines_with(scratch, secret)
    }

    /// The same with this password or token instead of the one the server takes.
    pub fn relay_lines_with(&self, scratch: &crate::Scratch, secret: &str) -> String {
        let mut lines = match &self.running().place {
            Place::Tcp(address) => format!("host = \"127.0.0.1\"\nport = {}\n", address.port()),
            Place::Unix(path) => format!("host = \"{}\"\n", path.display()),
        };
        lines += match self.manners.tls {
            TlsStart::Never => "tls = \"none\"\n",
            TlsStart::Implicit => "tls = \"implicit\"\n",
            TlsStart::StartTls => "tls = \"starttls\"\n",
        };
        if self.manners.tls != TlsStart::Never {
            let authority = Certs::shared().write_authority(scratch);
            lines += &format!("ca_file = \"{}\"\n", authority.display());
        }
        if let Some(login) = &self.manners.login {
            let bearer = ["XOAUTH2", "OAUTHBEARER"];
            let is_token = login.mechanisms.iter().any(|name| bearer.contains(&name.as_str()));
            let key = if is_token { "token" } else { "password" };
            lines += &format!("username = \"{}\"\n{key} = '{secret}'\n", login.username);
        }
        lines
    }
}
