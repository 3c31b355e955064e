//! io: is somebody speaking? Silero VAD for all calls, on one warm thread
//!
//! A chunk alone on a cold cache costs 0.4 ms, in a batch on a warm thread 0.07 ms. So one thread runs the chunks of all
//! calls that arrive within a while as one batch; the more calls there are, the longer the while ([`gathering`]). The state
//! of a call stays with its [`VadSeat`] and travels with each chunk: the thread remembers nobody.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::Tensor;
use tokio::sync::oneshot;

use super::environment::{Onnx, OnnxError};
use crate::metrics::{BatchMeter, BatchedStage, Guard, Metrics, Object, QueueMeter, QueuedStage};
use crate::runtime::thread;

/// Samples at 16 kHz of one chunk: 32 ms.
pub const CHUNK: usize = 512;

/// The model's file name in the models folder: Silero VAD v6, 16 kHz alone (silero-vad 6.2.3, MIT).
pub const VAD_MODEL: &str = "silero_vad_16k_op15.onnx";

/// A handle to the thread; it ends when the last handle and the last seat have gone.
#[derive(Clone)]
pub struct VadWorker {
    jobs: SyncSender<Job>,
    seats: Arc<AtomicUsize>,
    metrics: Metrics,
}

/// One call's place: its chunks in order.
pub struct VadSeat {
    worker: VadWorker,
    memory: Memory,
    /// When the last chunk was asked about.
    asked: Option<Instant>,
    _counted: Guard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VadError {
    #[error("more than {CAPACITY} chunks wait for the voice detector")]
    Busy,
    #[error("the voice detector failed")]
    Failed,
}

/// What the model carries from one chunk to the next: the end of the last chunk, and its recurrent state `[2, 128]`.
#[derive(Clone)]
struct Memory {
    context: [f32; CONTEXT],
    state: [f32; STATE],
}

struct Job {
    memory: Memory,
    chunk: [f32; CHUNK],
    /// One of many that have piled up: it waits for nobody.
    hurried: bool,
    since: Instant,
    answer: oneshot::Sender<(f32, Memory)>,
}

impl VadWorker {
    /// Opens the model at `path`, runs it once so that the first call finds it warm, and starts the thread.
    pub fn start(onnx: &Onnx, path: &Path, metrics: &Metrics) -> Result<Self, OnnxError> {
        let mut session = onnx.session(path)?;
        run(&mut session, &[(Memory::new(), [0.0; CHUNK])])?;
        let (jobs, waiting) = sync_channel(CAPACITY);
        let seats = Arc::new(AtomicUsize::new(0));
        let present = seats.clone();
        // Sound class: an onset heard late is an interruption answered late. Not niced.
        let meters = Meters { batches: metrics.batches(BatchedStage::Vad), waits: metrics.queue(QueuedStage::Vad) };
        thread::spawn("vad", 0, move || serve(session, &waiting, &present, &meters));
        Ok(Self { jobs, seats, metrics: metrics.clone() })
    }

    /// A place for one more call.
    pub fn seat(&self) -> VadSeat {
        self.seats.fetch_add(1, Ordering::Relaxed);
        VadSeat { worker: self.clone(), memory: Memory::new(), asked: None, _counted: self.metrics.live(Object::VadSeat) }
    }
}

impl VadSeat {
    /// The probability, 0–1, that somebody speaks in `chunk`, which follows the one before it. Full scale ±1.0, 16 kHz.
    /// Dropped before it answers, it is as if the chunk had never been.
    pub async fn probability(&mut self, chunk: &[f32; CHUNK]) -> Result<f32, VadError> {
        let answer = self.submit(chunk)?.await;
        self.take(answer)
    }

    /// As [`Self::probability`], for threads outside the async runtime.
    pub fn probability_blocking(&mut self, chunk: &[f32; CHUNK]) -> Result<f32, VadError> {
        let answer = self.submit(chunk)?.blocking_recv();
        self.take(answer)
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        self.memory = Memory::new();
    }

    fn submit(&mut self, chunk: &[f32; CHUNK]) -> Result<oneshot::Receiver<(f32, Memory)>, VadError> {
        let (answer, answered) = oneshot::channel();
        let since = Instant::now();
        let hurried = has_piled_up(self.asked.replace(since), since);
        let job = Job { memory: self.memory.clone(), chunk: *chunk, hurried, since, answer };
        match self.worker.jobs.try_send(job) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(VadError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(VadError::Failed),
        }
    }

    fn take(&mut self, answer: Result<(f32, Memory), oneshot::error::RecvError>) -> Result<f32, VadError> {
        let (probability, memory) = answer.map_err(|_| VadError::Failed)?;
        self.memory = memory;
        Ok(probability)
    }
}

impl Drop for VadSeat {
    fn drop(&mut self) {
        self.worker.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Memory {
    fn new() -> Self {
        Self { context: [0.0; CONTEXT], state: [0.0; STATE] }
    }
}

struct Meters {
    batches: BatchMeter,
    waits: QueueMeter,
}

/// The thread: gathers a batch, runs it, answers.
fn serve(mut session: Session, waiting: &Receiver<Job>, seats: &AtomicUsize, meters: &Meters) {
    let mut batch: Vec<Job> = Vec::with_capacity(MAX_BATCH);
    while let Ok(first) = waiting.recv() {
        batch.push(first);
        gather(&mut batch, waiting, seats);
        meters.batches.ran(batch.len());
        batch.iter().for_each(|job| meters.waits.waited(job.since.elapsed()));
        let inputs: Vec<_> = batch.iter().map(|job| (job.memory.clone(), job.chunk)).collect();
        match run(&mut session, &inputs) {
            Ok(answers) => {
                for (job, answer) in batch.drain(..).zip(answers) {
                    // Whoever asked may have hung up.
                    let _ = job.answer.send(answer);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the voice detector failed");
                batch.clear();
            }
        }
    }
}

/// Lets the chunks of other calls come, asleep, so that their arrival wakes nobody; then takes what is there.
fn gather(batch: &mut Vec<Job>, waiting: &Receiver<Job>, seats: &AtomicUsize) {
    if !batch.iter().any(|job| job.hurried) {
        thread::rest(gathering(seats.load(Ordering::Relaxed)));
    }
    batch.extend(waiting.try_iter().take(MAX_BATCH - 1));
}

/// Whether a chunk asked about `now` follows the one before it too soon to be live sound.
fn has_piled_up(last: Option<Instant>, now: Instant) -> bool {
    last.is_some_and(|last| now.saturating_duration_since(last) < PILED_UP)
}

/// How long a chunk may wait for others: not at all for a seat alone. (A call has a second seat where the STT engine listens in the
/// same process.)
fn gathering(seats: usize) -> Duration {
    (GATHER_PER_SEAT * u32::try_from(seats.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_GATHER)
}

/// One run: `input` `[n, 576]` (64 samples of the chunk before, then the chunk), `state` `[2, n, 128]`, `sr` scalar;
/// out: `output` `[n, 1]`, `stateN` `[2, n, 128]`.
fn run(session: &mut Session, inputs: &[(Memory, [f32; CHUNK])]) -> Result<Vec<(f32, Memory)>, OnnxError> {
    let n = inputs.len();
    let mut input = Vec::with_capacity(n * (CONTEXT + CHUNK));
    let mut state = vec![0.0f32; n * STATE];
    for (at, (memory, chunk)) in inputs.iter().enumerate() {
        input.extend_from_slice(&memory.context);
        input.extend_from_slice(chunk);
        for layer in 0..2 {
            state[(layer * n + at) * STATE / 2..][..STATE / 2]
                .copy_from_slice(&memory.state[layer * STATE / 2..][..STATE / 2]);
        }
    }
    let outputs = session.run(ort::inputs! {
        "input" => Tensor::from_array(([n, CONTEXT + CHUNK], input))?,
        "state" => Tensor::from_array(([2, n, STATE / 2], state))?,
        "sr" => Tensor::from_array(((), vec![16_000i64]))?,
    })?;
    let (_, probabilities) = outputs["output"].try_extract_tensor::<f32>()?;
    let (_, state) = outputs["stateN"].try_extract_tensor::<f32>()?;
    if probabilities.len() != n || state.len() != n * STATE {
        return Err(OnnxError::Run(format!("{} probabilities for {n} chunks", probabilities.len())));
    }
    let answers = inputs.iter().enumerate().map(|(at, (_, chunk))| {
        let mut memory = Memory::new();
        memory.context.copy_from_slice(&chunk[CHUNK - CONTEXT..]);
        for layer in 0..2 {
            memory.state[layer * STATE / 2..][..STATE / 2]
                .copy_from_slice(&state[(layer * n + at) * STATE / 2..][..STATE / 2]);
        }
        (probabilities[at], memory)
    });
    Ok(answers.collect())
}

/// Samples of the chunk before that the model wants in front (upstream `OnnxWrapper`, v5 and later).
const CONTEXT: usize = 64;
const STATE: usize = 2 * 128;

/// With two seats hardly anybody comes within a few milliseconds; with twenty, 10 ms bring seven chunks together. Measured on a
/// thread that sleeps between: 460 µs for a chunk alone, 150 in a batch of four, 105 of eight, 80 of sixteen.
const GATHER_PER_SEAT: Duration = Duration::from_millis(1);
/// A chunk is 32 ms, so that its first sample is 32 ms old anyway: 5 ms more, on average, are not noticed.
const LONGEST_GATHER: Duration = Duration::from_millis(10);
const MAX_BATCH: usize = 64;

/// Chunks of live sound are 20 ms apart or more; a message of 80 ms, or a silence made up for, brings several at once, and they
/// would wait one after the other.
const PILED_UP: Duration = Duration::from_millis(10);

/// Each call has one chunk in flight: reached only when the thread is stuck.
const CAPACITY: usize = 256;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Where `script/test` has put the models.
    pub fn models() -> PathBuf {
        crate::config::models::folder()
    }

    fn worker() -> VadWorker {
        let onnx = Onnx::open(None, &models()).unwrap();
        VadWorker::start(&onnx, &models().join(VAD_MODEL), &Metrics::new()).unwrap()
    }

    fn chunks(name: &str) -> Vec<[f32; CHUNK]> {
        let mut wav = hound::WavReader::open(models().join("speech").join(name)).unwrap();
        let samples: Vec<f32> = wav.samples::<i16>().map(|s| f32::from(s.unwrap()) / 32768.0).collect();
        samples.chunks_exact(CHUNK).map(|c| c.try_into().unwrap()).collect()
    }

    /// Speech is heard as speech and silence, however noisy, as silence.
    #[test]
    fn speech_is_not_silence() {
        let worker = worker();
        let mut seat = worker.seat();
        let spoken: Vec<f32> =
            chunks("librivox-0870.wav").iter().map(|c| seat.probability_blocking(c).unwrap()).collect();
        let share = spoken.iter().filter(|p| **p > 0.5).count() as f32 / spoken.len() as f32;
        assert!(share > 0.7, "only {share} of a spoken sentence counts as speech");

        seat.reset();
        let mut noise = fastrand::Rng::with_seed(7);
        for level in [0.0, 0.001, 0.01] {
            let loudest = (0..60)
                .map(|_| seat.probability_blocking(&std::array::from_fn(|_| (noise.f32() - 0.5) * level)).unwrap())
                .fold(0.0, f32::max);
            assert!(loudest < 0.5, "noise of {level} counts as speech: {loudest}");
        }
    }

    /// Calls that share a batch hear what each would hear alone.
    #[tokio::test]
    async fn a_batch_equals_its_parts() {
        let worker = worker();
        let clips: Vec<_> =
            ["librivox-0880.wav", "cities-00.wav", "cards-005.wav"].map(|name| chunks(name)[..50].to_vec()).into();
        let mut alone = vec![];
        for clip in &clips {
            let mut seat = worker.seat();
            let mut heard = vec![];
            for chunk in clip {
                heard.push(seat.probability(chunk).await.unwrap());
            }
            alone.push(heard);
        }
        let mut seats: Vec<_> = clips.iter().map(|_| worker.seat()).collect();
        for at in 0..50 {
            let asked = seats.iter_mut().zip(&clips).map(|(seat, clip)| seat.probability(&clip[at]));
            for (call, answer) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
                let (answer, expected) = (answer.unwrap(), alone[call][at]);
                assert!((answer - expected).abs() < 1e-4, "call {call}, chunk {at}: {answer} instead of {expected}");
            }
        }
    }

    /// A seat alone waits for nobody, many wait no longer than is not noticed, however many they are.
    #[test]
    fn the_wait_grows_with_the_seats() {
        let waits = [0, 1, 2, 5, 11, 1_000, usize::MAX].map(|seats| gathering(seats).as_millis());
        assert_eq!(waits, [0, 0, 1, 4, 10, 10, 10]);
    }

    /// Chunks of live sound may wait for others; those that have piled up are not held up one after the other.
    #[test]
    fn what_piled_up_waits_for_nobody() {
        let now = Instant::now();
        let asked = |ago_ms| has_piled_up(Some(now - Duration::from_millis(ago_ms)), now);
        assert_eq!((has_piled_up(None, now), asked(0), asked(5)), (false, true, true));
        assert_eq!((asked(20), asked(40)), (false, false), "packets of 20 ms make a chunk every 20 or 40");
    }

    /// A question dropped half-way leaves the seat as it was.
    #[tokio::test]
    async fn a_dropped_question_never_was() {
        let worker = worker();
        let clip = chunks("cards-001.wav");
        let (mut steady, mut hasty) = (worker.seat(), worker.seat());
        for chunk in &clip[..20] {
            drop(hasty.submit(chunk));
            let expected = steady.probability(chunk).await.unwrap();
            let answer = hasty.probability(chunk).await.unwrap();
            assert!((answer - expected).abs() < 1e-4, "{answer} instead of {expected}");
        }
    }
}
