//! The constants of `wp-config.php` that plugins read.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::import::application::{given, in_variable};
use crate::import::draft::code::{COMPUTED, NO_COUNTERPART, UNUSED};
use crate::import::draft::ledger::Id;
use crate::import::draft::{Draft, Said};
use crate::import::literal::{Literal, php};
use crate::import::source::{SourceFile, wrong};

/// Constants by name, the first of each.
#[derive(Default)]
pub(super) struct Constants {
    list: Vec<(String, Literal, Id)>,
    /// The file.
    pub(super) path: PathBuf,
}

/// The beginnings of the names that mean mail.
const FAMILIES: &[&str] = &["WPMS_", "FLUENTMAIL_", "POST_SMTP_"];

impl Constants {
    /// Reads the file, and notes every one of them.
    ///
    /// # Errors
    /// `Data`: PHP would refuse it.
    pub(super) fn read(source: &SourceFile, draft: &mut Draft) -> Result<Self, Failure> {
        let statements = php::read(&source.text).map_err(|(line, why)| wrong(&source.path, line, why))?;
        let mut found = Self { list: Vec::new(), path: source.path.clone() };
        for statement in statements {
            let php::Target::Constant(name) = statement.target else { continue };
            if !FAMILIES.iter().any(|family| name.starts_with(family)) {
                continue;
            }
            let id = draft.ledger.read(&source.path, statement.line, name.as_str());
            if found.list.iter().any(|(known, ..)| *known == name) {
                draft.ledger.say(id, &UNUSED, "it is defined before, and PHP keeps the first");
                continue;
            }
            let value = if statement.is_conditional {
                draft.ledger.say(id, &COMPUTED, "it is defined under a condition, which is not looked into");
                Literal::Code
            } else {
                statement.value
            };
            found.list.push((name, value, id));
        }
        Ok(found)
    }

    /// Whether there is one that begins so.
    pub(super) fn has_any(&self, family: &str) -> bool {
        self.list.iter().any(|(name, ..)| name.starts_with(family))
    }

    /// One as it is.
    pub(super) fn get(&self, name: &str) -> Option<(&Literal, Id)> {
        self.list.iter().find(|(known, ..)| known == name).map(|(_, value, id)| (value, *id))
    }

    /// One that counts only where PHP takes it for true. What is known only when the program runs is said.
    pub(super) fn text(&self, draft: &mut Draft, name: &str) -> Option<Said<Zeroizing<String>>> {
        let (value, id) = self.get(name)?;
        if unknown(draft, value, id) {
            return None;
        }
        let text = value.as_text().filter(|text| !text.is_empty() && **text != "0");
        given(draft, id, text)
    }

    /// One as a truth value.
    pub(super) fn flag(&self, draft: &mut Draft, name: &str) -> Option<Said<bool>> {
        let (value, id) = self.get(name)?;
        if unknown(draft, value, id) {
            return None;
        }
        Some(Said::new(is_true(value), id))
    }

    /// Says what the plugin keeps to itself, and leaves what is unknown open.
    pub(super) fn finish(&self, draft: &mut Draft) {
        for (name, _, id) in &self.list {
            if !draft.ledger.is_open(*id) {
                continue;
            }
            let of_plugin =
                ["WPMS_LICENSE_KEY", "WPMS_CRYPTO_KEY", "FLUENTMAIL_ENCRYPT_KEY", "FLUENTMAIL_ENCRYPT_SALT"];
            let is_plugins_own = of_plugin.contains(&name.as_str())
                || ["WPMS_SUMMARY_", "WPMS_DEBUG_", "WPMS_OPTIMIZED_", "FLUENTMAIL_LOG"]
                    .iter()
                    .any(|family| name.starts_with(family));
            if name.starts_with("WPMS_ALERT_") {
                draft.ledger.say(*id, &NO_COUNTERPART, "who is told of failures is said in [alert.NAME] here");
            } else if is_plugins_own {
                draft.ledger.say(*id, &NO_COUNTERPART, "it is about the plugin itself");
            }
        }
    }
}

/// Says that a value is known only when the program runs, where it is so.
fn unknown(draft: &mut Draft, value: &Literal, id: Id) -> bool {
    let why = match value {
        Literal::Variable(name, _) => in_variable(name, "WordPress"),
        Literal::Code | Literal::Table(_) => "it is no plain value, and known only when WordPress runs".to_owned(),
        _ => return false,
    };
    if draft.ledger.is_open(id) {
        draft.ledger.say(id, &COMPUTED, why);
    }
    true
}

/// What PHP takes for true.
pub(super) fn is_true(value: &Literal) -> bool {
    match value {
        Literal::Text(text) => !text.is_empty() && **text != "0",
        Literal::Number(number) => *number != 0,
        Literal::Flag(flag) => *flag,
        Literal::Table(entries) => !entries.is_empty(),
        Literal::Null | Literal::Variable(..) | Literal::Code => false,
    }
}
