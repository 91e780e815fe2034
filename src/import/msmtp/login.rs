//! How msmtp logs in.

use super::file::Account;
use crate::import::draft::code::{COMMAND, PASSWORD, UNUSED};
use crate::import::draft::{Draft, Said, Smarthost, Written, secret};
use crate::import::source::Inquiry;

/// Fills in user name, secret and mechanism.
pub(super) fn of(asked: &Inquiry<'_>, account: &Account, smarthost: &mut Smarthost, draft: &mut Draft) {
    let method = account.get("auth").filter(|(method, _)| *method != "off");
    let keys = ["user", "password", "passwordeval", "ntlmdomain"];
    let Some((method, auth)) = method else {
        if let Some((_, id)) = account.get("auth") {
            draft.ledger.imply(id);
        }
        for (_, id) in keys.iter().filter_map(|key| account.get(key)) {
            draft.ledger.say(id, &UNUSED, "without `auth on` msmtp does not log in");
        }
        return;
    };
    match method {
        "" | "on" => draft.ledger.imply(auth),
        method => smarthost.auth = Said::new(vec![method.to_uppercase()], auth),
    }
    let method = method.to_ascii_lowercase();
    smarthost.is_token = matches!(method.as_str(), "xoauth2" | "oauthbearer");
    let user = account.get("user").filter(|(user, _)| !user.is_empty());
    smarthost.username = user.map(|(user, id)| Said::new(user.to_owned(), id));
    if let Some((_, id)) = account.get("ntlmdomain") {
        draft.drop(id, "there is no NTLM here");
    }
    if method == "external" {
        for (_, id) in keys[1..3].iter().filter_map(|key| account.get(key)) {
            draft.ledger.say(id, &UNUSED, "auth external has no password");
        }
        return;
    }
    let password = account.get("password").filter(|(password, _)| !password.is_empty());
    let command = account.get("passwordeval").filter(|(command, _)| !command.is_empty());
    smarthost.secret = match (password, command) {
        (Some((password, id)), other) => {
            if let Some((_, id)) = other {
                draft.ledger.say(id, &UNUSED, "the password is there");
            }
            Some(secret(password, id))
        }
        (None, Some((command, id))) => Some(Said::new(evaluated(asked, command, id, draft), id)),
        (None, None) => {
            let why = "there is no password here: msmtp asks a keyring, ~/.netrc or the terminal, which a web server's user \
                       does not have";
            draft.ledger.say(auth, &PASSWORD, why);
            Some(Said::new(Written::Wanted, auth))
        }
    };
    if smarthost.username.is_none() {
        draft.ledger.say(auth, &PASSWORD, "there is no user name here: msmtp asks ~/.netrc or the terminal");
        smarthost.secret = None;
    }
}

/// The secret that a shell's command prints.
fn evaluated(asked: &Inquiry<'_>, command: &str, id: crate::import::draft::ledger::Id, draft: &mut Draft) -> Written {
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_plain = |word: &str| {
        let word = word.strip_prefix("~/").unwrap_or(word);
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:,%".contains(&byte))
    };
    if let ["cat" | "/bin/cat" | "/usr/bin/cat", file] = words[..]
        && is_plain(file)
        && (file.starts_with('/') || file.starts_with("~/"))
    {
        return Written::File(asked.expanded(file));
    }
    draft.ledger.say(id, &COMMAND, "runs as whoever sends, in a small environment, and has ten seconds");
    Written::Command(vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()])
}
