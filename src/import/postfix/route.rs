//! The servers that Postfix hands mail to, by default and by sender, with their logins.

use super::parameters::{TableRow, rows};
use super::{Client, Said, Table, Written};
use crate::failure::Failure;
use crate::import::draft::code::{PASSWORD, PLACEHOLDER, PORT, UNUSED};
use crate::import::draft::placeholder::is_placeholder;
use crate::import::draft::{Draft, secret};

/// A server as a table or a parameter names it.
pub(super) struct Hop {
    /// As it is written: the key of its login.
    text: Said<String>,
    host: String,
    port: u16,
    is_looked_up: bool,
}

impl Hop {
    /// Reads `[HOST]:PORT`, `HOST:PORT`, with a transport before it.
    fn new(text: Said<String>) -> Self {
        let value = text.value.strip_prefix("smtp:").unwrap_or(&text.value).to_owned();
        let (host, port, is_looked_up) = match value.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host.to_owned(), port.strip_prefix(':').map(str::to_owned), false),
            None => match value.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port.to_owned()), true),
                None => (value.clone(), None, true),
            },
        };
        let port = match port.as_deref() {
            None | Some("" | "smtp") => 25,
            Some("submission") => 587,
            Some("smtps" | "submissions") => 465,
            Some(number) => number.parse().unwrap_or(25),
        };
        Self { text: Said { value, from: text.from }, host, port, is_looked_up }
    }
}

/// The server for all mail; `None`: there is none.
pub(super) fn relayhost(client: &Client<'_>, draft: &mut Draft) -> Option<Hop> {
    client.get("relayhost", draft).map(Hop::new)
}

/// Makes the relays, and the sites where the sender decides.
///
/// # Errors
/// A table cannot be read.
pub(super) fn relays(client: &Client<'_>, main: &Hop, draft: &mut Draft) -> Result<(), Failure> {
    let logs_in = client.parameters.is_yes("smtp_sasl_auth_enable", &mut draft.ledger);
    let mut logins = Vec::new();
    if let Some(Said { value, from }) = client.get("smtp_sasl_password_maps", draft) {
        logins = rows(client.asked, &value, from[0], &mut draft.ledger)?;
        if logs_in.is_none() {
            draft.say_all(&from, "", &UNUSED, "without smtp_sasl_auth_enable Postfix does not log in");
        } else {
            draft.ledger.carry(&from);
        }
    }
    draft.ledger.carry(logs_in.as_slice());
    let by_sender = client.parameters.is_yes("smtp_sender_dependent_authentication", &mut draft.ledger);
    draft.ledger.carry(by_sender.as_slice());
    let mut senders = Vec::new();
    if let Some(Said { value, from }) = client.get("sender_dependent_relayhost_maps", draft) {
        senders = rows(client.asked, &value, from[0], &mut draft.ledger)?;
        draft.ledger.carry(&from);
    }
    // One whose login alone depends on the sender goes through the same server.
    if by_sender.is_some() {
        for login in logins.iter().filter(|login| login.key.contains('@') && !login.key.starts_with('[')) {
            if !senders.iter().any(|row| row.key == login.key) {
                let Said { value, from } = main.text.clone();
                senders.push(TableRow { key: login.key.clone(), value, from });
            }
        }
    }
    let is_alone = senders.is_empty();
    let usable = logs_in.is_some();
    let name = relay(client, if is_alone { "relayhost" } else { "fallback" }, main, None, &logins, usable, draft);
    for row in senders {
        let hop = Hop::new(Said { value: row.value.clone(), from: row.from.clone() });
        let pattern = if row.key.starts_with('@') { format!("*{}", row.key) } else { row.key.clone() };
        let name = row.key.trim_start_matches('@').split(['@', '.']).next().unwrap_or_default();
        let table = draft.named(Table::Site, name, &row.from);
        let sender = by_sender.is_some().then_some(row.key.as_str());
        let relay = relay(client, name, &hop, sender, &logins, usable, draft);
        draft.set(&table, "sender", Written::List(vec![pattern]), &row.from);
        draft.set(&table, "other_sender", "pass", &[]);
        draft.set(&table, "relay", Written::List(vec![relay]), &row.from);
    }
    if !is_alone {
        let others = draft.named(Table::Site, "others", &main.text.from);
        draft.set(&others, "relay", Written::List(vec![name]), &main.text.from);
    }
    for login in &logins {
        for id in &login.from {
            if draft.ledger.is_open(*id) {
                draft.ledger.say(*id, &UNUSED, "it is for a server that no mail goes to");
            }
        }
    }
    Ok(())
}

/// Makes the relay to `hop`, and returns its name.
fn relay(
    client: &Client<'_>,
    name: &str,
    hop: &Hop,
    sender: Option<&str>,
    logins: &[TableRow],
    logs_in: bool,
    draft: &mut Draft,
) -> String {
    let host = Said { value: hop.host.clone(), from: hop.text.from.clone() };
    if is_placeholder(&hop.host) {
        draft.say_all(&host.from, "relayhost", &PLACEHOLDER, "looks like what a template has in its place");
    }
    if hop.is_looked_up && hop.host.parse::<std::net::IpAddr>().is_err() {
        let why = format!(
            "without brackets Postfix asks DNS which servers take mail for {}; here it is that host itself",
            hop.host
        );
        draft.say_all(&host.from, "relayhost", &PORT, &why);
    }
    let mut smarthost = client.smarthost(name, host, hop.port, draft);
    if logs_in {
        let find = |key: &str| logins.iter().find(|row| row.key == key.to_lowercase());
        let of_sender = sender.and_then(find);
        let of_host = find(&hop.host).or_else(|| find(&hop.text.value)).or_else(|| find("*"));
        match of_sender.or(of_host) {
            Some(row) => {
                let (user, password) = row.value.split_once(':').unwrap_or((&row.value, ""));
                let id = row.from[0];
                if is_placeholder(user) || is_placeholder(password) {
                    draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
                }
                smarthost.username = Some(Said::new(user.to_owned(), id));
                smarthost.secret =
                    Some(if password.is_empty() { Said::new(Written::Wanted, id) } else { secret(password, id) });
            }
            None => {
                let why = format!(
                    "smtp_sasl_password_maps has no entry for {}, so Postfix does not log in there",
                    hop.text.value
                );
                draft.ledger.remark("login", &PASSWORD, why);
            }
        }
    }
    match draft.relay(smarthost) {
        Table::Relay(name) => name,
        _ => name.to_owned(),
    }
}
