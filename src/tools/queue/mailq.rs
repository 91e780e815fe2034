//! `mailq` and `-bp`, in the form that Postfix made known: what reads it counts the lines and looks at the last.

use jiff::Timestamp;

use super::row::{Fate, Row};
use crate::host;
use crate::tools::table::shown;

/// What waits and what is held. What was given up is in no queue.
pub(super) fn text(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.state != Fate::Failed).collect();
    if rows.is_empty() {
        return "Mail queue is empty\n".to_owned();
    }
    let zone = host::now().time_zone().clone();
    let mut out = "-Queue ID-    --Size-- ----Arrival Time---- -Sender/Recipient-------\n".to_owned();
    for row in &rows {
        let mark = match row.state {
            Fate::Sending => "*",
            Fate::Held | Fate::InDoubt => "!",
            Fate::Waiting | Fate::Failed | Fate::Sent => " ",
        };
        let taken = Timestamp::from_second(row.created).unwrap_or_default().to_zoned(zone.clone());
        let sender = if row.from.is_empty() { "MAILER-DAEMON".to_owned() } else { shown(&row.from) };
        let id = format!("{}{mark}", shown(&row.id));
        out += &format!("{id:<13} {:>8} {:>20} {sender}\n", row.size, taken.strftime("%a %b %e %H:%M:%S").to_string());
        if !row.why.is_empty() {
            out += &format!("{:>8}({})\n", "", shown(&row.why));
        }
        for recipient in &row.to {
            out += &format!("{:>44}{}\n", "", shown(recipient));
        }
        out.push('\n');
    }
    let size: u64 = rows.iter().map(|row| row.size).sum();
    let plural = if rows.len() == 1 { "" } else { "s" };
    out + &format!("-- {} Kbytes in {} Request{plural}.\n", size.div_ceil(1024), rows.len())
}
