//! The base under a map that is being restored: a component of a snapshot file, and what of it has come in.

use crate::format::FormatError;
use crate::snapshot_file::{Chunk, Component, SnapshotFile};
use crate::sync::{Arc, AtomicBool, AtomicU32, Ordering};

/// A component of a snapshot file under a map.
#[derive(Debug)]
pub(crate) struct Base {
    file: Arc<SnapshotFile>,
    component: String,
    /// Chunks whose every entry has come in.
    loaded: Box<[AtomicBool]>,
    /// How many have not.
    left: AtomicU32,
}

impl Base {
    /// The component as a base; `None` if it holds nothing.
    pub(crate) fn of(file: &Arc<SnapshotFile>, component: &str) -> Option<Self> {
        let chunks = file.component(component)?.chunk_count();
        if chunks == 0 {
            return None;
        }
        Some(Self {
            file: Arc::clone(file),
            component: component.to_owned(),
            loaded: (0..chunks).map(|_| AtomicBool::new(false)).collect(),
            left: AtomicU32::new(chunks),
        })
    }

    pub(crate) fn component(&self) -> Result<Component<'_>, FormatError> {
        let missing = FormatError::OutOfOrder { what: "a base is of a component that its file does not have" };
        self.file.component(&self.component).ok_or(missing)
    }

    pub(crate) fn file_name(&self) -> &str {
        self.file.name()
    }

    /// The tick of the file's cut: no version in it is later.
    pub(crate) fn cut_tick(&self) -> u64 {
        self.file.header().cut_tick
    }

    /// The chunk, proven, if it has not come in.
    pub(crate) fn missing_chunk(&self, number: u32) -> Result<Option<Chunk<'_>>, FormatError> {
        // Acquire [LOADED-2]: with Release [LOADED-1]: what came in is in the map.
        if self.loaded[number as usize].load(Ordering::Acquire) {
            return Ok(None);
        }
        self.component()?.chunk(number).map(Some)
    }

    /// Says that all of a chunk has come in; `true` if it was the last one.
    pub(crate) fn set_loaded(&self, number: u32) -> bool {
        // AcqRel [LOADED-1]: mate of Acquire [LOADED-2]; and who counts to zero sees all of them.
        !self.loaded[number as usize].swap(true, Ordering::AcqRel) && self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// How many chunks there are.
    pub(crate) fn chunks(&self) -> u32 {
        // Counted in 32 bits by the file.
        self.loaded.len() as u32
    }
}
