//! io: the registry and what may be recorded in it

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::labels::{Class, LaneName, RejectReason, Stage};
use super::process;

/// A handle on one registry of metrics. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<All>);

struct All {
    registry: Registry,
    sessions_active: IntGauge,
    sessions_total: IntCounter,
    rejected: IntCounterVec,
    first_answer: HistogramVec,
    voice_to_voice: Histogram,
    endpoint_delay: Histogram,
    interrupts: IntCounterVec,
    frames_after_cut: Histogram,
    underruns: IntCounter,
    lane_depth: IntGaugeVec,
    lane_shed: IntCounterVec,
    pool_load: HistogramVec,
    encode_seconds: CounterVec,
    media_seconds: CounterVec,
    resampled_seconds: Counter,
    bad_input: IntCounterVec,
    engine_failures: IntCounterVec,
}

/// Counts one living thing; goes down when dropped.
pub struct Guard(IntGauge);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

macro_rules! register {
    ($registry:expr, $metric:expr) => {{
        let metric = $metric.expect("names and labels below are valid");
        $registry.register(Box::new(metric.clone())).expect("no name below is used twice");
        metric
    }};
}

impl Metrics {
    pub fn new() -> Self {
        let r = Registry::new();
        // Around the deadlines of a conversation: half a second feels alive, one second feels slow.
        let answer = vec![0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2, 1.6, 2.5, 5.0];
        let share = vec![0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 3.0];
        r.register(Box::new(process::OfThisProcess::new())).expect("no name below is used twice");
        let all = All {
            sessions_active: register!(r, IntGauge::new("visavis_sessions_active", "Calls that are up now")),
            sessions_total: register!(r, IntCounter::new("visavis_sessions_total", "Calls admitted since the start")),
            rejected: register!(
                r,
                IntCounterVec::new(
                    Opts::new("visavis_admission_rejected_total", "Calls refused at the desk, by reason"),
                    &["reason"]
                )
            ),
            first_answer: register!(
                r,
                HistogramVec::new(
                    HistogramOpts::new(
                        "visavis_stage_first_answer_seconds",
                        "From a stage's question to its first answer: stt marker to final, llm request to first token, tts first text to first sound"
                    )
                    .buckets(answer.clone()),
                    &["stage"]
                )
            ),
            voice_to_voice: register!(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "visavis_voice_to_voice_seconds",
                        "From the end of the user's speech to the first sound of the answer leaving the stage"
                    )
                    .buckets(answer.clone())
                )
            ),
            endpoint_delay: register!(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "visavis_endpoint_delay_seconds",
                        "From the end of the user's speech to the decision that the turn is over"
                    )
                    .buckets(answer)
                )
            ),
            interrupts: register!(
                r,
                IntCounterVec::new(
                    Opts::new("visavis_interrupts_total", "Replies paused, cut or resumed by the user's speech"),
                    &["kind"]
                )
            ),
            frames_after_cut: register!(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "visavis_frames_after_cut",
                        "20 ms frames of a turn that left the stage after the floor had changed (bound: 2)"
                    )
                    .buckets(vec![0.0, 1.0, 2.0, 3.0, 5.0, 10.0])
                )
            ),
            underruns: register!(
                r,
                IntCounter::new("visavis_playout_underruns_total", "20 ms frames of silence because speech came late")
            ),
            lane_depth: register!(
                r,
                IntGaugeVec::new(
                    Opts::new("visavis_lane_depth", "Items in a lane when one was last put in"),
                    &["lane"]
                )
            ),
            lane_shed: register!(
                r,
                IntCounterVec::new(Opts::new("visavis_lane_shed_total", "Items dropped because a lane was full"), &["lane"])
            ),
            pool_load: register!(
                r,
                HistogramVec::new(
                    HistogramOpts::new(
                        "visavis_pool_load_ratio",
                        "Time a piece of DSP took / time it was allowed, by class"
                    )
                    .buckets(share),
                    &["class"]
                )
            ),
            encode_seconds: register!(
                r,
                CounterVec::new(
                    Opts::new("visavis_encode_seconds_total", "Time spent in codecs; / media seconds = share of a core"),
                    &["codec"]
                )
            ),
            media_seconds: register!(
                r,
                CounterVec::new(Opts::new("visavis_media_seconds_total", "Media that codecs produced"), &["codec"])
            ),
            resampled_seconds: register!(
                r,
                Counter::new(
                    "visavis_resampled_seconds_total",
                    "Sound that had to be resampled because an engine's rate differs from ours"
                )
            ),
            bad_input: register!(
                r,
                IntCounterVec::new(
                    Opts::new("visavis_bad_input_total", "Input refused because it was not what was agreed"),
                    &["door"]
                )
            ),
            engine_failures: register!(
                r,
                IntCounterVec::new(
                    Opts::new("visavis_engine_failures_total", "Engines that failed, refused or were too late"),
                    &["stage"]
                )
            ),
            registry: r,
        };
        // Closed label sets are shown from the start: an absent series and a zero are different answers.
        for lane in LaneName::ALL {
            all.lane_shed.with_label_values(&[lane.label()]);
        }
        for reason in [RejectReason::Full, RejectReason::Draining, RejectReason::Starting] {
            all.rejected.with_label_values(&[reason.label()]);
        }
        Self(Arc::new(all))
    }

    /// The registry as Prometheus text exposition, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text).expect("gathered metrics always encode");
        String::from_utf8(text).expect("the text encoder writes UTF-8")
    }

    /// A call is up while the guard lives.
    pub fn session(&self) -> Guard {
        self.0.sessions_total.inc();
        self.0.sessions_active.inc();
        Guard(self.0.sessions_active.clone())
    }

    pub fn sessions_active(&self) -> i64 {
        self.0.sessions_active.get()
    }

    pub fn rejected(&self, reason: RejectReason) {
        self.0.rejected.with_label_values(&[reason.label()]).inc();
    }

    pub fn first_answer(&self, stage: Stage, after: Duration) {
        self.0.first_answer.with_label_values(&[stage.label()]).observe(after.as_secs_f64());
    }

    pub fn voice_to_voice(&self, after: Duration) {
        self.0.voice_to_voice.observe(after.as_secs_f64());
    }

    pub fn endpoint_delay(&self, after: Duration) {
        self.0.endpoint_delay.observe(after.as_secs_f64());
    }

    /// `kind`: a reply was paused, cut or resumed.
    pub fn interrupt(&self, kind: &'static str) {
        self.0.interrupts.with_label_values(&[kind]).inc();
    }

    pub fn frames_after_cut(&self, frames: usize) {
        self.0.frames_after_cut.observe(frames as f64);
    }

    pub fn underrun(&self) {
        self.0.underruns.inc();
    }

    pub fn lane_depth(&self, lane: LaneName, depth: usize) {
        self.0.lane_depth.with_label_values(&[lane.label()]).set(depth as i64);
    }

    pub fn lane_shed(&self, lane: LaneName) {
        self.0.lane_shed.with_label_values(&[lane.label()]).inc();
    }

    pub fn sheds(&self, lane: LaneName) -> u64 {
        self.0.lane_shed.with_label_values(&[lane.label()]).get()
    }

    /// `share`: time taken / time allowed.
    pub fn pool_load(&self, class: Class, share: f64) {
        self.0.pool_load.with_label_values(&[class.label()]).observe(share);
    }

    /// `codec`: `opus`, `opus_decode`, `vp8` or `face`; `took` for `media` of sound or picture.
    pub fn encoded(&self, codec: &'static str, took: Duration, media: Duration) {
        self.0.encode_seconds.with_label_values(&[codec]).inc_by(took.as_secs_f64());
        self.0.media_seconds.with_label_values(&[codec]).inc_by(media.as_secs_f64());
    }

    pub fn resampled(&self, sound: Duration) {
        self.0.resampled_seconds.inc_by(sound.as_secs_f64());
    }

    pub fn resampled_seconds(&self) -> f64 {
        self.0.resampled_seconds.get()
    }

    /// `door`: `sdp`, `events`, `stt`, `tts`, `llm`, `http`, `rtc`.
    pub fn bad_input(&self, door: &'static str) {
        self.0.bad_input.with_label_values(&[door]).inc();
    }

    pub fn engine_failure(&self, stage: Stage) {
        self.0.engine_failures.with_label_values(&[stage.label()]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
