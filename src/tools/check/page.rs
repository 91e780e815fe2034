//! How it is printed: a line a finding, words for grades, the next step in a line to copy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Seen, json};
use crate::cli::check::Check;
use crate::deadline::seconds;
use crate::door;
use crate::door::page::{Colour, Page};
use crate::failure::Failure;
use crate::finding::{Finding, Grade, Section};
use crate::tools::table::wrapped;

/// The longest line, but for those to copy, in characters.
const WIDTH: usize = 100;
/// The columns before the grade and before the text.
const LABEL: usize = 14;
const GRADE: usize = 8;
/// How many findings with one code are printed under a label.
const ALIKE: usize = 5;

/// Prints what was seen.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(of: &Check, seen: &Seen, took: Duration) -> Result<(), Failure> {
    let findings = || seen.sections.iter().flat_map(|section| &section.findings);
    if of.json {
        let with_site = |section: &Section| {
            let of_section = |finding: &Finding| Finding {
                site: finding.site.clone().or_else(|| section.site.clone()),
                ..finding.clone()
            };
            section.findings.iter().map(of_section).collect::<Vec<_>>()
        };
        let all: Vec<Finding> = seen.sections.iter().flat_map(with_site).collect();
        return door::print(&json::of_findings(all.iter()));
    }
    if of.quiet && findings().all(|finding| finding.grade < Grade::Broken) {
        return Ok(());
    }
    let page = Page::open(false);
    let mut writer =
        Writer { text: String::new(), is_coloured: page.is_coloured, is_verbose: of.verbose, last: String::new() };
    if !of.quiet {
        writer.paragraph("", &seen.title);
        writer.text.push('\n');
    }
    let least = if of.quiet { Some(Grade::Broken) } else { None };
    let mut site: Option<&str> = None;
    for section in &seen.sections {
        let is_told = section.findings.iter().any(|finding| Some(finding.grade) >= least)
            || (least.is_none() && !section.fine.is_empty());
        if is_told && section.site.as_deref() != site {
            site = section.site.as_deref();
            if let Some((name, about)) = seen.sites.iter().find(|(name, _)| Some(name.as_str()) == site) {
                writer.heading(name, about);
            }
        }
        writer.section(section, least, section.site.is_some());
    }
    if !of.quiet {
        let count = |grade| findings().filter(|finding| finding.grade == grade).count();
        let (broken, weak, notes) = (count(Grade::Broken), count(Grade::Weak), count(Grade::Note));
        let plural = if notes == 1 { "" } else { "s" };
        let more = if of.verbose { "" } else { ".  mailchute check -v shows codes and what each is built on" };
        let asked = match seen.asked.questions {
            0 => String::new(),
            1 => ", 1 question to name servers".to_owned(),
            count => format!(", {count} questions to name servers"),
        };
        if of.verbose {
            writer.answers(&seen.asked.answers);
        }
        writer.text.push('\n');
        let summary = format!("{broken} broken, {weak} weak, {notes} note{plural} ({}{asked}){more}", seconds(took));
        writer.paragraph("", &summary);
    }
    door::print(&writer.text)
}

struct Writer {
    text: String,
    is_coloured: bool,
    is_verbose: bool,
    /// The label that was written last: it stands once before the lines that it covers.
    last: String,
}

impl Writer {
    fn heading(&mut self, site: &str, about: &str) {
        self.paragraph(&format!("{:<LABEL$}", format!("site {site}")), &format!("({about})"));
        self.last.clear();
    }

    fn section(&mut self, section: &Section, least: Option<Grade>, is_inside: bool) {
        let label = if is_inside { format!("  {}", section.label) } else { section.label.clone() };
        if least.is_none() {
            for fine in &section.fine {
                self.row(&label, "ok", Colour::Good, fine);
            }
        }
        let told: Vec<&Finding> = section.findings.iter().filter(|finding| Some(finding.grade) >= least).collect();
        let mut left: BTreeMap<(&str, Grade), usize> = BTreeMap::new();
        told.iter().for_each(|finding| *left.entry((finding.code.word, finding.grade)).or_default() += 1);
        let mut before: BTreeMap<(&str, Grade), usize> = BTreeMap::new();
        for finding in told {
            let kind = (finding.code.word, finding.grade);
            let count = before.entry(kind).or_default();
            *count += 1;
            // Of hundreds of pools that are alike, a few are enough.
            if *count > ALIKE && !self.is_verbose {
                if *count == ALIKE + 1 {
                    let more = left[&kind] - ALIKE;
                    self.row(&label, "", Colour::Open, &format!("and {more} more like these; check -v shows them all"));
                }
                continue;
            }
            let colour = match finding.grade {
                Grade::Broken => Colour::Bad,
                Grade::Weak | Grade::Note => Colour::Open,
            };
            let code = if self.is_verbose { format!("  [{}]", finding.code.word) } else { String::new() };
            self.row(&label, finding.grade.word(), colour, &format!("{finding}{code}"));
            let indent = " ".repeat(LABEL + GRADE);
            if let Some(next) = &finding.next {
                self.text.push_str(&format!("{indent}-> {next}\n"));
            }
            if self.is_verbose {
                for line in &finding.evidence {
                    self.paragraph(&format!("{indent}   "), line);
                }
            }
        }
    }

    /// What name servers said.
    fn answers(&mut self, answers: &[String]) {
        for (index, answer) in answers.iter().enumerate() {
            self.paragraph(&format!("{:<LABEL$}", if index == 0 { "name servers" } else { "" }), answer);
        }
    }

    fn row(&mut self, label: &str, word: &str, colour: Colour, text: &str) {
        let shown = if self.last == label { "" } else { label };
        // Room for the spaces behind it is made before it is coloured.
        let padding = " ".repeat(GRADE.saturating_sub(word.len()));
        let grade = if self.is_coloured { colour.paint(word) } else { word.to_owned() };
        let long = shown.chars().count() >= LABEL;
        if long {
            self.text.push_str(&format!("{shown}\n"));
        }
        let start = format!("{:<LABEL$}", if long { "" } else { shown });
        let first = self.text.len();
        self.paragraph(&format!("{start}{word}{padding}"), text);
        self.text.replace_range(first + start.len()..first + start.len() + word.len(), &grade);
        label.clone_into(&mut self.last);
    }

    /// Text behind `start`, over as many lines as it takes, the others set in as far.
    fn paragraph(&mut self, start: &str, text: &str) {
        wrapped(&mut self.text, start, text, WIDTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    #[test]
    fn lines_are_no_longer_than_a_page_but_for_those_to_copy() {
        let mut writer = Writer { text: String::new(), is_coloured: false, is_verbose: true, last: String::new() };
        let command = "x".repeat(150);
        let mut section = Section { fine: vec!["word ".repeat(60)], ..Section::new("PHP") };
        section.findings.push(Finding::new(&codes::PHP_EMPTY_PATH, "8.2 fpm", "word ".repeat(60)).run(&command));
        writer.section(&section, None, false);
        let (copied, lines): (Vec<&str>, Vec<&str>) = writer.text.lines().partition(|line| line.contains("->"));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')), "{}", writer.text);
        assert_eq!(copied, [format!("{}-> {command}", " ".repeat(LABEL + GRADE))]);
        assert_eq!(writer.text.matches("PHP").count(), 1, "{}", writer.text);
        assert!(writer.text.contains("[php.empty-path]"));
    }

    #[test]
    fn of_many_that_are_alike_a_few_are_printed() {
        let written = |is_verbose| {
            let mut writer = Writer { text: String::new(), is_coloured: false, is_verbose, last: String::new() };
            let note = |index| Finding::new(&codes::PHP_FIXED_SENDER, format!("pool {index}"), "x");
            let mut section = Section { findings: (0..500).map(note).collect(), ..Section::new("PHP") };
            section.findings.push(Finding::new(&codes::PHP_EMPTY_PATH, "other", "y"));
            writer.section(&section, None, false);
            writer.text
        };
        let text = written(false);
        assert_eq!(text.lines().count(), ALIKE + 2, "{text}");
        assert!(text.contains("and 495 more like these") && text.contains("other: y"), "{text}");
        assert_eq!(written(true).lines().count(), 501);
    }

    #[test]
    fn colours_change_no_place_and_no_word() {
        let written = |is_coloured| {
            let mut writer = Writer { text: String::new(), is_coloured, is_verbose: false, last: String::new() };
            writer.section(&Section { fine: vec!["a".to_owned()], ..Section::new("PHP") }, None, true);
            writer.text
        };
        assert_eq!(written(false), "  PHP         ok      a\n");
        assert_eq!(written(true), "  PHP         \x1b[32mok\x1b[0m      a\n");
    }
}
