//! What a disk may hold after a loss of power.
//!
//! Everything pending is a list of independent *choices*: each change of a name happened or not; each file's length,
//! and each of its sectors, is the platter's or one of those that it has had since. An outcome picks one option of each
//! choice. Where few outcomes are possible, all are tried, else a sample that is drawn in several styles: independent
//! picks alone would hardly ever lose everything of one kind and keep everything of another, and that is what real file
//! systems do.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};

use super::SimulatedDisk;
use super::file::FileState;
use super::names::FileId;
use super::random::Random;
use super::state::State;

/// The disks that a loss of power may leave: see [`SimulatedDisk::images`].
#[derive(Debug)]
pub struct Images {
    state: State,
    choices: Vec<Choice>,
    plan: Plan,
    random: Random,
}

/// The outcome of one crash, in a style that the generator picks.
pub(super) fn crash(state: &State, random: &mut Random) -> State {
    let choices = choices(state);
    let outcome = Outcome::sample(&choices, random);
    outcome.image(state, &choices)
}

impl Images {
    pub(super) fn new(state: State, limit: usize, random: Random) -> Self {
        let choices = choices(&state);
        let outcomes = choices.iter().try_fold(1_usize, |product, choice| product.checked_mul(choice.options()));
        let plan = match outcomes {
            Some(outcomes) if outcomes <= EXHAUSTED_MAX => {
                Plan::All { next: Some(vec![0; choices.len()]), seen: HashSet::new() }
            }
            _ => Plan::Sample { taken: 0, limit },
        };
        Self { state, choices, plan, random }
    }

    /// Whether these are all the images that are possible, each once, and not a sample.
    pub fn is_exhaustive(&self) -> bool {
        matches!(self.plan, Plan::All { .. })
    }
}

impl Iterator for Images {
    type Item = SimulatedDisk;

    fn next(&mut self) -> Option<SimulatedDisk> {
        let image = match &mut self.plan {
            Plan::All { next, seen } => loop {
                let picks = next.take()?;
                *next = successor(&picks, &self.choices);
                let image = Outcome { picks, torn: None }.image(&self.state, &self.choices);
                if seen.insert(fingerprint(&image)) {
                    break image;
                }
            },
            Plan::Sample { taken, limit } => {
                if taken == limit {
                    return None;
                }
                *taken += 1;
                let outcome = match *taken {
                    1 => Outcome::uniform(&self.choices, |_| 0),
                    2 => Outcome::uniform(&self.choices, |choice| choice.steps.len()),
                    _ => Outcome::sample(&self.choices, &mut self.random),
                };
                outcome.image(&self.state, &self.choices)
            }
        };
        Some(SimulatedDisk::from_state(image, self.random.next()))
    }
}

#[derive(Debug)]
enum Plan {
    All { next: Option<Vec<usize>>, seen: HashSet<u64> },
    Sample { taken: usize, limit: usize },
}

/// What is open about one name, length or sector.
#[derive(Debug)]
struct Choice {
    of: Of,
    /// When each version but the platter's was made, ascending.
    steps: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Name,
    Length(FileId),
    /// The file, and the place among its sectors that are pending.
    Sector(FileId, usize),
}

impl Choice {
    fn options(&self) -> usize {
        self.steps.len() + 1
    }
}

/// One option picked for each choice: 0 is what is on the platter, the rest count the versions since.
struct Outcome {
    picks: Vec<usize>,
    /// The sector that was being written when power went.
    torn: Option<(Of, Random)>,
}

impl Outcome {
    fn uniform(choices: &[Choice], pick: impl FnMut(&Choice) -> usize) -> Self {
        Self { picks: choices.iter().map(pick).collect(), torn: None }
    }

    fn sample(choices: &[Choice], random: &mut Random) -> Self {
        let last = |choice: &Choice| choice.steps.len();
        match random.up_to(9) {
            // Nothing of what was pending, or everything.
            0 => Self::uniform(choices, |_| 0),
            1 => Self::uniform(choices, last),
            // The journal was written and the data was not: files of the right length, full of zeros.
            2 => Self::uniform(choices, |choice| if matches!(choice.of, Of::Sector(..)) { 0 } else { last(choice) }),
            // The data was written and the journal was not.
            3 => Self::uniform(choices, |choice| if choice.of == Of::Name { 0 } else { last(choice) }),
            // Everything up to one moment.
            4..=6 => {
                let mut steps: Vec<u64> = choices.iter().flat_map(|choice| &choice.steps).copied().collect();
                steps.sort_unstable();
                let cut = random.up_to(steps.len()).checked_sub(1).map_or(0, |index| steps[index]);
                Self::uniform(choices, |choice| choice.steps.partition_point(|&step| step <= cut)).torn(choices, random)
            }
            // Anything.
            _ => Self::uniform(choices, |choice| random.up_to(last(choice))).torn(choices, random),
        }
    }

    /// Now and then, tears one sector.
    fn torn(mut self, choices: &[Choice], random: &mut Random) -> Self {
        let sectors: Vec<Of> =
            choices.iter().map(|choice| choice.of).filter(|of| matches!(of, Of::Sector(..))).collect();
        if !sectors.is_empty() && random.one_in(TORN_ONCE_IN) {
            let sector = sectors[random.up_to(sectors.len() - 1)];
            self.torn = Some((sector, Random::new(random.next())));
        }
        self
    }

    /// The disk after this outcome. The picks are in the order of [`choices`].
    fn image(&self, state: &State, choices: &[Choice]) -> State {
        let of_name = |(choice, _): &(&Choice, &usize)| choice.of == Of::Name;
        let kept = choices.iter().zip(&self.picks).filter(of_name).map(|(_, &pick)| pick > 0);
        let names = state.names.image(kept);
        let mut files: BTreeMap<_, _> = names
            .values()
            .filter_map(|id| Some((*id, state.files.get(id)?)))
            .map(|(id, file)| (id, file.clone()))
            .collect();
        let mut start = choices.iter().take_while(|choice| choice.of == Of::Name).count();
        while let Some(Choice { of: Of::Length(file), .. }) = choices.get(start) {
            let sectors = choices[start + 1..].iter().take_while(|choice| matches!(choice.of, Of::Sector(..))).count();
            let end = start + 1 + sectors;
            if let Some(state) = files.get_mut(file) {
                let torn = match &self.torn {
                    Some((Of::Sector(torn, number), random)) if torn == file => Some((*number, random.clone())),
                    _ => None,
                };
                *state = FileState::durable(state.image(self.picks[start], &self.picks[start + 1..end], torn));
            }
            start = end;
        }
        State::durable(names, files, state.capacity)
    }
}

/// All choices: the names in the order of their changes, then for each file the length and the sectors.
fn choices(state: &State) -> Vec<Choice> {
    let mut choices: Vec<Choice> = state.names.steps().map(|step| Choice { of: Of::Name, steps: vec![step] }).collect();
    for id in state.names.files() {
        let Some(file) = state.files.get(&id) else { continue };
        choices.push(Choice { of: Of::Length(id), steps: file.length_steps() });
        let sectors = file.sector_steps().enumerate();
        choices.extend(sectors.map(|(number, steps)| Choice { of: Of::Sector(id, number), steps }));
    }
    choices
}

/// The next outcome, counting with the choices as digits.
fn successor(picks: &[usize], choices: &[Choice]) -> Option<Vec<usize>> {
    let mut next = picks.to_vec();
    for (pick, choice) in next.iter_mut().zip(choices) {
        if *pick + 1 < choice.options() {
            *pick += 1;
            return Some(next);
        }
        *pick = 0;
    }
    None
}

/// What tells images apart: names and bytes. (By 64 bits: two of 1,024 images collide once in 10^13 times.)
fn fingerprint(image: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, file) in image.names.seen() {
        name.hash(&mut hasher);
        image.files.get(file).map(|file| file.bytes()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Up to so many outcomes all are tried: those of ten choices between two.
const EXHAUSTED_MAX: usize = 1 << 10;

/// How rare torn sectors are: disks write a sector whole, nearly always.
const TORN_ONCE_IN: usize = 4;
