//! data: what a caller is told: the server events that we send, and our three extensions
//!
//! Source: `openai` 3.54.0 for Python, `types/realtime/*_event.py`; which fields may be `null`: the zod schemas of
//! `@openai/agents-realtime` 0.20.0, `openaiRealtimeEvents`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::item::Item;
use super::session::{AudioFormat, MaxTokens, Modality, Session};

/// One message to a caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerEvent {
    #[serde(default)]
    pub event_id: String,
    #[serde(flatten)]
    pub body: ServerBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ServerBody {
    #[serde(rename = "session.created")]
    SessionCreated { session: Box<Session> },
    #[serde(rename = "session.updated")]
    SessionUpdated { session: Box<Session> },
    #[serde(rename = "error")]
    Error { error: ErrorDetail },

    // ---- what the caller says
    /// Milliseconds of microphone time since the start of the call.
    #[serde(rename = "input_audio_buffer.speech_started")]
    SpeechStarted { audio_start_ms: u64, item_id: String },
    #[serde(rename = "input_audio_buffer.speech_stopped")]
    SpeechStopped { audio_end_ms: u64, item_id: String },
    #[serde(rename = "input_audio_buffer.committed")]
    Committed { item_id: String, previous_item_id: Option<String> },
    #[serde(rename = "input_audio_buffer.cleared")]
    InputCleared,
    #[serde(rename = "conversation.item.input_audio_transcription.delta")]
    TranscriptionDelta { item_id: String, content_index: u32, delta: String },
    #[serde(rename = "conversation.item.input_audio_transcription.completed")]
    TranscriptionCompleted { item_id: String, content_index: u32, transcript: String, usage: TranscriptionUsage },
    #[serde(rename = "conversation.item.input_audio_transcription.failed")]
    TranscriptionFailed { item_id: String, content_index: u32, error: Failure },

    // ---- the conversation
    #[serde(rename = "conversation.item.added")]
    ItemAdded { previous_item_id: Option<String>, item: Item },
    #[serde(rename = "conversation.item.done")]
    ItemDone { previous_item_id: Option<String>, item: Item },
    #[serde(rename = "conversation.item.retrieved")]
    ItemRetrieved { item: Item },
    #[serde(rename = "conversation.item.truncated")]
    ItemTruncated { item_id: String, content_index: u32, audio_end_ms: u64 },
    #[serde(rename = "conversation.item.deleted")]
    ItemDeleted { item_id: String },

    // ---- the response
    #[serde(rename = "response.created")]
    ResponseCreated { response: Box<Response> },
    #[serde(rename = "response.output_item.added")]
    OutputItemAdded { response_id: String, output_index: u32, item: Item },
    #[serde(rename = "response.content_part.added")]
    ContentPartAdded(ContentPart),
    #[serde(rename = "response.output_audio_transcript.delta")]
    TranscriptDelta(Delta),
    /// Base64 of sound in the session's output format. WebSocket only.
    #[serde(rename = "response.output_audio.delta")]
    AudioDelta(Delta),
    #[serde(rename = "response.output_audio.done")]
    AudioDone { response_id: String, item_id: String, output_index: u32, content_index: u32 },
    #[serde(rename = "response.output_audio_transcript.done")]
    TranscriptDone { response_id: String, item_id: String, output_index: u32, content_index: u32, transcript: String },
    #[serde(rename = "response.content_part.done")]
    ContentPartDone(ContentPart),
    #[serde(rename = "response.output_item.done")]
    OutputItemDone { response_id: String, output_index: u32, item: Item },
    #[serde(rename = "response.done")]
    ResponseDone { response: Box<Response> },

    // ---- what is heard of it (WebRTC only)
    #[serde(rename = "output_audio_buffer.started")]
    OutputBufferStarted { response_id: String },
    #[serde(rename = "output_audio_buffer.stopped")]
    OutputBufferStopped { response_id: String },
    #[serde(rename = "output_audio_buffer.cleared")]
    OutputBufferCleared { response_id: String },

    // ---- our extensions, each sent only to a client whose `session.include` lists its name
    #[serde(rename = "visavis.state")]
    State { state: Mood },
    /// Words whose sound has begun.
    #[serde(rename = "visavis.captions")]
    Captions { response_id: String, item_id: String, words: Vec<CaptionWord> },
    #[serde(rename = "visavis.trace")]
    Trace { response_id: String, segments: Segments },
    /// A response's sound is over; asked for with `visavis.trace`. `underrun_ms`: silence in the middle of it, because
    /// its speech was late; `played_ms` counts speech alone.
    #[serde(rename = "visavis.playout")]
    Playout { response_id: String, played_ms: u64, underrun_ms: u64 },

    /// An event that this file does not know. Read only.
    #[serde(other)]
    Unknown,
}

/// A piece of a growing output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub response_id: String,
    pub item_id: String,
    pub output_index: u32,
    pub content_index: u32,
    pub delta: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentPart {
    pub response_id: String,
    pub item_id: String,
    pub output_index: u32,
    pub content_index: u32,
    pub part: ContentPartBody,
}

/// Not [`super::Part`]: these events name their kinds `text` and `audio`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPartBody {
    Text { text: String },
    Audio { transcript: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// `invalid_request_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub code: Option<String>,
    pub message: String,
    /// The field at fault, as a path.
    #[serde(default)]
    pub param: Option<String>,
    /// The client event at fault.
    #[serde(default)]
    pub event_id: Option<String>,
}

/// Why a transcription or a response failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    #[serde(rename = "type")]
    pub kind: String,
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TranscriptionUsage {
    Duration { seconds: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub id: String,
    /// `realtime.response`.
    pub object: String,
    pub status: ResponseStatus,
    #[serde(default)]
    pub status_details: Option<StatusDetails>,
    #[serde(default)]
    pub output: Vec<Item>,
    #[serde(default)]
    pub conversation_id: Option<String>,
    #[serde(default)]
    pub output_modalities: Vec<Modality>,
    #[serde(default)]
    pub max_output_tokens: MaxTokens,
    pub audio: ResponseAudio,
    /// Set in every `response.done`, cancelled ones too.
    #[serde(default)]
    pub usage: Option<Usage>,
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    InProgress,
    Completed,
    Cancelled,
    Incomplete,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusDetails {
    #[serde(rename = "type")]
    pub kind: ResponseStatus,
    /// `turn_detected`, `client_cancelled` or `max_output_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseAudio {
    pub output: ResponseVoice,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseVoice {
    pub format: AudioFormat,
    pub voice: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub total_tokens: u32,
    pub input_tokens: u32,
    pub output_tokens: u32,
    pub input_token_details: InputTokens,
    pub output_token_details: OutputTokens,
}

impl Usage {
    /// What a cascade uses: its model reads and writes text alone.
    pub fn of_text(input_tokens: u32, output_tokens: u32) -> Self {
        Self {
            total_tokens: input_tokens.saturating_add(output_tokens),
            input_tokens,
            output_tokens,
            input_token_details: InputTokens { text_tokens: input_tokens, ..InputTokens::default() },
            output_token_details: OutputTokens { text_tokens: output_tokens, audio_tokens: 0 },
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputTokens {
    pub text_tokens: u32,
    pub audio_tokens: u32,
    pub image_tokens: u32,
    pub cached_tokens: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTokens {
    pub text_tokens: u32,
    pub audio_tokens: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    Idle,
    Listening,
    Thinking,
    Speaking,
}

/// Milliseconds from the start of the item's sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionWord {
    pub text: String,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// Milliseconds from the end of the user's speech (or from the ask, when nobody spoke) to each fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segments {
    pub decided_ms: f32,
    pub transcribed_ms: f32,
    pub first_token_ms: f32,
    pub first_sound_ready_ms: f32,
    pub first_sound_ms: f32,
}
