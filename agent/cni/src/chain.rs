//! Which plugins of a network are asked for an attachment.

use serde_json::{Map, Value};

use crate::conflist::Network;

/// The plugin of host ports, and the capability by which it is told them.
const PORT_MAP: &str = "portmap";
const PORTS: &str = "portMappings";

/// The plugins of an attachment with these capability values that ADD, CHECK and DEL are asked of, in the order of
/// ADD.
///
/// All of them but `portmap` where it has no ports to map: by its documentation (ours and upstream's) its ADD then
/// hands the result on as it came, so that the chain does not miss it, and there is nothing to check or to take away.
/// What it is configured with is STATUS' to judge, which every plugin is asked, as GC is.
pub(crate) fn asked<'a>(
    plugins: &'a [Map<String, Value>],
    capabilities: &Map<String, Value>,
) -> Vec<&'a Map<String, Value>> {
    let mut rest = plugins.iter();
    // The first is asked whatever it is: there is no result that it could hand on.
    let first = rest.next();
    let others = rest.filter(|plugin| !is_idle(plugin, capabilities));
    first.into_iter().chain(others).collect()
}

/// Whether `plugin` maps ports and has none: neither the runtime's nor any that its configuration names.
fn is_idle(plugin: &Map<String, Value>, capabilities: &Map<String, Value>) -> bool {
    let declared = plugin.get("capabilities").and_then(|all| all.get(PORTS));
    Network::kind(plugin) == PORT_MAP
        && declared == Some(&Value::Bool(true))
        && !plugin.contains_key("runtimeConfig")
        && !capabilities.contains_key(PORTS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The types of those asked of `plugins`, for a pod with a host port or without.
    fn kinds(plugins: Value, port: bool) -> Vec<String> {
        let plugins: Vec<Map<String, Value>> = serde_json::from_value(plugins).unwrap();
        let mut capabilities = Map::from_iter([("bandwidth".to_owned(), json!({"ingressRate": 1}))]);
        if port {
            let ports = json!([{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]);
            capabilities.insert(PORTS.to_owned(), ports);
        }
        let asked = asked(&plugins, &capabilities);
        asked
            .into_iter()
            .map(|plugin| Network::kind(plugin).to_owned())
            .collect()
    }

    fn port_map() -> Value {
        json!({"type": "portmap", "capabilities": {"portMappings": true}})
    }

    #[test]
    fn a_pod_without_host_ports_starts_no_portmap_wherever_it_is_chained() {
        let chain = json!([{"type": "bridge"}, port_map(), {"type": "tuning"}]);
        assert_eq!(kinds(chain.clone(), false), ["bridge", "tuning"]);
        assert_eq!(kinds(chain, true), ["bridge", "portmap", "tuning"]);
    }

    #[test]
    fn another_plugin_with_that_capability_is_always_asked() {
        let theirs = json!({"type": "cilium-cni", "capabilities": {"portMappings": true}});
        let chain = json!([{"type": "bridge"}, theirs, {"type": "vxlan"}]);
        assert_eq!(kinds(chain, false), ["bridge", "cilium-cni", "vxlan"]);
    }

    #[test]
    fn a_portmap_that_is_not_told_the_pods_ports_or_has_its_own_is_asked() {
        let fixed = json!({"portMappings": [{"hostPort": 1, "containerPort": 2, "protocol": "tcp"}]});
        for odd in [
            json!({"type": "portmap"}),
            json!({"type": "portmap", "capabilities": {"portMappings": false}}),
            json!({"type": "portmap", "capabilities": {"portMappings": true}, "runtimeConfig": fixed}),
        ] {
            let chain = json!([{"type": "bridge"}, odd]);
            assert_eq!(kinds(chain, false), ["bridge", "portmap"]);
        }
    }

    #[test]
    fn a_portmap_that_nothing_comes_before_is_asked_and_refuses() {
        assert_eq!(kinds(json!([port_map()]), false), ["portmap"]);
        assert_eq!(
            kinds(json!([port_map(), {"type": "bridge"}]), false),
            ["portmap", "bridge"]
        );
    }
}
