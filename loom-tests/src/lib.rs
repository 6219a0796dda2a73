//! How the protocols of `stillpoint` are tried under loom.
//!
//! A *model* is a small scenario on the real code, built with `--cfg loom`: `explore` runs it in every interleaving with a
//! bounded number of preemptions, and with every value that each load may return. A *twin* is a model with one rule taken
//! away: `assert_fails_without` expects it to fail, and with the complaint that the rule is there to prevent.
//!
//! A twin runs in a process of its own, which ends at the first complaint: a broken protocol must not unwind through loom, and
//! a rule that is broken in one process holds in all others.

#![cfg(loom)]

pub mod log;

use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{env, panic};

use loom::model::Builder;
use loom::thread::JoinHandle;
pub use stillpoint::rules::Rule;
use stillpoint::rules::without;
use stillpoint::{Map, Store};

/// Runs a scenario in every interleaving with at most so many preemptions.
///
/// # Panics
/// If the scenario does in any of them.
#[expect(clippy::print_stdout, reason = "shown by the test runner on request: how much a model has tried")]
pub fn explore(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = BRANCHES;
    let tried = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let counter = Arc::clone(&tried);
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    println!("{} interleavings in {:.1?}", tried.load(Ordering::Relaxed), began.elapsed());
}

/// A store with maps of these names.
///
/// Registering takes a lock that loom does not know, so it comes before any thread. The scenario itself keeps the store to its
/// end: loom does not see the count of handles, and takes a drop by another thread for a race.
pub fn store_of<const N: usize>(names: [&str; N]) -> (Store, [Map<u64, u64>; N]) {
    let store = Store::new();
    let maps = names.map(|name| store.map(name).expect("each map has a name of its own"));
    (store, maps)
}

/// Spawns a thread of a model. Its part in the store ends before whoever joins it goes on.
pub fn spawn<T: 'static>(work: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    loom::thread::spawn(move || {
        let done = work();
        stillpoint::internals::end_sessions();
        done
    })
}

/// Waits for a thread of a model.
///
/// # Panics
/// If it has panicked.
pub fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("a model ends at the first panic")
}

/// Asserts that a model fails without a rule, and that its complaint contains these words.
///
/// `test` is the name of the calling test: it is run again, in a process of its own.
///
/// # Panics
/// If the model passes, or complains of something else.
pub fn assert_fails_without(rule: Rule, complaint: &str, test: &str, model: impl FnOnce()) {
    if env::var_os(TWIN).is_some() {
        panic::set_hook(Box::new(|panic| complain(&panic.to_string())));
        let _without = without(rule);
        model();
        process::exit(0);
    }
    let program = env::current_exe().expect("the test's own program");
    let twin =
        Command::new(program).args([test, "--exact", "--nocapture"]).env(TWIN, "1").env("RUST_BACKTRACE", "0").output();
    let twin = twin.expect("the test's own program runs");
    let said = String::from_utf8_lossy(&twin.stderr);
    match twin.status.code() {
        Some(COMPLAINED) => {
            assert!(said.contains(complaint), "without {rule:?} the model complains of another thing:\n{said}")
        }
        Some(0) => panic!("without {rule:?} the model passes"),
        _ => panic!("without {rule:?} the model ends with {}:\n{said}", twin.status),
    }
}

/// Makes a test of a twin: its name, the rule taken away, the model, and words of the complaint.
#[macro_export]
macro_rules! twin {
    ($name:ident: $model:ident without $rule:ident, $complaint:expr) => {
        #[test]
        fn $name() {
            $crate::assert_fails_without($crate::Rule::$rule, $complaint, stringify!($name), $model);
        }
    };
}

#[expect(clippy::print_stderr, reason = "the process of a twin tells its parent")]
fn complain(panic: &str) {
    eprintln!("{panic}");
    process::exit(COMPLAINED);
}

/// Tells the process of a twin that it is one.
const TWIN: &str = "STILLPOINT_TWIN";
/// How the process of a twin ends when its model complains.
const COMPLAINED: i32 = 86;
/// Far more shared accesses than any scenario has: reaching it means that a loop does not end.
const BRANCHES: usize = 20_000;
