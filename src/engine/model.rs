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
