//! A small seeded generator (SplitMix64): the same seed gives the same crashes on every machine, for ever.

/// A stream of numbers that a seed determines.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound`, `bound` included.
    pub(super) fn up_to(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * (bound as u128 + 1);
        (wide >> 64) as usize
    }

    /// True once in `times`, on average.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.up_to(times - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_published_ones_and_stay_in_range() {
        // The first values of SplitMix64 for seed 1234567, as its author published them.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[random.up_to(3)] = true;
            assert_eq!(random.up_to(0), 0);
        }
        assert_eq!(seen, [true; 4]);
    }
}
