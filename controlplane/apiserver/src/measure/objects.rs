//! What is looked at only when somebody asks for it: how many objects there are, and what runs and waits in each level.

use std::fmt;

use controlplane_api::{Registry, Verb};
use controlplane_store::{Range, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::Metrics;
use crate::flow::{Flow, Occupancy};
use crate::read::select;

/// Lets `metrics` ask for it.
pub(crate) fn register(metrics: &mut Metrics, registry: Registry, store: Store, flow: Flow) {
    metrics.register_collector(Box::new(Looked {
        registry,
        store,
        flow,
    }));
}

#[derive(Debug)]
struct Looked {
    registry: Registry,
    store: Store,
    flow: Flow,
}

impl Collector for Looked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.objects(&mut encoder)?;
        self.levels(&mut encoder)
    }
}

impl Looked {
    fn objects(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Number of stored objects at the time of last check split by kind.";
        let mut metric = out.encode_descriptor("apiserver_storage_objects", help, None, MetricType::Gauge)?;
        for resource in self
            .registry
            .iter()
            .filter(|resource| resource.allows(Verb::List))
        {
            let range = Range {
                limit: Some(1),
                ..Range::prefix(select::folder(resource, None))
            };
            let Ok(listing) = self.store.list(&range) else {
                continue;
            };
            let shown = u64::try_from(listing.entries.len()).unwrap_or(u64::MAX);
            let count = listing.remaining.saturating_add(shown);
            let labels = [("resource", resource.qualified_name())];
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
                .encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn levels(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Look = fn(&Occupancy) -> usize;
        let tables: [(&str, &str, Look); 4] = [
            (
                "apiserver_flowcontrol_current_executing_requests",
                "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
                |level| level.running,
            ),
            (
                "apiserver_flowcontrol_current_inqueue_requests",
                "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
                |level| level.waiting,
            ),
            (
                "apiserver_flowcontrol_current_executing_seats",
                "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
                |level| usize::try_from(level.used).unwrap_or(usize::MAX),
            ),
            (
                "apiserver_flowcontrol_nominal_limit_seats",
                "Nominal number of execution seats configured for each priority level",
                |level| usize::try_from(level.seats).unwrap_or(usize::MAX),
            ),
        ];
        let levels = self.flow.levels();
        for (name, help, look) in tables {
            let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for level in &levels {
                let labels = [("priority_level", level.level.to_string())];
                let value = i64::try_from(look(level)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
