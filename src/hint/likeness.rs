//! What a value looks like that is to become a secret, before it is one: most logins that are refused are refused for a
//! value that was never the secret.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::shape;
use crate::config::relay::Relay;
use crate::providers::{self, KeyForm, Provider};
use crate::secret::Source;

/// What a secret is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing is known of it.
    Any,
    /// A password, which may look like anything.
    Password,
    /// What somebody's machine has made up: a key, a token.
    Key,
    /// The JSON file of a service account.
    ServiceAccount,
}

impl Wanted {
    /// What the login of `relay` by SMTP wants.
    pub fn of_login(relay: &Relay) -> Self {
        if shape::is_lone_key(relay) { Self::Key } else { Self::Password }
    }
}

/// The provider whose keys begin as `text` does.
pub fn owner(text: &str) -> Option<&'static Provider> {
    form(text).map(|(owner, _)| owner)
}

fn form(text: &str) -> Option<(&'static Provider, &'static KeyForm)> {
    let mut forms = providers::all().flat_map(|owner| owner.keys.iter().map(move |form| (owner, form)));
    forms.find(|(_, form)| text.starts_with(form.prefix))
}

/// What is wrong with `text` where it is for `provider`, however that is reached: the end of a sentence about it.
pub fn foreign(text: &str, provider: &Provider) -> Option<String> {
    let owner = owner(text)?;
    (owner.id != provider.id).then(|| format!("is a key of {}, and this is for {}", owner.name, provider.name))
}

/// What is wrong with `text`, which is to be `wanted`, for `relay` where it is known: the end of a sentence about it.
/// Nothing of it is repeated.
pub fn wrong(text: &str, wanted: Wanted, relay: Option<&Relay>) -> Option<String> {
    if text.contains('\0') {
        return Some("holds a NUL character, which no secret can".to_owned());
    }
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        return of_json(trimmed, wanted).map(str::to_owned);
    }
    if wanted == Wanted::ServiceAccount {
        return Some("is not the JSON file of a service account".to_owned());
    }
    if trimmed.starts_with("-----BEGIN ") {
        return of_pem(trimmed, wanted).map(str::to_owned);
    }
    let is_key = wanted == Wanted::Key;
    let own = |relay: &Relay| match relay.username() == Some(trimmed) {
        true => Some("is the user name, and not the secret that belongs to it".to_owned()),
        false => shape::foreign_key(text, relay),
    };
    let public = || form(trimmed).is_some_and(|(_, form)| !form.smtp && !form.api);
    stand_in(trimmed)
        .map(str::to_owned)
        .or_else(|| relay.and_then(own))
        .or_else(|| public().then(|| "is a public key, which opens nothing: copy the private one".to_owned()))
        .or_else(|| shape::stranger(text, is_key))
        .or_else(|| is_key.then(|| of_key(trimmed)).flatten().map(str::to_owned))
        .or_else(|| shape::look(text, is_key, &Source::File(std::path::PathBuf::new())))
}

/// What stands where a secret is to be.
fn stand_in(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let is_bracketed =
        text.len() > 2 && [('<', '>'), ('[', ']')].iter().any(|(a, b)| text.starts_with(*a) && text.ends_with(*b));
    let is_one_letter =
        text.len() > 3 && ["x", "*", ".", "-"].iter().any(|letter| lower.replace(letter, "").is_empty());
    let is_of = |word: &str| plain.contains(word);
    let is_asked_for = (is_of("your") || is_of("insert") || is_of("replace") || is_of("example"))
        && ["key", "token", "password", "secret"].into_iter().any(is_of);
    match () {
        () if text.contains(['\u{2022}', '\u{25cf}', '\u{2026}']) || (text.contains("***") && !is_one_letter) => {
            Some("is what is shown instead of the secret: copy it with the button beside it, or make a new one")
        }
        () if WORDS.contains(&plain.as_str()) || is_bracketed || is_one_letter || is_asked_for => {
            Some("stands for the secret in an example: put the secret itself there")
        }
        () if is_configuration(text) => Some("is a line of a configuration: leave out all but the value"),
        () if is_url(text) => Some("is a URL: put nothing but the password, token or key there"),
        () => None,
    }
}

/// What is written where a secret is to be, letters and digits in lower case.
const WORDS: [&str; 9] = ["changeme", "password", "passwd", "secret", "token", "apikey", "mypassword", "todo", "null"];

/// `password = "x"`.
fn is_configuration(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, value)| {
        let (key, value) = (key.trim(), value.trim());
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        is_key && (value.starts_with(['"', '\'', '{']) && value.ends_with(['"', '\'', '}']))
    })
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// What is odd about a key.
fn of_key(text: &str) -> Option<&'static str> {
    let (user, domain) = text.split_once('@')?;
    let is_address = !user.is_empty() && domain.contains('.') && !domain.contains(['@', '/', ':']);
    is_address.then_some("is an address, and no key")
}

/// The keys that tell two kinds of files apart. Their values are not kept.
#[derive(Deserialize)]
struct Account {
    client_email: Option<IgnoredAny>,
    private_key: Option<IgnoredAny>,
    installed: Option<IgnoredAny>,
    web: Option<IgnoredAny>,
}

fn of_json(text: &str, wanted: Wanted) -> Option<&'static str> {
    let Ok(account) = serde_json::from_str::<Account>(text) else {
        return Some("begins as JSON does, and is none to its end: copy the whole file");
    };
    let is_account = account.client_email.is_some() && account.private_key.is_some();
    match (is_account, wanted) {
        (true, Wanted::Any | Wanted::ServiceAccount) => None,
        (true, _) => Some("is the key of a service account, and this relay wants another secret"),
        (false, _) if account.installed.is_some() || account.web.is_some() => Some(
            "is a file of an OAuth client: client_id and client_secret stand in it, and only the latter is a secret",
        ),
        (false, _) => Some("is JSON, and no key of a service account"),
    }
}

fn of_pem(text: &str, wanted: Wanted) -> Option<&'static str> {
    let kind = text.lines().next().unwrap_or_default();
    let is_whole = text.lines().last().is_some_and(|last| last.trim_end().starts_with("-----END "));
    match () {
        () if kind.contains("PUBLIC KEY") => Some("is a public key, which opens nothing"),
        () if kind.contains("CERTIFICATE") => Some("is a certificate, which is no secret"),
        () if !is_whole => Some("begins as a private key does, and has no end: copy all its lines"),
        () if wanted == Wanted::Any => None,
        () => Some("is a private key, and this relay wants another secret"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_look_like_much() {
        for text in [
            "s3cret",
            "two words",
            "p\u{e4}ssword",
            "abc=",
            "a=b",
            "A1=b",
            "/9j4AAQSkZJRg",
            "me@home",
            "me@shop.example",
            "xx",
            "x1xxx",
            "passwords",
            "tokens and keys",
            "://",
            "re_abcdefgh",
            "***",
        ] {
            let is_stand_in = text == "***";
            let found = wrong(text, Wanted::Password, None);
            assert_eq!(found.is_some(), is_stand_in && stand_in(text).is_some(), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_is_told_repeats_nothing() {
        for text in ["your-SECRETVALUE-key", "https://SECRETVALUE@x", "SECRETVALUE@x.example", "key = \"SECRETVALUE\""]
        {
            let found = wrong(text, Wanted::Key, None).expect(text);
            assert!(!found.contains("SECRETVALUE"), "{found}");
        }
    }
}
