//! The loop all controllers share: `kube`'s applier, with a back-off for each object.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kube::Resource;
use kube::api::Api;
use kube::runtime::controller::{Action, Config, ReconcileRequest, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, controller};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Reconciles of one controller that may be in flight at once.
const CONCURRENCY: u16 = 16;
/// Pause after the first failure of an object; doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(20);
/// Longest pause between two tries of one object.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// One source of wake-ups.
pub(crate) type Triggers<K> = BoxStream<'static, Result<ReconcileRequest<K>, watcher::Error>>;

/// A watch of `api` that retries for ever, without `managedFields`, which nobody here reads.
pub(crate) fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    kube::runtime::watcher(api, config)
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
}

/// Wake-ups of `K` for what `map` names at each changed object of `objects`.
pub(crate) fn triggers<T, K, I>(
    objects: impl Stream<Item = Result<T, watcher::Error>> + Send + 'static,
    map: impl Fn(T) -> I + Send + 'static,
) -> Triggers<K>
where
    T: Send + 'static,
    I: IntoIterator<Item = ObjectRef<K>> + Send + 'static,
    I::IntoIter: Send,
    K: Resource + 'static,
    K::DynamicType: Send,
    ObjectRef<K>: Into<ReconcileRequest<K>>,
{
    controller::trigger_with(objects, map).boxed()
}

/// Calls `reconcile` for every wake-up until `stop`; an object whose reconcile fails is tried
/// again after a pause of its own.
pub(crate) async fn drive<K, Ctx, Fut, E>(
    name: &'static str,
    store: Store<K>,
    triggers: Vec<Triggers<K>>,
    context: Arc<Ctx>,
    reconcile: impl Fn(Arc<K>, Arc<Ctx>) -> Fut,
    stop: CancellationToken,
) where
    K: Resource + Clone + 'static,
    K::DynamicType: Debug + Eq + Hash + Clone + Unpin + Default,
    Fut: Future<Output = Result<Action, E>> + Send + 'static,
    E: Error + Send + 'static,
{
    let failures = Arc::new(Failures::default());
    let policy = {
        let failures = failures.clone();
        move |object: Arc<K>, error: &E, _: Arc<Ctx>| {
            let key = ObjectRef::from_obj(object.as_ref()).to_string();
            let pause = failures.next(&key);
            report(name, &key, error, pause);
            Action::requeue(pause)
        }
    };
    let mut results = Box::pin(
        applier(
            |object, context| Box::pin(reconcile(object, context)),
            policy,
            context,
            store,
            stream::select_all(triggers),
            Config::default().concurrency(CONCURRENCY),
        )
        .take_until(stop.cancelled_owned()),
    );
    while let Some(result) = results.next().await {
        match result {
            Ok((object, _)) => failures.clear(&object.to_string()),
            Err(controller::Error::ReconcilerFailed(..)) => {}
            Err(controller::Error::ObjectNotFound(object)) => failures.clear(&object.to_string()),
            Err(error) => debug!(
                controller = name,
                error = &error as &dyn Error,
                "wake-up without effect"
            ),
        }
    }
}

/// A conflict is the ordinary way in which a stale cache shows; it is no warning.
fn report(name: &str, object: &str, error: &(dyn Error + 'static), pause: Duration) {
    if is_overtaken(error) {
        debug!(controller = name, object, error, "reconcile overtaken");
    } else {
        warn!(
            controller = name,
            object,
            error,
            ?pause,
            "reconcile failed, will be retried"
        );
    }
}

/// Whether the server refused because the object has changed or gone.
fn is_overtaken(error: &(dyn Error + 'static)) -> bool {
    let call = error
        .source()
        .and_then(|source| source.downcast_ref::<Box<kube::Error>>());
    matches!(call.map(Box::as_ref), Some(kube::Error::Api(status))
        if status.is_conflict() || status.is_not_found())
}

/// Consecutive failures of each object that has any.
#[derive(Debug, Default)]
struct Failures(Mutex<BTreeMap<String, u32>>);

impl Failures {
    fn next(&self, key: &str) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.to_owned()).or_insert(0);
        let pause = FIRST_RETRY.saturating_mul(1 << (*count).min(16));
        *count = count.saturating_add(1);
        pause.min(LONGEST_RETRY)
    }

    fn clear(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::error::Attempt;

    #[test]
    fn a_conflict_is_told_from_a_failure() {
        let refused = |code: u16, reason: &str| {
            let status = Status::failure("refused", reason).with_code(code);
            let call: Result<(), kube::Error> = Err(kube::Error::Api(Box::new(status)));
            call.attempt("write", "a").unwrap_err()
        };
        assert!(is_overtaken(&refused(409, "Conflict")));
        assert!(!is_overtaken(&refused(403, "Forbidden")));
    }

    #[test]
    fn an_object_that_keeps_failing_waits_longer_up_to_a_minute() {
        let failures = Failures::default();
        let pauses: Vec<Duration> = (0..20).map(|_| failures.next("a")).collect();
        assert!(pauses.is_sorted());
        assert_eq!(pauses.first(), Some(&FIRST_RETRY));
        assert_eq!(pauses.last(), Some(&LONGEST_RETRY));
        failures.clear("a");
        assert_eq!(failures.next("a"), FIRST_RETRY);
    }
}
