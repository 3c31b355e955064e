//! task: who makes the sound for all streams: a model on its own thread, or a script

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::stream::Stream;
use crate::engine::model::{ClauseEnd, ClauseText, ModelError, Plan, Synthesizer};
use crate::engine::worker::Worker;
use crate::metrics::{Guard, Metrics, QueuedStage, Seats, Stage};
use crate::runtime::scope::panic_message;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ModelError>> + Send + 'a>>;

/// Whoever makes sound. `due` is when the listener of the stream runs dry: earlier goes first.
pub trait Speaker: Send + Sync + 'static {
    fn plan(&self, due: Instant, clause: ClauseText) -> Answer<'_, Plan<Box<dyn Sounding>>>;
    /// Whether it can speak at all: a model whose thread has ended never will again.
    fn is_well(&self) -> bool {
        true
    }
}

/// A planned clause: gives its sound piece by piece, 24 kHz, `None` at its end.
pub trait Sounding: Send {
    fn next(&mut self, due: Instant) -> Answer<'_, Option<Vec<f32>>>;
}

/// The engine: seats before a speaker. Clones share both.
#[derive(Clone)]
pub struct TtsEngine {
    speaker: Arc<dyn Speaker>,
    seats: Arc<Semaphore>,
    capacity: usize,
    meter: Option<Seats>,
}

impl TtsEngine {
    /// `capacity`: streams at once; one more is refused.
    pub fn new(speaker: impl Speaker, capacity: usize) -> Self {
        Self { speaker: Arc::new(speaker), seats: Arc::new(Semaphore::new(capacity)), capacity, meter: None }
    }

    /// The same engine, whose seats are counted.
    pub fn counted(self, metrics: &Metrics) -> Self {
        Self { meter: Some(metrics.seats(Stage::Tts, self.capacity)), ..self }
    }

    /// Loads a model on a thread of its own, says something to itself so that the first caller finds it warm, and
    /// returns when it is ready.
    pub async fn load<S: Synthesizer>(
        load: impl FnOnce() -> Result<S, ModelError> + Send + 'static,
        capacity: usize,
        metrics: &Metrics,
    ) -> Result<Self, ModelError> {
        let (ready, is_ready) = oneshot::channel();
        // Every stream has one piece of work in the queue at most.
        let worker = Worker::start("tts", capacity.max(1), metrics.queue(QueuedStage::Tts), move |mut source| {
            let loaded = catch_unwind(AssertUnwindSafe(load))
                .unwrap_or_else(|panic| Err(ModelError::Failed(panic_message(&*panic))));
            let mut model = match loaded.and_then(|mut model| warm(&mut model).map(|()| model)) {
                Ok(model) => model,
                Err(error) => return drop(ready.send(Err(error))),
            };
            // A caller that went away while the model was loading loses nothing: it drops the worker, too.
            let _ = ready.send(Ok(()));
            while let Some(job) = source.next() {
                // The request that made the model panic fails; its reply lane closes. The next one is served.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| perform(&mut model, job))) {
                    tracing::error!("speech synthesis panicked: {}", panic_message(&*panic));
                }
            }
        });
        is_ready.await.map_err(|_| ModelError::Failed("the speech model's thread ended while loading".into()))??;
        Ok(Self::new(Queued(worker), capacity).counted(metrics))
    }

    /// A seat, if one is free. It is given back when the stream is dropped.
    pub fn open(&self, speed: f32) -> Option<Stream> {
        let Ok(permit) = self.seats.clone().try_acquire_owned() else {
            self.meter.iter().for_each(Seats::refuse);
            return None;
        };
        let seat = Seat { _permit: permit, _counted: self.meter.as_ref().map(Seats::take) };
        Some(Stream::new(self.clone(), seat, speed))
    }

    /// A caller said what was not agreed: it is counted.
    pub fn misspoke(&self) {
        self.meter.iter().for_each(Seats::misspoke);
    }

    pub fn is_well(&self) -> bool {
        self.speaker.is_well()
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn free_seats(&self) -> usize {
        self.seats.available_permits()
    }

    pub(super) fn speaker(&self) -> &dyn Speaker {
        &*self.speaker
    }
}

/// Held by a stream for as long as it lives.
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    _counted: Option<Guard>,
}

/// A model behind a queue, most urgent first.
struct Queued<S: Synthesizer>(Worker<Job<S>>);

enum Job<S: Synthesizer> {
    Plan(ClauseText, oneshot::Sender<Result<Plan<S::Clause>, ModelError>>),
    Sound(S::Clause, oneshot::Sender<Result<(S::Clause, Option<Vec<f32>>), ModelError>>),
}

fn perform<S: Synthesizer>(model: &mut S, job: Job<S>) {
    match job {
        // Nobody listens any more: the seat is free already, the effort is saved here.
        Job::Plan(_, reply) if reply.is_closed() => {}
        Job::Sound(_, reply) if reply.is_closed() => {}
        Job::Plan(clause, reply) => drop(reply.send(model.plan(&clause))),
        Job::Sound(mut clause, reply) => {
            let sound = model.sound(&mut clause);
            drop(reply.send(sound.map(|sound| (clause, sound))));
        }
    }
}

fn warm<S: Synthesizer>(model: &mut S) -> Result<(), ModelError> {
    let words = ["Ready", "when", "you", "are."].map(str::to_owned).to_vec();
    let mut plan = model.plan(&ClauseText { words, end: ClauseEnd::Last, speed: 1.0, first: true })?;
    while model.sound(&mut plan.clause)?.is_some() {}
    Ok(())
}

impl<S: Synthesizer> Speaker for Queued<S> {
    fn plan(&self, due: Instant, clause: ClauseText) -> Answer<'_, Plan<Box<dyn Sounding>>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            submit(&self.0, due, Job::Plan(clause, reply))?;
            let plan = answer.await.map_err(|_| gone())??;
            let sounding = QueuedClause { worker: self.0.clone(), clause: Some(plan.clause) };
            Ok(Plan { words: plan.words, phones: plan.phones, length: plan.length, clause: Box::new(sounding) as _ })
        })
    }

    fn is_well(&self) -> bool {
        !self.0.is_gone()
    }
}

struct QueuedClause<S: Synthesizer> {
    worker: Worker<Job<S>>,
    /// With us between two pieces, with the job otherwise; gone when a piece failed.
    clause: Option<S::Clause>,
}

impl<S: Synthesizer> Sounding for QueuedClause<S> {
    fn next(&mut self, due: Instant) -> Answer<'_, Option<Vec<f32>>> {
        Box::pin(async move {
            let Some(clause) = self.clause.take() else { return Ok(None) };
            let (reply, answer) = oneshot::channel();
            submit(&self.worker, due, Job::Sound(clause, reply))?;
            let (clause, sound) = answer.await.map_err(|_| gone())??;
            self.clause = sound.is_some().then_some(clause);
            Ok(sound)
        })
    }
}

fn submit<S: Synthesizer>(worker: &Worker<Job<S>>, due: Instant, job: Job<S>) -> Result<(), ModelError> {
    worker.submit(due, job).map_err(|busy| ModelError::Failed(busy.to_string()))
}

fn gone() -> ModelError {
    ModelError::Failed("the speech model failed at this clause".into())
}
