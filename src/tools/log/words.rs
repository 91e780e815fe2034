//! What the words of a search mean.

use std::fmt::Display;

use jiff::Zoned;

use super::when;
use crate::cli::log::Log;
use crate::failure::{Failure, Kind};
use crate::journal::StatusWord;
use crate::journal::read::{Field, Query, Test};
use crate::spelling;

/// The words that stand for a field or a test, beside the names of the fields.
const NAMES: [&str; 11] = [
    "anywhere",
    "larger",
    "smaller",
    "slower",
    "faster",
    "msgid",
    "message-id",
    "provider-id",
    "web-host",
    "subject",
    "host",
];

/// What is looked for.
///
/// # Errors
/// `Usage`: a word cannot be understood; the hint says what would be.
pub(in crate::tools) fn query(words: &Log, now: &Zoned) -> Result<Query, Failure> {
    let mut query = Query::default();
    for (name, value, slot) in
        [("--since", &words.since, &mut query.since), ("--until", &words.until, &mut query.until)]
    {
        *slot = value.as_ref().map(|text| when::read(text, now).ok_or_else(|| no_time(name, text))).transpose()?;
    }
    let options = [
        ("site", &words.site),
        ("to", &words.to),
        ("from", &words.from),
        ("relay", &words.relay),
        ("status", &words.status),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            let test = test(name, value, &format!("--{name}"))?;
            query.add(true, test);
        }
    }
    for word in &words.words {
        let (is_wanted, plain) = match word.strip_prefix(['-', '!']) {
            Some(rest) => (false, rest),
            None => (true, word.as_str()),
        };
        // Who mistypes an option does not look for it.
        if plain.starts_with('-') || plain.is_empty() {
            return Err(Failure::new(Kind::Usage, word.as_str(), "is no word to look for")
                .hint("see `mailchute log --help`; to look for just that, anywhere:WORD"));
        }
        let test = match plain.split_once(':').filter(|(name, _)| is_name(name)) {
            Some((name, value)) => test(name, value, word)?,
            None => Test::Anywhere(plain.to_owned()),
        };
        query.add(is_wanted, test);
    }
    Ok(query)
}

fn no_time(option: &str, text: &str) -> Failure {
    Failure::new(Kind::Usage, option, format!("{text:?} is no time"))
        .hint("2h, 3d, today, yesterday, 14:30, 2026-11-20 or 2026-11-20T14:30:00+01:00")
}

/// Whether what stands before a colon is the name of something, and not a part of what is looked for.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-' || octet == b'_')
}

/// What `name:value` asks; `word` is what was typed.
fn test(name: &str, value: &str, word: &str) -> Result<Test, Failure> {
    let wrong = |why: String, hint: String| Failure::new(Kind::Usage, word, why).hint(hint);
    if value.is_empty() {
        return Err(wrong("says nothing behind the colon".to_owned(), format!("{name}:WORD")));
    }
    let number = |read: fn(&str) -> Option<u64>, example: &str| {
        read(value).ok_or_else(|| wrong(format!("{value:?} is no {}", what(name)), format!("{name}:{example}")))
    };
    let owned = || value.to_owned();
    Ok(match name {
        "anywhere" => Test::Anywhere(owned()),
        "site" => Test::Is(Field::Site, owned()),
        "relay" => Test::Is(Field::Relay, owned()),
        "provider" => Test::Is(Field::Provider, owned()),
        "id" => Test::Begins(Field::Id, value.to_ascii_lowercase()),
        "from" if value == "<>" => Test::Is(Field::From, String::new()),
        "status" => return status(value, word),
        "code" | "exit" => {
            number(|text| text.parse().ok(), "550")?;
            return status(value, word);
        }
        "user" | "uid" => Test::User(owned()),
        "larger" => Test::Above(Field::Size, number(octets, "5M")?),
        "smaller" => Test::Below(Field::Size, number(octets, "10K")?),
        "slower" => Test::Above(Field::Ms, number(millis, "2s")?),
        "faster" => Test::Below(Field::Ms, number(millis, "500ms")?),
        "subject" => {
            let why = "records hold no subject, no text and no attachment".to_owned();
            return Err(wrong(why, "to:ADDRESS, from:ADDRESS and --since find it as well".to_owned()));
        }
        _ => {
            let field = match name {
                "msgid" => Some(Field::MessageId),
                "host" => Some(Field::WebHost),
                name => Field::named(&name.replace('-', "_")),
            };
            let Some(field) = field else { return Err(unknown(name, value, word)) };
            Test::Within(field, owned())
        }
    })
}

fn what(name: &str) -> &'static str {
    match name {
        "larger" | "smaller" => "size",
        "slower" | "faster" => "time",
        _ => "number",
    }
}

fn unknown(name: &str, value: &str, word: impl Display) -> Failure {
    let names = Field::ALL.iter().map(|field| field.name()).chain(NAMES);
    let hint = match spelling::nearest(name, names) {
        Some(near) => format!("did you mean {near}:{value}? To look for just that: anywhere:{word}"),
        None => format!("to look for just that: anywhere:{word}"),
    };
    Failure::new(Kind::Usage, word.to_string(), format!("there is no {name}: in a record")).hint(hint)
}

/// A status word, a reply code, `5yz`, or an exit status.
fn status(value: &str, word: &str) -> Result<Test, Failure> {
    let lower = value.to_ascii_lowercase().replace('_', "-");
    if let Some(word) = StatusWord::named(&lower) {
        return Ok(Test::Status(word));
    }
    if let Some(class) =
        lower.strip_suffix("yz").or_else(|| lower.strip_suffix("xx")).and_then(|c| c.parse::<u16>().ok())
        && (2..=5).contains(&class)
    {
        return Ok(Test::Code(class * 100, class * 100 + 99));
    }
    match lower.parse::<u16>() {
        Ok(exit @ 0..=199) => Ok(Test::Exit(u8::try_from(exit).unwrap_or(u8::MAX))),
        Ok(code @ 200..=599) => Ok(Test::Code(code, code)),
        _ => {
            let words: Vec<&str> = StatusWord::ALL.into_iter().map(StatusWord::name).collect();
            let near = spelling::nearest(&lower, words.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean status:{near}?"),
                None => format!("one of {}, a reply code such as 550 or 5yz, or an exit status", words.join(", ")),
            };
            Err(Failure::new(Kind::Usage, word, format!("{value:?} is no status")).hint(hint))
        }
    }
}

/// `5M`, `10 KB`, `700`: octets, by 1024 each.
fn octets(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// `2s`, `500ms`, `1m`, `2`: milliseconds; seconds where nothing else is said.
fn millis(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<String, Failure> {
        let words = Log { words: words.iter().map(|&word| word.to_owned()).collect(), ..Log::default() };
        query(&words, &Zoned::now()).map(|query| format!("{query:?}"))
    }

    #[test]
    fn words_ask_what_they_say() {
        for (word, expected) in [
            ("to:ann@", "test: Within(To, \"ann@\")"),
            ("-site:staging", "is_wanted: false, test: Is(Site, \"staging\")"),
            ("!site:staging", "is_wanted: false, test: Is(Site, \"staging\")"),
            ("status:deferred", "test: Status(Deferred)"),
            ("status:in_doubt", "test: Status(InDoubt)"),
            ("status:550", "test: Code(550, 550)"),
            ("status:5yz", "test: Code(500, 599)"),
            ("status:79", "test: Exit(79)"),
            ("larger:5M", "test: Above(Size, 5242880)"),
            ("slower:2", "test: Above(Ms, 2000)"),
            ("id:5CC24c", "test: Begins(Id, \"5cc24c\")"),
            ("message-id:<x:y@z>", "test: Within(MessageId, \"<x:y@z>\")"),
            ("from:<>", "test: Is(From, \"\")"),
            ("ann@example.org", "test: Anywhere(\"ann@example.org\")"),
            ("10:15", "test: Anywhere(\"10:15\")"),
            ("anywhere:-x:y", "test: Anywhere(\"-x:y\")"),
            ("web-host:shop", "test: Within(WebHost, \"shop\")"),
            ("user:33", "test: User(\"33\")"),
        ] {
            let read = read(&[word]).unwrap_or_else(|failure| panic!("{word}: {failure}"));
            assert!(read.contains(expected), "{word}: {read}");
        }
    }

    #[test]
    fn what_cannot_be_understood_says_what_would_be() {
        for (word, why, hint) in [
            ("statuz:x", "there is no statuz: in a record", "did you mean status:x?"),
            ("status:refusd", "\"refusd\" is no status", "did you mean status:refused?"),
            ("status:999", "\"999\" is no status", "one of accepted"),
            ("larger:big", "\"big\" is no size", "larger:5M"),
            ("to:", "says nothing", "to:WORD"),
            ("--sinze", "is no word to look for", "--help"),
            ("subject:hello", "records hold no subject", "to:ADDRESS"),
            ("https://x", "there is no https: in a record", "anywhere:https://x"),
        ] {
            let failure = read(&[word]).expect_err(word);
            let told = failure.hint.clone().unwrap_or_default();
            assert!(failure.kind == Kind::Usage && failure.why.contains(why), "{word}: {failure}");
            assert!(told.contains(hint), "{word}: {told}");
        }
    }
}
