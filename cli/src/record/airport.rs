//! Airports by their three-character codes, and routes between them.

use std::fmt;

/// Identifies an airport by its IATA code: three ASCII letters or digits.
///
/// # Examples
///
/// ```
/// use stillpoint_cli::record::Airport;
///
/// let ohare = Airport::new(*b"ORD").unwrap();
/// assert_eq!(ohare.to_string(), "ORD");
/// assert_eq!(Airport::new(*b"O D"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Airport([u8; 3]);

impl Airport {
    /// Makes an airport of `code`, or nothing if a byte is not an ASCII letter or digit.
    #[inline]
    pub const fn new(code: [u8; 3]) -> Option<Self> {
        let [a, b, c] = code;
        if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && c.is_ascii_alphanumeric() {
            Some(Self(code))
        } else {
            None
        }
    }

    /// Returns the code's bytes.
    #[inline]
    pub const fn bytes(self) -> [u8; 3] {
        self.0
    }
}

impl fmt::Display for Airport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ASCII by construction; padding is the caller's, so that tables line up.
        f.pad(std::str::from_utf8(&self.0).unwrap_or("???"))
    }
}

impl fmt::Debug for Airport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Airport({self})")
    }
}

/// Names the way from one airport to another; the way back is another route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Where the flight departs.
    pub origin: Airport,
    /// Where it arrives.
    pub destination: Airport,
}

impl Route {
    /// Returns the codes of origin and destination, one after the other.
    #[inline]
    pub const fn bytes(self) -> [u8; 6] {
        let [a, b, c] = self.origin.0;
        let [d, e, f] = self.destination.0;
        [a, b, c, d, e, f]
    }

    /// Makes a route of what [`bytes`](Self::bytes) returned, or nothing if either code is not one.
    pub const fn from_bytes([a, b, c, d, e, f]: [u8; 6]) -> Option<Self> {
        match (Airport::new([a, b, c]), Airport::new([d, e, f])) {
            (Some(origin), Some(destination)) => Some(Self { origin, destination }),
            _ => None,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.origin, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_three_letters_or_digits() {
        for code in [*b"ORD", *b"las", *b"0Q9"] {
            assert_eq!(Airport::new(code).map(Airport::bytes), Some(code));
        }
        for code in [*b"OR ", *b"\"OR", *b"O,D", [0xff, b'A', b'B']] {
            assert_eq!(Airport::new(code), None);
        }
    }

    #[test]
    fn a_route_comes_back_from_its_bytes() {
        let route = Route { origin: Airport(*b"LAS"), destination: Airport(*b"PHL") };
        assert_eq!(Route::from_bytes(route.bytes()), Some(route));
        assert_eq!(route.to_string(), "LAS-PHL");
        assert_eq!(Route::from_bytes(*b"LAS,PH"), None);
    }
}
