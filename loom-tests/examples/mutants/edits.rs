//! Lines that are no ordering and yet carry a protocol, and what each is changed to.

/// An expression or statement of a file under `core/src/raw`, and what it becomes.
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) what: &'static str,
}

const fn edit(file: &'static str, from: &'static str, to: &'static str, what: &'static str) -> Edit {
    Edit { file, from, to, what }
}

pub(crate) const EDITS: &[Edit] = &[
    edit("unread.rs", "self.passed.fetch_max(tick, Ordering::Relaxed);", "", "what passes is not said"),
    edit("unread.rs", "tick <= self.floor()", "true", "a pruner looks at the bookmarks once"),
    edit("chain.rs", "stamp.sequence() + 1", "0", "the sequence begins again with each version"),
    edit("chain.rs", "version.stamp().tick() > tick", "false", "a snapshot reads the newest version"),
    edit(
        "chain.rs",
        "older.watch() || lost_its_watch",
        "older.watch()",
        "a version whose watcher ended is not watched again",
    ),
    edit("chain.rs", "tick <= snapshot", "true", "an entry of a younger snapshot takes the place of an older one's"),
    edit("registry.rs", "Word::Set(tick) => tick,", "Word::Set(_) => now,", "an owner ignores what a pruner has set"),
    edit(
        "registry.rs",
        "self.used.load(Ordering::Relaxed) < before + index + 1",
        "false",
        "words are used and not counted",
    ),
    edit("registry.rs", "left <= REGISTRY_BLOCK", "true", "a scan stops after the first block"),
    edit(
        "notes.rs",
        "*named = if newer && rule::holds(Rule::CarryNewer) { 0 } else { cut };",
        "*named = cut;",
        "what is newer than the cut counts as named",
    ),
    edit(
        "notes.rs",
        "*named == 0 || *named > tick",
        "*named > tick",
        "an acknowledged cut forgets what it has not named",
    ),
    edit(
        "notes.rs",
        "*named == 0 || *named > tick",
        "*named == 0",
        "an acknowledged cut forgets what a later one names",
    ),
    edit(
        "notes.rs",
        "next.is_null() || len < NOTE_SEGMENT",
        "next.is_null()",
        "a segment is left that was not full when it was read",
    ),
    edit(
        "notes.rs",
        "acknowledged.chain(desk.holds.iter().map(|hold| hold.since)).min()",
        "acknowledged.min()",
        "a cut holds nothing",
    ),
    edit(
        "notes.rs",
        "position.segment != first && !position.segment.is_null()",
        "position.segment != first",
        "a list is freed before it is begun",
    ),
    edit(
        "engine.rs",
        "replaced.is_none_or(|replaced| replaced.stamp.tick() < stamp.tick())",
        "replaced.is_none()",
        "only a first version is noted",
    ),
    edit(
        "engine.rs",
        "replaced.is_none_or(|replaced| replaced.stamp.tick() < stamp.tick())",
        "replaced.is_some_and(|replaced| replaced.stamp.tick() < stamp.tick())",
        "a first version is not noted",
    ),
    edit("engine.rs", "until > owned.view.clock", "owned.view.clock == 0", "a pruner trusts its view for ever"),
    edit(
        "revisit.rs",
        "slot.generation() != waiting.generation",
        "false",
        "the backlog looks at slots that were freed",
    ),
    edit("revisit.rs", "slot.dequeue(waiting.waits_for);", "{}", "a slot that was looked at keeps its mark"),
    edit("revisit.rs", "newest.version.prev().is_none()", "true", "a tombstone is purged over an older version"),
    edit(
        "revisit.rs",
        "self.engine.desk.floor().min(passed)",
        "passed",
        "a tombstone is purged before consumers have it",
    ),
    edit("pruning.rs", "until <= view.clock", "true", "a pruner trusts a view beyond its clock"),
    edit("era.rs", "self.safe() + 1 < era", "false", "the era moves on before the last one is safe"),
    edit("slot.rs", "state & AGAIN == 0", "true", "a pruner ends without the look that it was asked for"),
    edit(
        "slot.rs",
        "self.side().state.fetch_or(PRUNING | AGAIN, Ordering::AcqRel)",
        "self.side().state.fetch_or(PRUNING, Ordering::AcqRel)",
        "who finds a pruner leaves no message",
    ),
    edit(
        "slot.rs",
        "(side.state.load(Ordering::Relaxed) >> GENERATION_SHIFT) + 1",
        "(side.state.load(Ordering::Relaxed) >> GENERATION_SHIFT)",
        "a slot comes again in its generation",
    ),
    edit(
        "record.rs",
        "!self.in_use.load(Ordering::Relaxed)\n            && self.in_use.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()",
        "true",
        "a record in use is claimed",
    ),
    edit(
        "table/mod.rs",
        "tag.is_none_or(|tag| tag == tag_of(hash))",
        "tag.is_some_and(|tag| tag == tag_of(hash))",
        "an entry without a tag is passed by",
    ),
    edit(
        "table/mod.rs",
        "is_at_start || slot.hash() >= position.0",
        "true",
        "a walk meets again what it has met in a smaller table",
    ),
    edit(
        "table/grow.rs",
        "root.claimed.fetch_add(MOVE_STEP, Ordering::Relaxed)",
        "0",
        "helpers move the first buckets only",
    ),
    edit(
        "table/grow.rs",
        "self.moved.load(Ordering::Acquire) == self.buckets.len()",
        "self.moved.load(Ordering::Acquire) > 0",
        "a table is promoted when one bucket has moved",
    ),
    edit(
        "table/bucket.rs",
        "self.tags.fetch_or(MOVED, Ordering::AcqRel) & MOVED == 0",
        "{ self.tags.fetch_or(MOVED, Ordering::AcqRel); true }",
        "a bucket is counted by all who have moved it",
    ),
    edit(
        "commit/descriptor.rs",
        "write.slot().head().0 != write.version",
        "true",
        "who finds a version installed by another aborts",
    ),
    edit(
        "commit/descriptor.rs",
        "role == Role::Helper && !status.is_helped()",
        "false",
        "a helper says nothing of itself",
    ),
    edit(
        "commit/descriptor.rs",
        "if self.validates { State::Validating(tick) } else { State::Committed(tick) }",
        "State::Committed(tick)",
        "nothing is validated",
    ),
    edit(
        "commit/descriptor.rs",
        "return access.is_in_place() && found == Some(access.seen);",
        "return access.is_in_place();",
        "a read is compared with nothing",
    ),
    edit(
        "commit/descriptor.rs",
        "matches!(ask, Ask::At(at) if at < tick)",
        "matches!(ask, Ask::At(_))",
        "a snapshot passes by what may be visible to it",
    ),
    edit("commit/owner.rs", "replaced == Some(stamp)", "true", "a write is over another version than was read"),
    edit(
        "commit/owner.rs",
        "!is_as_seen && rule::holds(Rule::ReplaceWhatWasSeen) || !write.is_in_place()",
        "!is_as_seen",
        "a slot of another key is written",
    ),
    edit(
        "commit/owner.rs",
        "version.finalize(intent.after(version.stamp()), tick);",
        "{}",
        "the owner leaves its intents behind",
    ),
    edit(
        "commit/owner.rs",
        "write.replaced.is_none_or(|replaced| replaced.tick() < tick)",
        "write.replaced.is_none()",
        "only a first version of a transaction is noted",
    ),
    edit(
        "commit/open.rs",
        "before != Seen::Nothing && before != found",
        "false",
        "a key that is read twice may differ",
    ),
    edit("rooms.rs", "(tag as u32) << TAG_SHIFT | TAGGED", "(tag as u32) << TAG_SHIFT", "a freed room has no tag"),
];
