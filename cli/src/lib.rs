//! The parts of the program `stillpoint`.
//!
//! Responsible for: reading flight records and dealing them out to workers, keeping a durable store of what they add up
//! to, demonstrating that killing the process loses nothing that was called durable, and reporting to a person.
//!
//! Not responsible for: the store itself, which is `stillpoint`, and what is on disk, which is `stillpoint-persist`. This
//! crate is the program's body, so that its tests and measurements can reach it; it is no library for others, and
//! promises them no stable interface.
//!
//! | module | what it is |
//! |---|---|
//! | [`args`] | the command line |
//! | [`record`] | a flight, read from a line |
//! | [`input`] | sources, blocks, and the feed that deals them out |
//! | [`shipped`] | the records built into the program |
//! | [`fold`] | what flights add up to |
//! | [`mod@reference`] | the same computed plainly, to check against |
//! | [`report`], [`memory`] | what is told about a run |
//! | [`state`] | what is kept in the store |
//! | [`replay`], [`demo`] | what the program does |

pub mod args;
pub mod demo;
pub mod fold;
pub mod input;
pub mod memory;
pub mod record;
pub mod reference;
pub mod replay;
pub mod report;
pub mod shipped;
pub mod state;
