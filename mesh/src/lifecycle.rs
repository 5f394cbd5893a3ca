//! Tasks: tracked, named, stopped softly and then hard. The only place that spawns.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process (or of one server in a test). Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Default)]
struct Inner {
    tracker: TaskTracker,
    stopping: CancellationToken,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next: u64,
    tasks: HashMap<u64, (&'static str, AbortHandle)>,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. Dropping the handle leaves it running.
    #[allow(clippy::disallowed_methods, reason = "the one door through which tasks start")]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut running = self.running();
        running.next += 1;
        let id = running.next;
        let ended = Ended { tasks: self.clone(), id };
        let handle = tokio::spawn(self.0.tracker.track_future(async move {
            let _ended = ended;
            future.await
        }));
        running.tasks.insert(id, (name, handle.abort_handle()));
        handle
    }

    /// Cancelled when the soft stop begins: accept no more, finish what is under way.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Stops softly, and after `grace` hard. Returns the names of the tasks that had to be aborted.
    pub async fn stop(&self, grace: Duration) -> Vec<&'static str> {
        self.0.stopping.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(grace, self.0.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let left: Vec<(&'static str, AbortHandle)> = self.running().tasks.values().cloned().collect();
        for (_, task) in &left {
            task.abort();
        }
        // An aborted task ends at its next await; one that never awaits cannot be waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.tracker.wait()).await;
        left.into_iter().map(|(name, _)| name).collect()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list, however it ended.
struct Ended {
    tasks: Tasks,
    id: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.tasks.running().tasks.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_heeds_the_stop_is_waited_for() {
        let tasks = Tasks::new();
        let stopping = tasks.stopping();
        let task = tasks.spawn("patient", async move {
            stopping.cancelled().await;
            7
        });
        assert!(tasks.stop(Duration::from_secs(5)).await.is_empty());
        assert_eq!(task.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_task_that_does_not_is_aborted_and_named() {
        let tasks = Tasks::new();
        let _stubborn = tasks.spawn("stubborn", std::future::pending::<()>());
        assert_eq!(tasks.stop(Duration::from_millis(20)).await, ["stubborn"]);
    }
}
