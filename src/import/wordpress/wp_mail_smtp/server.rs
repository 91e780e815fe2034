//! The server that WP Mail SMTP sends by.

use super::{Effective, PROGRAM};
use crate::failure::{Failure, Kind as Failing};
use crate::import::draft::code::{COMPUTED, IMPLIED, PASSWORD, UNUSED};
use crate::import::draft::ledger::Id;
use crate::import::draft::{Draft, Said, Smarthost, TlsUse, Written, secret};
use crate::import::literal::Literal;

impl Effective<'_> {
    /// The server as a relay.
    ///
    /// # Errors
    /// `Data`: no server is known, or something is wrong with it.
    pub(super) fn smtp(&self, mailer: &Said<String>, draft: &mut Draft) -> Result<(), Failure> {
        let host = self.text(draft, "smtp.host");
        let Some(host) = host else {
            let why = match self.constant("smtp.host") {
                Some(_) => "WPMS_SMTP_HOST is known only when WordPress runs",
                None => "no server is named: it is in the database",
            };
            return Err(Failure::new(Failing::Data, self.constants.path.display().to_string(), why)
                .hint("as the site's user: wp option get wp_mail_smtp --format=json > FILE, and name FILE, too"));
        };
        draft.ledger.carry(&mailer.from);
        let host = Said { value: host.value.trim().to_owned(), from: host.from };
        let mut smarthost = Smarthost::new(PROGRAM, "main", host);
        smarthost.port = Some(match self.text(draft, "smtp.port") {
            Some(Said { value, from }) => match value.trim().parse::<u16>() {
                Ok(value) if value > 0 => Said { value, from },
                _ => {
                    return Err(Failure::new(
                        Failing::Data,
                        draft.ledger.item(from[0]).place(),
                        "the port is no number",
                    ));
                }
            },
            None => Said::own(25),
        });
        self.tls(&mut smarthost, draft)?;
        self.login(&mut smarthost, draft);
        draft.relay(smarthost);
        Ok(())
    }

    fn tls(&self, smarthost: &mut Smarthost, draft: &mut Draft) -> Result<(), Failure> {
        let word = match self.constant("smtp.encryption") {
            Some((_, value, id)) => match value.as_text() {
                Some(text) => Some(Said::new(text.to_string(), id)),
                None if matches!(value, Literal::Variable(..) | Literal::Code) => {
                    draft.ledger.say(id, &COMPUTED, "it is known only when WordPress runs");
                    None
                }
                None => Some(Said::new(String::new(), id)),
            },
            None => {
                self.text(draft, "smtp.encryption").map(|said| Said { value: said.value.to_string(), from: said.from })
            }
        };
        // The plugin turns it on by itself.
        let autotls = self.flag(draft, "smtp.autotls").unwrap_or(Said::own(true));
        let Said { value, mut from } = word.unwrap_or(Said::own(String::new()));
        let tls = match (value.trim(), autotls.value) {
            ("ssl", _) => TlsUse::Implicit,
            ("tls", _) => TlsUse::StartTls,
            ("" | "none", true) => TlsUse::Opportunistic,
            ("" | "none", false) => TlsUse::None,
            _ => {
                let place = from.first().map_or_else(String::new, |id| draft.ledger.item(*id).place());
                return Err(Failure::new(Failing::Data, place, "the encryption is neither '', 'ssl' nor 'tls'"));
            }
        };
        match tls {
            TlsUse::Implicit | TlsUse::StartTls => draft.say_all_of(&autotls.from, &IMPLIED, ""),
            TlsUse::Opportunistic | TlsUse::None => from.extend(&autotls.from),
        }
        smarthost.tls = Said { value: tls, from };
        Ok(())
    }

    fn login(&self, smarthost: &mut Smarthost, draft: &mut Draft) {
        let has_login = self.constant("smtp.user").is_some() || self.constant("smtp.pass").is_some();
        let auth = self.flag(draft, "smtp.auth").unwrap_or_else(|| {
            if has_login {
                draft.ledger.remark(
                    "WPMS_SMTP_AUTH",
                    &COMPUTED,
                    "whether it logs in is said in the database; it is taken for on, as the plugin has it at first",
                );
            }
            Said::own(true)
        });
        draft.ledger.carry(&auth.from);
        let user = self.text(draft, "smtp.user");
        let is_stored = self.constant("smtp.pass").is_none();
        let password = if is_stored { self.stored("smtp.pass").map(|(_, id)| (None, id)) } else { None };
        let password = password.or_else(|| {
            let (_, value, id) = self.constant("smtp.pass")?;
            let is_known = value.as_text().is_some();
            Some((is_known.then(|| self.constants.text(draft, "WPMS_SMTP_PASS")).flatten().map(|said| said.value), id))
        });
        if !auth.value {
            let ids: Vec<Id> = user.into_iter().flat_map(|user| user.from).chain(password.map(|(_, id)| id)).collect();
            draft.say_all_of(&ids, &UNUSED, "the plugin does not log in, as SMTP_AUTH is off");
            return;
        }
        let Some(user) = user else {
            if let Some((_, id)) = password {
                draft.ledger.say(id, &UNUSED, "there is no user name");
            }
            return;
        };
        smarthost.username = Some(Said { value: user.value.to_string(), from: user.from.clone() });
        smarthost.secret = Some(match password {
            Some((Some(text), id)) => secret(&text, id),
            Some((None, id)) if is_stored => {
                let why = "the plugin keeps it encrypted; as the site's user: \
                           wp eval 'echo WPMailSMTP\\Options::init()->get(\"smtp\",\"pass\");' | sudo mailchute secret put NAME";
                draft.ledger.say(id, &PASSWORD, why);
                Said::new(Written::Wanted, id)
            }
            Some((None, id)) => {
                self.constants.text(draft, "WPMS_SMTP_PASS");
                Said::new(Written::Wanted, id)
            }
            None => {
                draft.say_all_of(&user.from, &PASSWORD, "its password is in the database, and encrypted there");
                Said { value: Written::Wanted, from: user.from }
            }
        });
    }
}
