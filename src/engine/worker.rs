//! io: a thread that owns a model, and the bounded queue of work before it, most urgent first

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::metrics::QueueMeter;
use crate::runtime::thread;

/// A handle to the thread. Clones share it; it ends when the last one goes.
pub struct Worker<J>(Arc<Owner<J>>);

struct Owner<J>(Arc<Shared<J>>);

struct Shared<J> {
    queue: Mutex<Queue<J>>,
    arrived: Condvar,
    capacity: usize,
    meter: QueueMeter,
}

struct Queue<J> {
    waiting: Vec<Waiting<J>>,
    arrivals: u64,
    closed: bool,
}

struct Waiting<J> {
    deadline: Instant,
    arrival: u64,
    since: Instant,
    job: J,
}

/// As many pieces of work wait as the engine is willing to promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's queue is full")]
pub struct Busy;

impl<J: Send + 'static> Worker<J> {
    /// Starts the thread; `body` gets the source of work and returns when it runs dry for ever.
    /// `capacity`: pieces of work that may wait; one more is refused at once. `meter`: where their waits are counted.
    pub fn start(
        name: &str,
        capacity: usize,
        meter: QueueMeter,
        body: impl FnOnce(Source<J>) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { waiting: Vec::with_capacity(capacity), arrivals: 0, closed: false }),
            arrived: Condvar::new(),
            capacity,
            meter,
        });
        let source = Source(shared.clone());
        thread::spawn(name, thread::MODEL_NICENESS, move || body(source));
        Self(Arc::new(Owner(shared)))
    }

    /// Queues `job`, to be begun before all whose deadline is later.
    pub fn submit(&self, deadline: Instant, job: J) -> Result<(), Busy> {
        let shared = &self.0.0;
        let mut queue = shared.queue.lock().expect("no holder of this lock can panic");
        if queue.closed || queue.waiting.len() >= shared.capacity {
            return Err(Busy);
        }
        queue.push(deadline, job);
        drop(queue);
        shared.arrived.notify_one();
        Ok(())
    }

    /// The thread has ended, by a panic: nothing will be done any more.
    pub fn is_gone(&self) -> bool {
        self.0.0.queue.lock().expect("no holder of this lock can panic").closed
    }

    /// Pieces of work that wait.
    pub fn waiting(&self) -> usize {
        self.0.0.queue.lock().expect("no holder of this lock can panic").waiting.len()
    }
}

impl<J> Clone for Worker<J> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<J> Drop for Owner<J> {
    fn drop(&mut self) {
        self.0.queue.lock().expect("no holder of this lock can panic").closed = true;
        self.0.arrived.notify_all();
    }
}

/// Where the model's thread takes its work from.
pub struct Source<J>(Arc<Shared<J>>);

impl<J> Source<J> {
    /// The most urgent piece of work; waits for one. `None` when every handle has gone and nothing waits.
    pub fn next(&mut self) -> Option<J> {
        let mut queue = self.0.queue.lock().expect("no holder of this lock can panic");
        loop {
            if let Some(waiting) = queue.pop() {
                drop(queue);
                return Some(self.take(waiting));
            }
            if queue.closed {
                return None;
            }
            queue = self.0.arrived.wait(queue).expect("no holder of this lock can panic");
        }
    }

    /// The most urgent piece of work, if one waits.
    pub fn try_next(&mut self) -> Option<J> {
        let waiting = self.0.queue.lock().expect("no holder of this lock can panic").pop()?;
        Some(self.take(waiting))
    }

    fn take(&self, waiting: Waiting<J>) -> J {
        self.0.meter.waited(waiting.since.elapsed());
        waiting.job
    }

    /// Puts back a job that has more to do: it has been admitted already, so it is never refused.
    pub fn put_back(&mut self, deadline: Instant, job: J) {
        self.0.queue.lock().expect("no holder of this lock can panic").push(deadline, job);
    }
}

impl<J> Drop for Source<J> {
    /// The model's thread has ended, even by a panic: what waits is dropped, so its callers see their reply lane close.
    fn drop(&mut self) {
        if let Ok(mut queue) = self.0.queue.lock() {
            queue.closed = true;
            queue.waiting.clear();
        }
    }
}

impl<J> Queue<J> {
    fn push(&mut self, deadline: Instant, job: J) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.waiting.push(Waiting { deadline, arrival, since: Instant::now(), job });
    }

    fn pop(&mut self) -> Option<Waiting<J>> {
        let (at, _) = self.waiting.iter().enumerate().min_by_key(|(_, w)| (w.deadline, w.arrival))?;
        Some(self.waiting.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, QueuedStage};
    use std::sync::mpsc;
    use std::time::Duration;

    /// Most urgent first, first come first served among equals, and a full queue refuses at once.
    #[test]
    fn deadlines_decide_and_full_refuses() {
        let (open, gate) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let metrics = Metrics::new();
        let worker = Worker::start("test", 3, metrics.queue(QueuedStage::Stt), move |mut source| {
            while let Some(job) = source.next() {
                if job == "first" {
                    gate.recv().unwrap();
                }
                tell.send(job).unwrap();
            }
        });
        let now = Instant::now();
        worker.submit(now, "first").unwrap();
        while worker.waiting() > 0 {
            std::thread::yield_now();
        }
        worker.submit(now + Duration::from_secs(9), "late").unwrap();
        worker.submit(now + Duration::from_secs(1), "soon").unwrap();
        worker.submit(now + Duration::from_secs(1), "soon too").unwrap();
        assert_eq!(worker.submit(now, "one too many"), Err(Busy));
        open.send(()).unwrap();
        drop(worker);
        assert_eq!(told.iter().collect::<Vec<_>>(), ["first", "soon", "soon too", "late"]);
        assert!(metrics.render().contains("visavis_engine_queue_wait_seconds_count{stage=\"stt\"} 4"));
    }
}
