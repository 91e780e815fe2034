//! A login: what is asked for, on which way, and what is kept of the answer.

use jiff::Timestamp;

use super::store::{Granted, Store, Tokens};
use crate::config::relay::{OAuth, Relay};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};

/// The redirect URI's port where the person copies the address out of the browser: reserved by IANA, one that
/// browsers do go to, and one that only the machine's administrator could listen on.
const NOBODYS_PORT: u16 = 1023;

/// The way a person grants a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With a code that is typed in on another machine (RFC 8628).
    Device,
    /// With a browser on this machine, which brings the answer itself (RFC 8252).
    Browser,
    /// With a browser elsewhere, out of which the answer is copied.
    Paste,
}

/// The way to take: the one `wanted`, else what fits the server and the terminal. `is_typed`: a person is at
/// standard input; `has_display`: a browser can be opened on this machine.
///
/// # Errors
/// `Configuration`: the server does not grant this scope to devices.
pub fn flow(oauth: &OAuth, wanted: Option<Flow>, is_typed: bool, has_display: bool) -> Result<Flow, Failure> {
    let device = oauth.device_authorization_endpoint.as_ref();
    let grants_devices = device.is_some_and(|endpoint| match oauth.server {
        // One that is configured shall be asked, whatever we know.
        Some(server) => server.device_flow || Some(endpoint.url.as_str()) != server.device_authorization_endpoint,
        None => true,
    });
    match wanted {
        Some(Flow::Device) if !grants_devices && device.is_some() => {
            let why = "this provider does not grant mail access by a device code";
            Err(Failure::new(Kind::Configuration, "--device", why).hint("use `--browser` or `--paste`"))
        }
        Some(flow) => Ok(flow),
        None if oauth.server.is_some_and(|server| server.device_flow) => Ok(Flow::Device),
        None if oauth.authorization_endpoint.is_none() && grants_devices => Ok(Flow::Device),
        None if is_typed && !has_display => Ok(Flow::Paste),
        None => Ok(Flow::Browser),
    }
}

/// Whether the server has scopes of several resources, of which a token is good for one.
fn has_resources(oauth: &OAuth) -> bool {
    oauth.server.is_some_and(|server| server.tenant.is_some())
}

/// The words of `scopes`, each once.
fn union<'a>(scopes: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in scopes.into_iter().flat_map(str::split_ascii_whitespace) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// What the person is asked to grant: what `shared`, the scopes of all relays with this login, need.
pub fn asked_scope<'a>(oauth: &'a OAuth, flow: Flow, shared: impl IntoIterator<Item = &'a str>) -> String {
    match flow {
        Flow::Device if has_resources(oauth) => own_scope(oauth),
        _ => union(shared.into_iter().chain([offline(oauth)])),
    }
}

/// What this relay needs, and a refresh token.
fn own_scope(oauth: &OAuth) -> String {
    union([&oauth.scope, offline(oauth)])
}

fn offline(oauth: &OAuth) -> &'static str {
    oauth.server.map_or("", |server| server.offline_scope)
}

/// What to name when a code or a refresh token is redeemed. Without a scope, what was granted comes back whole
/// (RFC 6749 6); a server with scopes of several resources has to be told which is meant, and Microsoft gives another
/// refresh token, before this one ends after 90 days, only where `offline_access` is named again.
pub fn redeemed_scope(oauth: &OAuth) -> Option<String> {
    let scope = own_scope(oauth);
    (!scope.is_empty() && (oauth.server.is_none() || has_resources(oauth))).then_some(scope)
}

/// The host of a redirect URI on the person's machine.
pub fn loopback_host(oauth: &OAuth) -> &'static str {
    oauth.server.map_or("127.0.0.1", |server| server.loopback)
}

/// The redirect URI of an answer that is copied.
pub fn nobodys_uri(oauth: &OAuth) -> String {
    format!("http://{}:{NOBODYS_PORT}", loopback_host(oauth))
}

/// Keeps what was granted, in place of an earlier login; `asked` is what was asked for.
///
/// # Errors
/// `Configuration`: there is no refresh token in it. Otherwise as [`Store::lock`] and [`Store::save`].
pub fn keep(
    store: &Store,
    relay: &Relay,
    oauth: &OAuth,
    mut granted: Granted,
    asked: &str,
    deadline: Deadline,
) -> Result<Tokens, Failure> {
    if granted.refresh_token.is_none() {
        let why = "the server gave no refresh token, without which the login ends within hours";
        let hint = match oauth.server {
            Some(_) => "log in again and consent to offline access; check that the client is allowed it",
            None => "many servers give one if `scope` contains `offline_access`; check what the client is allowed",
        };
        return Err(Failure::new(Kind::Configuration, format!("relay {}", relay.name), why).hint(hint));
    }
    let _lock = store.lock(deadline)?;
    let mut tokens = Tokens::of(oauth);
    // Not said: as asked for (RFC 6749 5.1).
    tokens.scope = granted.scope.take().unwrap_or_else(|| asked.to_owned());
    tokens.take(&oauth.scope, granted, None, Timestamp::now());
    store.save(&tokens)?;
    Ok(tokens)
}

/// The words of the relay's scope that were not granted: a person may have left them out.
pub fn missing<'a>(oauth: &'a OAuth, granted: &str) -> Vec<&'a str> {
    // Servers name a scope with or without the resource it belongs to, and say nothing about those that make
    // a login last.
    let last = |word: &str| word.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let silent = ["offline_access", "openid", "email", "profile"];
    // Between Zoho's there are commas.
    let words = |scope: &'a str| scope.split([' ', ',']).filter(|word| !word.is_empty());
    let has = |word: &str| granted.split([' ', ',']).any(|granted| last(granted) == last(word));
    words(&oauth.scope).filter(|word| !silent.contains(word) && !has(word)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::caller::Caller;
    use crate::config::Config;

    const GOOGLE: &str = "provider = 'gmail'\nclient_id = 'x'";

    fn oauth(relay: &str) -> OAuth {
        let text = format!("[relay.main]\n{relay}\nusername = 'a@example.org'\n");
        let config = Config::parse(Path::new("/nowhere/config.toml"), &text, &Caller::current()).expect(relay);
        config.sites[0].relays[0].oauth.clone().expect("OAuth")
    }

    fn generic(endpoints: &[&str]) -> OAuth {
        let endpoints: String =
            endpoints.iter().map(|name| format!("{name} = 'https://login.example/{name}'\n")).collect();
        oauth(&format!("host = 'mx.example'\nclient_id = 'x'\nscope = 'mail offline_access'\n{endpoints}"))
    }

    #[test]
    fn the_way_fits_the_server_and_the_terminal() {
        let (google, microsoft) = (oauth(GOOGLE), oauth("provider = 'outlook'\nclient_id = 'x'"));
        let way = |oauth: &OAuth, is_typed, has_display| flow(oauth, None, is_typed, has_display).expect("a way");
        assert_eq!(way(&microsoft, true, true), Flow::Device);
        assert_eq!(way(&google, true, true), Flow::Browser);
        assert_eq!(way(&google, true, false), Flow::Paste);
        assert_eq!(way(&google, false, false), Flow::Browser);
        assert_eq!(way(&generic(&["token_endpoint", "device_authorization_endpoint"]), true, true), Flow::Device);
        assert_eq!(way(&generic(&["token_endpoint", "authorization_endpoint"]), true, true), Flow::Browser);
        assert_eq!(flow(&microsoft, Some(Flow::Paste), true, true).expect("as wanted"), Flow::Paste);
        assert!(flow(&google, Some(Flow::Device), true, true).is_err());
        let own = format!("{GOOGLE}\ndevice_authorization_endpoint = 'https://login.example/device'");
        assert_eq!(flow(&oauth(&own), Some(Flow::Device), true, true).expect("as configured"), Flow::Device);
    }

    #[test]
    fn one_login_is_asked_what_all_its_relays_need_where_the_server_can() {
        let microsoft = oauth("provider = 'outlook'\nclient_id = 'x'");
        let (smtp, api) = ("https://outlook.office.com/SMTP.Send", "https://graph.microsoft.com/Mail.Send");
        let shared = [smtp, api, smtp];
        assert_eq!(asked_scope(&microsoft, Flow::Browser, shared), format!("{smtp} {api} offline_access"));
        assert_eq!(asked_scope(&microsoft, Flow::Device, shared), format!("{smtp} offline_access"));
        assert_eq!(redeemed_scope(&microsoft), Some(format!("{smtp} offline_access")));
        let google = oauth(GOOGLE);
        assert_eq!(asked_scope(&google, Flow::Paste, ["https://mail.google.com/", "a"]), "https://mail.google.com/ a");
        assert_eq!(redeemed_scope(&google), None);
        assert_eq!(nobodys_uri(&microsoft), "http://localhost:1023");
    }

    #[test]
    fn a_scope_that_was_left_out_is_noticed() {
        let google = oauth(GOOGLE);
        assert_eq!(missing(&google, "openid email"), ["https://mail.google.com/"]);
        assert!(missing(&google, "email https://mail.google.com/").is_empty());
        let graph = oauth("provider = 'outlook'\nvia = 'api'\nclient_id = 'x'");
        assert!(missing(&graph, "Mail.Send User.Read").is_empty());
        assert!(missing(&generic(&["token_endpoint"]), "mail").is_empty());
    }
}
