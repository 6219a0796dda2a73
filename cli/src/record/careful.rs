//! The careful way to read a line: fields as CSV has them, quotes included, and errors that say where.
//!
//! A line is a row: a line break inside quotes is not supported, since no field may hold one. Such a line ends inside its
//! quotes, and is refused there.

use std::{cell::RefCell, ops::Range};

use csv_core::{ReadFieldResult, Reader, ReaderBuilder, Terminator};

use super::{Airport, Excerpt, Field, Flight, Malformed, Minutes};

/// Reads one line, given without its line end.
pub(super) fn parse(line: &[u8]) -> Result<Flight, Malformed> {
    let fields = Fields::of(line);
    let flight = Flight {
        departure: fields.read(Field::Date, |text| Minutes::parse(text.try_into().ok()?))?,
        origin: fields.read(Field::Origin, airport)?,
        destination: fields.read(Field::Destination, airport)?,
        delay: fields.read(Field::Delay, |text| digits(text.strip_prefix(b"-").unwrap_or(text), text)?.parse().ok())?,
        distance: fields.read(Field::Distance, |text| digits(text, text)?.parse().ok())?,
    };
    match fields.starts.get(Field::ALL.len()) {
        None => Ok(flight),
        Some(&start) => Err(Malformed::Extra { column: start + 1, found: Excerpt::of(&line[start..]) }),
    }
}

/// Tells whether `line` is the header row: the fields' names in their order, quoted or not.
pub(crate) fn is_header(line: &[u8]) -> bool {
    let fields = Fields::of(line);
    fields.texts.len() == Field::ALL.len()
        && Field::ALL.into_iter().all(|field| fields.text(field) == Some(field.name().as_bytes()))
}

/// A line's fields, without their quotes.
struct Fields {
    unquoted: Vec<u8>,
    /// Where each field's text lies in `unquoted`.
    texts: Vec<Range<usize>>,
    /// Where each field starts in the line.
    starts: Vec<usize>,
    line_bytes: usize,
}

impl Fields {
    fn of(line: &[u8]) -> Self {
        READER.with_borrow_mut(|reader| Self::split(line, reader))
    }

    fn split(line: &[u8], reader: &mut Reader) -> Self {
        reader.reset();
        // The line break closes the last field, or, inside quotes, shows up in it.
        let mut unquoted = vec![0; line.len() + 1];
        let (mut texts, mut starts) = (Vec::with_capacity(8), Vec::with_capacity(8));
        let (mut read, mut written) = (0, 0);
        let (mut start, mut text_start) = (0, 0);
        loop {
            let input = match line.get(read..) {
                Some([]) => b"\n".as_slice(),
                Some(rest) => rest,
                None => b"",
            };
            let (result, consumed, produced) = reader.read_field(input, &mut unquoted[written..]);
            read += consumed;
            written += produced;
            match result {
                ReadFieldResult::Field { record_end } => {
                    texts.push(text_start..written);
                    starts.push(start);
                    (start, text_start) = (read, written);
                    if record_end {
                        break;
                    }
                }
                ReadFieldResult::InputEmpty => {}
                // The output has room for every byte of the line, so only an empty line ends here.
                ReadFieldResult::OutputFull | ReadFieldResult::End => break,
            }
        }
        if texts.is_empty() {
            texts.push(0..0);
            starts.push(0);
        }
        Self { unquoted, texts, starts, line_bytes: line.len() }
    }

    fn text(&self, field: Field) -> Option<&[u8]> {
        self.texts.get(field as usize).map(|range| &self.unquoted[range.clone()])
    }

    fn read<T>(&self, field: Field, value: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Malformed> {
        let Some(text) = self.text(field) else {
            return Err(Malformed::Missing { field, column: self.line_bytes + 1 });
        };
        value(text).ok_or_else(|| Malformed::Value {
            field,
            column: self.starts[field as usize] + 1,
            found: Excerpt::of(text),
        })
    }
}

fn airport(text: &[u8]) -> Option<Airport> {
    Airport::new(text.try_into().ok()?)
}

/// Returns `text` for a number's own parser if `digits`, its part behind a sign, is digits only: that parser would take
/// a plus sign too.
fn digits<'a>(digits: &[u8], text: &'a [u8]) -> Option<&'a str> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if plain { std::str::from_utf8(text).ok() } else { None }
}

thread_local! {
    /// Building a reader computes its tables, and copying one leaves them out: so each thread keeps one. A carriage
    /// return inside a line is data.
    static READER: RefCell<Reader> =
        RefCell::new(ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_know_where_they_start() {
        let fields = Fields::of(br#""a ""b""",c,,"d,e""#);
        let texts: Vec<_> = fields.texts.iter().map(|range| &fields.unquoted[range.clone()]).collect();
        assert_eq!(texts, [b"a \"b\"".as_slice(), b"c", b"", b"d,e"]);
        assert_eq!(fields.starts, [0, 10, 12, 13]);
        assert_eq!(Fields::of(b"").starts, [0]);
        assert_eq!(Fields::of(b",").starts, [0, 1]);
    }

    #[test]
    fn headers_may_be_quoted() {
        assert!(is_header(br#""date","origin","destination","delay","distance""#));
        assert!(is_header(b"date,origin,destination,delay,distance"));
        assert!(!is_header(b"date,destination,origin,delay,distance"));
        assert!(!is_header(b"date,origin,destination,delay,distance,carrier"));
        assert!(!is_header(b"date,origin,destination,delay"));
        assert!(!is_header(b""));
    }
}
