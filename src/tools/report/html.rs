//! The report as a page: one file, no script, nothing loaded from anywhere. Every mail reader shows tables with colours,
//! so the charts are such, and each number that a bar stands for is written beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Zoned;
use jiff::civil::Date;

use crate::journal::StatusWord;
use crate::tools::log::summary::{
    DAYS, REASONS, ROWS, figures, headings, hours_and_days, others, span, thousands, told, took,
};
use crate::tools::log::tally::{Group, Slot, Tally};
use crate::tools::table::shown;

const GOOD: &str = "#2f7d5b";
const BAD: &str = "#c8501e";
const TRACK: &str = "#e7e9ec";
const FAINT: &str = "#5d6670";
/// The height of the tallest bar of an hour, in pixels.
const TALL: u64 = 64;

/// What readers of mail that know no style sheet do without: a narrow screen, and a dark one.
const STYLE: &str = "\
:root{color-scheme:light dark}
@media (max-width:600px){.box{padding:14px 10px!important}h1{font-size:20px!important}\
.figure td{display:inline-block!important;width:46%!important;padding-right:0!important}}
@media (prefers-color-scheme:dark){body,.page{background:#15181b!important;color:#e6e8ea!important}\
.box{background:#1e2226!important}.faint{color:#a2abb4!important}td,th{border-color:#394047!important}\
.track{background:#394047!important}}
";

/// The page.
pub(super) fn page(tally: &Tally, now: &Zoned, host: &str) -> String {
    let total = tally.total();
    let title = format!("Mail from {}", escaped(host));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body style=\"margin:0;padding:0;background:#f4f5f7;color:#1c2126\">\n\
         <table role=\"presentation\" class=\"page\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" \
         style=\"table-layout:fixed;background:#f4f5f7;font-family:Helvetica,Arial,sans-serif;font-size:15px;line-height:1.45\">\
         <tr><td align=\"center\" style=\"padding:16px 8px\">\n\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"table-layout:fixed;max-width:720px\">\
         <tr><td class=\"box\" style=\"background:#ffffff;padding:24px;border-radius:8px\">\n\
         <h1 style=\"margin:0 0 4px;font-size:24px;font-weight:600\">{title}</h1>\n\
         <p class=\"faint\" style=\"margin:0 0 20px;color:{FAINT}\">{}</p>\n",
        escaped(&span(tally, &total, now)),
    );
    if total.all() == 0 {
        out += "<p>No message was recorded in this time.</p>\n";
    } else {
        out += &numbers(&total);
        let (by_hour, by_day) = hours_and_days(tally, now);
        out += &days(&by_day);
        out += &hours(&by_hour);
        out += &groups(tally, &total);
        out += &reasons(tally);
    }
    let _ = writeln!(
        out,
        "<p class=\"faint\" style=\"margin:24px 0 0;font-size:13px;color:{FAINT}\">mailchute report, {}. \
         <code>mailchute log</code> on this host finds each message.</p>\n\
         </td></tr></table>\n</td></tr></table>\n</body>\n</html>",
        now.strftime("%Y-%m-%d %H:%M")
    );
    out
}

fn heading(text: &str) -> String {
    format!("<h2 style=\"margin:24px 0 8px;font-size:17px;font-weight:600\">{text}</h2>\n")
}

/// The four numbers that most are after.
fn numbers(total: &Group) -> String {
    let bad = total.not_accepted();
    let median = total.quantile(0.5).map_or_else(|| "-".to_owned(), took);
    let cells = [
        (thousands(total.count(StatusWord::Accepted)), "accepted", GOOD),
        (thousands(bad), "not accepted", if bad > 0 { BAD } else { FAINT }),
        (thousands(total.waiting), "waiting", FAINT),
        (median, "typical time", FAINT),
    ];
    let cell = |(number, name, colour): (String, &str, &str)| {
        format!(
            "<td width=\"25%\" style=\"padding:4px 16px 4px 0;white-space:nowrap\"><span style=\"font-size:26px;font-weight:600;\
             color:{colour}\">{number}</span><br><span class=\"faint\" style=\"color:{FAINT}\">{name}</span></td>"
        )
    };
    let row: String = cells.into_iter().map(cell).collect();
    format!("<table class=\"figure\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\"><tr>{row}</tr></table>\n")
}

/// How much of `most` that is, in hundredths; what there is, is seen.
fn part(count: u64, most: u64) -> u64 {
    if count == 0 { 0 } else { (count * 100 / most.max(1)).clamp(1, 100) }
}

/// A bar for each day: what went well, and what did not.
fn days(days: &BTreeMap<Date, Slot>) -> String {
    let skipped = days.len().saturating_sub(DAYS);
    let most = days.values().skip(skipped).map(|slot| slot.all.max(slot.bad)).max().unwrap_or(1).max(1);
    let mut out = heading("Days");
    if skipped > 0 {
        let _ = writeln!(out, "<p class=\"faint\" style=\"color:{FAINT}\">{skipped} more before these</p>");
    }
    out += "<table width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"font-size:14px\">\n";
    for (date, slot) in days.iter().skip(skipped) {
        let bad = slot.bad.min(slot.all);
        let (of_bad, of_good) = (part(bad, most), part(slot.all - bad, most));
        let rest = 100_u64.saturating_sub(of_bad + of_good);
        let bar = |share: u64, colour: &str, class: &str| match share {
            0 => String::new(),
            share => format!(
                "<td class=\"{class}\" width=\"{share}%\" height=\"14\" bgcolor=\"{colour}\" style=\"background:{colour};\
                 font-size:0;line-height:0\">&nbsp;</td>"
            ),
        };
        let told = match bad {
            0 => thousands(slot.all),
            bad => format!("{}, {} not", thousands(slot.all), thousands(bad)),
        };
        let _ = writeln!(
            out,
            "<tr><td width=\"92\" style=\"white-space:nowrap;padding:2px 8px 2px 0\">{}</td><td>\
             <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\"><tr>{}{}{}</tr></table></td>\
             <td width=\"110\" align=\"right\" style=\"white-space:nowrap;padding:2px 0 2px 8px\">{told}</td></tr>",
            date.strftime("%a %d %b"),
            bar(of_good, GOOD, ""),
            bar(of_bad, BAD, ""),
            bar(rest, TRACK, "track"),
        );
    }
    out + &format!(
        "</table>\n<p class=\"faint\" style=\"margin:6px 0 0;font-size:13px;color:{FAINT}\">\
         <span style=\"color:{GOOD}\">&#9632;</span> went well \
         <span style=\"color:{BAD}\">&#9632;</span> refused, deferred, failed or in doubt</p>\n"
    )
}

/// A column for each hour of the day.
fn hours(hours: &[u64; 24]) -> String {
    let most = hours.iter().copied().max().unwrap_or(0).max(1);
    let column = |count: &u64| {
        let height = if *count == 0 { 1 } else { (count * TALL / most).max(2) };
        let (colour, class) = if *count == 0 { (TRACK, " class=\"track\"") } else { (GOOD, "") };
        format!(
            "<td valign=\"bottom\" width=\"4%\" style=\"padding:0 1px\"><table role=\"presentation\" width=\"100%\" \
             cellpadding=\"0\" cellspacing=\"0\"><tr><td{class} height=\"{height}\" bgcolor=\"{colour}\" \
             style=\"background:{colour};height:{height}px;font-size:0;line-height:0\" title=\"{}\">&nbsp;</td></tr>\
             </table></td>",
            thousands(*count)
        )
    };
    let columns: String = hours.iter().map(column).collect();
    let names: String = (0..24)
        .step_by(3)
        .map(|hour| {
            format!(
                "<td colspan=\"3\" class=\"faint\" style=\"padding:2px 1px;font-size:12px;color:{FAINT}\">{hour}</td>"
            )
        })
        .collect();
    heading(&format!(
        "Hours of the day <span class=\"faint\" style=\"font-weight:400;font-size:14px;color:{FAINT}\">\
         most in one: {}</span>",
        thousands(most)
    )) + &format!(
        "<table width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"table-layout:fixed\"><tr height=\"{TALL}\">\
             {columns}</tr><tr>{names}</tr></table>\n"
    )
}

/// The numbers of each site and relay.
fn groups(tally: &Tally, total: &Group) -> String {
    let head = ["SITE", "RELAY"].into_iter().chain(headings()).map(capital);
    let border = "border-bottom:1px solid #dfe2e6;padding:5px 10px 5px 0;white-space:nowrap";
    let cell = |kind: &str, at: usize, text: &str| {
        let align = if at < 2 { "left" } else { "right" };
        format!("<{kind} align=\"{align}\" style=\"{border}\">{}</{kind}>", escaped(text))
    };
    let row = |names: [String; 2], group: &Group| {
        let cells = names.into_iter().chain(figures(group));
        format!("<tr>{}</tr>\n", cells.enumerate().map(|(at, text)| cell("td", at, &text)).collect::<String>())
    };
    let mut out = heading("Sites and relays")
        + "<div style=\"overflow-x:auto\"><table cellpadding=\"0\" cellspacing=\"0\" style=\"border-collapse:collapse;\
           font-size:14px\">\n<tr>";
    out.extend(head.enumerate().map(|(at, text)| cell("th", at, &text)));
    out += "</tr>\n";
    let every = tally.groups();
    for (names, group) in every.iter().take(ROWS) {
        let name = |at: usize| names.get(at).map(|name| shown(name)).unwrap_or_default();
        out += &row([name(0), name(1)], group);
    }
    if every.len() > 1 {
        out += &row(["all".to_owned(), String::new()], total);
    }
    out += "</table></div>\n";
    if every.len() > ROWS {
        let _ = writeln!(out, "<p class=\"faint\" style=\"color:{FAINT}\">and {} more</p>", every.len() - ROWS);
    }
    out
}

/// Why messages were not accepted, and what to do about it.
fn reasons(tally: &Tally) -> String {
    let reasons = tally.reasons();
    if reasons.is_empty() {
        return String::new();
    }
    let mut out = heading("Why messages were not accepted") + "<table cellpadding=\"0\" cellspacing=\"0\">\n";
    for reason in reasons.iter().take(REASONS) {
        let hint = match reason.hint.as_str() {
            "" => String::new(),
            hint => {
                format!("<br><span class=\"faint\" style=\"color:{FAINT}\">&rarr; {}</span>", escaped(&shown(hint)))
            }
        };
        let _ = writeln!(
            out,
            "<tr><td align=\"right\" valign=\"top\" style=\"padding:3px 12px 3px 0;font-weight:600\">{}</td>\
             <td style=\"padding:3px 0;overflow-wrap:anywhere\">{}{hint}</td></tr>",
            thousands(reason.count),
            escaped(&told(reason)),
        );
    }
    if let Some((count, others)) = others(&reasons) {
        let _ = writeln!(
            out,
            "<tr><td align=\"right\" style=\"padding:3px 12px 3px 0\">{}</td><td class=\"faint\" style=\"color:{FAINT}\">\
             {others}</td></tr>",
            thousands(count),
        );
    }
    out + "</table>\n"
}

/// `IN DOUBT` as `In doubt`.
fn capital(name: &str) -> String {
    let lower = name.to_lowercase();
    lower[..1].to_uppercase() + &lower[1..]
}

/// A text between tags or quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::read::Line;
    use crate::tools::log::tally::By;

    /// The figures of these records, each of which is `status`, code, text, site, day and hour.
    fn tally(records: &[(&str, u16, &str, &str, u8, u8)]) -> Tally {
        let mut tally = Tally::default();
        for (number, (status, code, text, site, day, hour)) in records.iter().enumerate() {
            let line = serde_json::json!({
                "v": 1, "time": format!("2026-11-{day:02}T{hour:02}:00:00.000Z"), "id": number.to_string(),
                "status": status, "site": site, "relay": "main", "code": code, "text": text, "hint": "do <this>",
                "ms": 12, "exit": 0,
            });
            tally.add(&Line::read(line.to_string().as_bytes()).expect("a record"), By::SiteAndRelay);
        }
        Tally::all(vec![tally])
    }

    fn page_of(records: &[(&str, u16, &str, &str, u8, u8)]) -> String {
        let now: Zoned = "2026-11-27T10:00:00+00:00[+00:00]".parse().expect("a time");
        page(&tally(records), &now, "web1.example.net")
    }

    #[test]
    fn it_tells_what_happened_and_loads_nothing() {
        let page = page_of(&[
            ("accepted", 250, "ok", "shop", 26, 9),
            ("accepted", 250, "ok", "shop", 27, 9),
            ("refused", 550, "no such user", "blog", 27, 10),
        ]);
        for part in [
            "<h1 ",
            "Mail from web1.example.net",
            ">2</span><br><span class=\"faint\"",
            "accepted</span>",
            "Fri 27 Nov",
            "2, 1 not</td>",
            "550 no such user (main)",
            "&rarr; do &lt;this&gt;",
            ">blog</td>",
            ">In doubt</th>",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        for foreign in ["http:", "https:", "src=", "<script", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        // Tags are closed.
        for tag in ["table", "tr", "td", "th", "div", "span", "p", "h1", "h2"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(page_of(&[]).contains("No message was recorded in this time."));
        let reasons: Vec<_> = (550..558).map(|code| ("refused", code, "no", "shop", 27, 10)).collect();
        for (count, told) in [(5, ""), (6, "for 1 other reason<"), (8, "for 3 other reasons<")] {
            let page = page_of(&reasons[..count]);
            assert_eq!(page.contains(" other reason"), !told.is_empty(), "{count}");
            assert!(page.contains(told), "{count}: {page}");
        }
    }

    #[test]
    fn what_others_wrote_is_text() {
        let hostile = "<script>alert(1)</script>\u{202e}\u{1b}[31m\" onmouseover=\"x & 'y'";
        let page = page_of(&[("refused", 550, hostile, hostile, 27, 10)]);
        assert!(!page.contains("<script") && !page.contains("onmouseover=\"") && !page.contains('\u{1b}'), "{page}");
        assert!(!page.contains('\u{202e}') && page.contains("&lt;script&gt;alert(1)"), "{page}");
    }
}
