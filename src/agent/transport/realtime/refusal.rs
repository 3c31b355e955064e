//! data: why something that a client sent is not done

use crate::wire::realtime::server::ErrorDetail;

/// One refusal. As an `error` event it leaves the session as it was; as the body of an HTTP answer it refuses a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable, for programs; clients act on some of them. `docs/protocol.md` lists them all.
    pub code: &'static str,
    /// For people: what was wrong, with what, and what would be right.
    pub message: String,
    /// The field at fault, as a path.
    pub param: Option<String>,
    /// The fault is ours, not the client's.
    pub ours: bool,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, ours: false }
    }

    pub fn of(code: &'static str, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(code, message) }
    }

    pub fn server(code: &'static str, message: impl Into<String>) -> Self {
        Self { ours: true, ..Self::new(code, message) }
    }

    pub fn missing(param: &str) -> Self {
        Self::of("missing_required_parameter", param, format!("Missing required parameter: '{param}'."))
    }

    /// The wire's form. `event_id` is the client event at fault: clients that wait for an answer look for it.
    pub fn detail(self, event_id: Option<String>) -> ErrorDetail {
        let kind = if self.ours { "server_error" } else { "invalid_request_error" };
        ErrorDetail {
            kind: kind.to_owned(),
            code: Some(self.code.to_owned()),
            message: self.message,
            param: self.param,
            event_id,
        }
    }
}
