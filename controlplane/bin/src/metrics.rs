//! What the daemon tells at `/metrics` of its store, its files and its process.

use std::fmt;
use std::path::{Path, PathBuf};

use controlplane_apiserver::Metrics;
use controlplane_store::Store;
use procfs::process::Process;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Adds all of it to `metrics`.
pub(crate) fn register(metrics: &mut Metrics, store: Store, state_dir: &Path) {
    let state_dir = state_dir.to_owned();
    metrics.register_collector(Box::new(Stored { store, state_dir }));
    metrics.register_collector(Box::new(OwnProcess));
}

/// The store, and what it takes on disk.
#[derive(Debug)]
struct Stored {
    store: Store,
    state_dir: PathBuf,
}

impl Collector for Stored {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        let revision = self.store.revision().get();
        let compacted = self.store.compacted().get();
        gauge(out, "store_revision", "Revision of the newest write", revision)?;
        let help = "Oldest revision that is kept in memory";
        gauge(out, "store_compacted_revision", help, compacted)?;
        let watches = self.store.watches();
        gauge(out, "store_watches", "Open watches of the store", watches)?;
        let help = "Bytes that the log takes on disk";
        gauge(out, "raft_log_bytes", help, bytes_in(&self.state_dir.join("log")))?;
        let help = "Size of the storage database file physically allocated in bytes.";
        let mut size =
            out.encode_descriptor("apiserver_storage_size_bytes", help, None, MetricType::Gauge)?;
        let labels = [("storage_cluster_id", self.store.cluster_id())];
        let bytes =
            bytes_of(&self.state_dir.join("store.db")) + bytes_of(&self.state_dir.join("store.db-wal"));
        ConstGauge::new(bytes).encode(size.encode_family(&labels)?)
    }
}

/// Bytes of a file; none where it is not there.
fn bytes_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}

/// Bytes of the files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| bytes_of(&file.path())).sum()
}

/// This process, under the names that all client libraries of Prometheus use.
#[derive(Debug)]
struct OwnProcess;

impl Collector for OwnProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // What the kernel does not tell is left out.
        let Ok(process) = Process::myself() else {
            return Ok(());
        };
        let Ok(stat) = process.stat() else {
            return Ok(());
        };
        let out = &mut encoder;
        let ticks = stat.utime.saturating_add(stat.stime);
        let help = "Total user and system CPU time spent in seconds.";
        counter(out, "process_cpu_seconds", help, seconds(ticks))?;
        let resident = stat.rss.saturating_mul(procfs::page_size());
        let help = "Resident memory size in bytes.";
        gauge(out, "process_resident_memory_bytes", help, resident)?;
        let help = "Virtual memory size in bytes.";
        gauge(out, "process_virtual_memory_bytes", help, stat.vsize)?;
        if let Ok(count) = process.fd_count() {
            gauge(out, "process_open_fds", "Number of open file descriptors.", count)?;
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks of a hundredth of a second stay exact for ages"
)]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let metric: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    let metric: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}
