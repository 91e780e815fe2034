//! A table that fits its terminal.

use crate::reply::printable;

/// The longest text of a cell, in octets.
pub(super) const TEXT: usize = 1024;

/// A text that somebody else wrote, for a terminal.
pub(super) fn shown(text: &str) -> String {
    printable(text.as_bytes(), TEXT)
}

/// Writes `text` behind `start`, over as many lines of at most `width` characters as it takes, the others set in as far.
pub(super) fn wrapped(out: &mut String, start: &str, text: &str, width: usize) {
    let indent = start.chars().count();
    let mut line = start.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// One column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    /// Its heading.
    pub(super) name: &'static str,
    /// Numbers stand at the right.
    pub(super) is_right: bool,
    /// How narrow it may become, in characters; `usize::MAX`: it keeps its width.
    pub(super) least: usize,
}

/// A column that keeps its width.
pub(super) const fn fixed(name: &'static str, is_right: bool) -> Column {
    Column { name, is_right, least: usize::MAX }
}

/// A column that gives way when there is too little room, down to `least` characters.
pub(super) const fn flexible(name: &'static str, least: usize) -> Column {
    Column { name, is_right: false, least }
}

/// Characters between two columns.
const GAP: usize = 2;

/// The widths of the columns.
pub(super) struct Layout {
    columns: Vec<Column>,
    widths: Vec<usize>,
    /// Characters between two columns.
    gap: usize,
}

impl Layout {
    /// The widths that `rows` need, no line longer than `width` where that can be; `None`: as wide as they like.
    pub(super) fn fit(columns: Vec<Column>, rows: &[&[String]], width: Option<usize>, gap: usize) -> Self {
        let mut widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| rows.iter().map(|row| length(&row[at])).max().unwrap_or(0).max(length(column.name)))
            .collect();
        if let Some(width) = width {
            let total: usize = widths.iter().sum::<usize>() + gap * columns.len().saturating_sub(1);
            let mut excess = total.saturating_sub(width);
            // The widest gives way first.
            while excess > 0 {
                let can = |at: &usize| widths[*at] > columns[*at].least;
                let Some(at) = (0..columns.len()).filter(can).max_by_key(|&at| widths[at]) else { break };
                widths[at] -= 1;
                excess -= 1;
            }
        }
        Self { columns, widths, gap }
    }

    /// The line of headings.
    pub(super) fn head(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| column.name.to_owned()).collect();
        self.line(&names, |_, text| text.to_owned())
    }

    /// A line of `cells`, each cut to its width and then put through `paint` with its number.
    pub(super) fn line(&self, cells: &[String], paint: impl Fn(usize, &str) -> String) -> String {
        let mut text = String::new();
        let mut blanks = 0;
        for (at, ((cell, column), &width)) in cells.iter().zip(&self.columns).zip(&self.widths).enumerate() {
            let cell = cut(cell, width);
            let padding = width - length(&cell);
            let (before, behind) = if column.is_right { (padding, 0) } else { (0, padding) };
            if !cell.is_empty() {
                text.push_str(&" ".repeat(blanks + before));
                text.push_str(&paint(at, &cell));
                blanks = 0;
            } else {
                blanks += before;
            }
            blanks += behind + self.gap;
        }
        text.push('\n');
        text
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The table of `rows` under its headings, no line longer than `width` where that can be; `None`: as wide as it likes.
pub(super) fn text(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let cells: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
    let layout = Layout::fit(columns.to_vec(), &cells, width, GAP);
    layout.head() + &rows.iter().map(|row| layout.line(row, |_, text| text.to_owned())).collect::<String>()
}

/// `text` in at most `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_or_says_everything() {
        let columns = [fixed("ID", false), fixed("N", true), flexible("TO", 6), flexible("WHY", 4)];
        let rows = [
            vec!["a1".to_owned(), "7".to_owned(), "bob@example.org".to_owned(), "451 later".to_owned()],
            vec!["b".to_owned(), "1000".to_owned(), "x".to_owned(), String::new()],
        ];
        assert_eq!(
            text(&columns, &rows, None),
            "ID     N  TO               WHY\na1     7  bob@example.org  451 later\nb   1000  x\n"
        );
        assert_eq!(
            text(&columns, &rows, Some(27)),
            "ID     N  TO        WHY\na1     7  bob@exa\u{2026}  451 la\u{2026}\nb   1000  x\n"
        );
        let narrow = text(&columns, &rows, Some(5));
        assert_eq!(narrow.lines().nth(1), Some("a1     7  bob@e\u{2026}  451\u{2026}"));
    }
}
