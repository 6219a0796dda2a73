//! The copy of the tree, with every mutant in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use crate::edits::{EDITS, Edit};
use crate::sites::{self, Mutant};

/// Which mutant a built model is to be; what `crate::sync` of the copy is given besides.
const SWITCH: &str = r#"
pub(crate) fn is_mutant(number: usize) -> bool {
    static WANTED: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    let wanted = || std::env::var("STILLPOINT_MUTANT").ok().and_then(|number| number.parse().ok());
    *WANTED.get_or_init(wanted) == Some(number)
}
"#;

/// The copy.
pub(crate) struct Planted {
    pub(crate) mutants: Vec<Mutant>,
    /// Tells the core that was copied from any other.
    pub(crate) of_core: u64,
}

/// Copies the tree.
pub(crate) fn plant(root: &Path, tree: &Path) -> io::Result<Planted> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    let mut mutants = Vec::new();
    let mut core = DefaultHasher::new();
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let (from, to) = (root.join(name), tree.join(name));
        let Ok(mut text) = fs::read_to_string(&from) else {
            // It is no text, or it has gone, and what was copied of it goes too.
            let _ = fs::remove_file(&to);
            continue;
        };
        if name == "Cargo.lock" || name.starts_with("core/src/") {
            (name, &text).hash(&mut core);
        }
        if let Some(file) = name.strip_prefix("core/src/raw/").filter(|file| !file.ends_with("tests.rs")) {
            for edit in EDITS.iter().filter(|edit| edit.file == file) {
                let at = text.find(edit.from).unwrap_or_else(|| panic!("{file} has no {:?}", edit.from));
                let mut mutant = Mutant::new(mutants.len(), file, text[..at].lines().count(), edit.what, &mutants);
                mutant.identity += &format!(" {:?}", edit.to);
                text = replaced(&text, edit, mutant.number);
                mutants.push(mutant);
            }
            text = sites::rewrite(file, &text, &mut mutants);
        }
        if name == "core/src/sync/mod.rs" {
            text.push_str(SWITCH);
        }
        // What has not changed keeps its time, so that it is not built again.
        if fs::read_to_string(&to).ok().as_ref() != Some(&text) {
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            fs::write(&to, text)?;
        }
    }
    Ok(Planted { mutants, of_core: core.finish() })
}

fn replaced(text: &str, edit: &Edit, number: usize) -> String {
    let (from, to) = (edit.from.trim_end(), edit.to.trim_end());
    let choice = if from.contains("=>") {
        // An arm of a match: with a guard, before the other.
        let (pattern, result) = to.split_once("=>").expect("an arm becomes an arm");
        let is_wanted = if pattern.contains(" if ") { "&&" } else { "if" };
        format!("{} {is_wanted} crate::sync::is_mutant({number}) => {result}\n{from}", pattern.trim())
    } else {
        format!("if crate::sync::is_mutant({number}) {{ {to} }} else {{ {from} }}")
    };
    let choice = if from.contains("=>") || from.ends_with(';') { choice } else { format!("({choice})") };
    text.replacen(from, &choice, 1)
}
