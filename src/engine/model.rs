//! data: what a model must be able to do to be served
//!
//! A model is owned by one thread and does one thing at a time. It asks now and then whether anybody still waits for the
//! answer, because the cheapest way to be fast is not to finish what nobody wants.

/// Why a model gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Nobody waits for the answer any more.
    #[error("nobody waits for the answer")]
    Unwanted,
    #[error("the model failed: {0}")]
    Failed(String),
}

/// Speech to text.
pub trait Recognizer: Send + 'static {
    /// What is said in `spoken`. Asks `wanted` at least every ~20 ms of work.
    fn transcribe(&mut self, spoken: &Spoken, wanted: &dyn Fn() -> bool) -> Result<Transcript, ModelError>;
}

/// A piece of speech, trimmed to where somebody speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// 16 kHz mono, full scale ±1.0; at most 30 s.
    pub pcm: Vec<f32>,
    /// How many turns the caller has finished before this one: what a scripted model goes by.
    pub turn: u64,
    /// Whether the words are wanted for good. If not, a quick and possibly doubtful answer is better than a late one.
    pub last_word: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    pub words: Vec<SpokenWord>,
    /// The model took a short cut and has reason not to trust the result. Never set when `last_word` was asked for.
    pub doubtful: bool,
}

/// One word as it is written, with its punctuation; seconds from the start of the piece of speech.
#[derive(Clone, Debug, PartialEq)]
pub struct SpokenWord {
    pub text: String,
    pub start_s: f64,
    pub stop_s: f64,
}

/// Text into sound, a clause at a time: planned whole, so that all its times are known, then sounded piece by piece.
pub trait Synthesizer: Send + 'static {
    /// A planned clause on its way to sound. It travels with the work, so that many streams share one model.
    type Clause: Send + 'static;

    fn plan(&mut self, clause: &ClauseText) -> Result<Plan<Self::Clause>, ModelError>;

    /// The next piece, 24 kHz mono, full scale ±1.0; `None` after the last. The first piece of a clause is short, because
    /// somebody may be waiting for it.
    fn sound(&mut self, clause: &mut Self::Clause) -> Result<Option<Vec<f32>>, ModelError>;
}

/// What is spoken in one breath.
#[derive(Clone, Debug, PartialEq)]
pub struct ClauseText {
    /// The words as they were sent, with their punctuation; none is empty.
    pub words: Vec<String>,
    /// What follows: how the voice falls and how long it pauses.
    pub end: ClauseEnd,
    /// 1.0 is the voice's own speed, 2.0 twice as fast.
    pub speed: f32,
    /// Nothing was said before it in this stream.
    pub first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClauseEnd {
    /// The sentence ends, another follows.
    Sentence,
    /// A comma or its like.
    Comma,
    /// The sentence goes on: it was cut only because it is long.
    Open,
    /// Nothing follows.
    Last,
}

/// When everything in a clause will be heard, in 24 kHz samples from the clause's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<C> {
    /// `(start, stop)` of every word of the clause, in order, starts rising.
    pub words: Vec<(u64, u64)>,
    /// `(start, stop, IPA)`, contiguous enough that a gap is a pause.
    pub phones: Vec<(u64, u64, String)>,
    /// All pieces together have exactly this many samples.
    pub length: u64,
    pub clause: C,
}

/// A language model that answers several conversations at once, a token each per step.
pub trait Generator {
    /// How many answers can be generated at once.
    fn seats(&self) -> usize;
    /// Begins an answer on a free seat. A conversation longer than the window is shortened by whole turns, never refused.
    fn begin(&mut self, seat: usize, chat: &Chat) -> Result<(), ModelError>;
    /// Some more work for every taken seat (at most ~100 ms of it): what each of them has to say now. Nothing while a seat
    /// still reads its prompt; after [`Piece::Done`] a seat is free again.
    fn step(&mut self) -> Result<Vec<(usize, Piece)>, ModelError>;
    /// Gives up the answer on a seat. What has been read of its conversation may be remembered.
    fn abandon(&mut self, seat: usize);
}

/// What a language model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    pub turns: Vec<ChatTurn>,
    /// 0: always the likeliest token.
    pub temperature: f32,
    pub max_tokens: u32,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
    pub seed: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTurn {
    pub speaker: Speaker,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    System,
    User,
    Assistant,
}

/// What a language model says, piece by piece; `Done` or `Failed` is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Done { finish: Finish, usage: TokenUsage },
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model had said all.
    Stop,
    /// It was stopped at the limit.
    Length,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    pub prompt: u32,
    /// How many of `prompt` were still remembered.
    pub cached: u32,
    pub generated: u32,
}
