//! What a domain says about its submission server in the file that mail programs look for (Thunderbird's autoconfig,
//! draft-ietf-mailmaint-autoconfig). Only the domain is told to anybody, never an address.

use std::time::Duration;

use super::ask;
use crate::config::relay::{Endpoint, Place, Relay};
use crate::deadline::Deadline;
use crate::process;
use crate::providers::TlsMode;
use crate::providers::api::{Credentials, Request};

/// The time that each place has.
const TIME: Duration = Duration::from_secs(3);

/// A submission server, with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// When TLS begins.
    pub tls: TlsMode,
}

/// Asks the two places of `domain` at once, by https alone, each in its own time; the first of them that knows a server
/// counts. Whatever goes wrong there is no answer, and a redirection is not followed.
pub fn look(domain: &str) -> Option<Server> {
    let places = [
        (format!("autoconfig.{domain}"), "/mail/config-v1.1.xml"),
        (domain.to_owned(), "/.well-known/autoconfig/mail/config-v1.1.xml"),
    ];
    std::thread::scope(|scope| {
        let asked: Vec<_> = places
            .iter()
            .map(|(host, path)| {
                let server = Relay::new(host, Place::Tcp { host: host.clone(), port: 443 }, TlsMode::Implicit);
                let url = format!("https://{host}");
                let ask = move || ask_at(&server, &url, path, domain, Deadline::after(TIME));
                process::start_in(scope, "autoconfig", ask)
            })
            .collect();
        let answers: Vec<_> = asked.into_iter().map(|thread| thread.ok()?.join().ok()?).collect();
        answers.into_iter().flatten().next()
    })
}

/// Asks one server for `path`; `url` is what it is called. `None`: it gives no answer that names a server for `domain`.
pub fn ask_at(server: &Relay, url: &str, path: &str, domain: &str, deadline: Deadline) -> Option<Server> {
    let endpoint = Endpoint { url: url.to_owned(), place: server.place.clone(), tls: server.tls };
    let request = Request::get(path);
    let response = ask(server, &endpoint, &request, &Credentials::default(), deadline).ok()?;
    let text = std::str::from_utf8(&response.body).ok().filter(|_| response.status == 200 && response.is_whole)?;
    read(text, domain)
}

/// The first submission server with TLS that the file `text` names.
fn read(text: &str, domain: &str) -> Option<Server> {
    let text = without_comments(text);
    let mut rest = text.as_str();
    while let Some((_, behind)) = rest.split_once("<outgoingServer") {
        let (block, after) = behind.split_once("</outgoingServer>")?;
        rest = after;
        let (attributes, inside) = block.split_once('>')?;
        let is_smtp = attributes.contains("type=\"smtp\"") || attributes.contains("type='smtp'");
        if let Some(server) = is_smtp.then(|| server(inside, domain)).flatten() {
            return Some(server);
        }
    }
    None
}

/// The server of one block.
fn server(block: &str, domain: &str) -> Option<Server> {
    let host = element(block, "hostname")?.replace("%EMAILDOMAIN%", domain).to_lowercase();
    let is_name = |host: &str| {
        host.len() <= 253
            && host.contains('.')
            && host.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            })
    };
    let tls = match element(block, "socketType")? {
        "SSL" => TlsMode::Implicit,
        "STARTTLS" => TlsMode::StartTls,
        // Nobody's password goes there in clear.
        _ => return None,
    };
    let port = element(block, "port")?.parse().ok().filter(|port| *port != 0)?;
    Some(Server { host, port, tls }).filter(|server| is_name(&server.host))
}

/// The text of the first element of this name.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = behind.split_once(&format!("</{name}>"))?;
    Some(inside.trim())
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| part.split_once("-->")).fold(first, |text, (_, behind)| text + behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<(String, u16, TlsMode)> {
        read(text, "shop.example").map(|server| (server.host, server.port, server.tls))
    }

    fn block(host: &str, port: &str, tls: &str) -> String {
        format!(
            "<outgoingServer type=\"smtp\">\n<hostname>{host}</hostname>\n<port>{port}</port>\n\
             <socketType>{tls}</socketType>\n<username>%EMAILADDRESS%</username></outgoingServer>"
        )
    }

    #[test]
    fn the_first_server_with_tls_counts_and_none_is_made_up() {
        let file = |blocks: &[String]| format!("<clientConfig version=\"1.1\">{}</clientConfig>", blocks.concat());
        let (implicit, starttls) = (TlsMode::Implicit, TlsMode::StartTls);
        let right = || block("smtp.shop.example", "465", "SSL");
        for (text, expected) in [
            (file(&[right()]), Some(("smtp.shop.example", 465, implicit))),
            (file(&[block("SMTP.%EMAILDOMAIN%", " 587 ", "STARTTLS")]), Some(("smtp.shop.example", 587, starttls))),
            (file(&[block("mx.shop.example", "25", "plain"), right()]), Some(("smtp.shop.example", 465, implicit))),
            (
                file(&[format!("<!--{}-->", block("old.example", "465", "SSL")), right()]),
                Some(("smtp.shop.example", 465, implicit)),
            ),
            (file(&[right().replace("outgoing", "incoming")]), None),
            (file(&[right().replace("\"smtp\"", "\"exchange\"")]), None),
            (file(&[block("smtp shop.example", "465", "SSL")]), None),
            (file(&[block("smtp.shop.example\"\nx = 1", "465", "SSL")]), None),
            (file(&[block("localhost", "465", "SSL")]), None),
            (file(&[block("smtp.shop.example", "0", "SSL")]), None),
            (file(&[block("smtp.shop.example", "70000", "SSL")]), None),
            (file(&[block("smtp.shop.example", "465", "")]), None),
            (right().replace("</outgoingServer>", ""), None),
            ("<html><title>It works</title></html>".to_owned(), None),
            ("<!--".to_owned(), None),
            (String::new(), None),
        ] {
            let expected = expected.map(|(host, port, tls)| (host.to_owned(), port, tls));
            assert_eq!(told(&text), expected, "{text}");
        }
    }
}
