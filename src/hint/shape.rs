//! What a refused secret looks like, where its look gives away what is wrong with it.

use crate::attempt::Attempt;
use crate::config::relay::{Relay, SecretKind};
use crate::deadline::Deadline;
use crate::providers;
use crate::secret::{Source, called};

/// The next step where the secret of `relay` looks like a mistake. It is read once more for this, a command's apart.
pub(super) fn of_secret(relay: &Relay) -> Option<String> {
    let of_api = relay.api().into_iter().flat_map(|api| &api.credentials).map(|(_, source)| source);
    let of_smtp = relay.smtp_login().and_then(|login| login.secret.as_ref());
    of_api.chain(of_smtp).find_map(|source| {
        if matches!(source, Source::Command(_)) {
            return None;
        }
        let mut aside = Attempt::new(Deadline::after(std::time::Duration::ZERO));
        let secret = source.read(relay.strict_modes, &mut aside).ok()?;
        let text = secret.expose();
        let wrong = look(text, is_lone_key(relay), source).or_else(|| foreign_key(text, relay))?;
        Some(format!("the secret ({}) {wrong}", place(source)))
    })
}

/// Whether the secret is a key that somebody's machine made up, so without a blank in it.
pub(super) fn is_lone_key(relay: &Relay) -> bool {
    let is_token = || relay.smtp_login().is_some_and(|login| login.kind == SecretKind::Token);
    relay.api().is_some() || (relay.has_login_key() && !is_token())
}

/// What is odd about `text`, as the end of a sentence.
pub(super) fn look(text: &str, is_key: bool, source: &Source) -> Option<String> {
    let trimmed = text.trim();
    let quote = |mark: char| trimmed.len() > 1 && trimmed.starts_with(mark) && trimmed.ends_with(mark);
    let path = |text: &str| {
        !text.contains(char::is_whitespace) && (text.starts_with("~/") || text.starts_with("./") || is_file_path(text))
    };
    Some(match () {
        // The key of a service account.
        () if trimmed.starts_with('{') => return None,
        () if text.starts_with('\u{feff}') => {
            "begins with a byte order mark: save the file as UTF-8 without one".into()
        }
        () if trimmed.contains('\n') => "has several lines: keep nothing but the secret in there".into(),
        () if quote('"') || quote('\'') => "is in quotes, which are taken as part of it: leave them out".into(),
        () if path(trimmed) => match source {
            Source::Env(name) => format!("is a path: name the file in {name}_FILE instead"),
            Source::Inline(_) => "is a path: write { file = \"PATH\" } to have the file read".into(),
            _ => "is a path, and that file is not read: put the secret itself there".into(),
        },
        () if trimmed.starts_with('$') || is_assignment(trimmed) => {
            "looks like a variable, and nothing replaces it here: put the secret itself there".into()
        }
        () if text.ends_with('\r') => {
            "ends in a carriage return, which is sent too: save the file with line ends of Unix".into()
        }
        () if trimmed.contains(" # ") || trimmed.contains("\t# ") => {
            "has ` # ` in it: a file of variables takes a comment as part of the value".into()
        }
        () if is_twice_base64(trimmed) => {
            "looks like base64: in a Secret of Kubernetes, put plain text under stringData, or base64 once under data"
                .into()
        }
        () if trimmed != text => "begins or ends with a blank, which is sent too: take it off".into(),
        () if is_key && text.contains(char::is_whitespace) => "has a blank in it: copy the key again".into(),
        () => return stranger(text, is_key),
    })
}

/// The first character that nobody sees, or that no key has.
pub(super) fn stranger(text: &str, is_key: bool) -> Option<String> {
    let is_strange = |c: &char| match is_key {
        true => !(' '..='~').contains(c) && *c != '\n' && *c != '\r',
        false => {
            (c.is_control() && !"\t\r\n".contains(*c)) || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        }
    };
    let found = text.chars().find(is_strange)?;
    let which = if is_key { "which no key has" } else { "which nobody sees" };
    Some(format!("holds U+{:04X}{}, {which}: copy it again, as plain text", u32::from(found), called(found)))
}

/// Whether it is text in base64: what Kubernetes decodes once is that where it was encoded twice.
fn is_twice_base64(text: &str) -> bool {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(text).ok();
    // Most keys are base64 of octets of every kind; eight printable ones in a row are no chance.
    decoded.is_some_and(|octets| {
        let octets = octets.strip_suffix(b"\n").unwrap_or(&octets);
        octets.len() >= 8 && octets.iter().all(u8::is_ascii_graphic)
    })
}

/// `/a/b`: with a second slash, or a file that is there. A password may begin with a slash.
fn is_file_path(text: &str) -> bool {
    text.starts_with('/')
        && (text.starts_with("/run/") || text.starts_with("/etc/") || std::path::Path::new(text).exists())
}

/// `NAME=value`, as a line of an environment file.
fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, value)| {
        !value.is_empty()
            && name.contains('_')
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// What to do about a key that is not for this provider, or not for the way it is spoken to.
pub(super) fn foreign_key(text: &str, relay: &Relay) -> Option<String> {
    let provider = relay.provider?;
    let mut forms = providers::all().flat_map(|owner| owner.keys.iter().map(move |form| (owner, form)));
    let (owner, form) = forms.find(|(_, form)| text.starts_with(form.prefix))?;
    if owner.id != provider.id {
        // Other providers may begin theirs alike, if it is not a telling word.
        let known = !provider.keys.is_empty();
        return known.then(|| format!("is a key of {}, and this relay is {}", owner.name, provider.name));
    }
    match (relay.api().is_some(), form.smtp, form.api) {
        (false, false, true) => Some(format!(
            "is an API key, and SMTP wants {}: make one at {}, or use the API with api_key or token",
            provider.credentials(),
            provider.name
        )),
        (_, false, false) => Some("is a public key, which opens nothing: copy the private one".to_owned()),
        (true, _, false) => {
            Some(format!("is for SMTP, and the API wants another: make an API key at {}", provider.name))
        }
        _ => None,
    }
}

/// Where the secret stands, without owner and mode.
fn place(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Inline(_) => "in the configuration".to_owned(),
        other => other.describe(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, is_key: bool) -> String {
        look(text, is_key, &Source::File("/x".into())).unwrap_or_default()
    }

    #[test]
    fn a_secret_that_looks_like_a_mistake_is_told() {
        for (text, is_key, told) in [
            ("s3cret", true, ""),
            ("two words", false, ""),
            ("two words", true, "has a blank in it"),
            ("/9j4AAQSkZJRg", false, ""),
            ("abc=", false, ""),
            ("{\n\"client_email\": \"x\"\n}", true, ""),
            ("s3cret ", false, "begins or ends with a blank"),
            ("s3cret\n# for the shop", false, "has several lines"),
            ("czNjcmV0LXdvcmRz", false, "looks like base64"),
            ("czNjcmV0LXdvcmRzCg==", true, "looks like base64"),
            ("q83vEjRWeJCrze8SNFZ4kA==", true, ""),
            ("s3cret # for the shop", false, "has ` # ` in it"),
            ("s3cret\r", false, "ends in a carriage return"),
            ("\"s3cret\"", false, "is in quotes"),
            ("'s3cret'", false, "is in quotes"),
            ("\u{feff}s3cret", false, "begins with a byte order mark"),
            ("/run/secrets/smtp", false, "is a path"),
            ("${SMTP_PASSWORD}", false, "looks like a variable"),
            ("SMTP_PASSWORD=hunter2", false, "looks like a variable"),
        ] {
            let shown = shown(text, is_key);
            assert!(shown.starts_with(told) && shown.is_empty() == told.is_empty(), "{text}: {shown}");
            assert!(!shown.contains("s3cret") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
