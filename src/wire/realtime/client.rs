//! data: what a caller sends: the eleven client events
//!
//! Source: `openai` 3.54.0 for Python, `types/realtime/*_event.py`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::item::Item;
use super::session::{MaxTokens, Modality};

/// One message of a caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientEvent {
    /// Chosen by the client; an error that this event causes names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    #[serde(flatten)]
    pub body: ClientBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ClientBody {
    /// A merge patch of the session object: what is absent stays, `null` clears.
    #[serde(rename = "session.update")]
    SessionUpdate { session: Value },
    /// Base64 of sound in the session's input format, 15 MiB at most. WebSocket only.
    #[serde(rename = "input_audio_buffer.append")]
    InputAudioBufferAppend { audio: String },
    #[serde(rename = "input_audio_buffer.commit")]
    InputAudioBufferCommit,
    #[serde(rename = "input_audio_buffer.clear")]
    InputAudioBufferClear,
    /// WebRTC only: silence what still plays.
    #[serde(rename = "output_audio_buffer.clear")]
    OutputAudioBufferClear,
    #[serde(rename = "conversation.item.create")]
    ConversationItemCreate {
        /// `"root"`: before everything; absent: at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous_item_id: Option<String>,
        item: Item,
    },
    #[serde(rename = "conversation.item.retrieve")]
    ConversationItemRetrieve { item_id: String },
    #[serde(rename = "conversation.item.truncate")]
    ConversationItemTruncate {
        item_id: String,
        content_index: u32,
        /// How much of the item's sound was heard, inclusive, in milliseconds.
        audio_end_ms: u64,
    },
    #[serde(rename = "conversation.item.delete")]
    ConversationItemDelete { item_id: String },
    #[serde(rename = "response.create")]
    ResponseCreate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response: Option<ResponseParams>,
    },
    #[serde(rename = "response.cancel")]
    ResponseCancel {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response_id: Option<String>,
    },
}

impl ClientBody {
    /// Every `type` that [`ClientBody`] reads, with the fields that it cannot do without.
    pub const TYPES: [(&str, &[&str]); 11] = [
        ("session.update", &["session"]),
        ("input_audio_buffer.append", &["audio"]),
        ("input_audio_buffer.commit", &[]),
        ("input_audio_buffer.clear", &[]),
        ("output_audio_buffer.clear", &[]),
        ("conversation.item.create", &["item"]),
        ("conversation.item.retrieve", &["item_id"]),
        ("conversation.item.truncate", &["item_id", "content_index", "audio_end_ms"]),
        ("conversation.item.delete", &["item_id"]),
        ("response.create", &[]),
        ("response.cancel", &[]),
    ];
}

/// What one response shall do differently from the session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// `"auto"`, or `"none"` for a response outside of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// A context instead of the conversation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_modalities: Option<Vec<Modality>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<MaxTokens>,
    /// Echoed in every event that carries the response object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}
