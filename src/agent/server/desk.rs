//! core: admits or refuses a call, and says why
//! In:    a caller at the door; the models warm; the end of the server.
//! Out:   a [`Permit`] for as long as the call lives, or the reason why not.
//! Law:   never more than `max_sessions` permits exist; each comes back when it is dropped, however the call ends.
//! Never: waits, or works for a caller before there is a permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};

use crate::metrics::RejectReason;

/// A handle on the desk. Clones share it.
#[derive(Clone, Debug)]
pub struct Desk(Arc<State>);

#[derive(Debug)]
struct State {
    taken: AtomicUsize,
    max: usize,
    door: AtomicU8,
}

/// A place for one call, given back by drop.
#[derive(Debug)]
pub struct Permit(Arc<State>);

/// Opens once and closes once: starting → open → draining.
const STARTING: u8 = 0;
const OPEN: u8 = 1;
const DRAINING: u8 = 2;

impl Desk {
    /// A desk for `max_sessions` calls that refuses everybody until [`Desk::open`].
    pub fn new(max_sessions: usize) -> Self {
        Self(Arc::new(State { taken: AtomicUsize::new(0), max: max_sessions, door: AtomicU8::new(STARTING) }))
    }

    /// The models are warm. A desk that drains stays closed.
    pub fn open(&self) {
        let _ = self.0.door.compare_exchange(STARTING, OPEN, SeqCst, SeqCst);
    }

    /// Nobody new from now on.
    pub fn drain(&self) {
        self.0.door.store(DRAINING, SeqCst);
    }

    /// A place for one call, or why there is none.
    pub fn admit(&self) -> Result<Permit, RejectReason> {
        let free = |taken: usize| (taken < self.0.max).then_some(taken + 1);
        let permit = match self.0.taken.fetch_update(SeqCst, SeqCst, free) {
            Ok(_) => Ok(Permit(self.0.clone())),
            Err(_) => Err(RejectReason::Full),
        };
        // Looked at after the place was taken: whoever drains and then counts cannot miss a call that slips in.
        match self.closed() {
            Some(reason) => Err(reason),
            None => permit,
        }
    }

    /// Why everybody is refused, if so, full or not.
    pub fn closed(&self) -> Option<RejectReason> {
        match self.0.door.load(SeqCst) {
            STARTING => Some(RejectReason::Starting),
            OPEN => None,
            _ => Some(RejectReason::Draining),
        }
    }

    /// Places that are taken now.
    pub fn taken(&self) -> usize {
        self.0.taken.load(SeqCst)
    }

    pub fn max_sessions(&self) -> usize {
        self.0.max
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Warm before open, open before full, and closed for good once it drains.
    #[test]
    fn the_reason_fits_the_moment() {
        let desk = Desk::new(1);
        assert_eq!(desk.admit().unwrap_err(), RejectReason::Starting);
        desk.open();
        let permit = desk.admit().expect("there is one place");
        assert_eq!(desk.admit().unwrap_err(), RejectReason::Full);
        drop(permit);
        let permit = desk.admit().expect("the place came back");
        desk.drain();
        assert_eq!(desk.admit().unwrap_err(), RejectReason::Draining);
        assert_eq!(desk.taken(), 1, "a running call keeps its place");
        drop(permit);
        desk.open();
        assert_eq!((desk.admit().unwrap_err(), desk.taken()), (RejectReason::Draining, 0));
    }

    proptest! {
        /// Against a naive count: never more than max places, a refusal exactly when there is none, all come back.
        #[test]
        fn places_are_counted(max in 0usize..6, steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)) {
            let desk = Desk::new(max);
            desk.open();
            let mut held = Vec::new();
            for (comes, which) in steps {
                if comes {
                    match desk.admit() {
                        Ok(permit) => held.push(permit),
                        Err(reason) => {
                            prop_assert_eq!(reason, RejectReason::Full);
                            prop_assert_eq!(held.len(), max);
                        }
                    }
                } else if !held.is_empty() {
                    held.swap_remove(which.index(held.len()));
                }
                prop_assert!(held.len() <= max);
                prop_assert_eq!(desk.taken(), held.len());
            }
            drop(held);
            prop_assert_eq!(desk.taken(), 0);
        }
    }

    /// Many at the door at once: as many get in as there are places, and the count comes back to zero.
    #[test]
    fn a_crowd_at_the_door() {
        let desk = Desk::new(3);
        desk.open();
        let most = AtomicUsize::new(0);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Ok(_permit) = desk.admit() {
                            most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                            inside.fetch_sub(1, SeqCst);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.load(SeqCst)));
        assert_eq!(desk.taken(), 0);
    }
}
