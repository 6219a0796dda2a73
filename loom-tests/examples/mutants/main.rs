//! Weakens the protocols one line at a time, and says which model finds it.
//!
//! ```sh
//! cargo run --release -p stillpoint-loom-tests --example mutants [WORD...]
//! ```
//!
//! Works on a copy of the tree under `target/mutants`. Every ordering under `core/src/raw` becomes a question to the environment
//! whether it is to be weaker: AcqRel without its Acquire, and without its Release; Acquire and Release as Relaxed; a SeqCst
//! fence as AcqRel, and gone. So do the lines of `edits.rs`. All are in one build; then each is tried against the models, the
//! quickest first, until one fails. `WORD` chooses mutants whose file or text contains it. `STILLPOINT_SECONDS` is what a model may take
//! (20); one that takes longer has found nothing in that time. A mutant that survives only because of such models is called undecided:
//! give it more time.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod edits;
mod sites;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use edits::EDITS;
use sites::Mutant;

/// Which mutant a built model is to be; what `crate::sync` of the copy is given besides.
const SWITCH: &str = r#"
pub(crate) fn is_mutant(number: usize) -> bool {
    static WANTED: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    let wanted = || std::env::var("STILLPOINT_MUTANT").ok().and_then(|number| number.parse().ok());
    *WANTED.get_or_init(wanted) == Some(number)
}
"#;

/// A model: its program, its name, and how long it takes on the tree as it is.
#[derive(Debug)]
struct Model {
    program: PathBuf,
    /// The file of `loom-tests/tests` that it stands in.
    of: &'static str,
    name: String,
    takes: Duration,
}

/// The models that a file's protocols are tried by.
const CONCERNED: [(&str, &[&str]); 25] = [
    ("commit/status.rs", &["transactions"]),
    ("commit/descriptor.rs", &["transactions"]),
    ("commit/owner.rs", &["transactions"]),
    ("commit/open.rs", &["transactions"]),
    ("commit/failed.rs", &["transactions"]),
    ("unread.rs", &["every_change"]),
    ("rooms.rs", &["rooms"]),
    ("waiters.rs", &["waiting"]),
    ("revisit.rs", &["purge", "pruning", "ttl"]),
    ("pruning.rs", &["pruning"]),
    ("dropped.rs", &["purge"]),
    ("chain.rs", &["snapshot", "pruning", "notes", "transactions"]),
    ("registry.rs", &["pruning", "snapshot"]),
    ("clock.rs", &["snapshot", "pruning"]),
    ("notes.rs", &["notes"]),
    ("record.rs", &["notes", "reclaim", "transactions"]),
    ("slot.rs", &["snapshot", "pruning", "purge", "reclaim"]),
    ("engine.rs", &["notes", "pruning", "purge"]),
    ("era.rs", &["reclaim"]),
    ("backlog.rs", &["purge", "pruning"]),
    ("component.rs", &["restore", "purge"]),
    ("arena.rs", &["reclaim", "table"]),
    ("table/bucket.rs", &["table"]),
    ("table/grow.rs", &["table"]),
    ("table/mod.rs", &["table", "purge"]),
];

impl Model {
    fn concerns(&self, file: &str) -> bool {
        let concerned = CONCERNED.iter().find(|(named, _)| *named == file);
        // A file that is not named may concern all.
        concerned.is_none_or(|(_, programs)| programs.contains(&self.of))
    }
}

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let limit =
        env::var("STILLPOINT_SECONDS").ok().and_then(|text| text.parse().ok()).map_or(20, |seconds: u64| seconds);
    let limit = Duration::from_secs(limit);
    let words: Vec<String> = env::args().skip(1).collect();
    let tree = root.join("target/mutants");
    let mut mutants = plant(root, &tree)?;
    let models = models(root, &build(&tree)?, limit)?;
    println!("{} mutants, {} models", mutants.len(), models.len());
    let is_chosen = |mutant: &&Mutant| {
        words.is_empty() || words.iter().any(|word| mutant.file.contains(word) || mutant.what.contains(word))
    };
    // In the order of the files above.
    let place = |mutant: &Mutant| CONCERNED.iter().position(|(named, _)| *named == mutant.file);
    mutants.sort_by_key(place);
    let chosen = Mutex::new(mutants.iter().filter(is_chosen));
    let (tried, survived) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let next = || chosen.lock().expect("nobody panics with it").next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(mutant) = next() {
                    let mut undecided = 0;
                    let mut concerned = models.iter().filter(|model| model.concerns(&mutant.file));
                    let caught = concerned.find(|model| {
                        let outcome = run(model, Some(mutant.number), limit);
                        undecided += usize::from(outcome == Outcome::TookTooLong);
                        outcome == Outcome::Failed
                    });
                    let by = match caught {
                        Some(model) => format!("caught by {}", model.name),
                        None if undecided > 0 => format!("UNDECIDED: {undecided} models took too long"),
                        None => "SURVIVES".to_owned(),
                    };
                    println!("{:>4} {}:{} {} -- {by}", mutant.number, mutant.file, mutant.line, mutant.what);
                    tried.fetch_add(1, Ordering::Relaxed);
                    survived.fetch_add(usize::from(caught.is_none()), Ordering::Relaxed);
                }
            });
        }
    });
    println!("{} tried, {} survive", tried.into_inner(), survived.into_inner());
    Ok(())
}

/// Copies the tree, with every mutant in it.
fn plant(root: &Path, tree: &Path) -> io::Result<Vec<Mutant>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    let mut mutants = Vec::new();
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let (from, to) = (root.join(name), tree.join(name));
        fs::create_dir_all(to.parent().unwrap_or(tree))?;
        let Ok(mut text) = fs::read_to_string(&from) else { continue };
        if let Some(file) = name.strip_prefix("core/src/raw/") {
            for edit in EDITS.iter().filter(|edit| edit.file == file) {
                let at = text.find(edit.from).unwrap_or_else(|| panic!("{file} has no {:?}", edit.from));
                let (number, line) = (mutants.len(), text[..at].lines().count());
                let what = edit.what.to_owned();
                mutants.push(Mutant { number, file: file.to_owned(), line, what });
                text = replaced(&text, edit, number);
            }
            text = sites::rewrite(file, &text, &mut mutants);
        }
        if name == "core/src/sync/mod.rs" {
            text.push_str(SWITCH);
        }
        // What has not changed keeps its time, so that it is not built again.
        if fs::read_to_string(&to).ok().as_ref() != Some(&text) {
            fs::write(&to, text)?;
        }
    }
    Ok(mutants)
}

fn replaced(text: &str, edit: &edits::Edit, number: usize) -> String {
    let (from, to) = (edit.from.trim_end(), edit.to.trim_end());
    let choice = if from.contains("=>") {
        // An arm of a match: with a guard, before the other.
        let (pattern, result) = to.split_once("=>").expect("an arm becomes an arm");
        format!("{} if crate::sync::is_mutant({number}) => {result}\n{from}", pattern.trim())
    } else {
        format!("if crate::sync::is_mutant({number}) {{ {to} }} else {{ {from} }}")
    };
    let choice = if from.contains("=>") || from.ends_with(';') { choice } else { format!("({choice})") };
    text.replacen(from, &choice, 1)
}

/// Builds the models of the copy, and returns their programs.
fn build(tree: &Path) -> io::Result<Vec<PathBuf>> {
    let built = Command::new("cargo")
        .args(["test", "--release", "-p", "stillpoint-loom-tests", "--no-run", "--tests"])
        .args(["--target-dir", "target/loom", "--message-format", "short"])
        .env("RUSTFLAGS", "--cfg loom --cap-lints allow")
        .envs([("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")])
        .current_dir(tree)
        .output()?;
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the copy does not build:\n{said}");
    let programs = said.lines().filter_map(|line| line.split_once("Executable tests/")?.1.split(['(', ')']).nth(1));
    Ok(programs.map(|program| tree.join(program)).collect())
}

/// The models, the quickest first; without the twins, which run a model again.
fn models(root: &Path, programs: &[PathBuf], limit: Duration) -> io::Result<Vec<Model>> {
    let mut twins = String::new();
    for file in fs::read_dir(root.join("loom-tests/tests"))? {
        twins += &fs::read_to_string(file?.path())?;
    }
    let mut models = Vec::new();
    for program in programs {
        let is_of = |of: &&str| program.file_name().is_some_and(|file| file.to_string_lossy().starts_with(*of));
        let of = CONCERNED.iter().flat_map(|(_, programs)| *programs).copied().find(is_of).unwrap_or("");
        let listed = Command::new(program).arg("--list").output()?;
        for name in String::from_utf8_lossy(&listed.stdout).lines().filter_map(|line| line.strip_suffix(": test")) {
            if twins.contains(&format!("twin!({name}:")) {
                continue;
            }
            let mut model = Model { program: program.clone(), of, name: name.to_owned(), takes: limit };
            let began = Instant::now();
            assert_ne!(run(&model, None, limit), Outcome::Failed, "{name} fails on the tree as it is");
            model.takes = began.elapsed();
            models.push(model);
        }
    }
    models.sort_by_key(|model| model.takes);
    Ok(models)
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    TookTooLong,
}

/// Runs a model, with a mutant or as it is.
fn run(model: &Model, mutant: Option<usize>, limit: Duration) -> Outcome {
    let mut command = Command::new(&model.program);
    command.args([&model.name, "--exact"]).env("RUST_BACKTRACE", "0").stdout(Stdio::null()).stderr(Stdio::null());
    command.envs(mutant.map(|number| ("STILLPOINT_MUTANT", number.to_string())));
    let mut child = command.spawn().expect("a built model runs");
    let began = Instant::now();
    loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => return if status.success() { Outcome::Passed } else { Outcome::Failed },
            None if began.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Outcome::TookTooLong;
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}
