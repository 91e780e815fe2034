//! Logins as `makemap` takes them: `AuthInfo:HOST "U:NAME" "I:NAME" "P:PASSWORD" "M:PLAIN"`, or `"P=BASE64"`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::import::draft::Draft;
use crate::import::draft::code::{MISREAD, NO_COUNTERPART, PASSWORD, PLACEHOLDER, UNUSED};
use crate::import::draft::ledger::Id;
use crate::import::draft::placeholder::is_placeholder;
use crate::import::draft::{Said, Smarthost, Written, secret};
use crate::import::source::SourceFile;

/// A line of the table.
pub(super) struct Login {
    /// The host in lower case; empty: every host.
    host: String,
    items: Vec<(char, String)>,
    id: Id,
}

/// The logins of a table; the last of each key.
pub(super) fn logins(source: &SourceFile, draft: &mut Draft) -> Vec<Login> {
    let mut found: Vec<Login> = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        if line.starts_with('#') {
            continue;
        }
        let line = line.trim();
        let (key, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let Some((tag, host)) = key.split_once(':').filter(|(tag, _)| tag.eq_ignore_ascii_case("AuthInfo")) else {
            continue;
        };
        let id = draft.ledger.read(&source.path, number + 1, tag);
        let host = host.to_lowercase();
        if let Some(at) = found.iter().position(|known| known.host == host) {
            draft.ledger.say(found.remove(at).id, &UNUSED, "a later line is for the same host");
        }
        found.push(Login { host, items: items(rest, id, draft), id });
    }
    found
}

/// The items of a line: a letter, and a text.
fn items(rest: &str, id: Id, draft: &mut Draft) -> Vec<(char, String)> {
    let mut found = Vec::new();
    let mut rest = rest.trim_start();
    while !rest.is_empty() {
        let Some((item, behind)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) else {
            draft.ledger.say(id, &MISREAD, "sendmail takes what stands in double quotes alone, and so does the import");
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            rest = rest[end..].trim_start();
            continue;
        };
        rest = behind.trim_start();
        let mut letters = item.chars();
        let (Some(letter), Some(sign)) = (letters.next(), letters.next()) else { continue };
        let text = match sign {
            ':' => Some(letters.as_str().to_owned()),
            '=' => STANDARD.decode(letters.as_str()).ok().and_then(|octets| String::from_utf8(octets).ok()),
            _ => None,
        };
        match text {
            Some(text) => found.push((letter.to_ascii_uppercase(), text)),
            None => draft.ledger.say(id, &PASSWORD, "an item of it is no text and no base64"),
        }
    }
    found
}

/// Gives the smarthost the login that sendmail takes for `host`: that of the name, else that of every host.
pub(super) fn give(logins: &[Login], host: &str, smarthost: &mut Smarthost, draft: &mut Draft) {
    let find = |key: &str| logins.iter().find(|login| login.host == key);
    let Some(login) = find(&host.to_lowercase()).or_else(|| find("")) else { return };
    let get = |letter: char| login.items.iter().find(|(known, _)| *known == letter).map(|(_, text)| text.as_str());
    let id = login.id;
    if let (Some(as_whom), Some(own)) = (get('U'), get('I'))
        && as_whom != own
    {
        let why = "sendmail asks to act as another name (U) than it logs in with (I); here the login stands for itself";
        draft.ledger.say(id, &NO_COUNTERPART, why);
    }
    if get('R').is_some() {
        draft.ledger.say(id, &NO_COUNTERPART, "no realm is said to the server here");
    }
    let Some(user) = get('I').or_else(|| get('U')).filter(|user| !user.is_empty()) else {
        return draft.ledger.say(id, &PASSWORD, "it has no user name (\"I:...\")");
    };
    let password = get('P').unwrap_or_default();
    if is_placeholder(user) || is_placeholder(password) {
        draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
    }
    smarthost.username = Some(Said::new(user.to_owned(), id));
    smarthost.secret = Some(match password.is_empty() {
        true => {
            draft.ledger.say(id, &PASSWORD, "it has no password (\"P:...\")");
            Said::new(Written::Wanted, id)
        }
        false => secret(password, id),
    });
    if let Some(words) = get('M') {
        smarthost.auth = Said::new(words.split_whitespace().map(str::to_owned).collect(), id);
    }
    draft.ledger.carry(&[id]);
}

/// Says of those that were not taken why.
pub(super) fn settle(logins: &[Login], draft: &mut Draft) {
    for login in logins.iter().filter(|login| draft.ledger.is_open(login.id)).map(|login| login.id).collect::<Vec<_>>()
    {
        draft.ledger.say(login, &UNUSED, "it is for a server that no mail goes to");
    }
}
