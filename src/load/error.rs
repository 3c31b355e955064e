//! io: why a call did not come about, or what did not happen in it; and which cause that counts as

use std::io;
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
    Socket(#[from] io::Error),
    #[error("media did not flow within {0:?}")]
    NotConnected(Duration),
    #[error("{what} did not happen within {within:?}")]
    TooLate { what: String, within: Duration },
    /// A question was not answered as it should be.
    #[error("the answer: {0}")]
    Unanswered(Cause),
    /// `None`: nobody ended it, the caller's own side broke or stalled.
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
            CallerError::Http(error) if is_ours(error) => Self::Ours,
            CallerError::Http(error) if is_no_http(error) => Self::Garbage,
            CallerError::Http(_) => Self::Unreachable,
            CallerError::Socket(_) | CallerError::Over(None) => Self::Ours,
            CallerError::Answer(_) | CallerError::Rtc(_) => Self::Garbage,
            CallerError::NotConnected(_) | CallerError::Over(Some(Gone::NeverConnected)) => Self::NotConnected,
            CallerError::TooLate { .. } => Self::NoAnswer,
            CallerError::Unanswered(cause) => *cause,
            CallerError::Over(_) | CallerError::Channel(_) => Self::Dropped,
        }
    }
}

/// Whether this machine had no socket, descriptor or port left to call from.
pub(super) fn is_ours(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>();
        let has_none_left = |io: &io::Error| {
            io.kind() == io::ErrorKind::AddrNotAvailable || io.raw_os_error().is_some_and(|n| NO_FILES.contains(&n))
        };
        if io.is_some_and(has_none_left) {
            return true;
        }
        // An I/O error that wraps another passes over it when it is asked for its source.
        let wrapped = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn std::error::Error + 'static));
        source = wrapped.or_else(|| cause.source());
    }
    false
}

/// ENFILE and EMFILE, which have no kind of their own: too many open files, in the system and in the process.
const NO_FILES: [i32; 2] = [23, 24];

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has run out of descriptors has learnt nothing about the server; whoever is refused has.
    #[test]
    fn our_own_faults_are_ours() {
        let wrapped = |os| io::Error::other(io::Error::from_raw_os_error(os));
        assert!(is_ours(&wrapped(24)) && is_ours(&io::Error::from(io::ErrorKind::AddrNotAvailable)));
        assert!(!is_ours(&io::Error::from(io::ErrorKind::ConnectionRefused)) && !is_ours(&wrapped(111)));
        let cause = |error: CallerError| Cause::from(&error);
        assert_eq!(cause(CallerError::Socket(io::Error::from_raw_os_error(24))), Cause::Ours);
        assert_eq!(
            (cause(CallerError::Over(None)), cause(CallerError::Over(Some(Gone::NeverConnected)))),
            (Cause::Ours, Cause::NotConnected)
        );
    }
}
