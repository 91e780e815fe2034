//! The questions, at a terminal: plain lines, of which each fills in an option.

use std::io::{IsTerminal as _, stderr, stdin};
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::discovery::{self, Found};
use super::draft;
use super::plan;
use super::reroute;
use super::surroundings::Surroundings;
use super::takeover;
use crate::cli::init::Init;
use crate::door;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::providers::{Provider, UserName};
use crate::reply::{TEXT_LIMIT, printable};
use crate::secret::Secret;
use crate::tools::secret::typed;
use crate::tools::speaker;

/// What a terminal keeps of a line, in octets.
const LINE: usize = 4096;

/// Says that there is none.
pub(super) const NONE: &str = "-";

/// Whether somebody can be asked.
pub(super) fn has_terminal() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// One line of text.
pub(super) fn say(line: &str) {
    door::pass_on(line);
}

/// Asks until `take` takes the answer; what it says otherwise is why not. Enter is what stands in `[ ]`.
///
/// # Errors
/// `NoInput`: nothing more comes.
pub(super) fn ask<T>(
    label: &str,
    usual: Option<&str>,
    mut take: impl FnMut(&str) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let prompt = match usual {
        Some(usual) => format!("{label} [{usual}]: "),
        None => format!("{label}: "),
    };
    loop {
        door::ask(&prompt);
        let typed = line()?;
        let answer = match (typed.trim(), usual) {
            ("", Some(usual)) => usual,
            ("", None) => {
                say("   there is no usual answer to this one");
                continue;
            }
            (typed, _) => typed,
        };
        match take(answer) {
            Ok(taken) => return Ok(taken),
            Err(failure) => complain(&failure),
        }
    }
}

pub(super) fn complain(failure: &Failure) {
    say(&format!("   {failure}"));
    if let Some(hint) = &failure.hint {
        say(&format!("   hint: {hint}"));
    }
}

/// Yes or no.
///
/// # Errors
/// As [`ask`].
pub(super) fn is_wanted(question: &str, usual: bool) -> Result<bool, Failure> {
    let label = format!("{question} (y/n)");
    ask(&label, Some(if usual { "y" } else { "n" }), |answer| match answer.to_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err(Failure::new(Kind::Usage, "the answer", "must be y or n")),
    })
}

/// One line, as it is typed.
fn line() -> Result<String, Failure> {
    let mut octets = [0; LINE];
    loop {
        // Past std's buffer: what is typed ahead of the secret is not to lie in it.
        return match nix::unistd::read(stdin().as_fd(), &mut octets) {
            Ok(0) => {
                say("");
                Err(Failure::new(Kind::NoInput, "standard input", "ended before all was said: nothing was written"))
            }
            Ok(count) => Ok(String::from_utf8_lossy(&octets[..count]).into_owned()),
            Err(Errno::EINTR) => continue,
            Err(errno) => Err(Failure::new(Kind::NoInput, "standard input", format!("cannot be read: {errno}"))),
        };
    }
}

/// Asks for all that `of` does not say, and returns the secret if one was typed.
///
/// # Errors
/// As [`ask`], and as [`typed::read`].
pub(super) fn interview(of: &mut Init, here: &Surroundings) -> Result<Option<Secret>, Failure> {
    say(&format!("This machine: {}, {}.", here.machine, configuration()));
    say("Nothing is written before you have seen it. Enter takes what stands in [ ].");
    for (name, file) in &here.others {
        say(&format!("{name} is set up here ({file}): `mailchute import {name}` takes that over; ^C leaves this."));
    }
    let (is_offered, taken) = takeover::offer(of, here)?;
    if draft::from(of).is_none() {
        ask("Mail is sent as (address, or Name <address>)", None, |answer| {
            let next = Init { from: Some(answer.to_owned()), ..of.clone() };
            draft::check_sender(&next).map(|()| *of = next)
        })?;
    }
    draft::check_sender(of)?;
    let has_asked = relay(of)?;
    let secret = secret(of)?.or(taken);
    who(of, here)?;
    let is_declined = is_offered && of.taken.is_none();
    let is_said = of.taken.as_ref().is_some_and(|taken| taken.has_senders);
    let is_said = is_said || !of.sender.is_empty() || of.refuse || of.rewrite;
    if !(has_asked || is_declined || is_said) {
        let label = "Mail that a program sends as another sender (wordpress@...) is 1) put right  2) refused";
        of.refuse = ask(label, Some("1"), |answer| match answer {
            "1" => Ok(false),
            "2" => Ok(true),
            _ => Err(Failure::new(Kind::Usage, "the answer", "must be 1 or 2")),
        })?;
    }
    if of.alias.is_empty() && !of.taken.as_ref().is_some_and(|taken| taken.has_every_name) {
        let usual = draft::bare(draft::from(of).unwrap_or_default()).to_owned();
        ask("Mail to root and other local names goes to (- for nowhere)", Some(&usual), |answer| {
            if answer == NONE {
                return Ok(());
            }
            let next = Init { alias: vec![format!("*={answer}")], ..of.clone() };
            draft::check_alias(&next).map(|()| *of = next)
        })?;
    }
    Ok(secret)
}

/// `no configuration`, or which there is.
fn configuration() -> String {
    let main = Path::new(plan::MAIN);
    if main.exists() { format!("configuration {}", plan::MAIN) } else { "no configuration".to_owned() }
}

/// The provider or server, and the user name or what stands for it where one is needed: whether that was asked.
fn relay(of: &mut Init) -> Result<bool, Failure> {
    if of.provider.is_none() && of.host.is_none() {
        let domain = draft::domain(draft::from(of).unwrap_or_default());
        let found = if of.no_network { None } else { discovery::look(domain, of.dns) };
        let usual = found.as_ref().filter(|found| !found.is_foreign()).map(Found::answer);
        ask("Provider (`mailchute providers` lists them), or SMTP server", usual.as_deref(), |answer| {
            let mut next = upstream(of, answer)?;
            if let Some(found) = found.as_ref().filter(|found| found.answer() == answer) {
                found.begin_tls(&mut next);
            }
            draft::check_relay(&next, None).map(|()| *of = next)
        })?;
    }
    draft::check_relay(of, None)?;
    if of.taken.is_some() {
        return Ok(false);
    }
    let is_rerouted = reroute::offer(of)?;
    let provider = draft::provider(of)?;
    let is_client_asked = of.client_id.is_none() && !draft::is_secret_said(of) && client(of, provider)?;
    let has_asked = is_rerouted || is_client_asked;
    if of.username.is_some() {
        return Ok(has_asked);
    }
    let own = draft::bare(draft::from(of).unwrap_or_default()).to_owned();
    if let Some(UserName::Joined(keys)) = provider.map(|provider| &provider.username) {
        return joined(of, keys).map(|()| true);
    }
    // Whoever has a mailbox logs in by its address.
    if draft::is_oauth(of, provider) || provider.is_some_and(|provider| provider.authorization.is_some()) {
        of.username = draft::username_key(of, provider).map(|_| own);
        return Ok(has_asked);
    }
    let key = match provider {
        None => "username",
        Some(_) => match draft::username_key(of, provider) {
            Some(key) => key,
            None => return Ok(has_asked),
        },
    };
    let (label, usual) = match (key, provider) {
        ("username", None) => ("User name (- for no login)".to_owned(), Some(own.as_str())),
        ("username", Some(_)) => ("User name".to_owned(), Some(own.as_str())),
        (key, _) => (key.to_owned(), None),
    };
    ask(&label, usual, |answer| {
        if answer == NONE && provider.is_none() {
            return Ok(());
        }
        let next = Init { username: Some(answer.to_owned()), ..of.clone() };
        draft::check_relay(&next, None).map(|()| *of = next)
    })?;
    Ok(true)
}

/// The parts of a user name that is made of several keys.
fn joined(of: &mut Init, keys: &[&str]) -> Result<(), Failure> {
    let is_said = |key: &&str| {
        (*key == "client_id" && of.client_id.is_some()) || of.set.iter().any(|set| set.starts_with(&format!("{key}=")))
    };
    let is_api = of.via.as_deref() == Some("api");
    let left: Vec<&str> = keys.iter().copied().filter(|key| !is_said(key) && (!is_api || *key == keys[0])).collect();
    if left.is_empty() || of.username.is_some() {
        return Ok(());
    }
    ask(&format!("{}, with blanks between them", left.join(", ")), None, |answer| {
        let words: Vec<&str> = answer.split_whitespace().collect();
        if words.len() != left.len() {
            return Err(Failure::new(Kind::Usage, "the answer", format!("must be {} words", left.len())));
        }
        let mut next = of.clone();
        next.set.extend(left.iter().zip(words).map(|(key, word)| format!("{key}={word}")));
        draft::check_relay(&next, None).map(|()| *of = next)
    })
}

/// `postmark`, `mailgun eu api`, `smtp.example.net`, `smtp.example.net:587`.
fn upstream(of: &Init, answer: &str) -> Result<Init, Failure> {
    let mut words = answer.split_whitespace();
    let first = words.next().unwrap_or_default();
    let mut next = of.clone();
    let is_provider = Provider::find(first).is_some_and(|found| found.id != "smtp");
    if is_provider || !first.contains('.') {
        next.provider = Some(first.to_owned());
        if first.eq_ignore_ascii_case("smtp") {
            return Err(Failure::new(Kind::Usage, first, "say which server: its name, such as smtp.example.net"));
        }
    } else {
        let (host, port) = first.rsplit_once(':').map_or((first, None), |(host, port)| (host, Some(port)));
        let port = port.map(|port| port.parse().map_err(|_| Failure::new(Kind::Usage, port, "is no port")));
        draft::set_host(&mut next, host, port.transpose()?);
    }
    for word in words {
        match word {
            "smtp" | "api" => next.via = Some(word.to_owned()),
            region => next.region = Some(region.to_owned()),
        }
    }
    Ok(next)
}

/// Asks for the OAuth client where the provider wants one: whether it did.
fn client(of: &mut Init, provider: Option<&'static Provider>) -> Result<bool, Failure> {
    let Some(provider) = provider.filter(|provider| provider.authorization.is_some() && provider.bearer) else {
        return Ok(false);
    };
    let label = format!("ID of your OAuth client at {} (- to log in with a password)", provider.name);
    ask(&label, None, |answer| {
        if answer == NONE {
            return Ok(());
        }
        let next = Init { client_id: Some(answer.to_owned()), ..of.clone() };
        draft::check_relay(&next, None).map(|()| *of = next)
    })?;
    Ok(true)
}

/// Reads the secret unseen, and sees that it is one.
fn secret(of: &mut Init) -> Result<Option<Secret>, Failure> {
    let provider = draft::provider(of)?;
    let key = draft::secret_key(of, provider).filter(|_| !draft::is_secret_said(of)).map(str::to_owned);
    let Some(key) = key else { return Ok(None) };
    // What a person allows on another device takes no secret of the program's.
    let is_public = |provider: &Provider| provider.authorization.is_some_and(|server| server.device_flow);
    if draft::is_oauth(of, provider) && provider.is_some_and(is_public) {
        return Ok(None);
    }
    of.secret_stdin = true;
    let label = label(provider, &key);
    loop {
        let read = typed::read(&label)?;
        let value = typed::trimmed(&read)
            .map_err(|failure| Failure { why: format!("{}: nothing was written", failure.why), ..failure })?;
        match draft::check_relay(of, Some(value.0.expose())) {
            Ok(()) => return Ok(Some(value.0)),
            Err(failure) => complain(&failure),
        }
    }
}

/// `Postmark token, made at the server, tab API Tokens`. Where it is made is known of the natural secret alone.
fn label(provider: Option<&Provider>, key: &str) -> String {
    let Some(provider) = provider else { return "Password".to_owned() };
    let what = format!("{} {}", provider.name, key.replace('_', " "));
    let is_natural = provider.secrets.first() == Some(&key);
    if is_natural && !provider.found.is_empty() { format!("{what}, made at {}", provider.found) } else { what }
}

/// Who sends, where that decides who reads the secret.
fn who(of: &mut Init, here: &Surroundings) -> Result<(), Failure> {
    if of.sites_by_pool || !of.user.is_empty() || of.group.is_some() || !geteuid().is_root() {
        return Ok(());
    }
    let has_group = host::binary_group().is_some();
    let mut choices = Vec::new();
    if has_group {
        choices.push("all = everybody on this machine".to_owned());
    }
    if here.pools.len() > 1 {
        let names: Vec<_> = here.pools.iter().map(|pool| pool.name.as_str()).collect();
        choices.push(format!("pools = one site a pool ({})", names.join(", ")));
    }
    choices.push(if choices.is_empty() { "Users' names" } else { "or users' names" }.to_owned());
    choices.push("or :GROUP for all who are in it".to_owned());
    let usual = match () {
        () if here.pools.len() > 1 => Some("pools"),
        () if has_group => Some("all"),
        () => here.web_user.as_deref(),
    };
    ask(&format!("Who sends? {}", choices.join(", ")), usual, |answer| {
        let mut next = of.clone();
        match answer {
            "all" if has_group => {}
            "pools" if here.pools.len() > 1 => next.sites_by_pool = true,
            answer => match answer.strip_prefix(':') {
                Some(group) => next.group = Some(group.to_owned()),
                None => {
                    next.user = answer.split([',', ' ']).filter(|user| !user.is_empty()).map(str::to_owned).collect();
                    for user in &next.user {
                        speaker::uid(user).map_err(|failure| shown(&failure))?;
                    }
                }
            },
        }
        // The whole of it is looked at once all is known; who speaks, now.
        plan::check_speakers(&next, &here.pools).map(|()| *of = next)
    })
}

fn shown(failure: &Failure) -> Failure {
    Failure { what: printable(failure.what.as_bytes(), TEXT_LIMIT), ..failure.clone() }
}
