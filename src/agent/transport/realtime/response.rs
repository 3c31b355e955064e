//! core: one reply of the agent as events, in the one order that clients expect
//!
//! ```text
//! response.created ─► output_item.added, item.added, content_part.added ─► transcript deltas, audio deltas (WebSocket)
//!        │                    (with the first word)          └ output_audio_buffer.started (WebRTC) ┘
//!        └──────────► output_audio.done, transcript.done, content_part.done, item.done, output_item.done ─► response.done
//!                                                                     output_audio_buffer.stopped (WebRTC) ┘
//! interrupted:         output_audio_buffer.cleared, item.truncated (WebRTC) ─► the same chain, cancelled
//! ```
//! In:    the facts about one turn, in any order in which rooms may publish them; on a WebSocket, what was sent of its sound.
//! Out:   server events. Each id is announced before it is used; `response.done` comes once, after the last delta.
//! Never: waits for a fact that cannot come any more: losing the floor, or the next reply, settles it.

mod events;

use std::collections::BTreeMap;

use super::items::{Items, named};
use super::protocol::Link;
use crate::agent::flow::{Entry, ItemId, Outcome, TurnId, Usage};
use crate::media::time::MediaTime;
use crate::wire::realtime::ItemStatus;
use crate::wire::realtime::server::{
    Failure, ResponseStatus, ResponseVoice, ServerBody, StatusDetails, Usage as WireUsage,
};
use crate::wire::realtime::session::MaxTokens;

#[derive(Debug)]
pub struct Reply {
    pub turn: TurnId,
    pub id: String,
    pub item: ItemId,
    link: Link,
    terms: Terms,
    /// The item has been announced.
    announced: bool,
    /// What was generated so far.
    said: String,
    /// How many of its words were heard, once it has been cut.
    heard: Option<usize>,
    /// How it ended for the dialogue.
    text: Option<(Outcome, Usage)>,
    speech: Speech,
    sound: Sound,
    /// The sound that was sent to a WebSocket.
    sent: MediaTime,
    /// All of it was.
    sent_all: bool,
    /// The floor is no longer this turn's.
    floor_lost: bool,
    /// `response.done` was sent.
    done: bool,
    /// `output_audio_buffer.stopped` waits for `response.done`.
    stop_waits: bool,
    trouble: Option<String>,
}

/// What a response is announced with.
#[derive(Clone, Debug)]
pub struct Terms {
    pub conversation_id: String,
    pub voice: ResponseVoice,
    pub max_output_tokens: MaxTokens,
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Pending,
    Made,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Waiting,
    Playing,
    Over,
}

impl Reply {
    pub fn new(turn: TurnId, id: String, item: ItemId, link: Link, terms: Terms) -> Self {
        Self {
            turn,
            id,
            item,
            link,
            terms,
            announced: false,
            said: String::new(),
            heard: None,
            text: None,
            speech: Speech::Pending,
            sound: Sound::Waiting,
            sent: MediaTime::ZERO,
            sent_all: false,
            floor_lost: false,
            done: false,
            stop_waits: false,
            trouble: None,
        }
    }

    /// Its response has ended; its sound may still play.
    pub fn is_done(&self) -> bool {
        self.done
    }

    pub fn is_playing(&self) -> bool {
        self.sound == Sound::Playing
    }

    /// The client has been told of the item.
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// Its text is complete or was ended.
    pub fn has_text(&self) -> bool {
        self.text.is_some()
    }

    /// Its end was decided but cannot be told yet: sound of it is on its way to a WebSocket, or the stage has not said how much
    /// was heard. The next reply's events wait for it.
    pub fn is_ending(&self) -> bool {
        let Some((outcome, _)) = self.text.filter(|_| !self.done) else { return false };
        match self.link {
            Link::WebSocket => !self.sent_all && self.will_be_sent(),
            Link::WebRtc => is_cancelled(outcome) && self.sound == Sound::Playing,
        }
    }

    /// How much sound a WebSocket client has been given.
    pub fn sent(&self) -> MediaTime {
        self.sent
    }

    pub fn created(&self) -> ServerBody {
        ServerBody::ResponseCreated {
            response: Box::new(self.response(ResponseStatus::InProgress, None, None, Vec::new())),
        }
    }

    pub fn words(&mut self, delta: String, items: &mut Items) -> Vec<ServerBody> {
        if self.done || delta.is_empty() {
            return Vec::new();
        }
        let mut events = self.announce(items);
        self.said.push_str(&delta);
        events.push(ServerBody::TranscriptDelta(self.delta(delta)));
        events
    }

    pub fn text_done(&mut self, outcome: Outcome, usage: Usage, items: &mut Items) -> Vec<ServerBody> {
        self.text.get_or_insert((outcome, usage));
        self.settle(items)
    }

    pub fn speech_made(&mut self, items: &mut Items) -> Vec<ServerBody> {
        self.speech = Speech::Made;
        self.settle(items)
    }

    /// An engine failed: nothing more will be made of it.
    pub fn failed(&mut self, message: String, items: &mut Items) -> Vec<ServerBody> {
        self.speech = Speech::Failed;
        self.trouble = Some(message);
        self.settle(items)
    }

    /// The first frame has left.
    pub fn started(&mut self, items: &mut Items) -> Vec<ServerBody> {
        if self.sound != Sound::Waiting {
            return Vec::new();
        }
        self.sound = Sound::Playing;
        let mut events = if self.done { Vec::new() } else { self.announce(items) };
        if self.link == Link::WebRtc {
            events.push(ServerBody::OutputBufferStarted { response_id: self.id.clone() });
        }
        events.extend(self.settle(items));
        events
    }

    /// The last frame has left.
    pub fn stopped(&mut self, items: &mut Items) -> Vec<ServerBody> {
        let was_playing = std::mem::replace(&mut self.sound, Sound::Over) == Sound::Playing;
        self.stop_waits |= was_playing && self.link == Link::WebRtc;
        let mut events = self.settle(items);
        events.extend(self.tell_stop());
        events
    }

    /// It was cut after `played`, and `words` of it were heard. On a WebSocket the client has its own buffer, and says itself
    /// what it has heard.
    pub fn cleared(&mut self, played: MediaTime, words: usize, items: &mut Items) -> Vec<ServerBody> {
        let before = std::mem::replace(&mut self.sound, Sound::Over);
        let mut events = Vec::new();
        if before != Sound::Over && self.link == Link::WebRtc {
            if before == Sound::Playing {
                events.push(ServerBody::OutputBufferCleared { response_id: self.id.clone() });
            }
            events.extend(self.truncate(played, words, items));
        }
        events.extend(self.settle(items));
        events
    }

    /// Sound for a WebSocket, in base64; `length` is its duration.
    pub fn sound(&mut self, base64: String, length: MediaTime, items: &mut Items) -> Vec<ServerBody> {
        if self.done {
            return Vec::new();
        }
        let mut events = self.announce(items);
        self.sent += length;
        events.push(ServerBody::AudioDelta(self.delta(base64)));
        events
    }

    /// The last sound for a WebSocket has been sent.
    pub fn sound_sent(&mut self, items: &mut Items) -> Vec<ServerBody> {
        self.sent_all = true;
        self.settle(items)
    }

    pub fn floor_lost(&mut self, items: &mut Items) -> Vec<ServerBody> {
        self.floor_lost = true;
        self.settle(items)
    }

    /// Another reply begins: whatever has not been told of this one will not be.
    pub fn superseded(&mut self, items: &mut Items) -> Vec<ServerBody> {
        if self.done {
            return Vec::new();
        }
        let (outcome, usage) = self.text.unwrap_or((Outcome::Interrupted, Usage::default()));
        self.finish(outcome, usage, items)
    }

    // ---------------------------------------------------------------------------------------------- deciding

    fn settle(&mut self, items: &mut Items) -> Vec<ServerBody> {
        match self.text {
            Some((outcome, usage)) if !self.done && self.is_due(outcome) => self.finish(outcome, usage, items),
            _ => Vec::new(),
        }
    }

    /// Whether nothing can come any more that `response.done` has to follow.
    fn is_due(&self, outcome: Outcome) -> bool {
        match (outcome, self.link) {
            (outcome, Link::WebSocket) if is_cancelled(outcome) => true,
            // The stage says first how much of it was heard.
            (outcome, Link::WebRtc) if is_cancelled(outcome) => self.sound != Sound::Playing,
            _ if self.said.is_empty() && self.sound == Sound::Waiting && self.sent == MediaTime::ZERO => true,
            (_, Link::WebRtc) => {
                self.sound == Sound::Over
                    || self.floor_lost
                    || (self.speech != Speech::Pending && self.sound == Sound::Playing)
            }
            (_, Link::WebSocket) => self.sent_all || (self.floor_lost && !self.will_be_sent()),
        }
    }

    /// The stage has begun it, so its last sound will reach the WebSocket however late.
    fn will_be_sent(&self) -> bool {
        self.sound != Sound::Waiting || self.sent != MediaTime::ZERO
    }

    fn finish(&mut self, outcome: Outcome, usage: Usage, items: &mut Items) -> Vec<ServerBody> {
        let mut events = Vec::new();
        let cancelled = is_cancelled(outcome);
        if cancelled && self.link == Link::WebRtc && self.announced && self.sound == Sound::Waiting {
            // Words were told of which nothing was heard, and nothing will be.
            self.sound = Sound::Over;
            events.extend(self.truncate(MediaTime::ZERO, 0, items));
        }
        let failed = outcome == Outcome::Failed || (!cancelled && self.speech == Speech::Failed);
        let (status, reason) = match outcome {
            _ if failed => (ResponseStatus::Failed, None),
            Outcome::Interrupted => (ResponseStatus::Cancelled, Some("turn_detected")),
            Outcome::Cancelled => (ResponseStatus::Cancelled, Some("client_cancelled")),
            Outcome::Incomplete => (ResponseStatus::Incomplete, Some("max_output_tokens")),
            Outcome::Completed | Outcome::Failed => (ResponseStatus::Completed, None),
        };
        let details = (status != ResponseStatus::Completed).then(|| StatusDetails {
            kind: status,
            reason: reason.map(str::to_owned),
            error: failed.then(|| Failure {
                kind: "server_error".to_owned(),
                code: "engine_failed".to_owned(),
                message: self.trouble.clone().unwrap_or_else(|| "The reply could not be completed.".to_owned()),
            }),
        });
        let mut output = Vec::new();
        if self.announced {
            let item_status =
                if status == ResponseStatus::Completed { ItemStatus::Completed } else { ItemStatus::Incomplete };
            let item = self.record(item_status, items);
            let (response_id, item_id) = (self.id.clone(), self.item.to_string());
            events.extend([
                ServerBody::AudioDone {
                    response_id: response_id.clone(),
                    item_id: item_id.clone(),
                    output_index: 0,
                    content_index: 0,
                },
                ServerBody::TranscriptDone {
                    response_id: response_id.clone(),
                    item_id,
                    output_index: 0,
                    content_index: 0,
                    transcript: self.said.clone(),
                },
                ServerBody::ContentPartDone(self.part(self.said.clone())),
                ServerBody::ItemDone { previous_item_id: named(items.before(&self.item)), item: item.clone() },
                ServerBody::OutputItemDone { response_id, output_index: 0, item: item.clone() },
            ]);
            output.push(item);
        }
        let usage = WireUsage::of_text(usage.input_tokens, usage.output_tokens);
        events
            .push(ServerBody::ResponseDone { response: Box::new(self.response(status, details, Some(usage), output)) });
        self.done = true;
        events.extend(self.tell_stop());
        events
    }

    fn tell_stop(&mut self) -> Option<ServerBody> {
        (self.done && std::mem::take(&mut self.stop_waits))
            .then(|| ServerBody::OutputBufferStopped { response_id: self.id.clone() })
    }

    fn truncate(&mut self, played: MediaTime, words: usize, items: &mut Items) -> Option<ServerBody> {
        self.heard = Some(words);
        if !self.announced {
            return None;
        }
        if let Some(record) = items.by_entry(&Entry::Reply(self.turn)) {
            record.text = Some(first_words(&self.said, words).to_owned());
            record.status = ItemStatus::Incomplete;
        }
        Some(ServerBody::ItemTruncated {
            item_id: self.item.to_string(),
            content_index: 0,
            audio_end_ms: played.as_ms(),
        })
    }
}

fn is_cancelled(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Interrupted | Outcome::Cancelled)
}

/// The text up to the end of its first `count` words.
fn first_words(text: &str, count: usize) -> &str {
    let Some(last) = count.checked_sub(1) else { return "" };
    let Some(word) = text.split_whitespace().nth(last) else { return text };
    let end = word.as_ptr() as usize - text.as_ptr() as usize + word.len();
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_keep_the_spaces_between() {
        assert_eq!(first_words("One,  two three.", 0), "");
        assert_eq!(first_words("One,  two three.", 2), "One,  two");
        assert_eq!(first_words("One,  two three.", 9), "One,  two three.");
        assert_eq!(first_words("", 1), "");
    }
}
