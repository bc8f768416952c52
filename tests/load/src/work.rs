//! The kinds of load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::target::{Target, Watch as _};

/// Bytes of a value, but where keys are loaded to fill a disk.
const VALUE: usize = 1024;
/// Writers that load keys before something else is measured.
const LOADERS: usize = 64;

/// One kind of load.
#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// Writes values of 1 KiB, each client one after the other, over a thousand keys a client.
    Writes {
        /// Clients at once.
        #[arg(long)]
        clients: usize,
        /// How long.
        #[arg(long)]
        seconds: u64,
    },
    /// Writes keys and leaves them.
    Load {
        /// How many.
        #[arg(long)]
        keys: usize,
        /// Bytes of each value.
        #[arg(long, default_value_t = VALUE)]
        bytes: usize,
    },
    /// Reads all keys, again and again.
    Range {
        /// Keys at most.
        #[arg(long)]
        limit: usize,
        /// How often.
        #[arg(long)]
        times: usize,
    },
    /// One writer, many watchers: first one write after the other, then as fast as they come.
    Fanout {
        /// Watchers.
        #[arg(long)]
        watchers: usize,
        /// Writes of each of the two parts.
        #[arg(long)]
        writes: usize,
    },
    /// Opens the store, reads one key, and says how much memory this process takes.
    Open,
    /// Is another server of Floe's store, as the first one starts it, until standard input ends.
    #[command(hide = true)]
    Follow {
        /// Its number.
        #[arg(long)]
        id: u64,
        /// The identity of the store.
        #[arg(long)]
        cluster: String,
    },
}

impl Work {
    /// Does it, and returns the figures.
    ///
    /// # Errors
    ///
    /// Passes on what the store refused.
    pub(crate) async fn run(&self, target: &impl Target) -> Result<Value> {
        match *self {
            Self::Writes { clients, seconds } => writes(target, clients, Duration::from_secs(seconds)).await,
            Self::Load { keys, bytes } => load(target, keys, bytes).await,
            Self::Range { limit, times } => range(target, limit, times).await,
            Self::Fanout { watchers, writes } => fanout(target, watchers, writes).await,
            Self::Open => open(target).await,
            Self::Follow { .. } => bail!("only a server of Floe's store can follow"),
        }
    }
}

async fn writes(target: &impl Target, clients: usize, lasting: Duration) -> Result<Value> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let target = target.client(client);
        tasks.spawn(async move {
            let mut took = Vec::new();
            while start.elapsed() < lasting {
                let began = Instant::now();
                let name = format!("w{client}-{}", took.len() % 1000);
                target.put(&name, VALUE).await?;
                took.push(began.elapsed());
            }
            Ok::<_, anyhow::Error>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.extend(done??);
    }
    let rate = per_second(took.len(), start.elapsed());
    Ok(json!({"per_second": rate, "latency": latency(took)}))
}

async fn load(target: &impl Target, keys: usize, bytes: usize) -> Result<Value> {
    let start = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for client in 0..LOADERS {
        let (target, next) = (target.client(client), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let key = next.fetch_add(1, Ordering::Relaxed);
                if key >= keys {
                    return Ok::<_, anyhow::Error>(());
                }
                target.put(&format!("k{key:08}"), bytes).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(json!({"per_second": per_second(keys, start.elapsed()), "resident_bytes": resident()?}))
}

async fn range(target: &impl Target, limit: usize, times: usize) -> Result<Value> {
    let start = Instant::now();
    let mut took = Vec::with_capacity(times);
    let mut got = (0, 0);
    for _ in 0..times {
        let began = Instant::now();
        got = target.range(limit).await?;
        took.push(began.elapsed());
    }
    let rate = per_second(times, start.elapsed());
    Ok(json!({"per_second": rate, "latency": latency(took), "keys": got.0, "bytes": got.1}))
}

/// Delays are from the beginning of a write until each watcher has it.
async fn fanout(target: &impl Target, watchers: usize, writes: usize) -> Result<Value> {
    let all = Arc::new(Barrier::new(watchers + 1));
    let mut tasks = JoinSet::new();
    for index in 0..watchers {
        let mut watch = target.client(index).watch().await?;
        let all = Arc::clone(&all);
        tasks.spawn(async move {
            let mut arrived = Vec::with_capacity(writes);
            for _ in 0..writes {
                watch.next().await?;
                arrived.push(Instant::now());
                all.wait().await;
            }
            all.wait().await;
            let mut left = writes;
            while left > 0 {
                left = left.saturating_sub(watch.next().await?);
            }
            Ok::<_, anyhow::Error>(arrived)
        });
    }
    let mut began = Vec::with_capacity(writes);
    for write in 0..writes {
        began.push(Instant::now());
        target.put(&format!("f{}", write % 100), VALUE).await?;
        all.wait().await;
    }
    all.wait().await;
    let start = Instant::now();
    for write in 0..writes {
        target.put(&format!("f{}", write % 100), VALUE).await?;
    }
    let mut delays = Vec::with_capacity(watchers * writes);
    while let Some(done) = tasks.join_next().await {
        delays.extend(
            done??
                .into_iter()
                .zip(&began)
                .map(|(arrived, began)| arrived - *began),
        );
    }
    let rate = per_second(watchers * writes, start.elapsed());
    Ok(json!({"events_per_second": rate, "delay": latency(delays)}))
}

async fn open(target: &impl Target) -> Result<Value> {
    let (keys, _) = target.range(1).await?;
    Ok(json!({"keys": keys, "resident_bytes": resident()?}))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The median and the 99th percentile by nearest rank, in milliseconds.
fn latency(mut took: Vec<Duration>) -> Value {
    took.sort_unstable();
    let at = |share: usize| {
        let rank = (took.len() * share).div_ceil(100).max(1);
        took.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    json!({"p50_ms": at(50), "p99_ms": at(99)})
}

/// Bytes of memory that this process has: proc(5), `/proc/pid/statm`, second field in pages of 4 KiB.
fn resident() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split(' ')
        .nth(1)
        .ok_or_else(|| anyhow!("no second field in {text:?}"))?;
    Ok(pages.parse::<usize>()? * 4096)
}
