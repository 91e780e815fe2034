//! The two tables of options: sendmail's letters and our own long ones. The tokenizer, `--help` and the
//! man page check read them, so none can disagree.

/// How the value of an option is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is none: letters may follow in the same word.
    None,
    /// The rest of the word, or the next word where nothing is left of this one.
    GluedOrApart(&'static str),
    /// The rest of the word, which may be empty; never the next word.
    Glued(&'static str),
}

/// What an option does to the invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Accepted because some caller passes it; nothing is read or written on its account.
    None,
    /// `-I`
    Aliases,
    /// `-B`: BODY is declared as the body is, whatever the caller says of it.
    BodyType,
    /// `-V`
    EnvelopeId,
    /// `-t`
    FromHeader,
    /// `-F`
    FullName,
    /// `-h`
    Hops,
    /// `-i`
    IgnoreDots,
    /// `-U`: every message is one.
    InitialSubmission,
    /// `-b`
    Mode,
    /// `-N`
    Notify,
    /// `-o`: of which only `-oi` has an effect.
    OldOption,
    /// `-R`
    Return,
    /// `-f`, `-r`
    ReversePath,
    /// `-q`
    RunQueue,
    /// `-L`
    Tag,
    /// `-v`
    Verbose,
}

/// One letter of the sendmail dialect.
#[derive(Debug)]
pub struct Letter {
    /// The letter behind the dash.
    pub letter: u8,
    /// How its value is written.
    pub value: Value,
    /// What it does.
    pub effect: Effect,
    /// One line for `--help` and the man page.
    pub help: &'static str,
}

/// Another letter says the same, and names this one in its help.
pub const SAME: &str = "";

const fn row(letter: u8, value: Value, effect: Effect, help: &'static str) -> Letter {
    Letter { letter, value, effect, help }
}

/// A letter that some caller passes and that has no effect: no file is read or written for it.
const fn idle(letter: u8, value: Value) -> Letter {
    row(letter, value, Effect::None, "accepted without effect")
}

/// Every letter that is known, in the order of the help. Letters not listed are noted in the record and
/// take the rest of their own word.
pub static LETTERS: &[Letter] = &[
    row(b't', Value::None, Effect::FromHeader, "take recipients from To, Cc and Bcc as well"),
    row(b'i', Value::None, Effect::IgnoreDots, "a line with a lone dot does not end the message"),
    row(
        b'f',
        Value::GluedOrApart("address"),
        Effect::ReversePath,
        "reverse-path (envelope sender), also -r; <> for none",
    ),
    row(b'r', Value::GluedOrApart("address"), Effect::ReversePath, SAME),
    row(b'F', Value::GluedOrApart("name"), Effect::FullName, "the sender's name, if From is missing"),
    row(b'N', Value::GluedOrApart("when"), Effect::Notify, "delivery reports: never, or success,failure,delay"),
    row(b'R', Value::GluedOrApart("part"), Effect::Return, "what a delivery report returns: full or hdrs"),
    row(b'V', Value::GluedOrApart("id"), Effect::EnvelopeId, "envelope id for delivery reports"),
    row(b'B', Value::GluedOrApart("type"), Effect::BodyType, "7BIT or 8BITMIME; what the body really is counts"),
    row(b'L', Value::GluedOrApart("tag"), Effect::Tag, "a tag for the log record"),
    row(b'v', Value::None, Effect::Verbose, "show the conversation with the relay, credentials masked"),
    row(b'U', Value::None, Effect::InitialSubmission, "ignored: every message is an initial submission"),
    row(b'h', Value::GluedOrApart("count"), Effect::Hops, "hops so far; more than 100 are refused as a loop"),
    row(b'b', Value::GluedOrApart("mode"), Effect::Mode, "what to do"),
    row(b'I', Value::None, Effect::Aliases, SAME),
    row(b'q', Value::Glued("time"), Effect::RunQueue, "run the queue: send what waits and is due"),
    row(b'o', Value::GluedOrApart("option"), Effect::OldOption, "-oi is -i; others are accepted without effect"),
    idle(b'O', Value::GluedOrApart("option=value")),
    idle(b'A', Value::GluedOrApart("c|m")),
    idle(b'C', Value::GluedOrApart("file")),
    idle(b'D', Value::GluedOrApart("file")),
    idle(b'G', Value::None),
    idle(b'M', Value::GluedOrApart("macro")),
    // BusyBox names a server so.
    idle(b'S', Value::GluedOrApart("server")),
    idle(b'T', Value::None),
    idle(b'X', Value::GluedOrApart("file")),
    // msmtp names an account so.
    idle(b'a', Value::GluedOrApart("account")),
    idle(b'c', Value::None),
    idle(b'd', Value::Glued("level")),
    idle(b'e', Value::GluedOrApart("mode")),
    idle(b'm', Value::None),
    idle(b'n', Value::None),
    idle(b'p', Value::GluedOrApart("protocol")),
    idle(b's', Value::None),
    idle(b'x', Value::None),
];

/// The row of `letter`.
pub fn letter(letter: u8) -> Option<&'static Letter> {
    LETTERS.iter().find(|row| row.letter == letter)
}

/// What `-b` may be followed by: letter and help. Any other is refused (64).
pub static MODES: &[(u8, &str)] = &[
    (b'm', "send a message (the default)"),
    (b'p', "list what waits"),
    (b'i', "(also -I) rebuild the aliases: nothing to do"),
    (b's', "speak SMTP on standard input and output"),
    (b'v', "check the recipients only"),
];

/// One of our own long options.
#[derive(Debug)]
pub struct Long {
    /// The name behind the two dashes.
    pub name: &'static str,
    /// What its value is called; `None`: it takes none.
    pub value: Option<&'static str>,
    /// What it sets.
    pub effect: LongEffect,
    /// One line for `--help` and the man page.
    pub help: &'static str,
}

/// What a long option sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongEffect {
    /// The configuration file.
    Config,
    /// Help instead of a message.
    Help,
    /// The relay.
    Relay,
    /// The site.
    Site,
    /// The version instead of a message.
    Version,
}

/// Our long options. They count only before the first sendmail option, because PHP's fifth `mail()`
/// argument appends words to the command line.
pub static LONGS: &[Long] = &[
    Long { name: "site", value: Some("SITE"), effect: LongEffect::Site, help: "send as this site, if the caller may" },
    Long {
        name: "config",
        value: Some("FILE"),
        effect: LongEffect::Config,
        help: "read this configuration file and nothing else",
    },
    Long { name: "relay", value: Some("RELAY"), effect: LongEffect::Relay, help: "use only this relay of the site" },
    Long { name: "help", value: None, effect: LongEffect::Help, help: "print this help" },
    Long { name: "version", value: None, effect: LongEffect::Version, help: "print name and version" },
];

/// The row of the long option `name`.
pub fn long(name: &str) -> Option<&'static Long> {
    LONGS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_letter_and_no_name_is_listed_twice() {
        for (index, row) in LETTERS.iter().enumerate() {
            assert!(LETTERS[..index].iter().all(|other| other.letter != row.letter), "-{}", char::from(row.letter));
        }
        for (index, row) in LONGS.iter().enumerate() {
            assert!(LONGS[..index].iter().all(|other| other.name != row.name), "--{}", row.name);
        }
    }
}
