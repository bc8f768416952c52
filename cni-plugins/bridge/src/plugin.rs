//! The plugin.

use std::future::Future;

use cni_plugins_netlink::{Link, Netlink};
use cni_plugins_spec::{Call, CniError, ErrorCode, Plugin, Success, ValidAttachment};

use crate::add::{Add, system};
use crate::check;
use crate::delegate::Ipam;
use crate::names;
use crate::remover::Remover;
use crate::settings::Settings;

/// `bridge`: connects a container to a bridge of the node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bridge {
    remover: Remover,
}

impl Bridge {
    /// The plugin as part of an executable whose argument [`crate::DELETE_LINK`] calls
    /// [`crate::delete_link`]: DEL then does not wait for what the kernel does after a link is gone.
    #[must_use]
    pub const fn with_helper() -> Self {
        Self {
            remover: Remover::Helper,
        }
    }
}

impl Plugin for Bridge {
    fn add(&self, call: &Call) -> Result<Success, CniError> {
        let settings = Settings::read(call)?;
        let netns = call.netns()?;
        let ipam = Ipam::of(call)?;
        block_on(async {
            let host = Netlink::open().map_err(system)?;
            let add = Add {
                call,
                settings: &settings,
                netns,
                host: &host,
            };
            let bridge = add.bridge().await?;
            let addresses = ipam.add(call)?;
            match add.connect(&bridge, addresses).await {
                Ok(result) => Ok(result),
                Err(error) => Err(self.undo(call, &host, &ipam, error).await),
            }
        })
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let ipam = Ipam::of(call);
        block_on(async {
            let host = Netlink::open().map_err(system)?;
            // The link first: an address must not be given away while it still answers.
            let unlinked = self.unlink(call, &host).await;
            let freed = ipam.and_then(|ipam| ipam.del(call));
            unlinked.and(freed)
        })
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        Ipam::of(call)?.check(call)?;
        let missing = || CniError::config("CHECK needs the result of ADD in \"prevResult\"");
        let made = call.prev_result()?.ok_or_else(missing)?;
        block_on(check::check(call, &settings, call.netns()?, &made))
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        let valid = call.net.valid_attachments.clone().unwrap_or_default();
        let swept = block_on(sweep(call, &settings, &valid));
        swept.and(Ipam::of(call)?.gc(call))
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        if settings.ip_masq && !cni_plugins_nft::is_installed() {
            return Err(CniError::new(
                ErrorCode::NotAvailable,
                "ipMasq needs nft; install the package nftables",
            ));
        }
        Ipam::of(call)?.status(call)
    }
}

impl Bridge {
    /// Takes the container's part away after a failed ADD and reports what failed then, too.
    async fn undo(&self, call: &Call, host: &Netlink, ipam: &Ipam, error: CniError) -> CniError {
        let problems: Vec<String> = [self.unlink(call, host).await, ipam.del(call)]
            .into_iter()
            .filter_map(Result::err)
            .map(|e| e.to_string())
            .collect();
        if problems.is_empty() {
            error
        } else {
            error.with_details(format!("and undoing it failed: {}", problems.join("; ")))
        }
    }

    /// Deletes the host's end, and the container's with it; needs no namespace.
    async fn unlink(&self, call: &Call, host: &Netlink) -> Result<(), CniError> {
        let name = names::host_name(&call.environment.container_id, &call.environment.ifname);
        match host.link(&name).await.map_err(system)? {
            Some(link) => self.remover.delete(host, link.index).await.map_err(system),
            None => Ok(()),
        }
    }
}

/// Deletes the links of this network whose containers are not valid any more.
async fn sweep(call: &Call, settings: &Settings, valid: &[ValidAttachment]) -> Result<(), CniError> {
    let host = Netlink::open().map_err(system)?;
    let Some(bridge) = host.link(&settings.bridge).await.map_err(system)? else {
        return Ok(());
    };
    let prefix = names::alias_prefix(&call.net.name);
    let keep: Vec<String> = valid
        .iter()
        .map(|v| names::alias(&call.net.name, &v.container_id, &v.ifname))
        .collect();
    let named: Vec<String> = valid
        .iter()
        .map(|v| names::host_name(&v.container_id, &v.ifname))
        .collect();
    let unwanted = |port: &Link| {
        // Without an alias it is of an ADD that was cut off before it could say what the link serves.
        let unfinished = port.alias.is_empty() && names::is_host_name(&port.name);
        (port.alias.starts_with(&prefix) && !keep.contains(&port.alias))
            || (unfinished && !named.contains(&port.name))
    };
    let mut first = Ok(());
    for port in host.ports(bridge.index).await.map_err(system)? {
        if unwanted(&port) {
            first = first.and(host.delete(port.index).await.map_err(system));
        }
    }
    first
}

pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CniError>>) -> Result<T, CniError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime
        .map_err(|e| CniError::new(ErrorCode::SYSTEM, format!("start the event loop: {e}")))?
        .block_on(work)
}
