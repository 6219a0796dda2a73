//! What transactions have seen and done.

use std::fmt;

/// A number that is appended once.
pub(crate) type Element = u32;

/// What a transaction does to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It found this list.
    Read(u8, Vec<Element>),
    /// It appended this.
    Append(u8, Element),
}

/// A transaction that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// Before it began.
    pub(crate) from: u64,
    /// After it was committed.
    pub(crate) until: u64,
    pub(crate) steps: Vec<Step>,
}

/// All transactions that were committed.
#[derive(Debug, Default)]
pub(crate) struct History(pub(crate) Vec<Done>);

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(number, done)| writeln!(f, "T{number} [{}, {}]: {:?}", done.from, done.until, done.steps))
    }
}
