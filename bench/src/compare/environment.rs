//! The machine and the programs, in a line, so that a figure is never seen without them.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::thread;
use std::time::Instant;

use super::Spread;

/// Where and with what a comparison ran.
#[derive(Debug, Clone)]
pub struct Environment {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    commit: String,
    peer: String,
}

impl Environment {
    /// Looks at the machine, and for the version of the peer's package. What they don't tell is called unknown.
    pub fn look(package: &str) -> Self {
        Self::look_in(package, include_str!("../../../Cargo.lock"))
    }

    /// As [`look`](Self::look), at a peer that stands in another lock file.
    pub fn look_in(package: &str, lock: &str) -> Self {
        Self {
            processor: field_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, Into::into),
            memory_gib: field_of("/proc/meminfo", "MemTotal")
                .and_then(|total| total.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| (kib + (1 << 19)) >> 20),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            commit: commit().unwrap_or_else(unknown),
            peer: format!("{package} {}", version_of(package, lock).unwrap_or_else(unknown)),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, kernel, commit, peer } = self;
        let rustc = env!("STILLPOINT_BENCH_RUSTC");
        write!(f, "{processor}, {cores} cores, {memory_gib} GiB, kernel {kernel}; {rustc}, ")?;
        write!(f, "thin LTO, mimalloc; stillpoint at {commit}, {peer}")
    }
}

/// How long a fixed piece of arithmetic takes, in seconds. Taken between measurements, it shows how much of the machine others took.
pub(super) fn fixed_arithmetic() -> f64 {
    let start = Instant::now();
    let mut word = black_box(1_u64);
    for _ in 0..4_000_000 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(word);
    start.elapsed().as_secs_f64()
}

/// Greatest less least over median, in percent.
pub(super) fn variation_percent(spread: &Spread) -> f64 {
    100.0 * (spread.max() - spread.min()) / spread.median()
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn field_of(path: &str, name: &str) -> Option<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    (!commit.trim().is_empty()).then(|| commit.trim().to_owned())
}

fn version_of(package: &str, lock: &str) -> Option<String> {
    let (_, found) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(found.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_names_the_peer_and_the_compiler() {
        let line = Environment::look("papaya").to_string();
        assert!(line.contains("rustc ") && line.contains("papaya 0."), "{line}");
    }
}
