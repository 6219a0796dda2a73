//! Runs of models, and what came of each, kept so that it need not be run again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::models::Model;
use crate::sites::Mutant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    TookTooLong,
}

/// The signal that ends a process which has used up its time, on Linux and macOS.
const SIGXCPU: i32 = 24;
/// The one that ends it when memory is short: that says nothing about the mutant.
const SIGKILL: i32 = 9;

/// So many times the limit a run may last that waits for something and uses no time: it never ends.
const PATIENCE: u32 = 20;

/// What came of a run, and how long it took.
type Came = (Outcome, Duration);

/// Runs, and what came of them, by what they depend on.
pub(crate) struct Runs {
    of_core: u64,
    known: Mutex<HashMap<u64, Came>>,
    file: File,
}

impl Runs {
    /// Goes on with the runs in a file.
    pub(crate) fn open(path: &Path, of_core: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let known = text.lines().filter_map(read).collect();
        Ok(Self { of_core, known: Mutex::new(known), file })
    }

    /// Runs a model, with a mutant or as it is, if it was not yet run for so long.
    pub(crate) fn run(&self, model: &Model, mutant: Option<&Mutant>, limit: Duration) -> Outcome {
        let key = self.key(model, mutant);
        match self.known_of(key) {
            Some((outcome, took)) if outcome != Outcome::TookTooLong || took >= limit => return outcome,
            _ => {}
        }
        let began = Instant::now();
        let outcome = run(model, mutant, limit);
        let took = if outcome == Outcome::TookTooLong { limit } else { began.elapsed() };
        let of = mutant.map_or("as it is", |mutant| &mutant.identity);
        let line = format!("{key:016x} {outcome:?} {:.3} {} -- {of}\n", took.as_secs_f64(), model.name);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (outcome, took));
        (&self.file).write_all(line.as_bytes()).expect("the file of the runs can be written");
        outcome
    }

    /// How long a model takes as it is, given that it was run.
    pub(crate) fn takes(&self, model: &Model) -> Duration {
        self.known_of(self.key(model, None)).map_or(Duration::MAX, |(_, took)| took)
    }

    fn known_of(&self, key: u64) -> Option<Came> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// What a run depends on.
    fn key(&self, model: &Model, mutant: Option<&Mutant>) -> u64 {
        let mut key = DefaultHasher::new();
        (self.of_core, model.identity, mutant.map(|mutant| &mutant.identity)).hash(&mut key);
        key.finish()
    }
}

/// A line of the file; none if it was cut off.
fn read(line: &str) -> Option<(u64, Came)> {
    let mut words = line.split(' ');
    let key = u64::from_str_radix(words.next()?, 16).ok()?;
    let outcome = match words.next()? {
        "Passed" => Outcome::Passed,
        "Failed" => Outcome::Failed,
        "TookTooLong" => Outcome::TookTooLong,
        _ => return None,
    };
    let took = Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?;
    words.next().map(|_| (key, (outcome, took)))
}

fn run(model: &Model, mutant: Option<&Mutant>, limit: Duration) -> Outcome {
    let mut command = Command::new("sh");
    let script = format!("ulimit -S -t {}; exec \"$@\"", limit.as_secs().max(1));
    command.args(["-c", &script, "sh"]).arg(&model.program).args([&model.name, "--exact"]);
    command.env("RUST_BACKTRACE", "0").stdout(Stdio::null()).stderr(Stdio::null());
    command.envs(mutant.map(|mutant| ("STILLPOINT_MUTANT", mutant.number.to_string())));
    let mut child = command.spawn().expect("a built model runs");
    let began = Instant::now();
    loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => return outcome(status),
            None if began.elapsed() > limit * PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Outcome::TookTooLong;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    match status.signal() {
        Some(SIGXCPU | SIGKILL) => Outcome::TookTooLong,
        _ if status.success() => Outcome::Passed,
        _ => Outcome::Failed,
    }
}
