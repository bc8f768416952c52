//! What the server tells of the requests it answers, under upstream's names.
//!
//! Labels are bounded: of resources and subresources those that are served, of other paths those that are routes.

mod labels;
mod objects;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use controlplane_api::Resource;
use http_body::Body as _;
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use crate::Metrics;
use crate::front::info::{Info, Length};
use labels::{Counted, InFlight, Kind, Named, Terminated, Timed};
pub(crate) use objects::register as register_objects;

type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

/// Numbers about requests. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    answered: Family<Counted, Counter>,
    took: Timings<Timed>,
    worked: Timings<Named>,
    sizes: Timings<Named>,
    terminated: Family<Terminated, Counter>,
    long: Family<Named, Gauge>,
    in_flight: [Gauge; 2],
    events: Family<Kind, Counter>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Ongoing {
    measure: Measure,
    named: Named,
    dry_run: &'static str,
    length: Length,
    begun: Instant,
    in_flight: Option<Held>,
}

/// How long a request has waited for its seat; on its response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited(pub(crate) Duration);

/// Counts one for as long as it lives.
#[derive(Debug)]
struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Upstream's buckets for the time of requests, in seconds.
fn seconds() -> Histogram {
    Histogram::new([
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0,
        15.0, 20.0, 30.0, 45.0, 60.0,
    ])
}

/// Upstream's buckets for the size of answers, in bytes.
fn bytes() -> Histogram {
    Histogram::new([1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9])
}

impl Measure {
    /// New numbers, told by `metrics`.
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let mut measure = Self {
            answered: Family::default(),
            took: Family::new_with_constructor(seconds),
            worked: Family::new_with_constructor(seconds),
            sizes: Family::new_with_constructor(bytes),
            terminated: Family::default(),
            long: Family::default(),
            in_flight: [Gauge::default(), Gauge::default()],
            events: Family::default(),
        };
        let help = "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code";
        metrics.register("apiserver_request", help, measure.answered.clone());
        let help = "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component";
        metrics.register("apiserver_request_duration_seconds", help, measure.took.clone());
        let help = "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.";
        metrics.register(
            "apiserver_request_sli_duration_seconds",
            help,
            measure.worked.clone(),
        );
        let help = "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component";
        metrics.register("apiserver_response_sizes", help, measure.sizes.clone());
        let help = "Number of requests which apiserver terminated in self-defense";
        metrics.register("apiserver_request_terminations", help, measure.terminated.clone());
        let help = "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way";
        metrics.register("apiserver_longrunning_requests", help, measure.long.clone());
        let help = "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.";
        let kinds = Family::<InFlight, Gauge>::default();
        for (gauge, request_kind) in measure.in_flight.iter_mut().zip(["readOnly", "mutating"]) {
            *gauge = kinds.get_or_create_owned(&InFlight { request_kind });
        }
        metrics.register("apiserver_current_inflight_requests", help, kinds);
        let help = "Number of events sent in watch clients";
        metrics.register("apiserver_watch_events", help, measure.events.clone());
        measure
    }

    /// Begins to measure a request.
    pub(crate) fn begin(&self, info: &Info, path: &str) -> Ongoing {
        let gauge = self.in_flight.get(usize::from(info.changes_something()));
        let counted = gauge.filter(|_| info.length == Length::Short).map(Held::new);
        Ongoing {
            measure: self.clone(),
            named: Named::of(info, path),
            dry_run: labels::dry_run(&info.query),
            length: info.length,
            begun: Instant::now(),
            in_flight: counted,
        }
    }

    /// Counts a request that was refused before it was known what it is about.
    pub(crate) fn refused(&self, method: &http::Method, code: u16) {
        self.count(&Named::unknown(method), "", code);
    }

    fn count(&self, named: &Named, dry_run: &'static str, code: u16) {
        let counted = Counted {
            named: named.clone(),
            dry_run,
            code,
        };
        self.answered.get_or_create(&counted).inc();
    }

    /// The counter of events that watches of a resource send.
    pub(crate) fn events(&self, resource: &Resource) -> Counter {
        self.events.get_or_create_owned(&Kind {
            group: resource.group.clone(),
            version: resource.version.clone(),
            resource: resource.plural.clone(),
        })
    }
}

impl Ongoing {
    /// Takes down how the request was answered. What goes on after its answer has begun is counted until it ends.
    pub(crate) fn answered(mut self, response: Response) -> Response {
        let code = response.status().as_u16();
        drop(self.in_flight.take());
        self.measure.count(&self.named, self.dry_run, code);
        if code == 429 || code == 504 {
            let terminated = Terminated {
                named: self.named.clone(),
                code,
            };
            self.measure.terminated.get_or_create(&terminated).inc();
        }
        if self.length != Length::Short && response.status().is_success() {
            let held = Held::new(&self.measure.long.get_or_create(&self.named));
            return response.map(|body| {
                Body::new(body.map_err(move |error| {
                    // The closure lives and dies with the body.
                    let Held(_) = &held;
                    error
                }))
            });
        }
        self.note_time(&response);
        response
    }

    fn note_time(&self, response: &Response) {
        let timed = Timed {
            named: self.named.clone(),
            dry_run: self.dry_run,
        };
        let took = self.begun.elapsed();
        self.measure
            .took
            .get_or_create(&timed)
            .observe(took.as_secs_f64());
        let waited = response
            .extensions()
            .get()
            .map_or(Duration::ZERO, |Waited(time)| *time);
        let worked = took.saturating_sub(waited).as_secs_f64();
        self.measure.worked.get_or_create(&self.named).observe(worked);
        let size = response
            .body()
            .size_hint()
            .exact()
            .and_then(|size| u32::try_from(size).ok());
        if let Some(size) = size.filter(|_| response.status().is_success() && self.named.reads()) {
            let sizes = self.measure.sizes.get_or_create(&self.named);
            sizes.observe(f64::from(size));
        }
    }
}
