//! Closures, hashes, comparisons, clones and drops that panic leave the map usable, and as it was.

mod support;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use stillpoint::{Map, Store, Version};
use support::counted::{Census, Counted};

/// What the user's code may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Hash,
    Compare,
    Clone,
    Drop,
}

thread_local! {
    /// The deed that panics, and how often it is done before that.
    static ARMED: Cell<Option<(Deed, u32)>> = const { Cell::new(None) };
}

fn arm(deed: Deed, times_before: u32) {
    ARMED.set(Some((deed, times_before)));
}

/// Panics if it is the armed deed's turn, and disarms it.
fn deed(done: Deed) {
    match ARMED.get() {
        Some((armed, 0)) if armed == done => {
            ARMED.set(None);
            panic!("armed: {done:?}");
        }
        Some((armed, left)) if armed == done => ARMED.set(Some((armed, left - 1))),
        _ => {}
    }
}

/// A key or value whose every deed may panic. It is counted, and its count is right also if its drop panics.
#[derive(Debug)]
struct Touchy(Counted);

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        deed(Deed::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        deed(Deed::Compare);
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        deed(Deed::Clone);
        Self(self.0.clone())
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        deed(Deed::Drop);
    }
}

struct Scene {
    census: Census,
    store: Store,
    map: Map<Touchy, Touchy>,
}

/// Keys that are there at the start.
const KEYS: u64 = 20;

impl Scene {
    fn new() -> Self {
        let (census, store) = (Census::default(), Store::new());
        let map = store.map("touchy").unwrap();
        let scene = Self { census, store, map };
        (0..KEYS).for_each(|key| _ = scene.map.pin().put(scene.touchy(key), scene.touchy(key)));
        scene
    }

    fn touchy(&self, number: u64) -> Touchy {
        Touchy(self.census.value(number))
    }

    fn contents(&self) -> Vec<(u64, u64, Version)> {
        let still = self.store.snapshot();
        let view = still.of(&self.map).unwrap();
        let mut contents: Vec<_> =
            view.iter_versioned().map(|(key, seen)| (key.0.number(), seen.0.number(), seen.version())).collect();
        contents.sort_unstable();
        assert_eq!(contents.len(), self.map.len());
        contents
    }

    /// Does something that panics, and checks that the map is as it was and usable, and that nothing is lost.
    #[track_caller]
    fn panics(&self, what: &str, act: impl FnOnce(&Self)) {
        let before = self.contents();
        let outcome = catch_unwind(AssertUnwindSafe(|| act(self)));
        assert!(ARMED.take().is_none(), "{what}: the deed was not done");
        assert!(outcome.is_err(), "{what}: the panic gets through");
        assert_eq!(self.contents(), before, "{what}: the map is as it was");
        self.is_usable();
    }

    #[track_caller]
    fn is_usable(&self) {
        let pin = self.map.pin();
        for key in (0..KEYS).chain(1_000..1_003) {
            let before = pin.get(&self.touchy(key)).map(|value| value.0.number());
            pin.upsert(self.touchy(key), |value| self.touchy(value.map_or(0, |value| value.0.number() + 1)));
            pin.update(&self.touchy(key), |value| self.touchy(value.0.number()));
            assert!(pin.contains(&self.touchy(key)));
            pin.remove(&self.touchy(key));
            assert!(!pin.contains(&self.touchy(key)));
            if let Some(value) = before {
                assert!(pin.insert(self.touchy(key), self.touchy(value)).is_ok());
            }
        }
    }

    /// Everything is dropped once.
    #[track_caller]
    fn end(self) {
        while self.store.maintain() {}
        drop((self.map, self.store));
        assert_eq!(self.census.live(), 0);
    }
}

fn boom<T>() -> T {
    panic!("the closure panics")
}

#[test]
fn closures() {
    let scene = Scene::new();
    scene.panics("update", |scene| _ = scene.map.pin().update(&scene.touchy(1), |_| boom()));
    scene.panics("try_update", |scene| _ = scene.map.pin().try_update(&scene.touchy(1), |_| boom::<Result<_, ()>>()));
    scene.panics("upsert", |scene| _ = scene.map.pin().upsert(scene.touchy(1), |_| boom()));
    scene.panics("remove_if", |scene| _ = scene.map.pin().remove_if(&scene.touchy(1), |_| boom()));
    scene.panics("retain", |scene| scene.map.pin().retain(|_, _| boom()));
    scene.panics("upsert of an absent key", |scene| _ = scene.map.pin().upsert(scene.touchy(500), |_| boom()));
    scene.panics("get_or_insert_with", |scene| _ = scene.map.pin().get_or_insert_with(scene.touchy(501), boom));
    for key in [500, 501] {
        assert!(!scene.map.pin().knows(&scene.touchy(key)), "no trace is left of key {key}");
    }
    scene.end();
}

#[test]
fn a_closure_that_panics_when_it_runs_again() {
    let scene = Scene::new();
    let key = scene.touchy(1);
    let runs = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        scene.map.pin().update(&key, |_| {
            runs.set(runs.get() + 1);
            // A race with another writer of the key: the closure must run again.
            if runs.get() == 1 {
                scene.map.pin().put(scene.touchy(1), scene.touchy(77))
            } else {
                boom()
            };
            scene.touchy(78)
        });
    }));
    assert!(outcome.is_err() && runs.get() == 2);
    assert_eq!(scene.map.pin().get(&key).map(|value| value.0.number()), Some(77));
    scene.is_usable();
    drop(key);
    scene.end();
}

/// What has been removed before the panic stays removed.
#[test]
fn retain_that_panics_in_the_middle() {
    let scene = Scene::new();
    let tested = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        scene.map.pin().retain(|_, _| {
            tested.set(tested.get() + 1);
            if tested.get() == 11 { boom() } else { tested.get() % 2 == 0 }
        });
    }));
    assert!(outcome.is_err());
    assert_eq!((scene.map.len(), scene.contents().len()), (15, 15));
    scene.is_usable();
    scene.end();
}

#[test]
fn hash_and_eq() {
    for deed in [Deed::Hash, Deed::Compare] {
        let scene = Scene::new();
        let panics = |what: &str, act: &dyn Fn(&Scene)| {
            scene.panics(&format!("{what}: {deed:?}"), |scene| {
                arm(deed, 0);
                act(scene);
            });
        };
        panics("get", &|scene| _ = scene.map.pin().get(&scene.touchy(1)));
        panics("put", &|scene| _ = scene.map.pin().put(scene.touchy(1), scene.touchy(2)));
        panics("update", &|scene| _ = scene.map.pin().update(&scene.touchy(1), |_| scene.touchy(2)));
        panics("upsert", &|scene| _ = scene.map.pin().upsert(scene.touchy(1), |_| scene.touchy(2)));
        panics("insert", &|scene| _ = scene.map.pin().insert(scene.touchy(1), scene.touchy(2)));
        panics("get_or_insert_with", &|scene| {
            scene.map.pin().get_or_insert_with(scene.touchy(1), || scene.touchy(2));
        });
        panics("remove", &|scene| _ = scene.map.pin().remove(&scene.touchy(1)));
        panics("compare_exchange", &|scene| {
            let _ = scene.map.pin().compare_exchange(&scene.touchy(1), Version::from_u64(0), scene.touchy(2));
        });
        panics("get at a snapshot", &|scene| {
            scene.store.snapshot().get(&scene.map, &scene.touchy(1));
        });
        scene.end();
    }
    let scene = Scene::new();
    scene.panics("put of a new key", |scene| {
        arm(Deed::Hash, 0);
        scene.map.pin().put(scene.touchy(500), scene.touchy(2));
    });
    scene.end();
}

#[test]
fn comparison_of_values() {
    let scene = Scene::new();
    // The key is compared first.
    scene.panics("compare_exchange_value", |scene| {
        let (key, expected, new) = (scene.touchy(1), scene.touchy(1), scene.touchy(2));
        arm(Deed::Compare, 1);
        let _ = scene.map.pin().compare_exchange_value(&key, &expected, new);
    });
    scene.end();
}

/// A key is cloned when its slot is purged under a writer that stands on it: here by the writer's own closure.
#[test]
fn clone_of_a_key_whose_slot_is_purged() {
    for panics in [false, true] {
        let scene = Scene::new();
        scene.map.pin().remove(&scene.touchy(1));
        drop(scene.store.snapshot());
        let key = scene.touchy(1);
        let runs = Cell::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let pin = scene.map.pin();
            let new = pin.upsert(scene.touchy(1), |value| {
                assert!(value.is_none());
                runs.set(runs.get() + 1);
                while scene.store.maintain() {}
                assert!(!pin.knows(&key), "purged while the writer stands on it");
                if panics {
                    arm(Deed::Clone, 0);
                }
                scene.touchy(50 + runs.get())
            });
            new.0.number()
        }));
        assert_eq!(outcome.is_err(), panics);
        assert!(ARMED.take().is_none());
        let found = scene.map.pin().get(&key).map(|value| value.0.number());
        assert_eq!((found, runs.get()), if panics { (None, 1) } else { (Some(52), 2) });
        scene.is_usable();
        drop(key);
        scene.end();
    }
}

/// Runs an operation that reclaims garbage on the side; counts its panic.
fn reclaiming(panicked: &Cell<u32>, act: impl FnOnce()) {
    panicked.set(panicked.get() + u32::from(catch_unwind(AssertUnwindSafe(act)).is_err()));
}

/// The drop of a replaced value panics later, out of another operation, which has done its work.
#[test]
fn drop_of_values() {
    for nth in [0, 1, 17, 63, 64, 65, 200] {
        let (census, store, panicked) = (Census::default(), Store::new(), Cell::new(0));
        let map: Map<u64, Touchy> = store.map("values").unwrap();
        arm(Deed::Drop, nth);
        for n in 0..600 {
            let (key, value) = (n % 40, Touchy(census.value(n)));
            reclaiming(&panicked, || _ = map.pin().put(key, value));
            assert_eq!(map.pin().get(&key).map(|value| value.0.number()), Some(n), "it is written all the same");
            if n % 3 == 0 {
                reclaiming(&panicked, || _ = map.pin().remove(&key));
                assert!(!map.pin().contains(&key), "it is removed all the same");
                drop(store.snapshot());
            }
        }
        assert!(ARMED.take().is_none());
        assert_eq!(panicked.get(), 1);
        while store.maintain() {}
        assert_eq!(census.live(), map.len().try_into().unwrap());
        drop((map, store));
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn drop_of_keys() {
    for nth in [0, 1, 17, 63, 64, 65, 200] {
        let (census, store, panicked) = (Census::default(), Store::new(), Cell::new(0));
        let map: Map<Touchy, u64> = store.map("keys").unwrap();
        let looked_up: Vec<Touchy> = (0..600).map(|n| Touchy(census.value(n))).collect();
        arm(Deed::Drop, nth);
        for (key, n) in looked_up.iter().zip(0..) {
            let owned = Touchy(census.value(n));
            reclaiming(&panicked, || _ = map.pin().put(owned, n));
            assert_eq!(map.pin().get(key), Some(&n), "it is written all the same");
            reclaiming(&panicked, || _ = map.pin().remove(key));
            assert!(!map.pin().contains(key), "it is removed all the same");
            drop(store.snapshot());
        }
        assert!(ARMED.take().is_none());
        assert_eq!(panicked.get(), 1);
        while store.maintain() {}
        assert_eq!(census.live(), 600, "all that is left are those to look up");
        drop((map, store, looked_up));
        assert_eq!(census.live(), 0);
    }
}

/// A panic while the thread holds a pin, a snapshot and a cut lets go of all of them.
#[test]
fn unwinding_lets_go_of_everything() {
    let scene = Scene::new();
    let mut consumer = scene.store.consumer();
    for _ in 0..100 {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let pin = scene.map.pin();
            let still = scene.store.snapshot();
            pin.put(scene.touchy(1), scene.touchy(2));
            let cut = consumer.cut();
            pin.update(&scene.touchy(1), |_| {
                assert_eq!((still.iter(&scene.map).count() as u64, cut.len()), (KEYS, 1));
                boom()
            });
        }));
        assert!(outcome.is_err());
    }
    assert_eq!(scene.store.stats().live_snapshots, 0);
    let cut = consumer.cut();
    assert_eq!(cut.changes(&scene.map).count(), 1, "what was cut and not acknowledged comes again");
    consumer.acknowledge(cut);
    drop(consumer);
    while scene.store.maintain() {}
    assert_eq!(scene.census.live() as u64, 2 * KEYS, "nothing is held back");
    scene.end();
}
