//! data: the few facts of a server's events that a caller measures by
//!
//! Most events carry text that no measure needs (items, sessions): they are passed over unread.

use std::borrow::Cow;

use serde::Deserialize;

/// What one event told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The first sound of a response left.
    Started {
        response: String,
    },
    /// Its last sound left.
    Stopped {
        response: String,
    },
    /// It was cut.
    Cleared {
        response: String,
    },
    /// A response ended without what was asked for.
    Failed {
        response: String,
    },
    /// The server has broken something that no response is named for.
    Broken,
    /// The server did not take an event of the caller's, and what it said of it.
    Refused {
        what: String,
    },
    /// A response has so many words.
    Worded {
        response: String,
        words: usize,
    },
    Trace {
        response: String,
        segments: Segments,
    },
    Playout {
        response: String,
        underrun_s: f64,
    },
    /// Nothing that is measured.
    Other,
}

/// `visavis.trace`: milliseconds from the end of the caller's speech, as the server saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Segments {
    pub decided_ms: Option<f64>,
    pub transcribed_ms: Option<f64>,
    pub first_token_ms: Option<f64>,
    pub first_sound_ready_ms: Option<f64>,
    pub first_sound_ms: Option<f64>,
}

impl Told {
    /// Reads one event. `None`: it is no JSON object with a `type`.
    pub fn read(text: &str) -> Option<Self> {
        let glance: Glance = serde_json::from_str(text).ok()?;
        let named = || glance.response_id.as_deref().unwrap_or_default().to_owned();
        Some(match &*glance.kind {
            "output_audio_buffer.started" => Self::Started { response: named() },
            "output_audio_buffer.stopped" => Self::Stopped { response: named() },
            "output_audio_buffer.cleared" => Self::Cleared { response: named() },
            "visavis.trace" => Self::Trace { response: named(), segments: glance.segments.unwrap_or_default() },
            "visavis.playout" => {
                Self::Playout { response: named(), underrun_s: glance.underrun_ms.unwrap_or_default() / 1e3 }
            }
            "response.done" => match glance.response {
                Some(Done { id, status }) if status == "failed" => Self::Failed { response: id.into_owned() },
                _ => Self::Other,
            },
            "response.output_audio_transcript.done" => Self::Worded {
                response: named(),
                words: glance.transcript.as_deref().unwrap_or_default().split_whitespace().count(),
            },
            "error" => match glance.error {
                Some(error) if error.kind == "server_error" => Self::Broken,
                // About what the caller sent: whatever was asked before it goes on.
                Some(error) => Self::Refused { what: error.message.chars().take(MOST_SAID).collect() },
                None => Self::Other,
            },
            _ => Self::Other,
        })
    }
}

/// Borrows from the text where it can; what is not named here is skipped without being built.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    response_id: Option<Cow<'a, str>>,
    #[serde(default)]
    segments: Option<Segments>,
    #[serde(default)]
    underrun_ms: Option<f64>,
    #[serde(borrow, default)]
    response: Option<Done<'a>>,
    #[serde(borrow, default)]
    error: Option<Fault<'a>>,
    #[serde(borrow, default)]
    transcript: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Done<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Fault<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// Letters of a server's complaint; it ends up on a terminal.
const MOST_SAID: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    /// What counts is found among fields that do not; the rest is told as nothing, and rubbish not at all.
    #[test]
    fn events_tell_what_is_measured() {
        let response = || "resp_1".to_owned();
        let table = [
            (
                r#"{"type":"output_audio_buffer.started","event_id":"e","response_id":"resp_1"}"#,
                Some(Told::Started { response: response() }),
            ),
            (
                r#"{"response_id":"resp_1","type":"output_audio_buffer.cleared"}"#,
                Some(Told::Cleared { response: response() }),
            ),
            (
                r#"{"type":"visavis.trace","response_id":"resp_1","segments":{"decided_ms":310.5,"first_sound_ms":900}}"#,
                Some(Told::Trace {
                    response: response(),
                    segments: Segments { decided_ms: Some(310.5), first_sound_ms: Some(900.0), ..Segments::default() },
                }),
            ),
            (
                r#"{"type":"visavis.playout","response_id":"resp_1","played_ms":2000,"underrun_ms":40}"#,
                Some(Told::Playout { response: response(), underrun_s: 0.04 }),
            ),
            (
                r#"{"type":"response.done","response":{"id":"resp_1","status":"failed","output":[]}}"#,
                Some(Told::Failed { response: response() }),
            ),
            (r#"{"type":"response.done","response":{"id":"resp_1","status":"completed"}}"#, Some(Told::Other)),
            (r#"{"type":"error","error":{"type":"server_error","code":"engine_failed"}}"#, Some(Told::Broken)),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"no such include"}}"#,
                Some(Told::Refused { what: "no such include".into() }),
            ),
            (r#"{"type":"error"}"#, Some(Told::Other)),
            (
                r#"{"type":"response.output_audio_transcript.done","response_id":"resp_1","transcript":"Well, a \"word\"."}"#,
                Some(Told::Worded { response: response(), words: 3 }),
            ),
            (r#"{"type":"response.output_audio_transcript.delta","delta":"so \u00fc"}"#, Some(Told::Other)),
            (r#"{"kind":"pong"}"#, None),
            ("ping", None),
            ("[]", None),
        ];
        for (text, told) in table {
            assert_eq!(Told::read(text), told, "{text}");
        }
    }
}
