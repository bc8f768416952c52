//! Keeps the table as the API wants it, until it is stopped; the table stays.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use cni_plugins_nft::{Foreign, KernelFlows, KernelRuleset, NftError, Watch};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service as ServiceObject;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::engine::{Engine, Report};
use crate::model::{Model, Update};
use crate::service::{FOREIGN_PROXY_LABEL, HEADLESS_LABEL, Service, object_name};
use crate::slice::Slice;
use crate::sweep::{Sweep, sweep};
use crate::sysctl;
use crate::target::Target;

/// Updates waiting for the engine; a full queue makes the watches wait.
const QUEUE: usize = 1024;
/// The first wait after a failure; doubled up to the last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// When remembered connections are looked at a second time: packets that were on their way through the
/// rules during the first have arrived by then.
const SECOND_SWEEP: Duration = Duration::from_secs(1);

/// Runs the proxy on this node until `stop`. Without the API the table stays as it is. `repaired` is
/// notified when others had changed the table and ours is right again: what else was in it may be gone.
pub async fn run(client: Client, config: Config, repaired: Arc<Notify>, stop: CancellationToken) {
    let settings = config.clone();
    // A setting may have to load a kernel module.
    if let Err(error) = tokio::task::spawn_blocking(move || sysctl::apply(&settings)).await {
        warn!(error = %error, "kernel settings not looked at");
    }
    let mut wait = RETRY.0;
    let mut proxy = loop {
        match Proxy::open(config.clone(), Arc::clone(&repaired)) {
            Ok(proxy) => break proxy,
            Err(error) => warn!(error = &error as &dyn Error, "service proxy not begun"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
        wait = (wait * 2).min(RETRY.1);
    };
    let (sender, updates) = mpsc::channel(QUEUE);
    let mut watches = JoinSet::new();
    watches.spawn(watch_services(client.clone(), sender.clone()));
    watches.spawn(watch_slices(client, sender));
    if let Err(error) = proxy.serve(updates, &stop).await {
        warn!(error = %error, "service proxy ended");
    }
}

/// The engine and what wakes it.
struct Proxy {
    /// Away while it works.
    engine: Option<Engine<KernelRuleset>>,
    watch: Watch,
    attempts: Attempts,
    sweeps: Sweeps,
}

/// What came of the attempts so far.
struct Attempts {
    /// What others changed since the last one that succeeded.
    foreign: Foreign,
    repaired: Arc<Notify>,
    /// When to try again after a failure, and how long to wait after the next one.
    retry: (Option<Instant>, Duration),
}

/// Cleaning up, which goes on beside the engine.
#[derive(Default)]
struct Sweeps {
    running: JoinSet<Result<usize, NftError>>,
    /// Changed since the last look began.
    waiting: BTreeSet<Target>,
    /// Due for its second look.
    again: BTreeSet<Target>,
    /// Due for its second look later.
    second: Option<(Instant, BTreeSet<Target>)>,
}

impl Proxy {
    fn open(config: Config, repaired: Arc<Notify>) -> Result<Self, NftError> {
        let rules = KernelRuleset::open()?;
        let watch = Watch::begin(rules.own()?)?;
        Ok(Self {
            engine: Some(Engine::new(Model::new(config), rules)),
            watch,
            attempts: Attempts::new(repaired),
            sweeps: Sweeps::default(),
        })
    }

    async fn serve(
        &mut self,
        mut updates: mpsc::Receiver<Update>,
        stop: &CancellationToken,
    ) -> Result<(), JoinError> {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => return Ok(()),
                // Cancel-safe: a notice is taken only when it is returned.
                foreign = self.watch.next() => self.attempts.hear(foreign),
                // Cancel-safe: an update is taken only when it is returned.
                received = updates.recv_many(&mut batch, QUEUE) => if received == 0 { return Ok(()) },
                // Cancel-safe: a dropped sleep loses nothing.
                () = until(self.attempts.retry.0) => self.attempts.retry.0 = None,
                // Cancel-safe: as above.
                () = until(self.sweeps.second_at()) => self.sweeps.begin_second(),
                // Cancel-safe: a result is taken only when it is returned.
                Some(done) = self.sweeps.running.join_next() => tell_swept(done),
            }
            self.work(&mut batch).await?;
        }
    }

    /// Applies what is known, on a thread that may block.
    async fn work(&mut self, batch: &mut Vec<Update>) -> Result<(), JoinError> {
        let Some(mut engine) = self.engine.take() else {
            return Ok(());
        };
        let updates = std::mem::take(batch);
        if !self.attempts.foreign.is_empty() {
            engine.distrust();
        }
        let began = Instant::now();
        let waiting = self.attempts.retry.0.is_some();
        let (engine, done) = tokio::task::spawn_blocking(move || {
            updates.into_iter().for_each(|update| engine.update(update));
            let done = (!waiting).then(|| engine.sync());
            (engine, done)
        })
        .await?;
        if let Some(done) = done {
            let targets = self.attempts.done(done, began.elapsed());
            self.sweeps.waiting.extend(targets);
        }
        self.sweeps.begin(&engine);
        self.engine = Some(engine);
        Ok(())
    }
}

impl Attempts {
    fn new(repaired: Arc<Notify>) -> Self {
        Self {
            foreign: Foreign::default(),
            repaired,
            retry: (None, RETRY.0),
        }
    }

    fn hear(&mut self, foreign: Foreign) {
        // Clients are put in and taken out beside the engine.
        let own = |what: &String| what.starts_with("set affinity");
        self.foreign.lost |= foreign.lost;
        self.foreign
            .what
            .extend(foreign.what.into_iter().filter(|what| !own(what)));
    }

    /// Takes in how one ended; gives what clients connect to that it changed.
    fn done(&mut self, done: Result<Report, NftError>, took: Duration) -> BTreeSet<Target> {
        match done {
            Ok(report) => {
                self.retry.1 = RETRY.0;
                let foreign = std::mem::take(&mut self.foreign);
                tell(&report, &foreign, took);
                if !foreign.is_empty() {
                    // Though nothing of ours was gone: what else is in the table may be.
                    self.repaired.notify_one();
                }
                report.targets
            }
            Err(error) => {
                let wait = self.retry.1;
                warn!(error = &error as &dyn Error, again_in = ?wait, "services not programmed");
                self.retry = (Some(Instant::now() + wait), (wait * 2).min(RETRY.1));
                BTreeSet::new()
            }
        }
    }
}

impl Sweeps {
    fn second_at(&self) -> Option<Instant> {
        self.second.as_ref().map(|(at, _)| *at)
    }

    /// Looks a second time at what the second look is due for, and at nothing a third time.
    fn begin_second(&mut self) {
        if let Some((_, targets)) = self.second.take() {
            self.again.extend(targets);
        }
    }

    /// Looks at what waits, unless a look goes on.
    fn begin(&mut self, engine: &Engine<KernelRuleset>) {
        let nothing = self.waiting.is_empty() && self.again.is_empty();
        if nothing || !self.running.is_empty() {
            return;
        }
        let fresh = std::mem::take(&mut self.waiting);
        let mut targets = std::mem::take(&mut self.again);
        targets.extend(&fresh);
        let work = Sweep::after(engine, &targets);
        if work.is_empty() {
            return;
        }
        if !fresh.is_empty() {
            let at = Instant::now() + SECOND_SWEEP;
            let (due, later) = self.second.get_or_insert_with(|| (at, BTreeSet::new()));
            *due = at;
            later.extend(fresh);
        }
        self.running
            .spawn_blocking(move || sweep(&work, &mut KernelRuleset::open()?, &mut KernelFlows::open()?));
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Logs what was done.
fn tell(report: &Report, foreign: &Foreign, took: Duration) {
    let Report { changed, .. } = report;
    let repaired = !foreign.is_empty() && (report.rebuilt || *changed > 0);
    if repaired {
        let (what, shown) = (&foreign.what, &report.shown);
        warn!(
            ?what,
            rebuilt = report.rebuilt,
            changed,
            ?shown,
            ?took,
            "someone changed the table inet floe; repaired"
        );
    } else if report.compared {
        info!(changed, ?took, "services compared with the table inet floe");
    } else if *changed > 0 {
        debug!(changed, ?took, shown = ?report.shown, "services programmed");
    }
}

fn tell_swept(done: Result<Result<usize, NftError>, JoinError>) {
    match done {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => debug!(count, "connections without their endpoint forgotten"),
        Ok(Err(error)) => warn!(error = &error as &dyn Error, "connections not cleaned up"),
        Err(error) => warn!(error = %error, "connections not cleaned up"),
    }
}

async fn watch_services(client: Client, sender: mpsc::Sender<Update>) {
    let handle = |object: &ServiceObject| match (Service::read(object), object_name(&object.metadata)) {
        (Some(service), _) => Some(Update::Service(Box::new(service))),
        (None, name) => name.map(Update::NoService),
    };
    let list =
        |objects: &[ServiceObject]| Update::Services(objects.iter().filter_map(Service::read).collect());
    let gone = |object: &ServiceObject| object_name(&object.metadata).map(Update::NoService);
    follow(Api::all(client), sender, (handle, list, gone)).await;
}

async fn watch_slices(client: Client, sender: mpsc::Sender<Update>) {
    let handle = |object: &EndpointSlice| match (Slice::read(object), object_name(&object.metadata)) {
        (Some(slice), _) => Some(Update::Slice(Box::new(slice))),
        (None, name) => name.map(Update::NoSlice),
    };
    let list = |objects: &[EndpointSlice]| Update::Slices(objects.iter().filter_map(Slice::read).collect());
    let gone = |object: &EndpointSlice| object_name(&object.metadata).map(Update::NoSlice);
    follow(Api::all(client), sender, (handle, list, gone)).await;
}

/// Sends every change of the objects of `api`, as `handle`, `list` and `gone` turn them into updates.
async fn follow<K>(
    api: Api<K>,
    sender: mpsc::Sender<Update>,
    (handle, list, gone): (
        impl Fn(&K) -> Option<Update>,
        impl Fn(&[K]) -> Update,
        impl Fn(&K) -> Option<Update>,
    ),
) where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let selector = format!("!{FOREIGN_PROXY_LABEL},!{HEADLESS_LABEL}");
    let config = watcher::Config::default().labels(&selector);
    let mut events = agent_watch::events(api, config);
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        let update = match event {
            watcher::Event::Init => {
                listed.clear();
                None
            }
            watcher::Event::InitApply(object) => {
                listed.push(object);
                None
            }
            watcher::Event::InitDone => Some(list(&std::mem::take(&mut listed))),
            watcher::Event::Apply(object) => handle(&object),
            watcher::Event::Delete(object) => gone(&object),
        };
        let Some(update) = update else { continue };
        if sender.send(update).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn told(attempts: &Attempts) -> bool {
        attempts.repaired.notified().now_or_never().is_some()
    }

    fn refused() -> Result<Report, NftError> {
        let (attempted, said) = ("load the table".to_owned(), "busy".to_owned());
        Err(NftError::Refused { attempted, said })
    }

    fn flushed() -> Foreign {
        Foreign {
            lost: false,
            what: BTreeSet::from(["chain masquerade-floe".to_owned()]),
        }
    }

    #[test]
    fn what_others_changed_is_told_once_though_the_first_attempt_failed() {
        let mut attempts = Attempts::new(Arc::default());
        attempts.hear(flushed());
        attempts.done(refused(), Duration::ZERO);
        assert!(!told(&attempts), "the table is not right yet");
        assert_eq!(attempts.foreign, flushed());
        assert!(attempts.retry.0.is_some());
        attempts.done(Ok(Report::default()), Duration::ZERO);
        assert!(told(&attempts));
        attempts.done(Ok(Report::default()), Duration::ZERO);
        assert!(!told(&attempts));
    }

    #[test]
    fn what_others_changed_is_told_though_nothing_of_ours_was_gone() {
        let mut attempts = Attempts::new(Arc::default());
        attempts.hear(flushed());
        let report = Report {
            compared: true,
            ..Report::default()
        };
        attempts.done(Ok(report), Duration::ZERO);
        assert!(told(&attempts));
    }
}
