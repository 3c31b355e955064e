//! io: why a call did not come about, or what did not happen in it; and which cause that counts as

use std::time::Duration;

use reqwest::StatusCode;

use crate::rtc::{Gone, RtcError, SendError};

use super::outcome::Cause;

#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The server said no, properly.
    #[error("the server refused the call: {status}: {body}")]
    Refused {
        status: StatusCode,
        /// Seconds, from `Retry-After`.
        retry_after: Option<u64>,
        body: String,
    },
    #[error("talking to the server: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the server's address or answer is unusable: {0}")]
    Answer(String),
    #[error(transparent)]
    Rtc(#[from] RtcError),
    #[error("the caller's socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("media did not flow within {0:?}")]
    NotConnected(Duration),
    #[error("{what} did not happen within {within:?}")]
    TooLate { what: String, within: Duration },
    /// A question was not answered as it should be.
    #[error("the answer: {0}")]
    Unanswered(Cause),
    #[error("the call is over: {0:?}")]
    Over(Option<Gone>),
    #[error("the data channel: {0}")]
    Channel(#[from] SendError),
}

impl From<&CallerError> for Cause {
    fn from(error: &CallerError) -> Self {
        match error {
            CallerError::Refused { status, .. }
                if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(status) =>
            {
                Self::Busy
            }
            CallerError::Refused { .. } => Self::Refused,
            CallerError::Http(error) if is_no_http(error) => Self::Garbage,
            CallerError::Http(_) | CallerError::Socket(_) => Self::Unreachable,
            CallerError::Answer(_) | CallerError::Rtc(_) => Self::Garbage,
            CallerError::NotConnected(_) | CallerError::Over(Some(Gone::NeverConnected)) => Self::NotConnected,
            CallerError::TooLate { .. } => Self::NoAnswer,
            CallerError::Unanswered(cause) => *cause,
            CallerError::Over(_) | CallerError::Channel(_) => Self::Dropped,
        }
    }
}

/// Whether something was answered that is no HTTP. The client's own kind of error for it is not public; its words are.
fn is_no_http(error: &reqwest::Error) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        if cause.to_string().starts_with("invalid HTTP") {
            return true;
        }
        source = cause.source();
    }
    error.is_decode()
}
