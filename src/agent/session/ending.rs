//! task: waits for the end of a call, and sees to it that nothing of it is left

use std::time::Duration;

use super::line::TRANSPORT;
use crate::runtime::clock;
use crate::runtime::scope::{Ended, Scope, TaskError};

/// Runs the call's tasks to their end. The end of the transport ends the line, left to right; a room that fails hangs up for
/// all. Gives the reason of a bad end.
pub async fn outlive(mut scope: Scope) -> Result<(), String> {
    let mut reason = Ok(());
    while let Some(Ended { task, result }) = scope.next().await {
        match result {
            Ok(()) if task != TRANSPORT => continue,
            Ok(()) => break,
            Err(error) => {
                reason = Err(format!("{task}: {error}"));
                match &error {
                    TaskError::Panicked(_) => tracing::error!(task, %error, "a room of the call panicked"),
                    TaskError::Failed(_) => tracing::warn!(task, %error, "a room of the call failed"),
                }
                if task == TRANSPORT {
                    break;
                }
                scope.token().cancel();
            }
        }
    }
    let drained = async { while scope.next().await.is_some() {} };
    if clock::timeout(DRAIN, drained).await.is_err() {
        tracing::debug!("rooms that did not end by themselves are stopped");
    }
    scope.abort_all().await;
    reason
}

/// What a room may still do when the caller has gone: nobody hears it.
const DRAIN: Duration = Duration::from_millis(500);
