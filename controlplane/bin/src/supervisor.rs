//! What systemd is told: ready, alive, stopping.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Tells systemd; without one to tell, nothing happens.
pub(crate) fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[clone(state)]) {
        debug!(error = &error as &dyn std::error::Error, "nobody to notify");
    }
}

fn clone<'a>(state: &NotifyState<'a>) -> NotifyState<'a> {
    match state {
        NotifyState::Ready => NotifyState::Ready,
        NotifyState::Stopping => NotifyState::Stopping,
        _ => NotifyState::Watchdog,
    }
}

/// Says that the process is alive, twice as often as the watchdog asks, until `stop`.
pub(crate) async fn keep_alive(stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let every = (limit / 2).max(Duration::from_millis(100));
    loop {
        tell(&NotifyState::Watchdog);
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a dropped sleep loses nothing.
            () = tokio::time::sleep(every) => {}
        }
    }
}
