//! data: one entry of the conversation
//!
//! Source: `openai` 3.54.0 for Python, `types/realtime/realtime_conversation_item_*.py`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `realtime.item`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ItemStatus>,
    #[serde(flatten)]
    pub kind: ItemKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ItemKind {
    Message {
        role: Role,
        content: Vec<Part>,
    },
    FunctionCall {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
        name: String,
        /// JSON text.
        arguments: String,
    },
    FunctionCallOutput {
        call_id: String,
        output: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    InProgress,
    Completed,
    /// Ended before its end, by an interruption or a failure.
    Incomplete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A piece of a message. Sound itself is never sent back: only what was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    InputText {
        text: String,
    },
    InputAudio {
        /// Written as `null` until it is known: the zod schema of stock browsers wants the field.
        #[serde(default)]
        transcript: Option<String>,
    },
    InputImage {
        /// A data URI.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image_url: Option<String>,
    },
    /// Read also under its name of the beta.
    #[serde(alias = "text")]
    OutputText {
        text: String,
    },
    /// Read also under its name of the beta.
    #[serde(alias = "audio")]
    OutputAudio {
        #[serde(default)]
        transcript: Option<String>,
    },
}
