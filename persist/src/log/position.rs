//! Where a log stands: what a scan tells a writer.

/// Where a log continues; a scan tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextFrame {
    /// The next segment's number; larger than all before.
    pub segment: u64,
    /// The next frame's number; 1 in a new log. All frames before it are durable.
    pub frame: u64,
    /// The checksum of the last commit block; 0 in a new log.
    pub previous_commit: u32,
    /// The last frame's cut.
    pub previous_cut: u64,
}

impl Default for NextFrame {
    fn default() -> Self {
        Self { segment: 1, frame: 1, previous_commit: 0, previous_cut: 0 }
    }
}

/// A segment that gets no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedSegment {
    /// Its number.
    pub segment: u64,
    /// The last frame that it holds.
    pub last_frame: u64,
}
