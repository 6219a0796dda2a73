//! What must hold of every input, however it came about: one module for each reader of bytes that it did not write.
//!
//! | module | reads | must hold |
//! |---|---|---|
//! | [`frames`] | log segments | an error that says where; or frames without a gap, which a recovery keeps |
//! | [`snapshot_file`] | a snapshot file | an error; and what `verify` lets pass is readable to the last entry |
//! | [`schema`] | the text of a schema | an error that names a line; or a schema that its own text gives again |
//! | [`directory`] | a store's directory | an error; or a store that reads, writes, and is the same when it is opened again |
//! | [`values`] | archived keys and values | an error; or values that archive to themselves |
//!
//! Nowhere a panic, a read outside of what was given, or an allocation that the input's length does not account for.
//!
//! Bytes at random seldom get past the first checksum. So the inputs are mostly *edits* ([`edit`]) of valid files
//! ([`image`]), after which the checksums can be made right again ([`reseal`]): then the fuzzer stands behind them.
//! Each module's `run` takes plain bytes, so that a test can replay every seed without a fuzzer.

pub mod directory;
pub mod edit;
pub mod frames;
pub mod image;
pub mod reseal;
pub mod schema;
pub mod seeds;
pub mod snapshot_file;
pub mod values;
