//! A table that fits its terminal.

/// One column.
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

/// The table of `rows` under its headings, no line longer than `width` where that can be; `None`: as wide as it likes.
pub(super) fn text(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let length = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| rows.iter().map(|row| length(&row[at])).max().unwrap_or(0).max(length(column.name)))
        .collect();
    if let Some(width) = width {
        let total: usize = widths.iter().sum::<usize>() + GAP * columns.len().saturating_sub(1);
        let mut excess = total.saturating_sub(width);
        // The widest gives way first.
        while excess > 0 {
            let can = |at: &usize| widths[*at] > columns[*at].least;
            let Some(at) = (0..columns.len()).filter(can).max_by_key(|&at| widths[at]) else { break };
            widths[at] -= 1;
            excess -= 1;
        }
    }
    let mut out = String::new();
    let mut line = |cells: &[&str]| {
        let mut text = String::new();
        for ((cell, column), &width) in cells.iter().zip(columns).zip(&widths) {
            let cell = cut(cell, width);
            let padding = " ".repeat(width - length(&cell));
            match column.is_right {
                true => text.extend([padding.as_str(), &cell]),
                false => text.extend([cell.as_str(), &padding]),
            }
            text.push_str("  ");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&columns.iter().map(|column| column.name).collect::<Vec<_>>());
    for row in rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

/// `text` in at most `width` characters.
fn cut(text: &str, width: usize) -> String {
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
