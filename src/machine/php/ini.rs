//! The reader of PHP's ini files, which are PHP-FPM's configuration too.

use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The keys of php.ini that mail depends on.
pub(super) const KEYS: [&str; 4] =
    ["sendmail_path", "disable_functions", "mail.force_extra_parameters", "mail.add_x_header"];

/// A setting, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key: `sendmail_path`, `php_admin_value[sendmail_path]`.
    pub key: String,
    /// The value, without quotes.
    pub value: String,
    /// The file.
    pub file: Rc<PathBuf>,
    /// The line, from 1.
    pub line: usize,
}

impl Setting {
    /// `/etc/php/8.2/fpm/php.ini:323`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

/// A line that says something.
pub(super) enum Line {
    /// `[name]`.
    Section(String),
    /// `key = value`.
    Setting(Setting),
}

/// What the lines of `file` say.
pub(super) fn lines(file: &Path, text: &str) -> Vec<Line> {
    let file = Rc::new(file.to_owned());
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(';') || line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            found.push(Line::Section(name.split(']').next().unwrap_or_default().to_owned()));
        } else {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let (key, value) = (key.trim().to_owned(), value_of(value));
            found.push(Line::Setting(Setting { key, value, file: Rc::clone(&file), line: index + 1 }));
        }
    }
    found
}

/// The settings of `file` that mail depends on. Those of one directory or host (`[PATH=...]`) are passed over.
pub(super) fn settings(file: &Path, text: &str) -> Vec<Setting> {
    let mut is_for_all = true;
    let mut found = Vec::new();
    for line in lines(file, text) {
        match line {
            Line::Section(name) => {
                let name = name.to_ascii_uppercase();
                is_for_all = !name.starts_with("PATH=") && !name.starts_with("HOST=");
            }
            Line::Setting(setting) if is_for_all && KEYS.contains(&setting.key.as_str()) => found.push(setting),
            Line::Setting(_) => {}
        }
    }
    found
}

/// The value as PHP's scanner has it: quoted pieces without their quotes, and a comment is none in a quoted one.
fn value_of(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text.trim();
    let mut is_quoted = false;
    while let Some(first) = rest.chars().next() {
        match first {
            ';' => break,
            '"' => {
                is_quoted = true;
                let mut chars = rest[1..].char_indices();
                let mut end = rest.len();
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            end = at + 2;
                            break;
                        }
                        // Only these two are escapes there.
                        '\\' => match chars.clone().next() {
                            Some((_, next @ ('"' | '\\'))) => {
                                chars.next();
                                value.push(next);
                            }
                            _ => value.push('\\'),
                        },
                        c => value.push(c),
                    }
                }
                rest = rest.get(end..).unwrap_or_default();
            }
            '\'' => {
                is_quoted = true;
                let (inside, behind) = rest[1..].split_once('\'').unwrap_or((&rest[1..], ""));
                value += inside;
                rest = behind;
            }
            c => {
                value.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    let value = value.trim_end().to_owned();
    // Words that PHP reads as nothing.
    let is_nothing =
        !is_quoted && ["none", "null", "off", "no", "false"].contains(&value.to_ascii_lowercase().as_str());
    if is_nothing { String::new() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_php_makes_of_them() {
        for (text, value) in [
            (" /usr/sbin/sendmail -t -i", "/usr/sbin/sendmail -t -i"),
            (" \"/usr/sbin/sendmail -t -i\" ; ours", "/usr/sbin/sendmail -t -i"),
            (" '/opt/my mailer' -t", "/opt/my mailer -t"),
            (r#" "\"/opt/my mailer\" -t""#, "\"/opt/my mailer\" -t"),
            (" /usr/sbin/sendmail ; -t", "/usr/sbin/sendmail"),
            (" \"a;b\"", "a;b"),
            ("", ""),
            (" none", ""),
            (" \"none\"", "none"),
            (" \"open", "open"),
            (r#" "a\b""#, r"a\b"),
        ] {
            assert_eq!(value_of(text), value, "{text}");
        }
    }

    #[test]
    fn a_directorys_own_settings_are_passed_over() {
        let text =
            "sendmail_path = a\n[PATH=/srv/www]\nsendmail_path = b\n[PHP]\n;sendmail_path = c\nmemory_limit = 1M\n";
        let found = settings(Path::new("/etc/php.ini"), text);
        assert_eq!(found.iter().map(|s| (s.value.as_str(), s.line)).collect::<Vec<_>>(), [("a", 1)]);
        assert_eq!(found[0].place(), "/etc/php.ini:1");
    }
}
