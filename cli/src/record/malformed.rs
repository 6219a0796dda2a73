//! What is wrong with a row that is not a flight, and where.

use std::{error::Error, fmt};

/// Names a column of the records, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// When the flight departed.
    Date,
    /// Where it departed.
    Origin,
    /// Where it arrived.
    Destination,
    /// Minutes late, negative when early.
    Delay,
    /// Miles flown.
    Distance,
}

impl Field {
    /// All fields, in the order of the columns.
    pub const ALL: [Self; 5] = [Self::Date, Self::Origin, Self::Destination, Self::Delay, Self::Distance];

    /// Returns the name that the header row gives the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Origin => "origin",
            Self::Destination => "destination",
            Self::Delay => "delay",
            Self::Distance => "distance",
        }
    }

    /// Says what a value of the field looks like.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Date => "a time that exists, as YYYY-MM-DDThh:mm, from 1970 on",
            Self::Origin | Self::Destination => "three ASCII letters or digits",
            Self::Delay => "a whole number from -2147483648 to 2147483647",
            Self::Distance => "a whole number from 0 to 4294967295",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Says why a line is not a flight. Columns count bytes from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// A field's value is not one of its kind: mend the value.
    Value {
        /// The field.
        field: Field,
        /// Column of the field's first byte, a quote if it has one.
        column: usize,
        /// What is there.
        found: Excerpt,
    },
    /// The line ends before all fields: add the missing ones, or see whether the line was cut off.
    Missing {
        /// The first field that is missing.
        field: Field,
        /// Column just after the line's last byte.
        column: usize,
    },
    /// The line goes on after the last field: take the rest away, or quote a field that holds a comma.
    Extra {
        /// Column of the first byte that is too much.
        column: usize,
        /// What is there.
        found: Excerpt,
    },
}

impl Malformed {
    /// Returns the column, counted in bytes from 1, where the trouble starts.
    pub const fn column(&self) -> usize {
        match self {
            Self::Value { column, .. } | Self::Missing { column, .. } | Self::Extra { column, .. } => *column,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: ", self.column())?;
        match self {
            Self::Value { field, found, .. } => {
                write!(f, "{field} should be {}, found {found}", field.expected())
            }
            Self::Missing { field, .. } => write!(f, "the line ends before its {field}"),
            Self::Extra { found, .. } => {
                write!(f, "the line should end after its {}, found {found}", Field::Distance)
            }
        }
    }
}

impl Error for Malformed {}

/// Keeps the start of a text from the input, for a message: short, and safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    text: String,
    cut: bool,
}

impl Excerpt {
    /// Keeps the first bytes of `text`, with replacement characters where it is not UTF-8.
    pub fn of(text: &[u8]) -> Self {
        let kept = &text[..text.len().min(EXCERPT_BYTES)];
        Self { text: String::from_utf8_lossy(kept).into_owned(), cut: kept.len() < text.len() }
    }

    /// Returns the text kept.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Control characters are escaped: a hostile input must not drive a terminal.
        write!(f, "`{}{}`", self.text.escape_debug(), if self.cut { "…" } else { "" })
    }
}

/// Long enough for any sane field, short enough for one line of a terminal.
const EXCERPT_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(Excerpt::of(b"LASX").to_string(), "`LASX`");
        assert_eq!(Excerpt::of(b"\x1b[2J").to_string(), "`\\u{1b}[2J`");
        assert_eq!(Excerpt::of(&[0xff, b'A']).to_string(), "`\u{fffd}A`");
        let long = Excerpt::of(&[b'x'; 1000]);
        assert_eq!(long.to_string(), format!("`{}…`", "x".repeat(EXCERPT_BYTES)));
    }
}
