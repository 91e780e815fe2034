//! `mailchute providers`: all of them with what their login takes, or everything known of one and a table to paste.

use std::fmt::Write;

use crate::failure::{Failure, Kind};
use crate::providers::api::{Entry, Sender, Size};
use crate::providers::{self, Idempotency, Port, Provider, TlsMode, UserName};
use crate::reply::printable;
use crate::tools::table::wrapped;

/// Every provider with its login, or the provider `id` (an alias will do) in full. No line has more than
/// its columns.
///
/// # Errors
/// `Usage`: there is no such provider.
pub fn show(id: Option<&str>) -> Result<String, Failure> {
    let Some(word) = id else { return Ok(table()) };
    Provider::find(word).map(page).ok_or_else(|| {
        let failure = Failure::new(Kind::Usage, printable(word.as_bytes(), 100), "no such provider");
        let likeness = |id: &str| strsim::jaro_winkler(&word.to_lowercase(), id);
        let ids = providers::all().flat_map(Provider::words);
        match ids.max_by(|one, other| likeness(one).total_cmp(&likeness(other))) {
            Some(near) if likeness(near) > 0.8 => failure.hint(format!("did you mean `{near}`?")),
            _ => failure.hint("`mailchute providers` lists them; any other takes host, username and password"),
        }
    })
}

/// How wide what is printed may be.
const COLUMNS: usize = 100;

fn table() -> String {
    let head = ["provider =", "name", "login"].map(str::to_owned);
    let row = |provider: &Provider| [provider.id.to_owned(), provider.name.to_owned(), provider.credentials()];
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(providers::all().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut out = String::new();
    for [id, name, login] in &rows {
        wrapped(&mut out, &format!("{id:<first$}  {name:<second$}  "), login, COLUMNS);
    }
    out.push_str(
        "\n`mailchute providers ID` shows the rest: servers, HTTP API, regions, notes, and a relay to paste.\n",
    );
    out
}

fn takes(entry: &Entry) -> &'static str {
    if entry.raw { "message" } else { "fields" }
}

fn carries(entry: &Entry) -> &'static str {
    match entry.sender {
        Sender::Carried => "carried",
        Sender::Replaced => "replaced",
    }
}

/// The limits that are documented.
fn limits(entry: &Entry) -> String {
    let recipients = entry.recipients.map(|most| format!("{most} recipients"));
    let size = entry.size.map(|size| match size {
        Size::Message(most) => format!("{} MB", most >> 20),
        Size::Request(most) => format!("{} MB with files in base64", most >> 20),
    });
    recipients.into_iter().chain(size).collect::<Vec<_>>().join(", ")
}

fn page(provider: &Provider) -> String {
    let mut out = format!("{}: {}\n", provider.id, provider.name);
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            wrapped(&mut out, &format!("  {name:<14}"), text, COLUMNS);
        }
    };
    line("also known as", &provider.aliases.join(", "));
    line("SMTP server", &server(provider));
    line("ports", &provider.ports.iter().map(port).collect::<Vec<_>>().join(", "));
    for region in provider.regions {
        let host = provider.host(Some(region.name)).unwrap_or_default();
        let mark = if provider.default_region == Some(region.name) { " (default)" } else { "" };
        line("region", &format!("{}: {host}{mark}", region.name));
    }
    line("user name", &user_name(&provider.username));
    line("secret", &provider.secrets.join(" or "));
    line("made at", provider.found);
    line("access token", if provider.bearer { "token (XOAUTH2)" } else { "" });
    if let Some(entry) = provider.api {
        line("API takes", &format!("the {}, reverse-path {}", takes(entry), carries(entry)));
        line("API login", &provider.api_credentials());
        line("API settings", &entry.keys().join(", "));
        line("API limits", &limits(entry));
    }
    if let Some(Idempotency { window, field, .. }) = provider.idempotency {
        let ways = if field.is_some() { "by API and by SMTP" } else { "by API" };
        line(
            "lost answer",
            &format!("asked for again with a key, {ways}, known for {} minutes", window.as_secs() / 60),
        );
    }
    line("mechanisms", &provider.auth.join(", "));
    for note in provider.notes {
        line("note", note);
    }
    for fact in provider.unverified {
        line("not confirmed", fact);
    }
    out.push('\n');
    out.push_str(&relay(provider));
    out
}

/// A table that logs in at `provider` by SMTP, once the dots are filled in and the secret is in its file.
fn relay(provider: &Provider) -> String {
    let mut out = format!("[relay.main]\nprovider = \"{}\"\n", provider.id);
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key} = {value}");
    };
    if provider.host.is_empty() {
        line("host", "\"mail.example.com\"");
    }
    if let Some(region) = provider.default_region {
        line("region", &format!("\"{region}\""));
    }
    match provider.username {
        UserName::Given(key) => line(key, "\"...\""),
        UserName::Joined(keys) => keys.iter().for_each(|key| line(key, "\"...\"")),
        UserName::Word(_) | UserName::Secret => {}
    }
    let secret = provider.secrets.first().copied().unwrap_or("password");
    line(secret, &format!("{{ file = \"/etc/mailchute/secrets/{}\" }}", provider.id));
    out
}

/// `host:port/tls` of the default port.
fn server(provider: &Provider) -> String {
    let host = provider.host(None).unwrap_or_else(|| "(host = ...)".to_owned());
    provider.ports.first().map_or_else(|| host.clone(), |first| format!("{host}:{}", port(first)))
}

fn port(port: &Port) -> String {
    let tls = match port.tls {
        TlsMode::Implicit => "implicit",
        TlsMode::StartTls => "starttls",
        TlsMode::None => "none",
    };
    format!("{}/{tls}", port.number)
}

fn user_name(name: &UserName) -> String {
    match name {
        UserName::Given(key) => format!("{key} = ..."),
        UserName::Word(word) => format!("`{word}`"),
        UserName::Secret => "the secret".to_owned(),
        UserName::Joined(keys) => keys.join("|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed as one line for each fact, however long.
    fn unwrapped(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_provider_has_a_line_and_a_page() {
        let table = show(None).expect("the table");
        for provider in providers::all() {
            let of_it = |line: &&str| line.split(' ').next() == Some(provider.id);
            let line = table.lines().find(of_it).expect(provider.id);
            assert!(line.contains(provider.name), "{line}");
            assert!(unwrapped(&table).contains(&format!("{} {}", provider.name, provider.credentials())), "{table}");
            for word in provider.words() {
                let page = show(Some(word)).expect(word);
                let facts = unwrapped(&page);
                assert!(provider.notes.iter().chain(provider.unverified).all(|fact| facts.contains(fact)), "{page}");
                assert!(page.lines().all(|line| line.chars().count() <= COLUMNS), "{page}");
            }
        }
        assert!(table.lines().all(|line| line.chars().count() <= COLUMNS), "{table}");
    }

    #[test]
    fn a_page_ends_with_a_table_to_paste() {
        let page = show(Some("postmark")).expect("the page");
        let (_, table) = page.split_once("\n\n").expect("an empty line");
        assert_eq!(
            table,
            "[relay.main]\nprovider = \"postmark\"\ntoken = { file = \"/etc/mailchute/secrets/postmark\" }\n"
        );
    }

    #[test]
    fn a_misspelt_provider_is_guessed() {
        let failure = show(Some("postmrak")).expect_err("no such provider");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `postmark`?"));
        assert!(show(Some("\x1b[2J")).is_err_and(|failure| failure.to_string() == "?[2J: no such provider"));
    }
}
