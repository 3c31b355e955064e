//! task: many callers at once, in one process, for as long as a step lasts
//!
//! In: a stage (where, what, with what), how many, how long. Out: a [`Step`] with what came of every call.
//! Never: outlasts its time by more than the callers' goodbyes; loses what was measured before it was ended early.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::HttpClient;
use super::caller::CallSettings;
use super::figure::Figure;
use super::host::Watched;
use super::outcome::{Cause, Outcome, Step};
use super::person::Person;
use super::plan::{self, Choice, Plan};
use super::scenario::Scenario;
use super::speech::Spoken;
use crate::runtime::scope::{Scope, TaskCounter};
use crate::runtime::{clock, lane};

/// What all callers of a crowd share.
pub struct Stage {
    pub http: HttpClient,
    /// Whom they call and how.
    pub call: CallSettings,
    pub scenario: Scenario,
    /// What `scenario.say` means; at least one.
    pub say: Vec<Arc<Spoken>>,
    /// What `scenario.talk_over` means.
    pub talk_over: Vec<Arc<Spoken>>,
    pub seed: u64,
    /// When the run began: times are counted from here.
    pub began: Instant,
    pub progress: Arc<Progress>,
}

impl Stage {
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.began).as_secs_f64()
    }
}

/// How long a step lasts: first a while that does not count, then one that does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Length {
    pub warmup: Duration,
    pub counted: Duration,
}

/// Where a step stands; for whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    dialling: AtomicUsize,
    talking: AtomicUsize,
    answered: AtomicUsize,
    failed: AtomicUsize,
    step: Mutex<Option<(usize, Length, Instant)>>,
}

/// The numbers of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub dialling: usize,
    pub talking: usize,
    /// Questions answered, since the run began.
    pub answered: usize,
    /// Calls and questions that failed, since the run began.
    pub failed: usize,
    /// Of the step that is under way; none before the first.
    pub callers: usize,
    /// How long it has been under way, and how long it will be in all.
    pub elapsed: Duration,
    pub whole: Duration,
}

impl Progress {
    pub fn standing(&self) -> Standing {
        let [dialling, talking, answered, failed] =
            [&self.dialling, &self.talking, &self.answered, &self.failed].map(|count| count.load(Ordering::Relaxed));
        let step = *self.step.lock().expect("no holder of this lock can panic");
        let (callers, elapsed, whole) = step.map_or_else(Default::default, |(callers, length, began)| {
            let whole = length.warmup + length.counted;
            (callers, clock::now().saturating_duration_since(began).min(whole), whole)
        });
        Standing { dialling, talking, answered, failed, callers, elapsed, whole }
    }

    pub(super) fn step(&self, callers: usize, length: Length) {
        *self.step.lock().expect("no holder of this lock can panic") = Some((callers, length, clock::now()));
    }

    pub(super) fn dials(&self) {
        self.dialling.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gives_up(&self) {
        self.dialling.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn fails_to_connect(&self) {
        self.gives_up();
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connects(&self) {
        self.gives_up();
        self.talking.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leaves(&self, failure: Option<Cause>) {
        self.talking.fetch_sub(1, Ordering::Relaxed);
        self.failed.fetch_add(usize::from(failure.is_some()), Ordering::Relaxed);
    }

    pub(super) fn is_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_not_answered(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets `callers` call until the time is over, `stop` is cancelled, or all have done what they came for.
pub async fn step(
    stage: &Arc<Stage>,
    callers: usize,
    length: Length,
    watched: &mut Watched,
    stop: &CancellationToken,
) -> Step {
    let choice = Choice { say: stage.say.len(), talk_over: stage.talk_over.len() };
    let arrivals = plan::arrivals(stage.scenario.arrive, stage.seed, callers);
    let lives = arrivals.into_iter().enumerate().map(|(number, arrives)| {
        let plan = Plan::new(&stage.scenario, stage.seed, number, choice);
        let person = Person { number, plan, stage: stage.clone() };
        move |begins: Instant, over, told| person.live(begins + arrives, over, told)
    });
    gather(lives, stage.began, stage.call.tasks.clone(), length, watched, stop).await
}

/// Lets everybody live, from the moment that each is told, until the time is over, `stop` is cancelled or all have ended.
/// `run_began` is zero of the outcomes' times.
pub(super) async fn gather<F>(
    lives: impl ExactSizeIterator<Item = impl FnOnce(Instant, CancellationToken, mpsc::Sender<Outcome>) -> F>,
    run_began: Instant,
    tasks: TaskCounter,
    length: Length,
    watched: &mut Watched,
    stop: &CancellationToken,
) -> Step
where
    F: Future<Output = ()> + Send + 'static,
{
    watched.begin().await;
    let callers = lives.len();
    let began = clock::now();
    let mut scope = Scope::child_of(stop, tasks);
    let (tell, mut told) = lane::waiting(TOLD);
    for live in lives {
        let life = live(began, scope.token().clone(), tell.clone());
        scope.spawn("caller of a crowd", async move {
            life.await;
            anyhow::Ok(())
        });
    }
    drop(tell);

    let (counts_from, until) = (began + length.warmup, began + length.warmup + length.counted);
    let mut outcomes = vec![];
    let mut counting = length.warmup.is_zero();
    let all_done = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break false,
            outcome = told.recv() => match outcome {
                Some(outcome) => outcomes.push(outcome),
                None => break true,
            },
            () = clock::sleep_until(Some(until)) => break false,
            () = clock::sleep_until(Some(counts_from)), if !counting => {
                counting = true;
                watched.count().await;
            }
            () = watched.look() => {}
        }
    };
    let ended = clock::now();
    let (server, own) = watched.end().await;
    let cut_short = stop.is_cancelled() && ended < until;
    goodbye(&mut scope, &mut told, &mut outcomes, all_done).await;
    let second = |at: Instant| at.saturating_duration_since(run_began).as_secs_f64();
    let window = (second(counts_from.min(ended)), second(ended));
    for outcome in &mut outcomes {
        count_only(outcome, window);
    }
    outcomes.retain(|outcome| outcome.connected_s > 0.0 || outcome.began_s >= window.0);
    outcomes.sort_by(|a, b| a.caller.cmp(&b.caller).then(a.began_s.total_cmp(&b.began_s)));
    Step { callers, lasted_s: window.1 - window.0, outcomes, server, own, cut_short }
}

/// Ends whoever still calls, and takes what they have to tell.
async fn goodbye(scope: &mut Scope, told: &mut mpsc::Receiver<Outcome>, outcomes: &mut Vec<Outcome>, all_done: bool) {
    scope.token().cancel();
    let last_words = async {
        while let Some(outcome) = told.recv().await {
            outcomes.push(outcome);
        }
    };
    if !all_done && clock::timeout(GOODBYES, last_words).await.is_err() {
        tracing::warn!("callers who did not come to an end were ended; what they measured is lost");
    }
    while let Ok(Some(ended)) = clock::timeout(Duration::ZERO, scope.next()).await {
        if let Err(error) = ended.result {
            tracing::error!(%error, "a caller broke: a fault of this program, not of the server");
        }
    }
    scope.abort_all().await;
}

/// Leaves of an outcome what lies in the window: the questions asked in it, the time connected in it, and of what was spoken
/// the same share. Without a count of its own, speech is taken to be spread evenly over a call.
fn count_only(outcome: &mut Outcome, (from, to): (f64, f64)) {
    outcome.requests.retain(|request| request.at_s >= from && request.at_s <= to);
    let whole = outcome.connected_s;
    let dialling = outcome.values.iter().find(|(of, _)| *of == Figure::Connect).map_or(0.0, |(_, seconds)| *seconds);
    let connected = outcome.began_s + dialling;
    let counted = ((connected + whole).min(to) - connected.max(from)).clamp(0.0, whole);
    let share = if whole > 0.0 { counted / whole } else { 0.0 };
    outcome.connected_s = counted;
    outcome.caller_spoke_s *= share;
    outcome.agent_spoke_s *= share;
}

/// Outcomes on their way; a caller waits for room.
const TOLD: usize = 64;

/// What callers may take to leave: a DELETE, the server's goodbye, and a last word to say out of the way.
const GOODBYES: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::Request;

    /// A call that reaches over both ends of the window counts for as long as the window, with the questions asked in it.
    #[test]
    fn only_the_window_counts() {
        let ask = |at_s| Request { at_s, ..Request::default() };
        let mut outcome = Outcome {
            connected_s: 40.0,
            caller_spoke_s: 8.0,
            agent_spoke_s: 20.0,
            values: vec![(Figure::Connect, 1.0)],
            requests: vec![ask(4.0), ask(12.0), ask(29.0), ask(31.0)],
            ..Outcome::nothing(0, 2.0)
        };
        count_only(&mut outcome, (10.0, 30.0));
        assert_eq!((outcome.connected_s, outcome.caller_spoke_s, outcome.agent_spoke_s), (20.0, 4.0, 10.0));
        assert_eq!(outcome.requests, [ask(12.0), ask(29.0)]);
        let mut before = Outcome { connected_s: 3.0, ..Outcome::nothing(0, 2.0) };
        count_only(&mut before, (10.0, 30.0));
        assert_eq!(before.connected_s, 0.0);
    }
}
