//! What is worked on: maps whose contents obey laws that any snapshot can be asked about.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stillpoint::{Map, Snapshot, Store};

use super::kept::Kept;
use super::support::counted::{Census, Counted};

pub(crate) const ACCOUNTS: u64 = 64;
/// The most that one payment moves.
pub(crate) const AMOUNT_MAX: u64 = 100;
pub(crate) const TOKENS: u64 = 200;
/// Places for tokens in each of their two maps.
pub(crate) const PLACES: u64 = 400;
/// Threads that pay and move tokens at any time: each has one payment and one token in hand at most.
pub(crate) const WORKERS: u64 = 3;

/// The maps of a soak.
///
/// - *Ledger*: a payment adds to `paid` first, then the same to `received`. So at any moment the two differ by what is under way.
/// - *Tokens*: a token is taken out of one of two maps before it is put into one. So at any moment each is in one place at most.
/// - *Crowd*: keys that come and go, by the thousand, so that the table grows and slots come again.
/// - *Scratch*: what is cleared and retained from.
/// - [*Kept*](Kept): what checks, keeps and refuses.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) paid: Map<u64, Counted>,
    pub(crate) received: Map<u64, Counted>,
    pub(crate) tokens: [Map<u64, Counted>; 2],
    pub(crate) crowd: Map<String, Counted>,
    pub(crate) scratch: Map<u64, Counted>,
    pub(crate) kept: Kept,
    /// Counts the values of all maps.
    pub(crate) census: Census,
    /// All payments that are done.
    pub(crate) moved: AtomicU64,
}

/// What a snapshot said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) paid: u64,
    pub(crate) received: u64,
    /// Which tokens are where.
    pub(crate) tokens: [Vec<(u64, u64)>; 2],
    pub(crate) crowd: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let (store, census) = (Store::new(), Census::default());
        let map = |name| store.map(name).expect("a fresh name");
        let world = Self {
            paid: map("paid"),
            received: map("received"),
            tokens: [map("left"), map("right")],
            scratch: map("scratch"),
            crowd: store.map("crowd").expect("a fresh name"),
            moved: AtomicU64::new(0),
            kept: Kept::new(&store, &census),
            store,
            census,
        };
        for account in 0..ACCOUNTS {
            world.paid.pin().put(account, world.census.value(0));
            world.received.pin().put(account, world.census.value(0));
        }
        for token in 0..TOKENS {
            world.tokens[0].pin().put(token, world.census.value(token));
        }
        world
    }

    /// Asks a snapshot, and checks the laws.
    pub(crate) fn account(&self, still: &Snapshot) -> Account {
        let sum = |map: &Map<u64, Counted>| {
            let all: Vec<u64> = still.iter(map).map(|(_, amount)| amount.number()).collect();
            assert_eq!(all.len() as u64, ACCOUNTS, "a snapshot has all accounts, each once");
            all.iter().sum::<u64>()
        };
        let (paid, received) = (sum(&self.paid), sum(&self.received));
        let under_way = paid.checked_sub(received).expect("nothing is received before it is paid");
        assert!(under_way <= WORKERS * AMOUNT_MAX, "{under_way} are under way");
        for account in 0..ACCOUNTS {
            let [paid, received] =
                [&self.paid, &self.received].map(|map| still.get(map, &account).map(Counted::number));
            assert!(paid >= received, "account {account} has received more than was paid");
        }
        let tokens = self.tokens.each_ref().map(|map| {
            let mut all: Vec<_> = still.iter(map).map(|(place, token)| (*place, token.number())).collect();
            all.sort_unstable();
            all
        });
        let mut seen = HashSet::new();
        let twice = tokens.iter().flatten().find(|(_, token)| !seen.insert(*token));
        assert_eq!(twice, None, "a token is in two places");
        assert!(seen.len() as u64 >= TOKENS - WORKERS, "only {} tokens are there", seen.len());
        let mut names = HashSet::new();
        for (name, value) in still.iter(&self.crowd) {
            assert!(names.insert(name), "{name} is there twice");
            assert_eq!(name.len() as u64, value.number(), "a value of another key");
        }
        Account { paid, received, tokens, crowd: names.len() }
    }

    /// Checks what holds when nobody works, and leaves nothing that waits.
    pub(crate) fn settle(&self) {
        let account = self.account(&self.store.snapshot());
        let moved = self.moved.load(Ordering::Relaxed);
        assert_eq!((account.paid, account.received), (moved, moved), "every payment is on both sides");
        let [left, right] = &self.tokens;
        assert_eq!((left.len() + right.len()) as u64, TOKENS, "every token is there");
        assert_eq!(account.crowd, self.crowd.len(), "the length is what a snapshot shows");
        self.crowd.pin().clear();
        self.scratch.pin().clear();
        assert_eq!((self.crowd.len(), self.scratch.len()), (0, 0));
        let visible = (2 * ACCOUNTS + TOKENS + self.kept.settle(&self.store)).cast_signed();
        // A thread that was joined may not have left the store yet: its garbage comes when it does.
        let until = Instant::now() + Duration::from_secs(30);
        while self.store.maintain() || self.census.live() != visible && Instant::now() < until {
            thread::yield_now();
        }
        assert_eq!(self.census.live(), visible, "only visible values are left: {:?}", self.store.stats());
        let stats = self.store.stats();
        assert_eq!((stats.live_snapshots, stats.slots_in_backlog), (0, 0), "{stats:?}");
    }

    /// Bytes of slots and tables, which keep what they once needed.
    pub(crate) fn index_bytes(&self) -> usize {
        let numbered = [&self.paid, &self.received, &self.tokens[0], &self.tokens[1], &self.scratch];
        let numbered = numbered.map(Map::index_bytes).iter().sum::<usize>();
        numbered + self.crowd.index_bytes() + self.kept.index_bytes(&self.store)
    }
}
