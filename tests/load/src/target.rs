//! A store that can be put under load.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;

/// Where all keys of the benchmark lie.
pub(crate) const PREFIX: &str = "/registry/configmaps/bench/";

/// What the benchmark asks of a store. Clones are clients of their own where the store tells clients apart.
pub(crate) trait Target: Clone + Send + Sync + 'static {
    /// An open watch of everything under [`PREFIX`].
    type Watch: Watch;

    /// Writes the value of `bytes` bytes to the key `name`, whether it exists or not; durable when this returns.
    fn put(&self, name: &str, bytes: usize) -> impl Future<Output = Result<()>> + Send;

    /// Reads everything under [`PREFIX`], at most `limit`, and returns the number of keys and the bytes as a client of
    /// the store gets them.
    fn range(&self, limit: usize) -> impl Future<Output = Result<(usize, usize)>> + Send;

    /// Watches everything under [`PREFIX`] from now on; open when this returns.
    fn watch(&self) -> impl Future<Output = Result<Self::Watch>> + Send;

    /// The client for the `index`th of many.
    #[must_use]
    fn client(&self, index: usize) -> Self;

    /// Ends cleanly.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A watch under load.
pub(crate) trait Watch: Send + 'static {
    /// Waits for the next changes and returns how many.
    fn next(&mut self) -> impl Future<Output = Result<usize>> + Send;
}

/// A value as Kubernetes stores it, of `bytes` bytes: an object with one long text.
pub(crate) fn value(bytes: usize) -> serde_json::Value {
    let empty = serde_json::json!({"kind": "ConfigMap", "metadata": {"name": "bench"}, "data": {"text": ""}});
    let frame = empty.to_string().len();
    let text = "x".repeat(bytes.saturating_sub(frame));
    serde_json::json!({"kind": "ConfigMap", "metadata": {"name": "bench"}, "data": {"text": text}})
}

/// The bytes of [`value`], made once for each size.
pub(crate) fn bytes(bytes: usize) -> Bytes {
    static MADE: Mutex<BTreeMap<usize, Bytes>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = || Bytes::from(value(bytes).to_string());
    made.entry(bytes).or_insert_with(text).clone()
}
