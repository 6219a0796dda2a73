//! Races: threads that are ready before the clock, start together, and are timed from the first start to the last end.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// When a race ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// When each thread has done this many operations.
    Operations(u64),
    /// When this time has passed.
    Time(Duration),
}

/// What a race came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Operations of each thread.
    pub operations: Vec<u64>,
    /// From the first thread's start to the last one's end.
    pub elapsed: Duration,
    /// How long a thread had a core, on average: less than `elapsed` where others use the machine too. As long where the
    /// system does not tell.
    pub running: Duration,
}

impl Outcome {
    /// Operations of all threads in a second.
    pub fn rate(&self) -> f64 {
        self.rate_of(0..self.operations.len())
    }

    /// Operations of all threads in a second of having a core: as [`rate`](Self::rate), if nobody else used the machine.
    pub fn rate_while_running(&self) -> f64 {
        self.operations.iter().sum::<u64>() as f64 / self.running.as_secs_f64()
    }

    /// Operations of some of the threads in a second.
    ///
    /// # Panics
    /// If there are fewer threads.
    pub fn rate_of(&self, threads: std::ops::Range<usize>) -> f64 {
        self.operations[threads].iter().sum::<u64>() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Operations between two looks at the limit.
const STRIDE: u64 = 1024;

/// Runs a race. `ready` is called on each thread, before the clock, with the thread's number; what it returns is called with how
/// many operations it may do, again and again, and says how many it did.
///
/// # Panics
/// If a thread panics, or there is none.
///
/// # Examples
/// ```
/// use stillpoint_bench::race::{Limit, race};
/// let outcome = race(2, Limit::Operations(5_000), |_thread| |operations| operations);
/// assert_eq!(outcome.operations, [5_000, 5_000]);
/// ```
pub fn race<W: FnMut(u64) -> u64>(threads: usize, limit: Limit, ready: impl Fn(usize) -> W + Sync) -> Outcome {
    let waiting = AtomicUsize::new(threads);
    let stop = AtomicBool::new(false);
    let (waiting, stop, ready) = (&waiting, &stop, &ready);
    thread::scope(|scope| {
        let runners: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut work = ready(thread);
                    wait_for_all(waiting);
                    let (ran_before, start) = (time_on_core(), Instant::now());
                    let mut done = 0;
                    match limit {
                        Limit::Operations(operations) => {
                            while done < operations {
                                done += work(STRIDE.min(operations - done));
                            }
                        }
                        Limit::Time(_) => {
                            while !stop.load(Ordering::Relaxed) {
                                done += work(STRIDE);
                            }
                        }
                    }
                    let end = Instant::now();
                    let ran = time_on_core().zip(ran_before).map_or(end - start, |(after, before)| after - before);
                    Run { start, end, ran, done }
                })
            })
            .collect();
        if let Limit::Time(time) = limit {
            while waiting.load(Ordering::Acquire) > 0 {
                thread::yield_now();
            }
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
        }
        let runs: Vec<_> = runners.into_iter().map(|runner| runner.join().expect("a runner panicked")).collect();
        let start = runs.iter().map(|run| run.start).min();
        let end = runs.iter().map(|run| run.end).max();
        Outcome {
            operations: runs.iter().map(|run| run.done).collect(),
            elapsed: start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start),
            running: runs.iter().map(|run| run.ran).sum::<Duration>() / threads as u32,
        }
    })
}

/// One thread's part.
struct Run {
    start: Instant,
    end: Instant,
    ran: Duration,
    done: u64,
}

/// How long the calling thread has had a core, to within a tick of the scheduler; `None` where the system does not tell.
fn time_on_core() -> Option<Duration> {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Spins, so that nobody has to be woken; yields, since there may be more threads than cores.
fn wait_for_all(waiting: &AtomicUsize) {
    waiting.fetch_sub(1, Ordering::AcqRel);
    let mut spins = 0_u32;
    while waiting.load(Ordering::Acquire) > 0 {
        spins += 1;
        if spins.is_multiple_of(256) {
            thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_by_time_ends_and_counts_what_each_thread_did() {
        let outcome = race(2, Limit::Time(Duration::from_millis(5)), |thread| move |_| thread as u64 + 1);
        assert!(outcome.elapsed >= Duration::from_millis(4));
        assert!(outcome.operations[0] > 0 && outcome.operations[1].is_multiple_of(2));
        assert!(outcome.rate() > outcome.rate_of(0..1));
        assert!(outcome.running <= 2 * outcome.elapsed);
    }
}
