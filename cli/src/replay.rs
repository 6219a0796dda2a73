//! Placeholder: joined to the engine with its author's change.

use std::error::Error;

use crate::args::Replay;

/// Runs `stillpoint replay`.
///
/// # Errors
///
/// Always, until the engine is joined.
pub fn run(_arguments: &Replay) -> Result<(), Box<dyn Error + Send + Sync>> {
    Err("replay is not joined to the engine yet".into())
}
