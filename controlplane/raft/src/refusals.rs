use std::sync::atomic::{AtomicU64, Ordering};

/// Why something that came in at the peer port was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was no TLS, or a certificate that the cluster's authority has not issued, or it was not over in time.
    Handshake,
    /// It was no server of this cluster, and had no right to join.
    Stranger,
    /// A message was too long, or broke off.
    Frame,
    /// A message could not be read.
    Malformed,
    /// A server asked for what only members may ask for.
    NotMember,
    /// Too many connections were open.
    Busy,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Handshake,
        Self::Stranger,
        Self::Frame,
        Self::Malformed,
        Self::NotMember,
        Self::Busy,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Stranger => "stranger",
            Self::Frame => "frame",
            Self::Malformed => "malformed",
            Self::NotMember => "not_member",
            Self::Busy => "busy",
        }
    }
}

/// How often something was refused at the peer port, by reason.
#[derive(Debug, Default)]
pub struct Refusals {
    handshake: AtomicU64,
    stranger: AtomicU64,
    frame: AtomicU64,
    malformed: AtomicU64,
    not_member: AtomicU64,
    busy: AtomicU64,
}

impl Refusals {
    fn counter(&self, reason: Reason) -> &AtomicU64 {
        match reason {
            Reason::Handshake => &self.handshake,
            Reason::Stranger => &self.stranger,
            Reason::Frame => &self.frame,
            Reason::Malformed => &self.malformed,
            Reason::NotMember => &self.not_member,
            Reason::Busy => &self.busy,
        }
    }

    pub(crate) fn add(&self, reason: Reason) {
        self.counter(reason).fetch_add(1, Ordering::Relaxed);
    }

    /// How often so far.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.counter(reason).load(Ordering::Relaxed)
    }
}
