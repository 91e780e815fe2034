//! `mailchute login --status`: what is kept for each relay, and whether it can send by itself. Nothing leaves
//! the host.

use jiff::Timestamp;

use super::{Candidate, candidates, choice, named, title};
use crate::caller::Caller;
use crate::cli::Login;
use crate::config::relay::{Grant, OAuth};
use crate::door;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes;
use crate::oauth::refusal::login_command;
use crate::oauth::store::{Store, Tokens};
use crate::plan::{Choice, Course};
use crate::reply::printable;

/// Prints the table.
///
/// # Errors
/// `Configuration`: a relay needs somebody's help before it can send; otherwise as finding the relays.
pub(super) fn show(chosen: &Choice, login: &Login, caller: &Caller) -> Result<(), Failure> {
    let candidates = candidates(&Course::begin(caller, chosen))?;
    let one = match named(chosen, login) {
        Some(name) => Some(choice::choose(&candidates, Some(name))?.0),
        None => None,
    };
    let with_tokens = candidates.iter().filter(|known| one.is_none_or(|one| std::ptr::eq(one, *known)));
    let with_tokens: Vec<_> = with_tokens.filter_map(|known| Some((known, known.oauth()?))).collect();
    if with_tokens.is_empty() {
        return choice::choose(&candidates, None).map(drop);
    }
    let (mut page, mut helpless) = (String::new(), Vec::new());
    for (candidate, oauth) in &with_tokens {
        let mut rows = Rows::default();
        let is_unique = candidates.iter().filter(|other| other.relay.name == candidate.relay.name).count() == 1;
        let site = if is_unique { String::new() } else { format!(" --site {}", candidate.sites[0]) };
        let config = chosen.config.as_ref().map(|file| format!(" --config {}", file.display()));
        let command = login_command(&candidate.relay) + &site + &config.unwrap_or_default();
        let verdict = describe(candidate, oauth, caller, &command, &mut rows);
        rows.add("can send", if verdict.is_ok() { "yes" } else { "no" });
        let sites = candidate.sites.join(", ");
        page += &format!("{}, site {sites}\n{}\n", title(&candidate.relay, oauth), rows.0);
        helpless.extend(verdict.err());
    }
    door::print(&page)?;
    match (helpless.len(), helpless.into_iter().next()) {
        (_, None) => Ok(()),
        (1, Some(failure)) => Err(failure),
        (count, Some(first)) => {
            let why = format!("{} (and {} more)", first.why, count - 1);
            Err(Failure { why, ..first })
        }
    }
}

#[derive(Default)]
struct Rows(String);

impl Rows {
    fn add(&mut self, label: &str, text: &str) {
        self.0 += &format!("  {label:<14} {text}\n");
    }
}

/// The rows of one relay; an error is what keeps it from sending. `command` logs in.
fn describe(
    candidate: &Candidate,
    oauth: &OAuth,
    caller: &Caller,
    command: &str,
    rows: &mut Rows,
) -> Result<(), Failure> {
    let relay = &*candidate.relay;
    let grant = match &oauth.grant {
        Grant::RefreshToken(None) => "a person's login",
        Grant::RefreshToken(Some(_)) => "refresh_token",
        Grant::ClientCredentials => "client_credentials",
        Grant::ServiceAccount(_) => "service_account",
    };
    rows.add("grant", grant);
    for (label, text) in [("account", &oauth.account), ("client", &oauth.client_id)] {
        rows.add(label, if text.is_empty() { "not said" } else { text });
    }
    let store = Store::of(oauth, caller).inspect_err(|failure| rows.add("file", &format!("none ({})", failure.why)));
    let kept = store.and_then(|store| {
        let tokens = store.load(relay.strict_modes, &mut Vec::new());
        rows.add("file", &file(&store, &tokens));
        tokens
    });
    let tokens = kept.as_ref().ok().and_then(Option::as_ref);
    rows.add("access token", &access_token(tokens.and_then(|tokens| tokens.until(&oauth.scope))));
    let refresh = match &oauth.grant {
        Grant::RefreshToken(None) if tokens.is_some_and(|tokens| tokens.refresh_token(None).is_some()) => "kept",
        Grant::RefreshToken(None) => "none",
        Grant::RefreshToken(Some(_)) => "in the configuration",
        Grant::ClientCredentials | Grant::ServiceAccount(_) => "not needed",
    };
    rows.add("refresh token", refresh);
    rows.add("scope", &oauth.scope);
    if let Some(granted) = tokens.map(Tokens::scope).filter(|scope| !scope.is_empty()) {
        rows.add("granted", &printable(granted.as_bytes(), 1000));
    }
    let needs_kept = oauth.needs_person();
    let failed = |failure: Failure| Failure { kind: Kind::Configuration, ..failure };
    match kept {
        // Who needs nobody can do without a place.
        Err(failure) if needs_kept || failure.kind != Kind::CannotCreate => return Err(failed(failure)),
        _ => {}
    }
    if refresh == "none" {
        let why = "cannot send until somebody logs in";
        return Err(
            Failure::new(Kind::Configuration, format!("relay {}", relay.name), why).hint(format!("run `{command}`"))
        );
    }
    for (_, source) in oauth.secrets() {
        source.check(relay.strict_modes).map_err(failed)?;
    }
    Ok(())
}

/// The file with its owner and mode.
fn file(store: &Store, tokens: &Result<Option<Tokens>, Failure>) -> String {
    let path = store.path();
    let shown = path.display();
    match (tokens, modes::probe(path)) {
        (Ok(None), _) => format!("{shown} (not there yet)"),
        (Err(failure), _) => format!("{shown} ({})", failure.why),
        (Ok(Some(_)), Ok(modes)) => format!("{shown} ({modes})"),
        (Ok(Some(_)), Err(error)) => format!("{shown} ({error})"),
    }
}

/// `until`: when it ends, in seconds since 1970.
fn access_token(until: Option<i64>) -> String {
    let Some(until) = until else { return "none".to_owned() };
    let zone = host::now().time_zone().clone();
    let time = Timestamp::from_second(until)
        .map(|time| time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %z").to_string())
        .unwrap_or_default();
    if until > Timestamp::now().as_second() { format!("good until {time}") } else { format!("expired {time}") }
}
