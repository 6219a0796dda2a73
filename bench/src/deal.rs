//! Deals: which key each operation is about, drawn before the clock starts.
//!
//! Zipfian draws follow Gray et al., "Quickly generating billion-record synthetic databases" (1994), as YCSB does. Ranks are
//! spread over the keys by a bijection, so that hot keys are not neighbours in the order of loading.

/// How often each key is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// All alike.
    Uniform,
    /// The n-th hottest in proportion to n^-0.99.
    Zipfian,
}

impl Skew {
    /// The skew's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipfian => "zipf 0.99",
        }
    }
}

/// One drawn operation: the number of a key, and whether it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(u32);

const WRITES: u32 = 1 << 31;

impl Draw {
    /// The number of the key.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0 & !WRITES
    }

    /// Whether the operation writes.
    #[inline]
    pub const fn writes(self) -> bool {
        self.0 & WRITES != 0
    }
}

/// Draws operations, the same ones for the same seed.
///
/// # Examples
/// ```
/// use stillpoint_bench::deal::{Dealer, Skew};
/// let deal = Dealer::new(1_000, Skew::Zipfian).deal(64, 50, 7);
/// assert!(deal.iter().all(|draw| draw.number() < 1_000));
/// assert_eq!(deal, Dealer::new(1_000, Skew::Zipfian).deal(64, 50, 7));
/// ```
#[derive(Debug, Clone)]
pub struct Dealer {
    keys: u32,
    zipf: Option<Zipf>,
}

impl Dealer {
    /// Makes a dealer of `keys` keys.
    ///
    /// # Cost
    /// Zipfian: one power for each key.
    ///
    /// # Panics
    /// If there are no keys, or more than 2^31.
    pub fn new(keys: u32, skew: Skew) -> Self {
        assert!(0 < keys && keys < WRITES, "{keys} keys");
        Self { keys, zipf: (skew == Skew::Zipfian).then(|| Zipf::new(keys)) }
    }

    /// Draws `count` operations, of which about `writes` in a hundred write.
    pub fn deal(&self, count: usize, writes: u32, seed: u64) -> Vec<Draw> {
        let mut random = Random(seed);
        (0..count)
            .map(|_| {
                let number = match &self.zipf {
                    Some(zipf) => spread(zipf.rank(random.unit()), self.keys),
                    None => random.below(self.keys),
                };
                Draw(number | if random.below(100) < writes { WRITES } else { 0 })
            })
            .collect()
    }
}

/// Sends ranks to keys, one to one.
fn spread(rank: u32, keys: u32) -> u32 {
    // A prime above 2^31: no number of keys shares a factor with it.
    const PRIME: u64 = 2_654_435_761;
    (u64::from(rank) * PRIME % u64::from(keys)) as u32
}

#[derive(Debug, Clone)]
struct Zipf {
    keys: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    fn new(keys: u32) -> Self {
        let zeta: f64 = (1..=keys).map(|rank| f64::from(rank).powf(-THETA)).sum();
        let first_two = 1.0 + 0.5_f64.powf(THETA);
        let keys = f64::from(keys);
        let eta = (1.0 - (2.0 / keys).powf(1.0 - THETA)) / (1.0 - first_two / zeta);
        Self { keys, zeta, alpha: 1.0 / (1.0 - THETA), eta }
    }

    /// The rank, from 0 on, at a point of [0, 1).
    fn rank(&self, point: f64) -> u32 {
        let scaled = point * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(THETA) {
            return 1;
        }
        let rank = self.keys * (self.eta * point - self.eta + 1.0).powf(self.alpha);
        (rank as u32).min(self.keys as u32 - 1)
    }
}

/// SplitMix64.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_spread_one_to_one() {
        for keys in [1, 2, 1_000, 65_536, 100_003] {
            let mut hit = vec![false; keys as usize];
            (0..keys).for_each(|rank| hit[spread(rank, keys) as usize] = true);
            assert!(hit.iter().all(|hit| *hit), "{keys} keys");
        }
    }

    #[test]
    fn zipfian_draws_have_the_shares_that_the_law_gives() {
        let keys = 10_000;
        let zipf = Zipf::new(keys);
        let mut random = Random(1);
        let mut counts = vec![0_u32; keys as usize];
        let draws = 1_000_000;
        (0..draws).for_each(|_| counts[zipf.rank(random.unit()) as usize] += 1);
        let share = |ranks: std::ops::Range<usize>| f64::from(counts[ranks].iter().sum::<u32>()) / f64::from(draws);
        let law =
            |ranks: std::ops::Range<u32>| ranks.map(|rank| f64::from(rank + 1).powf(-THETA)).sum::<f64>() / zipf.zeta;
        assert!((share(0..1) - law(0..1)).abs() < 0.005);
        assert!((share(0..100) - law(0..100)).abs() < 0.02);
        assert!((share(0..5_000) - law(0..5_000)).abs() < 0.02);
    }

    #[test]
    fn the_share_of_writes_is_as_asked() {
        let dealer = Dealer::new(1_000, Skew::Uniform);
        for writes in [0, 5, 50, 100] {
            let deal = dealer.deal(100_000, writes, 3);
            let found = deal.iter().filter(|draw| draw.writes()).count() as f64 / 1_000.0;
            assert!((found - f64::from(writes)).abs() < 1.0, "{found} of {writes}");
        }
    }
}
