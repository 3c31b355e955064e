//! task: many callers at once, in one process, for as long as a step lasts
//!
//! In: a stage (where, what, with what), how many, how long. Out: a [`Step`] with what came of every call.
//! Never: outlasts its time by more than the callers' patience and their goodbyes; loses what was measured before it was
//!        ended early, or a caller.
//!
//! ```text
//!  begins       counts from                    until            everybody has gone
//!  ├── warm-up ────┼────── what counts ──────────┼── patience ──┤
//!                                                nothing new is asked; what was asked is waited for
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::HttpClient;
use super::caller::CallSettings;
use super::dial::HTTP_LIMIT;
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
    refused: Mutex<Option<String>>,
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

    /// What a server first said of an event that it did not take: some of what was asked for is then not measured, though
    /// every call goes well.
    pub fn refusal(&self) -> Option<String> {
        self.refused.lock().expect("no holder of this lock can panic").clone()
    }

    pub(super) fn is_refused(&self, what: &str) {
        let mut refused = self.refused.lock().expect("no holder of this lock can panic");
        // Every caller sends the same: once is enough.
        if refused.is_none() {
            tracing::warn!("the server refused an event of a caller's, and some figures may be missing for it: {what}");
            *refused = Some(what.to_owned());
        }
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

/// How the time of a crowd ends.
#[derive(Clone)]
pub(super) struct Closing {
    /// The time is up: nothing new is asked, and what was asked is waited for.
    pub(super) up: CancellationToken,
    /// Everything ends at once. `up`, too, is cancelled then.
    pub(super) cut: CancellationToken,
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
    let arrivals = plan::arrivals(stage.scenario.arrive, stage.seed, callers, length.warmup);
    let lives = arrivals.into_iter().enumerate().map(|(number, arrives)| {
        let plan = Plan::new(&stage.scenario, stage.seed, number, choice);
        let person = Person { number, plan, stage: stage.clone() };
        (arrives, move |_, closing, told| person.live(closing, told))
    });
    let patience = stage.scenario.patience;
    // Whoever dialled in the last moment is not asked anything more; an interrupted answer and the one after it both end.
    let patience = (HTTP_LIMIT + patience.connect).max(2 * (patience.answer + patience.end));
    gather(lives, stage.began, stage.call.tasks.clone(), length, patience, watched, stop).await
}

/// Who has come, and who of them is still there.
#[derive(Default)]
struct Roll {
    came: usize,
    present: BTreeSet<usize>,
}

/// Lets everybody live, each from the time that it arrives after the step's beginning, until the time is over, `stop` is
/// cancelled or all have ended. What is open when the time is over may take `patience` more. `run_began` is zero of the
/// outcomes' times.
pub(super) async fn gather<F>(
    lives: impl ExactSizeIterator<
        Item = (Duration, impl FnOnce(Instant, Closing, mpsc::Sender<Outcome>) -> F + Send + 'static),
    >,
    run_began: Instant,
    tasks: TaskCounter,
    length: Length,
    patience: Duration,
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
    let closing = Closing { up: scope.token().child_token(), cut: scope.token().clone() };
    let roll = Arc::new(Mutex::new(Roll::default()));
    let (tell, mut told) = lane::waiting(TOLD);
    for (number, (arrives, live)) in lives.enumerate() {
        let (closing, tell, roll) = (closing.clone(), tell.clone(), roll.clone());
        scope.spawn("caller of a crowd", async move {
            let arrives = began + arrives;
            tokio::select! {
                biased;
                () = closing.up.cancelled() => return anyhow::Ok(()),
                () = clock::sleep_until(Some(arrives)) => {}
            }
            {
                let mut roll = read(&roll);
                roll.came += 1;
                roll.present.insert(number);
            }
            live(arrives, closing, tell).await;
            // Not so if it breaks or is ended by force: whoever is present then is missed.
            read(&roll).present.remove(&number);
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
    closing.up.cancel();
    let limit = if cut_short { Duration::ZERO } else { patience };
    let all_done = all_done || last_answers(limit, &mut told, &mut outcomes, stop).await;
    goodbye(&mut scope, &mut told, &mut outcomes, all_done).await;
    let second = |at: Instant| at.saturating_duration_since(run_began).as_secs_f64();
    let window = (second(counts_from.min(ended)), second(ended));
    let (came, lost) = {
        let roll = read(&roll);
        (roll.came, roll.present.clone())
    };
    outcomes.extend(
        lost.into_iter().map(|caller| Outcome { failure: Some(Cause::Ours), ..Outcome::nothing(caller, window.1) }),
    );
    for outcome in &mut outcomes {
        count_only(outcome, window);
    }
    let mut outcomes = only_counted(outcomes, window);
    outcomes.sort_by(|a, b| a.caller.cmp(&b.caller).then(a.began_s.total_cmp(&b.began_s)));
    Step { callers, came, lasted_s: window.1 - window.0, outcomes, server, own, cut_short }
}

fn read(roll: &Mutex<Roll>) -> MutexGuard<'_, Roll> {
    roll.lock().expect("no holder of this lock can panic")
}

/// Takes what those have to tell who wait for their answers, for `limit` at most. True: everybody has gone.
async fn last_answers(
    limit: Duration,
    told: &mut mpsc::Receiver<Outcome>,
    outcomes: &mut Vec<Outcome>,
    stop: &CancellationToken,
) -> bool {
    let last = clock::now() + limit;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            outcome = told.recv() => match outcome {
                Some(outcome) => outcomes.push(outcome),
                None => return true,
            },
            () = clock::sleep_until(Some(last)) => return false,
        }
    }
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
        tracing::warn!("callers who did not come to an end were ended; they count as failures of this program");
    }
    while let Ok(Some(ended)) = clock::timeout(Duration::ZERO, scope.next()).await {
        if let Err(error) = ended.result {
            tracing::error!(%error, "a caller broke: a fault of this program, not of the server");
        }
    }
    scope.abort_all().await;
}

/// The outcomes that say something of the window: calls that were up in it or were dialled in it. Of whoever failed before
/// it and never called again, that: somebody who was turned away in the warm-up is missing in all of the window.
fn only_counted(outcomes: Vec<Outcome>, (from, _): (f64, f64)) -> Vec<Outcome> {
    let mut last: BTreeMap<usize, f64> = BTreeMap::new();
    for outcome in &outcomes {
        let began_s = last.entry(outcome.caller).or_insert(outcome.began_s);
        *began_s = began_s.max(outcome.began_s);
    }
    let counts = |outcome: &Outcome| {
        let was_its_last = last.get(&outcome.caller).is_some_and(|&began_s| began_s == outcome.began_s);
        outcome.connected_s > 0.0 || outcome.began_s >= from || (outcome.failure.is_some() && was_its_last)
    };
    outcomes.into_iter().filter(counts).collect()
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

    /// Whoever was turned away before the window is missing in it, unless it called again; who was served before it and left
    /// is of no account.
    #[test]
    fn failures_of_the_warm_up_last() {
        let busy = |caller, began_s| Outcome { failure: Some(Cause::Busy), ..Outcome::nothing(caller, began_s) };
        let called = |caller, began_s, connected_s| Outcome { connected_s, ..Outcome::nothing(caller, began_s) };
        let outcomes =
            vec![busy(0, 1.0), busy(1, 1.0), called(1, 2.0, 20.0), called(2, 1.0, 0.0), busy(3, 12.0), busy(3, 13.0)];
        let counted = only_counted(outcomes, (10.0, 30.0));
        assert_eq!(counted, [busy(0, 1.0), called(1, 2.0, 20.0), busy(3, 12.0), busy(3, 13.0)]);
    }

    /// Every caller is accounted for: the one that breaks and the one that does not end are ours, the one that arrives too
    /// late never came; a question that is open when the time is up is waited for.
    #[tokio::test(start_paused = true)]
    async fn nobody_is_lost() {
        let lives = (0..4u64).map(|number| {
            let arrives = Duration::from_secs(if number == 3 { 60 } else { 1 });
            (arrives, move |_, closing: Closing, told: mpsc::Sender<Outcome>| async move {
                assert!(number != 0, "a caller with a fault");
                closing.up.cancelled().await;
                if number == 1 {
                    std::future::pending::<()>().await;
                }
                clock::sleep(Duration::from_secs(8)).await;
                told.send(Outcome::nothing(2, 5.0)).await.unwrap();
            })
        });
        let length = Length { warmup: Duration::from_secs(2), counted: Duration::from_secs(10) };
        let mut watched = Watched::new(HttpClient::new(), None, None, None, None);
        let (tasks, stop) = (TaskCounter::default(), CancellationToken::new());
        let patience = Duration::from_secs(9);
        let lives = lives.collect::<Vec<_>>().into_iter();
        let step = gather(lives, clock::now(), tasks.clone(), length, patience, &mut watched, &stop).await;
        let ended: Vec<_> = step.outcomes.iter().map(|outcome| (outcome.caller, outcome.failure)).collect();
        assert_eq!(ended, [(0, Some(Cause::Ours)), (1, Some(Cause::Ours)), (2, None)]);
        assert_eq!((step.callers, step.came, step.cut_short, tasks.alive()), (4, 3, false, 0));
        assert!((step.lasted_s - 10.0).abs() < 0.1, "waiting is no part of it: {}", step.lasted_s);
    }
}
