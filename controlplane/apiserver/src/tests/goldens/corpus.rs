//! Objects out of the corpus of the kinds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use controlplane_api::Resource;
use serde::Deserialize;
use serde_json::{Value, json};

/// What of a file of the corpus is wanted here.
#[derive(Debug, Deserialize)]
struct File {
    resource: String,
    base: Value,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    errors: Vec<String>,
}

/// An object that is right, and changes of it that are.
pub(in crate::tests) struct Objects {
    pub(in crate::tests) base: Value,
    pub(in crate::tests) changes: Vec<BTreeMap<String, Value>>,
}

/// A request for a certificate in the name of alice, signed by the key that it is for, in PEM and base64.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIS01ISUNBUUF3RURFT01Bd0dBMVVFQXd3RllXeH\
    BZMlV3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFNQgpCd05DQUFSRHhZUThCMzROb29ZSWpjb0oralhZbVZmdzds\
    N0twV0NQY29aQm4vSEZWZUdsNzlFVDkvb3dSMGkwCnZXS2tUdzlabWppU0QrdCtVYjkzeFVKcnI0dmZvQUF3Q2dZSU\
    tvWkl6ajBFQXdJRFNBQXdSUUlnRFNOZFplYzUKZzY1MTI4VnhKdkZPdStpc3BJSXB0YlFwTlB5SUc2ZGZac0lDSVFD\
    YzB0c01KNURYS3h6L2VMV0VLeVNMblVyWgpjRVVSc1hHTE92ZEFKbkwvUHc9PQotLS0tLUVORCBDRVJUSUZJQ0FURS\
    BSRVFVRVNULS0tLS0K";

/// All files: they are many, and read once.
static CORPUS: LazyLock<Vec<File>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/tests/corpus");
    let read = |path| serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    files(&folder).into_iter().map(read).collect()
});

/// What the corpus has of `resource`; none of those that are never stored.
pub(in crate::tests) fn of(resource: &Resource) -> Option<Objects> {
    let wanted = format!("{} {}", resource.api_version(), resource.plural);
    let file = CORPUS.iter().find(|file| file.resource == wanted)?;
    let mut base = file.base.clone();
    base["apiVersion"] = json!(resource.api_version());
    base["kind"] = json!(resource.kind);
    // A server has objects of its own by these names, a driver says at least nothing, and a
    // request is looked into.
    match &*resource.kind {
        "IPAddress" => base["metadata"]["name"] = json!("10.43.0.99"),
        "CertificateSigningRequest" => base["spec"]["request"] = json!(REQUEST),
        "CSIDriver" => base["spec"] = json!({}),
        "ServiceCIDR" => base["metadata"]["name"] = json!("second"),
        _ => {}
    }
    let right = file.cases.iter().filter(|case| case.errors.is_empty());
    let changes = right
        .map(|case| case.set.clone())
        .filter(|set| !set.is_empty())
        .collect();
    Some(Objects { base, changes })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// `object` with the members that JSON pointers name; nothing where it has no such place.
pub(in crate::tests) fn changed(object: &Value, changes: &BTreeMap<String, Value>) -> Option<Value> {
    let mut object = object.clone();
    for (pointer, value) in changes {
        put(&mut object, pointer, value.clone())?;
    }
    Some(object)
}

fn put(object: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut place = object;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = json!({});
        }
        place = match place {
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            Value::Array(list) => {
                let index = part.parse().unwrap_or(list.len());
                if index == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(index)?
            }
            _ => return None,
        };
    }
    *place = value;
    Some(())
}
