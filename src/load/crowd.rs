//! task: many callers at once, in one process, for as long as a step lasts
//!
//! In: a stage (where, what, with what), how many, how long. Out: a [`Step`] with what came of every call.
//! Never: outlasts its time by more than the callers' goodbyes; loses what was measured before it was ended early.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::caller::CallSettings;
use super::host::Watched;
use super::outcome::{Cause, Outcome, Step};
use super::person::Person;
use super::plan::{self, Choice, Plan};
use super::scenario::Scenario;
use super::speech::Spoken;
use crate::runtime::scope::Scope;
use crate::runtime::{clock, lane};

/// What all callers of a crowd share.
pub struct Stage {
    pub http: reqwest::Client,
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
    watched.begin().await;
    let choice = Choice { say: stage.say.len(), talk_over: stage.talk_over.len() };
    let began = clock::now();
    let arrivals = plan::arrivals(stage.scenario.arrive, stage.seed, callers);
    let mut scope = Scope::child_of(stop, stage.call.tasks.clone());
    let (tell, mut told) = lane::waiting(TOLD);
    for (number, arrives) in arrivals.into_iter().enumerate() {
        let plan = Plan::new(&stage.scenario, stage.seed, number, choice);
        let person = Person { number, plan, stage: stage.clone() };
        let (over, tell) = (scope.token().clone(), tell.clone());
        scope.spawn("person", async move {
            person.live(began + arrives, over, tell).await;
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
    let window = (stage.seconds(counts_from.min(ended)), stage.seconds(ended));
    for outcome in &mut outcomes {
        count_only(outcome, window);
    }
    outcomes.retain(|outcome| outcome.connected_s > 0.0 || outcome.began_s >= window.0);
    outcomes.sort_by(|a, b| (a.caller, a.began_s).partial_cmp(&(b.caller, b.began_s)).expect("times are numbers"));
    Step { callers, lasted_s: window.1 - window.0, outcomes, server, own, cut_short }
}

/// Ends whoever still calls, and takes what they have to tell.
async fn goodbye(
    scope: &mut Scope,
    told: &mut tokio::sync::mpsc::Receiver<Outcome>,
    outcomes: &mut Vec<Outcome>,
    all_done: bool,
) {
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

/// Leaves of an outcome what lies in the window: calls that reach into it are shortened to it, and what was spoken with them.
fn count_only(outcome: &mut Outcome, (from, to): (f64, f64)) {
    outcome.requests.retain(|request| request.at_s >= from && request.at_s <= to);
    let whole = outcome.connected_s;
    // Dialling takes its place before the connection; what is off by it is a fraction of a second of a call.
    let (began, ended) = (outcome.began_s.max(from), (outcome.began_s + whole).min(to));
    let left = (ended - began).clamp(0.0, whole);
    let share = if whole > 0.0 { left / whole } else { 0.0 };
    outcome.connected_s = left;
    outcome.caller_spoke_s *= share;
    outcome.agent_spoke_s *= share;
}

/// Outcomes on their way; a caller waits for room.
const TOLD: usize = 64;

/// What callers may take to leave: a DELETE, the server's goodbye, and a last word to say out of the way.
const GOODBYES: Duration = Duration::from_secs(20);
