//! core: where the time of an answer went, stage by stage
//! In:    the requests of a step, each with the times of its own stages.
//! Out:   per stage the median and the 95th percentile, in the order in which the stages follow each other.
//! Law:   stages are taken apart request by request, so that those of one request add up to its wait; their medians need not.

use crate::load::figure::Figure;
use crate::load::outcome::{Request, Step};
use crate::load::spread::Spread;

/// A part of the wait between the end of a caller's speech and the first sound that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The pause that says that the turn is over.
    Decision,
    /// What the transcript took longer than the decision.
    Transcript,
    FirstToken,
    FirstSound,
    Leaving,
    /// The rest until the caller hears it: network, jitter buffer, and the difference between the two ends' idea of when
    /// the speech ended.
    Arriving,
}

/// How long a stage took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageTimes {
    pub stage: Stage,
    pub p50_s: f64,
    pub p95_s: f64,
}

impl Stage {
    pub const ALL: [Self; 6] =
        [Self::Decision, Self::Transcript, Self::FirstToken, Self::FirstSound, Self::Leaving, Self::Arriving];

    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Transcript => "transcript",
            Self::FirstToken => "first_token",
            Self::FirstSound => "first_sound",
            Self::Leaving => "leaving",
            Self::Arriving => "arriving",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Decision => "turn decided",
            Self::Transcript => "transcript",
            Self::FirstToken => "first token",
            Self::FirstSound => "first sound made",
            Self::Leaving => "left the server",
            Self::Arriving => "heard",
        }
    }

    /// How long it took one request; `None` where that cannot be told. Never negative: a stage that began early costs
    /// nothing.
    fn of(self, request: &Request) -> Option<f64> {
        let value = |figure| request.value(figure);
        let took = match self {
            Self::Decision => value(Figure::Decision)?,
            Self::Transcript => value(Figure::SttFinal)? - value(Figure::Decision)?,
            Self::FirstToken => value(Figure::Ttft)?,
            Self::FirstSound => value(Figure::Ttfb)?,
            Self::Leaving => value(Figure::Play)?,
            Self::Arriving => {
                let known = [Self::Decision, Self::FirstToken, Self::FirstSound, Self::Leaving];
                let known: f64 = known.iter().map(|stage| stage.of(request)).sum::<Option<f64>>()?;
                value(Figure::Turn)? - known - Self::Transcript.of(request).unwrap_or(0.0)
            }
        };
        took.is_finite().then_some(took.max(0.0))
    }
}

/// The stages of a step that were measured.
pub fn stages(step: &Step) -> Vec<StageTimes> {
    let requests = || step.outcomes.iter().flat_map(|call| &call.requests);
    let times = |stage: Stage| {
        let spread = Spread::of(requests().filter_map(|request| stage.of(request)))?;
        Some(StageTimes { stage, p50_s: spread.percentile(50), p95_s: spread.percentile(95) })
    };
    Stage::ALL.into_iter().filter_map(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(values: &[(Figure, f64)]) -> Request {
        Request { values: values.to_vec(), ..Request::default() }
    }

    fn turn(transcript_s: f64, turn_s: f64) -> Request {
        request(&[
            (Figure::Decision, 0.25),
            (Figure::SttFinal, transcript_s),
            (Figure::Ttft, 0.125),
            (Figure::Ttfb, 0.0625),
            (Figure::Play, 0.03125),
            (Figure::Turn, turn_s),
        ])
    }

    /// A transcript that was there before the decision costs nothing; a late one costs what it was late by.
    #[test]
    fn the_stages_of_a_request_add_up_to_its_wait() {
        for (transcript_s, turn_s) in [(0.125, 0.5), (0.375, 0.75)] {
            let request = turn(transcript_s, turn_s);
            let sum: f64 = Stage::ALL.iter().map(|stage| stage.of(&request).unwrap()).sum();
            assert_eq!(sum, turn_s);
        }
        assert_eq!(Stage::Transcript.of(&turn(0.125, 0.5)), Some(0.0));
        assert_eq!(Stage::Transcript.of(&turn(0.375, 0.75)), Some(0.125));
        assert_eq!(Stage::Arriving.of(&turn(0.125, 0.25)), Some(0.0), "two clocks may disagree; no time is negative");
    }

    /// What one request does not tell, the others do; what none tells is not there.
    #[test]
    fn only_what_was_measured_is_a_stage() {
        let known = request(&[(Figure::Decision, 0.5), (Figure::Turn, 0.75)]);
        let outcome = crate::load::outcome::Outcome {
            caller: 0,
            began_s: 0.0,
            connected_s: 1.0,
            caller_spoke_s: 0.0,
            agent_spoke_s: 0.0,
            failure: None,
            values: vec![],
            requests: vec![known, request(&[(Figure::Decision, 0.25)]), request(&[])],
        };
        let step = Step { callers: 1, came: 1, outcomes: vec![outcome], ..Step::default() };
        assert_eq!(stages(&step), [StageTimes { stage: Stage::Decision, p50_s: 0.25, p95_s: 0.5 }]);
        assert_eq!(stages(&Step::default()), []);
    }
}
