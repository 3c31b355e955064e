//! door: the front desk: admits calls, answers HTTP, owns the media port
//!
//! In: HTTP requests ([`router`]). Out: calls, started through a [`CallStarter`] with a [`Permit`] each; refusals with
//! OpenAI's error bodies ([`refusal`], the table of whose fault is which status). [`desk`] decides who gets in, [`auth`]
//! who may ask, [`body`] reads offers, `page` serves `web/`; [`port`] is the one UDP socket of all calls, [`addresses`] what
//! it is announced as. Never: knows what a call does.

pub mod addresses;
pub mod auth;
pub mod body;
pub mod desk;
mod page;
pub mod port;
pub mod refusal;
mod routes;

use std::future::Future;

pub use desk::{Desk, Permit};
pub use refusal::CallError;
pub use routes::router;

/// Starts and ends calls.
pub trait CallStarter: Send + Sync + 'static {
    /// Answers `offer` and starts the call, which keeps `permit` until it has ended and left nothing behind. `session` is
    /// the session object that came with the offer, a JSON object whose fields nobody has checked. Dropping the future
    /// gives the call up.
    fn start(
        &self,
        offer: String,
        session: Option<serde_json::Value>,
        permit: Permit,
    ) -> impl Future<Output = Result<Started, CallError>> + Send;

    /// Hangs up; false when there is no such call.
    fn end(&self, call_id: &str) -> bool;

    /// Hangs up on everybody, politely, and returns when all have gone and left nothing behind. Nobody is admitted any
    /// more when this is called.
    fn end_all(&self) -> impl Future<Output = ()> + Send;
}

/// A call that has been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// What `Location` ends with: not to be guessed, safe in a URL.
    pub call_id: String,
    pub answer_sdp: String,
}
