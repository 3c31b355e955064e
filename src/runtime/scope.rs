//! io: the tasks of one session (or one server): spawned by name, ended together, their panics reported
//!
//! Dropping a scope aborts what still runs. A task that fails or panics becomes the end of its scope, with a reason.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Guard, Metrics, Object};

/// Owns tasks. Not cloneable: whoever holds it decides how long they live.
pub struct Scope {
    tasks: JoinSet<(&'static str, Result<(), TaskError>)>,
    token: CancellationToken,
    counter: TaskCounter,
}

/// Why a task ended badly.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    #[error("panicked: {0}")]
    Panicked(String),
}

/// How the first task of a scope ended.
#[derive(Debug)]
pub struct Ended {
    pub task: &'static str,
    pub result: Result<(), TaskError>,
}

/// How many tasks of all scopes sharing this counter are alive: what a leak test looks at.
#[derive(Clone, Debug, Default)]
pub struct TaskCounter {
    alive: Arc<AtomicUsize>,
    shown: Option<Metrics>,
}

impl TaskCounter {
    /// One whose count is shown among the metrics.
    pub fn shown_in(metrics: &Metrics) -> Self {
        Self { alive: Arc::default(), shown: Some(metrics.clone()) }
    }

    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    fn enter(&self) -> TaskGuard {
        self.alive.fetch_add(1, Ordering::Relaxed);
        TaskGuard { alive: self.alive.clone(), _shown: self.shown.as_ref().map(|metrics| metrics.live(Object::Task)) }
    }
}

struct TaskGuard {
    alive: Arc<AtomicUsize>,
    _shown: Option<Guard>,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Scope {
    pub fn new(counter: TaskCounter) -> Self {
        Self { tasks: JoinSet::new(), token: CancellationToken::new(), counter }
    }

    /// A scope whose token is cancelled with `parent`'s.
    pub fn child_of(parent: &CancellationToken, counter: TaskCounter) -> Self {
        Self { tasks: JoinSet::new(), token: parent.child_token(), counter }
    }

    /// Cancelled when the scope is: for errors and deadlines. A line ends gently by hanging up its leftmost lane.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs `future` until it ends or the scope is dropped. `name` appears in the reason if it fails.
    pub fn spawn<F, E>(&mut self, name: &'static str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        let guard = self.counter.enter();
        self.tasks.spawn(async move {
            let _guard = guard;
            let caught = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(future)).await;
            let result = match caught {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(TaskError::Failed(error.into())),
                Err(panic) => Err(TaskError::Panicked(panic_message(&*panic))),
            };
            (name, result)
        });
    }

    /// The next task to end; `None` when all have.
    pub async fn next(&mut self) -> Option<Ended> {
        loop {
            match self.tasks.join_next().await? {
                Ok((task, result)) => return Some(Ended { task, result }),
                // Aborted: only by our own drop or `abort_all`, which nobody asks the result of.
                Err(_) => continue,
            }
        }
    }

    /// Forgets the tasks that have ended.
    pub fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Stops everything at the next await, and waits until it has stopped.
    pub async fn abort_all(&mut self) {
        self.token.cancel();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// The text of a caught panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic in a room is a reason, not the end of the process; and the task count comes back.
    #[tokio::test]
    async fn a_panic_is_reported_by_name() {
        let counter = TaskCounter::default();
        let mut scope = Scope::new(counter.clone());
        scope.spawn("steady", async { std::future::pending::<Result<(), anyhow::Error>>().await });
        scope.spawn("clumsy", async { if true { panic!("tripped over {}", 7) } else { anyhow::Ok(()) } });
        let ended = scope.next().await.expect("one task ended");
        assert_eq!(ended.task, "clumsy");
        assert!(matches!(ended.result, Err(TaskError::Panicked(text)) if text == "tripped over 7"));
        assert_eq!(counter.alive(), 1);
        scope.abort_all().await;
        assert_eq!(counter.alive(), 0);
    }
}
