//! Watches: the newest value, never missed, whether asked for, waited for by a thread, or awaited.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stillpoint::{Map, Store, Watch};

const SOON: Duration = Duration::from_secs(30);

fn map() -> Map<u64, u64> {
    Store::new().map("map").unwrap()
}

/// The least executor: one future, on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Steps: 0 to 3 write the key, 4 and 5 remove it, 6 purges what is removed, 7 writes another key; the rest ask.
    #[test]
    fn a_watch_shows_what_differs_from_what_it_showed(script in prop::collection::vec(0..16_u64, 0..100)) {
        let store = Store::new();
        let map: Map<u64, u64> = store.map("map").unwrap();
        let mut watch = map.watch(1);
        let mut shown = None;
        for (step, number) in script.into_iter().zip(0..) {
            match step {
                0..4 => _ = map.pin().put(1, number),
                4 | 5 => _ = map.pin().remove(&1).is_some(),
                6 => while store.maintain() {},
                7 => _ = map.pin().put(2, number),
                _ => {
                    let now = map.pin().versioned(&1).map(|seen| (*seen, seen.version()));
                    let news = watch.poll().map(|news| news.value().copied().zip(news.version()));
                    prop_assert_eq!(news, (now != shown).then_some(now));
                    shown = now;
                }
            }
        }
    }
}

/// Two threads answer each other, each asleep while the other writes. What is lost shows as a pause; all of them would last minutes.
fn ping_pong(wait: fn(&mut Watch<u64, u64>) -> u64) {
    const ROUNDS: u64 = 3_000;
    let map = map();
    map.pin().put(0, 0);
    map.pin().put(1, 0);
    let began = Instant::now();
    thread::scope(|scope| {
        for side in 0..2 {
            let map = map.clone();
            scope.spawn(move || {
                let mut watch = map.watch(1 - side);
                let mut seen = 0;
                if side == 0 {
                    map.pin().put(side, 1);
                }
                while seen < ROUNDS {
                    // What was there before the watch began is no news.
                    let now = map.pin().get(&(1 - side)).copied().unwrap();
                    seen = if now > seen { now } else { wait(&mut watch) };
                    map.pin().put(side, seen + 1);
                }
            });
        }
    });
    assert!(began.elapsed() < SOON, "{:?} for {ROUNDS} rounds", began.elapsed());
}

#[test]
fn threads_that_wait_for_each_other() {
    ping_pong(|watch| *watch.wait().value().unwrap());
}

#[test]
fn futures_that_wait_for_each_other() {
    ping_pong(|watch| {
        block_on(watch.changed());
        *watch.poll().expect("it has changed").value().unwrap()
    });
}

#[test]
fn waiting_ends_with_its_time_or_with_the_news() {
    let map = map();
    let mut watch = map.watch(1);
    let began = Instant::now();
    assert!(watch.wait_for(Duration::from_millis(20)).is_none());
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert!(watch.wait_for(Duration::ZERO).is_none());
    map.pin().put(1, 10);
    assert_eq!(watch.wait_for(Duration::ZERO).unwrap().value(), Some(&10));
    map.pin().put(1, 11);
    map.pin().put(1, 12);
    assert_eq!(watch.wait_for(Duration::MAX).unwrap().value(), Some(&12));
    assert_eq!(watch.key(), &1);
}

#[test]
fn a_writer_wakes_all_who_wait_for_its_key() {
    let map = map();
    let asleep = AtomicUsize::new(0);
    thread::scope(|scope| {
        for key in (0..4).chain(0..4) {
            let (map, asleep) = (&map, &asleep);
            scope.spawn(move || {
                let mut watch = map.watch(key);
                asleep.fetch_add(1, Ordering::SeqCst);
                assert_eq!(watch.wait_for(SOON).expect("woken").value(), Some(&key));
            });
        }
        while asleep.load(Ordering::SeqCst) < 8 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        (0..4).for_each(|key| _ = map.pin().put(key, key));
    });
}

/// A waker is the user's code: it runs when the write is done and promised to nobody any more.
#[test]
fn a_waker_that_panics_withholds_nobodys_wake_up() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker panics");
        }
    }
    struct Counts(AtomicUsize);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let map = map();
    let counts = [(); 2].map(|()| Arc::new(Counts(AtomicUsize::new(0))));
    let [mut first, mut broken, mut last] = [(); 3].map(|()| map.watch(1));
    let mut changed = [pin!(first.changed()), pin!(broken.changed()), pin!(last.changed())];
    let wakers = [Waker::from(counts[0].clone()), Waker::from(Arc::new(Panics)), Waker::from(counts[1].clone())];
    for (changed, waker) in changed.iter_mut().zip(&wakers) {
        assert!(changed.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| map.pin().put(1, 10)));
    assert!(outcome.is_err(), "the panic gets through");
    assert_eq!(map.pin().get(&1), Some(&10), "it is written all the same");
    assert!(counts.iter().all(|count| count.0.load(Ordering::SeqCst) == 1), "the others are woken");
    for (changed, waker) in changed.iter_mut().zip(&wakers) {
        assert!(changed.as_mut().poll(&mut Context::from_waker(waker)).is_ready());
    }
    map.pin().put(1, 11);
    assert!(counts.iter().all(|count| count.0.load(Ordering::SeqCst) == 1), "who is ready is not woken again");
}

/// Watches come and go, asleep and dropped in all states, beside writers.
#[test]
fn futures_that_are_dropped_leave_nothing_behind() {
    let map = map();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..200_000_u64 {
                map.pin().put(n % 3, n);
            }
            is_done.store(true, Ordering::SeqCst);
        });
        for key in 0..2 {
            let (map, is_done) = (&map, &is_done);
            scope.spawn(move || {
                let mut watch = map.watch(key);
                let mut context = Context::from_waker(Waker::noop());
                while !is_done.load(Ordering::SeqCst) {
                    let mut changed = pin!(watch.changed());
                    let _ = changed.as_mut().poll(&mut context);
                    let _ = changed.as_mut().poll(&mut context);
                }
            });
        }
    });
    let mut watch = map.watch(9);
    assert!(pin!(watch.changed()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(map);
}
