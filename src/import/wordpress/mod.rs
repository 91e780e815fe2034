//! WordPress plugins that send by SMTP or an API: their constants in `wp-config.php`, and their options as wp-cli prints
//! them. What is in the database only is never asked for here.

mod constants;
mod options;
mod wp_mail_smtp;

use self::constants::Constants;
use super::draft::Draft;
use super::literal::Literal;
use super::source::{Inquiry, MailUser, SourceFile};
use super::{Importable, Program, application};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "wordpress",
    title: "WordPress",
    files: "wp-config.php (WP Mail SMTP, FluentSMTP), and options as `wp option get NAME --format=json` prints them",
    find,
    read,
};

const MAIN: &str = "wp-config.php";

/// The plugins, by the keys that their options have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plugin {
    WpMail,
    Fluent,
    Post,
    EasyWp,
    Wp,
}

impl Plugin {
    /// The one whose option this is.
    fn of(option: &Literal) -> Option<Self> {
        let has = |path: &[&str]| option.at(path).is_some();
        match () {
            () if has(&["connections"]) && has(&["mappings"]) => Some(Self::Fluent),
            () if has(&["transport_type"]) => Some(Self::Post),
            () if has(&["smtp_settings"]) => Some(Self::EasyWp),
            () if has(&["mail", "mailer"]) || (has(&["mail"]) && has(&["smtp"])) => Some(Self::WpMail),
            () if has(&["host"]) && has(&["smtpauth"]) => Some(Self::Wp),
            () => None,
        }
    }
}

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    application::find(root, &[MAIN], |text| text.contains("WPMS_") || text.contains("FLUENTMAIL_"))
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let mut sources = Vec::new();
    match asked.files {
        [] => sources.push(application::main(asked, "wordpress", &[MAIN], &find(asked.root, asked.person))?),
        [first, rest @ ..] => {
            let alone = Inquiry { files: std::slice::from_ref(first), ..*asked };
            sources.push(application::main(&alone, "wordpress", &[MAIN], &[])?);
            for path in rest {
                sources.push(asked.read(path)?);
            }
        }
    }
    let mut constants: Option<Constants> = None;
    let mut option: Option<(&SourceFile, Literal, Plugin)> = None;
    for source in &sources {
        let is_json = source.text.trim_start().starts_with(['{', '[', '"']);
        let is_second = if is_json { option.is_some() } else { constants.is_some() };
        if is_second {
            return Err(wrong(source, "is a second one of its kind").hint("name one wp-config.php and one option"));
        }
        if is_json {
            let (value, plugin) = json(source)?;
            option = Some((source, value, plugin));
        } else {
            constants = Some(Constants::read(source, draft)?);
        }
    }
    let mut constants = constants.unwrap_or_default();
    match option {
        None => {
            if !constants.has_any("WPMS_") {
                return Err(nothing(&sources[0], constants.has_any("FLUENTMAIL_")));
            }
            wp_mail_smtp::read(&constants, None, draft)?;
        }
        Some((source, value, Plugin::WpMail)) => wp_mail_smtp::read(&constants, Some((source, &value)), draft)?,
        Some((source, value, plugin)) => options::read(plugin, source, &value, &mut constants, draft)?,
    }
    constants.finish(draft);
    Ok(())
}

/// An option as wp-cli prints it.
fn json(source: &SourceFile) -> Result<(Literal, Plugin), Failure> {
    let value: serde_json::Value = serde_json::from_str(&source.text).map_err(|error| {
        super::source::wrong(&source.path, error.line(), "is no JSON")
            .hint("as the site's user: wp option get wp_mail_smtp --format=json")
    })?;
    let option = Literal::of_json(&value);
    let plugin = Plugin::of(&option).ok_or_else(|| {
        wrong(source, "is the option of no plugin that is known here")
            .hint("known are wp_mail_smtp, fluentmail-settings, postman_options, swpsmtp_options and wp_smtp_options")
    })?;
    Ok((option, plugin))
}

fn wrong(source: &SourceFile, why: &str) -> Failure {
    Failure::new(Failing::Data, source.path.display().to_string(), why)
}

/// There is no server in the file.
fn nothing(source: &SourceFile, is_fluent: bool) -> Failure {
    let option = if is_fluent { "fluentmail-settings" } else { "wp_mail_smtp" };
    let why = match is_fluent {
        true => "has FluentSMTP's login only: the server is in the database",
        false => "has no constants of WP Mail SMTP or FluentSMTP: what they send with is in the database",
    };
    wrong(source, why).hint(format!(
        "as the site's user: wp option get {option} --format=json > FILE; then mailchute import wordpress {} FILE",
        source.path.display()
    ))
}
