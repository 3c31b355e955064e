//! core: what one call of a function costs: CPU time, call by call, back to back and at the pace of a conversation
//!
//! Not wall clock: on a shared machine it measures the neighbours. Not one loop over many calls: a call every 20 ms
//! finds caches that others have used, and may cost twice what it costs in a tight loop. A server lives at the second
//! price.

use std::hint::black_box;
use std::time::{Duration, Instant};

use visavis::runtime::thread;

/// Whose CPU time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The calling thread's.
    Thread,
    /// Of the whole process, for functions that hand their work to a thread of their own. Nothing else runs meanwhile.
    Process,
}

/// Times the part of a call that matters: `watch.time(|| …)` once per call; what is outside is free.
pub struct Watch {
    clock: Clock,
    /// What reading the clock twice costs by itself, taken off every reading.
    overhead: Duration,
    costs: Vec<Duration>,
}

/// One function with its state: a call of it is one step of its stream.
pub type Call = Box<dyn FnMut(&mut Watch)>;

/// The CPU time of one call: medians.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub back_to_back: Duration,
    pub paced: Duration,
}

impl Watch {
    fn new(clock: Clock) -> Self {
        let mut watch = Self { clock, overhead: Duration::ZERO, costs: Vec::with_capacity(MOST_CALLS) };
        for _ in 0..1_000 {
            watch.time(|| ());
        }
        watch.overhead = watch.take_median();
        watch
    }

    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        // The first reading after a sleep is a cold one, and not the function's fault.
        self.cpu();
        let began = self.cpu();
        let value = black_box(work());
        let cost = self.cpu() - began;
        self.costs.push(cost.saturating_sub(self.overhead));
        value
    }

    fn cpu(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let clock = match self.clock {
            Clock::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
            Clock::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        };
        // SAFETY: the call fills the struct it is given.
        unsafe { libc::clock_gettime(clock, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn take_median(&mut self) -> Duration {
        self.costs.sort_unstable();
        let median = self.costs.get(self.costs.len() / 2).copied().unwrap_or_default();
        self.costs.clear();
        median
    }
}

/// Measures `call`, which comes once per `period` in a conversation.
pub fn measure(clock: Clock, period: Duration, call: &mut Call) -> Cost {
    let mut watch = Watch::new(clock);
    let spend = |limit: Duration, pace: Duration, watch: &mut Watch, call: &mut Call| {
        let began = Instant::now();
        let mut due = began;
        while watch.costs.len() < MOST_CALLS && (watch.costs.len() < FEWEST_CALLS || began.elapsed() < limit) {
            call(watch);
            due += pace;
            thread::rest(due.saturating_duration_since(Instant::now()));
        }
        watch.take_median()
    };
    spend(WARM_UP, Duration::ZERO, &mut watch, call);
    let back_to_back = spend(BACK_TO_BACK, Duration::ZERO, &mut watch, call);
    let paced = spend(PACED, period.min(LONGEST_PACE), &mut watch, call);
    Cost { back_to_back, paced }
}

const WARM_UP: Duration = Duration::from_millis(150);
const BACK_TO_BACK: Duration = Duration::from_millis(500);
const PACED: Duration = Duration::from_millis(1_600);
/// A cache is as cold after this as after a whole sentence.
const LONGEST_PACE: Duration = Duration::from_millis(100);
const FEWEST_CALLS: usize = 7;
const MOST_CALLS: usize = 5_000;
