//! The log: frames of changed entries, appended and made durable one by one.
//!
//! [`LogWriter`] writes segments; a frame counts when [`commit`](LogWriter::commit) has returned. [`LogScan`] reads them all when
//! a directory is opened, and decides what is a torn tail, which was never acknowledged, and what is damage. The layout, and the
//! rules by which the two are told apart, are in [`format::log`](crate::format::log).
//!
//! # After a scan
//! Whoever opens a directory again keeps the bytes of [`LogTail::torn`] aside, then continues with
//! [`LogWriter::resume`], which repeats the frames that nothing vouches for in a new segment before that gets its name.
//! A crash anywhere on the way changes nothing.

mod frame;
mod open_segment;
mod options;
mod position;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use frame::{Frame, Record, Records};
pub use options::LogOptions;
pub use position::{ClosedSegment, NextFrame};
pub use scan::{LogScan, LogTail, TornTail};
pub use writer::{Commit, FrameInfo, LogWriter};
