//! The seeds are what they should be, and everything holds of them, without a fuzzer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stillpoint_fuzz::seeds::targets;

fn folder(name: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join(target)
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(listed) = fs::read_dir(folder) else { return BTreeMap::new() };
    let path = listed.map(|entry| entry.expect("the folder is readable").path());
    path.map(|path| {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("a seed is readable"))
    })
    .collect()
}

#[test]
fn the_seeds_are_those_that_the_generator_writes() {
    for target in targets() {
        let written: Vec<_> = files(&folder("seeds", target.name)).into_iter().collect();
        let mut expected = target.seeds;
        expected.sort();
        assert!(written == expected, "{}: run `cargo run --example seeds` here", target.name);
    }
}

#[test]
fn everything_holds_of_every_seed() {
    for target in targets() {
        for (name, seed) in &target.seeds {
            println!("{}/{name}", target.name);
            (target.run)(seed);
        }
    }
}

/// Inputs that once broke something: they are kept in `regressions/<target>/`, under the name of what broke.
#[test]
fn what_once_broke_holds_now() {
    for target in targets() {
        for (name, input) in &files(&folder("regressions", target.name)) {
            println!("{}/{name}", target.name);
            (target.run)(input);
        }
    }
}
