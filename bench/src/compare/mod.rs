//! The comparison: sections of measurements, taken in rounds by turns, and printed as tables.

mod environment;
mod plan;
mod report;
mod turns;

pub use environment::Environment;
pub use plan::{Extent, Plan, Second};
pub use report::Table;
pub use turns::{Measured, Row, Spread, take_turns};
