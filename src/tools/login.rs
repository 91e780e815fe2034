//! `mailchute login`: a person grants what a relay needs to send, once.

mod choice;
mod status;

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use zeroize::Zeroizing;

use self::choice::Candidate;
use crate::attempt::Attempt;
use crate::caller::Caller;
use crate::cli::Login;
use crate::config::relay::{OAuth, Relay};
use crate::deadline::Deadline;
use crate::door;
use crate::door::signals;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::oauth;
use crate::oauth::code::Authorization;
use crate::oauth::device::Device;
use crate::oauth::endpoint::Client;
use crate::oauth::login::{self, Flow};
use crate::oauth::loopback::Loopback;
use crate::oauth::store::{Granted, Store, Tokens};
use crate::plan::{Choice, Course};
use crate::wire::wait;

/// How long a person may take with the browser.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the server may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The longest line that may be pasted, in octets.
const PASTED: usize = 16 << 10;

/// Logs `caller` in, or shows what is kept, and returns the exit status.
pub fn run(chosen: &Choice, login: &Login, caller: &Caller) -> u8 {
    let done = match login.status {
        true => status::show(chosen, login, caller),
        false => {
            signals::watch(Arc::default(), |failure| {
                let why = "stopped before the login was done";
                ended(&Failure { why: why.to_owned(), ..failure.clone() })
            });
            log_in(chosen, login, caller)
        }
    };
    if let Err(failure) = done {
        return ended(&failure);
    }
    if caller.uid == 0 && login.user.is_none() && !login.status {
        door::suggest("this logged root in; PHP runs as another user, try `--as www-data` or the pool's user");
    }
    exit::OK
}

fn ended(failure: &Failure) -> u8 {
    door::report(failure);
    exit::of_kind(&failure.kind, Scheme::Reply)
}

fn say(text: &str) -> Result<(), Failure> {
    door::say(text).map_err(|error| Failure::new(Kind::Io, "standard output", error.to_string()))
}

/// The relays that the caller may use.
fn candidates(course: &Course<'_>) -> Result<Vec<Candidate>, Failure> {
    choice::candidates(course.config()?, course.caller(), course.wanted_site().as_deref())
}

/// The relay that was named.
fn named<'i>(chosen: &'i Choice, login: &'i Login) -> Option<&'i str> {
    login.name.as_deref().or(chosen.relay.as_deref())
}

fn log_in(chosen: &Choice, login: &Login, caller: &Caller) -> Result<(), Failure> {
    let course = Course::begin(caller, chosen);
    let candidates = candidates(&course)?;
    let (candidate, oauth) = choice::choose(&candidates, named(chosen, login))?;
    let relay = &*candidate.relay;
    let store = Store::of(oauth, caller)?;
    let mut warnings = course.config()?.warnings.clone();
    let mut attempt = Attempt::new(Deadline::after(ANSWER));
    let tokens = if oauth.needs_person() {
        let client = Client::of(relay, oauth, &mut attempt)?;
        let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| host::variable(name).is_some());
        let flow = login::flow(oauth, login.flow(), login.typed || std::io::stdin().is_terminal(), has_display)?;
        let sharing = choice::sharing(&candidates, caller, &store);
        let scopes = std::iter::once(oauth).chain(sharing.iter().map(|(_, oauth)| *oauth));
        let asked = login::asked_scope(oauth, flow, scopes.map(|oauth| oauth.scope.as_str()));
        // Whether anything can be kept is known before a person is asked.
        drop(store.lock(Deadline::after(ANSWER))?);
        say(&format!("{}\n\n", title(relay, oauth)))?;
        let granted = grant(flow, &client, relay, &asked)?;
        for (other, oauth) in sharing.iter().filter(|(_, oauth)| !login::missing(oauth, &asked).is_empty()) {
            let name = &other.relay.name;
            warnings.push(format!("relay {name} needs {} too: log in for it as well, once", oauth.scope));
        }
        login::keep(&store, relay, oauth, granted, &asked, Deadline::after(ANSWER))?
    } else {
        if login.flow().is_some() {
            let why = "no login is needed: the configuration has all it takes";
            return Err(Failure::new(Kind::Usage, format!("relay {}", relay.name), why)
                .hint(format!("`mailchute login {}` checks it", relay.name)));
        }
        oauth::renew(relay, oauth, &store, &mut attempt)?
    };
    warnings.append(&mut attempt.trace.warnings);
    warnings.extend(warning_of(oauth, &tokens));
    warnings.iter().for_each(|warning| door::complain(warning));
    say(&summary(candidate, oauth, caller, &store, &tokens))
}

/// Has a person grant `asked`.
fn grant(flow: Flow, client: &Client<'_>, relay: &Relay, asked: &str) -> Result<Granted, Failure> {
    let oauth = client.oauth;
    let redeem = |authorization: &Authorization, code| {
        let scope = login::redeemed_scope(oauth);
        authorization.redeem(&code, client, relay, scope.as_deref(), Deadline::after(ANSWER))
    };
    match flow {
        Flow::Device => {
            let device = Device::begin(client, relay, asked)?;
            say(&invitation(&device))?;
            device.wait(client, relay)
        }
        Flow::Browser => {
            let loopback = Loopback::open(login::loopback_host(oauth))?;
            let authorization = Authorization::new(oauth, loopback.uri())?;
            let url = authorization.url(oauth, asked)?;
            say(&format!(
                "Open this address in a browser on this machine (on another one, use `--paste`):\n\n{url}\n\n\
                 Waiting for it, 10 minutes at most ...\n"
            ))?;
            let code = loopback.wait(&authorization, Deadline::after(PATIENCE))?;
            redeem(&authorization, code)
        }
        Flow::Paste => {
            let uri = login::nobodys_uri(oauth);
            let mut authorization = Authorization::new(oauth, uri.as_str())?;
            let url = authorization.url(oauth, asked)?;
            if oauth.server.is_some_and(|server| server.self_client) {
                say(&format!(
                    "A code that you made at the server as a self client, for {asked}, may be pasted too.\n\n"
                ))?;
            }
            say(&format!(
                "Open this address in any browser:\n\n{url}\n\n\
                 When all is granted, the browser shows an error: nothing answers at {uri}.\n\
                 That is as it should be. Copy the whole address of that page, paste it here and press Enter:\n"
            ))?;
            let line = pasted(Deadline::after(PATIENCE))?;
            let code = authorization.read_pasted(&line)?;
            redeem(&authorization, code)
        }
    }
}

fn invitation(device: &Device) -> String {
    let mut text = format!("Open     {}\nand type {}\n", device.verification_uri, device.user_code);
    if let Some(uri) = &device.verification_uri_complete {
        text += &format!("or open  {uri}\n");
    }
    let minutes = device.life.as_secs().div_ceil(60);
    text + &format!("\nWaiting for it, {minutes} minutes at most ...\n")
}

/// One line of standard input.
fn pasted(deadline: Deadline) -> Result<Zeroizing<String>, Failure> {
    let failed = |kind, why: &str| Err(Failure::new(kind, "standard input", why));
    let input = std::io::stdin();
    let mut line = Zeroizing::new(Vec::with_capacity(PASTED));
    let mut octets = Zeroizing::new([0; 4096]);
    while !line.contains(&b'\n') {
        match wait(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], deadline) {
            Ok(true) => {}
            Ok(false) => return failed(Kind::Unavailable, "nothing was pasted in time"),
            Err(error) => return failed(Kind::NoInput, &format!("cannot be waited for: {error}")),
        }
        // Past std's buffer, which poll(2) does not know.
        match nix::unistd::read(input.as_fd(), &mut octets[..]) {
            Ok(0) if line.is_empty() => return failed(Kind::NoInput, "ended before anything was pasted"),
            Ok(0) => break,
            Ok(count) if line.len() + count > PASTED => return failed(Kind::Data, "the line is too long"),
            Ok(count) => line.extend_from_slice(&octets[..count]),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            Err(error) => return failed(Kind::NoInput, &format!("cannot be read: {error}")),
        }
    }
    let first = line.split(|octet| *octet == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(first) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => failed(Kind::Data, "is not text"),
    }
}

/// `relay main (Google), orders@shop.example`.
fn title(relay: &Relay, oauth: &OAuth) -> String {
    let provider = relay.provider.map(|provider| format!(" ({})", provider.name)).unwrap_or_default();
    let account = if oauth.account.is_empty() { String::new() } else { format!(", {}", oauth.account) };
    format!("relay {}{provider}{account}", relay.name)
}

fn warning_of(oauth: &OAuth, tokens: &Tokens) -> Option<String> {
    let missing = login::missing(oauth, tokens.scope());
    let is_known = oauth.needs_person() && !tokens.scope().is_empty();
    (is_known && !missing.is_empty())
        .then(|| format!("{} was not granted: log in again and leave nothing out", missing.join(" ")))
}

fn summary(candidate: &Candidate, oauth: &OAuth, caller: &Caller, store: &Store, tokens: &Tokens) -> String {
    let relay = &candidate.relay.name;
    let user = user(caller);
    let done = if oauth.needs_person() { "logged in" } else { "the credentials work" };
    let scope = if tokens.scope().is_empty() { &oauth.scope } else { tokens.scope() };
    let scope = crate::reply::printable(scope.as_bytes(), 1000);
    format!(
        "\n{done}: {}, user {user}\n  granted  {scope}\n  kept in  {}\n  try      mailchute test --to ADDRESS \
         --relay {relay} --as {user}\n",
        title(&candidate.relay, oauth),
        store.path().display()
    )
}

fn user(caller: &Caller) -> String {
    caller.user.clone().unwrap_or_else(|| caller.uid.to_string())
}
