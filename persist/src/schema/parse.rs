//! Reading a schema back from its text.
//!
//! The text may come from a damaged disk or a hostile hand: every input gives a schema or an error. Nesting is bounded,
//! as the parser, and all that walks its result, recurses; memory is linear in the text.
//!
//! ```text
//! schema     = "type " expression NL { definition }
//! definition = "struct " name [ form ] NL { "  " field NL }
//!            | "enum " name [ form ] NL { "  " variant NL { "    " field NL } }
//! field      = word ": " expression [ form ]
//! variant    = word " = " integer [ " (" payload { ", " payload } ")" ]
//! payload    = expression [ form ]
//! expression = name | "(" [ list | expression "," ] ")" | "[" expression [ "; " integer ] "]"
//! name       = word [ "#" integer ] [ "<" list ">" ]
//! form       = " rkyv " quoted
//! word       = one or more word characters | quoted
//! ```

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::cursor::Cursor;
use super::{Body, Definition, Field, SchemaText, Variant};

/// Why a text is not a schema, and on which line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// Something else than what must follow. The text is damaged, or was written by a newer version.
    Unexpected {
        /// The line.
        line: usize,
        /// What must follow.
        expected: &'static str,
        /// What follows, cut short.
        found: String,
    },
    /// A type is nested deeper than [`EXPRESSION_DEPTH_MAX`]; no schema that was described by a program is.
    TooDeep {
        /// The line.
        line: usize,
    },
    /// A definition, field or variant has the name of an earlier one.
    Duplicate {
        /// The line.
        line: usize,
        /// The name that is there twice.
        name: String,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { line, expected, found } if found.is_empty() => {
                write!(f, "schema line {line}: expected {expected}, found the end of the line")
            }
            Self::Unexpected { line, expected, found } => {
                write!(f, "schema line {line}: expected {expected}, found {}", found.escape_debug())
            }
            Self::TooDeep { line } => {
                write!(f, "schema line {line}: types are nested more than {EXPRESSION_DEPTH_MAX} deep")
            }
            Self::Duplicate { line, name } => write!(f, "schema line {line}: {} is there twice", name.escape_debug()),
        }
    }
}

impl Error for SchemaError {}

impl SchemaText {
    /// Reads a schema from its text.
    ///
    /// **Cost**: linear in the text's length, for names of the usual length.
    ///
    /// # Errors
    /// [`SchemaError`] tells the line where the text stops being a schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let mut lines = Lines { rest: text, line: 0 };
        let mut head = lines.next("").ok_or_else(|| SchemaError::unexpected(1, "`type`", ""))?;
        head.expect("type ", "`type`")?;
        let root = head.expression()?;
        head.end()?;

        let mut definitions = Vec::new();
        let mut names = HashSet::new();
        while let Some(definition) = lines.definition()? {
            if !names.insert(definition.name.clone()) {
                return Err(SchemaError::Duplicate { line: lines.line, name: definition.name.to_string() });
            }
            definitions.push(definition);
        }
        Ok(Self { root, definitions })
    }
}

impl FromStr for SchemaText {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        Self::parse(text)
    }
}

impl SchemaError {
    pub(super) fn unexpected(line: usize, expected: &'static str, rest: &str) -> Self {
        Self::Unexpected { line, expected, found: rest.chars().take(FOUND_CHARS_MAX).collect() }
    }
}

/// The lines that are left.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    /// Takes the next line if it is indented by exactly `indent`.
    fn next(&mut self, indent: &str) -> Option<Cursor<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, after) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        let rest = line.strip_prefix(indent).filter(|rest| !rest.starts_with(' '))?;
        self.rest = after;
        self.line += 1;
        Some(Cursor::new(rest, self.line))
    }

    fn definition(&mut self) -> Result<Option<Definition>, SchemaError> {
        let Some(mut head) = self.next("") else {
            return match self.rest {
                "" => Ok(None),
                rest => {
                    let line = rest.lines().next().unwrap_or_default();
                    Err(SchemaError::unexpected(
                        self.line + 1,
                        "a definition, or the line before it indented less",
                        line,
                    ))
                }
            };
        };
        let is_struct = head.take("struct ");
        if !is_struct {
            head.expect("enum ", "`struct` or `enum`")?;
        }
        let name = head.name()?;
        let form = head.form()?;
        head.end()?;
        let body = if is_struct { Body::Struct(self.fields("  ")?) } else { Body::Enum(self.variants()?) };
        Ok(Some(Definition { name, form, body }))
    }

    fn fields(&mut self, indent: &str) -> Result<Vec<Field>, SchemaError> {
        let mut fields = Vec::new();
        let mut names = HashSet::new();
        while let Some(mut line) = self.next(indent) {
            let name = line.word()?;
            line.expect(": ", "`: ` and the field's type")?;
            let ty = line.expression()?;
            let form = line.form()?;
            line.end()?;
            if !names.insert(name.clone()) {
                return Err(SchemaError::Duplicate { line: line.line(), name });
            }
            fields.push(Field { name, ty, form });
        }
        Ok(fields)
    }

    fn variants(&mut self) -> Result<Vec<Variant>, SchemaError> {
        let mut variants = Vec::new();
        let mut names = HashSet::new();
        while let Some(mut line) = self.next("  ") {
            let name = line.word()?;
            line.expect(" = ", "` = ` and the variant's discriminant")?;
            let discriminant = line.integer("a discriminant")?;
            let payload = line.payload()?;
            line.end()?;
            if !names.insert(name.clone()) {
                return Err(SchemaError::Duplicate { line: line.line(), name });
            }
            let fields = match payload {
                Some(fields) => fields,
                None => self.fields("    ")?,
            };
            variants.push(Variant { name, discriminant, fields });
        }
        Ok(variants)
    }
}

/// How deep a type may be nested: what rustc allows without being asked for more.
pub const EXPRESSION_DEPTH_MAX: usize = 128;

/// How much of an unexpected text an error repeats.
const FOUND_CHARS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = "\
type HashMap<(u64, Side), [Order#2; 4]>
struct Order#2
  id: u64
  \"odd name\": (i64,)
  note: Box<str> rkyv \"with = \\\"x\\\"\"
struct Empty
enum Side rkyv \"as = u8\"
  Buy = 1
  Sell = -1 ([u8], () rkyv \"niche\")
  Both = 170141183460469231731687303715884105727
    left: Matrix<3>
";

    #[test]
    fn a_text_reads_back_as_it_was() {
        let parsed = SchemaText::parse(EVERYTHING).unwrap();
        assert_eq!(parsed.definitions().len(), 3);
        assert_eq!(parsed.to_string(), EVERYTHING);
    }

    #[test]
    fn an_error_names_the_line_and_what_was_expected() {
        let cases = [
            ("", "schema line 1: expected `type`, found the end of the line"),
            ("type", "schema line 1: expected `type`, found type"),
            ("type u8 ", "schema line 1: expected the end of the line, found  "),
            ("type Vec<u8", "schema line 1: expected `>`, found the end of the line"),
            ("type u8\nunion U\n", "schema line 2: expected `struct` or `enum`, found union U"),
            ("type S\nstruct S\n  a u8", "schema line 3: expected `: ` and the field's type, found  u8"),
            ("type S\nstruct S\n  a: u8\n  a: u8", "schema line 4: a is there twice"),
            ("type E\nenum E\n  A = x", "schema line 3: expected a discriminant, found x"),
            ("type [u8; -1]", "schema line 1: expected the array's length, found -1]"),
            ("type \"\\q\"", "schema line 1: expected a quoted text with known escapes, found \\\\q\\\""),
            ("type \"\\u{d800}\"", "schema line 1: expected a quoted text with known escapes, found \\\\u{d800}\\\""),
            ("type S\nstruct S\nstruct S\n", "schema line 3: S is there twice"),
            ("type u8\n\n", "schema line 2: expected `struct` or `enum`, found the end of the line"),
        ];
        for (text, expected) in cases {
            assert_eq!(SchemaText::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn lines_indented_too_far_are_refused() {
        for text in ["type S\n struct S\n", "type S\nstruct S\n   a: u8\n", "type E\nenum E\n  A = 0 (u8)\n    b: u8\n"]
        {
            let error = SchemaText::parse(text).unwrap_err();
            assert!(matches!(error, SchemaError::Unexpected { line, .. } if line == text.lines().count()), "{error}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("type {}u8{}\n", "Box<".repeat(depth), ">".repeat(depth));
        assert!(SchemaText::parse(&nested(EXPRESSION_DEPTH_MAX - 1)).is_ok());
        assert_eq!(SchemaText::parse(&nested(EXPRESSION_DEPTH_MAX)), Err(SchemaError::TooDeep { line: 1 }));
        assert_eq!(SchemaText::parse(&format!("type {}", "([".repeat(100_000))), Err(SchemaError::TooDeep { line: 1 }));
    }
}
