//! A consumer of one key, whose cuts are compared with all that was written.

use stillpoint::{Consumer, Cut, Map, Store, Version};

/// What a log complains of.
pub const LOST: &str = "a cut is not what the chain says";

/// A consumer of one key, and what its cuts said.
#[derive(Debug)]
pub struct Log<V: 'static> {
    map: Map<u64, V>,
    consumer: Consumer,
    /// Of each cut that it finished with: the tick, and the version that it named.
    cuts: Vec<(u64, Option<Version>)>,
}

impl<V: Send + Sync> Log<V> {
    /// Registers a consumer; it is told of what is written from here on.
    pub fn begin(store: &Store, map: &Map<u64, V>) -> Self {
        let consumer = store.consumer();
        // Nobody else is there, so its beginning is the last tick that the clock has passed.
        Self { map: map.clone(), consumer, cuts: vec![(store.tick() - 1, None)] }
    }

    /// Asks for a cut.
    pub fn cut(&mut self) -> Cut {
        self.consumer.cut()
    }

    /// Finishes with a cut.
    ///
    /// # Panics
    /// If it names the key twice.
    pub fn keep(&mut self, cut: Cut) {
        let named: Vec<_> = cut.changes(&self.map).map(|change| change.version).collect();
        assert!(named.len() <= 1, "a cut names a key twice");
        self.cuts.push((cut.tick(), named.first().copied()));
        self.consumer.acknowledge(cut);
    }

    /// Asks for a last cut, and compares all of them with all versions of the key.
    ///
    /// # Panics
    /// If they differ.
    pub fn end(mut self, written: &[Version]) {
        let last = self.cut();
        self.keep(last);
        for pair in self.cuts.windows(2) {
            let ((since, _), (until, named)) = (pair[0], pair[1]);
            let newest =
                written.iter().copied().filter(|version| since < version.tick() && version.tick() <= until).max();
            assert_eq!(named, newest, "{LOST}");
        }
    }
}
