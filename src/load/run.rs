//! task: the steps of a run: so many callers each, or as many as a target allows
//!
//! In: a crowd, which steps, what counts as good. Out: every [`Step`] as it ends, and what a search found.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::crowd::{self, Length, Progress, Stage};
use super::doors::Clients;
use super::host::Watched;
use super::outcome::Step;
use super::search::Search;
use super::tally::Tally;
use super::target::Targets;

/// Who calls.
#[derive(Clone)]
pub enum Crowd {
    /// People, in calls.
    Calls(Arc<Stage>),
    /// Clients of one engine's door.
    Clients(Arc<Clients>),
}

/// Which steps there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One step for each number of callers.
    Steps(Vec<usize>),
    /// The most callers, up to `cap`, with whom the target is met.
    Search { cap: usize },
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Ran {
    pub steps: Vec<Step>,
    /// What was searched for, and what is known of it.
    pub search: Option<Search>,
    /// It was ended before its last step was done.
    pub cut_short: bool,
}

impl Ran {
    /// Ended before its first step.
    pub fn cut_short() -> Self {
        Self { cut_short: true, ..Self::default() }
    }
}

impl Crowd {
    pub async fn step(&self, callers: usize, length: Length, watched: &mut Watched, stop: &CancellationToken) -> Step {
        match self {
            Self::Calls(stage) => crowd::step(stage, callers, length, watched, stop).await,
            Self::Clients(clients) => clients.step(callers, length, watched, stop).await,
        }
    }

    /// Where the step that is under way stands.
    pub fn progress(&self) -> &Arc<Progress> {
        match self {
            Self::Calls(stage) => &stage.progress,
            Self::Clients(clients) => &clients.progress,
        }
    }
}

/// Plays all steps, or those before `stop`. Each is told to `tell`.
pub async fn run(
    crowd: &Crowd,
    mode: &Mode,
    length: Length,
    targets: &Targets,
    watched: &mut Watched,
    stop: &CancellationToken,
    mut tell: impl FnMut(&Step),
) -> Ran {
    let mut course = match mode {
        Mode::Steps(steps) => Course::Given(steps.clone().into_iter()),
        Mode::Search { cap } => Course::Search(Search::new(1, *cap)),
    };
    let mut ran = Ran::default();
    while let Some(callers) = course.next() {
        crowd.progress().step(callers, length);
        let step = crowd.step(callers, length, watched, stop).await;
        tell(&step);
        let met = targets.judge(&Tally::of(&step)).met;
        // Half a step says nothing about its number of callers.
        ran.cut_short = step.cut_short || stop.is_cancelled();
        ran.steps.push(step);
        if ran.cut_short {
            break;
        }
        course.handle(callers, met);
    }
    if let Course::Search(search) = course {
        ran.search = Some(search);
    }
    ran
}

enum Course {
    Given(std::vec::IntoIter<usize>),
    Search(Search),
}

impl Course {
    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Given(steps) => steps.next(),
            Self::Search(search) => search.next(),
        }
    }

    fn handle(&mut self, callers: usize, met: bool) {
        if let Self::Search(search) = self {
            search.handle(callers, met);
        }
    }
}
