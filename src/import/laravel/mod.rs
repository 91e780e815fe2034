//! Laravel: `.env` as phpdotenv reads it, and what `config/mail.php` makes of it, as far as it says so plainly.

mod server;

use std::path::{Path, PathBuf};

use self::server::APIS;
use super::application::{self, Settings};
use super::draft::code::{COMPUTED, IMPLIED, MISREAD, NO_COUNTERPART, UNUSED};
use super::draft::ledger::Id;
use super::draft::{Draft, Said, Table, Written};
use super::literal::dotenv::{self, Dialect};
use super::literal::{Entry, Literal, php};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "laravel",
    title: "Laravel",
    files: ".env, and config/mail.php beside it, which is not run",
    find,
    read,
};

/// What stands in `config/mail.php` where there is none.
const STANDARD: &str = "<?php return [
    'default' => env('MAIL_MAILER', env('MAIL_DRIVER', 'smtp')),
    'mailers' => [
        'smtp' => ['transport' => 'smtp', 'url' => env('MAIL_URL'), 'scheme' => env('MAIL_SCHEME'),
            'host' => env('MAIL_HOST', '127.0.0.1'), 'port' => env('MAIL_PORT', 2525),
            'encryption' => env('MAIL_ENCRYPTION'), 'username' => env('MAIL_USERNAME'), 'password' => env('MAIL_PASSWORD')],
    ],
    'from' => ['address' => env('MAIL_FROM_ADDRESS', 'hello@example.com'), 'name' => env('MAIL_FROM_NAME')],
];";

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    application::find(root, &[".env"], |text| ["MAIL_MAILER=", "MAIL_DRIVER="].iter().any(|name| text.contains(name)))
}

/// What is known of the application.
struct Application {
    env: Vec<Entry>,
    env_path: PathBuf,
    /// `config/mail.php` and where it is.
    config: Literal,
    config_path: PathBuf,
    /// Variables that were asked for, with their ledger numbers.
    asked: Vec<(String, Id)>,
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let found = if asked.files.is_empty() { find(asked.root, asked.person) } else { Vec::new() };
    let source = application::main(asked, "laravel", &[".env"], &found)?;
    let env = dotenv::read(&source.text, Dialect::Laravel, &[])
        .map_err(|(line, why)| wrong(&source.path, line, format!("Laravel refuses the file here: {why}")))?;
    let directory = source.path.parent().unwrap_or(Path::new("")).to_owned();
    let beside = asked.find(&directory.join("config/mail.php"))?;
    let (config, config_path) = config(beside)?;
    let mut application = Application { env, env_path: source.path.clone(), config, config_path, asked: Vec::new() };
    let cache = directory.join("bootstrap/cache/config.php");
    if asked.root.has_file(&cache) {
        let id = draft.ledger.read(&cache, 0, "cache");
        draft.ledger.say(id, &MISREAD, "Laravel goes by it, and not by .env, until `php artisan config:clear`");
    }
    application.mailers(draft)?;
    application.sender(draft);
    application.rest(draft);
    application.cut(&source.text, draft);
    application::switch(
        draft,
        "Laravel",
        "MAIL_MAILER=sendmail and MAIL_SENDMAIL_PATH=\"/usr/local/bin/mailchute -t -i\"",
    );
    Ok(())
}

/// What `config/mail.php` returns, else what it does as it comes.
fn config(source: Option<SourceFile>) -> Result<(Literal, PathBuf), Failure> {
    let Some(source) = source else {
        let standard = php::read(STANDARD).ok().and_then(php::result);
        return Ok((standard.unwrap_or(Literal::Code), PathBuf::new()));
    };
    let statements = php::read(&source.text).map_err(|(line, why)| wrong(&source.path, line, why))?;
    match php::result(statements) {
        Some(table @ Literal::Table(_)) => Ok((table, source.path)),
        _ => Err(Failure::new(
            Failing::Data,
            source.path.display().to_string(),
            "returns no array that can be read without running it",
        )
        .hint("`php artisan config:show mail` prints it; set it up by `mailchute init`")),
    }
}

impl Application {
    fn in_env(&self, name: &str) -> Option<&Entry> {
        self.env.iter().find(|entry| entry.key == name)
    }

    /// A variable of `.env`, noted once.
    fn note(&mut self, draft: &mut Draft, name: &str, line: usize) -> Id {
        if let Some((_, id)) = self.asked.iter().find(|(known, _)| known == name) {
            return *id;
        }
        let id = draft.ledger.read(&self.env_path, line, name);
        self.asked.push((name.to_owned(), id));
        id
    }

    /// Puts what `path` of the configuration comes to under `key`.
    fn put(&mut self, draft: &mut Draft, settings: &mut Settings, key: &str, path: &[&str]) {
        let Some(entry) = self.config.at(path).cloned() else { return };
        let mut value = entry.value;
        loop {
            let Literal::Variable(name, default) = value else { break };
            if let Some(found) = self.in_env(&name).cloned() {
                let id = self.note(draft, &name, found.line);
                settings.put_known(
                    id,
                    Entry { key: key.to_owned(), line: found.line, value: meant(found.value) },
                    &self.env_path,
                );
                return;
            }
            value = match default {
                Some(default) => *default,
                None => return,
            };
        }
        if self.config_path.as_os_str().is_empty() {
            // What Laravel has by itself is no setting of anybody.
            settings.put_own(Entry { key: key.to_owned(), line: 0, value });
            return;
        }
        settings.put(
            draft,
            &self.config_path.clone(),
            &path.join("."),
            Entry { key: key.to_owned(), line: entry.line, value },
        );
    }

    /// One of its values by itself.
    fn one(&mut self, draft: &mut Draft, path: &[&str]) -> Option<Said<String>> {
        let mut settings = Settings::of("Laravel");
        self.put(draft, &mut settings, "it", path);
        settings.word(draft, "it")
    }

    fn mailers(&mut self, draft: &mut Draft) -> Result<(), Failure> {
        let key = if self.config.at(&["default"]).is_some() { "default" } else { "driver" };
        let is_said = self.in_env("MAIL_MAILER").is_some() || self.in_env("MAIL_DRIVER").is_some();
        if !is_said && self.config_path.as_os_str().is_empty() {
            draft.ledger.remark("MAIL_MAILER", &COMPUTED, "nothing says how mail is sent; it is taken for smtp");
        }
        let Some(Said { value, from }) = self.one(draft, &[key]) else {
            return Err(Failure::new(Failing::Data, "Laravel", "how it sends mail is known only when it runs")
                .hint("set it up by `mailchute init`"));
        };
        draft.ledger.carry(&from);
        let transport = self.transport(draft, &value);
        if matches!(transport.as_str(), "failover" | "roundrobin") {
            let members = self.members(&value);
            let mut count = 0;
            for member in &members {
                match self.relay(draft, member, count == 0) {
                    Ok(()) => count += 1,
                    Err(_) => draft.ledger.remark(
                        member,
                        &NO_COUNTERPART,
                        "it is no server, and has no part in the route here",
                    ),
                }
            }
            if count == 0 {
                return Err(Failure::new(
                    Failing::Data,
                    "Laravel",
                    format!("{transport} names no server that can be taken over"),
                ));
            }
            if transport == "roundrobin" {
                draft.set(&Table::Top, "strategy", "spread", &from);
            }
            return Ok(());
        }
        self.relay(draft, &value, true)
    }

    fn transport(&mut self, draft: &mut Draft, mailer: &str) -> String {
        let said = self.one(draft, &["mailers", mailer, "transport"]);
        draft.ledger.carry(&said.as_ref().map(|said| said.from.clone()).unwrap_or_default());
        said.map_or_else(|| mailer.to_owned(), |said| said.value)
    }

    /// The members of a group of mailers.
    fn members(&self, mailer: &str) -> Vec<String> {
        match self.config.at(&["mailers", mailer, "mailers"]).map(|entry| &entry.value) {
            Some(Literal::Table(list)) => {
                list.iter().filter_map(|entry| entry.value.as_text()).map(|text| text.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// One mailer as a relay.
    fn relay(&mut self, draft: &mut Draft, mailer: &str, is_first: bool) -> Result<(), Failure> {
        let transport = self.transport(draft, mailer);
        if let Some((_, provider, keys)) = APIS.iter().find(|(word, ..)| *word == transport) {
            self.api(draft, mailer, provider, keys, is_first);
            return Ok(());
        }
        match transport.as_str() {
            "smtp" => self.smtp(draft, mailer, is_first),
            "sendmail" | "mail" => {
                Err(Failure::new(Failing::Data, "Laravel", "it calls sendmail already, and there is nothing to import")
                    .hint("set up a relay: sudo mailchute init"))
            }
            "log" | "array" | "null" => Err(Failure::new(
                Failing::Data,
                "Laravel",
                format!("its mailer is {transport}: it sends nothing, and there is nothing to import"),
            )
            .hint("name the .env of the host that sends, or set up a relay: sudo mailchute init")),
            _ => Err(Failure::new(Failing::Data, "Laravel", "its mailer is none that is known here")
                .hint("set up a relay: sudo mailchute init")),
        }
    }

    fn sender(&mut self, draft: &mut Draft) {
        let mut settings = Settings::of("Laravel");
        for (key, path) in [("address", ["from", "address"]), ("name", ["from", "name"]), ("to", ["to", "address"])] {
            self.put(draft, &mut settings, key, &path);
        }
        // What Laravel comes with is nobody's address.
        let is_example = settings.get("address").is_some_and(|(value, _)| {
            value.as_text().is_some_and(|text| matches!(text.as_str(), "hello@example.com" | "null"))
        });
        if is_example {
            settings.leave(draft, &["address", "name"], "Laravel comes with it, and it is nobody's address");
        } else {
            let (address, name) = (settings.text(draft, "address"), settings.text(draft, "name"));
            application::sender(draft, address, name);
        }
        if let Some(Said { value, from }) = settings.text(draft, "to") {
            draft.set(&Table::Top, "divert", Written::List(vec![value.to_string()]), &from);
        }
    }

    /// Names the values that are shorter than they look.
    fn cut(&self, text: &str, draft: &mut Draft) {
        for (name, id) in &self.asked {
            let line = draft.ledger.item(*id).line;
            let raw = text
                .lines()
                .nth(line.saturating_sub(1))
                .and_then(|line| line.split_once('='))
                .map(|(_, raw)| raw.trim());
            let is_cut = raw.is_some_and(|raw| {
                let hash = raw.find('#').filter(|at| !raw[..*at].ends_with(char::is_whitespace) && *at > 0);
                !raw.starts_with(['"', '\'']) && hash.is_some()
            });
            if is_cut && name.starts_with("MAIL_") {
                draft.ledger.say(
                    *id,
                    &MISREAD,
                    "Laravel takes what stands before the #: with quotes around it, it would be whole",
                );
            }
        }
    }

    /// Variables that are about mail and were not asked for.
    fn rest(&mut self, draft: &mut Draft) {
        for entry in self.env.clone() {
            let is_mail = entry.key.starts_with("MAIL_")
                || APIS.iter().any(|(_, _, keys)| {
                    keys.iter().any(|(_, names)| names.contains(&entry.key.as_str()) && !entry.key.starts_with("AWS_"))
                });
            if !is_mail || self.asked.iter().any(|(known, _)| *known == entry.key) {
                continue;
            }
            let id = self.note(draft, &entry.key, entry.line);
            let is_usual = STANDARD.contains(&format!("'{}'", entry.key))
                && !["MAIL_DRIVER", "MAIL_MAILER"].contains(&entry.key.as_str());
            if is_usual && !self.config_path.as_os_str().is_empty() {
                draft.ledger.say(id, &MISREAD, "config/mail.php does not ask for it, or says otherwise");
                continue;
            }
            let is_known =
                ["MAIL_SENDMAIL_PATH", "MAIL_LOG_CHANNEL", "MAIL_DRIVER", "MAIL_MAILER"].contains(&entry.key.as_str());
            match is_known || !entry.key.starts_with("MAIL_") || !self.config_path.as_os_str().is_empty() {
                true => draft.ledger.say(id, &UNUSED, "it belongs to another mailer, or nothing asks for it"),
                false if entry.key == "MAIL_EHLO_DOMAIN" => {
                    draft.ledger.say(id, &NO_COUNTERPART, "say helo = \"NAME\" in the relay");
                }
                false => {}
            }
        }
        for (_, id) in &self.asked {
            if draft.ledger.is_open(*id) {
                draft.ledger.say(*id, &IMPLIED, "");
            }
        }
    }
}

/// What Laravel's `env()` makes of a text.
fn meant(value: Literal) -> Literal {
    let Literal::Text(text) = &value else { return value };
    match text.to_ascii_lowercase().as_str() {
        "true" | "(true)" => Literal::Flag(true),
        "false" | "(false)" => Literal::Flag(false),
        "null" | "(null)" => Literal::Null,
        "empty" | "(empty)" => Literal::text(""),
        _ => {
            let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
            let inside = inside('"').or_else(|| inside('\'')).map(Literal::text);
            inside.unwrap_or(value)
        }
    }
}
