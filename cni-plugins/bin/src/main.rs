//! `floe-cni`: every plugin in one multi-call binary.
//!
//! A container runtime calls it by a plugin's name (a link to this file); `floe-cni NAME` does the same
//! by hand.

mod loopback;

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use cni_plugins_bridge::{Bridge, DELETE_LINK, delete_link};
use cni_plugins_ipam::HostLocal;
use cni_plugins_portmap::PortmapPlugin;
use cni_plugins_spec::{Output, Plugin, run};
use cni_plugins_vxlan::VxlanPlugin;

use crate::loopback::Loopback;

/// Largest configuration that is read.
const MAX_STDIN: u64 = 4 << 20;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own = args.next().unwrap_or_default();
    let first = args.next().unwrap_or_default();
    if first == DELETE_LINK {
        return status(delete_link(&args.next().unwrap_or_default()).is_ok());
    }
    let named = plugin(own_name(&own)).or_else(|| plugin(first.to_str()?));
    let Some(plugin) = named else { return usage() };
    let mut stdin = Vec::new();
    // A plugin that is asked for its version may have no stdin at all.
    drop(std::io::stdin().lock().take(MAX_STDIN).read_to_end(&mut stdin));
    let output = run(plugin.as_ref(), |name| std::env::var(name).ok(), &stdin);
    print(&output)
}

fn plugin(name: &str) -> Option<Box<dyn Plugin>> {
    match name {
        "bridge" => Some(Box::new(Bridge::with_helper())),
        "host-local" => Some(Box::new(HostLocal)),
        "loopback" => Some(Box::new(Loopback)),
        "portmap" => Some(Box::new(PortmapPlugin)),
        "vxlan" => Some(Box::new(VxlanPlugin)),
        _ => None,
    }
}

fn own_name(path: &OsStr) -> &str {
    Path::new(path)
        .file_name()
        .and_then(OsStr::to_str)
        .unwrap_or_default()
}

fn usage() -> ExitCode {
    let text = "floe-cni holds the CNI plugins bridge, host-local, loopback, portmap and vxlan.\n\
                Link it under these names into the plugin folder of a container runtime, or call floe-cni NAME.\n";
    drop(std::io::stderr().write_all(text.as_bytes()));
    ExitCode::from(2)
}

fn print(output: &Output) -> ExitCode {
    if let Some(json) = &output.stdout {
        // Nobody is left to be told when stdout is closed.
        drop(writeln!(std::io::stdout(), "{json}"));
    }
    status(output.success)
}

fn status(success: bool) -> ExitCode {
    if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
