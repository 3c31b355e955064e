//! data: the two MessagePack protocols of Kyutai's moshi-server, with our opt-ins
//!
//! One map with string keys per binary frame, tagged by `type`. Readers accept unknown keys, integers where floats are
//! expected, and either float width. Source: kyutai-labs/moshi e6a55d2 (moshi-server 0.6.4). The opt-ins ([`SttOut::Partial`],
//! [`SttOut::Final`], [`TtsOut::Phones`]) are sent only to a client that asked for them in its query.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Client → STT engine, `/api/asr-streaming`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", try_from = "Fields")]
pub enum SttIn {
    /// Mono sound, full scale ±1.0, any length: 24 kHz, or 16 kHz with `?rate=16000`.
    Audio { pcm: Vec<f32> },
    /// Asks for everything up to here; echoed when it has been answered.
    Marker { id: i64 },
    /// Forgets what was said.
    Init,
}

/// STT engine → client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum SttOut {
    /// First message: a seat is taken. Again after every `Init`.
    Ready,
    /// One per model step with pause heads; ours never sends it.
    Step {
        step_idx: u64,
        prs: Vec<f32>,
        #[serde(default)]
        buffered_pcm: u64,
    },
    /// One whole word that will not change; seconds of this stream.
    Word {
        text: String,
        start_time: f64,
    },
    EndWord {
        stop_time: f64,
    },
    Marker {
        id: i64,
    },
    Error {
        message: String,
    },
    /// Opt-in `?partials=1`: the words since the last `Init`; the first `stable` agree with the previous partial.
    Partial {
        text: String,
        #[serde(default)]
        stable: usize,
    },
    /// Opt-in: what was said since the last `Init`, just before the Marker's echo; words with start and stop in seconds.
    Final {
        text: String,
        #[serde(default)]
        words: Vec<(String, f64, f64)>,
    },
}

/// Client → TTS engine, `/api/tts_streaming`. Plain text frames are words too; a binary `\0` is `Eos`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum TtsIn {
    Text { text: String },
    Voice { embeddings: Vec<f32>, shape: Vec<u64> },
    Eos,
}

/// TTS engine → client. The engine closes the socket after the last sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", try_from = "Fields")]
pub enum TtsOut {
    Ready,
    /// 24 kHz mono, full scale ±1.0.
    Audio {
        pcm: Vec<f32>,
    },
    /// One for each `Text` received, in order; seconds from the start of the sound.
    Text {
        text: String,
        start_s: f64,
        stop_s: f64,
    },
    Error {
        message: String,
    },
    /// Opt-in `?phones=1`: with or before the `Audio` they belong to; `(start_s, stop_s, ipa)`.
    Phones {
        spans: Vec<(f64, f64, String)>,
    },
}

/// Every field that a message with sound in it can have. Reading a tagged enum directly, serde would first keep each sample
/// as a value of any type, which costs ten times the reading.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: String,
    pcm: Option<Vec<f32>>,
    id: Option<i64>,
    text: Option<String>,
    start_s: Option<f64>,
    stop_s: Option<f64>,
    message: Option<String>,
    spans: Option<Vec<(f64, f64, String)>>,
}

/// Why the fields of a message make none.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("{kind} needs the field {field}")]
    Lacks { kind: String, field: &'static str },
    #[error("unknown variant `{kind}`, expected one of {expected}")]
    Unknown { kind: String, expected: &'static str },
}

/// A field that messages of this kind must have.
fn needed<T>(value: Option<T>, kind: &str, field: &'static str) -> Result<T, Unfit> {
    value.ok_or_else(|| Unfit::Lacks { kind: kind.to_owned(), field })
}

impl TryFrom<Fields> for SttIn {
    type Error = Unfit;

    fn try_from(fields: Fields) -> Result<Self, Unfit> {
        let kind = fields.kind;
        Ok(match kind.as_str() {
            "Audio" => Self::Audio { pcm: needed(fields.pcm, &kind, "pcm")? },
            "Marker" => Self::Marker { id: needed(fields.id, &kind, "id")? },
            "Init" => Self::Init,
            _ => return Err(Unfit::Unknown { kind, expected: "Audio, Marker, Init" }),
        })
    }
}

impl TryFrom<Fields> for TtsOut {
    type Error = Unfit;

    fn try_from(fields: Fields) -> Result<Self, Unfit> {
        let kind = fields.kind;
        Ok(match kind.as_str() {
            "Ready" => Self::Ready,
            "Audio" => Self::Audio { pcm: needed(fields.pcm, &kind, "pcm")? },
            "Text" => Self::Text {
                text: needed(fields.text, &kind, "text")?,
                start_s: needed(fields.start_s, &kind, "start_s")?,
                stop_s: needed(fields.stop_s, &kind, "stop_s")?,
            },
            "Error" => Self::Error { message: needed(fields.message, &kind, "message")? },
            "Phones" => Self::Phones { spans: needed(fields.spans, &kind, "spans")? },
            _ => return Err(Unfit::Unknown { kind, expected: "Ready, Audio, Text, Error, Phones" }),
        })
    }
}

/// The MessagePack bytes of one message.
pub fn pack<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("plain data always serialises into memory")
}

/// Reads one message; the error says what was wrong with it.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}
