//! The text of `mailchute --help`, made from the tables of options, subcommands and exit statuses.

use std::fmt::Write;

use super::commands;
use super::options::{LETTERS, LONGS, MODES, Value};
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
  mailchute [LONG OPTION...] OPTION... [RECIPIENT...]
  mailchute [LONG OPTION...] -- RECIPIENT...
  mailchute [LONG OPTION...] SUBCOMMAND ...
  mailq, newaliases                                as sendmail -bp, sendmail -bi
";

const REST: &str = "
files:
  /etc/mailchute/config.toml, /etc/mailchute/sites.d/*.toml, and the user's own configuration file;
  the first source that exists is the only one that counts

environment:
  MAILCHUTE_CONFIG      as --config
  MAILCHUTE_SITE        as --site
  MAILCHUTE_URL         a relay without any file, such as smtps://smtp.example.net, with
                        MAILCHUTE_USERNAME, _PASSWORD, _KEY, _FROM, _LOG; see mailchute init --help
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
    heading(&mut out, "sendmail options; values glued or apart, letters may be joined (-ti)");
    for row in LETTERS {
        let letter = char::from(row.letter);
        let option = match row.value {
            Value::None => format!("-{letter}"),
            Value::GluedOrApart(value) => format!("-{letter} {value}"),
            Value::Glued(value) => format!("-{letter}[{value}]"),
        };
        line(&mut out, &option, row.help);
    }
    heading(&mut out, "modes");
    for (letter, help) in MODES {
        line(&mut out, &format!("-b{}", char::from(*letter)), help);
    }
    heading(&mut out, "exit status (mailchute status N explains one)");
    for (statuses, meaning) in exit::summary() {
        line(&mut out, &statuses, &meaning);
    }
    out.push_str(REST);
    out
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
        for row in LETTERS {
            assert!(text.contains(&format!("\n  -{}", char::from(row.letter))), "-{}", char::from(row.letter));
        }
        for row in LONGS {
            assert!(text.contains(&format!("\n  --{}", row.name)), "--{}", row.name);
        }
        for line in text.lines() {
            assert!(line.len() <= WIDTH && line == line.trim_end(), "{line}");
        }
    }
}
