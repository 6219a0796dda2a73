//! Under construction.

pub mod format;
pub mod log;
pub mod medium;
pub mod snapshot_file;
