//! Whole configurations: what they come to, and what is said of those that are wrong.

mod environment;
mod errors;
mod own;
mod sources;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::relay::{Mechanism, Place, Protocol, Relay, SecretKind, TlsMode, Username, Way};
use super::route::{Condition, Strategy};
use super::site::{OtherSender, Site};
use super::{Config, Search};
use crate::attempt::Attempt;
use crate::caller::Caller;
use crate::deadline::Deadline;
use crate::exit::Scheme;
use crate::failure::Failure;
use crate::secret::Source;

/// Longer than any secret here takes.
fn attempt() -> Attempt {
    Attempt::new(Deadline::after(Duration::from_secs(10)))
}

/// A host: `etc/` is its `/etc/mailchute`, `home/` the caller's home.
struct Host {
    dir: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Host {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.file_with_mode(name, content, 0o600)
    }

    fn file_with_mode(self, name: &str, content: &str, mode: u32) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn caller(&self) -> Caller {
        Caller { home: Some(self.path("home")), ..Caller::current() }
    }

    fn load(&self) -> Result<Config, Failure> {
        self.load_for(&self.caller(), None)
    }

    fn load_for(&self, caller: &Caller, option: Option<&Path>) -> Result<Config, Failure> {
        let variables = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let names = || self.variables.iter().map(|(name, _)| OsString::from(name)).collect();
        let (option, system) = (option.map(Path::to_owned), self.path("etc"));
        Search { option, system, variables: &variables, names: &names }.load(caller)
    }

    fn load_own(&self, caller: &Caller) -> Result<Config, Failure> {
        let (variables, names) = (|_: &str| None, Vec::new);
        Search { option: None, system: self.path("etc"), variables: &variables, names: &names }.load_own(caller)
    }
}

fn load(toml: &str) -> Result<Config, Failure> {
    Host::new().file("etc/config.toml", toml).load()
}

fn lone_site(toml: &str) -> Site {
    let config = load(toml).unwrap();
    assert_eq!(config.sites.len(), 1);
    config.sites[0].clone()
}

fn relay(lines: &str) -> Arc<Relay> {
    Arc::clone(&lone_site(&format!("[relay.main]\n{lines}\n")).relays[0])
}

#[test]
fn one_relay_and_nothing_else_is_a_whole_configuration() {
    let site = lone_site("[relay.main]\nprovider = \"postmark\"\ntoken = { file = \"secrets/postmark\" }\n");
    assert_eq!((site.name.as_str(), site.other_sender), ("default", OtherSender::Pass));
    assert_eq!((site.terms.deadline, site.exit_status), (Duration::from_secs(30), Scheme::Reply));
    let relay = &site.relays[0];
    assert_eq!(relay.place.to_string(), "smtp.postmarkapp.com:587");
    let smtp = relay.smtp().unwrap();
    assert_eq!((relay.tls, smtp.chunking, smtp.pipelining), (TlsMode::StartTls, true, true));
    let login = relay.smtp_login().unwrap();
    assert!(matches!(login.username, Username::Secret));
    assert!(matches!(&login.secret, Some(Source::File(path)) if path.ends_with("etc/secrets/postmark")));
}

#[test]
fn port_and_tls_complete_each_other() {
    for (lines, place, tls) in [
        ("host = 'mx.example'", "mx.example:465", TlsMode::Implicit),
        ("host = 'mx.example'\nport = 2465", "mx.example:2465", TlsMode::Implicit),
        ("host = 'mx.example'\nport = 587", "mx.example:587", TlsMode::StartTls),
        ("host = 'mx.example'\nport = 587\ntls = 'implicit'", "mx.example:587", TlsMode::Implicit),
        ("host = 'mx.example'\ntls = 'starttls'", "mx.example:587", TlsMode::StartTls),
        ("host = 'mx.example'\ntls = 'none'", "mx.example:25", TlsMode::None),
        ("host = '127.0.0.1'\nport = 2525", "127.0.0.1:2525", TlsMode::None),
        ("host = '[::1]'\nport = 465\ntls = 'implicit'", "[::1]:465", TlsMode::Implicit),
        ("host = 'localhost'", "localhost:25", TlsMode::None),
        ("host = '/run/dovecot/lmtp'\nprotocol = 'lmtp'", "/run/dovecot/lmtp", TlsMode::None),
        ("provider = 'resend'\napi_key = 'x'", "smtp.resend.com:465", TlsMode::Implicit),
        (
            "provider = 'smtp2go'\nport = 8465\nusername = 'u'\npassword = 'p'",
            "mail.smtp2go.com:8465",
            TlsMode::Implicit,
        ),
        (
            "provider = 'mailgun'\nregion = 'eu'\ntls = 'implicit'\nusername = 'u'\npassword = 'p'",
            "smtp.eu.mailgun.org:465",
            TlsMode::Implicit,
        ),
        ("provider = 'smtp'\nhost = 'mx.example'", "mx.example:587", TlsMode::StartTls),
    ] {
        let relay = relay(lines);
        assert_eq!((relay.place.to_string().as_str(), relay.tls), (place, tls), "{lines}");
    }
}

#[test]
fn credentials_follow_the_provider() {
    for (lines, username, secret, is_token) in [
        ("provider = 'postmark'\ntoken = 't'", "t", "t", false),
        ("provider = 'postmark'\nusername = 'access'\npassword = 'secret'", "access", "secret", false),
        ("provider = 'sendgrid'\napi_key = 'k'", "apikey", "k", false),
        ("provider = 'mailjet'\napi_key = 'k'\nsecret_key = 's'", "k", "s", false),
        ("provider = 'scaleway'\nproject_id = 'p'\nsecret_key = 's'", "p", "s", false),
        (
            "provider = 'azure'\nresource = 'r'\nclient_id = 'c'\ntenant_id = 't'\nclient_secret = 's'",
            "r|c|t",
            "s",
            false,
        ),
        ("provider = 'gmail'\nusername = 'a@b.example'\ntoken = 'ya29'", "a@b.example", "ya29", true),
        ("host = 'mx.example'\nusername = 'u'\ntoken = 't'", "u", "t", true),
        ("host = 'mx.example'\nusername = 'u'\npassword = \"p\\\"\\\\%#\u{e9} '\"", "u", "p\"\\%#\u{e9} '", false),
        (
            "provider = 'ses'\nregion = 'eu-west-1'\naccess_key_id = 'AKID'\nsecret_access_key = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'",
            "AKID",
            "BEW1uMsJNijX9ThCfEJCkeH4gPo9MWFsAUXj6NZO5jyz",
            false,
        ),
        ("provider = 'ses'\naccess_key_id = 'AKID'\npassword = 'derived'", "AKID", "derived", false),
        ("host = 'mx.example'\nauth = 'external'\nclient_cert = 'both.pem'", "", "", false),
    ] {
        let login = relay(lines).login(None, &mut attempt()).unwrap().unwrap();
        let read = (login.username.as_str(), login.secret.expose(), login.is_token);
        assert_eq!(read, (username, secret, is_token), "{lines}");
    }
    assert!(relay("host = 'mx.example'").smtp_login().is_none());
}

#[test]
fn every_relay_key_is_read() {
    let relay = relay(
        "host = 'MX.example'\nport = 25\ntls = 'none'\nauth = ['scram-sha-256']\nusername = 'u'\npassword = 'p'\nhelo = 'web1.example'\n\
         chunking = false\npipelining = false\nsession_messages = 7\nconnect_timeout = '5s'\nca_file = 'ca.pem'\nfingerprint = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'\n\
         client_cert = { cert = 'c.pem', key = '/k.pem' }\nsource = '192.0.2.7'\nproxy = 'socks5://u:p%40@proxy.example'",
    );
    let smtp = relay.smtp().unwrap();
    assert_eq!(smtp.auth, [Mechanism::ScramSha256]);
    assert_eq!(smtp.helo.as_deref(), Some("web1.example"));
    assert!(!smtp.chunking && !smtp.pipelining);
    assert_eq!(smtp.session_messages, 7);
    assert_eq!(relay.connect_timeout, Duration::from_secs(5));
    assert!(relay.ca_file.as_ref().unwrap().ends_with("etc/ca.pem"));
    assert_eq!(relay.fingerprint.unwrap()[15], 0xff);
    assert_eq!(relay.client_cert.as_ref().unwrap().key, Path::new("/k.pem"));
    assert_eq!(relay.source.unwrap().to_string(), "192.0.2.7");
    let proxy = relay.proxy.as_ref().unwrap();
    assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 1080));
    assert_eq!(proxy.login.as_ref().unwrap().0, "u");
    assert_eq!(relay.smtp_login().unwrap().kind, SecretKind::Password);
    assert_eq!(relay.smtp().unwrap().protocol, Protocol::Smtp);
}

#[test]
fn a_session_carries_as_many_messages_as_its_server_is_known_to_take() {
    for (lines, expected) in [
        ("host = 'mx.example'", 100),
        ("provider = 'gmail'\nusername = 'u@gmail.com'\npassword = 'p'", 100),
        ("provider = 'ses'\naccess_key_id = 'A'\npassword = 'p'", 300),
        ("provider = 'sendgrid'\nvia = 'smtp'\npassword = 'p'", 5000),
        ("provider = 'sendgrid'\nvia = 'smtp'\npassword = 'p'\nsession_messages = 20", 20),
        ("host = 'localhost'", 10_000),
        ("host = '127.0.0.1'", 10_000),
        ("host = '/run/lmtp'", 10_000),
        ("host = '127.0.0.1'\nsession_messages = 1", 1),
    ] {
        assert_eq!(relay(lines).smtp().unwrap().session_messages, expected, "{lines}");
    }
}

#[test]
fn sites_take_what_they_leave_open_from_the_top() {
    let config = load(
        "from = 'web1 <alerts@example.com>'\ndeadline = '10s'\nexit_status = 'sysexits'\ntransient_status = 75\n\
         [relay.zeta]\nhost = 'zeta.example'\n[relay.alpha]\nhost = 'alpha.example'\n\
         [site.shop]\nuser = [1042, 'no such user']\nsender = '*@shop.example'\nrelay = ['alpha']\npartial = 'deliver'\n\
         [site.shop.alias]\nRoot = 'admin@shop.example'\n\
         [site.rest]\ndeadline = '2m'\n\
         [alias]\nroot = 'root@example.com'\n'*' = ['a@example.com', 'b']\n'MU\u{308}LLER' = 'm@example.com'\n",
    )
    .unwrap();
    let shop = config.site("shop").unwrap();
    assert_eq!(shop.users, [1042, super::site::NOBODY]);
    assert_eq!(shop.from.as_ref().unwrap().spec.local, "alerts");
    assert_eq!((shop.other_sender, shop.terms.deadline), (OtherSender::Refuse, Duration::from_secs(10)));
    assert!(shop.terms.deliver_partially);
    assert_eq!(shop.exit_status, Scheme::Sysexits { transient: 75 });
    assert_eq!(shop.alias.get("root").unwrap(), ["admin@shop.example"]);
    assert_eq!(shop.alias.get("*").unwrap(), ["a@example.com", "b"]);
    assert_eq!(shop.alias.get("müller").unwrap(), ["m@example.com"]);
    let names = |site: &Site| site.relays.iter().map(|relay| relay.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(shop), ["alpha"]);
    let rest = config.site("rest").unwrap();
    assert_eq!(names(rest), ["zeta", "alpha"], "file order, not that of the alphabet");
    assert_eq!(rest.terms.deadline, Duration::from_secs(120));
    assert_eq!(rest.alias.get("root").unwrap(), ["root@example.com"]);
    assert!(
        config.warnings.iter().any(|w| w.contains("\"no such user\", who does not exist")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn null_discards() {
    let relay = relay("protocol = 'null'");
    assert!(matches!(relay.way, Way::Null(_)));
    assert_eq!(relay.place, Place::Unix("/dev/null".into()));
}

#[test]
fn routes_name_relays_of_their_file() {
    let config = load(
        "strategy = 'spread'\n[[route]]\nuid = ['root', 'no such user']\ncwd = '/proc/self/../self'\nrelay = ['bulk', 'bulk']\n\
         [relay.main]\nhost = 'main.example'\nweight = 3\n[relay.bulk]\nhost = 'bulk.example'\n\
         [site.top]\nrelay = 'main'\nstrategy = 'order'\n[site.own]\nrelay = 'main'\n\
         [[site.own.route]]\nsubject = 'x'\nrelay = 'bulk'\nstrategy = 'order'\n[site.own.route.not]\nlarger = '2 KB'\n\
         [site.none]\nrelay = 'main'\nroute = []\n",
    )
    .unwrap();
    let site = |name: &str| config.site(name).unwrap();
    let names = |site: &Site| site.every_relay().iter().map(|relay| relay.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(site("top")), site("top").strategy), (vec!["main".into(), "bulk".into()], Strategy::Order));
    assert_eq!(site("top").routes[0].relays.len(), 1, "one relay is tried once");
    let [Condition::Uid(uids), Condition::Cwd(_)] = &site("top").routes[0].conditions[..] else { panic!() };
    assert_eq!(uids, &[0, super::site::NOBODY]);
    assert_eq!((site("own").routes.len(), site("own").strategy), (1, Strategy::Spread));
    let [own] = &*site("own").routes else { panic!() };
    assert_eq!(own.strategy, Some(Strategy::Order));
    assert_eq!(own.exceptions[0].to_string(), "larger = \"2 KB\"");
    assert_eq!((names(site("none")), site("none").relays[0].weight), (vec!["main".into()], 3));
    assert!(config.warnings.iter().any(|w| w.contains("\"uid\" in [[route]] names \"no such user\"")));
}

#[test]
fn a_file_of_sites_has_routes_of_its_own() {
    let host = Host::new()
        .file("etc/config.toml", "strategy = 'spread'\n[[route]]\nrelay = 'main'\n[relay.main]\nhost = 'a.example'\n")
        .file("etc/sites.d/shop.toml", "[relay.shop]\nhost = 'b.example'\n")
        .file("etc/sites.d/blog.toml", "[[route]]\nrelay = 'main'\n[relay.blog]\nhost = 'b.example'\n");
    let config = host.load().unwrap();
    assert_eq!(config.site("default").unwrap().routes.len(), 1);
    let shop = config.site("shop").unwrap();
    assert_eq!((shop.routes.len(), shop.strategy), (0, Strategy::Spread));
    assert!(config.skipped[0].why.contains("names \"main\", which this file does not define"), "{:?}", config.skipped);
}
