//! Flight records: one line of text each, `date,origin,destination,delay,distance`.
//!
//! Reading a line has two ways that agree. The *plain* way knows where the bytes of a well-formed line without quotes
//! lie, and takes some tens of nanoseconds. Whatever it does not understand goes the *careful* way, which splits fields
//! as CSV does, quotes included, and either makes the same flight or says which field is wrong and where.

mod airport;
mod careful;
mod malformed;
mod minutes;

pub use airport::{Airport, Route};
pub(crate) use careful::is_header;
pub use malformed::{Excerpt, Field, Malformed};
pub use minutes::Minutes;

/// One flight, as a record tells it.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::record::Flight;
///
/// let flight = Flight::parse(b"2001-01-01T00:01,LAS,PHL,33,2176")?;
/// assert_eq!(flight.route().to_string(), "LAS-PHL");
/// assert_eq!(flight.delay, 33);
///
/// let wrong = Flight::parse(b"2001-01-01T00:01,LASX,PHL,33,2176").unwrap_err();
/// assert_eq!(wrong.column(), 18);
/// # Ok::<(), stillpoint_cli::record::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flight {
    /// When it departed, in the origin's local time.
    pub departure: Minutes,
    /// Where it departed.
    pub origin: Airport,
    /// Where it arrived.
    pub destination: Airport,
    /// Minutes late; negative when early.
    pub delay: i32,
    /// Miles flown.
    pub distance: u32,
}

impl Flight {
    /// Reads one line, given without its line end.
    ///
    /// # Cost
    ///
    /// Some tens of nanoseconds and no allocation for a well-formed line without quotes; about ten times that otherwise.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the first field that is wrong, and its column.
    #[inline]
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        match plain(line) {
            Some(flight) => Ok(flight),
            None => careful::parse(line),
        }
    }

    /// Returns the flight's route.
    #[inline]
    pub const fn route(&self) -> Route {
        Route { origin: self.origin, destination: self.destination }
    }
}

/// Reads a well-formed line without quotes whose numbers have at most nine digits; leaves all others to `careful`.
#[inline]
fn plain(line: &[u8]) -> Option<Flight> {
    let (head, rest) = line.split_first_chunk::<NUMBERS_AT>()?;
    let (date, airports) = head.split_first_chunk::<{ minutes::TEXT_BYTES }>()?;
    let &[b',', a, b, c, b',', d, e, f, b','] = airports else {
        return None;
    };
    let (negative, rest) = match rest {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (minutes, rest) = leading_number(rest)?;
    let [b',', rest @ ..] = rest else { return None };
    let (distance, []) = leading_number(rest)? else {
        return None;
    };
    Some(Flight {
        departure: Minutes::parse(date)?,
        origin: Airport::new([a, b, c])?,
        destination: Airport::new([d, e, f])?,
        delay: if negative { -(minutes as i32) } else { minutes as i32 },
        distance,
    })
}

/// Takes one to nine digits off the front of `text`; what follows them is the caller's to judge.
#[inline]
fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    let mut length = 0;
    while let Some(digit) = text.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit <= 9) {
        if length == PLAIN_DIGITS {
            return None;
        }
        number = number * 10 + u32::from(digit);
        length += 1;
    }
    (length > 0).then(|| (number, &text[length..]))
}

/// Where the delay starts in a line without quotes.
const NUMBERS_AT: usize = minutes::TEXT_BYTES + ",LAS,PHL,".len();
/// As many digits as always fit, also with a sign.
const PLAIN_DIGITS: usize = 9;

const _: () = assert!(999_999_999 <= i32::MAX as u32, "a delay of nine digits must fit");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] = b"2001-01-01T00:01,LAS,PHL,33,2176";

    fn airport(code: &[u8; 3]) -> Airport {
        Airport::new(*code).expect("a code")
    }

    #[test]
    fn a_plain_line_is_a_flight() {
        let flight = Flight {
            departure: Minutes::from_civil(2001, 1, 1, 0, 1).expect("a time"),
            origin: airport(b"LAS"),
            destination: airport(b"PHL"),
            delay: 33,
            distance: 2176,
        };
        assert_eq!(plain(LINE), Some(flight));
        assert_eq!(careful::parse(LINE), Ok(flight));
        let early = Flight::parse(b"2001-01-01T00:01,LAS,PHL,-1116,0").expect("a flight");
        assert_eq!((early.delay, early.distance), (-1116, 0));
    }

    #[test]
    fn quotes_change_nothing() {
        for line in [
            r#""2001-01-01T00:01","LAS","PHL","33","2176""#,
            r#"2001-01-01T00:01,"LAS",PHL,33,2176"#,
            r#"2001-01-01T00:01,LAS,PHL,33,"2176""#,
        ] {
            assert_eq!(Flight::parse(line.as_bytes()), Flight::parse(LINE), "{line}");
        }
    }

    #[test]
    fn the_widest_numbers_fit_and_no_wider() {
        let flight = |delay: &str, distance: &str| {
            Flight::parse(format!("2001-01-01T00:01,LAS,PHL,{delay},{distance}").as_bytes())
        };
        let widest = flight("-2147483648", "4294967295").expect("a flight");
        assert_eq!((widest.delay, widest.distance), (i32::MIN, u32::MAX));
        assert_eq!(flight("2147483647", "0000000000007").map(|f| f.distance), Ok(7));
        for (delay, distance, column) in [
            ("2147483648", "1", 26),
            ("-2147483649", "1", 26),
            ("1", "4294967296", 28),
            ("1", "-1", 28),
            ("1", "+1", 28),
            ("+1", "1", 26),
            ("--1", "1", 26),
            ("-", "1", 26),
            ("", "1", 26),
            ("1", "", 28),
            ("1", "1.5", 28),
            (" 1", "1", 26),
        ] {
            let error = flight(delay, distance).expect_err("not a number");
            assert_eq!(error.column(), column, "{delay},{distance}");
        }
    }

    #[test]
    fn errors_name_field_and_column() {
        for (line, message) in [
            (
                "2001-02-29T00:01,LAS,PHL,33,2176",
                "column 1: date should be a time that exists, as YYYY-MM-DDThh:mm, from 1970 on, found `2001-02-29T00:01`",
            ),
            (
                "2001-01-01T00:01,LASX,PHL,33,2176",
                "column 18: origin should be three ASCII letters or digits, found `LASX`",
            ),
            (
                r#"2001-01-01T00:01,"LAS","P,L",33,2176"#,
                "column 24: destination should be three ASCII letters or digits, found `P,L`",
            ),
            (
                "2001-01-01T00:01,LAS,PHL,soon,2176",
                "column 26: delay should be a whole number from -2147483648 to 2147483647, found `soon`",
            ),
            ("2001-01-01T00:01,LAS,PHL,33", "column 28: the line ends before its distance"),
            ("2001-01-01T00:01,LAS,PHL,33,2176,", "column 34: the line should end after its distance, found ``"),
            (
                "2001-01-01T00:01,LAS,PHL,33,2176,more",
                "column 34: the line should end after its distance, found `more`",
            ),
            (
                "2001-01-01T00:01,LAS,PHL,33,\"2176",
                "column 29: distance should be a whole number from 0 to 4294967295, found `2176\\n`",
            ),
            ("", "column 1: date should be a time that exists, as YYYY-MM-DDThh:mm, from 1970 on, found ``"),
        ] {
            let error = Flight::parse(line.as_bytes()).expect_err(line);
            assert_eq!(error.to_string(), message);
        }
    }

    /// Reads a line as the csv crate and `str::parse` do, and judges dates field by field.
    fn by_the_csv_crate(line: &[u8]) -> Option<Flight> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
        let row = reader.records().next()?.ok()?;
        let [date, origin, destination, delay, distance] = row.iter().collect::<Vec<_>>().try_into().ok()?;
        let number = |text: &str| text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
        let (day, time) = date.split_once('T')?;
        let day: [&str; 3] = day.split('-').collect::<Vec<_>>().try_into().ok()?;
        let time: [&str; 2] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
        if [day[0].len(), day[1].len(), day[2].len(), time[0].len(), time[1].len()] != [4, 2, 2, 2, 2] {
            return None;
        }
        let code = |text: &str| Airport::new(text.as_bytes().try_into().ok()?);
        Some(Flight {
            departure: Minutes::from_civil(
                number(day[0])?,
                number(day[1])?,
                number(day[2])?,
                number(time[0])?,
                number(time[1])?,
            )?,
            origin: code(origin)?,
            destination: code(destination)?,
            delay: delay.parse().ok().filter(|_| !delay.starts_with('+'))?,
            distance: number(distance)?,
        })
    }

    fn quoted(field: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        (field, prop::bool::weighted(0.1)).prop_map(|(text, quote)| if quote { format!("\"{text}\"") } else { text })
    }

    /// Lines that are flights, or nearly.
    fn line() -> impl Strategy<Value = String> {
        let date = (1969u32..2101, 0u32..14, 0u32..33, 0u32..25, 0u32..61)
            .prop_map(|(year, month, day, hour, minute)| format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}"));
        let code = || prop_oneof![20 => "[A-Z0-9]{3}", 1 => "[A-Za-z ]{2,4}"];
        let delay = prop_oneof![10 => (-2000i32..2000).prop_map(|n| n.to_string()), 1 => "[-+0-9]{0,11}"];
        let distance = prop_oneof![10 => (0u32..6000).prop_map(|n| n.to_string()), 1 => "[-+0-9]{0,11}"];
        (quoted(date), quoted(code()), quoted(code()), quoted(delay), quoted(distance), "(|||||||,|,1| )").prop_map(
            |(date, origin, destination, delay, distance, rest)| {
                format!("{date},{origin},{destination},{delay},{distance}{rest}")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn parsing_agrees_with_the_csv_crate(line in line()) {
            prop_assert_eq!(Flight::parse(line.as_bytes()).ok(), by_the_csv_crate(line.as_bytes()));
        }

        #[test]
        fn the_plain_way_agrees_with_the_careful_way(line in line()) {
            if let Some(flight) = plain(line.as_bytes()) {
                prop_assert_eq!(careful::parse(line.as_bytes()), Ok(flight));
            }
        }

        #[test]
        fn any_bytes_are_answered(line in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Err(error) = Flight::parse(&line) {
                prop_assert!((1..=line.len() + 1).contains(&error.column()));
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
}
