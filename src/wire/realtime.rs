//! door: OpenAI's Realtime protocol (GA) as plain data, and our extensions to it
//!
//! One JSON object per message, tagged by `type`: [`client`] is what a caller sends, [`server`] what it gets back, [`session`] and
//! [`item`] are the objects inside. Both directions read and write, because the server and the callers of `load` share them.
//! Readers accept unknown fields, and [`ServerBody::Unknown`] stands for an event that is newer than this file.
//! What is sent is chosen for the strictest stock readers (zod of `@openai/agents-realtime` 0.20.0, pydantic of `openai`
//! 3.54.0 and Pipecat 1.7.0): a field that they do not accept as `null` is left out instead.
//! Never: decides anything. Order, ids and errors are made by `agent/transport/realtime/`.

pub mod client;
pub mod item;
pub mod server;
pub mod session;

pub use client::{ClientBody, ClientEvent, ResponseParams};
pub use item::{Item, ItemKind, ItemStatus, Part, Role};
pub use server::{Response, ResponseStatus, ServerBody, ServerEvent};
pub use session::Session;

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::{Value, json};

    /// The golden bytes are what we write, and reading them gives back the same value; with a field that nobody knows they
    /// still read, and no shorter prefix does.
    fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, bytes: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), bytes);
        assert_eq!(&serde_json::from_str::<T>(bytes).unwrap(), value);
        let mut newer: Value = serde_json::from_str(bytes).unwrap();
        newer["from_the_future"] = json!({"a": [1]});
        assert_eq!(&serde_json::from_value::<T>(newer).unwrap(), value);
        for cut in 0..bytes.len() {
            if bytes.is_char_boundary(cut) {
                assert!(serde_json::from_str::<T>(&bytes[..cut]).is_err(), "read a truncated {}", &bytes[..cut]);
            }
        }
    }

    fn client(event_id: Option<&str>, body: ClientBody, bytes: &str) {
        golden(&ClientEvent { event_id: event_id.map(str::to_owned), body }, bytes);
    }

    fn server(body: ServerBody, bytes: &str) {
        golden(&ServerEvent { event_id: "event_1".to_owned(), body }, bytes);
    }

    fn id(text: &str) -> String {
        text.to_owned()
    }

    fn words(role: Role, part: Part) -> Item {
        Item {
            id: Some(id("item_a")),
            object: Some(id("realtime.item")),
            status: Some(ItemStatus::Completed),
            kind: ItemKind::Message { role, content: vec![part] },
        }
    }

    /// All eleven client events, as stock clients write them.
    #[test]
    fn client_events_are_golden() {
        client(
            Some("e1"),
            ClientBody::SessionUpdate { session: json!({"type": "realtime", "instructions": "Be brief."}) },
            r#"{"event_id":"e1","type":"session.update","session":{"instructions":"Be brief.","type":"realtime"}}"#,
        );
        client(
            None,
            ClientBody::InputAudioBufferAppend { audio: id("AAAA") },
            r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
        );
        client(None, ClientBody::InputAudioBufferCommit, r#"{"type":"input_audio_buffer.commit"}"#);
        client(None, ClientBody::InputAudioBufferClear, r#"{"type":"input_audio_buffer.clear"}"#);
        client(None, ClientBody::OutputAudioBufferClear, r#"{"type":"output_audio_buffer.clear"}"#);
        client(
            None,
            ClientBody::ConversationItemCreate {
                previous_item_id: Some(id("root")),
                item: words(Role::User, Part::InputText { text: id("hello") }),
            },
            concat!(
                r#"{"type":"conversation.item.create","previous_item_id":"root","item":{"id":"item_a","#,
                r#""object":"realtime.item","status":"completed","type":"message","role":"user","#,
                r#""content":[{"type":"input_text","text":"hello"}]}}"#
            ),
        );
        client(
            None,
            ClientBody::ConversationItemRetrieve { item_id: id("item_a") },
            r#"{"type":"conversation.item.retrieve","item_id":"item_a"}"#,
        );
        client(
            None,
            ClientBody::ConversationItemTruncate { item_id: id("item_a"), content_index: 0, audio_end_ms: 1500 },
            r#"{"type":"conversation.item.truncate","item_id":"item_a","content_index":0,"audio_end_ms":1500}"#,
        );
        client(
            None,
            ClientBody::ConversationItemDelete { item_id: id("item_a") },
            r#"{"type":"conversation.item.delete","item_id":"item_a"}"#,
        );
        client(
            Some("e2"),
            ClientBody::ResponseCreate {
                response: Some(ResponseParams {
                    instructions: Some(id("Say hi.")),
                    metadata: Some([(id("client_event_id"), id("x"))].into()),
                    ..ResponseParams::default()
                }),
            },
            r#"{"event_id":"e2","type":"response.create","response":{"instructions":"Say hi.","metadata":{"client_event_id":"x"}}}"#,
        );
        client(None, ClientBody::ResponseCreate { response: None }, r#"{"type":"response.create"}"#);
        client(None, ClientBody::ResponseCancel { response_id: None }, r#"{"type":"response.cancel"}"#);
    }

    /// The server events of a spoken turn and of an interruption, byte for byte.
    #[test]
    fn server_events_are_golden() {
        use ServerBody::*;
        server(
            SpeechStarted { audio_start_ms: 480, item_id: id("item_a") },
            r#"{"event_id":"event_1","type":"input_audio_buffer.speech_started","audio_start_ms":480,"item_id":"item_a"}"#,
        );
        server(
            SpeechStopped { audio_end_ms: 1480, item_id: id("item_a") },
            r#"{"event_id":"event_1","type":"input_audio_buffer.speech_stopped","audio_end_ms":1480,"item_id":"item_a"}"#,
        );
        server(
            Committed { item_id: id("item_a"), previous_item_id: None },
            r#"{"event_id":"event_1","type":"input_audio_buffer.committed","item_id":"item_a","previous_item_id":null}"#,
        );
        server(
            ItemAdded {
                previous_item_id: Some(id("item_0")),
                item: words(Role::User, Part::InputAudio { transcript: None }),
            },
            concat!(
                r#"{"event_id":"event_1","type":"conversation.item.added","previous_item_id":"item_0","item":{"id":"item_a","#,
                r#""object":"realtime.item","status":"completed","type":"message","role":"user","content":[{"type":"input_audio","transcript":null}]}}"#
            ),
        );
        server(
            TranscriptionCompleted {
                item_id: id("item_a"),
                content_index: 0,
                transcript: id("Hello."),
                usage: server::TranscriptionUsage::Duration { seconds: 1.5 },
            },
            concat!(
                r#"{"event_id":"event_1","type":"conversation.item.input_audio_transcription.completed","item_id":"item_a","#,
                r#""content_index":0,"transcript":"Hello.","usage":{"type":"duration","seconds":1.5}}"#
            ),
        );
        server(
            TranscriptDelta(server::Delta {
                response_id: id("resp_a"),
                item_id: id("item_b"),
                output_index: 0,
                content_index: 0,
                delta: id(" there"),
            }),
            concat!(
                r#"{"event_id":"event_1","type":"response.output_audio_transcript.delta","response_id":"resp_a","#,
                r#""item_id":"item_b","output_index":0,"content_index":0,"delta":" there"}"#
            ),
        );
        server(
            OutputBufferCleared { response_id: id("resp_a") },
            r#"{"event_id":"event_1","type":"output_audio_buffer.cleared","response_id":"resp_a"}"#,
        );
        server(
            ItemTruncated { item_id: id("item_b"), content_index: 0, audio_end_ms: 640 },
            concat!(
                r#"{"event_id":"event_1","type":"conversation.item.truncated","item_id":"item_b","#,
                r#""content_index":0,"audio_end_ms":640}"#
            ),
        );
        server(
            Error {
                error: server::ErrorDetail {
                    kind: id("invalid_request_error"),
                    code: Some(id("response_cancel_not_active")),
                    message: id("Cancellation failed: no active response found."),
                    param: None,
                    event_id: Some(id("e9")),
                },
            },
            concat!(
                r#"{"event_id":"event_1","type":"error","error":{"type":"invalid_request_error","#,
                r#""code":"response_cancel_not_active","message":"Cancellation failed: no active response found.","#,
                r#""param":null,"event_id":"e9"}}"#
            ),
        );
        server(
            State { state: server::Mood::Thinking },
            r#"{"event_id":"event_1","type":"visavis.state","state":"thinking"}"#,
        );
        server(
            Playout { response_id: id("resp_1"), played_ms: 1_800, underrun_ms: 40 },
            r#"{"event_id":"event_1","type":"visavis.playout","response_id":"resp_1","played_ms":1800,"underrun_ms":40}"#,
        );
    }

    /// A whole response object: usage is there and complete, and what zod does not accept as null is absent.
    #[test]
    fn a_response_is_golden() {
        let mut response = Response {
            id: id("resp_a"),
            object: id("realtime.response"),
            status: ResponseStatus::Cancelled,
            status_details: Some(server::StatusDetails {
                kind: ResponseStatus::Cancelled,
                reason: Some(id("turn_detected")),
                error: None,
            }),
            output: vec![words(Role::Assistant, Part::OutputAudio { transcript: Some(id("Hi")) })],
            conversation_id: Some(id("conv_a")),
            output_modalities: vec![session::Modality::Audio],
            max_output_tokens: session::MaxTokens::INF,
            audio: server::ResponseAudio {
                output: server::ResponseVoice { format: session::AudioFormat::Pcm { rate: 24_000 }, voice: id("joe") },
            },
            usage: Some(server::Usage::of_text(7, 2)),
            metadata: None,
        };
        let bytes = concat!(
            r#"{"event_id":"event_1","type":"response.done","response":{"id":"resp_a","object":"realtime.response","#,
            r#""status":"cancelled","status_details":{"type":"cancelled","reason":"turn_detected"},"output":[{"id":"item_a","#,
            r#""object":"realtime.item","status":"completed","type":"message","role":"assistant","#,
            r#""content":[{"type":"output_audio","transcript":"Hi"}]}],"conversation_id":"conv_a","output_modalities":["audio"],"#,
            r#""max_output_tokens":"inf","audio":{"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"joe"}},"#,
            r#""usage":{"total_tokens":9,"input_tokens":7,"output_tokens":2,"input_token_details":{"text_tokens":7,"#,
            r#""audio_tokens":0,"image_tokens":0,"cached_tokens":0},"output_token_details":{"text_tokens":2,"audio_tokens":0}},"#,
            r#""metadata":null}}"#
        );
        server(ServerBody::ResponseDone { response: Box::new(response.clone()) }, bytes);
        response.usage = None;
        assert!(serde_json::to_string(&response).unwrap().contains(r#""usage":null"#));
    }

    /// A reader of today survives an event of tomorrow.
    #[test]
    fn an_unknown_server_event_is_read_as_unknown() {
        let event: ServerEvent =
            serde_json::from_str(r#"{"event_id":"e","type":"visavis.weather","sun":true}"#).unwrap();
        assert_eq!(event.body, ServerBody::Unknown);
    }

    /// The session object writes every default, and reads back from nothing but what it must have.
    #[test]
    fn a_session_is_golden() {
        let session = Session::new("sess_a", "visavis", "joe");
        let bytes = concat!(
            r#"{"type":"realtime","object":"realtime.session","id":"sess_a","model":"visavis","instructions":"","#,
            r#""output_modalities":["audio"],"max_output_tokens":"inf","tools":[],"tool_choice":"auto","prompt":null,"tracing":null,"#,
            r#""truncation":"auto","include":null,"expires_at":0,"audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"#,
            r#""noise_reduction":null,"transcription":null,"turn_detection":{"type":"server_vad","threshold":0.5,"#,
            r#""prefix_padding_ms":300,"silence_duration_ms":500,"create_response":true,"interrupt_response":true,"#,
            r#""idle_timeout_ms":null}},"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"joe","speed":1.0}}}"#
        );
        golden(&session, bytes);
        let voice: Session =
            serde_json::from_str(&bytes.replace(r#""voice":"joe""#, r#""voice":{"id":"joe"}"#)).unwrap();
        assert_eq!(voice, session, "a voice may be named by an object");
    }
}
