//! data: what came of one call or of one client of an engine's door
//!
//! The callers write these, the tally adds them up. Times are seconds since the run began.

use std::fmt;

use super::figure::Figure;
use super::work::Works;

/// One caller's visit, from its dialling to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Callers count from 0.
    pub caller: usize,
    pub began_s: f64,
    /// From the moment that it was connected until its end; 0 when it never was.
    pub connected_s: f64,
    /// How long of that the caller spoke, and the agent.
    pub caller_spoke_s: f64,
    pub agent_spoke_s: f64,
    /// Why it ended before its script was done; `None` when all was well.
    pub failure: Option<Cause>,
    /// What was measured once for all of it.
    pub values: Vec<(Figure, f64)>,
    pub requests: Vec<Request>,
}

/// One question and its answer: a turn of a call, a text spoken, a sound transcribed, a chat answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// When it was asked (a turn: when the caller's speech ended).
    pub at_s: f64,
    /// Why it was not answered as it should be; `None` when it was.
    pub failure: Option<Cause>,
    pub values: Vec<(Figure, f64)>,
}

impl Outcome {
    /// Of somebody of whom nothing is known yet.
    pub fn nothing(caller: usize, began_s: f64) -> Self {
        Self {
            caller,
            began_s,
            connected_s: 0.0,
            caller_spoke_s: 0.0,
            agent_spoke_s: 0.0,
            failure: None,
            values: vec![],
            requests: vec![],
        }
    }
}

impl Request {
    pub fn value(&self, figure: Figure) -> Option<f64> {
        self.values.iter().find(|(of, _)| *of == figure).map(|(_, value)| *value)
    }
}

/// What went wrong. A closed set: failures are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody listens at that address, or the connection broke before there was a call.
    Unreachable,
    /// The server said that it is full (503, 429, close 1013, "no free channels").
    Busy,
    /// The server said no for another reason.
    Refused,
    /// What the server said could not be understood.
    Garbage,
    /// The server answered, but media never flowed.
    NotConnected,
    /// A question was not answered in time.
    NoAnswer,
    /// An answer began and did not end in time.
    Endless,
    /// The connection ended before the caller wanted it to.
    Dropped,
    /// The server reported an error.
    Failed,
    /// The callers' own side: no socket to be had, no time to speak, a caller that broke. Says nothing about the server.
    Ours,
}

impl Cause {
    pub const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::Busy,
        Self::Refused,
        Self::Garbage,
        Self::NotConnected,
        Self::NoAnswer,
        Self::Endless,
        Self::Dropped,
        Self::Failed,
        Self::Ours,
    ];

    /// As it stands in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Garbage => "garbage",
            Self::NotConnected => "not_connected",
            Self::NoAnswer => "no_answer",
            Self::Endless => "endless",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::Ours => "ours",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one step of a run (so many callers for so long) left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// How many callers there were to be.
    pub callers: usize,
    /// How many of them came to dial (to ask, at an engine's door) before the step was over.
    pub came: usize,
    pub lasted_s: f64,
    pub outcomes: Vec<Outcome>,
    /// The server, where it can be seen.
    pub server: Option<HostUse>,
    /// This process.
    pub own: HostUse,
    /// It was ended before its time (Ctrl-C).
    pub cut_short: bool,
}

/// What a process used while a step ran.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostUse {
    /// User and system time of the process and its children.
    pub cpu_s: f64,
    /// Most resident memory seen, and at the step's beginning.
    pub rss_mb: f64,
    pub rss_before_mb: f64,
    /// What the engines did, by the server's own metrics.
    pub work: Works,
}
