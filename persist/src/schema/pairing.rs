//! Which field (or variant) of the stored definition is which of the program's.
//!
//! Names decide. What has no partner of its name is paired by position where it may be the same under a new name, so that a
//! renaming is told as one and not as a loss and a gain.

use std::collections::{HashMap, HashSet};

/// How the fields (or variants) of two definitions belong together, by their positions.
pub(super) struct Pairs {
    pub(super) pairings: Vec<Pairing>,
    /// The stored positions of those that are in both, but in another order among them.
    pub(super) moved: HashSet<usize>,
}

#[derive(Clone, Copy)]
pub(super) enum Pairing {
    Both(usize, usize),
    Renamed(usize, usize),
    OnlyStored(usize),
    OnlyNow(usize),
}

impl Pairs {
    /// Pairs by name, then what is left over by position where `renamed` says that it may be the same.
    pub(super) fn of<'a, T>(
        stored: &'a [T],
        now: &'a [T],
        name: impl Fn(&'a T) -> &'a String,
        renamed: impl Fn(&T, &T) -> bool,
    ) -> Self {
        let names: HashSet<_> = stored.iter().map(&name).collect();
        let positions: HashMap<_, _> = now.iter().enumerate().map(|(at, part)| (name(part), at)).collect();
        let mut pairings = Vec::new();
        let mut renamed_now = HashSet::new();
        for (at, part) in stored.iter().enumerate() {
            pairings.push(match (positions.get(name(part)), now.get(at)) {
                (Some(&at_now), _) => Pairing::Both(at, at_now),
                (None, Some(part_now)) if !names.contains(name(part_now)) && renamed(part, part_now) => {
                    renamed_now.insert(at);
                    Pairing::Renamed(at, at)
                }
                _ => Pairing::OnlyStored(at),
            });
        }
        let is_new = |at: &usize| !names.contains(name(&now[*at])) && !renamed_now.contains(at);
        pairings.extend((0..now.len()).filter(is_new).map(Pairing::OnlyNow));

        let both = pairings.iter().filter_map(|pairing| match *pairing {
            Pairing::Both(at, at_now) => Some((at, at_now)),
            _ => None,
        });
        let mut in_order: Vec<_> = both.clone().map(|(_, at_now)| at_now).collect();
        in_order.sort_unstable();
        let moved = both.zip(in_order).filter(|((_, at_now), expected)| at_now != expected);
        let moved = moved.map(|((at, _), _)| at).collect();
        Self { pairings, moved }
    }
}
