//! Tables of text, with columns as wide as their widest cell.

use std::fmt;

/// Says at which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the left: words.
    Left,
    /// At the right: figures.
    Right,
}

/// Builds a table of `N` columns, row by row.
///
/// Displaying it takes one line for each row, indented, without spaces at its end.
#[derive(Debug, Clone)]
#[must_use]
pub struct Table {
    aligns: Vec<Align>,
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with the columns' names and sides.
    pub fn new<const N: usize>(columns: [(&str, Align); N]) -> Self {
        Self {
            aligns: columns.iter().map(|&(_, align)| align).collect(),
            header: Some(columns.iter().map(|&(name, _)| name.to_owned()).collect()),
            rows: Vec::new(),
        }
    }

    /// Starts a table whose columns have no names.
    pub fn without_header<const N: usize>(columns: [Align; N]) -> Self {
        Self { aligns: columns.to_vec(), header: None, rows: Vec::new() }
    }

    /// Adds a row. Cells that it lacks are empty; cells beyond the last column are left out.
    pub fn row<const N: usize>(mut self, cells: [String; N]) -> Self {
        self.rows.push(cells.into());
        self
    }

    fn width(&self, column: usize) -> usize {
        let rows = self.header.iter().chain(&self.rows);
        rows.filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<_> = (0..self.aligns.len()).map(|column| self.width(column)).collect();
        let rule = self.header.is_some().then(|| widths.iter().map(|&width| "-".repeat(width)).collect());
        for row in self.header.iter().chain(&rule).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &width), align) in row.iter().zip(&widths).zip(&self.aligns) {
                line += match align {
                    Align::Left => format!("{GAP}{cell:<width$}"),
                    Align::Right => format!("{GAP}{cell:>width$}"),
                }
                .as_str();
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Before each column, so also what a table is indented by.
const GAP: &str = "  ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = Table::new([("name", Align::Left), ("µs", Align::Right)])
            .row(["Zürich".into(), "1.2".into()])
            .row(["A".into()])
            .row(["B".into(), "1,000.0".into(), "left out".into()]);
        let expected = "  name         µs\n  ------  -------\n  Zürich      1.2\n  A\n  B       1,000.0\n";
        assert_eq!(table.to_string(), expected);
    }
}
