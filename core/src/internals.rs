//! What a model needs besides the public API. Under loom only.

use std::mem;

use crate::raw::engine::SESSIONS;

/// Ends the calling thread's sessions now. The thread's end does the same, but under loom only after whoever joins it may have
/// gone on.
pub fn end_sessions() {
    let ended = SESSIONS.with(|sessions| mem::take(&mut *sessions.borrow_mut()));
    drop(ended);
}
