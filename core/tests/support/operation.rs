//! The one enum of operations: what scripts, stress and stall tests are made of.

use proptest::prelude::*;

use super::random::Random;

/// An operation on a store with two maps; `on` says on which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get {
        on: usize,
        key: u16,
    },
    Put {
        on: usize,
        key: u16,
        value: u64,
    },
    /// Adds to the value.
    Update {
        on: usize,
        key: u16,
        add: u64,
    },
    /// Takes from the value, and refuses if there is too little.
    TryUpdate {
        on: usize,
        key: u16,
        take: u64,
    },
    /// Adds to the value, or begins with it.
    Upsert {
        on: usize,
        key: u16,
        add: u64,
    },
    GetOrInsertWith {
        on: usize,
        key: u16,
        value: u64,
    },
    Insert {
        on: usize,
        key: u16,
        value: u64,
    },
    /// Expects the version that the key has.
    CompareExchange {
        on: usize,
        key: u16,
        value: u64,
    },
    /// Expects the last version but one that the key had.
    CompareExchangeStale {
        on: usize,
        key: u16,
        value: u64,
    },
    /// Expects `expected`, which may be right or wrong.
    CompareExchangeValue {
        on: usize,
        key: u16,
        expected: u64,
        value: u64,
    },
    Remove {
        on: usize,
        key: u16,
    },
    /// Removes a value below `below`.
    RemoveIf {
        on: usize,
        key: u16,
        below: u64,
    },
    /// Removes the keys that `modulo` divides.
    Retain {
        on: usize,
        modulo: u16,
    },
    Clear {
        on: usize,
    },
    /// Puts a run of keys: grows the table.
    PutMany {
        on: usize,
        from: u16,
        count: u16,
    },
    /// Removes a run of keys.
    RemoveMany {
        on: usize,
        from: u16,
        count: u16,
    },
    TakeSnapshot,
    /// Reads a kept snapshot in full.
    ReadSnapshot {
        which: usize,
    },
    DropSnapshot {
        which: usize,
    },
    /// Cuts, applies the changes to the consumer's copy, and acknowledges.
    Cut,
    /// Cuts, and drops what it got.
    CutAndDrop,
    /// Ends the consumer and registers another one.
    Resubscribe,
    Maintain,
    /// Pins for the operations that follow.
    HoldPin,
    ReleasePin,
}

impl Operation {
    /// The operation that three numbers stand for; smaller numbers are simpler operations. Keys are below `keys`.
    pub(crate) fn decode(kind: u8, key: u16, number: u16, keys: u16) -> Self {
        let (on, key, value) = (usize::from(number & 1), key % keys, u64::from(number >> 1) % 64);
        let which = usize::from(number);
        match kind {
            0..20 => Self::Get { on, key },
            20..50 => Self::Put { on, key, value },
            50..66 => Self::Update { on, key, add: value },
            66..78 => Self::TryUpdate { on, key, take: value },
            78..96 => Self::Upsert { on, key, add: value },
            96..106 => Self::GetOrInsertWith { on, key, value },
            106..118 => Self::Insert { on, key, value },
            118..128 => Self::CompareExchange { on, key, value },
            128..134 => Self::CompareExchangeStale { on, key, value },
            134..142 => Self::CompareExchangeValue { on, key, expected: value / 8, value: value % 8 },
            142..164 => Self::Remove { on, key },
            164..172 => Self::RemoveIf { on, key, below: value },
            172..175 => Self::Retain { on, modulo: 2 + number % 5 },
            175..176 => Self::Clear { on },
            176..180 => Self::PutMany { on, from: key, count: (number % 512).min(keys) },
            180..184 => Self::RemoveMany { on, from: key, count: (number % 512).min(keys) },
            184..200 => Self::TakeSnapshot,
            200..206 => Self::ReadSnapshot { which },
            206..220 => Self::DropSnapshot { which },
            220..230 => Self::Cut,
            230..236 => Self::CutAndDrop,
            236..237 => Self::Resubscribe,
            237..246 => Self::Maintain,
            246..250 => Self::HoldPin,
            250..=255 => Self::ReleasePin,
        }
    }

    /// Whether it is one of a consumer's, which may wait for other consumers.
    pub(crate) fn is_a_consumers(self) -> bool {
        matches!(self, Self::Cut | Self::CutAndDrop | Self::Resubscribe)
    }

    /// Any operation, for property tests.
    pub(crate) fn any(keys: u16) -> impl Strategy<Value = Self> {
        (any::<u8>(), 0..keys, any::<u16>()).prop_map(move |(kind, key, number)| Self::decode(kind, key, number, keys))
    }

    /// Any operation, for stress tests.
    pub(crate) fn random(random: &mut Random, keys: u16) -> Self {
        let drawn = random.next();
        Self::decode(drawn as u8, (drawn >> 16) as u16, (drawn >> 32) as u16, keys)
    }
}
