//! The plugin.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use cni_plugins_netlink::{Netlink, set_sysctl};
use cni_plugins_nft::is_installed;
use cni_plugins_spec::{Call, CniError, ErrorCode, Plugin, Success};

use crate::plan::{self, Owner};
use crate::settings::{Masquerade, Settings};
use crate::table::Table;

/// `portmap`: makes ports of the node lead to the container.
#[derive(Debug, Clone, Copy, Default)]
pub struct PortmapPlugin;

impl Plugin for PortmapPlugin {
    fn add(&self, call: &Call) -> Result<Success, CniError> {
        let settings = Settings::read(call)?;
        let result = call.prev_result()?.ok_or_else(unchained)?;
        let attachment = Attachment::of(call, &settings, &result);
        let mut table = Table::lock(&call.net.name)?;
        if !attachment.elements.is_empty() {
            table.ensure(&settings)?;
            open_loopback(&settings, &attachment.addresses)?;
        }
        let found = table.elements()?;
        table.change(&plan::changes(&found, &attachment.owner, &attachment.elements))?;
        Ok(result)
    }

    /// Needs no memory: elements say whose they are.
    fn del(&self, call: &Call) -> Result<(), CniError> {
        let mut table = Table::lock(&call.net.name)?;
        let found = table.elements()?;
        table.change(&plan::changes(&found, &owner(call), &[]))
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        let result = call.prev_result()?.ok_or_else(unchained)?;
        let attachment = Attachment::of(call, &settings, &result);
        if attachment.elements.is_empty() {
            return Ok(());
        }
        let differs = |what: String| Err(CniError::new(ErrorCode::CHECK_FAILED, what));
        let mut table = Table::lock(&call.net.name)?;
        if !table.holds(&settings)? {
            return differs("the rules of host ports are not as ADD left them".to_owned());
        }
        let found = table.elements()?;
        match attachment.elements.iter().find(|wanted| !found.contains(wanted)) {
            None => Ok(()),
            Some(wanted) => differs(format!("the ruleset does not have what ADD put there: {wanted}")),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.net.valid_attachments.iter().flatten();
        let valid: BTreeSet<Owner> = valid
            .map(|attachment| Owner::new(&attachment.container_id, &attachment.ifname))
            .collect();
        let mut table = Table::lock(&call.net.name)?;
        let found = table.elements()?;
        table.change(&plan::sweep(&found, &valid))
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        Settings::read(call)?;
        if is_installed() {
            return Ok(());
        }
        let missing = "host ports need nft; install the package nftables";
        Err(CniError::new(ErrorCode::NotAvailable, missing))
    }
}

/// What one call asks for.
pub(crate) struct Attachment {
    pub(crate) owner: Owner,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) elements: Vec<cni_plugins_nft::Element>,
}

impl Attachment {
    pub(crate) fn of(call: &Call, settings: &Settings, result: &Success) -> Self {
        let owner = owner(call);
        let addresses = addresses(result, &call.environment.ifname);
        Self {
            elements: plan::elements(&owner, &serves(call), settings, &addresses),
            owner,
            addresses,
        }
    }
}

fn owner(call: &Call) -> Owner {
    let environment = &call.environment;
    Owner::new(&environment.container_id, &environment.ifname)
}

/// The pod in words, where the runtime says.
fn serves(call: &Call) -> String {
    let argument = |name: &str| call.environment.args.get(name).map(String::as_str);
    match (argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    }
}

/// The addresses of the container's interface.
fn addresses(result: &Success, ifname: &str) -> Vec<IpAddr> {
    let in_container = |index: Option<usize>| {
        index
            .and_then(|index| result.interfaces.get(index))
            .is_none_or(|interface| interface.name == ifname && !interface.sandbox.is_empty())
    };
    let own = result.ips.iter().filter(|ip| in_container(ip.interface));
    own.map(|ip| ip.address.addr()).collect()
}

/// Lets what the node sends from 127.0.0.1 leave towards the container, where its source is masqueraded.
pub(crate) fn open_loopback(settings: &Settings, addresses: &[IpAddr]) -> Result<(), CniError> {
    let pod = addresses.iter().find_map(|addr| match addr {
        IpAddr::V4(addr) => Some(*addr),
        IpAddr::V6(_) => None,
    });
    let Some(pod) = pod.filter(|_| settings.masquerade != Masquerade::Nobody) else {
        return Ok(());
    };
    let Some(link) = link_towards(pod)? else {
        return Ok(());
    };
    let key = format!("net/ipv4/conf/{link}/route_localnet");
    set_sysctl(&key, "1").map_err(|error| CniError::system(&error))
}

fn link_towards(pod: Ipv4Addr) -> Result<Option<String>, CniError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime =
        runtime.map_err(|e| CniError::new(ErrorCode::SYSTEM, format!("start the event loop: {e}")))?;
    let found = runtime.block_on(async { Netlink::open()?.link_towards(pod).await });
    found.map_err(|error| CniError::system(&error))
}

fn unchained() -> CniError {
    CniError::config(
        "portmap gives no addresses: put it behind a plugin that does, such as bridge, in a \"plugins\" list",
    )
}
