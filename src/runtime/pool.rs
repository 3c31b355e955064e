//! io: where DSP runs: a fixed set of named threads with two classes, sound before picture
//!
//! A job owns its state and gives it back with its result, so the load balances and nothing is shared. Each job is
//! measured against the time it is allowed.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::thread;
pub use crate::metrics::Class;
use crate::metrics::Metrics;

/// A handle to the threads. The threads end when the last handle goes.
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    metrics: Metrics,
}

struct Shared {
    threads: usize,
    queues: Mutex<Queues>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queues {
    sound: VecDeque<Job>,
    picture: VecDeque<Job>,
    /// Threads that wait for work.
    asleep: usize,
    /// Threads that have been woken and have not come yet.
    called: usize,
    /// Threads at work on a picture.
    on_pictures: usize,
    closed: bool,
}

impl Queues {
    /// Whether one more thread is to be woken for what waits: each one awake takes the next job when it is done with its
    /// own, and to wake another costs more than most jobs of sound. So none is woken while those awake have no more than a
    /// job each to come. A thread that draws counts for nothing here: a picture takes milliseconds, and sound never waits for
    /// it while another could play it.
    fn wants_help(&self, threads: usize) -> bool {
        let awake = threads - self.asleep + self.called;
        let waiting = self.sound.len() + self.picture.len();
        self.asleep > self.called && (waiting > awake || self.sound.len() > awake.saturating_sub(self.on_pictures))
    }

    /// The next job, sound first, and whether it is a picture.
    fn next(&mut self) -> Option<(Job, bool)> {
        let next = self.sound.pop_front().map(|job| (job, false));
        next.or_else(|| self.picture.pop_front().map(|job| (job, true)))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The job panicked (its state is lost) or the pool is at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error("the work panicked")]
    Panicked,
    #[error("{MAX_QUEUED} pieces of work already wait")]
    Full,
}

impl Pool {
    /// `threads` threads, at least one.
    pub fn new(threads: usize, metrics: Metrics) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared { threads, queues: Mutex::default(), arrived: Condvar::new() });
        for n in 0..threads {
            let shared = shared.clone();
            thread::spawn(&format!("dsp-{n}"), 0, move || work(&shared));
        }
        Self(Arc::new(Owner { shared, metrics }))
    }

    /// Runs `job` on a thread of the pool. `allowed` is how long it may take to be on time: the share that it really
    /// took goes to the metric of its class. Dropping the future lets a job that has begun finish for nobody.
    pub async fn run<T: Send + 'static>(
        &self,
        class: Class,
        allowed: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (done, result) = oneshot::channel();
        let metrics = self.0.metrics.clone();
        let queued = Instant::now();
        let job = Box::new(move || {
            let began = Instant::now();
            metrics.pool_wait(class, began - queued);
            if let Ok(value) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)) {
                metrics.pool_load(class, began.elapsed().as_secs_f64() / allowed.as_secs_f64().max(1e-9));
                // Nobody waits any more: the value goes with it.
                let _ = done.send(value);
            }
        });
        let help = {
            let mut queues = self.0.shared.queues.lock().expect("no holder of this lock can panic");
            let queue = match class {
                Class::Sound => &mut queues.sound,
                Class::Picture => &mut queues.picture,
            };
            if queue.len() >= MAX_QUEUED {
                return Err(PoolError::Full);
            }
            queue.push_back(job);
            let help = queues.wants_help(self.0.shared.threads);
            queues.called += usize::from(help);
            help
        };
        if help {
            self.0.shared.arrived.notify_one();
        }
        result.await.map_err(|_| PoolError::Panicked)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queues.lock().expect("no holder of this lock can panic").closed = true;
        self.shared.arrived.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut queues = shared.queues.lock().expect("no holder of this lock can panic");
    loop {
        if let Some((job, is_picture)) = queues.next() {
            queues.on_pictures += usize::from(is_picture);
            drop(queues);
            job();
            queues = shared.queues.lock().expect("no holder of this lock can panic");
            queues.on_pictures -= usize::from(is_picture);
        } else if queues.closed {
            return;
        } else {
            queues.asleep += 1;
            queues = shared.arrived.wait(queues).expect("no holder of this lock can panic");
            queues.asleep -= 1;
            queues.called = queues.called.saturating_sub(1);
        }
    }
}

/// Far more than all sessions of a machine have in flight (each has one job per class); reached only when stuck.
const MAX_QUEUED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread is woken when nobody is awake, when those awake have their hands full, and when all of them draw while sound waits.
    #[test]
    fn threads_are_woken_when_they_are_needed() {
        let job = || Box::new(|| ()) as Job;
        let wants = |sound: usize, picture: usize, asleep, called, on_pictures| {
            let sound = (0..sound).map(|_| job()).collect();
            let picture = (0..picture).map(|_| job()).collect();
            Queues { sound, picture, asleep, called, on_pictures, closed: false }.wants_help(4)
        };
        assert!(wants(1, 0, 4, 0, 0), "all are asleep");
        assert!(!wants(1, 0, 4, 1, 0), "one is on its way");
        assert!(!wants(1, 0, 3, 0, 0), "one is awake and takes it next");
        assert!(wants(2, 0, 3, 0, 0), "one cannot take two next");
        assert!(wants(1, 0, 3, 0, 1), "the one awake draws");
        assert!(!wants(0, 1, 3, 0, 1), "a picture may wait for a picture");
        assert!(!wants(9, 9, 0, 0, 4), "nobody is left to wake");
    }

    /// On two threads sound is played while a picture is being drawn, however long that takes.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sound_does_not_wait_for_a_picture() {
        let pool = Pool::new(2, Metrics::new());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let (drawing, drawn) = std::sync::mpsc::channel::<()>();
        let picture = {
            let pool = pool.clone();
            let draw = move || {
                drawing.send(()).unwrap();
                gate.recv()
            };
            tokio::spawn(async move { pool.run(Class::Picture, Duration::from_millis(1), draw).await })
        };
        drawn.recv().unwrap();
        for n in 0..20 {
            assert_eq!(pool.run(Class::Sound, Duration::from_millis(1), move || n).await, Ok(n));
        }
        open.send(()).unwrap();
        picture.await.unwrap().unwrap().unwrap();
    }

    /// Sound overtakes the pictures that wait; a panic costs its own caller only.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sound_goes_first_and_panics_stay_home() {
        let pool = Pool::new(1, Metrics::new());
        let order = Arc::new(Mutex::new(vec![]));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let blocked = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run(Class::Picture, Duration::from_millis(1), move || gate.recv()).await })
        };
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut waiting = vec![];
        for (class, name) in [(Class::Picture, "picture"), (Class::Sound, "sound")] {
            let (pool, order) = (pool.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                pool.run(class, Duration::from_millis(1), move || order.lock().unwrap().push(name)).await
            }));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        open.send(()).unwrap();
        blocked.await.unwrap().unwrap().unwrap();
        for task in waiting {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["sound", "picture"]);
        let clumsy = pool.run(Class::Sound, Duration::from_millis(1), || panic!("as asked")).await;
        assert_eq!(clumsy, Err::<(), _>(PoolError::Panicked));
        assert_eq!(pool.run(Class::Sound, Duration::from_millis(1), || 7).await, Ok(7));
    }
}
