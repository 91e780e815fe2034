//! What is looked for among the records.

use super::line::{Field, Line};
use super::needle::{Needle, escaped};
use crate::journal::StatusWord;

/// Which records are meant: those for which every term holds.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The first moment, in milliseconds since 1970.
    pub since: Option<i64>,
    /// The first moment that is too late.
    pub until: Option<i64>,
    terms: Vec<Term>,
}

/// One condition.
#[derive(Clone, Debug)]
struct Term {
    /// False: it must not hold.
    is_wanted: bool,
    test: Test,
    /// What every line holds for which it holds.
    literal: Option<Needle>,
}

/// What is asked of a record.
#[derive(Clone, Debug)]
pub enum Test {
    /// The word stands in some value.
    Anywhere(String),
    /// The word stands in the value of this field, or in an item of it.
    Within(Field, String),
    /// The value of the field is this.
    Is(Field, String),
    /// The value of the field begins with this.
    Begins(Field, String),
    /// The message has fared so.
    Status(StatusWord),
    /// The reply code is one of these, the last included.
    Code(u16, u16),
    /// The exit status.
    Exit(u8),
    /// The number is larger.
    Above(Field, u64),
    /// The number is smaller.
    Below(Field, u64),
    /// The user, by name or uid.
    User(String),
}

impl Query {
    /// The records of which this is true, too.
    pub fn with(mut self, test: Test) -> Self {
        self.add(true, test);
        self
    }

    /// Adds a condition that must hold, or must not.
    pub fn add(&mut self, is_wanted: bool, test: Test) {
        let literal = test.literal();
        self.terms.push(Term { is_wanted, test, literal });
    }

    /// Whether all records are meant, whatever they say.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// What every line holds that is meant: the rarest of what is known of it.
    pub(super) fn literal(&self) -> Option<&Needle> {
        let wanted = self.terms.iter().filter(|term| term.is_wanted);
        let known = wanted.filter_map(|term| Some((term.test.rarity(), term.literal.as_ref()?)));
        known.max_by_key(|(rarity, literal)| (*rarity, literal.len())).map(|(_, literal)| literal)
    }

    /// Whether `line` is meant.
    pub(super) fn is_for(&self, line: &Line<'_>) -> bool {
        let is_in_time = || {
            let Some(time) = line.time() else { return false };
            self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
        };
        (self.since.is_none() && self.until.is_none() || is_in_time())
            && self.terms.iter().all(|term| term.holds_for(line) == term.is_wanted)
    }

    /// The fields that have to have exactly these values.
    pub(super) fn exact(&self) -> impl Iterator<Item = (Field, String)> {
        self.terms.iter().filter(|term| term.is_wanted).filter_map(|term| match &term.test {
            Test::Is(field, value) => Some((*field, value.clone())),
            Test::Status(word) => Some((Field::Status, word.name().to_owned())),
            _ => None,
        })
    }
}

impl Term {
    fn holds_for(&self, line: &Line<'_>) -> bool {
        let within = |value: &[u8]| self.literal.as_ref().is_none_or(|literal| literal.is_in(value));
        let is = |field, wanted: &str| line.text(field).is_some_and(|value| value == wanted);
        match &self.test {
            Test::Anywhere(_) => line.every_raw().any(within),
            Test::Within(field, _) => !line.raw(*field).is_empty() && within(line.raw(*field)),
            Test::Is(field, wanted) => is(*field, wanted),
            Test::Begins(field, start) => line.text(*field).is_some_and(|value| value.starts_with(start.as_str())),
            Test::Status(word) => line.status() == *word,
            Test::Code(first, last) => line.code().is_some_and(|code| (*first..=*last).contains(&code)),
            Test::Exit(exit) => line.exit() == *exit,
            Test::Above(field, number) => line.number(*field).is_some_and(|value| value > *number),
            Test::Below(field, number) => line.number(*field).is_some_and(|value| value < *number),
            Test::User(user) => {
                let uid = user.parse().ok();
                is(Field::User, user) || uid.is_some() && line.number(Field::Uid) == uid
            }
        }
    }
}

impl Test {
    /// What a line holds for which it holds.
    fn literal(&self) -> Option<Needle> {
        let named = |field: &Field, value: &[u8]| {
            let mut octets = format!("\"{}\":", field.name()).into_bytes();
            octets.extend_from_slice(value);
            Some(Needle::exact(&octets))
        };
        let quoted = |text: &str, end: &[u8]| [b"\"", escaped(text).as_slice(), end].concat();
        match self {
            Self::Anywhere(word) | Self::Within(_, word) => Some(Needle::of(word)),
            Self::Is(field, value) => named(field, &quoted(value, b"\"")),
            Self::Begins(field, start) => named(field, &quoted(start, b"")),
            Self::Code(first, last) if first == last => named(&Field::Code, first.to_string().as_bytes()),
            Self::Code(first, _) => named(&Field::Code, (first / 100).to_string().as_bytes()),
            Self::Exit(exit) => named(&Field::Exit, exit.to_string().as_bytes()),
            Self::Status(word) => named(&Field::Status, &quoted(word.name(), b"\"")),
            // One that is a number may be the uid.
            Self::User(user) if user.parse::<u64>().is_err() => named(&Field::User, &quoted(user, b"\"")),
            Self::Above(..) | Self::Below(..) | Self::User(_) => None,
        }
    }

    /// The larger, the fewer lines hold it.
    fn rarity(&self) -> u8 {
        match self {
            Self::Is(Field::Id | Field::MessageId, _) | Self::Begins(Field::Id, _) => 9,
            Self::Within(Field::MessageId | Field::ProviderId | Field::Key, _) => 8,
            Self::Within(..) | Self::Anywhere(_) => 7,
            Self::Status(StatusWord::Accepted) | Self::Exit(0) | Self::Code(200..=299, _) => 1,
            Self::Is(Field::Relay, _) => 3,
            Self::User(user) if user.parse::<u64>().is_ok() => 0,
            Self::Is(..) | Self::Begins(..) | Self::User(_) => 4,
            Self::Status(_) | Self::Exit(_) | Self::Code(..) => 5,
            Self::Above(..) | Self::Below(..) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"time":"2026-11-27T10:00:00.000Z","id":"5cc24c00aa11","status":"deferred","site":"shop","uid":1042,"user":"shop","argv":["-t"],"relay":"main","from":"","to":["Ann@example.org","bob@example.net"],"message_id":"<X1@a>","size":6000000,"code":451,"text":"later \"relay\":\"backup\"","tries":[{"relay":"backup","text":"x","ms":1}],"ms":900,"exit":51}"#;

    fn is_found(test: Test) -> bool {
        let line = Line::read(LINE.as_bytes()).expect("a record");
        let query = Query::default().with(test);
        let is_for = query.is_for(&line);
        // What is looked for first is there wherever the whole is.
        assert!(!is_for || query.literal().is_none_or(|literal| literal.is_in(LINE.as_bytes())));
        let mut not = Query::default();
        let Term { test, .. } = query.terms[0].clone();
        not.add(false, test);
        assert_ne!(not.is_for(&line), is_for);
        is_for
    }

    #[test]
    fn every_test_asks_what_it_says() {
        use Field::*;
        let within = |field, word: &str| Test::Within(field, word.to_owned());
        let is = |field, word: &str| Test::Is(field, word.to_owned());
        for (test, expected) in [
            (within(To, "ann@"), true),
            (within(To, "bob@"), true),
            (within(From, "ann@"), false),
            (within(MessageId, "<X1@a>"), true),
            (within(Tls, "x"), false),
            (is(From, ""), true),
            (is(Site, "shop"), true),
            (is(Site, "sho"), false),
            (is(Relay, "main"), true),
            (is(Relay, "backup"), false),
            (Test::Begins(Id, "5cc24c".to_owned()), true),
            (Test::Begins(Id, "cc24".to_owned()), false),
            (Test::Anywhere("backup".to_owned()), true),
            (Test::Anywhere("message_id".to_owned()), false),
            (Test::Status(StatusWord::Deferred), true),
            (Test::Status(StatusWord::Refused), false),
            (Test::Code(451, 451), true),
            (Test::Code(400, 499), true),
            (Test::Code(500, 599), false),
            (Test::Exit(51), true),
            (Test::Exit(5), false),
            (Test::Above(Size, 5_000_000), true),
            (Test::Below(Size, 6_000_000), false),
            (Test::Above(Ms, 899), true),
            (Test::User("shop".to_owned()), true),
            (Test::User("1042".to_owned()), true),
            (Test::User("104".to_owned()), false),
        ] {
            assert_eq!(is_found(test.clone()), expected, "{test:?}");
        }
    }

    #[test]
    fn the_rarest_is_looked_for_first() {
        let query = Query::default()
            .with(Test::Is(Field::Site, "a-very-long-name-of-a-site".to_owned()))
            .with(Test::Within(Field::To, "ann@".to_owned()))
            .with(Test::Status(StatusWord::Accepted));
        assert!(query.literal().is_some_and(|literal| literal.is_in(b"Ann@example.org")));
        let mut negative = Query::default();
        negative.add(false, Test::Is(Field::Site, "staging".to_owned()));
        assert!(negative.literal().is_none() && !negative.is_everything());
    }
}
