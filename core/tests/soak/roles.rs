//! Who works on it: threads that write, that keep snapshots, and that follow changes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::{Consumer, Map, ScanPosition, Store, TransactionError};

use super::support::counted::Counted;
use super::support::random::Random;
use super::world::{ACCOUNTS, AMOUNT_MAX, PLACES, World};

/// Names that may be in the crowd.
const CROWD: u64 = 20_000;
const SCRATCH: u64 = 2_000;

/// How long something lasts: a random time in a range of microseconds.
fn lasting(random: &mut Random, microseconds: Range<u64>) -> Duration {
    Duration::from_micros(microseconds.start + random.below(microseconds.end - microseconds.start))
}

/// A thread after the other, each of which works for a while and goes.
pub(crate) fn workers(world: &World, seed: u64, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    while !is_over.load(Ordering::Relaxed) {
        let (seed, steps) = (random.next(), 1_000 + random.below(50_000));
        let worked = thread::scope(|scope| scope.spawn(|| work(world, seed, steps, is_over)).join());
        worked.expect("the laws hold");
    }
}

fn work(world: &World, seed: u64, steps: u64, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    // A worker that comes makes the crowd grow or shrink.
    let makes_grow = random.below(2) == 0;
    for _ in 0..steps {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        match random.below(100) {
            0..25 => pay(world, &mut random),
            25..30 => pay_at_once(world, &mut random),
            30..50 => move_token(world, &mut random),
            50..55 => move_token_at_once(world, &mut random),
            55..80 => crowd(world, &mut random, makes_grow),
            80..90 => world.kept.work(&mut random),
            90..98 => scratch(world, &mut random),
            98 => look(world, &mut random),
            _ if random.below(100) == 0 => guest(random.next()),
            _ => drop(world.store.snapshot()),
        }
    }
}

/// Adds to an account on both sides, each in one of the ways that there are.
fn pay(world: &World, random: &mut Random) {
    let (account, amount) = (random.below(ACCOUNTS), 1 + random.below(AMOUNT_MAX));
    for side in [&world.paid, &world.received] {
        let pin = side.pin();
        let more = |held: &Counted| held.with(held.number() + amount);
        match random.below(4) {
            0 => assert!(pin.update(&account, more).is_some(), "accounts stay"),
            1 => drop(pin.upsert(account, |held| more(held.expect("accounts stay"))).number()),
            2 => assert!(matches!(pin.try_update(&account, |held| Ok::<_, ()>(more(held))), Ok(Some(_)))),
            _ => {
                let mut seen = pin.versioned(&account).expect("accounts stay");
                while let Err(conflict) = pin.compare_exchange(&account, seen.version(), more(&seen)) {
                    seen = conflict.actual.expect("accounts stay");
                }
            }
        }
    }
    world.moved.fetch_add(amount, Ordering::Relaxed);
}

/// Adds to an account on both sides, in one step.
fn pay_at_once(world: &World, random: &mut Random) {
    let (account, amount) = (random.below(ACCOUNTS), 1 + random.below(AMOUNT_MAX));
    let more = |held: &Counted| held.with(held.number() + amount);
    let paid = world.store.transact(|tx| {
        let both = [tx.update(&world.paid, &account, more)?, tx.update(&world.received, &account, more)?];
        assert_eq!(both, [true; 2], "accounts stay");
        Ok(())
    });
    assert_eq!(paid, Ok(()));
    world.moved.fetch_add(amount, Ordering::Relaxed);
}

/// Takes a token out of its place, if one is there, and puts it into another one, if that is free: in one step, or not at all.
fn move_token_at_once(world: &World, random: &mut Random) {
    let [from, to] = [0, 1].map(|_| &world.tokens[random.below(2) as usize]);
    let [place, free] = [0, 1].map(|_| random.below(PLACES));
    let moved = world.store.transact(|tx| {
        let Some(token) = tx.get(from, &place)?.map(Counted::number) else { return Err(tx.abort()) };
        tx.remove(from, &place)?;
        if tx.insert(to, free, world.census.value(token))?.is_some() { Err(tx.abort()) } else { Ok(()) }
    });
    assert!(matches!(moved, Ok(()) | Err(TransactionError::Aborted)), "{moved:?}");
}

/// Takes a token out of its place, if one is there, and puts it into a free one.
fn move_token(world: &World, random: &mut Random) {
    let from = world.tokens[random.below(2) as usize].pin();
    let place = random.below(PLACES);
    let taken = match random.below(2) {
        0 => from.remove(&place),
        _ => from.remove_if(&place, |token| token.number() % 2 == 0),
    };
    let Some(token) = taken.map(|token| token.number()) else { return };
    loop {
        let to = world.tokens[random.below(2) as usize].pin();
        if to.insert(random.below(PLACES), world.census.value(token)).is_ok() {
            return;
        }
    }
}

fn crowd(world: &World, random: &mut Random, makes_grow: bool) {
    let name = format!("one of the crowd, with the number {}", random.below(CROWD));
    let value = || world.census.value(name.len() as u64);
    let pin = world.crowd.pin();
    match random.below(8) {
        0..5 if makes_grow => match random.below(3) {
            0 => _ = pin.insert(name.clone(), value()),
            1 => _ = pin.put(name.clone(), value()),
            _ => _ = pin.get_or_insert_with(name.clone(), value),
        },
        0..5 => _ = pin.remove(name.as_str()),
        5 => _ = pin.update(name.as_str(), Clone::clone),
        6 => assert!(pin.get(name.as_str()).is_none_or(|value| value.number() == name.len() as u64)),
        _ => _ = pin.versioned(name.as_str()),
    }
}

fn scratch(world: &World, random: &mut Random) {
    let pin = world.scratch.pin();
    match random.below(200) {
        0 => pin.clear(),
        1 => pin.retain(|key, _| key % 3 > 0),
        _ => {
            let key = random.below(SCRATCH);
            pin.upsert(key, |held| held.map_or_else(|| world.census.value(key), |held| held.with(held.number())));
        }
    }
}

/// Reads part of a map at a snapshot, in steps.
fn look(world: &World, random: &mut Random) {
    let still = world.store.snapshot();
    let view = still.of(&world.scratch).expect("the store's own map");
    let mut position = Some(ScanPosition::START);
    for _ in 0..random.below(8) {
        let Some(from) = position else { break };
        position = view.scan(from, 100, |key, value| assert_eq!(*key, value.number(), "a value of another key"));
    }
}

/// A store that comes and goes.
fn guest(seed: u64) {
    let store = Store::new();
    let map: Map<u64, u64> = store.map("guest").expect("a fresh name");
    let still = store.snapshot();
    (0..seed % 500).for_each(|key| _ = map.pin().put(key, seed));
    assert_eq!(still.iter(&map).count(), 0);
    assert_eq!(map.len() as u64, seed % 500);
}

/// Keeps snapshots, some for long: each shows what it showed, and a later one shows no less.
pub(crate) fn keep_snapshots(world: &World, seed: u64, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    let mut kept = Vec::new();
    let mut paid = 0;
    while !is_over.load(Ordering::Relaxed) {
        let raised = world.kept.raised();
        let still = world.store.snapshot();
        let account = world.account(&still);
        assert!(world.kept.sum(&still) >= raised, "a snapshot shows what was there before it");
        world.kept.look();
        assert!(account.paid >= paid, "a later snapshot shows less");
        paid = account.paid;
        // Most end soon, some last.
        let scale = 10_u64.pow(random.below(4) as u32);
        kept.push((Instant::now() + lasting(&mut random, 50 * scale..500 * scale), still, account));
        while kept.len() > 8 {
            let next = (0..kept.len()).min_by_key(|at| kept[*at].0).expect("some are kept");
            let (until, still, account) = kept.swap_remove(next);
            while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(world.account(&still), account, "a snapshot shows what it showed");
        }
    }
}

/// A copy of two maps that a consumer keeps up to date.
struct Follower<'w> {
    world: &'w World,
    consumer: Consumer,
    scratch: HashMap<u64, u64>,
    paid: HashMap<u64, u64>,
}

impl<'w> Follower<'w> {
    fn new(world: &'w World) -> Self {
        let mut follower =
            Self { world, consumer: world.store.consumer(), scratch: HashMap::new(), paid: HashMap::new() };
        // What was there before its time is not its business: begin with it.
        let start = follower.consumer.cut();
        let all =
            |map: &Map<u64, Counted>| start.snapshot().iter(map).map(|(key, value)| (*key, value.number())).collect();
        (follower.scratch, follower.paid) = (all(&world.scratch), all(&world.paid));
        follower.consumer.acknowledge(start);
        follower
    }

    fn follow(&mut self, random: &mut Random) {
        let cut = self.consumer.cut();
        let (mut scratch, mut paid) = (self.scratch.clone(), self.paid.clone());
        for (copy, map) in [(&mut scratch, &self.world.scratch), (&mut paid, &self.world.paid)] {
            for change in cut.changes(map) {
                match change.value {
                    Some(value) => drop(copy.insert(*change.key, value.number())),
                    None => drop(copy.remove(change.key)),
                }
            }
            let shown: HashMap<u64, u64> =
                cut.snapshot().iter(map).map(|(key, value)| (*key, value.number())).collect();
            assert_eq!(*copy, shown, "what cuts name leads to what their snapshot shows");
        }
        match random.below(8) {
            // The one that fails: the next cut names it all again.
            0 => drop(cut),
            // The one that takes long.
            1 => {
                thread::sleep(lasting(random, 1_000..50_000));
                self.consumer.acknowledge(cut);
                (self.scratch, self.paid) = (scratch, paid);
            }
            _ => {
                self.consumer.acknowledge(cut);
                (self.scratch, self.paid) = (scratch, paid);
            }
        }
    }
}

/// Follows changes; sometimes stalls, with a pin or without; sometimes goes, and another one comes.
pub(crate) fn follow(world: &World, seed: u64, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    let mut follower = Follower::new(world);
    while !is_over.load(Ordering::Relaxed) {
        match random.below(40) {
            0 => follower = Follower::new(world),
            1 => {
                let pin = world.paid.pin();
                let held = pin.get(&0).expect("accounts stay");
                thread::sleep(lasting(&mut random, 1_000..20_000));
                held.number();
            }
            2 => thread::sleep(lasting(&mut random, 1_000..50_000)),
            _ => follower.follow(&mut random),
        }
        thread::sleep(lasting(&mut random, 100..2_000));
    }
}
