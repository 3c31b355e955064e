//! io: lanes between rooms: bounded, named, measured, each with its word on what happens when it is full
//!
//! Three kinds. [`waiting`]: the sender waits (`tokio::sync::mpsc`, so a task can `reserve()` in its select).
//! [`shedding`]: the oldest item is dropped and counted; for live sound. `latest`: `tokio::sync::watch`, for state.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};

use crate::metrics::{LaneName, Metrics};

/// A lane whose sender waits when `capacity` items lie in it.
pub fn waiting<T>(capacity: usize) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
    mpsc::channel(capacity)
}

/// A lane that sheds its oldest item when `capacity` items lie in it. Sheds are counted under `name`.
pub fn shedding<T>(name: LaneName, capacity: usize, metrics: &Metrics) -> (Shedder<T>, Shed<T>) {
    assert!(capacity > 0, "a lane of no room carries nothing");
    let shared = Arc::new(Shared {
        state: Mutex::new(State { queue: VecDeque::with_capacity(capacity), closed: false }),
        arrived: Notify::new(),
        capacity,
        name,
        metrics: metrics.clone(),
    });
    (Shedder(shared.clone()), Shed(shared))
}

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
    capacity: usize,
    name: LaneName,
    metrics: Metrics,
}

struct State<T> {
    queue: VecDeque<T>,
    closed: bool,
}

/// The sending end: never waits. Dropping it hangs up after what lies in the lane.
pub struct Shedder<T>(Arc<Shared<T>>);

/// The receiving end.
pub struct Shed<T>(Arc<Shared<T>>);

impl<T> Shedder<T> {
    /// Puts `item` in, dropping the oldest that `may_go` when full (or `item` itself when none may).
    /// Returns false when the receiver has gone.
    pub fn send_unless(&self, item: T, may_go: impl Fn(&T) -> bool) -> bool {
        let mut state = self.0.state.lock().expect("no holder of this lock can panic");
        if state.closed {
            return false;
        }
        if state.queue.len() >= self.0.capacity {
            self.0.metrics.lane_shed(self.0.name);
            match state.queue.iter().position(&may_go) {
                Some(oldest) => drop(state.queue.remove(oldest)),
                None if may_go(&item) => return true,
                // Only items that may never be shed: they are rarer than the lane is deep, let the queue grow by one.
                None => {}
            }
        }
        state.queue.push_back(item);
        self.0.metrics.lane_depth(self.0.name, state.queue.len());
        drop(state);
        self.0.arrived.notify_one();
        true
    }

    /// Puts `item` in, dropping the oldest when full. Returns false when the receiver has gone.
    pub fn send(&self, item: T) -> bool {
        self.send_unless(item, |_| true)
    }

    /// Takes back everything that nobody has received yet, oldest first.
    pub fn take_back(&self) -> Vec<T> {
        self.0.state.lock().expect("no holder of this lock can panic").queue.drain(..).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.0.state.lock().expect("no holder of this lock can panic").closed
    }
}

impl<T> Shed<T> {
    /// The oldest item; `None` once the sender has hung up and the lane is empty. Cancel safe.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            let arrived = self.0.arrived.notified();
            {
                let mut state = self.0.state.lock().expect("no holder of this lock can panic");
                if let Some(item) = state.queue.pop_front() {
                    return Some(item);
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    pub fn try_recv(&mut self) -> Option<T> {
        self.0.state.lock().expect("no holder of this lock can panic").queue.pop_front()
    }
}

impl<T> Drop for Shedder<T> {
    fn drop(&mut self) {
        self.0.state.lock().expect("no holder of this lock can panic").closed = true;
        self.0.arrived.notify_one();
    }
}

impl<T> Drop for Shed<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().expect("no holder of this lock can panic");
        state.closed = true;
        state.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stalled reader costs exactly the oldest items, and the count says how many.
    #[tokio::test]
    async fn the_oldest_goes_and_is_counted() {
        let metrics = Metrics::new();
        let (tx, mut rx) = shedding(LaneName::Mic, 3, &metrics);
        for n in 0..10 {
            assert!(tx.send(n));
        }
        assert_eq!(metrics.sheds(LaneName::Mic), 7);
        drop(tx);
        let mut left = vec![];
        while let Some(n) = rx.recv().await {
            left.push(n);
        }
        assert_eq!(left, [7, 8, 9]);
    }

    /// What must not be shed outlives what may be.
    #[test]
    fn what_must_stay_stays() {
        let (tx, mut rx) = shedding(LaneName::Sound, 2, &Metrics::new());
        let may_go = |n: &i32| *n >= 0;
        for n in [-1, 1, 2, 3] {
            assert!(tx.send_unless(n, may_go));
        }
        assert_eq!((rx.try_recv(), rx.try_recv(), rx.try_recv()), (Some(-1), Some(3), None));
    }

    #[test]
    fn a_gone_reader_is_told() {
        let (tx, rx) = shedding(LaneName::Sound, 2, &Metrics::new());
        drop(rx);
        assert!(!tx.send(1));
    }
}
