//! Watches of the API that go on after an outage.
//!
//! kube's own back-off begins anew with each list that is tried, so that an agent that started without
//! the API asked every second, and grows to a minute otherwise, so that a node learnt late that the API
//! was back. Here a series of failures ends only with something that was told, no wait is longer than
//! [`LONGEST`], and a series is told twice: when it begins and when it ends.

use std::fmt::Debug;
use std::future;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tracing::{debug, info};

/// The wait after a first failure, doubled with each further one.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait: a thousand nodes with ten watches are two thousand attempts a second.
pub const LONGEST: Duration = Duration::from_secs(5);

/// What happens to the objects of `api` that `config` picks, for ever. An outage is waited out.
pub fn events<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    patient(watcher(api, config), |told| {
        let kind = K::plural(&());
        match told {
            Told::Interrupted(error) => {
                info!(%kind, error = error as &dyn std::error::Error, "watch interrupted; what is known stays");
            }
            Told::GoesOn => info!(%kind, "watch goes on"),
        }
    })
    .boxed()
}

/// The object `name` of `api` as it changes; `None` while there is none. An outage is waited out.
pub fn object<K>(api: Api<K>, name: &str) -> BoxStream<'static, Option<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    // There may be hundreds of them, and whoever watches them watches more besides.
    let events = patient(watcher(api, only), |told| {
        let kind = K::plural(&());
        debug!(%kind, ?told, "watch of an object");
    });
    one(events).boxed()
}

/// The only object that `events` are about, as it changes.
fn one<K>(events: impl Stream<Item = Event<K>> + Send) -> impl Stream<Item = Option<K>> + Send
where
    K: Send,
{
    let changes = events.scan(false, |listed, event| {
        let change = match event {
            Event::Init => {
                *listed = false;
                None
            }
            Event::InitApply(object) => {
                *listed = true;
                Some(Some(object))
            }
            Event::Apply(object) => Some(Some(object)),
            Event::Delete(_) => Some(None),
            Event::InitDone => (!*listed).then_some(None),
        };
        future::ready(Some(change))
    });
    changes.filter_map(future::ready)
}

/// What there is to say of a series of failures.
#[derive(Debug)]
enum Told<'a, E> {
    /// It has begun.
    Interrupted(&'a E),
    /// It is over.
    GoesOn,
}

/// `events` without the failures, after each of which is waited; `tell` hears of a series of them.
fn patient<K, E>(
    events: impl Stream<Item = Result<Event<K>, E>> + Send,
    tell: impl Fn(Told<'_, E>) + Send,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Send,
    E: Send,
{
    let state = (Box::pin(events), 0, tell);
    futures::stream::unfold(state, async |(mut events, mut failures, tell)| {
        loop {
            match events.next().await? {
                Ok(event) => {
                    // A list that begins has not told anything.
                    if failures > 0 && !matches!(event, Event::Init) {
                        failures = 0;
                        tell(Told::GoesOn);
                    }
                    return Some((event, (events, failures, tell)));
                }
                Err(error) => {
                    if failures == 0 {
                        tell(Told::Interrupted(&error));
                    }
                    drop(error);
                    failures += 1;
                    tokio::time::sleep(wait(failures, rand::random_range(0.5..=1.0))).await;
                }
            }
        }
    })
}

/// How long after this many failures the next attempt is made: a `part` of the whole wait, so that the
/// nodes of a cluster do not come all at once.
fn wait(failures: u32, part: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(part)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use k8s_openapi::api::core::v1::Pod;
    use tokio::time::Instant;

    use super::*;

    type Step = Result<Event<u8>, &'static str>;

    /// What comes out, with the seconds at which it does, and how often something was told.
    async fn run(steps: Vec<Step>) -> (Vec<(String, u64)>, usize) {
        let told = Mutex::new(0);
        let begin = Instant::now();
        let events = patient(futures::stream::iter(steps), |_| *told.lock().unwrap() += 1);
        let seen: Vec<(String, u64)> = events
            .map(|event| (format!("{event:?}"), begin.elapsed().as_secs()))
            .collect()
            .await;
        let told = *told.lock().unwrap();
        (seen, told)
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_only_begins_ends_no_series_of_failures() {
        let attempt = || [Ok(Event::Init), Err("refused")];
        let steps = (0..12)
            .flat_map(|_| attempt())
            .chain([Ok(Event::Init), Ok(Event::InitDone)]);
        let (seen, told) = run(steps.collect()).await;
        let (last, at) = seen.last().unwrap();
        assert_eq!((last.as_str(), told), ("InitDone", 2));
        // 0.5, 1, 2, 4 and eight times 5 seconds, or half of it.
        assert!((23..=48).contains(at), "{at} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_ends_a_series_and_nothing_is_lost() {
        let steps = vec![
            Ok(Event::Apply(1)),
            Err("gone"),
            Ok(Event::Apply(2)),
            Err("gone"),
            Ok(Event::Delete(2)),
        ];
        let (seen, told) = run(steps).await;
        let events: Vec<&str> = seen.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(events, ["Apply(1)", "Apply(2)", "Delete(2)"]);
        assert_eq!((seen.last().unwrap().1, told), (0, 4));
    }

    #[test]
    fn no_wait_is_longer_than_the_longest() {
        let whole: Vec<u128> = (1..7).map(|failures| wait(failures, 1.0).as_millis()).collect();
        assert_eq!(whole, [500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(wait(u32::MAX, 0.5), LONGEST / 2);
    }

    #[tokio::test]
    async fn an_object_that_is_not_listed_is_absent() {
        let pod = || Pod::default();
        let events = vec![
            Event::Init,
            Event::InitDone,
            Event::Apply(pod()),
            Event::Init,
            Event::InitApply(pod()),
            Event::InitDone,
            Event::Delete(pod()),
        ];
        let seen: Vec<bool> = one(futures::stream::iter(events))
            .map(|pod| pod.is_some())
            .collect()
            .await;
        assert_eq!(seen, [false, true, true, false]);
    }
}
