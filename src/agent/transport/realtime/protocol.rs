//! core: one caller's OpenAI Realtime session
//!
//! In:    the client's text, the rooms' notices, the floor, and on a WebSocket the sound that is sent.
//! Out:   server events as JSON, in order; what the client asks of the rooms.
//! Law:   `poll` until `None` after every `handle`. The first event is `session.created`.
//! Never: fails: what a client gets wrong becomes an `error` event that names the client's event.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::Value;

use super::gate::Gate;
use super::ids::Ids;
use super::items::Items;
use super::refusal::Refusal;
use super::response::Reply;
use super::session::Configuration;
use super::user::User;
use crate::agent::flow::{Ask, AskId, Entry, Floor, Mic, Mood, Notice, Settings, TurnDetection, TurnId};
use crate::wire::realtime::{ServerBody, ServerEvent};

/// What carries the session. It decides which events exist and who knows what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Sound travels as RTP, and the server's buffer is the client's: `output_audio_buffer.*`, the server truncates.
    WebRtc,
    /// Sound travels in events, the client has its own buffer and truncates.
    WebSocket,
}

/// What a session starts from.
#[derive(Clone, Debug)]
pub struct Setup {
    pub link: Link,
    /// Of the ids: random in a call, fixed in a test.
    pub seed: u64,
    /// `session.model`.
    pub model: String,
    /// `session.audio.input.transcription.model`.
    pub transcription_model: String,
    /// Who speaks unless the client chooses.
    pub person: String,
    /// Whom the client may choose.
    pub persons: Vec<String>,
    /// How turns end until the client says otherwise.
    pub turn_detection: TurnDetection,
    /// When the session ends at the latest, in Unix seconds; 0: never.
    pub expires_at_unix_s: u64,
}

/// What happens to the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// One client event as it came.
    Client(&'a str),
    Notice(Notice),
    Floor(Floor),
    /// The lane of asks was full: the ask did not reach the dialogue.
    Refused {
        ask: Ask,
        event_id: Option<String>,
    },
    /// WebSocket: sound of a turn leaves now, in the session's output format.
    Sound {
        turn: TurnId,
        bytes: &'a [u8],
    },
    /// WebSocket: the last sound of a turn has left (`Sound::End`).
    SoundEnd {
        turn: TurnId,
    },
}

/// What the transport does for the session.
#[derive(Debug)]
pub enum Output {
    /// Send this text as one message.
    Event(String),
    /// Hand on to the dialogue; when its lane is full, give it back as [`Input::Refused`].
    Ask { ask: Ask, event_id: Option<String> },
    /// Put into the mic lane: `Commit` or `Clear`.
    Mic(Mic),
    /// WebSocket: the microphone's sound, in the session's input format.
    Sound(Bytes),
    /// Publish to every room.
    Settings(Settings),
}

#[derive(Debug)]
pub struct Protocol {
    pub(super) link: Link,
    pub(super) ids: Ids,
    pub(super) conversation_id: String,
    pub(super) configuration: Configuration,
    pub(super) gate: Gate,
    pub(super) items: Items,
    pub(super) user: User,
    /// The last replies, oldest first: at most the newest is not done.
    pub(super) replies: VecDeque<Reply>,
    /// The `response.create` that has not been answered.
    pub(super) asked: Option<Asked>,
    pub(super) asks: u64,
    /// The client has asked to cancel the reply that is active or playing.
    pub(super) cancelling: bool,
    /// WebSocket: bytes of sound since the last commit.
    pub(super) appended_bytes: usize,
    pub(super) mood: Mood,
    out: VecDeque<Output>,
}

/// A `response.create` on its way to the dialogue.
#[derive(Debug)]
pub(super) struct Asked {
    pub id: AskId,
    pub event_id: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

impl Protocol {
    /// `patch` is a session object that came with the call (`POST /v1/realtime/calls`); a bad one refuses the call.
    pub fn new(setup: Setup, patch: Option<&Value>) -> Result<Self, Refusal> {
        let mut ids = Ids::new(setup.seed);
        let mut configuration = Configuration::new(&ids.mint("sess"), &setup);
        if let Some(patch) = patch {
            configuration.update(patch)?;
        }
        let mut protocol = Self {
            link: setup.link,
            conversation_id: ids.mint("conv"),
            ids,
            configuration,
            gate: Gate::default(),
            items: Items::default(),
            user: User::default(),
            replies: VecDeque::new(),
            asked: None,
            asks: 0,
            cancelling: false,
            appended_bytes: 0,
            mood: Mood::default(),
            out: VecDeque::new(),
        };
        let session = Box::new(protocol.configuration.session().clone());
        protocol.tell(ServerBody::SessionCreated { session });
        Ok(protocol)
    }

    /// The settings as they are: what the rooms start from.
    pub fn settings(&self) -> &Settings {
        self.configuration.settings()
    }

    pub fn handle(&mut self, input: Input<'_>) {
        match input {
            Input::Client(text) => self.client(text),
            Input::Notice(notice) => {
                let told = self.gate.notice(notice);
                self.notices(told);
            }
            Input::Floor(floor) => self.move_floor(floor),
            Input::Refused { ask, event_id } => self.ask_refused(ask, event_id),
            Input::Sound { turn, bytes } => self.sound(turn, bytes),
            Input::SoundEnd { turn } => {
                let told = self.gate.open(turn);
                self.notices(told);
                self.with_reply(turn, Reply::sound_sent);
            }
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn move_floor(&mut self, floor: Floor) {
        let told = self.gate.floor(floor);
        self.notices(told);
        let lost = self.active().filter(|reply| {
            let turn = reply.turn;
            floor.now != Some(turn) && (reply.has_text() || self.gate.has_passed(turn))
        });
        if let Some(turn) = lost.map(|reply| reply.turn) {
            self.with_reply(turn, Reply::floor_lost);
        }
    }

    // ---------------------------------------------------------------------------------------------- telling

    pub(super) fn tell(&mut self, body: ServerBody) {
        let event = ServerEvent { event_id: self.ids.mint("event"), body };
        let text = serde_json::to_string(&event).expect("an event is JSON: its keys are strings, its numbers finite");
        self.out.push_back(Output::Event(text));
    }

    pub(super) fn tell_all(&mut self, bodies: impl IntoIterator<Item = ServerBody>) {
        bodies.into_iter().for_each(|body| self.tell(body));
    }

    pub(super) fn refuse(&mut self, refusal: Refusal, event_id: Option<String>) {
        self.tell(ServerBody::Error { error: refusal.detail(event_id) });
    }

    pub(super) fn put(&mut self, output: Output) {
        self.out.push_back(output);
    }

    // ---------------------------------------------------------------------------------------------- replies

    pub(super) fn reply(&self, turn: TurnId) -> Option<&Reply> {
        self.replies.iter().rev().find(|reply| reply.turn == turn)
    }

    /// The reply whose response is not done.
    pub(super) fn active(&self) -> Option<&Reply> {
        self.replies.back().filter(|reply| !reply.is_done())
    }

    /// Lets a reply take a fact, and tells what follows from it.
    pub(super) fn with_reply(&mut self, turn: TurnId, take: impl FnOnce(&mut Reply, &mut Items) -> Vec<ServerBody>) {
        let Some(reply) = self.replies.iter_mut().rev().find(|reply| reply.turn == turn) else { return };
        let told = take(reply, &mut self.items);
        let is_done = reply.is_done();
        self.tell_all(told);
        if is_done {
            let waited = self.gate.waiting();
            self.notices(waited);
        }
    }

    /// A reply may begin while the end of the one before is still to be told.
    pub(super) fn must_wait(&self, turn: TurnId) -> bool {
        self.active().is_some_and(|reply| reply.turn < turn && reply.is_ending())
    }

    pub(super) fn entry(&self, item_id: &str) -> Option<Entry> {
        self.items.by_id(item_id).map(|record| record.entry.clone())
    }
}

#[cfg(test)]
impl Setup {
    pub fn example(link: Link) -> Self {
        Self {
            link,
            seed: 1,
            model: "visavis".to_owned(),
            transcription_model: "whisper-tiny.en".to_owned(),
            person: "theo".to_owned(),
            persons: vec!["theo".to_owned(), "maya".to_owned()],
            turn_detection: TurnDetection::default(),
            expires_at_unix_s: 0,
        }
    }
}
