//! The servers and the APIs that Laravel sends by.

use zeroize::Zeroizing;

use super::{Application, meant};
use crate::config::Url;
use crate::failure::Failure;
use crate::import::application::Settings;
use crate::import::draft::code::{CERTIFICATE, PASSWORD, TLS_MODE};
use crate::import::draft::ledger::Id;
use crate::import::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use crate::import::literal::{Entry, Literal};

/// An HTTP API: the transport, our provider, and its keys with the variables that `config/services.php` has them from.
pub(super) type Api = (&'static str, &'static str, &'static [(&'static str, &'static [&'static str])]);

const SES: &[(&str, &[&str])] = &[
    ("region", &["AWS_DEFAULT_REGION"]),
    ("access_key_id", &["AWS_ACCESS_KEY_ID"]),
    ("secret_access_key", &["AWS_SECRET_ACCESS_KEY"]),
];

/// Every one that is spoken here.
pub(super) const APIS: &[Api] = &[
    ("mailgun", "mailgun", &[("domain", &["MAILGUN_DOMAIN"]), ("api_key", &["MAILGUN_SECRET"])]),
    (
        "postmark",
        "postmark",
        &[("message_stream", &["POSTMARK_MESSAGE_STREAM_ID"]), ("token", &["POSTMARK_API_KEY", "POSTMARK_TOKEN"])],
    ),
    ("resend", "resend", &[("api_key", &["RESEND_API_KEY", "RESEND_KEY"])]),
    ("ses", "amazon-ses", SES),
    ("ses-v2", "amazon-ses", SES),
];

impl Application {
    /// A server as a relay.
    ///
    /// # Errors
    /// `Data`: no server is named, or something is wrong with it.
    pub(super) fn smtp(&mut self, draft: &mut Draft, mailer: &str, is_first: bool) -> Result<(), Failure> {
        let mut settings = Settings::of("Laravel");
        // Before Laravel 7 they stood at the top.
        let is_old = self.config.at(&["mailers"]).is_none();
        for key in [
            "url",
            "scheme",
            "host",
            "port",
            "encryption",
            "username",
            "password",
            "timeout",
            "local_domain",
            "auth_mode",
            "verify_peer",
            "source_ip",
        ] {
            match is_old {
                true => self.put(draft, &mut settings, key, &[key]),
                false => self.put(draft, &mut settings, key, &["mailers", mailer, key]),
            }
        }
        if let Some(Said { value, from }) = settings.text(draft, "url") {
            self.url(draft, &mut settings, &value, &from)?;
        }
        let host = settings.host(draft, "host", "MAIL_HOST")?;
        let mut smarthost = Smarthost::new("Laravel", if is_first { "main" } else { mailer }, host);
        let port = settings.port(draft, "port")?.unwrap_or(Said::own(25));
        smarthost.tls = tls(&settings, port.value, draft)?;
        smarthost.port = Some(port);
        settings.login(draft, &mut smarthost, "username", "password");
        for (key, ours) in [("local_domain", "helo"), ("source_ip", "source")] {
            // By itself it is the host of the page.
            if matches!(settings.get(key), Some((Literal::Code, id)) if { draft.ledger.imply(id); true }) {
                continue;
            }
            if let Some(Said { value, from }) = settings.text(draft, key) {
                smarthost.more.push((ours, Said { value: Written::Text(value.to_string()), from }));
            }
        }
        if let Some(Said { value, from }) = settings.text(draft, "timeout") {
            smarthost.more.push(("connect_timeout", Said { value: Written::Text(format!("{}s", *value)), from }));
        }
        if let Some(Said { value, from }) = settings.text(draft, "auth_mode") {
            smarthost.auth = Said { value: vec![value.to_string()], from };
        }
        if let Some((value, id)) = settings.get("verify_peer") {
            match value {
                Literal::Flag(false) | Literal::Number(0) => {
                    let why = "the certificate is not looked at there, and always is here";
                    draft.ledger.say(id, &CERTIFICATE, why);
                }
                _ => draft.ledger.imply(id),
            }
        }
        draft.relay(smarthost);
        Ok(())
    }

    /// `MAIL_URL` goes before what it names.
    fn url(&mut self, draft: &mut Draft, settings: &mut Settings, url: &str, from: &[Id]) -> Result<(), Failure> {
        let parts = Url::parse(url).map_err(|why| settings.wrong("url", &format!("MAIL_URL {why}")))?;
        if parts.scheme != "smtp" {
            return Err(settings
                .wrong("url", "MAIL_URL has a scheme that Laravel has no mailer for")
                .hint("write smtp://USER:PASSWORD@HOST:587"));
        }
        draft.ledger.carry(from);
        let known = [
            ("host", Some(parts.host).filter(|host| !host.is_empty()).map(Zeroizing::new)),
            ("port", parts.port.map(|port| Zeroizing::new(port.to_string()))),
            ("username", parts.username.map(Zeroizing::new)),
            ("password", parts.password),
        ];
        let of_query = parts.query.into_iter().map(|(key, value)| (key, Zeroizing::new(value)));
        let all = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).chain(of_query);
        for (key, value) in all {
            settings.leave(draft, &[&key], "MAIL_URL goes before it");
            settings.put_known(from[0], Entry { key, line: 0, value: Literal::Text(value) }, &self.env_path.clone());
        }
        Ok(())
    }

    /// A provider by its HTTP API as a relay.
    pub(super) fn api(
        &mut self,
        draft: &mut Draft,
        mailer: &str,
        provider: &str,
        keys: &[(&'static str, &[&str])],
        is_first: bool,
    ) {
        let name = if is_first { "main" } else { mailer };
        let table = draft.named(Table::Relay, name, &[]);
        draft.set(&table, "provider", provider, &[]);
        draft.set(&table, "via", "api", &[]);
        for (ours, names) in keys {
            let found = names.iter().find_map(|name| self.in_env(name).cloned());
            let is_optional = matches!(*ours, "region" | "message_stream");
            match found {
                Some(entry) => {
                    let id = self.note(draft, &entry.key, entry.line);
                    let value = match (meant(entry.value).as_text().filter(|text| !text.is_empty()), *ours) {
                        (Some(text), "domain" | "region" | "access_key_id" | "message_stream") => {
                            Some(Written::Text(text.to_string()))
                        }
                        (Some(text), _) => Some(secret(&text, id).value),
                        (None, _) if is_optional => None,
                        (None, _) => {
                            draft.ledger.say(id, &PASSWORD, "there is no key that could be taken along");
                            Some(Written::Wanted)
                        }
                    };
                    match value {
                        Some(value) => draft.set(&table, ours, value, &[id]),
                        None => draft.ledger.imply(id),
                    }
                }
                None if is_optional || *ours == "access_key_id" || provider == "amazon-ses" => {}
                None => {
                    draft.ledger.remark(
                        names[0],
                        &PASSWORD,
                        "it is not set: there is no key that could be taken along",
                    );
                    draft.set(
                        &table,
                        ours,
                        if *ours == "domain" { Written::from("example.com") } else { Written::Wanted },
                        &[],
                    );
                }
            }
        }
        if let Some(entry) = self.in_env("MAILGUN_ENDPOINT").cloned().filter(|_| provider == "mailgun") {
            let id = self.note(draft, &entry.key, entry.line);
            let is_eu = entry.value.as_text().is_some_and(|text| text.contains("api.eu."));
            match is_eu {
                true => draft.set(&table, "region", "eu", &[id]),
                false => draft.ledger.carry(&[id]),
            }
        }
    }
}

/// When TLS begins: by the scheme, by the encryption, else by the port.
fn tls(settings: &Settings, port: u16, draft: &mut Draft) -> Result<Said<TlsUse>, Failure> {
    let scheme = settings.word(draft, "scheme");
    let encryption = settings.word(draft, "encryption");
    if let Some(Said { value, from }) = scheme {
        settings.leave(draft, &["encryption"], "the scheme goes before it");
        return match value.as_str() {
            "smtps" => Ok(Said { value: TlsUse::Implicit, from }),
            "smtp" => Ok(Said { value: if port == 465 { TlsUse::Implicit } else { TlsUse::Opportunistic }, from }),
            _ => Err(settings.wrong("scheme", "the scheme is neither smtp nor smtps, and Laravel refuses it")),
        };
    }
    let Said { value, from } = encryption.unwrap_or(Said::own(String::new()));
    let tls = match (value.as_str(), port) {
        (_, 465) => TlsUse::Implicit,
        ("ssl", _) => {
            let why = "Laravel 9 and later begin with TLS on port 465 only, and with STARTTLS elsewhere; so does this";
            draft.say_all_of(&from, &TLS_MODE, why);
            TlsUse::Opportunistic
        }
        ("" | "tls" | "starttls" | "none", _) => TlsUse::Opportunistic,
        _ => return Err(settings.wrong("encryption", "the encryption is neither tls nor ssl")),
    };
    Ok(Said { value: tls, from })
}
