//! Under construction.

pub mod format;
pub mod medium;
pub mod snapshot_file;
