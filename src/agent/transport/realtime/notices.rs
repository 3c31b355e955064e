//! core: what the rooms tell, as events

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::protocol::{Asked, Protocol};
use super::refusal::Refusal;
use super::response::{Reply, Terms};
use crate::agent::flow::{AskId, Entry, Fact, Fault, Mood, Notice, Trace, TurnId, WordTime};
use crate::media::time::{MediaTime, Samples};
use crate::wire::realtime::server::{self, CaptionWord, ResponseVoice, Segments, ServerBody};
use crate::wire::realtime::session::AudioFormat;

impl Protocol {
    pub(super) fn notices(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            match notice.turn {
                Some(turn) if self.must_wait(turn) => self.gate.wait(notice),
                Some(turn) => self.fact_of(turn, notice.fact),
                None => self.fact(notice.fact),
            }
        }
    }

    /// A fact about no turn of the agent.
    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::SpeechStarted { user, at } => {
                let told = self.user.started(user, at, &mut self.ids);
                self.tell(told);
            }
            Fact::SpeechStopped { user, at } => {
                let told = self.user.stopped(user, at, &mut self.ids);
                self.tell(told);
            }
            Fact::Committed { user } => {
                self.appended_bytes = 0;
                let told = self.user.committed(user, &mut self.items, &mut self.ids);
                self.tell_all(told);
            }
            Fact::Transcript { user, text, stable } if self.tells_transcripts() => {
                let told = self.user.heard(user, &text, stable);
                self.tell_all(told);
            }
            Fact::Transcribed { user, text, heard } => {
                let told = self.user.transcribed(user, text, heard, &mut self.items);
                if self.tells_transcripts() {
                    self.tell_all(told);
                }
            }
            Fact::TranscriptionFailed { user, message } => {
                let told = self.user.not_transcribed(user, message);
                if self.tells_transcripts() {
                    self.tell_all(told);
                }
            }
            Fact::ReplyRefused { asked } => {
                if let Some(Asked { event_id, .. }) = self.take_asked(Some(asked)) {
                    self.refuse(already_active(self.active().map(|reply| reply.id.as_str())), event_id);
                }
            }
            Fact::Retrieved { entry, text } => self.retrieved(entry, text),
            Fact::Trouble { fault, message } => self.refuse(trouble(fault, message), None),
            Fact::State { mood } => {
                self.mood = mood;
                if self.settings().include.state {
                    self.tell_state();
                }
            }
            // The transport ends the call; no event says so.
            Fact::Goodbye => {}
            // Facts of a turn that name none say nothing.
            _ => {}
        }
    }

    /// A fact about a reply that has, or has had, the floor.
    fn fact_of(&mut self, turn: TurnId, fact: Fact) {
        match fact {
            Fact::ReplyStarted { asked } => self.begin(turn, asked),
            Fact::ReplyText { delta } => self.with_reply(turn, |reply, items| reply.words(delta, items)),
            Fact::ReplyDone { outcome, usage } => {
                if self.gate.has_passed(turn) {
                    self.with_reply(turn, Reply::floor_lost);
                }
                self.with_reply(turn, |reply, items| reply.text_done(outcome, usage, items));
            }
            Fact::SpeechMade => self.with_reply(turn, Reply::speech_made),
            Fact::AudioStarted => {
                self.configuration.fix_voice();
                self.with_reply(turn, Reply::started);
            }
            Fact::AudioStopped => self.with_reply(turn, Reply::stopped),
            Fact::AudioCleared { played, words } => {
                self.with_reply(turn, |reply, items| reply.cleared(played, words, items));
            }
            Fact::Captions { words } if self.settings().include.captions => self.captions(turn, &words),
            Fact::Trace(trace) if self.settings().include.trace => self.trace(turn, &trace),
            Fact::Trouble { fault, message } => match self.reply(turn) {
                Some(reply) if !reply.is_done() => self.with_reply(turn, |reply, items| reply.failed(message, items)),
                _ => self.refuse(trouble(fault, message), None),
            },
            Fact::Performed { played, underrun } if self.settings().include.trace => {
                self.performed(turn, played, underrun);
            }
            Fact::Captions { .. } | Fact::Trace(_) | Fact::Performed { .. } => {}
            // The rest is about the user or the call, whatever turn it was published under.
            fact => self.fact(fact),
        }
    }

    /// A reply begins. Whatever was not told of the one before will not be: one response at a time.
    fn begin(&mut self, turn: TurnId, asked: Option<AskId>) {
        if self.reply(turn).is_some() {
            return;
        }
        let last = self.replies.back().map(|reply| reply.turn);
        if let Some(last) = last {
            self.with_reply(last, Reply::superseded);
        }
        self.cancelling = false;
        let session = self.configuration.session();
        let terms = Terms {
            conversation_id: self.conversation_id.clone(),
            voice: ResponseVoice { format: session.audio.output.format, voice: session.audio.output.voice.clone() },
            max_output_tokens: session.max_output_tokens,
            metadata: None,
        };
        let metadata = asked.and_then(|id| self.take_asked(Some(id))).and_then(|asked| asked.metadata);
        let (id, item) = (self.ids.mint("resp"), self.ids.mint("item").into());
        let reply = Reply::new(turn, id, item, self.link, Terms { metadata, ..terms });
        self.tell(reply.created());
        if self.replies.len() == REPLIES_REMEMBERED {
            self.replies.pop_front();
        }
        self.replies.push_back(reply);
    }

    /// The waiting `response.create`, if it is the one that `id` names.
    pub(super) fn take_asked(&mut self, id: Option<AskId>) -> Option<Asked> {
        self.asked.take_if(|asked| id.is_none_or(|id| asked.id == id))
    }

    /// Sound of a WebSocket leaves: its turn has the floor, whatever was seen of the floor.
    pub(super) fn sound(&mut self, turn: TurnId, bytes: &[u8]) {
        let told = self.gate.open(turn);
        self.notices(told);
        self.configuration.fix_voice();
        let length: MediaTime = match self.configuration.session().audio.output.format {
            AudioFormat::Pcm { .. } => Samples(bytes.len() as u64 / 2),
            AudioFormat::Pcmu | AudioFormat::Pcma => Samples::<8_000>(bytes.len() as u64).at_rate(),
        };
        let base64 = STANDARD.encode(bytes);
        self.with_reply(turn, |reply, items| reply.sound(base64, length, items));
    }

    fn retrieved(&mut self, entry: Entry, text: Option<String>) {
        // Deleted while it was looked for: the client knows.
        let Some(mut record) = self.items.by_entry(&entry).cloned() else { return };
        record.text = text.or(record.text);
        self.tell(ServerBody::ItemRetrieved { item: record.item() });
    }

    fn captions(&mut self, turn: TurnId, words: &[WordTime]) {
        let Some(reply) = self.reply(turn).filter(|reply| reply.is_announced()) else { return };
        let words = words.iter().map(|word| CaptionWord {
            text: word.text.clone(),
            start_ms: word.start.as_ms(),
            end_ms: word.stop.as_ms(),
        });
        let told = ServerBody::Captions {
            response_id: reply.id.clone(),
            item_id: reply.item.to_string(),
            words: words.collect(),
        };
        self.tell(told);
    }

    fn trace(&mut self, turn: TurnId, trace: &Trace) {
        let Some(reply) = self.reply(turn) else { return };
        let segments = Segments {
            decided_ms: trace.decided_ms,
            transcribed_ms: trace.transcribed_ms,
            first_token_ms: trace.first_token_ms,
            first_sound_ready_ms: trace.first_sound_ready_ms,
            first_sound_ms: trace.first_sound_ms,
        };
        let told = ServerBody::Trace { response_id: reply.id.clone(), segments };
        self.tell(told);
    }

    fn performed(&mut self, turn: TurnId, played: MediaTime, underrun: MediaTime) {
        let Some(reply) = self.reply(turn) else { return };
        let told = ServerBody::Playout {
            response_id: reply.id.clone(),
            played_ms: played.as_ms(),
            underrun_ms: underrun.as_ms(),
        };
        self.tell(told);
    }

    pub(super) fn tell_state(&mut self) {
        let state = match self.mood {
            Mood::Idle => server::Mood::Idle,
            Mood::Listening => server::Mood::Listening,
            Mood::Thinking => server::Mood::Thinking,
            Mood::Speaking => server::Mood::Speaking,
        };
        self.tell(ServerBody::State { state });
    }

    fn tells_transcripts(&self) -> bool {
        self.configuration.session().audio.input.transcription.is_some()
    }
}

/// Stock clients know this code and wait for `response.done`.
pub(super) fn already_active(response_id: Option<&str>) -> Refusal {
    let which = response_id.map(|id| format!(": {id}")).unwrap_or_default();
    let message = format!(
        "Conversation already has an active response in progress{which}. Wait until the response is finished before creating a new one."
    );
    Refusal::new("conversation_already_has_active_response", message)
}

fn trouble(fault: Fault, message: String) -> Refusal {
    match fault {
        Fault::Caller => Refusal::new("invalid_request", message),
        Fault::Busy => Refusal::server("server_busy", message),
        Fault::Engine => Refusal::server("engine_failed", message),
        Fault::Bug => Refusal::server("internal_error", message),
    }
}

/// The last facts about a reply come while the next one speaks.
const REPLIES_REMEMBERED: usize = 8;
