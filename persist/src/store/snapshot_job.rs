//! A snapshot file that is being written, piece by piece.

use std::collections::VecDeque;
use std::time::Instant;

use stillpoint::Snapshot;

use super::catalog::{ActiveComponent, Dormant, Position, file_failed};
use super::identity::Identity;
use super::status::SnapshotFileReport;
use crate::error::DurabilityError;
use crate::format::FormatError;
use crate::format::component::ComponentRecord;
use crate::format::names::{TEMPORARY, snapshot_name};
use crate::format::snapshot::SnapshotHeader;
use crate::hash::HashKey;
use crate::log::Commit;
use crate::medium::Medium;
use crate::snapshot_file::{Codec, SnapshotFile, SnapshotFileWriter};
use crate::sync::Arc;

/// Chunks of an unfinished base that one step brings in.
const WARM_STEP: u32 = 16;

/// Writes what a snapshot sees into a file.
pub(crate) struct SnapshotJob {
    name: String,
    temporary: String,
    file: Option<SnapshotFileWriter>,
    snapshot: Snapshot,
    hash_key: HashKey,
    sources: VecDeque<Source>,
    /// The component that is being written, and where.
    at: Option<At>,
    header: SnapshotHeader,
    started: Instant,
}

/// Where a component's entries come from.
#[derive(Clone)]
pub(crate) enum Source {
    Active(Arc<dyn ActiveComponent>),
    Dormant(Dormant),
}

impl Source {
    /// What the component is called on disk.
    pub(crate) fn record(&self) -> &ComponentRecord {
        match self {
            Self::Active(component) => component.record(),
            Self::Dormant(dormant) => &dormant.record,
        }
    }

    /// The component, if the program has asked for it.
    pub(crate) fn active(&self) -> Option<&dyn ActiveComponent> {
        match self {
            Self::Active(component) => Some(&**component),
            Self::Dormant(_) => None,
        }
    }
}

enum At {
    /// What lies under the component comes in first, so that the map has it all.
    Warming(Arc<dyn ActiveComponent>, u32),
    Entries(Arc<dyn ActiveComponent>, Position),
}

/// A snapshot file that is durable under its name.
pub(crate) struct Published {
    pub(crate) file: Arc<SnapshotFile>,
    pub(crate) report: SnapshotFileReport,
    /// The last frame that it covers.
    pub(crate) frame: u64,
}

/// Gives a snapshot file its name, durably.
pub(crate) fn publish(medium: &dyn Medium, temporary: &str, name: &str) -> Result<(), FormatError> {
    medium.rename(temporary, name).map_err(FormatError::io("rename", temporary))?;
    medium.sync_directory().map_err(|error| {
        // A later sync may pass over the name. Nobody shall find it before, and build on it.
        let _ = medium.remove(name);
        FormatError::io("sync the directory of", name)(error)
    })
}

impl SnapshotJob {
    /// Creates the file, of what the frame with this commit has made durable.
    pub(crate) fn begin(
        medium: &dyn Medium,
        identity: &Identity,
        snapshot: Snapshot,
        sources: VecDeque<Source>,
        generation: u64,
        frame: u64,
        commit: Commit,
    ) -> Result<Self, DurabilityError> {
        let header = SnapshotHeader {
            store: identity.store,
            generation,
            incarnation: commit.incarnation,
            cut_tick: commit.cut_tick,
            frame,
            tick_reserve: commit.tick_reserve,
            wall_clock: commit.wall_clock,
            hash_key: identity.hash_key.0,
        };
        let name = snapshot_name(generation);
        let temporary = format!("{name}{TEMPORARY}");
        let file = SnapshotFileWriter::create(medium, &temporary, header, Codec::Raw).map_err(file_failed)?;
        Ok(Self {
            name,
            temporary,
            file: Some(file),
            snapshot,
            hash_key: identity.hash_key,
            sources,
            at: None,
            header,
            started: Instant::now(),
        })
    }

    /// Writes the next piece; hands out the file once it is done.
    pub(crate) fn advance(&mut self, medium: &dyn Medium) -> Result<Option<Published>, DurabilityError> {
        let Some(file) = &mut self.file else { unreachable!("a job that is done is not advanced") };
        match self.at.take() {
            Some(At::Warming(component, from)) => {
                self.at = Some(match component.warm(from, WARM_STEP).map_err(DurabilityError::Unreadable)? {
                    Some(next) => At::Warming(component, next),
                    None => At::Entries(component, None),
                });
            }
            Some(At::Entries(component, from)) => {
                let next = component.write_entries(&self.snapshot, from, file)?;
                self.at = next.map(|next| At::Entries(component, Some(next)));
            }
            None => match self.sources.pop_front() {
                Some(Source::Active(component)) => {
                    file.begin_component(component.record().clone()).map_err(file_failed)?;
                    self.at = Some(At::Warming(component, 0));
                }
                Some(Source::Dormant(dormant)) => {
                    file.begin_component(dormant.record.clone()).map_err(file_failed)?;
                    dormant.write_entries(self.hash_key, file)?;
                }
                None => return self.finish(medium).map(Some),
            },
        }
        Ok(None)
    }

    fn finish(&mut self, medium: &dyn Medium) -> Result<Published, DurabilityError> {
        let Some(file) = self.file.take() else { unreachable!("a job is finished once") };
        file.finish().map_err(file_failed)?;
        publish(medium, &self.temporary, &self.name).map_err(file_failed)?;
        let mapping = medium.map(&self.name).map_err(FormatError::io("map", &self.name)).map_err(file_failed)?;
        let file = SnapshotFile::open(&self.name, mapping).map_err(file_failed)?;
        let report = SnapshotFileReport {
            generation: self.header.generation,
            bytes: file.bytes(),
            entries: file.entries(),
            time: self.started.elapsed(),
        };
        Ok(Published { file: Arc::new(file), report, frame: self.header.frame })
    }

    /// Removes the unfinished file.
    pub(crate) fn discard(&mut self, medium: &dyn Medium) {
        self.file = None;
        // What is left behind is removed by the next start.
        let _ = medium.remove(&self.temporary);
    }
}
