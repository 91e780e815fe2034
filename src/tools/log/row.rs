//! A record as a line of a table, or as comma-separated values.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::door;
use crate::door::page::Colour;
use crate::journal::StatusWord;
use crate::journal::read::{Field, Line};
use crate::reply::printable;
use crate::tools::table::{Column, Layout, TEXT, fixed, flexible, shown};

/// Where a terminal has room for all of a time.
const WIDE: usize = 110;

/// How many rows are looked at for the widths of the columns.
pub(super) const SAMPLE: usize = 200;

/// Rows of a table, for a terminal of some width or none.
pub(super) struct Rows {
    zone: TimeZone,
    width: Option<usize>,
    has_users: bool,
}

/// The cells of one record.
pub(super) struct Row {
    cells: Vec<String>,
    colour: Colour,
}

impl Rows {
    pub(super) fn of(now: &Zoned, width: Option<usize>, has_users: bool) -> Self {
        Self { zone: now.time_zone().clone(), width, has_users }
    }

    /// The columns, and where the status stands among them.
    fn columns(&self) -> Vec<Column> {
        let user = self.has_users.then(|| flexible("USER", 6));
        [fixed("TIME", false)]
            .into_iter()
            .chain(user)
            .chain([
                flexible("SITE", 6),
                flexible("FROM", 9),
                flexible("TO", 10),
                fixed("STATUS", false),
                flexible("RELAY", 6),
                fixed("MS", true),
                flexible("WHAT HAPPENED", 9),
            ])
            .collect()
    }

    fn is_narrow(&self) -> bool {
        self.width.is_some_and(|width| width < WIDE)
    }

    /// The widths that fit these rows, and as well as may be those that come behind them.
    pub(super) fn layout(&self, sample: &[Row]) -> Layout {
        let cells: Vec<&[String]> = sample.iter().map(|row| row.cells.as_slice()).collect();
        Layout::fit(self.columns(), &cells, self.width, if self.is_narrow() { 1 } else { 2 })
    }

    /// The line of `row`.
    pub(super) fn line(&self, layout: &Layout, row: &Row, is_coloured: bool) -> String {
        let status = if self.has_users { 5 } else { 4 };
        let colour = is_coloured.then_some((status, row.colour));
        layout.line(&row.cells, |at, text| match colour {
            Some((of, colour)) if of == at => colour.paint(text),
            _ => text.to_owned(),
        })
    }

    /// `line`, a record, as a row.
    pub(super) fn row(&self, line: &Line<'_>) -> Row {
        let text = |field| shown(&line.text(field).unwrap_or_default());
        let recipients = line.list(Field::To);
        let to = match recipients.as_slice() {
            [] => "-".to_owned(),
            [one] => shown(one),
            [first, rest @ ..] => format!("{} +{}", shown(first), rest.len()),
        };
        let from = match line.text(Field::From) {
            None => "-".to_owned(),
            Some(from) if from.is_empty() => "<>".to_owned(),
            Some(from) => shown(&from),
        };
        let status = line.status();
        let mut cells = vec![self.moment(line.time())];
        cells.extend(self.has_users.then(|| user(line)));
        cells.extend([
            or_dash(text(Field::Site)),
            from,
            to,
            status_text(line),
            or_dash(text(Field::Relay)),
            line.number(Field::Ms).map(|ms| ms.to_string()).unwrap_or_default(),
            happened(line),
        ]);
        Row { cells, colour: colour(status) }
    }

    /// A time of this host, with its offset.
    fn moment(&self, time: Option<i64>) -> String {
        let form = if self.is_narrow() { "%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        time.map_or_else(|| "-".to_owned(), |time| moment(time, &self.zone, form))
    }
}

/// A time in milliseconds since 1970 in the form of strftime(3), with the offset of the zone.
pub(in crate::tools) fn moment(time: i64, zone: &TimeZone, form: &str) -> String {
    let at = Timestamp::from_millisecond(time).unwrap_or_default().to_zoned(zone.clone());
    format!("{}{}", at.strftime(form), offset(&at))
}

/// `+01`, `+0530`: an offset as short as it can be.
fn offset(at: &Zoned) -> String {
    let minutes = at.offset().seconds() / 60;
    let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
    match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}{rest:02}", minutes / 60),
    }
}

/// The colour of a status.
pub(super) const fn colour(status: StatusWord) -> Colour {
    match status {
        StatusWord::Accepted => Colour::Good,
        StatusWord::Deferred | StatusWord::Spooled | StatusWord::Held => Colour::Open,
        StatusWord::Refused | StatusWord::InDoubt | StatusWord::Failed => Colour::Bad,
    }
}

/// Reply code and word; the exit status where no reply was had.
pub(in crate::tools) fn status_text(line: &Line<'_>) -> String {
    let word = line.status().name();
    match line.code() {
        Some(code) => format!("{code} {word}"),
        None if line.exit() == 0 => word.to_owned(),
        None => format!("{} {word}", line.exit()),
    }
}

/// Whose message it is.
pub(in crate::tools) fn user(line: &Line<'_>) -> String {
    let uid = || line.number(Field::Uid).map(|uid| uid.to_string()).unwrap_or_default();
    line.text(Field::User).map_or_else(uid, |user| shown(&user))
}

/// What became of the message, and what happens next.
fn happened(line: &Line<'_>) -> String {
    let said = shown(&line.text(Field::Text).unwrap_or_default());
    let id = || shown(&line.text(Field::Id).unwrap_or_default());
    match line.status() {
        StatusWord::Accepted => match line.text(Field::ProviderId) {
            Some(id) if !said.contains(id.as_ref()) => format!("{} {said}", shown(&id)).trim_end().to_owned(),
            _ => said,
        },
        StatusWord::Spooled => format!("waits, is sent later: {said}"),
        StatusWord::Held => format!("held, mailchute queue resolve {}: {said}", id()),
        StatusWord::InDoubt => format!("may have arrived: {said}"),
        _ => said,
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The columns of comma-separated values.
const VALUES: [(&str, Field); 22] = [
    ("id", Field::Id),
    ("site", Field::Site),
    ("uid", Field::Uid),
    ("user", Field::User),
    ("from", Field::From),
    ("to", Field::To),
    ("status", Field::Status),
    ("code", Field::Code),
    ("enhanced", Field::Enhanced),
    ("exit", Field::Exit),
    ("text", Field::Text),
    ("relay", Field::Relay),
    ("provider", Field::Provider),
    ("provider_id", Field::ProviderId),
    ("message_id", Field::MessageId),
    ("size", Field::Size),
    ("ms", Field::Ms),
    ("script", Field::Script),
    ("cwd", Field::Cwd),
    ("unit", Field::Unit),
    ("job", Field::Job),
    ("tag", Field::Tag),
];

/// The line of headings.
pub(super) fn csv_head() -> String {
    let names: Vec<&str> = std::iter::once("time").chain(VALUES.iter().map(|(name, _)| *name)).collect();
    names.join(",") + "\r\n"
}

/// `line`, a record, as comma-separated values (RFC 4180), with the time of this host.
pub(super) fn csv(line: &Line<'_>, now: &Zoned) -> String {
    let time = line.time().and_then(|time| Timestamp::from_millisecond(time).ok());
    let time = time.map(|at| at.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
    let mut out = time.unwrap_or_default();
    for (_, field) in VALUES {
        let value = match field {
            Field::To => line.list(field).join(" "),
            Field::Status => line.status().name().to_owned(),
            field => match line.number(field) {
                Some(number) => number.to_string(),
                None => line.text(field).unwrap_or_default().into_owned(),
            },
        };
        out.push(',');
        out += &cell(&value);
    }
    out + "\r\n"
}

/// One value. A spreadsheet takes none for a formula, and a quotation mark ends none.
fn cell(value: &str) -> String {
    let value = printable(value.as_bytes(), TEXT * 64);
    let is_formula =
        value.starts_with(['=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    let value = if is_formula { format!("'{value}") } else { value };
    match value.contains([',', '"', ' ', ';', '\'']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value,
    }
}

/// `line` as it stands in its file, with nothing in it that a terminal obeys: that is escaped as JSON has it.
pub(in crate::tools) fn json(line: &Line<'_>) -> String {
    door::harmless_json(&String::from_utf8_lossy(line.octets())) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::is_hidden;

    fn now() -> Zoned {
        "2026-11-27T10:00:00+01:00[+01:00]".parse().expect("a time")
    }

    const PLAIN: &str = r#"{"v":1,"time":"2026-11-27T09:15:02.500Z","id":"5cc24c00aa11","status":"refused","site":"shop","uid":33,"user":"www-data","relay":"main","from":"shop@shop.example","to":["ann@example.org","bob@example.org"],"code":550,"text":"5.1.1 no such user","ms":412,"exit":150}"#;

    /// What a site may write into its own file.
    const HOSTILE: &str = "{\"v\":1,\"time\":\"x\",\"id\":\"\\u001b]0;x\\u0007\",\"site\":\"=cmd|' /C calc'!A0\",\"from\":\"+1\\\",\\n@x\",\"to\":[\"\\u202egpj.exe\"],\"text\":\"\u{1b}[2J\u{9b}31m\",\"uid\":33}";

    #[test]
    fn a_row_fits_eighty_and_a_hundred_and_twenty_columns() {
        let line = Line::read(PLAIN.as_bytes()).expect("a record");
        for (width, time) in
            [(Some(80), "11-27 10:15:02+01"), (Some(120), "2026-11-27 10:15:02+01"), (None, "2026-11-27 10:15:02+01")]
        {
            let rows = Rows::of(&now(), width, false);
            let row = rows.row(&line);
            let layout = rows.layout(&[rows.row(&line)]);
            let text = rows.line(&layout, &row, false);
            assert!(text.starts_with(time) && text.contains("550 refused") && text.contains("412"), "{text}");
            assert!(width.is_none_or(|width| text.trim_end().chars().count() <= width), "{text}");
            let coloured = rows.line(&layout, &row, true);
            assert!(coloured.contains("\x1b[31m550 refused\x1b[0m"), "{coloured}");
            assert_eq!(coloured.replace("\x1b[31m", "").replace("\x1b[0m", ""), text);
        }
    }

    #[test]
    fn nothing_that_was_written_moves_a_terminal_or_counts_in_a_spreadsheet() {
        let line = Line::read(HOSTILE.as_bytes()).expect("a record");
        let rows = Rows::of(&now(), Some(80), true);
        let row = rows.row(&line);
        let text = rows.line(&rows.layout(&[]), &row, false);
        assert!(!text.trim_end().contains(is_hidden), "{text:?}");
        let csv = csv(&line, &now());
        assert!(csv.contains(",\"'=cmd|' /C calc'!A0\",") && csv.contains(",\"'+1\"\",?@x\","), "{csv}");
        assert!(!csv.trim_end().contains(is_hidden), "{csv:?}");
        let json = json(&line);
        assert!(!json.trim_end().contains(is_hidden), "{json:?}");
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }

    #[test]
    fn a_line_has_a_value_for_each_heading() {
        let line = Line::read(PLAIN.as_bytes()).expect("a record");
        let csv = csv(&line, &now());
        assert!(csv.starts_with("2026-11-27T10:15:02+01:00,5cc24c00aa11,shop,33,www-data,"), "{csv}");
        assert_eq!(csv.matches(',').count(), csv_head().matches(',').count());
        assert!(
            csv.ends_with("\r\n") && csv.contains(",\"ann@example.org bob@example.org\",refused,550,,150,"),
            "{csv}"
        );
    }
}
