//! io: how fast engines answer and work, how far they are, and who waits for them

use std::time::Duration;

use prometheus::{Counter, Histogram, IntCounter, IntGauge};

use super::labels::{BatchedStage, Door, QueuedStage, SpeechStage, Stage};
use super::registry::{Guard, Metrics};
use super::shelf::{By, Shelf};
use super::{buckets, names};

pub struct Engines {
    first_answer: By<Stage, Histogram>,
    failures: By<Stage, IntCounter>,
    connect: By<SpeechStage, Histogram>,
    ping: By<SpeechStage, Histogram>,
    headers: Histogram,
    words: By<Stage, IntCounter>,
    words_per_second: By<Stage, Histogram>,
    real_time_factor: By<SpeechStage, Histogram>,
    batch: By<BatchedStage, Histogram>,
    queue_wait: By<QueuedStage, Histogram>,
    seats: By<Stage, IntGauge>,
    seats_taken: By<Stage, IntGauge>,
    seats_refused: By<Stage, IntCounter>,
    resampled: Counter,
}

impl Engines {
    pub fn new(shelf: &Shelf) -> Self {
        Self {
            first_answer: shelf.histograms(
                "visavis_stage_first_answer_seconds",
                "From a stage's question to its first answer: stt marker to final, llm request to first token, tts first text to first sound",
                buckets::ANSWER,
            ),
            failures: shelf
                .counters("visavis_engine_failures_total", "Engines that failed, refused or were too late"),
            connect: shelf.histograms(
                "visavis_engine_connect_seconds",
                "From dialling an engine to its Ready",
                buckets::CONNECT,
            ),
            ping: shelf.histograms(
                "visavis_engine_ping_seconds",
                "Round trip of a WebSocket ping to an engine",
                buckets::PING,
            ),
            headers: shelf.histogram(
                "visavis_llm_headers_seconds",
                "From the request to the headers of the language model's response: the way there and back, and its queue",
                buckets::ANSWER,
            ),
            words: shelf.counters("visavis_words_total", "Words that a stage gave"),
            words_per_second: shelf.histograms(
                names::WORDS_PER_SECOND,
                "Words a second: stt of speech heard; llm and tts of an answer, from the first to the last",
                buckets::WORDS,
            ),
            real_time_factor: shelf.histograms(
                names::REAL_TIME_FACTOR,
                "Time spent / sound: stt in the model per piece of speech; tts from the first to the last sound of a turn",
                buckets::SHARE,
            ),
            batch: shelf.histograms(names::BATCH_SIZE, "Pieces of work that a model ran at once", buckets::BATCH),
            queue_wait: shelf.histograms(
                "visavis_engine_queue_wait_seconds",
                "Time that a piece of work waited before its model",
                buckets::QUEUE,
            ),
            seats: shelf.gauges("visavis_engine_seats", "Callers that an engine of this process serves at a time"),
            seats_taken: shelf.gauges("visavis_engine_seats_taken", "Callers that it serves now"),
            seats_refused: shelf
                .counters("visavis_engine_seats_refused_total", "Callers that it refused because all seats were taken"),
            resampled: shelf.seconds(
                "visavis_resampled_seconds_total",
                "Sound that had to be resampled because an engine's rate differs from ours",
            ),
        }
    }
}

/// The seats of one engine of this process.
#[derive(Clone)]
pub struct Seats {
    taken: IntGauge,
    refused: IntCounter,
    misspoken: IntCounter,
}

impl Seats {
    /// A seat is taken while the guard lives.
    pub fn take(&self) -> Guard {
        Guard::enter(&self.taken)
    }

    /// All are taken.
    pub fn refuse(&self) {
        self.refused.inc();
    }

    /// A caller said what was not agreed.
    pub fn misspoke(&self) {
        self.misspoken.inc();
    }
}

/// Where the waits before one model are counted.
#[derive(Clone)]
pub struct QueueMeter(Histogram);

impl QueueMeter {
    pub fn waited(&self, wait: Duration) {
        self.0.observe(wait.as_secs_f64());
    }
}

/// Where the batches of one model are counted.
#[derive(Clone)]
pub struct BatchMeter(Histogram);

impl BatchMeter {
    pub fn ran(&self, pieces: usize) {
        self.0.observe(pieces as f64);
    }
}

impl Metrics {
    pub fn first_answer(&self, stage: Stage, after: Duration) {
        self.engines().first_answer.of(stage).observe(after.as_secs_f64());
    }

    pub fn engine_failure(&self, stage: Stage) {
        self.engines().failures.of(stage).inc();
    }

    pub fn engine_connected(&self, stage: SpeechStage, after: Duration) {
        self.engines().connect.of(stage).observe(after.as_secs_f64());
    }

    pub fn engine_ping(&self, stage: SpeechStage, round_trip: Duration) {
        self.engines().ping.of(stage).observe(round_trip.as_secs_f64());
    }

    pub fn llm_headers(&self, after: Duration) {
        self.engines().headers.observe(after.as_secs_f64());
    }

    pub fn words(&self, stage: Stage, words: usize) {
        self.engines().words.of(stage).inc_by(words as u64);
    }

    /// One answer (or one turn of the user): `words` in `took`. Nothing is said of less than two words or of no time.
    pub fn pace(&self, stage: Stage, words: usize, took: Duration) {
        if words >= 2 && !took.is_zero() {
            self.engines().words_per_second.of(stage).observe(words as f64 / took.as_secs_f64());
        }
    }

    /// `took` for so much `sound`. Nothing is said of no sound.
    pub fn real_time_factor(&self, stage: SpeechStage, took: Duration, sound: Duration) {
        if !sound.is_zero() {
            self.engines().real_time_factor.of(stage).observe(took.as_secs_f64() / sound.as_secs_f64());
        }
    }

    pub fn batches(&self, stage: BatchedStage) -> BatchMeter {
        BatchMeter(self.engines().batch.of(stage).clone())
    }

    pub fn queue(&self, stage: QueuedStage) -> QueueMeter {
        QueueMeter(self.engines().queue_wait.of(stage).clone())
    }

    /// An engine with so many seats runs here.
    pub fn seats(&self, stage: Stage, seats: usize) -> Seats {
        self.engines().seats.of(stage).set(seats as i64);
        let (taken, refused) = (self.engines().seats_taken.of(stage), self.engines().seats_refused.of(stage));
        let door = match stage {
            Stage::Stt => Door::Stt,
            Stage::Llm => Door::Llm,
            Stage::Tts => Door::Tts,
        };
        let misspoken = self.calls().bad_input.of(door);
        Seats { taken: taken.clone(), refused: refused.clone(), misspoken: misspoken.clone() }
    }

    pub fn resampled(&self, sound: Duration) {
        self.engines().resampled.inc_by(sound.as_secs_f64());
    }

    pub fn resampled_seconds(&self) -> f64 {
        self.engines().resampled.get()
    }
}
