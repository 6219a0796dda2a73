//! Mutants that no model can find, each with the reason.

use crate::sites::Mutant;

/// A mutant, by its file and a part of what it is called, and why it is not found.
pub(crate) struct Known {
    pub(crate) file: &'static str,
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const KNOWN: &[Known] = &[];

impl Known {
    /// Whether this says it of a mutant.
    pub(crate) fn is_of(&self, mutant: &Mutant) -> bool {
        self.file == mutant.file && mutant.what.contains(self.what)
    }
}
