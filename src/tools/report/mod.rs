//! `mailchute report`: the figures of a week, for a terminal, for a browser or by mail.

mod html;

use std::fs::{Metadata, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use jiff::Zoned;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::{Address, EmailAddress};
use mail_builder::headers::raw::Raw;
use nix::unistd::geteuid;
use tempfile::NamedTempFile;

use crate::caller::Caller;
use crate::cli::invocation::Invocation;
use crate::cli::log::{Log, Report};
use crate::door;
use crate::door::page::Page;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::journal::StatusWord;
use crate::journal::read::Records;
use crate::plan::{Choice, Course, Wishes};
use crate::tools::log::summary::{self, thousands};
use crate::tools::log::tally::{By, Tally};
use crate::tools::log::{tally_of, words};
use crate::tools::send::{self, Manner};

/// The mode of a page that is new: it names addresses.
const MODE: u32 = 0o640;

/// Reports on what `caller` may see, as `words` ask for it, and returns the exit status.
pub(crate) fn run(invocation: &Invocation, words: &Report, caller: &Caller) -> u8 {
    let now = host::now();
    let done = figures(words, caller, &now).and_then(|tally| match (&words.output, words.to.is_empty()) {
        (Some(file), _) => write(&html::page(&tally, &now, &host::name()), file),
        (None, false) => Ok(send(invocation, words, caller, &tally, &now)),
        (None, true) => print(&tally, &now),
    });
    done.unwrap_or_else(|failure| {
        door::report(&failure);
        exit::of_kind(&failure.kind, Scheme::Reply)
    })
}

/// The figures that `words` mean.
fn figures(words: &Report, caller: &Caller, now: &Zoned) -> Result<Tally, Failure> {
    let Report { since, until, site, .. } = words;
    let search = Log { since: Some(since.clone()), until: until.clone(), site: site.clone(), ..Log::default() };
    let query = words::query(&search, now)?;
    let records = Records::of(caller.uid, query.since);
    let tally = tally_of(&records, &query, By::SiteAndRelay)?;
    for sentence in records.strange().sentences() {
        door::complain(&format!("report: {sentence}"));
    }
    Ok(tally)
}

fn print(tally: &Tally, now: &Zoned) -> Result<u8, Failure> {
    let mut page = Page::open(true);
    let text = text(tally, now, door::width());
    let written = page.write(text.as_bytes());
    page.close();
    door::heard(written)?;
    Ok(exit::OK)
}

fn text(tally: &Tally, now: &Zoned, width: Option<usize>) -> String {
    match tally.total().all() {
        0 => "No message was recorded in this time.\n".to_owned(),
        _ => summary::text(tally, By::SiteAndRelay, now, width),
    }
}

/// Writes `page` to `file` in one step: whoever looks at it meanwhile sees the one before.
fn write(page: &str, file: &Path) -> Result<u8, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Kind::CannotCreate, file.display().to_string(), format!("cannot be written: {error}"))
    };
    if file == Path::new("-") {
        door::print(page)?;
        return Ok(exit::OK);
    }
    if host::is_privileged() {
        // This process may write where its caller may not.
        let why = "is not written to by a binary with a group of its own";
        return Err(Failure::new(Kind::NoPermission, file.display().to_string(), why)
            .hint("have the shell do it: mailchute report --output - > FILE"));
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Somebody else who laid a file there, as in /tmp, says nothing about who reads and writes ours.
    let is_kept = |found: &Metadata| found.is_file() && found.uid() == geteuid().as_raw();
    let mode = file.symlink_metadata().ok().filter(is_kept).map(|found| found.permissions().mode() & 0o777);
    let mut new = NamedTempFile::new_in(parent).map_err(failed)?;
    new.write_all(page.as_bytes()).map_err(failed)?;
    new.as_file().set_permissions(Permissions::from_mode(mode.unwrap_or(MODE))).map_err(failed)?;
    new.persist(file).map_err(|error| failed(error.error))?;
    Ok(exit::OK)
}

/// Sends the report as any message of `caller` goes.
fn send(invocation: &Invocation, words: &Report, caller: &Caller, tally: &Tally, now: &Zoned) -> u8 {
    let choice = Choice { site: words.site.clone(), ..invocation.choice.clone() };
    let course = Course::begin(caller, &choice);
    let compose = |id: &str| compose(words, tally, now, id);
    send::composed(invocation, &course, Wishes::default(), compose, Manner::default()).status
}

/// The report as a message: text for whoever reads text, and the page.
fn compose(words: &Report, tally: &Tally, now: &Zoned, id: &str) -> Result<Vec<u8>, Failure> {
    let host = host::name();
    let mailbox = |address: &String| Address::Address(EmailAddress { name: None, email: address.clone().into() });
    let message = MessageBuilder::new()
        .to(Address::List(words.to.iter().map(mailbox).collect()))
        .subject(subject(tally, &host))
        .message_id(format!("{id}.report@{host}"))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(text(tally, now, Some(78)))
        .html_body(html::page(tally, now, &host));
    message.write_to_vec().map_err(|error| Failure::new(Kind::Software, "report", error.to_string()))
}

/// What a person sees in a list of messages: `mail from web1: 1,234 accepted, 12 not, 3 wait`.
fn subject(tally: &Tally, host: &str) -> String {
    let total = tally.total();
    let parts = [(total.not_accepted(), "not"), (total.waiting, "waiting")];
    let others = parts.iter().filter(|(count, _)| *count > 0);
    let others = others.map(|(count, what)| format!(", {} {what}", thousands(*count))).collect::<String>();
    format!("mail from {host}: {} accepted{others}", thousands(total.count(StatusWord::Accepted)))
}
