//! data: the session object, with every default
//!
//! What a client may set is a merge patch of this object. What the server keeps but does not read (tools, tracing, …) stays
//! plain JSON. Source of names, ranges and defaults: `openai` 3.54.0 for Python, `types/realtime/realtime_session_create_request.py`,
//! `realtime_audio_config_*.py` and `realtime_audio_input_turn_detection.py`.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    #[serde(rename = "type")]
    pub kind: SessionKind,
    /// `realtime.session`.
    pub object: String,
    pub id: String,
    pub model: String,
    #[serde(default)]
    pub instructions: String,
    #[serde(default = "audio_only")]
    pub output_modalities: Vec<Modality>,
    #[serde(default)]
    pub max_output_tokens: MaxTokens,
    #[serde(default)]
    pub tools: Vec<Value>,
    /// `"auto"`, `"none"`, `"required"`, or an object that names a tool.
    #[serde(default = "auto")]
    pub tool_choice: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    #[serde(default)]
    pub prompt: Option<Value>,
    #[serde(default)]
    pub tracing: Option<Value>,
    #[serde(default = "auto")]
    pub truncation: Value,
    /// What else the client wants to be told; our extensions are asked for here.
    #[serde(default)]
    pub include: Option<Vec<String>>,
    /// Unix seconds; 0: never.
    #[serde(default)]
    pub expires_at: u64,
    pub audio: Audio,
}

impl Session {
    /// A session as it is before anybody has changed it.
    pub fn new(id: &str, model: &str, voice: &str) -> Self {
        Self {
            kind: SessionKind::Realtime,
            object: "realtime.session".to_owned(),
            id: id.to_owned(),
            model: model.to_owned(),
            instructions: String::new(),
            output_modalities: audio_only(),
            max_output_tokens: MaxTokens::INF,
            tools: Vec::new(),
            tool_choice: auto(),
            parallel_tool_calls: None,
            reasoning: None,
            prompt: None,
            tracing: None,
            truncation: auto(),
            include: None,
            expires_at: 0,
            audio: Audio {
                input: AudioInput {
                    format: AudioFormat::default(),
                    noise_reduction: None,
                    transcription: None,
                    turn_detection: Some(TurnDetection::default()),
                },
                output: AudioOutput { format: AudioFormat::default(), voice: voice.to_owned(), speed: normal_speed() },
            },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    Realtime,
    Transcription,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Text,
    Audio,
}

/// A number of tokens, or `"inf"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MaxTokens {
    Limit(u32),
    Infinite(Infinite),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Infinite {
    #[serde(rename = "inf")]
    Inf,
}

impl MaxTokens {
    pub const INF: Self = Self::Infinite(Infinite::Inf);

    pub fn limit(self) -> Option<u32> {
        match self {
            Self::Limit(tokens) => Some(tokens),
            Self::Infinite(_) => None,
        }
    }
}

impl Default for MaxTokens {
    fn default() -> Self {
        Self::INF
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    pub input: AudioInput,
    pub output: AudioOutput,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioInput {
    #[serde(default)]
    pub format: AudioFormat,
    #[serde(default)]
    pub noise_reduction: Option<Value>,
    /// `null`: the user's words are not told.
    #[serde(default)]
    pub transcription: Option<Transcription>,
    /// `null`: the client commits and asks for responses itself.
    #[serde(default)]
    pub turn_detection: Option<TurnDetection>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioOutput {
    #[serde(default)]
    pub format: AudioFormat,
    /// The person who speaks: voice, persona and face.
    #[serde(deserialize_with = "name_or_id")]
    pub voice: String,
    /// 0.25–1.5.
    #[serde(default = "normal_speed")]
    pub speed: f32,
}

/// Sound on a WebSocket; WebRTC negotiates its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum AudioFormat {
    /// 16 bit, little endian, mono, 24 kHz.
    #[serde(rename = "audio/pcm")]
    Pcm {
        #[serde(default = "pcm_rate")]
        rate: u32,
    },
    /// G.711 µ-law, 8 kHz.
    #[serde(rename = "audio/pcmu")]
    Pcmu,
    /// G.711 A-law, 8 kHz.
    #[serde(rename = "audio/pcma")]
    Pcma,
}

impl Default for AudioFormat {
    fn default() -> Self {
        Self::Pcm { rate: pcm_rate() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcription {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnDetection {
    /// A turn ends with silence.
    ServerVad {
        #[serde(default = "half")]
        threshold: f32,
        #[serde(default = "prefix_padding_ms")]
        prefix_padding_ms: u32,
        #[serde(default = "silence_duration_ms")]
        silence_duration_ms: u32,
        #[serde(default = "yes")]
        create_response: bool,
        /// Written out always: a stock client that does not find it cancels by itself.
        #[serde(default = "yes")]
        interrupt_response: bool,
        #[serde(default)]
        idle_timeout_ms: Option<u32>,
    },
    /// A turn ends when the words sound finished.
    SemanticVad {
        #[serde(default)]
        eagerness: Eagerness,
        #[serde(default = "yes")]
        create_response: bool,
        #[serde(default = "yes")]
        interrupt_response: bool,
    },
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self::ServerVad {
            threshold: half(),
            prefix_padding_ms: prefix_padding_ms(),
            silence_duration_ms: silence_duration_ms(),
            create_response: true,
            interrupt_response: true,
            idle_timeout_ms: None,
        }
    }
}

/// How soon the agent takes the word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    Low,
    Medium,
    High,
    /// The same as medium.
    #[default]
    Auto,
}

fn audio_only() -> Vec<Modality> {
    vec![Modality::Audio]
}

fn auto() -> Value {
    Value::from("auto")
}

fn yes() -> bool {
    true
}

fn half() -> f32 {
    0.5
}

fn normal_speed() -> f32 {
    1.0
}

fn pcm_rate() -> u32 {
    24_000
}

fn prefix_padding_ms() -> u32 {
    300
}

fn silence_duration_ms() -> u32 {
    500
}

/// A voice is `"name"` or `{"id": "name"}`.
fn name_or_id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a voice is a name or an object with an id")]
    enum Voice {
        Name(String),
        Object { id: String },
    }
    Ok(match Voice::deserialize(from)? {
        Voice::Name(name) | Voice::Object { id: name } => name,
    })
}
