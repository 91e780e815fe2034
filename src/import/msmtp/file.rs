//! The grammar of msmtprc: accounts, what they copy from each other, and what msmtp refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::failure::Failure;
use crate::import::draft::ledger::{Id, Ledger};
use crate::import::source::{SourceFile, shown, wrong};

/// The longest line that msmtp reads, in octets.
const LINE: usize = 499;

/// One account as the lines up to the end of the file leave it.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: String,
    /// The line that names it.
    pub(super) head: Id,
    /// What is set, by the command's name.
    pub(super) values: BTreeMap<String, (String, Id)>,
    /// The commands of its own: what another account copies from it.
    own: BTreeSet<String>,
}

impl Account {
    /// The argument of `command`.
    pub(super) fn get(&self, command: &str) -> Option<(&str, Id)> {
        self.values.get(command).map(|(value, id)| (value.as_str(), *id))
    }

    /// Whether `command` is on; `usual` where it is not there.
    pub(super) fn is_on(&self, command: &str, usual: bool) -> bool {
        self.get(command).map_or(usual, |(value, _)| matches!(value, "" | "on"))
    }
}

/// The accounts of a file, in order.
///
/// # Errors
/// `Data`, for the line that msmtp refuses.
pub(super) fn accounts(source: &SourceFile, ledger: &mut Ledger) -> Result<Vec<Account>, Failure> {
    let path = source.path.as_path();
    let mut defaults: BTreeMap<String, (String, Id)> = BTreeMap::new();
    let mut accounts: Vec<Account> = Vec::new();
    // Whether lines are for `defaults`, and whether a section was begun at all.
    let (mut is_default, mut is_begun) = (false, false);
    for (number, line) in source.text.split('\n').enumerate() {
        let number = number + 1;
        if line.len() > LINE {
            return Err(wrong(path, number, "line longer than msmtp reads (500 octets)"));
        }
        let Some((command, argument)) = command(line) else { continue };
        match command {
            "defaults" => {
                if !argument.is_empty() {
                    return Err(wrong(path, number, "command defaults does not take an argument"));
                }
                (is_default, is_begun) = (true, true);
                let id = ledger.read(path, number, "defaults");
                ledger.carry(&[id]);
            }
            "account" => {
                let head = ledger.read(path, number, "account");
                ledger.carry(&[head]);
                let account = account(path, number, argument, head, &defaults, &accounts)?;
                accounts.push(account);
                (is_default, is_begun) = (false, true);
            }
            _ => {
                let id = ledger.read(path, number, command);
                let known = check(path, number, command, argument)?;
                if !is_begun {
                    let values = defaults.clone();
                    accounts.push(Account { name: "default".to_owned(), head: id, values, own: BTreeSet::new() });
                    is_begun = true;
                }
                let (key, value) = match known {
                    "tls_nocertcheck" => ("tls_certcheck", "off"),
                    "tls_nostarttls" => ("tls_starttls", "off"),
                    "connect_timeout" => ("timeout", argument),
                    // Obsolete words for what is called otherwise now.
                    "add_missing_from_header" => ("set_from_header", if argument == "off" { "off" } else { "auto" }),
                    "keepbcc" => ("remove_bcc_headers", if argument == "off" { "on" } else { "off" }),
                    key => (key, argument),
                };
                let value = (value.to_owned(), id);
                let replaced = match accounts.last_mut() {
                    Some(account) if !is_default => {
                        account.own.insert(key.to_owned());
                        account.values.insert(key.to_owned(), value)
                    }
                    _ => defaults.insert(key.to_owned(), value),
                };
                // What was copied may be in use elsewhere: only the end of the file can tell.
                drop(replaced);
            }
        }
    }
    Ok(accounts)
}

/// Command and argument of a line; nothing of one that is empty or a comment.
fn command(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let line = line.trim_start_matches([' ', '\t']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (command, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let argument = argument.trim_matches([' ', '\t']);
    let unquoted = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some((command, unquoted.unwrap_or(argument)))
}

/// `account NAME [: ACCOUNT, ...]`.
fn account(
    path: &Path,
    number: usize,
    argument: &str,
    head: Id,
    defaults: &BTreeMap<String, (String, Id)>,
    known: &[Account],
) -> Result<Account, Failure> {
    let (name, list) = match argument.split_once(':') {
        Some((name, list)) => (name.trim_matches([' ', '\t']), Some(list)),
        None => (argument, None),
    };
    let find = |name: &str| known.iter().find(|account| account.name == name);
    let mut account = Account { name: name.to_owned(), head, values: defaults.clone(), own: BTreeSet::new() };
    for other in list.into_iter().flat_map(|list| list.split(',')) {
        let other = other.trim_matches([' ', '\t']);
        if other.is_empty() {
            return Err(wrong(path, number, "missing account name"));
        }
        let Some(other) = find(other) else {
            return Err(wrong(path, number, format!("account {other} is not (yet) defined")));
        };
        // msmtp 1.8.23 never copies this one, and with it off in `defaults` not the address that it is about either.
        let is_fixed = account.values.get("allow_from_override").is_some_and(|(word, _)| word == "off");
        let is_left = |key: &str| key == "allow_from_override" || (key == "from" && is_fixed);
        for key in other.own.iter().filter(|key| !is_left(key)) {
            if let Some(value) = other.values.get(key) {
                account.values.insert(key.clone(), value.clone());
                account.own.insert(key.clone());
            }
        }
    }
    if name.is_empty() {
        return Err(wrong(path, number, "missing account name"));
    }
    if name.contains([':', ',']) {
        return Err(wrong(path, number, "an account name holds no colons and commas"));
    }
    if find(name).is_some() {
        return Err(wrong(path, number, format!("account {name} was already defined in this file")));
    }
    Ok(account)
}

/// What an argument may be.
enum Form {
    /// `on`, `off` or nothing.
    Switch,
    /// The same, and `auto`.
    Auto,
    /// `auto`, `off` or nothing.
    AutoOrOff,
    /// Anything.
    Any,
    /// Anything but nothing.
    Some,
    /// Nothing.
    Nothing,
    /// A number to this one, or nothing where that is taken.
    Number(u32, bool),
    /// `off` or seconds.
    Seconds,
    /// One of these, `off` included where it is named.
    Words(&'static [&'static str]),
    /// The ways to log in.
    Auth,
    /// Hexadecimal digits with colons.
    Fingerprint,
    /// `on`, `off`, or a facility.
    Syslog,
    /// `off`, `never`, or some of the others.
    Notify,
}

/// The commands of msmtp 1.8.
const COMMANDS: &[(&str, Form)] = &[
    ("host", Form::Some),
    ("port", Form::Number(65_535, false)),
    ("source_ip", Form::Any),
    ("socket", Form::Any),
    ("proxy_host", Form::Any),
    ("proxy_port", Form::Number(65_535, true)),
    ("timeout", Form::Seconds),
    ("connect_timeout", Form::Seconds),
    ("protocol", Form::Words(&["smtp", "lmtp"])),
    ("domain", Form::Any),
    ("auto_from", Form::Switch),
    ("from", Form::Any),
    ("from_full_name", Form::Any),
    ("allow_from_override", Form::Switch),
    ("set_from_header", Form::Auto),
    ("set_date_header", Form::AutoOrOff),
    ("set_msgid_header", Form::AutoOrOff),
    ("remove_bcc_headers", Form::Switch),
    ("undisclosed_recipients", Form::Switch),
    ("maildomain", Form::Any),
    ("auth", Form::Auth),
    ("user", Form::Any),
    ("password", Form::Any),
    ("passwordeval", Form::Any),
    ("eval", Form::Some),
    ("ntlmdomain", Form::Any),
    ("tls", Form::Switch),
    ("tls_starttls", Form::Switch),
    ("tls_key_file", Form::Any),
    ("tls_cert_file", Form::Any),
    ("tls_trust_file", Form::Any),
    ("tls_crl_file", Form::Any),
    ("tls_fingerprint", Form::Fingerprint),
    ("tls_certcheck", Form::Switch),
    ("tls_min_dh_prime_bits", Form::Number(u32::MAX >> 1, true)),
    ("tls_priorities", Form::Any),
    ("tls_host_override", Form::Any),
    ("tls_nocertcheck", Form::Nothing),
    ("tls_nostarttls", Form::Nothing),
    ("tls_force_sslv3", Form::Any),
    ("dsn_return", Form::Words(&["off", "headers", "full"])),
    ("dsn_notify", Form::Notify),
    ("keepbcc", Form::Switch),
    ("add_missing_from_header", Form::Switch),
    ("add_missing_date_header", Form::Switch),
    ("logfile", Form::Any),
    ("logfile_time_format", Form::Any),
    ("syslog", Form::Syslog),
    ("aliases", Form::Any),
];

/// The words of `auth` beside `on` and `off`.
const AUTH: &[&str] = &[
    "external",
    "plain",
    "gssapi",
    "cram-md5",
    "digest-md5",
    "scram-sha-1",
    "scram-sha-1-plus",
    "scram-sha-256",
    "scram-sha-256-plus",
    "login",
    "ntlm",
    "oauthbearer",
    "xoauth2",
];

/// The command's name, where msmtp takes the line.
fn check<'c>(path: &Path, number: usize, command: &'c str, argument: &str) -> Result<&'c str, Failure> {
    let Some((_, form)) = COMMANDS.iter().find(|(known, _)| *known == command) else {
        return Err(wrong(path, number, format!("unknown command: {}", shown(command))));
    };
    let digits = |text: &str| {
        let text = text.trim_start();
        let text = text.strip_prefix('+').unwrap_or(text);
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let within = |text: &str, max: u32| digits(text).is_some_and(|number| (1..=u64::from(max)).contains(&number));
    let is_right = match form {
        Form::Switch => matches!(argument, "" | "on" | "off"),
        Form::Auto => matches!(argument, "" | "on" | "off" | "auto"),
        Form::AutoOrOff => matches!(argument, "" | "auto" | "off"),
        Form::Any => true,
        Form::Some => !argument.is_empty(),
        Form::Nothing => argument.is_empty(),
        Form::Number(max, or_nothing) => (*or_nothing && argument.is_empty()) || within(argument, *max),
        Form::Seconds => argument == "off" || within(argument, u32::MAX >> 1),
        Form::Words(words) => words.contains(&argument),
        Form::Auth => matches!(argument, "" | "on" | "off") || AUTH.contains(&argument),
        Form::Fingerprint => argument.is_empty() || is_fingerprint(argument),
        Form::Syslog => {
            let facility = argument.strip_prefix("LOG_");
            matches!(argument, "" | "on" | "off") || facility.is_some_and(is_facility)
        }
        Form::Notify => argument == "off" || argument == "never" || is_notify(argument),
    };
    match (is_right, form) {
        (true, _) => Ok(command),
        (false, Form::Nothing) => Err(wrong(path, number, format!("command {command} does not take an argument"))),
        (false, _) if argument.is_empty() => Err(wrong(path, number, format!("command {command} needs an argument"))),
        (false, _) => {
            let failure = wrong(path, number, format!("invalid argument for command {command}"));
            Err(match argument.contains("${") || argument.contains("{{") {
                true => failure.hint("this is a template: have it filled in first, for example with envsubst"),
                false => failure,
            })
        }
    }
}

fn is_fingerprint(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    let is_pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(pairs.len(), 16 | 20 | 32) && pairs.iter().all(is_pair)
}

fn is_facility(text: &str) -> bool {
    let local = text.strip_prefix("LOCAL").is_some_and(|rest| rest.len() == 1 && "01234567".contains(rest));
    local || matches!(text, "MAIL" | "USER")
}

fn is_notify(text: &str) -> bool {
    let words: Vec<&str> = text.split(',').collect();
    words.iter().all(|word| matches!(*word, "failure" | "delay" | "success"))
        && words.iter().enumerate().all(|(at, word)| !words[..at].contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_quotes_is_taken_off_and_nothing_else() {
        for (line, read) in [
            ("password \"q\"", Some(("password", "q"))),
            ("password \"quo\"ted 48\"  ", Some(("password", "quo\"ted 48"))),
            ("  password   a b\t", Some(("password", "a b"))),
            ("password a#b\r", Some(("password", "a#b"))),
            ("password \"", Some(("password", "\""))),
            ("tls", Some(("tls", ""))),
            (" # x", None),
            (" ", None),
        ] {
            assert_eq!(command(line), read, "{line}");
        }
    }
}
