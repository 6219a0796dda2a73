//! A store does what plain hash maps do: random scripts on both, compared after each step.

mod support;

use proptest::prelude::*;
use support::key::{Colliding, Key};
use support::operation::Operation;
use support::oracle::{Oracle, World};

/// Few keys meet again and again: long chains, removed and reused slots.
const FEW: u16 = 6;
/// Many keys grow the table.
const MANY: u16 = 3000;

fn check<K: Key>(script: &[Operation]) {
    let world = World::<K>::new();
    let mut oracle = Oracle::alone(&world);
    for operation in script {
        oracle.apply(*operation);
    }
    oracle.compare_all();
}

fn script(keys: u16, len: usize) -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(Operation::any(keys), 0..len)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn few_keys_that_are_numbers(script in script(FEW, 400)) {
        check::<u64>(&script);
    }

    #[test]
    fn few_keys_that_are_strings(script in script(FEW, 400)) {
        check::<String>(&script);
    }

    #[test]
    fn keys_whose_hashes_collide(script in script(48, 300)) {
        check::<Colliding>(&script);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_keys_that_are_numbers(script in script(MANY, 200)) {
        check::<u64>(&script);
    }

    #[test]
    fn many_keys_that_are_strings(script in script(MANY, 200)) {
        check::<String>(&script);
    }
}
