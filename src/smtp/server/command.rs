//! One command line, read (RFC 5321 4.1.1; parameters of RFC 1870, 3461, 6152 and 6531).

use crate::address::{AddrSpec, parse_address};
use crate::reply::{Enhanced, Reply};

/// The longest ENVID as it is written (RFC 3461 4.4).
const ENVID_LIMIT: usize = 100;
/// The longest ORCPT as it is written (RFC 3461 4.2).
const ORCPT_LIMIT: usize = 500;

/// What is said by one line.
#[derive(Debug)]
pub(super) enum Command {
    Ehlo,
    Helo,
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
    Reset,
    Quit,
    /// Nothing but a reply comes of it.
    Say(Reply),
}

/// MAIL as the caller said it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// `None` is the null reverse-path; the domain may be missing.
    pub reverse_path: Option<AddrSpec>,
    /// SIZE: what the caller thinks the message has, in octets.
    pub size: Option<u64>,
    /// BODY: `Some(true)` is 8BITMIME, `Some(false)` 7BIT.
    pub eight_bit: Option<bool>,
    /// SMTPUTF8.
    pub utf8: bool,
    /// RET: `FULL` or `HDRS`.
    pub ret: Option<String>,
    /// ENVID, decoded.
    pub envid: Option<String>,
}

/// RCPT as the caller said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward-path; the domain may be missing.
    pub forward_path: AddrSpec,
    /// NOTIFY: `NEVER`, or a list of `SUCCESS`, `FAILURE`, `DELAY`.
    pub notify: Option<String>,
    /// ORCPT, decoded: `rfc822;bob@example.org`.
    pub original: Option<String>,
}

impl Rcpt {
    pub(super) fn is_ascii(&self) -> bool {
        is_ascii(&self.forward_path)
    }
}

/// Reads one line without its line end; it holds no control character.
///
/// # Errors
/// The reply to a line that means nothing here.
pub(super) fn parse(line: &str) -> Result<Command, Reply> {
    let line = line.trim_end();
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start();
    let alone = |command| match rest {
        "" => Ok(command),
        _ => Err(syntax("this command takes no argument")),
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" | "HELO" if rest.is_empty() => Err(syntax("the name of the client is missing")),
        "EHLO" => Ok(Command::Ehlo),
        "HELO" => Ok(Command::Helo),
        "MAIL" => mail(rest).map(Command::Mail),
        "RCPT" => rcpt(rest).map(Command::Rcpt),
        "DATA" => alone(Command::Data),
        "RSET" => alone(Command::Reset),
        "QUIT" => alone(Command::Quit),
        "NOOP" => Ok(Command::Say(Reply::own(250, (2, 0, 0), "ok"))),
        "HELP" => Ok(Command::Say(Reply::own(214, (2, 0, 0), "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"))),
        "VRFY" if rest.is_empty() => Err(syntax("the name is missing")),
        "VRFY" => Ok(Command::Say(Reply::own(252, (2, 0, 0), "cannot say, RCPT asks the relay"))),
        "AUTH" | "BDAT" | "ETRN" | "EXPN" | "STARTTLS" => Err(Reply::own(502, (5, 5, 1), "not offered here")),
        _ => Err(Reply::own(500, (5, 5, 2), "no such command")),
    }
}

/// Whether `line` means to be MAIL or RCPT.
pub(super) fn is_of_transaction(line: &str) -> bool {
    let verb = line.split(' ').next().unwrap_or_default();
    ["MAIL", "RCPT"].iter().any(|known| verb.eq_ignore_ascii_case(known))
}

fn mail(rest: &str) -> Result<Mail, Reply> {
    let (path, parameters) = path(rest, "FROM:")?;
    let reverse_path = match path.is_empty() {
        true => None,
        false => Some(address(path, "5.1.7")?),
    };
    let mut mail = Mail { reverse_path, ..Mail::default() };
    for (keyword, value) in read_parameters(parameters)? {
        match (keyword.as_str(), value) {
            ("SIZE", Some(value)) if (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()) => {
                // More than fits is more than any limit.
                mail.size = Some(value.parse().unwrap_or(u64::MAX));
            }
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => mail.eight_bit = Some(false),
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => mail.eight_bit = Some(true),
            ("SMTPUTF8", None) => mail.utf8 = true,
            ("RET", Some(value)) if ["FULL", "HDRS"].iter().any(|part| value.eq_ignore_ascii_case(part)) => {
                mail.ret = Some(value.to_ascii_uppercase());
            }
            ("ENVID", Some(value)) if value.len() <= ENVID_LIMIT => mail.envid = Some(xtext(value)?),
            (keyword @ ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID"), _) => return Err(bad_value(keyword)),
            (keyword, _) => return Err(unknown(keyword)),
        }
    }
    if !mail.utf8 && mail.reverse_path.as_ref().is_some_and(|spec| !is_ascii(spec)) {
        return Err(Reply::own(553, (5, 6, 7), "an address outside ASCII needs SMTPUTF8 behind MAIL"));
    }
    Ok(mail)
}

fn rcpt(rest: &str) -> Result<Rcpt, Reply> {
    let (path, parameters) = path(rest, "TO:")?;
    let mut rcpt = Rcpt { forward_path: address(path, "5.1.3")?, notify: None, original: None };
    for (keyword, value) in read_parameters(parameters)? {
        match (keyword.as_str(), value) {
            ("NOTIFY", Some(value)) if is_notify(value) => rcpt.notify = Some(value.to_ascii_uppercase()),
            ("ORCPT", Some(value)) if value.len() <= ORCPT_LIMIT && value.contains(';') => {
                rcpt.original = Some(xtext(value)?);
            }
            (keyword @ ("NOTIFY" | "ORCPT"), _) => return Err(bad_value(keyword)),
            (keyword, _) => return Err(unknown(keyword)),
        }
    }
    Ok(rcpt)
}

/// The path behind `keyword`, without its brackets and without a source route, and the parameters behind
/// it. Scripts leave the brackets out, or put a space before them.
fn path<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, &'a str), Reply> {
    let wrong = || syntax(&format!("write {keyword}<address>"));
    let behind = rest.get(..keyword.len()).filter(|word| word.eq_ignore_ascii_case(keyword)).ok_or_else(wrong)?;
    let behind = rest[behind.len()..].trim_start();
    let (mut quoted, mut escaped) = (false, false);
    let is_bracketed = behind.starts_with('<');
    let end = behind.find(|c: char| match c {
        _ if std::mem::take(&mut escaped) => false,
        '\\' => {
            escaped = quoted;
            false
        }
        '"' => {
            quoted = !quoted;
            false
        }
        '>' if is_bracketed => !quoted,
        ' ' if !is_bracketed => !quoted,
        _ => false,
    });
    let (path, parameters) = match end {
        Some(end) if is_bracketed => (behind[1..end].trim(), &behind[end + 1..]),
        Some(end) => behind.split_at(end),
        None if is_bracketed || behind.is_empty() => return Err(wrong()),
        None => (behind, ""),
    };
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return Err(wrong());
    }
    // A source route is to be ignored (RFC 5321 4.1.1.3).
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':').ok_or_else(wrong)?.1,
        None => path,
    };
    Ok((path, parameters))
}

/// One address and nothing else: no display name, comment or list, which header fields may hold.
fn address(path: &str, detail: &str) -> Result<AddrSpec, Reply> {
    let wrong = |why: &str| Reply::new(553, Enhanced::split(detail).0, &format!("{path}: {why}"));
    let (mut quoted, mut escaped) = (false, false);
    // A user of a Windows domain, `CORP\jane`, is a name of this host.
    let is_name = !path.contains(['@', '"']);
    let is_plain = path.chars().all(|c| match c {
        _ if std::mem::take(&mut escaped) => true,
        '\\' => {
            escaped = quoted;
            quoted || is_name
        }
        '"' => {
            quoted = !quoted;
            true
        }
        '(' | ')' | '<' | '>' | ',' | ';' | ':' | ' ' => quoted || path.contains('['),
        _ => true,
    });
    if path.is_empty() {
        return Err(Reply::new(553, Enhanced::split(detail).0, "the address is missing"));
    }
    if !is_plain {
        return Err(wrong("not an address"));
    }
    let spec = parse_address(path).map_err(|bad| wrong(bad.why))?;
    if spec.domain.is_some() {
        spec.address().map_err(|bad| wrong(bad.why))?;
    }
    Ok(spec)
}

/// Keywords in upper case with their values; none of them twice.
fn read_parameters(text: &str) -> Result<Vec<(String, Option<&str>)>, Reply> {
    let mut parameters: Vec<(String, Option<&str>)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
        let keyword = keyword.to_ascii_uppercase();
        if parameters.iter().any(|(known, _)| *known == keyword) {
            return Err(syntax(&format!("{keyword} is given twice")));
        }
        parameters.push((keyword, value));
    }
    Ok(parameters)
}

fn is_notify(value: &str) -> bool {
    let is = |when: &str, word: &&str| when.eq_ignore_ascii_case(word);
    value.eq_ignore_ascii_case("NEVER")
        || value.split(',').all(|when| ["SUCCESS", "FAILURE", "DELAY"].iter().any(|word| is(when, word)))
}

/// Decodes xtext (RFC 3461 section 4): printable ASCII, `+HH` for the rest.
fn xtext(text: &str) -> Result<String, Reply> {
    let wrong = || syntax("a value that is not xtext");
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'+' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let (Some(high), Some(low)) = (high, low) else { return Err(wrong()) };
                (high * 16 + low) as u8
            }
            byte => byte,
        };
        if !(b' '..=b'~').contains(&byte) {
            return Err(wrong());
        }
        decoded.push(char::from(byte));
    }
    if decoded.is_empty() { Err(wrong()) } else { Ok(decoded) }
}

fn is_ascii(spec: &AddrSpec) -> bool {
    spec.local.is_ascii() && spec.domain.as_deref().is_none_or(str::is_ascii)
}

fn syntax(text: &str) -> Reply {
    Reply::own(501, (5, 5, 4), text)
}

fn bad_value(keyword: &str) -> Reply {
    syntax(&format!("{keyword} has an unknown value"))
}

fn unknown(keyword: &str) -> Reply {
    Reply::own(555, (5, 5, 4), &format!("{keyword} is an unknown parameter"))
}
