//! What a server tells of itself in metrics.

use std::fmt;
use std::sync::Arc;

use openraft::ServerState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::member::Member;
use crate::members;
use crate::refusals::{Reason, Refusals};

/// Durations of appends to the log, from a tenth of a millisecond to three seconds.
pub(crate) fn append_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 16))
}

/// Adds everything that is told of `member` to `registry`.
pub(crate) fn register(registry: &mut Registry, member: &Arc<Member>, refusals: &Arc<Refusals>) {
    registry.register(
        "raft_log_append_duration_seconds",
        "Time to write entries to the log and sync it",
        member.health.append_seconds.clone(),
    );
    registry.register_collector(Box::new(Collected {
        member: Arc::clone(member),
        refusals: Arc::clone(refusals),
    }));
}

/// What is looked up when it is asked for.
#[derive(Debug)]
struct Collected {
    member: Arc<Member>,
    refusals: Arc<Refusals>,
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.member.metrics();
        let leads = now.state == ServerState::Leader;
        let index = |id: Option<crate::types::LogId>| id.map_or(0, |id| id.index);
        let has_leader = now.current_leader.is_some();
        for (name, help, value) in [
            ("raft_term", "Term in which this server is", now.current_term),
            ("raft_is_leader", "Whether this server leads", u64::from(leads)),
            (
                "raft_has_leader",
                "Whether this server knows of a leader",
                u64::from(has_leader),
            ),
            (
                "raft_log_last_index",
                "Newest entry of the log",
                now.last_log_index.unwrap_or(0),
            ),
            (
                "raft_applied_index",
                "Newest entry that is applied",
                index(now.last_applied),
            ),
            (
                "raft_purged_index",
                "Newest entry that the log has forgotten",
                index(now.purged),
            ),
        ] {
            gauge(&mut encoder, name, help, value)?;
        }
        self.behind(&mut encoder, &now)?;
        self.refused(&mut encoder)
    }
}

impl Collected {
    /// How far the others are behind, which only the leader knows.
    fn behind(&self, encoder: &mut DescriptorEncoder<'_>, now: &crate::types::Metrics) -> fmt::Result {
        let help = "Entries that a server is behind, as the leader knows it";
        let mut metric = encoder.encode_descriptor("raft_behind_entries", help, None, MetricType::Gauge)?;
        for info in members::list(now)
            .into_iter()
            .filter(|info| info.id != self.member.id)
        {
            if let Some(behind) = info.behind {
                let labels = [("server", info.peer.name)];
                ConstGauge::new(behind).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn refused(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections and messages that were refused at the peer port";
        let mut metric = encoder.encode_descriptor("raft_peer_refusals", help, None, MetricType::Counter)?;
        for reason in Reason::ALL {
            let labels = [("reason", reason.name())];
            ConstCounter::new(self.refusals.count(reason)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}
