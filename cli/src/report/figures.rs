//! Figures as people read them: grouped by thousands, three significant digits, and a unit that fits.

use std::time::Duration;

/// Shows a count, grouped by thousands: `3,000,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Shows a whole number that may be negative, grouped by thousands: `-1,116`.
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", count(number.unsigned_abs()))
}

/// Shows a number with so many digits behind the point, grouped by thousands: `1,234.5`.
pub fn decimal(number: f64, places: usize) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let text = format!("{:.places$}", number.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let zero = !text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let sign = if number < 0.0 && !zero { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    // A number too long for 64 bits stays ungrouped.
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    format!("{sign}{whole}{point}{rest}")
}

/// Shows a duration in ns, µs, ms or s, in three significant digits: `1.24 ms`. Minutes stay seconds.
pub fn duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds < 1_000 {
        return format!("{nanoseconds} ns");
    }
    scaled(nanoseconds as f64, &[(1e3, "µs"), (1e6, "ms"), (1e9, "s")])
}

/// Shows a number of bytes in B, KiB, MiB, GiB or TiB, in three significant digits: `13.6 MiB`.
pub fn bytes(number: u64) -> String {
    if number < 1 << 10 {
        return format!("{number} B");
    }
    let unit = |power: i32| f64::from(2u32).powi(power);
    scaled(number as f64, &[(unit(10), "KiB"), (unit(20), "MiB"), (unit(30), "GiB"), (unit(40), "TiB")])
}

/// Shows how often something happened in a second, in three significant digits: `1.27 M/s`; a dash if no time passed.
pub fn rate(times: u64, during: Duration) -> String {
    if during.is_zero() {
        return "-".to_owned();
    }
    scaled(times as f64 / during.as_secs_f64(), &[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s"), (1e9, "G/s")])
}

/// Shows `number` in the largest unit of which there is at least one, after rounding, or else in the smallest.
fn scaled(number: f64, units: &[(f64, &str)]) -> String {
    let Some((&(first, first_name), larger)) = units.split_first() else {
        return number.to_string();
    };
    let (mut size, mut name) = (first, first_name);
    for &(next, next_name) in larger {
        // 999.6 µs would round to 1000 µs: it is 1.00 ms.
        if (number / size).round() * size >= next {
            (size, name) = (next, next_name);
        }
    }
    let number = number / size;
    let places = match number {
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    format!("{} {name}", decimal(number, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (20_003_603, "20,003,603"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(signed(-1_116), "-1,116");
        assert_eq!(signed(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(decimal(-1_234.56, 1), "-1,234.6");
        assert_eq!(decimal(-0.04, 1), "0.0");
        assert_eq!(decimal(f64::NAN, 1), "-");
    }

    #[test]
    fn units_fit_their_figures() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (12_340, "12.3 µs"),
            (999_499, "999 µs"),
            (999_600, "1.00 ms"),
            (1_236_000_000, "1.24 s"),
            (9_996_000, "10.0 ms"),
            (3_600_000_000_000, "3,600 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), text);
        }
        for (number, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (14_226_420, "13.6 MiB"), (1 << 40, "1.00 TiB")]
        {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(rate(3_000_000, Duration::from_secs(2)), "1.50 M/s");
        assert_eq!(rate(1, Duration::from_secs(2)), "0.50 /s");
        assert_eq!(rate(1, Duration::ZERO), "-");
    }
}
