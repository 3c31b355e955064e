//! task: many clients of one engine, each asking again as soon as it was answered, for as long as a step lasts

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::llm::Llm;
use super::stt::Stt;
use super::tts::Tts;
use crate::load::crowd::{Closing, Length, Progress, gather};
use crate::load::figure::Figure;
use crate::load::host::Watched;
use crate::load::outcome::{Cause, Outcome, Request, Step};
use crate::runtime::clock;
use crate::runtime::scope::TaskCounter;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Engine {
    Tts(Tts),
    Stt(Stt),
    Llm(Llm),
}

/// Who ask it.
pub struct Clients {
    pub engine: Engine,
    /// When the run began: times are counted from here.
    pub began: Instant,
    /// Clients begin evenly within this time, so that they do not ask in unison.
    pub ramp: Duration,
    pub progress: Arc<Progress>,
    pub tasks: TaskCounter,
}

impl Clients {
    /// Lets `clients` ask until the time is over or `stop` is cancelled.
    pub async fn step(
        self: &Arc<Self>,
        clients: usize,
        length: Length,
        watched: &mut Watched,
        stop: &CancellationToken,
    ) -> Step {
        let lives = (0..clients).map(|number| {
            let client = self.clone();
            let waits = self.ramp.mul_f64(number as f64 / clients as f64);
            (waits, move |begins, closing, told| client.live(number, begins, closing, told))
        });
        gather(lives, self.began, self.tasks.clone(), length, LONGEST, watched, stop).await
    }

    /// One client, until the time is up. A question that is under way then is waited for.
    async fn live(self: Arc<Self>, number: usize, begins: Instant, closing: Closing, told: mpsc::Sender<Outcome>) {
        self.progress.dials();
        self.progress.connects();
        let mut outcome = Outcome::nothing(number, self.seconds(begins));
        for n in 0..MOST_REQUESTS {
            if closing.up.is_cancelled() {
                break;
            }
            let (asked, mut values) = (clock::now(), vec![]);
            // Clients begin at different places, so that at no time all ask the same.
            let asking = self.engine.ask(number + n, &mut values);
            let failure = tokio::select! {
                () = closing.cut.cancelled() => break,
                result = clock::timeout(LONGEST, asking) => result.unwrap_or(Err(Cause::Endless)).err(),
            };
            outcome.requests.push(Request { at_s: self.seconds(asked), failure, values });
            if failure.is_none() {
                self.progress.is_answered();
                continue;
            }
            self.progress.is_not_answered();
            tokio::select! {
                () = closing.up.cancelled() => break,
                () = clock::sleep(AFTER_A_FAILURE) => {}
            }
        }
        self.progress.leaves(None);
        outcome.connected_s = (clock::now() - begins).as_secs_f64();
        // Whoever gathers outcomes waits for all of them.
        let _ = told.send(outcome).await;
    }

    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.began).as_secs_f64()
    }
}

impl Engine {
    async fn ask(&self, n: usize, values: &mut Vec<(Figure, f64)>) -> Result<(), Cause> {
        match self {
            Self::Tts(tts) => tts.ask(n, values).await,
            Self::Stt(stt) => stt.ask(n, values).await,
            Self::Llm(llm) => llm.ask(n, values).await,
        }
    }
}

/// A client that is refused at once does not become a flood.
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);

/// Of one request, whatever the engine does: the doors' own limits together.
const LONGEST: Duration = Duration::from_secs(150);

/// Of one client in one step.
const MOST_REQUESTS: usize = 1_000_000;
