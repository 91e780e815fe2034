//! `mailchute bans`: who is banned, until when and why.

use crate::caller::Caller;
use crate::cli::ListBans;
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::limit::ban::{self, Ban, Banned, By, clock};
use crate::plan::{Choice, Course};
use crate::reply::printable;
use crate::tools::culprits;
use crate::tools::table::{self, fixed, flexible};

/// The longest text of a cell, in octets.
const TEXT: usize = 400;

/// Prints them: to root all, to anybody else those of the sites that this user may send as.
///
/// # Errors
/// They cannot be read, or standard output not be written.
pub(crate) fn run(choice: &Choice, words: &ListBans) -> Result<u8, Failure> {
    let caller = Caller::current();
    let mut bans = match caller.uid {
        0 => ban::all()?,
        uid => ban::of_user(Course::begin(&caller, choice).config()?, uid)?,
    };
    if let Some(name) = &words.name {
        bans.retain(|ban| matches!(&ban.of, Banned::Site(site) if site == name));
    }
    let text = match (words.json, bans.is_empty(), &words.name) {
        (true, ..) => json(&bans)?,
        (_, true, None) => "nobody is banned\n".to_owned(),
        (_, false, None) => rows(&bans),
        (_, is_free, Some(name)) => {
            let what = printable(name.as_bytes(), TEXT);
            let ban = if is_free { format!("site {what} is not banned\n") } else { rows(&bans) };
            ban + &culprits::told(&Banned::Site(name.clone()), caller.uid)
        }
    };
    door::print(&text)?;
    Ok(exit::OK)
}

fn json(bans: &[Ban]) -> Result<String, Failure> {
    let mut text = String::new();
    for ban in bans {
        let line = serde_json::to_string(ban);
        text += &line.map_err(|error| Failure::new(Kind::Software, "JSON", error.to_string()))?;
        text.push('\n');
    }
    Ok(door::harmless_json(&text))
}

fn rows(bans: &[Ban]) -> String {
    let columns = [
        fixed("BANNED", false),
        fixed("SINCE", false),
        fixed("UNTIL", false),
        fixed("BY", false),
        flexible("BECAUSE", 12),
    ];
    let time = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), clock);
    let row = |ban: &Ban| {
        let because = ban.because.as_deref().unwrap_or_default();
        let since = Some(ban.since).filter(|since| *since > 0);
        vec![ban.of.to_string(), time(since), time(ban.until), by(ban), printable(because.as_bytes(), TEXT)]
    };
    table::text(&columns, &bans.iter().map(row).collect::<Vec<_>>(), door::width())
}

/// Who set it.
fn by(ban: &Ban) -> String {
    match (ban.by, ban.uid) {
        (By::Root, _) => "root".to_owned(),
        (By::OverLimit, None) => "over_limit".to_owned(),
        (By::OverLimit, Some(uid)) => format!("over_limit, uid {uid}"),
    }
}
