//! Sendmail's dialect. Pure: words in, [`Sendmail`] out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::options::{self, Effect, Value};
use crate::envelope::ReversePath;
use crate::failure::{Failure, Kind};
use crate::plan::Wishes;
use crate::reply::{Reply, printable};

/// The longest `-F` that is kept, in bytes.
pub const NAME_LIMIT: usize = 256;

/// The longest `-L` that is kept, in bytes.
const TAG_LIMIT: usize = 32;

/// The longest encoded ENVID (RFC 3461 section 4.4), in octets.
const ENVID_LIMIT: usize = 100;

/// More hops than this are a loop (RFC 5321 section 6.3).
const HOP_LIMIT: u32 = 100;

/// The longest address the reader passes on, in bytes; a path on the wire may have 256 octets, a list
/// of recipients in one word is longer.
const ADDRESS_LIMIT: usize = 64 << 10;

/// How many words of a command line the record keeps.
pub(super) const RECORD_WORDS: usize = 64;

/// How much of one word the record keeps, in bytes.
pub(super) const RECORD_WORD: usize = 256;

/// The name under which the command line is ours.
pub(super) const OUR_NAME: &str = "mailchute";

/// What words of the sendmail dialect say.
#[derive(Clone, Debug, Default)]
pub struct Sendmail {
    /// What is asked for.
    pub mode: Mode,
    /// Reverse-path, recipients (never empty strings, and free of CR, LF and NUL) and `-F` (one printable line, at
    /// most [`NAME_LIMIT`] bytes).
    pub wishes: Wishes,
    /// `-i`, `-oi`: a lone dot does not end the message.
    pub ignore_dots: bool,
    /// `-v`: show the dialogue.
    pub verbose: bool,
    /// `-L`: the tag that the record carries.
    pub tag: Option<String>,
    /// Options that had no effect, for the record; bounded like [`recorded`].
    pub ignored: Vec<String>,
}

/// What the dialect asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Take the message on standard input and submit it (`-bm`).
    #[default]
    Deliver,
    /// Speak SMTP on standard input and output (`-bs`).
    Smtp,
    /// List the queue (`-bp`, `mailq`).
    Queue,
    /// Rebuild the alias database (`-bi`, `-I`, `newaliases`).
    Aliases,
    /// Run the queue (`-q`).
    RunQueue,
    /// Check the recipients and send nothing (`-bv`).
    Verify,
}

impl Sendmail {
    /// Whether a recipient is named, or is to be taken from the header section.
    pub fn has_message(&self) -> bool {
        self.wishes.from_header || !self.wishes.recipients.is_empty()
    }
}

/// `words` as the record shows them: printable, at most 64, each at most 256 bytes.
pub fn recorded(words: &[OsString]) -> Vec<String> {
    words.iter().take(RECORD_WORDS).map(|word| printable(word.as_bytes(), RECORD_WORD)).collect()
}

/// Whether `text` may stand as an address on a command line: this keeps line ends and other control characters out of
/// the SMTP dialogue and of a header section, whose writer would leave some out and make another address, before anybody
/// reads the address.
///
/// # Errors
/// `Data`: empty, too long, not UTF-8, or with a control character in it, a tab apart.
pub(super) fn address(what: &str, text: &OsStr) -> Result<String, Failure> {
    let refuse = |why| Err(Failure::new(Kind::Data, format!("{what} {}", shown(text)), why));
    match text.to_str() {
        None => refuse("the address is not UTF-8"),
        Some(text) if text.contains(['\r', '\n', '\0']) => refuse("the address has a line end or NUL in it"),
        Some(text) if text.contains(|c: char| c.is_control() && c != '\t') => {
            refuse("the address has a control character in it")
        }
        Some(text) if text.len() > ADDRESS_LIMIT => refuse("the address is longer than 64 KiB"),
        Some(text) if text.trim().is_empty() => Err(Failure::new(Kind::Data, what, "the address is empty")),
        Some(text) => Ok(text.trim().to_owned()),
    }
}

/// Reads words of the sendmail dialect; `called_as` is the program's name, and `mode` what that name asks for. They may
/// lack a recipient.
///
/// # Errors
/// `Usage` for words that mean nothing here, `Data` for an address that is not UTF-8 or holds a control character; a refusal
/// with 554 5.4.6 for `-h` over 100.
pub fn read(mut words: impl Iterator<Item = OsString>, called_as: &str, mode: Mode) -> Result<Sendmail, Failure> {
    let mut said = Sendmail { mode, ..Sendmail::default() };
    let mut run_queue = None;
    let mut options_are_over = false;
    // Which recipient stands directly behind a -s of its own.
    let mut behind_s = None;
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" if !options_are_over => options_are_over = true,
            b"-" if !options_are_over => return Err(usage("-", "neither an option nor a recipient")),
            [b'-', b'-', ..] if !options_are_over => return Err(late_long(&word, called_as)),
            [b'-', letters @ ..] if !options_are_over => {
                if letters == b"s" {
                    behind_s = Some(said.wishes.recipients.len());
                }
                read_letters(letters, &mut words, &mut said, &mut run_queue)?;
            }
            _ => said.wishes.recipients.push(address("recipient", &word)?),
        }
    }
    if let Some(subject) = behind_s.and_then(|index| subject(&said.wishes, index)) {
        return Err(usage(format!("-s {}", printable(subject.as_bytes(), RECORD_WORD)), "sendmail takes no subject")
            .hint(
                "write it as the first line of the message, `Subject: ...`, with an empty line behind it; -s is mail's",
            ));
    }
    settle(said, run_queue)
}

/// The word behind `-s`, the recipient `index`, where it is more likely a subject for mail(1) than a name: it holds a
/// blank, or somebody else is to receive the message.
fn subject(wishes: &Wishes, index: usize) -> Option<&str> {
    let word = wishes.recipients.get(index)?;
    let has_others = wishes.from_header || wishes.recipients.len() > 1;
    (!word.contains('@') && (word.contains(char::is_whitespace) || has_others)).then_some(word)
}

/// Reads one word of letters; `run_queue` receives the word if it asks for a queue run.
fn read_letters(
    mut letters: &[u8],
    words: &mut impl Iterator<Item = OsString>,
    said: &mut Sendmail,
    run_queue: &mut Option<String>,
) -> Result<(), Failure> {
    while let [letter, rest @ ..] = letters {
        let Some(row) = options::letter(*letter) else {
            note(said, letters, None);
            return Ok(());
        };
        let (value, apart) = match row.value {
            Value::None => (OsString::new(), None),
            Value::Glued(_) => (OsString::from_vec(rest.to_vec()), None),
            Value::GluedOrApart(_) if !rest.is_empty() => (OsString::from_vec(rest.to_vec()), None),
            Value::GluedOrApart(wanted) => {
                let missing = || {
                    let failure = usage(option_name(*letter), format!("the {wanted} is missing"));
                    failure.hint("leave it out, or give it one; for help, `mailchute --help`")
                };
                let next = words.next().ok_or_else(missing)?;
                (next.clone(), Some(next))
            }
        };
        let is_last = row.value != Value::None;
        match row.effect {
            Effect::RunQueue => *run_queue = Some(printable(&[b"-", letters].concat(), RECORD_WORD)),
            effect => {
                if !apply(effect, *letter, &value, said)? {
                    note(said, if is_last { letters } else { &letters[..1] }, apart.as_deref());
                }
            }
        }
        if is_last {
            return Ok(());
        }
        letters = rest;
    }
    Ok(())
}

/// Gives an option its effect; false where it had none and belongs into the record.
fn apply(effect: Effect, letter: u8, value: &OsStr, said: &mut Sendmail) -> Result<bool, Failure> {
    let option = || option_name(letter);
    match effect {
        Effect::None => return Ok(false),
        Effect::Aliases => said.mode = Mode::Aliases,
        Effect::BodyType => {
            return Ok(matches!(value.as_bytes().to_ascii_uppercase().as_slice(), b"7BIT" | b"8BITMIME"));
        }
        Effect::EnvelopeId => said.wishes.dsn.envid = Some(envelope_id(&option(), value)?),
        Effect::FromHeader => said.wishes.from_header = true,
        Effect::FullName => {
            // A line end in a name would begin another header field; it becomes a space.
            let bytes: Vec<u8> =
                value.as_bytes().iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }).collect();
            let name = printable(&bytes, NAME_LIMIT);
            said.wishes.full_name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        }
        Effect::Hops => match value.to_str().and_then(|count| count.parse::<u32>().ok()) {
            Some(count) if count > HOP_LIMIT => {
                let reply = Reply::own(554, (5, 4, 6), "too many hops, the message is in a loop");
                return Err(Failure::refused(format!("{} {count}", option()), reply));
            }
            Some(_) => {}
            None => return Ok(false),
        },
        Effect::IgnoreDots => said.ignore_dots = true,
        Effect::InitialSubmission => {}
        Effect::Mode => said.mode = mode(value)?,
        Effect::Notify => said.wishes.dsn.notify = Some(notify(&option(), value)?),
        Effect::OldOption if value.as_bytes().first() == Some(&b'i') => said.ignore_dots = true,
        Effect::OldOption => return Ok(false),
        Effect::Return => {
            let part = value.to_ascii_uppercase();
            match part.to_str() {
                Some(part @ ("FULL" | "HDRS")) => said.wishes.dsn.ret = Some(part.to_owned()),
                _ => return Err(usage(format!("{} {}", option(), shown(value)), "not one of full, hdrs")),
            }
        }
        Effect::ReversePath => {
            let is_null = matches!(value.as_bytes().trim_ascii(), b"" | b"<>");
            said.wishes.reverse_path = Some(match is_null {
                true => ReversePath::Null,
                false => ReversePath::Typed(address(&option(), value)?),
            });
        }
        // The caller takes this one itself: it depends on the other words.
        Effect::RunQueue => {}
        Effect::Tag => {
            let tag = printable(value.as_bytes(), TAG_LIMIT);
            said.tag = Some(tag.trim().to_owned()).filter(|tag| !tag.is_empty());
        }
        Effect::Verbose => said.verbose = true,
    }
    Ok(true)
}

fn mode(value: &OsStr) -> Result<Mode, Failure> {
    let what = format!("-b{}", shown(value));
    match value.as_bytes() {
        b"m" => Ok(Mode::Deliver),
        b"p" => Ok(Mode::Queue),
        b"i" => Ok(Mode::Aliases),
        b"s" => Ok(Mode::Smtp),
        b"v" => Ok(Mode::Verify),
        b"d" | b"D" => {
            Err(usage(what, "mailchute has no daemon mode").hint("nothing has to run: each message is sent at once"))
        }
        b"t" => Err(usage(what, "there is no address test mode").hint("`mailchute explain` shows what would be sent")),
        _ => Err(usage(what, "no such mode")),
    }
}

fn notify(option: &str, value: &OsStr) -> Result<String, Failure> {
    let upper = value.to_ascii_uppercase();
    let upper = upper.to_str().unwrap_or_default();
    let is_list = upper.split(',').all(|when| matches!(when, "SUCCESS" | "FAILURE" | "DELAY"));
    match upper == "NEVER" || is_list {
        true => Ok(upper.to_owned()),
        false => Err(usage(format!("{option} {}", shown(value)), "not `never` nor a list of success, failure, delay")),
    }
}

fn envelope_id(option: &str, value: &OsStr) -> Result<String, Failure> {
    // Printable characters and spaces (RFC 3461 section 4.4); `+`, `=` and the space take three octets.
    let encoded: usize =
        value.as_bytes().iter().map(|byte| if matches!(byte, b'+' | b'=' | b' ') { 3 } else { 1 }).sum();
    match value.to_str() {
        Some(text) if (1..=ENVID_LIMIT).contains(&encoded) && text.bytes().all(|byte| (32..127).contains(&byte)) => {
            Ok(text.to_owned())
        }
        _ => Err(usage(format!("{option} {}", shown(value)), "an envelope id has 1 to 100 printable ASCII characters")),
    }
}

/// What the options say together.
fn settle(mut said: Sendmail, run_queue: Option<String>) -> Result<Sendmail, Failure> {
    let has_message = said.has_message();
    match said.mode {
        Mode::Deliver if run_queue.is_some() && !has_message => said.mode = Mode::RunQueue,
        Mode::Deliver => {
            // A message at hand is never dropped for the sake of a queue that is not there.
            if let Some(word) = run_queue {
                note(&mut said, &word.as_bytes()[1..], None);
            }
        }
        Mode::Smtp | Mode::Queue | Mode::Aliases if has_message => return Err(no_message(&said)),
        // A word that somebody added must not make a caller believe that its message was sent.
        Mode::Verify if said.wishes.from_header => return Err(no_message(&said)),
        _ => {}
    }
    Ok(said)
}

fn no_message(said: &Sendmail) -> Failure {
    let what = if said.wishes.from_header { "-t" } else { "recipients" };
    usage(what, "this mode takes no message").hint("leave out -bp, -bs, -bi, -bv or -I to send one")
}

fn note(said: &mut Sendmail, letters: &[u8], apart: Option<&OsStr>) {
    if said.ignored.len() < RECORD_WORDS {
        let mut word = [b"-", letters].concat();
        if let Some(value) = apart {
            word.push(b' ');
            word.extend_from_slice(value.as_bytes());
        }
        said.ignored.push(printable(&word, RECORD_WORD));
    }
}

fn late_long(word: &OsStr, called_as: &str) -> Failure {
    let name = word.as_bytes().split(|&byte| byte == b'=').next().unwrap_or_default();
    let what = printable(name, RECORD_WORD);
    match called_as == OUR_NAME {
        true => usage(what, "long options must come before the sendmail options")
            .hint("write them directly behind `mailchute`"),
        false => usage(what, format!("called as {called_as}, there are no long options"))
            .hint("call it `mailchute` to use them"),
    }
}

/// A command line that means nothing here.
pub(super) fn usage(what: impl Into<String>, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Usage, what, why)
}

fn option_name(letter: u8) -> String {
    format!("-{}", char::from(letter))
}

/// A word for a message.
pub(super) fn shown(value: &OsStr) -> String {
    printable(value.as_bytes(), RECORD_WORD)
}
