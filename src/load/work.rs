//! data: what the engines of a server did while a step ran, by the server's own metrics

/// A stage of a server that works by an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The voice detector.
    Vad,
    Stt,
    Llm,
    Tts,
}

/// Of one engine; `None` where the server tells none, or nothing was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Pieces of work that its model ran at once.
    pub mean_batch: Option<f64>,
    /// Words per second, the mean over answers.
    pub words_per_s: Option<f64>,
    /// Time by length of sound, the mean over answers.
    pub rtf: Option<f64>,
}

/// Of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Works([Work; Engine::ALL.len()]);

impl Engine {
    pub const ALL: [Self; 4] = [Self::Vad, Self::Stt, Self::Llm, Self::Tts];

    /// As it stands in tables, in JSON, and as a label of the server's metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vad => "vad",
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

impl Works {
    pub fn each(work: impl FnMut(Engine) -> Work) -> Self {
        Self(Engine::ALL.map(work))
    }

    pub fn of(&self, engine: Engine) -> Work {
        self.0[engine as usize]
    }
}
