//! door: whose turn it is and what to say
//!
//! In: `Heard`, `Ask`, `Progress`. Out: `Say` and the `Floor`. [`history`] is the only conversation, [`prompt`] turns it
//! and a persona into messages, [`llm`] asks a language model on any OpenAI-compatible address, [`clauses`] cuts its answer
//! into words that can be spoken. Never: knows which model or engine answers.

pub mod clauses;
pub mod history;
pub mod llm;
pub mod prompt;
