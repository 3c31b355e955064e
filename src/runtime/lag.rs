//! task: how late the async threads are

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::clock;
use crate::metrics::Metrics;

/// Sleeps for [`EVERY`] again and again, for as long as anybody lets it, and measures how much later it wakes: on the
/// real clock, for it is the real threads that are asked about. What keeps this task waiting keeps every call's tasks
/// waiting.
pub async fn measure(metrics: Metrics) -> Result<(), Infallible> {
    loop {
        let due = Instant::now() + EVERY;
        clock::sleep(EVERY).await;
        metrics.runtime_lag(Instant::now().saturating_duration_since(due));
    }
}

/// Two and a half frames: often enough to see one stall, and too seldom to be one.
const EVERY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that something else holds for 200 ms is that late.
    #[tokio::test]
    async fn a_blocked_thread_shows() {
        let metrics = Metrics::new();
        let probe = tokio::spawn(measure(metrics.clone()));
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(250));
        while metrics.render().contains("visavis_runtime_lag_seconds_count 0") {
            tokio::task::yield_now().await;
        }
        let sum = metrics.render().lines().find_map(|line| {
            line.strip_prefix("visavis_runtime_lag_seconds_sum ").map(|sum| sum.parse::<f64>().unwrap())
        });
        assert!(sum.unwrap() >= 0.199, "{sum:?}");
        probe.abort();
    }
}
