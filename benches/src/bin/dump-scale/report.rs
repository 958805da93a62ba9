//! The table: what was measured, what it should be, and whether it is.

use serde::Serialize;
use venti_benches::table::{Table, median};

/// One line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    /// The most that it may be; a figure without one is for comparison.
    pub(crate) goal: Option<f64>,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    /// Anything else.
    pub(crate) note: String,
}

impl Row {
    /// The median of some figures.
    pub(crate) fn new(what: impl Into<String>, figures: &[f64], unit: &'static str) -> Row {
        let figure = median(figures).unwrap_or(f64::NAN);
        Row { what: what.into(), goal: None, figure, unit, note: String::new() }
    }

    pub(crate) fn at_most(self, goal: f64) -> Row {
        Row { goal: Some(goal), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Row {
        Row { note: note.into(), ..self }
    }

    fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some(goal) if self.figure <= goal => "yes",
            Some(_) => "**no**",
        }
    }
}

/// Three digits that count.
fn number(figure: f64) -> String {
    let digits = match figure.abs() {
        ..0.0995 => 4,
        ..9.95 => 2,
        ..99.5 => 1,
        _ => 0,
    };
    format!("{figure:.digits$}")
}

pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["what", "at most", "measured", "unit", "reached", "note"]);
    for row in rows {
        table.push(vec![
            row.what.clone(),
            row.goal.map_or_else(String::new, number),
            number(row.figure),
            row.unit.to_owned(),
            row.verdict().to_owned(),
            row.note.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_the_goal_is_reached() {
        let rows = [
            Row::new("mount", &[0.3, 0.05, 0.04], "s").at_most(0.1),
            Row::new("hist", &[0.2], "s").at_most(0.1),
            Row::new("memory", &[123.4], "MB"),
        ];
        let text = table(&rows).to_string();
        let cells: Vec<Vec<_>> =
            text.lines().skip(2).map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(cells[0][1..6], ["mount", "0.10", "0.0500", "s", "yes"]);
        assert_eq!(cells[1][5], "**no**");
        assert_eq!(cells[2][1..6], ["memory", "", "123", "MB", ""]);
    }
}
