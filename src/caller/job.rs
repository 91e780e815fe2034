//! A cron job's command line, as it may be shown.
//!
//! Whoever writes a crontab writes passwords into it. cron's own log and the list of processes show them all the same,
//! but the record goes further than these: to alerts, reports and whoever asks for help with it.

use crate::reply::printable;

/// The longest, in octets.
const LIMIT: usize = 256;

/// How much of it is looked at, in octets.
const LOOKED_AT: usize = 1024;

/// Stands for what was left out.
const LEFT_OUT: &str = "***";

/// Stands for the query of a URL.
const QUERY: &str = "?***";

/// The words of a command line, without what looks like a secret: the values of `--name=value`, `NAME=value`, `-pvalue`
/// and `https://user:password@host`, and what stands behind an option that asks for one.
pub(super) fn shown(words: &[Vec<u8>]) -> String {
    let line = printable(&words.join(&b' '), LOOKED_AT);
    let mut shown: Vec<String> = Vec::new();
    // Whether the last word asked for a secret, and the quotation mark that has to come before one ends.
    let (mut is_asked_for, mut open) = (false, None);
    for word in line.split_whitespace() {
        let bare = word.trim_start_matches(['"', '\'', '(']);
        let (seen, hidden) = match () {
            () if open.is_some() => (String::new(), word),
            () if is_asked_for && !bare.starts_with('-') => (LEFT_OUT.to_owned(), word),
            () => without_value(word, bare),
        };
        is_asked_for = open.is_none() && hidden.is_empty() && asks_for_secret(bare);
        open = still_open(open, hidden);
        if !seen.is_empty() {
            shown.push(seen);
        }
    }
    printable(shown.join(" ").trim_end().as_bytes(), LIMIT)
}

/// What is shown of a word, and what is not.
fn without_value<'w>(word: &'w str, bare: &str) -> (String, &'w str) {
    if let Some((scheme, rest)) = word.split_once("://").filter(|(scheme, _)| !scheme.contains('=')) {
        let place = rest.rsplit_once('@').map(|(_, place)| format!("{LEFT_OUT}@{place}"));
        let place = place.as_deref().unwrap_or(rest);
        let (place, query) = place.split_once('?').map_or((place, ""), |(place, _)| (place, QUERY));
        return (format!("{scheme}://{place}{query}"), "");
    }
    if let Some((name, value)) = word.split_once('=').filter(|(_, value)| !value.is_empty()) {
        return (format!("{name}={LEFT_OUT}"), value);
    }
    match bare.strip_prefix('-').filter(|letters| !letters.starts_with('-') && letters.chars().nth(1).is_some()) {
        // -la, -euo
        Some(letters) if letters.len() < 4 && !letters.starts_with(ASKING) && letters.is_ascii() => {
            (word.to_owned(), "")
        }
        Some(letters) => {
            let value = letters.char_indices().nth(1).map_or("", |(at, _)| &word[word.len() - letters.len() + at..]);
            (format!("{}{LEFT_OUT}", &word[..word.len() - value.len()]), value)
        }
        None => (word.to_owned(), ""),
    }
}

/// Letters that take a password, a user with one, a key or a header field.
const ASKING: [char; 7] = ['p', 'P', 'u', 'U', 'k', 'K', 'H'];

/// Parts of the names of options that take a secret.
const NAMES: [&str; 10] = ["pass", "pwd", "secret", "token", "key", "auth", "user", "login", "cred", "header"];

/// Whether the word behind this one may be a secret.
fn asks_for_secret(bare: &str) -> bool {
    let Some(name) = bare.strip_prefix('-') else { return false };
    let long = name.trim_start_matches('-').to_ascii_lowercase();
    (name.len() == 1 && name.starts_with(ASKING)) || NAMES.iter().any(|part| long.contains(part))
}

/// The quotation mark that is open behind `text`.
fn still_open(open: Option<char>, text: &str) -> Option<char> {
    let mark = match open {
        Some(mark) => mark,
        None => text.chars().next().filter(|c| ['"', '\''].contains(c))?,
    };
    let inner = if open.is_some() { text } else { &text[1..] };
    (!inner.contains(mark)).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_shown_without_what_may_be_a_secret() {
        for (line, is_shown) in [
            ("/bin/sh|-c|php /srv/www/shop/cron.php", "/bin/sh -c php /srv/www/shop/cron.php"),
            (
                "/bin/sh|-c|cd /srv && tar -czf x.tgz . >/dev/null 2>&1",
                "/bin/sh -c cd /srv && tar -czf x.tgz . >/dev/null 2>&1",
            ),
            ("/bin/sh|-c|set -euo pipefail; ls -la", "/bin/sh -c set -euo pipefail; ls -la"),
            ("sh|-c|TOKEN=SECRET php x.php --key=SECRET -n", "sh -c TOKEN=*** php x.php --key=*** -n"),
            ("sh|-c|A='SECRET SECRET' php x.php", "sh -c A=*** php x.php"),
            ("sh|-c|mysqldump -uroot -pSECRET shop", "sh -c mysqldump -u*** -p*** shop"),
            ("sh|-c|mysqldump -p'SECRET SECRET' shop", "sh -c mysqldump -p*** shop"),
            ("sh|-c|sshpass -p SECRET ssh x", "sh -c sshpass -p *** ssh x"),
            ("sh|-c|curl -u a:SECRET https://x.example/", "sh -c curl -u *** https://x.example/"),
            ("sh|-c|curl -H \"Authorization: Bearer SECRET\" https://x/", "sh -c curl -H *** https://x/"),
            ("sh|-c|curl --header 'X-Key: SECRET' x", "sh -c curl --header *** x"),
            ("sh|-c|wget https://a:SEC@RET@x.example/c?k=SECRET", "sh -c wget https://***@x.example/c?***"),
            ("sh|-c|wget https://a:SECRET@x.example/", "sh -c wget https://***@x.example/"),
            ("sh|-c|wget 'https://x.example/c?k=SECRET'", "sh -c wget 'https://x.example/c?***"),
            ("wget|--password|SECRET|x", "wget --password *** x"),
            ("sh|-c|A=\"SECRET", "sh -c A=***"),
            ("sh|-c|x -p|", "sh -c x -p"),
            ("sh|-c|x -é -éSECRET", "sh -c x -é -é***"),
            ("", ""),
        ] {
            let words: Vec<Vec<u8>> = line.split('|').map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(shown(&words), is_shown, "{line}");
        }
        let long = shown(&[b"x ".repeat(100_000), b"\x1b\xff".to_vec()]);
        assert!(long.len() <= LIMIT);
    }
}
