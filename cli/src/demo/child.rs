//! The process that is killed.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{self, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::check::DemoError;
use crate::input::Positions;
use crate::replay::parse_acknowledgement;

/// A replay in a process of its own, which tells over a pipe what is durable.
pub(super) struct Child {
    process: process::Child,
    told: Option<BufReader<ChildStdout>>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Killed,
    ByItself,
}

impl Child {
    /// Starts this program as a replay of `records` into `data`.
    pub(super) fn start(records: &Path, data: &Path, pace: u64, tail_bytes_max: u64) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("replay")
            .arg(records)
            .arg("--data")
            .arg(data)
            .args(["--acknowledge", "--pace", &pace.to_string(), "--tail-bytes-max", &tail_bytes_max.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = process.stdout.take().map(BufReader::new);
        Ok(Self { process, told })
    }

    /// Kills it after a time, and takes in what it had said until then.
    pub(super) fn kill_after(
        &mut self,
        life: Duration,
        acknowledged: &mut Positions,
    ) -> Result<Ended, Box<dyn std::error::Error + Send + Sync>> {
        let told = self.told.take();
        let listener = thread::spawn(move || last_told(told));
        thread::sleep(life);
        let ended = match self.process.try_wait()? {
            Some(status) if status.success() => Ended::ByItself,
            Some(status) => return Err(DemoError::Child { status }.into()),
            None => Ended::Killed,
        };
        // SIGKILL on Unix: nothing of the process runs any more.
        self.process.kill()?;
        self.process.wait()?;
        if let Some(last) = listener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))? {
            *acknowledged = last;
        }
        Ok(ended)
    }

    /// Waits until it has ended by itself.
    pub(super) fn run_to_end(
        &mut self,
        acknowledged: &mut Positions,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(last) = last_told(self.told.take())? {
            *acknowledged = last;
        }
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(DemoError::Child { status }.into()) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Not left behind when something else failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The last whole acknowledgement; a line that the kill cut short does not count.
fn last_told(told: Option<BufReader<ChildStdout>>) -> io::Result<Option<Positions>> {
    let Some(mut told) = told else { return Ok(None) };
    let (mut last, mut line) = (None, String::new());
    while told.read_line(&mut line)? > 0 {
        if line.ends_with('\n') {
            last = parse_acknowledgement(&line).or(last);
        }
        line.clear();
    }
    Ok(last)
}
