//! data: one load run as its reports tell it

use super::stages::{StageTimes, stages};
use super::words;
use crate::load::figure::Figure;
use crate::load::outcome::{Cause, Step};
use crate::load::search::Search;
use crate::load::tally::Tally;
use crate::load::target::{Targets, Verdict};
use crate::load::work::Engine;

/// What was run and what came of it. Texts are shown as they are; each report escapes them for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it was, in a few words.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    pub kind: Kind,
    /// The scenario's name, and the seed of its chance.
    pub scenario: Option<String>,
    pub seed: Option<u64>,
    /// Processor, cores and memory of the machine, and when it was: as the caller of the report puts it.
    pub machine: String,
    pub date: String,
    pub targets: Targets,
    /// In the order in which they ran.
    pub rows: Vec<Row>,
    /// What a search found: one, or one per setting of a sweep; empty where nothing was searched for.
    pub maxima: Vec<Maximum>,
    /// What a reader must know to trust the numbers: a server that could not be seen, a step that was left out.
    pub notes: Vec<String>,
}

/// Who was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server that holds calls.
    Calls,
    /// One engine's door.
    Tts,
    Stt,
    Llm,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What of the server was set for it, as `key=value`, in a sweep.
    pub setting: Option<String>,
    pub tally: Tally,
    pub verdict: Verdict,
    /// Where an answer's time went; empty at an engine's door.
    pub stages: Vec<StageTimes>,
    /// Every request, in the order of asking.
    pub asked: Vec<Asked>,
}

/// One request as a point in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// Seconds since its step began: since the first of its callers did.
    pub at_s: f64,
    /// How long the answer took to begin (see [`Kind::latency`]); `None` when it was not measured.
    pub latency_s: Option<f64>,
    pub failure: Option<Cause>,
}

/// The end of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Maximum {
    pub setting: Option<String>,
    /// The most callers that met the target; `None` when not even the fewest tried did.
    pub callers: Option<usize>,
    /// The search could go no higher: the true maximum may.
    pub at_cap: bool,
    /// It was ended before it knew.
    pub cut_short: bool,
}

impl Row {
    pub fn of(kind: Kind, setting: Option<String>, step: &Step, targets: &Targets) -> Self {
        let tally = Tally::of(step);
        let verdict = targets.judge(&tally);
        let began_s = step.outcomes.iter().map(|call| call.began_s).fold(f64::INFINITY, f64::min);
        let requests = step.outcomes.iter().flat_map(|call| &call.requests);
        let mut asked: Vec<Asked> = requests
            .filter(|request| request.at_s.is_finite() && began_s.is_finite())
            .map(|request| Asked {
                at_s: (request.at_s - began_s).max(0.0),
                latency_s: request.value(kind.latency()).filter(|value| value.is_finite()),
                failure: request.failure,
            })
            .collect();
        asked.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        let stages = if kind == Kind::Calls { stages(step) } else { Vec::new() };
        Self { setting, tally, verdict, stages, asked }
    }

    /// How the row is called beside others.
    pub fn label(&self) -> String {
        let users = words::users(self.tally.callers);
        match &self.setting {
            Some(setting) => format!("{setting}, {users}"),
            None => users,
        }
    }
}

impl Kind {
    /// The wait that its users notice.
    pub fn latency(self) -> Figure {
        match self {
            Self::Calls => Figure::Turn,
            Self::Tts => Figure::Ttfb,
            Self::Stt => Figure::SttFinal,
            Self::Llm => Figure::Ttft,
        }
    }

    /// The engine of which the batches tell most: that of the door; of calls the detector, the only one that all of them share
    /// wherever the others are.
    pub fn batching(self) -> Engine {
        match self {
            Self::Calls => Engine::Vad,
            Self::Tts => Engine::Tts,
            Self::Stt => Engine::Stt,
            Self::Llm => Engine::Llm,
        }
    }

    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Tts => "tts",
            Self::Stt => "stt",
            Self::Llm => "llm",
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Calls => "whole calls",
            Self::Tts => "the door of a TTS engine",
            Self::Stt => "the door of an STT engine",
            Self::Llm => "the door of an LLM engine",
        }
    }
}

impl Maximum {
    /// What a search knows now; `cut_short` where it would have gone on.
    pub fn of(setting: Option<String>, search: &Search) -> Self {
        Self { setting, callers: search.found(), at_cap: search.ended_at_cap(), cut_short: search.next().is_some() }
    }
}

impl Run {
    /// Every row met every target, and there is one.
    pub fn met(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.verdict.met)
    }

    /// Every search found a number of callers that meets the target, and there was one.
    pub fn found(&self) -> bool {
        !self.maxima.is_empty() && self.maxima.iter().all(|maximum| maximum.callers.is_some())
    }

    /// Something ended it before its time.
    pub fn cut_short(&self) -> bool {
        self.rows.iter().any(|row| row.tally.cut_short) || self.maxima.iter().any(|maximum| maximum.cut_short)
    }

    /// Whether its rows differ in what was set at the server.
    pub fn is_sweep(&self) -> bool {
        self.rows.iter().any(|row| row.setting.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::{Outcome, Request};
    use crate::load::report::sample;

    /// Times of a step count from its first caller, whatever the run did before; what failed stays visible.
    #[test]
    fn requests_lie_where_they_were_asked() {
        let ask = |at_s, failure, values| Request { at_s, failure, values };
        let call = |caller, began_s, requests| Outcome {
            caller,
            began_s,
            connected_s: 5.0,
            caller_spoke_s: 0.0,
            agent_spoke_s: 0.0,
            failure: None,
            values: vec![],
            requests,
        };
        let step = Step {
            callers: 2,
            lasted_s: 10.0,
            outcomes: vec![
                call(0, 62.0, vec![ask(70.0, None, vec![(Figure::Turn, 0.5)])]),
                call(1, 60.0, vec![ask(61.0, Some(Cause::NoAnswer), vec![]), ask(f64::NAN, None, vec![])]),
            ],
            ..Step::default()
        };
        let row = Row::of(Kind::Calls, None, &step, &"success:1".parse().unwrap());
        let wanted = [
            Asked { at_s: 1.0, latency_s: None, failure: Some(Cause::NoAnswer) },
            Asked { at_s: 10.0, latency_s: Some(0.5), failure: None },
        ];
        assert_eq!(row.asked, wanted);
        assert_eq!(row.label(), "2 users");
        assert!(!row.verdict.met);
    }

    #[test]
    fn a_search_that_was_stopped_says_so() {
        let mut search = Search::new(1, 8);
        search.handle(1, true);
        let maximum = Maximum::of(None, &search);
        assert_eq!((maximum.callers, maximum.at_cap, maximum.cut_short), (Some(1), false, true));
    }

    /// One setting with which not even one caller is served well is enough.
    #[test]
    fn a_search_that_finds_nothing_found_nothing() {
        assert!(sample::search().found());
        assert!(!sample::sweep().found() && !sample::nothing().found());
    }
}
