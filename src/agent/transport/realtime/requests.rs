//! core: what the client asks, each of the eleven commands

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::command::{self, LONGEST_ID_BYTES};
use super::items::{Record, named};
use super::notices::already_active;
use super::protocol::{Asked, Link, Output, Protocol};
use super::refusal::Refusal;
use super::session::{check_max_tokens, only_audio};
use crate::agent::flow::{Ask, AskId, Entry, Mic, Place, Respond, Role};
use crate::media::time::MediaTime;
use crate::wire::realtime::session::{AudioFormat, Modality};
use crate::wire::realtime::{self as wire, ClientBody, Item, ItemKind, ItemStatus, Part, ResponseParams, ServerBody};

impl Protocol {
    pub(super) fn client(&mut self, text: &str) {
        let event = match command::read(text) {
            Ok(event) => event,
            Err(unreadable) => return self.refuse(unreadable.refusal, unreadable.event_id),
        };
        if let Err(refusal) = self.obey(event.body, &event.event_id) {
            self.refuse(refusal, event.event_id);
        }
    }

    fn obey(&mut self, command: ClientBody, event_id: &Option<String>) -> Result<(), Refusal> {
        match command {
            ClientBody::SessionUpdate { session } => self.update(&session),
            ClientBody::InputAudioBufferAppend { audio } => self.append(&audio),
            ClientBody::InputAudioBufferCommit => self.commit(),
            ClientBody::InputAudioBufferClear => {
                self.appended_bytes = 0;
                self.put(Output::Mic(Mic::Clear));
                self.tell(ServerBody::InputCleared);
                Ok(())
            }
            ClientBody::OutputAudioBufferClear => self.silence(event_id),
            ClientBody::ConversationItemCreate { previous_item_id, item } => self.add(previous_item_id, item, event_id),
            ClientBody::ConversationItemRetrieve { item_id } => {
                let entry = self.entry(&item_id).ok_or_else(|| no_item("item_retrieve_invalid_item_id", &item_id))?;
                self.ask(Ask::Retrieve { entry }, event_id);
                Ok(())
            }
            ClientBody::ConversationItemTruncate { item_id, content_index, audio_end_ms } => {
                self.truncate(item_id, content_index, audio_end_ms, event_id)
            }
            ClientBody::ConversationItemDelete { item_id } => {
                let record = self.items.remove(&item_id);
                let entry = record.ok_or_else(|| no_item("item_delete_invalid_item_id", &item_id))?.entry;
                self.ask(Ask::Delete { entry }, event_id);
                self.tell(ServerBody::ItemDeleted { item_id });
                Ok(())
            }
            ClientBody::ResponseCreate { response } => self.respond(response.unwrap_or_default(), event_id),
            ClientBody::ResponseCancel { response_id } => self.cancel(response_id.as_deref(), event_id),
        }
    }

    fn ask(&mut self, ask: Ask, event_id: &Option<String>) {
        self.put(Output::Ask { ask, event_id: event_id.clone() });
    }

    // ---------------------------------------------------------------------------------------------- session

    fn update(&mut self, patch: &Value) -> Result<(), Refusal> {
        let told_state = self.settings().include.state;
        if self.configuration.update(patch)? {
            let settings = self.settings().clone();
            self.put(Output::Settings(settings));
        }
        let session = Box::new(self.configuration.session().clone());
        self.tell(ServerBody::SessionUpdated { session });
        if self.settings().include.state && !told_state {
            self.tell_state();
        }
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------- microphone

    fn append(&mut self, audio: &str) -> Result<(), Refusal> {
        if self.link == Link::WebRtc {
            let message =
                "The microphone of a WebRTC call is its audio track; 'input_audio_buffer.append' is for WebSockets.";
            return Err(Refusal::of("invalid_value", "type", message));
        }
        let bytes = STANDARD.decode(audio).map_err(|error| {
            Refusal::of("invalid_value", "audio", format!("Invalid 'audio': not base64 ({error})."))
        })?;
        self.appended_bytes = self.appended_bytes.saturating_add(bytes.len());
        self.put(Output::Sound(Bytes::from(bytes)));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        let bytes_per_ms = match self.configuration.session().audio.input.format {
            AudioFormat::Pcm { .. } => 48,
            AudioFormat::Pcmu | AudioFormat::Pcma => 8,
        };
        let buffered_ms = self.appended_bytes / bytes_per_ms;
        if self.link == Link::WebSocket && buffered_ms < SHORTEST_COMMIT_MS {
            return Err(Refusal::new(
                "input_audio_buffer_commit_empty",
                format!(
                    "Error committing input audio buffer: buffer too small. Expected at least {SHORTEST_COMMIT_MS}ms of audio, \
                     but buffer only has {buffered_ms}ms of audio."
                ),
            ));
        }
        self.appended_bytes = 0;
        self.put(Output::Mic(Mic::Commit));
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------- responses

    fn respond(&mut self, wanted: ResponseParams, event_id: &Option<String>) -> Result<(), Refusal> {
        if wanted.conversation.as_deref().is_some_and(|which| which != "auto") {
            let message =
                "Responses outside of the conversation are not supported: 'response.conversation' must be 'auto'.";
            return Err(Refusal::of("invalid_value", "response.conversation", message));
        }
        if wanted.input.is_some() {
            let message = "A response with an input of its own is not supported: create items, then a response.";
            return Err(Refusal::of("invalid_value", "response.input", message));
        }
        if wanted.output_modalities.is_some_and(|modalities| modalities != [Modality::Audio]) {
            return Err(only_audio("response.output_modalities"));
        }
        if let Some(tokens) = wanted.max_output_tokens {
            check_max_tokens("response.max_output_tokens", tokens)?;
        }
        let metadata = wanted.metadata;
        let too_long = |pairs: &std::collections::BTreeMap<String, String>| {
            pairs.len() > 16 || pairs.iter().any(|(key, value)| key.len() > 64 || value.len() > 512)
        };
        if metadata.as_ref().is_some_and(too_long) {
            let message = "Invalid 'response.metadata': at most 16 pairs, keys of 64 and values of 512 bytes.";
            return Err(Refusal::of("invalid_value", "response.metadata", message));
        }
        if self.asked.is_some() || self.active().is_some() {
            return Err(already_active(self.active().map(|reply| reply.id.as_str())));
        }
        self.asks += 1;
        let id = AskId(self.asks);
        self.asked = Some(Asked { id, event_id: event_id.clone(), metadata });
        let max_output_tokens = wanted.max_output_tokens.and_then(|tokens| tokens.limit());
        self.ask(Ask::Respond(Respond { id, instructions: wanted.instructions, max_output_tokens }), event_id);
        Ok(())
    }

    fn cancel(&mut self, response_id: Option<&str>, event_id: &Option<String>) -> Result<(), Refusal> {
        let names_another = |active: &str| response_id.is_some_and(|wanted| wanted != active);
        let is_active = match self.active() {
            Some(reply) => !names_another(&reply.id),
            None => self.asked.is_some() && response_id.is_none(),
        };
        if !is_active {
            // LiveKit looks for the first two words, the others for the code.
            return Err(Refusal::new("response_cancel_not_active", "Cancellation failed: no active response found."));
        }
        self.cancel_once(event_id);
        Ok(())
    }

    /// `output_audio_buffer.clear`: nothing to silence is no error.
    fn silence(&mut self, event_id: &Option<String>) -> Result<(), Refusal> {
        if self.link == Link::WebSocket {
            let message = "On a WebSocket the client holds the sound: 'output_audio_buffer.clear' is for WebRTC.";
            return Err(Refusal::of("invalid_value", "type", message));
        }
        if self.active().is_some() || self.replies.iter().any(|reply| reply.is_playing()) {
            self.cancel_once(event_id);
        }
        Ok(())
    }

    /// A stock client's `interrupt()` is both `response.cancel` and `output_audio_buffer.clear`: the dialogue hears it once.
    fn cancel_once(&mut self, event_id: &Option<String>) {
        if !std::mem::replace(&mut self.cancelling, true) {
            self.ask(Ask::Cancel, event_id);
        }
    }

    // ---------------------------------------------------------------------------------------------- items

    fn add(&mut self, previous: Option<String>, item: Item, event_id: &Option<String>) -> Result<(), Refusal> {
        let ItemKind::Message { role, content } = item.kind else {
            let message = "Only messages can be added: this server calls no tools.";
            return Err(Refusal::of("invalid_value", "item.type", message));
        };
        let id = match item.id.filter(|id| !id.is_empty()) {
            Some(id) if id.len() > LONGEST_ID_BYTES => {
                let message = format!("Invalid 'item.id': longer than {LONGEST_ID_BYTES} bytes.");
                return Err(Refusal::of("string_above_max_length", "item.id", message));
            }
            Some(id) if self.entry(&id).is_some() => {
                let message = format!("An item with the id '{id}' exists already.");
                return Err(Refusal::of("item_create_duplicate_item_id", "item.id", message));
            }
            Some(id) => id,
            None => self.ids.mint("item"),
        };
        let text = words(&content)?;
        let role = match role {
            wire::Role::System => Role::System,
            wire::Role::User => Role::User,
            wire::Role::Assistant => Role::Assistant,
        };
        let place = match previous.as_deref() {
            None => Place::End,
            Some("root") => Place::Start,
            Some(id) => Place::After(self.entry(id).ok_or_else(|| Refusal {
                param: Some("previous_item_id".to_owned()),
                ..no_item("item_create_invalid_previous_item_id", id)
            })?),
        };
        let record = Record {
            id: id.as_str().into(),
            entry: Entry::Added(id.as_str().into()),
            role,
            spoken: false,
            text: Some(text.clone()),
            status: ItemStatus::Completed,
        };
        let added = record.item();
        let previous_item_id = named(self.items.add(record, &place).expect("the place was just found"));
        self.ask(Ask::Item { id: id.into(), place, role, text }, event_id);
        self.tell(ServerBody::ItemAdded { previous_item_id: previous_item_id.clone(), item: added.clone() });
        self.tell(ServerBody::ItemDone { previous_item_id, item: added });
        Ok(())
    }

    fn truncate(
        &mut self,
        item_id: String,
        content_index: u32,
        audio_end_ms: u64,
        event_id: &Option<String>,
    ) -> Result<(), Refusal> {
        let entry = self.entry(&item_id).ok_or_else(|| no_item("item_truncate_invalid_item_id", &item_id))?;
        let Entry::Reply(turn) = entry else {
            let message = "Only the agent's spoken messages can be truncated.";
            return Err(Refusal::of("invalid_value", "item_id", message));
        };
        if content_index != 0 {
            let message = "Invalid 'content_index': a spoken message has one part, 0.";
            return Err(Refusal::of("invalid_value", "content_index", message));
        }
        let sent_ms = self.reply(turn).map(|reply| reply.sent().as_ms());
        if let Some(sent_ms) = sent_ms.filter(|sent_ms| self.link == Link::WebSocket && audio_end_ms > *sent_ms) {
            let message = format!("Audio content of {sent_ms}ms is already shorter than {audio_end_ms}ms");
            return Err(Refusal::of("invalid_value", "audio_end_ms", message));
        }
        // A longer end than any reply's means all of it.
        let played = MediaTime::from_ms(audio_end_ms.min(LONGEST_REPLY_MS));
        self.ask(Ask::Truncate { turn, played }, event_id);
        self.tell(ServerBody::ItemTruncated { item_id, content_index, audio_end_ms });
        Ok(())
    }

    /// The dialogue's lane was full.
    pub(super) fn ask_refused(&mut self, ask: Ask, event_id: Option<String>) {
        self.refuse(
            Refusal::server("server_busy", "Too many requests wait: this one was not taken. Try again."),
            event_id,
        );
        match ask {
            Ask::Respond(Respond { id, .. }) => drop(self.take_asked(Some(id))),
            Ask::Cancel => self.cancelling = false,
            Ask::Item { id, .. } => {
                if self.items.remove(&id).is_some() {
                    self.tell(ServerBody::ItemDeleted { item_id: id.to_string() });
                }
            }
            Ask::Truncate { .. } | Ask::Delete { .. } | Ask::Retrieve { .. } => {}
        }
    }
}

fn no_item(code: &'static str, item_id: &str) -> Refusal {
    Refusal::of(code, "item_id", format!("Item with item_id not found: {item_id}"))
}

/// What a message says: the dialogue reads text, so sound must come with its transcript.
fn words(content: &[Part]) -> Result<String, Refusal> {
    let mut text = String::new();
    for part in content {
        let words = match part {
            Part::InputText { text } | Part::OutputText { text } => text,
            Part::InputAudio { transcript: Some(words) } | Part::OutputAudio { transcript: Some(words) } => words,
            Part::InputAudio { .. } | Part::OutputAudio { .. } => {
                let message = "Sound in a message needs its transcript: the agent reads messages as text.";
                return Err(Refusal::of("invalid_value", "item.content", message));
            }
            Part::InputImage { .. } => {
                return Err(Refusal::of("invalid_value", "item.content", "Images are not supported."));
            }
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(words);
    }
    Ok(text)
}

/// OpenAI's own limit, and its words.
const SHORTEST_COMMIT_MS: usize = 100;

/// A day; keeps a client's number within the clock's range.
const LONGEST_REPLY_MS: u64 = 86_400_000;
