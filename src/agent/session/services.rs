//! data: what all calls of a server share

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::agent::dialogue::llm::LlmClient;
use crate::agent::dialogue::prompt::Brain;
use crate::agent::dialogue::task::People;
use crate::agent::flow::TurnDetection;
use crate::agent::hearing::stt::SttSettings;
use crate::agent::transport::shutter::Bitrates;
use crate::agent::voice::tts::TtsSettings;
use crate::face::asset::Face;
use crate::metrics::Metrics;
use crate::onnx::VadWorker;
use crate::runtime::pool::Pool;
use crate::runtime::scope::TaskCounter;

/// Cheap to clone: handles and settings.
#[derive(Clone)]
pub struct Services {
    /// All calls' frames are due on one beat, so that one wake-up serves them all.
    pub beat: Instant,
    pub pool: Pool,
    pub vad: VadWorker,
    pub stt: SttSettings,
    /// From the end of a turn to its final transcript.
    pub final_within: Duration,
    pub llm: LlmClient,
    pub brain: Brain,
    pub max_tokens: u32,
    pub context_tokens: usize,
    pub tts: TtsSettings,
    pub people: Arc<People>,
    /// Who may be asked for, the default first.
    pub persons: Vec<String>,
    /// The face of each person who has one.
    pub faces: Arc<HashMap<String, Arc<Face>>>,
    pub video: Option<Video>,
    pub audio_bps: u64,
    /// Of the Opus encoder, 0–10.
    pub complexity: u8,
    /// How turns end until a client says otherwise.
    pub turn_detection: TurnDetection,
    /// What `session.model` says.
    pub model: String,
    pub transcription_model: String,
    pub metrics: Metrics,
    /// All tasks of all calls.
    pub tasks: TaskCounter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// A divisor of 24000.
    pub fps: u32,
    pub bitrates: Bitrates,
}
