//! What the behaviour tests share: one operation enum, one oracle, and small tools.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod alloc;
pub(crate) mod counted;
pub(crate) mod key;
pub(crate) mod operation;
pub(crate) mod oracle;
pub(crate) mod random;
