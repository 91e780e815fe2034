//! Findings: what is seen when a set-up is looked at, before or after mail has failed for it.
//!
//! A finding is a value, whoever made it: a fact of this machine, a relay's answer, a domain's records. Its code comes
//! from the one list in [`codes`], so a word means the same wherever it is printed, ignored or documented.

pub mod codes;

use std::fmt;

/// How bad it is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Worth knowing; nothing needs to be done.
    Note,
    /// Mail works, and this will hurt one day or somewhere.
    Weak,
    /// Mail fails, or will be refused.
    Broken,
}

impl Grade {
    /// The word for it, as printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Weak => "weak",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What is in the way where a finding is broken; `exit` has a status for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// A record of a domain.
    Domain,
    /// The relay takes no such login.
    Login,
    /// The relay cannot be reached, or not as configured.
    Relay,
    /// Owners and modes.
    Access,
    /// The configuration, PHP, or what stands in sendmail's place.
    Setup,
}

/// A kind of finding: a row of [`codes::ALL`].
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable word, `family.what`: `php.empty-path`.
    pub word: &'static str,
    /// How bad it is at worst.
    pub grade: Grade,
    /// What is in the way.
    pub area: Area,
    /// What it means, for the man page: a clause without a full stop.
    pub about: &'static str,
}

impl Code {
    /// What stands before the dot: `php` of `php.empty-path`.
    pub fn family(&self) -> &'static str {
        self.word.split('.').next().unwrap_or(self.word)
    }
}

/// The code that is called `word`.
pub fn code(word: &str) -> Option<&'static Code> {
    codes::ALL.iter().copied().find(|code| code.word == word)
}

/// What to do about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A command line to run.
    Run(String),
    /// A record to set, in place of what has that name and type where `replaces`.
    Set {
        /// The record.
        record: Record,
        /// Whether one is there already and has to go.
        replaces: bool,
    },
    /// Anything else: a clause that says what to do.
    Do(String),
}

/// A record of the DNS as a panel wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its whole name, without the dot at the end.
    pub name: String,
    /// Its type: `TXT`, `CNAME`, `MX`.
    pub kind: &'static str,
    /// What it holds, without the quotes of a zone file.
    pub value: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.kind == "TXT" { "\"" } else { "" };
        write!(f, "{}  {}  {quote}{}{quote}", self.name, self.kind, self.value)
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(text) | Self::Do(text) => f.write_str(text),
            Self::Set { record, replaces: false } => record.fmt(f),
            Self::Set { record, replaces: true } => write!(f, "{record}  (in place of what is there)"),
        }
    }
}

/// One thing that was seen. It reads `<subject>: <sentence>`: lower-case start, no full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub code: &'static Code,
    /// How bad it is here: the code's own grade, or less where the fact behind it is weak.
    pub grade: Grade,
    /// The site it is about, where it is about one.
    pub site: Option<String>,
    /// The thing: a file, a pool, a domain, a relay.
    pub subject: String,
    /// What is wrong with it, in printable characters.
    pub sentence: String,
    /// What to do.
    pub next: Option<Next>,
    /// What was seen, a line each, in printable characters: `/etc/php/8.2/fpm/php.ini:323: disable_functions = mail`.
    pub evidence: Vec<String>,
}

impl Finding {
    /// A finding of this kind about `subject`, with the kind's own grade.
    pub fn new(code: &'static Code, subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self {
            code,
            grade: code.grade,
            site: None,
            subject: subject.into(),
            sentence: sentence.into(),
            next: None,
            evidence: Vec::new(),
        }
    }

    /// The same, no worse than `grade`: what a fact is built on that may be wrong.
    pub fn at_most(mut self, grade: Grade) -> Self {
        self.grade = self.grade.min(grade);
        self
    }

    /// The same about this site.
    pub fn of_site(mut self, site: impl Into<String>) -> Self {
        self.site = Some(site.into());
        self
    }

    /// The same with a command to run.
    pub fn run(mut self, command: impl Into<String>) -> Self {
        self.next = Some(Next::Run(command.into()));
        self
    }

    /// The same with something to do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.next = Some(Next::Do(advice.into()));
        self
    }

    /// The same with a record to set.
    pub fn set(mut self, record: Record, replaces: bool) -> Self {
        self.next = Some(Next::Set { record, replaces });
        self
    }

    /// The same with a line of what was seen.
    pub fn seen(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.sentence)
    }
}

/// What was looked at under one label: what is fine about it, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The label: `PHP`, `SPF`.
    pub label: String,
    /// The site it is about, where it is about one.
    pub site: Option<String>,
    /// What is as it should be, a clause each.
    pub fine: Vec<String>,
    /// What was found, in the order to print.
    pub findings: Vec<Finding>,
}

impl Section {
    /// An empty one.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_of_one_form_each_once() {
        let is_word = |text: &str| {
            !text.is_empty()
                && text.split('-').all(|part| !part.is_empty())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        for code in codes::ALL {
            let (family, what) = code.word.split_once('.').unwrap_or_default();
            assert!(is_word(family) && is_word(what), "{}: family.what, in lower case", code.word);
            assert_eq!(code.family(), family);
            assert_eq!(
                super::code(code.word).map(|found| found.about),
                Some(code.about),
                "{} is there twice",
                code.word
            );
            let is_clause = !code.about.is_empty() && !code.about.ends_with('.');
            assert!(is_clause && code.about.len() <= 110, "{}: a short clause without a full stop", code.word);
        }
        assert_eq!(code("php.emptypath"), None);
    }

    /// Whoever reads the list finds a family in one place.
    #[test]
    fn a_family_stands_together() {
        let mut families: Vec<_> = codes::ALL.iter().map(|code| code.family()).collect();
        families.dedup();
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count, "a family is torn: {families:?}");
    }

    #[test]
    fn records_read_as_a_panel_wants_them() {
        let record = |kind, value: &str| Record { name: "_dmarc.shop.example".into(), kind, value: value.into() };
        let finding = Finding::new(&codes::PHP_EMPTY_PATH, "php", "x");
        let shown = |record, replaces| finding.clone().set(record, replaces).next.unwrap().to_string();
        assert_eq!(shown(record("TXT", "v=DMARC1; p=none"), false), r#"_dmarc.shop.example  TXT  "v=DMARC1; p=none""#);
        let replaced = shown(record("CNAME", "x.example"), true);
        assert_eq!(replaced, "_dmarc.shop.example  CNAME  x.example  (in place of what is there)");
    }

    #[test]
    fn a_weak_fact_makes_no_strong_finding() {
        let finding = Finding::new(&codes::PHP_EMPTY_PATH, "php 8.2 cli", "sendmail_path is empty");
        assert_eq!((finding.grade, finding.clone().at_most(Grade::Note).grade), (Grade::Broken, Grade::Note));
        assert_eq!(finding.clone().at_most(Grade::Broken), finding);
    }
}
