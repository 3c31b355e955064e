//! io: the engines that run in this program: loaded, warmed, each with its front door

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::Response;
use tokio::sync::oneshot;

use crate::config::{Config, Scripted};
use crate::engine::llm::LlmEngine;
use crate::engine::scripted::llm::{Replies, ScriptedLlm};
use crate::engine::scripted::stt::ScriptedRecognizer;
use crate::engine::scripted::tts::Script;
use crate::engine::serve;
use crate::engine::serve::access::{Token, Wellbeing};
use crate::engine::stt::{Ear, SttEngine};
use crate::engine::tts::TtsEngine;
use crate::metrics::{self, Metrics};
use crate::onnx::{Onnx, OnnxError, VAD_MODEL, VadWorker};
use crate::runtime::thread;

/// What an engine needs to be started.
#[derive(Clone)]
pub struct Ground {
    pub config: Config,
    pub metrics: Metrics,
    /// `None` where no speech model runs.
    pub sound: Option<Sound>,
}

/// ONNX Runtime and the voice detector, shared by all that hear.
#[derive(Clone)]
pub struct Sound {
    pub onnx: Onnx,
    pub vad: VadWorker,
}

impl Sound {
    /// Opens both out of the models folder; 50 ms.
    pub fn open(models: &Path, metrics: &Metrics) -> Result<Self, OnnxError> {
        let onnx = Onnx::open(None, models)?;
        let vad = VadWorker::start(&onnx, &models.join(VAD_MODEL), metrics)?;
        Ok(Self { onnx, vad })
    }
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stt,
    Tts,
    Llm,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Stt, Self::Tts, Self::Llm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Tts => "tts",
            Self::Llm => "llm",
        }
    }

    /// The port it has when it runs alone.
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Stt => 8090,
            Self::Tts => 8089,
            Self::Llm => 8091,
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[error("the {} engine did not start: {reason}", kind.name())]
pub struct EngineError {
    pub kind: Kind,
    pub reason: String,
}

/// Loads the engine, warms it, and gives its front door, which asks for `token` where there is one. A URL in the
/// configuration is not looked at: whoever asks for this engine wants it here.
pub async fn door(kind: Kind, ground: Ground, token: Option<Token>) -> Result<Router, EngineError> {
    Ok(opened(kind, ground, token).await?.0)
}

/// The front door of an engine that is a program of its own: it shows its metrics and its health beside.
pub async fn door_alone(kind: Kind, ground: Ground, token: Option<Token>) -> Result<Router, EngineError> {
    let metrics = ground.metrics.clone();
    let (router, well) = opened(kind, ground, token).await?;
    Ok(router.merge(serve::access::about(metrics, well)))
}

async fn opened(kind: Kind, ground: Ground, token: Option<Token>) -> Result<(Router, Wellbeing), EngineError> {
    let opened = match kind {
        Kind::Stt => stt(ground).await.map(|engine| {
            let well = engine.clone();
            (serve::stt::router(engine, token), Arc::new(move || well.is_well()) as Wellbeing)
        }),
        Kind::Tts => tts(ground).await.map(|engine| {
            let well = engine.clone();
            (serve::tts::router(engine, token), Arc::new(move || well.is_well()) as Wellbeing)
        }),
        Kind::Llm => {
            let metrics = ground.metrics.clone();
            let refusals = map_response(move |response: Response| {
                if matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE) {
                    metrics.bad_input(metrics::Door::Llm);
                }
                std::future::ready(response)
            });
            llm(ground).await.map(|engine| {
                let well = engine.clone();
                let router = serve::chat::router(engine, token).layer(refusals);
                (router, Arc::new(move || well.is_well()) as Wellbeing)
            })
        }
    };
    opened.map_err(|reason| EngineError { kind, reason })
}

async fn stt(ground: Ground) -> Result<SttEngine, String> {
    let Ground { config, metrics, sound } = ground;
    let seats = config.server.max_sessions;
    if config.engines.scripted {
        let script = ScriptedRecognizer::new(config.scripted.heard);
        return Ok(SttEngine::start(script, Ear::Loudness, seats, metrics).with_delay(config.scripted.stt_delay));
    }
    whisper(&config.engines.models, sound.ok_or(NO_SOUND)?, seats, metrics).await
}

async fn tts(ground: Ground) -> Result<TtsEngine, String> {
    let Ground { config, metrics, sound } = ground;
    let seats = TTS_SEATS_PER_CALL * config.server.max_sessions;
    if config.engines.scripted {
        let script = Script {
            first_sound_after: config.scripted.first_sound,
            times_real_time: config.scripted.tts_speed as f32,
        };
        return Ok(TtsEngine::new(script, seats).counted(&metrics));
    }
    piper(&config.engines.models, sound.ok_or(NO_SOUND)?, seats, &metrics).await
}

async fn llm(ground: Ground) -> Result<LlmEngine, String> {
    let Ground { config, metrics, .. } = ground;
    let seats = config.server.max_sessions;
    if config.engines.scripted {
        let Scripted { replies, first_token, words_per_second, .. } = config.scripted;
        let replies = Replies::InTurn(replies);
        // A caller that interrupts asks anew before its last answer has gone.
        let script = ScriptedLlm { replies, first_word: first_token, words_per_second, seats: 2 * seats };
        return Ok(script.engine(&metrics));
    }
    smollm(&config.engines.models, seats, metrics).await
}

#[cfg(feature = "embedded-speech")]
async fn whisper(models: &Path, sound: Sound, seats: usize, metrics: Metrics) -> Result<SttEngine, String> {
    use crate::engine::stt::whisper::{WHISPER_FOLDER, Whisper};
    let folder = models.join(WHISPER_FOLDER);
    let whisper = off_thread("load stt", move || Whisper::open(&sound.onnx, &folder)).await?;
    let whisper = whisper.map_err(|error| error.to_string())?;
    Ok(SttEngine::start(whisper, Ear::Silero(sound.vad), seats, metrics))
}

#[cfg(not(feature = "embedded-speech"))]
async fn whisper(_: &Path, _: Sound, _: usize, _: Metrics) -> Result<SttEngine, String> {
    Err("this program was built without speech models (feature embedded-speech): give [stt] a url".to_owned())
}

#[cfg(feature = "embedded-speech")]
async fn piper(models: &Path, sound: Sound, seats: usize, metrics: &Metrics) -> Result<TtsEngine, String> {
    use crate::engine::tts::piper::{PIPER_FOLDER, Piper, PiperOptions};
    let folder = models.join(PIPER_FOLDER);
    let load = move || Piper::load(&sound.onnx, &folder, PiperOptions::default());
    TtsEngine::load(load, seats, metrics).await.map_err(|error| error.to_string())
}

#[cfg(not(feature = "embedded-speech"))]
async fn piper(_: &Path, _: Sound, _: usize, _: &Metrics) -> Result<TtsEngine, String> {
    Err("this program was built without speech models (feature embedded-speech): give [tts] a url".to_owned())
}

#[cfg(feature = "embedded-llm")]
async fn smollm(models: &Path, conversations: usize, metrics: Metrics) -> Result<LlmEngine, String> {
    use crate::engine::llm::smollm::{FILE, SmolLmSettings, start};
    let settings = SmolLmSettings::new(models.join(FILE), conversations);
    off_thread("load llm", move || start(settings, &metrics)).await?.map_err(|error| error.to_string())
}

#[cfg(not(feature = "embedded-llm"))]
async fn smollm(_: &Path, _: usize, _: Metrics) -> Result<LlmEngine, String> {
    Err("this program was built without a language model (feature embedded-llm): give [llm] a url".to_owned())
}

/// Runs what blocks for a while on a thread of its own.
pub(super) async fn off_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    thread::spawn(name, 0, move || drop(done.send(work())));
    result.await.map_err(|_| "a panic while loading".to_owned())
}

const NO_SOUND: &str = "a fault of ours: nobody opened ONNX Runtime";

/// A call speaks one turn while the next is being made ready.
const TTS_SEATS_PER_CALL: usize = 2;
