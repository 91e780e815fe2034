//! The names of our variables, and hints in the words of somebody who has nothing but variables.

use std::ffi::OsString;

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

/// The `MAILCHUTE_*` names among `names` that mean nothing here, each as a sentence that names the right one.
pub(super) fn unknown(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut unknown: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("MAILCHUTE_") && !is_known(name))
        .map(|name| match meant(&name) {
            Some(ours) => format!("{name} is not a variable of mailchute: did you mean {ours}?"),
            None => format!("{name} is not a variable of mailchute"),
        })
        .collect();
    unknown.sort_unstable();
    unknown
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

/// What hints name of a configuration file, and how it is said in variables; `{url}` is the one with the URL.
const WORDS: &[(&str, &str)] = &[
    ("set tls = \"starttls\" or \"implicit\"", "write smtp://HOST:587 or smtps://HOST in {url}"),
    ("set tls = \"starttls\"", "write smtp://HOST:PORT in {url}"),
    ("set tls = \"implicit\"", "write smtps://HOST:PORT in {url}"),
    ("set username and password", "set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD"),
    ("username and app_password", "MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD"),
    ("set `from`", "set MAILCHUTE_FROM"),
    ("with other_sender = \"rewrite\"", "and add ?other_sender=rewrite to {url}"),
    ("set via = \"api\"", "write PROVIDER+api://default in {url}"),
    ("set via = \"smtp\"", "write PROVIDER+smtp://default in {url}"),
    ("set ca_file", "add ?ca_file=FILE to {url}"),
    ("set client_id", "add ?client_id=ID to {url}"),
    ("set `mailbox`", "add ?mailbox=ADDRESS to {url}"),
    ("raise `deadline` (and `connect_timeout`)", "add ?deadline=60s&connect_timeout=30s to {url}"),
    ("raise `deadline`", "add ?deadline=60s to {url}"),
    ("`domain`", "?domain=DOMAIN in {url}"),
];

/// `hint` for somebody whose configuration is the variable `url` and its companions.
pub fn in_variables(hint: &str, url: &str) -> String {
    if let Some((_, path)) = hint.strip_prefix("sudo install ").and_then(|rest| rest.rsplit_once(" /dev/stdin ")) {
        let path = path.split(", GROUP ").next().unwrap_or(path);
        return format!("mount the secret at {path}, or name the place where it is in the variable that ends in _FILE");
    }
    let mut text = hint.to_owned();
    for (theirs, ours) in WORDS {
        text = text.replace(theirs, &ours.replace("{url}", url));
    }
    text
}

/// A variable's value as text.
pub(super) fn text(variables: Variables<'_>, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match variables(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(Zeroizing::new(text))),
        Some(Err(_)) => Err(failure(name, "is not UTF-8 text")),
    }
}

/// A secret from its variable or the variable's `_FILE` twin.
pub(super) fn secret(variables: Variables<'_>, [name, file]: &[&'static str; 2]) -> Result<Option<Value>, Failure> {
    match (text(variables, name)?, text(variables, file)?) {
        (Some(_), Some(_)) => Err(failure(name, format!("and {file} are both set"))),
        (Some(secret), None) => Ok(Some(Value::Variable(name, secret))),
        (None, Some(path)) => Ok(Some(Value::File(path.to_string()))),
        (None, None) => Ok(None),
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
            assert_eq!(found, [format!("{name} is not a variable of mailchute{told}")]);
        }
        let known = ["MAILCHUTE_URL", "MAILCHUTE_PASSWORD_FILE", "MAILCHUTE_BACKUP_KEY_FILE", "MAILER_DSN", "PATH"];
        assert!(unknown(known.iter().map(Into::into)).is_empty());
        assert_eq!(unknown(std::iter::once("MAILCHUTE_FROM_FILE".into())).len(), 1, "it holds no secret");
    }

    #[test]
    fn hints_are_told_in_variables() {
        for (hint, told) in [
            (
                "this relay requires a login: set username and password",
                "this relay requires a login: set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD",
            ),
            (
                "does port 587 speak STARTTLS? Then set tls = \"starttls\"",
                "does port 587 speak STARTTLS? Then write smtp://HOST:PORT in MAILCHUTE_URL",
            ),
            (
                "sudo install -m 0640 -g root /dev/stdin /run/secrets/smtp",
                "mount the secret at /run/secrets/smtp, or name the place where it is in the variable that ends in _FILE",
            ),
            ("check how the name is spelled", "check how the name is spelled"),
        ] {
            assert_eq!(in_variables(hint, "MAILCHUTE_URL"), told);
        }
    }
}
