//! io: from settings to what calls are made of

use std::collections::HashMap;
use std::sync::Arc;

use crate::agent::dialogue::llm::{LlmClient, LlmError, LlmSettings};
use crate::agent::dialogue::prompt::{self, Brain, Example, Persona};
use crate::agent::dialogue::task::{People, Person};
use crate::agent::flow::{TurnDetection, VoiceChoice};
use crate::agent::hearing::stt::{self, SttSettings};
use crate::agent::server::port::Port;
use crate::agent::session::services::{Services, Video};
use crate::agent::transport::shutter::Bitrates;
use crate::agent::voice::tts::TtsSettings;
use crate::config::voices::{self, Voices};
use crate::config::{Config, Dialect, Dials, Place, Secret};
use crate::face::asset::Face;
use crate::face::gallery::Gallery;
use crate::metrics::Metrics;
use crate::onnx::VadWorker;
use crate::rtc::{Identity, RtcConfig};
use crate::runtime::clock;
use crate::runtime::pool::Pool;
use crate::runtime::scope::TaskCounter;

/// Why calls cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    #[error("voices.yaml gives {person} the face {face}; the faces in this program are {known}")]
    NoSuchFace { person: String, face: String, known: String },
    #[error("a fault of ours: {0}")]
    Bug(String),
}

/// Where the engines are, and what all calls share besides.
pub struct Shared {
    pub dials: Dials,
    pub pool: Pool,
    pub vad: VadWorker,
    pub metrics: Metrics,
    pub tasks: TaskCounter,
}

/// Everything that a call needs but the network.
pub fn services(config: &Config, shared: Shared) -> Result<Services, ServicesError> {
    let Shared { dials, pool, vad, metrics, tasks } = shared;
    let stt = SttSettings {
        url: dials.stt.url,
        token: exposed(dials.stt.token),
        dialect: match config.stt.dialect {
            Dialect::Visavis => stt::Dialect::Visavis,
            Dialect::Moshi => stt::Dialect::Moshi,
        },
        connect_within: config.stt.connect_timeout,
    };
    let tts = TtsSettings {
        url: dials.tts.url,
        key: exposed(dials.tts.token),
        connect_limit: config.tts.connect_timeout,
        answer_limit: config.tts.answer_timeout,
    };
    let llm = LlmSettings {
        base_url: dials.llm.url,
        api_key: exposed(dials.llm.api_key),
        model: dials.llm.model.unwrap_or_default(),
        reasoning_effort: dials.llm.reasoning_effort,
        connect: config.llm.connect_timeout,
        first_token: config.llm.first_token_timeout,
        idle: config.llm.token_timeout,
    };
    let faces = faces(&config.voices)?;
    let usual = config.voices.usual();
    let others = config.voices.iter().filter(|person| person.name != usual.name);
    Ok(Services {
        beat: clock::now(),
        pool,
        vad,
        stt,
        final_within: config.stt.final_timeout,
        llm: LlmClient::new(llm, metrics.clone()).map_err(|error| ServicesError::Bug(error.to_string()))?,
        brain: brain(config),
        max_tokens: config.llm.max_tokens,
        context_tokens: config.llm.context_tokens as usize,
        tts,
        people: Arc::new(People(config.voices.iter().map(|p| (p.name.clone(), person(p))).collect())),
        persons: std::iter::once(usual).chain(others).map(|person| person.name.clone()).collect(),
        faces: Arc::new(faces),
        video: config
            .video
            .enabled
            .then(|| Video { fps: config.video.fps, bitrates: Bitrates::up_to(config.video.bitrate_bps) }),
        audio_bps: config.audio.bitrate_bps.into(),
        complexity: config.audio.complexity as u8,
        turn_detection: TurnDetection {
            threshold: config.turn.threshold,
            prefix_padding_ms: config.turn.prefix_padding.as_millis() as u32,
            silence_duration_ms: config.turn.silence_duration.as_millis() as u32,
            ..TurnDetection::default()
        },
        model: "visavis".to_owned(),
        transcription_model: match config.stt.place {
            Place::Embedded => "whisper-tiny.en",
            Place::Scripted => "scripted",
            Place::Remote(_) => "moshi",
        }
        .to_owned(),
        metrics,
        tasks,
    })
}

/// What calls need to know of the network.
pub fn rtc(config: &Config, port: &Port) -> Result<RtcConfig, ServicesError> {
    let identity = Identity::generate().map_err(|error| ServicesError::Bug(error.to_string()))?;
    let usual = RtcConfig::new(identity, port.addresses().to_vec());
    let media = u64::from(config.video.bitrate_bps) + u64::from(config.audio.bitrate_bps);
    Ok(RtcConfig {
        // With room for what is sent again.
        wanted_bitrate: usual.wanted_bitrate.max(media * 5 / 4),
        silence: config.rtc.idle_timeout,
        connect_within: config.rtc.connect_timeout,
        ..usual
    })
}

/// Lets the embedded model read every persona ahead, so that no caller waits for it.
pub async fn warm(config: &Config, services: &Services) -> Result<(), LlmError> {
    if config.llm.place != Place::Embedded {
        return Ok(());
    }
    for person in services.people.0.values() {
        services.llm.warm(prompt::messages(&person.persona, services.brain, None, Vec::new())).await?;
    }
    Ok(())
}

fn exposed(secret: Option<Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

/// A script answers by how many turns there were: examples in the prompt would be counted as turns.
fn brain(config: &Config) -> Brain {
    if config.llm.place == Place::Embedded { Brain::Demo } else { Brain::Full }
}

fn person(person: &voices::Person) -> Person {
    let example = |e: &voices::PersonExample| Example { user: e.user.clone(), agent: e.agent.clone() };
    Person {
        persona: Persona {
            name: person.name.clone(),
            language: person.language.clone(),
            instructions: person.instructions.clone(),
            demo: person.demo.clone(),
            examples: person.examples.iter().map(example).collect(),
        },
        greeting: person.greeting.clone(),
        voice: VoiceChoice { voice: person.tts.voice.clone(), speed: person.tts.speed },
        temperature_first: person.temperature_first,
        temperature: person.temperature,
        goodbye: person.goodbye.clone(),
    }
}

/// The face of each person who has one.
fn faces(voices: &Voices) -> Result<HashMap<String, Arc<Face>>, ServicesError> {
    let gallery = Gallery::embedded().map_err(|error| ServicesError::Bug(error.to_string()))?;
    let mut faces = HashMap::new();
    for person in voices.iter() {
        let Some(name) = &person.face else { continue };
        let no_such = || ServicesError::NoSuchFace {
            person: person.name.clone(),
            face: name.clone(),
            known: gallery.names().collect::<Vec<_>>().join(", "),
        };
        faces.insert(person.name.clone(), gallery.get(name).ok_or_else(no_such)?);
    }
    Ok(faces)
}
