//! Turns: each round measures every row once, ours and the peer's behind one another, the first of them changing with the
//! rounds. So a slow minute of the machine falls on both.

/// One line of a comparison: the same work, put to two contenders. Each closure returns a rate.
pub struct Row<'a> {
    /// What is measured.
    pub name: String,
    /// Measures stillpoint.
    pub ours: Box<dyn Fn() -> f64 + 'a>,
    /// Measures the peer.
    pub peer: Box<dyn Fn() -> f64 + 'a>,
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A row's figures of all rounds.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What was measured.
    pub name: String,
    /// Rates of stillpoint.
    pub ours: Spread,
    /// Rates of the peer.
    pub peer: Spread,
    /// Ours over the peer's, round by round.
    pub ratio: Spread,
}

/// Figures of several rounds, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// Sorts the figures of the rounds.
    pub fn new(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// The middle figure, or the mean of the two in the middle; not a number if there are none.
    ///
    /// # Examples
    /// ```
    /// use stillpoint_bench::compare::Spread;
    /// assert_eq!(Spread::new(vec![9.0, 1.0, 2.0]).median(), 2.0);
    /// assert_eq!(Spread::new(vec![1.0, 2.0]).median(), 1.5);
    /// ```
    pub fn median(&self) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        (self.0[last / 2] + self.0[last.div_ceil(2)]) / 2.0
    }

    /// The least figure; not a number if there are none.
    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The greatest figure; not a number if there are none.
    pub fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }
}

/// Measures all rows in each of `rounds` rounds. Before the first round each is measured once for nothing.
pub fn take_turns(rows: &[Row<'_>], rounds: usize, mut progress: impl FnMut(usize)) -> Vec<Measured> {
    for row in rows {
        (row.ours)();
        (row.peer)();
    }
    let mut figures = vec![(Vec::new(), Vec::new()); rows.len()];
    for round in 0..rounds {
        progress(round);
        for (row, (ours, peer)) in rows.iter().zip(&mut figures) {
            if round % 2 == 0 {
                ours.push((row.ours)());
                peer.push((row.peer)());
            } else {
                peer.push((row.peer)());
                ours.push((row.ours)());
            }
        }
    }
    let measured = rows.iter().zip(figures).map(|(row, (ours, peer))| Measured {
        name: row.name.clone(),
        ratio: Spread::new(ours.iter().zip(&peer).map(|(ours, peer)| ours / peer).collect()),
        ours: Spread::new(ours),
        peer: Spread::new(peer),
    });
    measured.collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn contenders_take_turns_and_the_first_one_changes() {
        let order = RefCell::new(String::new());
        let measure = |name: char, rate: f64| {
            order.borrow_mut().push(name);
            rate
        };
        let rows = [Row {
            name: "row".to_owned(),
            ours: Box::new(|| measure('o', 6.0)),
            peer: Box::new(|| measure('p', 3.0)),
        }];
        let measured = take_turns(&rows, 3, |_| ());
        assert_eq!(*order.borrow(), "op".to_owned() + "op" + "po" + "op");
        assert_eq!(measured[0].ratio.median(), 2.0);
    }
}
