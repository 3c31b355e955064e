//! io: what a caller is told when something went wrong, and whose fault that is

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::agent::flow::Fault;
use crate::metrics::RejectReason;

/// Why a call could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub fault: Fault,
    /// A word for programs, `invalid_offer`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// Which part of the request is meant.
    pub param: Option<Cow<'static, str>>,
}

impl CallError {
    pub fn new(fault: Fault, code: &'static str, message: impl Into<String>) -> Self {
        Self { fault, code, message: message.into(), param: None }
    }

    pub fn about(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }
}

/// The one table from whose fault it is to what HTTP says: status, OpenAI's error type, worth another try.
fn row(fault: Fault) -> (StatusCode, &'static str, bool) {
    match fault {
        Fault::Caller => (StatusCode::BAD_REQUEST, "invalid_request_error", false),
        Fault::Busy => (StatusCode::SERVICE_UNAVAILABLE, "server_error", true),
        Fault::Engine => (StatusCode::BAD_GATEWAY, "server_error", true),
        Fault::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", false),
    }
}

/// An answer that says no: a status and OpenAI's error body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    error: CallError,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// `retry_after`: what the caller is told to wait where another try is worth it.
    pub fn new(error: CallError, retry_after: Duration) -> Self {
        let (status, kind, again) = row(error.fault);
        Self { status, kind, error, retry_after: again.then_some(retry_after) }
    }

    /// The caller's fault, with a status that says more than 400.
    pub fn caller(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = if status == StatusCode::UNAUTHORIZED { "authentication_error" } else { "invalid_request_error" };
        Self { status, kind, error: CallError::new(Fault::Caller, code, message), retry_after: None }
    }

    pub fn about(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.error.param = Some(param.into());
        self
    }

    /// The desk said no.
    pub fn rejected(reason: RejectReason, max_sessions: usize, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs();
        let (code, message) = match reason {
            RejectReason::Full => (
                "server_full",
                format!(
                    "The server is full: all of its {max_sessions} calls are taken. Try again in {seconds} seconds."
                ),
            ),
            RejectReason::Draining => ("server_draining", "The server is shutting down. Try again later.".to_owned()),
            RejectReason::Starting => {
                ("server_starting", format!("The server is still loading its models. Try again in {seconds} seconds."))
            }
        };
        Self::new(CallError::new(Fault::Busy, code, message), retry_after)
    }

    pub fn fault(&self) -> Fault {
        self.error.fault
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let CallError { fault, code, message, param } = self.error;
        match fault {
            Fault::Caller => tracing::debug!(code, message, "refused"),
            Fault::Busy => tracing::info!(code, message, "refused"),
            Fault::Engine => tracing::warn!(code, message, "an engine failed"),
            Fault::Bug => tracing::error!(code, message, "a fault of ours"),
        }
        let body = json!({"error": {"message": message, "type": self.kind, "code": code, "param": param}});
        let mut response = (self.status, Json(body)).into_response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
