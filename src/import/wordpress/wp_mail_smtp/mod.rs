//! WP Mail SMTP 4: its constants go before its option, each by a rule of its own.

mod apis;
mod server;

use zeroize::Zeroizing;

use self::apis::{APIS, ByApi, OTHERS};
use super::constants::{Constants, is_true};
use crate::failure::{Failure, Kind as Failing};
use crate::import::application;
use crate::import::draft::code::{COMPUTED, FROM_FIELD, MISREAD, NO_COUNTERPART, PASSWORD, UNUSED};
use crate::import::draft::ledger::Id;
use crate::import::draft::{Draft, Said, Table, Written, secret};
use crate::import::literal::Literal;
use crate::import::source::{SourceFile, wrong};

const PROGRAM: &str = "WP Mail SMTP";

/// When a constant counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Where PHP takes it for true.
    Filled,
    /// Where it is `true` or `'true'`.
    On,
    /// Where it is defined.
    Defined,
}

/// A constant, the place in the option that it goes before, and when it does.
const CONSTANTS: &[(&str, &str, Rule)] = &[
    ("WPMS_MAIL_FROM", "mail.from_email", Rule::Filled),
    ("WPMS_MAIL_FROM_NAME", "mail.from_name", Rule::Filled),
    ("WPMS_MAILER", "mail.mailer", Rule::Filled),
    ("WPMS_SET_RETURN_PATH", "mail.return_path", Rule::On),
    ("WPMS_MAIL_FROM_FORCE", "mail.from_email_force", Rule::On),
    ("WPMS_MAIL_FROM_NAME_FORCE", "mail.from_name_force", Rule::On),
    ("WPMS_DO_NOT_SEND", "general.do_not_send", Rule::Filled),
    ("WPMS_SMTP_HOST", "smtp.host", Rule::Filled),
    ("WPMS_SMTP_PORT", "smtp.port", Rule::Filled),
    ("WPMS_SSL", "smtp.encryption", Rule::Defined),
    ("WPMS_SMTP_AUTH", "smtp.auth", Rule::Defined),
    ("WPMS_SMTP_AUTOTLS", "smtp.autotls", Rule::Defined),
    ("WPMS_SMTP_USER", "smtp.user", Rule::Filled),
    ("WPMS_SMTP_PASS", "smtp.pass", Rule::Filled),
];

/// What the plugin goes by: of the constant, else of the option.
struct Effective<'a> {
    constants: &'a Constants,
    option: Option<(&'a SourceFile, &'a Literal)>,
    /// What was read of the option, by path.
    read: Vec<(String, Id)>,
    is_on: bool,
}

pub(super) fn read(
    constants: &Constants,
    option: Option<(&SourceFile, &Literal)>,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let is_on = is_on(constants, draft);
    let mut effective = Effective { constants, option, read: Vec::new(), is_on };
    if let Some((source, value)) = option {
        for leaf in value.leaves() {
            effective.read.push((leaf.key.clone(), draft.ledger.read(&source.path, 0, leaf.key)));
        }
    }
    if !is_on && option.is_none() {
        return Err(Failure::new(
            Failing::Data,
            constants.path.display().to_string(),
            "WPMS_ON is not true: WP Mail SMTP passes over every constant, and what it sends with is in the database",
        )
        .hint("as the site's user: wp option get wp_mail_smtp --format=json > FILE, and name FILE, too"));
    }
    let mailer = effective.mailer(draft)?;
    let by_api = APIS.iter().find(|api| api.mailer == mailer.value);
    match by_api {
        Some(api) => effective.api(api, &mailer, draft),
        None => effective.smtp(&mailer, draft)?,
    }
    effective.sender(draft);
    effective.rest(by_api.map_or("smtp", |api| api.mailer), draft);
    application::switch(
        draft,
        PROGRAM,
        "WPMS_MAILER 'mail', or \"Default (none)\" in its settings, or switch the plugin off",
    );
    Ok(())
}

/// Whether the constants count at all.
fn is_on(constants: &Constants, draft: &mut Draft) -> bool {
    match constants.get("WPMS_ON") {
        Some((Literal::Flag(true), id)) => {
            draft.ledger.carry(&[id]);
            true
        }
        Some((Literal::Variable(..) | Literal::Code, id)) => {
            draft.ledger.say(id, &COMPUTED, "it is known only when WordPress runs; it is taken for true");
            true
        }
        Some((_, id)) => {
            draft.ledger.say(id, &MISREAD, "only true without quotes turns the constants on");
            false
        }
        None => false,
    }
}

impl Effective<'_> {
    /// The constant that counts for `path`.
    fn constant(&self, path: &str) -> Option<(&'static str, &Literal, Id)> {
        let (name, _, rule) = CONSTANTS.iter().find(|(_, known, _)| *known == path)?;
        let (value, id) = self.constants.get(name).filter(|_| self.is_on)?;
        let is_unknown = matches!(value, Literal::Variable(..) | Literal::Code | Literal::Table(_));
        let counts = match rule {
            Rule::Filled => is_true(value),
            Rule::On => {
                matches!(value, Literal::Flag(true)) || matches!(value, Literal::Text(text) if **text == "true")
            }
            Rule::Defined => true,
        };
        // What may not be there at all leaves it to the option.
        let has_option = *name != "WPMS_SMTP_PASS" && self.stored(path).is_some();
        (counts || (is_unknown && !has_option)).then_some((*name, value, id))
    }

    fn stored(&self, path: &str) -> Option<(&Literal, Id)> {
        let (_, id) = self.read.iter().find(|(known, _)| known == path)?;
        let parts: Vec<&str> = path.split('.').collect();
        Some((&self.option?.1.at(&parts)?.value, *id))
    }

    fn text(&self, draft: &mut Draft, path: &str) -> Option<Said<Zeroizing<String>>> {
        if let Some((name, ..)) = self.constant(path) {
            return self.constants.text(draft, name);
        }
        let (value, id) = self.stored(path)?;
        let text = value.as_text().filter(|text| !text.is_empty());
        match text {
            // WordPress takes the slashes off what is stored.
            Some(text) => Some(Said::new(without_slashes(&text), id)),
            None => {
                draft.ledger.imply(id);
                None
            }
        }
    }

    /// A truth value; `None`: nothing that is known says so.
    fn flag(&self, draft: &mut Draft, path: &str) -> Option<Said<bool>> {
        if let Some((name, value, id)) = self.constant(path) {
            if matches!(value, Literal::Text(text) if text.eq_ignore_ascii_case("false")) {
                draft.ledger.say(id, &MISREAD, "PHP takes 'false' in quotes for true");
            }
            return self.constants.flag(draft, name);
        }
        if let Some((value, id)) = self.stored(path) {
            return Some(Said::new(is_true(value), id));
        }
        // What is not in an option that is there is off.
        self.option.is_some().then(|| Said::own(false))
    }

    fn mailer(&self, draft: &mut Draft) -> Result<Said<String>, Failure> {
        let named = self.text(draft, "mail.mailer");
        let Some(Said { value, from }) = named else {
            if self.option.is_some() {
                return Err(calls_sendmail());
            }
            draft.ledger.remark("WPMS_MAILER", &COMPUTED, "the mailer is chosen in the database; it is taken for smtp");
            return Ok(Said::own("smtp".to_owned()));
        };
        let word = value.trim().to_lowercase();
        draft.ledger.carry(&from);
        if word == "mail" {
            return Err(calls_sendmail());
        }
        if let Some((_, step)) = OTHERS.iter().find(|(known, _)| *known == word) {
            return Err(
                refused(draft, &from, format!("{PROGRAM} sends by {word}, which cannot be taken over")).hint(*step)
            );
        }
        if word != "smtp" && !APIS.iter().any(|api| api.mailer == word) {
            return Err(refused(draft, &from, "a mailer that is not known here".to_owned())
                .hint("`mailchute providers` lists those that are"));
        }
        Ok(Said { value: word, from })
    }

    fn api(&self, api: &ByApi, mailer: &Said<String>, draft: &mut Draft) {
        let mut keys = Vec::new();
        for (constant, key, ours) in api.keys {
            let said = match self.constants.get(constant).filter(|_| self.is_on) {
                Some(_) => self.constants.text(draft, constant),
                None => self.text(draft, &format!("{}.{key}", api.mailer)),
            };
            let Some(said) = said else { continue };
            match (*ours, api.provider) {
                ("", _) => draft.say_all_of(&said.from, &NO_COUNTERPART, "the provider knows the domain by the sender"),
                ("region", "mailgun" | "sparkpost") if said.value.eq_ignore_ascii_case("us") => {
                    draft.ledger.carry(&said.from);
                }
                ("region", _) => {
                    keys.push(("region", Said { value: Written::Text(said.value.to_lowercase()), from: said.from }));
                }
                ("custom_headers", _) => {
                    keys.push(("custom_headers", Said { value: Written::Bare("true".to_owned()), from: said.from }));
                }
                // Half of a pair that is no secret by itself.
                ("api_key=", _) => {
                    keys.push(("api_key", Said { value: Written::Text(said.value.to_string()), from: said.from }));
                }
                (key @ ("domain" | "channel" | "message_stream" | "access_key_id"), _) => {
                    keys.push((key, Said { value: Written::Text(said.value.to_string()), from: said.from }));
                }
                (key, _) => keys.push((key, secret(&said.value, said.from[0]))),
            }
        }
        let has_secret = keys.iter().any(|(_, said)| matches!(said.value, Written::Secret(_)));
        if !has_secret {
            let key = api.keys.last().map_or("token", |(_, _, ours)| *ours);
            let key = api
                .keys
                .iter()
                .map(|(_, _, ours)| *ours)
                .find(|ours| ["api_key", "token"].contains(ours))
                .unwrap_or(key);
            draft.say_all(&mailer.from, key, &PASSWORD, "there is no key here: it is in the database");
            keys.push((key, Said::own(Written::Wanted)));
        }
        application::api(draft, api.provider, &mailer.from, keys);
    }

    fn sender(&self, draft: &mut Draft) {
        let address = self.text(draft, "mail.from_email");
        let name = self.text(draft, "mail.from_name");
        let ids =
            |this: &Self, draft: &mut Draft, path: &str| this.flag(draft, path).map_or(Vec::new(), |said| said.from);
        let force = self.flag(draft, "mail.from_email_force");
        let name_force = ids(self, draft, "mail.from_name_force");
        let Some(address) = application::sender(draft, address, name) else {
            draft.say_all_of(
                &force.map(|said| said.from).unwrap_or_default(),
                &UNUSED,
                "there is no sender that could be forced",
            );
            draft.say_all_of(&name_force, &UNUSED, "there is no sender that could be forced");
            return;
        };
        match force {
            Some(Said { value: true, from }) => {
                application::force(draft, &address, &[from, name_force].concat());
            }
            Some(Said { value: false, from }) => {
                let why = "WordPress writes wordpress@HOST where nothing else is set, and the plugin replaced that only; \
                           here it goes out, unless other_sender = \"rewrite\" replaces every sender";
                draft.say_all(&from, "from_email_force", &FROM_FIELD, why);
                draft.ledger.carry(&name_force);
            }
            None => {
                let why = "whether the plugin replaces every sender is said in the database; it is taken for on, as the \
                           plugin has it at first";
                draft.ledger.remark("WPMS_MAIL_FROM_FORCE", &FROM_FIELD, why);
                application::force(draft, &address, &name_force);
            }
        }
    }

    /// The return path, "do not send", and what belongs to other mailers.
    fn rest(&self, mailer: &str, draft: &mut Draft) {
        if let Some(Said { from, .. }) = self.flag(draft, "mail.return_path") {
            // The From field's address is the reverse-path here anyway.
            draft.ledger.carry(&from);
        }
        if let Some(Said { value, from }) = self.flag(draft, "general.do_not_send") {
            match value {
                true => draft.set(&Table::Top, "discard", Written::Bare("true".to_owned()), &from),
                false => draft.ledger.carry(&from),
            }
        }
        for (name, _, _) in CONSTANTS {
            if let Some((_, id)) = self.constants.get(name).filter(|(_, id)| draft.ledger.is_open(*id)) {
                let why = if self.is_on { "the plugin passes over this value" } else { "WPMS_ON is not true" };
                draft.ledger.say(id, &UNUSED, why);
            }
        }
        let of_apis = APIS.iter().flat_map(|api| api.keys.iter().map(|(name, ..)| *name));
        let of_others = [
            "WPMS_GMAIL_CLIENT_ID",
            "WPMS_GMAIL_CLIENT_SECRET",
            "WPMS_OUTLOOK_CLIENT_ID",
            "WPMS_OUTLOOK_CLIENT_SECRET",
            "WPMS_ZOHO_DOMAIN",
            "WPMS_ZOHO_CLIENT_ID",
            "WPMS_ZOHO_CLIENT_SECRET",
            "WPMS_PEPIPOST_API_KEY",
        ];
        for name in of_apis.chain(of_others) {
            if let Some((_, id)) = self.constants.get(name).filter(|(_, id)| draft.ledger.is_open(*id)) {
                draft.ledger.say(id, &UNUSED, "it belongs to another mailer than the one that is chosen");
            }
        }
        for (path, id) in &self.read {
            if !draft.ledger.is_open(*id) {
                continue;
            }
            let group = path.split('.').next().unwrap_or_default();
            let is_replaced = self.constant(path).is_some();
            match group {
                _ if is_replaced => draft.ledger.say(*id, &UNUSED, "a constant says otherwise, and goes before it"),
                group if group == mailer || group == "mail" => {}
                "alert_email"
                | "alert_slack_webhook"
                | "alert_discord_webhook"
                | "alert_twilio_sms"
                | "alert_teams_webhook"
                | "alert_custom_webhook"
                | "alert_push_notifications"
                | "alert_whatsapp"
                | "alert_events" => {
                    draft.ledger.say(*id, &NO_COUNTERPART, "who is told of failures is said in [alert.NAME] here");
                }
                group
                    if group == "smtp"
                        || APIS.iter().any(|api| api.mailer == group)
                        || OTHERS.iter().any(|(known, _)| *known == group) =>
                {
                    draft.ledger.say(*id, &UNUSED, "it belongs to another mailer than the one that is chosen");
                }
                _ => draft.ledger.say(*id, &NO_COUNTERPART, "it is about the plugin itself"),
            }
        }
    }
}

/// What is wrong with a setting, at its line where it has one.
fn refused(draft: &Draft, ids: &[Id], why: String) -> Failure {
    match ids.first().map(|id| draft.ledger.item(*id)) {
        Some(item) => match &item.file {
            Some(file) if item.line > 0 => wrong(file, item.line, why),
            _ => Failure::new(Failing::Data, PROGRAM, why),
        },
        None => Failure::new(Failing::Data, PROGRAM, why),
    }
}

/// Nothing is to be taken over.
fn calls_sendmail() -> Failure {
    Failure::new(
        Failing::Data,
        PROGRAM,
        "it hands mail to PHP's mail(), which calls sendmail: there is nothing to import",
    )
    .hint("set up a relay: sudo mailchute init")
}

/// As `stripslashes()` has it.
fn without_slashes(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next().map(|c| if c == '0' { '\0' } else { c })),
            c => plain.push(c),
        }
    }
    plain
}
