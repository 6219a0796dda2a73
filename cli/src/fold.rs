//! What is kept of flights: for each airport and each route, a tally.
//!
//! Folding flights into a tally does not depend on their order, and tallies merge. So partitions can be folded by
//! themselves, and the whole is the merge of the parts.

use crate::record::{Flight, Minutes};

/// Sums up flights.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::{fold::Tally, record::Flight};
///
/// let mut tally = Tally::empty();
/// assert_eq!(tally.delay_mean(), None);
/// tally.record(&Flight::parse(b"2001-01-01T00:01,LAS,PHL,33,2176")?);
/// tally.record(&Flight::parse(b"2001-01-01T00:02,LAS,ONT,-3,197")?);
/// assert_eq!((tally.flights, tally.delay_sum, tally.delay_range()), (2, 30, Some((-3, 33))));
/// # Ok::<(), stillpoint_cli::record::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Counts the flights.
    pub flights: u64,
    /// Sums their delays, in minutes.
    pub delay_sum: i64,
    /// Smallest delay in minutes; [`i32::MAX`] while there are no flights. See [`delay_range`](Self::delay_range).
    pub delay_min: i32,
    /// Largest delay in minutes; [`i32::MIN`] while there are no flights. See [`delay_range`](Self::delay_range).
    pub delay_max: i32,
    /// The latest departure, which need not be that of the last record; [`Minutes::EPOCH`] while there are no flights.
    pub last_departure: Minutes,
}

impl Tally {
    /// Makes the tally of no flights, which changes nothing when merged.
    pub const fn empty() -> Self {
        Self { flights: 0, delay_sum: 0, delay_min: i32::MAX, delay_max: i32::MIN, last_departure: Minutes::EPOCH }
    }

    /// Adds a flight. The sum has room for 2³² flights of any delay.
    #[inline]
    pub fn record(&mut self, flight: &Flight) {
        self.flights += 1;
        self.delay_sum += i64::from(flight.delay);
        self.delay_min = self.delay_min.min(flight.delay);
        self.delay_max = self.delay_max.max(flight.delay);
        self.last_departure = self.last_departure.max(flight.departure);
    }

    /// Returns the tally with a flight added.
    #[inline]
    #[must_use]
    pub fn with(mut self, flight: &Flight) -> Self {
        self.record(flight);
        self
    }

    /// Adds the flights of another tally.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        self.flights += other.flights;
        self.delay_sum += other.delay_sum;
        self.delay_min = self.delay_min.min(other.delay_min);
        self.delay_max = self.delay_max.max(other.delay_max);
        self.last_departure = self.last_departure.max(other.last_departure);
    }

    /// Tells whether there are no flights.
    pub const fn is_empty(&self) -> bool {
        self.flights == 0
    }

    /// Returns the smallest and the largest delay, or nothing if there are no flights.
    pub const fn delay_range(&self) -> Option<(i32, i32)> {
        if self.is_empty() { None } else { Some((self.delay_min, self.delay_max)) }
    }

    /// Returns the mean delay in minutes, or nothing if there are no flights.
    pub fn delay_mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.delay_sum as f64 / self.flights as f64)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Airport;
    use proptest::prelude::*;

    fn flight() -> impl Strategy<Value = Flight> {
        (any::<u32>(), any::<i32>(), any::<u32>()).prop_map(|(departure, delay, distance)| Flight {
            departure: Minutes::new(departure),
            origin: Airport::new(*b"LAS").expect("a code"),
            destination: Airport::new(*b"PHL").expect("a code"),
            delay,
            distance,
        })
    }

    fn tally<'a>(flights: impl IntoIterator<Item = &'a Flight>) -> Tally {
        flights.into_iter().fold(Tally::empty(), |tally, flight| tally.with(flight))
    }

    proptest! {
        #[test]
        fn order_and_parts_do_not_matter(flights in prop::collection::vec(flight(), 0..50), cut in any::<prop::sample::Index>()) {
            let whole = tally(&flights);
            prop_assert_eq!(tally(flights.iter().rev()), whole);
            let (left, right) = flights.split_at(cut.index(flights.len() + 1));
            let mut merged = tally(left);
            merged.merge(&tally(right));
            prop_assert_eq!(merged, whole);
            prop_assert_eq!(whole.delay_range().map(|(min, _)| min), flights.iter().map(|flight| flight.delay).min());
        }
    }
}
