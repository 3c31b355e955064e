//! door: whose turn it is and what to say
//!
//! In: `Heard`, `Ask`, `Progress`. Out: `Say` and the `Floor`. [`turn`] decides who speaks and mints the floor,
//! [`history`] is the only conversation, [`prompt`] turns it and a persona into messages, [`llm`] asks a language model
//! on any OpenAI-compatible address, [`clauses`] cuts its answer into words that can be spoken, [`reply`] is one answer
//! on its way, [`account`] what turns took, [`task`] joins them.
//! Never: knows which model or engine answers.

mod account;
pub mod clauses;
pub mod history;
pub mod llm;
pub mod prompt;
mod reply;
pub mod task;
pub mod turn;
