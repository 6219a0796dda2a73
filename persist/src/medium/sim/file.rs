//! One simulated file: what reads see, what is surely on the platter, and what may be.
//!
//! The *cache* is the file as reads see it. The *platter* is what survives any crash. In between, each sector has the
//! versions that it went through since it was last made durable, and so has the length; after a crash it holds the
//! platter's or any of those. That is what a page cache does: it writes a sector back at any moment, whole, as it then
//! is, in any order.
//!
//! A version is *dirty* until a sync takes it. A failed sync marks all as clean without having written them, as Linux
//! does: a later sync passes over them, unless the sector was written once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::random::Random;

/// The unit that a disk writes at once.
pub(super) const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    cache: Arc<Vec<u8>>,
    platter: Arc<Vec<u8>>,
    /// Oldest first.
    lengths: Vec<Version<usize>>,
    /// By the sector's index; oldest first, never empty.
    sectors: BTreeMap<usize, Vec<Version<Arc<Sector>>>>,
}

#[derive(Clone, Debug)]
struct Version<T> {
    /// When it was made, on the disk's own clock.
    step: u64,
    value: T,
    dirty: bool,
}

impl FileState {
    /// A file that is wholly on the platter.
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> Self {
        Self { cache: Arc::clone(&bytes), platter: bytes, ..Self::default() }
    }

    /// What reads see.
    pub(super) fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.cache
    }

    /// Writes at an offset, filling a gap before it with zeros. Writing nothing changes nothing.
    pub(super) fn write(&mut self, bytes: &[u8], offset: usize, clock: &mut u64) {
        if bytes.is_empty() {
            return;
        }
        let (start, end) = (offset.min(self.cache.len()), offset + bytes.len());
        let grows = end > self.cache.len();
        let cache = Arc::make_mut(&mut self.cache);
        if grows {
            cache.resize(end, 0);
        }
        cache[offset..end].copy_from_slice(bytes);
        if grows || end > self.platter.len() {
            self.note_length(clock);
        }
        self.note_sectors(start, end, clock);
    }

    pub(super) fn set_len(&mut self, len: usize, clock: &mut u64) {
        let before = self.cache.len();
        Arc::make_mut(&mut self.cache).resize(len, 0);
        self.note_length(clock);
        if len > before {
            // What was cut off earlier, and may still be on the platter, must read as zeros now.
            self.note_sectors(before, len, clock);
        }
    }

    /// Puts all that is dirty on the platter, as it is in the cache.
    pub(super) fn sync(&mut self) {
        let (cache, platter) = (&self.cache, Arc::make_mut(&mut self.platter));
        if self.lengths.last().is_some_and(|last| last.dirty) {
            platter.resize(cache.len(), 0);
            self.lengths.clear();
        }
        self.sectors.retain(|&index, versions| {
            let dirty = versions.last().is_some_and(|last| last.dirty);
            if dirty {
                overlay(platter, index, &sector(cache, index));
            }
            !dirty
        });
    }

    /// What a failed sync does: nothing is written, and nothing is dirty any more.
    pub(super) fn abandon(&mut self) {
        self.lengths.iter_mut().for_each(|version| version.dirty = false);
        self.sectors.values_mut().flatten().for_each(|version| version.dirty = false);
    }

    /// The steps at which the pending lengths were made.
    pub(super) fn length_steps(&self) -> Vec<u64> {
        self.lengths.iter().map(|version| version.step).collect()
    }

    /// For each sector with pending versions, the steps at which they were made.
    pub(super) fn sector_steps(&self) -> impl Iterator<Item = Vec<u64>> {
        self.sectors.values().map(|versions| versions.iter().map(|version| version.step).collect())
    }

    /// The file after a crash at which the length and each sector with pending versions held the version with that
    /// number; 0 is the platter's. The torn one was being written at that moment.
    pub(super) fn image(&self, length: usize, sectors: &[usize], torn: Option<(usize, Random)>) -> Arc<Vec<u8>> {
        if length == 0 && torn.is_none() && sectors.iter().all(|&pick| pick == 0) {
            return Arc::clone(&self.platter);
        }
        let mut bytes = Vec::clone(&self.platter);
        bytes.resize(length.checked_sub(1).map_or(bytes.len(), |pick| self.lengths[pick].value), 0);
        for (number, ((&index, versions), &pick)) in self.sectors.iter().zip(sectors).enumerate() {
            if let Some(pick) = pick.checked_sub(1) {
                overlay(&mut bytes, index, &versions[pick].value);
            }
            if let Some((_, random)) = torn.clone().filter(|(torn, _)| *torn == number) {
                let new = &versions[pick.saturating_sub(1)].value;
                overlay(&mut bytes, index, &tear(&sector(&self.platter, index), new, random));
            }
        }
        Arc::new(bytes)
    }

    fn note_length(&mut self, clock: &mut u64) {
        let latest = self.lengths.last().map_or(self.platter.len(), |last| last.value);
        if self.cache.len() != latest {
            self.lengths.push(Version { step: tick(clock), value: self.cache.len(), dirty: true });
        } else if let Some(last) = self.lengths.last_mut() {
            last.dirty = true;
        }
    }

    fn note_sectors(&mut self, start: usize, end: usize, clock: &mut u64) {
        for index in start / SECTOR..end.div_ceil(SECTOR) {
            let now = sector(&self.cache, index);
            match self.sectors.get_mut(&index) {
                None if now == sector(&self.platter, index) => {}
                None => {
                    let version = Version { step: tick(clock), value: Arc::new(now), dirty: true };
                    self.sectors.insert(index, vec![version]);
                }
                Some(versions) => match versions.last_mut() {
                    Some(last) if *last.value == now => last.dirty = true,
                    _ => versions.push(Version { step: tick(clock), value: Arc::new(now), dirty: true }),
                },
            }
        }
    }
}

/// The next moment on the disk's clock.
pub(super) fn tick(clock: &mut u64) -> u64 {
    *clock += 1;
    *clock
}

/// A sector's bytes, with zeros where the file has none.
fn sector(bytes: &[u8], index: usize) -> Sector {
    let mut sector = [0; SECTOR];
    let start = (index * SECTOR).min(bytes.len());
    let present = &bytes[start..bytes.len().min(start + SECTOR)];
    sector[..present.len()].copy_from_slice(present);
    sector
}

/// Lays a sector over the bytes, as far as they reach.
fn overlay(bytes: &mut [u8], index: usize, sector: &Sector) {
    let start = (index * SECTOR).min(bytes.len());
    let end = bytes.len().min(start + SECTOR);
    bytes[start..end].copy_from_slice(&sector[..end - start]);
}

/// A sector that lost power while it was written: its first bytes are new and the others old, or those that were to
/// change are garbage. Bytes that are the same in both stay: what is durable is not hurt by a write beside it.
fn tear(old: &Sector, new: &Sector, mut random: Random) -> Sector {
    let mut torn = *old;
    if random.one_in(2) {
        let shorn = random.up_to(SECTOR);
        torn[..shorn].copy_from_slice(&new[..shorn]);
    } else {
        for (byte, _) in torn.iter_mut().zip(new).filter(|(byte, new)| byte != new) {
            *byte = random.next() as u8;
        }
    }
    torn
}
