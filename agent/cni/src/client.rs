//! Calls on the network: add, check, delete, garbage collection, status.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cni_plugins_spec::Success;
use serde_json::{Map, Value, json};

use crate::cache::{Cache, Cached};
use crate::conflist::Network;
use crate::error::CniError;
use crate::exec::Invocation;
use crate::request::PodNet;

/// Where plugins and runtimes have kept results ever since.
const CACHE_DIR: &str = "/var/lib/cni";
/// The pod's interface.
const IFNAME: &str = "eth0";

/// An address of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Length of its subnet's prefix.
    pub prefix: u8,
    /// Gateway of the subnet.
    pub gateway: Option<IpAddr>,
}

/// What the network gave the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniResult {
    /// Addresses in the plugin's order: the first is `podIP`.
    pub ips: Vec<Address>,
    /// Hardware address of the pod's interface.
    pub mac: Option<String>,
    /// Name servers the plugins gave (Kubernetes pods take theirs from the pod's DNS policy).
    pub nameservers: Vec<String>,
}

/// What one plugin made for an attachment.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// ID by which plugins know the sandbox.
    pub container_id: String,
    /// The interface.
    pub if_name: String,
    /// `CNI_ARGS` as they were.
    pub args: String,
    /// The plugin's configuration, with the result of the whole network in `prevResult`.
    pub config: Value,
}

/// The network of this node.
#[derive(Debug, Clone)]
pub struct Cni {
    network: Network,
    bin_dirs: Vec<PathBuf>,
    cache: Cache,
}

impl Cni {
    /// Reads the lexically first valid configuration of `conf_dir`; plugins are looked for in `bin_dir`,
    /// then in `/opt/cni/bin`, where third-party networks put theirs.
    ///
    /// # Errors
    ///
    /// When the folder has no valid configuration.
    pub fn load(conf_dir: &Path, bin_dir: &Path) -> Result<Self, CniError> {
        let bin_dirs = vec![bin_dir.to_owned(), PathBuf::from("/opt/cni/bin")];
        Ok(Self {
            network: Network::load(conf_dir)?,
            bin_dirs,
            cache: Cache::at(Path::new(CACHE_DIR)),
        })
    }

    /// Keeps results under `dir` instead of `/var/lib/cni`.
    #[must_use]
    pub fn with_cache_dir(mut self, dir: &Path) -> Self {
        self.cache = Cache::at(dir);
        self
    }

    /// Name of the network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.network.name
    }

    /// The file that the configuration was read from.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.network.file.as_deref()
    }

    /// Gives the pod its interface `eth0` and its addresses. A failure is undone.
    ///
    /// # Errors
    ///
    /// Tells which plugin refused and in its words.
    pub async fn add(&self, pod: &PodNet) -> Result<CniResult, CniError> {
        let mut attachment = self.attachment(pod);
        // Remembered before anything is made, so that a DEL after a crash knows what to undo.
        self.cache.write(&attachment)?;
        match self.add_all(&attachment).await {
            Ok(result) => {
                attachment.result = Some(result.clone());
                self.cache.write(&attachment)?;
                read(&result, &attachment.plugins)
            }
            Err(error) => {
                if let Err(undoing) = self.del(pod).await {
                    tracing::warn!(
                        error = &undoing as &dyn std::error::Error,
                        pod_uid = pod.uid,
                        "undoing a failed network attachment failed"
                    );
                }
                Err(error)
            }
        }
    }

    /// Takes the pod's network away; works from the cached result, without the namespace, and again.
    ///
    /// # Errors
    ///
    /// Tells which plugin refused first; the others were called all the same.
    pub async fn del(&self, pod: &PodNet) -> Result<(), CniError> {
        match self.cache.read(&self.network.name, &pod.container_id, IFNAME) {
            Some(attachment) => self.detach(&attachment, attachment.asked()).await,
            // What ADD was asked with is not known: any plugin may have made something.
            None => {
                let attachment = self.attachment(pod);
                self.detach(&attachment, attachment.plugins.iter().collect())
                    .await
            }
        }
    }

    /// The addresses that an earlier [`Self::add`] gave, from the cache.
    #[must_use]
    pub fn cached(&self, container_id: &str) -> Option<CniResult> {
        let cached = self.cache.read(&self.network.name, container_id, IFNAME)?;
        read(&cached.result?, &cached.plugins).ok()
    }

    /// What the plugin `kind` was asked with for every attachment that is whole and not ending, the newest
    /// first, so that it can be put back.
    #[must_use]
    pub fn held(&self, kind: &str) -> Vec<Held> {
        let lasting = self.cache.all().into_iter().filter(|cached| !cached.ending);
        let own = lasting.filter(|cached| cached.network_name == self.network.name);
        let held = |cached: Cached| {
            let plugin = cached
                .plugins
                .iter()
                .find(|plugin| Network::kind(plugin) == kind)?;
            let result = cached.result.clone()?;
            Some(Held {
                config: Value::Object(self.request(&cached, plugin, Some(result))),
                container_id: cached.container_id,
                if_name: cached.if_name,
                args: cached.cni_args,
            })
        };
        own.filter_map(held).collect()
    }

    /// Asks the plugins whether the pod's network still is as they made it.
    ///
    /// # Errors
    ///
    /// Tells which plugin found what missing.
    pub async fn check(&self, pod: &PodNet) -> Result<(), CniError> {
        let Some(attachment) = self.cache.read(&self.network.name, &pod.container_id, IFNAME) else {
            return Ok(());
        };
        if attachment.ending {
            return Err(CniError::Ending {
                container_id: attachment.container_id,
            });
        }
        if self.network.disable_check || attachment.result.is_none() {
            return Ok(());
        }
        for plugin in attachment.asked() {
            self.call("CHECK", &attachment, plugin, attachment.result.clone())
                .await?;
        }
        Ok(())
    }

    /// Frees everything that belongs to no container ID in `valid`.
    ///
    /// # Errors
    ///
    /// Tells which plugin refused first; the others were called all the same.
    pub async fn gc(&self, valid: &BTreeSet<String>) -> Result<(), CniError> {
        let mut first = Ok(());
        // Known attachments by DEL, which any plugin understands; unknown ones by GC, from 1.1.0 on.
        for stale in self
            .cache
            .all()
            .into_iter()
            .filter(|c| !valid.contains(&c.container_id))
        {
            first = first.and(self.detach(&stale, stale.asked()).await);
        }
        if self.network.disable_gc || self.network.cni_version.as_str() < "1.1.0" {
            return first;
        }
        let keep: Vec<Value> = valid
            .iter()
            .map(|id| json!({"containerID": id, "ifname": IFNAME}))
            .collect();
        for plugin in &self.network.plugins {
            let mut config = self.network.request(plugin, &Map::new());
            config.insert("cni.dev/valid-attachments".to_owned(), json!(keep));
            config.insert("cni.dev/attachments".to_owned(), json!(keep));
            first = first.and(self.invoke("GC", plugin, Vec::new(), config).await.map(drop));
        }
        first
    }

    /// Whether the network can take pods now: the plugins are there, and from 1.1.0 on they say so themselves.
    ///
    /// # Errors
    ///
    /// Tells which plugin cannot, and why.
    pub async fn status(&self) -> Result<(), CniError> {
        for plugin in &self.network.plugins {
            if self.network.cni_version.as_str() >= "1.1.0" {
                self.invoke(
                    "STATUS",
                    plugin,
                    Vec::new(),
                    self.network.request(plugin, &Map::new()),
                )
                .await?;
            } else {
                self.invoke(
                    "VERSION",
                    plugin,
                    Vec::new(),
                    self.network.request(plugin, &Map::new()),
                )
                .await?;
            }
        }
        Ok(())
    }
}

impl Cni {
    fn attachment(&self, pod: &PodNet) -> Cached {
        Cached {
            kind: "cniCacheV1".to_owned(),
            container_id: pod.container_id.clone(),
            if_name: IFNAME.to_owned(),
            network_name: self.network.name.clone(),
            netns: pod.netns.clone(),
            cni_args: pod.args(),
            capability_args: pod.capability_values(),
            cni_version: self.network.cni_version.clone(),
            plugins: self.network.plugins.clone(),
            result: None,
            ending: false,
        }
    }

    async fn add_all(&self, attachment: &Cached) -> Result<Value, CniError> {
        let mut result = None;
        for plugin in attachment.asked() {
            result = self.call("ADD", attachment, plugin, result).await?;
        }
        let last = attachment.plugins.last().map(Network::kind).unwrap_or_default();
        result.ok_or_else(|| bad(last, "it printed no result"))
    }

    /// DEL in the reverse order; each of `plugins` is called, and the attachment forgotten only when all succeeded.
    async fn detach(&self, attachment: &Cached, plugins: Vec<&Map<String, Value>>) -> Result<(), CniError> {
        if attachment.result.is_some() {
            self.mark_ending(attachment);
        }
        let mut first = Ok(());
        for plugin in plugins.into_iter().rev() {
            first = first.and(
                self.call("DEL", attachment, plugin, attachment.result.clone())
                    .await
                    .map(drop),
            );
        }
        first.and_then(|()| {
            self.cache.remove(
                &attachment.network_name,
                &attachment.container_id,
                &attachment.if_name,
            )
        })
    }

    /// Notes that the attachment is being undone. Where that cannot be noted, the disk being full, it is
    /// undone all the same: what is put back in just that moment goes with the next [`Self::gc`].
    fn mark_ending(&self, attachment: &Cached) {
        let ending = Cached {
            ending: true,
            ..attachment.clone()
        };
        if let Err(error) = self.cache.write(&ending) {
            tracing::warn!(error = &error as &dyn std::error::Error, "DEL not noted");
        }
    }

    async fn call(
        &self,
        command: &'static str,
        attachment: &Cached,
        plugin: &Map<String, Value>,
        prev_result: Option<Value>,
    ) -> Result<Option<Value>, CniError> {
        // DEL and CHECK carry it from 0.4.0 on.
        let prev_result =
            prev_result.filter(|_| command == "ADD" || attachment.cni_version.as_str() >= "0.4.0");
        let config = self.request(attachment, plugin, prev_result);
        self.invoke(command, plugin, variables(attachment), config).await
    }

    /// What a plugin is asked with for an attachment, as the network was when it was made.
    fn request(
        &self,
        attachment: &Cached,
        plugin: &Map<String, Value>,
        prev_result: Option<Value>,
    ) -> Map<String, Value> {
        let network = Network {
            name: attachment.network_name.clone(),
            cni_version: attachment.cni_version.clone(),
            ..self.network.clone()
        };
        let mut config = network.request(plugin, &attachment.capability_args);
        config.extend(prev_result.map(|prev| ("prevResult".to_owned(), prev)));
        config
    }

    async fn invoke(
        &self,
        command: &'static str,
        plugin: &Map<String, Value>,
        variables: Vec<(&'static str, String)>,
        config: Map<String, Value>,
    ) -> Result<Option<Value>, CniError> {
        let plugin = Network::kind(plugin);
        Invocation {
            bin_dirs: &self.bin_dirs,
            plugin,
            command,
            variables,
            config: Value::Object(config),
        }
        .run()
        .await
    }
}

fn variables(attachment: &Cached) -> Vec<(&'static str, String)> {
    // Where the namespace is gone, DEL must come without it: plugins may insist on entering it.
    let netns = if attachment.netns.exists() {
        attachment.netns.to_string_lossy().into_owned()
    } else {
        String::new()
    };
    vec![
        ("CNI_CONTAINERID", attachment.container_id.clone()),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", attachment.if_name.clone()),
        ("CNI_ARGS", attachment.cni_args.clone()),
    ]
}

/// The addresses of the pod's own interface in a result.
fn read(result: &Value, plugins: &[Map<String, Value>]) -> Result<CniResult, CniError> {
    let last = plugins.last().map(Network::kind).unwrap_or_default();
    let parsed = Success::parse(result).map_err(|e| bad(last, &e.to_string()))?;
    let in_pod = |index: Option<usize>| {
        index
            .and_then(|i| parsed.interfaces.get(i))
            .is_none_or(|interface| !interface.sandbox.is_empty())
    };
    let ips = parsed
        .ips
        .iter()
        .filter(|ip| in_pod(ip.interface))
        .map(|ip| Address {
            ip: ip.address.addr(),
            prefix: ip.address.prefix_len(),
            gateway: ip.gateway,
        });
    let own = parsed
        .interfaces
        .iter()
        .find(|i| !i.sandbox.is_empty() && i.name == IFNAME);
    let mac = own
        .map(|interface| interface.mac.clone())
        .filter(|mac| !mac.is_empty());
    Ok(CniResult {
        ips: ips.collect(),
        mac,
        nameservers: parsed.dns.nameservers.clone(),
    })
}

fn bad(plugin: &str, problem: &str) -> CniError {
    CniError::BadAnswer {
        plugin: plugin.to_owned(),
        command: "ADD",
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
