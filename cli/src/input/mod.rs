//! Reading records: from a source, in blocks, to the workers that own their partitions.
//!
//! ```text
//! Source ──► Blocks ──► Feed ──► Lane of worker 0: blocks of partitions 0, 2, 4, 6
//! file,      1,024      queues   Lane of worker 1: blocks of partitions 1, 3, 5, 7
//! stdin,     lines
//! shipped    each
//! ```
//!
//! Lines after the header are numbered from 0: that number is the record's *index*, whether or not the line turns out to be
//! a flight. [`BLOCK_RECORDS`] lines make a block, and blocks go round the [`PARTITIONS`] in turn, so an index alone says
//! which [`Partition`] it belongs to, whatever the number of workers. A partition's blocks arrive in order at the one
//! worker that owns it. So what was applied of a source is told by one index for each partition, its [`Positions`], and
//! a reader that continues from there passes over the blocks that nobody needs without parsing them.

mod block;
mod blocks;
mod error;
mod feed;
mod partition;
mod source;

pub use block::{Block, Numbered};
pub use blocks::Blocks;
pub use error::{InputError, MalformedRow};
pub use feed::{Feed, Lane, Progress};
pub use partition::{BLOCK_RECORDS, PARTITIONS, Partition, Positions};
pub use source::Source;
