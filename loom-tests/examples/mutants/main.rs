//! Weakens the protocols one line at a time, and says which model finds it.
//!
//! ```sh
//! cargo run --release -p stillpoint-loom-tests --example mutants [WORD...]
//! ```
//!
//! Works on a copy of the tree under `target/mutants`. Every ordering under `core/src/raw` becomes a question to the environment
//! whether it is to be weaker: AcqRel without its Acquire, and without its Release; Acquire and Release as Relaxed; a SeqCst
//! fence as AcqRel, and gone. So do the lines of `edits.rs`. All are in one build; then each is tried against the models until one
//! fails: first against those of its protocol, the quickest first, and when all mutants have been, against the others.
//! `WORD` chooses mutants whose file or text contains it.
//!
//! `STILLPOINT_SECONDS` is what a model may take (20), of the processor's time: how busy the machine is does not matter. One that takes longer
//! has found nothing in that time. A mutant that survives only because of such models is called undecided: give it more time.
//! `STILLPOINT_JOBS` is how many models run at once, as many as there are processors unless it is given.
//!
//! What came of each run stands in `target/mutants/runs`. Who was interrupted, or gives more time, goes on from there; a run counts as long as
//! neither the core, nor the model, nor the mutant has changed.
//!
//! What no model can find is listed in `known.rs`, with the reason. Ends with a failure if any other mutant survives.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod edits;
mod known;
mod models;
mod plant;
mod runs;
mod sites;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, io, thread};

use known::KNOWN;
use models::Model;
use runs::{Outcome, Runs};
use sites::Mutant;

/// So long, in seconds, the models may take on the tree as it is, which tells the quick ones.
const FIRST_LOOK: u64 = 20;

/// What has become of a mutant.
enum Verdict<'a> {
    Caught(&'a Model),
    /// So many models took too long.
    Undecided(usize),
    Survives,
}

fn main() -> io::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let limit = Duration::from_secs(asked_for("STILLPOINT_SECONDS").unwrap_or(20));
    let jobs = asked_for("STILLPOINT_JOBS").unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let words: Vec<String> = env::args().skip(1).collect();
    let tree = root.join("target/mutants");
    let planted = plant::plant(root, &tree)?;
    let mut models = models::all(root, &models::build(&tree)?)?;
    let runs = Runs::open(&tree.join("runs"), planted.of_core)?;

    let is_chosen = |mutant: &&Mutant| {
        words.is_empty() || words.iter().any(|word| mutant.file.contains(word) || mutant.what.contains(word))
    };
    let mut chosen: Vec<&Mutant> = planted.mutants.iter().filter(is_chosen).collect();
    chosen.sort_by_key(|mutant| models::place_of(&mutant.file));
    let (known, mut left): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|mutant| why(mutant).is_some());
    println!("{} mutants, {} models", left.len() + known.len(), models.len());

    let (caught, mut undecided) = (AtomicUsize::new(0), Vec::new());
    for is_concerned in [true, false] {
        let is_wanted = |model: &&Model| left.iter().any(|mutant| model.concerns(&mutant.file) == is_concerned);
        let wanted: Vec<&Model> = models.iter().filter(is_wanted).collect();
        each(jobs, &wanted, |_, model| {
            let first_look = limit.min(Duration::from_secs(FIRST_LOOK));
            let outcome = runs.run(model, None, first_look);
            assert_ne!(outcome, Outcome::Failed, "{} fails on the tree as it is", model.name);
        });
        models.sort_by_key(|model| runs.takes(model));
        let verdicts = each(jobs, &left, |number, mutant| {
            let mut tried = models.iter().filter(|model| model.concerns(&mutant.file) == is_concerned);
            let verdict = judge(&runs, &mut tried, mutant, limit);
            let said = match &verdict {
                Verdict::Caught(model) => {
                    caught.fetch_add(1, Ordering::Relaxed);
                    format!("caught by {}", model.name)
                }
                Verdict::Undecided(models) => format!("{models} models took too long"),
                Verdict::Survives if is_concerned => "not caught by the models of its protocol".to_owned(),
                Verdict::Survives => "not caught by the others".to_owned(),
            };
            println!("[{}/{}] {mutant} -- {said}", number + 1, left.len());
            verdict
        });
        let open = left.into_iter().zip(verdicts).filter(|(_, verdict)| !matches!(verdict, Verdict::Caught(_)));
        let open = open.inspect(|(mutant, verdict)| {
            if let Verdict::Undecided(_) = verdict {
                undecided.push(mutant.number);
            }
        });
        left = open.map(|(mutant, _)| mutant).collect();
    }

    let (unsure, survived): (Vec<&Mutant>, Vec<_>) = left.iter().partition(|mutant| undecided.contains(&mutant.number));
    println!();
    known.iter().for_each(|mutant| println!("known: {mutant} -- {}", why(mutant).unwrap_or_default()));
    unsure.iter().for_each(|mutant| println!("UNDECIDED: {mutant}"));
    survived.iter().for_each(|mutant| println!("SURVIVES: {mutant}"));
    println!(
        "{} caught, {} known, {} undecided, {} survive",
        caught.into_inner(),
        known.len(),
        unsure.len(),
        survived.len()
    );
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why no model finds a mutant, if that is known.
fn why(mutant: &Mutant) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.is_of(mutant)).map(|known| known.why)
}

/// Tries a mutant against models, until one fails.
fn judge<'a>(
    runs: &Runs,
    models: &mut impl Iterator<Item = &'a Model>,
    mutant: &Mutant,
    limit: Duration,
) -> Verdict<'a> {
    let mut undecided = 0;
    let failed = models.find(|model| {
        let outcome = runs.run(model, Some(mutant), limit);
        undecided += usize::from(outcome == Outcome::TookTooLong);
        outcome == Outcome::Failed
    });
    match failed {
        Some(model) => Verdict::Caught(model),
        None if undecided > 0 => Verdict::Undecided(undecided),
        None => Verdict::Survives,
    }
}

/// Does something with each item, some at once; returns what came of it, in order.
fn each<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(number)
        {
            done.push((number, work(number, item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends when nothing is left")).collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn asked_for<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}
