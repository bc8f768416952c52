//! Keeping controllers running.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// First pause before a failed controller starts again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs what `start` makes, again and again, until `stop`. A controller that ends or panics
/// early is started anew after a pause that doubles from half a second to a minute.
pub(crate) async fn supervise<F, Fut>(name: &'static str, start: F, stop: CancellationToken)
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let mut running = JoinSet::new();
        running.spawn(start());
        let outcome = running.join_next().await;
        if stop.is_cancelled() {
            return;
        }
        if let Some(Err(error)) = outcome {
            error!(controller = name, %error, "controller failed");
        } else {
            warn!(controller = name, "controller ended early");
        }
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a dropped sleep loses nothing.
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_panics_is_started_again() {
        let starts = Arc::new(AtomicU32::new(0));
        let stop = CancellationToken::new();
        let (counter, token) = (starts.clone(), stop.clone());
        let start = move || {
            let (counter, token) = (counter.clone(), token.clone());
            async move {
                if counter.fetch_add(1, Ordering::SeqCst) < 2 {
                    panic!("first two starts fail");
                }
                token.cancel();
            }
        };
        supervise("test", start, stop).await;
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }
}
