//! The last words of a container that failed: its termination message, where it left none and its
//! `terminationMessagePolicy` is `FallbackToLogsOnError`.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::{Exit, Outcome, Runs};
use agent_runtime::logs::{self, LogLine, LogQuery};
use agent_systemd::UnitManager;
use k8s_openapi::api::core::v1::Container;
use tracing::warn;

use super::worker::Worker;

/// Most lines that are read.
const LINES: usize = 80;

/// Most bytes that are kept, the last ones.
const BYTES: usize = 2048;

/// Longest wait for the journal: the status must not wait for a busy one for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// What runs said last, by their ids.
pub(super) type LastWords = BTreeMap<String, String>;

impl<U: UnitManager + 'static> Worker<U> {
    /// Gives the ends in `runs` that lack a message the last lines of their logs, each read once. The
    /// worker waits for them, so that a status is never told without.
    pub(super) async fn add_last_words(&mut self, container: &Container, runs: &mut Runs) {
        if container.termination_message_policy.as_deref() != Some("FallbackToLogsOnError") {
            return;
        }
        let mut known = std::mem::take(&mut self.local(&container.name).last_words);
        let mut said = LastWords::new();
        for exit in [runs.last.as_mut(), runs.previous.as_mut()].into_iter().flatten() {
            if !is_silent_failure(exit) {
                continue;
            }
            let words = match known.remove(&exit.invocation) {
                Some(words) => words,
                None => self.read_last_words(&container.name, &exit.invocation).await,
            };
            exit.message = Some(words.clone()).filter(|words| !words.is_empty());
            said.insert(exit.invocation.clone(), words);
        }
        self.local(&container.name).last_words = said;
    }

    async fn read_last_words(&self, container: &str, invocation: &str) -> String {
        let query = LogQuery {
            uid: self.uid.clone(),
            container: container.to_owned(),
            invocation_id: Some(invocation.to_owned()),
            tail: Some(LINES),
            ..LogQuery::default()
        };
        let mut lines = logs::read(&self.context.paths, query);
        let mut text = Vec::new();
        let all = async {
            while let Some(line) = lines.recv().await {
                match line {
                    Ok(line) => append(&mut text, &line),
                    Err(error) => warn!(container, error = %error, "last words not read"),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            warn!(container, "the journal did not give the last words in time");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn is_silent_failure(exit: &Exit) -> bool {
    let never_ran = matches!(exit.outcome, Outcome::StartFailed | Outcome::Unknown);
    exit.message.is_none() && !never_ran && !exit.outcome.is_success()
}

/// Adds `line` to `text`, of which only the end is kept.
fn append(text: &mut Vec<u8>, line: &LogLine) {
    text.extend_from_slice(&line.bytes);
    if !line.partial && !line.cut_off {
        text.push(b'\n');
    }
    let too_many = text.len().saturating_sub(BYTES);
    text.drain(..too_many);
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_runtime::logs::Stream;
    use jiff::Timestamp;

    fn line(text: &str, cut_off: bool) -> LogLine {
        LogLine {
            time: 0,
            stream: Stream::Stdout,
            bytes: text.into(),
            partial: false,
            cut_off,
        }
    }

    #[test]
    fn the_end_is_kept_and_no_line_feed_is_invented() {
        let mut text = Vec::new();
        append(&mut text, &line("one", false));
        append(&mut text, &line("DONE", true));
        assert_eq!(text, b"one\nDONE");
        append(&mut text, &line(&"x".repeat(BYTES - 2), false));
        assert_eq!(text.len(), BYTES);
        assert!(text.starts_with(b"Ex") && text.ends_with(b"x\n"));
    }

    #[test]
    fn only_a_failure_without_a_message_is_given_words() {
        let exit = |outcome, message: Option<&str>| Exit {
            invocation: "a".to_owned(),
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
            outcome,
            message: message.map(str::to_owned),
        };
        assert!(is_silent_failure(&exit(Outcome::Exited(1), None)));
        assert!(is_silent_failure(&exit(Outcome::OutOfMemory, None)));
        assert!(!is_silent_failure(&exit(Outcome::Exited(1), Some("said"))));
        assert!(!is_silent_failure(&exit(Outcome::Exited(0), None)));
        assert!(!is_silent_failure(&exit(Outcome::StartFailed, None)));
    }
}
