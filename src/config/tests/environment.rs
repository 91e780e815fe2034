//! Environment variables and `MAILER_DSN`, and the same as a file.

use super::{Host, attempt};
use crate::config::relay::{Relay, TlsMode, Way};
use crate::config::route::Strategy;
use crate::config::site::{InDoubt, Spooling};
use crate::config::{Config, Origin, init_from_environment};
use crate::failure::{Failure, Kind};
use crate::secret::Source;

fn load(variables: &[(&'static str, &str)]) -> Result<Config, Failure> {
    let mut host = Host::new();
    host.variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    host.load()
}

fn relays(config: &Config) -> Vec<&Relay> {
    config.sites[0].relays.iter().map(AsRef::as_ref).collect()
}

/// `place tls username secret`
fn told(relay: &Relay) -> String {
    let tls = match relay.tls {
        TlsMode::Implicit => "implicit",
        TlsMode::StartTls => "starttls",
        TlsMode::None => "none",
    };
    match relay.login(None, &mut attempt()).unwrap() {
        Some(login) => format!("{} {tls} {} {}", relay.place, login.username, login.secret.expose()),
        None => format!("{} {tls}", relay.place),
    }
}

#[test]
fn urls_are_relays() {
    for (url, relay) in [
        ("smtps://mx.example", "mx.example:465 implicit"),
        ("smtp://mx.example", "mx.example:587 starttls"),
        ("smtp://mx.example:587", "mx.example:587 starttls"),
        ("smtp://mx.example:465", "mx.example:465 implicit"),
        ("smtp://mailpit:1025?tls=none", "mailpit:1025 none"),
        ("smtp://127.0.0.1:2525", "127.0.0.1:2525 none"),
        ("smtps://127.0.0.1:4650", "127.0.0.1:4650 implicit"),
        ("smtps://a%40b.example:p%25w%2F%22@mx.example", "mx.example:465 implicit a@b.example p%w/\""),
        ("lmtp:///run/lmtp", "/run/lmtp none"),
        ("postmark://tok@default", "smtp.postmarkapp.com:587 starttls tok tok"),
        ("postmark+smtp://tok@default:2525", "smtp.postmarkapp.com:2525 starttls tok tok"),
        ("sendgrid+smtp://key@default?region=eu", "smtp.eu.sendgrid.net:587 starttls apikey key"),
        ("mailgun+smtp://u:p@default?tls=implicit", "smtp.mailgun.org:465 implicit u p"),
        ("mailjet+smtp://k:s@default", "in-v3.mailjet.com:587 starttls k s"),
        ("gmail+smtps://a%40gmail.com:app@default", "smtp.gmail.com:465 implicit a@gmail.com app"),
        // What a shell or a file of variables leaves around it.
        ("smtps://mx.example\n", "mx.example:465 implicit"),
        ("\"smtps://u:p@mx.example\"", "mx.example:465 implicit u p"),
        (" '\tsmtps://mx.example:4650' \r\n", "mx.example:4650 implicit"),
    ] {
        let config = load(&[("MAILCHUTE_URL", url)]).unwrap();
        assert_eq!(told(relays(&config)[0]), relay, "{url}");
    }
}

#[test]
fn dsns_are_relays() {
    for (dsn, expected) in [
        ("smtp://u:p@mx.example", &["mx.example:25 starttls u p"][..]),
        ("smtps://mx.example?local_domain=[127.0.0.1]&timeout=5", &["mx.example:465 implicit"]),
        ("smtp://mailhog:1025?auto_tls=false", &["mailhog:1025 none"]),
        ("postmark+smtp://tok@default", &["smtp.postmarkapp.com:587 starttls tok tok"]),
        ("resend+smtp://resend:key@default", &["smtp.resend.com:465 implicit resend key"]),
        ("brevo+smtp://u:k@default", &["smtp-relay.brevo.com:465 implicit u k"]),
        (
            "ses+smtp://AKID:wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCYEXAMPLEKEY@default?region=eu-west-1",
            &["email-smtp.eu-west-1.amazonaws.com:465 implicit AKID BEW1uMsJNijX9ThCfEJCkeH4gPo9MWFsAUXj6NZO5jyz"],
        ),
        (
            "ses+smtp://AKID:BEW1uMsJNijX9ThCfEJCkeH4gPo9MWFsAUXj6NZO5jyz@default?region=eu-west-1",
            &["email-smtp.eu-west-1.amazonaws.com:465 implicit AKID BEW1uMsJNijX9ThCfEJCkeH4gPo9MWFsAUXj6NZO5jyz"],
        ),
        (
            "failover(smtps://a.example roundrobin(smtps://b.example sendmail://default) smtps://c.example)?retry_period=9",
            &["a.example:465 implicit", "b.example:465 implicit", "c.example:465 implicit"],
        ),
    ] {
        let config = load(&[("MAILER_DSN", dsn)]).unwrap();
        assert_eq!(config.origin, Origin::Environment("MAILER_DSN"));
        assert_eq!(relays(&config).into_iter().map(told).collect::<Vec<_>>(), expected, "{dsn}");
        assert_eq!(config.warnings.is_empty(), !dsn.contains("timeout") && !dsn.contains("roundrobin"), "{dsn}");
    }
    for (variables, strategy, weights) in [
        (&[("MAILER_DSN", "roundrobin(smtps://a.example smtps://b.example)")][..], Strategy::Spread, &[1, 1][..]),
        (&[("MAILER_DSN", "failover(smtps://a.example smtps://b.example)")], Strategy::Order, &[1, 1]),
        (&[("MAILER_DSN", "roundrobin(failover(smtps://a.example) smtps://b.example)")], Strategy::Order, &[1, 1]),
        (&[("MAILER_DSN", "smtps://roundrobin.example")], Strategy::Order, &[1]),
        (
            &[
                ("MAILCHUTE_URL", "smtps://a.example?weight=3&strategy=spread"),
                ("MAILCHUTE_BACKUP_URL", "smtps://b.example?weight=2"),
            ],
            Strategy::Spread,
            &[3, 2],
        ),
    ] {
        let config = load(variables).unwrap();
        let found: Vec<u32> = relays(&config).iter().map(|relay| relay.weight).collect();
        assert_eq!((config.sites[0].strategy, found.as_slice()), (strategy, weights), "{variables:?}");
        assert_eq!(
            config.warnings.is_empty(),
            !variables[0].1.contains("roundrobin(failover"),
            "{:?}",
            config.warnings
        );
    }
    assert!(matches!(relays(&load(&[("MAILER_DSN", "null://null")]).unwrap())[0].way, Way::Null(_)));
    for dsn in ["sendmail://default", "native://default", "failover(sendmail://default)", ""] {
        assert!(load(&[("MAILER_DSN", dsn)]).unwrap_err().why.starts_with("none found"), "{dsn}");
    }
    let both = [("MAILER_DSN", "smtps://dsn.example"), ("MAILCHUTE_URL", "smtps://url.example")];
    assert_eq!(told(relays(&load(&both).unwrap())[0]), "url.example:465 implicit");
}

#[test]
fn a_url_says_what_becomes_of_what_no_relay_takes() {
    let url =
        "smtps://mx.example?on_relay_failure=spool&give_up_after=2d&bounce=false&spool_max=5%20messages&in_doubt=hold";
    let config = load(&[("MAILCHUTE_URL", url)]).unwrap();
    let site = &config.sites[0];
    assert_eq!(site.terms.in_doubt, InDoubt::Hold);
    let spooling = site.spooling;
    assert!(spooling.is_on && !spooling.bounce && spooling.max.messages == 5);
    assert_eq!(spooling.give_up_after.as_secs(), 2 * 86_400);
    let usual = load(&[("MAILCHUTE_URL", "smtps://mx.example")]).unwrap();
    assert_eq!((usual.sites[0].spooling, usual.sites[0].terms.in_doubt), (Spooling::default(), InDoubt::Report));
    assert!(!Spooling::default().is_on && Spooling::default().bounce);
}

/// `endpoint key=secret ...`
fn told_of_api(relay: &Relay) -> String {
    let interface = relay.api().unwrap();
    let secret = |source: &Source| match source {
        Source::Env(name) => format!("${name}"),
        source => source.read(false, &mut attempt()).unwrap().expose().to_owned(),
    };
    let keys = interface.credentials.iter().map(|(key, source)| format!(" {key}={}", secret(source)));
    format!("{}{}", interface.endpoint, keys.collect::<String>())
}

#[test]
fn schemes_and_credentials_choose_the_api() {
    for (variables, told) in [
        (&[("MAILCHUTE_URL", "postmark+api://tok@default")][..], "https://api.postmarkapp.com token=tok"),
        (
            &[("MAILCHUTE_URL", "postmark+api://default"), ("MAILCHUTE_KEY", "tok")],
            "https://api.postmarkapp.com token=$MAILCHUTE_KEY",
        ),
        (
            &[("MAILCHUTE_URL", "sendgrid+api://k@default?region=eu&tags=a,b&sandbox=true")],
            "https://api.eu.sendgrid.com api_key=k",
        ),
        (
            &[("MAILCHUTE_URL", "mailgun+api://default?api_key=k&domain=mg.example")],
            "https://api.mailgun.net api_key=k",
        ),
        (&[("MAILER_DSN", "mailgun://k:mg.example@default?region=eu")], "https://api.eu.mailgun.net api_key=k"),
        (&[("MAILER_DSN", "postmark+api://k@default?message_stream=x")], "https://api.postmarkapp.com token=k"),
        (&[("MAILCHUTE_URL", "sparkpost+api://k@eu.example:8443/x")], "https://eu.example:8443/x api_key=k"),
        (&[("MAILCHUTE_URL", "smtp2go+api://k@default?region=eu")], "https://eu-api.smtp2go.com api_key=k"),
        (&[("MAILCHUTE_URL", "mailtrap+api://t@default?region=bulk")], "https://bulk.api.mailtrap.io token=t"),
        (&[("MAILER_DSN", "scaleway+api://project:k@default")], "https://api.scaleway.com secret_key=k"),
        (
            &[("MAILCHUTE_URL", "mailersend+api://t@default?custom_headers=true&tags=a")],
            "https://api.mailersend.com token=t",
        ),
        (
            &[("MAILCHUTE_URL", "sparkpost+api://k@default?subaccount=7&open_tracking=true")],
            "https://api.sparkpost.com api_key=k",
        ),
        (
            &[("MAILCHUTE_URL", "azure-communication+api://shop.europe:k@default?tracking=false")],
            "https://shop.europe.communication.azure.com access_key=k",
        ),
        (
            &[("MAILCHUTE_URL", "cloudflare+api://account@default"), ("MAILCHUTE_KEY", "t")],
            "https://api.cloudflare.com/client/v4 token=$MAILCHUTE_KEY",
        ),
    ] {
        let config = load(variables).unwrap();
        assert_eq!(told_of_api(relays(&config)[0]), told, "{variables:?}");
    }
}

#[test]
fn mistakes_are_named_by_variable_and_quote_no_secret() {
    for (name, value, sentence) in [
        ("MAILCHUTE_URL", "hunter2", "MAILCHUTE_URL: is not a URL: \"://\" is missing"),
        ("MAILCHUTE_URL", "postmrk://hunter2@default", "MAILCHUTE_URL: unknown scheme \"postmrk\""),
        ("MAILCHUTE_URL", "fastmail+api://hunter2@default", "MAILCHUTE_URL: fastmail has no HTTP API in this version"),
        (
            "MAILCHUTE_URL",
            "smtps://u:hunter2@mx.example?tsl=none",
            "MAILCHUTE_URL: unknown key \"tsl\" in [relay.main]",
        ),
        (
            "MAILCHUTE_URL",
            "smtp://u:hunter2@mx.example?tls=none",
            "MAILCHUTE_URL: \"tls\" in [relay.main] would send the credentials unencrypted",
        ),
        ("MAILCHUTE_URL", "smtps://u:hunter2@mx.example/inbox", "MAILCHUTE_URL: has a path behind the host"),
        ("MAILCHUTE_URL", "smtps://hunter2@mx.example", "MAILCHUTE_URL: username is set, but no password or token"),
        ("MAILCHUTE_URL", "smtps://u:hunter2@mx.example?password=x", "MAILCHUTE_URL: duplicate key"),
        (
            "MAILER_DSN",
            "smtp://u:hunter2@mx.example?verify_peer=0",
            "MAILER_DSN: verify_peer=0 turns the verification of certificates off",
        ),
        (
            "MAILER_DSN",
            "mailgun://hunter2@default",
            "MAILER_DSN: the relay has no \"domain\", which the HTTP API needs",
        ),
        (
            "MAILCHUTE_URL",
            "postmark+api://hunter2@mx.example:2525?port=25",
            "MAILCHUTE_URL: \"port\" is for SMTP, and this relay uses postmark's HTTP API",
        ),
        ("MAILER_DSN", "sweego+smtp://u:hunter2@default", "MAILER_DSN: unknown scheme \"sweego\""),
        (
            "MAILER_DSN",
            "postmark+smtp://hunter2@default?message_stream=x",
            "MAILER_DSN: option \"message_stream\" is not in this version",
        ),
        ("MAILER_DSN", "failover(smtp://u:hunter2@a.example", "MAILER_DSN: failover( is never closed"),
    ] {
        let failure = load(&[(name, value)]).unwrap_err();
        assert_eq!(failure.to_string(), sentence, "{value}");
        assert_eq!(failure.kind, Kind::Configuration);
        assert!(!failure.hint.unwrap_or_default().contains("hunter2"));
    }
    let both = [("MAILCHUTE_URL", "resend://default"), ("MAILCHUTE_KEY", "a"), ("MAILCHUTE_KEY_FILE", "/b")];
    assert_eq!(load(&both).unwrap_err().to_string(), "MAILCHUTE_KEY: and MAILCHUTE_KEY_FILE are both set");
    let from = [("MAILCHUTE_URL", "smtps://mx.example"), ("MAILCHUTE_FROM", "root")];
    assert!(load(&from).unwrap_err().to_string().starts_with("MAILCHUTE_FROM: \"from\" is not an address"));
    let log = [("MAILCHUTE_URL", "smtps://mx.example"), ("MAILCHUTE_LOG", "jornal")];
    assert!(load(&log).unwrap_err().to_string().starts_with("MAILCHUTE_LOG: \"to\" in [log] takes"));
}

#[test]
fn the_environment_as_a_file_is_the_same_configuration() {
    let secrets = tempfile::tempdir().unwrap();
    let key = secrets.path().join("key \"1\"");
    std::fs::write(&key, "from-file\n").unwrap();
    for variables in [
        &[(
            "MAILCHUTE_URL",
            "smtps://u:p%22%5C%0a%C3%A9@mx.example:4650?helo=a.example&chunking=false&pipelining=0&auth=plain,login",
        )][..],
        &[
            ("MAILCHUTE_URL", "ses://default?region=eu-west-1&deadline=5s"),
            ("MAILCHUTE_USERNAME", "AKID"),
            ("MAILCHUTE_KEY_FILE", key.to_str().unwrap()),
        ],
        &[
            ("MAILCHUTE_URL", "resend+smtp://k@default"),
            ("MAILCHUTE_BACKUP_URL", "smtp://b:c@backup.example:587"),
            ("MAILCHUTE_FROM", "Shop <a@b.example>"),
            ("MAILCHUTE_LOG", "stderr,/var/log/x"),
        ],
        &[("MAILER_DSN", "failover(smtp://a.example null://null)")],
    ] {
        let direct = load(variables).unwrap();
        let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let host = Host::new();
        let text = init_from_environment(&lookup, &host.caller()).unwrap().unwrap();
        let host = host.file("etc/config.toml", &text);
        let mut read = host.load().unwrap();
        assert_eq!(read.log(None), direct.log(None));
        for site in &mut read.sites {
            site.file = None;
        }
        assert_eq!(format!("{:#?}", read.sites), format!("{:#?}", direct.sites), "{}", *text);
        for (read, direct) in relays(&read).into_iter().zip(relays(&direct)) {
            assert_eq!(told(read), told(direct), "{}", *text);
        }
        assert_eq!(text.contains("A secret is inside"), variables[0].1.contains('@'), "{}", *text);
    }
}

#[test]
fn variables_are_taken_literally_and_written_out_for_a_file() {
    let password = "p%40\"\\ $\u{e9}";
    let variables = [("MAILCHUTE_URL", "smtps://u@mx.example"), ("MAILCHUTE_PASSWORD", password)];
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    let host = Host::new();
    let text = init_from_environment(&lookup, &host.caller()).unwrap().unwrap();
    let config = host.file("etc/config.toml", &text).load().unwrap();
    let login = relays(&config)[0].login(None, &mut attempt()).unwrap().unwrap();
    assert_eq!((login.username.as_str(), login.secret.expose()), ("u", password));
    let direct = load(&variables).unwrap();
    let secret = relays(&direct)[0].smtp_login().unwrap().secret.as_ref();
    assert_eq!(secret, Some(&Source::Env("MAILCHUTE_PASSWORD".into())), "read when the relay is tried");
    assert!(init_from_environment(&|_| None, &Host::new().caller()).unwrap().is_none());
}
