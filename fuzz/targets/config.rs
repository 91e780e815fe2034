//! The configuration: a file, or environment variables as lines of `NAME=value` behind a first octet `$`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use mailchute::caller::Caller;
use mailchute::config::relay::{Mechanism, Place, TlsMode};
use mailchute::config::site::OtherSender;
use mailchute::config::{Config, DefaultSite, Search, init_from_environment};
use tempfile::TempDir;

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "config", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "\n[relay.x]\nhost = \"h\"\n",
    "\n[site.x]\n",
    "\nuser = [1]\n",
    "\nprovider = \"postmark\"\n",
    "tls = \"none\"\n",
    "password = { file = \"x\" }\n",
    "auth = [\"SCRAM-SHA-256\"]\n",
    "relay = [\"x\"]\n",
    "other_sender = \"rewrite\"\n",
    "default_site = \"x\"\n",
    "client_cert = { cert = \"a\", key = \"b\" }\n",
    "\\u0000",
    "\\r\\n",
    "[alias]\n",
    "[log]\nto = [\"journal\"]\n",
    "?tls=none",
    "%0d%0a",
    "&helo=x",
    "\nMAILCHUTE_KEY=x",
    "smtps://u:p@h:465",
    "postmark+api://default",
    "\nMAILCHUTE_FROM=a@b",
];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        include_str!("../../examples/single-site.toml"),
        include_str!("../../examples/shared-host.toml"),
        include_str!("../../examples/cron-server.toml"),
        include_str!("../../examples/backup-relay.toml"),
        include_str!("../../examples/amazon-ses.toml"),
        "[relay.x]\nhost = \"/run/lmtp\"\nprotocol = \"lmtp\"\nproxy = \"socks5://u:p@h\"\nfingerprint = \"ab\"\n",
        "$MAILCHUTE_URL=smtp://user:pass@host:587?tls=none&deadline=10s\nMAILCHUTE_FROM=Shop <a@b.example>\nMAILCHUTE_LOG=stderr",
        "$MAILCHUTE_URL=postmark://default\nMAILCHUTE_KEY=x\nMAILCHUTE_BACKUP_URL=smtps://h\nMAILCHUTE_BACKUP_PASSWORD_FILE=/x",
        "$MAILER_DSN=failover(smtp://a:b@h ses+smtp://K:S@default?region=eu-west-1)",
        "$MAILER_DSN=null://null",
    ])
}

fn caller() -> Caller {
    Caller { uid: 1042, gid: 1042, user: None, home: None, cwd: None }
}

/// The configuration in `text`, or the sentence that says what is wrong with it.
fn load(text: &[u8]) -> Result<Config, String> {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| TempDir::new().expect("a temporary directory"));
    let file = directory.path().join("config.toml");
    std::fs::write(&file, text).expect("a temporary file");
    search(Some(file), &BTreeMap::new())
}

fn search(option: Option<PathBuf>, variables: &BTreeMap<String, OsString>) -> Result<Config, String> {
    let names = || variables.keys().map(OsString::from).collect();
    let search =
        Search { option, system: "/nowhere".into(), variables: &|name| variables.get(name).cloned(), names: &names };
    search.load(&caller()).map_err(|failure| {
        // A value is quoted whole, escapes included.
        assert_printable(&failure.to_string(), 256 << 10);
        failure.why
    })
}

fn check(input: &[u8]) -> u64 {
    let result = match input {
        [b'$', lines @ ..] => {
            let text = String::from_utf8_lossy(lines);
            let variables: BTreeMap<String, OsString> = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let result = search(None, &variables);
            let written = init_from_environment(&|name| variables.get(name).cloned(), &caller());
            if let (Ok(config), Ok(Some(written))) = (&result, &written) {
                let again = load(written.as_bytes()).expect("what init --from-env writes can be read");
                assert_eq!(relays(config), relays(&again), "init --from-env says otherwise:\n{}", written.as_str());
            }
            result
        }
        text => load(text),
    };
    match result {
        Ok(config) => {
            hold(&config);
            hash(relays(&config).as_bytes())
        }
        // The sentence names what was typed; its shape is the path.
        Err(why) => hash(why.bytes().filter(u8::is_ascii_lowercase).take(24).collect::<Vec<_>>().as_slice()),
    }
}

/// The places that mail would go to.
fn relays(config: &Config) -> String {
    let all = config.sites.iter().flat_map(|site| &*site.relays);
    all.map(|relay| {
        let of_smtp = relay.smtp().map(|smtp| (smtp.protocol, &smtp.auth, smtp.chunking));
        format!("{} {:?} {of_smtp:?}\n", relay.place, relay.tls)
    })
    .collect()
}

/// What every configuration that was accepted keeps.
fn hold(config: &Config) {
    for site in &config.sites {
        assert!(!site.relays.is_empty(), "a site without a relay");
        assert!(site.other_sender != OtherSender::Rewrite || site.from.is_some(), "a rewrite to nobody");
        for relay in &*site.relays {
            for name in relay.smtp().and_then(|smtp| smtp.helo.as_deref()).into_iter().chain(match &relay.place {
                Place::Tcp { host, .. } => Some(host.as_str()),
                Place::Unix(_) => None,
            }) {
                assert!(!name.contains(|c: char| c.is_whitespace() || c.is_control()), "{name:?} would end a command");
            }
            let scram = |mechanism: &Mechanism| matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha1);
            let guarded = relay.smtp().is_some_and(|smtp| !smtp.auth.is_empty() && smtp.auth.iter().all(scram));
            let local = match &relay.place {
                Place::Unix(_) => true,
                Place::Tcp { host, .. } => {
                    host.ends_with("localhost") || host.starts_with("127.") || host.contains(':')
                }
            };
            let in_clear = relay.tls == TlsMode::None && relay.smtp_login().is_some() && !guarded && !local;
            assert!(!in_clear, "credentials would go out in clear: {}", relay.place);
        }
    }
    if let DefaultSite::Named(name) = &config.default_site {
        let site = config.site(name).expect("the default site exists");
        assert!(site.users.is_empty(), "the default site has users");
    }
}
