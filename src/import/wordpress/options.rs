//! FluentSMTP, Post SMTP, Easy WP SMTP and WP SMTP: their options, of which only FluentSMTP's login may be in constants.

use super::Plugin;
use super::constants::{Constants, is_true};
use crate::failure::{Failure, Kind as Failing};
use crate::import::application::{self, Settings};
use crate::import::draft::code::{FROM_FIELD, LOOKUP, NO_COUNTERPART, PASSWORD, UNUSED};
use crate::import::draft::{Draft, Said, Smarthost, TlsUse, Written, secret};
use crate::import::literal::{Entry, Literal};
use crate::import::source::SourceFile;

/// Where a plugin keeps what every one of them has.
struct Places {
    program: &'static str,
    /// The word that names SMTP, where there are other ways.
    way: Option<(&'static str, &'static str)>,
    host: &'static str,
    port: &'static str,
    encryption: &'static str,
    /// The key, and the words that mean no login.
    auth: (&'static str, &'static [&'static str]),
    username: &'static str,
    password: &'static str,
    address: &'static str,
    name: &'static str,
    /// The key that has every sender replaced.
    force: &'static str,
    /// Whether it goes on to STARTTLS by itself, and the key that says so.
    autotls: (bool, &'static str),
}

const FLUENT: Places = Places {
    program: "FluentSMTP",
    way: Some(("provider", "smtp")),
    host: "host",
    port: "port",
    encryption: "encryption",
    auth: ("auth", &["no"]),
    username: "username",
    password: "password",
    address: "sender_email",
    name: "sender_name",
    force: "force_from_email",
    autotls: (false, "auto_tls"),
};

const POST: Places = Places {
    program: "Post SMTP",
    way: Some(("transport_type", "smtp")),
    host: "hostname",
    port: "port",
    encryption: "enc_type",
    auth: ("auth_type", &["none"]),
    username: "basic_auth_username",
    password: "basic_auth_password",
    address: "sender_email",
    name: "sender_name",
    force: "prevent_sender_email_override",
    autotls: (false, ""),
};

const EASY: Places = Places {
    program: "Easy WP SMTP",
    way: None,
    host: "smtp_settings.host",
    port: "smtp_settings.port",
    encryption: "smtp_settings.type_encryption",
    auth: ("smtp_settings.autentication", &["no"]),
    username: "smtp_settings.username",
    password: "smtp_settings.password",
    address: "from_email_field",
    name: "from_name_field",
    force: "",
    autotls: (false, ""),
};

const WP_SMTP: Places = Places {
    program: "WP SMTP",
    way: None,
    host: "host",
    port: "port",
    encryption: "smtpsecure",
    auth: ("smtpauth", &["no"]),
    username: "username",
    password: "password",
    address: "from",
    name: "fromname",
    force: "",
    autotls: (true, ""),
};

/// Its key, ours, and the constant that may have it.
type Key = (&'static str, &'static str, &'static str);

/// FluentSMTP's other ways: its word, our provider, and its keys.
const FLUENT_APIS: &[(&str, &str, &[Key])] = &[
    (
        "mailgun",
        "mailgun",
        &[("domain_name", "domain", "FLUENTMAIL_MAILGUN_DOMAIN"), ("api_key", "api_key", "FLUENTMAIL_MAILGUN_API_KEY")],
    ),
    ("sendgrid", "sendgrid", &[("api_key", "api_key", "FLUENTMAIL_SENDGRID_API_KEY")]),
    ("sendinblue", "brevo", &[("api_key", "api_key", "FLUENTMAIL_SENDINBLUE_API_KEY")]),
    ("sparkpost", "sparkpost", &[("api_key", "api_key", "FLUENTMAIL_SPARKPOST_API_KEY")]),
    (
        "postmark",
        "postmark",
        &[("message_stream", "message_stream", ""), ("api_key", "token", "FLUENTMAIL_POSTMARK_API_KEY")],
    ),
    ("elasticmail", "elastic-email", &[("api_key", "api_key", "FLUENTMAIL_ELASTICMAIL_API_KEY")]),
    ("smtp2go", "smtp2go", &[("api_key", "api_key", "FLUENTMAIL_SMTP2GO_API_KEY")]),
    (
        "ses",
        "amazon-ses",
        &[
            ("region", "region", ""),
            ("access_key", "access_key_id", "FLUENTMAIL_AWS_ACCESS_KEY_ID"),
            ("secret_key", "secret_access_key", "FLUENTMAIL_AWS_SECRET_ACCESS_KEY"),
        ],
    ),
];

pub(super) fn read(
    plugin: Plugin,
    source: &SourceFile,
    option: &Literal,
    constants: &mut Constants,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let places = match plugin {
        Plugin::Post => &POST,
        Plugin::EasyWp => &EASY,
        Plugin::Wp => &WP_SMTP,
        Plugin::Fluent | Plugin::WpMail => &FLUENT,
    };
    let mut settings = Settings::of(places.program);
    let chosen = if plugin == Plugin::Fluent { Some(chosen(option)?) } else { None };
    for leaf in option.leaves() {
        let before = chosen.as_ref().map(|id| format!("connections.{id}.provider_settings."));
        let key = match &before {
            Some(before) => leaf.key.strip_prefix(before.as_str()).map(str::to_owned),
            None => Some(leaf.key.clone()),
        };
        match key {
            Some(key) => drop(settings.put(draft, &source.path, &leaf.key, Entry { key, ..leaf })),
            None => elsewhere(draft, source, &leaf),
        }
    }
    if plugin == Plugin::Fluent {
        stand_in(&mut settings, constants, draft);
    }
    let way = places.way.and_then(|(key, smtp)| {
        let word = settings.word(draft, key)?;
        draft.ledger.carry(&word.from);
        (word.value != smtp).then_some(word)
    });
    match way {
        Some(way) => api(plugin, &settings, &way, constants, draft)?,
        None => smtp(places, &settings, constants, draft)?,
    }
    sender(places, &settings, draft);
    for leaf in option.leaves() {
        let key = chosen.as_ref().map_or(leaf.key.as_str(), |id| {
            leaf.key.strip_prefix(&format!("connections.{id}.provider_settings.")).unwrap_or("")
        });
        if let Some((_, id)) = settings.get(key).filter(|(_, id)| draft.ledger.is_open(*id)) {
            draft.ledger.say(id, &NO_COUNTERPART, "it is about the plugin itself, or another way of sending");
        }
    }
    application::switch(draft, places.program, "switch the plugin off");
    Ok(())
}

/// The connection that FluentSMTP takes where no sender asks for another.
fn chosen(option: &Literal) -> Result<String, Failure> {
    let wrong = || {
        Failure::new(
            Failing::Data,
            "FluentSMTP",
            "it has no connection: it hands mail to PHP's mail(), which calls sendmail",
        )
        .hint("set up a relay: sudo mailchute init")
    };
    let named = option.at(&["misc", "default_connection"]).and_then(|entry| entry.value.as_text());
    let Some(Literal::Table(connections)) = option.at(&["connections"]).map(|entry| &entry.value) else {
        return Err(wrong());
    };
    let is_there = |id: &str| connections.iter().any(|entry| entry.key == id);
    match named.filter(|id| is_there(id)) {
        Some(id) => Ok(id.to_string()),
        None => connections.first().map(|entry| entry.key.clone()).ok_or_else(wrong),
    }
}

/// What is not of the chosen connection.
fn elsewhere(draft: &mut Draft, source: &SourceFile, leaf: &Entry) {
    let id = draft.ledger.read(&source.path, 0, leaf.key.as_str());
    let part = leaf.key.split('.').next().unwrap_or_default();
    match part {
        "connections" if leaf.key.ends_with(".sender_email") => draft.ledger.say(
            id,
            &LOOKUP,
            "this sender has a connection of its own, or it is the fallback; one is taken over: make the other a site or a relay",
        ),
        "connections" => draft.ledger.say(id, &UNUSED, "it is another connection than the one that is taken"),
        "mappings" => draft.ledger.carry(&[id]),
        _ if leaf.key == "misc.default_connection" => draft.ledger.carry(&[id]),
        _ if leaf.key == "misc.simulate_emails" && matches!(&leaf.value, Literal::Text(text) if **text == "yes") => {
            draft.set(&crate::import::draft::Table::Top, "discard", Written::Bare("true".to_owned()), &[id]);
        }
        _ => draft.ledger.say(id, &NO_COUNTERPART, "it is about the plugin itself"),
    }
}

/// With its keys in `wp-config.php`, FluentSMTP has them from constants.
fn stand_in(settings: &mut Settings, constants: &Constants, draft: &mut Draft) {
    let is_outside = settings.word(draft, "key_store").is_some_and(|word| word.value == "wp_config");
    if let Some((_, id)) = settings.get("key_store") {
        draft.ledger.carry(&[id]);
    }
    let pairs = [("FLUENTMAIL_SMTP_USERNAME", "username"), ("FLUENTMAIL_SMTP_PASSWORD", "password")];
    for (constant, key) in pairs {
        let Some((value, id)) = constants.get(constant) else { continue };
        if !is_outside {
            draft.ledger.say(id, &UNUSED, "FluentSMTP has its keys in the database");
            continue;
        }
        let entry = Entry { key: key.to_owned(), line: draft.ledger.item(id).line, value: value.clone() };
        settings.put(draft, &constants.path, constant, entry);
        draft.ledger.carry(&[id]);
    }
}

fn smtp(places: &Places, settings: &Settings, constants: &Constants, draft: &mut Draft) -> Result<(), Failure> {
    let host = settings.host(draft, places.host, places.host)?;
    let mut smarthost = Smarthost::new(places.program, "main", host);
    smarthost.port = Some(settings.port(draft, places.port)?.unwrap_or(Said::own(25)));
    let word = settings.word(draft, places.encryption).unwrap_or(Said::own(String::new()));
    let (by_itself, key) = places.autotls;
    let says_so = settings.get(key).map(|(value, id)| {
        let is_on = is_true(value) && !matches!(value, Literal::Text(text) if **text == "no");
        Said::new(is_on, id)
    });
    let autotls = says_so.unwrap_or(Said::own(by_itself));
    let tls = match (word.value.as_str(), autotls.value) {
        ("ssl", _) => TlsUse::Implicit,
        ("tls" | "starttls", _) => TlsUse::StartTls,
        ("" | "none", true) => TlsUse::Opportunistic,
        ("" | "none", false) => TlsUse::None,
        _ => return Err(settings.wrong(places.encryption, "the encryption is neither none, ssl nor tls")),
    };
    smarthost.tls = Said { value: tls, from: [word.from, autotls.from].concat() };
    let (key, none) = places.auth;
    let is_off = match settings.get(key) {
        Some((value @ (Literal::Flag(_) | Literal::Null | Literal::Number(_)), _)) => !is_true(value),
        Some((value, _)) => value.as_text().is_none_or(|text| none.contains(&text.as_str())),
        None => false,
    };
    draft.ledger.carry(&settings.ids(&[key]));
    if is_off {
        settings.leave(draft, &[places.username, places.password], "the plugin does not log in");
    } else {
        login(places, settings, constants, &mut smarthost, draft);
    }
    draft.relay(smarthost);
    Ok(())
}

fn login(places: &Places, settings: &Settings, constants: &Constants, smarthost: &mut Smarthost, draft: &mut Draft) {
    let is_constant = constants.get("FLUENTMAIL_SMTP_PASSWORD").is_some_and(|(_, id)| {
        settings
            .get(places.password)
            .is_some_and(|(_, known)| draft.ledger.item(known).line == draft.ledger.item(id).line)
    });
    if is_constant || places.program == WP_SMTP.program {
        settings.login(draft, smarthost, places.username, places.password);
        return;
    }
    smarthost.username =
        settings.text(draft, places.username).map(|said| Said { value: said.value.to_string(), from: said.from });
    let ids = settings.ids(&[places.password]);
    if smarthost.username.is_some() {
        let why = format!(
            "{} keeps it encrypted or encoded in the database: put it in by hand, `sudo mailchute secret put NAME`",
            places.program
        );
        draft.say_all(&ids, "password", &PASSWORD, &why);
        smarthost.secret = Some(Said { value: Written::Wanted, from: ids });
    } else {
        settings.leave(draft, &[places.password], "there is no user name");
    }
}

fn api(
    plugin: Plugin,
    settings: &Settings,
    way: &Said<String>,
    constants: &Constants,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let known = FLUENT_APIS.iter().find(|(word, ..)| plugin == Plugin::Fluent && *word == way.value);
    let Some((_, provider, names)) = known else {
        return Err(Failure::new(
            Failing::Data,
            draft.ledger.item(way.from[0]).place(),
            "sends in a way that cannot be taken over",
        )
        .hint("set the provider up anew: sudo mailchute init --provider NAME"));
    };
    let mut keys = Vec::new();
    for (key, ours, constant) in *names {
        let outside = if constant.is_empty() { None } else { constants.text(draft, constant) };
        match (outside, *ours) {
            (Some(said), "domain" | "access_key_id") => {
                settings.leave(draft, &[key], "a constant says it");
                keys.push((*ours, Said { value: Written::Text(said.value.to_string()), from: said.from }));
            }
            (Some(said), _) => {
                settings.leave(draft, &[key], "a constant says it");
                keys.push((*ours, secret(&said.value, said.from[0])));
            }
            (None, "region" | "domain" | "message_stream" | "access_key_id") => {
                if let Some(said) = settings.text(draft, key) {
                    keys.push((*ours, Said { value: Written::Text(said.value.to_string()), from: said.from }));
                }
            }
            (None, _) => {
                let ids = settings.ids(&[key]);
                let why = "FluentSMTP keeps it encrypted in the database: put it in by hand, `sudo mailchute secret put NAME`";
                draft.say_all(&ids, key, &PASSWORD, why);
                keys.push((*ours, Said { value: Written::Wanted, from: ids }));
            }
        }
    }
    application::api(draft, provider, &way.from, keys);
    Ok(())
}

fn sender(places: &Places, settings: &Settings, draft: &mut Draft) {
    let (address, name) = (settings.text(draft, places.address), settings.text(draft, places.name));
    let address = application::sender(draft, address, name);
    let ids = settings.ids(&[places.force]);
    let Some(address) = address else {
        draft.say_all_of(&ids, &UNUSED, "there is no sender that could be forced");
        return;
    };
    let is_forced = match settings.get(places.force) {
        Some((value, _)) => is_true(value) && !matches!(value, Literal::Text(text) if **text == "no"),
        // FluentSMTP replaces every sender unless it says no; WP SMTP and Easy WP SMTP always do.
        None => places.program != POST.program,
    };
    match is_forced {
        true => application::force(draft, &address, &ids),
        false => {
            let why = "WordPress writes wordpress@HOST where nothing else is set, and the plugin replaced that; here it goes \
                       out, unless other_sender = \"rewrite\" replaces every sender";
            draft.say_all(&ids, "sender", &FROM_FIELD, why);
        }
    }
}
