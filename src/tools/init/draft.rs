//! The configuration that the options make, piece by piece: each is checked by the program's own reader, alone and whole.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::cli::init::Init;
use crate::config::relay::Relay;
use crate::config::{Config, quoted};
use crate::failure::{Failure, Kind};
use crate::hint::likeness;
use crate::providers::{self, Provider, UserName};
use crate::reply::{TEXT_LIMIT, printable};
use crate::spelling;
use crate::tools::secret::uses;

/// What `--provider` says; `None`: there is a server of another kind, or nothing is said.
///
/// # Errors
/// `Usage`: there is no such provider.
pub(super) fn provider(of: &Init) -> Result<Option<&'static Provider>, Failure> {
    let Some(word) = of.provider.as_deref() else { return Ok(None) };
    let found = Provider::find(word).ok_or_else(|| {
        let failure = Failure::new(Kind::Usage, printable(word.as_bytes(), TEXT_LIMIT), "no such provider");
        match spelling::nearest(&word.to_lowercase(), providers::all().flat_map(Provider::words)) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint("`mailchute providers` lists them; any other server is --host HOST"),
        }
    })?;
    // Any other server is none.
    Ok(Some(found).filter(|found| found.id != "smtp"))
}

/// Says that the server is `host`, which may be a provider's: then more is known of it.
pub(super) fn set_host(of: &mut Init, host: &str, port: Option<u16>) {
    match Provider::at_host(host) {
        Some((provider, region)) => {
            of.provider = Some(provider.id.to_owned());
            of.region = region.or(of.region.take());
        }
        None => of.host = Some(host.to_owned()),
    }
    of.port = port.or(of.port);
}

/// What is asked beside the secret: the key of the user name; `None`: the provider has one of its own, or the server
/// wants no login.
pub(super) fn username_key(of: &Init, provider: Option<&Provider>) -> Option<&'static str> {
    let Some(provider) = provider else { return of.username.is_some().then_some("username") };
    if let (true, Some(entry)) = (is_by_api(of), provider.api) {
        let keys = entry.wanted_keys();
        return match keys[..] {
            _ if is_oauth(of, Some(provider)) => Some("username"),
            [first, _, ..] => Some(first),
            _ => None,
        };
    }
    match provider.username {
        UserName::Given(key) => Some(key),
        // All its parts are keys of their own.
        UserName::Joined(_) | UserName::Word(_) | UserName::Secret => of.username.is_some().then_some("username"),
    }
}

/// The key that holds the secret; `None`: nothing is logged in with.
pub(super) fn secret_key<'a>(of: &'a Init, provider: Option<&Provider>) -> Option<&'a str> {
    if let Some(taken) = &of.taken {
        return taken.secret_key.as_deref();
    }
    if is_oauth(of, provider) {
        return Some("client_secret");
    }
    match (provider, is_by_api(of)) {
        (None, _) => of.username.is_some().then_some("password"),
        (Some(provider), true) => provider.api.and_then(|entry| entry.wanted_keys().last().copied()),
        (Some(provider), false) => {
            let is_free = provider.host.is_empty() && of.username.is_none() && needs_username(provider);
            (!is_free).then(|| provider.secrets.first().copied().unwrap_or("password"))
        }
    }
}

/// Whether the user name has to be said.
pub(super) fn needs_username(provider: &Provider) -> bool {
    matches!(provider.username, UserName::Given(_))
}

/// Whether access tokens are got, so that a client may have no secret: a person speaks for it.
pub(super) fn is_oauth(of: &Init, provider: Option<&Provider>) -> bool {
    let takes_tokens = |provider: &Provider| provider.bearer || provider.authorization.is_some();
    of.client_id.is_some() && provider.is_none_or(takes_tokens)
}

/// Whether it is said where the secret is.
pub(super) fn is_secret_said(of: &Init) -> bool {
    of.secret_stdin
        || of.secret_file.is_some()
        || of.secret_env.is_some()
        || of.secret_command.is_some()
        || of.secret_credential.is_some()
        || of.taken.as_ref().is_some_and(|taken| taken.has_secret)
}

/// Whether it goes by the provider's API.
pub(super) fn is_by_api(of: &Init) -> bool {
    of.via.as_deref() == Some("api")
}

/// The address of `--from` or `--email`, as it is said.
pub(super) fn from(of: &Init) -> Option<&str> {
    of.from.as_deref().or(of.email.as_deref())
}

/// The bare address of a mailbox `Name <address>`.
pub(super) fn bare(mailbox: &str) -> &str {
    mailbox.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<')).map_or(mailbox.trim(), |(_, bare)| bare)
}

/// The domain of a mailbox.
pub(super) fn domain(mailbox: &str) -> &str {
    bare(mailbox).rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// The lines of the top level: who mail is from.
pub(super) fn sender_lines(of: &Init) -> String {
    let Some(from) = from(of) else { return String::new() };
    let mut text = line("from", from);
    let taken = of.taken.as_ref();
    taken.iter().flat_map(|taken| &taken.top).for_each(|line| text += &format!("{line}\n"));
    if taken.is_some_and(|taken| taken.has_senders) {
        return text;
    }
    // An account at a provider of mailboxes may write as itself, and hardly as others of its domain.
    let own = match provider(of) {
        Ok(Some(provider)) if provider.has_mailboxes() => bare(from).to_owned(),
        _ => format!("*@{}", domain(from)),
    };
    let senders: Vec<&str> = match of.sender[..] {
        [] => vec![&own],
        _ => of.sender.iter().map(String::as_str).collect(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "sender = [{}]", list(&senders));
    text + &line("other_sender", if of.refuse { "refuse" } else { "rewrite" })
}

/// The lines of `[relay.NAME]`, whose secret is what `secret`, a value of TOML, says.
///
/// # Errors
/// `Usage`: no such provider, or a key that `--set` may not hold.
pub(super) fn relay_lines(of: &Init, name: &str, secret: Option<&str>) -> Result<String, Failure> {
    let provider = provider(of)?;
    let mut text = format!("[relay.{}]\n", *key(name));
    if let Some(taken) = &of.taken {
        taken.relay.iter().for_each(|line| text += &format!("{line}\n"));
        if let (Some(key), Some(secret)) = (&taken.secret_key, secret) {
            let _ = writeln!(text, "{key} = {secret}");
        }
        return Ok(text);
    }
    if let Some(provider) = provider {
        text += &line("provider", provider.id);
    }
    for (key, value) in [("via", &of.via), ("region", &of.region), ("host", &of.host)] {
        text += &value.as_deref().map(|value| line(key, value)).unwrap_or_default();
    }
    if let Some(port) = of.port {
        let _ = writeln!(text, "port = {port}");
    }
    text += &of.domain.as_deref().map(|domain| line("domain", domain)).unwrap_or_default();
    for setting in &of.set {
        let (name, value) = said(setting, "--set", "KEY=VALUE")?;
        if is_secret(name) {
            return Err(Failure::new(
                Kind::Usage,
                "--set",
                format!("{name} is a secret, and the command line shows it"),
            )
            .hint("give it by --secret-stdin, --secret-file and the like"));
        }
        let is_bare = matches!(value, "true" | "false") || (value.len() < 10 && value.parse::<u32>().is_ok());
        let value = if is_bare { value.to_owned() } else { quoted(value).to_string() };
        let _ = writeln!(text, "{} = {value}", *key(name));
    }
    if let Some(client) = &of.client_id {
        text += &line("client_id", client);
    }
    if let (Some(key), Some(username)) = (username_key(of, provider), &of.username) {
        text += &line(key, username);
    }
    if let (Some(key), Some(secret)) = (secret_key(of, provider), secret) {
        let _ = writeln!(text, "{key} = {secret}");
    }
    Ok(text)
}

/// Whether a key of a relay holds a secret.
fn is_secret(name: &str) -> bool {
    let of_all = ["password", "token", "client_secret", "refresh_token", "service_account"];
    let of_providers = providers::all().any(|provider| {
        let of_api = provider.api.is_some_and(|entry| entry.credentials.iter().any(|known| known.key == name));
        provider.secrets.contains(&name) || (of_api && provider.username.key() != Some(name))
    });
    of_all.contains(&name) || of_providers
}

/// The lines of `[alias]`.
///
/// # Errors
/// `Usage`: one is not `NAME=ADDRESS`.
pub(super) fn alias_lines(of: &Init) -> Result<String, Failure> {
    let mut text = of.taken.iter().flat_map(|taken| &taken.alias).map(|line| format!("{line}\n")).collect::<String>();
    for alias in &of.alias {
        let (name, address) = said(alias, "--alias", "NAME=ADDRESS, such as '*=ops@shop.example'")?;
        let _ = writeln!(text, "{} = [{}]", *key(name), *quoted(address));
    }
    Ok(table("alias", &text))
}

/// The lines of `[log]`, which only another mailer's settings say.
pub(super) fn log_lines(of: &Init) -> String {
    let lines = of.taken.iter().flat_map(|taken| &taken.log);
    table("log", &lines.map(|line| format!("{line}\n")).collect::<String>())
}

/// A table where there is something in it.
fn table(name: &str, lines: &str) -> String {
    if lines.is_empty() { String::new() } else { format!("\n[{name}]\n{lines}") }
}

/// The two sides of `name=value`.
fn said<'a>(text: &'a str, option: &str, form: &str) -> Result<(&'a str, &'a str), Failure> {
    let sides = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    sides
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or_else(|| Failure::new(Kind::Usage, option, format!("must be {form}")))
}

/// `key = "value"`.
pub(super) fn line(key: &str, value: &str) -> String {
    format!("{key} = {}\n", *quoted(value))
}

/// Values of an array.
pub(super) fn list(values: &[&str]) -> String {
    values.iter().map(|value| quoted(value).to_string()).collect::<Vec<_>>().join(", ")
}

/// A key as TOML takes it.
pub(super) fn key(name: &str) -> Zeroizing<String> {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_bare { Zeroizing::new(name.to_owned()) } else { quoted(name) }
}

/// A relay that stands in while only another piece is looked at.
const STAND_IN: &str = "[relay.main]\nhost = \"localhost\"\n";

/// A secret that stands in while there is none yet.
const UNREAD: &str = "{ file = \"/etc/mailchute/secrets/unread\" }";
const UNREAD_FILE: &str = "/etc/mailchute/secrets/unread";

/// Reads `text` as the file `path` would be read.
///
/// # Errors
/// `Configuration`: there is a mistake in it.
pub(super) fn load(path: &Path, text: &str) -> Result<Config, Failure> {
    Config::parse(path, text, &Caller::current())
}

/// Whether a piece is right, and if not, why: with the option that says so in place of a line of a file that is not there.
fn looked_at(option: &str, text: &str) -> Result<Config, Failure> {
    load(Path::new("/etc/mailchute/config.toml"), text).map_err(|failure| {
        // What is wrong is told first, and then where it would stand.
        Failure { kind: Kind::Usage, what: option.to_owned(), ..failure }
    })
}

/// Looks at who mail is from.
///
/// # Errors
/// `Usage`, with the reason.
pub(super) fn check_sender(of: &Init) -> Result<(), Failure> {
    let option = if of.from.is_some() || of.email.is_none() { "--from" } else { "--email" };
    if let Some(from) = from(of) {
        looked_at(option, &format!("{}{STAND_IN}", line("from", from)))?;
        looked_at("--sender", &format!("{}{STAND_IN}", sender_lines(of)))?;
    }
    Ok(())
}

/// Looks at the relay, whose secret may not be known yet, and at the value of that where it is.
///
/// # Errors
/// `Usage`, with the reason; `Data`: the value is not what is wanted.
pub(super) fn check_relay(of: &Init, value: Option<&str>) -> Result<(), Failure> {
    let provider = provider(of)?;
    let config = completed(of, provider, value.is_some())?;
    let Some(value) = value else { return Ok(()) };
    let is_it = |using: &&uses::Use<'_>| using.is_of(Path::new(UNREAD_FILE));
    let wrong = uses::all(&config).iter().filter(is_it).find_map(|using| using.wrong(value));
    let wrong = wrong.or_else(|| likeness::foreign(value, provider?));
    match wrong {
        Some(wrong) => Err(Failure::new(Kind::Data, "the secret", wrong)),
        None => Ok(()),
    }
}

/// The relay where it is known and who logs in is not: to be reached.
///
/// # Errors
/// As [`check_relay`].
pub(super) fn place(of: &Init) -> Result<Option<Arc<Relay>>, Failure> {
    Ok(first_relay(&completed(of, provider(of)?, false)?))
}

/// The configuration of the relay, in which something stands in for whatever is said later on.
fn completed(of: &Init, provider: Option<&'static Provider>, has_value: bool) -> Result<Config, Failure> {
    if let (Some(via), None) = (of.via.as_deref(), provider) {
        return Err(Failure::new(Kind::Usage, "--via", format!("{via:?} needs --provider")));
    }
    let is_secret_unneeded = is_oauth(of, provider) && !has_value;
    let mut of = of.clone();
    if username_key(&of, provider).is_some() && of.username.is_none() {
        of.username = Some("unknown@localhost.example".to_owned());
    }
    if let Some(UserName::Joined(keys)) = provider.map(|provider| &provider.username)
        && !is_by_api(&of)
        && of.username.is_none()
    {
        let is_said = |key: &&&str| {
            (**key == "client_id" && of.client_id.is_some())
                || of.set.iter().any(|set| set.starts_with(&format!("{key}=")))
        };
        let unsaid: Vec<String> = keys.iter().filter(|key| !is_said(key)).map(|key| format!("{key}=unknown")).collect();
        of.set.extend(unsaid);
    }
    let text = relay_lines(&of, "main", (!is_secret_unneeded).then_some(UNREAD))?;
    looked_at(if of.provider.is_some() { "--provider" } else { "--host" }, &text)
}

fn first_relay(config: &Config) -> Option<Arc<Relay>> {
    config.sites.first().and_then(|site| site.relays.first().cloned())
}

/// The relay with its secret, in memory only, to be tried.
///
/// # Errors
/// As [`load`].
pub(super) fn relay(of: &Init, value: Option<&str>) -> Result<Option<Arc<Relay>>, Failure> {
    let secret = value.map(quoted);
    let text = Zeroizing::new(relay_lines(of, "main", secret.as_ref().map(|secret| secret.as_str()))?);
    let config = load(Path::new("/etc/mailchute/config.toml"), &text)?;
    Ok(first_relay(&config))
}

/// Looks at the aliases.
///
/// # Errors
/// `Usage`, with the reason.
pub(super) fn check_alias(of: &Init) -> Result<(), Failure> {
    looked_at("--alias", &format!("{STAND_IN}{}", alias_lines(of)?))?;
    for alias in &of.alias {
        let address = alias.split_once('=').map_or("", |(_, address)| address.trim());
        let is_address = load(Path::new("/"), &format!("{}{STAND_IN}", line("from", address))).is_ok();
        if !is_address || address.contains(['<', '>']) {
            let why = format!("{} is no address with a domain", printable(address.as_bytes(), TEXT_LIMIT));
            return Err(Failure::new(Kind::Usage, "--alias", why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_somebody_writes_as_itself() {
        for (provider, senders) in [
            ("gmail", r#"["me.shop@gmail.com"]"#),
            ("microsoft365", r#"["me.shop@gmail.com"]"#),
            ("yahoo", r#"["me.shop@gmail.com"]"#),
            ("postmark", r#"["*@gmail.com"]"#),
            ("mailgun", r#"["*@gmail.com"]"#),
            ("smtp", r#"["*@gmail.com"]"#),
        ] {
            let from = Some("Shop <me.shop@gmail.com>".to_owned());
            let of = Init { from, provider: Some(provider.to_owned()), ..Init::default() };
            assert!(sender_lines(&of).contains(&format!("sender = {senders}\n")), "{provider}: {}", sender_lines(&of));
            let said = Init { sender: vec!["*@x.example".to_owned()], ..of };
            assert!(sender_lines(&said).contains("sender = [\"*@x.example\"]"));
        }
    }
}
