//! Reports that a person likes to read: headings, facts and tables, aligned, in figures with units.
//!
//! A report is a value that is displayed; printing it is the caller's. Colour is used only on a terminal whose user has not
//! asked for none.

mod figures;
mod table;

use std::{
    env, fmt,
    io::{self, IsTerminal},
};

/// How wide a paragraph may be.
const COLUMNS: usize = 96;

pub use figures::{bytes, count, decimal, duration, rate, signed};
pub use table::{Align, Table};

/// Says whether a report may use a terminal's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Text only.
    #[default]
    Plain,
    /// Bold headings, and colours for what went well and what did not.
    Coloured,
}

impl Style {
    /// Returns the style for the standard output: coloured if it is a terminal, unless `NO_COLOR` is set and not empty,
    /// or the terminal is a dumb one.
    pub fn of_stdout() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|value| value == "dumb");
        if io::stdout().is_terminal() && !unwanted { Self::Coloured } else { Self::Plain }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// Tells how something came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Good,
    /// Not as it should.
    Bad,
}

/// Builds a report, part by part. Parts are set apart by an empty line.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::report::{Align, Report, Style, Table, Verdict, count};
///
/// let report = Report::new(Style::Plain)
///     .heading("Replay")
///     .facts([("records", count(3_000_000)), ("airports", count(229))])
///     .table(
///         Table::new([("airport", Align::Left), ("flights", Align::Right)])
///             .row(["ORD".into(), count(166_341)])
///             .row(["PHX".into(), count(93_036)]),
///     )
///     .verdict(Verdict::Good, "all figures agree");
/// assert_eq!(
///     report.to_string(),
///     "\
/// Replay
/// ------
///
///   records   3,000,000
///   airports  229
///
///   airport  flights
///   -------  -------
///   ORD      166,341
///   PHX       93,036
///
/// ok: all figures agree
/// "
/// );
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Report {
    style: Style,
    text: String,
}

impl Report {
    /// Starts an empty report.
    pub fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    /// Adds a heading.
    pub fn heading(mut self, title: &str) -> Self {
        let text = match self.style {
            Style::Plain => format!("{title}\n{}\n", "-".repeat(title.chars().count())),
            Style::Coloured => format!("{}\n", self.style.paint(BOLD, title)),
        };
        self.part(&text);
        self
    }

    /// Adds a paragraph, its words laid out in lines of at most 96 columns.
    pub fn paragraph(mut self, text: &str) -> Self {
        let mut laid_out = String::new();
        let mut width = 0;
        for word in text.split_whitespace() {
            let length = word.chars().count();
            if width > 0 && width + 1 + length > COLUMNS {
                laid_out.push('\n');
                width = 0;
            } else if width > 0 {
                laid_out.push(' ');
                width += 1;
            }
            laid_out.push_str(word);
            width += length;
        }
        laid_out.push('\n');
        self.part(&laid_out);
        self
    }

    /// Adds named facts, one to a line, their values in one column.
    pub fn facts<N: AsRef<str>, V: fmt::Display>(mut self, facts: impl IntoIterator<Item = (N, V)>) -> Self {
        let table =
            facts.into_iter().fold(Table::without_header([Align::Left, Align::Left]), |table, (name, value)| {
                table.row([name.as_ref().to_owned(), value.to_string()])
            });
        self.part(&table.to_string());
        self
    }

    /// Adds a table.
    pub fn table(mut self, table: Table) -> Self {
        self.part(&table.to_string());
        self
    }

    /// Adds a line that says how it came out, in words too, not only in colour.
    pub fn verdict(mut self, verdict: Verdict, text: &str) -> Self {
        let mark = match verdict {
            Verdict::Good => self.style.paint(GREEN, "ok"),
            Verdict::Bad => self.style.paint(RED, "FAILED"),
        };
        self.part(&format!("{mark}: {text}\n"));
        self
    }

    fn part(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "1;31";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_when_asked_for() {
        let report = |style| Report::new(style).heading("Demo").verdict(Verdict::Bad, "one record lost").to_string();
        assert_eq!(report(Style::Plain), "Demo\n----\n\nFAILED: one record lost\n");
        assert_eq!(report(Style::Coloured), "\x1b[1mDemo\x1b[0m\n\n\x1b[1;31mFAILED\x1b[0m: one record lost\n");
    }

    #[test]
    fn empty_parts_leave_no_gap() {
        let report = Report::new(Style::Plain).paragraph("a").facts::<&str, &str>([]).paragraph("b\n\n");
        assert_eq!(report.to_string(), "a\n\nb\n");
    }
}
