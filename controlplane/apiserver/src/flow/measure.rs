//! What priority and fairness tells of requests, under upstream's names.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::{Rejected, Schema};
use crate::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    priority_level: Arc<str>,
    flow_schema: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Turned {
    priority_level: Arc<str>,
    flow_schema: Arc<str>,
    reason: &'static str,
}

/// Numbers about requests that were let in, and those that were not. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    let_in: Family<Labels, Counter>,
    turned_away: Family<Turned, Counter>,
    waited: Family<Labels, Histogram, fn() -> Histogram>,
    ran: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            let_in: Family::default(),
            turned_away: Family::default(),
            waited: Family::new_with_constructor(seconds),
            ran: Family::new_with_constructor(seconds),
        }
    }
}

/// The numbers of one schema, so that they are looked up once for all its requests.
#[derive(Debug)]
pub(super) struct Own {
    let_in: Counter,
    waited: Histogram,
    ran: Histogram,
}

/// Upstream's buckets, in seconds.
fn seconds() -> Histogram {
    Histogram::new([
        0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
    ])
}

impl Measure {
    /// Lets `metrics` tell the numbers.
    pub(super) fn register(&self, metrics: &mut Metrics) {
        let help = "Number of requests executed by API Priority and Fairness subsystem";
        metrics.register(
            "apiserver_flowcontrol_dispatched_requests",
            help,
            self.let_in.clone(),
        );
        let help = "Number of requests rejected by API Priority and Fairness subsystem";
        metrics.register(
            "apiserver_flowcontrol_rejected_requests",
            help,
            self.turned_away.clone(),
        );
        let help = "Length of time a request spent waiting in its queue";
        metrics.register(
            "apiserver_flowcontrol_request_wait_duration_seconds",
            help,
            self.waited.clone(),
        );
        let help = "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem";
        metrics.register(
            "apiserver_flowcontrol_request_execution_seconds",
            help,
            self.ran.clone(),
        );
    }

    fn own(&self, schema: &Schema) -> Own {
        let labels = Labels {
            priority_level: Arc::clone(&schema.level),
            flow_schema: Arc::clone(&schema.name),
        };
        Own {
            let_in: self.let_in.get_or_create_owned(&labels),
            waited: self.waited.get_or_create_owned(&labels),
            ran: self.ran.get_or_create_owned(&labels),
        }
    }

    /// A request may run after it has waited.
    pub(super) fn let_in(&self, schema: &Schema, waited: Duration) {
        let own = schema.measured.get_or_init(|| self.own(schema));
        own.let_in.inc();
        own.waited.observe(waited.as_secs_f64());
    }

    /// A request has run.
    pub(super) fn ran(&self, schema: &Schema, ran: Duration) {
        let own = schema.measured.get_or_init(|| self.own(schema));
        own.ran.observe(ran.as_secs_f64());
    }

    /// A request may not run.
    pub(super) fn turned_away(&self, schema: &Schema, why: Rejected) {
        let turned = Turned {
            priority_level: Arc::clone(&schema.level),
            flow_schema: Arc::clone(&schema.name),
            reason: why.reason(),
        };
        self.turned_away.get_or_create(&turned).inc();
    }
}
