//! Under construction.

pub mod medium;
