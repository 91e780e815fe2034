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
    Ok(text(variables, name)?.filter(|text| !is_null(text)))
}

fn is_null(text: &str) -> bool {
    matches!(text, "null" | "(null)" | "empty" | "(empty)")
}

/// The ports of servers that take mail from outside, where STARTTLS is spoken or TLS.
const SUBMISSION: [&str; 6] = ["25", "465", "587", "2465", "2525", "2587"];

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
        let number = number.ok_or_else(|| {
            failure("MAIL_PORT", format!("is not a port, but {:?}: write a number such as 587", port.as_str()))
        })?;
        relay.push(setting("MAIL_PORT", "port", Value::Bare(number.to_string())));
    }
    for name in ["MAIL_SCHEME", "MAIL_ENCRYPTION"] {
        let Some(word) = said(variables, name)? else { continue };
        let tls = match word.to_ascii_lowercase().as_str() {
            "smtps" | "ssl" => "implicit",
            "tls" | "starttls" => "starttls",
            // STARTTLS where the port does not say otherwise, as without it.
            "smtp" => continue,
            _ => return Err(failure(name, format!("must be smtp, smtps, tls or ssl, not {:?}", word.as_str()))),
        };
        // Laravel takes `tls` on 465 for what that port speaks.
        if !(tls == "starttls" && port.as_ref().is_some_and(|port| port.as_str() == "465")) {
            relay.push(setting(name, "tls", Value::Text(Zeroizing::new(tls.to_owned()))));
        }
        break;
    }
    let username = said(variables, "MAIL_USERNAME")?;
    let is_of_null = |value: &Value| matches!(value, Value::Variable(_, text) if is_null(text));
    let password = secret(variables, &["MAIL_PASSWORD", "MAIL_PASSWORD_FILE"])?.filter(|value| !is_of_null(value));
    let is_without_tls = ["MAIL_SCHEME", "MAIL_ENCRYPTION"].into_iter().find(|name| {
        let word = text(variables, name).ok().flatten();
        word.is_some_and(|word| is_null(&word)) && relay.iter().all(|setting| setting.key != "tls")
    });
    // A test server such as Mailpit. Whoever has a login to lose, or writes to a port of the outside, has TLS.
    if let Some(name) = is_without_tls.filter(|_| username.is_none() && password.is_none())
        && port.as_ref().is_some_and(|port| !SUBMISSION.contains(&port.as_str()))
    {
        relay.push(setting(name, "tls", Value::Text(Zeroizing::new("none".to_owned()))));
    }
    if let Some(username) = username {
        relay.push(setting("MAIL_USERNAME", "username", Value::Text(username)));
    }
    if let Some(password) = password {
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
