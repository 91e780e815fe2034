//! The reader of the command line: sendmail's dialect, our long options before it, and the word that
//! makes it a subcommand. Pure: words in, [`Invocation`] out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::invocation::{Invocation, Mode, ReversePath};
use super::options::{self, Effect, LongEffect, Value};
use super::{commands, help};
use crate::failure::{Failure, Kind};
use crate::reply::{Enhanced, Reply, printable};
use crate::spelling;

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
const RECORD_WORDS: usize = 64;

/// How much of one word the record keeps, in bytes.
const RECORD_WORD: usize = 256;

/// The name under which the command line is ours.
const OUR_NAME: &str = "mailchute";

/// Reads a whole command line, `argv[0]` first.
///
/// # Errors
/// `Usage` for a command line that means nothing here, or that names no recipient; `Data` for an
/// address that is not UTF-8 or holds a line end; a refusal with 554 5.4.6 for `-h` over 100.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    let words: Vec<OsString> = argv.into_iter().collect();
    let called_as = name(words.first());
    let mut invocation = Invocation { called_as: called_as.clone(), argv: recorded(&words), ..Invocation::default() };
    let mut words = words.into_iter().skip(1).peekable();
    match called_as.as_str() {
        OUR_NAME => {
            while let Some(word) = words.next_if(|word| is_long(word)) {
                let mut value = || words.next();
                read_long(&word, &mut value, &mut invocation)?;
                if !matches!(invocation.mode, Mode::Deliver) {
                    return Ok(invocation);
                }
            }
            if words.peek().is_some_and(|word| !word.as_bytes().starts_with(b"-")) {
                commands::read(words, &mut invocation)?;
                return Ok(invocation);
            }
        }
        "mailq" => invocation.mode = Mode::Queue,
        "newaliases" => invocation.mode = Mode::Aliases,
        _ => {}
    }
    let invocation = read_dialect(words, invocation)?;
    if matches!(invocation.mode, Mode::Deliver | Mode::Verify) && !has_message(&invocation) {
        return Err(usage("recipients", "none given")
            .hint("name a recipient, or use -t to take them from the header section; see `mailchute --help`"));
    }
    Ok(invocation)
}

/// Reads words of the sendmail dialect alone, as `explain` is given them. They may lack a recipient: there
/// is something to say all the same.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_sendmail(words: Vec<OsString>) -> Result<Invocation, Failure> {
    let argv = recorded(&words);
    let invocation = Invocation { called_as: OUR_NAME.to_owned(), argv, ..Invocation::default() };
    read_dialect(words.into_iter(), invocation)
}

/// `words` as the record shows them: printable, at most 64, each at most 256 bytes.
pub fn recorded(words: &[OsString]) -> Vec<String> {
    words.iter().take(RECORD_WORDS).map(|word| printable(word.as_bytes(), RECORD_WORD)).collect()
}

/// Whether `text` may stand as an address on a command line: this keeps line ends out of the SMTP
/// dialogue and the header section before anybody reads the address.
///
/// # Errors
/// `Data`: empty, too long, not UTF-8, or with CR, LF or NUL in it.
pub(super) fn address(what: &str, text: &OsStr) -> Result<String, Failure> {
    let refuse = |why| Err(Failure::new(Kind::Data, format!("{what} {}", shown(text)), why));
    match text.to_str() {
        None => refuse("the address is not UTF-8"),
        Some(text) if text.contains(['\r', '\n', '\0']) => refuse("the address has a line end or NUL in it"),
        Some(text) if text.len() > ADDRESS_LIMIT => refuse("the address is longer than 64 KiB"),
        Some(text) if text.trim().is_empty() => Err(Failure::new(Kind::Data, what, "the address is empty")),
        Some(text) => Ok(text.trim().to_owned()),
    }
}

fn name(argv0: Option<&OsString>) -> String {
    let last = argv0.map(|word| word.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default());
    match last {
        None | Some(b"") => OUR_NAME.to_owned(),
        Some(name) => printable(name, RECORD_WORD),
    }
}

fn is_long(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"--") && word.len() > 2
}

fn read_long(
    word: &OsStr,
    next: &mut dyn FnMut() -> Option<OsString>,
    invocation: &mut Invocation,
) -> Result<(), Failure> {
    let bytes = &word.as_bytes()[2..];
    let (name, glued) = match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
        None => (bytes, None),
    };
    let name = printable(name, RECORD_WORD);
    let Some(row) = options::long(&name) else {
        let failure = usage(format!("--{name}"), "no such option");
        return Err(match spelling::nearest(&name, options::LONGS.iter().map(|row| row.name)) {
            Some(near) => failure.hint(format!("did you mean `--{near}`?")),
            None => failure.hint("see `mailchute --help`"),
        });
    };
    let value = match (row.value, glued) {
        (None, None) => OsString::new(),
        (None, Some(_)) => return Err(usage(format!("--{name}"), "takes no value")),
        (Some(_), Some(value)) => value,
        (Some(wanted), None) => next().ok_or_else(|| usage(format!("--{name}"), format!("{wanted} is missing")))?,
    };
    let text = |value: OsString| {
        value.into_string().map_err(|value| usage(format!("--{name} {}", shown(&value)), "the name is not UTF-8"))
    };
    match row.effect {
        LongEffect::Config => invocation.config = Some(PathBuf::from(value)),
        LongEffect::Help => invocation.mode = Mode::Help(help::text()),
        LongEffect::Relay => invocation.relay = Some(text(value)?),
        LongEffect::Site => invocation.site = Some(text(value)?),
        LongEffect::Version => invocation.mode = Mode::Version,
    }
    Ok(())
}

fn read_dialect(mut words: impl Iterator<Item = OsString>, mut invocation: Invocation) -> Result<Invocation, Failure> {
    let mut run_queue = None;
    let mut options_are_over = false;
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" if !options_are_over => options_are_over = true,
            b"-" if !options_are_over => return Err(usage("-", "neither an option nor a recipient")),
            [b'-', b'-', ..] if !options_are_over => return Err(late_long(&word, &invocation)),
            [b'-', letters @ ..] if !options_are_over => {
                read_letters(letters, &mut words, &mut invocation, &mut run_queue)?;
            }
            _ => invocation.recipients.push(address("recipient", &word)?),
        }
    }
    settle(invocation, run_queue)
}

/// Reads one word of letters; `run_queue` receives the word if it asks for a queue run.
fn read_letters(
    mut letters: &[u8],
    words: &mut impl Iterator<Item = OsString>,
    invocation: &mut Invocation,
    run_queue: &mut Option<String>,
) -> Result<(), Failure> {
    while let [letter, rest @ ..] = letters {
        let Some(row) = options::letter(*letter) else {
            note(invocation, letters, None);
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
                if !apply(effect, *letter, &value, invocation)? {
                    note(invocation, if is_last { letters } else { &letters[..1] }, apart.as_deref());
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
fn apply(effect: Effect, letter: u8, value: &OsStr, invocation: &mut Invocation) -> Result<bool, Failure> {
    let option = || option_name(letter);
    match effect {
        Effect::None => return Ok(false),
        Effect::Aliases => invocation.mode = Mode::Aliases,
        Effect::BodyType => {
            return Ok(matches!(value.as_bytes().to_ascii_uppercase().as_slice(), b"7BIT" | b"8BITMIME"));
        }
        Effect::EnvelopeId => invocation.dsn.envid = Some(envelope_id(&option(), value)?),
        Effect::FromHeader => invocation.from_header = true,
        Effect::FullName => {
            // A line end in a name would begin another header field; it becomes a space.
            let bytes: Vec<u8> =
                value.as_bytes().iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }).collect();
            let name = printable(&bytes, NAME_LIMIT);
            invocation.full_name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        }
        Effect::Hops => match value.to_str().and_then(|count| count.parse::<u32>().ok()) {
            Some(count) if count > HOP_LIMIT => {
                let reply = Reply::new(554, Some(Enhanced::new(5, 4, 6)), "too many hops, the message is in a loop");
                return Err(Failure::refused(format!("{} {count}", option()), reply));
            }
            Some(_) => {}
            None => return Ok(false),
        },
        Effect::IgnoreDots => invocation.ignore_dots = true,
        Effect::InitialSubmission => {}
        Effect::Mode => invocation.mode = mode(value)?,
        Effect::Notify => invocation.dsn.notify = Some(notify(&option(), value)?),
        Effect::OldOption if value.as_bytes().first() == Some(&b'i') => invocation.ignore_dots = true,
        Effect::OldOption => return Ok(false),
        Effect::Return => {
            let part = value.to_ascii_uppercase();
            match part.to_str() {
                Some(part @ ("FULL" | "HDRS")) => invocation.dsn.ret = Some(part.to_owned()),
                _ => return Err(usage(format!("{} {}", option(), shown(value)), "not one of full, hdrs")),
            }
        }
        Effect::ReversePath => {
            let is_null = matches!(value.as_bytes().trim_ascii(), b"" | b"<>");
            invocation.reverse_path = Some(match is_null {
                true => ReversePath::Null,
                false => ReversePath::Typed(address(&option(), value)?),
            });
        }
        // The caller takes this one itself: it depends on the other words.
        Effect::RunQueue => {}
        Effect::Tag => {
            let tag = printable(value.as_bytes(), TAG_LIMIT);
            invocation.tag = Some(tag.trim().to_owned()).filter(|tag| !tag.is_empty());
        }
        Effect::Verbose => invocation.verbose = true,
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
            Err(usage(what, "mailchute is no daemon").hint("nothing has to run: each message is sent at once"))
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
fn settle(mut invocation: Invocation, run_queue: Option<String>) -> Result<Invocation, Failure> {
    let has_message = has_message(&invocation);
    match invocation.mode {
        Mode::Deliver if run_queue.is_some() && !has_message => invocation.mode = Mode::RunQueue,
        Mode::Deliver => {
            // A message at hand is never dropped for the sake of a queue that is not there.
            if let Some(word) = run_queue {
                note(&mut invocation, &word.as_bytes()[1..], None);
            }
        }
        Mode::Smtp | Mode::Queue | Mode::Aliases if has_message => return Err(no_message(&invocation)),
        // A word that somebody added must not make a caller believe that its message was sent.
        Mode::Verify if invocation.from_header => return Err(no_message(&invocation)),
        _ => {}
    }
    Ok(invocation)
}

fn no_message(invocation: &Invocation) -> Failure {
    let what = if invocation.from_header { "-t" } else { "recipients" };
    usage(what, "this mode takes no message").hint("leave out -bp, -bs, -bi, -bv or -I to send one")
}

fn has_message(invocation: &Invocation) -> bool {
    invocation.from_header || !invocation.recipients.is_empty()
}

fn note(invocation: &mut Invocation, letters: &[u8], apart: Option<&OsStr>) {
    if invocation.ignored.len() < RECORD_WORDS {
        let mut word = [b"-", letters].concat();
        if let Some(value) = apart {
            word.push(b' ');
            word.extend_from_slice(value.as_bytes());
        }
        invocation.ignored.push(printable(&word, RECORD_WORD));
    }
}

fn late_long(word: &OsStr, invocation: &Invocation) -> Failure {
    let name = word.as_bytes().split(|&byte| byte == b'=').next().unwrap_or_default();
    let what = printable(name, RECORD_WORD);
    match invocation.called_as == OUR_NAME {
        true => usage(what, "long options are not taken behind a sendmail option")
            .hint("write them directly behind `mailchute`"),
        false => usage(what, format!("called as {}, there are no long options", invocation.called_as))
            .hint("call it `mailchute` to use them"),
    }
}

fn usage(what: impl Into<String>, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Usage, what, why)
}

fn option_name(letter: u8) -> String {
    format!("-{}", char::from(letter))
}

fn shown(value: &OsStr) -> String {
    printable(value.as_bytes(), RECORD_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&[u8]]) -> Vec<OsString> {
        words.iter().map(|word| OsString::from_vec(word.to_vec())).collect()
    }

    #[test]
    fn bytes_that_are_not_utf8_pass_where_they_can() {
        let invocation = parse(words(&[b"/usr/\xff/mailchute", b"--config=/etc/\xff", b"-t", b"-FJos\xe9", b"-X\xff"]))
            .expect("a command line");
        assert_eq!(invocation.config.map(PathBuf::into_os_string), Some(OsString::from_vec(b"/etc/\xff".to_vec())));
        assert_eq!(invocation.full_name.as_deref(), Some("José"));
        assert_eq!(invocation.ignored, ["-Xÿ"]);
        for address in [&b"-fjos\xe9@example.org"[..], b"jos\xe9@example.org"] {
            assert_eq!(
                parse(words(&[b"sendmail", b"-t", address])).map_err(|failure| failure.kind).err(),
                Some(Kind::Data)
            );
        }
    }

    #[test]
    fn the_record_of_a_command_line_is_bounded() {
        let long = vec![b'x'; 100_000];
        let mut line = words(&[b"sendmail", b"-t"]);
        line.extend((0..200).map(|_| OsString::from_vec([b"-X", long.as_slice()].concat())));
        let invocation = parse(line).expect("a command line");
        assert_eq!((invocation.argv.len(), invocation.ignored.len()), (RECORD_WORDS, RECORD_WORDS));
        assert!(invocation.argv.iter().chain(&invocation.ignored).all(|word| word.len() <= RECORD_WORD));
    }
}
