//! Where each target starts: a few inputs that reach every part of what it reads.
//!
//! They are kept in `seeds/<target>/` and written by `cargo run --example seeds`; a test sees that they are what this says,
//! and replays them.

use crate::edit::{Kind, encode};
use crate::image::{LOGS, SNAPSHOT_FILES};
use crate::{directory, frames, schema, snapshot_file, values};

/// A fuzz target and its inputs.
pub struct Target {
    /// The target's name.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Its seeds, by name.
    pub seeds: Vec<(String, Vec<u8>)>,
}

/// All targets.
pub fn targets() -> [Target; 5] {
    [
        Target { name: "directory", run: directory::run, seeds: directories() },
        Target { name: "frames", run: frames::run, seeds: logs() },
        Target { name: "schema", run: schema::run, seeds: schemas() },
        Target { name: "snapshot_file", run: snapshot_file::run, seeds: snapshot_files() },
        Target { name: "values", run: values::run, seeds: archives() },
    ]
}

/// Some edits of every kind.
fn edits() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("untouched", Vec::new()),
        ("flip", encode(Kind::Flip, 0, 70, 1).to_vec()),
        ("lengths", [encode(Kind::Set32, 4, 90, u32::MAX), encode(Kind::Add32, 0, 120, 1)].concat()),
        ("numbers", [encode(Kind::Set64, 0, 40, u32::MAX), encode(Kind::Add64, 0, 48, u32::MAX)].concat()),
        ("pages", [encode(Kind::CopyPage, 0, 200, 1), encode(Kind::Zero, 0, 300, 64)].concat()),
        ("cut", encode(Kind::Cut, 0, 400, 12).to_vec()),
        ("extended", encode(Kind::Extend, 0, 0, 4096).to_vec()),
    ]
}

fn logs() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for which in 0..LOGS.len() as u8 {
        for (name, edits) in edits() {
            seeds.push((format!("log-{which}-{name}"), [&[which, which % 2, 0], &edits[..]].concat()));
        }
    }
    seeds.push((
        "kept-checksums".to_owned(),
        [&[frames::KEEP_CHECKSUMS, 0, 0], &encode(Kind::Flip, 0, 99, 1)[..]].concat(),
    ));
    // The first frame's page, behind a header.
    seeds.push(("plain".to_owned(), [&[frames::PLAIN, 0, 0], &LOGS[0][0].1[4096..4096 + 1024]].concat()));
    seeds.push(("bare".to_owned(), [&[frames::PLAIN | frames::BARE, 0, 0], &LOGS[0][0].1[..128]].concat()));
    seeds
}

fn snapshot_files() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for which in 0..SNAPSHOT_FILES.len() as u8 {
        for (name, edits) in edits() {
            seeds.push((format!("file-{which}-{name}"), [&[which], &edits[..]].concat()));
        }
    }
    let kept = [&[snapshot_file::KEEP_CHECKSUMS][..], &encode(Kind::Flip, 0, 500, 1)].concat();
    seeds.push(("kept-checksums".to_owned(), kept));
    seeds.push(("bare".to_owned(), [&[snapshot_file::BARE], &SNAPSHOT_FILES[2][..]].concat()));
    seeds
}

fn directories() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for which in 0..crate::image::DIRECTORIES.len() as u8 {
        for (turn, (name, edits)) in edits().into_iter().enumerate() {
            let keep_log = if turn % 2 == 0 { directory::KEEP_LOG } else { 0 };
            seeds.push((format!("directory-{which}-{name}"), [&[which | keep_log, 2, 0], &edits[..]].concat()));
        }
        for (name, names) in [("lost", 1), ("copied", 16), ("last", 32)] {
            seeds.push((format!("directory-{which}-{name}"), vec![which, 0, names]));
        }
    }
    seeds
}

fn schemas() -> Vec<(String, Vec<u8>)> {
    let everything = "type HashMap<(u64, Side), [Order#2; 4]>\nstruct Order#2\n  id: u64\n  \"odd name\": (i64,)\n  \
        note: Box<str> rkyv \"with = \\\"x\\\"\"\nstruct Empty\nenum Side rkyv \"as = u8\"\n  Buy = 1\n  \
        Sell = -1 ([u8], () rkyv \"niche\")\n  Both = 9\n    left: Matrix<3>\n";
    let renamed = everything.replace("odd name", "even name").replace("Buy", "Bid");
    let texts = [
        ("primitive", "type u64\n".to_owned()),
        ("everything", everything.to_owned()),
        ("two", format!("{everything}\0{renamed}")),
        (
            "recursive",
            "type List\nstruct List\n  next: Option<Box<List>>\n\0type List\nenum List\n  End = 0\n".to_owned(),
        ),
        ("escapes", "type \"\\u{a}\\\"\\\\\"\n".to_owned()),
    ];
    texts.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
}

fn archives() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (which, kind) in values::kinds().into_iter().enumerate() {
        for (number, example) in kind.examples.into_iter().enumerate() {
            seeds.push((format!("type-{which:02}-{number}"), [&[which as u8], &example[..]].concat()));
        }
    }
    seeds
}
