//! What the behaviour tests share: components that numbers drive, a model of their state, and scripts over both.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod history;
pub(crate) mod kinds;
pub(crate) mod random;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod tables;
