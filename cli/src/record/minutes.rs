//! Points in time to the minute, as the records tell them.
//!
//! The records name no time zone (each departure is in its airport's local time), so a point in time here is a date and
//! a time on the wall, not an instant. It is kept as the minutes from 1970-01-01T00:00 on, which orders points as their
//! texts are ordered. Four digits of year end in 9999, well inside a `u32`.
//!
//! Calendar arithmetic counts years from March, so that the leap day is a year's last and the days before a month are a
//! linear function of it (the method of Hinnant's *chrono-Compatible Low-Level Date Algorithms*).

use std::fmt;

/// Counts the minutes from 1970-01-01T00:00 on, in the proleptic Gregorian calendar and without a time zone.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::record::Minutes;
///
/// let midnight = Minutes::from_civil(2001, 1, 1, 0, 0).unwrap();
/// assert_eq!(midnight.since_epoch(), 16_305_120);
/// assert_eq!(midnight.to_string(), "2001-01-01T00:00");
/// assert_eq!(Minutes::from_civil(2001, 2, 29, 0, 0), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Minutes(u32);

impl Minutes {
    /// The earliest point in time.
    pub const EPOCH: Self = Self(0);

    /// Takes minutes counted from [`EPOCH`](Self::EPOCH).
    #[inline]
    pub const fn new(since_epoch: u32) -> Self {
        Self(since_epoch)
    }

    /// Returns the minutes counted from [`EPOCH`](Self::EPOCH).
    #[inline]
    pub const fn since_epoch(self) -> u32 {
        self.0
    }

    /// Makes a point in time of a date and a time of day, or nothing if the calendar from 1970 to 9999 lacks it.
    #[inline]
    pub const fn from_civil(year: u32, month: u32, day: u32, hour: u32, minute: u32) -> Option<Self> {
        let dated = year >= FIRST_YEAR && year <= LAST_YEAR && month >= 1 && month <= 12 && day >= 1;
        if !dated || day > days_in_month(year, month) || hour >= 24 || minute >= 60 {
            return None;
        }
        Some(Self(days_from_civil(year, month, day) * MINUTES_PER_DAY + hour * 60 + minute))
    }

    /// Reads the form `YYYY-MM-DDThh:mm`, or returns nothing if `text` is not of this form or names no such time.
    #[inline]
    pub const fn parse(text: &[u8; TEXT_BYTES]) -> Option<Self> {
        if text[4] != b'-' || text[7] != b'-' || text[10] != b'T' || text[13] != b':' {
            return None;
        }
        match (
            two_digits(text[0], text[1]),
            two_digits(text[2], text[3]),
            two_digits(text[5], text[6]),
            two_digits(text[8], text[9]),
            two_digits(text[11], text[12]),
            two_digits(text[14], text[15]),
        ) {
            (Some(century), Some(year), Some(month), Some(day), Some(hour), Some(minute)) => {
                Self::from_civil(century * 100 + year, month, day, hour, minute)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / MINUTES_PER_DAY);
        let minute_of_day = self.0 % MINUTES_PER_DAY;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}", minute_of_day / 60, minute_of_day % 60)
    }
}

/// Length of the form that [`Minutes::parse`] reads.
pub(crate) const TEXT_BYTES: usize = "YYYY-MM-DDThh:mm".len();

const FIRST_YEAR: u32 = 1970;
const LAST_YEAR: u32 = 9999;
const MINUTES_PER_DAY: u32 = 24 * 60;
const DAYS_PER_ERA: u32 = 146_097;
/// From 0000-03-01, where the arithmetic starts, to 1970-01-01.
const DAYS_TO_EPOCH: u32 = 719_468;

const _: () =
    assert!(days_from_civil(LAST_YEAR, 12, 31) < u32::MAX / MINUTES_PER_DAY, "every minute of the last year must fit");

#[inline]
const fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens <= 9 && ones <= 9 { Some(tens as u32 * 10 + ones as u32) } else { None }
}

#[inline]
const fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts the days from 1970-01-01 to a date that exists.
#[inline]
const fn days_from_civil(year: u32, month: u32, day: u32) -> u32 {
    let (year, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH
}

/// Undoes [`days_from_civil`].
const fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_follows_the_one_before() {
        let mut days = 0;
        for year in FIRST_YEAR..=LAST_YEAR {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_civil(year, month, day), days);
                    assert_eq!(civil_from_days(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn known_points() {
        for (text, minutes) in [
            (b"1970-01-01T00:00", 0),
            (b"2000-02-29T23:59", 15_864_479),
            (b"2001-01-01T00:01", 16_305_121),
            (b"9999-12-31T23:59", 4_223_371_679),
        ] {
            let point = Minutes::parse(text).expect("a point in time");
            assert_eq!(point.since_epoch(), minutes);
            assert_eq!(point.to_string().as_bytes(), text);
        }
    }

    #[test]
    fn what_the_calendar_lacks_is_refused() {
        for text in [
            b"1969-12-31T23:59",
            b"2001-02-29T00:00",
            b"1900-02-29T00:00",
            b"2100-02-29T00:00",
            b"2001-00-01T00:00",
            b"2001-13-01T00:00",
            b"2001-04-31T00:00",
            b"2001-01-00T00:00",
            b"2001-01-01T24:00",
            b"2001-01-01T00:60",
            b"2001-01-01 00:00",
            b"2001/01/01T00:00",
            b"2001-01-01T0:000",
            b"+001-01-01T00:00",
        ] {
            assert_eq!(Minutes::parse(text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
