//! door: language models
//!
//! In: a [`Chat`](crate::engine::model::Chat). Out: a stream of pieces; dropping it frees its seat at once. [`desk`]
//! runs any [`Generator`](crate::engine::model::Generator) on a thread of its own; `smollm` is one, on llama.cpp
//! (feature `embedded-llm`), with [`memory`] (which conversations are remembered) and [`window`] (what of a
//! conversation fits).
//! Never: knows who asks.

pub mod cpu;
pub mod desk;
pub mod memory;
#[cfg(feature = "embedded-llm")]
pub mod smollm;
pub mod window;

use std::sync::Arc;

use futures_util::stream::BoxStream;

use super::model::{Chat, Piece};
use super::worker::Busy;

/// One answer as it comes: ends after `Done` or `Failed`.
pub type Answer = BoxStream<'static, Piece>;

/// Something that answers: a model on its thread, or a script.
pub trait Answers: Send + Sync {
    /// The name it is listed under.
    fn model(&self) -> &str;
    /// Refused at once when as many answers as promised are being given. Dropping the answer gives it up.
    fn ask(&self, chat: Chat) -> Result<Answer, Busy>;
    /// Whether it can answer at all: a model whose thread has ended never will again.
    fn is_well(&self) -> bool {
        true
    }
}

/// A handle to whatever answers. Clones share it.
#[derive(Clone)]
pub struct LlmEngine(Arc<dyn Answers>);

impl LlmEngine {
    pub fn new(answers: impl Answers + 'static) -> Self {
        Self(Arc::new(answers))
    }

    pub fn model(&self) -> &str {
        self.0.model()
    }

    pub fn ask(&self, chat: Chat) -> Result<Answer, Busy> {
        self.0.ask(chat)
    }

    pub fn is_well(&self) -> bool {
        self.0.is_well()
    }
}
