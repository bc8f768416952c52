use std::time::Duration;

use controlplane_store::{Revision, StoreError, Watch, WatchError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::any_server;
use crate::history::{Delivery, Watched};
use crate::{Net, Random, Recorder};

/// A client that watches a prefix through every fault: where a watch breaks it goes on after what it last saw, with
/// whatever server it finds; where history is gone it begins anew.
#[derive(Debug)]
pub(crate) struct Watcher {
    net: Net,
    random: Random,
    recorder: Recorder,
    prefix: &'static str,
    watched: Watched,
    seen: Revision,
}

/// Why one stream ended.
enum Broken {
    /// The server ended, or the client went elsewhere.
    Elsewhere,
    /// The history that it needs is gone.
    Gone,
    /// The run is over and everything was delivered.
    Done,
}

impl Watcher {
    /// A client that watches from the beginning.
    #[must_use]
    pub(crate) fn new(net: Net, random: Random, recorder: Recorder, prefix: &'static str) -> Self {
        Self {
            net,
            random,
            recorder,
            prefix,
            watched: begin(prefix, Revision::EMPTY),
            seen: Revision::EMPTY,
        }
    }

    /// Watches until `goal` names the revision at which to end, and it is reached.
    pub(crate) async fn run(mut self, goal: watch::Receiver<Option<Revision>>) {
        loop {
            match self.stream(&goal).await {
                Broken::Elsewhere => self.recorder.count("watch resumed"),
                Broken::Gone => {
                    self.recorder.count("watch fell behind history");
                    self.begin_anew();
                }
                Broken::Done => {
                    self.watched.complete_to = Some(self.seen);
                    self.recorder.watched(self.watched);
                    return;
                }
            }
            let pause = self.random.between(1, 200);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Takes a list of whatever some server has, not older than what was seen, and watches from there.
    fn begin_anew(&mut self) {
        let Some((_, store, _)) = any_server(&self.net, &mut self.random) else {
            return;
        };
        let revision = store.revision();
        if revision >= self.seen {
            let ended = std::mem::replace(&mut self.watched, begin(self.prefix, revision));
            self.recorder.watched(ended);
            self.seen = revision;
        }
    }

    async fn stream(&mut self, goal: &watch::Receiver<Option<Revision>>) -> Broken {
        let Some((id, store, boot)) = any_server(&self.net, &mut self.random) else {
            return Broken::Elsewhere;
        };
        let mut watch = match store.watch(self.prefix, self.seen) {
            Ok(watch) => watch,
            Err(StoreError::Compacted { .. }) => return Broken::Gone,
            // It has not caught up with what another server has shown.
            Err(_) => return Broken::Elsewhere,
        };
        self.recorder.note(&format_args!(
            "watch of {} after {} on {id}",
            self.prefix, self.seen
        ));
        let deliveries = self.random.between(5, 120);
        for _ in 0..deliveries {
            if !self.net.is_up(id, boot) {
                return Broken::Elsewhere;
            }
            if let Some(broken) = self.receive(&mut watch, goal).await {
                return broken;
            }
        }
        Broken::Elsewhere
    }

    async fn receive(
        &mut self,
        watch: &mut Watch,
        goal: &watch::Receiver<Option<Revision>>,
    ) -> Option<Broken> {
        let patience = Duration::from_millis(self.random.between(10, 400));
        match timeout(patience, watch.next()).await {
            Ok(Ok(batch)) => {
                self.seen = self.seen.max(batch.revision);
                self.watched.delivered.push(Delivery::Batch(batch));
            }
            Ok(Err(WatchError::Lagged { .. })) => return Some(Broken::Gone),
            Ok(Err(WatchError::Closed { .. })) => return Some(Broken::Elsewhere),
            Err(_) => self.bookmark(watch.progress()),
        }
        if self.random.chance(10) {
            self.bookmark(watch.progress());
        }
        if self.random.chance(10) {
            // A slow client.
            let pause = self.random.below(500);
            sleep(Duration::from_millis(pause)).await;
        }
        let done = (*goal.borrow()).is_some_and(|goal| self.seen >= goal);
        done.then_some(Broken::Done)
    }

    fn bookmark(&mut self, revision: Revision) {
        self.watched.delivered.push(Delivery::Bookmark(revision));
        self.seen = self.seen.max(revision);
    }
}

fn begin(prefix: &str, after: Revision) -> Watched {
    Watched {
        prefix: prefix.to_owned(),
        after,
        delivered: Vec::new(),
        complete_to: None,
    }
}
