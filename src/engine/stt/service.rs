//! io: one recognizer behind its queue, and the seats before it

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::model::{ModelError, Recognizer, Spoken, Transcript};
use crate::engine::worker::Worker;
use crate::media::sound::rms;
use crate::media::time::Samples;
use crate::metrics::{Guard, Metrics, QueuedStage, Seats, SpeechStage, Stage};
use crate::onnx::{CHUNK, VadSeat, VadWorker};
use crate::runtime::{clock, scope};

/// A speech-to-text engine. Clones share it.
#[derive(Clone)]
pub struct SttEngine(Arc<Inner>);

struct Inner {
    worker: Worker<Job>,
    seats: Arc<Semaphore>,
    meter: Seats,
    ear: Ear,
    delay: Duration,
    metrics: Metrics,
}

/// What tells speech from silence.
#[derive(Clone)]
pub enum Ear {
    Silero(VadWorker),
    /// By loudness alone: for scripted engines and generated sound.
    Loudness,
}

/// One caller's place: given back when dropped.
pub struct Seat {
    engine: Arc<Inner>,
    vad: Option<VadSeat>,
    _permit: OwnedSemaphorePermit,
    _counted: Guard,
}

struct Job {
    spoken: Spoken,
    answer: oneshot::Sender<Result<Transcript, ModelError>>,
}

impl SttEngine {
    /// Starts the recognizer's thread. `seats`: callers at the same time; one more is told that no channel is free.
    pub fn start(mut recognizer: impl Recognizer, ear: Ear, seats: usize, metrics: Metrics) -> Self {
        // Each seat has one piece of work before the model, and one more that it has just given up.
        let measure = metrics.clone();
        let worker = Worker::start("stt", 2 * seats + 1, metrics.queue(QueuedStage::Stt), move |mut source| {
            while let Some(job) = source.next() {
                serve(&mut recognizer, job, &measure);
            }
        });
        let meter = metrics.seats(Stage::Stt, seats);
        let seats = Arc::new(Semaphore::new(seats));
        Self(Arc::new(Inner { worker, seats, meter, ear, delay: Duration::ZERO, metrics }))
    }

    /// The same engine, slower: each answer waits for `delay` first.
    pub fn with_delay(self, delay: Duration) -> Self {
        let Inner { worker, seats, meter, ear, metrics, .. } = &*self.0;
        Self(Arc::new(Inner {
            worker: worker.clone(),
            seats: seats.clone(),
            meter: meter.clone(),
            ear: ear.clone(),
            delay,
            metrics: metrics.clone(),
        }))
    }

    /// A place for one more caller; `None` when all are taken.
    pub fn seat(&self) -> Option<Seat> {
        let permit = self.0.seats.clone().try_acquire_owned().inspect_err(|_| self.0.meter.refuse()).ok()?;
        let vad = match &self.0.ear {
            Ear::Silero(worker) => Some(worker.seat()),
            Ear::Loudness => None,
        };
        Some(Seat { engine: self.0.clone(), vad, _permit: permit, _counted: self.0.meter.take() })
    }

    /// Whether the recognizer's thread is there.
    pub fn is_well(&self) -> bool {
        !self.0.worker.is_gone()
    }

    pub fn free_seats(&self) -> usize {
        self.0.seats.available_permits()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Seat {
    /// The probability, 0–1, that somebody speaks in `chunk`, which follows the one before it.
    pub async fn probability(&mut self, chunk: &[f32; CHUNK]) -> f32 {
        let Some(vad) = &mut self.vad else { return f32::from(rms(chunk) > LOUD) };
        // A detector that fails must not make the engine deaf: by loudness then.
        vad.probability(chunk).await.unwrap_or_else(|_| f32::from(rms(chunk) > LOUD))
    }

    /// Has `spoken` transcribed, before all that is less urgent. Dropping the future gives the work up.
    pub fn transcribe(
        &self,
        spoken: Spoken,
        urgent: bool,
    ) -> impl Future<Output = Result<Transcript, ModelError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let patience = if urgent { Duration::ZERO } else { PATIENCE };
        let queued = self.engine.worker.submit(Instant::now() + patience, Job { spoken, answer });
        let delay = self.engine.delay;
        async move {
            queued.map_err(|busy| ModelError::Failed(busy.to_string()))?;
            if !delay.is_zero() {
                clock::sleep(delay).await;
            }
            answered.await.unwrap_or_else(|_| Err(ModelError::Failed("the recognizer is gone".to_owned())))
        }
    }
}

fn serve(recognizer: &mut impl Recognizer, mut job: Job, metrics: &Metrics) {
    if job.answer.is_closed() {
        return;
    }
    let wanted = || !job.answer.is_closed();
    let began = Instant::now();
    // A panic is a bug in one piece of sound's handling: it costs that piece, not the engine.
    let answer =
        catch_unwind(AssertUnwindSafe(|| recognizer.transcribe(&job.spoken, &wanted))).unwrap_or_else(|panic| {
            let reason = scope::panic_message(&*panic);
            tracing::error!(reason, "the recognizer panicked");
            Err(ModelError::Failed("the recognizer panicked".to_owned()))
        });
    if answer.is_ok() {
        let sound = Samples::<16_000>(job.spoken.pcm.len() as u64).as_duration();
        metrics.real_time_factor(SpeechStage::Stt, began.elapsed(), sound);
    }
    job.spoken.pcm.clear();
    // Whoever asked may have hung up.
    let _ = job.answer.send(answer);
}

/// How much later than an urgent piece a glance may be begun.
const PATIENCE: Duration = Duration::from_millis(400);

/// Full scale 1.0: −40 dB, between a quiet room and a quiet voice.
const LOUD: f32 = 0.01;
