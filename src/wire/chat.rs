//! data: OpenAI chat completions, as much of them as a voice agent and a small model server say to each other
//!
//! Readers are lenient: unknown fields are ignored, `null` stands for absent, `content` may be text or parts. Writers
//! leave out what is not set. Source: OpenAI API reference, "Chat", read November 2026; `reasoning_content` and errors
//! inside a stream are what vLLM, llama.cpp's server and several hosted services send beside it.

use serde::{Deserialize, Deserializer, Serialize};

/// `POST …/chat/completions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    #[serde(default, deserialize_with = "null_is_default")]
    pub model: String,
    pub messages: Vec<ChatMessage>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub stream: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// `none`, `low`, …: of models that think before they speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// The older name of the limit: what local servers understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The newer name: what OpenAI's own newer models insist on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamOptions {
    #[serde(default, deserialize_with = "null_is_default")]
    pub include_usage: bool,
}

/// One string or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    One(String),
    Many(Vec<String>),
}

impl Stop {
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// One message. `role`: system, developer, user, assistant, tool, function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub role: String,
    /// Absent or null where an assistant only called tools.
    #[serde(default)]
    pub content: Option<Content>,
}

impl ChatMessage {
    pub fn new(role: &str, text: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: Some(Content::Text(text.into())) }
    }

    /// The text of all text parts, in order; empty when there is none.
    pub fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().filter_map(|p| p.text.as_deref()).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// `{"type":"text","text":…}`; parts of other types have no text here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One event of a streamed answer (`object: chat.completion.chunk`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    #[serde(default, deserialize_with = "null_is_default")]
    pub id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub object: String,
    /// Seconds since 1970.
    #[serde(default, deserialize_with = "null_is_default")]
    pub created: u64,
    #[serde(default, deserialize_with = "null_is_default")]
    pub model: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub choices: Vec<ChunkChoice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ChatUsage>,
    /// Sent in the middle of a stream by servers that fail there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    #[serde(default, deserialize_with = "null_is_default")]
    pub index: u32,
    #[serde(default, deserialize_with = "null_is_default")]
    pub delta: Delta,
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// `reasoning_content` and tool calls may stand beside it; a voice speaks only `content`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A whole answer (`object: chat.completion`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub id: String,
    pub object: String,
    pub created: u64,
    pub model: String,
    pub choices: Vec<CompletionChoice>,
    pub usage: ChatUsage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompletionChoice {
    pub index: u32,
    pub message: ChatMessage,
    pub finish_reason: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatUsage {
    #[serde(default, deserialize_with = "null_is_default")]
    pub prompt_tokens: u32,
    #[serde(default, deserialize_with = "null_is_default")]
    pub completion_tokens: u32,
    #[serde(default, deserialize_with = "null_is_default")]
    pub total_tokens: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptDetails {
    /// How many tokens of the prompt the server still remembered.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cached_tokens: u32,
}

/// `GET …/models`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    #[serde(default, deserialize_with = "null_is_default")]
    pub object: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: Vec<Model>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub object: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub created: u64,
    #[serde(default, deserialize_with = "null_is_default")]
    pub owned_by: String,
}

/// The body of every refusal, on every OpenAI-style door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetail {
    #[serde(default, deserialize_with = "null_is_default")]
    pub message: String,
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(default)]
    pub param: Option<String>,
    /// A string at OpenAI, a number elsewhere.
    #[serde(default)]
    pub code: Option<serde_json::Value>,
}

/// What an error says, whatever its shape: `{"message":…}`, `{"error":…}`, `{"detail":…}` or a bare string.
pub fn error_message(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Object(map) => {
            ["message", "error", "detail"].into_iter().find_map(|key| map.get(key).and_then(error_message))
        }
        _ => None,
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What we write, byte for byte.
    #[test]
    fn golden_bytes() {
        let request = ChatRequest {
            model: "m".into(),
            messages: vec![ChatMessage::new("system", "Be brief."), ChatMessage::new("user", "Hi")],
            stream: true,
            stream_options: Some(StreamOptions { include_usage: true }),
            temperature: Some(0.5),
            max_tokens: Some(80),
            ..Default::default()
        };
        let json = r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"max_tokens":80}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), json);
        assert_eq!(serde_json::from_str::<ChatRequest>(json).unwrap(), request);

        let chunk = Chunk {
            id: "chatcmpl-1".into(),
            object: "chat.completion.chunk".into(),
            created: 7,
            model: "m".into(),
            choices: vec![ChunkChoice {
                index: 0,
                delta: Delta { role: None, content: Some(" hi".into()) },
                finish_reason: None,
            }],
            ..Default::default()
        };
        let json = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":" hi"},"finish_reason":null}]}"#;
        assert_eq!(serde_json::to_string(&chunk).unwrap(), json);
        assert_eq!(serde_json::from_str::<Chunk>(json).unwrap(), chunk);

        let body = ErrorBody {
            error: ErrorDetail { message: "no".into(), kind: "invalid_request_error".into(), param: None, code: None },
        };
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#
        );
    }

    /// What other servers and clients send: nulls, unknown fields, parts, reasoning, errors of every shape.
    #[test]
    fn readers_are_lenient() {
        let chunk: Chunk = serde_json::from_str(r#"{"id":null,"choices":[{"delta":{"content":null,"reasoning_content":"hm","tool_calls":[]},"logprobs":null,"finish_reason":null}],"usage":null,"x":1}"#).unwrap();
        assert_eq!(chunk.choices[0].delta.content, None);
        let chunk: Chunk =
            serde_json::from_str(r#"{"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":null}}"#).unwrap();
        assert_eq!((chunk.choices.len(), chunk.usage.unwrap().prompt_tokens), (0, 3));
        let request: ChatRequest = serde_json::from_str(
            r#"{"messages":[{"role":"user","name":"x","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}},{"type":"text","text":"b"}]},{"role":"assistant","content":null,"tool_calls":[]}],"stop":["x","y"],"tools":[{}],"stream":null}"#,
        )
        .unwrap();
        assert_eq!((request.messages[0].text(), request.messages[1].text()), ("ab".into(), String::new()));
        assert_eq!(request.stop.unwrap().into_vec(), ["x", "y"]);
        for (json, want) in [
            (r#"{"error":{"message":"a","code":500}}"#, Some("a")),
            (r#"{"error":"b"}"#, Some("b")),
            (r#"{"detail":"c"}"#, Some("c")),
            (r#""d""#, Some("d")),
            (r#"{"ok":true}"#, None),
        ] {
            assert_eq!(error_message(&serde_json::from_str(json).unwrap()), want, "{json}");
        }
        // Truncated or foreign input is refused, not guessed at.
        assert!(serde_json::from_str::<ChatRequest>(r#"{"messages":[{"role":"user""#).is_err());
        assert!(serde_json::from_str::<ChatRequest>(r#"{"messages":"hello"}"#).is_err());
    }
}
