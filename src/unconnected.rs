//! io: calls that are refused, until the session room is joined on

use serde_json::Value;
use visavis::agent::flow::Fault;
use visavis::agent::server::{CallError, CallStarter, Permit, Started};
use visavis::app::Parts;

pub struct Unconnected(#[expect(dead_code)] Parts);

impl Unconnected {
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }
}

impl CallStarter for Unconnected {
    async fn start(&self, _: String, _: Option<Value>, _: Permit) -> Result<Started, CallError> {
        Err(CallError::new(Fault::Bug, "unconnected", "Calls are not connected yet."))
    }

    fn end(&self, _: &str) -> bool {
        false
    }

    async fn end_all(&self) {}
}
