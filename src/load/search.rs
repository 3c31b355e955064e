//! core: the largest number of callers that meets the target
//! In:    whether a number of callers met it.
//! Out:   the number to try next: doubled until one misses, then halfway between the best and the smallest that missed.
//! Law:   `next`, run it, `handle`; until `next` is `None`.
//! Never: tries a number twice, or more than `cap`. An answer that fits no order (more callers met what fewer missed) ends
//!        the search no later: what lies above a miss is not believed.

/// A search under way. Knows the numbers that it has seen, and no time.
#[derive(Clone, Debug)]
pub struct Search {
    start: usize,
    cap: usize,
    tried: Vec<(usize, bool)>,
}

impl Search {
    /// Begins with `start` callers and never asks for more than `cap`; both are at least 1.
    pub fn new(start: usize, cap: usize) -> Self {
        let cap = cap.max(1);
        Self { start: start.clamp(1, cap), cap, tried: Vec::new() }
    }

    /// How many callers to try; the same until they are handled, `None` when there is nothing left to learn.
    pub fn next(&self) -> Option<usize> {
        let best = self.found().unwrap_or(0);
        let next = match self.missed() {
            Some(missed) => best + (missed - best) / 2,
            None if best == 0 => self.start,
            None => best.saturating_mul(2).min(self.cap),
        };
        (next != best).then_some(next)
    }

    /// What came of `callers` callers. A number that was not asked for counts as well; the first word on a number stands.
    pub fn handle(&mut self, callers: usize, met: bool) {
        if callers > 0 && !self.tried.iter().any(|(tried, _)| *tried == callers) {
            self.tried.push((callers, met));
        }
    }

    /// The most callers that met the target with nobody below them who missed it; so far, or for good when `next` is `None`.
    pub fn found(&self) -> Option<usize> {
        let below = self.missed().unwrap_or(usize::MAX);
        self.tried.iter().filter(|(callers, met)| *met && *callers < below).map(|(callers, _)| *callers).max()
    }

    /// Everything that was tried, in order.
    pub fn tried(&self) -> &[(usize, bool)] {
        &self.tried
    }

    /// Whether the most that may be tried met the target: the true maximum may lie above.
    pub fn ended_at_cap(&self) -> bool {
        self.found() == Some(self.cap)
    }

    fn missed(&self) -> Option<usize> {
        self.tried.iter().filter(|(_, met)| !*met).map(|(callers, _)| *callers).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(search: &mut Search, mut met: impl FnMut(usize) -> bool) {
        while let Some(callers) = search.next() {
            assert!(search.tried().len() < 200, "it does not end: {:?}", search.tried());
            search.handle(callers, met(callers));
        }
    }

    fn tried(start: usize, cap: usize, most: usize) -> Vec<usize> {
        let mut search = Search::new(start, cap);
        run(&mut search, |callers| callers <= most);
        search.tried().iter().map(|(callers, _)| *callers).collect()
    }

    #[test]
    fn it_doubles_and_then_halves() {
        assert_eq!(tried(1, 1000, 11), [1, 2, 4, 8, 16, 12, 10, 11]);
        assert_eq!(tried(4, 1000, 2), [4, 2, 3], "a start that is too much is halved");
        assert_eq!(tried(4, 1000, 0), [4, 2, 1], "not even one");
        assert_eq!(tried(1, 5, 100), [1, 2, 4, 5], "the cap is tried and never passed");
        assert_eq!(tried(9, 5, 100), [5]);
        assert_eq!(tried(0, 0, 100), [1]);
    }

    /// The same question until it is answered; what somebody else tried counts.
    #[test]
    fn what_is_known_is_not_asked() {
        let mut search = Search::new(2, 100);
        assert_eq!((search.next(), search.next(), search.found()), (Some(2), Some(2), None));
        search.handle(2, true);
        search.handle(2, false);
        assert_eq!(search.found(), Some(2), "the first word stands");
        search.handle(3, false);
        assert_eq!((search.next(), search.found(), search.ended_at_cap()), (None, Some(2), false));
    }

    #[test]
    fn a_search_that_the_cap_ended_says_so() {
        let mut search = Search::new(1, 6);
        run(&mut search, |_| true);
        assert_eq!((search.found(), search.ended_at_cap()), (Some(6), true));
    }

    proptest! {
        /// Against an oracle that is in order it finds the very number, in about twice its logarithm.
        #[test]
        fn it_finds_the_largest(start in 0usize..50, cap in 1usize..5000, most in 0usize..6000) {
            let mut search = Search::new(start, cap);
            run(&mut search, |callers| callers <= most);
            prop_assert_eq!(search.found().unwrap_or(0), most.min(cap));
            prop_assert!(search.tried().len() <= 2 * 13 + 2);
        }

        /// Against one that is not (a noisy machine) it ends, repeats nothing, keeps to the cap, and names a number that met
        /// the target while all that it tried above missed.
        #[test]
        fn noise_does_not_hold_it_up(start in 1usize..50, cap in 1usize..5000, seed in any::<u64>()) {
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut search = Search::new(start, cap);
            run(&mut search, |_| chance.bool());
            let mut numbers: Vec<_> = search.tried().iter().map(|(callers, _)| *callers).collect();
            prop_assert!(numbers.iter().all(|callers| (1..=cap).contains(callers)));
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), search.tried().len());
            let found = search.found().unwrap_or(0);
            prop_assert!(search.tried().iter().all(|(callers, met)| *met == (*callers <= found)));
        }
    }
}
