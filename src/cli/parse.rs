//! The reader of the command line: our long options, sendmail's dialect, or a subcommand. Pure: words in,
//! [`Invocation`] out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::commands::{self, Read};
use super::dialect::{self, Mode, OUR_NAME, RECORD_WORD, shown, usage};
use super::help;
use super::invocation::{Errand, Invocation};
use super::options::{self, LongEffect};
use crate::failure::Failure;
use crate::reply::printable;
use crate::spelling;

/// Reads a whole command line, `argv[0]` first.
///
/// # Errors
/// `Usage` for a command line that means nothing here, or that names no recipient; `Data` for an
/// address that is not UTF-8 or holds a line end; a refusal with 554 5.4.6 for `-h` over 100.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    let words: Vec<OsString> = argv.into_iter().collect();
    let called_as = name(words.first());
    let argv = dialect::recorded(&words);
    let mut invocation = Invocation { called_as: called_as.clone(), argv, ..Invocation::default() };
    let mut words = words.into_iter().skip(1).peekable();
    let mut mode = Mode::Deliver;
    match called_as.as_str() {
        OUR_NAME => {
            while let Some(word) = words.next_if(|word| is_long(word)) {
                let mut value = || words.next();
                read_long(&word, &mut value, &mut invocation)?;
                if !matches!(invocation.errand, Errand::Sendmail(_)) {
                    return Ok(invocation);
                }
            }
            // A subcommand's name holds no @: such a word is a recipient.
            if words.peek().is_some_and(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'@')) {
                invocation.errand = match commands::read(words, &mut invocation.choice)? {
                    Read::Help(text) => Errand::Help(text),
                    Read::Misuse(failure) => Errand::Misuse(failure),
                    Read::Tool(tool) => Errand::Tool(tool),
                };
                return Ok(invocation);
            }
        }
        "mailq" => mode = Mode::Queue,
        "newaliases" => mode = Mode::Aliases,
        _ => {}
    }
    let is_bare = words.peek().is_none();
    let said = dialect::read(words, &called_as, mode)?;
    if matches!(said.mode, Mode::Deliver | Mode::Verify) && !said.has_message() {
        return Err(match is_bare && called_as == OUR_NAME {
            true => usage("no recipients", "the command line says nothing").hint(
                "begin with `mailchute explain`, `mailchute test --to YOUR-ADDRESS`, `mailchute providers` or \
                 `mailchute --help`",
            ),
            false => usage("no recipients", "the command line names none and has no -t")
                .hint("name a recipient, or use -t to take them from the header section (php.ini: sendmail_path = \"/usr/sbin/sendmail -t -i\")"),
        });
    }
    invocation.errand = Errand::Sendmail(said);
    Ok(invocation)
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
        LongEffect::Config => invocation.choice.config = Some(PathBuf::from(value)),
        LongEffect::Help => invocation.errand = Errand::Help(help::text()),
        LongEffect::Relay => invocation.choice.relay = Some(text(value)?),
        LongEffect::Site => invocation.choice.site = Some(text(value)?),
        LongEffect::Version => invocation.errand = Errand::Version,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::dialect::{RECORD_WORDS, Sendmail};
    use super::*;
    use crate::failure::Kind;

    fn sendmail(line: Vec<OsString>) -> (Invocation, Sendmail) {
        match parse(line).expect("a command line") {
            Invocation { errand: Errand::Sendmail(said), argv, choice, called_as, .. } => {
                (Invocation { argv, choice, called_as, ..Invocation::default() }, said)
            }
            other => panic!("{other:?}"),
        }
    }

    fn words(words: &[&[u8]]) -> Vec<OsString> {
        words.iter().map(|word| OsString::from_vec(word.to_vec())).collect()
    }

    #[test]
    fn bytes_that_are_not_utf8_pass_where_they_can() {
        let line = words(&[b"/usr/\xff/mailchute", b"--config=/etc/\xff", b"-t", b"-FJos\xe9", b"-X\xff"]);
        let (invocation, said) = sendmail(line);
        assert_eq!(
            invocation.choice.config.map(PathBuf::into_os_string),
            Some(OsString::from_vec(b"/etc/\xff".to_vec()))
        );
        assert_eq!(said.wishes.full_name.as_deref(), Some("José"));
        assert_eq!(said.ignored, ["-Xÿ"]);
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
        let (invocation, said) = sendmail(line);
        assert_eq!((invocation.argv.len(), said.ignored.len()), (RECORD_WORDS, RECORD_WORDS));
        assert!(invocation.argv.iter().chain(&said.ignored).all(|word| word.len() <= RECORD_WORD));
    }
}
