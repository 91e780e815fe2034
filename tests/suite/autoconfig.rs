//! The file for mail programs: what is asked, and what is no answer.

use std::time::Duration;

use mailchute::config::relay::{Place, Relay};
use mailchute::deadline::Deadline;
use mailchute::http::autoconfig::{self, Server};
use mailchute::providers::TlsMode;
use testkit::{Answer, Certs, Identity, Scratch, Web};

const FILE: &str = "<clientConfig><emailProvider id=\"shop.example\"><outgoingServer type=\"smtp\">\
    <hostname>smtp.shop.example</hostname><port>587</port><socketType>STARTTLS</socketType>\
    </outgoingServer></emailProvider></clientConfig>";
const PATH: &str = "/mail/config-v1.1.xml";

/// What came of asking a server of this identity that answers so, and what it was asked.
fn asked(identity: Identity, answer: &Answer) -> (Option<Server>, Vec<testkit::Asked>) {
    let scratch = Scratch::new();
    let answer = answer.clone();
    let web = Web::start(Some(identity), move |_| answer.clone());
    let mut server =
        Relay::new("autoconfig", Place::Tcp { host: "localhost".into(), port: web.port() }, TlsMode::Implicit);
    server.ca_file = Some(Certs::shared().write_authority(&scratch));
    let url = "https://localhost";
    let found = autoconfig::ask_at(&server, url, PATH, "shop.example", Deadline::after(Duration::from_secs(20)));
    (found, web.finish())
}

#[test]
fn the_domain_alone_is_asked_about_and_the_answer_taken() {
    if !testkit::is_apart("autoconfig::the_domain_alone_is_asked_about_and_the_answer_taken") {
        return;
    }
    let (found, asked) = asked(Identity::Good, &Answer::text(&format!("HTTP/1.1 200 OK\n\n{FILE}")));
    let expected = Server { host: "smtp.shop.example".into(), port: 587, tls: TlsMode::StartTls };
    assert_eq!(found, Some(expected));
    assert_eq!((asked.len(), asked[0].method.as_str(), asked[0].target.as_str()), (1, "GET", PATH));
    let said = asked[0].headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    assert!(!said.contains('@') && asked[0].body.is_empty(), "{said}");
}

#[test]
fn what_is_no_file_is_no_answer() {
    if !testkit::is_apart("autoconfig::what_is_no_file_is_no_answer") {
        return;
    }
    for answer in [
        "HTTP/1.1 404 Not Found\n\nnothing",
        "HTTP/1.1 301 Moved Permanently\nLocation: https://elsewhere.example/\n\n",
        "HTTP/1.1 200 OK\n\n<html>a page for every name</html>",
        "HTTP/1.1 200 OK\nContent-Length: 5000\n\n<clientConfig>",
    ] {
        assert_eq!(asked(Identity::Good, &Answer::text(answer)).0, None, "{answer}");
    }
    // More than anybody has to say, and a server whose name was not asked for.
    let long = format!("HTTP/1.1 200 OK\n\n{}{FILE}", " ".repeat(1 << 20));
    assert_eq!(asked(Identity::Good, &Answer::text(&long)).0, None);
    let right = Answer::text(&format!("HTTP/1.1 200 OK\n\n{FILE}"));
    assert_eq!(asked(Identity::WrongName, &right).0, None);
}
