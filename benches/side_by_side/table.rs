//! Medians, ratios and the printed tables.

use std::fmt::Write as _;
use std::time::Duration;

use crate::contender::Contender;
use crate::scenario::{Scenario, Target};

/// One run of one contender.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Seconds.
    pub(crate) wall: f64,
    /// User and system seconds, children included.
    pub(crate) cpu: f64,
    /// Octets.
    pub(crate) peak: f64,
    /// Per connection, as the server counted them.
    pub(crate) round_trips: f64,
    /// Octets that reached the server per octet of message.
    pub(crate) wire: f64,
    /// Only under callgrind.
    pub(crate) instructions: f64,
}

/// All runs of one contender in one scenario.
pub(crate) struct Row {
    pub(crate) contender: Contender,
    pub(crate) runs: Vec<Run>,
    pub(crate) failed: usize,
}

impl Row {
    fn median(&self, of: fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(of).collect())
    }
}

fn wall(run: &Run) -> f64 {
    run.wall
}

fn cpu(run: &Run) -> f64 {
    run.cpu
}

/// The table of one scenario and its targets.
pub(crate) fn render(scenario: &Scenario, rows: &[Row]) -> String {
    let mut text = format!("\n{} ({})\n", scenario.title, scenario.name);
    let mut cells = vec![heading(scenario)];
    cells.extend(rows.iter().map(|row| line(scenario, row, rows)));
    for (number, line) in cells.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
            let _ = if column == 0 { write!(text, "  {cell:<width$}") } else { write!(text, "   {cell:>width$}") };
        }
        text.push('\n');
        if number == 0 {
            let width = text.lines().last().map_or(0, |line| line.chars().count());
            let _ = writeln!(text, "  {}", "-".repeat(width - 2));
        }
    }
    for target in scenario.targets {
        text += &judge(target, rows);
    }
    text
}

fn heading(scenario: &Scenario) -> Vec<String> {
    let words: &[&str] = if scenario.instructions {
        &["", "M instructions", "x msmtp"]
    } else {
        &["", "wall ms", "x msmtp", "pairwise", "CPU ms", "x msmtp", "peak MB", "round trips"]
    };
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    if scenario.round_trip > Duration::ZERO {
        words.push("wall in round trips".to_owned());
    }
    if scenario.size > 1 << 20 {
        words.push("wire per octet".to_owned());
    }
    words.push("failed".to_owned());
    words
}

fn line(scenario: &Scenario, row: &Row, rows: &[Row]) -> Vec<String> {
    let msmtp = rows.iter().find(|row| row.contender == Contender::Msmtp);
    let against = |of: fn(&Run) -> f64| number(msmtp.map(|msmtp| row.median(of) / msmtp.median(of)), 3);
    let mut cells = vec![row.contender.name().to_owned()];
    if scenario.instructions {
        cells.push(number(Some(row.median(|run| run.instructions) / 1e6), 2));
        cells.push(against(|run| run.instructions));
    } else {
        cells.extend([
            number(Some(row.median(wall) * 1e3), 2),
            against(wall),
            number(msmtp.map(|m| pairwise(row, m)), 3),
        ]);
        cells.extend([number(Some(row.median(cpu) * 1e3), 2), against(cpu)]);
        cells.push(number(Some(row.median(|run| run.peak) / 1e6), 1));
        cells.push(number(row.contender.sends().then(|| row.median(|run| run.round_trips)), 1));
    }
    if scenario.round_trip > Duration::ZERO {
        cells.push(number(Some(row.median(wall) / scenario.round_trip.as_secs_f64()), 1));
    }
    if scenario.size > 1 << 20 {
        cells.push(number(Some(row.median(|run| run.wire)), 4));
    }
    cells.push(row.failed.to_string());
    cells
}

fn judge(target: &Target, rows: &[Row]) -> String {
    let row = |contender| rows.iter().find(|row| row.contender == contender);
    let median = |contender, of| row(contender).map(|row: &Row| row.median(of));
    let ratio = |to, of| Some(median(Contender::Mailchute, of)? / median(to, of)?);
    let own = |of| median(Contender::Mailchute, of);
    let (what, limit, measured) = match *target {
        Target::Wall(to, limit) => (format!("wall / {}", to.name()), limit, ratio(to, wall)),
        Target::Cpu(to, limit) => (format!("CPU / {}", to.name()), limit, ratio(to, cpu)),
        Target::Peak(limit) => ("peak MB".to_owned(), limit, own(|run| run.peak / 1e6)),
        Target::Instructions(limit) => ("M instructions".to_owned(), limit, own(|run| run.instructions / 1e6)),
        Target::Equipment(of, limit) => {
            let equipped = median(of, |run: &Run| run.instructions);
            let plain = own(|run| run.instructions);
            ("instructions / plain".to_owned(), limit, equipped.zip(plain).map(|(equipped, plain)| equipped / plain))
        }
        Target::RoundTrips(limit) => ("round trips".to_owned(), limit, own(|run| run.round_trips)),
        Target::Wire(limit) => ("wire per octet".to_owned(), limit, own(|run| run.wire)),
    };
    let verdict = match measured.filter(|value| value.is_finite()) {
        None => "not measured",
        Some(value) if value <= limit => "ok",
        Some(_) => "missed",
    };
    format!("  target: {what:<16} at most {limit:<5} measured {:<7} {verdict}\n", number(measured, 3))
}

/// The median of the ratios of runs of the same round, which is steadier on a busy machine.
fn pairwise(row: &Row, to: &Row) -> f64 {
    median(row.runs.iter().zip(&to.runs).map(|(run, to)| run.wall / to.wall).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
