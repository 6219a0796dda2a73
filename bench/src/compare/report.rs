//! Tables, as Markdown that is also good to read in a terminal.

use std::fmt;

use super::Spread;
use super::turns::Measured;

/// A table with a title.
#[derive(Debug, Clone)]
pub struct Table {
    title: String,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table of two contenders; figures in `unit`s.
    pub fn of_pairs(title: &str, what: &str, unit: &str, peer: &str, measured: &[Measured]) -> Self {
        let mut table =
            Self::new(title, &[what, &format!("stillpoint, {unit}"), &format!("{peer}, {unit}"), "ratio", "rounds"]);
        for row in measured {
            let rounds = format!("{} to {}", ratio(row.ratio.min()), ratio(row.ratio.max()));
            let cells = [
                row.name.clone(),
                figure(row.ours.median()),
                figure(row.peer.median()),
                ratio(row.ratio.median()),
                rounds,
            ];
            table.push(cells.to_vec());
        }
        table
    }

    /// A table with no peer beside it.
    pub fn of_one(title: &str, what: &str, unit: &str, measured: &[(String, Spread)]) -> Self {
        let mut table = Self::new(title, &[what, &format!("stillpoint, {unit}"), "rounds"]);
        for (name, spread) in measured {
            let rounds = format!("{} to {}", figure(spread.min()), figure(spread.max()));
            table.push(vec![name.clone(), figure(spread.median()), rounds]);
        }
        table
    }

    fn new(title: &str, head: &[&str]) -> Self {
        Self { title: title.to_owned(), lines: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    fn push(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        writeln!(f, "### {}\n", self.title)?;
        for (number, line) in self.lines.iter().enumerate() {
            f.write_str("|")?;
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(f, " {cell:<width$} |")?;
                } else {
                    write!(f, " {cell:>width$} |")?;
                }
            }
            writeln!(f)?;
            if number == 0 {
                f.write_str("|")?;
                for (column, &width) in widths.iter().enumerate() {
                    let right = if column == 0 { '-' } else { ':' };
                    write!(f, " {:-<1$}{right} |", "", width.saturating_sub(1))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Three significant digits.
fn figure(figure: f64) -> String {
    match figure {
        small if small < 10.0 => format!("{small:.2}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let rows = [("10 entries".to_owned(), Spread::new(vec![81.26, 90.0, 123.4]))];
        let table = Table::of_one("snapshots", "map", "ns", &rows).to_string();
        assert_eq!(
            table,
            "### snapshots\n\n\
             | map        | stillpoint, ns |      rounds |\n\
             | ---------- | -------------: | ----------: |\n\
             | 10 entries |           90.0 | 81.3 to 123 |\n"
        );
    }
}
