//! data: every message the rooms exchange, left to right
//!
//! ```text
//!            asks                                    floor: latest, from the dialogue to every room
//!    ┌─────────────────────────┐         ┌──────────┬───────────┬───────────┐
//!    │                         ▼         │          ▼           ▼           ▼
//! transport ─mic─► hearing ─heard─► dialogue ─say─► voice ─speech─► stage ─sound─► transport
//!                                        ▲            └─script─► avatar ◄─cue─┤ └picture► transport
//!                                        └───────────── progress ─────────────┘
//! notices: every room ─► transport.      settings: latest, transport ─► every room.
//! ```

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::media::picture::I420;
use crate::media::sound::{Frame, Pcm};
use crate::media::time::{MediaTime, Samples};

// ------------------------------------------------------------------------------------------------ turns

/// One reply of the agent. Minted only by `dialogue/turn.rs`, rising; stale work carries an old number and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u64);

/// One turn of the user: what is said between two commits. Minted by hearing when speech starts (or, in manual mode, at the
/// commit), rising. One that ends without a commit (`Mic::Clear`, a cough) is never named again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserTurn(pub u64);

/// The id of a conversation item on the wire (`item_…`). Minted by the protocol core (or given by the client).
pub type ItemId = Arc<str>;

/// An entry of the conversation as the rooms name it. The protocol core alone knows the wire's ids of the first two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// What the user said.
    User(UserTurn),
    /// What the agent said.
    Reply(TurnId),
    /// What the client added with [`Ask::Item`].
    Added(ItemId),
}

/// Where in the conversation an added entry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before everything (`previous_item_id: "root"`).
    Start,
    After(Entry),
    End,
}

// ------------------------------------------------------------------------------------------------ transport → hearing

/// What the caller's side sends, in order.
#[derive(Clone, Debug)]
pub enum Mic {
    /// One Opus packet. `media_time` is its RTP time on the 48 kHz clock since the first packet of the call.
    Packet { seq: u64, media_time: Samples<48_000>, arrival: Instant, bytes: Bytes },
    /// End the user's turn here (manual mode).
    Commit,
    /// Forget what was heard since the last commit.
    Clear,
}

// ------------------------------------------------------------------------------------------------ transport → dialogue

/// What the caller asks of the dialogue.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// `response.create`. Without instructions in an empty conversation: the voice's greeting, word for word.
    Respond(Respond),
    /// `response.cancel`, and `output_audio_buffer.clear` (which also silences what still plays).
    Cancel,
    /// The client says that it has heard only `played` of the reply's sound.
    Truncate { turn: TurnId, played: MediaTime },
    /// A message that the client adds to the conversation.
    Item { id: ItemId, place: Place, role: Role, text: String },
    /// Forget an entry.
    Delete { entry: Entry },
    /// Answered by [`Fact::Retrieved`].
    Retrieve { entry: Entry },
}

/// One `response.create`, so that its answer can be told from one that the dialogue began by itself. Minted by the protocol core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Always answered: by [`Fact::ReplyStarted`] or [`Fact::ReplyRefused`] with the same `id`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Respond {
    pub id: AskId,
    /// Replaces the persona's instructions for this one response.
    pub instructions: Option<String>,
    pub max_output_tokens: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

// ------------------------------------------------------------------------------------------------ settings

/// What the caller may change while the call runs: the latest, from the transport to every room.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Rises with every change; asks and mic are ordered against it by the transport.
    pub revision: u64,
    /// The person (voice + persona + face): a name in voices.yaml.
    pub person: String,
    /// `session.instructions`, when the client gave any: replaces the persona's.
    pub instructions: Option<String>,
    pub turn_detection: Option<TurnDetection>,
    pub max_output_tokens: Option<u32>,
    /// Output speed, 0.25–1.5.
    pub speed: f32,
    /// Which extensions the client asked for.
    pub include: Include,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnDetection {
    /// VAD probability above which a chunk counts as speech, 0–1.
    pub threshold: f32,
    pub prefix_padding_ms: u32,
    /// Silence in microphone media time that ends a turn.
    pub silence_duration_ms: u32,
    /// Answer by itself when the turn ends.
    pub create_response: bool,
    /// Speech of the user pauses, then cuts the agent.
    pub interrupt_response: bool,
}

impl Default for TurnDetection {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            create_response: true,
            interrupt_response: true,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Include {
    pub state: bool,
    pub captions: bool,
    pub trace: bool,
}

// ------------------------------------------------------------------------------------------------ hearing → dialogue

/// What was heard. Times are microphone media time since the start of the call.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The VAD heard ~90 ms of speech; it began at `at`, and arrived here at `onset` on the clock of this process.
    SpeechStarted { user: UserTurn, at: Samples<16_000>, onset: Instant },
    /// The words so far; the first `stable` of them will not change.
    Partial { text: String, stable: usize },
    /// The user has been silent for a moment (~100 ms), since `at`.
    SpeechPaused { at: Samples<16_000> },
    /// The final text, should this pause be the end of the turn: starts speculation.
    Hypothesis { text: String },
    /// The pause was long enough (or the client committed): `text` is what was said, `at` is where speech ended.
    TurnEnded { user: UserTurn, text: String, at: Samples<16_000>, ears: EarTrace },
}

/// When things happened while a turn was heard: timings travel with the work. Wall clock of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarTrace {
    /// The arrival of the packet in which the speech ended, as far as the clock can tell.
    pub speech_ended: Instant,
    /// The endpoint decided.
    pub decided: Instant,
    /// The final transcript was there.
    pub transcribed: Instant,
}

// ------------------------------------------------------------------------------------------------ dialogue → voice

/// One turn to be spoken: the dialogue hangs up (drops the sender) after [`Say::End`], or earlier to abandon it.
#[derive(Debug)]
pub struct Utterance {
    pub turn: TurnId,
    pub voice: VoiceChoice,
    pub words: mpsc::Receiver<Say>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VoiceChoice {
    /// The TTS engine's name of the voice.
    pub voice: String,
    pub speed: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// One word as it should be shown, with its punctuation, without spaces around.
    Word(String),
    /// A clause ends here: what was said so far can be spoken.
    Boundary,
    /// The text is complete.
    End,
}

// ------------------------------------------------------------------------------------------------ voice → stage, avatar

/// One turn as sound: the voice hangs up after the chunk whose `end` is set, or earlier when it failed.
#[derive(Debug)]
pub struct Recital {
    pub turn: TurnId,
    pub speech: mpsc::Receiver<Arc<Speech>>,
}

/// A piece of a turn's sound, with the words and phones that begin in it. Times count from the start of the turn's sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    pub turn: TurnId,
    /// Where `pcm` begins in the turn. Pieces are contiguous.
    pub at: MediaTime,
    pub pcm: Pcm<24_000>,
    pub words: Vec<WordTime>,
    pub phones: Vec<PhoneTime>,
    /// The last piece (its `pcm` may be empty).
    pub end: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WordTime {
    pub text: String,
    pub start: MediaTime,
    pub stop: MediaTime,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PhoneTime {
    /// IPA; `""` or punctuation for a pause.
    pub ipa: String,
    pub start: MediaTime,
    pub stop: MediaTime,
}

// ------------------------------------------------------------------------------------------------ stage → transport, avatar

/// What leaves the stage, one frame every 20 ms.
#[derive(Clone, Debug, PartialEq)]
pub enum Sound {
    /// `media_time` counts from the start of the call; `turn` is `None` for silence.
    Frame { turn: Option<TurnId>, media_time: MediaTime, pcm: Frame },
    /// The turn has been played, cut or abandoned: nothing of it follows. Never shed.
    End { turn: TurnId },
}

/// Which moment to draw, on the video grid: start + n / fps. Latest wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cue {
    pub media_time: MediaTime,
    /// The turn whose speech is heard at that moment, and the position in it.
    pub speech: Option<(TurnId, MediaTime)>,
    pub level: Level,
    pub mood: Mood,
}

/// A picture to be shown at `media_time`.
#[derive(Clone, Debug)]
pub struct Picture {
    pub media_time: MediaTime,
    pub image: Image,
}

#[derive(Clone, Debug)]
pub enum Image {
    Raw(Arc<I420>),
    /// A worker's own VP8 frame, passed through.
    Encoded {
        vp8: Bytes,
        keyframe: bool,
    },
}

// ------------------------------------------------------------------------------------------------ floor, progress

/// Whose turn it is: minted only by `dialogue/turn.rs`. Rooms accept work of `now` and `next`; the stage plays only `now`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    pub now: Option<TurnId>,
    /// Held behind the gate: made ready, never heard, never an event, until it becomes `now`.
    pub next: Option<TurnId>,
    pub level: Level,
    pub mood: Mood,
}

impl Floor {
    /// Whether work of `turn` is still wanted by anybody.
    pub fn wants(&self, turn: TurnId) -> bool {
        (self.now == Some(turn) && self.level != Level::Cut) || self.next == Some(turn)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    #[default]
    Full,
    /// The voice has faded out within one frame and its position stands still.
    Paused,
    /// Nothing more of `now` will be heard.
    Cut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mood {
    #[default]
    Idle,
    Listening,
    Thinking,
    Speaking,
}

/// What was really played, of the last two turns: the latest, from the stage to the dialogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub turns: Vec<Played>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    pub turn: TurnId,
    /// Words whose sound has begun to leave, in order.
    pub words: Vec<WordTime>,
    /// How much of the turn's sound has left.
    pub played: MediaTime,
    /// When its first piece of sound was here, on this process's clock.
    pub ready: Option<Instant>,
    /// When its first frame left.
    pub first_sound: Option<Instant>,
    /// When it last fell silent because the floor had turned away: its fading frame left.
    pub faded: Option<Instant>,
    pub ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// To the last sample.
    Complete,
    /// The floor went to somebody else.
    Cut,
    /// The voice hung up in the middle.
    Failed,
}

// ------------------------------------------------------------------------------------------------ notices → transport

/// A fact for the caller. The protocol core holds those of the floor's `next` until the floor decides.
/// A room publishes what it has to tell *before* it sends on what follows from it (`SpeechStarted` before its `Heard`, `ReplyStarted`
/// before the first word, `ReplyDone` before the floor moves): then the one lane of notices has causes before effects.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub turn: Option<TurnId>,
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    // hearing (turn is `None`)
    SpeechStarted {
        user: UserTurn,
        at: Samples<16_000>,
    },
    /// Published when the endpoint has decided that the turn is over, just before `Committed`; `at` is where speech ended.
    SpeechStopped {
        user: UserTurn,
        at: Samples<16_000>,
    },
    /// The user's turn is over and becomes an item. Published by hearing at the end of the turn, before its transcript.
    Committed {
        user: UserTurn,
    },
    /// The words so far of a turn being spoken or just committed.
    Transcript {
        user: UserTurn,
        text: String,
        stable: usize,
    },
    /// The final words of a committed turn; `heard` is its length. Every `Committed` is followed by this or by a failure.
    Transcribed {
        user: UserTurn,
        text: String,
        heard: Samples<16_000>,
    },
    TranscriptionFailed {
        user: UserTurn,
        message: String,
    },
    // dialogue (turn is set)
    /// The agent begins to answer. Published before the first word goes to the voice, of a held turn too; `asked` names the
    /// `response.create` that it answers.
    ReplyStarted {
        asked: Option<AskId>,
    },
    /// A piece of the reply's text, with its leading space: what will be said.
    ReplyText {
        delta: String,
    },
    /// The reply's text is complete, or was ended. Published once for every turn that had the floor, before the floor goes
    /// to another.
    ReplyDone {
        outcome: Outcome,
        usage: Usage,
    },
    // dialogue (turn is `None`)
    /// A `response.create` that cannot be answered, because another reply has the floor.
    ReplyRefused {
        asked: AskId,
    },
    /// What stands in the history; `None` when it knows no such entry.
    Retrieved {
        entry: Entry,
        text: Option<String>,
    },
    /// Which engine failed and how (any room). With a turn it becomes the reason of that response's failure, and what was made
    /// of it is still played; without one it becomes an `error` event. It ends nothing by itself.
    Trouble {
        fault: Fault,
        message: String,
    },
    /// The dialogue has said goodbye: the call ends when it has been played.
    Goodbye,
    // voice (turn is set)
    /// The last piece of the turn's sound has been made. Not published for a turn that failed
    /// ([`Fact::Trouble`]) or was abandoned.
    SpeechMade,
    // stage (turn is set; each begun turn ends with exactly one of the last two)
    /// The first frame of the turn has left.
    AudioStarted,
    /// The last one has.
    AudioStopped,
    /// The turn was cut after `played`; `words` were heard.
    AudioCleared {
        played: MediaTime,
        words: usize,
    },
    /// How the turn came out, told just before one of the two above: how much of it was played, and how much silence stood
    /// in the middle of it because its speech came late (extension `visavis.playout`, under `visavis.trace`).
    Performed {
        played: MediaTime,
        underrun: MediaTime,
    },
    /// Words whose sound has begun (extension `visavis.captions`).
    Captions {
        words: Vec<WordTime>,
    },
    /// The mood of the floor (extension `visavis.state`).
    State {
        mood: Mood,
    },
    /// The segments of one turn (extension `visavis.trace`), all from the end of the user's speech.
    Trace(Trace),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// Cut by the user's speech.
    Interrupted,
    /// Cancelled by the client.
    Cancelled,
    /// Stopped at the token limit.
    Incomplete,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u32,
    pub output_tokens: u32,
}

/// Whose fault: mapped in one table to HTTP status, close code, log level, metric label and retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    Caller,
    Busy,
    Engine,
    Bug,
}

/// Milliseconds from the end of the user's speech (or from the ask, when nobody spoke) to each fact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trace {
    pub decided_ms: f32,
    pub transcribed_ms: f32,
    pub first_token_ms: f32,
    pub first_sound_ready_ms: f32,
    pub first_sound_ms: f32,
}
