//! `mailchute log`: finds messages again.

pub(in crate::tools) mod row;
pub(in crate::tools) mod summary;
pub(in crate::tools) mod tally;
mod when;
pub(in crate::tools) mod words;

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Zoned;

use self::row::{Row, Rows, SAMPLE};
use self::tally::{By, Tally};
use crate::caller::Caller;
use crate::cli::log::Log;
use crate::door::page::Page;
use crate::door::{self, signals::Stop};
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::journal::read::{Field, Follow, Line, Query, Records, Strange};
use crate::spelling;
use crate::tools::table::Layout;

/// Nothing was found, as grep says it.
const NOTHING: u8 = 1;

/// How often it is looked whether there is more.
const LOOK: Duration = Duration::from_millis(200);

/// How much is gathered before it is written, in octets.
const BLOCK: usize = 32 << 10;

/// Does what `words` ask, with what `caller` may see, and returns the exit status.
pub(crate) fn run(words: &Log, caller: &Caller) -> u8 {
    let now = host::now();
    let done = words::query(words, &now).and_then(|query| match words {
        Log { summary: true, .. } => summarize(words, &query, caller, &now),
        Log { follow: true, .. } => follow(words, &query, caller, &now),
        _ => list(words, &query, caller, &now),
    });
    done.unwrap_or_else(|failure| {
        door::report(&failure);
        exit::of_kind(&failure.kind, Scheme::Reply)
    })
}

/// Shows what is found, the newest first.
fn list(words: &Log, query: &Query, caller: &Caller, now: &Zoned) -> Result<u8, Failure> {
    let records = Records::of(caller.uid, query.since);
    let is_table = !words.json && !words.csv;
    let mut out = Out::open(words, caller, now, is_table);
    let most = words.lines.unwrap_or(usize::MAX);
    let mut count = 0;
    if most > 0 {
        records.newest(query, |line| {
            count += 1;
            out.add(line)?;
            if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    out.close()?;
    tell(records.strange());
    if count == 0 && is_table {
        door::complain("log: no record matches");
    }
    Ok(if count == 0 { NOTHING } else { exit::OK })
}

/// Says what was passed over.
fn tell(strange: &Strange) {
    for sentence in strange.sentences() {
        door::complain(&format!("log: {sentence}"));
    }
}

/// Shows what is found as it comes, behind the newest of what is there.
fn follow(words: &Log, query: &Query, caller: &Caller, now: &Zoned) -> Result<u8, Failure> {
    /// How much of what is there already is shown.
    const BEFORE: usize = 10;
    let Some(mut follow) = Follow::of(caller.uid) else {
        return Err(Failure::new(Kind::Unavailable, "log", "there are no record files to follow")
            .hint("the journal can be followed: journalctl -t mailchute -f"));
    };
    let stop = Stop::watch();
    let mut out = Out::open(words, caller, now, false);
    let mut before = Vec::new();
    let records = Records::of(caller.uid, query.since);
    let is_enough = |count: usize| query.since.is_none() && count >= BEFORE;
    records.newest(query, |line| {
        before.push(line.octets().to_vec());
        if is_enough(before.len()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    for octets in before.iter().rev() {
        if let Some(line) = Line::read(octets) {
            let _ = out.add(&line);
        }
    }
    out.settle();
    while out.flush().is_continue() && !stop.is_set() {
        stop.wait(LOOK);
        if follow.look(query, |line| out.add(line)).is_break() {
            break;
        }
    }
    out.close()?;
    Ok(exit::OK)
}

/// Prints figures.
fn summarize(words: &Log, query: &Query, caller: &Caller, now: &Zoned) -> Result<u8, Failure> {
    let by = match &words.by {
        None => By::SiteAndRelay,
        Some(name) => By::Field(field(name)?),
    };
    let records = Records::of(caller.uid, query.since);
    let tally = tally_of(&records, query, by)?;
    let is_empty = tally.total().all() == 0;
    let mut page = Page::open(!words.json);
    let text = match words.json {
        true => summary::json(&tally)?,
        false if is_empty => String::new(),
        false => summary::text(&tally, by, now, door::width()),
    };
    door::heard(page.write(text.as_bytes()))?;
    page.close();
    tell(records.strange());
    if is_empty && !words.json {
        door::complain("log: no record matches");
    }
    Ok(if is_empty { NOTHING } else { exit::OK })
}

/// The figures of what `query` means.
///
/// # Errors
/// The records cannot be read.
pub(in crate::tools) fn tally_of(records: &Records, query: &Query, by: By) -> Result<Tally, Failure> {
    Ok(Tally::all(records.count(query, |tally: &mut Tally, line| tally.add(line, by))?))
}

/// The field that messages are grouped by.
fn field(name: &str) -> Result<Field, Failure> {
    Field::named(&name.replace('-', "_")).ok_or_else(|| {
        let failure = Failure::new(Kind::Usage, "--by", format!("records have no {name:?}"));
        let near = spelling::nearest(name, Field::ALL.iter().map(|field| field.name()));
        failure.hint(near.map_or_else(
            || "script, site, relay, user, cwd, unit, job, pool, parent, provider or status".to_owned(),
            |near| format!("did you mean {near}?"),
        ))
    })
}

/// Records on their way to a reader.
struct Out<'a> {
    page: Page,
    form: Form,
    rows: Rows,
    now: &'a Zoned,
    text: String,
    failed: Option<io::Error>,
}

enum Form {
    Json,
    Csv,
    /// The rows that are looked at before the columns get their widths.
    Gathering(Vec<Row>),
    Table(Layout),
}

impl<'a> Out<'a> {
    fn open(words: &Log, caller: &Caller, now: &'a Zoned, is_paged: bool) -> Self {
        let mut text = String::new();
        let form = match words {
            Log { json: true, .. } => Form::Json,
            Log { csv: true, .. } => {
                text = row::csv_head();
                Form::Csv
            }
            _ => Form::Gathering(Vec::new()),
        };
        let rows = Rows::of(now, door::width(), caller.uid == 0);
        Self { page: Page::open(is_paged), form, rows, now, text, failed: None }
    }

    /// Breaks off where nobody reads any longer.
    fn add(&mut self, line: &Line<'_>) -> ControlFlow<()> {
        match &mut self.form {
            Form::Json => self.text += &row::json(line),
            Form::Csv => self.text += &row::csv(line, self.now),
            Form::Gathering(rows) => {
                rows.push(self.rows.row(line));
                if rows.len() >= SAMPLE {
                    self.settle();
                }
            }
            Form::Table(layout) => {
                let row = self.rows.row(line);
                self.text += &self.rows.line(layout, &row, self.page.is_coloured);
            }
        }
        if self.text.len() >= BLOCK { self.flush() } else { ControlFlow::Continue(()) }
    }

    /// Gives the columns their widths.
    fn settle(&mut self) {
        if let Form::Gathering(rows) = &self.form {
            let layout = self.rows.layout(rows);
            self.text += &layout.head();
            for row in rows {
                self.text += &self.rows.line(&layout, row, self.page.is_coloured);
            }
            self.form = Form::Table(layout);
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        match self.page.write(std::mem::take(&mut self.text).as_bytes()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn close(mut self) -> Result<(), Failure> {
        if matches!(&self.form, Form::Gathering(rows) if !rows.is_empty()) {
            self.settle();
        }
        if self.failed.is_none() {
            let _ = self.flush();
        }
        self.page.close();
        door::heard(self.failed.map_or(Ok(()), Err))
    }
}
