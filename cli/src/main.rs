//! The program `stillpoint`: reads its arguments, does what they say, and tells what went wrong.
#![expect(clippy::print_stderr, reason = "a program talks to its user")]

use std::{error::Error, iter, process::ExitCode};

use clap::Parser;
use mimalloc::MiMalloc;
use stillpoint_cli::{
    args::{Cli, Command},
    demo, replay,
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Wrong usage ends the process here, with a message and exit code 2.
    let done = match Cli::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Joins an error's message and those of its causes.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
