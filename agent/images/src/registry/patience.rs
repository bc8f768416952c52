//! How long is waited for a registry, and how often it is asked again.

use std::time::Duration;

/// The deadlines of a pull.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// Without a byte.
    pub(crate) stall: Duration,
    /// For a whole document: a manifest, a configuration, a token.
    pub(crate) document: Duration,
    /// In which a layer must come forward by [`Self::LEAST`] bytes.
    pub(crate) window: Duration,
    /// For a whole image.
    pub(crate) image: Duration,
    /// Times that a request is made.
    pub(crate) tries: u32,
    /// Before the second time; doubled from there.
    pub(crate) pause: Duration,
    /// The longest pause, also where the registry asks for more.
    pub(crate) longest_pause: Duration,
}

impl Patience {
    /// Bytes of a layer that must come in a window: a registry that drips holds nobody up.
    pub(crate) const LEAST: u64 = 64 << 10;

    /// What the agent uses.
    pub(crate) const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        stall: Duration::from_secs(30),
        document: Duration::from_secs(60),
        window: Duration::from_mins(1),
        image: Duration::from_hours(2),
        tries: 4,
        pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(20),
    };

    /// The pause after `failures` of them, or what the registry asks for; up to a half is added at random.
    pub(crate) fn pause_after(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.pause.saturating_mul(1 << failures.saturating_sub(1).min(10));
        let pause = asked.unwrap_or(doubled).min(self.longest_pause);
        pause.mul_f64(1.0 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_follow_what_the_registry_asks() {
        let patience = Patience::DEFAULT;
        let within = |pause: Duration, least: u64| {
            let least = Duration::from_millis(least);
            assert!(pause >= least && pause <= least * 3 / 2, "{pause:?}");
        };
        within(patience.pause_after(1, None), 500);
        within(patience.pause_after(3, None), 2000);
        within(patience.pause_after(60, None), 20_000);
        within(patience.pause_after(1, Some(Duration::from_secs(7))), 7000);
        within(patience.pause_after(1, Some(Duration::from_hours(7))), 20_000);
    }
}
