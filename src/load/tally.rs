//! core: what the outcomes of a step add up to
//! In:    a [`Step`]: every call or client, every request, what the processes used.
//! Out:   a [`Spread`] per figure, what failed and why, and costs by the second of session.
//! Never: divides by nothing: what cannot be said is `None`.

use std::collections::BTreeMap;

use super::figure::Figure;
use super::outcome::{Cause, HostUse, Step};
use super::spread::{Spread, Stat};
use super::work::Works;

/// The sums of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub callers: usize,
    /// How many of them came to dial.
    pub came: usize,
    pub lasted_s: f64,
    /// What was measured; a figure that never was is missing.
    pub figures: BTreeMap<Figure, Spread>,
    /// Visits, from dialling to the end, and the questions asked in them.
    pub calls: Score,
    pub requests: Score,
    /// Sum over the callers of the time that they were connected, in seconds.
    pub session_s: f64,
    /// Share of the time connected in which the caller spoke, and in which the agent did.
    pub caller_spoke: Option<f64>,
    pub agent_spoke: Option<f64>,
    /// The server, where it could be seen.
    pub server: Option<Cost>,
    /// The callers' own process.
    pub own: Cost,
    /// What the server's engines did, where it tells.
    pub work: Works,
    pub cut_short: bool,
}

/// How many there were, how many of them were well, and what ailed the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    pub total: usize,
    pub failures: BTreeMap<Cause, usize>,
}

/// What a process used over a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// User and system time.
    pub cpu_s: f64,
    /// CPU milliseconds per second that a caller was connected; `None` when nobody was.
    pub cpu_ms_per_session_s: Option<f64>,
    /// Most resident memory.
    pub rss_mb: f64,
    /// What it grew by since the step began, for each of the callers. Memory that an earlier step left warm is not in it:
    /// the first step, or a fresh server per step, says what a call costs.
    pub rss_mb_per_session: Option<f64>,
}

impl Tally {
    pub fn of(step: &Step) -> Self {
        let calls = || step.outcomes.iter();
        let requests = || calls().flat_map(|call| &call.requests);
        let session_s: f64 = calls().map(|call| call.connected_s).sum();
        let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
        for (figure, value) in calls().flat_map(|call| &call.values).chain(requests().flat_map(|asked| &asked.values)) {
            values.entry(*figure).or_default().push(*value);
        }
        let spreads = values.into_iter().filter_map(|(figure, values)| Some((figure, Spread::of(values)?)));
        let share = |spoken_s: f64| (session_s > 0.0).then(|| spoken_s / session_s);
        Self {
            callers: step.callers,
            came: step.came,
            lasted_s: step.lasted_s,
            figures: spreads.collect(),
            calls: Score::of(calls().map(|call| call.failure)),
            requests: Score::of(requests().map(|asked| asked.failure)),
            session_s,
            caller_spoke: share(calls().map(|call| call.caller_spoke_s).sum()),
            agent_spoke: share(calls().map(|call| call.agent_spoke_s).sum()),
            server: step.server.map(|used| Cost::of(used, session_s, step.callers)),
            own: Cost::of(step.own, session_s, step.callers),
            work: step.server.map(|server| server.work).unwrap_or_default(),
            cut_short: step.cut_short,
        }
    }

    /// One number of one figure; `None` where it was not measured.
    pub fn get(&self, figure: Figure, stat: Stat) -> Option<f64> {
        Some(self.figures.get(&figure)?.at(stat))
    }

    /// The share of what should have gone well that did: of the calls or of the requests, whichever is worse. `None` when
    /// nothing was asked.
    pub fn success(&self) -> Option<f64> {
        match self.calls.success() {
            // Everybody was turned away: nothing could be asked, and nothing went well.
            Some(share) if self.calls.ok() == 0 => Some(share),
            calls => Some(calls.unwrap_or(1.0).min(self.requests.success()?)),
        }
    }

    /// Answers that were as they should be, per second; `None` for a step without length.
    pub fn requests_per_s(&self) -> Option<f64> {
        (self.lasted_s > 0.0).then(|| self.requests.ok() as f64 / self.lasted_s)
    }
}

impl Score {
    fn of(failures: impl Iterator<Item = Option<Cause>>) -> Self {
        let mut score = Self::default();
        for failure in failures {
            score.total += 1;
            if let Some(cause) = failure {
                *score.failures.entry(cause).or_default() += 1;
            }
        }
        score
    }

    pub fn ok(&self) -> usize {
        self.total - self.failures.values().sum::<usize>()
    }

    pub fn success(&self) -> Option<f64> {
        (self.total > 0).then(|| self.ok() as f64 / self.total as f64)
    }
}

impl Cost {
    fn of(used: HostUse, session_s: f64, callers: usize) -> Self {
        Self {
            cpu_s: used.cpu_s,
            cpu_ms_per_session_s: (session_s > 0.0).then(|| used.cpu_s * 1000.0 / session_s),
            rss_mb: used.rss_mb,
            rss_mb_per_session: (callers > 0).then(|| (used.rss_mb - used.rss_before_mb).max(0.0) / callers as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::{Outcome, Request};
    use crate::load::work::Work;

    fn call(connected_s: f64, failure: Option<Cause>, requests: Vec<Request>) -> Outcome {
        Outcome {
            caller: 0,
            began_s: 0.0,
            connected_s,
            caller_spoke_s: connected_s / 4.0,
            agent_spoke_s: connected_s / 2.0,
            failure,
            values: vec![(Figure::Connect, 0.1)],
            requests,
        }
    }

    fn answered(turn_s: f64) -> Request {
        Request { values: vec![(Figure::Turn, turn_s)], ..Request::default() }
    }

    fn unanswered(cause: Cause) -> Request {
        Request { failure: Some(cause), ..Request::default() }
    }

    /// Two calls that talk and one that is turned away, added up by hand.
    #[test]
    fn a_step_adds_up() {
        let work = Works::each(|_| Work { mean_batch: Some(1.5), ..Work::default() });
        let step = Step {
            callers: 3,
            came: 3,
            lasted_s: 20.0,
            outcomes: vec![
                call(20.0, None, vec![answered(0.5), answered(0.7)]),
                call(10.0, Some(Cause::Dropped), vec![answered(0.6), unanswered(Cause::NoAnswer)]),
                call(0.0, Some(Cause::Busy), vec![]),
            ],
            server: Some(HostUse { cpu_s: 1.5, rss_mb: 130.0, rss_before_mb: 100.0, work }),
            own: HostUse { cpu_s: 0.3, rss_mb: 20.0, rss_before_mb: 23.0, ..HostUse::default() },
            cut_short: false,
        };
        let tally = Tally::of(&step);
        assert_eq!(tally.figures[&Figure::Turn].values(), [0.5, 0.6, 0.7]);
        assert_eq!(tally.get(Figure::Connect, Stat::Mean).map(|mean| (mean * 1e6).round()), Some(100_000.0));
        assert_eq!(tally.get(Figure::Fps, Stat::Max), None);
        assert_eq!((tally.calls.total, tally.calls.ok()), (3, 1));
        assert_eq!(tally.calls.failures, [(Cause::Busy, 1), (Cause::Dropped, 1)].into());
        assert_eq!((tally.requests.total, tally.requests.ok()), (4, 3));
        assert_eq!(tally.success(), Some(1.0 / 3.0), "the worse of calls and requests");
        assert_eq!(tally.requests_per_s(), Some(0.15));
        assert_eq!((tally.session_s, tally.caller_spoke, tally.agent_spoke), (30.0, Some(0.25), Some(0.5)));
        let server = tally.server.unwrap();
        assert_eq!((server.cpu_ms_per_session_s, server.rss_mb_per_session), (Some(50.0), Some(10.0)));
        assert_eq!((tally.own.cpu_ms_per_session_s, tally.own.rss_mb_per_session), (Some(10.0), Some(0.0)));
        assert_eq!(tally.work, work);
    }

    /// Silence is not success: a step in which nobody was asked anything says nothing, one that everybody was turned away
    /// from says 0.
    #[test]
    fn success_needs_an_answer() {
        let step = |outcomes| Step { callers: 1, lasted_s: 1.0, outcomes, ..Step::default() };
        assert_eq!(Tally::of(&Step::default()).success(), None);
        assert_eq!(Tally::of(&step(vec![call(1.0, None, vec![])])).success(), None);
        assert_eq!(Tally::of(&step(vec![call(0.0, Some(Cause::Refused), vec![])])).success(), Some(0.0));
        assert_eq!(Tally::of(&step(vec![call(1.0, None, vec![unanswered(Cause::Garbage)])])).success(), Some(0.0));
        assert_eq!(Tally::of(&step(vec![call(1.0, None, vec![answered(1.0)])])).success(), Some(1.0));
    }

    #[test]
    fn an_empty_step_divides_by_nothing() {
        let tally = Tally::of(&Step::default());
        assert_eq!((tally.requests_per_s(), tally.caller_spoke, tally.server), (None, None, None));
        assert_eq!((tally.own.cpu_ms_per_session_s, tally.own.rss_mb_per_session), (None, None));
    }
}
