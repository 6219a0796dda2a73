//! What the sources promise each other, and no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../loom-tests/examples/mutants/edits.rs"]
#[expect(dead_code, reason = "what a mutant becomes is the matter of the program that makes it")]
mod edits;
#[path = "../../loom-tests/examples/mutants/known.rs"]
mod known;
#[path = "../../loom-tests/examples/mutants/sites.rs"]
#[expect(dead_code, reason = "how mutants are told apart is the matter of the program that makes them")]
mod sites;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// All files under some folders, without what builds leave there, as paths from the root.
fn files(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let root = root();
    let mut open: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_file() {
            let name = path.strip_prefix(&root).expect("it was found there").to_string_lossy().replace('\\', "/");
            found.push((name, fs::read(&path).expect("a source is readable")));
            continue;
        }
        let Ok(listed) = fs::read_dir(&path) else { continue };
        let left_by_builds = ["target", "corpus", "artifacts", "coverage", ".git", "demo-data"];
        open.extend(
            listed
                .map(|entry| entry.expect("a folder is readable").path())
                .filter(|path| path.file_name().is_none_or(|name| left_by_builds.iter().all(|left| name != *left))),
        );
    }
    found.sort();
    found
}

/// Rust sources under some folders, as lines.
fn sources(folders: &[&str]) -> Vec<(String, Vec<String>)> {
    let rust = files(folders).into_iter().filter(|(name, _)| name.ends_with(".rs"));
    rust.map(|(name, bytes)| {
        let text = String::from_utf8(bytes).expect("sources are UTF-8");
        (name, text.lines().map(str::to_owned).collect())
    })
    .collect()
}

const LIBRARIES: [&str; 2] = ["core/src", "persist/src"];

const ALL: [&str; 6] = ["core", "derive", "persist", "cli", "bench", "loom-tests"];

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// The part of a line before a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The words of a line.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// A tag of an ordering: `HEAD-2`.
type Tag<'a> = (&'a str, u32);

/// The tags that a comment names.
fn tags(comment: &str) -> BTreeSet<Tag<'_>> {
    let tag = |word: &'_ str| {
        let (family, number) = word.split_once('-')?;
        let is_family = family.len() > 1 && family.bytes().all(|byte| byte.is_ascii_uppercase());
        Some((family.len(), number.parse().ok()?)).filter(|_| is_family)
    };
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter_map(|word| tag(word).map(|(len, number)| (&word[..len], number))).collect()
}

/// The tags that a comment gives to the ordering below it: a sentence begins with `Release [HEAD-1]`.
fn given(comment: &str) -> BTreeSet<Tag<'_>> {
    let mut given = BTreeSet::new();
    for ordering in ["Acquire [", "Release [", "AcqRel [", "SeqCst [", "fence ["] {
        for (at, _) in comment.match_indices(ordering) {
            let before = comment[..at].trim_end_matches("SeqCst ").trim_end_matches(['/', ' ']);
            if before.is_empty() || before.ends_with('.') {
                let tag = comment[at + ordering.len()..].split(']').next().unwrap_or_default();
                given.append(&mut tags(tag));
            }
        }
    }
    given
}

#[test]
fn each_ordering_has_its_mate() {
    // Comments that belong to one place: lines that follow each other.
    let mut comments = Vec::new();
    for (file, lines) in sources(&LIBRARIES) {
        let mut comment = String::new();
        for (number, line) in lines.iter().map(String::as_str).chain([""]).enumerate() {
            if is_comment(line) {
                comment.push_str(line.trim_start());
                comment.push(' ');
            } else if !comment.is_empty() {
                comments.push((format!("{file}:{number}"), std::mem::take(&mut comment)));
            }
        }
    }
    let given_anywhere: BTreeSet<Tag<'_>> = comments.iter().flat_map(|(_, comment)| given(comment)).collect();
    let mut wrong = Vec::new();
    for (place, comment) in &comments {
        let named = tags(comment);
        for tag in given(comment) {
            // Its comment names a mate, or a comment elsewhere names both, or the family is one that acquires and releases at once.
            let names_a_mate = |comment: &str| tags(comment).len() > 1 && tags(comment).contains(&tag);
            let is_own_mate = comment.contains("AcqRel [")
                && !given_anywhere.iter().any(|(family, number)| *family == tag.0 && *number != tag.1);
            if !is_own_mate && !comments.iter().any(|(_, comment)| names_a_mate(comment)) {
                wrong.push(format!("{place}: no comment names a mate of {}-{}", tag.0, tag.1));
            }
        }
        let is_about_orderings = !given(comment).is_empty();
        for tag in named.difference(&given_anywhere).filter(|_| is_about_orderings) {
            wrong.push(format!("{place}: its mate {}-{} is nowhere", tag.0, tag.1));
        }
    }
    assert!(given_anywhere.len() > 20, "tags are found: {given_anywhere:?}");
    assert_none("orderings without a mate", &wrong);
}

#[test]
fn each_unsafe_says_why_it_is_sound() {
    let mut wrong = Vec::new();
    for (file, lines) in sources(&LIBRARIES) {
        for (at, line) in lines.iter().enumerate() {
            // `unsafe fn(…)` is the type of a pointer: whoever calls it says why.
            let code = code(line).replace("unsafe fn(", "");
            let mut after = words(&code).skip_while(|word| *word != "unsafe").skip(1);
            if !words(&code).any(|word| word == "unsafe") {
                continue;
            }
            // A declaration asks something of its callers; anything else keeps a promise.
            let (declares, reach, reason) = match after.next() {
                Some("fn" | "trait" | "extern") => (true, 40, "# Safety"),
                _ => (false, 6, "SAFETY:"),
            };
            let above = lines[..=at].iter().rev().take(reach + 1);
            let above = above.take_while(|line| !declares || line.trim() != "}");
            if !above.clone().any(|line| line.contains(reason)) && !implements(&lines[..=at], declares) {
                wrong.push(format!("{file}:{}: no {reason} above", at + 1));
            }
        }
    }
    assert_none("unsafe without a reason", &wrong);
}

/// Whether the last line is a method of an implementation of a trait, whose docs say it.
fn implements(lines: &[String], declares: bool) -> bool {
    let indented = lines.last().is_some_and(|line| line.starts_with(' '));
    let opened = lines.iter().rev().find(|line| line.starts_with("impl") || line.starts_with("unsafe impl"));
    declares && indented && opened.is_some_and(|line| words(line).any(|word| word == "for"))
}

#[test]
fn atomics_are_named_in_one_place() {
    let mut wrong = Vec::new();
    for (file, lines) in sources(&LIBRARIES) {
        if file.starts_with("core/src/sync/") || file == "persist/src/sync.rs" {
            continue;
        }
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| !is_comment(line)) {
            if ["sync::atomic", "loom::"].iter().any(|path| code(line).contains(path)) && !line.contains("crate::sync")
            {
                wrong.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert_none("atomics that are not `crate::sync`'s", &wrong);
}

#[test]
fn each_rule_of_the_protocols_is_taken_away_by_a_model() {
    let read = |path| fs::read_to_string(root().join(path)).expect("the file is there");
    let (rules, table) = (read("core/src/sync/rule.rs"), read("loom-tests/README.md"));
    let models: String = sources(&["loom-tests/tests"]).into_iter().flat_map(|(_, lines)| lines).collect();
    let twins: Vec<(&str, &str)> = models
        .split("twin!(")
        .skip(1)
        .filter_map(|twin| twin.split_once(':'))
        .filter_map(|(name, rest)| Some((name.trim(), rest.split_once("without ")?.1.split_once(',')?.0)))
        .collect();
    let names =
        rules.lines().skip_while(|line| !line.contains("pub enum Rule")).skip(1).take_while(|line| *line != "}");
    let names: Vec<&str> = names.filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert!(names.len() > 20, "the rules are not read: {names:?}");
    let is_shown = |rule: &str| {
        let row = table.lines().find(|line| line.starts_with(&format!("| `{rule}` |")));
        let mut own = twins.iter().filter(|(_, without)| *without == rule).peekable();
        own.peek().is_some() && row.is_some_and(|row| own.all(|(twin, _)| row.contains(twin)))
    };
    let unshown: Vec<_> = names.into_iter().filter(|rule| !is_shown(rule)).map(str::to_owned).collect();
    assert_none("a rule without a twin in loom-tests, or without its row in loom-tests/README.md", &unshown);
}

#[test]
fn nothing_is_left_to_do() {
    let marks = ["todo!", "unimplemented!", "FIXME", "XXX"];
    let mut wrong = Vec::new();
    for folder in ALL {
        for (file, lines) in sources(&[&format!("{folder}/src")]) {
            let marked = lines.iter().enumerate().filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
            wrong.extend(marked.map(|(at, line)| format!("{file}:{}: {}", at + 1, line.trim())));
        }
    }
    assert_none("left to do", &wrong);
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let homes = [["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"], ["/wo", "rk/"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for (file, bytes) in files(&["."]) {
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (at, line) in text.lines().enumerate() {
            if let Some(home) = homes.iter().find(|home| starts_word(line, home)) {
                wrong.push(format!("{file}:{}: {home}", at + 1));
            }
        }
    }
    assert_none("paths of a machine", &wrong);
}

/// Whether a path is there from its beginning, and not inside of another one.
fn starts_word(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"._-/".contains(before))
    })
}

#[test]
fn files_hold_one_idea() {
    const LINES_MAX: usize = 600;
    let mut wrong = Vec::new();
    for (file, lines) in ALL.iter().flat_map(|folder| sources(&[&format!("{folder}/src")])) {
        // What is said to users may be as long as it must be.
        let len = lines.iter().filter(|line| !line.trim_start().starts_with("///")).count();
        if len > LINES_MAX {
            wrong.push(format!("{file}: {len} lines beside its documentation"));
        }
    }
    assert_none("files that are too long", &wrong);
}

#[test]
fn the_mutants_are_of_the_code_as_it_is() {
    let read = |file: &str| fs::read_to_string(root().join("core/src/raw").join(file)).unwrap_or_default();
    let stale = edits::EDITS.iter().filter(|edit| !read(edit.file).contains(edit.from.trim_end()));
    let stale: Vec<_> = stale.map(|edit| format!("{}: {}", edit.file, edit.from)).collect();
    assert_none("a mutant of a line that is not there", &stale);
}

#[test]
fn what_no_model_finds_is_of_the_code_as_it_is() {
    let mut mutants = Vec::new();
    for known in known::KNOWN {
        let text = fs::read_to_string(root().join("core/src/raw").join(known.file)).unwrap_or_default();
        sites::rewrite(known.file, &text, &mut mutants);
    }
    mutants.extend(edits::EDITS.iter().map(|edit| sites::Mutant::new(0, edit.file, 0, edit.what, &[])));
    let stale: Vec<_> = known::KNOWN.iter().filter(|known| !mutants.iter().any(|mutant| known.is_of(mutant))).collect();
    let stale: Vec<_> = stale.iter().map(|known| format!("{}: {} ({})", known.file, known.what, known.why)).collect();
    assert_none("a mutant that no model finds, and that is not there", &stale);
}
