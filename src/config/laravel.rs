//! Laravel's variables, `MAIL_HOST` and its companions: the relay they name, in our words.

use zeroize::Zeroizing;

use super::setting::{Setting, Value};
use super::url_relay::failure;
use super::variables::{Variables, secret, text};
use crate::failure::Failure;

/// The variable that decides.
pub(super) const VARIABLE: &str = "MAIL_HOST";

/// A variable's text; what Laravel's own files call `null` is unset.
fn said(variables: Variables<'_>, name: &'static str) -> Result<Option<Zeroizing<String>>, Failure> {
    Ok(text(variables, name)?.filter(|text| !matches!(text.as_str(), "null" | "(null)" | "empty" | "(empty)")))
}

/// What they name.
pub(super) struct Laravel {
    /// The relay.
    pub(super) relay: Vec<Setting>,
    /// The sender, where it is given.
    pub(super) from: Option<Setting>,
}

/// What they name. `None`: `MAIL_HOST` is not set.
///
/// # Errors
/// `Configuration` for a port that is none, or a way of TLS that nobody has.
pub(super) fn read(variables: Variables<'_>) -> Result<Option<Laravel>, Failure> {
    let Some(host) = said(variables, VARIABLE)? else { return Ok(None) };
    let mut relay = vec![setting(VARIABLE, "host", Value::Text(host))];
    let port = said(variables, "MAIL_PORT")?;
    if let Some(port) = &port {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| failure("MAIL_PORT", "is not a port: write a number such as 587"))?;
        relay.push(setting("MAIL_PORT", "port", Value::Bare(number.to_string())));
    }
    for name in ["MAIL_SCHEME", "MAIL_ENCRYPTION"] {
        let Some(word) = said(variables, name)? else { continue };
        let tls = match word.to_ascii_lowercase().as_str() {
            "smtps" | "ssl" => "implicit",
            "tls" | "starttls" => "starttls",
            // STARTTLS where the port does not say otherwise, as without it.
            "smtp" => continue,
            _ => return Err(failure(name, "must be smtp, smtps, tls or ssl")),
        };
        // Laravel takes `tls` on 465 for what that port speaks.
        if !(tls == "starttls" && port.as_ref().is_some_and(|port| port.as_str() == "465")) {
            relay.push(setting(name, "tls", Value::Text(Zeroizing::new(tls.to_owned()))));
        }
        break;
    }
    if let Some(username) = said(variables, "MAIL_USERNAME")? {
        relay.push(setting("MAIL_USERNAME", "username", Value::Text(username)));
    }
    let is_null = said(variables, "MAIL_PASSWORD")?.is_none() && variables("MAIL_PASSWORD").is_some();
    if let Some(password) = secret(variables, &["MAIL_PASSWORD", "MAIL_PASSWORD_FILE"])?.filter(|_| !is_null) {
        relay.push(setting("MAIL_PASSWORD", "password", password));
    }
    let from = said(variables, "MAIL_FROM_ADDRESS")?.map(|address| {
        let name = said(variables, "MAIL_FROM_NAME").ok().flatten().filter(|name| !name.contains("${"));
        let text = match name {
            Some(name) => format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), *address),
            None => address.to_string(),
        };
        setting("MAIL_FROM_ADDRESS", "from", Value::Text(Zeroizing::new(text)))
    });
    Ok(Some(Laravel { relay, from }))
}

fn setting(variable: &'static str, key: &str, value: Value) -> Setting {
    Setting { variable, key: key.to_owned(), value }
}
