//! Network configurations (CNI 1.1.0, §1).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::CniError;

/// The network that pods get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network {
    /// File it was read from; absent for `lo`.
    pub(crate) file: Option<PathBuf>,
    pub(crate) name: String,
    pub(crate) cni_version: String,
    pub(crate) disable_check: bool,
    pub(crate) disable_gc: bool,
    pub(crate) plugins: Vec<Map<String, Value>>,
}

impl Network {
    /// Reads the first valid file of `dir` in the order of names, as every runtime does.
    pub(crate) fn load(dir: &Path) -> Result<Self, CniError> {
        let none = |reason: String| CniError::NoConfiguration {
            dir: dir.to_owned(),
            reason,
        };
        let listed = fs::read_dir(dir).map_err(|e| none(e.to_string()))?;
        let mut files: Vec<PathBuf> = listed.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.retain(|path| {
            path.extension()
                .is_some_and(|e| e == "conflist" || e == "conf" || e == "json")
        });
        files.sort();
        let mut problems = Vec::new();
        for file in files {
            match read(&file) {
                Ok(network) => return Ok(network),
                Err(problem) => problems.push(format!("{}: {problem}", file.display())),
            }
        }
        let reason = if problems.is_empty() {
            "it has no .conflist, .conf or .json".to_owned()
        } else {
            problems.join("; ")
        };
        Err(none(reason))
    }

    /// Type of a plugin: the name of its executable.
    pub(crate) fn kind(plugin: &Map<String, Value>) -> &str {
        plugin.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The configuration that a plugin is called with (§3 "Deriving request configuration").
    pub(crate) fn request(
        &self,
        plugin: &Map<String, Value>,
        capabilities: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut request = plugin.clone();
        let declared = request.remove("capabilities");
        request.insert("name".to_owned(), json!(self.name));
        request.insert("cniVersion".to_owned(), json!(self.cni_version));
        let wanted = |key: &str| {
            declared
                .as_ref()
                .and_then(|d| d.get(key))
                .and_then(Value::as_bool)
                .unwrap_or(false)
        };
        let runtime: Map<String, Value> = capabilities
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if !runtime.is_empty() {
            request.insert("runtimeConfig".to_owned(), Value::Object(runtime));
        }
        request
    }
}

fn read(file: &Path) -> Result<Network, String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let list = file.extension().is_some_and(|e| e == "conflist");
    // A single plugin's configuration is a list of one.
    let plugins = if list {
        value.get("plugins").cloned()
    } else {
        Some(json!([value]))
    };
    let plugins: Vec<Map<String, Value>> = plugins
        .and_then(|p| serde_json::from_value(p).ok())
        .ok_or("\"plugins\" is no list of objects")?;
    let text = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let flag = |key: &str| matches!(value.get(key), Some(Value::Bool(true))) || text(key) == "true";
    let network = Network {
        file: Some(file.to_owned()),
        name: text("name"),
        cni_version: version(&value),
        disable_check: flag("disableCheck"),
        disable_gc: flag("disableGC"),
        plugins,
    };
    check(&network)?;
    Ok(network)
}

/// The highest version that both sides may speak (`cniVersions` came with 1.1.0).
fn version(value: &Value) -> String {
    let single = value.get("cniVersion").and_then(Value::as_str).into_iter();
    let list = value
        .get("cniVersions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let known = single
        .chain(list)
        .filter_map(|v| v.parse::<cni_plugins_spec::Version>().ok())
        .max();
    match (known, value.get("cniVersion").and_then(Value::as_str)) {
        (Some(known), _) => known.to_string(),
        (None, Some(unknown)) => unknown.to_owned(),
        (None, None) => "0.3.1".to_owned(),
    }
}

fn check(network: &Network) -> Result<(), String> {
    let valid = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    if network.name.is_empty() || !valid(&network.name) {
        return Err(format!("\"name\" {:?} is missing or malformed", network.name));
    }
    if network.cni_version.parse::<cni_plugins_spec::Version>().is_err() {
        return Err(format!("cniVersion {:?} is not supported", network.cni_version));
    }
    if network.plugins.is_empty() {
        return Err("it lists no plugin".to_owned());
    }
    // The type becomes a file name.
    let bad = network
        .plugins
        .iter()
        .map(Network::kind)
        .find(|kind| kind.is_empty() || kind.contains('/') || kind.starts_with('.'));
    bad.map_or(Ok(()), |kind| {
        Err(format!("a plugin's \"type\" {kind:?} is missing or malformed"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn the_first_valid_file_by_name_is_taken() {
        let valid = |name: &str| {
            format!(r#"{{"cniVersion":"1.0.0","name":"{name}","plugins":[{{"type":"bridge"}}]}}"#)
        };
        let dir = dir(&[
            ("00-notes.txt", "x"),
            ("05-broken.conflist", "{"),
            ("10-a.conflist", &valid("a")),
            ("20-b.conflist", &valid("b")),
        ]);
        assert_eq!(Network::load(dir.path()).unwrap().name, "a");
    }

    #[test]
    fn a_single_plugin_file_is_a_list_of_one() {
        let dir = dir(&[(
            "10.conf",
            r#"{"cniVersion":"0.4.0","name":"n","type":"ptp","mtu":9}"#,
        )]);
        let network = Network::load(dir.path()).unwrap();
        assert_eq!(
            (Network::kind(&network.plugins[0]), network.cni_version.as_str()),
            ("ptp", "0.4.0")
        );
    }

    #[test]
    fn why_no_file_is_usable_is_said_for_each() {
        let dir = dir(&[
            ("1.conflist", r#"{"name":"n","plugins":[{"type":"../x"}]}"#),
            ("2.conflist", r#"{"name":"n","plugins":[]}"#),
        ]);
        let error = Network::load(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("../x") && error.contains("lists no plugin"),
            "{error}"
        );
    }

    #[test]
    fn a_plugin_gets_only_the_capabilities_it_declared() {
        let text = r#"{"cniVersion":"1.1.0","name":"n","plugins":[{"type":"a","capabilities":{"portMappings":true,"bandwidth":false}},{"type":"b"}]}"#;
        let dir = dir(&[("1.conflist", text)]);
        let network = Network::load(dir.path()).unwrap();
        let values = Map::from_iter([
            ("portMappings".to_owned(), json!([1])),
            ("bandwidth".to_owned(), json!({})),
        ]);
        let requests: Vec<_> = network
            .plugins
            .iter()
            .map(|p| network.request(p, &values))
            .collect();
        assert_eq!(requests[0]["runtimeConfig"], json!({"portMappings": [1]}));
        assert!(requests[0].get("capabilities").is_none() && requests[1].get("runtimeConfig").is_none());
    }
}
