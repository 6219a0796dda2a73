//! The models that mutants are tried against: each is a test of `loom-tests`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// A model: its program, and its name.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) program: PathBuf,
    /// The file of `loom-tests/tests` that it stands in, without its ending.
    of: String,
    pub(crate) name: String,
    /// Tells the model from what it was before it changed.
    pub(crate) identity: u64,
}

/// The models that a file's protocols are tried by, first of all.
const CONCERNED: [(&str, &[&str]); 36] = [
    ("commit/status.rs", &["transactions"]),
    ("commit/descriptor.rs", &["transactions"]),
    ("commit/owner.rs", &["transactions"]),
    ("commit/open.rs", &["transactions"]),
    ("commit/failed.rs", &["transactions"]),
    ("commit/placed.rs", &["transactions"]),
    ("unread.rs", &["every_change"]),
    ("shelf.rs", &["every_change"]),
    ("rooms.rs", &["rooms"]),
    ("rewrite.rs", &["rooms"]),
    ("in_place.rs", &["rooms"]),
    ("waiters.rs", &["waiting", "feeds"]),
    ("revisit.rs", &["purge", "pruning", "ttl"]),
    ("pruning.rs", &["pruning"]),
    ("dropped.rs", &["purge"]),
    ("chain.rs", &["snapshot", "pruning", "notes", "rooms", "transactions"]),
    ("registry.rs", &["pruning", "snapshot"]),
    ("clock.rs", &["snapshot", "pruning", "every_change"]),
    ("notes.rs", &["notes", "feeds"]),
    ("record.rs", &["notes", "reclaim", "transactions"]),
    ("slot.rs", &["snapshot", "pruning", "purge", "reclaim", "handles"]),
    ("engine.rs", &["notes", "pruning", "purge", "restore"]),
    ("era.rs", &["reclaim", "rooms"]),
    ("backlog.rs", &["purge", "pruning"]),
    ("component.rs", &["restore", "purge", "history", "feeds"]),
    ("arena.rs", &["reclaim", "table"]),
    ("table/bucket.rs", &["table"]),
    ("table/grow.rs", &["table"]),
    ("table/mod.rs", &["table", "purge"]),
    ("ordered/mod.rs", &["ordered"]),
    ("ordered/node.rs", &["ordered"]),
    ("place.rs", &["handles"]),
    ("timeline.rs", &["time", "history"]),
    ("lineage.rs", &["history"]),
    ("recorded.rs", &["history", "every_change", "ttl"]),
    ("past.rs", &["history"]),
];

/// Where a file stands in the list above.
pub(crate) fn place_of(file: &str) -> usize {
    CONCERNED.iter().position(|(named, _)| *named == file).unwrap_or(CONCERNED.len())
}

impl Model {
    /// Whether a file's protocols are tried by this model first. A file that is not named may concern all.
    pub(crate) fn concerns(&self, file: &str) -> bool {
        let concerned = CONCERNED.iter().find(|(named, _)| *named == file);
        concerned.is_none_or(|(_, files)| files.contains(&self.of.as_str()))
    }
}

/// Builds the models of the copy, and returns their programs.
pub(crate) fn build(tree: &Path) -> io::Result<Vec<PathBuf>> {
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

/// The models of the programs; without the twins, which run a model again.
pub(crate) fn all(root: &Path, programs: &[PathBuf]) -> io::Result<Vec<Model>> {
    let shared = fs::read_to_string(root.join("loom-tests/src/lib.rs"))?;
    let mut models = Vec::new();
    for program in programs {
        // Its name has a hash behind the file's.
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        let of = file.rsplit_once('-').map_or(&*file, |(of, _)| of).to_owned();
        let text = fs::read_to_string(root.join("loom-tests/tests").join(&of).with_extension("rs"))?;
        let listed = Command::new(program).arg("--list").output()?;
        for name in String::from_utf8_lossy(&listed.stdout).lines().filter_map(|line| line.strip_suffix(": test")) {
            if text.contains(&format!("twin!({name}:")) {
                continue;
            }
            let mut identity = DefaultHasher::new();
            (&shared, &text, name).hash(&mut identity);
            let (program, of, name) = (program.clone(), of.clone(), name.to_owned());
            models.push(Model { program, of, name, identity: identity.finish() });
        }
    }
    Ok(models)
}
