//! A `[[route]]` as configured: the messages it is for, and where they go.

pub mod glob;
pub(super) mod read;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::glob::{AddressGlob, Glob};
use super::relay::Relay;

/// In which order the relays of a route are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As they are named.
    #[default]
    Order,
    /// One of them by chance, each as often as its `weight` says; then the others, the heaviest first.
    Spread,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// What has to hold, what costs least first. Empty: it is for every message.
    pub conditions: Vec<Condition>,
    /// Of this nothing may hold (`not`).
    pub exceptions: Vec<Condition>,
    /// The relays to try; never empty.
    pub relays: Arc<[Arc<Relay>]>,
    /// In which order; `None`: as the site says.
    pub strategy: Option<Strategy>,
}

/// What a message has to be like. A list holds where one of it does.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The caller's uid.
    Uid(Vec<u32>),
    /// The caller's working directory, or one above it.
    Cwd(Vec<Glob>),
    /// The time of day.
    Hour(Vec<Hours>),
    /// The reverse-path.
    Sender(Vec<AddressGlob>),
    /// One of the forward-paths.
    To(Vec<AddressGlob>),
    /// More octets than this.
    Larger(Size),
    /// An address in a field called so: `From`, `Cc`, `Reply-To`.
    Address(&'static str, Vec<AddressGlob>),
    /// The text of a field called so.
    Header(String, Vec<Glob>),
    /// The Subject field.
    Subject(Vec<Glob>),
    /// The script that PHP names, or the program that calls.
    Script(Vec<Glob>),
    /// Whether a file is attached at all.
    Attachment(bool),
    /// The name of an attached file.
    AttachmentName(Vec<Glob>),
    /// The octets of a body that is not larger than [`MEMORY_LIMIT`](crate::message::MEMORY_LIMIT).
    Body(Vec<Glob>),
}

/// A number of octets, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// The octets.
    pub octets: u64,
    /// `5 MB`.
    pub written: String,
}

/// Hours of the day from `from` until `until`, which does not belong to them; over midnight where it comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// 0 to 23.
    pub from: u8,
    /// 1 to 24, or 0 to 23 of the next day; never `from`.
    pub until: u8,
}

impl Route {
    /// Whether it is for every message.
    pub fn is_for_all(&self) -> bool {
        self.conditions.is_empty() && self.exceptions.is_empty()
    }
}

impl Condition {
    /// What it costs to find out whether it holds, in no unit: a number, a word, a field, all of the message.
    fn cost(&self) -> u8 {
        match self {
            Self::Uid(_) | Self::Larger(_) => 0,
            Self::Sender(_) | Self::To(_) | Self::Cwd(_) => 1,
            Self::Subject(_) | Self::Header(..) => 2,
            Self::Address(..) => 3,
            Self::Hour(_) | Self::Script(_) => 4,
            Self::Body(_) => 5,
            Self::Attachment(_) | Self::AttachmentName(_) => 6,
        }
    }
}

impl Hours {
    /// `22-06`; `None`: not two hours, or no hour between them.
    pub fn parse(text: &str) -> Option<Self> {
        let hour = |text: &str| {
            let is_hour = matches!(text.len(), 1 | 2) && text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse().ok().filter(|hour| is_hour && *hour <= 24)
        };
        let (from, until) = text.split_once('-')?;
        let (from, until) = (hour(from.trim())?, hour(until.trim())?);
        (from < 24 && from != until).then_some(Self { from, until })
    }

    /// Whether `hour`, 0 to 23, is one of them.
    pub fn hold(self, hour: u8) -> bool {
        match self.from < self.until {
            true => (self.from..self.until).contains(&hour),
            false => hour >= self.from || hour < self.until,
        }
    }
}

/// Whether `pattern` stands for `directory` or for one above it.
pub fn covers(pattern: &Glob, directory: &Path) -> bool {
    directory.ancestors().any(|above| pattern.is_like(&above.to_string_lossy()))
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.from, self.until)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "order",
            Self::Spread => "spread",
        })
    }
}

/// As it is written in a configuration: `subject = "*[Invoice]*"`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uids) => {
                let uids: Vec<_> = uids.iter().map(ToString::to_string).collect();
                write!(f, "uid = {}", bracketed(&uids))
            }
            Self::Cwd(globs) => write!(f, "cwd = {}", list(globs)),
            Self::Hour(hours) => write!(f, "hour = {}", list(hours)),
            Self::Sender(globs) => write!(f, "sender = {}", list(globs)),
            Self::To(globs) => write!(f, "to = {}", list(globs)),
            Self::Larger(size) => write!(f, "larger = {:?}", size.written),
            Self::Address(field, globs) => {
                write!(f, "{} = {}", field.to_ascii_lowercase().replace('-', "_"), list(globs))
            }
            Self::Header(field, globs) => write!(f, "header = {{ {field:?} = {} }}", list(globs)),
            Self::Subject(globs) => write!(f, "subject = {}", list(globs)),
            Self::Script(globs) => write!(f, "script = {}", list(globs)),
            Self::Attachment(wanted) => write!(f, "attachment = {wanted}"),
            Self::AttachmentName(globs) => write!(f, "attachment = {}", list(globs)),
            Self::Body(globs) => write!(f, "body = {}", list(globs)),
        }
    }
}

/// A string, or an array of them.
fn list(words: &[impl ToString]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("\"{}\"", word.to_string())).collect();
    bracketed(&words)
}

fn bracketed(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        words => format!("[{}]", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_go_over_midnight() {
        for (text, held, others) in [
            ("22-06", &[22, 23, 0, 5][..], &[6, 12, 21][..]),
            ("9-17", &[9, 16], &[8, 17, 0]),
            ("00-24", &[0, 12, 23], &[]),
            ("22-24", &[22, 23], &[0, 21]),
            ("22-0", &[22, 23], &[0, 21]),
            (" 23 - 1 ", &[23, 0], &[1, 22]),
        ] {
            let hours = Hours::parse(text).unwrap();
            assert!(held.iter().all(|hour| hours.hold(*hour)), "{text}");
            assert!(!others.iter().any(|hour| hours.hold(*hour)), "{text}");
        }
        for text in ["", "22", "22-", "-06", "22-25", "24-06", "08-08", "8.5-9", "+8-9", "022-06", "22-06-07", "a-b"] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
        assert_eq!(Hours { from: 22, until: 6 }.to_string(), "22-06");
    }

    #[test]
    fn a_directory_is_covered_by_one_above_it() {
        let covers = |pattern: &str, directory: &str| covers(&Glob::new(pattern), Path::new(directory));
        assert!(covers("/srv/www/shop", "/srv/www/shop"));
        assert!(covers("/srv/www/shop", "/srv/www/shop/public"));
        assert!(covers("/srv/*/shop", "/srv/www/shop/public"));
        assert!(covers("*/wp-content/*", "/srv/www/shop/wp-content/plugins"));
        assert!(!covers("/srv/www/shop", "/srv/www/shopping"));
        assert!(!covers("/srv/www/shop", "/srv/www"));
        assert!(covers("/", "/srv"));
    }
}
