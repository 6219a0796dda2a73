//! Placeholder: joined to the engine with its author's change.

use std::error::Error;

use crate::args::Demo;

/// Runs `stillpoint demo`.
///
/// # Errors
///
/// Always, until the engine is joined.
pub fn run(_arguments: &Demo) -> Result<(), Box<dyn Error + Send + Sync>> {
    Err("demo is not joined to the engine yet".into())
}
