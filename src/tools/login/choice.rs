//! Which relays of the configuration get access tokens, and which of them is meant.

use std::path::PathBuf;
use std::sync::Arc;

use crate::caller::Caller;
use crate::config::Config;
use crate::config::relay::{OAuth, Relay};
use crate::failure::{Failure, Kind};
use crate::oauth::store::Store;
use crate::plan::site;
use crate::spelling;

/// A relay that the caller may use.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) relay: Arc<Relay>,
    /// Where it is configured: a file of `sites.d` is a scope of its own.
    file: Option<PathBuf>,
    /// The sites that use it.
    pub(super) sites: Vec<String>,
}

impl Candidate {
    /// How tokens are got, where they are.
    pub(super) fn oauth(&self) -> Option<&OAuth> {
        self.relay.oauth.as_ref()
    }
}

/// The relays of the sites that `caller` may use, or of the one that is `wanted`.
///
/// # Errors
/// `NoPermission`: there is no such site.
pub(super) fn candidates(config: &Config, caller: &Caller, wanted: Option<&str>) -> Result<Vec<Candidate>, Failure> {
    let mut sites: Vec<_> = config.sites.iter().filter(|site| site.is_open_to(caller.uid)).collect();
    if wanted.is_some() || sites.is_empty() {
        sites = vec![site::select(config, caller, wanted, &[])?.site];
    }
    let mut found: Vec<Candidate> = Vec::new();
    for site in sites {
        for relay in site.every_relay() {
            match found.iter_mut().find(|known| known.relay.name == relay.name && known.file == site.file) {
                Some(known) => known.sites.push(site.name.clone()),
                None => found.push(Candidate {
                    relay: Arc::clone(relay),
                    file: site.file.clone(),
                    sites: vec![site.name.clone()],
                }),
            }
        }
    }
    Ok(found)
}

/// The relay called `name`; without a name, the only one that gets tokens.
///
/// # Errors
/// `Usage`: none or several could be meant. `Configuration`: it gets no tokens.
pub(super) fn choose<'c>(
    candidates: &'c [Candidate],
    name: Option<&str>,
) -> Result<(&'c Candidate, &'c OAuth), Failure> {
    let fits = |candidate: &&Candidate| match name {
        Some(name) => candidate.relay.name == name,
        None => candidate.oauth().is_some(),
    };
    let meant: Vec<&Candidate> = candidates.iter().filter(fits).collect();
    match (&meant[..], name) {
        ([one], _) => match one.oauth() {
            Some(oauth) => Ok((one, oauth)),
            None => Err(needs_none(&one.relay)),
        },
        ([], Some(name)) => Err(unknown(candidates, name)),
        ([], None) => Err(Failure::new(Kind::Configuration, "login", "no configured relay uses OAuth")
            .hint("give the relay a client_id, see mailchute.toml(5)")),
        ([first, ..], Some(name)) => {
            let sites: Vec<_> = meant.iter().map(|candidate| candidate.sites[0].as_str()).collect();
            Err(Failure::new(
                Kind::Usage,
                format!("relay {name}"),
                format!("is a relay of several sites: {}", sites.join(", ")),
            )
            .hint(format!("say which one, such as `--site {}`", first.sites[0])))
        }
        (several, None) => {
            let names: Vec<_> = several.iter().map(|candidate| candidate.relay.name.as_str()).collect();
            Err(Failure::new(Kind::Usage, "login", "several relays use OAuth")
                .hint(format!("name one of {}", names.join(", "))))
        }
    }
}

fn unknown(candidates: &[Candidate], name: &str) -> Failure {
    let names = || candidates.iter().map(|candidate| candidate.relay.name.as_str());
    let failure = Failure::new(Kind::Usage, format!("relay {name}"), "none of this user's sites has such a relay");
    match spelling::nearest(name, names()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint(format!("there is {}", names().collect::<Vec<_>>().join(", "))),
    }
}

fn needs_none(relay: &Relay) -> Failure {
    let why = match (relay.smtp_login(), relay.api()) {
        (None, None) => "has no login",
        _ => "needs no login: its secret is in the configuration",
    };
    Failure::new(Kind::Configuration, format!("relay {}", relay.name), why)
        .hint("for OAuth give it a client_id in place of the secret, see mailchute.toml(5)")
}

/// All `candidates` that share the login kept in `store`.
pub(super) fn sharing<'c>(
    candidates: &'c [Candidate],
    caller: &Caller,
    store: &Store,
) -> Vec<(&'c Candidate, &'c OAuth)> {
    let with_tokens = candidates.iter().filter_map(|candidate| Some((candidate, candidate.oauth()?)));
    with_tokens.filter(|(_, oauth)| Store::of(oauth, caller).is_ok_and(|other| other.path() == store.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CONFIG: &str = r#"
        [relay.mail]
        provider = "gmail"
        client_id = "x"
        username = "a@example.org"
        [relay.api]
        provider = "gmail"
        via = "api"
        client_id = "x"
        username = "a@example.org"
        [relay.plain]
        host = "mx.example"
        [site.one]
        relay = ["mail", "plain"]
        [site.two]
        relay = ["mail", "api"]
    "#;

    fn configured() -> Vec<Candidate> {
        let caller = Caller::current();
        let config = Config::parse(Path::new("/nowhere/config.toml"), CONFIG, &caller).expect("a configuration");
        candidates(&config, &caller, None).expect("sites")
    }

    fn chosen(candidates: &[Candidate], name: Option<&str>) -> Result<String, Failure> {
        choose(candidates, name).map(|(candidate, _)| candidate.relay.name.clone())
    }

    #[test]
    fn a_relay_of_several_sites_is_one() {
        let all = configured();
        assert_eq!(all.iter().map(|candidate| candidate.sites.len()).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(chosen(&all, Some("mail")).expect("one"), "mail");
        assert_eq!(chosen(&all[..2], None).expect("the only one"), "mail");
    }

    #[test]
    fn what_is_not_clear_is_said() {
        let mut all = configured();
        let failure = |all: &[Candidate], name| chosen(all, name).expect_err("not clear");
        assert_eq!(failure(&all, None).hint.as_deref(), Some("name one of mail, api"));
        assert_eq!(failure(&all, Some("mial")).hint.as_deref(), Some("did you mean mail?"));
        assert_eq!(failure(&all, Some("mial")).kind, Kind::Usage);
        assert_eq!(failure(&all, Some("plain")).kind, Kind::Configuration);
        all[2].relay = Arc::clone(&all[0].relay);
        assert_eq!(failure(&all, Some("mail")).hint.as_deref(), Some("say which one, such as `--site one`"));
        assert_eq!(failure(&[], None).kind, Kind::Configuration);
    }

    #[test]
    fn relays_that_share_a_login_are_asked_for_at_once() {
        let (all, caller) = (configured(), Caller::current());
        let oauth = all[0].oauth().expect("OAuth");
        let Ok(store) = Store::of(oauth, &caller) else { return };
        let names: Vec<_> = sharing(&all, &caller, &store).iter().map(|(known, _)| known.relay.name.as_str()).collect();
        assert_eq!(names, ["mail", "api"]);
    }
}
