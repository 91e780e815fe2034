//! The text of `mailchute --help`, made from the tables of options, subcommands and exit statuses.

use std::fmt::Write;

use super::commands;
use super::options::{Effect, LETTERS, LONGS, Letter, MODES, SAME, Value};
use crate::exit;

/// Where the second column begins.
const COLUMN: usize = 22;

/// The longest line.
const WIDTH: usize = 100;

const SYNOPSIS: &str = "\
mailchute takes sendmail's place: it reads one message on standard input and hands it to a mail
provider while the caller waits. The exit status tells the provider's reply.

usage:
  sendmail [OPTION...] [RECIPIENT...]              as a link named sendmail
  mailchute [LONG OPTION...] [OPTION...] [RECIPIENT...]
  mailchute [LONG OPTION...] SUBCOMMAND ...
  mailq, newaliases                                as sendmail -bp, sendmail -bi
";

const REST: &str = "
configuration, the first that exists (see mailchute.toml(5)):
  /etc/mailchute/config.toml with /etc/mailchute/sites.d/*.toml; the user's own file; variables
  (MAILCHUTE_URL, see mailchute init --help). MAILCHUTE_CONFIG and _SITE are as --config and --site
";

/// The whole help text.
pub(super) fn text() -> String {
    let mut out = String::from(SYNOPSIS);
    heading(&mut out, "subcommands (each has --help)");
    for (name, about) in commands::list() {
        line(&mut out, &name, &about);
    }
    heading(&mut out, "long options, before the first sendmail option");
    for row in LONGS {
        let value = row.value.map(|value| format!(" {value}")).unwrap_or_default();
        line(&mut out, &format!("--{}{value}", row.name), row.help);
    }
    heading(&mut out, "sendmail options; values joined or apart (-fx@y, -f x@y), letters may be clustered (-ti)");
    let (idle, used): (Vec<_>, Vec<_>) = LETTERS.iter().partition(|row| is_idle(row));
    for row in used.into_iter().filter(|row| row.help != SAME) {
        let letter = char::from(row.letter);
        let option = match row.value {
            Value::None => format!("-{letter}"),
            Value::GluedOrApart(value) => format!("-{letter} {value}"),
            Value::Glued(value) => format!("-{letter}[{value}]"),
        };
        match row.effect {
            Effect::Mode => line(&mut out, &option, &modes()),
            _ => line(&mut out, &option, row.help),
        }
    }
    let idle: Vec<String> = idle.iter().map(|row| format!("-{}", char::from(row.letter))).collect();
    line(&mut out, "others", &format!("{}: accepted without effect, for callers that pass them", idle.join(" ")));
    heading(&mut out, "exit status (mailchute status N explains one)");
    for (statuses, meaning) in exit::summary() {
        line(&mut out, statuses, meaning);
    }
    out.push_str(REST);
    out
}

/// Whether it changes nothing, so that a reader needs only its name.
fn is_idle(row: &Letter) -> bool {
    matches!(row.effect, Effect::None | Effect::InitialSubmission)
}

/// What may stand behind `-b`.
fn modes() -> String {
    let modes: Vec<String> = MODES.iter().map(|(letter, help)| format!("-b{} {help}", char::from(*letter))).collect();
    modes.join("; ")
}

fn heading(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{title}:");
}

/// One row of two columns; a long right one goes on in the next line.
fn line(out: &mut String, left: &str, right: &str) {
    let mut text = format!("  {left:<COLUMN$}");
    for word in right.split(' ') {
        let width = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
        if width + word.len() >= WIDTH {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n{:indent$}", "", indent = COLUMN + 2);
        }
        text.push_str(word);
        text.push(' ');
    }
    let _ = writeln!(out, "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_option_and_fits_a_terminal() {
        let text = text();
        let others = text.lines().skip_while(|line| !line.starts_with("  others ")).take(2).collect::<String>();
        for row in LETTERS {
            let letter = char::from(row.letter);
            let is_there = match row.help {
                SAME => text.contains(&format!("also -{letter}")),
                _ if is_idle(row) => others.contains(&format!(" -{letter}")),
                _ => text.contains(&format!("\n  -{letter}")),
            };
            assert!(is_there, "-{letter}");
        }
        for (mode, _) in MODES {
            let option = format!("-b{}", char::from(*mode));
            assert!(text.split_whitespace().any(|word| word == option), "{option}");
        }
        assert!(text.lines().count() <= 75, "more than two screens: {}", text.lines().count());
        for row in LONGS {
            assert!(text.contains(&format!("\n  --{}", row.name)), "--{}", row.name);
        }
        for line in text.lines() {
            assert!(line.len() <= WIDTH && line == line.trim_end(), "{line}");
        }
    }
}
