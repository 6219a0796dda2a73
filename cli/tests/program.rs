//! The program as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

fn stillpoint() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stillpoint"));
    command.stdin(Stdio::null());
    command
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights-200k.csv.zst")
}

fn replay(file: &Path, data: &Path, more: &[&str]) -> Output {
    stillpoint().arg("replay").arg(file).arg("--data").arg(data).args(more).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes text")
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// Whether a report has this fact, whatever the space between its name and its value.
fn has_fact(report: &str, name: &str, value: &str) -> bool {
    report.lines().any(|line| line.trim().strip_prefix(name).is_some_and(|rest| rest.trim() == value))
}

#[track_caller]
fn has_totals_of_the_shipped_records(report: &str) {
    for (name, value) in [
        ("airports", "223"),
        ("routes", "3,272"),
        ("flights", "200,000"),
        ("sum of delays", "1,809,922 min"),
        ("delays", "-80 to 1,575 min"),
    ] {
        assert!(has_fact(report, name, value), "{name}: {value}\n{report}");
    }
}

#[test]
fn a_replay_that_is_repeated_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    has_totals_of_the_shipped_records(&succeeded(&replay(&shipped(), directory.path(), &["--workers", "2"])));
    let again = succeeded(&replay(&shipped(), directory.path(), &["--workers", "3"]));
    has_totals_of_the_shipped_records(&again);
    assert!(has_fact(&again, "found applied", "200,000 records"), "{again}");
}

#[test]
fn a_replay_that_was_killed_goes_on_and_counts_each_record_once() {
    let directory = tempfile::tempdir().unwrap();
    for life_ms in [120, 250, 60] {
        let mut child = stillpoint()
            .arg("replay")
            .arg(shipped())
            .arg("--data")
            .arg(directory.path())
            .args(["--pace", "150000", "--quiet"])
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(life_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    has_totals_of_the_shipped_records(&succeeded(&replay(&shipped(), directory.path(), &[])));
}

#[test]
fn the_demo_passes_its_own_checks() {
    let directory = tempfile::tempdir().unwrap();
    let output = stillpoint().args(["demo", "--kills", "3", "--seed", "7", "--data"]).arg(directory.path()).output();
    let report = succeeded(&output.unwrap());
    has_totals_of_the_shipped_records(&report);
    assert!(report.contains("every acknowledged record was there"), "{report}");
    let again = stillpoint().args(["demo", "--data"]).arg(directory.path()).output().unwrap();
    assert!(failed(&again).contains("is not empty"));
}

#[test]
fn a_malformed_row_is_named_or_passed_over_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flights.csv");
    let rows = "date,origin,destination,delay,distance\n2001-01-01T00:01,LAS,PHL,33,2176\n2001-01-01T00:02,LAS,PHL,many,2176\n\
                2001-01-01T00:03,LAS,PHL,-3,2176\n";
    fs::write(&file, rows).unwrap();
    let stopped = failed(&replay(&file, &directory.path().join("stopped"), &[]));
    assert!(stopped.contains("line 3") && stopped.contains("column 26") && stopped.contains("many"), "{stopped}");
    assert!(stopped.contains("--on-malformed skip"), "{stopped}");

    let data = directory.path().join("skipped");
    let skipped = succeeded(&replay(&file, &data, &["--on-malformed", "skip"]));
    assert!(has_fact(&skipped, "flights", "2") && has_fact(&skipped, "malformed, passed over", "1"), "{skipped}");
    // And not counted again.
    let again = succeeded(&replay(&file, &data, &["--on-malformed", "skip"]));
    assert!(has_fact(&again, "flights", "2") && has_fact(&again, "malformed, passed over", "1"), "{again}");
}

#[test]
fn other_records_are_refused_by_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flights.csv");
    fs::write(&file, "date,origin,destination,delay,distance\n2001-01-01T00:01,LAS,PHL,33,2176\n").unwrap();
    let data = directory.path().join("store");
    succeeded(&replay(&file, &data, &[]));
    fs::write(&file, "date,origin,destination,delay,distance\n2002-01-01T00:01,LAS,PHL,33,2176\n").unwrap();
    let refused = failed(&replay(&file, &data, &[]));
    assert!(refused.contains("choose another directory"), "{refused}");
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("store");
    let mut child = stillpoint()
        .arg("replay")
        .arg(shipped())
        .arg("--data")
        .arg(&data)
        .args(["--pace", "20000", "--acknowledge"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first word says that it has the directory.
    let mut told = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut told).unwrap();
    let refused = failed(&replay(&shipped(), &data, &[]));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(refused.contains("is open already") && refused.contains("close it there first"), "{refused}");
}

#[test]
fn a_file_that_is_not_ours_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("snapshot-0000000000000001.snap"), vec![b'x'; 20_000]).unwrap();
    let refused = failed(&replay(&shipped(), directory.path(), &[]));
    assert!(refused.contains("snapshot-0000000000000001.snap"), "{refused}");
}
