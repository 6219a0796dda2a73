//! How one type refers to another: `Vec<Quote>`, `[u8; 12]`, `(i64, Quote#2)`.
//!
//! An expression is a tree over names. Whether a name is a library type or one that the schema defines is not in the
//! expression: the [`SchemaText`](super::SchemaText) that holds it knows its definitions, and every other name is a leaf.

use std::fmt::{self, Write};

/// A type as other types refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TypeExpression {
    /// A name with its arguments: a primitive, a library type or a definition of the schema.
    Named(TypeName),
    /// A tuple; the empty one is the unit type.
    Tuple(Vec<TypeExpression>),
    /// An array and its length.
    Array(Box<TypeExpression>, u64),
    /// A slice, behind a box or a shared pointer.
    Slice(Box<TypeExpression>),
}

/// A type's name: the word, which of the types with that word it is, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName {
    pub(super) word: String,
    pub(super) ordinal: u32,
    pub(super) arguments: Vec<TypeExpression>,
}

impl TypeName {
    /// The name alone, `Quote` of `Quote#2` and `Vec` of `Vec<Quote>`.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Which of the types with the same name and arguments this is, in the order they were met, counted from 1.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The type's arguments; a constant argument is a name too, `3` of `Matrix<3>`.
    pub fn arguments(&self) -> &[TypeExpression] {
        &self.arguments
    }

    /// Whether the names are the same up to ordinals, which differ by the order of description alone.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.word == other.word && all_read_as(&self.arguments, &other.arguments)
    }
}

impl TypeExpression {
    /// Whether the expressions are the same up to ordinals; says nothing of what the names stand for.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(one), Self::Named(two)) => one.reads_as(two),
            (Self::Tuple(one), Self::Tuple(two)) => all_read_as(one, two),
            (Self::Array(one, one_len), Self::Array(two, two_len)) => one_len == two_len && one.reads_as(two),
            (Self::Slice(one), Self::Slice(two)) => one.reads_as(two),
            _ => false,
        }
    }
}

fn all_read_as(one: &[TypeExpression], two: &[TypeExpression]) -> bool {
    one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.reads_as(two))
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Word(&self.word).fmt(f)?;
        if self.ordinal != 1 {
            write!(f, "#{}", self.ordinal)?;
        }
        if !self.arguments.is_empty() {
            f.write_char('<')?;
            write_list(f, &self.arguments)?;
            f.write_char('>')?;
        }
        Ok(())
    }
}

impl fmt::Display for TypeExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Tuple(parts) => {
                f.write_char('(')?;
                write_list(f, parts)?;
                f.write_str(if parts.len() == 1 { ",)" } else { ")" })
            }
            Self::Array(element, len) => write!(f, "[{element}; {len}]"),
            Self::Slice(element) => write!(f, "[{element}]"),
        }
    }
}

/// Writes expressions (or whatever is written in lists) with a comma between.
pub(super) fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T]) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

/// Writes a name as it is if it is a plain word, else quoted: any string is a name.
pub(super) struct Word<'a>(pub(super) &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(is_word_char) { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

/// Writes any string on one line, between double quotes.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Whether a character stands in a name without quotes.
///
/// Beyond ASCII only what every version of Unicode agrees on is decided here, so that a newer compiler reads older files.
pub(super) fn is_word_char(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { !c.is_whitespace() && !c.is_control() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(word: &str, arguments: Vec<TypeExpression>) -> TypeExpression {
        TypeExpression::Named(TypeName { word: word.into(), ordinal: 1, arguments })
    }

    #[test]
    fn expressions_are_written_as_rust_writes_types() {
        let byte = leaf("u8", vec![]);
        assert_eq!(leaf("Vec", vec![byte.clone()]).to_string(), "Vec<u8>");
        assert_eq!(leaf("Result", vec![byte.clone(), TypeExpression::Tuple(vec![])]).to_string(), "Result<u8, ()>");
        assert_eq!(TypeExpression::Tuple(vec![byte.clone()]).to_string(), "(u8,)");
        assert_eq!(TypeExpression::Tuple(vec![byte.clone(), byte.clone()]).to_string(), "(u8, u8)");
        assert_eq!(TypeExpression::Array(Box::new(byte.clone()), 4).to_string(), "[u8; 4]");
        assert_eq!(TypeExpression::Slice(Box::new(byte)).to_string(), "[u8]");
    }

    #[test]
    fn names_that_are_not_words_are_quoted() {
        assert_eq!(leaf("größe", vec![]).to_string(), "größe");
        assert_eq!(leaf("", vec![]).to_string(), "\"\"");
        assert_eq!(leaf("a \"b\"\n\\", vec![]).to_string(), "\"a \\\"b\\\"\\u{a}\\\\\"");
    }

    #[test]
    fn reading_alike_ignores_ordinals_and_nothing_else() {
        let second = TypeExpression::Named(TypeName { word: "Quote".into(), ordinal: 2, arguments: vec![] });
        assert!(second.reads_as(&leaf("Quote", vec![])));
        assert!(!second.reads_as(&leaf("Quotes", vec![])));
        assert!(!second.reads_as(&leaf("Quote", vec![leaf("u8", vec![])])));
    }
}
