//! Whether there is an order of transactions that explains a history, and agrees with time.
//!
//! The lists that were read give the order in which each key was appended to. From that follow dependencies: who appended after whom, who
//! read what whom has appended, who read before whom has appended, and who had ended before who began. If they have no cycle, any
//! order that follows them explains the history; if they have one, none does (Adya; Kingsbury and Alvaro, "Elle", VLDB 2020).

use std::collections::HashMap;
use std::fmt;

use crate::history::{Done, Element, History, Step};

/// Why a history can't be explained.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Two reads of a key have found lists of which neither begins with the other.
    NoOrder { key: u8 },
    /// A read has found what no committed transaction has appended there.
    FromNowhere { key: u8, element: Element },
    /// A read has found what another transaction has appended, and not all of it.
    InBetween { key: u8, element: Element },
    /// A transaction has not found what it has appended itself, or what it has found before.
    Unsteady { transaction: usize },
    /// What was appended is in no list.
    Lost { key: u8, element: Element },
    /// Each of these transactions must come before the next one, and the last one before the first.
    Cycle(Vec<usize>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a transaction found of a key that it had not appended itself, and what it appended.
#[derive(Default)]
struct Own {
    found: Option<Vec<Element>>,
    appended: Vec<Element>,
}

/// Checks a history, whose last transaction has read every key.
pub(crate) fn check(history: &History) -> Result<(), Wrong> {
    let mut owns = Vec::new();
    for (transaction, done) in history.0.iter().enumerate() {
        owns.push(own(done).ok_or(Wrong::Unsteady { transaction })?);
    }
    let lists = lists(&owns)?;
    let mut appenders = HashMap::new();
    for (transaction, own) in owns.iter().enumerate() {
        for (key, own) in own {
            appenders.extend(own.appended.iter().map(|element| ((*key, *element), transaction)));
        }
    }
    let mut edges = vec![Vec::new(); history.0.len()];
    for (key, list) in &lists {
        let mut by = Vec::new();
        for element in list {
            let from_nowhere = Wrong::FromNowhere { key: *key, element: *element };
            by.push(*appenders.get(&(*key, *element)).ok_or(from_nowhere)?);
        }
        for pair in by.windows(2) {
            add(&mut edges, pair[0], pair[1]);
        }
        for (reader, own) in owns.iter().enumerate() {
            let Some(own) = own.get(key) else { continue };
            let Some(found) = &own.found else { continue };
            let len = found.len();
            if let Some(last) = len.checked_sub(1) {
                if by.get(len) == Some(&by[last]) && by[last] != reader {
                    return Err(Wrong::InBetween { key: *key, element: list[last] });
                }
                add(&mut edges, by[last], reader);
            }
            if let Some(next) = by.get(len) {
                add(&mut edges, reader, *next);
            }
        }
    }
    for (key, element) in appenders.keys() {
        if !lists.get(key).is_some_and(|list| list.contains(element)) {
            return Err(Wrong::Lost { key: *key, element: *element });
        }
    }
    add_time(&mut edges, history);
    cycle(&edges, history.0.len()).map_or(Ok(()), |cycle| Err(Wrong::Cycle(cycle)))
}

/// What a transaction has found and appended, key by key; `None` if that does not fit together.
fn own(done: &Done) -> Option<HashMap<u8, Own>> {
    let mut keys: HashMap<u8, Own> = HashMap::new();
    for step in &done.steps {
        match step {
            Step::Append(key, element) => keys.entry(*key).or_default().appended.push(*element),
            Step::Read(key, list) => {
                let own = keys.entry(*key).or_default();
                let found = list.strip_suffix(own.appended.as_slice())?;
                if own.found.as_ref().is_some_and(|before| before != found) {
                    return None;
                }
                own.found = Some(found.to_vec());
            }
        }
    }
    Some(keys)
}

/// The longest list of each key, with which all others begin.
fn lists(owns: &[HashMap<u8, Own>]) -> Result<HashMap<u8, Vec<Element>>, Wrong> {
    let mut lists: HashMap<u8, Vec<Element>> = HashMap::new();
    for (key, own) in owns.iter().flatten() {
        let Some(found) = &own.found else { continue };
        let longest = lists.entry(*key).or_default();
        let (shorter, longer) = if found.len() < longest.len() { (found, &*longest) } else { (&*longest, found) };
        if !longer.starts_with(shorter) {
            return Err(Wrong::NoOrder { key: *key });
        }
        if found.len() > longest.len() {
            longest.clone_from(found);
        }
    }
    Ok(lists)
}

fn add(edges: &mut [Vec<usize>], before: usize, after: usize) {
    if before != after {
        edges[before].push(after);
    }
}

/// Who has ended comes before who begins later: by way of a chain of moments, one for each end.
fn add_time(edges: &mut Vec<Vec<usize>>, history: &History) {
    let mut ends: Vec<_> = history.0.iter().enumerate().map(|(number, done)| (done.until, number)).collect();
    ends.sort_unstable();
    let first = edges.len();
    for (at, (_, number)) in ends.iter().enumerate() {
        edges.push(Vec::new());
        edges[*number].push(first + at);
        if at > 0 {
            edges[first + at - 1].push(first + at);
        }
    }
    for (number, done) in history.0.iter().enumerate() {
        let ended = ends.partition_point(|(until, _)| *until < done.from);
        if ended > 0 {
            edges[first + ended - 1].push(number);
        }
    }
}

/// A cycle, if there is one: the transactions on it.
fn cycle(edges: &[Vec<usize>], transactions: usize) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    for start in 0..edges.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(after) = edges[*node].get(*next).copied() else {
                marks[*node] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[after] {
                Mark::Done => {}
                Mark::New => {
                    marks[after] = Mark::Open;
                    path.push((after, 0));
                }
                Mark::Open => {
                    let nodes = path.iter().map(|(node, _)| *node).skip_while(|node| *node != after);
                    return Some(nodes.filter(|node| *node < transactions).collect());
                }
            }
        }
    }
    None
}
