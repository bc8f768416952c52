//! Who waits for which job.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Ended jobs remembered for a caller whose reply is read after the signal.
const REMEMBERED: usize = 1024;

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// systemd's word for the result.
    Result(String),
    /// The connection went, and the signal with it.
    Lost,
}

/// Jobs by object path, waited for or just ended.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<String, oneshot::Sender<Ended>>,
    ended: VecDeque<(String, String)>,
}

impl Jobs {
    /// Waits for the end of `job`, also where it ended already. Cancel-safe.
    pub(super) fn wait(&self, job: &str) -> impl Future<Output = Ended> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.lock();
            let known = state.ended.iter().position(|(path, _)| path == job);
            match known.and_then(|at| state.ended.remove(at)) {
                // The receiver is right here.
                Some((_, result)) => drop(sender.send(Ended::Result(result))),
                None => drop(state.waiting.insert(job.to_owned(), sender)),
            }
        }
        async { receiver.await.unwrap_or(Ended::Lost) }
    }

    /// Notes the end of `job`.
    pub(super) fn ended(&self, job: &str, result: &str) {
        let mut state = self.lock();
        if let Some(waiter) = state.waiting.remove(job) {
            // A waiter past its deadline is gone; nobody else wants the result.
            drop(waiter.send(Ended::Result(result.to_owned())));
            return;
        }
        if state.ended.len() == REMEMBERED {
            state.ended.pop_front();
        }
        state.ended.push_back((job.to_owned(), result.to_owned()));
    }

    /// Nobody waits for `job` any more.
    pub(super) fn forget(&self, job: &str) {
        self.lock().waiting.remove(job);
    }

    /// Ends every wait: the signals that would have are lost.
    pub(super) fn lost(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        state.ended.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_ended_before_its_reply_was_read_is_not_missed() {
        let jobs = Jobs::default();
        jobs.ended("/job/1", "done");
        assert_eq!(jobs.wait("/job/1").await, Ended::Result("done".into()));
    }

    #[tokio::test]
    async fn a_lost_connection_ends_every_wait() {
        let jobs = Jobs::default();
        let wait = jobs.wait("/job/1");
        jobs.lost();
        assert_eq!(wait.await, Ended::Lost);
    }

    #[tokio::test]
    async fn ends_that_nobody_asks_for_are_forgotten_in_time() {
        let jobs = Jobs::default();
        (0..2 * REMEMBERED).for_each(|n| jobs.ended(&format!("/job/{n}"), "done"));
        assert_eq!(jobs.lock().ended.len(), REMEMBERED);
    }
}
