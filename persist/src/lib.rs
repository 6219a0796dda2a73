//! Under construction.

pub mod medium;
pub mod schema;

pub use schema::Schema;
