//! The names of our variables, and what one of them says.

use std::ffi::OsString;
use std::fmt;

use zeroize::Zeroizing;

use super::setting::Value;
use super::url_relay::failure;
use crate::failure::Failure;
use crate::spelling;

/// Environment variables by name; those set to nothing count as unset.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Every variable of ours, those that hold a secret apart from their `_FILE` twins.
const NAMES: &[&str] = &[
    "MAILCHUTE_URL",
    "MAILCHUTE_USERNAME",
    "MAILCHUTE_PASSWORD",
    "MAILCHUTE_KEY",
    "MAILCHUTE_FROM",
    "MAILCHUTE_LOG",
    "MAILCHUTE_CONFIG",
    "MAILCHUTE_SITE",
    "MAILCHUTE_BACKUP_URL",
    "MAILCHUTE_BACKUP_USERNAME",
    "MAILCHUTE_BACKUP_PASSWORD",
    "MAILCHUTE_BACKUP_KEY",
];

/// Those with a `_FILE` twin.
const SECRET: &[&str] = &["USERNAME", "PASSWORD", "KEY"];

/// What other programs call the end of a name, and what it is called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("USER", "USERNAME"),
    ("LOGIN", "USERNAME"),
    ("PASS", "PASSWORD"),
    ("SECRET", "PASSWORD"),
    ("TOKEN", "KEY"),
    ("API_KEY", "KEY"),
    ("APIKEY", "KEY"),
    ("HOST", "URL"),
    ("SERVER", "URL"),
    ("PORT", "URL"),
    ("TLS", "URL"),
    ("RELAY", "URL"),
    ("DSN", "URL"),
    ("URI", "URL"),
    ("FROM_ADDRESS", "FROM"),
    ("SENDER", "FROM"),
];

/// A name of a variable that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The name.
    pub(super) theirs: String,
    /// What was probably meant.
    pub(super) ours: Option<String>,
}

impl Unknown {
    /// All of them in one clause, with the right names.
    pub(super) fn told(all: &[&Self]) -> String {
        let theirs: Vec<&str> = all.iter().map(|unknown| unknown.theirs.as_str()).collect();
        let mut ours: Vec<&str> = Vec::new();
        for name in all.iter().filter_map(|unknown| unknown.ours.as_deref()) {
            if !ours.contains(&name) {
                ours.push(name);
            }
        }
        let be = if theirs.len() == 1 { "is" } else { "are" };
        let known = format!("{} {be} not known here", listed(&theirs));
        if ours.is_empty() { known } else { format!("{known}: write {}", listed(&ours)) }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a variable of mailchute", self.theirs)?;
        match &self.ours {
            Some(ours) => write!(f, ": did you mean {ours}?"),
            None => Ok(()),
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The `MAILCHUTE_*` names among `names` that mean nothing here.
pub(super) fn unknown(names: impl Iterator<Item = OsString>) -> Vec<Unknown> {
    let mut unknown: Vec<Unknown> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("MAILCHUTE_") && !is_known(name) && !is_kubernetes(name))
        .map(|theirs| Unknown { ours: meant(&theirs), theirs })
        .collect();
    unknown.sort_unstable_by(|a, b| a.theirs.cmp(&b.theirs));
    unknown
}

/// Whether Kubernetes sets it for a service that is called `mailchute`.
fn is_kubernetes(name: &str) -> bool {
    let is_link = |end: &str| end.starts_with("SERVICE_") || end.contains("_TCP") || end.contains("_UDP");
    name.strip_prefix("MAILCHUTE_").is_some_and(is_link)
}

fn is_known(name: &str) -> bool {
    let of_file = name.strip_suffix("_FILE").filter(|name| SECRET.iter().any(|end| name.ends_with(end)));
    NAMES.contains(&of_file.unwrap_or(name))
}

fn meant(name: &str) -> Option<String> {
    let (stem, twin) = name.strip_suffix("_FILE").map_or((name, ""), |stem| (stem, "_FILE"));
    let end = stem.strip_prefix("MAILCHUTE_")?;
    let (place, end) = end.strip_prefix("BACKUP_").map_or(("MAILCHUTE_", end), |end| ("MAILCHUTE_BACKUP_", end));
    let ours = ELSEWHERE.iter().find(|(theirs, _)| *theirs == end).map(|(_, ours)| format!("{place}{ours}"));
    let ours = ours.or_else(|| spelling::nearest(stem, NAMES.iter().copied()).map(str::to_owned))?;
    let has_twin = SECRET.iter().any(|end| ours.ends_with(end));
    Some(if has_twin { format!("{ours}{twin}") } else { ours })
}

/// A variable's value as it stands.
fn literal(variables: Variables<'_>, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match variables(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(Zeroizing::new(text))),
        Some(Err(_)) => Err(failure(name, "is not UTF-8 text")),
    }
}

/// What a variable says that holds no secret: without what a file of variables or a shell has left around it.
///
/// # Errors
/// `Configuration` for what is not text, for a comment behind the value, and for what Kubernetes has set.
pub(super) fn text(variables: Variables<'_>, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(literal) = literal(variables, name)? else { return Ok(None) };
    let value = bare(&literal);
    if has_comment(value) {
        return Err(failure(name, "has a comment behind its value")
            .hint("a file of variables takes it as part of the value: put comments on lines of their own"));
    }
    if value.starts_with("tcp://") || value.starts_with("udp://") {
        let service = name.strip_suffix("_PORT").unwrap_or(name).to_ascii_lowercase().replace('_', "-");
        return Err(failure(name, format!("is {value:?}, which is an address of Kubernetes")).hint(format!(
            "Kubernetes sets {name} for a service that is called {service}: enableServiceLinks: false keeps it out of \
             the pod"
        )));
    }
    if value.is_empty() {
        return Ok(None);
    }
    Ok(Some(Zeroizing::new(value.to_owned())))
}

/// A value without what a shell or a file of variables has left around it: blanks, line ends, a pair of quotes. None of
/// them begins or ends an address, a path or a URL; a secret is taken as it stands.
pub(super) fn bare(value: &str) -> &str {
    let value = value.trim();
    let unquoted =
        |quote: char| value.strip_prefix(quote)?.strip_suffix(quote).filter(|inside| !inside.contains(quote));
    unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value).trim()
}

/// Whether ` # words` stands behind the value; what is behind it in a display name ends in an address.
fn has_comment(value: &str) -> bool {
    let hash = value.match_indices('#').map(|(at, _)| at).find(|at| value[..*at].ends_with(char::is_whitespace));
    hash.is_some_and(|at| !value[at..].contains(['@', '>']))
}

/// A secret from its variable or the variable's `_FILE` twin.
pub(super) fn secret(variables: Variables<'_>, [name, file]: &[&'static str; 2]) -> Result<Option<Value>, Failure> {
    match (literal(variables, name)?, text(variables, file)?) {
        (Some(_), Some(_)) => {
            Err(failure(name, format!("and {file} are both set")).hint(format!("leave {name} out, or {file}")))
        }
        (Some(secret), None) => Ok(Some(Value::Variable(name, secret))),
        (None, Some(path)) => Ok(Some(Value::File(path.to_string()))),
        (None, None) => Ok(None),
    }
}

/// The same of a user name, which is no secret.
pub(super) fn username(variables: Variables<'_>, names: &[&'static str; 2]) -> Result<Option<Value>, Failure> {
    match secret(variables, names)? {
        Some(Value::Variable(name, _)) => Ok(text(variables, name)?.map(Value::Text)),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_has_its_nearest() {
        for (name, told) in [
            ("MAILCHUTE_USER", Some("MAILCHUTE_USERNAME")),
            ("MAILCHUTE_PASS", Some("MAILCHUTE_PASSWORD")),
            ("MAILCHUTE_PASSWD_FILE", Some("MAILCHUTE_PASSWORD_FILE")),
            ("MAILCHUTE_BACKUP_USER", Some("MAILCHUTE_BACKUP_USERNAME")),
            ("MAILCHUTE_HOST", Some("MAILCHUTE_URL")),
            ("MAILCHUTE_TOKEN_FILE", Some("MAILCHUTE_KEY_FILE")),
            ("MAILCHUTE_FORM", Some("MAILCHUTE_FROM")),
            ("MAILCHUTE_WHATEVER_ELSE", None),
        ] {
            let found = unknown(std::iter::once(name.into()));
            let told = told.map(|told| format!(": did you mean {told}?")).unwrap_or_default();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, [format!("{name} is not a variable of mailchute{told}")]);
        }
        let known = ["MAILCHUTE_URL", "MAILCHUTE_PASSWORD_FILE", "MAILCHUTE_BACKUP_KEY_FILE", "MAILER_DSN", "PATH"];
        assert!(unknown(known.iter().map(Into::into)).is_empty());
        assert_eq!(unknown(std::iter::once("MAILCHUTE_FROM_FILE".into())).len(), 1, "it holds no secret");
        let links = ["MAILCHUTE_SERVICE_HOST", "MAILCHUTE_SERVICE_PORT", "MAILCHUTE_PORT_25_TCP_ADDR"];
        assert!(unknown(links.iter().map(Into::into)).is_empty(), "Kubernetes sets them");
    }

    #[test]
    fn what_surrounds_a_value_is_no_part_of_it() {
        for (value, said) in [
            ("a@x.example", Ok(Some("a@x.example"))),
            (" a \r", Ok(Some("a"))),
            ("\"a\"", Ok(Some("a"))),
            ("' a '\r\n", Ok(Some("a"))),
            ("\"\"", Ok(None)),
            (" ", Ok(None)),
            ("\"Shop, Inc.\" <a@x.example>", Ok(Some("\"Shop, Inc.\" <a@x.example>"))),
            ("\"a\" and \"b\"", Ok(Some("\"a\" and \"b\""))),
            ("Shop # 1 <a@x.example>", Ok(Some("Shop # 1 <a@x.example>"))),
            ("/run/secrets/a#b", Ok(Some("/run/secrets/a#b"))),
            ("smtps://mx.example   # our provider", Err("has a comment behind its value")),
            ("\"smtps://mx.example\" # ours", Err("has a comment behind its value")),
            ("tcp://10.96.14.7:25", Err("is \"tcp://10.96.14.7:25\", which is an address of Kubernetes")),
        ] {
            let found = text(&|_| Some(value.into()), "MAIL_PORT");
            let found = found.as_ref().map(|text| text.as_ref().map(|text| text.as_str()));
            assert_eq!(found.map_err(|failure| failure.why.as_str()), said, "{value}");
        }
    }
}
