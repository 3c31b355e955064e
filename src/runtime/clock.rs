//! io: the one place that reads the time and sleeps; under tokio's paused clock both are virtual

use std::future::Future;
use std::time::{Duration, Instant};

/// Now, on the clock that [`sleep_until`] sleeps on.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Sleeps until `deadline`; for ever when there is none.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Nothing outside the process is awaited without one of these.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
    tokio::time::timeout(limit, future).await.map_err(|_| TimedOut(limit))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {0:?}")]
pub struct TimedOut(pub Duration);
