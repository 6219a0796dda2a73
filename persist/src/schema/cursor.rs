//! Reading one line of a schema's text, token by token.
//!
//! Each method takes what it reads from the front of the line, or fails and says what it expected there.

use std::str::FromStr;

use super::expression::is_word_char;
use super::{EXPRESSION_DEPTH_MAX, Field, SchemaError, TypeExpression, TypeName};

/// What is left of one line.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    line: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a str, line: usize) -> Self {
        Self { rest, line, depth: 0 }
    }

    /// The line's number, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), SchemaError> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    pub(super) fn end(&self) -> Result<(), SchemaError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.unexpected("the end of the line")) }
    }

    fn unexpected(&self, expected: &'static str) -> SchemaError {
        SchemaError::unexpected(self.line, expected, self.rest)
    }

    pub(super) fn expression(&mut self) -> Result<TypeExpression, SchemaError> {
        if self.depth == EXPRESSION_DEPTH_MAX {
            return Err(SchemaError::TooDeep { line: self.line });
        }
        self.depth += 1;
        let expression = if self.take("(") {
            self.tuple()
        } else if self.take("[") {
            self.sequence()
        } else {
            self.name().map(TypeExpression::Named)
        };
        self.depth -= 1;
        expression
    }

    fn tuple(&mut self) -> Result<TypeExpression, SchemaError> {
        if self.take(")") {
            return Ok(TypeExpression::Tuple(Vec::new()));
        }
        let first = self.expression()?;
        if self.take(",)") {
            return Ok(TypeExpression::Tuple(vec![first]));
        }
        self.expect(", ", "`,` and more of the tuple")?;
        let mut parts = vec![first];
        self.list(")", "`)`", &mut parts, Self::expression)?;
        Ok(TypeExpression::Tuple(parts))
    }

    fn sequence(&mut self) -> Result<TypeExpression, SchemaError> {
        let element = Box::new(self.expression()?);
        if self.take("]") {
            return Ok(TypeExpression::Slice(element));
        }
        self.expect("; ", "`]`, or `; ` and the array's length")?;
        let len = self.integer("the array's length")?;
        self.expect("]", "`]`")?;
        Ok(TypeExpression::Array(element, len))
    }

    pub(super) fn name(&mut self) -> Result<TypeName, SchemaError> {
        let word = self.word()?;
        let ordinal = if self.take("#") { self.integer("an ordinal")? } else { 1 };
        let mut arguments = Vec::new();
        if self.take("<") {
            self.list(">", "`>`", &mut arguments, Self::expression)?;
        }
        Ok(TypeName { word, ordinal, arguments })
    }

    pub(super) fn payload(&mut self) -> Result<Option<Vec<Field>>, SchemaError> {
        if !self.take(" (") {
            return Ok(None);
        }
        let mut parts = Vec::new();
        self.list(")", "`)`", &mut parts, |cursor| Ok((cursor.expression()?, cursor.form()?)))?;
        let field = |(at, (ty, form)): (usize, _)| Field { name: at.to_string(), ty, form };
        Ok(Some(parts.into_iter().enumerate().map(field).collect()))
    }

    /// Reads one element, more of them after commas, and the closing token.
    fn list<T>(
        &mut self,
        close: &'static str,
        expected: &'static str,
        parts: &mut Vec<T>,
        element: impl Fn(&mut Self) -> Result<T, SchemaError>,
    ) -> Result<(), SchemaError> {
        parts.push(element(self)?);
        while self.take(", ") {
            parts.push(element(self)?);
        }
        self.expect(close, expected)
    }

    pub(super) fn form(&mut self) -> Result<Option<String>, SchemaError> {
        if self.take(" rkyv ") { self.quoted().map(Some) } else { Ok(None) }
    }

    pub(super) fn word(&mut self) -> Result<String, SchemaError> {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        let len = self.rest.find(|c| !is_word_char(c)).unwrap_or(self.rest.len());
        if len == 0 {
            return Err(self.unexpected("a name"));
        }
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn quoted(&mut self) -> Result<String, SchemaError> {
        self.expect("\"", "a quoted text")?;
        let mut text = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => match escaped(&mut chars) {
                    Some(c) => text.push(c),
                    None => return Err(self.unexpected("a quoted text with known escapes")),
                },
                Some(c) => text.push(c),
                None => return Err(self.unexpected("a closing quote")),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }

    pub(super) fn integer<N: FromStr>(&mut self, expected: &'static str) -> Result<N, SchemaError> {
        let digits_from = usize::from(self.rest.starts_with('-'));
        let digits = self.rest[digits_from..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits_from + digits);
        let number = number.parse().map_err(|_| self.unexpected(expected))?;
        self.rest = rest;
        Ok(number)
    }
}

/// Reads what follows a backslash: a quote, a backslash, or `u{…}` with a character's number.
fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    match chars.next()? {
        c @ ('"' | '\\') => Some(c),
        'u' => {
            let (digits, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
            *chars = rest.chars();
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
        _ => None,
    }
}
