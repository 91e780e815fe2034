//! `mailchute providers`: the registry as a table, or everything known about one row.

use std::fmt::Write;

use crate::failure::{Failure, Kind};
use crate::providers::api::{Entry, Sender};
use crate::providers::{self, Port, Provider, TlsMode, UserName};
use crate::reply::printable;

/// The registry as an aligned table, or the provider `id` (an alias will do) in full.
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

/// The columns of the table.
const HEAD: [&str; 8] =
    ["provider =", "name", "SMTP server", "SMTP login", "API takes", "API login", "API sender", "API limits"];

fn table() -> String {
    let rows: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned)).chain(providers::all().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push_str(
        "\nAPI takes: the finished message, or fields made from it. API sender: whether the reverse-path is carried.\n\
         * not every fact is confirmed; `mailchute providers ID` says which, with ports, regions and notes\n",
    );
    out
}

fn row(provider: &Provider) -> [String; 8] {
    let mark = if provider.unverified.is_empty() { "" } else { "*" };
    let entry = provider.api;
    let of_api = |say: fn(&Entry) -> String| entry.map_or_else(|| "-".to_owned(), say);
    [
        format!("{}{mark}", provider.id),
        provider.name.to_owned(),
        server(provider),
        provider.credentials(),
        of_api(|entry| takes(entry).to_owned()),
        entry.map_or_else(|| "-".to_owned(), |_| provider.api_credentials()),
        of_api(|entry| carries(entry).to_owned()),
        of_api(limits),
    ]
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
    let size = entry.size.map(|most| format!("{} MB", most >> 20));
    recipients.into_iter().chain(size).collect::<Vec<_>>().join(", ")
}

fn page(provider: &Provider) -> String {
    let mut out = format!("{}: {}\n", provider.id, provider.name);
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(out, "  {name:<14}{text}");
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
    line("access token", if provider.bearer { "token (XOAUTH2)" } else { "" });
    if let Some(entry) = provider.api {
        line("API takes", &format!("the {}, reverse-path {}", takes(entry), carries(entry)));
        line("API login", &provider.api_credentials());
        line("API settings", &entry.keys().join(", "));
        line("API limits", &limits(entry));
    } else {
        line("HTTP API only", &provider.api_keys.join(", "));
    }
    line("mechanisms", &provider.auth.join(", "));
    for note in provider.notes {
        line("note", note);
    }
    for fact in provider.unverified {
        line("not confirmed", fact);
    }
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

    #[test]
    fn every_provider_has_a_line_and_a_page() {
        let table = show(None).expect("the table");
        for provider in providers::all() {
            let of_it = |line: &&str| line.split([' ', '*']).next() == Some(provider.id);
            let line = table.lines().find(of_it).expect(provider.id);
            assert!(line.contains(provider.name) && line.contains(provider.secrets[0]), "{line}");
            for word in provider.words() {
                let page = show(Some(word)).expect(word);
                assert!(provider.notes.iter().chain(provider.unverified).all(|fact| page.contains(fact)), "{page}");
            }
        }
    }

    #[test]
    fn a_misspelt_provider_is_guessed() {
        let failure = show(Some("postmrak")).expect_err("no such provider");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `postmark`?"));
        assert!(show(Some("\x1b[2J")).is_err_and(|failure| failure.to_string() == "?[2J: no such provider"));
    }
}
