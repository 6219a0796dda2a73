//! What the program takes on its command line.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    thread,
};

use clap::{Args, Parser, Subcommand};

use crate::{input::Source, reference::OnMalformed};

/// Replays records into a durable store, and shows that a crash loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "stillpoint", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Names what the program can do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Replays 200,000 flights in a process that is killed at random moments, and checks that nothing durable is lost
    Demo(Demo),
    /// Replays flight records into a durable store, going on where an earlier replay of them stopped
    Replay(Replay),
}

/// Holds the arguments of `stillpoint demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Demo {
    /// Directory of the store [default: a new one among the system's temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<PathBuf>,
    /// How often to kill the process
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub kills: u32,
    /// Chooses the moments, so that a run can be repeated [default: another one each time]
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
}

/// Holds the arguments of `stillpoint replay`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Replay {
    /// File of records, as text or compressed with zstd; - is the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Directory of the store; made if it does not exist
    #[arg(long, value_name = "DIRECTORY")]
    pub data: PathBuf,
    /// How many threads apply records [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// What to do with a line that is not a flight
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnMalformed::Stop)]
    pub on_malformed: OnMalformed,
    /// Goes no faster than so many records a second
    #[arg(long, value_name = "RECORDS_PER_SECOND")]
    pub pace: Option<NonZeroU64>,
    /// Prints errors only
    #[arg(long)]
    pub quiet: bool,
    /// Tells on the standard output what has become durable, for the process that watches this one
    #[arg(long, hide = true)]
    pub acknowledge: bool,
    /// Bytes of log after which a snapshot file is written, for the process that watches this one
    #[arg(long, hide = true)]
    pub tail_bytes_max: Option<u64>,
}

impl Replay {
    /// Returns where the records come from.
    pub fn source(&self) -> Source {
        Source::from_argument(self.file.clone())
    }

    /// Returns how many threads apply records: as asked for, or one for each processor, or one if that is unknown.
    pub fn worker_count(&self) -> NonZeroUsize {
        self.workers.unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    fn parse(arguments: &[&str]) -> Result<Command, ErrorKind> {
        let arguments = ["stillpoint"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map(|cli| cli.command).map_err(|error| error.kind())
    }

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_as_documented() {
        let demo = Demo { data: None, kills: 5, seed: None };
        assert_eq!(parse(&["demo"]), Ok(Command::Demo(demo)));
        let Ok(Command::Replay(replay)) = parse(&["replay", "-", "--data", "store"]) else { panic!("a replay") };
        assert_eq!(replay.source(), Source::Stdin);
        assert_eq!((replay.on_malformed, replay.pace, replay.quiet), (OnMalformed::Stop, None, false));
        assert_eq!(replay.worker_count(), thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let replay = ["replay", "flights.csv", "--data", "store"];
        let with = |more: &[&str]| parse(&[&replay, more].concat());
        assert!(with(&["--workers", "3", "--on-malformed", "skip", "--pace", "1000", "--quiet"]).is_ok());
        for more in [["--workers", "0"], ["--pace", "0"]] {
            assert_eq!(with(&more), Err(ErrorKind::ValueValidation));
        }
        assert_eq!(with(&["--on-malformed", "guess"]), Err(ErrorKind::InvalidValue));
        assert_eq!(parse(&["replay", "flights.csv"]), Err(ErrorKind::MissingRequiredArgument));
    }

    #[test]
    fn the_child_protocol_is_not_advertised() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("replay").expect("a subcommand").render_long_help().to_string();
        assert!(help.contains("--quiet"));
        assert!(!help.contains("--acknowledge"));
    }
}
